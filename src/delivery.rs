//! Deliveries: what should be on the far side against what was sent, and the way between.
//!
//! **Knows no system's protocol**: a system's room implements [`destination::Destination`].
//! Data comes from the store (changes, evaluations) and leaves only through a destination.

/// The far side, as the delivery engine sees it.
pub mod destination;
