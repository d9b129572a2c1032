//! The mirror of one instance: a snapshot in memory, its documents in the store, and the task that keeps
//! both fresh.
//!
//! The snapshot is replaced as a whole after its documents are durable. It is loaded from the store at
//! start, so that deliveries are judged although DHIS2 is down.

use std::collections::HashMap;
use std::sync::{Arc, RwLock};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use serde_json::Value;
use sha2::{Digest, Sha256};
use tokio::sync::{Mutex, Notify};
use tokio_util::sync::CancellationToken;

use super::document::{self, Document};
use super::model::Metadata;
use super::pull::pull;
use super::scope::Scope;
use crate::delivery::destination::{Failure, FailureKind, Reason};
use crate::dhis2::client::Client;
use crate::store::write::Put;

/// Documents in one write: a group is not held up by a country's organisation units.
const WRITE_SIZE: usize = 200;
/// After a pull that failed.
const RETRY: Duration = Duration::from_secs(60);
/// After credentials were refused: four failures within 15 minutes may lock the account.
const RETRY_REFUSED: Duration = Duration::from_secs(900);
/// On demand a pull is not repeated sooner.
const FRESH: Duration = Duration::from_secs(60);

/// Where documents are kept.
#[async_trait]
pub trait Documents: Send + Sync {
    /// Every document of these kinds: (kind, id, body).
    ///
    /// # Errors
    /// The store's own words.
    async fn load(&self, kinds: &[&str]) -> Result<Vec<(String, String, Value)>, String>;
    /// Writes them in one plan.
    ///
    /// # Errors
    /// The store's own words.
    async fn write(&self, puts: Vec<Put>) -> Result<(), String>;
}

/// One snapshot, and when it was read from DHIS2.
#[derive(Debug, Default)]
pub struct Snapshot {
    pub metadata: Metadata,
    /// `None`: loaded from the store.
    pub read_at: Option<Instant>,
    /// What it was read for.
    scope: Scope,
    digests: HashMap<(String, String), [u8; 32]>,
}

impl Snapshot {
    /// Whether it tells that what is not in it is not in DHIS2 either.
    pub fn was_read_for(&self, scope: &Scope) -> bool {
        !self.scope.clone().merge(scope)
    }

    pub fn is_fresh(&self) -> bool {
        self.read_at.is_some_and(|at| at.elapsed() < FRESH)
    }
}

/// Shared by the destination, which reads it, and the task that refreshes it.
pub struct Mirror {
    client: Arc<Client>,
    documents: Arc<dyn Documents>,
    interval: Duration,
    current: RwLock<Arc<Snapshot>>,
    pulling: Mutex<()>,
    wanted: Notify,
    scope: RwLock<Scope>,
}

impl Mirror {
    /// An empty mirror; see [`Mirror::load`] and [`Mirror::run`].
    pub fn new(client: Arc<Client>, documents: Arc<dyn Documents>, interval: Duration) -> Self {
        Self {
            client,
            documents,
            interval,
            current: RwLock::default(),
            pulling: Mutex::new(()),
            wanted: Notify::new(),
            scope: RwLock::default(),
        }
    }

    pub fn current(&self) -> Arc<Snapshot> {
        match self.current.read() {
            Ok(current) => Arc::clone(&current),
            Err(poisoned) => Arc::clone(&poisoned.into_inner()),
        }
    }

    /// Adds what mappings name to what is mirrored, from the next pull on.
    pub fn want(&self, more: &Scope) {
        match self.scope.write() {
            Ok(mut scope) => scope.merge(more),
            Err(poisoned) => poisoned.into_inner().merge(more),
        };
    }

    fn scope(&self) -> Scope {
        match self.scope.read() {
            Ok(scope) => scope.clone(),
            Err(poisoned) => poisoned.into_inner().clone(),
        }
    }

    /// Asks the task for a pull soon.
    pub fn request(&self) {
        self.wanted.notify_one();
    }

