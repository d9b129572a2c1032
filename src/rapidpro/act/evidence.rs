//! What a look-up proves. **Pure.**

use jiff::{SignedDuration, Timestamp};

/// RapidPro's clock may be so far from ours.
const SKEW: SignedDuration = SignedDuration::from_mins(10);
/// Longer ago, that something is not listed proves nothing: it may have been tidied away.
const PROVABLE: SignedDuration = SignedDuration::from_hours(7 * 24);

/// What became of a request whose answer was lost.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Evidence {
    /// What RapidPro calls it.
    Found(String),
    /// RapidPro made it and failed it: it reached nobody. What RapidPro calls it.
    Failed(String),
    /// It did not happen.
    Absent,
    Unproven,
}

/// The time from which a list must be read to hold whatever a request that began then has made.
pub(super) fn since(begun_ms: i64) -> Timestamp {
    let begun = Timestamp::from_millisecond(begun_ms).unwrap_or(Timestamp::UNIX_EPOCH);
    begun.checked_sub(SKEW).unwrap_or(Timestamp::UNIX_EPOCH)
}

/// Nothing was found in a list that was read (`completely`, or up to a bound).
pub(super) fn nothing(completely: bool, begun_ms: i64, now: Timestamp) -> Evidence {
    let begun = Timestamp::from_millisecond(begun_ms).unwrap_or(Timestamp::UNIX_EPOCH);
    let provable = begun_ms > 0 && now.duration_since(begun) < PROVABLE;
    if completely && provable { Evidence::Absent } else { Evidence::Unproven }
}

/// Whether RapidPro says of what it made that it failed it.
pub(super) fn is_failed(row: &serde_json::Value) -> bool {
    row.get("status").and_then(serde_json::Value::as_str) == Some("failed")
}

/// What could be the lost one, and whether another act could have made it instead.
pub(super) fn among(mut candidates: Vec<String>, rivals: usize) -> Option<Evidence> {
    match (candidates.pop(), candidates.is_empty(), rivals) {
        (None, ..) => None,
        (Some(only), true, 0) => Some(Evidence::Found(only)),
        (Some(_), ..) => Some(Evidence::Unproven),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BEGUN: i64 = 1_800_000_000_000;

    fn later(duration: SignedDuration) -> Timestamp {
        Timestamp::from_millisecond(BEGUN).unwrap() + duration
    }

    #[test]
    fn absence_is_proven_only_by_the_whole_list_and_not_for_ever() {
        let soon = later(SignedDuration::from_mins(3));
        assert_eq!(nothing(true, BEGUN, soon), Evidence::Absent);
        assert_eq!(nothing(false, BEGUN, soon), Evidence::Unproven);
        assert_eq!(nothing(true, BEGUN, later(SignedDuration::from_hours(200))), Evidence::Unproven);
        assert_eq!(nothing(true, 0, soon), Evidence::Unproven);
    }

    #[test]
    fn a_list_is_read_from_before_the_request() {
        assert_eq!(since(BEGUN), later(SignedDuration::from_mins(-10)));
        assert!(since(i64::MIN) < Timestamp::UNIX_EPOCH);
    }

    #[test]
    fn one_candidate_that_nobody_else_can_have_made_is_the_lost_one() {
        let ids = |all: &[&str]| all.iter().map(|id| (*id).to_owned()).collect::<Vec<_>>();
        assert_eq!(among(ids(&[]), 3), None);
        assert_eq!(among(ids(&["a"]), 0), Some(Evidence::Found("a".to_owned())));
        assert_eq!(among(ids(&["a"]), 1), Some(Evidence::Unproven));
        assert_eq!(among(ids(&["a", "b"]), 0), Some(Evidence::Unproven));
    }
}
