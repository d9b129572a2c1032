//! Deliveries: what should be on the far side against what was sent, and the way between.
//!
//! **Knows no system's protocol**: a system's room implements [`destination::Destination`].
//! Data comes from the store (changes, evaluations) and leaves only through a destination.

// What happens once, or is a dead letter.
pub mod acts;
// Aggregate cells from their contributions.
pub mod aggregate;
// When to try again.
pub mod backoff;
// Places, parts and deliveries as one transaction sees them.
pub mod board;
// The circuit breaker of one destination.
pub mod breaker;
// Requests an hour.
pub mod budget;
// Counted cells when they are claimed.
mod cells;
// A batch under a lease.
pub mod claim;
// What a person may do.
pub mod desk;
// The far side, as the delivery engine sees it.
pub mod destination;
// One mapping applied to one version.
pub mod evaluation;
// What the mapper asks of a mapping.
pub mod evaluator;
// Counts and ages for `/metrics`.
pub mod gauges;
// Resources that mappings store in Mjumbe itself.
pub mod here;
// Who may send, and until when.
pub mod hold;
// Names that stay.
pub mod identity;
mod late;
// Resources by the remote objects that they are.
pub mod links;
// Answers look-ups from the store.
pub mod lookup;
// Maps changes.
pub mod mapper;
// Mapping files' programs as evaluators.
pub mod programs;
// What one evaluation wants, recorded.
pub mod record;
// What a replay would change.
pub mod replay;
// Sends what is due to one destination.
pub mod sender;
// What became of a batch.
pub mod settle;
// Wakes workers.
pub mod signal;
// Who has a place, and what goes out.
pub mod slots;
mod transaction;
// What deliveries wait for.
mod waits;
// What look-ups wait for.
pub mod watch;

// Remote ids as identifiers.
pub mod write_back;

#[cfg(test)]
mod tests;
