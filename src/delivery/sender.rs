//! Sends what is due to one destination: claim, send, settle, and again.
//!
//! One process at a time sends to a destination (a fenced lease), so that one budget, one concurrency
//! limit and one circuit breaker hold. Each step may be the last: what was claimed and not settled is
//! found when its lease is over, and goes out again with the warning that its outcome is unclear.
//!
//! **Never** begins a request after half a lease or after its hold of the destination ([`super::hold`]), and
//! never settles after the lease was lost.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use jiff::tz::TimeZone;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use tracing::{Instrument, debug, error, info, warn};

use super::breaker::{Breaker, Permit};
use super::budget::Budget;
use super::claim::{self, Batch, Claimer};
use super::destination::{Destination, Failure, FailureKind, Reason, Sent, not_begun};
use super::hold::{self, Hold, Leave, Taking, Terms};
use super::identity::destination_key;
use super::settle::{self, Outcome, Settler};
use super::signal::{POLL, Signals, now_ms};
use super::transaction::transaction;
use super::write_back::Identifying;
use crate::store::db::{Db, Engine};
use crate::store::deliveries::Cause;
use crate::store::deliveries::sending::{self, DestinationRow};
use crate::store::error::Error;

/// How long a throttled destination is left alone where it does not say.
const THROTTLED_MS: i64 = 10_000;
/// How often a claim looks behind what was put off before it pauses.
const CLAIM_LOOKS: u32 = 50;
/// How long exchanges are kept.
const EXCHANGES_KEPT_MS: i64 = 30 * 86_400_000;
/// How often old exchanges are looked for.
const FORGET_EVERY_MS: i64 = 3_600_000;

/// This process's name in leases. One process has a SQLite file, so whoever opens it takes the leases of
/// its predecessor over at once; processes on PostgreSQL each have a name of their own.
pub fn owner_name(engine: Engine) -> String {
    match engine {
        Engine::Sqlite => "this-file".to_owned(),
        Engine::Postgres => uuid::Uuid::new_v4().to_string(),
    }
}

/// The sender of one destination. Cheap to clone.
#[derive(Clone)]
pub struct Sender {
    inner: Arc<Inner>,
}

struct Inner {
    db: Db,
    tenant: String,
    owner: String,
    destination: Arc<dyn Destination>,
    signals: Signals,
    state: Mutex<State>,
    hold: Hold,
    terms: OnceLock<Terms>,
    /// Nothing was claimed yet: what is claimed under this name was by a process that is gone.
    fresh: AtomicBool,
    /// The tenant's; UTC where it was not told.
    zone: OnceLock<TimeZone>,
}

/// What this process knows of the destination while it holds it.
#[derive(Debug, Clone, Default)]
struct State {
    held: Option<DestinationRow>,
    breaker: Breaker,
    budget: Budget,
    /// The far side asked to be left alone until then.
    quiet_until_ms: i64,
    forgot_ms: i64,
}

/// What one round did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Round {
    /// A batch is under way or was settled: there may be more.
    Sent,
    /// Nothing is due.
    Idle,
    /// Another process sends to this destination.
    Elsewhere,
    /// The circuit is open, the budget is spent or the far side asked for quiet.
    Paused,
}

impl Sender {
    /// `owner` is this process in leases ([`owner_name`]), the same for all its workers.
    pub fn new(
        db: Db,
        (tenant, owner): (&str, &str),
        destination: Arc<dyn Destination>,
        signals: Signals,
    ) -> Self {
        let (tenant, owner) = (tenant.to_owned(), owner.to_owned());
        let (state, fresh) = (Mutex::new(State::default()), AtomicBool::new(true));
        Self {
            inner: Arc::new(Inner {
                db,
                tenant,
                owner,
                destination,
                signals,
                state,
                hold: Hold::default(),
                terms: OnceLock::new(),
                fresh,
                zone: OnceLock::new(),
            }),
        }
    }

