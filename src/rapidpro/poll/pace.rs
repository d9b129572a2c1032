//! When to poll: every interval, and soon after hints, within the hourly budget.

use std::time::{Duration, Instant};

use tokio::sync::Notify;

/// How much a round reads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Extent {
    /// Flows, contacts, deleted contacts, runs.
    Whole,
    /// Runs, and contacts where a run's is not known.
    Runs,
}

/// After a hint: at once, and when RapidPro has surely committed.
const AFTER_HINT: [Duration; 3] = [Duration::ZERO, Duration::from_secs(2), Duration::from_secs(10)];
/// Hints may cause so many rounds at once, and one more for each `REFILL`: 900 an hour of RapidPro's 2,500.
const BURST: u32 = 60;
const REFILL: Duration = Duration::from_secs(4);
/// Rounds for hints begin at least so far apart.
const GAP: Duration = Duration::from_millis(250);
const LONGEST_WAIT: Duration = Duration::from_secs(300);

/// The state of the pace.
#[derive(Debug)]
pub struct Pace {
    interval: Duration,
    next_whole: Instant,
    /// Rounds that hints asked for, soonest first.
    soon: Vec<Instant>,
    tokens: u32,
    refilled: Instant,
    last: Option<Instant>,
    failures: u32,
    /// Nothing before that: RapidPro is down or asked for silence.
    not_before: Option<Instant>,
}

impl Pace {
    pub fn new(interval: Duration, now: Instant) -> Self {
        Self {
            interval: interval.max(Duration::from_millis(100)),
            next_whole: now,
            soon: Vec::new(),
            tokens: BURST,
            refilled: now,
            last: None,
            failures: 0,
            not_before: None,
        }
    }

    /// Waits for the next round. Cancel-safe.
    pub async fn next(&mut self, woken: &Notify) -> Extent {
        loop {
            let now = Instant::now();
            let (due, extent) = self.due(now);
            if due <= now {
                self.begin(extent, now);
                return extent;
            }
            tokio::select! {
                () = tokio::time::sleep(due - now) => {}
                () = woken.notified() => self.hint(Instant::now()),
            }
        }
    }

    fn hint(&mut self, now: Instant) {
        self.soon = AFTER_HINT.iter().map(|after| now + *after).collect();
    }

    fn due(&mut self, now: Instant) -> (Instant, Extent) {
        let refills =
            u32::try_from(now.duration_since(self.refilled).as_secs() / REFILL.as_secs()).unwrap_or(BURST);
        if refills > 0 {
            self.tokens = self.tokens.saturating_add(refills).min(BURST);
            self.refilled = now;
        }
        let mut due = (self.next_whole, Extent::Whole);
        if let Some(soon) = self.soon.first().copied() {
            let gap = self.last.map_or(soon, |last| soon.max(last + GAP));
            let affordable = if self.tokens > 0 { gap } else { gap.max(self.refilled + REFILL) };
            if affordable < due.0 {
                due = (affordable, Extent::Runs);
            }
        }
        (self.not_before.map_or(due.0, |not_before| due.0.max(not_before)), due.1)
    }

    fn begin(&mut self, extent: Extent, now: Instant) {
        // Every round reads the runs, so that all hints that are due are answered.
        self.soon.retain(|soon| *soon > now);
        self.last = Some(now);
        match extent {
            Extent::Whole => self.next_whole = now + self.interval,
            Extent::Runs => self.tokens = self.tokens.saturating_sub(1),
        }
        self.not_before = None;
    }

    /// Counts a failure and says how long it will be waited.
    pub fn failed(&mut self, asked: Option<Duration>) -> Duration {
        self.failures = self.failures.saturating_add(1);
        let doubled = Duration::from_secs(2).saturating_mul(1 << self.failures.min(8));
        let wait = asked.unwrap_or(doubled.min(LONGEST_WAIT));
        let now = Instant::now();
        self.not_before = Some(now + wait);
        // What was not read is read as a whole.
        self.next_whole = now + wait;
        wait
    }

    /// Ends a series of failures; true where there was one.
    pub fn recovered(&mut self) -> bool {
        std::mem::take(&mut self.failures) > 0
    }

    pub fn failures(&self) -> u32 {
        self.failures
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hint_asks_for_three_rounds() {
        let now = Instant::now();
        let mut pace = Pace::new(Duration::from_secs(30), now);
        assert_eq!(pace.due(now), (now, Extent::Whole));
        pace.begin(Extent::Whole, now);
        pace.hint(now + Duration::from_secs(1));
        pace.hint(now + Duration::from_secs(1));
        for after in [1, 3, 11] {
            let at = now + Duration::from_secs(after);
            assert_eq!(pace.due(at), (at, Extent::Runs), "{after}");
            pace.begin(Extent::Runs, at);
        }
        assert_eq!(pace.due(now).0, now + Duration::from_secs(30));
    }

    #[test]
    fn a_storm_of_hints_stays_within_the_budget() {
        let start = Instant::now();
        let mut pace = Pace::new(Duration::from_secs(30), start);
        let (mut now, mut rounds) = (start, 0);
        while now < start + Duration::from_secs(3600) {
            pace.hint(now);
            let (due, extent) = pace.due(now);
            if due <= now {
                pace.begin(extent, now);
                rounds += 1;
            }
            now += Duration::from_millis(500);
        }
        assert!((900..1_100).contains(&rounds), "{rounds}");
    }

    #[test]
    fn failures_wait_longer_each_time_and_as_long_as_asked() {
        let mut pace = Pace::new(Duration::from_secs(30), Instant::now());
        assert_eq!(pace.failed(None), Duration::from_secs(4));
        assert_eq!(pace.failed(None), Duration::from_secs(8));
        assert_eq!(pace.failed(Some(Duration::from_secs(3600))), Duration::from_secs(3600));
        for _ in 0..20 {
            pace.failed(None);
        }
        assert_eq!(pace.failed(None), LONGEST_WAIT);
        assert!(pace.recovered());
        assert!(!pace.recovered());
    }
}
