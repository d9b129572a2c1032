//! What a transaction about places reads and writes: slots, parts, deliveries, contributions.
//!
//! **Invariant:** whoever changes parts first locks their slots, then their deliveries, each in the order
//! of their keys, so that two transactions never wait for each other in a circle.

use super::row::{COLUMNS, table};
use super::{Cause, ContributionRow, DeliveryRow, PartRow, PartStatus, Place, SlotRow};
use crate::args;
use crate::store::db::{Column, Connection, Row, Table, Tx};
use crate::store::error::Error;

fn places_table(places: &[Place]) -> Table {
    Table::new()
        .texts("destination", places.iter().map(|place| place.0.clone()).collect())
        .texts("slot", places.iter().map(|place| place.1.clone()).collect())
}

/// Makes the slots where they are missing and locks them until the transaction ends.
///
/// # Errors
/// The database's.
pub async fn lock_slots(tx: &mut Tx, tenant: &str, places: &[Place]) -> Result<(), Error> {
    tx.execute(
        "insert into slot (tenant, destination, slot, sent, sent_by, in_doubt, touched)
         select $1, p.destination, p.slot, null, '', 0, 0 from table($2) as p where true
         order by p.destination, p.slot
         on conflict (tenant, destination, slot) do update set touched = slot.touched + 1",
        args![tenant, places_table(places)],
    )
    .await?;
    Ok(())
}

/// The slots at these places.
///
/// # Errors
/// The database's.
pub async fn slots(db: &mut Connection, tenant: &str, places: &[Place]) -> Result<Vec<SlotRow>, Error> {
    let rows = db
        .all(
            "select s.destination, s.slot, s.sent, s.sent_by, s.in_doubt, s.remote from table($2) as p
             join slot s on s.tenant = $1 and s.destination = p.destination and s.slot = p.slot",
            args![tenant, places_table(places)],
        )
        .await?;
    rows.iter().map(read_slot).collect()
}

fn read_slot(row: &Row) -> Result<SlotRow, Error> {
    Ok(SlotRow {
        destination: row.text("destination")?,
        slot: row.text("slot")?,
        sent: row.opt_text("sent")?,
        sent_by: row.text("sent_by")?,
        in_doubt: row.int("in_doubt")? != 0,
        remote: row.text("remote")?,
    })
}

/// # Errors
/// The database's.
pub async fn write_slots(tx: &mut Tx, tenant: &str, slots: &[SlotRow]) -> Result<(), Error> {
    if slots.is_empty() {
        return Ok(());
    }
    let rows = Table::new()
        .texts("destination", slots.iter().map(|slot| slot.destination.clone()).collect())
        .texts("slot", slots.iter().map(|slot| slot.slot.clone()).collect())
        .column("sent", Column::Texts(slots.iter().map(|slot| slot.sent.clone()).collect()))
        .texts("sent_by", slots.iter().map(|slot| slot.sent_by.clone()).collect())
        .ints("in_doubt", slots.iter().map(|slot| i64::from(slot.in_doubt)).collect())
        .texts("remote", slots.iter().map(|slot| slot.remote.clone()).collect());
    tx.execute(
        "insert into slot (tenant, destination, slot, sent, sent_by, in_doubt, touched, remote)
         select $1, p.destination, p.slot, p.sent, p.sent_by, p.in_doubt, 0, p.remote from table($2) as p where true
         on conflict (tenant, destination, slot) do update
         set sent = excluded.sent, sent_by = excluded.sent_by, in_doubt = excluded.in_doubt,
             remote = excluded.remote",
        args![tenant, rows],
    )
    .await?;
    Ok(())
}

const PART: &str = "part.destination, part.slot, part.delivery_id, part.wanted, part.authored_ms, part.last, \
     part.dirty, part.status, part.superseded_by, part.cause, part.message, part.hint";

/// All parts at these places.
///
/// # Errors
/// The database's.
pub async fn parts_at(db: &mut Connection, tenant: &str, places: &[Place]) -> Result<Vec<PartRow>, Error> {
    let sql = format!(
        "select {PART} from table($2) as p
         join part on part.tenant = $1 and part.destination = p.destination and part.slot = p.slot"
    );
    let rows = db.all(sql, args![tenant, places_table(places)]).await?;
    rows.iter().map(read_part).collect()
}

/// All parts of these deliveries.
///
/// # Errors
/// The database's.
pub async fn parts_of(db: &mut Connection, tenant: &str, ids: &[String]) -> Result<Vec<PartRow>, Error> {
    let sql = format!(
        "select {PART} from table($2) as wanted_id
         join part on part.tenant = $1 and part.delivery_id = wanted_id.value
         order by part.delivery_id, part.slot"
    );
    let rows = db.all(sql, args![tenant, ids.to_vec()]).await?;
    rows.iter().map(read_part).collect()
}

