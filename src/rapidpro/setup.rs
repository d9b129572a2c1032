//! What mappings need in a RapidPro workspace, and making it: contact fields, groups, globals.
//!
//! **Never** changes or removes what is there, except the one global that is Mjumbe's own; flows are made in
//! RapidPro's editor. Doing it again does nothing. Programs come in, [`Step`]s go out for a person to read.

// What the mappings name.
pub mod needs;
// What there is, and what is made.
mod steps;
// The node that calls us.
pub mod webhook;

pub use needs::Needs;
pub use steps::{Mode, Outcome, Step, apply, list};
