//! What the sender reads and writes beside the places: who may send, what is due, what was tried.

use super::row::COLUMNS;
use super::{DeliveryRow, PartRow};
use crate::args;
use crate::store::db::{Connection, Engine, Row, Table, Tx};
use crate::store::error::Error;

/// One row of `destination`: who sends to it, its circuit and its budget.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct DestinationRow {
    pub name: String,
    pub owner: String,
    pub fence: i64,
    pub until_ms: i64,
    /// `closed` or `open`; why is in `cause`.
    pub circuit: String,
    pub circuit_until_ms: i64,
    pub failures: i64,
    /// Hours since 1970.
    pub hour: i64,
    pub used: i64,
    pub cause: super::Cause,
}

/// Takes or renews the lease of a destination. `None`: another process holds it.
///
/// # Errors
/// The database's.
pub async fn take_destination(
    tx: &mut Tx,
    tenant: &str,
    name: &str,
    (owner, now_ms, until_ms): (&str, i64, i64),
) -> Result<Option<DestinationRow>, Error> {
    let rows = tx
        .all(
            "insert into destination (tenant, name, owner, fence, until_ms, circuit, circuit_until_ms, failures,
                 hour, used, cause, message, hint)
             values ($1, $2, $3, 1, $5, 'closed', 0, 0, 0, 0, '', '', '')
             on conflict (tenant, name) do update
             set fence = case when destination.owner = excluded.owner then destination.fence
                              else destination.fence + 1 end,
                 owner = excluded.owner, until_ms = excluded.until_ms
             where destination.owner = excluded.owner or destination.until_ms <= $4
             returning name, owner, fence, until_ms, circuit, circuit_until_ms, failures, hour, used, cause,
                 message, hint",
            args![tenant, name, owner, now_ms, until_ms],
        )
        .await?;
    rows.first().map(read_destination).transpose()
}

/// Whether this owner holds a destination under this fence. If so, nobody takes it before the transaction ends:
/// on PostgreSQL whoever wants to waits for it, and SQLite has one writer anyway.
///
/// # Errors
/// The database's.
pub async fn holds_destination(
    tx: &mut Tx,
    tenant: &str,
    name: &str,
    (owner, fence): (&str, i64),
) -> Result<bool, Error> {
    let lock = match tx.engine() {
        Engine::Postgres => " for share",
        Engine::Sqlite => "",
    };
    let sql = format!(
        "select fence from destination where tenant = $1 and name = $2 and owner = $3 and fence = $4{lock}"
    );
    Ok(tx.optional(sql, args![tenant, name, owner, fence]).await?.is_some())
}

/// Ends the claims of other owners at `until_ms`, where their leases are longer.
///
/// # Errors
/// The database's.
pub async fn shorten_leases(
    tx: &mut Tx,
    tenant: &str,
    destination: &str,
    (owner, until_ms): (&str, i64),
) -> Result<usize, Error> {
    let rows = tx
        .all(
            "select id from delivery where tenant = $1 and destination = $2 and status = 'sending'
             and lease_until_ms > $3 and lease_owner <> $4 order by id",
            args![tenant, destination, until_ms, owner],
        )
        .await?;
    // One statement a row keeps the order of the locks on PostgreSQL.
    for row in &rows {
        tx.execute(
            "update delivery set lease_until_ms = $3
             where tenant = $1 and id = $2 and status = 'sending' and lease_until_ms > $3 and lease_owner <> $4",
            args![tenant, row.text("id")?, until_ms, owner],
        )
        .await?;
    }
    Ok(rows.len())
}

/// Writes circuit and budget, if this process still holds the lease.
///
/// # Errors
/// The database's.
pub async fn write_destination(tx: &mut Tx, tenant: &str, row: &DestinationRow) -> Result<bool, Error> {
    let changed = tx
        .execute(
            "update destination set circuit = $5, circuit_until_ms = $6, failures = $7, hour = $8, used = $9,
                 cause = $10, message = $11, hint = $12
             where tenant = $1 and name = $2 and owner = $3 and fence = $4",
            args![
                tenant,
                row.name.as_str(),
                row.owner.as_str(),
                row.fence,
                row.circuit.as_str(),
                row.circuit_until_ms,
                row.failures,
                row.hour,
                row.used,
                row.cause.code.as_str(),
                row.cause.message.as_str(),
                row.cause.hint.as_str(),
            ],
        )
        .await?;
    Ok(changed > 0)
}

