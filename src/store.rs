//! The only SQL: versions, search index, changes, reads, deliveries, links, cursors, tokens.
//!
//! SQLite and PostgreSQL behind one interface. **Never** knows FHIR rules beyond the search index, and
//! never speaks HTTP. Migrations for both engines are under `migrations/`.

/// Deliveries, their parts and the places they want.
pub mod deliveries;
/// Parsed searches.
pub use crate::fhir::query as search;
/// What is written, and what a write answers.
pub mod write;
