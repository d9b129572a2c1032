//! Rows, with getters by type.

use sqlx::Row as _;

use crate::store::error::Error;

/// One row of an answer. Columns are named as in the statement; an expression needs `as NAME`.
#[derive(Debug)]
pub enum Row {
    Sqlite(sqlx::sqlite::SqliteRow),
    Postgres(sqlx::postgres::PgRow),
}

macro_rules! getters {
    ($($(#[$doc:meta])* $required:ident, $optional:ident: $type:ty;)*) => {
        impl Row {
            $(
                $(#[$doc])*
                ///
                /// # Errors
                /// [`Error::Column`] where the column is missing, null or of another type.
                pub fn $required(&self, column: &str) -> Result<$type, Error> {
                    self.$optional(column)?.ok_or_else(|| unexpected(column))
                }

                /// The same, `None` for null.
                ///
                /// # Errors
                /// [`Error::Column`] where the column is missing or of another type.
                pub fn $optional(&self, column: &str) -> Result<Option<$type>, Error> {
                    match self {
                        // SQLite's expressions have no declared type to check against.
                        Self::Sqlite(row) => row.try_get_unchecked::<Option<$type>, _>(column),
                        Self::Postgres(row) => row.try_get::<Option<$type>, _>(column),
                    }
                    .map_err(|_| unexpected(column))
                }
            )*
        }
    };
}

getters! {
    /// A `bigint`; `count(*)` is one, `sum` needs `cast(sum(…) as bigint)`.
    int, opt_int: i64;
    text, opt_text: String;
    bytes, opt_bytes: Vec<u8>;
    float, opt_float: f64;
    bool, opt_bool: bool;
}

fn unexpected(column: &str) -> Error {
    Error::Column { column: column.to_owned() }
}
