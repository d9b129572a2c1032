//! What one evaluation wants, recorded as deliveries: the difference to what its source wanted before.
//!
//! Runs inside the mapper's transaction. A delivery that is no longer wanted is withdrawn as its target
//! says; contributions are replaced and the cells that they touch are marked dirty.

use std::collections::{BTreeMap, BTreeSet};

use super::acts;
use super::board::{Board, Moment};
use super::identity::{canonical, delivery_id, destination_of};
use crate::mapping::output::{Aggregate, Nature, Output, Withdraw};
use crate::store::db::Tx;
use crate::store::deliveries::{
    self, Cause, ContributionRow, DeliveryRow, PartRow, PartStatus, Place, Status,
};
use crate::store::error::Error;
use crate::telemetry::trace_id;

/// Who wants what.
#[derive(Debug, Clone, Copy)]
pub struct Wish<'a> {
    pub tenant: &'a str,
    pub mapping: &'a str,
    pub mapping_version: &'a str,
    /// The source's number in the store.
    pub rid: i64,
    /// `Type/id`
    pub source: &'a str,
    pub source_version: i64,
    /// One more than those of the source's version.
    pub hops: i64,
    /// All that it wants now; what it wanted before and is not here is withdrawn.
    pub outputs: &'a [Output],
    pub states: States,
    pub acts: Acts,
    pub moment: Moment,
}

/// What becomes of acts that this source did not want before.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Acts {
    Made,
    /// An older source is replayed: what should have happened long ago does not happen now.
    Withheld,
}

/// What becomes of the states that a source wanted before and of which this wish says nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum States {
    /// They are wanted no more.
    AreReplaced,
    /// The source is held: what it wanted stays wanted until it can be evaluated. It contributes to no
    /// count meanwhile, so that a cell is what a recount would find.
    Stay,
}

/// Records a wish. Gives the destinations that now have something to do.
///
/// # Errors
/// The database's.
pub async fn record(tx: &mut Tx, wish: &Wish<'_>) -> Result<BTreeSet<String>, Error> {
    trace(wish);
    let known = match wish.states {
        States::AreReplaced => {
            deliveries::deliveries_of_source(tx, wish.tenant, wish.mapping, wish.rid).await?
        }
        States::Stay => Vec::new(),
    };
    let ids: Vec<String> = known.iter().map(|row| row.id.clone()).collect();
    let known_parts = deliveries::parts_of(tx, wish.tenant, &ids).await?;
    let contributed = deliveries::contributions_of(tx, wish.tenant, wish.mapping, wish.rid).await?;
    let wanted = Wanted::of(wish, &ids);
    if ids.is_empty() && contributed.is_empty() && wanted.is_empty() {
        return Ok(BTreeSet::new());
    }
    let mut dirty = changed_cells(&contributed, &wanted.contributions);
    let emptied = cells_destinations(tx, wish.tenant, &dirty).await?;
    let mut places: BTreeSet<Place> = known_parts.iter().map(PartRow::place).collect();
    places.extend(wanted.parts.iter().map(PartRow::place));
    places.extend(wanted.acts.values().map(|wish| wish.part.place()));
    dirty.retain(|(id, _), _| wanted.counts.contains_key(id) || emptied.contains_key(id));
    for (id, slot) in dirty.keys() {
        let known = emptied.get(id).cloned();
        let new = wanted.counts.get(id).map(|row| row.destination.clone());
        places.extend(new.or(known).map(|destination| (destination, slot.clone())));
    }
    let missing: Vec<DeliveryRow> = wanted.rows().cloned().collect();
    let mut own = ids;
    own.extend(dirty.keys().map(|(id, _)| id.clone()));
    let mut board = Board::open(tx, wish.tenant, places, (&missing, &own)).await?;
    want(&mut board, &wanted);
    for one in wanted.acts.values() {
        acts::want(&mut board, one, (wish.acts, wish.moment.now_ms));
    }
    withdraw(&mut board, &wanted, &known);
    mark_dirty(&mut board, &dirty);
    deliveries::replace_contributions(tx, wish.tenant, (wish.mapping, wish.rid), &wanted.contributions)
        .await?;
    board.settle_down(wish.moment);
    board.save(tx).await?;
    let busy = board.deliveries.values().filter(|row| row.status == Status::Waiting);
    Ok(busy.map(|row| row.destination.clone()).collect())
}

