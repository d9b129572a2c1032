//! Speaks RapidPro's API v2.
//!
//! **Never** follows a redirect (the token would travel), never sends the token over plain HTTP to
//! another machine, and never waits for its budget: it says how long to wait. Each request has a
//! connect and a read timeout, and answers are read up to a limit after decompression.

use std::path::Path;
use std::time::{Duration, Instant};

use reqwest::header::{HeaderMap, RETRY_AFTER};
use secrecy::{ExposeSecret, SecretString};
use serde_json::Value;
use url::Url;

use crate::config;
use crate::delivery::destination::Exchange;
use crate::outbound::answer::{self, Answer, Broken};
use crate::outbound::{self, Patience, Route};

// How many requests an hour.
pub mod budget;
// The table that reads failures.
pub mod fault;
// Whether it answers at all.
mod probe;

use budget::{Budget, Scope};
use fault::{Effect, Fault};

/// Without a byte for that long the answer is given up. RapidPro's own workers are killed after 30 s.
const READ_TIMEOUT: Duration = Duration::from_secs(30);
/// Shorter than half a lease, so that a request begun in its first half ends within it.
pub(super) const TOTAL_TIMEOUT: Duration = Duration::from_secs(55);
const DEFAULT_BUDGET_PER_HOUR: u32 = 2_000;

/// Why a workspace's settings cannot be used; told at start.
#[derive(Debug, thiserror::Error)]
pub enum SettingsError {
    #[error("rapidpro.{name}.{source}")]
    Route { name: String, source: outbound::Error },
    #[error("rapidpro.{name}: a token is missing; set MJUMBE__RAPIDPRO__{}__TOKEN or token_file", name.to_uppercase())]
    NoToken { name: String },
    #[error("rapidpro.{name}.{key}: cannot read {path}: {source}")]
    File { name: String, key: &'static str, path: String, source: std::io::Error },
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
        let wrong = |source| SettingsError::Route { name: name.to_owned(), source };
        let accepts_http = settings.dangerous_accept_http.into();
        let base = outbound::base(&settings.url, "/api/v2", accepts_http).map_err(wrong)?;
        let route = Route {
            base: &base,
            ca_file: settings.ca_file.as_deref(),
            proxy: settings.proxy.as_deref(),
            patience: Patience { silence: Some(READ_TIMEOUT), total: Some(TOTAL_TIMEOUT) },
        };
        Ok(Self {
            name: name.to_owned(),
            http: outbound::client(&route, HeaderMap::new()).map_err(wrong)?,
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
        self.page_exchange(endpoint, query).await.0
    }

    /// [`Client::page`] with its protocol.
    pub async fn page_exchange(&self, endpoint: &str, query: &str) -> (Result<Page, Fault>, Exchange) {
        let (answer, exchange) = self.send(Method::Get, endpoint, query, None).await;
        (answer.and_then(|answer| page_of(&answer)), exchange)
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
        let result = answer.and_then(|answer| read(&answer, effect, &mut exchange));
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
        answer::ask(request).await.map_err(|broken| unanswered(broken, effect))
    }
}

fn read(answer: &Answer, effect: Effect, exchange: &mut Exchange) -> Result<Value, Fault> {
    exchange.status = Some(answer.status);
    exchange.response = answer::kept(&answer.text());
    if !(200..300).contains(&answer.status) {
        let retry_after = answer.header(RETRY_AFTER.as_str());
        return Err(fault::read(answer.status, retry_after, &answer.body, effect));
    }
    if answer.body.is_empty() {
        return Ok(Value::Null);
    }
    serde_json::from_slice(&answer.body).map_err(|_| {
        fault::silent("rapidpro-answer-unreadable", "the answer is not JSON", effect == Effect::Write)
    })
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

fn unanswered(broken: Broken, effect: Effect) -> Fault {
    let write = effect == Effect::Write;
    match broken {
        Broken::Unreachable => fault::silent("rapidpro-unreachable", "no connection to RapidPro", false),
        Broken::Timeout => fault::silent("rapidpro-timeout", "RapidPro did not answer in time", write),
        Broken::Lost => {
            let message = "the connection broke before the answer was complete";
            fault::silent("rapidpro-connection-lost", message, write)
        }
        Broken::TooLarge => {
            fault::silent("rapidpro-answer-too-large", "the answer is larger than 64 MiB", write)
        }
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
