//! What goes out next: a batch of deliveries, one of each lane, under a fenced lease.
//!
//! One transaction: counted cells are computed, what the metadata refuses becomes dead, and the places
//! that a request is going to touch are marked in doubt **before** it is made, so that a crash between
//! sending and settling is not mistaken for certainty.

use std::collections::BTreeMap;

use serde_json::Value;

use super::board::{Board, Moment};
use super::destination::{Destination, Family, Limits, Outgoing, OutgoingPart, Reason};
use super::hold::Terms;
use super::identity::{destination_key, digest};
use super::{acts, cells, links, slots, waits};
use crate::store::db::Tx;
use crate::store::deliveries::{self, Cause, DeliveryRow, PartRow, PartStatus, Status, sending};
use crate::store::error::Error;
use crate::telemetry::trace_id;

/// Who claims, and for how long.
#[derive(Clone, Copy)]
pub struct Claimer<'a> {
    pub tenant: &'a str,
    pub destination: &'a dyn Destination,
    pub limits: Limits,
    /// This process.
    pub owner: &'a str,
    pub terms: Terms,
    pub now_ms: i64,
}

/// A claimed batch. Whoever holds it sends it before half its lease is over, and settles it.
#[derive(Debug, Clone, Default)]
pub struct Batch {
    /// Names its exchanges.
    pub id: String,
    pub until_ms: i64,
    /// Of the hold of the destination under which it was claimed.
    pub hold_fence: i64,
    pub deliveries: Vec<Claimed>,
    /// Deliveries that were due and wait for something named now: there may be others behind them.
    pub put_off: usize,
}

#[derive(Debug, Clone)]
pub struct Claimed {
    pub outgoing: Outgoing,
    /// The id that its source's log lines carry; empty for a count, which has many sources.
    pub trace: String,
    pub fence: i64,
    /// The places, as they are stored, and whether each was in doubt before this claim.
    pub parts: Vec<ClaimedPart>,
}

#[derive(Debug, Clone)]
pub struct ClaimedPart {
    pub slot: String,
    pub wanted: Option<String>,
    pub was_in_doubt: bool,
}

impl Batch {
    pub fn outgoing(&self) -> Vec<Outgoing> {
        self.deliveries.iter().map(|claimed| claimed.outgoing.clone()).collect()
    }
}

impl Claimer<'_> {
    pub fn key(&self) -> String {
        destination_key(self.destination.system(), self.destination.name())
    }

    /// When a claim that is made now ends.
    fn until_ms(&self) -> i64 {
        self.now_ms.saturating_add(i64::try_from(self.limits.lease.as_millis()).unwrap_or(i64::MAX))
    }
}

/// Puts deliveries whose sender vanished back to waiting; what became of them is unclear. `predecessor`
/// has vanished for certain, so that the end of its claims need not be waited for; empty: nobody.
///
/// # Errors
/// The database's.
pub async fn reclaim(tx: &mut Tx, claimer: &Claimer<'_>, predecessor: &str) -> Result<usize, Error> {
    let gone = (claimer.now_ms, predecessor);
    let ids = sending::abandoned(tx, claimer.tenant, &claimer.key(), gone).await?;
    if ids.is_empty() {
        return Ok(0);
    }
    let parts = deliveries::parts_of(tx, claimer.tenant, &ids).await?;
    let mut board = Board::open(tx, claimer.tenant, sending::places_of(&parts), (&[], &ids)).await?;
    let mut released = 0;
    for id in &ids {
        let Some(row) = board.deliveries.get_mut(id) else { continue };
        let vanished = row.lease_until_ms <= claimer.now_ms || row.lease_owner == predecessor;
        if row.status != Status::Sending || !vanished {
            continue;
        }
        released += 1;
        let silent_ms = claimer.terms.silent_ms(&claimer.limits);
        let sent_until_ms = claimer.now_ms.min(row.lease_until_ms.saturating_sub(silent_ms));
        release(row);
        row.unclear = true;
        row.attempts += 1;
        row.due_ms = claimer.now_ms.max(acts::look_up_from(row, sent_until_ms));
        if row.first_failed_ms == 0 {
            row.first_failed_ms = claimer.now_ms;
        }
    }
    board.settle_down(Moment { now_ms: claimer.now_ms, order_no: 0 });
    board.save(tx).await?;
    Ok(released)
}

/// Ends a claim; where the delivery stands is decided next.
pub(super) fn release(row: &mut DeliveryRow) {
    row.status = Status::Waiting;
    row.lease_owner.clear();
    row.lease_until_ms = 0;
}

