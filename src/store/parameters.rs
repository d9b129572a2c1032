//! Search parameters of a tenant's own: what is defined, and their values in the index.
//!
//! **Invariant.** The values of a parameter are right for every current version up to its cursor
//! (`updated_ms`, `rid`) in the order of `resource_by_time`. A new version is later than all before it, so it
//! lies beyond the cursor until a walk has passed it, whoever wrote it and whatever that process knew; and
//! since no earlier millisecond becomes visible after a later one, a walk misses nothing. A step of a walk
//! holds the tenant's clock, as each write group does: between reading a version and writing its values no
//! other can be committed. The cursor moves in that transaction, so a killed walk goes on where it was.
//!
//! **Never** evaluates an expression: the rows come from `fhir::index`.

use std::collections::BTreeMap;

use super::Store;
use super::db::{Connection, Row, Table};
use super::error::Error;
use super::index::{IndexBuffer, TABLES};
use super::read::{COLUMNS, Stored, stored};
use super::write::now_ms;
use crate::args;
use crate::fhir::index::{IndexRow, ParameterKey};
use crate::fhir::parameters::custom::{Definition, MAX};

/// How far a walk over one type has come: `updated_ms` and `rid`.
pub type Reached = (i64, i64);

/// What becomes of a parameter.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// Its values are being collected.
    Building,
    Active,
    /// Its values are being taken away.
    Removing,
}

impl State {
    fn as_str(self) -> &'static str {
        match self {
            Self::Building => "building",
            Self::Active => "active",
            Self::Removing => "removing",
        }
    }

    fn parse(text: &str) -> Self {
        match text {
            "active" => Self::Active,
            "removing" => Self::Removing,
            _ => Self::Building,
        }
    }
}

/// One row of `search_parameter`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Defined {
    pub kind: String,
    pub code: String,
    /// The id of the SearchParameter.
    pub source: String,
    pub url: String,
    pub search_type: String,
    /// Separated by commas.
    pub targets: String,
    pub expression: String,
    pub state: State,
    pub reached: Reached,
    /// When it was defined, or removed, in milliseconds since 1970 UTC.
    pub changed_ms: i64,
}

/// One step of a walk over one type.
#[derive(Debug, Clone, Default)]
pub struct Step {
    pub kind: String,
    /// Where the step began: parameters that are there or behind are moved.
    pub from: Reached,
    pub to: Reached,
    /// Whether there was nothing more after it.
    pub end: bool,
    /// `changed_ms` of the parameters that the rows are of, by code: who changed meanwhile is left alone.
    pub of: Vec<(String, i64)>,
    /// The resources of the step: number, version, and the rows of the parameters.
    pub resources: Vec<(i64, i64, Vec<IndexRow>)>,
}

impl Store {
    /// All parameters of a tenant's own, by type and code.
    ///
    /// # Errors
    /// [`Error`]
    pub async fn own_parameters(&self, tenant: &str) -> Result<Vec<Defined>, Error> {
        all(&mut self.db().read().await?, tenant).await
    }

    /// The number of the last commit of a tenant; 0 before the first.
    ///
    /// # Errors
    /// [`Error`]
    pub async fn last_commit(&self, tenant: &str) -> Result<i64, Error> {
        let mut connection = self.db().read().await?;
        let row = connection.optional("select commit_no from clock where tenant = $1", args![tenant]).await?;
        row.map_or(Ok(0), |row| row.int("commit_no"))
    }

    /// Current versions of a type in the order in which they were written, deletions included, after
    /// `reached`.
    ///
    /// # Errors
    /// [`Error`]
    pub async fn written_after(
        &self,
        tenant: &str,
        kind: &str,
        reached: Reached,
        limit: u32,
    ) -> Result<Vec<Stored>, Error> {
        let sql = format!(
            "select {COLUMNS} from resource r
             join version v on v.tenant = $1 and v.rid = r.rid and v.version = r.version
             where r.tenant = $1 and r.kind = $2 and (r.updated_ms, r.rid) > ($3, $4)
             order by r.updated_ms, r.rid limit $5"
        );
        let mut connection = self.db().read().await?;
        let rows = connection.all(sql, args![tenant, kind, reached.0, reached.1, limit]).await?;
        rows.iter().map(stored).collect()
    }

