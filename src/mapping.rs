//! Mapping files: from text to a checked [`program`], and from a change to an [`output`] with a trace.
//!
//! **Pure**: no clock, no network, no database, no panic. Look-ups are asked for by [`lookup::Query`]
//! and fetched by the caller. **Knows no system**: what `dhis2.report` means is told by its
//! [`target::Target`], which the system's own room implements.

/// Look-ups that an evaluation asks its caller for.
pub mod lookup;
/// What an evaluation produces.
pub mod output;
/// What a system's room tells the engine about a target.
pub mod target;
