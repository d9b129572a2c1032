//! One connection, inside a transaction or not: where statements run.

use std::borrow::Cow;
use std::ops::{Deref, DerefMut};

use sqlx::pool::PoolConnection;
use sqlx::postgres::PgArguments;
use sqlx::sqlite::SqliteArguments;
use sqlx::{Arguments as _, AssertSqlSafe, Postgres, Sqlite, Transaction};

use super::Engine;
use super::argument::{Argument, Column, clean};
use super::row::Row;
use super::statement::{expand, json_of};
use crate::store::error::Error;

/// A connection to either engine.
#[derive(Debug)]
pub struct Connection(Inner);

#[derive(Debug)]
enum Inner {
    Sqlite(PoolConnection<Sqlite>),
    Postgres(PoolConnection<Postgres>),
    SqliteTx(Transaction<'static, Sqlite>),
    PostgresTx(Transaction<'static, Postgres>),
}

/// A write transaction. Dropped without [`Tx::commit`], it is rolled back.
#[derive(Debug)]
pub struct Tx(Connection);

/// Runs `$body` with `$c` as `&mut SqliteConnection` or `&mut PgConnection` and `$a` as its arguments.
macro_rules! on_either {
    ($inner:expr, $arguments:expr, |$c:ident, $a:ident| $body:expr) => {
        match $inner {
            Inner::Sqlite(c) => {
                let ($c, $a) = (&mut **c, sqlite_arguments($arguments)?);
                $body
            }
            Inner::SqliteTx(c) => {
                let ($c, $a) = (&mut **c, sqlite_arguments($arguments)?);
                $body
            }
            Inner::Postgres(c) => {
                let ($c, $a) = (&mut **c, postgres_arguments($arguments)?);
                $body
            }
            Inner::PostgresTx(c) => {
                let ($c, $a) = (&mut **c, postgres_arguments($arguments)?);
                $body
            }
        }
    };
}

impl Connection {
    pub(super) fn sqlite(connection: PoolConnection<Sqlite>) -> Self {
        Self(Inner::Sqlite(connection))
    }

    pub(super) fn postgres(connection: PoolConnection<Postgres>) -> Self {
        Self(Inner::Postgres(connection))
    }

    /// Of a transaction that only reads, and is rolled back.
    pub(super) fn postgres_within(transaction: Transaction<'static, Postgres>) -> Self {
        Self(Inner::PostgresTx(transaction))
    }

    pub fn engine(&self) -> Engine {
        match self.0 {
            Inner::Sqlite(_) | Inner::SqliteTx(_) => Engine::Sqlite,
            Inner::Postgres(_) | Inner::PostgresTx(_) => Engine::Postgres,
        }
    }

    /// The statement as this engine understands it.
    fn text(&self, sql: Cow<'static, str>, arguments: &[Argument]) -> Cow<'static, str> {
        #[cfg(test)]
        super::plans::note(&sql, arguments);
        expand(sql, arguments, self.engine())
    }

    /// Runs a statement; gives the number of rows that it changed.
    ///
    /// # Errors
    /// [`Error`] as the engine says.
    pub async fn execute(
        &mut self,
        sql: impl Into<Cow<'static, str>>,
        arguments: Vec<Argument>,
    ) -> Result<u64, Error> {
        let sql = self.text(sql.into(), &arguments);
        Ok(on_either!(&mut self.0, arguments, |connection, bound| {
            sqlx::query_with(AssertSqlSafe(sql), bound).execute(connection).await?.rows_affected()
        }))
    }

    /// All rows. The statement bounds their number.
    ///
    /// # Errors
    /// [`Error`] as the engine says.
    pub async fn all(
        &mut self,
        sql: impl Into<Cow<'static, str>>,
        arguments: Vec<Argument>,
    ) -> Result<Vec<Row>, Error> {
        let sql = self.text(sql.into(), &arguments);
        Ok(on_either!(&mut self.0, arguments, |connection, bound| {
            sqlx::query_with(AssertSqlSafe(sql), bound)
                .fetch_all(connection)
                .await?
                .into_iter()
                .map(Row::from)
                .collect()
        }))
    }

    /// The first row, if any.
    ///
    /// # Errors
    /// [`Error`] as the engine says.
    pub async fn optional(
        &mut self,
        sql: impl Into<Cow<'static, str>>,
        arguments: Vec<Argument>,
    ) -> Result<Option<Row>, Error> {
        let sql = self.text(sql.into(), &arguments);
        Ok(on_either!(&mut self.0, arguments, |connection, bound| {
            sqlx::query_with(AssertSqlSafe(sql), bound).fetch_optional(connection).await?.map(Row::from)
        }))
    }

    /// The one row that there must be.
    ///
    /// # Errors
    /// [`Error`] as the engine says, or where there is no row.
    pub async fn one(
        &mut self,
        sql: impl Into<Cow<'static, str>>,
        arguments: Vec<Argument>,
    ) -> Result<Row, Error> {
        self.optional(sql, arguments).await?.ok_or_else(|| Error::Column { column: "(no row)".to_owned() })
    }

    /// Several statements without arguments, unprepared: migrations, savepoints.
    ///
    /// # Errors
    /// [`Error`] as the engine says.
    pub async fn script(&mut self, sql: impl Into<Cow<'static, str>>) -> Result<(), Error> {
        let script = sqlx::raw_sql(AssertSqlSafe(sql.into()));
        match &mut self.0 {
            Inner::Sqlite(connection) => script.execute(&mut **connection).await.map(drop)?,
            Inner::SqliteTx(connection) => script.execute(&mut **connection).await.map(drop)?,
            Inner::Postgres(connection) => script.execute(&mut **connection).await.map(drop)?,
            Inner::PostgresTx(connection) => script.execute(&mut **connection).await.map(drop)?,
        }
        Ok(())
    }
}

impl Tx {
    pub(super) fn sqlite(transaction: Transaction<'static, Sqlite>) -> Self {
        Self(Connection(Inner::SqliteTx(transaction)))
    }

    pub(super) fn postgres(transaction: Transaction<'static, Postgres>) -> Self {
        Self(Connection(Inner::PostgresTx(transaction)))
    }

    /// Makes everything durable and visible.
    ///
    /// # Errors
    /// [`Error`] as the engine says. After [`Error::Unavailable`] it is unknown whether it was committed.
    pub async fn commit(self) -> Result<(), Error> {
        match self.0.0 {
            Inner::SqliteTx(transaction) => transaction.commit().await?,
            Inner::PostgresTx(transaction) => transaction.commit().await?,
            // Constructed only from transactions.
            Inner::Sqlite(_) | Inner::Postgres(_) => {}
        }
        Ok(())
    }

    /// Undoes everything.
    ///
    /// # Errors
    /// [`Error`] as the engine says.
    pub async fn rollback(self) -> Result<(), Error> {
        match self.0.0 {
            Inner::SqliteTx(transaction) => transaction.rollback().await?,
            Inner::PostgresTx(transaction) => transaction.rollback().await?,
            Inner::Sqlite(_) | Inner::Postgres(_) => {}
        }
        Ok(())
    }

    /// Begins a part that can fail without taking the rest of the transaction along. Parts may nest under
    /// other names.
    ///
    /// # Errors
    /// [`Error`] as the engine says.
    pub async fn savepoint(&mut self, name: &'static str) -> Result<(), Error> {
        self.script(format!("savepoint {name}")).await
    }

    /// Keeps the part.
    ///
    /// # Errors
    /// [`Error`] as the engine says.
    pub async fn release(&mut self, name: &'static str) -> Result<(), Error> {
        self.script(format!("release savepoint {name}")).await
    }

    /// Undoes the part and ends it.
    ///
    /// # Errors
    /// [`Error`] as the engine says.
    pub async fn undo(&mut self, name: &'static str) -> Result<(), Error> {
        self.script(format!("rollback to savepoint {name}; release savepoint {name}")).await
    }
}

impl Deref for Tx {
    type Target = Connection;

    fn deref(&self) -> &Connection {
        &self.0
    }
}

impl DerefMut for Tx {
    fn deref_mut(&mut self) -> &mut Connection {
        &mut self.0
    }
}

impl From<sqlx::sqlite::SqliteRow> for Row {
    fn from(row: sqlx::sqlite::SqliteRow) -> Self {
        Self::Sqlite(row)
    }
}

impl From<sqlx::postgres::PgRow> for Row {
    fn from(row: sqlx::postgres::PgRow) -> Self {
        Self::Postgres(row)
    }
}

fn sqlite_arguments(arguments: Vec<Argument>) -> Result<SqliteArguments, Error> {
    let mut bound = SqliteArguments::default();
    for argument in arguments {
        match argument {
            Argument::Int(value) => sqlx::Arguments::add(&mut bound, value),
            Argument::Text(value) => sqlx::Arguments::add(&mut bound, value.map(cleaned)),
            Argument::Bytes(value) => sqlx::Arguments::add(&mut bound, value),
            Argument::Float(value) => sqlx::Arguments::add(&mut bound, value),
            Argument::Bool(value) => sqlx::Arguments::add(&mut bound, value),
            Argument::Table(table) => sqlx::Arguments::add(&mut bound, json_of(&table)),
        }
        .map_err(|_| unbound())?;
    }
    Ok(bound)
}

fn postgres_arguments(arguments: Vec<Argument>) -> Result<PgArguments, Error> {
    let mut bound = PgArguments::default();
    for argument in arguments {
        match argument {
            Argument::Int(value) => bound.add(value),
            Argument::Text(value) => bound.add(value.map(cleaned)),
            Argument::Bytes(value) => bound.add(value),
            Argument::Float(value) => bound.add(value),
            Argument::Bool(value) => bound.add(value),
            Argument::Table(table) => {
                table.columns.into_iter().try_for_each(|(_, column)| add_array(&mut bound, column))
            }
        }
        .map_err(|_| unbound())?;
    }
    Ok(bound)
}

fn add_array(bound: &mut PgArguments, column: Column) -> Result<(), sqlx::error::BoxDynError> {
    match column {
        Column::Ints(values) => bound.add(values),
        Column::Texts(values) => {
            bound.add(values.into_iter().map(|text| text.map(cleaned)).collect::<Vec<_>>())
        }
        Column::Floats(values) => bound.add(values),
        Column::Bools(values) => bound.add(values),
        Column::Bytes(values) => bound.add(values),
    }
}

fn cleaned(text: String) -> String {
    match clean(&text) {
        Cow::Borrowed(_) => text,
        Cow::Owned(clean) => clean,
    }
}

fn unbound() -> Error {
    Error::Statement {
        code: "client".to_owned(),
        reason: "an argument could not be bound".to_owned(),
        constraint: None,
    }
}