    /// The tenant's zone, for what is written back into resources.
    pub fn in_zone(self, zone: TimeZone) -> Self {
        // Told once, before it runs.
        drop(self.inner.zone.set(zone));
        self
    }

    /// Other terms than the usual ones, for tests in which time passes quickly.
    #[must_use]
    pub fn with_terms(self, terms: Terms) -> Self {
        // Told once, before it runs.
        let _ = self.inner.terms.set(terms);
        self
    }

    fn terms(&self) -> Terms {
        self.inner.terms.get().copied().unwrap_or_default()
    }

    /// `SYSTEM.NAME`
    pub fn key(&self) -> String {
        destination_key(self.inner.destination.system(), self.inner.destination.name())
    }

    /// Sends until it is cancelled; then lets what is under way finish and gives the lease back.
    pub async fn run(&self, cancel: CancellationToken) {
        let span = tracing::info_span!("sender", tenant = %self.inner.tenant, destination = %self.key());
        self.work(cancel).instrument(span).await;
    }

    async fn work(&self, cancel: CancellationToken) {
        // After a panic nothing of the last run is under way any more.
        self.inner.fresh.store(true, Ordering::Release);
        let mut listener = self.inner.signals.deliveries.listen();
        let mut under_way = JoinSet::new();
        let concurrency = self.inner.destination.limits().concurrency.max(1);
        while !cancel.is_cancelled() {
            let more = if under_way.len() < concurrency {
                self.begin(&mut under_way).await
            } else {
                self.keep_hold().await;
                false
            };
            while under_way.try_join_next().is_some() {}
            if more {
                continue;
            }
            let finished = async {
                if under_way.join_next().await.is_none() {
                    std::future::pending::<()>().await;
                }
            };
            tokio::select! {
                () = cancel.cancelled() => {}
                () = listener.heard() => {}
                () = finished => {}
                () = tokio::time::sleep(POLL) => {}
            }
        }
        // Each has its own time limit.
        while under_way.join_next().await.is_some() {}
        let (tenant, owner) = (&self.inner.tenant, &self.inner.owner);
        let key = self.key();
        let released =
            transaction!(self.inner.db, |tx| sending::release_destination(tx, tenant, &key, owner));
        if let Err(error) = released {
            warn!(code = error.code(), "the destination's lease was not given back; it runs out by itself");
        }
    }

    /// Stays the one that sends while all it may send at once is under way.
    async fn keep_hold(&self) {
        if let Err(error) = self.hold().await {
            warn!(code = error.code(), "the destination's lease could not be renewed now; trying again");
        }
    }

    /// Begins one batch in the background. False: there is nothing to begin now.
    async fn begin(&self, under_way: &mut JoinSet<()>) -> bool {
        match self.ready().await {
            Ok(Round::Sent) => {}
            Ok(_) => return false,
            Err(error) => {
                warn!(code = error.code(), "the store did not answer; trying again");
                tokio::time::sleep(POLL).await;
                return false;
            }
        }
        let begun = Instant::now();
        match self.claim().await {
            Ok(batch) if batch.deliveries.is_empty() => false,
            Ok(batch) => {
                let sender = self.clone();
                let work = async move { sender.send_and_settle(batch, begun).await };
                under_way.spawn(work.in_current_span());
                true
            }
            Err(error) => {
                warn!(code = error.code(), "deliveries could not be claimed; trying again");
                tokio::time::sleep(POLL).await;
                false
            }
        }
    }

    /// One batch from beginning to end, for tests and tools that drive the sender by hand.
    ///
    /// # Errors
    /// The database's.
    pub async fn round(&self) -> Result<Round, Error> {
        let ready = self.ready().await?;
        if ready != Round::Sent {
            return Ok(ready);
        }
        let begun = Instant::now();
        let batch = self.claim().await?;
        if batch.deliveries.is_empty() {
            return Ok(Round::Idle);
        }
        self.send_and_settle(batch, begun).await;
        Ok(Round::Sent)
    }

