//! The circuit breaker of one destination.
//!
//! Pure: a state machine over what happened; the sender stores its state so that another process goes on
//! with it. While it is open nothing is claimed, and a cheap probe decides when it closes.

use super::backoff;

/// Failures in a row that open the circuit.
const TRIPS_AFTER: u32 = 3;
/// The first pause, doubled at each failed probe.
const FIRST_PAUSE_MS: u64 = 2_000;
const LONGEST_PAUSE_MS: u64 = 300_000;

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Breaker {
    /// Failures in a row, failed probes included.
    pub failures: u32,
    /// Nothing is sent before this time, and then a probe comes first; 0: closed.
    pub open_until_ms: i64,
}

/// What the sender may do now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Permit {
    Send,
    Probe,
    WaitUntil(i64),
}

impl Breaker {
    pub fn permit(&self, now_ms: i64) -> Permit {
        match self.open_until_ms {
            0 => Permit::Send,
            until if until <= now_ms => Permit::Probe,
            until => Permit::WaitUntil(until),
        }
    }

    pub fn is_open(&self) -> bool {
        self.open_until_ms != 0
    }

    /// The far side answered.
    pub fn succeeded(&mut self) {
        *self = Self::default();
    }

    /// The far side was down, slow or busy.
    pub fn failed(&mut self, now_ms: i64, chance: f64) {
        self.failures = self.failures.saturating_add(1);
        if self.failures >= TRIPS_AFTER || self.is_open() {
            self.pause(now_ms, chance);
        }
    }

    /// Credentials were refused: nothing but probes until they are accepted.
    pub fn refused(&mut self, now_ms: i64, chance: f64) {
        self.failures = self.failures.saturating_add(1).max(TRIPS_AFTER);
        self.pause(now_ms, chance);
    }

    fn pause(&mut self, now_ms: i64, chance: f64) {
        let doublings = self.failures.saturating_sub(TRIPS_AFTER).min(20);
        let pause = FIRST_PAUSE_MS.saturating_mul(1u64 << doublings).min(LONGEST_PAUSE_MS);
        self.open_until_ms = now_ms.saturating_add(backoff::jittered(pause, chance));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn three_failures_open_it_and_a_probe_closes_it() {
        let mut breaker = Breaker::default();
        breaker.failed(0, 0.5);
        breaker.failed(0, 0.5);
        assert_eq!(breaker.permit(0), Permit::Send);
        breaker.failed(0, 0.5);
        assert_eq!(breaker.permit(0), Permit::WaitUntil(2_000));
        assert_eq!(breaker.permit(2_000), Permit::Probe);
        breaker.failed(2_000, 0.5);
        assert_eq!(breaker.permit(2_001), Permit::WaitUntil(6_000));
        breaker.succeeded();
        assert_eq!(breaker.permit(0), Permit::Send);
    }

    #[test]
    fn pauses_end_at_five_minutes() {
        let mut breaker = Breaker::default();
        for _ in 0..100 {
            breaker.failed(0, 0.5);
        }
        assert_eq!(breaker.open_until_ms, 300_000);
    }

    #[test]
    fn refused_credentials_open_it_at_once() {
        let mut breaker = Breaker::default();
        breaker.refused(0, 0.5);
        assert!(breaker.is_open());
    }
}
