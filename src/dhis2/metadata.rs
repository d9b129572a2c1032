//! Mirrored metadata: what an instance says about its data sets, data elements, combos, option sets,
//! organisation units, and of programs and tracked entity types those that mappings name.
//!
//! Pulled in few requests ([`pull`]), stored as documents, and held in memory as one immutable snapshot
//! that is replaced as a whole. Everything that leaves is judged against it, without the network.

// From names in a mapping to option combos.
pub mod combo;
// Documents of the store, and back.
pub mod document;
// Holds what a mapping names against a snapshot.
pub mod judge;
// The snapshot, and the task that keeps it fresh.
pub mod mirror;
// One snapshot.
pub mod model;
// Programs, tracked entity types and what belongs to them.
pub mod program;
// Reads it from the instance.
pub mod pull;
// What of an instance is worth mirroring.
pub mod scope;
// Keeps documents in the store.
pub mod stored;

pub use model::Metadata;
