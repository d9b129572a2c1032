//! What every handler shares.

use std::collections::BTreeMap;
use std::sync::OnceLock;

use tokio_util::sync::CancellationToken;

use super::fhir::capabilities::Statement;
use super::supervisor::Readiness;
use super::webhook::Workspace;
use crate::auth::jwt::Issuers;
use crate::delivery::signal::Signals;
use crate::fhir::capability::Support;
use crate::store::Store;

/// What every handler shares; built once, before the first request.
pub struct App {
    pub store: Store,
    /// Wakes the mapper after a write.
    pub signals: Signals,
    /// The address that clients see, without `/fhir` and without a slash at its end.
    pub public_url: String,
    pub tenants: BTreeMap<String, Tenant>,
    /// The RapidPro workspaces that may call webhooks, by name.
    pub workspaces: BTreeMap<String, Workspace>,
    /// The identity providers whose tokens are taken.
    pub issuers: Issuers,
    pub auth_disabled: bool,
    /// Whether pages of other origins may call.
    pub cors: Support,
    pub body_limit: usize,
    pub readiness: Readiness,
    /// Cancelled when the server stops taking work.
    pub draining: CancellationToken,
}

/// One country or programme.
pub struct Tenant {
    /// Dates without a zone are in it.
    pub zone: jiff::tz::TimeZone,
    /// Its CapabilityStatement, made at the first request.
    pub statement: OnceLock<Statement>,
    /// Its TerminologyCapabilities, likewise.
    pub terminology: OnceLock<Statement>,
}

impl App {
    /// `https://fhir.example.org/fhir`, or `…/tenants/NAME/fhir`.
    pub fn base(&self, tenant: &str) -> String {
        base(&self.public_url, tenant)
    }
}

/// The same before there is an [`App`].
pub fn base(public_url: &str, tenant: &str) -> String {
    match tenant {
        "default" => format!("{public_url}/fhir"),
        name => format!("{public_url}/tenants/{name}/fhir"),
    }
}
