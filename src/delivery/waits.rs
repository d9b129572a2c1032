//! What a delivery waits for before it can go out at all: deliveries that it needs, links, its mapping.
//!
//! A delivery that waits so says for what, does not hold up its lane, is woken when that appears and asks
//! again now and then in any case.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;
use tracing::warn;

use super::board::Board;
use super::claim::{Claimer, cause, kill};
use super::destination::Reason;
use super::links;
use crate::mapping::schedule;
use crate::store::changes;
use crate::store::db::{Engine, Tx};
use crate::store::deliveries::{self, Cause, DeliveryRow, PartRow, PartStatus, Place, Status, sending};
use crate::store::error::Error;

/// How long a delivery waits before it asks again for what is not there. Whoever brings it wakes it.
const ASK_AGAIN_MS: i64 = 60_000;

/// Why a delivery may not go out.
pub(super) enum Obstacle {
    /// A delivery that it needs is not settled yet.
    Unsettled(String),
    /// A delivery that it needs is dead, cancelled or was never made.
    Hopeless(String),
    /// This resource is not linked at the destination yet.
    Link(String),
    /// The file of its mapping is not loaded: nothing new begins.
    Mapping(String),
    /// It is outside of its hours, which open then: milliseconds since 1970 UTC.
    Closed { hours: String, opening_ms: i64 },
}

/// As each was read, and what is in its way.
pub(super) type Blocked = Vec<(DeliveryRow, Obstacle)>;

/// Due deliveries, looked at before their locks are taken: see [`still`].
pub(super) struct Sifted {
    pub ready: Vec<DeliveryRow>,
    pub blocked: Blocked,
    /// The parts of all of them.
    pub parts: Vec<PartRow>,
}

/// The code of what is dead because something that it needs was given up.
const NEEDS_NOT_SETTLED: &str = "needs-not-settled";

/// Whether this is why something is dead.
pub(super) fn was_in_need(cause: &Cause) -> bool {
    cause.code == NEEDS_NOT_SETTLED
}

/// Those of one source's deliveries that may wait for one of these targets, or be dead because of it. Whoever
/// settles a target locks them: a claim that is about to write that one waits has then either written it, or
/// sees that the target is settled ([`confirm`]).
pub(super) fn needers(rows: &[DeliveryRow], targets: &BTreeSet<&str>) -> Vec<String> {
    let may_wait = |row: &&DeliveryRow| matches!(row.status, Status::Waiting | Status::Dead);
    let needs_one = |row: &&DeliveryRow| needs(row).iter().any(|need| targets.contains(need.as_str()));
    rows.iter().filter(may_wait).filter(needs_one).map(|row| row.id.clone()).collect()
}

/// As [`needers`], of all that want these places.
///
/// # Errors
/// The database's.
pub(super) async fn needers_at(
    tx: &mut Tx,
    tenant: &str,
    (places, ids): (&BTreeSet<Place>, &[String]),
) -> Result<Vec<String>, Error> {
    let places: Vec<Place> = places.iter().cloned().collect();
    let mut all: BTreeSet<String> = ids.iter().cloned().collect();
    all.extend(deliveries::parts_at(tx, tenant, &places).await?.into_iter().map(|part| part.delivery_id));
    let all: Vec<String> = all.into_iter().collect();
    let rows = deliveries::deliveries(tx, tenant, &all).await?;
    let mut targets: BTreeMap<(&str, i64), BTreeSet<&str>> = BTreeMap::new();
    for row in rows.iter().filter(|row| row.rid != 0) {
        targets.entry((row.mapping.as_str(), row.rid)).or_default().insert(&row.target_id);
    }
    let mut found = BTreeSet::new();
    for ((mapping, rid), targets) in targets {
        let siblings = deliveries::deliveries_of_source(tx, tenant, mapping, rid).await?;
        found.extend(needers(&siblings, &targets));
    }
    Ok(found.into_iter().collect())
}

