//! Mirrored metadata: what an instance says about its data sets, data elements, combos, option sets and
//! organisation units.
//!
//! Pulled in few requests ([`pull`]), stored as documents, and held in memory as one immutable snapshot
//! that is replaced as a whole. Everything that leaves is judged against it, without the network.

/// From names in a mapping to option combos.
pub mod combo;
/// Documents of the store, and back.
pub mod document;
/// One snapshot.
pub mod model;

pub use model::Metadata;
