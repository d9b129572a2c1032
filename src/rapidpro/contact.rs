//! Contacts: the `rapidpro.contact` target, and the destination that upserts them.
//!
//! **Never** sends what the mapping file does not name, never takes a URN from a contact that means
//! something, and never makes a contact without having looked for it by URN.
//!
//! A contact is known by its link to a resource, else by `find`, else by the owner of one of its URNs.
//! Groups must exist: RapidPro takes names of existing groups only, and a group made by accident of a
//! misspelling would be sent to nobody's attention; a missing one is refused with a hint.

// Groups and status.
mod actions;
// What a delivery asks of a contact, place by place.
mod asked;
// Who owns which contact.
pub mod owners;
// Sends contacts.
pub(super) mod sending;
// A contact as RapidPro shows it.
mod shown;
// `rapidpro.contact` in mapping files.
pub mod target;
// Finds, makes and changes one contact.
mod upsert;
// What an answer shows, and why something is refused.
mod verdict;
// What the fields of a mapping file may hold.
pub(super) mod words;
