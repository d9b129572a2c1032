//! Keys that only acts take: `reason`, `after`, `consent`.

use super::entries::{OF_ACTS, generic};
use super::reader::Reader;
use super::{Act, After, conditions, values};
use crate::mapping::diagnostic::Diagnostic;
use crate::mapping::output::Nature;
use crate::mapping::schedule::MAX_TIMES;
use crate::mapping::source::Node;
use crate::mapping::target::Shape;
use jiff::Span;
use jiff::civil::{Date, DateTime, Time};

/// Longest reason, in bytes.
const MAX_REASON: usize = 100;
/// Bounds of durations: `plus` reaches no further, a series is no denser and no wider.
const PLUS_YEARS: i64 = 10;
const EVERY_LEAST_MINUTES: i64 = 1;
const EVERY_MOST_DAYS: i64 = 366;

/// Keys that only acts take are mistakes on what is state.
pub(super) fn act(reader: &mut Reader<'_>, body: &Node, shape: &Shape, nature: Nature) -> Option<Act> {
    if nature != Nature::Act {
        for name in OF_ACTS {
            let field = shape.fields.iter().any(|field| field.name == name);
            if let Some(node) = body.get(name).filter(|_| !field) {
                let message = format!("`{name}` is for what happens once (a message, a flow start)");
                reader.tell(Diagnostic::new("key-not-here", node.place, message));
            }
        }
        return Some(Act::default());
    }
    let reason = generic(reader, body, shape, "reason", reason);
    let after = generic(reader, body, shape, "after", after);
    let consent = generic(reader, body, shape, "consent", conditions::condition);
    Some(Act { reason: reason?, after: after?, consent: consent? })
}

fn reason(reader: &mut Reader<'_>, node: &Node) -> Option<String> {
    let text = reader.text(node, "`reason`")?;
    if !text.is_empty() && text.len() <= MAX_REASON && !text.contains(char::is_control) {
        return Some(text.to_owned());
    }
    let message = format!("`reason` is a text of 1 to {MAX_REASON} bytes");
    let told = Diagnostic::new("bad-reason", node.place, message).offending(text);
    reader.tell(told.hint("a permanent name for why this happens: reason: welcome"));
    None
}

fn after(reader: &mut Reader<'_>, node: &Node) -> Option<After> {
    reader.known(node, "`after`", &["at", "plus", "every", "times", "hours"])?;
    let at = match node.get("at") {
        Some(inner) => Some(values::value(reader, inner)?),
        None => None,
    };
    let plus = span(reader, node, "plus", is_near);
    let every = span(reader, node, "every", is_step);
    let times = times(reader, node);
    let hours = match node.get("hours") {
        Some(inner) => Some(hours(reader, inner)?),
        None => None,
    };
    Some(After { place: node.place, at, plus: plus?, every: every?, times: times?, hours })
}

/// A duration that is within bounds: `Err` says what they are.
fn span(
    reader: &mut Reader<'_>,
    node: &Node,
    key: &str,
    check: impl Fn(Span) -> Result<(), String>,
) -> Option<Option<Span>> {
    let Some(inner) = node.get(key) else { return Some(None) };
    let span = values::duration(reader, inner, &format!("`{key}`"))?;
    match check(span) {
        Ok(()) => Some(Some(span)),
        Err(bounds) => {
            let told = Diagnostic::new("bad-duration", inner.place, format!("`{key}` {bounds}"));
            reader.tell(told);
            None
        }
    }
}

const FROM: DateTime = Date::constant(2024, 1, 1).to_datetime(Time::midnight());

fn is_near(span: Span) -> Result<(), String> {
    let far = Span::new().years(PLUS_YEARS);
    let reached = FROM.checked_add(span).ok();
    let bounds = FROM.checked_sub(far).ok().zip(FROM.checked_add(far).ok());
    let near = reached.zip(bounds).is_some_and(|(at, (first, last))| (first..=last).contains(&at));
    near.then_some(()).ok_or_else(|| format!("reaches no further than {PLUS_YEARS} years"))
}