    /// Whether something may go out now: lease, circuit, budget. Looks for claims that ran out.
    async fn ready(&self) -> Result<Round, Error> {
        if !self.hold().await? {
            return Ok(Round::Elsewhere);
        }
        self.forget().await?;
        self.reclaim().await?;
        let now = now_ms();
        let state = self.state();
        let limits = self.inner.destination.limits();
        if state.quiet_until_ms > now || state.budget.next_ms(limits.budget_per_hour, now) > now {
            return Ok(Round::Paused);
        }
        match state.breaker.permit(now) {
            Permit::Send => {}
            Permit::WaitUntil(_) => return Ok(Round::Paused),
            Permit::Probe if self.probe().await? => {}
            Permit::Probe => return Ok(Round::Paused),
        }
        let mut db = self.inner.db.read().await?;
        let due = sending::due(&mut db, &self.inner.tenant, &self.key(), (now, 1)).await?;
        Ok(if due.is_empty() { Round::Idle } else { Round::Sent })
    }

    /// Looks for claims whose sender is gone. At its first look those of its own name are a predecessor's:
    /// a SQLite file has one process ([`owner_name`]), which was killed with them.
    async fn reclaim(&self) -> Result<(), Error> {
        let fresh = self.inner.fresh.load(Ordering::Acquire);
        let predecessor = if fresh { self.inner.owner.as_str() } else { "" };
        while self.is_abandoned(predecessor).await? {
            let claimer = self.claimer(now_ms());
            let released = transaction!(self.inner.db, |tx| claim::reclaim(tx, &claimer, predecessor))?;
            warn!(released, "a sender is gone; the outcome of what it had claimed is unclear");
        }
        self.inner.fresh.store(false, Ordering::Release);
        Ok(())
    }

    async fn is_abandoned(&self, predecessor: &str) -> Result<bool, Error> {
        let mut db = self.inner.db.read().await?;
        let gone = (now_ms(), predecessor);
        Ok(!sending::abandoned(&mut db, &self.inner.tenant, &self.key(), gone).await?.is_empty())
    }

    /// Takes the destination's lease, or renews it when half of it is over.
    async fn hold(&self) -> Result<bool, Error> {
        let terms = self.terms();
        if self.inner.hold.fence(terms.hold / 2).is_some() {
            return Ok(true);
        }
        let known = self.state().held.map(|held| held.fence);
        // Both clocks are read before the store is asked, so that the hold is over here first.
        let (asked, key) = (Instant::now(), self.key());
        let taking = Taking {
            tenant: &self.inner.tenant,
            destination: &key,
            owner: &self.inner.owner,
            known,
            now_ms: now_ms(),
            terms,
            limits: self.inner.destination.limits(),
        };
        let Some(taken) = transaction!(self.inner.db, |tx| hold::take(tx, &taking))? else {
            self.lose();
            return Ok(false);
        };
        if taken.shortened > 0 {
            let waits_ms = terms.under_way_ms(&taking.limits);
            info!(deliveries = taken.shortened, waits_ms, "taken over from a sender that is gone");
        }
        let row = taken.row;
        self.inner.hold.grant(&row, asked, terms);
        let fresh = known != Some(row.fence);
        self.change(|state| {
            if fresh {
                let failures = u32::try_from(row.failures).unwrap_or(u32::MAX);
                state.breaker = Breaker { failures, open_until_ms: row.circuit_until_ms };
                state.budget = Budget { hour: row.hour, used: u32::try_from(row.used).unwrap_or(u32::MAX) };
            }
            state.held = Some(row);
        });
        Ok(true)
    }

    /// Another process sends here now.
    fn lose(&self) {
        self.inner.hold.lose();
        self.change(|state| *state = State::default());
    }