/// The rows that a wish asks for.
pub(super) struct Wanted {
    pub(super) states: BTreeMap<String, DeliveryRow>,
    pub(super) counts: BTreeMap<String, DeliveryRow>,
    pub(super) parts: Vec<PartRow>,
    pub(super) contributions: Vec<ContributionRow>,
    pub(super) acts: BTreeMap<String, acts::Wish>,
}

impl Wanted {
    /// `known`: the deliveries that this source wanted before.
    pub(super) fn of(wish: &Wish<'_>, known: &[String]) -> Self {
        let mut wanted = Self {
            states: BTreeMap::new(),
            counts: BTreeMap::new(),
            acts: BTreeMap::new(),
            parts: Vec::new(),
            contributions: Vec::new(),
        };
        for output in wish.outputs {
            let row = delivery_row(wish, output);
            let withheld = output.nature == Nature::Act && wish.acts == Acts::Withheld;
            if withheld && !known.contains(&row.id) {
                continue;
            }
            match output.nature {
                Nature::Count => {
                    wanted.contributions.extend(contribution_rows(wish, output, &row.id));
                    wanted.counts.insert(row.id.clone(), row);
                }
                Nature::State => {
                    wanted.parts.extend(output.parts.iter().map(|part| part_row(&row, part)));
                    wanted.states.insert(row.id.clone(), row);
                }
                Nature::Act => {
                    let part = act_part(&row, output);
                    wanted.acts.insert(row.id.clone(), acts::Wish { row, part });
                }
            }
        }
        wanted.contributions.sort();
        wanted
    }

    fn is_empty(&self) -> bool {
        self.rows().next().is_none()
    }

    fn rows(&self) -> impl Iterator<Item = &DeliveryRow> {
        let acts = self.acts.values().map(|wish| &wish.row);
        self.states.values().chain(self.counts.values()).chain(acts)
    }

    pub(super) fn wants(&self, id: &str) -> bool {
        self.states.contains_key(id) || self.acts.contains_key(id)
    }
}

/// Joins what came in (the field `trace`) with the deliveries that go on with it.
fn trace(wish: &Wish<'_>) {
    let Some((kind, id)) = wish.source.split_once('/') else { return };
    let trace = trace_id(wish.tenant, kind, id);
    for output in wish.outputs {
        let delivery = delivery_id(wish.tenant, wish.mapping, wish.source, output);
        tracing::info!(trace, delivery, target_id = output.target_id, "a delivery is wanted");
    }
}

fn delivery_row(wish: &Wish<'_>, output: &Output) -> DeliveryRow {
    let counted = output.nature == Nature::Count;
    DeliveryRow {
        id: delivery_id(wish.tenant, wish.mapping, wish.source, output),
        destination: destination_of(output),
        mapping: wish.mapping.to_owned(),
        mapping_version: wish.mapping_version.to_owned(),
        target: output.target.clone(),
        target_id: output.target_id.clone(),
        nature: nature_text(output.nature).to_owned(),
        rid: if counted { 0 } else { wish.rid },
        source: if counted { String::new() } else { wish.source.to_owned() },
        source_version: if counted { 0 } else { wish.source_version },
        output_key: if counted { String::new() } else { output.key.clone() },
        lane: output.lane.clone(),
        body: canonical(&output.body),
        needs: serde_json::to_string(&output.needs).unwrap_or_default(),
        withdraw: if output.withdraw == Withdraw::Delete { "delete" } else { "keep" }.to_owned(),
        withdrawn: false,
        authored_ms: output.authored_ms,
        link: output.link.clone().unwrap_or_default(),
        status: Status::Settled,
        order_no: wish.moment.order_no,
        due_ms: wish.moment.now_ms,
        attempts: 0,
        first_failed_ms: 0,
        unclear: false,
        failure: String::new(),
        batch_group: String::new(),
        lease_owner: String::new(),
        lease_fence: 0,
        lease_until_ms: 0,
        cause: Cause::default(),
        created_ms: wish.moment.now_ms,
        updated_ms: wish.moment.now_ms,
        since_ms: wish.moment.now_ms,
        reason: output.act.as_ref().map(|act| act.reason.clone()).unwrap_or_default(),
        not_before_ms: output.act.as_ref().and_then(|act| act.not_before_ms).unwrap_or_default(),
        begun_ms: 0,
        remote: String::new(),
        write_back: output.write_back,
        occurrence: output.act.as_ref().map(|act| i64::from(act.occurrence)).unwrap_or_default(),
        waits_for: String::new(),
        pending: String::new(),
        hops: wish.hops,
        hours: output.act.as_ref().and_then(|act| act.hours.clone()).unwrap_or_default(),
    }
}

