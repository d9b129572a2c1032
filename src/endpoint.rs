//! What is configured as `[fhir.NAME]` or `[http.NAME]`, spoken to over HTTP.
//!
//! **Never** logs a body or a header, and judges no answer: the rooms that send do. Settings come from the
//! configuration, requests from those rooms, everything passes [`crate::outbound`].

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use reqwest::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue};
use secrecy::{ExposeSecret, SecretString};
use serde_json::Value;
use url::Url;

use crate::config;
use crate::delivery::destination::{Exchange, Failure, FailureKind, Limits, Reason};
use crate::delivery::links;
use crate::outbound::answer::{self, Answer, Broken};
use crate::outbound::{self, Patience, Route};

/// Shorter than half a lease of two minutes, so that a request begun in its first half ends within it.
const PATIENCE: Patience = Patience { silence: Some(Duration::from_secs(30)), total: Some(TOTAL) };
const TOTAL: Duration = Duration::from_secs(55);

/// Why settings cannot be used; told at start.
#[derive(Debug, thiserror::Error)]
pub enum SettingsError {
    #[error("{section}.{name}.{source}")]
    Route { section: &'static str, name: String, source: outbound::Error },
    #[error("{section}.{name}.{key}: holds a character that cannot be sent; check the secret's file")]
    Header { section: &'static str, name: String, key: String },
}

/// One endpoint.
pub struct Client {
    section: &'static str,
    name: String,
    http: reqwest::Client,
    base: Url,
}

/// One request.
#[derive(Debug)]
pub struct Request<'a> {
    pub method: reqwest::Method,
    /// Below the configured address; every character that a path cannot hold is escaped.
    pub path: &'a str,
    pub query: Option<&'a str>,
    pub body: Option<&'a Value>,
    /// Of the body and of the answer: `application/fhir+json`.
    pub media_type: &'static str,
    pub headers: &'a [(&'static str, &'a str)],
}

impl std::fmt::Debug for Client {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (section, name) = (self.section, &self.name);
        f.debug_struct("endpoint::Client")
            .field("section", &section)
            .field("name", name)
            .finish_non_exhaustive()
    }
}

/// One request at a time for each delivery, four at once.
pub fn limits(budget_per_hour: Option<u32>) -> Limits {
    Limits {
        batch_deliveries: 1,
        batch_parts: 1,
        concurrency: 4,
        budget_per_hour,
        lease: Duration::from_secs(120),
        longest_request: TOTAL,
        horizon: Duration::from_secs(7 * 24 * 3600),
    }
}

impl Client {
    /// A client for `[SECTION.NAME]`, whose secrets are already read from their files.
    ///
    /// # Errors
    /// [`SettingsError`], with the key.
    pub fn new(
        section: &'static str,
        name: &str,
        settings: &config::Endpoint,
    ) -> Result<Self, SettingsError> {
        let wrong = |source| SettingsError::Route { section, name: name.to_owned(), source };
        let base = outbound::base(&settings.url, "", settings.dangerous_accept_http.into()).map_err(wrong)?;
        let route = Route {
            base: &base,
            ca_file: settings.ca_file.as_deref(),
            proxy: settings.proxy.as_deref(),
            patience: PATIENCE,
        };
        let headers =
            headers(settings).map_err(|key| SettingsError::Header { section, name: name.to_owned(), key })?;
        let http = outbound::client(&route, headers).map_err(wrong)?;
        Ok(Self { section, name: name.to_owned(), http, base })
    }

