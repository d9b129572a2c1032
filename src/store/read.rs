//! Current and earlier versions: read, vread, and many at once.
//!
//! The functions take a [`Connection`], so that they run inside a transaction too; [`Store`]'s methods
//! take one from the pool.

use super::db::{Connection, Row, Table};
use super::error::Error;
use super::write::Origin;
use super::{Store, body};
use crate::args;

/// One version of a resource or document as it is stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stored {
    pub kind: String,
    pub id: String,
    /// The tenant's own number of this resource.
    pub rid: i64,
    pub version: i64,
    /// `meta.lastUpdated`, in milliseconds since 1970 UTC.
    pub updated_ms: i64,
    /// JSON without `id`, `meta.versionId` and `meta.lastUpdated`; `None` for a deletion.
    pub body: Option<String>,
    pub origin: Origin,
    /// `POST`, `PUT` or `DELETE`.
    pub method: String,
    /// Whether the version before is a deletion: told by histories only.
    pub revives: bool,
}

impl Stored {
    /// Whether this version is a deletion.
    pub fn deleted(&self) -> bool {
        self.body.is_none()
    }
}

/// The columns that [`stored`] reads, of `resource r` and `version v`.
pub(super) const COLUMNS: &str =
    "r.kind, r.id, r.rid, v.version, v.updated_ms, v.codec, v.body, v.origin, v.method";

/// Reads a row with [`COLUMNS`].
pub(super) fn stored(row: &Row) -> Result<Stored, Error> {
    let origin = row.text("origin")?;
    let codec = row.int("codec")?;
    Ok(Stored {
        kind: row.text("kind")?,
        id: row.text("id")?,
        rid: row.int("rid")?,
        version: row.int("version")?,
        updated_ms: row.int("updated_ms")?,
        body: row.opt_bytes("body")?.map(|bytes| body::decode(codec, bytes)).transpose()?,
        origin: Origin::parse(&origin).ok_or_else(|| Error::Column { column: "origin".to_owned() })?,
        method: row.text("method")?,
        revives: false,
    })
}

/// The current version of each of `wanted` (kind, id) that there is, deletions included, in no order.
///
/// # Errors
/// [`Error`]
pub async fn many(
    connection: &mut Connection,
    tenant: &str,
    wanted: &[(String, String)],
) -> Result<Vec<Stored>, Error> {
    if wanted.is_empty() {
        return Ok(Vec::new());
    }
    let (kinds, ids): (Vec<_>, Vec<_>) = wanted.iter().cloned().unzip();
    let rows = connection
        .all(
            format!(
                "select {COLUMNS} from table($2) as w
                 join resource r on r.tenant = $1 and r.kind = w.kind and r.id = w.id
                 join version v on v.tenant = $1 and v.rid = r.rid and v.version = r.version"
            ),
            args![tenant, Table::new().texts("kind", kinds).texts("id", ids)],
        )
        .await?;
    rows.iter().map(stored).collect()
}

/// The current version of each of these numbers that there is, deletions included, in no order.
///
/// # Errors
/// [`Error`]
pub async fn current(connection: &mut Connection, tenant: &str, rids: &[i64]) -> Result<Vec<Stored>, Error> {
    if rids.is_empty() {
        return Ok(Vec::new());
    }
    let rows = connection
        .all(
            format!(
                "select {COLUMNS} from table($2) as w
                 join resource r on r.tenant = $1 and r.rid = w.value
                 join version v on v.tenant = $1 and v.rid = r.rid and v.version = r.version"
            ),
            args![tenant, rids.to_vec()],
        )
        .await?;
    rows.iter().map(stored).collect()
}

/// These versions (number, version), in no order: what changes and remembered reads name.
///
/// # Errors
/// [`Error`]
pub async fn versions(
    connection: &mut Connection,
    tenant: &str,
    wanted: &[(i64, i64)],
) -> Result<Vec<Stored>, Error> {
    if wanted.is_empty() {
        return Ok(Vec::new());
    }
    let (rids, numbers): (Vec<_>, Vec<_>) = wanted.iter().copied().unzip();
    let rows = connection
        .all(
            format!(
                "select {COLUMNS} from table($2) as w
                 join resource r on r.tenant = $1 and r.rid = w.rid
                 join version v on v.tenant = $1 and v.rid = w.rid and v.version = w.version"
            ),
            args![tenant, Table::new().ints("rid", rids).ints("version", numbers)],
        )
        .await?;
    rows.iter().map(stored).collect()
}

impl Store {
    /// The current version, which may be a deletion.
    ///
    /// # Errors
    /// [`Error`]
    pub async fn read(&self, tenant: &str, kind: &str, id: &str) -> Result<Option<Stored>, Error> {
        let row = self
            .db()
            .read()
            .await?
            .optional(
                format!(
                    "select {COLUMNS} from resource r
                     join version v on v.tenant = r.tenant and v.rid = r.rid and v.version = r.version
                     where r.tenant = $1 and r.kind = $2 and r.id = $3"
                ),
                args![tenant, kind, id],
            )
            .await?;
        row.as_ref().map(stored).transpose()
    }

    /// One version, which may be a deletion.
    ///
    /// # Errors
    /// [`Error`]
    pub async fn vread(
        &self,
        tenant: &str,
        (kind, id): (&str, &str),
        version: i64,
    ) -> Result<Option<Stored>, Error> {
        let row = self
            .db()
            .read()
            .await?
            .optional(
                format!(
                    "select {COLUMNS} from resource r
                     join version v on v.tenant = r.tenant and v.rid = r.rid
                     where r.tenant = $1 and r.kind = $2 and r.id = $3 and v.version = $4"
                ),
                args![tenant, kind, id, version],
            )
            .await?;
        row.as_ref().map(stored).transpose()
    }

    /// [`many`] on a connection of the pool.
    ///
    /// # Errors
    /// [`Error`]
    pub async fn many(&self, tenant: &str, wanted: &[(String, String)]) -> Result<Vec<Stored>, Error> {
        many(&mut self.db().read().await?, tenant, wanted).await
    }
}
