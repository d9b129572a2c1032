//! Who has a place on the far side, and what must go out.
//!
//! Pure. A **slot** is a place; each delivery that wants it has a part there. The latest
//! (authored, delivery id) among those that want something has it; the others are superseded and say by
//! whom. Only a part that has its slot and differs from what was accepted goes out.

use std::collections::BTreeMap;

use crate::store::deliveries::{Cause, PartRow, PartStatus, SlotRow, Status};

/// What becomes of the parts of one slot.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Decision {
    /// Parts whose row changes.
    pub changed: Vec<PartRow>,
    /// Deliveries whose part at this slot has nothing left to do and vanishes.
    pub removed: Vec<String>,
}

/// Decides about one slot, given all its parts.
///
/// A dirty part (a count that is not computed yet) waits and leaves the others as they are: the decision
/// is made again when it is computed.
pub fn decide(slot: &SlotRow, parts: &[PartRow]) -> Decision {
    if parts.iter().any(|part| part.dirty) {
        let waiting = parts.iter().filter(|part| part.dirty);
        return collect(waiting.map(|part| (part, with_status(part, PartStatus::Waiting))));
    }
    let standing = |part: &&PartRow| part.status != PartStatus::Cancelled;
    let winner = parts
        .iter()
        .filter(|part| part.wanted.is_some())
        .filter(standing)
        .max_by(|one, other| rank(one).cmp(&rank(other)));
    match winner {
        Some(winner) => won(slot, parts, winner),
        None => nobody_wants(slot, parts),
    }
}

fn rank(part: &PartRow) -> (i64, &str) {
    (part.authored_ms, &part.delivery_id)
}

fn won(slot: &SlotRow, parts: &[PartRow], winner: &PartRow) -> Decision {
    let mut decision = collect(
        parts.iter().filter(|part| part.wanted.is_some() && part.status != PartStatus::Cancelled).map(
            |part| {
                let next = if part.delivery_id == winner.delivery_id {
                    with_status(part, standing_of(slot, part))
                } else {
                    superseded(part, &winner.delivery_id)
                };
                (part, next)
            },
        ),
    );
    decision.removed =
        parts.iter().filter(|part| part.wanted.is_none()).map(|part| part.delivery_id.clone()).collect();
    decision
}

/// All wishes were withdrawn: one of the withdrawn parts removes what is there.
fn nobody_wants(slot: &SlotRow, parts: &[PartRow]) -> Decision {
    let withdrawn = || parts.iter().filter(|part| part.wanted.is_none());
    let nothing_there = slot.sent.is_none() && !slot.in_doubt;
    let remover = withdrawn()
        .filter(|part| !nothing_there && part.status != PartStatus::Cancelled)
        .max_by_key(|part| (part.delivery_id == slot.sent_by, rank(part)));
    let mut decision = collect(remover.map(|part| (part, with_status(part, standing_of(slot, part)))));
    decision.removed = withdrawn()
        .filter(|part| remover.is_none_or(|remover| remover.delivery_id != part.delivery_id))
        .map(|part| part.delivery_id.clone())
        .collect();
    decision
}

fn standing_of(slot: &SlotRow, part: &PartRow) -> PartStatus {
    if part.wanted == slot.sent && !slot.in_doubt {
        PartStatus::Settled
    } else if part.status == PartStatus::Dead {
        PartStatus::Dead
    } else {
        PartStatus::Waiting
    }
}

fn with_status(part: &PartRow, status: PartStatus) -> PartRow {
    let cause = match status {
        PartStatus::Dead | PartStatus::Waiting => part.cause.clone(),
        _ => Cause::default(),
    };
    PartRow { status, superseded_by: String::new(), cause, ..part.clone() }
}

fn superseded(part: &PartRow, by: &str) -> PartRow {
    let status = PartStatus::Superseded;
    PartRow { status, superseded_by: by.to_owned(), cause: Cause::default(), ..part.clone() }
}

fn collect<'a>(pairs: impl IntoIterator<Item = (&'a PartRow, PartRow)>) -> Decision {
    let changed = pairs.into_iter().filter(|(now, next)| *now != next).map(|(_, next)| next);
    Decision { changed: changed.collect(), removed: Vec::new() }
}

/// Which parts of one delivery go out now: those that wait; those that are `last` only when all the
/// others were accepted or are superseded.
pub fn sendable(parts: &[PartRow]) -> Vec<&PartRow> {
    let waits = |part: &&PartRow| part.status == PartStatus::Waiting;
    let first: Vec<&PartRow> = parts.iter().filter(|part| !part.last).filter(waits).collect();
    let open = |part: &PartRow| !matches!(part.status, PartStatus::Settled | PartStatus::Superseded);
    if !first.is_empty() || parts.iter().any(|part| !part.last && open(part)) {
        return first;
    }
    parts.iter().filter(|part| part.last).filter(waits).collect()
}

/// Where a delivery stands, from its parts.
pub fn status_of(parts: &[PartRow]) -> Status {
    if !sendable(parts).is_empty() {
        return Status::Waiting;
    }
    let any = |status: PartStatus| parts.iter().any(|part| part.status == status);
    if any(PartStatus::Dead) {
        Status::Dead
    } else if any(PartStatus::Cancelled) {
        Status::Cancelled
    } else {
        Status::Settled
    }
}

