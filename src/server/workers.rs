//! The workers of one tenant: mapper, senders, pollers, metadata.
//!
//! Made from the configuration before anything starts, so that what does not fit is refused at start; then
//! kept running by the supervisor.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use super::mappings;
use super::reload::{self, Files, Mapped};
use super::start::Error;
use super::supervisor::Supervisor;
use crate::config::{Config, Dhis2, RapidPro};
use crate::delivery::destination::Destination;
use crate::delivery::gauges;
use crate::delivery::mapper::Mapper;
use crate::delivery::sender::{Sender, owner_name};
use crate::delivery::signal::Signals;
use crate::endpoint;
use crate::fhir_out::here::Here;
use crate::fhir_out::server::FhirServer;
use crate::http_out::endpoint::Endpoint;
use crate::rapidpro::act::others::StoredOthers;
use crate::rapidpro::contact::owners::StoredLinks;
use crate::rapidpro::destination::{self, Workspace};
use crate::rapidpro::poll::{self, Hints, Poller};
use crate::store::Store;
use crate::{dhis2, rapidpro};

/// What the workers of one tenant share.
pub struct Crew<'a> {
    pub config: &'a Config,
    pub store: &'a Store,
    pub signals: &'a Signals,
    pub tenant: &'a str,
    pub zone: jiff::tz::TimeZone,
    /// This tenant's FHIR base.
    pub base: String,
}

