//! SQLite and PostgreSQL behind one face: the pools, the transactions, the statements.
//!
//! **Writing a statement for both engines.** Lower-case SQL with `$1, $2 …`, every value bound with
//! [`args!`](crate::args):
//!
//! ```ignore
//! let rows = db.read().await?.all(
//!     "select rid, code from index_token where tenant = $1 and rid in (select value from table($2) as wanted)",
//!     args![tenant, rids],                      // Vec<i64> or Vec<String>: one column named `value`
//! ).await?;
//! let code = rows[0].text("code")?;
//!
//! db.transaction(|tx| Box::pin(async move {     // runs again after a conflict: no effects outside
//!     let rows = Table::new().ints("rid", vec![1, 2]).texts("code", vec!["a".into(), "b".into()]);
//!     tx.execute(
//!         "insert into thing (tenant, rid, code) select $1, r.rid, r.code from table($2) as r where true
//!          on conflict (tenant, rid) do update set code = excluded.code",
//!         args!["default", rows],
//!     ).await
//! })).await?;
//! ```
//!
//! - Many rows are bound at once with a [`Table`], never a statement a row. SQLite needs the `where true`
//!   between `select … from` and `on conflict`.
//! - Types: `bigint`, `text`, `bytea`/`blob` (in migrations), `double precision`, `boolean`, and nothing
//!   else; times are milliseconds since 1970 UTC in a `bigint`. A sum is `cast(sum(x) as bigint)`.
//! - Upsert, `returning`, `with`, window functions, `is distinct from`, `nulls last`, partial indexes and
//!   row values work on both; `for update`, `lateral`, `any(…)`, `greatest`, `ilike` do not: lock a row
//!   by updating it.
//! - A null argument is typed: `None::<i64>`, `None::<&str>`.
//! - A test runs each statement inside `plans::full_scans`, which fails where one would read a whole table or
//!   tenant. A new index of SQLite needs its row in `sqlite_stat1`, see `migrations/sqlite/0003_planner.sql`.
//! - No session state (`set`, temporary tables, advisory locks, `listen`): pgbouncer may be in between.

mod argument;
mod connection;
#[cfg(test)]
pub mod plans;
mod row;
mod statement;

use std::str::FromStr;
use std::time::{Duration, Instant};

use futures::future::BoxFuture;
use sqlx::postgres::{PgConnectOptions, PgPool, PgPoolOptions};
use sqlx::sqlite::{
    SqliteConnectOptions, SqliteJournalMode, SqlitePool, SqlitePoolOptions, SqliteSynchronous,
};
use sqlx::{AssertSqlSafe, ConnectOptions, Connection as _};

pub use argument::{Argument, Column, Table};
pub use connection::{Connection, Tx};
pub use row::Row;

use crate::store::error::Error;

/// Bound arguments: `args![tenant, 5, rids]`.
#[macro_export]
macro_rules! args {
    ($($value:expr),* $(,)?) => { vec![$($crate::store::db::Argument::from($value)),*] };
}

/// How long a writer waits for another process's write lock on SQLite, and anyone for a connection there.
const WAIT: Duration = Duration::from_secs(15);
/// How long anyone waits for a connection to PostgreSQL: a request should fail while its client still
/// listens, and come back soon after the server does.
const CONNECT_WAIT: Duration = Duration::from_secs(5);
/// Steps of SQLite's machine between two looks at the clock: some milliseconds.
const STEPS_BETWEEN_LOOKS: i32 = 100_000;
/// How often a transaction is run again before its conflict is reported.
const RUNS_MAX: u32 = 8;

/// Which engine a statement runs on, for the few places where it matters.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Engine {
    Sqlite,
    Postgres,
}

/// The database. Cheap to clone.
#[derive(Debug, Clone)]
pub enum Db {
    /// SQLite takes one writer at a time: `writer` is a pool of one.
    Sqlite {
        writer: SqlitePool,
        readers: SqlitePool,
    },
    Postgres(PgPool),
}

impl Db {
    /// Opens `sqlite://FILE` (made where it is missing) or `postgres://…` with at most `connections`.
    ///
    /// `?pgbouncer=true` prepares no statements on the server, which poolers in transaction mode need.
    ///
    /// # Errors
    /// [`Error::Open`] says what to do about it.
    pub async fn open(url: &str, connections: u32) -> Result<Self, Error> {
        let connections = connections.max(1);
        if url.starts_with("sqlite:") {
            open_sqlite(url, connections).await
        } else if url.starts_with("postgres://") || url.starts_with("postgresql://") {
            open_postgres(url, connections).await
        } else {
            Err(Error::Open {
                reason: "the store's url starts with neither sqlite:// nor postgres://".to_owned(),
                hint: "set [store] url to sqlite://mjumbe.db or postgres://USER@HOST/DATABASE".to_owned(),
            })
        }
    }

