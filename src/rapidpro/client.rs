//! Speaks RapidPro's API v2.
//!
//! **Never** follows a redirect (the token would travel), never sends the token over plain HTTP to
//! another machine, and never waits for its budget: it says how long to wait. Each request has a
//! connect and a read timeout, and answers are read up to a limit after decompression.

use std::path::Path;
use std::time::{Duration, Instant};

use secrecy::{ExposeSecret, SecretString};
use serde_json::Value;
use url::Url;

use crate::config;
use crate::delivery::destination::Exchange;

// How many requests an hour.
pub mod budget;
// The table that reads failures.
pub mod fault;

use budget::{Budget, Scope};
use fault::{Effect, Fault};

const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// Without a byte for that long the answer is given up. RapidPro's own workers are killed after 30 s.
const READ_TIMEOUT: Duration = Duration::from_secs(30);
/// Shorter than half a lease, so that a request begun in its first half ends within it.
const TOTAL_TIMEOUT: Duration = Duration::from_secs(55);
/// After decompression. A page of 250 runs without paths has about 2 MB.
const RESPONSE_LIMIT_BYTES: usize = 64 * 1024 * 1024;
/// What of an answer is kept for `deliveries show`.
const KEPT_BYTES: usize = 64 * 1024;
const DEFAULT_BUDGET_PER_HOUR: u32 = 2_000;

/// Why a workspace's settings cannot be used; told at start.
#[derive(Debug, thiserror::Error)]
pub enum SettingsError {
    #[error("rapidpro.{name}.url: `{url}` is not an http or https address")]
    Url { name: String, url: String },
    #[error(
        "rapidpro.{name}.url: plain http would show the token to the network; use https, or set dangerous_accept_http"
    )]
    PlainHttp { name: String },
    #[error("rapidpro.{name}: a token is missing; set MJUMBE__RAPIDPRO__{}__TOKEN or token_file", name.to_uppercase())]
    NoToken { name: String },
    #[error("rapidpro.{name}.{key}: cannot read {path}: {source}")]
    File { name: String, key: &'static str, path: String, source: std::io::Error },
    #[error("rapidpro.{name}.{key}: {source}")]
    Http { name: String, key: &'static str, source: reqwest::Error },
}

/// One request.
#[derive(Debug, Clone, Copy)]
pub struct Call<'a> {
    pub method: Method,
    /// `contacts`, `contact_actions`, `runs` … without `.json`.
    pub endpoint: &'a str,
    pub query: &'a [(&'a str, &'a str)],
    pub body: Option<&'a Value>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Method {
    Get,
    Post,
    Delete,
}

/// One page of a list.
#[derive(Debug, Clone, PartialEq)]
pub struct Page {
    pub results: Vec<Value>,
    /// The query of the next page, to be given to [`Client::page`] as it is.
    pub next: Option<String>,
}

/// A workspace, spoken to with one token.
pub struct Client {
    name: String,
    http: reqwest::Client,
    base: Url,
    token: SecretString,
    budget: Budget,
}

impl std::fmt::Debug for Client {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("rapidpro::Client").field("name", &self.name).finish_non_exhaustive()
    }
}

impl Client {
    /// A client for the workspace `[rapidpro.NAME]`.
    ///
    /// # Errors
    /// [`SettingsError`], with the key and what to do.
    pub fn new(name: &str, settings: &config::RapidPro) -> Result<Self, SettingsError> {
        let base = base(name, settings)?;
        Ok(Self {
            name: name.to_owned(),
            http: http(name, settings, &base)?,
            token: token(name, settings)?,
            budget: Budget::new(settings.budget_per_hour.unwrap_or(DEFAULT_BUDGET_PER_HOUR)),
            base,
        })
    }

    /// The name in the configuration.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The workspace's address without a slash at its end: identifiers and canonicals begin with it.
    pub fn url(&self) -> &str {
        self.base.as_str().trim_end_matches('/')
    }

    /// One page of a list. `query` is already encoded: from [`encode`], or from [`Page::next`].
    ///
    /// # Errors
    /// [`Fault`].
    pub async fn page(&self, endpoint: &str, query: &str) -> Result<Page, Fault> {
        let (answer, _) = self.send(Method::Get, endpoint, query, None).await;
        page_of(&answer?)
    }

    /// # Errors
    /// [`Fault`].
    pub async fn get(&self, endpoint: &str, query: &[(&str, &str)]) -> Result<Value, Fault> {
        self.exchange(&Call { method: Method::Get, endpoint, query, body: None }).await.0
    }