    /// The last version of each of these types, by type; none of a type that has no resource.
    ///
    /// # Errors
    /// [`Error`]
    pub async fn last_written(
        &self,
        tenant: &str,
        kinds: Vec<String>,
    ) -> Result<BTreeMap<String, Reached>, Error> {
        if kinds.is_empty() {
            return Ok(BTreeMap::new());
        }
        let last = |column: &str| {
            format!(
                "coalesce((select r.{column} from resource r where r.tenant = $1 and r.kind = w.kind
                 order by r.updated_ms desc, r.rid desc limit 1), -1) as {column}"
            )
        };
        let sql = format!("select w.kind, {}, {} from table($2) as w", last("updated_ms"), last("rid"));
        let mut connection = self.db().read().await?;
        let rows = connection.all(sql, args![tenant, Table::new().texts("kind", kinds)]).await?;
        rows.iter().map(|row| Ok((row.text("kind")?, (row.int("updated_ms")?, row.int("rid")?)))).collect()
    }

    /// Takes over what these SearchParameters (id, definitions) say now; what they do not say any more is
    /// removed. The first that defines a code has it. True where anything changed.
    ///
    /// # Errors
    /// [`Error`]
    pub async fn define_parameters(
        &self,
        tenant: &str,
        sources: &[(String, Vec<Definition>)],
    ) -> Result<bool, Error> {
        let now = now_ms();
        self.db()
            .transaction(|tx| {
                let (tenant, sources) = (tenant.to_owned(), sources.to_vec());
                Box::pin(async move {
                    lock(tx, &tenant).await?;
                    let mut known = all(tx, &tenant).await?;
                    let mut changed = false;
                    for (source, definitions) in sources {
                        changed |= define(tx, &tenant, (&source, &definitions), (&mut known, now)).await?;
                    }
                    Ok(changed)
                })
            })
            .await
    }

    /// Writes one step of a walk and moves the cursors. What was written meanwhile is left to a later step.
    ///
    /// # Errors
    /// [`Error`]
    pub async fn index_parameters(&self, tenant: &str, step: &Step) -> Result<(), Error> {
        self.db()
            .transaction(|tx| {
                let (tenant, step) = (tenant.to_owned(), step.clone());
                Box::pin(async move {
                    lock(tx, &tenant).await?;
                    walk(tx, &tenant, &step).await
                })
            })
            .await
    }
}

/// Whoever holds the clock waits for nothing else, so nobody waits for one another.
async fn lock(tx: &mut Connection, tenant: &str) -> Result<(), Error> {
    tx.execute("update clock set next_rid = next_rid where tenant = $1", args![tenant]).await.map(drop)
}

async fn all(connection: &mut Connection, tenant: &str) -> Result<Vec<Defined>, Error> {
    let rows = connection
        .all(
            "select kind, code, source, url, search_type, targets, expression, state, cursor_ms, cursor_rid,
                 changed_ms
             from search_parameter where tenant = $1 and kind > '' order by kind, code",
            args![tenant],
        )
        .await?;
    rows.iter().map(defined).collect()
}

fn defined(row: &Row) -> Result<Defined, Error> {
    Ok(Defined {
        kind: row.text("kind")?,
        code: row.text("code")?,
        source: row.text("source")?,
        url: row.text("url")?,
        search_type: row.text("search_type")?,
        targets: row.text("targets")?,
        expression: row.text("expression")?,
        state: State::parse(&row.text("state")?),
        reached: (row.int("cursor_ms")?, row.int("cursor_rid")?),
        changed_ms: row.int("changed_ms")?,
    })
}

async fn define(
    tx: &mut Connection,
    tenant: &str,
    (source, definitions): (&str, &[Definition]),
    (known, now): (&mut Vec<Defined>, i64),
) -> Result<bool, Error> {
    let mut changed = false;
    let gone = |row: &&mut Defined| {
        row.source == source
            && row.state != State::Removing
            && !definitions.iter().any(|one| one.kind == row.kind && one.code == row.code)
    };
    for row in known.iter_mut().filter(gone) {
        row.state = State::Removing;
        row.reached = (0, 0);
        row.changed_ms = now.max(row.changed_ms + 1);
        put(tx, tenant, row).await?;
        changed = true;
    }
    for definition in definitions {
        let mut wanted = Defined {
            kind: definition.kind.to_owned(),
            code: definition.code.clone(),
            source: source.to_owned(),
            url: definition.url.clone(),
            search_type: definition.search_type.to_owned(),
            targets: definition.targets.join(","),
            expression: definition.expression.clone(),
            state: State::Building,
            reached: (0, 0),
            changed_ms: now,
        };
        let at = known.iter().position(|row| row.kind == wanted.kind && row.code == wanted.code);
        match at.and_then(|at| known.get(at)) {
            Some(row) if row.state != State::Removing && (row.source != source || says(row, &wanted)) => {
                continue;
            }
            // No two definitions of a code have the same time: a step tells by it what its rows are of.
            Some(row) => wanted.changed_ms = now.max(row.changed_ms + 1),
            None if known.len() >= MAX => continue,
            None => {}
        }
        put(tx, tenant, &wanted).await?;
        if let Some(at) = at {
            known.remove(at);
        }
        known.push(wanted);
        changed = true;
    }
    Ok(changed)
}

