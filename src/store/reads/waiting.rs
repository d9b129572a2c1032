//! Evaluations that are held: written by the mapper, listed for a person.

use crate::args;
use crate::store::db::{Argument, Connection, Row, Tx};
use crate::store::error::Error;

/// One row of `held`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HeldRow {
    pub mapping: String,
    pub rid: i64,
    /// `Type/id`
    pub source: String,
    pub version: i64,
    pub code: String,
    pub message: String,
    pub hint: String,
    /// `file:line:column`
    pub place: String,
    pub waits_for: String,
    pub since_ms: i64,
}

/// Which held evaluations are meant; what is `None` does not matter.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct HeldFilter {
    pub mapping: Option<String>,
    pub code: Option<String>,
    /// `Type/id`
    pub source: Option<String>,
}

/// Evaluations of one mapping that are held for the same value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HeldGroup {
    pub mapping: String,
    pub code: String,
    pub message: String,
    /// Of one of them.
    pub hint: String,
    /// `file:line:column` of the value
    pub place: String,
    /// What one of them waits for.
    pub waits_for: String,
    /// How many different things they wait for.
    pub things: i64,
    /// One of their sources, `Type/id`.
    pub source: String,
    pub count: i64,
    /// Since when the first of them has been held, in milliseconds since 1970.
    pub oldest_ms: i64,
}

/// Notes what an evaluation waits for; `since_ms` stays that of the first time.
///
/// # Errors
/// The database's.
pub async fn write_held(tx: &mut Tx, tenant: &str, row: &HeldRow) -> Result<(), Error> {
    tx.execute(
        "insert into held (tenant, mapping, rid, source, version, code, message, hint, place, waits_for, since_ms)
         values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)
         on conflict (tenant, mapping, rid) do update
         set source = excluded.source, version = excluded.version, code = excluded.code,
             message = excluded.message, hint = excluded.hint, place = excluded.place,
             waits_for = excluded.waits_for",
        args![
            tenant,
            row.mapping.as_str(),
            row.rid,
            row.source.as_str(),
            row.version,
            row.code.as_str(),
            row.message.as_str(),
            row.hint.as_str(),
            row.place.as_str(),
            row.waits_for.as_str(),
            row.since_ms,
        ],
    )
    .await?;
    Ok(())
}

/// The evaluation is no longer held.
///
/// # Errors
/// The database's.
pub async fn remove_held(tx: &mut Tx, tenant: &str, mapping: &str, rid: i64) -> Result<(), Error> {
    tx.execute(
        "delete from held where tenant = $1 and mapping = $2 and rid = $3",
        args![tenant, mapping, rid],
    )
    .await?;
    Ok(())
}

/// Placeholders $1 to $4: the tenant and a filter. Null: any.
const WHERE: &str = "tenant = $1 and ($2 is null or mapping = $2) and ($3 is null or code = $3)
     and ($4 is null or source = $4)";

fn filter_args(tenant: &str, filter: &HeldFilter) -> Vec<Argument> {
    args![tenant, filter.mapping.as_deref(), filter.code.as_deref(), filter.source.as_deref()]
}

/// What is held, the longest first.
///
/// # Errors
/// The database's.
pub async fn held(
    db: &mut Connection,
    tenant: &str,
    filter: &HeldFilter,
    limit: i64,
) -> Result<Vec<HeldRow>, Error> {
    let sql = format!(
        "select mapping, rid, source, version, code, message, hint, place, waits_for, since_ms from held
         where {WHERE} order by since_ms, mapping, rid limit $5"
    );
    let mut bound = filter_args(tenant, filter);
    bound.extend(args![limit]);
    let rows = db.all(sql, bound).await?;
    let read = |row: &Row| {
        Ok(HeldRow {
            mapping: row.text("mapping")?,
            rid: row.int("rid")?,
            source: row.text("source")?,
            version: row.int("version")?,
            code: row.text("code")?,
            message: row.text("message")?,
            hint: row.text("hint")?,
            place: row.text("place")?,
            waits_for: row.text("waits_for")?,
            since_ms: row.int("since_ms")?,
        })
    };
    rows.iter().map(read).collect()
}

/// What is held, by mapping and by the value that is absent, most first.
///
/// # Errors
/// The database's.
pub async fn held_groups(
    db: &mut Connection,
    tenant: &str,
    filter: &HeldFilter,
) -> Result<Vec<HeldGroup>, Error> {
    let sql = format!(
        "select mapping, code, message, place, min(hint) as hint, min(waits_for) as waits_for,
             count(distinct waits_for) as things, min(source) as source, count(*) as amount,
             min(since_ms) as oldest_ms
         from held where {WHERE}
         group by mapping, code, message, place order by count(*) desc, mapping, code, message, place"
    );
    let rows = db.all(sql, filter_args(tenant, filter)).await?;
    let read = |row: &Row| {
        Ok(HeldGroup {
            mapping: row.text("mapping")?,
            code: row.text("code")?,
            message: row.text("message")?,
            hint: row.text("hint")?,
            place: row.text("place")?,
            waits_for: row.text("waits_for")?,
            things: row.int("things")?,
            source: row.text("source")?,
            count: row.int("amount")?,
            oldest_ms: row.int("oldest_ms")?,
        })
    };
    rows.iter().map(read).collect()
}

/// How many evaluations are held.
///
/// # Errors
/// The database's.
pub async fn held_count(db: &mut Connection, tenant: &str) -> Result<i64, Error> {
    db.one("select count(*) as amount from held where tenant = $1", args![tenant]).await?.int("amount")
}
