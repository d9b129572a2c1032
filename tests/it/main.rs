//! The tests that run Mjumbe as its users do: over HTTP, with the sandbox on the other side, on SQLite
//! and on PostgreSQL.

mod auth_matrix;
mod cli_commands;
mod cli_sandbox;
mod cli_test;
mod config_refusals;
mod delivery;
mod dhis2;
mod doctor;
mod fhir_bundles;
mod fhir_out;
mod fhir_protocol;
mod fhir_resources;
mod fhir_search;
mod history;
mod mapping_schema;
mod mapping_shipped;
mod newcomer;
mod r4_examples;
mod rapidpro_acts;
mod rapidpro_contact;
mod rapidpro_poll;
mod rapidpro_questionnaire;
mod rapidpro_reading;
mod replay;
mod rooms;
mod sandbox_acts;
mod sandbox_faults;
mod sandbox_shapes;
mod sandbox_tracker;
mod server;
mod setup_rapidpro;
mod stop;
mod store_writes;
mod telemetry_canary;
mod telemetry_story;