/// Gives the lease back.
///
/// # Errors
/// The database's.
pub async fn release_destination(tx: &mut Tx, tenant: &str, name: &str, owner: &str) -> Result<(), Error> {
    tx.execute(
        "update destination set until_ms = 0, owner = '' where tenant = $1 and name = $2 and owner = $3",
        args![tenant, name, owner],
    )
    .await?;
    Ok(())
}

/// All destinations of a tenant that were ever sent to.
///
/// # Errors
/// The database's.
pub async fn destinations(db: &mut Connection, tenant: &str) -> Result<Vec<DestinationRow>, Error> {
    let rows = db
        .all(
            "select name, owner, fence, until_ms, circuit, circuit_until_ms, failures, hour, used, cause, message,
                 hint from destination where tenant = $1 order by name",
            args![tenant],
        )
        .await?;
    rows.iter().map(read_destination).collect()
}

fn read_destination(row: &Row) -> Result<DestinationRow, Error> {
    Ok(DestinationRow {
        name: row.text("name")?,
        owner: row.text("owner")?,
        fence: row.int("fence")?,
        until_ms: row.int("until_ms")?,
        circuit: row.text("circuit")?,
        circuit_until_ms: row.int("circuit_until_ms")?,
        failures: row.int("failures")?,
        hour: row.int("hour")?,
        used: row.int("used")?,
        cause: super::Cause {
            code: row.text("cause")?,
            message: row.text("message")?,
            hint: row.text("hint")?,
        },
    })
}

/// Deliveries that may go out now: due, the first of their lane, and nothing of their lane under way. An act
/// whose time has not come, and whatever waits for something named, does not hold up its lane. What they
/// need is not looked at here.
///
/// # Errors
/// The database's.
pub async fn due(
    db: &mut Connection,
    tenant: &str,
    destination: &str,
    (now_ms, limit): (i64, i64),
) -> Result<Vec<DeliveryRow>, Error> {
    let sql = format!(
        "select {COLUMNS} from delivery d
         where d.tenant = $1 and d.destination = $2 and d.status = 'waiting' and d.due_ms <= $3
         and not exists (
             select 1 from delivery e where e.tenant = d.tenant and e.destination = d.destination
             and e.lane = d.lane and e.status = 'sending')
         and not exists (
             select 1 from delivery e where e.tenant = d.tenant and e.destination = d.destination
             and e.lane = d.lane and e.status = 'waiting' and e.waits_for = ''
             and (e.not_before_ms <= $3 or e.begun_ms <> 0) and (e.order_no < d.order_no or (e.order_no = d.order_no and e.id < d.id)))
         order by d.due_ms, d.order_no, d.id limit $4"
    );
    let rows = db.all(sql, args![tenant, destination, now_ms, limit]).await?;
    rows.iter().map(DeliveryRow::read).collect()
}

/// When the next waiting delivery of a destination is due.
///
/// # Errors
/// The database's.
pub async fn next_due_ms(db: &mut Connection, tenant: &str, destination: &str) -> Result<Option<i64>, Error> {
    let row = db
        .one(
            "select min(due_ms) as due_ms from delivery
             where tenant = $1 and destination = $2 and status = 'waiting'",
            args![tenant, destination],
        )
        .await?;
    row.opt_int("due_ms")
}

/// Status of what a delivery needs: the deliveries of the same mapping and source, by target id.
///
/// # Errors
/// The database's.
pub async fn siblings(
    db: &mut Connection,
    tenant: &str,
    mapping: &str,
    rid: i64,
) -> Result<Vec<(String, String)>, Error> {
    let rows = db
        .all(
            "select target_id, status from delivery where tenant = $1 and mapping = $2 and rid = $3",
            args![tenant, mapping, rid],
        )
        .await?;
    rows.iter().map(|row| Ok((row.text("target_id")?, row.text("status")?))).collect()
}

/// Ids of the deliveries whose sender is gone: their claim ran out, or `predecessor` claimed them. An empty
/// name is nobody's.
///
/// # Errors
/// The database's.
pub async fn abandoned(
    db: &mut Connection,
    tenant: &str,
    destination: &str,
    (now_ms, predecessor): (i64, &str),
) -> Result<Vec<String>, Error> {
    let rows = db
        .all(
            "select id from delivery where tenant = $1 and destination = $2 and status = 'sending'
             and (lease_until_ms <= $3 or lease_owner = $4) order by id limit 1000",
            args![tenant, destination, now_ms, predecessor],
        )
        .await?;
    rows.iter().map(|row| row.text("id")).collect()
}

