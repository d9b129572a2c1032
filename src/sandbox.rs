//! A simulated RapidPro and a simulated DHIS2 that behave as recorded, faults included.
//!
//! For the demo, for tests and for authors of mappings. Each is an HTTP server over a state in memory;
//! a control API under `/_sandbox/` injects faults and reads back everything that it holds. This room
//! uses nothing of the product: what it says comes from recordings of the real systems and from its own
//! record of what it was told, so that it can be held against what the product claims.

// A simulated DHIS2: metadata, data values by both importer generations, completion.
pub mod dhis2;
// What can be made to go wrong, and when.
pub mod faults;
// The HTTP server that both simulated systems share: faults, control API, dropped connections.
pub mod http;
// A simulated RapidPro: contacts, groups, fields, flows, runs, and people who answer.
pub mod rapidpro;
// A month in the country: who lives there, what they answer, what should come of it.
pub mod story;
// Times as the simulated systems keep and write them.
pub mod time;