/// Whether both say the same, so that the values stay right.
fn says(row: &Defined, wanted: &Defined) -> bool {
    (&row.search_type, &row.targets, &row.expression, &row.url)
        == (&wanted.search_type, &wanted.targets, &wanted.expression, &wanted.url)
}

async fn put(tx: &mut Connection, tenant: &str, row: &Defined) -> Result<(), Error> {
    let parameter = ParameterKey::new(&row.kind, &row.code).0;
    tx.execute(
        "insert into search_parameter (tenant, kind, code, parameter, source, url, search_type, targets,
             expression, state, cursor_ms, cursor_rid, changed_ms)
         values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13)
         on conflict (tenant, kind, code) do update set
             source = excluded.source, url = excluded.url, search_type = excluded.search_type,
             targets = excluded.targets, expression = excluded.expression, state = excluded.state,
             cursor_ms = excluded.cursor_ms, cursor_rid = excluded.cursor_rid,
             changed_ms = excluded.changed_ms",
        args![
            tenant,
            row.kind.as_str(),
            row.code.as_str(),
            parameter,
            row.source.as_str(),
            row.url.as_str(),
            row.search_type.as_str(),
            row.targets.as_str(),
            row.expression.as_str(),
            row.state.as_str(),
            row.reached.0,
            row.reached.1,
            row.changed_ms
        ],
    )
    .await
    .map(drop)
}

async fn walk(tx: &mut Connection, tenant: &str, step: &Step) -> Result<(), Error> {
    let all = all(tx, tenant).await?;
    let own = |row: &&Defined| {
        row.kind == step.kind
            && row.reached >= step.from
            && step.of.iter().any(|(code, at)| *code == row.code && *at == row.changed_ms)
    };
    let own: Vec<&Defined> = all.iter().filter(own).collect();
    let behind = own.iter().filter(|row| row.reached < step.to);
    let keys: Vec<i64> = behind.map(|row| ParameterKey::new(&row.kind, &row.code).0).collect();
    replace(tx, tenant, step, &keys).await?;
    for row in own {
        if step.end && row.state == State::Removing {
            let sql = "delete from search_parameter where tenant = $1 and kind = $2 and code = $3";
            tx.execute(sql, args![tenant, row.kind.as_str(), row.code.as_str()]).await?;
            continue;
        }
        let state = if step.end && row.state == State::Building { State::Active } else { row.state };
        let reached = row.reached.max(step.to);
        if (state, reached) == (row.state, row.reached) {
            continue;
        }
        let sql = "update search_parameter set cursor_ms = $4, cursor_rid = $5, state = $6
                   where tenant = $1 and kind = $2 and code = $3";
        let (kind, code) = (row.kind.as_str(), row.code.as_str());
        tx.execute(sql, args![tenant, kind, code, reached.0, reached.1, state.as_str()]).await?;
    }
    Ok(())
}

/// Puts the step's rows in the place of those that there are, for versions that are current still.
async fn replace(tx: &mut Connection, tenant: &str, step: &Step, keys: &[i64]) -> Result<(), Error> {
    let (rids, versions): (Vec<i64>, Vec<i64>) =
        step.resources.iter().map(|(rid, version, _)| (*rid, *version)).unzip();
    if rids.is_empty() || keys.is_empty() {
        return Ok(());
    }
    let rows = tx
        .all(
            "select r.rid from table($2) as w
             join resource r on r.tenant = $1 and r.rid = w.rid and r.version = w.version",
            args![tenant, Table::new().ints("rid", rids).ints("version", versions)],
        )
        .await?;
    let current: Vec<i64> = rows.iter().map(|row| row.int("rid")).collect::<Result<_, _>>()?;
    for table in TABLES {
        tx.execute(
            format!(
                "delete from {table} where tenant = $1 and rid in (select value from table($2) as w)
                 and parameter in (select value from table($3) as p)"
            ),
            args![tenant, current.clone(), keys.to_vec()],
        )
        .await?;
    }
    let mut buffer = IndexBuffer::default();
    for (rid, _, rows) in step.resources.iter().filter(|(rid, ..)| current.contains(rid)) {
        let rows: Vec<IndexRow> =
            rows.iter().filter(|row| keys.contains(&row.parameter.0)).cloned().collect();
        buffer.add(*rid, &rows);
    }
    buffer.flush(tx, tenant).await
}
