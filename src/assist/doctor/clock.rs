//! How far another machine's clock is from ours.
//!
//! By the `Date` header of whatever it answers (whole seconds), and by the time that DHIS2 tells of itself.

use std::time::Duration;

use super::Findings;
use super::way::{Way, ask};
use crate::outbound::answer::Answer;

/// A busy machine answers late; less is not told.
const AGREED: Duration = Duration::from_secs(5);
/// Beyond it a report near midnight may be filed under the wrong day.
const WARN: Duration = Duration::from_secs(30);
/// Beyond it polling with its overlap of five minutes could miss runs.
const FAIL: Duration = Duration::from_secs(300);

/// Milliseconds that its clock is ahead of ours by the header; `None` where it does not answer, which others tell.
pub(super) async fn by_header(way: &Way<'_>) -> Option<i64> {
    ask(way).await.ok().as_ref().and_then(ahead_of_us)
}

/// Milliseconds that the header's clock is ahead of ours.
fn ahead_of_us(answer: &Answer) -> Option<i64> {
    let date = jiff::fmt::rfc2822::parse(answer.header("date")?).ok()?.timestamp().as_millisecond();
    let half = i64::try_from(answer.elapsed.as_millis() / 2).ok()?;
    // The header is cut to whole seconds: on average half of one is missing.
    Some(date + 500 - (jiff::Timestamp::now().as_millisecond() - half))
}

/// Says how far apart the clocks are.
pub(super) fn tell(ahead_ms: i64, by: &str, findings: &mut Findings) {
    let apart = Duration::from_millis(ahead_ms.unsigned_abs());
    if apart < AGREED {
        return findings.ok("clock", format!("its clock and ours agree (by {by})"));
    }
    let direction = if ahead_ms > 0 { "ahead of" } else { "behind" };
    let message = format!("its clock is {} s {direction} ours (by {by})", apart.as_secs());
    let hint = "let both machines keep time by NTP (`timedatectl set-ntp true`)";
    match apart {
        apart if apart >= FAIL => findings.fail("clock", message, hint),
        apart if apart >= WARN => findings.warn("clock", message, hint),
        _ => findings.ok("clock", message),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::assist::doctor::Level;

    #[test]
    fn a_clock_that_is_wrong_is_told_with_its_direction() {
        let level = |ahead_ms: i64| {
            let mut findings = Findings::about("dhis2.n");
            tell(ahead_ms, "its Date header", &mut findings);
            (findings.found[0].level, findings.found[0].message.clone())
        };
        assert_eq!(level(900).0, Level::Ok);
        assert_eq!(level(31_000).0, Level::Warning);
        let (failed, message) = level(-3_600_000);
        assert_eq!(failed, Level::Failed);
        assert!(message.contains("3600 s behind ours"), "{message}");
    }
}