    /// One request and its protocol, without the token.
    pub async fn exchange(&self, call: &Call<'_>) -> (Result<Value, Fault>, Exchange) {
        self.send(call.method, call.endpoint, &encode(call.query), call.body).await
    }

    async fn send(
        &self,
        method: Method,
        endpoint: &str,
        query: &str,
        body: Option<&Value>,
    ) -> (Result<Value, Fault>, Exchange) {
        let begun = Instant::now();
        let mut url = self.base.clone();
        // Without the suffix a list answers `[]` with 200.
        url.set_path(&format!("{}/api/v2/{endpoint}.json", self.base.path().trim_end_matches('/')));
        url.set_query((!query.is_empty()).then_some(query));
        let mut exchange = exchange_of(method, &url, body);
        let scope = Scope::of(endpoint);
        if let Err(wait) = self.budget.take(scope, begun) {
            return (Err(fault::over_budget(wait)), exchange);
        }
        let effect = if method == Method::Get { Effect::Read } else { Effect::Write };
        let answer = self.answer(self.request(method, url, body), effect).await;
        exchange.elapsed_ms = u64::try_from(begun.elapsed().as_millis()).unwrap_or(u64::MAX);
        let result = answer.and_then(|answer| answer.read(effect, &mut exchange));
        if let Err(fault) = &result
            && let Some(wait) = fault.retry_after
        {
            self.budget.silence(scope, Instant::now(), wait);
        }
        (result, exchange)
    }

    fn request(&self, method: Method, url: Url, body: Option<&Value>) -> reqwest::RequestBuilder {
        let method = match method {
            Method::Get => reqwest::Method::GET,
            Method::Post => reqwest::Method::POST,
            Method::Delete => reqwest::Method::DELETE,
        };
        let mut token =
            reqwest::header::HeaderValue::from_str(&format!("Token {}", self.token.expose_secret()))
                .unwrap_or_else(|_| reqwest::header::HeaderValue::from_static("Token"));
        token.set_sensitive(true);
        let request = self.http.request(method, url).header(reqwest::header::AUTHORIZATION, token);
        match body {
            Some(body) => request.json(body),
            None => request,
        }
    }

    async fn answer(&self, request: reqwest::RequestBuilder, effect: Effect) -> Result<Answer, Fault> {
        let mut response = request.send().await.map_err(|error| unanswered(&error, effect))?;
        let status = response.status().as_u16();
        let retry_after = response
            .headers()
            .get(reqwest::header::RETRY_AFTER)
            .and_then(|value| value.to_str().ok())
            .map(str::to_owned);
        let mut body = Vec::new();
        while let Some(chunk) = response.chunk().await.map_err(|error| unanswered(&error, effect))? {
            if body.len() + chunk.len() > RESPONSE_LIMIT_BYTES {
                return Err(fault::silent(
                    "rapidpro-answer-too-large",
                    format!("the answer is larger than {} MiB", RESPONSE_LIMIT_BYTES / 1024 / 1024),
                    effect == Effect::Write,
                ));
            }
            body.extend_from_slice(&chunk);
        }
        Ok(Answer { status, retry_after, body })
    }
}

struct Answer {
    status: u16,
    retry_after: Option<String>,
    body: Vec<u8>,
}

impl Answer {
    fn read(self, effect: Effect, exchange: &mut Exchange) -> Result<Value, Fault> {
        exchange.status = Some(self.status);
        let kept = self.body.get(..KEPT_BYTES).unwrap_or(&self.body);
        exchange.response = String::from_utf8_lossy(kept).into_owned();
        if !(200..300).contains(&self.status) {
            return Err(fault::read(self.status, self.retry_after.as_deref(), &self.body, effect));
        }
        if self.body.is_empty() {
            return Ok(Value::Null);
        }
        serde_json::from_slice(&self.body).map_err(|_| {
            fault::silent("rapidpro-answer-unreadable", "the answer is not JSON", effect == Effect::Write)
        })
    }
}

/// Query parameters in the encoding that RapidPro reads: an unencoded `+` would become a space.
pub fn encode(query: &[(&str, &str)]) -> String {
    let mut encoded = url::form_urlencoded::Serializer::new(String::new());
    encoded.extend_pairs(query);
    encoded.finish()
}

/// A time as RapidPro reads it in `after`: UTC with `Z`. With an offset, or unparsable, RapidPro answers
/// an empty list with 200.
pub fn utc(time: jiff::Timestamp) -> String {
    format!("{time:.6}")
}

