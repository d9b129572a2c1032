//! The RapidPro client, contacts, flows and runs.
//!
//! **Never** knows DHIS2, and never lets a webhook decide anything: polling is the truth. Runs, contacts
//! and flows come in through [`poll`] and become documents and QuestionnaireResponses in the store;
//! contacts go out through [`contact`], the `rapidpro.contact` target and its destination.
//! Behaviour is taken from recorded answers of RapidPro 9.0 and from reading 7.4 to 26.

// Flow starts and messages.
pub mod act;
// A workspace's flows for a person.
pub mod catalogue;
// Speaks API v2: token, budget, cursor paging, and one table that reads failures.
pub mod client;
// The `rapidpro.contact` target, and how contacts are sent.
pub mod contact;
// A workspace as the delivery engine sees it.
pub mod destination;
// Mappings held against what a workspace has.
pub mod fit;
// Flow definitions, read for what their results mean.
pub mod flow;
// What came from RapidPro, as documents and resources to be written.
pub mod mirror;
// Polls a workspace into the store.
pub mod poll;
// A run and its flow become a typed QuestionnaireResponse.
pub mod run;
// Making what mappings need there.
pub mod setup;
// URNs: `tel:+…` in E.164, and what each scheme may hold.
pub mod urn;
// What webhooks say: a hint that something happened.
pub mod webhook;
