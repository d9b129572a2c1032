//! The only SQL: versions, search index, changes, reads, deliveries, links, cursors, tokens.
//!
//! SQLite and PostgreSQL behind one interface. **Never** knows FHIR rules beyond the search index, and
//! never speaks HTTP. Migrations for both engines are under `migrations/`.

/// Pools, transactions and statements for both engines.
pub mod db;
/// Deliveries, their parts and the places they want.
pub mod deliveries;
/// What can go wrong, without values.
pub mod error;
mod migration;
/// Fresh stores for tests.
#[doc(hidden)]
pub mod testing;
/// What is written, and what a write answers.
pub mod write;

use std::sync::Arc;

pub use error::Error;

use db::Db;

/// The store. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Store {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    db: Db,
}

impl Store {
    /// Opens a database (see [`Db::open`]) and brings its schema up to date.
    ///
    /// # Errors
    /// [`Error::Open`] or [`Error::Migration`], both with a hint.
    pub async fn open(url: &str, connections: u32) -> Result<Self, Error> {
        let db = Db::open(url, connections).await?;
        migration::run(&db).await?;
        Ok(Self { inner: Arc::new(Inner { db }) })
    }

    /// The database itself, for the statements of this room.
    pub fn db(&self) -> &Db {
        &self.inner.db
    }

    /// Closes every connection; what was acknowledged is durable already.
    pub async fn close(&self) {
        self.inner.db.close().await;
    }
}