    fn claimer(&self, now_ms: i64) -> Claimer<'_> {
        Claimer {
            tenant: &self.inner.tenant,
            destination: self.inner.destination.as_ref(),
            limits: self.inner.destination.limits(),
            owner: &self.inner.owner,
            terms: self.terms(),
            now_ms,
        }
    }

    /// Claims the next batch. Where all that was due was put off, looks behind it.
    ///
    /// # Errors
    /// The database's.
    pub async fn claim(&self) -> Result<Batch, Error> {
        let mut looks = 1;
        // Whoever does not hold the destination claims nothing.
        let held = if self.hold().await? { self.state().held } else { None };
        let Some(held) = held else { return Ok(Batch::default()) };
        loop {
            let claimer = self.claimer(now_ms());
            let claimed = transaction!(self.inner.db, |tx| claim::claim(tx, &claimer, held.fence))?;
            let Some(batch) = claimed else {
                self.lose();
                return Ok(Batch::default());
            };
            if looks == CLAIM_LOOKS || !batch.deliveries.is_empty() || batch.put_off == 0 {
                return Ok(batch);
            }
            looks += 1;
        }
    }

    async fn send_and_settle(&self, batch: Batch, begun: Instant) {
        let work = async {
            let sent = self.send(&batch, begun).await;
            self.settle_within_lease(&batch, &sent, begun).await;
            self.account(&sent).await;
        };
        tokio::select! {
            () = work => {}
            () = self.keep_holding() => {}
        }
        self.inner.signals.deliveries.give();
    }

    /// Renews the hold for as long as a batch is under way; never ends.
    async fn keep_holding(&self) {
        let pause = self.terms().hold / 4;
        loop {
            tokio::time::sleep(pause).await;
            self.keep_hold().await;
        }
    }

    /// Sends a claimed batch; `begun` is when its claim began. An answer that does not come within the
    /// lease is a failure without proof.
    pub async fn send(&self, batch: &Batch, begun: Instant) -> Sent {
        let lease = self.inner.destination.limits().lease;
        let leave = Leave::under(begun + lease / 2, &self.inner.hold, batch.hold_fence);
        let parts: usize = batch.deliveries.iter().map(|claimed| claimed.parts.len()).sum();
        debug!(batch = %batch.id, deliveries = batch.deliveries.len(), parts, "sending a batch");
        for claimed in &batch.deliveries {
            debug!(delivery = %claimed.outgoing.id, batch = %batch.id, "a delivery is sent");
        }
        let outgoing = batch.outgoing();
        if leave.is_over() {
            return Sent { result: Err(not_begun()), exchanges: Vec::new() };
        }
        let whole = lease.mul_f64(0.9).saturating_sub(begun.elapsed());
        let attempt = self.inner.destination.send(&outgoing, &leave);
        match tokio::time::timeout(whole, attempt).await {
            Ok(sent) => sent,
            Err(_) => {
                let mut sent = late(Reason::new(
                    "no-answer-in-time",
                    "the far side did not answer before the lease was over",
                    "it is sent again after a look at the far side",
                ));
                if let Err(failure) = &mut sent.result {
                    failure.unclear = true;
                }
                sent
            }
        }
    }

    /// Writes what became of a batch; tries again while the lease lasts and the store does not answer.
    async fn settle_within_lease(&self, batch: &Batch, sent: &Sent, begun: Instant) {
        let lease = self.inner.destination.limits().lease;
        loop {
            match self.settle(batch, sent).await {
                Ok(outcome) => return self.report(batch, sent, &outcome),
                Err(error) if begun.elapsed() < lease => {
                    warn!(code = error.code(), "an answer could not be written yet; trying again");
                    tokio::time::sleep(Duration::from_millis(200)).await;
                }
                Err(error) => {
                    error!(code = error.code(), "an answer could not be written within its lease: unclear");
                    return;
                }
            }
        }
    }

    /// Writes what became of a batch.
    ///
    /// # Errors
    /// The database's.
    pub async fn settle(&self, batch: &Batch, sent: &Sent) -> Result<Outcome, Error> {
        let key = self.key();
        let identifying = self.identifying(batch);
        let settler = Settler {
            identifying: &identifying,
            tenant: &self.inner.tenant,
            destination: &key,
            owner: &self.inner.owner,
            now_ms: now_ms(),
            horizon: self.inner.destination.limits().horizon,
            chance: rand::random(),
        };
        let outcome = transaction!(self.inner.db, |tx| settle::settle(tx, &settler, batch, sent))?;
        if let Some(pace) = outcome.pace {
            pace.keep().await;
        }
        if !outcome.linked.is_empty() || outcome.pace.is_some() {
            self.inner.signals.changes.give();
        }
        Ok(outcome)
    }

    fn identifying(&self, batch: &Batch) -> Identifying {
        let targets = batch.deliveries.iter().map(|claimed| &claimed.outgoing.target);
        let system =
            |target: &String| Some((target.clone(), self.inner.destination.identifier_system(target)?));
        Identifying { systems: targets.filter_map(system).collect(), zone: self.inner.zone.get().cloned() }
    }

    fn report(&self, batch: &Batch, sent: &Sent, outcome: &Outcome) {
        let destination = self.key();
        let counter = |result: &'static str, amount: usize| {
            let amount = u64::try_from(amount).unwrap_or(u64::MAX);
            metrics::counter!("mjumbe_parts_sent_total", "destination" => destination.clone(), "result" => result)
                .increment(amount);
        };
        counter("accepted", outcome.accepted);
        counter("refused", outcome.refused);
        counter("later", outcome.later);
        if outcome.lost > 0 {
            warn!(batch = %batch.id, lost = outcome.lost, "a lease was lost before its answer was written");
        }
        if let Err(failure) = &sent.result {
            let kind = settle::kind_text(failure.kind);
            warn!(batch = %batch.id, kind, code = %failure.reason.code, "a batch did not go through");
        }
        let status = sent.exchanges.last().and_then(|exchange| exchange.status);
        for told in &outcome.answers {
            let settle::Told { delivery, trace, result, code } = told;
            info!(trace, delivery, batch = %batch.id, status, result, code, "a delivery was answered");
        }
        let (accepted, refused, later) = (outcome.accepted, outcome.refused, outcome.later);
        info!(batch = %batch.id, accepted, refused, later, "a batch was settled");
    }

    /// Counts requests and failures of the destination, and stores both.
    async fn account(&self, sent: &Sent) {
        let now = now_ms();
        let requests = u32::try_from(sent.exchanges.len()).unwrap_or(u32::MAX);
        let failure = sent.result.as_ref().err();
        self.change(|state| {
            state.budget.spend(requests, now);
            if !is_unasked(sent) {
                judge(state, failure, now);
            }
        });
        self.store_state(failure.map(|failure| &failure.reason)).await;
    }

    /// Asks the far side whether it is there. True: the circuit is closed.
    async fn probe(&self) -> Result<bool, Error> {
        let limit = self.inner.destination.limits().lease / 2;
        let answer = tokio::time::timeout(limit, self.inner.destination.probe()).await;
        let now = now_ms();
        let failure = match answer {
            Ok(Ok(())) => None,
            Ok(Err(failure)) => Some(failure),
            Err(_) => {
                late(Reason::new("no-answer-in-time", "the probe was not answered in time", "")).result.err()
            }
        };
        self.change(|state| {
            state.budget.spend(1, now);
            judge(state, failure.as_ref(), now);
        });
        self.store_state(failure.as_ref().map(|failure| &failure.reason)).await;
        if failure.is_some() {
            return Ok(false);
        }
        let (tenant, key) = (&self.inner.tenant, self.key());
        let woken = transaction!(self.inner.db, |tx| sending::wake(tx, tenant, &key, now))?;
        info!(woken, "the destination answers again");
        Ok(true)
    }

    async fn store_state(&self, reason: Option<&Reason>) {
        let state = self.state();
        let Some(held) = state.held else { return };
        let cause = reason.map(super::claim::cause).unwrap_or_default();
        let row = DestinationRow {
            circuit: if state.breaker.is_open() { "open" } else { "closed" }.to_owned(),
            circuit_until_ms: state.breaker.open_until_ms,
            failures: i64::from(state.breaker.failures),
            hour: state.budget.hour,
            used: i64::from(state.budget.used),
            cause: if state.breaker.is_open() { cause } else { Cause::default() },
            ..held
        };
        let tenant = &self.inner.tenant;
        let written = transaction!(self.inner.db, |tx| sending::write_destination(tx, tenant, &row));
        if let Err(error) = written {
            warn!(code = error.code(), "the destination's state could not be written");
        }
    }

    /// Now and then, old exchanges are forgotten.
    async fn forget(&self) -> Result<(), Error> {
        let now = now_ms();
        if now - self.state().forgot_ms < FORGET_EVERY_MS {
            return Ok(());
        }
        let tenant = &self.inner.tenant;
        transaction!(self.inner.db, |tx| sending::forget_exchanges(tx, tenant, now - EXCHANGES_KEPT_MS))?;
        self.change(|state| state.forgot_ms = now);
        Ok(())
    }

    fn state(&self) -> State {
        self.inner.state.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn change(&self, with: impl FnOnce(&mut State)) {
        with(&mut self.inner.state.lock().unwrap_or_else(PoisonError::into_inner));
    }
}

