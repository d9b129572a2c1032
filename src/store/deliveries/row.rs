//! Rows of `delivery`, read and written whole.

use crate::store::db::{Row, Table};
use crate::store::deliveries::{Cause, Status};
use crate::store::error::Error;

/// One row of `delivery`: one intended effect.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeliveryRow {
    pub id: String,
    /// `SYSTEM.NAME`
    pub destination: String,
    pub mapping: String,
    pub mapping_version: String,
    pub target: String,
    pub target_id: String,
    /// `state`, `count` or `act`.
    pub nature: String,
    /// The source's; 0 for a count, which has many sources.
    pub rid: i64,
    /// `Type/id`; empty for a count.
    pub source: String,
    pub source_version: i64,
    pub output_key: String,
    pub lane: String,
    /// Canonical JSON.
    pub body: String,
    /// JSON list of target ids.
    pub needs: String,
    /// `delete` or `keep`.
    pub withdraw: String,
    pub withdrawn: bool,
    pub authored_ms: i64,
    /// The resource to link; empty: none.
    pub link: String,
    pub status: Status,
    /// Deliveries of one lane go out in this order.
    pub order_no: i64,
    pub due_ms: i64,
    /// Failures since it was last settled.
    pub attempts: i64,
    /// 0: not failing.
    pub first_failed_ms: i64,
    /// An earlier attempt ended without proof.
    pub unclear: bool,
    /// The kind of the last failure; empty: none.
    pub failure: String,
    /// Deliveries that travel together after a refused batch, or `parts:N`.
    pub batch_group: String,
    pub lease_owner: String,
    pub lease_fence: i64,
    pub lease_until_ms: i64,
    pub cause: Cause,
    pub created_ms: i64,
    pub updated_ms: i64,
    /// Since when it has been where it is: waiting, dead, settled.
    pub since_ms: i64,
    /// Of an act: why.
    pub reason: String,
    /// Of an act: not before this; 0: at once.
    pub not_before_ms: i64,
    /// When the first request went out whose effect is not known to be nothing; 0: none did.
    pub begun_ms: i64,
    /// Of an act: what the far side calls it.
    pub remote: String,
    /// The remote id becomes an identifier of the linked resource.
    pub write_back: bool,
    /// Of an act: which one of its series, from 1; 0: no act.
    pub occurrence: i64,
    /// What must be there before it can go out: `link:Patient/1`, `needs:contact`, `mapping:NAME`; empty:
    /// nothing. It does not hold up its lane meanwhile.
    pub waits_for: String,
    /// Of an act that has begun: what a later evaluation wants, as JSON; empty: nothing else.
    pub pending: String,
    /// How many mappings stand between what came in and what this makes.
    pub hops: i64,
    /// Of an act: the hours outside of which it does not go out, as `08:00-18:00 ZONE`; empty: any.
    pub hours: String,
}

/// The columns of `delivery` but the tenant, in the order of [`table`].
pub(super) const COLUMNS: &str = "id, destination, mapping, mapping_version, target, target_id, nature, rid, \
     source, source_version, output_key, lane, body, needs, withdraw, withdrawn, authored_ms, link, status, \
     order_no, due_ms, attempts, first_failed_ms, unclear, failure, batch_group, lease_owner, lease_fence, \
     lease_until_ms, cause, message, hint, created_ms, updated_ms, since_ms, reason, not_before_ms, \
     begun_ms, remote, write_back, occurrence, waits_for, pending, hops, hours";