    pub fn engine(&self) -> Engine {
        match self {
            Self::Sqlite { .. } => Engine::Sqlite,
            Self::Postgres(_) => Engine::Postgres,
        }
    }

    /// A connection for reading.
    ///
    /// # Errors
    /// [`Error::Unavailable`] where none is free in time.
    pub async fn read(&self) -> Result<Connection, Error> {
        Ok(match self {
            Self::Sqlite { readers, .. } => Connection::sqlite(readers.acquire().await?),
            Self::Postgres(pool) => Connection::postgres(pool.acquire().await?),
        })
    }

    /// A connection for reading, on which a statement that takes longer is given up with [`Error::TooLong`].
    ///
    /// # Errors
    /// As [`Db::read`].
    pub async fn read_within(&self, time: Duration) -> Result<Connection, Error> {
        match self {
            Self::Sqlite { readers, .. } => {
                let mut connection = readers.acquire().await?;
                let until = Instant::now() + time;
                let goes_on = move || Instant::now() < until;
                connection.lock_handle().await?.set_progress_handler(STEPS_BETWEEN_LOOKS, goes_on);
                Ok(Connection::sqlite(connection))
            }
            // For this transaction only: the next one on the same connection has no limit.
            Self::Postgres(pool) => {
                let begin = format!("begin read only; set local statement_timeout = {}", time.as_millis());
                Ok(Connection::postgres_within(pool.begin_with(AssertSqlSafe(begin)).await?))
            }
        }
    }

    /// Begins a write: `begin immediate` on SQLite, read committed on PostgreSQL.
    ///
    /// # Errors
    /// [`Error::Unavailable`] or [`Error::Conflict`].
    pub async fn begin_write(&self) -> Result<Tx, Error> {
        Ok(match self {
            Self::Sqlite { writer, .. } => Tx::sqlite(writer.begin_with("begin immediate").await?),
            Self::Postgres(pool) => {
                Tx::postgres(pool.begin_with("begin isolation level read committed").await?)
            }
        })
    }

    /// Runs `work` in a write transaction and commits it; runs it again after a conflict.
    ///
    /// # Errors
    /// What `work` gives, or [`Error`] of the commit.
    pub async fn transaction<T, E>(
        &self,
        mut work: impl for<'t> FnMut(&'t mut Tx) -> BoxFuture<'t, Result<T, E>> + Send,
    ) -> Result<T, E>
    where
        E: From<Error> + AsConflict,
    {
        let mut run = 1;
        loop {
            let error = match self.attempt(&mut work).await {
                Ok(done) => return Ok(done),
                Err(error) => error,
            };
            if run >= RUNS_MAX || !error.is_conflict() {
                return Err(error);
            }
            pause(run).await;
            run += 1;
        }
    }

    async fn attempt<T, E: From<Error>>(
        &self,
        work: &mut (impl for<'t> FnMut(&'t mut Tx) -> BoxFuture<'t, Result<T, E>> + Send),
    ) -> Result<T, E> {
        let mut tx = self.begin_write().await?;
        let done = work(&mut tx).await?;
        tx.commit().await?;
        Ok(done)
    }

    /// Closes every connection. On SQLite the last one folds the write-ahead log into the file.
    pub async fn close(&self) {
        match self {
            Self::Sqlite { writer, readers } => {
                readers.close().await;
                writer.close().await;
            }
            Self::Postgres(pool) => pool.close().await,
        }
    }
}

/// Tells whether a transaction that failed with this error may simply be run again.
pub trait AsConflict {
    fn is_conflict(&self) -> bool;
}

impl AsConflict for Error {
    fn is_conflict(&self) -> bool {
        matches!(self, Self::Conflict { .. })
    }
}

/// Waits a little longer each time, with jitter so that rivals do not meet again.
pub(crate) async fn pause(run: u32) {
    let ceiling = 5u64 << run.min(6);
    let wait = rand::random_range(1..=ceiling);
    tokio::time::sleep(Duration::from_millis(wait)).await;
}