pub(super) fn read_part(row: &Row) -> Result<PartRow, Error> {
    let status = row.text("status")?;
    Ok(PartRow {
        destination: row.text("destination")?,
        slot: row.text("slot")?,
        delivery_id: row.text("delivery_id")?,
        wanted: row.opt_text("wanted")?,
        authored_ms: row.int("authored_ms")?,
        last: row.int("last")? != 0,
        dirty: row.int("dirty")? != 0,
        status: PartStatus::parse(&status).ok_or_else(|| Error::Column { column: "status".to_owned() })?,
        superseded_by: row.text("superseded_by")?,
        cause: Cause { code: row.text("cause")?, message: row.text("message")?, hint: row.text("hint")? },
    })
}

/// Writes `changed` and takes `removed` away.
///
/// # Errors
/// The database's.
pub async fn write_parts(
    tx: &mut Tx,
    tenant: &str,
    changed: &[PartRow],
    removed: &[PartRow],
) -> Result<(), Error> {
    if !removed.is_empty() {
        let keys = part_keys(removed);
        tx.execute(
            "delete from part where tenant = $1 and (destination, slot, delivery_id) in
             (select p.destination, p.slot, p.delivery_id from table($2) as p)",
            args![tenant, keys],
        )
        .await?;
    }
    if changed.is_empty() {
        return Ok(());
    }
    let texts = |of: fn(&PartRow) -> &str| changed.iter().map(|part| of(part).to_owned()).collect();
    let ints = |of: fn(&PartRow) -> i64| changed.iter().map(of).collect();
    let rows = part_keys(changed)
        .column("wanted", Column::Texts(changed.iter().map(|part| part.wanted.clone()).collect()))
        .ints("authored_ms", ints(|part| part.authored_ms))
        .ints("last", ints(|part| i64::from(part.last)))
        .ints("dirty", ints(|part| i64::from(part.dirty)))
        .texts("status", texts(|part| part.status.text()))
        .texts("superseded_by", texts(|part| &part.superseded_by))
        .texts("cause", texts(|part| &part.cause.code))
        .texts("message", texts(|part| &part.cause.message))
        .texts("hint", texts(|part| &part.cause.hint));
    tx.execute(
        "insert into part (tenant, destination, slot, delivery_id, wanted, authored_ms, last, dirty, status,
             superseded_by, cause, message, hint)
         select $1, p.destination, p.slot, p.delivery_id, p.wanted, p.authored_ms, p.last, p.dirty, p.status,
             p.superseded_by, p.cause, p.message, p.hint from table($2) as p where true
         on conflict (tenant, destination, slot, delivery_id) do update
         set wanted = excluded.wanted, authored_ms = excluded.authored_ms, last = excluded.last,
             dirty = excluded.dirty, status = excluded.status, superseded_by = excluded.superseded_by,
             cause = excluded.cause, message = excluded.message, hint = excluded.hint",
        args![tenant, rows],
    )
    .await?;
    Ok(())
}

fn part_keys(parts: &[PartRow]) -> Table {
    Table::new()
        .texts("destination", parts.iter().map(|part| part.destination.clone()).collect())
        .texts("slot", parts.iter().map(|part| part.slot.clone()).collect())
        .texts("delivery_id", parts.iter().map(|part| part.delivery_id.clone()).collect())
}

/// Inserts the deliveries that are missing, and locks them and `others` until the transaction ends.
///
/// # Errors
/// The database's.
pub async fn ensure_deliveries(
    tx: &mut Tx,
    tenant: &str,
    missing: &[DeliveryRow],
    others: &[String],
) -> Result<(), Error> {
    let mut missing = missing.to_vec();
    missing.sort_by(|one, other| one.id.cmp(&other.id));
    if !missing.is_empty() {
        let sql = format!(
            "insert into delivery (tenant, {COLUMNS}) select $1, {} from table($2) as p where true
             order by p.id on conflict (tenant, id) do nothing",
            prefixed()
        );
        tx.execute(sql, args![tenant, table(&missing)]).await?;
    }
    // One statement a row keeps the order of the locks on PostgreSQL.
    let mut ids: Vec<&str> =
        missing.iter().map(|row| row.id.as_str()).chain(others.iter().map(String::as_str)).collect();
    ids.sort_unstable();
    ids.dedup();
    for id in ids {
        tx.execute(
            "update delivery set lease_fence = lease_fence where tenant = $1 and id = $2",
            args![tenant, id],
        )
        .await?;
    }
    Ok(())
}

fn prefixed() -> String {
    COLUMNS.split(", ").map(|column| format!("p.{}", column.trim())).collect::<Vec<_>>().join(", ")
}

/// These deliveries, whole.
///
/// # Errors
/// The database's.
pub async fn deliveries(
    db: &mut Connection,
    tenant: &str,
    ids: &[String],
) -> Result<Vec<DeliveryRow>, Error> {
    let sql = format!(
        "select {COLUMNS} from delivery where tenant = $1 and id in (select value from table($2) as wanted_id)
         order by id"
    );
    let rows = db.all(sql, args![tenant, ids.to_vec()]).await?;
    rows.iter().map(DeliveryRow::read).collect()
}