impl DeliveryRow {
    pub(super) fn read(row: &Row) -> Result<Self, Error> {
        let status = row.text("status")?;
        Ok(Self {
            id: row.text("id")?,
            destination: row.text("destination")?,
            mapping: row.text("mapping")?,
            mapping_version: row.text("mapping_version")?,
            target: row.text("target")?,
            target_id: row.text("target_id")?,
            nature: row.text("nature")?,
            rid: row.int("rid")?,
            source: row.text("source")?,
            source_version: row.int("source_version")?,
            output_key: row.text("output_key")?,
            lane: row.text("lane")?,
            body: row.text("body")?,
            needs: row.text("needs")?,
            withdraw: row.text("withdraw")?,
            withdrawn: row.int("withdrawn")? != 0,
            authored_ms: row.int("authored_ms")?,
            link: row.text("link")?,
            status: Status::parse(&status).ok_or_else(|| Error::Column { column: "status".to_owned() })?,
            order_no: row.int("order_no")?,
            due_ms: row.int("due_ms")?,
            attempts: row.int("attempts")?,
            first_failed_ms: row.int("first_failed_ms")?,
            unclear: row.int("unclear")? != 0,
            failure: row.text("failure")?,
            batch_group: row.text("batch_group")?,
            lease_owner: row.text("lease_owner")?,
            lease_fence: row.int("lease_fence")?,
            lease_until_ms: row.int("lease_until_ms")?,
            cause: Cause { code: row.text("cause")?, message: row.text("message")?, hint: row.text("hint")? },
            created_ms: row.int("created_ms")?,
            updated_ms: row.int("updated_ms")?,
            since_ms: row.int("since_ms")?,
            reason: row.text("reason")?,
            not_before_ms: row.int("not_before_ms")?,
            begun_ms: row.int("begun_ms")?,
            remote: row.text("remote")?,
            write_back: row.int("write_back")? != 0,
            occurrence: row.int("occurrence")?,
            waits_for: row.text("waits_for")?,
            pending: row.text("pending")?,
            hops: row.int("hops")?,
            hours: row.text("hours")?,
        })
    }
}

/// All rows as bound columns, named as in [`COLUMNS`].
pub(super) fn table(rows: &[DeliveryRow]) -> Table {
    let texts = |of: fn(&DeliveryRow) -> &str| rows.iter().map(|row| of(row).to_owned()).collect();
    let ints = |of: fn(&DeliveryRow) -> i64| rows.iter().map(of).collect();
    Table::new()
        .texts("id", texts(|row| &row.id))
        .texts("destination", texts(|row| &row.destination))
        .texts("mapping", texts(|row| &row.mapping))
        .texts("mapping_version", texts(|row| &row.mapping_version))
        .texts("target", texts(|row| &row.target))
        .texts("target_id", texts(|row| &row.target_id))
        .texts("nature", texts(|row| &row.nature))
        .ints("rid", ints(|row| row.rid))
        .texts("source", texts(|row| &row.source))
        .ints("source_version", ints(|row| row.source_version))
        .texts("output_key", texts(|row| &row.output_key))
        .texts("lane", texts(|row| &row.lane))
        .texts("body", texts(|row| &row.body))
        .texts("needs", texts(|row| &row.needs))
        .texts("withdraw", texts(|row| &row.withdraw))
        .ints("withdrawn", ints(|row| i64::from(row.withdrawn)))
        .ints("authored_ms", ints(|row| row.authored_ms))
        .texts("link", texts(|row| &row.link))
        .texts("status", texts(|row| row.status.text()))
        .ints("order_no", ints(|row| row.order_no))
        .ints("due_ms", ints(|row| row.due_ms))
        .ints("attempts", ints(|row| row.attempts))
        .ints("first_failed_ms", ints(|row| row.first_failed_ms))
        .ints("unclear", ints(|row| i64::from(row.unclear)))
        .texts("failure", texts(|row| &row.failure))
        .texts("batch_group", texts(|row| &row.batch_group))
        .texts("lease_owner", texts(|row| &row.lease_owner))
        .ints("lease_fence", ints(|row| row.lease_fence))
        .ints("lease_until_ms", ints(|row| row.lease_until_ms))
        .texts("cause", texts(|row| &row.cause.code))
        .texts("message", texts(|row| &row.cause.message))
        .texts("hint", texts(|row| &row.cause.hint))
        .ints("created_ms", ints(|row| row.created_ms))
        .ints("updated_ms", ints(|row| row.updated_ms))
        .ints("since_ms", ints(|row| row.since_ms))
        .texts("reason", texts(|row| &row.reason))
        .ints("not_before_ms", ints(|row| row.not_before_ms))
        .ints("begun_ms", ints(|row| row.begun_ms))
        .texts("remote", texts(|row| &row.remote))
        .ints("write_back", ints(|row| i64::from(row.write_back)))
        .ints("occurrence", ints(|row| row.occurrence))
        .texts("waits_for", texts(|row| &row.waits_for))
        .texts("pending", texts(|row| &row.pending))
        .ints("hops", ints(|row| row.hops))
        .texts("hours", texts(|row| &row.hours))
}