/// The far side is back: what waited for it is due now. Not an act of which it is not known whether it
/// happened: that is looked up in its own time.
///
/// # Errors
/// The database's.
pub async fn wake(tx: &mut Tx, tenant: &str, destination: &str, now_ms: i64) -> Result<u64, Error> {
    tx.execute(
        "update delivery set due_ms = case when not_before_ms > $3 then not_before_ms else $3 end
         where tenant = $1 and destination = $2 and status = 'waiting' and due_ms > $3 and waits_for = ''
         and failure in ('unavailable', 'unauthorised') and not (nature = 'act' and begun_ms <> 0)",
        args![tenant, destination, now_ms],
    )
    .await
}

/// One try to send one delivery.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AttemptRow {
    pub delivery_id: String,
    pub number: i64,
    pub at_ms: i64,
    /// `accepted`, `refused`, `later`, or the kind of failure.
    pub outcome: String,
    pub cause: String,
    pub message: String,
    /// Names the exchanges of its batch.
    pub batch: String,
}

/// One HTTP exchange of a batch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ExchangeRow {
    pub batch: String,
    pub ordinal: i64,
    pub at_ms: i64,
    pub method: String,
    pub path: String,
    /// 0: no answer.
    pub status: i64,
    pub request: String,
    pub response: String,
    pub elapsed_ms: i64,
}

/// Stores what was tried. The number of an attempt is its delivery's highest so far and one.
///
/// # Errors
/// The database's.
pub async fn write_attempts(
    tx: &mut Tx,
    tenant: &str,
    attempts: &[AttemptRow],
    exchanges: &[ExchangeRow],
) -> Result<(), Error> {
    let texts = |of: fn(&AttemptRow) -> &str| attempts.iter().map(|row| of(row).to_owned()).collect();
    let rows = Table::new()
        .texts("delivery_id", texts(|row| &row.delivery_id))
        .ints("at_ms", attempts.iter().map(|row| row.at_ms).collect())
        .texts("outcome", texts(|row| &row.outcome))
        .texts("cause", texts(|row| &row.cause))
        .texts("message", texts(|row| &row.message))
        .texts("batch", texts(|row| &row.batch));
    if !attempts.is_empty() {
        tx.execute(
            "insert into attempt (tenant, delivery_id, number, at_ms, outcome, cause, message, batch)
             select $1, p.delivery_id,
                 coalesce((select max(a.number) from attempt a
                           where a.tenant = $1 and a.delivery_id = p.delivery_id), 0) + 1,
                 p.at_ms, p.outcome, p.cause, p.message, p.batch from table($2) as p",
            args![tenant, rows],
        )
        .await?;
    }
    write_exchanges(tx, tenant, exchanges).await
}

async fn write_exchanges(tx: &mut Tx, tenant: &str, exchanges: &[ExchangeRow]) -> Result<(), Error> {
    if exchanges.is_empty() {
        return Ok(());
    }
    let texts = |of: fn(&ExchangeRow) -> &str| exchanges.iter().map(|row| of(row).to_owned()).collect();
    let ints = |of: fn(&ExchangeRow) -> i64| exchanges.iter().map(of).collect();
    let rows = Table::new()
        .texts("batch", texts(|row| &row.batch))
        .ints("ordinal", ints(|row| row.ordinal))
        .ints("at_ms", ints(|row| row.at_ms))
        .texts("method", texts(|row| &row.method))
        .texts("path", texts(|row| &row.path))
        .ints("status", ints(|row| row.status))
        .texts("request", texts(|row| &row.request))
        .texts("response", texts(|row| &row.response))
        .ints("elapsed_ms", ints(|row| row.elapsed_ms));
    tx.execute(
        "insert into exchange (tenant, batch, ordinal, at_ms, method, path, status, request, response, elapsed_ms)
         select $1, p.batch, p.ordinal, p.at_ms, p.method, p.path, p.status, p.request, p.response, p.elapsed_ms
         from table($2) as p where true on conflict (tenant, batch, ordinal) do nothing",
        args![tenant, rows],
    )
    .await?;
    Ok(())
}

/// Forgets attempts and exchanges that are older.
///
/// # Errors
/// The database's.
pub async fn forget_exchanges(tx: &mut Tx, tenant: &str, before_ms: i64) -> Result<u64, Error> {
    let exchanges =
        tx.execute("delete from exchange where tenant = $1 and at_ms < $2", args![tenant, before_ms]).await?;
    let attempts =
        tx.execute("delete from attempt where tenant = $1 and at_ms < $2", args![tenant, before_ms]).await?;
    Ok(exchanges + attempts)
}

