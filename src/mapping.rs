//! Mapping files: from text to a checked [`program`], and from a change to an [`output`] with a trace.
//!
//! **Pure**: no clock, no network, no database, no panic. Look-ups are asked for by [`lookup::Query`]
//! and fetched by the caller. **Knows no system**: what `dhis2.report` means is told by its
//! [`target::Target`], which the system's own room implements.
//!
//! [`program::load`] compiles a file or says everything that is wrong with it; [`evaluate::evaluate`]
//! applies it to one change; [`explain`] and [`testing`] are for its author.

// Two evaluations held against each other.
pub mod compare;
// What is wrong in a file, with its place.
pub mod diagnostic;
// The document that expressions see.
pub mod document;
// A program applied to a change.
pub mod evaluate;
// The trace for people.
pub mod explain;
// VALUE and COND, compiled.
pub mod expression;
// Look-ups that an evaluation asks its caller for.
pub mod lookup;
// What an evaluation produces.
pub mod output;
// What several mappings must not do together.
pub mod overlap;
// JSONPath.
pub mod path;
#[cfg(test)]
mod probe;
// Files, compiled.
pub mod program;
// When acts are due.
pub mod schedule;
// The JSON Schema of mapping files.
pub mod schema;
// YAML with positions.
pub mod source;
// What each step does to a value.
pub mod steps;
// CSV tables beside a mapping.
pub mod table;
// What a system's room tells the engine about a target.
pub mod target;
// Authors' own tests.
pub mod testing;
// Where each value came from.
pub mod trace;
