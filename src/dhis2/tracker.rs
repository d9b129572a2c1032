//! Events and tracked entities: the targets `dhis2.event` and `dhis2.tracker`, and how they are sent.
//!
//! An output has one part for each object of DHIS2 (tracked entity, enrolment, event, relationship). Each
//! part has a [`slot::Slot`] made of the names in the mapping; the UID of the object there is derived from
//! the slot and a generation, or found, and kept as the slot's note. Leaves as `POST /api/tracker`.

// What an answer means.
pub mod answer;
// Judges parts against mirrored metadata.
pub mod check;
// `dhis2.tracker`.
pub mod entity;
// `dhis2.event`.
pub mod event;
// Fields that both targets have.
mod fields;
// What is remembered about places that do not travel.
pub mod notes;
// Bodies of imports.
mod payload;
// Tracked entities as DHIS2 holds them.
mod person;
// Whether an object is there as it is wanted.
mod readback;
// The import report.
pub mod report;
// Who and what is there already.
mod resolve;
// One batch on its way.
pub(in crate::dhis2) mod sending;
// The place of a part: an object of DHIS2.
pub mod slot;
// What DHIS2 says of one object.
pub mod table;
// UIDs that we give, and what is remembered about them.
pub mod uid;

use std::sync::Arc;

use crate::mapping::target::Registry;

/// Both targets, to be added to the registry of mappings.
pub fn register(registry: Registry) -> Registry {
    registry.with(Arc::new(event::Event)).with(Arc::new(entity::Tracker))
}
