//! Acts: what should happen once. A flow start, a message, a post.
//!
//! Until an act **begins** it is state: a later evaluation renews it, gives it another time or cancels it. It
//! begins in the transaction that claims it, before its request is made, and is frozen from then on: nothing
//! but the far side's own answer, or a person, changes it. What a later evaluation wants of it meanwhile is put
//! down and taken up only if it is proven that nothing happened.
//!
//! **Never** sends what may have happened: an act whose outcome is not known is looked up first, not before
//! [`LOOK_UP_AFTER_MS`], and what cannot be proven is a dead letter ([`UNPROVABLE`]).

use serde::{Deserialize, Serialize};

use super::board::Board;
use super::claim::Claimed;
use super::destination::{SUPERSEDED, UNPROVABLE, Verdict};
use super::record::Acts;
use crate::store::deliveries::{Cause, DeliveryRow, PartRow, PartStatus, Status};

/// How long after the last request an act of unknown outcome may be looked up: what was taken is listed by
/// then.
pub const LOOK_UP_AFTER_MS: i64 = 120_000;
/// An act that is first wanted this long after its time does not happen by itself.
pub const TOO_LATE_MS: i64 = 86_400_000;

/// Codes of cancelled acts.
pub const NO_LONGER_WANTED: &str = "act-no-longer-wanted";
pub const TOO_LATE: &str = "act-too-late";
pub const BY_PERSON: &str = "cancelled-by-person";

/// Whether a delivery happens once.
pub(super) fn is_act(row: &DeliveryRow) -> bool {
    row.nature == "act"
}

/// The place of an act: its own, whatever its target calls it.
pub(super) fn slot(id: &str) -> String {
    format!("act|{id}")
}

/// What a later evaluation wants of an act that has begun.
#[derive(Debug, Serialize, Deserialize)]
struct Pending {
    wanted: Option<String>,
    body: String,
    lane: String,
    needs: String,
    not_before_ms: i64,
    #[serde(default)]
    hours: String,
    authored_ms: i64,
    mapping_version: String,
    source_version: i64,
}

impl Pending {
    fn of(row: &DeliveryRow, part: &PartRow) -> Self {
        Self {
            wanted: part.wanted.clone(),
            body: row.body.clone(),
            lane: row.lane.clone(),
            needs: row.needs.clone(),
            not_before_ms: row.not_before_ms,
            hours: row.hours.clone(),
            authored_ms: row.authored_ms,
            mapping_version: row.mapping_version.clone(),
            source_version: row.source_version,
        }
    }

    fn onto(self, row: &DeliveryRow, part: &PartRow) -> (DeliveryRow, PartRow) {
        let status = PartStatus::Waiting;
        let cause = Cause::default();
        let part =
            PartRow { wanted: self.wanted, authored_ms: self.authored_ms, status, cause, ..part.clone() };
        let row = DeliveryRow {
            body: self.body,
            lane: self.lane,
            needs: self.needs,
            not_before_ms: self.not_before_ms,
            hours: self.hours,
            authored_ms: self.authored_ms,
            mapping_version: self.mapping_version,
            source_version: self.source_version,
            ..row.clone()
        };
        (row, part)
    }
}

/// What one evaluation wants to happen.
#[derive(Debug, Clone)]
pub(super) struct Wish {
    pub row: DeliveryRow,
    pub part: PartRow,
}

/// An evaluation wants this act.
pub(super) fn want(board: &mut Board, wish: &Wish, (acts, now_ms): (Acts, i64)) {
    let key = (wish.part.delivery_id.clone(), wish.part.place());
    let Some(row) = board.deliveries.get_mut(&wish.row.id) else { return };
    let known = board.parts.get(&key);
    if let Some(known) = known
        && row.begun_ms != 0
    {
        row.withdrawn = false;
        let same = known.wanted == wish.part.wanted && row.not_before_ms == wish.row.not_before_ms;
        row.pending = match same || row.status == Status::Settled {
            true => String::new(),
            false => serde_json::to_string(&Pending::of(&wish.row, &wish.part)).unwrap_or_default(),
        };
        return;
    }
    // What a person replays without its acts begins nothing that was given up.
    if acts == Acts::Withheld && known.is_some_and(|known| known.status == PartStatus::Cancelled) {
        return;
    }
    let part = renewed(known, &wish.part, judge(known, row, &wish.row, now_ms));
    if (row.not_before_ms, &row.hours) != (wish.row.not_before_ms, &wish.row.hours) {
        row.not_before_ms = wish.row.not_before_ms;
        row.hours.clone_from(&wish.row.hours);
        row.due_ms = now_ms.max(row.not_before_ms);
    }
    super::record::renew(row, &wish.row);
    board.parts.insert(key, part);
}

