//! mappings from what the two systems say of themselves.
//!
//! **Never** writes over a file, never prints a secret, and changes nothing in RapidPro or DHIS2 (what is made
//! there is made by [`crate::rapidpro::setup`], on demand). Data comes from the configuration, from the two
//! systems' own answers and from the store's mirrors, and leaves as text for a person or as files that the
//! checker has accepted.

// Everything that a report passes through, examined.
pub mod doctor;
// A first mapping and its test.
pub mod proposal;
// A folder to start from.
pub mod scaffold;
