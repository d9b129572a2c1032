//! What became of a batch: the far side's answer, written in one transaction.
//!
//! **Invariant:** nothing is written for a delivery whose lease this process no longer holds, but that its
//! places are in doubt (`late`); its next holder asks the far side again. A wish that changed while its predecessor was under way stays a wish.

use std::collections::BTreeSet;

use super::acts::{self, Proof};
use super::backoff;
use super::board::{Board, Moment};
use super::claim::{Batch, Claimed, ClaimedPart, cause, kill, portion, release};
use super::destination::{Failure, FailureKind, Reason, Sent, Settled, Verdict};
use super::identity::{digest, lane_behind};
use super::write_back::{Identifying, Known};
use super::{desk, late, waits, watch};
use crate::store::changes;
use crate::store::db::Tx;
use crate::store::deliveries::sending::{self, AttemptRow, ExchangeRow};
use crate::store::deliveries::{self, DeliveryRow, PartRow, PartStatus, Place, Status};
use crate::store::error::Error;
use crate::store::write::within::Pace;

/// Longest text of a stored request or answer, in bytes.
const EXCHANGE_BYTES_MAX: usize = 65_536;

/// Who settles.
#[derive(Debug, Clone, Copy)]
pub struct Settler<'a> {
    pub tenant: &'a str,
    /// `SYSTEM.NAME`
    pub destination: &'a str,
    /// This process, as it claimed.
    pub owner: &'a str,
    pub now_ms: i64,
    pub horizon: std::time::Duration,
    /// In 0..1, for jitter.
    pub chance: f64,
    pub identifying: &'a Identifying,
}

/// What a settlement changed.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Outcome {
    pub accepted: usize,
    pub refused: usize,
    pub later: usize,
    /// Deliveries whose lease was lost: their answer was not written.
    pub lost: usize,
    /// What the far side said of each delivery whose answer was written.
    pub answers: Vec<Told>,
    /// Resources that are linked now: `Type/id`. Those who look for them are evaluated again.
    pub linked: Vec<String>,
    /// Of the write group with what was written back, if there was one.
    pub pace: Option<Pace>,
}

/// One delivery's answer, as the log tells it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Told {
    pub delivery: String,
    pub trace: String,
    /// `accepted`, `refused`, `later`, or why the whole batch did not go through.
    pub result: String,
    /// The code of the cause; empty where all was accepted.
    pub code: String,
}

/// Writes what became of a batch.
///
/// # Errors
/// The database's.
pub async fn settle(
    tx: &mut Tx,
    settler: &Settler<'_>,
    batch: &Batch,
    sent: &Sent,
) -> Result<Outcome, Error> {
    let mut places: BTreeSet<Place> = batch
        .deliveries
        .iter()
        .flat_map(|claimed| &claimed.parts)
        .map(|part| (settler.destination.to_owned(), part.slot.clone()))
        .collect();
    let ids: Vec<String> = batch.deliveries.iter().map(|claimed| claimed.outgoing.id.clone()).collect();
    // Everything is locked at once and in order, also what may be woken. A failure settles nothing.
    let needers = match &sent.result {
        Ok(_) => waits::needers_at(tx, settler.tenant, (&places, &ids)).await?,
        Err(_) => Vec::new(),
    };
    places.extend(sending::places_of(&deliveries::parts_of(tx, settler.tenant, &needers).await?));
    let all: Vec<String> = ids.iter().chain(&needers).cloned().collect();
    let mut board = Board::open(tx, settler.tenant, places, (&[], &all)).await?;
    let mut outcome = Outcome::default();
    let mut attempts = Vec::new();
    let mut held = Vec::new();
    for (index, claimed) in batch.deliveries.iter().enumerate() {
        if !holds(&board, settler, claimed) {
            outcome.lost += 1;
            late::doubt(&mut board, settler.destination, claimed, (sent, index));
            continue;
        }
        let lone = batch.deliveries.len() == 1;
        let attempt = match &sent.result {
            Ok(settled) => answered(&mut board, settler, claimed, settled.get(index), &mut outcome),
            Err(failure) => failed(&mut board, settler, claimed, failure, lone, &mut outcome),
        };
        outcome.answers.push(Told {
            delivery: claimed.outgoing.id.clone(),
            trace: claimed.trace.clone(),
            result: attempt.outcome.clone(),
            code: attempt.cause.clone(),
        });
        attempts.push(AttemptRow { batch: batch.id.clone(), ..attempt });
        held.push((index, claimed));
    }
    halve(&mut board, batch, sent);
    let moment = Moment { now_ms: settler.now_ms, order_no: highest_order(&board) };
    board.settle_down(moment);
    desk::wake(&mut board, &needers, moment);
    board.save(tx).await?;
    write_links(tx, (settler, &board), &held, sent, &mut outcome).await?;
    let linked: Vec<String> = outcome.linked.iter().map(|resource| watch::link(resource)).collect();
    changes::request_watchers(tx, settler.tenant, &linked).await?;
    wake_behind(tx, settler, &board, &held).await?;
    sending::write_attempts(tx, settler.tenant, &attempts, &exchanges(settler, batch, sent)).await?;
    let known = known(settler, &board, &held, sent);
    outcome.pace = settler.identifying.write(tx, settler.tenant, &known).await?;
    Ok(outcome)
}