/// Whether a delivery waits for one that it needs, or is dead because of it, and that one is settled here.
pub(super) fn is_met(board: &Board, row: &DeliveryRow) -> bool {
    let waits = match row.status {
        Status::Waiting => row.waits_for.starts_with("needs:"),
        Status::Dead => was_in_need(&row.cause),
        _ => false,
    };
    waits
        && needs(row).iter().any(|need| {
            board.deliveries.values().any(|other| {
                other.status == Status::Settled
                    && other.target_id == *need
                    && (&other.mapping, other.rid) == (&row.mapping, row.rid)
            })
        })
}

/// Asks again, now that they are locked, whether what these need is not there: on PostgreSQL it may have been
/// settled since they were read, by somebody who found nobody to wake. Those whose way is free are left for
/// the next claim.
///
/// # Errors
/// The database's.
pub(super) async fn confirm(tx: &mut Tx, tenant: &str, blocked: Blocked) -> Result<Blocked, Error> {
    if tx.engine() == Engine::Sqlite {
        return Ok(blocked);
    }
    let mut confirmed = Vec::with_capacity(blocked.len());
    for (row, obstacle) in blocked {
        let obstacle = match obstacle {
            Obstacle::Unsettled(_) | Obstacle::Hopeless(_) => unmet(tx, tenant, &row).await?,
            other => Some(other),
        };
        confirmed.extend(obstacle.map(|obstacle| (row, obstacle)));
    }
    Ok(confirmed)
}

/// What was stored by this room is JSON.
fn needs(row: &DeliveryRow) -> Vec<String> {
    serde_json::from_str(&row.needs).unwrap_or_default()
}

/// Parts those that may go out from the others.
///
/// # Errors
/// The database's.
pub(super) async fn sift(
    tx: &mut Tx,
    claimer: &Claimer<'_>,
    found: Vec<DeliveryRow>,
) -> Result<Sifted, Error> {
    let ids: Vec<String> = found.iter().map(|row| row.id.clone()).collect();
    let parts = deliveries::parts_of(tx, claimer.tenant, &ids).await?;
    let unloaded = unloaded(tx, claimer, &found).await?;
    let unlinked = unlinked(tx, claimer, (&found, &parts)).await?;
    let mut ready = Vec::new();
    let mut blocked = Vec::new();
    for row in found {
        let obstacle = match unlinked.iter().find(|(id, _)| *id == row.id) {
            _ if begins(&row) && unloaded.contains(&row.mapping) => {
                Some(Obstacle::Mapping(row.mapping.clone()))
            }
            Some((_, resource)) => Some(Obstacle::Link(resource.clone())),
            None => match closed(&row, claimer.now_ms) {
                Some(closed) => Some(closed),
                None => unmet(tx, claimer.tenant, &row).await?,
            },
        };
        match obstacle {
            None => ready.push(row),
            Some(obstacle) => blocked.push((row, obstacle)),
        }
    }
    Ok(Sifted { ready, blocked, parts })
}

/// Whether a delivery that was read with these parts before it was locked is, now that it is, due as it was
/// and what was looked at: another transaction may have given it another time, wish or need in between.
pub(super) fn still(board: &Board, (read, parts): (&DeliveryRow, &[PartRow]), now_ms: i64) -> bool {
    let Some(row) = board.deliveries.get(&read.id) else { return false };
    let is_due = row.status == Status::Waiting
        && row.due_ms <= now_ms
        && (row.not_before_ms <= now_ms || row.begun_ms != 0);
    let same = row.needs == read.needs
        && row.lane == read.lane
        && row.body == read.body
        && row.mapping == read.mapping
        && row.begun_ms == read.begun_ms;
    is_due && same && asks(row, &board.parts_of(&row.id)) == asks(read, parts)
}

