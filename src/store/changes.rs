//! Changes as the mapper takes them: partitions under fenced leases, cursors, activations, revisits.
//!
//! **Never** decides what a change means. A partition's changes are read in order of position, which is
//! the order of commits; whoever writes for a partition proves in the same transaction that it still
//! holds it ([`advance`], [`holds`]).

use super::db::{Connection, Row, Table, Tx};
use super::error::Error;
use crate::args;

/// Partitions of every tenant.
pub const PARTITIONS: i64 = 64;

/// A partition as its holder knows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lease {
    pub partition: i64,
    /// Of the last change that was mapped.
    pub position: i64,
    pub fence: i64,
}

/// One row of `change`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ChangeRow {
    pub partition: i64,
    /// `commit_no << 16 | ordinal`
    pub position: i64,
    pub rid: i64,
    pub version: i64,
}

/// One row of `revisit`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RevisitRow {
    pub partition: i64,
    pub mapping: String,
    pub rid: i64,
    /// Counts requests; a revisit is done only where it is still this.
    pub requested: i64,
    /// What a person asked for; `None`: a look-up may read another thing now.
    pub replay: Option<Replay>,
}

/// How a stored resource is mapped again because a person asked for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Replay {
    /// Everything is looked up anew, also what was found before.
    pub fresh: bool,
    /// Acts that did not happen yet are made too.
    pub acts: bool,
}

impl Replay {
    const ASKED: i64 = 1;
    const FRESH: i64 = 2;
    const ACTS: i64 = 4;

    fn bits(self) -> i64 {
        let of = |set: bool, bit: i64| if set { bit } else { 0 };
        Self::ASKED | of(self.fresh, Self::FRESH) | of(self.acts, Self::ACTS)
    }

    fn of(bits: i64) -> Option<Self> {
        let replay = Self { fresh: bits & Self::FRESH != 0, acts: bits & Self::ACTS != 0 };
        (bits & Self::ASKED != 0).then_some(replay)
    }
}

/// Who asks for partitions, and until when.
#[derive(Debug, Clone, Copy)]
pub struct Holder<'a> {
    pub tenant: &'a str,
    pub owner: &'a str,
    pub now_ms: i64,
    pub until_ms: i64,
}

/// Takes or renews this process's fair share of the partitions, and gives back what is beyond it.
///
/// # Errors
/// The database's.
pub async fn take_partitions(tx: &mut Tx, holder: Holder<'_>) -> Result<Vec<Lease>, Error> {
    let Holder { tenant, owner, now_ms, until_ms } = holder;
    tx.execute(
        "insert into mapper_worker (tenant, owner, until_ms) values ($1, $2, $3)
         on conflict (tenant, owner) do update set until_ms = excluded.until_ms",
        args![tenant, owner, until_ms],
    )
    .await?;
    tx.execute("delete from mapper_worker where tenant = $1 and until_ms <= $2", args![tenant, now_ms])
        .await?;
    let living =
        tx.one("select count(*) as living from mapper_worker where tenant = $1", args![tenant]).await?;
    let living = living.int("living")?.max(1);
    let share = (PARTITIONS + living - 1) / living;
    make_partitions(tx, tenant).await?;
    tx.execute(
        "update mapper_partition set owner = '', until_ms = 0 where tenant = $1 and owner = $2 and partition in
         (select partition from mapper_partition where tenant = $1 and owner = $2
          order by partition limit $4 offset $3)",
        args![tenant, owner, share, PARTITIONS],
    )
    .await?;
    let rows = tx
        .all(
            "update mapper_partition set
                 fence = case when owner = $2 then fence else fence + 1 end, owner = $2, until_ms = $4
             where tenant = $1 and (owner = $2 or until_ms <= $3) and partition in
             (select partition from mapper_partition where tenant = $1 and (owner = $2 or until_ms <= $3)
              order by case when owner = $2 then 0 else 1 end, partition limit $5)
             returning partition, position, fence",
            args![tenant, owner, now_ms, until_ms, share],
        )
        .await?;
    rows.iter().map(read_lease).collect()
}