/// Claims the next batch, under the hold of the destination with this fence. An empty batch: nothing is due, or
/// what was due was put off. `None`: another process has taken the destination.
///
/// # Errors
/// The database's.
pub async fn claim(tx: &mut Tx, claimer: &Claimer<'_>, hold_fence: i64) -> Result<Option<Batch>, Error> {
    let holder = (claimer.owner, hold_fence);
    if !sending::holds_destination(tx, claimer.tenant, &claimer.key(), holder).await? {
        return Ok(None);
    }
    let limits = claimer.limits;
    let most = i64::try_from(limits.batch_deliveries.max(1)).unwrap_or(i64::MAX).saturating_mul(2);
    let found = sending::due(tx, claimer.tenant, &claimer.key(), (claimer.now_ms, most)).await?;
    let sifted = waits::sift(tx, claimer, found).await?;
    let (picked, family) = pick(sifted.ready, claimer.destination);
    let blocked = sifted.blocked;
    let mut ids: Vec<String> = picked.iter().map(|row| row.id.clone()).collect();
    ids.extend(blocked.iter().map(|(row, _)| row.id.clone()));
    let nothing = Batch { put_off: blocked.len(), hold_fence, ..Batch::default() };
    if ids.is_empty() {
        return Ok(Some(nothing));
    }
    let parts: Vec<PartRow> =
        sifted.parts.into_iter().filter(|part| ids.contains(&part.delivery_id)).collect();
    let mut board = Board::open(tx, claimer.tenant, sending::places_of(&parts), (&[], &ids)).await?;
    // What was read before the locks may have changed meanwhile: such a one is left for the next claim.
    let stands = |row: &DeliveryRow| waits::still(&board, (row, &parts), claimer.now_ms);
    let picked: Vec<DeliveryRow> = picked.into_iter().filter(stands).collect();
    let blocked: waits::Blocked = blocked.into_iter().filter(|(row, _)| stands(row)).collect();
    let blocked = waits::confirm(tx, claimer.tenant, blocked).await?;
    let moment =
        Moment { now_ms: claimer.now_ms, order_no: picked.iter().map(|row| row.order_no).max().unwrap_or(0) };
    waits::block(&mut board, &blocked, claimer.now_ms);
    cells::compute(tx, claimer.tenant, &mut board).await?;
    board.settle_down(moment);
    let mut batch = Batch { until_ms: claimer.until_ms(), ..nothing };
    fill(tx, claimer, &mut board, (&picked, family.parts, moment), &mut batch).await?;
    board.save(tx).await?;
    if let Some(first) = batch.deliveries.first() {
        let fence = first.fence.to_string();
        batch.id = digest(&["batch", claimer.tenant, &first.outgoing.id, &fence]);
    }
    Ok(Some(batch))
}

/// Makes a part dead.
pub(super) fn kill(board: &mut Board, part: PartRow, reason: &Reason) {
    let key = (part.delivery_id.clone(), part.place());
    board.parts.insert(key, PartRow { status: PartStatus::Dead, cause: cause(reason), ..part });
}

pub(super) fn cause(reason: &Reason) -> Cause {
    Cause { code: reason.code.clone(), message: reason.message.clone(), hint: reason.hint.clone() }
}

/// Deliveries that may travel together: of one family, and those of one group, or those of none; one of each
/// lane. One that sends its parts in portions travels alone.
fn pick(ready: Vec<DeliveryRow>, destination: &dyn Destination) -> (Vec<DeliveryRow>, Family) {
    let Some(first) = ready.first() else { return (ready, destination.family("")) };
    let (group, family) = (first.batch_group.clone(), destination.family(&first.target));
    let most = if portion(&group).is_some() { 1 } else { family.deliveries.max(1) };
    let mut lanes: BTreeMap<String, (i64, String)> = BTreeMap::new();
    for row in &ready {
        let place = (row.order_no, row.id.clone());
        let first = lanes.entry(row.lane.clone()).or_insert_with(|| place.clone());
        *first = place.min(first.clone());
    }
    let leads = |row: &DeliveryRow| lanes.get(&row.lane).is_some_and(|(_, id)| *id == row.id);
    let together =
        |row: &DeliveryRow| row.batch_group == group && destination.family(&row.target).name == family.name;
    (ready.into_iter().filter(|row| together(row) && leads(row)).take(most).collect(), family)
}

/// How many parts a delivery sends at once after it was refused as a whole: `parts:N`.
pub(super) fn portion(group: &str) -> Option<usize> {
    group.strip_prefix("parts:")?.parse().ok()
}

/// Claims what fits into one batch.
async fn fill(
    tx: &mut Tx,
    claimer: &Claimer<'_>,
    board: &mut Board,
    (picked, most, moment): (&[DeliveryRow], usize, Moment),
    batch: &mut Batch,
) -> Result<(), Error> {
    let mut room = most.max(1);
    for row in picked {
        let parts = outgoing_parts(board, &row.id, room, batch.deliveries.is_empty());
        if parts.is_empty() {
            continue;
        }
        let Some(outgoing) = outgoing(tx, claimer, board, &row.id, &parts).await? else { continue };
        let refused = claimer.destination.check(&outgoing);
        if !refused.is_empty() {
            for (index, reason) in &refused {
                if let Some(part) = parts.get(*index) {
                    kill(board, part.clone(), reason);
                }
            }
            board.settle_down(moment);
        }
        let left: Vec<usize> =
            (0..parts.len()).filter(|index| !refused.iter().any(|(at, _)| at == index)).collect();
        if let Some(claimed) = take(board, claimer, (outgoing, &parts, &left), batch.until_ms) {
            room = room.saturating_sub(claimed.parts.len());
            batch.deliveries.push(claimed);
        }
        if room == 0 {
            break;
        }
    }
    Ok(())
}

