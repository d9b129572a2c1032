//! Resources that mappings store in Mjumbe itself: written in the transaction that maps their source, so that
//! both are there or neither.
//!
//! **Never** overwrites a resource that somebody else made, and makes none again that a client deleted. Comes
//! last in its transaction, as it locks the tenant's clock.

use std::collections::BTreeSet;

use jiff::tz::TimeZone;
use serde_json::Value;

use super::board::{Board, Moment};
use super::claim::kill;
use super::destination::Reason;
use super::{desk, slots, waits};
use crate::fhir::resource::strip;
use crate::fhir::{index, subject};
use crate::store::db::Tx;
use crate::store::deliveries::sending::{self, AttemptRow};
use crate::store::deliveries::{self, DeliveryRow, PartRow, Status};
use crate::store::error::Error;
use crate::store::write::within::{Group, Pace};
use crate::store::write::{Origin, Precondition, Put};

/// The key of the destination that is Mjumbe itself.
pub const HERE: &str = "fhir.here";

/// What one delivery wants here.
#[derive(Debug, Clone, Copy)]
pub struct Wished<'a> {
    /// `Type/id`
    pub slot: &'a str,
    /// The whole resource; `None`: it is to go.
    pub wanted: Option<&'a Value>,
    /// Whether a mapping's resource was accepted there before.
    pub sent: bool,
    pub mapping: &'a str,
    pub hops: i64,
}

/// For whom and when.
#[derive(Debug, Clone, Copy)]
pub struct Storing<'a> {
    pub tenant: &'a str,
    /// Dates without a zone are indexed in it.
    pub zone: &'a TimeZone,
    pub moment: Moment,
}

/// Stores what deliveries of these sources (mapping, number) wait to store here. `None`: none does.
///
/// # Errors
/// The database's.
pub async fn store(
    tx: &mut Tx,
    storing: &Storing<'_>,
    sources: &[(String, i64)],
) -> Result<Option<Pace>, Error> {
    let tenant = storing.tenant;
    let (mut ids, mut needers) = (Vec::new(), Vec::new());
    for (mapping, rid) in sources {
        let rows = deliveries::deliveries_of_source(tx, tenant, mapping, *rid).await?;
        let due = rows.iter().filter(|row| is_due(row)).map(|row| row.target_id.as_str());
        needers.extend(waits::needers(&rows, &due.collect::<BTreeSet<_>>()));
        ids.extend(rows.into_iter().filter(is_due).map(|row| row.id));
    }
    if ids.is_empty() {
        return Ok(None);
    }
    // Everything is locked before the clock, also what may be woken.
    let all: Vec<String> = ids.iter().chain(&needers).cloned().collect();
    let parts = deliveries::parts_of(tx, tenant, &all).await?;
    if parts.is_empty() {
        return Ok(None);
    }
    let mut board = Board::open(tx, tenant, sending::places_of(&parts), (&[], &all)).await?;
    let waiting: Vec<PartRow> = ids.iter().flat_map(|id| sendable(&board, id)).collect();
    let mut group = Group::open(tx, tenant).await?;
    group.load(waiting.iter().filter_map(|part| key_of(&part.slot)).collect()).await?;
    let mut attempts = Vec::new();
    for part in waiting {
        attempts.extend(store_part(&mut group, &mut board, storing, part));
    }
    let pace = group.close().await?;
    board.settle_down(storing.moment);
    desk::wake(&mut board, &needers, storing.moment);
    board.save(tx).await?;
    sending::write_attempts(tx, tenant, &attempts, &[]).await?;
    Ok(Some(pace))
}

/// One that needs others is left to the sender, which knows when they are settled.
fn is_due(row: &DeliveryRow) -> bool {
    row.destination == HERE && row.status == Status::Waiting && row.needs == "[]"
}

fn sendable(board: &Board, id: &str) -> Vec<PartRow> {
    let all = board.parts_of(id);
    slots::sendable(&all).into_iter().cloned().collect()
}

