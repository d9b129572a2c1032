//! What other deliveries did: a message carries no key of ours, so what they are known to have sent is not
//! the one that is looked for, and what they may have sent could be.

use async_trait::async_trait;
use serde_json::Value;

use crate::store::Store;

/// Another message that went out and of which nobody knows what became.
#[derive(Debug, Clone, PartialEq)]
pub struct Open {
    pub lane: String,
    pub wanted: Value,
}

/// The other acts of a workspace. The store knows.
#[async_trait]
pub trait Others: Send + Sync {
    /// Which of these remote ids are of deliveries other than this one.
    ///
    /// # Errors
    /// The store's failure, in words for a log.
    async fn recorded(&self, delivery: &str, remotes: &[String]) -> Result<Vec<String>, String>;

    /// Messages of other deliveries that may have gone out.
    ///
    /// # Errors
    /// The store's failure, in words for a log; or that there are too many to tell.
    async fn open(&self, delivery: &str) -> Result<Vec<Open>, String>;
}

/// The deliveries that the store holds.
#[derive(Debug, Clone)]
pub struct StoredOthers {
    pub store: Store,
    pub tenant: String,
    /// The workspace's name in the configuration.
    pub workspace: String,
}

impl StoredOthers {
    fn destination(&self) -> String {
        format!("rapidpro.{}", self.workspace)
    }
}

#[async_trait]
impl Others for StoredOthers {
    async fn recorded(&self, delivery: &str, remotes: &[String]) -> Result<Vec<String>, String> {
        let destination = self.destination();
        let found = self.store.recorded_remotes((&self.tenant, &destination), delivery, remotes).await;
        found.map_err(|error| error.to_string())
    }

    async fn open(&self, delivery: &str) -> Result<Vec<Open>, String> {
        let destination = self.destination();
        let at = (self.tenant.as_str(), destination.as_str());
        let found = self.store.open_acts(at, "rapidpro.message", delivery).await;
        let rows = found.map_err(|error| error.to_string())?;
        let open = |(lane, wanted): (String, String)| Open {
            lane,
            wanted: serde_json::from_str(&wanted).unwrap_or_default(),
        };
        Ok(rows.into_iter().map(open).collect())
    }
}