/// What the far side calls the resources of these deliveries.
fn known(settler: &Settler<'_>, board: &Board, held: &[(usize, &Claimed)], sent: &Sent) -> Vec<Known> {
    let Ok(settled) = &sent.result else { return Vec::new() };
    let of = |(index, claimed): &(usize, &Claimed)| {
        let remote = settled.get(*index)?.remote.as_deref()?;
        let (resource, row) =
            (claimed.outgoing.link.as_deref()?, board.deliveries.get(&claimed.outgoing.id)?);
        settler.identifying.known(row, resource, remote)
    };
    held.iter().filter_map(of).collect()
}

fn highest_order(board: &Board) -> i64 {
    board.deliveries.values().map(|row| row.order_no).max().unwrap_or(0)
}

fn holds(board: &Board, settler: &Settler<'_>, claimed: &Claimed) -> bool {
    board.deliveries.get(&claimed.outgoing.id).is_some_and(|row| {
        row.status == Status::Sending && row.lease_owner == settler.owner && row.lease_fence == claimed.fence
    })
}

/// The far side answered for this delivery, part by part.
fn answered(
    board: &mut Board,
    settler: &Settler<'_>,
    claimed: &Claimed,
    settled: Option<&Settled>,
    outcome: &mut Outcome,
) -> AttemptRow {
    let silent = Verdict::Unclear(Reason::new(
        "answer-incomplete",
        "the answer does not say what became of this part",
        "it is sent again; if this goes on, please report it with `mjumbe deliveries show`",
    ));
    let mut worst = None;
    let (mut refused, mut later, mut unclear) = (0, 0, false);
    for (index, part) in claimed.parts.iter().enumerate() {
        let verdict = settled.and_then(|settled| settled.parts.get(index)).unwrap_or(&silent);
        note(board, settler, part, settled.and_then(|settled| settled.notes.get(index)));
        match verdict {
            Verdict::Accepted => {
                outcome.accepted += 1;
                accept(board, settler, claimed, part);
            }
            Verdict::Refused(reason) => {
                refused += 1;
                worst = Some(reason.clone());
                refuse(board, settler, claimed, part, reason);
            }
            Verdict::Later(reason) | Verdict::Unclear(reason) => {
                later += 1;
                unclear |= matches!(verdict, Verdict::Unclear(_));
                worst = worst.or_else(|| Some(reason.clone()));
                explain(board, settler, claimed, part, reason);
            }
        }
    }
    outcome.refused += refused;
    outcome.later += later;
    let reason = worst.unwrap_or_else(|| Reason::new("", "", ""));
    let gone = claimed.parts.len() - later;
    if let Some(row) = board.deliveries.get_mut(&claimed.outgoing.id) {
        release(row);
        row.unclear = unclear;
        if portion(&row.batch_group).is_none() {
            row.batch_group.clear();
        }
        row.due_ms = settler.now_ms;
        row.cause = cause(&reason);
        if later == 0 || gone > 0 {
            forgive(row);
        }
        if later > 0 {
            postpone(row, settler, "later", backoff::wait_ms(attempts_after(row), settler.chance));
        }
    }
    let first = settled.map_or(Some(&silent), |settled| settled.parts.first());
    let proof = acts::proof(first, settled.and_then(|settled| settled.remote.as_ref()));
    acts::conclude(board, claimed, proof, settler.now_ms);
    if later > 0 {
        give_up_beyond_horizon(board, settler, claimed, &reason);
    }
    let word = match (refused, later) {
        (0, 0) => "accepted",
        (_, 0) => "refused",
        _ => "later",
    };
    attempt_row(settler, claimed, word, &reason)
}