/// What becomes of an act that is wanted and has not begun.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Judgement {
    /// As any other state.
    Goes,
    /// Wanted again after it was not, or at another time.
    GoesAgain,
    /// A person gave it up, or it was too late already: it stays so.
    StaysCancelled,
    /// Its time was over long before anybody wanted it.
    TooLate,
}

fn judge(known: Option<&PartRow>, row: &DeliveryRow, new: &DeliveryRow, now_ms: i64) -> Judgement {
    let cancelled =
        known.filter(|part| part.status == PartStatus::Cancelled).map(|part| part.cause.code.as_str());
    let another_time = row.not_before_ms != new.not_before_ms;
    let is_judged_anew = match cancelled {
        Some(NO_LONGER_WANTED) => true,
        Some(TOO_LATE) => another_time,
        Some(_) => return Judgement::StaysCancelled,
        None => known.is_none() || another_time,
    };
    let is_late = new.not_before_ms != 0 && now_ms.saturating_sub(new.not_before_ms) > TOO_LATE_MS;
    match (is_judged_anew, cancelled) {
        (true, _) if is_late => Judgement::TooLate,
        (false, Some(_)) => Judgement::StaysCancelled,
        (true, Some(_)) => Judgement::GoesAgain,
        _ => Judgement::Goes,
    }
}

fn renewed(known: Option<&PartRow>, new: &PartRow, judgement: Judgement) -> PartRow {
    match (judgement, known) {
        (Judgement::StaysCancelled, Some(known)) => {
            PartRow { status: PartStatus::Cancelled, cause: known.cause.clone(), ..new.clone() }
        }
        (Judgement::TooLate, _) => cancelled(new.clone(), too_late()),
        (Judgement::Goes, Some(known)) if known.wanted == new.wanted => {
            PartRow { authored_ms: new.authored_ms, ..known.clone() }
        }
        _ => new.clone(),
    }
}

fn cancelled(part: PartRow, cause: Cause) -> PartRow {
    PartRow { status: PartStatus::Cancelled, cause, ..part }
}

fn cause(code: &str, message: &str, hint: &str) -> Cause {
    Cause { code: code.to_owned(), message: message.to_owned(), hint: hint.to_owned() }
}

fn too_late() -> Cause {
    cause(
        TOO_LATE,
        "it was first wanted more than a day after its time",
        "it does not happen by itself; `mjumbe deliveries retry` lets it happen now",
    )
}

fn no_longer_wanted() -> Cause {
    cause(
        NO_LONGER_WANTED,
        "a later version of its source does not want it any more",
        "nothing is to be done; it waits again as soon as it is wanted again",
    )
}

/// What a person gave up.
pub(super) fn by_person() -> Cause {
    cause(
        BY_PERSON,
        "a person gave it up",
        "it stays so whatever its source says; `mjumbe deliveries retry` lets it happen after all",
    )
}

/// No evaluation wants this act any more: it is cancelled unless it has begun.
pub(super) fn withdraw(board: &mut Board, id: &str) {
    let Some(row) = board.deliveries.get_mut(id) else { return };
    row.withdrawn = true;
    row.pending.clear();
    if row.begun_ms != 0 {
        return;
    }
    let parts = board.parts_of(id).into_iter();
    for part in parts.filter(|part| matches!(part.status, PartStatus::Waiting | PartStatus::Dead)) {
        let part = cancelled(part, no_longer_wanted());
        board.parts.insert((part.delivery_id.clone(), part.place()), part);
    }
}

