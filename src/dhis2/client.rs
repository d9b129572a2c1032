//! Speaks to one DHIS2 instance over HTTP, always to the unversioned `/api`.
//!
//! **Never** follows a redirect (it leads to a login page), keeps no cookie (DHIS2 drops the oldest of ten
//! sessions), and never sends credentials over plain HTTP to another machine. Time limits follow measured
//! service times: 1,000 values take up to 2 s, an answer during a database outage 30 s.

use std::time::{Duration, Instant};

use reqwest::header::{ACCEPT, AUTHORIZATION, HeaderMap, HeaderValue, RETRY_AFTER};
use secrecy::{ExposeSecret, SecretString};
use serde_json::Value;
use url::Url;

use crate::config;
use crate::delivery::destination::{Exchange, Failure, FailureKind, Reason};
use crate::dhis2::answer::Response;

const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// For an import of 1,000 values on a busy server, and longer than the 30 s of a database outage.
pub const IMPORT_TIMEOUT: Duration = Duration::from_secs(120);
/// For a read.
pub const READ_TIMEOUT: Duration = Duration::from_secs(60);
/// Imports answer with at most a conflict a row; a page of metadata has some megabytes.
const RESPONSE_LIMIT_BYTES: usize = 64 * 1024 * 1024;
/// What of a body is kept for `deliveries show`.
const KEPT_CHARACTERS: usize = 64 * 1024;
/// A `Retry-After` beyond a day is not believed.
const RETRY_AFTER_MAX: Duration = Duration::from_secs(86_400);

/// Why an instance's settings cannot be used; told at start.
#[derive(Debug, thiserror::Error)]
pub enum SettingsError {
    #[error("dhis2.{name}.url: `{url}` is not an http or https address")]
    Url { name: String, url: String },
    #[error(
        "dhis2.{name}.url: plain http would show the credentials to the network; use https, or set dangerous_accept_http"
    )]
    PlainHttp { name: String },
    #[error("dhis2.{name}: credentials are missing; set MJUMBE__DHIS2__{}__TOKEN or token_file, or username and password", name.to_uppercase())]
    NoCredentials { name: String },
    #[error("dhis2.{name}: the credentials hold a character that cannot be sent; check the secret's file")]
    Credentials { name: String },
    #[error("dhis2.{name}.ca_file: cannot read {path}: {source}")]
    File { name: String, path: String, source: std::io::Error },
    #[error("dhis2.{name}.{key}: {source}")]
    Http { name: String, key: &'static str, source: reqwest::Error },
}

/// An instance, spoken to with one account.
pub struct Client {
    name: String,
    http: reqwest::Client,
    base: Url,
}

/// One request.
#[derive(Debug, Clone)]
pub struct Request<'a> {
    pub method: Method,
    /// `dataValueSets`, without `/api/`.
    pub path: &'a str,
    pub query: Vec<(&'a str, String)>,
    pub body: Option<&'a Value>,
    pub timeout: Duration,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Method {
    Get,
    Post,
    Delete,
}

impl<'a> Request<'a> {
    pub fn get(path: &'a str, query: Vec<(&'a str, String)>) -> Self {
        Self { method: Method::Get, path, query, body: None, timeout: READ_TIMEOUT }
    }

    pub fn post(path: &'a str, query: Vec<(&'a str, String)>, body: &'a Value) -> Self {
        Self { method: Method::Post, path, query, body: Some(body), timeout: IMPORT_TIMEOUT }
    }

    pub fn delete(path: &'a str, query: Vec<(&'a str, String)>) -> Self {
        Self { method: Method::Delete, path, query, body: None, timeout: READ_TIMEOUT }
    }
}

impl std::fmt::Debug for Client {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("dhis2::Client").field("name", &self.name).finish_non_exhaustive()
    }
}

impl Client {
    /// A client for `[dhis2.NAME]`, whose secrets are already read from their files.
    ///
    /// # Errors
    /// [`SettingsError`], with the key and what to do.
    pub fn new(name: &str, settings: &config::Dhis2) -> Result<Self, SettingsError> {
        let base = base(name, settings)?;
        let http = http(name, settings, &base)?;
        Ok(Self { name: name.to_owned(), http, base })
    }