fn nature_text(nature: Nature) -> &'static str {
    match nature {
        Nature::State => "state",
        Nature::Count => "count",
        Nature::Act => "act",
    }
}

fn part_row(row: &DeliveryRow, part: &crate::mapping::output::Part) -> PartRow {
    PartRow {
        destination: row.destination.clone(),
        slot: part.slot.clone(),
        delivery_id: row.id.clone(),
        wanted: Some(canonical(&part.wanted)),
        authored_ms: row.authored_ms,
        last: part.last,
        dirty: false,
        status: PartStatus::Waiting,
        superseded_by: String::new(),
        cause: Cause::default(),
    }
}

/// An act's one part, at a place of its own.
fn act_part(row: &DeliveryRow, output: &Output) -> PartRow {
    let (slot, last) = (acts::slot(&row.id), false);
    let wanted = output.parts.first().map_or(&output.body, |part| &part.wanted).clone();
    part_row(row, &crate::mapping::output::Part { slot, wanted, last })
}

fn contribution_rows<'a>(
    wish: &'a Wish<'_>,
    output: &'a Output,
    id: &'a str,
) -> impl Iterator<Item = ContributionRow> + 'a {
    output.contributions.iter().zip(0..).map(|(one, ordinal)| ContributionRow {
        delivery_id: id.to_owned(),
        slot: one.slot.clone(),
        rid: wish.rid,
        output_key: output.key.clone(),
        ordinal,
        mapping: wish.mapping.to_owned(),
        target_id: output.target_id.clone(),
        cell: canonical(&one.cell),
        aggregate: aggregate_text(one.aggregate).to_owned(),
        amount: one.amount.clone(),
        distinct_key: one.distinct.clone().unwrap_or_default(),
        authored_ms: output.authored_ms,
    })
}

/// As it is stored.
pub fn aggregate_text(aggregate: Aggregate) -> &'static str {
    match aggregate {
        Aggregate::Sum => "sum",
        Aggregate::Count => "count",
        Aggregate::Distinct => "distinct",
        Aggregate::Average => "average",
        Aggregate::Min => "min",
        Aggregate::Max => "max",
        Aggregate::Last => "last",
    }
}

/// A cell of a count: its delivery and slot. True: somebody of this wish contributes to it.
pub(super) type Cells = BTreeMap<(String, String), i64>;

/// The cells whose contributions from this source are not what they were, with the latest authored time.
pub(super) fn changed_cells(before: &[ContributionRow], after: &[ContributionRow]) -> Cells {
    let before: BTreeSet<&ContributionRow> = before.iter().collect();
    let after: BTreeSet<&ContributionRow> = after.iter().collect();
    let mut cells = Cells::new();
    for row in before.symmetric_difference(&after) {
        let latest = cells.entry((row.delivery_id.clone(), row.slot.clone())).or_insert(row.authored_ms);
        *latest = row.authored_ms.max(*latest);
    }
    cells
}