/// Something was settled: counting failures begins anew.
fn forgive(row: &mut DeliveryRow) {
    row.attempts = 0;
    row.first_failed_ms = 0;
    row.failure.clear();
}

fn attempts_after(row: &DeliveryRow) -> u32 {
    u32::try_from(row.attempts.saturating_add(1)).unwrap_or(u32::MAX)
}

fn postpone(row: &mut DeliveryRow, settler: &Settler<'_>, failure: &str, wait_ms: i64) {
    row.attempts = row.attempts.saturating_add(1);
    failure.clone_into(&mut row.failure);
    row.due_ms = settler.now_ms.saturating_add(wait_ms);
    if row.first_failed_ms == 0 {
        row.first_failed_ms = settler.now_ms;
    }
}

fn place(settler: &Settler<'_>, part: &ClaimedPart) -> Place {
    (settler.destination.to_owned(), part.slot.clone())
}

fn note(board: &mut Board, settler: &Settler<'_>, part: &ClaimedPart, note: Option<&Option<String>>) {
    let slot = board.slots.get_mut(&place(settler, part));
    if let (Some(slot), Some(Some(note))) = (slot, note) {
        slot.remote.clone_from(note);
    }
}

fn accept(board: &mut Board, settler: &Settler<'_>, claimed: &Claimed, part: &ClaimedPart) {
    let place = place(settler, part);
    if let Some(slot) = board.slots.get_mut(&place) {
        slot.sent.clone_from(&part.wanted);
        slot.sent_by.clone_from(&claimed.outgoing.id);
        slot.in_doubt = false;
    }
}

fn refuse(board: &mut Board, settler: &Settler<'_>, claimed: &Claimed, part: &ClaimedPart, reason: &Reason) {
    certain_again(board, settler, part);
    if let Some(row) = still_wanted(board, settler, claimed, part) {
        kill(board, row, reason);
    }
}

/// The request had no effect on this place.
fn certain_again(board: &mut Board, settler: &Settler<'_>, part: &ClaimedPart) {
    if let Some(slot) = board.slots.get_mut(&place(settler, part)) {
        slot.in_doubt = part.was_in_doubt;
    }
}

/// The stored part, where it still wants what was sent and nothing newer.
fn still_wanted(
    board: &Board,
    settler: &Settler<'_>,
    claimed: &Claimed,
    part: &ClaimedPart,
) -> Option<PartRow> {
    let row = board.parts.get(&(claimed.outgoing.id.clone(), place(settler, part)))?;
    (row.wanted == part.wanted && !row.dirty && row.status == PartStatus::Waiting).then(|| row.clone())
}

fn explain(board: &mut Board, settler: &Settler<'_>, claimed: &Claimed, part: &ClaimedPart, reason: &Reason) {
    if let Some(row) = still_wanted(board, settler, claimed, part) {
        let key = (row.delivery_id.clone(), row.place());
        board.parts.insert(key, PartRow { cause: cause(reason), ..row });
    }
}

fn give_up_beyond_horizon(board: &mut Board, settler: &Settler<'_>, claimed: &Claimed, reason: &Reason) {
    let first_failed = board.deliveries.get(&claimed.outgoing.id).map_or(0, |row| row.first_failed_ms);
    if !backoff::beyond_horizon(first_failed, settler.now_ms, settler.horizon) {
        return;
    }
    for part in &claimed.parts {
        if let Some(row) = still_wanted(board, settler, claimed, part) {
            kill(board, row, reason);
        }
    }
}

