//! When a delivery that failed is tried again.
//!
//! Pure: the clock and the jitter come in as arguments.

use std::time::Duration;

/// The first wait, doubled at each further failure.
const FIRST_MS: u64 = 1_000;
/// The longest wait.
const LONGEST_MS: u64 = 3_600_000;
/// A collision is tried again this soon, for this many times.
const SOON_MS: u64 = 1_000;
const SOON_ATTEMPTS: u32 = 5;

/// Milliseconds until the next attempt after `attempts` failures (1 after the first): 1 s, 2 s, 4 s …
/// 1 h, each ±20 %. `chance` is in 0..1.
pub fn wait_ms(attempts: u32, chance: f64) -> i64 {
    let doubled = FIRST_MS.saturating_mul(1u64 << attempts.saturating_sub(1).min(20));
    jittered(doubled.min(LONGEST_MS), chance)
}

/// As [`wait_ms`], but soon for the first few: another request got in the way.
pub fn collision_wait_ms(attempts: u32, chance: f64) -> i64 {
    if attempts <= SOON_ATTEMPTS {
        jittered(SOON_MS, chance)
    } else {
        wait_ms(attempts - SOON_ATTEMPTS, chance)
    }
}

/// Whether transient failures since `first_failed_ms` have lasted longer than the horizon.
pub fn beyond_horizon(first_failed_ms: i64, now_ms: i64, horizon: Duration) -> bool {
    let horizon_ms = i64::try_from(horizon.as_millis()).unwrap_or(i64::MAX);
    first_failed_ms > 0 && now_ms.saturating_sub(first_failed_ms) >= horizon_ms
}

/// ±20 %.
pub fn jittered(milliseconds: u64, chance: f64) -> i64 {
    (milliseconds as f64 * (0.8 + 0.4 * chance.clamp(0.0, 1.0))) as i64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_double_up_to_an_hour() {
        assert_eq!(wait_ms(1, 0.5), 1_000);
        assert_eq!(wait_ms(2, 0.5), 2_000);
        assert_eq!(wait_ms(13, 0.5), 3_600_000);
        assert_eq!(wait_ms(u32::MAX, 0.5), 3_600_000);
    }

    #[test]
    fn jitter_is_a_fifth() {
        assert_eq!(wait_ms(1, 0.0), 800);
        assert_eq!(wait_ms(1, 1.0), 1_200);
    }

    #[test]
    fn collisions_are_soon_and_then_slow() {
        assert_eq!(collision_wait_ms(5, 0.5), 1_000);
        assert_eq!(collision_wait_ms(7, 0.5), 2_000);
    }

    #[test]
    fn transient_faults_never_die_before_the_horizon() {
        let week = Duration::from_secs(7 * 86_400);
        let week_ms = 7 * 86_400_000;
        assert!(!beyond_horizon(1, week_ms, week));
        assert!(beyond_horizon(1, week_ms + 1, week));
        assert!(!beyond_horizon(0, i64::MAX, week));
    }
}
