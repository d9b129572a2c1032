//! Who may send to a destination, and until when a batch may begin requests.
//!
//! One process at a time holds a destination: a row of the store with a fence. The holder knows by its own
//! clocks when its hold is over at the latest, without asking the store, and begins no request afterwards
//! ([`Leave`]). So whoever takes the destination over knows when the last request of the former holder can
//! have begun and when it was over at the latest, and ends its claims then (`take`) instead of waiting for
//! the whole of their leases.
//!
//! **Never** tells that a hold lasts longer than the store says, and lengthens no lease.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use super::destination::Limits;
use super::signal::now_ms;
use crate::store::db::Tx;
use crate::store::deliveries::sending::{self, DestinationRow};
use crate::store::error::Error;

/// How long a hold lasts, and what is added for clocks that differ.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Terms {
    /// How long a process keeps a destination without renewing.
    pub hold: Duration,
    /// How far the clocks of two processes may be apart, and how long one may stand still between its last
    /// look at its hold and the request.
    pub margin: Duration,
}

impl Default for Terms {
    fn default() -> Self {
        Self { hold: Duration::from_secs(10), margin: Duration::from_secs(30) }
    }
}

impl Terms {
    pub(super) fn hold_ms(self) -> i64 {
        milliseconds(self.hold)
    }

    /// From the moment at which a destination was taken over: until then a request of the former holder may
    /// be under way.
    pub(super) fn under_way_ms(self, limits: &Limits) -> i64 {
        milliseconds(self.hold + limits.longest_request + self.margin)
    }

    /// No request of a claim began in the last part of its lease: half of it, or, where the lease was cut by
    /// a take-over, what follows the end of the former hold.
    pub(super) fn silent_ms(self, limits: &Limits) -> i64 {
        milliseconds((limits.lease / 2).min(limits.longest_request + self.margin))
    }
}

fn milliseconds(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
}

/// What this process knows of its hold of one destination. Cheap to clone.
#[derive(Debug, Clone, Default)]
pub(super) struct Hold {
    held: Arc<Mutex<Option<Held>>>,
}

#[derive(Debug, Clone, Copy)]
struct Held {
    fence: i64,
    /// By the clock that is never set, which stands still while the machine sleeps.
    until: Instant,
    /// By the clock on the wall, which does not.
    until_ms: i64,
}

impl Hold {
    /// The store granted it, having been asked at `asked`.
    pub fn grant(&self, row: &DestinationRow, asked: Instant, terms: Terms) {
        self.put(Some(Held { fence: row.fence, until: asked + terms.hold, until_ms: row.until_ms }));
    }

    pub fn lose(&self) {
        self.put(None);
    }

    fn put(&self, held: Option<Held>) {
        *self.held.lock().unwrap_or_else(PoisonError::into_inner) = held;
    }

    /// The fence of a hold that is not over before `longer` has passed.
    pub fn fence(&self, longer: Duration) -> Option<i64> {
        let held = (*self.held.lock().unwrap_or_else(PoisonError::into_inner))?;
        let lasts = Instant::now() + longer < held.until && now_ms() + milliseconds(longer) < held.until_ms;
        lasts.then_some(held.fence)
    }
}

/// Until when the requests of one batch may begin: its deadline, and not after the hold under which it was
/// claimed. Asked before each request; one that is under way then may end.
#[derive(Debug, Clone)]
pub struct Leave {
    deadline: Instant,
    hold: Option<(Hold, i64)>,
}

impl Leave {
    /// Until a moment, whoever holds the destination.
    pub fn until(deadline: Instant) -> Self {
        Self { deadline, hold: None }
    }

    pub(super) fn under(deadline: Instant, hold: &Hold, fence: i64) -> Self {
        Self { deadline, hold: Some((hold.clone(), fence)) }
    }

