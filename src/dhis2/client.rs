//! Speaks to one DHIS2 instance over HTTP, always to the unversioned `/api`.
//!
//! **Never** follows a redirect (it leads to a login page), keeps no cookie (DHIS2 drops the oldest of ten
//! sessions), and never sends credentials over plain HTTP to another machine. Time limits follow measured
//! service times: 1,000 values take up to 2 s, an answer during a database outage 30 s.

use std::time::{Duration, Instant};

use reqwest::header::{ACCEPT, AUTHORIZATION, HeaderMap, HeaderValue};
use secrecy::{ExposeSecret, SecretString};
use serde_json::Value;
use url::Url;

use crate::config;
use crate::delivery::destination::{Exchange, Failure, FailureKind, Reason};
use crate::dhis2::answer::Response;
use crate::outbound::answer::{self, Broken};
use crate::outbound::{self, Patience, Route};

/// For an import of 1,000 values on a busy server, and longer than the 30 s of a database outage.
pub const IMPORT_TIMEOUT: Duration = Duration::from_secs(120);
/// For a read.
pub const READ_TIMEOUT: Duration = Duration::from_secs(60);
/// Why an instance's settings cannot be used; told at start.
#[derive(Debug, thiserror::Error)]
pub enum SettingsError {
    #[error("dhis2.{name}.{source}")]
    Route { name: String, source: outbound::Error },
    #[error("dhis2.{name}: credentials are missing; set MJUMBE__DHIS2__{}__TOKEN or token_file, or username and password", name.to_uppercase())]
    NoCredentials { name: String },
    #[error("dhis2.{name}: the credentials hold a character that cannot be sent; check the secret's file")]
    Credentials { name: String },
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
        let wrong = |source| SettingsError::Route { name: name.to_owned(), source };
        let base =
            outbound::base(&settings.url, "/api", settings.dangerous_accept_http.into()).map_err(wrong)?;
        let route = Route {
            base: &base,
            ca_file: settings.ca_file.as_deref(),
            proxy: settings.proxy.as_deref(),
            patience: Patience::default(),
        };
        let http = outbound::client(&route, headers(name, settings)?).map_err(wrong)?;
        Ok(Self { name: name.to_owned(), http, base })
    }

    /// The name in the configuration.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The instance's address without a slash at its end, and without `/api`.
    pub fn url(&self) -> &str {
        self.base.as_str().trim_end_matches('/')
    }

    /// One request. The exchange holds no credentials.
    ///
    /// # Errors
    /// [`Failure`] where no answer came; every answer that came is `Ok`.
    pub async fn send(&self, request: Request<'_>) -> (Result<Response, Failure>, Exchange) {
        let begun = Instant::now();
        let url = self.address(&request);
        let mut exchange = Exchange {
            method: request.method.as_str().to_owned(),
            path: url.path().to_owned() + &url.query().map(|query| format!("?{query}")).unwrap_or_default(),
            status: None,
            request: request.body.map(|body| answer::kept(&body.to_string())).unwrap_or_default(),
            response: String::new(),
            elapsed_ms: 0,
        };
        let mut builder = self.http.request(request.method.reqwest(), url).timeout(request.timeout);
        if let Some(body) = request.body {
            builder = builder.json(body);
        }
        let result = answered(builder, request.method).await;
        exchange.elapsed_ms = u64::try_from(begun.elapsed().as_millis()).unwrap_or(u64::MAX);
        if let Ok(response) = &result {
            exchange.status = Some(response.status);
            exchange.response = answer::kept(&response.body);
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

    fn address(&self, request: &Request<'_>) -> Url {
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

async fn answered(request: reqwest::RequestBuilder, method: Method) -> Result<Response, Failure> {
    let answer = answer::ask(request).await.map_err(|broken| unanswered(broken, method))?;
    Ok(Response {
        status: answer.status,
        retry_after: answer.retry_after(),
        body: answer.text(),
        elapsed: answer.elapsed,
    })
}

/// No answer: what a request that changes something has done is not known, unless it never got there.
fn unanswered(broken: Broken, method: Method) -> Failure {
    match broken {
        Broken::Unreachable => {
            let failure = failure("dhis2-unreachable", "no connection to DHIS2 could be made", method);
            Failure { unclear: false, ..failure }
        }
        Broken::Timeout => failure("dhis2-timeout", "DHIS2 did not answer in time", method),
        Broken::Lost => {
            let message = "the connection to DHIS2 broke before its answer was complete";
            failure("dhis2-connection-lost", message, method)
        }
        Broken::TooLarge => failure("dhis2-answer-too-large", "DHIS2's answer is larger than 64 MiB", method),
    }
}

fn failure(code: &str, message: &str, method: Method) -> Failure {
    Failure {
        kind: FailureKind::Unavailable,
        reason: Reason::new(code, message, "nothing to do here: it is tried again"),
        unclear: method != Method::Get,
        retry_after: None,
    }
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
        assert!(matches!(error, SettingsError::Route { source: outbound::Error::PlainHttp, .. }));
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
        let url = client.address(&Request::get("me", vec![("fields", "id,name".to_owned())]));
        assert_eq!(url.as_str(), "https://example.org/dhis/api/me?fields=id%2Cname");
    }
}
