//! Two evaluations of one change held against each other: which deliveries would be there only with one of two
//! versions of a mapping, and which parts of the others differ.
//!
//! Pure. For `mjumbe diff`, before an edited file is put to use.

use std::collections::BTreeMap;

use serde::Serialize;
use serde_json::{Value, json};

use super::evaluate::Evaluation;
use super::output::Output;

/// A delivery, by what it is recognised by when a mapping is edited.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Identity {
    /// The entry's `id`, or its kind.
    pub id: String,
    pub destination: String,
    pub key: String,
    /// Of an act: why.
    pub reason: Option<String>,
    /// Of an act: which one of a series.
    pub occurrence: Option<u32>,
}

/// What would become of a delivery.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Fate {
    /// Only the new version makes it.
    New,
    /// Only the old version makes it.
    Gone,
    Changed,
}

/// One delivery that differs.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Difference {
    #[serde(flatten)]
    pub delivery: Identity,
    /// The kind of target: `dhis2.report`.
    pub target: String,
    pub fate: Fate,
    pub parts: Vec<Part>,
}

/// One part that differs.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Part {
    /// Its place on the far side; `due` of an act's time, `body` where nothing else differs.
    pub slot: String,
    pub old: Option<Value>,
    pub new: Option<Value>,
}

/// Every delivery that differs, in the order of their names.
pub fn compare(old: &Evaluation, new: &Evaluation) -> Vec<Difference> {
    let (old, new) = (outputs(old), outputs(new));
    let mut differences = Vec::new();
    for (delivery, output) in &old {
        match new.get(delivery) {
            None => differences.push(difference(delivery, Fate::Gone, (Some(output), None))),
            Some(other) => {
                let one = difference(delivery, Fate::Changed, (Some(output), Some(other)));
                differences.extend(Some(one).filter(|one| !one.parts.is_empty()));
            }
        }
    }
    let added = new.iter().filter(|(delivery, _)| !old.contains_key(delivery));
    differences.extend(added.map(|(delivery, output)| difference(delivery, Fate::New, (None, Some(output)))));
    differences.sort_by(|left, right| left.delivery.cmp(&right.delivery));
    differences
}

fn outputs(evaluation: &Evaluation) -> BTreeMap<Identity, &Output> {
    evaluation.outputs.iter().map(|output| (Identity::of(output), output)).collect()
}

impl Identity {
    fn of(output: &Output) -> Self {
        Self {
            id: output.target_id.clone(),
            destination: output.destination.clone(),
            key: output.key.clone(),
            reason: output.act.as_ref().map(|act| act.reason.clone()),
            occurrence: output.act.as_ref().map(|act| act.occurrence),
        }
    }
}

fn difference(delivery: &Identity, fate: Fate, (old, new): (Option<&Output>, Option<&Output>)) -> Difference {
    let (before, after) = (old.map(parts).unwrap_or_default(), new.map(parts).unwrap_or_default());
    let mut changed = Vec::new();
    for (slot, value) in &before {
        let other = after.get(slot);
        if other != Some(value) {
            changed.push(Part { slot: slot.clone(), old: Some(value.clone()), new: other.cloned() });
        }
    }
    let added = after.iter().filter(|(slot, _)| !before.contains_key(*slot));
    changed.extend(added.map(|(slot, value)| Part {
        slot: slot.clone(),
        old: None,
        new: Some(value.clone()),
    }));
    // Most of it is in the parts again.
    let (body, other) = (old.map(|output| &output.body), new.map(|output| &output.body));
    if changed.is_empty() && body != other {
        changed.push(Part { slot: "body".to_owned(), old: body.cloned(), new: other.cloned() });
    }
    let target = new.or(old).map(|output| output.target.clone()).unwrap_or_default();
    Difference { delivery: delivery.clone(), target, fate, parts: changed }
}

/// What a delivery wants, by slot.
fn parts(output: &Output) -> BTreeMap<String, Value> {
    let mut parts: BTreeMap<String, Value> =
        output.parts.iter().map(|part| (part.slot.clone(), part.wanted.clone())).collect();
    for one in &output.contributions {
        let told = json!({ "amount": one.amount, "aggregate": one.aggregate, "distinct": one.distinct });
        parts.insert(one.slot.clone(), told);
    }
    if let Some(due) = output.act.as_ref().and_then(|act| act.not_before_ms) {
        let due = jiff::Timestamp::from_millisecond(due).map(|time| time.to_string());
        parts.insert("due".to_owned(), json!(due.unwrap_or_default()));
    }
    parts
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mapping::probe;

    fn evaluation(entries: &str) -> Evaluation {
        let text = format!("mapping: m\nfrom: {{ resource: Basic }}\nto:\n{entries}");
        probe::run(&text, &json!({"resourceType": "Basic", "n": 4}), &|_| None)
    }

    #[test]
    fn deliveries_are_recognised_by_their_names_and_compared_by_parts() {
        let old =
            evaluation("- probe.state: { id: a, value: $.resource.n }\n- probe.state: { id: b, value: 1 }\n");
        let new = evaluation(
            "- probe.state: { id: c, value: 1 }\n- probe.state: { id: a, value: { path: $.resource.n, times: 2 } }\n",
        );
        let told = compare(&old, &new);
        let fates: Vec<(&str, Fate)> = told.iter().map(|one| (one.delivery.id.as_str(), one.fate)).collect();
        assert_eq!(fates, [("a", Fate::Changed), ("b", Fate::Gone), ("c", Fate::New)]);
        assert_eq!(told[0].parts[0].old, Some(json!({"value": 4})));
        assert_eq!(told[0].parts[0].new, Some(json!({"value": 8})));
        assert_eq!(compare(&old, &old), []);
    }
}