fn page_of(answer: &Value) -> Result<Page, Fault> {
    let Some(results) = answer.get("results").and_then(Value::as_array) else {
        return Err(fault::silent("rapidpro-answer-unreadable", "the answer is not a page of a list", false));
    };
    // `next` is absolute and built from what RapidPro believes its host to be: only its query counts.
    let next = answer.get("next").and_then(Value::as_str).and_then(|next| next.split_once('?'));
    Ok(Page { results: results.clone(), next: next.map(|(_, query)| query.to_owned()) })
}

fn unanswered(error: &reqwest::Error, effect: Effect) -> Fault {
    let write = effect == Effect::Write;
    if error.is_connect() {
        fault::silent("rapidpro-unreachable", "no connection to RapidPro", false)
    } else if error.is_timeout() {
        fault::silent("rapidpro-timeout", "RapidPro did not answer in time", write)
    } else {
        fault::silent(
            "rapidpro-connection-lost",
            "the connection broke before the answer was complete",
            write,
        )
    }
}

fn exchange_of(method: Method, url: &Url, body: Option<&Value>) -> Exchange {
    let method = match method {
        Method::Get => "GET",
        Method::Post => "POST",
        Method::Delete => "DELETE",
    };
    let query = url.query().map(|query| format!("?{query}")).unwrap_or_default();
    Exchange {
        method: method.to_owned(),
        path: format!("{}{query}", url.path()),
        status: None,
        request: body.map(Value::to_string).unwrap_or_default(),
        response: String::new(),
        elapsed_ms: 0,
    }
}

fn base(name: &str, settings: &config::RapidPro) -> Result<Url, SettingsError> {
    let wrong = || SettingsError::Url { name: name.to_owned(), url: settings.url.clone() };
    let text = settings.url.trim().trim_end_matches('/').trim_end_matches("/api/v2");
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

fn token(name: &str, settings: &config::RapidPro) -> Result<SecretString, SettingsError> {
    let text = match (&settings.token, &settings.token_file) {
        (Some(token), _) => token.expose_secret().to_owned(),
        (None, Some(path)) => String::from_utf8_lossy(&file(name, "token_file", path)?).into_owned(),
        (None, None) => String::new(),
    };
    match text.trim() {
        "" => Err(SettingsError::NoToken { name: name.to_owned() }),
        token => Ok(SecretString::from(token.to_owned())),
    }
}

fn file(name: &str, key: &'static str, path: &Path) -> Result<Vec<u8>, SettingsError> {
    std::fs::read(path).map_err(|source| SettingsError::File {
        name: name.to_owned(),
        key,
        path: path.display().to_string(),
        source,
    })
}

fn http(name: &str, settings: &config::RapidPro, base: &Url) -> Result<reqwest::Client, SettingsError> {
    // Someone else may have installed a provider already; both are ring.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let wrong = |key: &'static str| {
        move |source: reqwest::Error| SettingsError::Http { name: name.to_owned(), key, source }
    };
    let mut builder = reqwest::Client::builder()
        .user_agent(concat!("Mjumbe/", env!("CARGO_PKG_VERSION")))
        .redirect(reqwest::redirect::Policy::none())
        .connect_timeout(CONNECT_TIMEOUT)
        .read_timeout(READ_TIMEOUT)
        .timeout(TOTAL_TIMEOUT)
        .no_proxy();
    if let Some(path) = &settings.ca_file {
        let pem = file(name, "ca_file", path)?;
        builder =
            builder.tls_certs_merge(reqwest::Certificate::from_pem_bundle(&pem).map_err(wrong("ca_file"))?);
    } else if base.scheme() == "http" {
        // Certificates play no part: do not depend on the machine having any.
        builder = builder.tls_certs_only([]);
    }
    if let Some(proxy) = &settings.proxy {
        builder = builder.proxy(reqwest::Proxy::all(proxy).map_err(wrong("proxy"))?);
    }
    builder.build().map_err(wrong("url"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn only_the_query_of_the_next_page_counts() {
        let answer = json!({"next": "http://internal:8000/api/v2/runs.json?cursor=bz0xJnA9&reverse=true",
            "previous": null, "results": [1]});
        let page = page_of(&answer).unwrap();
        assert_eq!(page.next.as_deref(), Some("cursor=bz0xJnA9&reverse=true"));
        assert_eq!(page_of(&json!({"next": null, "results": []})).unwrap().next, None);
        assert_eq!(page_of(&json!([])).unwrap_err().code, "rapidpro-answer-unreadable");
    }

    #[test]
    fn times_and_plus_signs_survive_a_query() {
        let time: jiff::Timestamp = "2026-11-20T23:42:24+02:00".parse().unwrap();
        assert_eq!(utc(time), "2026-11-20T21:42:24.000000Z");
        assert_eq!(encode(&[("urn", "tel:+250788")]), "urn=tel%3A%2B250788");
    }
}
