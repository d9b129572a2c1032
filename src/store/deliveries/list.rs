//! Deliveries as a person looks at them: listed, grouped by cause, shown whole, counted.

use super::row::COLUMNS;
use super::sending::{AttemptRow, ExchangeRow};
use super::{DeliveryRow, PartRow, SlotRow, Status};
use crate::args;
use crate::store::db::{Argument, Connection, Row};
use crate::store::error::Error;

/// Which deliveries are meant; what is `None` does not matter.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Filter {
    pub status: Option<Status>,
    pub cause: Option<String>,
    pub mapping: Option<String>,
    /// `SYSTEM.NAME`
    pub destination: Option<String>,
    pub lane: Option<String>,
    /// `Type/id`; finds counts by their contributions too.
    pub source: Option<String>,
}

/// A place in a listing: the (order, id) of the last row of the page before.
pub type After = (i64, String);

/// One group of a listing by cause.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Group {
    pub status: Status,
    pub cause: String,
    /// Of one of them.
    pub hint: String,
    /// Of one of them.
    pub message: String,
    pub count: i64,
    pub oldest_ms: i64,
}

/// One delivery with all that is known of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Shown {
    pub delivery: DeliveryRow,
    /// Each part with what its place is known to hold.
    pub parts: Vec<(PartRow, Option<SlotRow>)>,
    pub attempts: Vec<AttemptRow>,
    pub exchanges: Vec<ExchangeRow>,
}

/// Counts for metrics and `ready`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tally {
    pub destination: String,
    pub status: Status,
    pub cause: String,
    pub count: i64,
    /// Since when the oldest has been so, in milliseconds since 1970.
    pub oldest_ms: i64,
}

/// Placeholders $1 to $7 of every statement here: the tenant and a filter. Null: any.
const WHERE: &str = "d.tenant = $1 and ($2 is null or d.status = $2) and ($3 is null or d.cause = $3)
     and ($4 is null or d.mapping = $4) and ($5 is null or d.destination = $5) and ($6 is null or d.lane = $6)
     and ($7 is null or d.source = $7 or d.id in (
         select c.delivery_id from contribution c join resource r on r.tenant = c.tenant and r.rid = c.rid
         where c.tenant = $1 and r.kind = $8 and r.id = $9))";

fn filter_args(tenant: &str, filter: &Filter) -> Vec<Argument> {
    let (kind, id) = filter.source.as_deref().and_then(|source| source.split_once('/')).unwrap_or_default();
    args![
        tenant,
        filter.status.map(Status::text),
        filter.cause.as_deref(),
        filter.mapping.as_deref(),
        filter.destination.as_deref(),
        filter.lane.as_deref(),
        filter.source.as_deref(),
        kind,
        id,
    ]
}

/// A page of deliveries, in the order in which they began to wait.
///
/// # Errors
/// The database's.
pub async fn list(
    db: &mut Connection,
    tenant: &str,
    filter: &Filter,
    (after, limit): (Option<After>, i64),
) -> Result<Vec<DeliveryRow>, Error> {
    let columns: Vec<String> = COLUMNS.split(", ").map(|column| format!("d.{}", column.trim())).collect();
    let sql = format!(
        "select {} from delivery d where {WHERE} and (d.order_no > $10 or (d.order_no = $10 and d.id > $11))
         order by d.order_no, d.id limit $12",
        columns.join(", ")
    );
    let (order_no, id) = after.unwrap_or((i64::MIN, String::new()));
    let mut bound = filter_args(tenant, filter);
    bound.extend(args![order_no, id, limit]);
    let rows = db.all(sql, bound).await?;
    rows.iter().map(DeliveryRow::read).collect()
}

/// How many deliveries there are by status and cause, most first.
///
/// # Errors
/// The database's.
pub async fn groups(db: &mut Connection, tenant: &str, filter: &Filter) -> Result<Vec<Group>, Error> {
    let sql = format!(
        "select d.status, d.cause, min(d.hint) as hint, min(d.message) as message, count(*) as amount,
             min(d.since_ms) as oldest_ms
         from delivery d where {WHERE} group by d.status, d.cause order by count(*) desc, d.status, d.cause"
    );
    let rows = db.all(sql, filter_args(tenant, filter)).await?;
    rows.iter().map(read_group).collect()
}

fn read_group(row: &Row) -> Result<Group, Error> {
    Ok(Group {
        status: status_of(row)?,
        cause: row.text("cause")?,
        hint: row.text("hint")?,
        message: row.text("message")?,
        count: row.int("amount")?,
        oldest_ms: row.int("oldest_ms")?,
    })
}

fn status_of(row: &Row) -> Result<Status, Error> {
    Status::parse(&row.text("status")?).ok_or_else(|| Error::Column { column: "status".to_owned() })
}

/// One delivery by its id, or by the beginning of its id where that is enough. `None`: there is none, or
/// several begin so.
///
/// # Errors
/// The database's.
pub async fn show(db: &mut Connection, tenant: &str, id: &str) -> Result<Option<Shown>, Error> {
    let Some(delivery) = by_beginning(db, tenant, id).await? else { return Ok(None) };
    let parts = super::parts_of(db, tenant, std::slice::from_ref(&delivery.id)).await?;
    let places: Vec<super::Place> = parts.iter().map(PartRow::place).collect();
    let slots = super::slots(db, tenant, &places).await?;
    let parts = parts
        .into_iter()
        .map(|part| {
            let slot = slots.iter().find(|slot| slot.place() == part.place()).cloned();
            (part, slot)
        })
        .collect();
    let attempts = attempts(db, tenant, &delivery.id).await?;
    let exchanges = exchanges(db, tenant, &attempts).await?;
    Ok(Some(Shown { delivery, parts, attempts, exchanges }))
}

