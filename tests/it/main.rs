//! The tests that run Mjumbe as its users do: over HTTP, with the sandbox on the other side, on SQLite
//! and on PostgreSQL.

mod config_refusals;
mod delivery;
mod dhis2;
mod fhir_resources;
mod history;
mod mapping_schema;
mod mapping_shipped;
mod r4_examples;
mod rapidpro_contact;
mod rapidpro_poll;
mod rapidpro_reading;
mod rooms;
mod sandbox_shapes;
mod server;
mod store_writes;