async fn open_sqlite(url: &str, connections: u32) -> Result<Db, Error> {
    if url.contains(":memory:") {
        return Err(Error::Open {
            reason: "an in-memory database forgets what it acknowledged".to_owned(),
            hint: "name a file: sqlite://mjumbe.db".to_owned(),
        });
    }
    let options = SqliteConnectOptions::from_str(url)
        .map_err(|_| Error::Open {
            reason: "the SQLite url cannot be read".to_owned(),
            hint: "write it as sqlite://FILE, for example sqlite:///var/lib/mjumbe/mjumbe.db".to_owned(),
        })?
        .create_if_missing(true)
        .journal_mode(SqliteJournalMode::Wal)
        .synchronous(SqliteSynchronous::Full)
        .busy_timeout(WAIT)
        .foreign_keys(false)
        .pragma("cache_size", "-16000")
        .disable_statement_logging();
    let writer = SqlitePoolOptions::new()
        .max_connections(1)
        .acquire_timeout(WAIT)
        .idle_timeout(None)
        .max_lifetime(None)
        .test_before_acquire(false)
        // A full disk ends SQLite's transaction and not sqlx's, which could never begin another.
        .after_release(|connection, _| Box::pin(async move { Ok(!connection.is_in_transaction()) }))
        .connect_with(options.clone())
        .await
        .map_err(|error| sqlite_not_opened(&error, &options))?;
    let readers = SqlitePoolOptions::new()
        .max_connections(connections)
        .acquire_timeout(WAIT)
        .test_before_acquire(false)
        // The limit of one reader is not that of the next.
        .after_release(|connection, _| {
            Box::pin(async move {
                connection.lock_handle().await?.remove_progress_handler();
                Ok(true)
            })
        })
        .connect_lazy_with(options.pragma("query_only", "on"));
    Ok(Db::Sqlite { writer, readers })
}

fn sqlite_not_opened(error: &sqlx::Error, options: &SqliteConnectOptions) -> Error {
    let file = options.get_filename().display();
    let reason = match error {
        sqlx::Error::Database(cause) => cause.message().to_owned(),
        other => other.to_string(),
    };
    Error::Open {
        reason: format!("{file}: {reason}"),
        hint: "check that the folder exists, that this user may write in it and that its disk has room"
            .to_owned(),
    }
}

async fn open_postgres(url: &str, connections: u32) -> Result<Db, Error> {
    let (url, pooled) = without_pgbouncer(url)?;
    let mut options =
        PgConnectOptions::from_str(url.as_str()).map_err(|_| postgres_url())?.disable_statement_logging();
    options = if pooled { options.statement_cache_capacity(0) } else { options.options([("jit", "off")]) };
    // One connection first: a pool would go on trying and say only that it timed out.
    let probe = tokio::time::timeout(CONNECT_WAIT, options.connect()).await;
    match probe {
        Ok(Ok(connection)) => drop(connection.close().await),
        Ok(Err(error)) => return Err(postgres_not_opened(&error)),
        Err(_) => return Err(postgres_not_opened(&sqlx::Error::PoolTimedOut)),
    }
    let pool = PgPoolOptions::new()
        .max_connections(connections.max(2))
        .acquire_timeout(CONNECT_WAIT)
        .connect_lazy_with(options.application_name("mjumbe"));
    Ok(Db::Postgres(pool))
}

/// Takes our own `pgbouncer` option out of the url.
fn without_pgbouncer(url: &str) -> Result<(url::Url, bool), Error> {
    let mut parsed = url::Url::parse(url).map_err(|_| postgres_url())?;
    let pairs: Vec<(String, String)> = parsed.query_pairs().into_owned().collect();
    let pooled = pairs.iter().any(|(name, value)| name == "pgbouncer" && value == "true");
    let kept: Vec<_> = pairs.into_iter().filter(|(name, _)| name != "pgbouncer").collect();
    if kept.is_empty() {
        parsed.set_query(None);
    } else {
        parsed.query_pairs_mut().clear().extend_pairs(kept);
    }
    Ok((parsed, pooled))
}

fn postgres_url() -> Error {
    Error::Open {
        reason: "the PostgreSQL url cannot be read".to_owned(),
        hint: "write it as postgres://USER:PASSWORD@HOST:5432/DATABASE".to_owned(),
    }
}

fn postgres_not_opened(error: &sqlx::Error) -> Error {
    let reason = match error {
        sqlx::Error::Database(cause) => cause.message().to_owned(),
        sqlx::Error::Io(cause) => cause.kind().to_string(),
        sqlx::Error::PoolTimedOut => "no answer in time".to_owned(),
        _ => "no connection".to_owned(),
    };
    Error::Open {
        reason: format!("PostgreSQL: {reason}"),
        hint: "check [store] url: host, port, user, password, and that the database exists".to_owned(),
    }
}

#[cfg(test)]
mod tests;
