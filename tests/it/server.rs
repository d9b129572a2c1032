//! A Mjumbe server for tests, on a free port of loopback, with a token; on SQLite and PostgreSQL.

use std::time::Duration;

use mjumbe::auth::scope::Scopes;
use mjumbe::auth::token::{self, Grant};
use mjumbe::config::Config;
use mjumbe::fhir::client::Profile;
use mjumbe::server;
use mjumbe::store::Store;
use reqwest::{Method, RequestBuilder, StatusCode};
use serde_json::Value;
use tokio_util::sync::CancellationToken;

/// A running server and a client that has a token.
pub struct TestServer {
    pub store: Store,
    /// `http://127.0.0.1:PORT`
    pub url: String,
    /// A token that may do everything.
    pub token: String,
    pub client: reqwest::Client,
    running: server::Running,
}

const IDLE: Duration = Duration::from_secs(10);

/// An answer, read.
#[derive(Debug)]
pub struct Answered {
    pub status: StatusCode,
    pub headers: reqwest::header::HeaderMap,
    /// Null where the body is empty.
    pub body: Value,
}

impl TestServer {
    /// Starts with the built-in configuration.
    pub async fn start(store: Store) -> Self {
        Self::start_with(store, Config::default()).await
    }

    /// Starts with another configuration; its address is replaced.
    pub async fn start_with(store: Store, mut config: Config) -> Self {
        let _ = rustls::crypto::ring::default_provider().install_default();
        config.server.listen = ([127, 0, 0, 1], 0).into();
        // No mapping acts unless a test brings its own.
        let name = format!("test-{}", uuid::Uuid::new_v4());
        let token = token::create(&store, "default", &name, &Scopes::everything()).await.unwrap();
        let running = server::start(&config, store.clone(), CancellationToken::new()).await.unwrap();
        let url = format!("http://{}", running.address);
        // The server closes what is idle for longer; a client that does not know would send to a closed connection.
        let client = reqwest::Client::builder().gzip(false).pool_idle_timeout(IDLE).build().unwrap();
        Self { store, url, token, client, running }
    }

    /// A token with these scopes.
    pub async fn token(&self, name: &str, scope: &str) -> String {
        let scopes = Scopes::parse(scope, |_| true).unwrap();
        token::create(&self.store, "default", name, &scopes).await.unwrap()
    }

    /// From here on the requests are those of a client with this profile.
    pub async fn become_client(&mut self, profile: Profile) {
        let grant = Grant::to(profile, Scopes::everything());
        self.token = token::create(&self.store, "default", profile.name(), grant).await.unwrap();
    }

    /// A request below `/fhir` with the token.
    pub fn request(&self, method: Method, path: &str) -> RequestBuilder {
        let url = format!("{}/fhir/{path}", self.url);
        self.client.request(method, url).bearer_auth(&self.token)
    }

    pub async fn get(&self, path: &str) -> Answered {
        answered(self.request(Method::GET, path)).await
    }

    pub async fn post(&self, path: &str, body: &Value) -> Answered {
        answered(self.with_body(Method::POST, path, body)).await
    }

    pub async fn put(&self, path: &str, body: &Value) -> Answered {
        answered(self.with_body(Method::PUT, path, body)).await
    }

    pub async fn delete(&self, path: &str) -> Answered {
        answered(self.request(Method::DELETE, path)).await
    }

    /// A request with a body of FHIR JSON.
    pub fn with_body(&self, method: Method, path: &str, body: &Value) -> RequestBuilder {
        self.request(method, path).header("content-type", "application/fhir+json").body(body.to_string())
    }

    /// Follows `next` from `path` to the end and gives the ids of the matches.
    pub async fn ids(&self, path: &str) -> Vec<String> {
        let mut ids = Vec::new();
        let mut next = Some(format!("{}/fhir/{path}", self.url));
        while let Some(url) = next {
            let page = answered(self.client.get(&url).bearer_auth(&self.token)).await;
            assert_eq!(page.status, 200, "{url}: {}", page.body);
            ids.extend(
                page.entries("match").iter().filter_map(|found| Some(found["id"].as_str()?.to_owned())),
            );
            next = page.link("next");
            assert!(ids.len() < 100_000, "paging does not end");
        }
        ids
    }

    /// Reads the mapping files again, as SIGHUP does.
    pub async fn reload(&self) -> Result<usize, server::Error> {
        self.running.reload.reload().await
    }

    /// Drains and ends.
    pub async fn stop(self) {
        self.running.stop().await;
    }
}

/// Sends a request and reads all of its answer.
pub async fn answered(request: RequestBuilder) -> Answered {
    let response = request.send().await.unwrap();
    let (status, headers) = (response.status(), response.headers().clone());
    let text = response.text().await.unwrap();
    let body =
        if text.is_empty() { Value::Null } else { serde_json::from_str(&text).unwrap_or(Value::from(text)) };
    Answered { status, headers, body }
}

impl Answered {
    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }

    /// The resources of a searchset's entries of this mode.
    pub fn entries(&self, mode: &str) -> Vec<Value> {
        let entries = self.body["entry"].as_array().cloned().unwrap_or_default();
        entries
            .into_iter()
            .filter(|entry| entry["search"]["mode"] == mode)
            .map(|entry| entry["resource"].clone())
            .collect()
    }

    pub fn link(&self, relation: &str) -> Option<String> {
        let links = self.body["link"].as_array()?;
        let link = links.iter().find(|link| link["relation"] == relation)?;
        Some(link["url"].as_str()?.to_owned())
    }

    /// The stable code of an OperationOutcome's first issue.
    pub fn code(&self) -> &str {
        self.body["issue"][0]["details"]["coding"][0]["code"].as_str().unwrap_or_default()
    }

    /// Asserts a refusal: status, an OperationOutcome, and its stable code.
    #[track_caller]
    pub fn refused(&self, status: u16, code: &str) {
        assert_eq!((self.status.as_u16(), self.code()), (status, code), "{}", self.body);
        assert_eq!(self.body["resourceType"], "OperationOutcome");
    }
}
