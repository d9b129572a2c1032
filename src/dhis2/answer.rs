//! What an answer of the aggregate import means: one table ([`table::ANSWERS`]) for whole answers and one
//! ([`conflicts::CONFLICTS`]) for single conflicts, each row with the recordings that it was read from.
//!
//! **An answer is evidence, not proof**: 409 ERROR may have stored rows, 200 SUCCESS none, and 401 comes to
//! right credentials while the database is down. Nothing here talks to anybody, and no reason that it gives
//! holds a value: DHIS2's own words do, so they are not passed on.

// What single conflicts mean.
pub mod conflicts;
// From conflicts back to rows.
pub mod rows;
// The envelope, taken apart.
pub mod summary;
// What whole answers mean.
pub mod table;

use std::time::Duration;

pub use rows::{RowNames, RowVerdict, trace};
pub use summary::Parsed;
pub use table::{Meaning, classify};

/// One HTTP answer.
#[derive(Debug, Clone, Default)]
pub struct Response {
    pub status: u16,
    pub body: String,
    pub elapsed: Duration,
    /// What `Retry-After` asks for.
    pub retry_after: Option<Duration>,
}

#[cfg(test)]
mod tests;