fn is_step(span: Span) -> Result<(), String> {
    let least = FROM.checked_add(Span::new().minutes(EVERY_LEAST_MINUTES)).ok();
    let most = FROM.checked_add(Span::new().days(EVERY_MOST_DAYS)).ok();
    let reached = FROM.checked_add(span).ok();
    let fits = reached.zip(least.zip(most)).is_some_and(|(at, (least, most))| (least..=most).contains(&at));
    fits.then_some(())
        .ok_or_else(|| format!("is between {EVERY_LEAST_MINUTES} minute and {EVERY_MOST_DAYS} days"))
}

/// How often; a series needs both `every` and `times`.
fn times(reader: &mut Reader<'_>, node: &Node) -> Option<Option<u32>> {
    let (every, times) = (node.get("every"), node.get("times"));
    let (Some(_), Some(inner)) = (every, times) else {
        let lonely =
            every.map(|node| (node, "every", "times")).or(times.map(|node| (node, "times", "every")));
        let Some((node, there, missing)) = lonely else { return Some(None) };
        let message = format!("`{there}` needs `{missing}`");
        let told = Diagnostic::new("missing-key", node.place, message);
        reader.tell(told.hint("a series says how far apart and how often: every: P1D, times: 14"));
        return None;
    };
    let number = reader.integer(inner, "`times`")?;
    let fits = u32::try_from(number).ok().filter(|times| (1..=MAX_TIMES).contains(times));
    if fits.is_none() {
        let message = format!("`times` is 1 to {MAX_TIMES}");
        reader.tell(Diagnostic::new("bad-times", inner.place, message));
    }
    fits.map(Some)
}

fn hours(reader: &mut Reader<'_>, node: &Node) -> Option<(Time, Time)> {
    let text = reader.text(node, "`hours`")?;
    let time = |text: &str| Time::strptime("%H:%M", text.trim()).ok();
    let pair = text.split_once('-').and_then(|(from, to)| Some((time(from)?, time(to)?)));
    let pair = pair.filter(|(from, to)| from != to);
    if pair.is_none() {
        let told = Diagnostic::new("bad-hours", node.place, format!("`{text}` is no part of a day"));
        reader.tell(told.offending(text).hint("hours: \"08:00-18:00\"; the end of the day is 00:00"));
    }
    pair
}

#[cfg(test)]
mod tests {
    use crate::mapping::probe;

    fn codes(keys: &str) -> Vec<String> {
        let text = format!("mapping: m\nfrom: {{ resource: Basic }}\nto: [{{ probe.act: {{ {keys} }} }}]");
        probe::load(&text).err().into_iter().flatten().map(|told| told.code).collect()
    }

    #[test]
    fn what_cannot_be_meant_is_told_at_load() {
        let cases = [
            ("reason: ''", "not-a-text"),
            ("writeBack: true", "key-not-here"),
            ("after: { when: x }", "unknown-key"),
            ("after: { plus: P11Y }", "bad-duration"),
            ("after: { plus: soon }", "bad-duration"),
            ("after: { every: P1D }", "missing-key"),
            ("after: { times: 3 }", "missing-key"),
            ("after: { every: P1D, times: 0 }", "bad-times"),
            ("after: { every: P1D, times: 367 }", "bad-times"),
            ("after: { every: -P1D, times: 3 }", "bad-duration"),
            ("after: { every: PT30S, times: 3 }", "bad-duration"),
            ("after: { every: P2Y, times: 3 }", "bad-duration"),
            ("after: { hours: '8-18' }", "bad-hours"),
            ("after: { hours: '08:00-08:00' }", "bad-hours"),
            ("after: { hours: '08:00-24:00' }", "bad-hours"),
            ("consent: 5", "not-a-condition"),
        ];
        for (keys, code) in cases {
            assert_eq!(codes(keys), [code], "{keys}");
        }
        let fine = "reason: anc, consent: $.resource.ok, \
                    after: { at: $.resource.at, plus: -P1D, every: P1W, times: 366, hours: '20:00-06:00' }";
        assert!(codes(fine).is_empty(), "{:?}", codes(fine));
    }
}