async fn make_partitions(tx: &mut Tx, tenant: &str) -> Result<(), Error> {
    let made =
        tx.one("select count(*) as made from mapper_partition where tenant = $1", args![tenant]).await?;
    if made.int("made")? == PARTITIONS {
        return Ok(());
    }
    let numbers = Table::new().ints("partition", (0..PARTITIONS).collect());
    tx.execute(
        "insert into mapper_partition (tenant, partition, position, owner, fence, until_ms)
         select $1, p.partition, 0, '', 0, 0 from table($2) as p where true
         on conflict (tenant, partition) do nothing",
        args![tenant, numbers],
    )
    .await?;
    Ok(())
}

fn read_lease(row: &Row) -> Result<Lease, Error> {
    Ok(Lease { partition: row.int("partition")?, position: row.int("position")?, fence: row.int("fence")? })
}

/// Gives all partitions of this process back.
///
/// # Errors
/// The database's.
pub async fn release_partitions(tx: &mut Tx, tenant: &str, owner: &str) -> Result<(), Error> {
    tx.execute(
        "update mapper_partition set owner = '', until_ms = 0 where tenant = $1 and owner = $2",
        args![tenant, owner],
    )
    .await?;
    tx.execute("delete from mapper_worker where tenant = $1 and owner = $2", args![tenant, owner]).await?;
    Ok(())
}

/// The next changes after the cursors of these partitions, at most `limit` of each, in order of position.
///
/// # Errors
/// The database's.
pub async fn pending(
    db: &mut Connection,
    tenant: &str,
    leases: &[Lease],
    limit: i64,
) -> Result<Vec<ChangeRow>, Error> {
    let cursors = Table::new()
        .ints("partition", leases.iter().map(|lease| lease.partition).collect())
        .ints("position", leases.iter().map(|lease| lease.position).collect());
    let rows = db
        .all(
            // However long the backlog, only the next few of each partition are looked at.
            "with bounds as materialized (
                 select p.partition, p.position as low, (
                     select max(h.position) from (
                         select n.position from change n
                         where n.tenant = $1 and n.partition = p.partition and n.position > p.position
                         order by n.position limit $3) as h) as high
                 from table($2) as p)
             select c.partition, c.position, c.rid, c.version from bounds
             join change c on c.tenant = $1 and c.partition = bounds.partition
                 and c.position > bounds.low and c.position <= bounds.high
             order by c.position",
            args![tenant, cursors, limit],
        )
        .await?;
    let read = |row: &Row| {
        Ok(ChangeRow {
            partition: row.int("partition")?,
            position: row.int("position")?,
            rid: row.int("rid")?,
            version: row.int("version")?,
        })
    };
    rows.iter().map(read).collect()
}

/// Moves a partition's cursor, if this process still holds it and nobody moved it.
///
/// # Errors
/// The database's.
pub async fn advance(
    tx: &mut Tx,
    (tenant, owner): (&str, &str),
    lease: &Lease,
    position: i64,
) -> Result<bool, Error> {
    let moved = tx
        .execute(
            "update mapper_partition set position = $6
             where tenant = $1 and partition = $2 and owner = $3 and fence = $4 and position = $5",
            args![tenant, lease.partition, owner, lease.fence, lease.position, position],
        )
        .await?;
    Ok(moved == 1)
}

/// Whether this process still holds a partition; nobody takes it until the transaction ends.
///
/// # Errors
/// The database's.
pub async fn holds(tx: &mut Tx, (tenant, owner): (&str, &str), lease: &Lease) -> Result<bool, Error> {
    let held = tx
        .execute(
            "update mapper_partition set fence = fence
             where tenant = $1 and partition = $2 and owner = $3 and fence = $4",
            args![tenant, lease.partition, owner, lease.fence],
        )
        .await?;
    Ok(held == 1)
}

/// The number of the last commit; 0 before the first.
///
/// # Errors
/// The database's.
pub async fn commit_no(db: &mut Connection, tenant: &str) -> Result<i64, Error> {
    let row = db.optional("select commit_no from clock where tenant = $1", args![tenant]).await?;
    row.map_or(Ok(0), |row| row.int("commit_no"))
}

/// Remembers that a mapping is loaded. Gives the commit after which it acts: the one at which it was first
/// loaded.
///
/// # Errors
/// The database's.
pub async fn activate(
    tx: &mut Tx,
    tenant: &str,
    (mapping, version): (&str, &str),
    now_ms: i64,
) -> Result<i64, Error> {
    let commit = commit_no(tx, tenant).await?;
    let row = tx
        .one(
            "insert into mapping (tenant, name, version_hash, active_from, loaded_ms) values ($1, $2, $3, $4, $5)
             on conflict (tenant, name) do update
             set version_hash = excluded.version_hash, loaded_ms = excluded.loaded_ms, loaded = 1
             returning active_from",
            args![tenant, mapping, version, commit, now_ms],
        )
        .await?;
    row.int("active_from")
}

