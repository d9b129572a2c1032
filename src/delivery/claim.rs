//! What goes out next: a batch of deliveries, one of each lane, under a fenced lease.
//!
//! One transaction: counted cells are computed, what the metadata refuses becomes dead, and the places
//! that a request is going to touch are marked in doubt **before** it is made, so that a crash between
//! sending and settling is not mistaken for certainty.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use super::aggregate::{self, Contributed};
use super::board::{Board, Moment};
use super::destination::{Destination, Limits, Outgoing, OutgoingPart, Reason};
use super::identity::{canonical, destination_key, digest};
use super::slots;
use crate::mapping::output::Aggregate;
use crate::store::db::Tx;
use crate::store::deliveries::{
    self, Cause, ContributionRow, DeliveryRow, PartRow, PartStatus, Place, Status, sending,
};
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
    pub now_ms: i64,
}

/// A claimed batch. Whoever holds it sends it before half its lease is over, and settles it.
#[derive(Debug, Clone)]
pub struct Batch {
    /// Names its exchanges.
    pub id: String,
    pub until_ms: i64,
    pub deliveries: Vec<Claimed>,
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
        release(row);
        row.unclear = true;
        row.attempts += 1;
        row.due_ms = claimer.now_ms;
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

/// Claims the next batch. An empty batch: nothing is due.
///
/// # Errors
/// The database's.
pub async fn claim(tx: &mut Tx, claimer: &Claimer<'_>) -> Result<Batch, Error> {
    let limits = claimer.limits;
    let most = i64::try_from(limits.batch_deliveries.max(1)).unwrap_or(i64::MAX).saturating_mul(2);
    let found = sending::due(tx, claimer.tenant, &claimer.key(), (claimer.now_ms, most)).await?;
    let (ready, blocked) = by_needs(tx, claimer.tenant, found).await?;
    let picked = pick(ready, limits.batch_deliveries.max(1));
    let mut ids: Vec<String> = picked.iter().map(|row| row.id.clone()).collect();
    ids.extend(blocked.iter().map(|(id, _)| id.clone()));
    if ids.is_empty() {
        return Ok(Batch { id: String::new(), until_ms: 0, deliveries: Vec::new() });
    }
    let parts = deliveries::parts_of(tx, claimer.tenant, &ids).await?;
    let mut board = Board::open(tx, claimer.tenant, sending::places_of(&parts), (&[], &ids)).await?;
    let moment =
        Moment { now_ms: claimer.now_ms, order_no: picked.iter().map(|row| row.order_no).max().unwrap_or(0) };
    block(&mut board, &blocked, claimer.now_ms);
    compute_cells(tx, claimer.tenant, &mut board).await?;
    board.settle_down(moment);
    let mut batch = fill(tx, claimer, &mut board, &picked, moment).await?;
    board.save(tx).await?;
    if let Some(first) = batch.deliveries.first() {
        let fence = first.fence.to_string();
        batch.id = digest(&["batch", claimer.tenant, &first.outgoing.id, &fence]);
    }
    Ok(batch)
}

/// What a delivery waits for, when it may not go out.
enum Need {
    /// Not settled yet.
    Unsettled,
    /// Dead, cancelled or never made.
    Dead(String),
}

type Blocked = Vec<(String, Need)>;

/// Parts those whose needed deliveries are settled from the others.
async fn by_needs(
    tx: &mut Tx,
    tenant: &str,
    found: Vec<DeliveryRow>,
) -> Result<(Vec<DeliveryRow>, Blocked), Error> {
    let mut ready = Vec::new();
    let mut blocked = Vec::new();
    for row in found {
        let needs: Vec<String> = serde_json::from_str(&row.needs).unwrap_or_default();
        if needs.is_empty() {
            ready.push(row);
            continue;
        }
        let siblings = sending::siblings(tx, tenant, &row.mapping, row.rid).await?;
        match unmet(&needs, &siblings) {
            None => ready.push(row),
            Some(need) => blocked.push((row.id, need)),
        }
    }
    Ok((ready, blocked))
}

fn unmet(needs: &[String], siblings: &[(String, String)]) -> Option<Need> {
    let mut unsettled = false;
    for need in needs {
        let statuses: Vec<&str> =
            siblings.iter().filter(|(id, _)| id == need).map(|(_, status)| status.as_str()).collect();
        let given_up = |status: &&str| *status == "dead" || *status == "cancelled";
        if statuses.is_empty() || statuses.iter().any(given_up) {
            return Some(Need::Dead(need.clone()));
        }
        unsettled |= statuses.iter().any(|status| *status != "settled");
    }
    unsettled.then_some(Need::Unsettled)
}

/// How long a delivery waits before it asks again whether what it needs is settled.
const NEED_WAIT_MS: i64 = 5_000;

fn block(board: &mut Board, blocked: &Blocked, now_ms: i64) {
    for (id, need) in blocked {
        match need {
            Need::Unsettled => {
                if let Some(row) = board.deliveries.get_mut(id) {
                    row.due_ms = now_ms + NEED_WAIT_MS;
                }
            }
            Need::Dead(need) => {
                let reason = Reason::new(
                    "needs-not-settled",
                    format!("it needs {need}, which is dead, cancelled or not wanted"),
                    "see to that delivery first, then retry this one",
                );
                let waiting: Vec<PartRow> = board
                    .parts_of(id)
                    .into_iter()
                    .filter(|part| part.status == PartStatus::Waiting)
                    .collect();
                waiting.into_iter().for_each(|part| kill(board, part, &reason));
            }
        }
    }
}

/// Makes a part dead.
pub(super) fn kill(board: &mut Board, part: PartRow, reason: &Reason) {
    let key = (part.delivery_id.clone(), part.place());
    board.parts.insert(key, PartRow { status: PartStatus::Dead, cause: cause(reason), ..part });
}

pub(super) fn cause(reason: &Reason) -> Cause {
    Cause { code: reason.code.clone(), message: reason.message.clone(), hint: reason.hint.clone() }
}

/// At most `most` deliveries that may travel together: those of one group, or those of none. One that
/// sends its parts in portions travels alone.
fn pick(ready: Vec<DeliveryRow>, most: usize) -> Vec<DeliveryRow> {
    let Some(group) = ready.first().map(|row| row.batch_group.clone()) else { return ready };
    let alone = portion(&group).is_some();
    let most = if alone { 1 } else { most };
    ready.into_iter().filter(|row| row.batch_group == group).take(most).collect()
}

/// How many parts a delivery sends at once after it was refused as a whole: `parts:N`.
pub(super) fn portion(group: &str) -> Option<usize> {
    group.strip_prefix("parts:")?.parse().ok()
}

/// Computes the dirty cells that the board has locked.
async fn compute_cells(tx: &mut Tx, tenant: &str, board: &mut Board) -> Result<(), Error> {
    let locked: BTreeSet<Place> = board.slots.keys().cloned().collect();
    let dirty: Vec<PartRow> =
        board.parts.values().filter(|part| part.dirty && locked.contains(&part.place())).cloned().collect();
    for part in dirty {
        let rows = deliveries::contributions_at(tx, tenant, &part.delivery_id, &part.slot).await?;
        let key = (part.delivery_id.clone(), part.place());
        let keep = board.deliveries.get(&part.delivery_id).is_some_and(|row| row.withdraw == "keep");
        let computed = cell(&part, &rows);
        if keep && computed.wanted.is_none() {
            board.parts.remove(&key);
        } else {
            board.parts.insert(key, computed);
        }
    }
    Ok(())
}

/// A counted cell from its contributions.
fn cell(part: &PartRow, rows: &[ContributionRow]) -> PartRow {
    let clean =
        PartRow { dirty: false, status: PartStatus::Waiting, cause: Cause::default(), ..part.clone() };
    let latest = rows.iter().max_by_key(|row| (row.authored_ms, row.rid, &row.output_key));
    let Some(latest) = latest else { return PartRow { wanted: None, ..clean } };
    let authored_ms = latest.authored_ms;
    let contributed: Vec<Contributed> = rows.iter().map(contributed).collect();
    match aggregate::compute(&contributed) {
        Ok(Some(amount)) => PartRow { wanted: Some(with_value(&latest.cell, &amount)), authored_ms, ..clean },
        Ok(None) => PartRow { wanted: None, ..clean },
        // The wish stays visible but has no value; a retry computes it anew.
        Err(reason) => PartRow {
            wanted: Some(latest.cell.clone()),
            authored_ms,
            status: PartStatus::Dead,
            cause: cause(&reason),
            ..clean
        },
    }
}

fn contributed(row: &ContributionRow) -> Contributed {
    Contributed {
        aggregate: aggregate_of(&row.aggregate),
        amount: row.amount.clone(),
        distinct: row.distinct_key.clone(),
        authored_ms: row.authored_ms,
        source: (row.rid, format!("{}#{}", row.output_key, row.ordinal)),
    }
}

fn aggregate_of(text: &str) -> Aggregate {
    match text {
        "count" => Aggregate::Count,
        "distinct" => Aggregate::Distinct,
        "average" => Aggregate::Average,
        "min" => Aggregate::Min,
        "max" => Aggregate::Max,
        "last" => Aggregate::Last,
        _ => Aggregate::Sum,
    }
}

fn with_value(cell: &str, amount: &str) -> String {
    let mut cell: Value = serde_json::from_str(cell).unwrap_or(Value::Null);
    match cell.as_object_mut() {
        Some(fields) => {
            fields.insert("value".to_owned(), Value::String(amount.to_owned()));
        }
        None => cell = serde_json::json!({ "value": amount }),
    }
    canonical(&cell)
}

/// Claims what fits into one batch.
async fn fill(
    tx: &mut Tx,
    claimer: &Claimer<'_>,
    board: &mut Board,
    picked: &[DeliveryRow],
    moment: Moment,
) -> Result<Batch, Error> {
    let lease_ms = i64::try_from(claimer.limits.lease.as_millis()).unwrap_or(i64::MAX);
    let until_ms = claimer.now_ms.saturating_add(lease_ms);
    let mut batch = Batch { id: String::new(), until_ms, deliveries: Vec::new() };
    let mut room = claimer.limits.batch_parts.max(1);
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
        if let Some(claimed) = take(board, claimer, (outgoing, &parts, &left), until_ms) {
            room = room.saturating_sub(claimed.parts.len());
            batch.deliveries.push(claimed);
        }
        if room == 0 {
            break;
        }
    }
    Ok(batch)
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
        .collect();
    Ok(Some(Outgoing {
        id: row.id.clone(),
        target: row.target.clone(),
        lane: row.lane.clone(),
        body: json(&row.body),
        parts,
        link,
        remote,
        attempt: u32::try_from(row.attempts).unwrap_or(u32::MAX),
        unclear: row.unclear,
        links: BTreeMap::new(),
        begun_ms: row.begun_ms,
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
    // Until an answer says otherwise.
    let fence = row.lease_fence;
    let trace = row.source.split_once('/').map(|(kind, id)| trace_id(claimer.tenant, kind, id));
    Some(Claimed { outgoing, trace: trace.unwrap_or_default(), fence, parts: claimed })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_needed_must_be_settled_and_not_dead() {
        let siblings = [("a".to_owned(), "settled".to_owned()), ("b".to_owned(), "waiting".to_owned())];
        assert!(unmet(&["a".to_owned()], &siblings).is_none());
        assert!(matches!(unmet(&["b".to_owned()], &siblings), Some(Need::Unsettled)));
        assert!(matches!(unmet(&["c".to_owned()], &siblings), Some(Need::Dead(_))));
    }

    #[test]
    fn a_cell_keeps_its_own_fields() {
        assert_eq!(with_value(r#"{"dataElement":"x"}"#, "3"), r#"{"dataElement":"x","value":"3"}"#);
    }

    #[test]
    fn portions_are_read_from_the_group() {
        assert_eq!(portion("parts:4"), Some(4));
        assert_eq!(portion("0a1b"), None);
    }
}
