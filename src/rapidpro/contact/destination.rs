//! Sends contacts to a workspace.
//!
//! RapidPro takes one contact a request. A batch saves leases, not requests: what was done before a
//! fault stays done, the rest comes again.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use tokio::sync::MutexGuard;

use super::upsert::Upsert;
use crate::delivery::destination::{
    Destination, Failure, FailureKind, Limits, Outgoing, Reason, Sent, Settled, Verdict,
};
use crate::rapidpro::client::Client;
use crate::rapidpro::client::fault::{self, Fault, Kind};
use crate::rapidpro::mirror::CONTACT;
use crate::store::Store;
use crate::store::link::Link;

/// How long a wrong token is waited for before it is tried once more: a restarting RapidPro may refuse
/// right ones.
const SECOND_TRY: Duration = Duration::from_secs(2);
const CLAIMS_MAX: usize = 10_000;

/// Which resources are linked to a contact. The store knows.
#[async_trait]
pub trait Links: Send + Sync {
    /// `Type/id` of each resource that is linked to this contact of the destination.
    ///
    /// # Errors
    /// The store's failure, in words for a log.
    async fn linked(&self, contact: &str) -> Result<Vec<String>, String>;

    /// The contact that a resource (`Type/id`) is linked to.
    ///
    /// # Errors
    /// The store's failure, in words for a log.
    async fn contact(&self, resource: &str) -> Result<Option<String>, String>;
}

/// The links that the store holds.
#[derive(Debug, Clone)]
pub struct StoredLinks {
    pub store: Store,
    pub tenant: String,
    /// The workspace's name in the configuration.
    pub workspace: String,
}

#[async_trait]
impl Links for StoredLinks {
    async fn linked(&self, contact: &str) -> Result<Vec<String>, String> {
        let remotes = [contact.to_owned()];
        let found = self.store.links_to(&self.tenant, (&self.workspace, CONTACT), &remotes).await;
        let resource = |link: Link| format!("{}/{}", link.kind, link.id);
        found.map(|links| links.into_iter().map(resource).collect()).map_err(|error| error.to_string())
    }

    async fn contact(&self, resource: &str) -> Result<Option<String>, String> {
        let Some((kind, id)) = resource.split_once('/') else { return Ok(None) };
        let resources = [(kind.to_owned(), id.to_owned())];
        let found = self.store.links_of(&self.tenant, &self.workspace, &resources).await;
        let contact = |link: Link| (link.remote_kind == CONTACT).then_some(link.remote_id);
        found.map(|links| links.into_iter().find_map(contact)).map_err(|error| error.to_string())
    }
}

/// Who owns which contact: the links in the store, and those that this process is about to cause.
pub(super) struct Owners {
    links: Arc<dyn Links>,
    /// Contact → resource. A link is written when its delivery settles, which is after the next one may
    /// already look.
    claims: Mutex<HashMap<String, String>>,
    making: tokio::sync::Mutex<()>,
    /// How many contacts this process set out to make: who looked before a change of it looks again.
    made: AtomicU64,
}

impl Owners {
    /// Another resource that has this contact. Resources of different types may share one (a
    /// Practitioner and their PractitionerRole); a delivery without a link owns nothing.
    pub async fn foreign(&self, contact: &str, link: Option<&str>) -> Result<Option<String>, Fault> {
        let stored = self.links.linked(contact).await.map_err(|error| {
            tracing::warn!(error, "the links of a contact could not be read");
            fault::silent("store-unavailable", "the links of the contact could not be read", false)
        })?;
        let claimed = self.claims.lock().unwrap_or_else(PoisonError::into_inner).get(contact).cloned();
        let others = stored.into_iter().chain(claimed);
        let Some(link) = link else { return Ok(others.into_iter().next()) };
        let kind = |reference: &str| reference.split('/').next().unwrap_or_default().to_owned();
        Ok(others.into_iter().find(|other| other != link && kind(other) == kind(link)))
    }

    /// The contact that a resource is linked to.
    pub async fn contact(&self, resource: &str) -> Result<Option<String>, Fault> {
        self.links.contact(resource).await.map_err(|error| {
            tracing::warn!(error, "the links of a resource could not be read");
            fault::silent("store-unavailable", "the link of the resource could not be read", false)
        })
    }

    pub fn claim(&self, contact: &str, link: Option<&str>) {
        let Some(link) = link else { return };
        let mut claims = self.claims.lock().unwrap_or_else(PoisonError::into_inner);
        if claims.len() >= CLAIMS_MAX {
            claims.clear();
        }
        claims.insert(contact.to_owned(), link.to_owned());
    }