    /// No further request may begin.
    pub fn is_over(&self) -> bool {
        let is_lost = |(hold, fence): &(Hold, i64)| hold.fence(Duration::ZERO) != Some(*fence);
        Instant::now() >= self.deadline || self.hold.as_ref().is_some_and(is_lost)
    }
}

/// Who takes a destination, and from whom.
pub(super) struct Taking<'a> {
    pub tenant: &'a str,
    /// `SYSTEM.NAME`
    pub destination: &'a str,
    /// This process.
    pub owner: &'a str,
    /// The fence under which it holds it already.
    pub known: Option<i64>,
    pub now_ms: i64,
    pub terms: Terms,
    pub limits: Limits,
}

/// What a take-over found.
#[derive(Debug)]
pub(super) struct Taken {
    pub row: DestinationRow,
    /// Claims of former holders that end sooner than their leases.
    pub shortened: usize,
}

/// Takes or renews the lease of a destination; what others have claimed there ends when none of their
/// requests can be under way. `None`: another process holds it.
///
/// # Errors
/// The database's.
pub(super) async fn take(tx: &mut Tx, taking: &Taking<'_>) -> Result<Option<Taken>, Error> {
    let Taking { tenant, destination, owner, now_ms, terms, .. } = *taking;
    let lease = (owner, now_ms, now_ms.saturating_add(terms.hold_ms()));
    let Some(row) = sending::take_destination(tx, tenant, destination, lease).await? else {
        return Ok(None);
    };
    let mut shortened = 0;
    if taking.known != Some(row.fence) {
        let until_ms = now_ms.saturating_add(terms.under_way_ms(&taking.limits));
        shortened = sending::shorten_leases(tx, tenant, destination, (owner, until_ms)).await?;
    }
    Ok(Some(Taken { row, shortened }))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(fence: i64, until_ms: i64) -> DestinationRow {
        DestinationRow { fence, until_ms, ..DestinationRow::default() }
    }

    fn in_a_minute() -> Instant {
        Instant::now() + Duration::from_secs(60)
    }

    #[test]
    fn leave_ends_with_the_hold_by_either_clock_and_with_another_fence() {
        let (hold, terms) = (Hold::default(), Terms::default());
        let leave = Leave::under(in_a_minute(), &hold, 7);
        assert!(leave.is_over(), "nobody holds it");
        hold.grant(&row(7, now_ms() + 5_000), Instant::now(), terms);
        assert!(!leave.is_over());
        assert_eq!(hold.fence(Duration::from_secs(6)), None, "it has to be renewed");
        hold.grant(&row(7, now_ms() - 1), Instant::now(), terms);
        assert!(leave.is_over(), "the machine slept");
        let long_ago = Instant::now().checked_sub(terms.hold).unwrap();
        hold.grant(&row(7, now_ms() + 5_000), long_ago, terms);
        assert!(leave.is_over(), "the clock was set back");
        hold.grant(&row(9, now_ms() + 5_000), Instant::now(), terms);
        assert!(leave.is_over(), "another held it in between");
        hold.lose();
        assert!(leave.is_over());
        assert!(!Leave::until(in_a_minute()).is_over());
        assert!(Leave::until(Instant::now()).is_over());
    }

    #[test]
    fn a_claim_is_over_when_its_last_request_can_be() {
        let limits = Limits {
            batch_deliveries: 1,
            batch_parts: 1,
            concurrency: 1,
            budget_per_hour: None,
            lease: Duration::from_secs(900),
            longest_request: Duration::from_secs(120),
            horizon: Duration::from_secs(1),
        };
        let terms = Terms::default();
        assert_eq!(terms.under_way_ms(&limits), 160_000);
        assert_eq!(terms.silent_ms(&limits), 150_000, "nothing began after the 10 s of the hold");
        let short = Limits { lease: Duration::from_secs(120), ..limits };
        assert_eq!(terms.silent_ms(&short), 60_000, "nor in the second half of a lease");
    }
}
