//! Logs, spans and metrics.
//!
//! **Never** a body, name, phone number or token, at any level: Mjumbe's own rooms log ids, counts and
//! hashes; libraries, which could log headers and bound values, are held at `warn` whatever is asked
//! for ([`logs::filter`]). One id follows a datum from the SMS to DHIS2's answer: [`trace_id`] of its
//! source, the field `trace` of the lines that its way leaves at the default level: `a version is committed`
//! (of a run and its QuestionnaireResponse), `a change is mapped`, `a delivery is wanted` (which adds the field
//! `delivery`), `a delivery was answered`. A count has many sources: its answer carries the `delivery` alone.

// Where logs go and what is let through.
pub mod logs;
// Counters, gauges and histograms, as Prometheus text.
pub mod metrics;

use sha2::{Digest, Sha256};

/// The id that follows one resource or document: 16 hexadecimal digits.
///
/// A hash, because clients choose ids and some choose phone numbers.
pub fn trace_id(tenant: &str, kind: &str, id: &str) -> String {
    let mut hash = Sha256::new();
    for part in [tenant, kind, id] {
        hash.update(part.as_bytes());
        hash.update([0]);
    }
    hex::encode(&hash.finalize()[..8])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_trace_is_stable_and_does_not_mix_its_parts() {
        let trace = trace_id("default", "QuestionnaireResponse", "a");
        assert_eq!(trace.len(), 16);
        assert_eq!(trace, trace_id("default", "QuestionnaireResponse", "a"));
        assert_ne!(trace_id("a", "bc", "d"), trace_id("a", "b", "cd"));
    }
}