async fn by_beginning(db: &mut Connection, tenant: &str, id: &str) -> Result<Option<DeliveryRow>, Error> {
    // Ids are hexadecimal: 'g' is behind all of them.
    let sql = format!(
        "select {COLUMNS} from delivery where tenant = $1 and id >= $2 and id < $3 order by id limit 2"
    );
    let rows = db.all(sql, args![tenant, id, format!("{id}g")]).await?;
    match rows.as_slice() {
        [one] => DeliveryRow::read(one).map(Some),
        _ => Ok(None),
    }
}

async fn attempts(db: &mut Connection, tenant: &str, id: &str) -> Result<Vec<AttemptRow>, Error> {
    let rows = db
        .all(
            "select number, at_ms, outcome, cause, message, batch from attempt
             where tenant = $1 and delivery_id = $2 order by number desc limit 100",
            args![tenant, id],
        )
        .await?;
    let read = |row: &Row| {
        Ok(AttemptRow {
            delivery_id: id.to_owned(),
            number: row.int("number")?,
            at_ms: row.int("at_ms")?,
            outcome: row.text("outcome")?,
            cause: row.text("cause")?,
            message: row.text("message")?,
            batch: row.text("batch")?,
        })
    };
    rows.iter().map(read).collect()
}

async fn exchanges(
    db: &mut Connection,
    tenant: &str,
    attempts: &[AttemptRow],
) -> Result<Vec<ExchangeRow>, Error> {
    let batches: Vec<String> = attempts.iter().map(|attempt| attempt.batch.clone()).collect();
    let rows = db
        .all(
            "select batch, ordinal, at_ms, method, path, status, request, response, elapsed_ms from exchange
             where tenant = $1 and batch in (select value from table($2) as b) order by at_ms, ordinal limit 500",
            args![tenant, batches],
        )
        .await?;
    let read = |row: &Row| {
        Ok(ExchangeRow {
            batch: row.text("batch")?,
            ordinal: row.int("ordinal")?,
            at_ms: row.int("at_ms")?,
            method: row.text("method")?,
            path: row.text("path")?,
            status: row.int("status")?,
            request: row.text("request")?,
            response: row.text("response")?,
            elapsed_ms: row.int("elapsed_ms")?,
        })
    };
    rows.iter().map(read).collect()
}

/// Deliveries whose lane names `text` (an organisation unit) and that changed since then, newest first. Looks at
/// all deliveries of that time.
///
/// # Errors
/// The database's.
pub async fn in_lanes(
    db: &mut Connection,
    tenant: &str,
    (text, since_ms): (&str, i64),
    limit: i64,
) -> Result<Vec<DeliveryRow>, Error> {
    // A UID holds no wildcards; whatever is asked for is compared as it is.
    let sql = format!(
        "select {COLUMNS} from delivery where tenant = $1
         and status in ('waiting', 'sending', 'settled', 'dead', 'cancelled') and updated_ms >= $2
         and ('|' || lane || '|') like ('%|' || replace(replace($3, '%', ''), '_', '') || '|%')
         order by updated_ms desc, id limit $4"
    );
    let rows = db.all(sql, args![tenant, since_ms, text, limit]).await?;
    rows.iter().map(DeliveryRow::read).collect()
}

/// Counts by destination, status and cause at `now_ms`; settled ones are left out. Acts whose time has not come
/// have the cause `not-due-yet` and no age; the others are as old as their time is past.
///
/// # Errors
/// The database's.
pub async fn tallies(db: &mut Connection, tenant: &str, now_ms: i64) -> Result<Vec<Tally>, Error> {
    let rows = db
        .all(
            "select destination, status, cause, count(*) as amount, min(since_ms) as oldest_ms from
             (select destination, status,
                  case when status = 'waiting' and not_before_ms > $2 then 'not-due-yet' else cause end as cause,
                  case when not_before_ms > since_ms then not_before_ms else since_ms end as since_ms
              from delivery where tenant = $1 and status in ('waiting', 'sending', 'dead')) as open
             group by destination, status, cause order by destination, status, cause",
            args![tenant, now_ms],
        )
        .await?;
    let read = |row: &Row| {
        Ok(Tally {
            destination: row.text("destination")?,
            status: status_of(row)?,
            cause: row.text("cause")?,
            count: row.int("amount")?,
            oldest_ms: row.int("oldest_ms")?,
        })
    };
    rows.iter().map(read).collect()
}

/// Ids of the deliveries that a filter means, at most `limit`.
///
/// # Errors
/// The database's.
pub async fn ids(
    db: &mut Connection,
    tenant: &str,
    filter: &Filter,
    limit: i64,
) -> Result<Vec<String>, Error> {
    let sql = format!("select d.id from delivery d where {WHERE} order by d.order_no, d.id limit $10");
    let mut bound = filter_args(tenant, filter);
    bound.extend(args![limit]);
    let rows = db.all(sql, bound).await?;
    rows.iter().map(|row| row.text("id")).collect()
}
