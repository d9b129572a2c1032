//! The typed configuration tree: `mjumbe.toml`, overridden by `MJUMBE__SECTION__KEY`.
//!
//! Unknown keys, missing secrets and contradictions are refused at start, with key, value and remedy
//! ([`problem::Problem`]). **Never** prints the value of a secret. Data comes from one file and from the
//! environment, and leaves as a [`Config`] that the other rooms need not check again.

// What does not fit together.
mod check;
// The same of `[auth.jwt.NAME]`.
mod identity;
// The same of `[auth.gateway.NAME]`.
mod gateway;
// The same of `[fhir.NAME]` and `[http.NAME]`.
mod endpoint;
// The environment's part: names to keys.
mod environment;
// From file and environment to a checked [`Config`].
mod load;
// What is wrong with a configuration, for a person.
pub mod problem;

pub use gateway::network;
pub use identity::PROFILES;
pub use load::load;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;

use secrecy::SecretString;
use serde::Deserialize;

/// The whole configuration, checked.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    pub server: Server,
    pub store: Store,
    /// Where mapping files are: `./mappings`.
    pub mappings: PathBuf,
    /// A folder of StructureDefinitions, ValueSets and CodeSystems that are enforced for resources that claim them.
    pub profiles: Option<PathBuf>,
    pub rapidpro: BTreeMap<String, RapidPro>,
    pub dhis2: BTreeMap<String, Dhis2>,
    /// Other FHIR servers, for `fhir.resource`.
    pub fhir: BTreeMap<String, Endpoint>,
    /// HTTP endpoints, for `http.post`.
    pub http: BTreeMap<String, Endpoint>,
    /// `default` is always there.
    pub tenant: BTreeMap<String, Tenant>,
    pub auth: Auth,
    pub log: Log,
}

/// Who else than `mjumbe token` gives tokens.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Auth {
    /// Identity providers by a name of one's choice.
    pub jwt: BTreeMap<String, JwtIssuer>,
    /// Gateways in front, by a name of one's choice.
    pub gateway: BTreeMap<String, Gateway>,
}

/// A gateway in front that has asked who calls, and passes no token on: OpenSRP's.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Gateway {
    /// What connects from there needs no token: addresses and networks. Never `X-Forwarded-For`, which anybody can write.
    pub addresses: Vec<String>,
    /// What it may do: `system/*.cruds`.
    pub scopes: String,
    /// The profile whose ways are repaired.
    #[serde(default)]
    pub profile: Option<String>,
    /// Good there only: `default`.
    #[serde(default)]
    pub tenant: Option<String>,
}

/// An identity provider (a realm of Keycloak) whose JSON Web Tokens are taken.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct JwtIssuer {
    /// The tokens' `iss`, to the letter.
    pub issuer: String,
    /// One of these is in the tokens' `aud`.
    pub audience: Vec<String>,
    /// Where its keys are published.
    pub jwks_url: String,
    /// Its tokens are good there only: `default`.
    #[serde(default)]
    pub tenant: Option<String>,
    /// By client id (`azp`): the profile whose ways are repaired.
    #[serde(default)]
    pub profiles: BTreeMap<String, String>,
    /// How far clocks may differ: 60 seconds, at most 300.
    #[serde(default)]
    pub leeway_s: Option<u64>,
    /// Keys are not asked for more often than that: 10.
    #[serde(default)]
    pub keys_pause_s: Option<u64>,
    /// How long known keys count while no new ones can be read: 86,400.
    #[serde(default)]
    pub keys_stale_s: Option<u64>,
    #[serde(default)]
    pub ca_file: Option<PathBuf>,
    #[serde(default)]
    pub proxy: Option<String>,
    #[serde(default)]
    pub dangerous_accept_http: bool,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Server {
    /// `127.0.0.1:8080`
    pub listen: SocketAddr,
    /// The address that clients see, without `/fhir`; from `listen` where it is not given.
    pub public_url: Option<String>,
    /// Accepts every request without a token; only while listening on loopback.
    pub dangerous_disable_auth: bool,
    /// Largest request body after decompression.
    pub body_limit_mb: u32,
    /// How long one request may take: 120.
    pub request_timeout_s: u64,
    /// Requests under way at once; what comes on top is answered 503 with Retry-After.
    pub concurrency: usize,
    /// How long requests under way may take to finish after SIGTERM: 30.
    pub drain_timeout_s: u64,
    /// The pages that may call from a browser: `*`, or origins such as `https://web.example.org`.
    pub cors_origins: Vec<String>,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Store {
    /// `sqlite://mjumbe.db` or `postgres://…`.
    pub url: SecretString,
    /// A file that holds the URL, so that a password is in neither the environment nor the configuration.
    pub url_file: Option<PathBuf>,
    pub connections: u32,
}

/// A RapidPro workspace.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RapidPro {
    pub url: String,
    /// One of the two is required. From the environment: `MJUMBE__RAPIDPRO__NAME__TOKEN`.
    pub token: Option<SecretString>,
    pub token_file: Option<PathBuf>,
    /// The secret that webhook callers send as `Authorization: Bearer …`; no webhooks without it.
    pub webhook_secret: Option<SecretString>,
    pub webhook_secret_file: Option<PathBuf>,
    #[serde(default)]
    pub tenant: Option<String>,
    #[serde(default)]
    pub ca_file: Option<PathBuf>,
    #[serde(default)]
    pub proxy: Option<String>,
    /// Requests an hour that we allow ourselves: 2,000.
    #[serde(default)]
    pub budget_per_hour: Option<u32>,
    /// 30
    #[serde(default)]
    pub poll_interval_s: Option<u64>,
    /// ISO 3166-1 alpha-2, for phone numbers without a country code.
    #[serde(default)]
    pub country: Option<String>,
    #[serde(default)]
    pub dangerous_accept_http: bool,
}