/// Where the deliveries of these cells go, as far as they exist.
async fn cells_destinations(
    tx: &mut Tx,
    tenant: &str,
    cells: &Cells,
) -> Result<BTreeMap<String, String>, Error> {
    let ids: BTreeSet<String> = cells.keys().map(|(id, _)| id.clone()).collect();
    let ids: Vec<String> = ids.into_iter().collect();
    let rows = deliveries::deliveries(tx, tenant, &ids).await?;
    Ok(rows.into_iter().map(|row| (row.id, row.destination)).collect())
}

/// Puts what is wanted on the board: changed wishes wait, equal ones stay as they are.
fn want(board: &mut Board, wanted: &Wanted) {
    for row in wanted.states.values().chain(wanted.counts.values()) {
        if let Some(known) = board.deliveries.get_mut(&row.id) {
            renew(known, row);
        }
    }
    let kept: BTreeSet<(String, Place)> =
        wanted.parts.iter().map(|part| (part.delivery_id.clone(), part.place())).collect();
    for part in &wanted.parts {
        let key = (part.delivery_id.clone(), part.place());
        let known = board.parts.get(&key);
        let next = match known {
            Some(known) if known.wanted == part.wanted => {
                PartRow { authored_ms: part.authored_ms, last: part.last, ..known.clone() }
            }
            _ => part.clone(),
        };
        board.parts.insert(key, next);
    }
    for id in wanted.states.keys() {
        let dropped: Vec<PartRow> = board
            .parts_of(id)
            .into_iter()
            .filter(|part| !kept.contains(&(id.clone(), part.place())))
            .collect();
        let delete = wanted.states.get(id).is_some_and(|row| row.withdraw == "delete");
        dropped.into_iter().for_each(|part| drop_part(board, part, delete));
    }
}

/// The fields of a delivery that a new evaluation replaces.
pub(super) fn renew(known: &mut DeliveryRow, new: &DeliveryRow) {
    known.mapping_version.clone_from(&new.mapping_version);
    known.source_version = new.source_version;
    known.hops = new.hops;
    known.write_back = new.write_back;
    known.lane.clone_from(&new.lane);
    known.body.clone_from(&new.body);
    known.needs.clone_from(&new.needs);
    known.withdraw.clone_from(&new.withdraw);
    known.link.clone_from(&new.link);
    known.withdrawn = false;
    known.authored_ms =
        if new.nature == "count" { known.authored_ms.max(new.authored_ms) } else { new.authored_ms };
}

/// Deliveries of this source that it wants no more.
fn withdraw(board: &mut Board, wanted: &Wanted, known: &[DeliveryRow]) {
    for row in known.iter().filter(|row| !wanted.wants(&row.id)) {
        if acts::is_act(row) {
            acts::withdraw(board, &row.id);
            continue;
        }
        for part in board.parts_of(&row.id) {
            drop_part(board, part, row.withdraw == "delete");
        }
        if let Some(row) = board.deliveries.get_mut(&row.id) {
            row.withdrawn = true;
        }
    }
}

/// A part that is no longer wanted: removed over there, or just forgotten.
fn drop_part(board: &mut Board, part: PartRow, delete: bool) {
    let key = (part.delivery_id.clone(), part.place());
    if !delete {
        board.parts.remove(&key);
    } else if part.wanted.is_some() {
        let cause = Cause::default();
        let removal = PartRow { wanted: None, status: PartStatus::Waiting, cause, ..part };
        board.parts.insert(key, removal);
    }
}

/// Marks the cells to be computed when they are claimed.
fn mark_dirty(board: &mut Board, cells: &Cells) {
    for ((id, slot), authored_ms) in cells {
        let Some(row) = board.deliveries.get(id) else { continue };
        let place = (row.destination.clone(), slot.clone());
        let key = (id.clone(), place);
        let known = board.parts.get(&key);
        let part = PartRow {
            destination: row.destination.clone(),
            slot: slot.clone(),
            delivery_id: id.clone(),
            wanted: known.and_then(|part| part.wanted.clone()),
            authored_ms: known.map_or(*authored_ms, |part| part.authored_ms.max(*authored_ms)),
            last: false,
            dirty: true,
            status: PartStatus::Waiting,
            superseded_by: String::new(),
            cause: Cause::default(),
        };
        board.parts.insert(key, part);
    }
}
