//! From a configuration to a running server, and back.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use super::apart::Apart;
use super::app::{self, App, Tenant};
use super::fhir::capabilities::{Standard, Statements};
use super::parameters::OwnParameters;
use super::reload::{Mapped, Reload};
use super::shield::Shield;
use super::supervisor::{Readiness, Supervisor};
use super::webhook::Workspace;
use super::workers::Crew;
use super::{cors, listen, router};
use crate::auth::gateway::{self, Gateways};
use crate::auth::jwt::{self, Issuers};
use crate::config::Config;
use crate::delivery::signal::Signals;
use crate::fhir::capability::Support;
use crate::mapping::diagnostic::Diagnostic;
use crate::rapidpro::poll::Hints;
use crate::store::Store;
use crate::telemetry;

/// More connections than this wait in the kernel's queue.
const CONNECTIONS_MAX: usize = 4096;
/// How long a client may take to send a request's headers; also how long an idle connection is kept.
const HEADERS: Duration = Duration::from_secs(30);
const METRICS_UPKEEP: Duration = Duration::from_secs(10);

/// Why a server did not start.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("cannot listen on {address}: {reason}\n  hint: {hint}")]
    Listen { address: SocketAddr, reason: String, hint: &'static str },
    #[error("`{name}` is not a time zone")]
    Zone { name: String },
    #[error(transparent)]
    Folder(#[from] super::mappings::Error),
    #[error(transparent)]
    Profiles(#[from] super::profiles::Error),
    #[error("{} mistakes in mapping files [mappings]\n{}\n  hint: mjumbe check", diagnostics.len(), join(diagnostics))]
    Mappings { diagnostics: Vec<Diagnostic> },
    #[error(transparent)]
    Issuer(#[from] jwt::Error),
    #[error(transparent)]
    Gateway(#[from] gateway::Error),
    #[error("{reason}")]
    Destination { reason: String },
    #[error("{} [{}]\n  hint: {}", .0, .0.code(), .0.hint())]
    Store(#[from] crate::store::Error),
}

fn join(diagnostics: &[Diagnostic]) -> String {
    diagnostics.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n\n")
}

/// A server that runs.
#[derive(Debug)]
pub struct Running {
    /// Where it listens: the real port where 0 was asked for.
    pub address: SocketAddr,
    /// The address that clients see, without `/fhir`.
    pub public_url: String,
    pub readiness: Readiness,
    /// Reads the mapping files again.
    pub reload: Reload,
    stop: CancellationToken,
    ended: JoinHandle<()>,
}

impl Running {
    /// Takes no new requests, lets those under way and the workers finish, and waits for that.
    pub async fn stop(self) {
        self.stop.cancel();
        self.ended().await;
    }

    /// Waits until the server has ended, which it does when the token given to [`start`] is cancelled.
    pub async fn ended(self) {
        if let Err(error) = self.ended.await {
            tracing::error!(%error, "the server ended with a defect");
        }
    }
}

/// Listens and serves until `stop`; then drains.
///
/// # Errors
/// [`Error`], told for a person.
pub async fn start(config: &Config, store: Store, stop: CancellationToken) -> Result<Running, Error> {
    telemetry::metrics::init();
    let alone = store.serve_alone()?;
    let listener = bind(config.server.listen).await?;
    let address = listener.local_addr().map_err(|error| cannot_listen(config.server.listen, &error))?;
    let public_url = config.server.public_url.clone().unwrap_or_else(|| format!("http://{address}"));
    let supervisor = Supervisor::new(stop.clone());
    let signals = Signals::default();
    let tenants = tenants(config)?;
    let public_url = public_url.trim_end_matches('/').to_owned();
    let own = own_parameters(&store, &tenants, &supervisor).await?;
    let (hints, mapped) = workers(config, (&store, &signals), (&tenants, &public_url), &supervisor).await?;
    let cors = cors::layer(&config.server);
    let app = Arc::new(App {
        store,
        own,
        signals,
        public_url: public_url.clone(),
        tenants,
        standard: Standard::default(),
        workspaces: workspaces(config, hints),
        profiles: super::profiles::load(config.profiles.as_deref())?,
        issuers: Issuers::new(config)?,
        gateways: Gateways::new(config)?,
        auth_disabled: config.server.dangerous_disable_auth,
        cors: if cors.is_some() { Support::Built } else { Support::NotBuilt },
        body_limit: config.server.body_limit_mb as usize * 1024 * 1024,
        apart: Apart::default(),
        dressing: Apart::default(),
        readiness: supervisor.readiness.clone(),
        draining: stop.clone(),
    });
    supervisor.keep("metrics", keep_metrics);
    let shield = Shield::new(config.server.concurrency, Duration::from_secs(config.server.request_timeout_s));
    let router = router(Arc::clone(&app), (shield, cors));
    let drain = Duration::from_secs(config.server.drain_timeout_s);
    let limits = listen::Limits { connections: CONNECTIONS_MAX, headers: HEADERS, drain };
    let (readiness, stopped) = (app.readiness.clone(), stop.clone());
    let ended = tokio::spawn(async move {
        listen::serve(listener, router, limits, stopped).await;
        supervisor.drained(drain).await;
        app.store.close().await;
        drop(alone);
    });
    Ok(Running { address, public_url, readiness, reload: Reload::new(mapped), stop, ended })
}

async fn bind(address: SocketAddr) -> Result<TcpListener, Error> {
    TcpListener::bind(address).await.map_err(|error| cannot_listen(address, &error))
}

fn cannot_listen(address: SocketAddr, error: &std::io::Error) -> Error {
    let hint = match error.kind() {
        std::io::ErrorKind::AddrInUse => "another program listens there: stop it, or set server.listen",
        std::io::ErrorKind::PermissionDenied => "ports below 1024 need rights: listen on 8080",
        _ => "set server.listen to an address of this machine",
    };
    Error::Listen { address, reason: error.kind().to_string(), hint }
}

fn tenants(config: &Config) -> Result<BTreeMap<String, Tenant>, Error> {
    let tenants = config.tenant.iter().map(|(name, tenant)| {
        let zone = jiff::tz::TimeZone::get(&tenant.timezone)
            .map_err(|_| Error::Zone { name: tenant.timezone.clone() })?;
        Ok((name.clone(), Tenant { zone, statements: Statements::default() }))
    });
    tenants.collect()
}

/// Reads every tenant's own search parameters, and keeps them.
async fn own_parameters(
    store: &Store,
    tenants: &BTreeMap<String, Tenant>,
    supervisor: &Supervisor,
) -> Result<OwnParameters, Error> {
    let zones = tenants.iter().map(|(name, tenant)| (name.clone(), tenant.zone.clone()));
    let own = OwnParameters::new(store.clone(), zones);
    for name in tenants.keys() {
        own.refresh(name).await?;
        let (own, tenant) = (own.clone(), name.clone());
        supervisor.keep(format!("{name}/search-parameters"), move |stop: CancellationToken| {
            let (own, tenant) = (own.clone(), tenant.clone());
            async move { own.run(&tenant, stop).await }
        });
    }
    Ok(own)
}

/// Starts the workers of every tenant; gives what wakes the pollers, and the mappings.
async fn workers(
    config: &Config,
    (store, signals): (&Store, &Signals),
    (tenants, public_url): (&BTreeMap<String, Tenant>, &str),
    supervisor: &Supervisor,
) -> Result<(BTreeMap<String, Hints>, Vec<Mapped>), Error> {
    let (mut hints, mut all_mapped) = (BTreeMap::new(), Vec::new());
    for (tenant, settings) in tenants {
        let base = app::base(public_url, tenant);
        let zone = settings.zone.clone();
        let crew = Crew { config, store, signals, tenant, zone, base };
        let (woken, mapped) = crew.start(supervisor).await?;
        hints.extend(woken);
        all_mapped.extend(mapped);
    }
    Ok((hints, all_mapped))
}

fn workspaces(config: &Config, hints: BTreeMap<String, Hints>) -> BTreeMap<String, Workspace> {
    let workspaces = hints.into_iter().map(|(name, hints)| {
        let secret = config.rapidpro.get(&name).and_then(|settings| settings.webhook_secret.clone());
        let tenant = config.rapidpro.get(&name).and_then(|settings| settings.tenant.clone());
        let tenant = tenant.unwrap_or_else(|| "default".to_owned());
        (name, Workspace { secret, tenant, hints })
    });
    workspaces.collect()
}

/// Keeps the histograms' memory small.
async fn keep_metrics(stop: CancellationToken) -> Result<(), std::convert::Infallible> {
    while stop.run_until_cancelled(tokio::time::sleep(METRICS_UPKEEP)).await.is_some() {
        telemetry::metrics::upkeep();
    }
    Ok(())
}