impl Crew<'_> {
    /// Starts every worker of the tenant; gives what wakes its pollers, by workspace, and its mappings.
    ///
    /// # Errors
    /// Mapping files or destinations that do not fit; the store.
    pub async fn start(
        &self,
        supervisor: &Supervisor,
    ) -> Result<(BTreeMap<String, Hints>, Option<Mapped>), Error> {
        let mut hints = BTreeMap::new();
        let mapped = self.mapped().await?;
        let mut senders = Vec::new();
        for (name, settings) in self.workspaces() {
            let client = rapidpro::client::Client::new(name, settings)
                .map_err(|error| Error::Destination { reason: error.to_string() })?;
            let client = Arc::new(client);
            senders.push(self.rapidpro_sender(name, &client));
            hints.insert(name.clone(), self.keep_poller(supervisor, settings, &client));
        }
        for (name, settings) in self.instances() {
            senders.push(self.dhis2_sender(supervisor, name, settings).await?);
        }
        senders.extend(self.other_senders()?);
        let here = Here::new(self.store.clone(), self.tenant, self.zone.clone());
        senders.push(self.sender(Arc::new(here)));
        for sender in senders {
            supervisor.keep(format!("{}/{}", self.tenant, sender.key()), move |stop: CancellationToken| {
                let sender = sender.clone();
                async move {
                    sender.run(stop).await;
                    Ok::<(), Infallible>(())
                }
            });
        }
        let (db, tenant) = (self.store.db().clone(), self.tenant.to_owned());
        supervisor.keep(format!("{}/gauges", self.tenant), move |stop: CancellationToken| {
            let (db, tenant) = (db.clone(), tenant.clone());
            async move {
                gauges::run(db, &tenant, stop).await;
                Ok::<(), Infallible>(())
            }
        });
        if let Some(mapper) = mapped.as_ref().map(|mapped| mapped.mapper.clone()) {
            supervisor.keep(format!("{}/mapper", self.tenant), move |stop: CancellationToken| {
                let mapper = mapper.clone();
                async move {
                    mapper.run(stop).await;
                    Ok::<(), Infallible>(())
                }
            });
        }
        Ok((hints, mapped))
    }

    fn workspaces(&self) -> impl Iterator<Item = (&String, &RapidPro)> {
        self.config.workspaces_of(self.tenant)
    }

    fn instances(&self) -> impl Iterator<Item = (&String, &Dhis2)> {
        self.config.instances_of(self.tenant)
    }

    /// `None` where the mappings send to what is not configured at all.
    async fn mapped(&self) -> Result<Option<Mapped>, Error> {
        let files = Files::of(self.config, self.store, self.tenant, self.zone.clone()).await?;
        let evaluators = match files.load() {
            Err(Error::Mappings { diagnostics })
                if !mappings::is_any_outside(&files.destinations)
                    && diagnostics.iter().all(|told| told.code == "no-destination") =>
            {
                tracing::info!(tenant = self.tenant, "no destinations are configured: nothing is mapped");
                return Ok(None);
            }
            loaded => loaded?,
        };
        tracing::info!(tenant = self.tenant, mappings = evaluators.len(), "mappings are loaded");
        let around = reload::surroundings(self.config, (self.tenant, &self.base), self.zone.clone());
        let (db, owner) = (self.store.db().clone(), owner_name(self.store.db().engine()));
        let mapper = Mapper::start(db, &owner, around, evaluators, self.signals.clone()).await?;
        Ok(Some(Mapped { files, mapper }))
    }

    /// Those of other FHIR servers and of HTTP endpoints.
    fn other_senders(&self) -> Result<Vec<Sender>, Error> {
        let unusable = |error: endpoint::SettingsError| Error::Destination { reason: error.to_string() };
        let mut senders = Vec::new();
        for (name, settings) in self.config.fhir_servers_of(self.tenant) {
            let client = Arc::new(endpoint::Client::new("fhir", name, settings).map_err(unusable)?);
            senders.push(self.sender(Arc::new(FhirServer::new(client, settings.budget_per_hour))));
        }
        for (name, settings) in self.config.endpoints_of(self.tenant) {
            let client = Arc::new(endpoint::Client::new("http", name, settings).map_err(unusable)?);
            senders.push(self.sender(Arc::new(Endpoint::new(client, settings))));
        }
        Ok(senders)
    }

    fn rapidpro_sender(&self, name: &str, client: &Arc<rapidpro::client::Client>) -> Sender {
        let (store, tenant, workspace) = (self.store.clone(), self.tenant.to_owned(), name.to_owned());
        let languages = self.config.tenant.get(self.tenant).map(|tenant| tenant.languages.clone());
        let around = destination::Surroundings {
            links: Arc::new(StoredLinks {
                store: store.clone(),
                tenant: tenant.clone(),
                workspace: workspace.clone(),
            }),
            others: Arc::new(StoredOthers { store, tenant, workspace }),
            languages: languages.unwrap_or_default(),
        };
        self.sender(Arc::new(Workspace::new(Arc::clone(client), around)))
    }

    fn sender(&self, destination: Arc<dyn Destination>) -> Sender {
        let (db, owner) = (self.store.db().clone(), owner_name(self.store.db().engine()));
        Sender::new(db, (self.tenant, &owner), destination, self.signals.clone()).in_zone(self.zone.clone())
    }

    fn keep_poller(
        &self,
        supervisor: &Supervisor,
        settings: &RapidPro,
        client: &Arc<rapidpro::client::Client>,
    ) -> Hints {
        let hints = Hints::default();
        let (store, client, woken) = (self.store.clone(), Arc::clone(client), hints.clone());
        let settings = poll::Settings {
            tenant: self.tenant.to_owned(),
            zone: self.zone.clone(),
            interval: settings.poll_interval_s.map(Duration::from_secs),
        };
        let name = format!("{}/rapidpro.{}/poller", self.tenant, client.name());
        supervisor.keep(name, move |stop: CancellationToken| {
            let poller = Poller::new(Arc::clone(&client), store.clone(), settings.clone()).woken_by(&woken);
            async move {
                poller.run(stop).await;
                Ok::<(), Infallible>(())
            }
        });
        hints
    }

    async fn dhis2_sender(
        &self,
        supervisor: &Supervisor,
        name: &str,
        settings: &Dhis2,
    ) -> Result<Sender, Error> {
        let dhis2::Connected { destination, mirror } =
            dhis2::connect(name, settings, self.store, self.tenant)
                .map_err(|error| Error::Destination { reason: error.to_string() })?;
        if let Err(failure) = mirror.load().await {
            return Err(Error::Destination { reason: failure.reason.message });
        }
        let registry = mappings::registry();
        let destinations = mappings::destinations(self.config, self.tenant);
        let folder = mappings::folder(self.config, self.tenant);
        let loaded = mappings::load(&folder, &registry, Some(&destinations))?;
        mirror.want(&super::metadata::named_at(&loaded.programs, &registry, name));
        let worker = format!("{}/dhis2.{name}/metadata", self.tenant);
        supervisor.keep(worker, move |stop: CancellationToken| {
            let mirror = Arc::clone(&mirror);
            async move {
                mirror.run(stop).await;
                Ok::<(), Infallible>(())
            }
        });
        Ok(self.sender(destination))
    }
}
