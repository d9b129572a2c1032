//! Mirrored documents in the store of one tenant.

use async_trait::async_trait;
use serde_json::Value;

use super::mirror::Documents;
use super::{Metadata, document};
use crate::fhir::query::Query;
use crate::store::Store;
use crate::store::search::{COUNT_MAX, Page, TotalWanted};
use crate::store::write::{Fixed, Put};

/// The store, as the mirror sees it.
pub struct StoredDocuments {
    store: Store,
    tenant: String,
}

impl StoredDocuments {
    pub fn new(store: Store, tenant: &str) -> Self {
        Self { store, tenant: tenant.to_owned() }
    }

    /// What the store holds of one instance; not loaded where it was never pulled.
    ///
    /// # Errors
    /// The store's own words.
    pub async fn of_instance(&self, name: &str) -> Result<Metadata, String> {
        let all = self.load(&document::KINDS.map(|(kind, _)| kind)).await?;
        let prefix = format!("{name}/");
        let own =
            all.iter().filter_map(|(kind, id, body)| Some((kind.as_str(), id.strip_prefix(&prefix)?, body)));
        Ok(document::snapshot(own))
    }

    async fn load_kind(&self, kind: &str, all: &mut Vec<(String, String, Value)>) -> Result<(), String> {
        let query = Query { kind: kind.to_owned(), ..Query::default() };
        let mut page = Page { count: COUNT_MAX, total: TotalWanted::None, ..Page::default() };
        loop {
            let found = self.store.search(&self.tenant, &query, &page).await.map_err(|it| it.to_string())?;
            for entry in found.entries {
                let body = entry.body.as_deref().map(serde_json::from_str).transpose();
                if let Some(body) = body.map_err(|it| it.to_string())? {
                    all.push((entry.kind, entry.id, body));
                }
            }
            match found.next {
                Some(token) => page.token = Some(token),
                None => return Ok(()),
            }
        }
    }
}

#[async_trait]
impl Documents for StoredDocuments {
    async fn load(&self, kinds: &[&str]) -> Result<Vec<(String, String, Value)>, String> {
        let mut all = Vec::new();
        for kind in kinds {
            self.load_kind(kind, &mut all).await?;
        }
        Ok(all)
    }

    async fn write(&self, puts: Vec<Put>) -> Result<(), String> {
        let plan = Fixed { puts, ..Fixed::default() };
        self.store.write(&self.tenant, Box::new(plan)).await.map(drop).map_err(|refusal| refusal.to_string())
    }
}
