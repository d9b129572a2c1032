//! `fhir.resource`: resources that mappings make, stored here or sent to another FHIR server.
//!
//! **Never** overwrites what somebody else made without saying so: here a resource of a client's is refused.
//! Resources come from mappings as deliveries and leave through the store (destination `here`) or over HTTP
//! (`[fhir.NAME]`).

// What another server's answer means.
mod answer;
// Mjumbe's own store as a destination.
pub mod here;
// What can be said of a resource in a mapping file before there is data.
mod outline;
// Lists where R4 wants lists.
mod repeats;
// Another FHIR server as a destination.
pub mod server;
// The target in mapping files.
pub mod target;

/// The destination of resources that are stored in Mjumbe itself.
pub const HERE: &str = "here";