/// What a dead or cancelled delivery is listed under: the cause that most of its parts that are so share.
pub fn cause_of(parts: &[PartRow], status: Status) -> Cause {
    let ended = if status == Status::Cancelled { PartStatus::Cancelled } else { PartStatus::Dead };
    let mut counts: BTreeMap<&str, (usize, &Cause)> = BTreeMap::new();
    for part in parts.iter().filter(|part| part.status == ended) {
        counts.entry(&part.cause.code).or_insert((0, &part.cause)).0 += 1;
    }
    let most = counts.into_values().max_by_key(|(count, _)| *count);
    most.map(|(_, cause)| cause.clone()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn part(delivery: &str, wanted: Option<&str>, authored_ms: i64) -> PartRow {
        PartRow {
            destination: "d".to_owned(),
            slot: "s".to_owned(),
            delivery_id: delivery.to_owned(),
            wanted: wanted.map(str::to_owned),
            authored_ms,
            last: false,
            dirty: false,
            status: PartStatus::Waiting,
            superseded_by: String::new(),
            cause: Cause::default(),
        }
    }

    fn slot(sent: Option<&str>) -> SlotRow {
        SlotRow { slot: "s".to_owned(), sent: sent.map(str::to_owned), ..SlotRow::default() }
    }

    fn apply(slot: &SlotRow, parts: &[PartRow]) -> Vec<(String, PartStatus, String)> {
        let decision = decide(slot, parts);
        parts
            .iter()
            .filter(|part| !decision.removed.contains(&part.delivery_id))
            .map(|part| {
                let changed = decision.changed.iter().find(|c| c.delivery_id == part.delivery_id);
                let part = changed.unwrap_or(part);
                (part.delivery_id.clone(), part.status, part.superseded_by.clone())
            })
            .collect()
    }

    #[test]
    fn the_later_authored_has_the_place_and_the_other_says_so() {
        let parts = [part("a", Some("1"), 10), part("b", Some("2"), 9)];
        let now = apply(&slot(None), &parts);
        assert_eq!(now[0], ("a".into(), PartStatus::Waiting, String::new()));
        assert_eq!(now[1], ("b".into(), PartStatus::Superseded, "a".into()));
    }

    #[test]
    fn equal_times_are_decided_by_the_id() {
        let parts = [part("a", Some("1"), 10), part("b", Some("2"), 10)];
        assert_eq!(apply(&slot(None), &parts)[0].1, PartStatus::Superseded);
    }

    #[test]
    fn what_was_accepted_does_not_go_out_again_unless_in_doubt() {
        let parts = [part("a", Some("1"), 10)];
        assert_eq!(apply(&slot(Some("1")), &parts)[0].1, PartStatus::Settled);
        let doubted = SlotRow { in_doubt: true, ..slot(Some("1")) };
        assert_eq!(apply(&doubted, &parts)[0].1, PartStatus::Waiting);
    }

    #[test]
    fn withdrawal_removes_only_what_nobody_else_wants() {
        let parts = [part("a", None, 10), part("b", Some("2"), 9)];
        assert_eq!(apply(&slot(Some("1")), &parts), [("b".into(), PartStatus::Waiting, String::new())]);
        let alone = [part("a", None, 10)];
        assert_eq!(apply(&slot(Some("1")), &alone)[0].1, PartStatus::Waiting);
        assert!(apply(&slot(None), &alone).is_empty());
    }

    #[test]
    fn the_remover_is_who_sent_it() {
        let sent = SlotRow { sent_by: "a".to_owned(), ..slot(Some("1")) };
        let parts = [part("a", None, 1), part("b", None, 9)];
        assert_eq!(apply(&sent, &parts), [("a".into(), PartStatus::Waiting, String::new())]);
    }

    #[test]
    fn a_removal_that_was_accepted_vanishes() {
        let decision = decide(&slot(None), &[part("a", None, 1)]);
        assert_eq!(decision.removed, ["a"]);
    }

    #[test]
    fn the_dead_stay_dead_and_cancelled_parts_do_not_compete() {
        let dead = PartRow { status: PartStatus::Dead, ..part("a", Some("1"), 10) };
        assert_eq!(apply(&slot(None), std::slice::from_ref(&dead))[0].1, PartStatus::Dead);
        let cancelled = PartRow { status: PartStatus::Cancelled, ..dead };
        let parts = [cancelled, part("b", Some("2"), 1)];
        let now = apply(&slot(None), &parts);
        assert_eq!((now[0].1, now[1].1), (PartStatus::Cancelled, PartStatus::Waiting));
    }

    #[test]
    fn the_last_part_waits_for_all_others() {
        let completion = PartRow { last: true, slot: "z".to_owned(), ..part("a", Some("true"), 1) };
        let value = part("a", Some("1"), 1);
        let both = [completion.clone(), value.clone()];
        assert_eq!(sendable(&both), [&value]);
        let settled = PartRow { status: PartStatus::Settled, ..value.clone() };
        assert_eq!(sendable(&[completion.clone(), settled]), [&completion]);
        let dead = PartRow { status: PartStatus::Dead, ..value };
        let both = [completion, dead];
        assert!(sendable(&both).is_empty());
        assert_eq!(status_of(&both), Status::Dead);
    }

    #[test]
    fn a_delivery_is_listed_under_the_cause_of_most_parts() {
        let with = |code: &str| PartRow {
            status: PartStatus::Dead,
            cause: Cause { code: code.to_owned(), ..Cause::default() },
            ..part("a", Some("1"), 1)
        };
        assert_eq!(cause_of(&[with("x"), with("y"), with("y")], Status::Dead).code, "y");
        assert_eq!(cause_of(&[], Status::Dead).code, "");
    }
}