/// A claim begins it: from now on a request may be under way.
pub(super) fn begin(row: &mut DeliveryRow, now_ms: i64) {
    if is_act(row) && row.begun_ms == 0 {
        row.begun_ms = now_ms;
    }
}

/// When it may be looked up whether an act happened whose last request was not made after `requested_ms`.
/// Other deliveries may go at once.
pub(super) fn look_up_from(row: &DeliveryRow, requested_ms: i64) -> i64 {
    if is_act(row) && row.begun_ms != 0 { requested_ms.saturating_add(LOOK_UP_AFTER_MS) } else { 0 }
}

/// When a person who asks for it now may let a delivery go out: no act goes before its time, and none that may
/// have happened before it can be looked up.
pub(super) fn earliest(row: &DeliveryRow, now_ms: i64) -> i64 {
    // It was last written no earlier than its last request was made.
    now_ms.max(row.not_before_ms).max(look_up_from(row, row.updated_ms))
}

/// What an answer proves of an act.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Proof {
    /// It happened; what the far side calls it.
    Happened(Option<String>),
    /// Nothing happened by this attempt.
    Nothing,
    /// Nothing happened, by this attempt or by an earlier one.
    Never,
    Nowise,
}

/// What the verdict on an act's only part proves.
pub(super) fn proof(verdict: Option<&Verdict>, remote: Option<&String>) -> Proof {
    match verdict {
        Some(Verdict::Accepted) => Proof::Happened(remote.cloned()),
        Some(Verdict::Refused(reason)) if reason.code == UNPROVABLE => Proof::Nowise,
        // The far side shows what it made of it, and that it failed.
        Some(Verdict::Refused(_)) if remote.is_some() => Proof::Never,
        Some(Verdict::Later(reason)) if reason.code == SUPERSEDED => Proof::Never,
        Some(Verdict::Refused(_) | Verdict::Later(_)) => Proof::Nothing,
        Some(Verdict::Unclear(_)) | None => Proof::Nowise,
    }
}

/// Writes down what an answer proves. The claim was ended already; nothing happens for other deliveries.
pub(super) fn conclude(board: &mut Board, claimed: &Claimed, proof: Proof, now_ms: i64) {
    let id = &claimed.outgoing.id;
    let Some(row) = board.deliveries.get_mut(id).filter(|row| is_act(row)) else { return };
    match proof {
        Proof::Happened(remote) => {
            row.remote = remote.unwrap_or_default();
            row.unclear = false;
            row.pending.clear();
        }
        Proof::Nothing => {
            row.unclear = claimed.outgoing.unclear;
            row.begun_ms = claimed.outgoing.begun_ms;
            if row.begun_ms == 0 {
                nothing_happened(board, id, now_ms);
            }
        }
        Proof::Never => {
            // Nothing has failed yet of what is wanted now.
            (row.attempts, row.first_failed_ms) = (0, 0);
            row.due_ms = now_ms.max(row.not_before_ms);
            nothing_happened(board, id, now_ms);
        }
        Proof::Nowise => {
            row.unclear = true;
            row.due_ms = row.due_ms.max(now_ms.saturating_add(LOOK_UP_AFTER_MS));
        }
    }
}

/// It is state again: what was wanted of it meanwhile is taken up.
pub(super) fn nothing_happened(board: &mut Board, id: &str, now_ms: i64) {
    let Some(row) = board.deliveries.get_mut(id) else { return };
    row.begun_ms = 0;
    row.unclear = false;
    let (pending, place) = (std::mem::take(&mut row.pending), (row.destination.clone(), slot(id)));
    if let Some(slot) = board.slots.get_mut(&place) {
        slot.in_doubt = false;
    }
    if board.deliveries.get(id).is_some_and(|row| row.withdrawn) {
        return withdraw(board, id);
    }
    let known = board.deliveries.get(id).zip(board.parts.get(&(id.to_owned(), place)));
    if let (Some((row, part)), Ok(pending)) = (known, serde_json::from_str::<Pending>(&pending)) {
        let (row, part) = pending.onto(row, part);
        want(board, &Wish { row, part }, (Acts::Made, now_ms));
    }
}
