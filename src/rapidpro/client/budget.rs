//! How many requests an hour we allow ourselves, counted as RapidPro counts: by workspace and scope.
//!
//! **Never** waits: it says how long to wait. Every request counts, failed ones too.

use std::collections::VecDeque;
use std::sync::Mutex;
use std::time::{Duration, Instant};

/// RapidPro counts these apart, each over a sliding hour.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scope {
    Contacts,
    Runs,
    Messages,
    Broadcasts,
    /// All the rest.
    Other,
}

impl Scope {
    /// The scope of an endpoint's name: `contacts`, `flow_starts`.
    pub fn of(endpoint: &str) -> Self {
        match endpoint {
            "contacts" => Self::Contacts,
            "runs" => Self::Runs,
            "messages" => Self::Messages,
            "broadcasts" => Self::Broadcasts,
            _ => Self::Other,
        }
    }
}

const HOUR: Duration = Duration::from_secs(3600);
const SCOPES: usize = 5;

#[derive(Debug, Default)]
struct Window {
    /// When each request of the last hour began.
    begun: VecDeque<Instant>,
    /// RapidPro asked for silence until then.
    silent_until: Option<Instant>,
}

/// The budget of one workspace.
#[derive(Debug)]
pub struct Budget {
    per_hour: usize,
    windows: Mutex<[Window; SCOPES]>,
}

impl Budget {
    pub fn new(per_hour: u32) -> Self {
        Self { per_hour: per_hour.max(1) as usize, windows: Mutex::new(Default::default()) }
    }

    /// Counts a request that begins now.
    ///
    /// # Errors
    /// How long to wait; nothing was counted.
    pub fn take(&self, scope: Scope, now: Instant) -> Result<(), Duration> {
        self.with(scope, |window| {
            while window.begun.front().is_some_and(|begun| now.duration_since(*begun) >= HOUR) {
                window.begun.pop_front();
            }
            if let Some(until) = window.silent_until.filter(|until| *until > now) {
                return Err(until - now);
            }
            if window.begun.len() >= self.per_hour {
                let oldest = window.begun.front().copied().unwrap_or(now);
                return Err(HOUR.saturating_sub(now.duration_since(oldest)));
            }
            window.begun.push_back(now);
            Ok(())
        })
    }

    /// RapidPro answered 429: nothing of this scope is sent for that long.
    pub fn silence(&self, scope: Scope, now: Instant, wait: Duration) {
        self.with(scope, |window| window.silent_until = Some(now + wait));
    }

    fn with<T>(&self, scope: Scope, work: impl FnOnce(&mut Window) -> T) -> T {
        // A poisoned lock holds counters that are still right.
        let mut windows = self.windows.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        let window = match scope {
            Scope::Contacts => &mut windows[0],
            Scope::Runs => &mut windows[1],
            Scope::Messages => &mut windows[2],
            Scope::Broadcasts => &mut windows[3],
            Scope::Other => &mut windows[4],
        };
        work(window)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_leaves_the_window_after_an_hour() {
        let budget = Budget::new(2);
        let start = Instant::now();
        assert_eq!(budget.take(Scope::Runs, start), Ok(()));
        assert_eq!(budget.take(Scope::Runs, start + Duration::from_secs(600)), Ok(()));
        let wait = budget.take(Scope::Runs, start + Duration::from_secs(1200));
        assert_eq!(wait, Err(Duration::from_secs(2400)));
        assert_eq!(budget.take(Scope::Runs, start + HOUR), Ok(()));
    }

    #[test]
    fn scopes_are_counted_apart() {
        let budget = Budget::new(1);
        let now = Instant::now();
        assert_eq!(budget.take(Scope::of("runs"), now), Ok(()));
        assert_eq!(budget.take(Scope::of("contacts"), now), Ok(()));
        assert_eq!(budget.take(Scope::of("flows"), now), Ok(()));
        assert!(budget.take(Scope::of("definitions"), now).is_err());
    }

    #[test]
    fn silence_asked_for_is_kept() {
        let budget = Budget::new(100);
        let now = Instant::now();
        budget.silence(Scope::Runs, now, Duration::from_secs(30));
        assert_eq!(budget.take(Scope::Runs, now), Err(Duration::from_secs(30)));
        assert_eq!(budget.take(Scope::Runs, now + Duration::from_secs(30)), Ok(()));
    }
}
