//! `http.post`: a JSON body for an HTTP endpoint, once.
//!
//! **Never** sends what may have been taken already, unless the endpoint says that it does such a request only
//! once. Acts come from mappings and leave over HTTP (`[http.NAME]`).

// The endpoint as a destination.
pub mod endpoint;
// The target in mapping files.
pub mod target;
