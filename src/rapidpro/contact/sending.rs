//! Sends contacts.
//!
//! RapidPro takes one contact a request. A batch saves leases, not requests: what was done before a
//! fault stays done, the rest comes again.

use std::sync::Arc;

use super::owners::{Links, Owners};
use super::upsert::Upsert;
use crate::delivery::destination::{Outgoing, Reason, Sent, Settled, Verdict};
use crate::delivery::hold::Leave;
use crate::rapidpro::client::Client;
use crate::rapidpro::client::fault::Fault;

/// The contacts of a workspace.
pub(in crate::rapidpro) struct Contacts {
    client: Arc<Client>,
    owners: Owners,
}

impl Contacts {
    pub fn new(client: Arc<Client>, links: Arc<dyn Links>) -> Self {
        Self { client, owners: Owners::new(links) }
    }

    pub async fn send(&self, batch: &[Outgoing], leave: &Leave) -> Sent {
        let mut sent = Sent { result: Ok(Vec::new()), exchanges: Vec::new() };
        let mut settled: Vec<Settled> = Vec::new();
        let mut stopped: Option<Reason> = None;
        for outgoing in batch {
            if let Some(reason) = &stopped {
                settled.push(all(outgoing, &Verdict::Later(reason.clone())));
                continue;
            }
            match self.one(outgoing, leave, &mut sent).await {
                Ok(one) => settled.push(one),
                Err(fault) if fault.is_permanent() => {
                    settled.push(all(outgoing, &Verdict::Refused(fault.reason())));
                }
                Err(fault) if settled.is_empty() => {
                    sent.result = Err(self.client.judged(&fault).await);
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

    async fn one(&self, outgoing: &Outgoing, leave: &Leave, sent: &mut Sent) -> Result<Settled, Fault> {
        let mut upsert =
            Upsert { client: &self.client, owners: &self.owners, leave, exchanges: &mut sent.exchanges };
        upsert.run(outgoing).await
    }
}

/// One verdict for all parts of a delivery.
fn all(outgoing: &Outgoing, verdict: &Verdict) -> Settled {
    Settled {
        parts: outgoing.parts.iter().map(|_| verdict.clone()).collect(),
        remote: None,
        notes: Vec::new(),
    }
}