    /// `fhir` or `http`.
    pub fn section(&self) -> &'static str {
        self.section
    }

    /// The name in the configuration.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The configured address without a slash at its end.
    pub fn url(&self) -> &str {
        self.base.as_str().trim_end_matches('/')
    }

    /// One request. The exchange holds no credentials.
    ///
    /// # Errors
    /// [`Failure`] where no answer came; every answer that came is `Ok`.
    pub async fn send(&self, request: &Request<'_>) -> (Result<Answer, Failure>, Exchange) {
        let begun = Instant::now();
        let mut url = self.base.clone();
        let base = self.base.path().trim_end_matches('/');
        url.set_path(&match request.path.trim_matches('/') {
            "" => base.to_owned(),
            path => format!("{base}/{path}"),
        });
        url.set_query(request.query);
        let mut exchange = Exchange {
            method: request.method.as_str().to_owned(),
            path: url.path().to_owned() + &url.query().map(|query| format!("?{query}")).unwrap_or_default(),
            status: None,
            request: request.body.map(|body| answer::kept(&body.to_string())).unwrap_or_default(),
            response: String::new(),
            elapsed_ms: 0,
        };
        let mut builder = self.http.request(request.method.clone(), url).header(ACCEPT, request.media_type);
        if let Some(body) = request.body {
            builder = builder.header(CONTENT_TYPE, request.media_type).body(body.to_string());
        }
        for (name, value) in request.headers {
            builder = builder.header(*name, *value);
        }
        let asked = answer::ask(builder).await;
        exchange.elapsed_ms = u64::try_from(begun.elapsed().as_millis()).unwrap_or(u64::MAX);
        if let Ok(answer) = &asked {
            exchange.status = Some(answer.status);
            exchange.response = answer::kept(&answer.text());
        }
        let (section, name) = (self.section, self.name.as_str());
        let (method, status, elapsed_ms) = (exchange.method.as_str(), exchange.status, exchange.elapsed_ms);
        tracing::debug!(section, name, method, status, elapsed_ms, "asked an endpoint");
        (asked.map_err(|broken| self.unanswered(broken, &request.method)), exchange)
    }

    /// No answer: what a request that changes something has done is not known, unless it never got there.
    fn unanswered(&self, broken: Broken, method: &reqwest::Method) -> Failure {
        let (code, message) = match broken {
            Broken::Unreachable => ("unreachable", "no connection could be made"),
            Broken::Timeout => ("timeout", "no answer came in time"),
            Broken::Lost => ("connection-lost", "the connection broke before the answer was complete"),
            Broken::TooLarge => ("answer-too-large", "the answer is larger than 64 MiB"),
        };
        let unclear = broken != Broken::Unreachable && *method != reqwest::Method::GET;
        self.unavailable((code, message), unclear, None)
    }

    /// It cannot take anything now.
    pub fn unavailable(
        &self,
        (code, message): (&str, &str),
        unclear: bool,
        retry_after: Option<Duration>,
    ) -> Failure {
        let code = format!("{}-{code}", self.section);
        let reason = Reason::new(&code, message, "nothing to do here: it is tried again");
        Failure { kind: FailureKind::Unavailable, reason, unclear, retry_after }
    }

    /// What a status of `401` after a repeat, or a throttling one, is.
    pub fn failure(&self, kind: FailureKind, words: (&str, &str, &str), answer: &Answer) -> Failure {
        let (code, message, hint) = words;
        let reason = Reason::new(&format!("{}-{code}", self.section), message, hint);
        Failure { kind, reason, unclear: false, retry_after: answer.retry_after() }
    }

    /// A refusal of this endpoint's.
    pub fn reason(&self, code: &str, message: impl Into<String>, hint: &str) -> Reason {
        Reason::new(&format!("{}-{code}", self.section), message, hint)
    }
}

/// A value with every link in it replaced by the remote id.
pub fn resolved(value: &Value, known: &BTreeMap<String, String>) -> Value {
    if let Some(resource) = links::resource_of(value) {
        return known.get(resource).map_or(Value::Null, |remote| Value::from(remote.as_str()));
    }
    match value {
        Value::Array(items) => Value::Array(items.iter().map(|item| resolved(item, known)).collect()),
        Value::Object(fields) => {
            Value::Object(fields.iter().map(|(name, one)| (name.clone(), resolved(one, known))).collect())
        }
        other => other.clone(),
    }
}

/// # Errors
/// The key whose value cannot be a header.
fn headers(settings: &config::Endpoint) -> Result<HeaderMap, String> {
    use base64::Engine as _;
    let mut headers = HeaderMap::new();
    let credentials = match (&settings.token, &settings.username, &settings.password) {
        (Some(token), _, _) => Some(("token", format!("Bearer {}", token.expose_secret().trim()))),
        (None, Some(username), Some(password)) => {
            let pair = SecretString::from(format!("{username}:{}", password.expose_secret()));
            let text = base64::engine::general_purpose::STANDARD.encode(pair.expose_secret());
            Some(("password", format!("Basic {text}")))
        }
        _ => None,
    };
    if let Some((key, text)) = credentials {
        headers.insert(AUTHORIZATION, secret(&text).ok_or(key)?);
    }
    for (name, value) in &settings.headers {
        let key = || format!("headers.{name}");
        let known = HeaderName::from_bytes(name.as_bytes()).map_err(|_| key())?;
        headers.insert(known, secret(value.expose_secret().trim()).ok_or_else(key)?);
    }
    Ok(headers)
}

fn secret(text: &str) -> Option<HeaderValue> {
    let mut value = HeaderValue::from_str(text).ok()?;
    value.set_sensitive(true);
    Some(value)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn credentials_are_in_no_debug_text_and_bad_ones_name_their_key() {
        let with = |settings: Value| Client::new("http", "n", &serde_json::from_value(settings).unwrap());
        let client = with(json!({"url": "https://e.org/api/", "token": "canary"})).unwrap();
        assert!(!format!("{client:?}").contains("canary"));
        assert_eq!(client.url(), "https://e.org/api");
        let error = with(json!({"url": "https://e.org", "headers": {"X-Key": "a\nb"}})).unwrap_err();
        assert!(error.to_string().starts_with("http.n.headers.X-Key: "), "{error}");
        let error = with(json!({"url": "http://e.org"})).unwrap_err();
        assert!(error.to_string().starts_with("http.n.url: plain http"), "{error}");
    }

    #[test]
    fn links_are_replaced_at_any_depth() {
        let known = BTreeMap::from([("Patient/1".to_owned(), "Patient/77".to_owned())]);
        let value = json!({"subject": [{"reference": {"$link": {"resource": "Patient/1"}}}], "n": 1.50});
        assert_eq!(resolved(&value, &known), json!({"subject": [{"reference": "Patient/77"}], "n": 1.50}));
    }
}