/// Whether the far side answered nothing because our time was over: that says nothing about it, neither
/// good nor bad.
fn is_unasked(sent: &Sent) -> bool {
    let answered = sent.exchanges.iter().any(|exchange| exchange.status.is_some());
    !answered && matches!(&sent.result, Err(failure) if failure.kind == FailureKind::Collision)
}

/// What an answer says about the destination as a whole.
fn judge(state: &mut State, failure: Option<&Failure>, now_ms: i64) {
    match failure.map(|failure| failure.kind) {
        None | Some(FailureKind::Rejected | FailureKind::Collision) => state.breaker.succeeded(),
        Some(FailureKind::Unavailable) => state.breaker.failed(now_ms, rand::random()),
        Some(FailureKind::Unauthorised) => state.breaker.refused(now_ms, rand::random()),
        Some(FailureKind::Throttled) => {
            let asked = failure.and_then(|failure| failure.retry_after);
            let wait =
                asked.map_or(THROTTLED_MS, |after| i64::try_from(after.as_millis()).unwrap_or(i64::MAX));
            state.quiet_until_ms = now_ms.saturating_add(wait.min(3_600_000));
        }
    }
}

fn late(reason: Reason) -> Sent {
    let kind = FailureKind::Unavailable;
    Sent { result: Err(Failure { kind, reason, unclear: false, retry_after: None }), exchanges: Vec::new() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::delivery::destination::Exchange;

    fn collision(exchanges: Vec<Exchange>) -> Sent {
        let mut sent = late(Reason::new("c", "m", "h"));
        if let Err(failure) = &mut sent.result {
            failure.kind = FailureKind::Collision;
        }
        Sent { exchanges, ..sent }
    }

    fn exchange(status: Option<u16>) -> Exchange {
        let (method, path) = ("POST".to_owned(), "/".to_owned());
        Exchange { method, path, status, request: String::new(), response: String::new(), elapsed_ms: 1 }
    }

    #[test]
    fn what_was_not_asked_says_nothing_about_the_far_side() {
        assert!(is_unasked(&collision(Vec::new())));
        assert!(is_unasked(&collision(vec![exchange(None)])));
        assert!(!is_unasked(&collision(vec![exchange(Some(409))])), "an answer is a sign of life");
        assert!(!is_unasked(&late(Reason::new("c", "m", "h"))), "an outage counts");
        assert!(!is_unasked(&Sent { result: Ok(Vec::new()), exchanges: Vec::new() }));
    }
}