/// Remembers which remote object a resource is, and wakes the deliveries that wait for it. `destination` is
/// the name without its system, `remote_kind` the target's kind.
///
/// # Errors
/// The database's.
pub async fn write_link(
    tx: &mut Tx,
    tenant: &str,
    (destination, remote_kind): (&str, &str),
    (resource, remote, now_ms): (&str, &str, i64),
) -> Result<(), Error> {
    let Some((kind, id)) = resource.split_once('/') else { return Ok(()) };
    tx.execute(
        "insert into link (tenant, destination, kind, id, remote_kind, remote_id, updated_ms)
         values ($1, $2, $3, $4, $5, $6, $7)
         on conflict (tenant, destination, kind, id, remote_kind) do update
         set remote_id = excluded.remote_id, updated_ms = excluded.updated_ms",
        args![tenant, destination, kind, id, remote_kind, remote, now_ms],
    )
    .await?;
    let system = remote_kind.split('.').next().unwrap_or_default();
    let place = format!("{system}.{destination}");
    wake_waiting(tx, tenant, &place, (&format!("link:{resource}"), now_ms)).await?;
    Ok(())
}

/// What waited for this is due now. `waits_for` is as in [`DeliveryRow::waits_for`].
///
/// # Errors
/// The database's.
pub async fn wake_waiting(
    tx: &mut Tx,
    tenant: &str,
    destination: &str,
    (waits_for, now_ms): (&str, i64),
) -> Result<u64, Error> {
    tx.execute(
        "update delivery set due_ms = case when not_before_ms > $4 then not_before_ms else $4 end
         where tenant = $1 and destination = $2 and waits_for = $3 and waits_for <> '' and status = 'waiting'",
        args![tenant, destination, waits_for, now_ms],
    )
    .await
}

/// What the far side answered with "later" in this lane is due now.
///
/// # Errors
/// The database's.
pub async fn wake_lane(
    tx: &mut Tx,
    tenant: &str,
    destination: &str,
    (lane, now_ms): (&str, i64),
) -> Result<(), Error> {
    let rows = tx
        .all(
            "select id from delivery
             where tenant = $1 and destination = $2 and lane = $3 and status = 'waiting' and failure = 'later'
             and due_ms > $4 and waits_for = '' and not (nature = 'act' and begun_ms <> 0) order by id",
            args![tenant, destination, lane, now_ms],
        )
        .await?;
    // One statement a row keeps the order of the locks on PostgreSQL.
    for row in &rows {
        tx.execute(
            "update delivery set due_ms = case when not_before_ms > $3 then not_before_ms else $3 end
             where tenant = $1 and id = $2 and status = 'waiting' and failure = 'later' and due_ms > $3
             and waits_for = '' and not (nature = 'act' and begun_ms <> 0)",
            args![tenant, row.text("id")?, now_ms],
        )
        .await?;
    }
    Ok(())
}

/// The remote ids that resources are linked to at a destination: (`Type/id`, remote id).
///
/// # Errors
/// The database's.
pub async fn links_at(
    db: &mut Connection,
    tenant: &str,
    (destination, remote_kind): (&str, &str),
    resources: &[String],
) -> Result<Vec<(String, String)>, Error> {
    let pairs: Vec<(String, String)> = resources
        .iter()
        .filter_map(|resource| resource.split_once('/'))
        .map(|(kind, id)| (kind.to_owned(), id.to_owned()))
        .collect();
    let (kinds, ids) = pairs.into_iter().unzip();
    let rows = db
        .all(
            "select l.kind, l.id, l.remote_id from table($4) as p join link l on l.tenant = $1
             and l.destination = $2 and l.kind = p.kind and l.id = p.id and l.remote_kind = $3",
            args![tenant, destination, remote_kind, Table::new().texts("kind", kinds).texts("id", ids)],
        )
        .await?;
    let of = |row: &Row| Ok((format!("{}/{}", row.text("kind")?, row.text("id")?), row.text("remote_id")?));
    rows.iter().map(of).collect()
}

/// Every place of these parts, once.
pub fn places_of(parts: &[PartRow]) -> std::collections::BTreeSet<super::Place> {
    parts.iter().map(PartRow::place).collect()
}