/// Remembers that of all mappings these alone are loaded now, and lets the acts that waited for one of them
/// go on.
///
/// # Errors
/// The database's.
pub async fn loaded(tx: &mut Tx, tenant: &str, mappings: Vec<String>, now_ms: i64) -> Result<(), Error> {
    tx.execute(
        "update mapping set loaded = 0 where tenant = $1 and loaded = 1
         and name not in (select value from table($2) as m)",
        args![tenant, mappings.clone()],
    )
    .await?;
    let rows = tx
        .all(
            "select d.id from delivery d where d.tenant = $1 and d.status = 'waiting'
             and d.cause = 'mapping-not-loaded' and d.mapping in (select value from table($2) as m)",
            args![tenant, mappings],
        )
        .await?;
    let ids: Vec<String> = rows.iter().map(|row| row.text("id")).collect::<Result<_, _>>()?;
    if !ids.is_empty() {
        tx.execute(
            "update delivery set due_ms = $3 where tenant = $1
             and id in (select value from table($2) as d) and not_before_ms <= $3",
            args![tenant, ids, now_ms],
        )
        .await?;
    }
    Ok(())
}

/// Which of these mappings are not loaded now. One that never was is not meant.
///
/// # Errors
/// The database's.
pub async fn unloaded(db: &mut Connection, tenant: &str, names: &[String]) -> Result<Vec<String>, Error> {
    let rows = db
        .all(
            "select m.name from mapping m where m.tenant = $1 and m.loaded = 0
             and m.name in (select value from table($2) as n)",
            args![tenant, names.to_vec()],
        )
        .await?;
    rows.iter().map(|row| row.text("name")).collect()
}

/// Evaluations to be made again, in these partitions and for these mappings.
///
/// # Errors
/// The database's.
pub async fn revisits(
    db: &mut Connection,
    tenant: &str,
    (partitions, mappings): (Vec<i64>, Vec<String>),
    limit: i64,
) -> Result<Vec<RevisitRow>, Error> {
    let rows = db
        .all(
            "select r.partition, r.mapping, r.rid, r.requested, r.replay from revisit r where r.tenant = $1
             and r.partition in (select value from table($2) as p)
             and r.mapping in (select value from table($3) as m)
             order by r.partition, r.mapping, r.rid limit $4",
            args![tenant, partitions, mappings, limit],
        )
        .await?;
    let read = |row: &Row| {
        Ok(RevisitRow {
            partition: row.int("partition")?,
            mapping: row.text("mapping")?,
            rid: row.int("rid")?,
            requested: row.int("requested")?,
            replay: Replay::of(row.int("replay")?),
        })
    };
    rows.iter().map(read).collect()
}

/// Asks for one evaluation to be made again.
///
/// # Errors
/// The database's.
pub async fn request_revisit(
    tx: &mut Tx,
    tenant: &str,
    (partition, mapping, rid): (i64, &str, i64),
) -> Result<(), Error> {
    tx.execute(
        "insert into revisit (tenant, partition, mapping, rid, requested) values ($1, $2, $3, $4, 1)
         on conflict (tenant, partition, mapping, rid) do update set requested = revisit.requested + 1",
        args![tenant, partition, mapping, rid],
    )
    .await?;
    Ok(())
}

/// Asks for these resources to be mapped again by one mapping, whether it took them before or not. Two
/// replays of one resource that wait together ask for all that either asked. Gives how many wait.
///
/// # Errors
/// The database's.
pub async fn request_replays(
    tx: &mut Tx,
    tenant: &str,
    (mapping, rids): (&str, &[i64]),
    replay: Replay,
) -> Result<u64, Error> {
    tx.execute(
        "insert into revisit (tenant, partition, mapping, rid, requested, replay)
         select $1, r.partition, $2, r.rid, 1, $4 from table($3) as wanted
         join resource r on r.tenant = $1 and r.rid = wanted.value where true
         order by 2, 3, 4
         on conflict (tenant, partition, mapping, rid) do update
         set requested = revisit.requested + 1, replay = revisit.replay | excluded.replay",
        args![tenant, mapping, rids.to_vec(), replay.bits()],
    )
    .await
}

