//! What FHIR R4 says: structure, references, search parameters, search queries, bundles, outcomes.
//!
//! **Never** does I/O and never knows the store. Working form of a resource is [`serde_json::Value`];
//! fhirbolt's model (crate `mjumbe-fhir-model`) is the last check on the way in.

// What a transaction or batch asks for.
pub mod bundle;
// The CapabilityStatement.
pub mod capability;
// Clients with ways of their own.
pub mod client;
// What belongs to a patient, an encounter …
pub mod compartment;
// FHIR's dates as ranges of time.
pub mod dates;
// The element table of R4.
pub mod elements;
// What search parameters extract from a resource: the rows of the search index.
pub mod index;
// What known clients send that is not R4.
pub mod lenient;
// How much two Patients look like one person.
pub mod likeness;
// The invariants of R4's types.
pub mod invariants;
// Does a resource match a query?
// Patients that turned out to be one.
pub mod matching;
pub mod merge;
// OperationOutcome: what is wrong, where, and what to do.
pub mod outcome;
// The search parameters of R4.
pub mod parameters;
// FHIRPath expressions, evaluated on resources.
pub mod path;
// Changes of a resource that name what changes.
pub mod patch;
// What a client of IHE's PDQm is shown of a patient.
pub mod pdqm;
// What profiles ask of the resources that claim them.
pub mod profile;
// Searches, parsed: what the store turns into SQL.
pub mod query;
// References: parsing, classifying, rewriting.
pub mod reference;
// A checked resource and its stored form.
pub mod resource;
// From a query string to a query.
pub mod search;
// Is this JSON an R4 resource?
pub mod structure;
// A part of a resource, marked as one.
pub mod summary;
// Whom a resource is about, and when it happened.
pub mod subject;
// Code systems, value sets and concept maps that are stored.
pub mod terminology;
// Identifiers that Mjumbe wrote into resources.
pub mod written_back;
// XML, there and back.
pub mod xml;
