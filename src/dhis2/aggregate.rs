//! Aggregate data: the targets `dhis2.report` and `dhis2.count`, and the destination that sends them.
//!
//! A report or a count becomes parts; each part has a [`slot::Slot`] that is made of the names in the
//! mapping. Names are resolved against mirrored metadata only when something is checked or sent, because
//! the mapping engine is pure. Leaves as data value sets and completions.

// Judges parts against mirrored metadata.
pub mod check;
// Registrations of complete data sets.
mod completion;
// The destination.
pub mod destination;
// Fields that both targets have.
pub(in crate::dhis2) mod fields;
// What DHIS2 holds.
mod readback;
// Bodies of requests.
mod request;
// One batch on its way.
pub(in crate::dhis2) mod sending;
// The place of a part: a cell or a completion.
pub mod slot;
// `dhis2.report` and `dhis2.count`.
pub mod target;