/// The state deliveries that one mapping made of one source.
///
/// # Errors
/// The database's.
pub async fn deliveries_of_source(
    db: &mut Connection,
    tenant: &str,
    mapping: &str,
    rid: i64,
) -> Result<Vec<DeliveryRow>, Error> {
    let sql =
        format!("select {COLUMNS} from delivery where tenant = $1 and mapping = $2 and rid = $3 order by id");
    let rows = db.all(sql, args![tenant, mapping, rid]).await?;
    rows.iter().map(DeliveryRow::read).collect()
}

/// Writes these deliveries, which the transaction has locked.
///
/// # Errors
/// The database's.
pub async fn write_deliveries(tx: &mut Tx, tenant: &str, rows: &[DeliveryRow]) -> Result<(), Error> {
    if rows.is_empty() {
        return Ok(());
    }
    let sets: Vec<String> = COLUMNS
        .split(", ")
        .map(str::trim)
        .filter(|column| *column != "id")
        .map(|column| format!("{column} = excluded.{column}"))
        .collect();
    let sql = format!(
        "insert into delivery (tenant, {COLUMNS}) select $1, {} from table($2) as p where true
         on conflict (tenant, id) do update set {}",
        prefixed(),
        sets.join(", ")
    );
    tx.execute(sql, args![tenant, table(rows)]).await?;
    Ok(())
}

const CONTRIBUTION: &str = "delivery_id, slot, rid, output_key, ordinal, mapping, target_id, cell, aggregate, \
     amount, distinct_key, authored_ms";

/// What one source contributes through one mapping.
///
/// # Errors
/// The database's.
pub async fn contributions_of(
    db: &mut Connection,
    tenant: &str,
    mapping: &str,
    rid: i64,
) -> Result<Vec<ContributionRow>, Error> {
    let sql = format!(
        "select {CONTRIBUTION} from contribution where tenant = $1 and mapping = $2 and rid = $3
         order by delivery_id, slot, output_key, ordinal"
    );
    let rows = db.all(sql, args![tenant, mapping, rid]).await?;
    rows.iter().map(read_contribution).collect()
}

/// All that is contributed to one cell.
///
/// # Errors
/// The database's.
pub async fn contributions_at(
    db: &mut Connection,
    tenant: &str,
    delivery_id: &str,
    slot: &str,
) -> Result<Vec<ContributionRow>, Error> {
    let sql = format!(
        "select {CONTRIBUTION} from contribution where tenant = $1 and delivery_id = $2 and slot = $3"
    );
    let rows = db.all(sql, args![tenant, delivery_id, slot]).await?;
    rows.iter().map(read_contribution).collect()
}

fn read_contribution(row: &Row) -> Result<ContributionRow, Error> {
    Ok(ContributionRow {
        delivery_id: row.text("delivery_id")?,
        slot: row.text("slot")?,
        rid: row.int("rid")?,
        output_key: row.text("output_key")?,
        ordinal: row.int("ordinal")?,
        mapping: row.text("mapping")?,
        target_id: row.text("target_id")?,
        cell: row.text("cell")?,
        aggregate: row.text("aggregate")?,
        amount: row.text("amount")?,
        distinct_key: row.text("distinct_key")?,
        authored_ms: row.int("authored_ms")?,
    })
}

/// Replaces all that one source contributes through one mapping.
///
/// # Errors
/// The database's.
pub async fn replace_contributions(
    tx: &mut Tx,
    tenant: &str,
    (mapping, rid): (&str, i64),
    rows: &[ContributionRow],
) -> Result<(), Error> {
    tx.execute(
        "delete from contribution where tenant = $1 and mapping = $2 and rid = $3",
        args![tenant, mapping, rid],
    )
    .await?;
    if rows.is_empty() {
        return Ok(());
    }
    let texts = |of: fn(&ContributionRow) -> &str| rows.iter().map(|row| of(row).to_owned()).collect();
    let ints = |of: fn(&ContributionRow) -> i64| rows.iter().map(of).collect();
    let values = Table::new()
        .texts("delivery_id", texts(|row| &row.delivery_id))
        .texts("slot", texts(|row| &row.slot))
        .ints("rid", ints(|row| row.rid))
        .texts("output_key", texts(|row| &row.output_key))
        .ints("ordinal", ints(|row| row.ordinal))
        .texts("mapping", texts(|row| &row.mapping))
        .texts("target_id", texts(|row| &row.target_id))
        .texts("cell", texts(|row| &row.cell))
        .texts("aggregate", texts(|row| &row.aggregate))
        .texts("amount", texts(|row| &row.amount))
        .texts("distinct_key", texts(|row| &row.distinct_key))
        .ints("authored_ms", ints(|row| row.authored_ms));
    let sql = format!(
        "insert into contribution (tenant, {CONTRIBUTION}) select $1, p.delivery_id, p.slot, p.rid, p.output_key,
             p.ordinal, p.mapping, p.target_id, p.cell, p.aggregate, p.amount, p.distinct_key, p.authored_ms
         from table($2) as p"
    );
    tx.execute(sql, args![tenant, values]).await?;
    Ok(())
}
