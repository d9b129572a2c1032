//! Histories: the versions of one resource, of a type, and of everything, newest first.
//!
//! Pages go by keyset: what is written meanwhile is newer than every page, so that no page repeats or misses a
//! version. Documents have no history here. <https://hl7.org/fhir/R4/http.html#history>

use super::Store;
use super::db::{Connection, Row};
use super::error::Error;
use super::read::{COLUMNS, Stored, stored};
use crate::args;

/// Which versions are wanted. The default is all.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Window {
    /// Made at or after this time, in milliseconds since 1970 UTC.
    pub since_ms: i64,
    /// Current at some time from the first to the second (both included).
    pub at_ms: Option<(i64, i64)>,
}

impl Default for Window {
    fn default() -> Self {
        Self { since_ms: i64::MIN, at_ms: None }
    }
}

impl Window {
    /// Versions that were replaced at or before this time are not wanted.
    fn replaced_ms(&self) -> i64 {
        self.at_ms.map_or(i64::MIN, |(from, _)| from)
    }

    fn until_ms(&self) -> i64 {
        self.at_ms.map_or(i64::MAX, |(_, to)| to)
    }
}

/// Some versions of one resource, newest first.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct History {
    pub versions: Vec<Stored>,
    /// How many versions there are in the window; `None` where there is no such resource.
    pub total: Option<i64>,
    /// Whether older ones follow: ask for those before the last one.
    pub more: bool,
}

/// Some versions of many resources, newest first.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Changes {
    pub versions: Vec<Stored>,
    /// Where older ones follow.
    pub next: Option<Place>,
}

/// A version's place among all of a tenant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Place {
    pub updated_ms: i64,
    pub position: i64,
}

/// The conditions on `version v` that a window is. `$5`, `$6`, `$7`: since, until, replaced.
const IN_WINDOW: &str = "v.updated_ms >= $5 and v.updated_ms <= $6 and not exists (
        select 1 from version n
        where n.tenant = v.tenant and n.rid = v.rid and n.version = v.version + 1 and n.updated_ms <= $7)";

/// Whether a version makes what was deleted again; a column of its own beside those of every version.
const REVIVES: &str = "case when exists (
        select 1 from version p
        where p.tenant = v.tenant and p.rid = v.rid and p.version = v.version - 1 and p.method = 'DELETE')
    then v.version else 0 end as revives";

impl Store {
    /// At most `count` versions of one resource, newest first, older than version `before` where it is given.
    ///
    /// # Errors
    /// [`Error`]
    pub async fn history(
        &self,
        tenant: &str,
        (kind, id): (&str, &str),
        window: &Window,
        (before, count): (Option<i64>, u32),
    ) -> Result<History, Error> {
        let mut connection = self.db().read().await?;
        let (until, replaced) = (window.until_ms(), window.replaced_ms());
        let rows = connection
            .all(
                format!(
                    "select {COLUMNS}, {REVIVES} from resource r
                     join version v on v.tenant = r.tenant and v.rid = r.rid
                     where r.tenant = $1 and r.kind = $2 and r.id = $3 and v.version < $4 and {IN_WINDOW}
                     order by v.version desc limit $8"
                ),
                args![
                    tenant,
                    kind,
                    id,
                    before.unwrap_or(i64::MAX),
                    window.since_ms,
                    until,
                    replaced,
                    i64::from(count) + 1
                ],
            )
            .await?;
        let total = total(&mut connection, tenant, (kind, id), window).await?;
        let (versions, more) = page(&rows, count)?;
        Ok(History { versions, total, more })
    }

    /// At most `count` versions of a type, or of all where it is `None`, newest first, older than `before`.
    ///
    /// # Errors
    /// [`Error`]
    pub async fn changes_of(
        &self,
        tenant: &str,
        kind: Option<&str>,
        window: &Window,
        (before, count): (Option<Place>, u32),
    ) -> Result<Changes, Error> {
        let before = before.unwrap_or(Place { updated_ms: i64::MAX, position: i64::MAX });
        let of_kind = if kind.is_some() { "h.kind = $2" } else { "$2 = ''" };
        let until = window.until_ms().min(before.updated_ms);
        let rows = self
            .db()
            .read()
            .await?
            .all(
                format!(
                    "select {COLUMNS}, {REVIVES}, h.position from history h
                     join resource r on r.tenant = $1 and r.rid = h.rid
                     join version v on v.tenant = $1 and v.rid = h.rid and v.version = h.version
                     where h.tenant = $1 and {of_kind} and h.updated_ms >= $5 and h.updated_ms <= $6
                       and h.position < $3 and {IN_WINDOW}
                     order by h.updated_ms desc, h.position desc limit $4"
                ),
                args![
                    tenant,
                    kind.unwrap_or_default(),
                    before.position,
                    i64::from(count) + 1,
                    window.since_ms,
                    until,
                    window.replaced_ms()
                ],
            )
            .await?;
        let (versions, more) = page(&rows, count)?;
        let next = match (more, versions.last(), rows.get(versions.len().saturating_sub(1))) {
            (true, Some(last), Some(row)) => {
                Some(Place { updated_ms: last.updated_ms, position: row.int("position")? })
            }
            _ => None,
        };
        Ok(Changes { versions, next })
    }
}

/// How many versions of one resource are in the window; `None` where there is no such resource.
async fn total(
    connection: &mut Connection,
    tenant: &str,
    (kind, id): (&str, &str),
    window: &Window,
) -> Result<Option<i64>, Error> {
    let known = "select rid from resource where tenant = $1 and kind = $2 and id = $3";
    if connection.optional(known, args![tenant, kind, id]).await?.is_none() {
        return Ok(None);
    }
    let counted = connection
        .one(
            format!(
                "select count(*) as n from resource r
                 join version v on v.tenant = r.tenant and v.rid = r.rid
                 where r.tenant = $1 and r.kind = $2 and r.id = $3 and v.version < $4 and {IN_WINDOW}"
            ),
            args![tenant, kind, id, i64::MAX, window.since_ms, window.until_ms(), window.replaced_ms()],
        )
        .await?;
    Ok(Some(counted.int("n")?))
}

/// The first `count` of one more than that.
fn page(rows: &[Row], count: u32) -> Result<(Vec<Stored>, bool), Error> {
    let count = usize::try_from(count).unwrap_or(usize::MAX);
    let version = |row| Ok(Stored { revives: row_revives(row)?, ..stored(row)? });
    let versions = rows.iter().take(count).map(version).collect::<Result<_, Error>>()?;
    Ok((versions, rows.len() > count))
}

fn row_revives(row: &Row) -> Result<bool, Error> {
    Ok(row.int("revives")? > 0)
}
