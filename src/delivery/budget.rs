//! How many requests a destination still allows in this hour.
//!
//! Pure. The count is stored with the destination, so that a restart does not begin a new budget.

const HOUR_MS: i64 = 3_600_000;

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Budget {
    /// Hours since 1970.
    pub hour: i64,
    pub used: u32,
}

impl Budget {
    /// Adds requests that were made.
    pub fn spend(&mut self, requests: u32, now_ms: i64) {
        self.turn(now_ms);
        self.used = self.used.saturating_add(requests);
    }

    /// When the next request may be made: `now_ms`, or the beginning of the next hour.
    pub fn next_ms(&self, limit: Option<u32>, now_ms: i64) -> i64 {
        let mut current = *self;
        current.turn(now_ms);
        match limit {
            Some(limit) if current.used >= limit => (current.hour + 1).saturating_mul(HOUR_MS),
            _ => now_ms,
        }
    }

    fn turn(&mut self, now_ms: i64) {
        let hour = now_ms.div_euclid(HOUR_MS);
        if hour != self.hour {
            *self = Self { hour, used: 0 };
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_spent_comes_back_with_the_hour() {
        let mut budget = Budget::default();
        budget.spend(2, HOUR_MS + 5);
        assert_eq!(budget.next_ms(Some(3), HOUR_MS + 6), HOUR_MS + 6);
        budget.spend(1, HOUR_MS + 6);
        assert_eq!(budget.next_ms(Some(3), HOUR_MS + 7), 2 * HOUR_MS);
        assert_eq!(budget.next_ms(None, HOUR_MS + 7), HOUR_MS + 7);
        assert_eq!(budget.next_ms(Some(3), 2 * HOUR_MS), 2 * HOUR_MS);
    }
}
