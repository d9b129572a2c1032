//! What somebody who asks after a report needs to know beside the deliveries themselves.

use super::db::{Connection, Row};
use super::error::Error;
use super::reads::{self, EvaluationRow};
use crate::args;

/// How far the mapper is with one resource's current version.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mapped {
    /// Its partition's cursor has passed it.
    Done,
    /// It waits for the mapper.
    NotYet,
}

/// Whether a resource's current version was mapped.
///
/// # Errors
/// The database's.
pub async fn mapped(db: &mut Connection, tenant: &str, rid: i64) -> Result<Mapped, Error> {
    let row = db
        .optional(
            "select v.commit_no as commit_no, coalesce(p.position, 0) as position from resource r
             join version v on v.tenant = r.tenant and v.rid = r.rid and v.version = r.version
             left join mapper_partition p on p.tenant = r.tenant and p.partition = r.partition
             where r.tenant = $1 and r.rid = $2",
            args![tenant, rid],
        )
        .await?;
    let Some(row) = row else { return Ok(Mapped::NotYet) };
    let passed = row.int("position")? >> 16 >= row.int("commit_no")?;
    Ok(if passed { Mapped::Done } else { Mapped::NotYet })
}

/// Every evaluation of one resource, by mapping.
///
/// # Errors
/// The database's.
pub async fn evaluations(db: &mut Connection, tenant: &str, rid: i64) -> Result<Vec<EvaluationRow>, Error> {
    let names = db.all("select name from mapping where tenant = $1 order by name", args![tenant]).await?;
    let names: Vec<String> = names.iter().map(|row: &Row| row.text("name")).collect::<Result<_, _>>()?;
    let mut found = Vec::new();
    for name in names {
        found.extend(reads::evaluation(db, tenant, &name, rid).await?);
    }
    Ok(found)
}
