//! What can go wrong in the store, in words that hold no stored value.
//!
//! **Invariant:** no variant's text contains a bound value, a body or a credential. What the engine says
//! is repeated only where it cannot hold any (SQLite's messages name tables and columns; of PostgreSQL's
//! only those of the classes that speak of connections, rights and syntax).

/// Everything that the store refuses or fails at.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// The database cannot be opened: a wrong URL, a missing folder, no rights, no server.
    #[error("the database cannot be opened: {reason}")]
    Open { reason: String, hint: String },
    /// Another transaction was in the way; running the transaction again may succeed.
    #[error("the database was busy ({code})")]
    Conflict { code: String },
    /// The connection broke or none was free. After a commit it is unknown whether it took place.
    #[error("the database did not answer: {reason}")]
    Unavailable { reason: String },
    /// The database refused a statement; `constraint` names the violated constraint, if any.
    #[error("the database refused a statement ({code}): {reason}")]
    Statement { code: String, reason: String, constraint: Option<String> },
    /// A row does not hold what this release expects.
    #[error("column {column} holds something unexpected")]
    Column { column: String },
    /// The database was migrated by another release.
    #[error("the database does not fit this release: {reason}")]
    Migration { reason: String, hint: String },
    /// A page token that this store did not give, or that belongs to another search.
    #[error("the page token is not valid")]
    PageToken,
    /// A search compares with more values than a statement may bind.
    #[error("the search compares with too many values")]
    TooCostly,
    /// A search took longer than it may.
    #[error("the search takes too long")]
    TooLong,
    /// A search names a value set whose codes nobody looked up.
    #[error("the search names codes that were not looked up")]
    Unresolved,
    /// A stored body cannot be read: damaged, or written by a later release.
    #[error("a stored body cannot be read (codec {codec})")]
    Body { codec: i64 },
    /// A name that must be unique is taken.
    #[error("the name is taken")]
    Taken,
}

impl Error {
    /// Stable, kebab-case.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Open { .. } => "store-open",
            Self::Conflict { .. } => "store-conflict",
            Self::Unavailable { .. } => "store-unavailable",
            Self::Statement { .. } => "store-statement",
            Self::Column { .. } => "store-column",
            Self::Migration { .. } => "store-migration",
            Self::PageToken => "page-token",
            Self::TooCostly => "too-many-values",
            Self::TooLong => "too-costly",
            Self::Unresolved => "store-unresolved",
            Self::Body { .. } => "store-body",
            Self::Taken => "name-taken",
        }
    }

    /// What a person may do about it.
    pub fn hint(&self) -> &str {
        match self {
            Self::Open { hint, .. } | Self::Migration { hint, .. } => hint,
            Self::Conflict { .. } | Self::Unavailable { .. } => "try again",
            Self::PageToken => "start the search again from its first page",
            Self::TooCostly => "ask in parts, or name fewer types",
            Self::TooLong => "ask for less at once: fewer values, chains or types",
            Self::Taken => "choose another name",
            Self::Statement { .. } | Self::Column { .. } | Self::Body { .. } | Self::Unresolved => {
                "this is a defect: please report it with the log around it"
            }
        }
    }

    /// Whether running the whole transaction again may succeed.
    pub fn is_transient(&self) -> bool {
        matches!(self, Self::Conflict { .. } | Self::Unavailable { .. })
    }
}

impl From<sqlx::Error> for Error {
    fn from(error: sqlx::Error) -> Self {
        match error {
            sqlx::Error::Database(database) => of_database(database.as_ref()),
            sqlx::Error::ColumnDecode { index, .. } => Self::Column { column: index },
            sqlx::Error::ColumnNotFound(column) => Self::Column { column },
            sqlx::Error::RowNotFound => Self::Column { column: "(no row)".to_owned() },
            sqlx::Error::Io(cause) => Self::Unavailable { reason: cause.kind().to_string() },
            sqlx::Error::Tls(_) => Self::Unavailable { reason: "TLS failed".to_owned() },
            sqlx::Error::PoolTimedOut => Self::Unavailable { reason: "no connection is free".to_owned() },
            sqlx::Error::PoolClosed => Self::Unavailable { reason: "the store is closed".to_owned() },
            sqlx::Error::WorkerCrashed => Self::Unavailable { reason: "the SQLite worker ended".to_owned() },
            sqlx::Error::Protocol(_) => {
                Self::Unavailable { reason: "the connection lost its place".to_owned() }
            }
            _ => Self::Statement {
                code: "client".to_owned(),
                reason: "the statement could not be sent".to_owned(),
                constraint: None,
            },
        }
    }
}

/// By its `statement_timeout`.
const POSTGRES_CANCELLED: &str = "57014";
const SQLITE_INTERRUPTED: &str = "9";

/// <https://www.postgresql.org/docs/current/errcodes-appendix.html>, <https://sqlite.org/rescode.html>
fn of_database(error: &(dyn sqlx::error::DatabaseError + 'static)) -> Error {
    let code = error.code().map(|code| code.into_owned()).unwrap_or_default();
    let postgres = error.try_downcast_ref::<sqlx::postgres::PgDatabaseError>().is_some();
    let given_up = if postgres { POSTGRES_CANCELLED } else { SQLITE_INTERRUPTED };
    if code == given_up {
        return Error::TooLong;
    }
    if if postgres { postgres_conflict(&code) } else { sqlite_conflict(&code) } {
        return Error::Conflict { code };
    }
    if if postgres { postgres_unavailable(&code) } else { sqlite_unavailable(&code) } {
        return Error::Unavailable { reason: error.message().to_owned() };
    }
    let telling = !postgres || matches!(code.get(..2), Some("28" | "3D" | "3F" | "42"));
    let reason = if telling { error.message().to_owned() } else { "see the code".to_owned() };
    Error::Statement { code, reason, constraint: error.constraint().map(str::to_owned) }
}

/// Serialization failure, deadlock, lock not available.
fn postgres_conflict(code: &str) -> bool {
    matches!(code, "40001" | "40P01" | "55P03")
}

/// Connections, resources (a full disk) and operators; and a server that was made a standby meanwhile.
fn postgres_unavailable(code: &str) -> bool {
    matches!(code.get(..2), Some("08" | "53" | "57")) || code == "25006"
}

/// SQLITE_READONLY, SQLITE_IOERR, SQLITE_FULL, SQLITE_CANTOPEN: the disk, and not the statement.
fn sqlite_unavailable(code: &str) -> bool {
    code.parse::<i64>().is_ok_and(|code| matches!(code & 0xff, 8 | 10 | 13 | 14))
}

/// SQLITE_BUSY and SQLITE_LOCKED with their extended codes.
fn sqlite_conflict(code: &str) -> bool {
    code.parse::<i64>().is_ok_and(|code| matches!(code & 0xff, 5 | 6))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn busy_codes_are_conflicts_on_both_engines() {
        assert!(sqlite_conflict("5") && sqlite_conflict("517") && sqlite_conflict("6"));
        assert!(!sqlite_conflict("2067"));
        assert!(postgres_conflict("40001") && !postgres_conflict("23505"));
    }

    #[test]
    fn a_full_disk_and_a_standby_are_no_defects() {
        assert!(["8", "13", "14", "778"].into_iter().all(sqlite_unavailable) && !sqlite_unavailable("2067"));
        assert!(["53100", "57P01", "25006"].into_iter().all(postgres_unavailable));
        assert!(!postgres_unavailable("23505"));
    }
}
