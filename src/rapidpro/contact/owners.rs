//! Who owns which contact: the links in the store, and those that this process is about to cause.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use tokio::sync::MutexGuard;

use crate::rapidpro::client::fault::{self, Fault};
use crate::rapidpro::mirror::CONTACT;
use crate::store::Store;
use crate::store::link::Link;

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
    pub fn new(links: Arc<dyn Links>) -> Self {
        Self {
            links,
            claims: Mutex::new(HashMap::new()),
            making: tokio::sync::Mutex::new(()),
            made: AtomicU64::new(0),
        }
    }

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
