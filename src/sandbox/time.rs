//! Times as the simulated systems keep and write them.
//!
//! No two things happen at one microsecond: a ticking clock makes "the later one" a fact.

use jiff::civil;
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};

/// A clock whose readings rise strictly, in microseconds.
#[derive(Debug, Default)]
pub struct Clock {
    last: i64,
}

impl Clock {
    /// Now, or one microsecond after the last reading.
    pub fn tick(&mut self) -> Timestamp {
        let now = Timestamp::now().as_microsecond();
        self.last = now.max(self.last + 1);
        Timestamp::from_microsecond(self.last).unwrap_or(Timestamp::UNIX_EPOCH)
    }
}

/// `2026-11-20T21:42:24.718922Z`: RapidPro.
pub fn micros(at: Timestamp) -> String {
    at.strftime("%Y-%m-%dT%H:%M:%S%.6fZ").to_string()
}

/// `2026-11-20T23:42:24.718922+02:00`: RapidPro's values of fields and results.
pub fn local_micros(at: Timestamp, zone: &TimeZone) -> String {
    at.to_zoned(zone.clone()).strftime("%Y-%m-%dT%H:%M:%S%.6f%:z").to_string()
}

/// `2026-11-21T04:42:13.784`: DHIS2's metadata.
pub fn millis(at: Timestamp) -> String {
    at.strftime("%Y-%m-%dT%H:%M:%S%.3f").to_string()
}

/// A moment as query parameters write it; without a zone it is UTC. `None` where it cannot be read.
pub fn parse(text: &str) -> Option<Timestamp> {
    if let Ok(at) = text.parse::<Timestamp>() {
        return Some(at);
    }
    let civil = text
        .parse::<civil::DateTime>()
        .ok()
        .or_else(|| text.parse::<civil::Date>().ok().map(|date| date.at(0, 0, 0, 0)))?;
    civil.to_zoned(TimeZone::UTC).ok().map(|zoned| zoned.timestamp())
}

/// `at` and some milliseconds.
pub fn after(at: Timestamp, milliseconds: u64) -> Timestamp {
    let later = SignedDuration::from_millis(i64::try_from(milliseconds).unwrap_or(i64::MAX));
    at.checked_add(later).unwrap_or(at)
}
