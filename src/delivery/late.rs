//! An answer that comes after the lease of its delivery was lost.
//!
//! A process that stands still for longer than a take-over provides for (it was stopped, or its machine) may
//! have written an old value over what its successor sent meanwhile. Nobody knows what the far side holds then:
//! the places are in doubt again, and whoever has them now goes out once more.
//!
//! **Never** takes such an answer for what is there. Acts are left alone: what became of one is looked up.

use std::collections::BTreeSet;

use super::acts;
use super::board::Board;
use super::claim::Claimed;
use super::destination::{Sent, Verdict};
use crate::store::deliveries::{PartStatus, Place, Status};

/// Puts the places in doubt that the request for this delivery, the batch's `index`th, may have changed.
pub(super) fn doubt(board: &mut Board, destination: &str, claimed: &Claimed, (sent, index): (&Sent, usize)) {
    let id = &claimed.outgoing.id;
    let row = board.deliveries.get(id);
    if row.is_some_and(acts::is_act) {
        return;
    }
    // Written by this claim already: its commit was not heard of, and nobody came in between.
    let is_ours = row.is_some_and(|row| row.lease_fence == claimed.fence);
    let mut doubted = BTreeSet::new();
    for (at, part) in claimed.parts.iter().enumerate() {
        let place: Place = (destination.to_owned(), part.slot.clone());
        let Some(slot) = board.slots.get_mut(&place) else { continue };
        if may_have_changed(sent, (index, at)) && !(is_ours && slot.sent_by == *id) {
            slot.in_doubt = true;
            doubted.insert(place);
        }
    }
    warn_holders(board, &doubted);
}

/// Whether the request may have changed what is at a place: no answer proves that it did not.
fn may_have_changed(sent: &Sent, (index, at): (usize, usize)) -> bool {
    match &sent.result {
        Err(failure) => failure.unclear,
        Ok(settled) => {
            let verdict = settled.get(index).and_then(|settled| settled.parts.get(at));
            !matches!(verdict, Some(Verdict::Refused(_)))
        }
    }
}

/// Whoever has one of these places looks before it sends. Where a request for it is under way at this moment its
/// answer proves nothing any more: its claim is void, and it comes again when that would have ended.
fn warn_holders(board: &mut Board, doubted: &BTreeSet<Place>) {
    let has = |status: PartStatus| matches!(status, PartStatus::Waiting | PartStatus::Settled);
    let holders: BTreeSet<String> = board
        .parts
        .values()
        .filter(|part| has(part.status) && doubted.contains(&part.place()))
        .map(|part| part.delivery_id.clone())
        .collect();
    for id in holders {
        let Some(row) = board.deliveries.get_mut(&id).filter(|row| !acts::is_act(row)) else { continue };
        if row.status == Status::Sending {
            row.lease_fence += 1;
        }
        row.unclear = true;
    }
}
