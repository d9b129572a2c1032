//! A workspace as the delivery engine sees it: contacts, starts and messages, each sent by its own file.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;

use super::act::Acts;
use super::act::others::Others;
use super::client::{Client, TOTAL_TIMEOUT};
use super::contact::owners::Links;
use super::contact::sending::Contacts;
use crate::delivery::destination::{Destination, Failure, Family, Limits, Outgoing, Reason, Sent};
use crate::delivery::hold::Leave;

/// What a workspace asks of the store.
pub struct Surroundings {
    pub links: Arc<dyn Links>,
    pub others: Arc<dyn Others>,
    /// The tenant's languages, ISO 639-3: for those whose own a message has not.
    pub languages: Vec<String>,
}

/// One workspace.
pub struct Workspace {
    client: Arc<Client>,
    contacts: Contacts,
    acts: Acts,
}

/// Parts of a batch of contacts.
const CONTACT_PARTS: usize = 1_000;

const CONTACTS: Family = Family { name: "contacts", deliveries: 10, parts: CONTACT_PARTS };
/// One each: an act's outcome is its own, also when it is not known.
const STARTS: Family = Family { name: "starts", deliveries: 1, parts: 1 };
const MESSAGES: Family = Family { name: "messages", deliveries: 1, parts: 1 };

fn family_of(target: &str) -> Option<Family> {
    match target {
        "rapidpro.contact" => Some(CONTACTS),
        "rapidpro.start" => Some(STARTS),
        "rapidpro.message" => Some(MESSAGES),
        _ => None,
    }
}

impl Workspace {
    pub fn new(client: Arc<Client>, around: Surroundings) -> Self {
        let Surroundings { links, others, languages } = around;
        Self {
            contacts: Contacts::new(Arc::clone(&client), links),
            acts: Acts::new(Arc::clone(&client), others, languages),
            client,
        }
    }
}

#[async_trait]
impl Destination for Workspace {
    fn identifier_system(&self, target: &str) -> Option<String> {
        (target == "rapidpro.contact").then(|| format!("{}/contact", self.client.url()))
    }

    fn name(&self) -> &str {
        self.client.name()
    }

    fn system(&self) -> &str {
        "rapidpro"
    }

    fn limits(&self) -> Limits {
        Limits {
            batch_deliveries: CONTACTS.deliveries,
            batch_parts: CONTACTS.parts,
            concurrency: 2,
            // The client counts requests, by RapidPro's own scopes; a delivery has no fixed number.
            budget_per_hour: None,
            lease: Duration::from_secs(120),
            longest_request: TOTAL_TIMEOUT,
            horizon: Duration::from_secs(7 * 24 * 3600),
        }
    }

    fn family(&self, target: &str) -> Family {
        family_of(target).unwrap_or(CONTACTS)
    }

    fn check(&self, delivery: &Outgoing) -> Vec<(usize, Reason)> {
        if family_of(&delivery.target).is_some() {
            return Vec::new();
        }
        let reason = Reason::new(
            "rapidpro-target-unknown",
            format!("this release cannot send {}", delivery.target),
            "use a release that can",
        );
        (0..delivery.parts.len()).map(|index| (index, reason.clone())).collect()
    }

    async fn send(&self, batch: &[Outgoing], leave: &Leave) -> Sent {
        match batch.first().and_then(|first| family_of(&first.target)) {
            Some(STARTS | MESSAGES) => self.acts.send(batch, leave).await,
            _ => self.contacts.send(batch, leave).await,
        }
    }

    async fn probe(&self) -> Result<(), Failure> {
        self.client.probe().await
    }
}
