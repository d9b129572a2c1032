//! How far another machine's clock is from ours.
//!
//! By the `Date` header of whatever it answers (whole seconds), and by the time that DHIS2 tells of itself.

use std::path::Path;
use std::time::Duration;

use reqwest::header::HeaderMap;
use url::Url;

use super::Findings;
use crate::outbound::answer::{self, Answer};
use crate::outbound::{self, Patience, Route};

/// A busy machine answers late; less is not told.
const AGREED: Duration = Duration::from_secs(5);
/// Beyond it a report near midnight may be filed under the wrong day.
const WARN: Duration = Duration::from_secs(30);
/// Beyond it polling with its overlap of five minutes could miss runs.
const FAIL: Duration = Duration::from_secs(300);
const PATIENCE: Duration = Duration::from_secs(20);

/// A way to ask a machine without credentials.
pub(super) struct Way<'a> {
    pub url: &'a str,
    /// What people copy along: `/api/v2`.
    pub suffix: &'a str,
    /// What answers without credentials.
    pub path: &'a str,
    pub ca_file: Option<&'a Path>,
    pub proxy: Option<&'a str>,
}

/// Asks once and compares the clocks. Whether it answers at all is told by others.
pub(super) async fn compare(way: &Way<'_>, findings: &mut Findings) {
    if let Some(ahead) = ask(way).await.as_ref().and_then(ahead_of_us) {
        tell(ahead, "its Date header", findings);
    }
}

async fn ask(way: &Way<'_>) -> Option<Answer> {
    let base: Url = outbound::base(way.url, way.suffix, true.into()).ok()?;
    let patience = Patience { silence: Some(PATIENCE), total: Some(PATIENCE) };
    let route = Route { base: &base, ca_file: way.ca_file, proxy: way.proxy, patience };
    let client = outbound::client(&route, HeaderMap::new()).ok()?;
    let mut url = base.clone();
    url.set_path(&format!("{}{}", base.path().trim_end_matches('/'), way.path));
    answer::ask(client.get(url)).await.ok()
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