    /// Takes what the store holds.
    ///
    /// # Errors
    /// [`Failure`] where the store fails.
    pub async fn load(&self) -> Result<(), Failure> {
        let kinds = document::KINDS.map(|(kind, _)| kind);
        let prefix = format!("{}/", self.client.name());
        let stored = self.documents.load(&kinds).await.map_err(store_failed)?;
        let own: Vec<(&str, &str, &Value)> = stored
            .iter()
            .filter_map(|(kind, id, body)| Some((kind.as_str(), id.strip_prefix(&prefix)?, body)))
            .collect();
        let digests = own
            .iter()
            .map(|(kind, uid, body)| (((*kind).to_owned(), (*uid).to_owned()), digest(body)))
            .collect();
        let metadata = document::snapshot(own.into_iter());
        self.replace(Snapshot { metadata, read_at: None, scope: Scope::default(), digests });
        Ok(())
    }

    /// Pulls now, unless someone else just did.
    ///
    /// # Errors
    /// [`Failure`]: the snapshot stays as it was.
    pub async fn refresh(&self) -> Result<Arc<Snapshot>, Failure> {
        let _one_at_a_time = self.pulling.lock().await;
        let before = self.current();
        let scope = self.scope();
        if before.is_fresh() && before.scope == scope {
            return Ok(before);
        }
        let begun = Instant::now();
        let documents = pull(&self.client, &scope).await?;
        let digests: HashMap<_, _> =
            documents.iter().map(|one| ((one.kind.to_owned(), one.uid.clone()), digest(&one.body))).collect();
        let puts = self.changes(&documents, &before, &digests);
        let changed = puts.len();
        for chunk in puts.chunks(WRITE_SIZE) {
            self.documents.write(chunk.to_vec()).await.map_err(store_failed)?;
        }
        let metadata =
            document::snapshot(documents.iter().map(|one| (one.kind, one.uid.as_str(), &one.body)));
        tracing::info!(
            destination = self.client.name(),
            version = %metadata.system.version.map(|version| version.to_string()).unwrap_or_default(),
            data_sets = metadata.data_sets.len(),
            organisation_units = metadata.units.len(),
            programs = metadata.programs.len(),
            changed,
            elapsed_ms = u64::try_from(begun.elapsed().as_millis()).unwrap_or(u64::MAX),
            "read DHIS2's metadata"
        );
        Ok(self.replace(Snapshot { metadata, read_at: Some(Instant::now()), scope, digests }))
    }

    /// Refreshes at its interval and on request, until cancelled.
    pub async fn run(&self, cancel: CancellationToken) {
        loop {
            let pause = tokio::select! {
                () = cancel.cancelled() => return,
                result = self.refresh() => match result {
                    Ok(_) => self.interval,
                    Err(failure) => {
                        tracing::warn!(
                            destination = self.client.name(),
                            code = failure.reason.code,
                            "could not read DHIS2's metadata: {}",
                            failure.reason.message
                        );
                        if failure.kind == FailureKind::Unauthorised { RETRY_REFUSED } else { RETRY.min(self.interval) }
                    }
                },
            };
            tokio::select! {
                () = cancel.cancelled() => return,
                () = tokio::time::sleep(pause) => {}
                () = self.wanted.notified() => {}
            }
        }
    }

    /// What is new, different, or gone.
    fn changes(
        &self,
        documents: &[Document],
        before: &Snapshot,
        now: &HashMap<(String, String), [u8; 32]>,
    ) -> Vec<Put> {
        let name = self.client.name();
        let mut puts: Vec<Put> = documents
            .iter()
            .filter(|one| {
                let key = (one.kind.to_owned(), one.uid.clone());
                before.digests.get(&key) != now.get(&key)
            })
            .map(|one| one.put(name))
            .collect();
        let gone = before.digests.keys().filter(|key| !now.contains_key(*key));
        puts.extend(gone.map(|(kind, uid)| document::deletion(name, kind, uid)));
        puts
    }

    fn replace(&self, snapshot: Snapshot) -> Arc<Snapshot> {
        let snapshot = Arc::new(snapshot);
        match self.current.write() {
            Ok(mut current) => *current = Arc::clone(&snapshot),
            Err(poisoned) => *poisoned.into_inner() = Arc::clone(&snapshot),
        }
        snapshot
    }
}

/// Of what is written: text with the order of its members.
fn digest(body: &Value) -> [u8; 32] {
    Sha256::digest(body.to_string().as_bytes()).into()
}

fn store_failed(error: String) -> Failure {
    tracing::error!(error, "the store failed while DHIS2's metadata was read or written");
    Failure {
        kind: FailureKind::Unavailable,
        reason: Reason::new("store-failed", "the store failed", "see the log"),
        unclear: false,
        retry_after: None,
    }
}