/// The places that a delivery has parts at, and the resources that it must be linked to.
fn asks(row: &DeliveryRow, parts: &[PartRow]) -> (BTreeSet<Place>, BTreeSet<String>) {
    let own = || parts.iter().filter(|part| part.delivery_id == row.id);
    let waiting = own().filter(|part| part.status == PartStatus::Waiting);
    let texts = waiting.filter_map(|part| part.wanted.as_deref()).chain([row.body.as_str()]);
    (own().map(PartRow::place).collect(), named_in(texts))
}

/// Whether sending it now would begin something that its mapping alone can answer for.
fn begins(row: &DeliveryRow) -> bool {
    row.nature == "act" && row.begun_ms == 0
}

/// Whether it is outside of the hours of an act now. So also where it began: whoever finds by looking it up that
/// it did not happen sends it at once.
fn closed(row: &DeliveryRow, now_ms: i64) -> Option<Obstacle> {
    if row.hours.is_empty() {
        return None;
    }
    let now = jiff::Timestamp::from_millisecond(now_ms).ok()?;
    match schedule::opening(&row.hours, now) {
        Ok(opening) => {
            let opening_ms = opening?.as_millisecond();
            Some(Obstacle::Closed { hours: row.hours.clone(), opening_ms })
        }
        Err(failure) => {
            warn!(delivery = row.id, code = failure.code, "the hours of a delivery cannot be read");
            None
        }
    }
}

async fn unloaded(
    tx: &mut Tx,
    claimer: &Claimer<'_>,
    found: &[DeliveryRow],
) -> Result<BTreeSet<String>, Error> {
    let names: BTreeSet<String> =
        found.iter().filter(|row| begins(row)).map(|row| row.mapping.clone()).collect();
    if names.is_empty() {
        return Ok(BTreeSet::new());
    }
    let names: Vec<String> = names.into_iter().collect();
    Ok(changes::unloaded(tx, claimer.tenant, &names).await?.into_iter().collect())
}

/// Deliveries whose wanted parts name a resource that has no link here: (delivery, the first of them).
async fn unlinked(
    tx: &mut Tx,
    claimer: &Claimer<'_>,
    (found, parts): (&[DeliveryRow], &[PartRow]),
) -> Result<Vec<(String, String)>, Error> {
    let named: Vec<(String, BTreeSet<String>)> =
        found.iter().map(|row| (row.id.clone(), asks(row, parts).1)).collect();
    let all: BTreeSet<String> = named.iter().flat_map(|(_, resources)| resources.clone()).collect();
    let at = (claimer.destination.system(), claimer.destination.name());
    let known = links::remote_ids(tx, claimer.tenant, at, &all).await?;
    let missing = |resources: &BTreeSet<String>| {
        resources.iter().find(|resource| !known.contains_key(*resource)).cloned()
    };
    Ok(named.into_iter().filter_map(|(id, resources)| Some((id, missing(&resources)?))).collect())
}

/// What was stored by this room is JSON. Most of it holds no link and is not parsed.
fn named_in<'a>(texts: impl Iterator<Item = &'a str>) -> BTreeSet<String> {
    let values: Vec<Value> = texts
        .filter(|text| text.contains("\"$link\""))
        .filter_map(|text| serde_json::from_str(text).ok())
        .collect();
    links::named(&values)
}

async fn unmet(tx: &mut Tx, tenant: &str, row: &DeliveryRow) -> Result<Option<Obstacle>, Error> {
    let needs = needs(row);
    if needs.is_empty() {
        return Ok(None);
    }
    let siblings = sending::siblings(tx, tenant, &row.mapping, row.rid).await?;
    Ok(unsettled(&needs, &siblings))
}

fn unsettled(needs: &[String], siblings: &[(String, String)]) -> Option<Obstacle> {
    let mut waits = None;
    for need in needs {
        let statuses: Vec<&str> =
            siblings.iter().filter(|(id, _)| id == need).map(|(_, status)| status.as_str()).collect();
        let given_up = |status: &&str| *status == "dead" || *status == "cancelled";
        if statuses.is_empty() || statuses.iter().any(given_up) {
            return Some(Obstacle::Hopeless(need.clone()));
        }
        if statuses.iter().any(|status| *status != "settled") {
            waits.get_or_insert_with(|| Obstacle::Unsettled(need.clone()));
        }
    }
    waits
}

