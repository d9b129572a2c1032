//! Mjumbe's own store as a destination: for what the mapper did not store itself (a retried delivery, one that
//! needs others, one that gets a place that another gave up).

use std::time::Duration;

use async_trait::async_trait;
use jiff::tz::TimeZone;

use crate::delivery::destination::{
    Destination, Failure, FailureKind, Limits, Outgoing, Reason, Sent, Settled, Verdict, not_begun,
};
use crate::delivery::here::{self, Wished};
use crate::delivery::hold::Leave;
use crate::store::Store;
use crate::store::db::Tx;
use crate::store::deliveries;
use crate::store::error::Error;
use crate::store::write::within::{Group, Pace};

/// Of one tenant.
pub struct Here {
    store: Store,
    tenant: String,
    zone: TimeZone,
}

/// How long a claim of what is stored here lasts.
const LEASE: Duration = Duration::from_secs(120);

impl Here {
    pub fn new(store: Store, tenant: &str, zone: TimeZone) -> Self {
        Self { store, tenant: tenant.to_owned(), zone }
    }

    async fn write(&self, batch: &[Outgoing]) -> Result<Vec<Verdict>, Error> {
        let (verdicts, pace) = self
            .store
            .db()
            .transaction(|tx| {
                let (batch, tenant, zone) = (batch.to_vec(), self.tenant.clone(), self.zone.clone());
                Box::pin(async move { put_all(tx, &batch, (&tenant, &zone)).await })
            })
            .await?;
        pace.keep().await;
        Ok(verdicts)
    }
}

/// One verdict for each delivery.
async fn put_all(
    tx: &mut Tx,
    batch: &[Outgoing],
    (tenant, zone): (&str, &TimeZone),
) -> Result<(Vec<Verdict>, Pace), Error> {
    let ids: Vec<String> = batch.iter().map(|outgoing| outgoing.id.clone()).collect();
    let rows = deliveries::deliveries(tx, tenant, &ids).await?;
    let mut group = Group::open(tx, tenant).await?;
    let slots = batch.iter().flat_map(|outgoing| &outgoing.parts);
    group.load(slots.filter_map(|part| here::key_of(&part.slot)).collect()).await?;
    let mut verdicts = Vec::with_capacity(batch.len());
    for outgoing in batch {
        let row = rows.iter().find(|row| row.id == outgoing.id);
        let (Some(row), Some(part)) = (row, outgoing.parts.first()) else {
            verdicts.push(Verdict::Accepted);
            continue;
        };
        let wished = Wished {
            slot: &part.slot,
            wanted: part.wanted.as_ref(),
            sent: part.sent.is_some(),
            mapping: &row.mapping,
            hops: row.hops,
        };
        let done = here::put(&mut group, &wished, zone);
        verdicts.push(done.map_or_else(Verdict::Refused, |()| Verdict::Accepted));
    }
    Ok((verdicts, group.close().await?))
}

#[async_trait]
impl Destination for Here {
    fn system(&self) -> &str {
        "fhir"
    }

    fn name(&self) -> &str {
        super::HERE
    }

    fn limits(&self) -> Limits {
        Limits {
            batch_deliveries: 50,
            batch_parts: 50,
            concurrency: 1,
            budget_per_hour: None,
            lease: LEASE,
            // The store says nothing of how long a commit may take.
            longest_request: LEASE,
            horizon: Duration::from_secs(7 * 24 * 3600),
        }
    }

    fn check(&self, _: &Outgoing) -> Vec<(usize, Reason)> {
        Vec::new()
    }

    async fn send(&self, batch: &[Outgoing], leave: &Leave) -> Sent {
        if leave.is_over() {
            return Sent { result: Err(not_begun()), exchanges: Vec::new() };
        }
        let settled = |verdict| Settled { parts: vec![verdict], remote: None, notes: Vec::new() };
        let result = match self.write(batch).await {
            Ok(verdicts) => Ok(verdicts.into_iter().map(settled).collect()),
            Err(error) => Err(Failure {
                kind: FailureKind::Unavailable,
                reason: Reason::new(
                    "store-unavailable",
                    format!("the store could not write it ({})", error.code()),
                    "nothing to do here: it is tried again",
                ),
                unclear: true,
                retry_after: None,
            }),
        };
        Sent { result, exchanges: Vec::new() }
    }

    async fn probe(&self) -> Result<(), Failure> {
        Ok(())
    }
}
