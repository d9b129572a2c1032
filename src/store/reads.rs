//! What evaluations looked up and found, what they wait for, and what is held.
//!
//! One evaluation is (mapping, rid). Written only in the transaction that moves the partition's cursor.

// Evaluations that wait for something.
mod waiting;

use super::db::{Connection, Row, Table, Tx};
use super::error::Error;
use crate::args;

pub use waiting::{HeldFilter, HeldGroup, HeldRow, held, held_count, held_groups, remove_held, write_held};

/// One row of `evaluation`: the last time that a mapping was applied to a resource.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EvaluationRow {
    pub mapping: String,
    pub rid: i64,
    pub version: i64,
    /// The version that it was applied to before that one.
    pub previous: Option<i64>,
    pub mapping_version: String,
    /// `done`, `held` or `unmatched`.
    pub outcome: String,
    /// JSON list.
    pub issues: String,
    pub at_ms: i64,
    /// The version was replayed without its acts.
    pub acts_withheld: bool,
}

/// One row of `lookup_read`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct ReadRow {
    /// Hash of the query.
    pub query_key: String,
    /// JSON.
    pub query: String,
    pub name: String,
    pub follow: bool,
    /// JSON list of {kind, id, version}; `[]`: absent.
    pub sources: String,
}

/// # Errors
/// The database's.
pub async fn evaluation(
    db: &mut Connection,
    tenant: &str,
    mapping: &str,
    rid: i64,
) -> Result<Option<EvaluationRow>, Error> {
    let row = db
        .optional(
            "select mapping, rid, version, previous, mapping_version, outcome, issues, at_ms, acts_withheld
             from evaluation
             where tenant = $1 and mapping = $2 and rid = $3",
            args![tenant, mapping, rid],
        )
        .await?;
    let read = |row: &Row| {
        Ok(EvaluationRow {
            mapping: row.text("mapping")?,
            rid: row.int("rid")?,
            version: row.int("version")?,
            previous: row.opt_int("previous")?,
            mapping_version: row.text("mapping_version")?,
            outcome: row.text("outcome")?,
            issues: row.text("issues")?,
            at_ms: row.int("at_ms")?,
            acts_withheld: row.int("acts_withheld")? != 0,
        })
    };
    row.as_ref().map(read).transpose()
}

/// # Errors
/// The database's.
pub async fn write_evaluation(tx: &mut Tx, tenant: &str, row: &EvaluationRow) -> Result<(), Error> {
    tx.execute(
        "insert into evaluation
             (tenant, mapping, rid, version, previous, mapping_version, outcome, issues, at_ms, acts_withheld)
         values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)
         on conflict (tenant, mapping, rid) do update
         set version = excluded.version, previous = excluded.previous, mapping_version = excluded.mapping_version,
             outcome = excluded.outcome, issues = excluded.issues, at_ms = excluded.at_ms,
             acts_withheld = excluded.acts_withheld",
        args![
            tenant,
            row.mapping.as_str(),
            row.rid,
            row.version,
            row.previous,
            row.mapping_version.as_str(),
            row.outcome.as_str(),
            row.issues.as_str(),
            row.at_ms,
            i64::from(row.acts_withheld),
        ],
    )
    .await?;
    Ok(())
}

/// What one evaluation looked up, in the order of the queries' hashes.
///
/// # Errors
/// The database's.
pub async fn reads(
    db: &mut Connection,
    tenant: &str,
    mapping: &str,
    rid: i64,
) -> Result<Vec<ReadRow>, Error> {
    let rows = db
        .all(
            "select query_key, query, name, follow, sources from lookup_read
             where tenant = $1 and mapping = $2 and rid = $3 order by query_key",
            args![tenant, mapping, rid],
        )
        .await?;
    let read = |row: &Row| {
        Ok(ReadRow {
            query_key: row.text("query_key")?,
            query: row.text("query")?,
            name: row.text("name")?,
            follow: row.int("follow")? != 0,
            sources: row.text("sources")?,
        })
    };
    rows.iter().map(read).collect()
}

/// Replaces what one evaluation looked up, and what it waits for.
///
/// # Errors
/// The database's.
pub async fn replace_reads(
    tx: &mut Tx,
    tenant: &str,
    (mapping, rid, partition): (&str, i64, i64),
    (reads, watched): (&[ReadRow], &[String]),
) -> Result<(), Error> {
    tx.execute(
        "delete from lookup_read where tenant = $1 and mapping = $2 and rid = $3",
        args![tenant, mapping, rid],
    )
    .await?;
    tx.execute(
        "delete from watch where tenant = $1 and mapping = $2 and rid = $3",
        args![tenant, mapping, rid],
    )
    .await?;
    if !reads.is_empty() {
        let texts = |of: fn(&ReadRow) -> &str| reads.iter().map(|row| of(row).to_owned()).collect();
        let rows = Table::new()
            .texts("query_key", texts(|row| &row.query_key))
            .texts("query", texts(|row| &row.query))
            .texts("name", texts(|row| &row.name))
            .ints("follow", reads.iter().map(|row| i64::from(row.follow)).collect())
            .texts("sources", texts(|row| &row.sources));
        tx.execute(
            "insert into lookup_read (tenant, mapping, rid, query_key, query, name, follow, sources)
             select $1, $2, $3, p.query_key, p.query, p.name, p.follow, p.sources from table($4) as p where true
             on conflict (tenant, mapping, rid, query_key) do nothing",
            args![tenant, mapping, rid, rows],
        )
        .await?;
    }
    if !watched.is_empty() {
        tx.execute(
            "insert into watch (tenant, watched, mapping, rid, partition)
             select $1, k.value, $2, $3, $4 from table($5) as k where true
             on conflict (tenant, watched, mapping, rid) do nothing",
            args![tenant, mapping, rid, partition, watched.to_vec()],
        )
        .await?;
    }
    Ok(())
}

/// Links of a resource to remote objects of a kind: (destination's name, remote id).
///
/// # Errors
/// The database's.
pub async fn links_of(
    db: &mut Connection,
    tenant: &str,
    (kind, id): (&str, &str),
    remote_kind: &str,
) -> Result<Vec<(String, String)>, Error> {
    let rows = db
        .all(
            "select destination, remote_id from link
             where tenant = $1 and kind = $2 and id = $3 and remote_kind = $4 order by destination",
            args![tenant, kind, id, remote_kind],
        )
        .await?;
    rows.iter().map(|row| Ok((row.text("destination")?, row.text("remote_id")?))).collect()
}
