//! Mjumbe: a FHIR facade between FHIR systems, RapidPro and DHIS2.
//!
//! ```text
//! FHIR client ──► server ──┐                                         ┌─► rapidpro ──► RapidPro
//! RapidPro ─────► rapidpro ├─► store ──► change ──► mapping ──► delivery ─► dhis2 ──► DHIS2
//! DHIS2 ────────► dhis2 ───┘   (1 tx)               (pure)           └─► others
//! ```
//!
//! Everything that comes in is stored first; deliveries are the only way out. ARCHITECTURE.md walks
//! one datum through the rooms.

// What helps from nothing to a running report.
pub mod assist;
// Who is calling and what they may do.
pub mod auth;
// One file a command; no logic of its own.
pub mod cli;
// The typed configuration tree.
pub mod config;
// Wanted against sent: lanes, leases, retries, dead letters.
pub mod delivery;
// The DHIS2 client, its metadata, periods, value types and targets.
pub mod dhis2;
// `[fhir.NAME]` and `[http.NAME]`, spoken to over HTTP.
pub mod endpoint;
// What FHIR R4 says. No I/O.
pub mod fhir;
// `http.post`: a JSON body for an HTTP endpoint, once.
pub mod http_out;
// Where a report is, and why, when somebody calls.
pub mod inquiry;
// `fhir.resource`: resources that mappings make, stored here or sent to another server.
pub mod fhir_out;
// Mapping files: checked programs, evaluation, trace. No I/O, no clock.
pub mod mapping;
// Makes every HTTP client for other machines and reads their answers up to a limit.
pub mod outbound;
// The RapidPro client, contacts, flows and runs.
pub mod rapidpro;
// A simulated RapidPro and a simulated DHIS2.
pub mod sandbox;
// HTTP: FHIR interactions, webhooks, health, metrics.
pub mod server;
// The only SQL.
pub mod store;
// Logs, spans and metrics.
pub mod telemetry;