    /// The name in the configuration.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// One request. The exchange holds no credentials.
    ///
    /// # Errors
    /// [`Failure`] where no answer came; every answer that came is `Ok`.
    pub async fn send(&self, request: Request<'_>) -> (Result<Response, Failure>, Exchange) {
        let begun = Instant::now();
        let url = self.url(&request);
        let mut exchange = Exchange {
            method: request.method.as_str().to_owned(),
            path: url.path().to_owned() + &url.query().map(|query| format!("?{query}")).unwrap_or_default(),
            status: None,
            request: request.body.map(|body| kept(&body.to_string())).unwrap_or_default(),
            response: String::new(),
            elapsed_ms: 0,
        };
        let mut builder = self.http.request(request.method.reqwest(), url).timeout(request.timeout);
        if let Some(body) = request.body {
            builder = builder.json(body);
        }
        let result = answer(builder, request.method, begun).await;
        exchange.elapsed_ms = u64::try_from(begun.elapsed().as_millis()).unwrap_or(u64::MAX);
        if let Ok(response) = &result {
            exchange.status = Some(response.status);
            exchange.response = kept(&response.body);
        }
        tracing::debug!(
            destination = %self.name,
            method = exchange.method,
            path = request.path,
            status = exchange.status,
            elapsed_ms = exchange.elapsed_ms,
            "asked DHIS2"
        );
        (result, exchange)
    }

    fn url(&self, request: &Request<'_>) -> Url {
        let mut url = self.base.clone();
        url.set_path(&format!("{}/api/{}", self.base.path().trim_end_matches('/'), request.path));
        if !request.query.is_empty() {
            url.query_pairs_mut().extend_pairs(request.query.iter().map(|(name, value)| (*name, value)));
        }
        url
    }
}

impl Method {
    fn as_str(self) -> &'static str {
        match self {
            Self::Get => "GET",
            Self::Post => "POST",
            Self::Delete => "DELETE",
        }
    }

    fn reqwest(self) -> reqwest::Method {
        match self {
            Self::Get => reqwest::Method::GET,
            Self::Post => reqwest::Method::POST,
            Self::Delete => reqwest::Method::DELETE,
        }
    }
}

async fn answer(
    request: reqwest::RequestBuilder,
    method: Method,
    begun: Instant,
) -> Result<Response, Failure> {
    let mut response = request.send().await.map_err(|error| unanswered(&error, method))?;
    let status = response.status().as_u16();
    let retry_after = response.headers().get(RETRY_AFTER).and_then(seconds);
    let mut body = Vec::new();
    while let Some(chunk) = response.chunk().await.map_err(|error| unanswered(&error, method))? {
        if body.len() + chunk.len() > RESPONSE_LIMIT_BYTES {
            return Err(failure("dhis2-answer-too-large", "DHIS2's answer is larger than 64 MiB", method));
        }
        body.extend_from_slice(&chunk);
    }
    let body = String::from_utf8_lossy(&body).into_owned();
    Ok(Response { status, body, elapsed: begun.elapsed(), retry_after })
}

fn seconds(value: &HeaderValue) -> Option<Duration> {
    let seconds = value.to_str().ok()?.trim().parse().ok()?;
    Some(Duration::from_secs(seconds).min(RETRY_AFTER_MAX))
}

/// No answer: what a request that changes something has done is not known, unless it never got there.
fn unanswered(error: &reqwest::Error, method: Method) -> Failure {
    if error.is_connect() {
        let mut failure = failure("dhis2-unreachable", "no connection to DHIS2 could be made", method);
        failure.unclear = false;
        return failure;
    }
    if error.is_timeout() {
        return failure("dhis2-timeout", "DHIS2 did not answer in time", method);
    }
    failure("dhis2-connection-lost", "the connection to DHIS2 broke before its answer was complete", method)
}

fn failure(code: &str, message: &str, method: Method) -> Failure {
    Failure {
        kind: FailureKind::Unavailable,
        reason: Reason::new(code, message, "nothing to do here: it is tried again"),
        unclear: method != Method::Get,
        retry_after: None,
    }
}

fn kept(text: &str) -> String {
    text.chars().take(KEPT_CHARACTERS).collect()
}