/// The batch as a whole did not go through.
fn failed(
    board: &mut Board,
    settler: &Settler<'_>,
    claimed: &Claimed,
    failure: &Failure,
    lone: bool,
    outcome: &mut Outcome,
) -> AttemptRow {
    if !failure.unclear {
        claimed.parts.iter().for_each(|part| certain_again(board, settler, part));
    }
    if let Some(row) = board.deliveries.get_mut(&claimed.outgoing.id) {
        release(row);
        row.unclear = claimed.outgoing.unclear || failure.unclear;
        row.due_ms = settler.now_ms;
        row.cause = cause(&failure.reason);
        if failure.kind == FailureKind::Rejected {
            row.batch_group = if lone { narrower(claimed.parts.len()) } else { row.batch_group.clone() };
        } else {
            let wait = wait_ms(failure, attempts_after(row), settler.chance);
            postpone(row, settler, kind_text(failure.kind), wait);
        }
    }
    if failure.kind == FailureKind::Rejected {
        if lone && claimed.parts.len() <= 1 {
            outcome.refused += 1;
            claimed.parts.iter().for_each(|part| refuse(board, settler, claimed, part, &failure.reason));
        }
    } else {
        outcome.later += claimed.parts.len();
        claimed.parts.iter().for_each(|part| explain(board, settler, claimed, part, &failure.reason));
        give_up_beyond_horizon(board, settler, claimed, &failure.reason);
    }
    let proof = if failure.unclear { Proof::Nowise } else { Proof::Nothing };
    acts::conclude(board, claimed, proof, settler.now_ms);
    attempt_row(settler, claimed, kind_text(failure.kind), &failure.reason)
}

/// A lone delivery that was refused as a whole sends half as many parts at once.
fn narrower(parts: usize) -> String {
    format!("parts:{}", parts.div_ceil(2).max(1))
}

fn wait_ms(failure: &Failure, attempts: u32, chance: f64) -> i64 {
    let asked = failure.retry_after.map(|after| i64::try_from(after.as_millis()).unwrap_or(i64::MAX));
    let own = match failure.kind {
        FailureKind::Collision => backoff::collision_wait_ms(attempts, chance),
        FailureKind::Throttled => asked.unwrap_or_else(|| backoff::wait_ms(attempts, chance)),
        FailureKind::Unavailable | FailureKind::Unauthorised | FailureKind::Rejected => {
            backoff::wait_ms(attempts, chance)
        }
    };
    own.max(asked.unwrap_or(0)).min(86_400_000)
}

/// As it is stored and printed.
pub fn kind_text(kind: FailureKind) -> &'static str {
    match kind {
        FailureKind::Unavailable => "unavailable",
        FailureKind::Throttled => "throttled",
        FailureKind::Unauthorised => "unauthorised",
        FailureKind::Rejected => "rejected",
        FailureKind::Collision => "collision",
    }
}

/// A batch that was refused as a whole goes again in two halves, each by itself.
fn halve(board: &mut Board, batch: &Batch, sent: &Sent) {
    let rejected = matches!(&sent.result, Err(failure) if failure.kind == FailureKind::Rejected);
    if !rejected || batch.deliveries.len() < 2 {
        return;
    }
    let half = batch.deliveries.len().div_ceil(2);
    for (index, claimed) in batch.deliveries.iter().enumerate() {
        let side = if index < half { "first" } else { "second" };
        if let Some(row) = board.deliveries.get_mut(&claimed.outgoing.id)
            && row.status != Status::Sending
        {
            row.batch_group = digest(&["half", &batch.id, side]);
        }
    }
}

fn attempt_row(settler: &Settler<'_>, claimed: &Claimed, outcome: &str, reason: &Reason) -> AttemptRow {
    AttemptRow {
        delivery_id: claimed.outgoing.id.clone(),
        number: 0,
        at_ms: settler.now_ms,
        outcome: outcome.to_owned(),
        cause: reason.code.clone(),
        message: reason.message.clone(),
        batch: String::new(),
    }
}

