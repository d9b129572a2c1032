//! What should happen once: reminders by flow starts, alerts by messages; and whether it did.
//!
//! RapidPro's own record decides. An act that was called off shortly before its time may have happened or
//! not: neither is a fault.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde_json::Value;

use super::tally::{Report, Tally};
use super::truth::Open;

/// Names of the targets in the table.
pub const STARTS: &str = "rapidpro.start";
pub const MESSAGES: &str = "rapidpro.message";

/// Whether an act is wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fate {
    /// It must happen once, not before its time.
    Wanted,
    /// It was called off in time, or never wanted: it must not happen.
    Unwanted,
    /// It was called off too late to be sure.
    Open,
}

/// One act.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Act {
    /// [`STARTS`] or [`MESSAGES`].
    pub target: &'static str,
    /// `Type/id` of what causes it.
    pub source: String,
    /// `tel:…`
    pub urn: String,
    /// The child's number of a reminder, the text of an alert.
    pub what: String,
    pub due: Timestamp,
    pub fate: Fate,
}

/// What RapidPro has a record of: how often, and when first.
type Happened = BTreeMap<(&'static str, String, String), (usize, Option<Timestamp>)>;

/// Compares what should have happened with what RapidPro has a record of.
pub(super) fn compare(report: &mut Report, acts: &[Act], record: &Value, open: &[Open]) {
    let mut happened = read(record);
    let now = Timestamp::now();
    let mut tallies: BTreeMap<&'static str, Tally> = BTreeMap::new();
    for act in acts {
        let key = (act.target, act.urn.clone(), act.what.clone());
        let (count, first) = happened.remove(&key).unwrap_or((0, None));
        let own = open.iter().find(|one| one.target == act.target && one.source == act.source);
        let tally = tallies.entry(act.target).or_default();
        let early = first.is_some_and(|first| first < act.due);
        if let Some(fault) = judge(tally, act, (count, early, now), own) {
            report.fault(fault);
        }
    }
    for ((target, urn, what), (count, _)) in happened {
        tallies.entry(target).or_default().twice += count;
        report.fault(format!("{target} to {urn} happened, although nobody asked for it: {what}"));
    }
    for (target, tally) in tallies {
        report.keep(target, tally);
    }
}

/// Counts one act; says what is wrong with it.
fn judge(
    tally: &mut Tally,
    act: &Act,
    (count, early, now): (usize, bool, Timestamp),
    own: Option<&Open>,
) -> Option<String> {
    let named = || format!("{} to {} because of {}", act.target, act.urn, act.source);
    if act.fate != Fate::Wanted {
        tally.cancelled += usize::from(count == 0);
        tally.done += usize::from(count > 0 && act.fate == Fate::Open);
        let wrong = count > 1 || (count == 1 && act.fate == Fate::Unwanted);
        tally.twice += usize::from(wrong);
        // What is called off is off: its time must have passed before the table is true.
        tally.waiting += usize::from(count == 0 && now < act.due);
        return wrong.then(|| format!("{} happened {count} times, although it was called off", named()));
    }
    tally.wanted += 1;
    match (count, own) {
        (1, _) if early => {
            tally.twice += 1;
            Some(format!("{} happened before its time", named()))
        }
        (1, _) => {
            tally.done += 1;
            None
        }
        (0, Some(open)) if open.dead && open.code == "unknown" => {
            tally.unknown += 1;
            Some(format!("{} may have happened or not", named()))
        }
        (0, Some(open)) if open.dead => {
            tally.lost += 1;
            Some(format!("{} was given up: {}", named(), open.reason))
        }
        (0, Some(_)) => {
            tally.waiting += 1;
            None
        }
        (0, None) => {
            tally.lost += 1;
            Some(format!("{} did not happen", named()))
        }
        (count, _) => {
            tally.twice += 1;
            Some(format!("{} happened {count} times", named()))
        }
    }
}

fn read(record: &Value) -> Happened {
    let mut happened = Happened::new();
    let rows = |kind: &str| record[kind].as_array().cloned().unwrap_or_default();
    let text = |row: &Value, key: &str| row[key].as_str().unwrap_or("").to_owned();
    let mut add = |target, urn: String, what: String, row: &Value| {
        let count = row["count"].as_u64().and_then(|count| usize::try_from(count).ok()).unwrap_or(1);
        let first = row["first"].as_str().and_then(|first| first.parse().ok());
        let entry = happened.entry((target, urn, what)).or_insert((0, first));
        entry.0 += count;
        entry.1 = entry.1.min(first);
    };
    for row in rows("starts") {
        let child = row["params"]["child"].as_str().unwrap_or("").to_owned();
        add(STARTS, text(&row, "urn"), child, &row);
    }
    // What a flow says is part of its start.
    for row in rows("messages").iter().filter(|row| row["by"] != "flow") {
        add(MESSAGES, text(row, "urn"), text(row, "text"), row);
    }
    happened
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn report(count: u64, fate: Fate, open: &[Open]) -> Report {
        let act = Act {
            target: MESSAGES,
            source: "QuestionnaireResponse/1".to_owned(),
            urn: "tel:1".to_owned(),
            what: "x".to_owned(),
            due: Timestamp::UNIX_EPOCH,
            fate,
        };
        let row = json!({ "urn": "tel:1", "text": "x", "by": "message", "count": count,
            "first": "2026-01-01T00:00:00Z" });
        let rows = if count == 0 { json!([]) } else { json!([row]) };
        let mut report = Report::default();
        compare(&mut report, &[act], &json!({ "starts": [], "messages": rows }), open);
        report
    }

    #[test]
    fn every_act_is_counted_once_and_in_one_place() {
        let open = |code: &str, dead| {
            vec![Open {
                place: "act|1".to_owned(),
                target: MESSAGES.to_owned(),
                source: "QuestionnaireResponse/1".to_owned(),
                code: code.to_owned(),
                dead,
                reason: String::new(),
            }]
        };
        let of = |report: &Report| report.targets[MESSAGES].clone();
        assert_eq!(of(&report(1, Fate::Wanted, &[])), Tally { wanted: 1, done: 1, ..Tally::default() });
        assert_eq!(of(&report(0, Fate::Wanted, &[])), Tally { wanted: 1, lost: 1, ..Tally::default() });
        assert_eq!(of(&report(2, Fate::Wanted, &[])), Tally { wanted: 1, twice: 1, ..Tally::default() });
        assert_eq!(of(&report(0, Fate::Wanted, &open("", false))).waiting, 1);
        assert_eq!(of(&report(0, Fate::Wanted, &open("unknown", true))).unknown, 1);
        assert_eq!(of(&report(0, Fate::Unwanted, &[])).cancelled, 1);
        assert_eq!(of(&report(1, Fate::Unwanted, &[])).twice, 1);
        assert_eq!(of(&report(1, Fate::Open, &[])).twice, 0);
        assert_eq!(report(1, Fate::Unwanted, &[]).twice, 1);
    }
}
