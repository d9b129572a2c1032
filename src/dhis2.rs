//! The DHIS2 client, metadata mirror, periods, value types and aggregate targets. Does not know RapidPro.
//!
//! **Never** relies on DHIS2 to validate: what it would store although it is wrong is refused before it
//! leaves. Deliveries come in through [`crate::delivery::destination::Destination`] and leave as data value
//! sets; metadata comes in as documents of the store.

/// Reports and counts: targets and destination.
pub mod aggregate;
/// What an answer of the aggregate import means.
pub mod answer;
/// HTTP to one instance.
pub mod client;
/// What an instance says about itself.
pub mod metadata;
/// Periods: parse, write, contain, shift.
pub mod period;
/// Value types: what DHIS2 stores for a value, or why it would refuse it.
pub mod value;
/// Which DHIS2 speaks.
pub mod version;
