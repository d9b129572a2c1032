//! Writes what a group has staged: a few statements with bound arrays, whatever its size.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use super::stage::{Current, Key, NewVersion, Stage};
use crate::args;
use crate::store::body;
use crate::store::db::{Column, Connection, Table};
use crate::store::error::Error;
use crate::store::index::{self, IndexBuffer};

/// Reads the current states of `keys` that the stage does not know yet.
pub(super) async fn load(
    stage: &mut Stage,
    tx: &mut Connection,
    tenant: &str,
    keys: impl Iterator<Item = Key>,
) -> Result<(), Error> {
    let unknown: BTreeSet<Key> = keys.filter(|key| !stage.known.contains_key(key)).collect();
    if unknown.is_empty() {
        return Ok(());
    }
    let (kinds, ids): (Vec<_>, Vec<_>) = unknown.iter().cloned().unzip();
    let rows = tx
        .all(
            "select r.kind, r.id, r.rid, r.version, r.updated_ms, r.partition, v.codec, v.body, v.origin
             from table($2) as w
             join resource r on r.tenant = $1 and r.kind = w.kind and r.id = w.id
             join version v on v.tenant = $1 and v.rid = r.rid and v.version = r.version",
            args![tenant, Table::new().texts("kind", kinds).texts("id", ids)],
        )
        .await?;
    stage.known.extend(unknown.into_iter().map(|key| (key, None)));
    for row in rows {
        let stored = row.opt_bytes("body")?;
        let current = Current {
            rid: row.int("rid")?,
            version: row.int("version")?,
            updated_ms: row.int("updated_ms")?,
            partition: row.int("partition")?,
            body: stored.map(|bytes| body::decode(row.int("codec")?, bytes)).transpose()?,
            origin: row.text("origin")?,
        };
        stage.known.insert((row.text("kind")?, row.text("id")?), Some(current));
    }
    Ok(())
}

/// Writes everything that is staged; later searches in this transaction see it.
pub(super) async fn flush(stage: &mut Stage, tx: &mut Connection, tenant: &str) -> Result<(), Error> {
    let cursors = std::mem::take(&mut stage.cursors);
    if !cursors.is_empty() {
        write_cursors(tx, tenant, cursors, stage.at_ms).await?;
    }
    let versions = std::mem::take(&mut stage.versions);
    if versions.is_empty() {
        return Ok(());
    }
    write_resources(stage, tx, tenant, &versions).await?;
    write_index(tx, tenant, &versions).await?;
    write_changes(stage, tx, tenant, &versions).await?;
    write_history(stage, tx, tenant, &versions).await?;
    write_versions(stage, tx, tenant, versions).await?;
    tx.execute("update clock set next_rid = $2 where tenant = $1", args![tenant, stage.next_rid])
        .await
        .map(drop)
}

/// The last version of each resource in this flush: a group may write one several times.
fn last(versions: &[NewVersion]) -> BTreeMap<i64, &NewVersion> {
    versions.iter().map(|version| (version.rid, version)).collect()
}

async fn write_resources(
    stage: &Stage,
    tx: &mut Connection,
    tenant: &str,
    versions: &[NewVersion],
) -> Result<(), Error> {
    let last: Vec<&NewVersion> = last(versions).into_values().collect();
    let rows = Table::new()
        .ints("rid", last.iter().map(|row| row.rid).collect())
        .texts("kind", last.iter().map(|row| row.kind.clone()).collect())
        .texts("id", last.iter().map(|row| row.id.clone()).collect())
        .ints("version", last.iter().map(|row| row.version).collect())
        .ints("partition", last.iter().map(|row| row.partition).collect())
        .bools("deleted", last.iter().map(|row| row.body.is_none()).collect());
    tx.execute(
        "insert into resource (tenant, rid, kind, id, version, updated_ms, partition, deleted)
         select $1, r.rid, r.kind, r.id, r.version, $3, r.partition, r.deleted from table($2) as r where true
         on conflict (tenant, rid) do update set
             version = excluded.version, updated_ms = excluded.updated_ms, deleted = excluded.deleted",
        args![tenant, rows, stage.at_ms],
    )
    .await
    .map(drop)
}

