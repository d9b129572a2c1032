//! Asking another machine without credentials.

use std::path::Path;
use std::time::Duration;

use reqwest::header::HeaderMap;
use url::Url;

use crate::outbound::answer::{self, Answer, Broken};
use crate::outbound::{self, AcceptsHttp, Patience, Route};

const PATIENCE: Duration = Duration::from_secs(20);

/// Which machine, and how it is reached.
pub(super) struct Way<'a> {
    pub url: &'a str,
    /// What people copy along: `/api/v2`.
    pub suffix: &'a str,
    /// What answers without credentials.
    pub path: &'a str,
    pub ca_file: Option<&'a Path>,
    pub proxy: Option<&'a str>,
}

/// One `GET`; nothing secret travels, so plain HTTP will do.
///
/// # Errors
/// [`Broken`]; [`Broken::Unreachable`] also for an address that is none, which the configuration has told.
pub(super) async fn ask(way: &Way<'_>) -> Result<Answer, Broken> {
    let base: Url = outbound::base(way.url, way.suffix, AcceptsHttp::Yes).map_err(|_| Broken::Unreachable)?;
    let patience = Patience { silence: Some(PATIENCE), total: Some(PATIENCE) };
    let route = Route { base: &base, ca_file: way.ca_file, proxy: way.proxy, patience };
    let client = outbound::client(&route, HeaderMap::new()).map_err(|_| Broken::Unreachable)?;
    let mut url = base.clone();
    url.set_path(&format!("{}{}", base.path().trim_end_matches('/'), way.path));
    answer::ask(client.get(url)).await
}