/// A DHIS2 instance.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Dhis2 {
    pub url: String,
    /// A personal access token, or `username` and a password.
    pub token: Option<SecretString>,
    pub token_file: Option<PathBuf>,
    pub username: Option<String>,
    pub password: Option<SecretString>,
    pub password_file: Option<PathBuf>,
    #[serde(default)]
    pub tenant: Option<String>,
    #[serde(default)]
    pub ca_file: Option<PathBuf>,
    #[serde(default)]
    pub proxy: Option<String>,
    #[serde(default)]
    pub budget_per_hour: Option<u32>,
    /// How often metadata is read again: 3600.
    #[serde(default)]
    pub metadata_interval_s: Option<u64>,
    #[serde(default)]
    pub dangerous_accept_http: bool,
}

/// Another FHIR server, or an HTTP endpoint: `[fhir.NAME]`, `[http.NAME]`.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Endpoint {
    pub url: String,
    /// A bearer token, or `username` and a password, or neither.
    #[serde(default)]
    pub token: Option<SecretString>,
    #[serde(default)]
    pub token_file: Option<PathBuf>,
    #[serde(default)]
    pub username: Option<String>,
    #[serde(default)]
    pub password: Option<SecretString>,
    #[serde(default)]
    pub password_file: Option<PathBuf>,
    /// Further headers of every request by their names, which may be secrets.
    #[serde(default)]
    pub headers: BTreeMap<String, SecretString>,
    /// The same, read from files.
    #[serde(default)]
    pub header_files: BTreeMap<String, PathBuf>,
    #[serde(default)]
    pub tenant: Option<String>,
    #[serde(default)]
    pub ca_file: Option<PathBuf>,
    #[serde(default)]
    pub proxy: Option<String>,
    /// Requests an hour; no limit where it is left out.
    #[serde(default)]
    pub budget_per_hour: Option<u32>,
    #[serde(default)]
    pub dangerous_accept_http: bool,
    /// Of `[http.NAME]`: it does a request only once that comes twice with the same `Idempotency-Key`.
    #[serde(default)]
    pub idempotent: Option<bool>,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Tenant {
    /// IANA name: `Africa/Kigali`. Dates without a zone and periods are in it.
    pub timezone: String,
    /// The languages that messages may have, ISO 639-3: a message without a text in its reader's own is sent in
    /// the first of these that it has.
    pub languages: Vec<String>,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Log {
    /// `text` or `json`
    pub format: String,
    /// A filter such as `info` or `mjumbe=debug`.
    pub level: String,
}

impl Config {
    /// A tenant's RapidPro workspaces, by name.
    pub fn workspaces_of(&self, tenant: &str) -> impl Iterator<Item = (&String, &RapidPro)> {
        let own = move |named: Option<&str>| named.unwrap_or("default") == tenant;
        self.rapidpro.iter().filter(move |(_, settings)| own(settings.tenant.as_deref()))
    }

    /// A tenant's DHIS2 instances, by name.
    pub fn instances_of(&self, tenant: &str) -> impl Iterator<Item = (&String, &Dhis2)> {
        let own = move |named: Option<&str>| named.unwrap_or("default") == tenant;
        self.dhis2.iter().filter(move |(_, settings)| own(settings.tenant.as_deref()))
    }

    /// A tenant's other FHIR servers, by name.
    pub fn fhir_servers_of(&self, tenant: &str) -> impl Iterator<Item = (&String, &Endpoint)> {
        let own = move |named: Option<&str>| named.unwrap_or("default") == tenant;
        self.fhir.iter().filter(move |(_, settings)| own(settings.tenant.as_deref()))
    }

    /// A tenant's HTTP endpoints, by name.
    pub fn endpoints_of(&self, tenant: &str) -> impl Iterator<Item = (&String, &Endpoint)> {
        let own = move |named: Option<&str>| named.unwrap_or("default") == tenant;
        self.http.iter().filter(move |(_, settings)| own(settings.tenant.as_deref()))
    }
}

impl Default for Config {
    fn default() -> Self {
        Self {
            server: Server::default(),
            store: Store::default(),
            mappings: PathBuf::from("mappings"),
            profiles: None,
            rapidpro: BTreeMap::new(),
            dhis2: BTreeMap::new(),
            fhir: BTreeMap::new(),
            http: BTreeMap::new(),
            tenant: BTreeMap::from([("default".to_owned(), Tenant::default())]),
            auth: Auth::default(),
            log: Log::default(),
        }
    }
}

impl Default for Server {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from(([127, 0, 0, 1], 8080)),
            public_url: None,
            dangerous_disable_auth: false,
            body_limit_mb: 64,
            request_timeout_s: 120,
            concurrency: 512,
            drain_timeout_s: 30,
            cors_origins: vec!["*".to_owned()],
        }
    }
}

impl Default for Store {
    fn default() -> Self {
        Self { url: SecretString::from("sqlite://mjumbe.db".to_owned()), url_file: None, connections: 8 }
    }
}

impl Default for Tenant {
    fn default() -> Self {
        Self { timezone: "UTC".to_owned(), languages: vec!["eng".to_owned()] }
    }
}

impl Default for Log {
    fn default() -> Self {
        Self { format: "text".to_owned(), level: "info".to_owned() }
    }
}
