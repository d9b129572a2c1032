//! How much waits, how old the oldest is, what is dead and why, what is held: for `/metrics`.
//!
//! Reads the store now and then; counts and ages only, never ids.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use tokio_util::sync::CancellationToken;
use tracing::warn;

use super::signal::now_ms;
use crate::store::db::Db;
use crate::store::deliveries::list::{self, Tally};
use crate::store::error::Error;
use crate::store::reads;

/// How often the store is asked.
const EVERY: Duration = Duration::from_secs(15);

/// A series: destination, status, cause.
type Series = (String, &'static str, String);

/// Keeps the gauges of one tenant up to date until it is cancelled.
pub async fn run(db: Db, tenant: &str, cancel: CancellationToken) {
    let mut known = BTreeSet::new();
    while !cancel.is_cancelled() {
        if let Err(error) = refresh(&db, tenant, &mut known).await {
            warn!(code = error.code(), "the gauges of deliveries could not be read now");
        }
        tokio::select! {
            () = cancel.cancelled() => {}
            () = tokio::time::sleep(EVERY) => {}
        }
    }
}

/// Reads the store once. Series that are gone since the last time go to zero.
async fn refresh(db: &Db, tenant: &str, known: &mut BTreeSet<Series>) -> Result<(), Error> {
    let (tallies, held) = {
        let mut db = db.read().await?;
        (list::tallies(&mut db, tenant, now_ms()).await?, reads::held_count(&mut db, tenant).await?)
    };
    for (series, value) in values(known, &tallies, now_ms()) {
        set(tenant, &series, value);
        known.insert(series);
    }
    metrics::gauge!("mjumbe_evaluations_held", "tenant" => tenant.to_owned()).set(held as f64);
    Ok(())
}

/// Each series once, so that whoever reads in between never finds a zero that is none.
fn values(known: &BTreeSet<Series>, tallies: &[Tally], now_ms: i64) -> BTreeMap<Series, (i64, f64)> {
    let gone = known.iter().map(|series| (series.clone(), (0, 0.0)));
    let there = tallies.iter().map(|tally| (series_of(tally), (tally.count, age_s(tally.oldest_ms, now_ms))));
    gone.chain(there).collect()
}

fn series_of(tally: &Tally) -> Series {
    (tally.destination.clone(), tally.status.text(), tally.cause.clone())
}

fn age_s(since_ms: i64, now_ms: i64) -> f64 {
    now_ms.saturating_sub(since_ms).max(0) as f64 / 1_000.0
}

fn set(tenant: &str, (destination, status, cause): &Series, (count, oldest_s): (i64, f64)) {
    let labels = [
        ("tenant", tenant.to_owned()),
        ("destination", destination.clone()),
        ("status", (*status).to_owned()),
        ("cause", cause.clone()),
    ];
    metrics::gauge!("mjumbe_deliveries", &labels).set(count as f64);
    metrics::gauge!("mjumbe_deliveries_oldest_seconds", &labels).set(oldest_s);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::deliveries::Status;

    #[test]
    fn only_what_is_gone_goes_to_zero() {
        let tally = |cause: &str| Tally {
            destination: "dhis2.national".to_owned(),
            status: Status::Dead,
            cause: cause.to_owned(),
            count: 3,
            oldest_ms: 1_000,
        };
        let known = [series_of(&tally("a")), series_of(&tally("b"))].into();
        let values = values(&known, &[tally("b"), tally("c")], 3_000);
        let found: Vec<(&str, i64)> =
            values.iter().map(|((_, _, cause), (count, _))| (cause.as_str(), *count)).collect();
        assert_eq!(found, [("a", 0), ("b", 3), ("c", 3)]);
    }

    #[test]
    fn ages_are_never_negative() {
        assert!((age_s(1_000, 3_500) - 2.5).abs() < f64::EPSILON);
        assert!(age_s(5_000, 3_500).abs() < f64::EPSILON);
    }
}