/// Replaces the index rows of every resource that is written.
async fn write_index(tx: &mut Connection, tenant: &str, versions: &[NewVersion]) -> Result<(), Error> {
    let first: HashMap<i64, i64> =
        versions.iter().rev().map(|version| (version.rid, version.version)).collect();
    let indexed: Vec<i64> = first.iter().filter(|(_, first)| **first > 1).map(|(rid, _)| *rid).collect();
    index::remove(tx, tenant, &indexed).await?;
    let mut buffer = IndexBuffer::default();
    for (rid, version) in last(versions) {
        if version.body.is_some() {
            buffer.add(rid, &version.index);
        }
    }
    buffer.flush(tx, tenant).await
}

async fn write_changes(
    stage: &Stage,
    tx: &mut Connection,
    tenant: &str,
    versions: &[NewVersion],
) -> Result<(), Error> {
    let rows = Table::new()
        .ints("partition", versions.iter().map(|row| row.partition).collect())
        .ints("position", versions.iter().map(|row| stage.position(row)).collect())
        .ints("rid", versions.iter().map(|row| row.rid).collect())
        .ints("version", versions.iter().map(|row| row.version).collect());
    tx.execute(
        "insert into change (tenant, partition, position, rid, version)
         select $1, r.partition, r.position, r.rid, r.version from table($2) as r",
        args![tenant, rows],
    )
    .await
    .map(drop)
}

/// The histories of types and of everything; documents have none.
async fn write_history(
    stage: &Stage,
    tx: &mut Connection,
    tenant: &str,
    versions: &[NewVersion],
) -> Result<(), Error> {
    let resources: Vec<&NewVersion> = versions.iter().filter(|row| !row.kind.contains('.')).collect();
    if resources.is_empty() {
        return Ok(());
    }
    let rows = Table::new()
        .ints("position", resources.iter().map(|row| stage.position(row)).collect())
        .texts("kind", resources.iter().map(|row| row.kind.clone()).collect())
        .ints("rid", resources.iter().map(|row| row.rid).collect())
        .ints("version", resources.iter().map(|row| row.version).collect());
    tx.execute(
        "insert into history (tenant, updated_ms, position, kind, rid, version)
         select $1, $3, r.position, r.kind, r.rid, r.version from table($2) as r",
        args![tenant, rows, stage.at_ms],
    )
    .await
    .map(drop)
}

async fn write_versions(
    stage: &Stage,
    tx: &mut Connection,
    tenant: &str,
    versions: Vec<NewVersion>,
) -> Result<(), Error> {
    let (codecs, bodies): (Vec<i64>, Vec<Option<Vec<u8>>>) = versions
        .iter()
        .map(|row| match &row.body {
            Some(text) => {
                let (codec, bytes) = body::encode(text);
                (codec, Some(bytes))
            }
            None => (0, None),
        })
        .unzip();
    let rows = Table::new()
        .ints("rid", versions.iter().map(|row| row.rid).collect())
        .ints("version", versions.iter().map(|row| row.version).collect())
        .texts("method", versions.iter().map(|row| row.method.to_owned()).collect())
        .texts("origin", versions.into_iter().map(|row| row.origin).collect())
        .ints("codec", codecs)
        .column("body", Column::Bytes(bodies));
    tx.execute(
        "insert into version (tenant, rid, version, commit_no, updated_ms, method, origin, codec, body)
         select $1, r.rid, r.version, $3, $4, r.method, r.origin, r.codec, r.body from table($2) as r",
        args![tenant, rows, stage.commit_no, stage.at_ms],
    )
    .await
    .map(drop)
}

/// Moves pollers' cursors, in the transaction that stores what they read.
pub(in crate::store) async fn write_cursors(
    tx: &mut Connection,
    tenant: &str,
    cursors: BTreeMap<String, String>,
    at_ms: i64,
) -> Result<(), Error> {
    let (names, values): (Vec<_>, Vec<_>) = cursors.into_iter().unzip();
    tx.execute(
        "insert into cursor (tenant, name, value, updated_ms)
         select $1, r.name, r.value, $3 from table($2) as r where true
         on conflict (tenant, name) do update set value = excluded.value, updated_ms = excluded.updated_ms",
        args![tenant, Table::new().texts("name", names).texts("value", values), at_ms],
    )
    .await
    .map(drop)
}