/// The parts of a delivery that go out now, as far as there is room. A delivery is only cut where it is
/// the first of its batch.
fn outgoing_parts(board: &Board, id: &str, room: usize, first: bool) -> Vec<PartRow> {
    let waits = board.deliveries.get(id).filter(|row| row.status == Status::Waiting);
    let Some(row) = waits else { return Vec::new() };
    let all = board.parts_of(id);
    let mut parts: Vec<PartRow> = slots::sendable(&all).into_iter().cloned().collect();
    if parts.len() > room && !first {
        return Vec::new();
    }
    parts.truncate(portion(&row.batch_group).unwrap_or(room).min(room).max(1));
    parts
}

async fn outgoing(
    tx: &mut Tx,
    claimer: &Claimer<'_>,
    board: &Board,
    id: &str,
    parts: &[PartRow],
) -> Result<Option<Outgoing>, Error> {
    let Some(row) = board.deliveries.get(id) else { return Ok(None) };
    let link = (!row.link.is_empty()).then(|| row.link.clone());
    let remote = match &link {
        _ if row.nature == "act" => Some(row.remote.clone()).filter(|remote| !remote.is_empty()),
        None => None,
        Some(link) => {
            let at = (claimer.destination.name(), row.target.as_str());
            let links = sending::links_at(tx, claimer.tenant, at, std::slice::from_ref(link)).await?;
            links.into_iter().next().map(|(_, remote)| remote)
        }
    };
    let parts = parts
        .iter()
        .map(|part| OutgoingPart {
            slot: part.slot.clone(),
            wanted: part.wanted.as_deref().map(json),
            sent: board.slots.get(&part.place()).and_then(|slot| slot.sent.as_deref()).map(json),
            note: board.slots.get(&part.place()).map(|slot| slot.remote.clone()).unwrap_or_default(),
        })
        .collect::<Vec<_>>();
    let body = json(&row.body);
    let named = links::named(parts.iter().filter_map(|part| part.wanted.as_ref()).chain([&body]));
    let at = (claimer.destination.system(), claimer.destination.name());
    let links = links::remote_ids(tx, claimer.tenant, at, &named).await?;
    Ok(Some(Outgoing {
        id: row.id.clone(),
        target: row.target.clone(),
        lane: row.lane.clone(),
        body,
        parts,
        links,
        link,
        remote,
        attempt: u32::try_from(row.attempts).unwrap_or(u32::MAX),
        unclear: row.unclear,
        begun_ms: row.begun_ms,
        superseded: row.begun_ms != 0 && (row.withdrawn || !row.pending.is_empty()),
    }))
}

/// What was stored by this room is JSON.
fn json(text: &str) -> Value {
    serde_json::from_str(text).unwrap_or(Value::Null)
}

/// Puts one delivery under the lease, with the parts that are `left` after the check.
fn take(
    board: &mut Board,
    claimer: &Claimer<'_>,
    (mut outgoing, parts, left): (Outgoing, &[PartRow], &[usize]),
    until_ms: i64,
) -> Option<Claimed> {
    let kept: Vec<&PartRow> = left.iter().filter_map(|index| parts.get(*index)).collect();
    if kept.is_empty() {
        return None;
    }
    let is_held = |part: &&PartRow| board.slots.contains_key(&part.place());
    if !board.deliveries.contains_key(&outgoing.id) || !kept.iter().all(is_held) {
        return None;
    }
    let all = std::mem::take(&mut outgoing.parts);
    outgoing.parts =
        all.into_iter().enumerate().filter(|(index, _)| left.contains(index)).map(|(_, part)| part).collect();
    let mut claimed = Vec::with_capacity(kept.len());
    for part in kept {
        let slot = board.slots.get_mut(&part.place())?;
        let was_in_doubt = std::mem::replace(&mut slot.in_doubt, true);
        claimed.push(ClaimedPart { slot: part.slot.clone(), wanted: part.wanted.clone(), was_in_doubt });
    }
    let row = board.deliveries.get_mut(&outgoing.id)?;
    row.status = Status::Sending;
    claimer.owner.clone_into(&mut row.lease_owner);
    row.lease_fence += 1;
    row.lease_until_ms = until_ms;
    row.updated_ms = claimer.now_ms;
    acts::begin(row, claimer.now_ms);
    if !std::mem::take(&mut row.waits_for).is_empty() {
        row.cause = Cause::default();
    }
    // Until an answer says otherwise.
    let fence = row.lease_fence;
    let trace = row.source.split_once('/').map(|(kind, id)| trace_id(claimer.tenant, kind, id));
    Some(Claimed { outgoing, trace: trace.unwrap_or_default(), fence, parts: claimed })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn portions_are_read_from_the_group() {
        assert_eq!(portion("parts:4"), Some(4));
        assert_eq!(portion("0a1b"), None);
    }
}