/// How many replays of a mapping are not worked off yet.
///
/// # Errors
/// The database's.
pub async fn replays_waiting(db: &mut Connection, tenant: &str, mapping: &str) -> Result<i64, Error> {
    let partitions: Vec<i64> = (0..PARTITIONS).collect();
    let row = db
        .one(
            "select count(*) as waiting from revisit r where r.tenant = $1
             and r.partition in (select value from table($2) as p) and r.mapping = $3 and r.replay <> 0",
            args![tenant, partitions, mapping],
        )
        .await?;
    row.int("waiting")
}

/// Asks for all evaluations that wait for one of these keys to be made again. Gives how many.
///
/// # Errors
/// The database's.
pub async fn request_watchers(tx: &mut Tx, tenant: &str, watched: &[String]) -> Result<u64, Error> {
    tx.execute(
        "insert into revisit (tenant, partition, mapping, rid, requested)
         select distinct w.tenant, w.partition, w.mapping, w.rid, 1 from watch w
         where w.tenant = $1 and w.watched in (select value from table($2) as k)
         order by 2, 3, 4
         on conflict (tenant, partition, mapping, rid) do update set requested = revisit.requested + 1",
        args![tenant, watched.to_vec()],
    )
    .await
}

/// Whether anybody waits for anything.
///
/// # Errors
/// The database's.
pub async fn is_any_watched(db: &mut Connection, tenant: &str) -> Result<bool, Error> {
    // `watched >= ''` is always true and makes the index serve it.
    let sql = "select 1 as one from watch where tenant = $1 and watched >= '' limit 1";
    Ok(db.optional(sql, args![tenant]).await?.is_some())
}

/// Whether anybody waits for one of these keys.
///
/// # Errors
/// The database's.
pub async fn is_watched(db: &mut Connection, tenant: &str, watched: &[String]) -> Result<bool, Error> {
    let row = db
        .optional(
            "select 1 as one from watch w where w.tenant = $1 and w.watched in (select value from table($2) as k)
             limit 1",
            args![tenant, watched.to_vec()],
        )
        .await?;
    Ok(row.is_some())
}

/// Takes a revisit away, unless it was requested again meanwhile.
///
/// # Errors
/// The database's.
pub async fn finish_revisit(tx: &mut Tx, tenant: &str, revisit: &RevisitRow) -> Result<(), Error> {
    tx.execute(
        "delete from revisit where tenant = $1 and partition = $2 and mapping = $3 and rid = $4 and requested = $5",
        args![tenant, revisit.partition, revisit.mapping.as_str(), revisit.rid, revisit.requested],
    )
    .await?;
    Ok(())
}

/// What the index holds of one resource, as far as look-ups wait for it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Indexed {
    /// (parameter, system, code)
    pub tokens: Vec<(i64, String, String)>,
    /// (parameter, id)
    pub references: Vec<(i64, String)>,
    /// (parameter, uri)
    pub uris: Vec<(i64, String)>,
}

/// The index rows of one resource's current version.
///
/// # Errors
/// The database's.
pub async fn indexed(db: &mut Connection, tenant: &str, rid: i64) -> Result<Indexed, Error> {
    let tokens = db
        .all(
            "select parameter, system, code from index_token where tenant = $1 and rid = $2",
            args![tenant, rid],
        )
        .await?;
    let references = db
        .all("select parameter, id from index_reference where tenant = $1 and rid = $2", args![tenant, rid])
        .await?;
    let uris = db
        .all("select parameter, uri from index_uri where tenant = $1 and rid = $2", args![tenant, rid])
        .await?;
    Ok(Indexed {
        tokens: tokens
            .iter()
            .map(|row| Ok((row.int("parameter")?, row.text("system")?, row.text("code")?)))
            .collect::<Result<_, Error>>()?,
        references: references
            .iter()
            .map(|row| Ok((row.int("parameter")?, row.text("id")?)))
            .collect::<Result<_, Error>>()?,
        uris: uris
            .iter()
            .map(|row| Ok((row.int("parameter")?, row.text("uri")?)))
            .collect::<Result<_, Error>>()?,
    })
}
