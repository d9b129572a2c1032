//! What is remembered about places whose parts do not travel now: the UID of the enrolment that a new event
//! belongs to.

use std::collections::HashMap;

use async_trait::async_trait;

use super::uid::Note;
use crate::store::Store;
use crate::store::deliveries::{self, Place};

/// Where notes are kept. The store knows.
#[async_trait]
pub trait Notes: Send + Sync {
    /// The notes of these slots, as far as there are any.
    ///
    /// # Errors
    /// The store's failure, in words for a log.
    async fn notes(&self, slots: &[String]) -> Result<HashMap<String, Note>, String>;
}

/// The notes of one destination in the store.
#[derive(Debug, Clone)]
pub struct StoredNotes {
    pub store: Store,
    pub tenant: String,
    /// `dhis2.NAME`
    pub destination: String,
}

#[async_trait]
impl Notes for StoredNotes {
    async fn notes(&self, slots: &[String]) -> Result<HashMap<String, Note>, String> {
        let places: Vec<Place> = slots.iter().map(|slot| (self.destination.clone(), slot.clone())).collect();
        let mut db = self.store.db().read().await.map_err(|error| error.to_string())?;
        let rows = deliveries::slots(&mut db, &self.tenant, &places).await.map_err(|it| it.to_string())?;
        let noted = rows.into_iter().filter(|row| !row.remote.is_empty());
        Ok(noted.map(|row| (row.slot, Note::read(&row.remote))).collect())
    }
}