fn base(name: &str, settings: &config::Dhis2) -> Result<Url, SettingsError> {
    let wrong = || SettingsError::Url { name: name.to_owned(), url: settings.url.clone() };
    let text = settings.url.trim().trim_end_matches('/');
    let text = text.strip_suffix("/api").unwrap_or(text);
    let mut url = Url::parse(text).map_err(|_| wrong())?;
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
        "http" if loopback || settings.dangerous_accept_http => Ok(url),
        "http" => Err(SettingsError::PlainHttp { name: name.to_owned() }),
        _ => Err(wrong()),
    }
}

fn http(name: &str, settings: &config::Dhis2, base: &Url) -> Result<reqwest::Client, SettingsError> {
    // Someone else may have installed a provider already; both are ring.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let wrong = |key: &'static str| {
        move |source: reqwest::Error| SettingsError::Http { name: name.to_owned(), key, source }
    };
    let mut builder = reqwest::Client::builder()
        .user_agent(concat!("Mjumbe/", env!("CARGO_PKG_VERSION")))
        .default_headers(headers(name, settings)?)
        .redirect(reqwest::redirect::Policy::none())
        .connect_timeout(CONNECT_TIMEOUT)
        .no_proxy();
    if let Some(path) = &settings.ca_file {
        let pem = std::fs::read(path).map_err(|source| SettingsError::File {
            name: name.to_owned(),
            path: path.display().to_string(),
            source,
        })?;
        let certificates = reqwest::Certificate::from_pem_bundle(&pem).map_err(wrong("ca_file"))?;
        builder = builder.tls_certs_merge(certificates);
    } else if base.scheme() == "http" {
        // Certificates play no part: do not depend on the machine having any.
        builder = builder.tls_certs_only([]);
    }
    if let Some(proxy) = &settings.proxy {
        builder = builder.proxy(reqwest::Proxy::all(proxy).map_err(wrong("proxy"))?);
    }
    builder.build().map_err(wrong("url"))
}

/// `X-Requested-With` makes DHIS2 answer 401 instead of sending to its login page.
fn headers(name: &str, settings: &config::Dhis2) -> Result<HeaderMap, SettingsError> {
    use base64::Engine as _;
    let text = match (&settings.token, &settings.username, &settings.password) {
        (Some(token), _, _) => format!("ApiToken {}", token.expose_secret().trim()),
        (None, Some(username), Some(password)) => {
            let pair = SecretString::from(format!("{username}:{}", password.expose_secret()));
            format!("Basic {}", base64::engine::general_purpose::STANDARD.encode(pair.expose_secret()))
        }
        _ => return Err(SettingsError::NoCredentials { name: name.to_owned() }),
    };
    let mut credentials =
        HeaderValue::from_str(&text).map_err(|_| SettingsError::Credentials { name: name.to_owned() })?;
    credentials.set_sensitive(true);
    let mut headers = HeaderMap::new();
    headers.insert(AUTHORIZATION, credentials);
    headers.insert(ACCEPT, HeaderValue::from_static("application/json"));
    headers.insert("X-Requested-With", HeaderValue::from_static("XMLHttpRequest"));
    Ok(headers)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings(url: &str) -> config::Dhis2 {
        serde_json::from_value(serde_json::json!({ "url": url, "token": "d2pat_x" })).unwrap()
    }

    #[test]
    fn plain_http_is_for_loopback_only() {
        assert!(Client::new("n", &settings("http://127.0.0.1:8080")).is_ok());
        assert!(Client::new("n", &settings("https://play.dhis2.org/dev/api/")).is_ok());
        let error = Client::new("n", &settings("http://example.org")).unwrap_err();
        assert!(matches!(error, SettingsError::PlainHttp { .. }));
        let mut open = settings("http://example.org");
        open.dangerous_accept_http = true;
        assert!(Client::new("n", &open).is_ok());
    }

    #[test]
    fn no_credentials_no_client_and_none_in_debug() {
        let mut bare = settings("https://example.org");
        bare.token = None;
        assert!(matches!(Client::new("n", &bare).unwrap_err(), SettingsError::NoCredentials { .. }));
        let client = Client::new("n", &settings("https://example.org")).unwrap();
        assert!(!format!("{client:?}").contains("d2pat"));
    }

    #[test]
    fn the_path_of_the_instance_is_kept() {
        let client = Client::new("n", &settings("https://example.org/dhis/api")).unwrap();
        let url = client.url(&Request::get("me", vec![("fields", "id,name".to_owned())]));
        assert_eq!(url.as_str(), "https://example.org/dhis/api/me?fields=id%2Cname");
    }
}
