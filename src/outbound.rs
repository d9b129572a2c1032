//! The way out: one place that makes every HTTP client for other machines, and reads what they answer.
//!
//! **Never** follows a redirect (credentials would travel along), sends credentials over plain HTTP to another
//! machine, keeps a cookie, takes a proxy from the environment, or reads an answer without a limit. Knows no
//! system: settings come from the systems' rooms, answers go back to them. No error text holds a body or a
//! credential.

// One request and its answer, read up to a limit.
pub mod answer;

use std::path::{Path, PathBuf};
use std::time::Duration;

use reqwest::header::HeaderMap;
use url::Url;

/// To find the machine and agree on a key.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// Why settings cannot be used. Its text begins with the key that is wrong.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("url: `{url}` is not an http or https address")]
    Url { url: String },
    #[error(
        "url: plain http would show the credentials to the network; use https, or set dangerous_accept_http"
    )]
    PlainHttp,
    #[error("{key}: cannot read {}: {source}", path.display())]
    File { key: &'static str, path: PathBuf, source: std::io::Error },
    #[error("{key}: {source}")]
    Http { key: &'static str, source: reqwest::Error },
}

/// How a configured machine is reached.
#[derive(Debug, Clone, Copy)]
pub struct Route<'a> {
    /// From [`base`].
    pub base: &'a Url,
    /// PEM certificates to trust besides the built-in ones.
    pub ca_file: Option<&'a Path>,
    pub proxy: Option<&'a str>,
    pub patience: Patience,
}

/// How long an answer may take, beside what a single request says.
#[derive(Debug, Clone, Copy, Default)]
pub struct Patience {
    /// Without a byte for that long the answer is given up.
    pub silence: Option<Duration>,
    /// From the first byte sent to the last one read.
    pub total: Option<Duration>,
}

/// The address without query, fragment, slash at its end and `suffix` (an API's own path, which people
/// copy along).
///
/// # Errors
/// [`Error::Url`]; [`Error::PlainHttp`] for another machine, unless `accepts_http`.
pub fn base(text: &str, suffix: &str, accepts_http: AcceptsHttp) -> Result<Url, Error> {
    let wrong = || Error::Url { url: text.to_owned() };
    let trimmed = text.trim().trim_end_matches('/');
    let trimmed = trimmed.strip_suffix(suffix).unwrap_or(trimmed);
    let mut url = Url::parse(trimmed).map_err(|_| wrong())?;
    url.set_query(None);
    url.set_fragment(None);
    let loopback = match url.host() {
        Some(url::Host::Ipv4(ip)) => ip.is_loopback(),
        Some(url::Host::Ipv6(ip)) => ip.is_loopback(),
        Some(url::Host::Domain(domain)) => domain == "localhost",
        None => return Err(wrong()),
    };
    match url.scheme() {
        "https" => Ok(url),
        "http" if loopback || accepts_http == AcceptsHttp::Yes => Ok(url),
        "http" => Err(Error::PlainHttp),
        _ => Err(wrong()),
    }
}

/// Whether credentials may travel in the clear: `dangerous_accept_http`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AcceptsHttp {
    Yes,
    No,
}

impl From<bool> for AcceptsHttp {
    fn from(accepts: bool) -> Self {
        if accepts { Self::Yes } else { Self::No }
    }
}

/// A client that sends `headers` (credentials marked as sensitive) with every request.
///
/// # Errors
/// [`Error`], with the key.
pub fn client(route: &Route<'_>, headers: HeaderMap) -> Result<reqwest::Client, Error> {
    // Someone else may have installed a provider already; both are ring.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let wrong = |key: &'static str| move |source: reqwest::Error| Error::Http { key, source };
    let mut builder = reqwest::Client::builder()
        .user_agent(concat!("Mjumbe/", env!("CARGO_PKG_VERSION")))
        .default_headers(headers)
        .redirect(reqwest::redirect::Policy::none())
        .connect_timeout(CONNECT_TIMEOUT)
        .no_proxy();
    if let Some(silence) = route.patience.silence {
        builder = builder.read_timeout(silence);
    }
    if let Some(total) = route.patience.total {
        builder = builder.timeout(total);
    }
    if let Some(path) = route.ca_file {
        let pem = std::fs::read(path).map_err(|source| Error::File {
            key: "ca_file",
            path: path.to_owned(),
            source,
        })?;
        let certificates = reqwest::Certificate::from_pem_bundle(&pem).map_err(wrong("ca_file"))?;
        builder = builder.tls_certs_merge(certificates);
    } else if route.base.scheme() == "http" {
        // Certificates play no part: do not depend on the machine having any.
        builder = builder.tls_certs_only([]);
    }
    if let Some(proxy) = route.proxy {
        builder = builder.proxy(reqwest::Proxy::all(proxy).map_err(wrong("proxy"))?);
    }
    builder.build().map_err(wrong("url"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plain_http_is_for_loopback_only() {
        assert!(base("http://127.0.0.1:8080", "", AcceptsHttp::No).is_ok());
        assert!(base("http://localhost", "", AcceptsHttp::No).is_ok());
        assert!(matches!(base("http://example.org", "", AcceptsHttp::No), Err(Error::PlainHttp)));
        assert!(base("http://example.org", "", AcceptsHttp::Yes).is_ok());
        assert!(matches!(base("ftp://example.org", "", AcceptsHttp::Yes), Err(Error::Url { .. })));
        assert!(matches!(base("example.org", "", AcceptsHttp::Yes), Err(Error::Url { .. })));
    }

    #[test]
    fn the_path_of_the_instance_is_kept_and_that_of_the_api_is_not() {
        let url = base("https://example.org/dhis/api/?x=1#y", "/api", AcceptsHttp::No);
        // The slash before the query is part of the path that was written.
        assert_eq!(url.unwrap().path(), "/dhis/api/");
        let url = base("https://example.org/dhis/api/", "/api", AcceptsHttp::No).unwrap();
        assert_eq!(url.as_str(), "https://example.org/dhis");
    }

    #[test]
    fn a_certificate_file_that_is_not_there_is_told_with_its_key() {
        let base = base("https://example.org", "", AcceptsHttp::No).unwrap();
        let ca_file = Some(Path::new("/nowhere/ca.pem"));
        let route = Route { base: &base, ca_file, proxy: None, patience: Patience::default() };
        let error = client(&route, HeaderMap::new()).unwrap_err();
        assert!(error.to_string().starts_with("ca_file: cannot read /nowhere/ca.pem"), "{error}");
    }
}