async fn write_links(
    tx: &mut Tx,
    (settler, board): (&Settler<'_>, &Board),
    held: &[(usize, &Claimed)],
    sent: &Sent,
    outcome: &mut Outcome,
) -> Result<(), Error> {
    let Ok(settled) = &sent.result else { return Ok(()) };
    let name = settler.destination.split_once('.').map_or(settler.destination, |(_, name)| name);
    for (index, claimed) in held {
        let remote = settled.get(*index).and_then(|settled| settled.remote.as_deref());
        let (Some(remote), Some(resource)) = (remote, claimed.outgoing.link.as_deref()) else { continue };
        // What happened once is no remote object of the resource.
        let is_act = board.deliveries.get(&claimed.outgoing.id).is_some_and(acts::is_act);
        if is_act || claimed.outgoing.remote.as_deref() == Some(remote) {
            continue;
        }
        let at = (name, claimed.outgoing.target.as_str());
        sending::write_link(tx, settler.tenant, at, (resource, remote, settler.now_ms)).await?;
        outcome.linked.push(resource.to_owned());
    }
    Ok(())
}

/// What the far side left for later behind the lane of something that it takes now is tried now.
async fn wake_behind(
    tx: &mut Tx,
    settler: &Settler<'_>,
    board: &Board,
    held: &[(usize, &Claimed)],
) -> Result<(), Error> {
    let settled = |claimed: &Claimed| {
        board.deliveries.get(&claimed.outgoing.id).is_some_and(|row| row.status == Status::Settled)
    };
    let lanes: BTreeSet<String> = held
        .iter()
        .filter(|(_, claimed)| settled(claimed))
        .map(|(_, claimed)| lane_behind(&claimed.outgoing.lane))
        .collect();
    for lane in lanes {
        sending::wake_lane(tx, settler.tenant, settler.destination, (&lane, settler.now_ms)).await?;
    }
    Ok(())
}

fn exchanges(settler: &Settler<'_>, batch: &Batch, sent: &Sent) -> Vec<ExchangeRow> {
    let number = |value: u64| i64::try_from(value).unwrap_or(i64::MAX);
    sent.exchanges
        .iter()
        .zip(0..)
        .map(|(exchange, ordinal)| ExchangeRow {
            batch: batch.id.clone(),
            ordinal,
            at_ms: settler.now_ms,
            method: exchange.method.clone(),
            path: bounded(&exchange.path),
            status: exchange.status.map_or(0, i64::from),
            request: bounded(&exchange.request),
            response: bounded(&exchange.response),
            elapsed_ms: number(exchange.elapsed_ms),
        })
        .collect()
}

/// The beginning of a long text, cut between characters.
fn bounded(text: &str) -> String {
    if text.len() <= EXCHANGE_BYTES_MAX {
        return text.to_owned();
    }
    let end = text.floor_char_boundary(EXCHANGE_BYTES_MAX);
    let kept = text.get(..end).unwrap_or_default();
    format!("{kept}… ({} bytes in all)", text.len())
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn failure(kind: FailureKind, retry_after: Option<Duration>) -> Failure {
        Failure { kind, reason: Reason::new("x", "x", "x"), unclear: false, retry_after }
    }

    #[test]
    fn the_far_sides_wait_is_kept_but_no_longer_than_a_day() {
        let asked = |seconds| Some(Duration::from_secs(seconds));
        assert_eq!(wait_ms(&failure(FailureKind::Throttled, asked(90)), 1, 0.5), 90_000);
        assert_eq!(wait_ms(&failure(FailureKind::Unavailable, asked(1)), 1, 0.5), 1_000);
        assert_eq!(wait_ms(&failure(FailureKind::Unavailable, asked(u64::MAX)), 1, 0.5), 86_400_000);
        assert_eq!(wait_ms(&failure(FailureKind::Collision, None), 1, 0.5), 1_000);
    }

    #[test]
    fn portions_shrink_to_one() {
        assert_eq!(narrower(8), "parts:4");
        assert_eq!(narrower(3), "parts:2");
        assert_eq!(narrower(2), "parts:1");
    }

    #[test]
    fn long_bodies_are_cut_between_characters() {
        let long = "é".repeat(EXCHANGE_BYTES_MAX);
        assert!(bounded(&long).ends_with("(131072 bytes in all)"));
    }
}