fn store_part(
    group: &mut Group<'_>,
    board: &mut Board,
    storing: &Storing<'_>,
    part: PartRow,
) -> Option<AttemptRow> {
    let row = board.deliveries.get(&part.delivery_id)?.clone();
    let wanted: Option<Value> = part.wanted.as_deref().and_then(|text| serde_json::from_str(text).ok());
    let sent = board.slots.get(&part.place()).is_some_and(|slot| slot.sent.is_some());
    let (slot, mapping, hops) = (part.slot.clone(), row.mapping.as_str(), row.hops);
    let wished = Wished { slot: &slot, wanted: wanted.as_ref(), sent, mapping, hops };
    let done = put(group, &wished, storing.zone);
    let mut attempt = AttemptRow {
        delivery_id: row.id.clone(),
        number: 0,
        at_ms: storing.moment.now_ms,
        outcome: "accepted".to_owned(),
        cause: String::new(),
        message: String::new(),
        batch: String::new(),
    };
    match done {
        Ok(()) => {
            if let Some(slot) = board.slots.get_mut(&part.place()) {
                slot.sent.clone_from(&part.wanted);
                slot.sent_by = row.id;
                slot.in_doubt = false;
            }
        }
        Err(reason) => {
            "refused".clone_into(&mut attempt.outcome);
            attempt.cause.clone_from(&reason.code);
            attempt.message.clone_from(&reason.message);
            kill(board, part, &reason);
        }
    }
    Some(attempt)
}

/// `Type/id` as the store's key.
pub fn key_of(slot: &str) -> Option<(String, String)> {
    slot.split_once('/').map(|(kind, id)| (kind.to_owned(), id.to_owned()))
}

/// Stages one wish in an open write group, which has loaded its resource.
///
/// # Errors
/// Why it is not written.
pub fn put(group: &mut Group<'_>, wished: &Wished<'_>, zone: &TimeZone) -> Result<(), Reason> {
    let Some((kind, id)) = key_of(wished.slot) else { return Err(unwritable()) };
    let standing = group.standing(&kind, &id);
    let made_here = |origin: &Option<Origin>| matches!(origin, Some(Origin::Mapping { name, .. }) if name == wished.mapping);
    let ours = wished.sent || standing.as_ref().is_some_and(|standing| made_here(&standing.origin));
    let lives = standing.as_ref().is_some_and(|standing| standing.body.is_some());
    let client_deleted =
        standing.as_ref().is_some_and(|standing| !lives && !made_here(&standing.origin)) && wished.sent;
    if wished.wanted.is_none() && !(lives && ours) {
        return Ok(());
    }
    if lives && !ours {
        return Err(Reason::new(
            "resource-of-another",
            format!("{} was made by somebody else and is left as it is", wished.slot),
            "let the mapping give another id, or delete that resource and retry this delivery",
        ));
    }
    if client_deleted {
        return Err(Reason::new(
            "resource-deleted",
            format!("{} was deleted by somebody else and is not made again", wished.slot),
            "if it should be there, let the mapping give another id",
        ));
    }
    let origin = Origin::Mapping { name: wished.mapping.to_owned(), hops: wished.hops };
    let made = made(&kind, &id, wished.wanted, (origin, zone));
    group.stage(vec![made]).map(drop).map_err(|_| unwritable())
}

fn unwritable() -> Reason {
    Reason::new(
        "resource-unwritable",
        "it cannot be stored",
        "please report it with `mjumbe deliveries show`",
    )
}

fn made(kind: &str, id: &str, wanted: Option<&Value>, (origin, zone): (Origin, &TimeZone)) -> Put {
    Put {
        kind: kind.to_owned(),
        id: id.to_owned(),
        body: wanted.map(strip),
        index: wanted.map(|resource| index::rows(kind, resource, zone)).unwrap_or_default(),
        subject: match wanted {
            Some(resource) => subject::subject(kind, id, resource),
            None => format!("{kind}/{id}"),
        },
        precondition: Precondition::None,
        origin,
    }
}
