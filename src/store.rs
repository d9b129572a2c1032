//! The only SQL: versions, search index, changes, reads, deliveries, links, cursors, tokens.
//!
//! SQLite and PostgreSQL behind one interface. **Never** knows FHIR rules beyond the search index, and
//! never speaks HTTP. Migrations for both engines are under `migrations/`.

// Who looked at people's data.
pub mod audit;
mod body;
// Changes as the mapper takes them.
pub mod changes;
mod cursor;
// Pools, transactions and statements for both engines.
pub mod db;
// Deliveries, their parts and the places they want.
pub mod deliveries;
// What can go wrong, without values.
pub mod error;
// Versions of one resource, of a type and of everything.
pub mod history;
mod index;
// What somebody who asks after a report needs to know.
pub mod inquiry;
// Remembered pairs: this resource is that object over there.
pub mod link;
// What the disk gives.
mod measure;
mod migration;
// Search parameters of a tenant's own, and their values.
pub mod parameters;
// Current and earlier versions.
pub mod read;
// What evaluations looked up, and what is held.
pub mod reads;
// Searches.
pub mod search;
mod setting;
// One server a SQLite file.
pub mod sole;
/// Fresh stores for tests.
#[doc(hidden)]
pub mod testing;
// Who may call.
pub mod token;
// What is written, and what a write answers.
pub mod write;

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

pub use error::Error;

use db::Db;
use write::{Plan, Refusal, Writer, Written};

/// The store. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Store {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    db: Db,
    /// One writer task a tenant, started with its first write.
    writers: Mutex<HashMap<String, Writer>>,
    /// The key that seals page tokens, by tenant.
    page_keys: Mutex<HashMap<String, Vec<u8>>>,
}

impl Store {
    /// Opens a database (see [`Db::open`]) and brings its schema up to date.
    ///
    /// # Errors
    /// [`Error::Open`] or [`Error::Migration`], both with a hint.
    pub async fn open(url: &str, connections: u32) -> Result<Self, Error> {
        let db = Db::open(url, connections).await?;
        migration::run(&db).await?;
        Ok(Self { inner: Arc::new(Inner { db, writers: Mutex::default(), page_keys: Mutex::default() }) })
    }

    /// The database itself, for the statements of this room.
    pub fn db(&self) -> &Db {
        &self.inner.db
    }

    /// Writes a plan whole or not at all, together with whatever else waits, and answers when it is durable:
    /// one [`Written`] for each put, in order.
    ///
    /// Dropping the future before it is answered leaves it open whether the plan was written.
    ///
    /// # Errors
    /// [`Refusal`]: nothing of the plan was written.
    pub async fn write(&self, tenant: &str, plan: Box<dyn Plan>) -> Result<Vec<Written>, Refusal> {
        self.writer(tenant).write(plan).await
    }

    fn writer(&self, tenant: &str) -> Writer {
        let mut writers = self.inner.writers.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(writer) = writers.get(tenant).filter(|writer| !writer.is_closed()) {
            return writer.clone();
        }
        let writer = Writer::start(self.inner.db.clone(), tenant.to_owned());
        writers.insert(tenant.to_owned(), writer.clone());
        writer
    }

    fn remembered_page_key(&self, tenant: &str) -> Option<Vec<u8>> {
        self.inner.page_keys.lock().unwrap_or_else(PoisonError::into_inner).get(tenant).cloned()
    }

    fn remember_page_key(&self, tenant: &str, key: &[u8]) {
        let mut keys = self.inner.page_keys.lock().unwrap_or_else(PoisonError::into_inner);
        keys.insert(tenant.to_owned(), key.to_vec());
    }

    /// Whether the database answers.
    ///
    /// # Errors
    /// [`Error::Unavailable`] where it does not.
    pub async fn ping(&self) -> Result<(), Error> {
        self.db().read().await?.one("select 1 as one", Vec::new()).await.map(drop)
    }

    /// Closes every connection; what was acknowledged is durable already.
    pub async fn close(&self) {
        self.inner.db.close().await;
    }
}