/// Writes down what each waits for.
pub(super) fn block(board: &mut Board, blocked: &Blocked, now_ms: i64) {
    for (row, obstacle) in blocked {
        match obstacle {
            Obstacle::Hopeless(need) => give_up(board, &row.id, need),
            obstacle => put_off(board, &row.id, obstacle, now_ms),
        }
    }
}

fn put_off(board: &mut Board, id: &str, obstacle: &Obstacle, now_ms: i64) {
    let Some(row) = board.deliveries.get_mut(id).filter(|row| row.status == Status::Waiting) else { return };
    let (waits_for, due_ms, reason) = told(obstacle, now_ms);
    row.waits_for = waits_for;
    row.due_ms = due_ms;
    row.cause = cause(&reason);
}

/// As it is stored in `delivery.waits_for`; when it asks again; and why, for a person.
fn told(obstacle: &Obstacle, now_ms: i64) -> (String, i64, Reason) {
    match obstacle {
        Obstacle::Unsettled(need) | Obstacle::Hopeless(need) => (
            format!("needs:{need}"),
            now_ms + ASK_AGAIN_MS,
            Reason::new(
                "needs-unsettled",
                format!("it needs {need}, which is not settled yet"),
                "nothing is to be done: it goes out when that is settled",
            ),
        ),
        Obstacle::Link(resource) => (
            format!("link:{resource}"),
            now_ms + ASK_AGAIN_MS,
            Reason::new(
                "link-missing",
                format!("{resource} is not linked at this destination yet"),
                "it goes out when a mapping has made that resource there; `mjumbe deliveries show` of the \
                 resource says what becomes of it",
            ),
        ),
        Obstacle::Mapping(name) => (
            format!("mapping:{name}"),
            now_ms + ASK_AGAIN_MS,
            Reason::new(
                "mapping-not-loaded",
                format!("the file of the mapping {name} is not loaded: what it wanted does not begin"),
                "bring the file back and reload, or give it up with `mjumbe deliveries cancel --mapping NAME`",
            ),
        ),
        Obstacle::Closed { hours, opening_ms } => (
            "hours".to_owned(),
            *opening_ms,
            Reason::new(
                "outside-hours",
                format!("it does not go out outside of {hours}"),
                "nothing is to be done: it goes out when they open next",
            ),
        ),
    }
}

fn give_up(board: &mut Board, id: &str, need: &str) {
    let reason = Reason::new(
        NEEDS_NOT_SETTLED,
        format!("it needs {need}, which is dead, cancelled or not wanted"),
        "see to that delivery first, then retry this one",
    );
    let waiting: Vec<PartRow> =
        board.parts_of(id).into_iter().filter(|part| part.status == PartStatus::Waiting).collect();
    waiting.into_iter().for_each(|part| kill(board, part, &reason));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_needed_must_be_settled_and_not_dead() {
        let siblings = [("a".to_owned(), "settled".to_owned()), ("b".to_owned(), "waiting".to_owned())];
        assert!(unsettled(&["a".to_owned()], &siblings).is_none());
        assert!(matches!(unsettled(&["b".to_owned()], &siblings), Some(Obstacle::Unsettled(_))));
        assert!(matches!(unsettled(&["c".to_owned()], &siblings), Some(Obstacle::Hopeless(_))));
    }

    #[test]
    fn only_what_holds_a_link_is_parsed() {
        let texts = [r#"{"a":{"$link":{"resource":"Patient/1"}}}"#, "no JSON, but no link either"];
        assert_eq!(named_in(texts.into_iter()).into_iter().collect::<Vec<_>>(), ["Patient/1"]);
    }
}