    pub fn made(&self) -> u64 {
        self.made.load(Ordering::SeqCst)
    }

    pub fn will_make(&self) {
        self.made.fetch_add(1, Ordering::SeqCst);
    }

    pub async fn making(&self) -> MutexGuard<'_, ()> {
        self.making.lock().await
    }
}

/// A workspace as the delivery engine sees it.
pub struct Workspace {
    client: Arc<Client>,
    owners: Owners,
}

impl Workspace {
    pub fn new(client: Arc<Client>, links: Arc<dyn Links>) -> Self {
        let owners = Owners {
            links,
            claims: Mutex::new(HashMap::new()),
            making: tokio::sync::Mutex::new(()),
            made: AtomicU64::new(0),
        };
        Self { client, owners }
    }

    async fn one(&self, outgoing: &Outgoing, deadline: Instant, sent: &mut Sent) -> Result<Settled, Fault> {
        let mut upsert =
            Upsert { client: &self.client, owners: &self.owners, deadline, exchanges: &mut sent.exchanges };
        upsert.run(outgoing).await
    }

    /// Credentials are suspected only after a second refusal and a probe that agrees.
    async fn suspected(&self, fault: &Fault) -> Failure {
        tokio::time::sleep(SECOND_TRY).await;
        match self.probe().await {
            Err(failure) if failure.kind == FailureKind::Unauthorised => failure,
            _ if fault.kind == Kind::Forbidden => fault.failure(),
            Err(failure) => failure,
            Ok(()) => Failure { kind: FailureKind::Unavailable, ..fault.failure() },
        }
    }
}

#[async_trait]
impl Destination for Workspace {
    fn name(&self) -> &str {
        self.client.name()
    }

    fn system(&self) -> &str {
        "rapidpro"
    }

    fn limits(&self) -> Limits {
        Limits {
            batch_deliveries: 10,
            batch_parts: 1_000,
            concurrency: 2,
            // The client counts requests, by RapidPro's own scopes; a delivery has no fixed number.
            budget_per_hour: None,
            lease: Duration::from_secs(120),
            horizon: Duration::from_secs(7 * 24 * 3600),
        }
    }

    fn check(&self, delivery: &Outgoing) -> Vec<(usize, Reason)> {
        if delivery.target == "rapidpro.contact" {
            return Vec::new();
        }
        let reason = Reason::new(
            "rapidpro-target-unknown",
            format!("this release cannot send {}", delivery.target),
            "use a release that can",
        );
        (0..delivery.parts.len()).map(|index| (index, reason.clone())).collect()
    }

    async fn send(&self, batch: &[Outgoing], deadline: Instant) -> Sent {
        let mut sent = Sent { result: Ok(Vec::new()), exchanges: Vec::new() };
        let mut settled: Vec<Settled> = Vec::new();
        let mut stopped: Option<Reason> = None;
        for outgoing in batch {
            if let Some(reason) = &stopped {
                settled.push(all(outgoing, &Verdict::Later(reason.clone())));
                continue;
            }
            match self.one(outgoing, deadline, &mut sent).await {
                Ok(one) => settled.push(one),
                Err(fault) if fault.is_permanent() => {
                    settled.push(all(outgoing, &Verdict::Refused(fault.reason())));
                }
                Err(fault) if settled.is_empty() => {
                    let accused = matches!(fault.kind, Kind::Unauthenticated | Kind::Forbidden);
                    let failure = if accused { self.suspected(&fault).await } else { fault.failure() };
                    sent.result = Err(failure);
                    return sent;
                }
                Err(fault) => {
                    settled.push(all(outgoing, &Verdict::Later(fault.reason())));
                    stopped = Some(fault.reason());
                }
            }
        }
        sent.result = Ok(settled);
        sent
    }

    /// `workspace.json` is small; a token whose role may not read it still shows that RapidPro answers.
    async fn probe(&self) -> Result<(), Failure> {
        match self.client.get("workspace", &[]).await {
            Ok(_) => Ok(()),
            Err(fault) if fault.kind == Kind::Forbidden => Ok(()),
            Err(fault) => Err(fault.failure()),
        }
    }
}

fn all(outgoing: &Outgoing, verdict: &Verdict) -> Settled {
    Settled {
        parts: outgoing.parts.iter().map(|_| verdict.clone()).collect(),
        remote: None,
        notes: Vec::new(),
    }
}
