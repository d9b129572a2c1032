//! The document that expressions see beside the resource itself: the answers of a
//! QuestionnaireResponse, its groups, and the time of the event.

use jiff::tz::TimeZone;
use serde_json::{Map, Value};

use super::steps::moment::Moment;

/// Items nested deeper than this are not read.
const MAX_DEPTH: usize = 32;

/// `$.answers` and `$.groups`.
#[derive(Debug, Clone, PartialEq)]
pub struct Answered {
    pub answers: Value,
    pub groups: Value,
}

/// Reads a QuestionnaireResponse; of anything else both are empty objects.
///
/// <https://hl7.org/fhir/R4/questionnaireresponse.html>
pub fn answered(resource: &Value) -> Answered {
    let mut answers = Collector::default();
    let mut groups = Map::new();
    if let Some(items) = resource.get("item").and_then(Value::as_array) {
        collect(items, &mut answers, &mut groups, 0);
    }
    Answered { answers: answers.finish(), groups: Value::Object(groups) }
}

/// Answers by link id; a link id answered once is a value, more often a list.
#[derive(Default)]
struct Collector {
    by_link: Map<String, Value>,
}

impl Collector {
    fn add(&mut self, link_id: &str, value: Value) {
        match self.by_link.get_mut(link_id) {
            Some(Value::Array(values)) => values.push(value),
            _ => {
                self.by_link.insert(link_id.to_owned(), Value::Array(vec![value]));
            }
        }
    }

    fn finish(self) -> Value {
        let single = |(link_id, value)| match value {
            Value::Array(mut values) if values.len() == 1 => (link_id, values.pop().unwrap_or_default()),
            other => (link_id, other),
        };
        Value::Object(self.by_link.into_iter().map(single).collect())
    }
}

fn collect(items: &[Value], answers: &mut Collector, groups: &mut Map<String, Value>, depth: usize) {
    if depth > MAX_DEPTH {
        return;
    }
    for item in items {
        let link_id = item.get("linkId").and_then(Value::as_str).unwrap_or_default();
        let given = item.get("answer").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
        for answer in given {
            if let Some(value) = typed(answer) {
                answers.add(link_id, value);
            }
            if let Some(below) = answer.get("item").and_then(Value::as_array) {
                collect(below, answers, groups, depth + 1);
            }
        }
        let Some(below) = item.get("item").and_then(Value::as_array) else { continue };
        collect(below, answers, groups, depth + 1);
        if given.is_empty() {
            add_group(link_id, below, groups, depth);
        }
    }
}

fn add_group(link_id: &str, items: &[Value], groups: &mut Map<String, Value>, depth: usize) {
    let mut own = Collector::default();
    collect(items, &mut own, &mut Map::new(), depth + 1);
    if let Value::Array(list) = groups.entry(link_id).or_insert_with(|| Value::Array(Vec::new())) {
        list.push(own.finish());
    }
}

/// The answer as a number, boolean, date or text; of a choice its code; a Reference as it is.
fn typed(answer: &Value) -> Option<Value> {
    let (name, value) = answer.as_object()?.iter().find(|(name, _)| name.starts_with("value"))?;
    match name.as_str() {
        "valueCoding" => value.get("code").or_else(|| value.get("display")).cloned(),
        "valueQuantity" => value.get("value").cloned(),
        _ => Some(value.clone()),
    }
    .filter(|value| !value.is_null())
}

/// Where a resource says when its event was, best first; the only list of them. A period in which something
/// was observed or done counts by its end, when its outcome is known.
const EVENT_TIMES: [&[&str]; 19] = [
    &["authored"],
    &["effectiveDateTime"],
    &["effectiveInstant"],
    &["effectivePeriod", "end"],
    &["effectivePeriod", "start"],
    &["occurrenceDateTime"],
    &["occurrencePeriod", "end"],
    &["occurrencePeriod", "start"],
    &["performedDateTime"],
    &["performedPeriod", "end"],
    &["performedPeriod", "start"],
    &["authoredOn"],
    &["issued"],
    &["period", "start"],
    &["onsetDateTime"],
    &["recordedDate"],
    &["sent"],
    &["date"],
    &["modified_on"],
];

/// The event's own time, in milliseconds since 1970; of a resource that names none `recorded_ms`.
pub fn event_time(resource: &Value, zone: &TimeZone, recorded_ms: i64) -> i64 {
    EVENT_TIMES
        .iter()
        .filter_map(|path| path.iter().try_fold(resource, |value, name| value.get(name)))
        .find_map(|value| Moment::of(value, zone).and_then(|moment| moment.instant(zone)).ok())
        .map_or(recorded_ms, |timestamp| timestamp.as_millisecond())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn answers_are_typed_at_any_depth_and_lists_where_they_repeat() {
        let resource = json!({"item": [
            {"linkId": "fever", "answer": [{"valueInteger": 4, "item": [{"linkId": "below", "answer": [{"valueString": "x"}]}]}]},
            {"linkId": "sex", "answer": [{"valueCoding": {"system": "s", "code": "Female"}}]},
            {"linkId": "ok", "answer": [{"valueBoolean": false}]},
            {"linkId": "weight", "answer": [{"valueQuantity": {"value": 12.50, "unit": "kg"}}]},
            {"linkId": "who", "answer": [{"valueReference": {"reference": "Patient/1"}}]},
            {"linkId": "many", "answer": [{"valueDecimal": 1.5}, {"valueDecimal": 2}]},
            {"linkId": "child", "item": [
                {"linkId": "name", "answer": [{"valueString": "A"}]}, {"linkId": "age", "answer": [{"valueInteger": 3}]}]},
            {"linkId": "child", "item": [{"linkId": "name", "answer": [{"valueString": "B"}]}]},
            {"linkId": "empty", "answer": []}
        ]});
        let Answered { answers, groups } = answered(&resource);
        assert_eq!(
            answers,
            json!({"fever": 4, "below": "x", "sex": "Female", "ok": false, "weight": 12.50,
                "who": {"reference": "Patient/1"}, "many": [1.5, 2], "name": ["A", "B"], "age": 3})
        );
        assert_eq!(groups, json!({"child": [{"name": "A", "age": 3}, {"name": "B"}]}));
    }

    #[test]
    fn the_event_has_its_own_time() {
        let kigali = TimeZone::get("Africa/Kigali").unwrap();
        let at = |resource: Value| event_time(&resource, &kigali, 7);
        assert_eq!(at(json!({"authored": "1970-01-01T02:00:01+02:00", "issued": "2000-01-01"})), 1_000);
        assert_eq!(at(json!({"effectiveDateTime": "1970-01-02"})), 22 * 3_600_000);
        assert_eq!(at(json!({"effectivePeriod": {"start": "1970-01-01T00:00:02Z"}})), 2_000);
        assert_eq!(at(json!({"performedPeriod": {"start": "1970-01-01T00:00:02Z"}})), 2_000);
        assert_eq!(at(json!({"recordedDate": "1970-01-01T00:00:03Z"})), 3_000);
        assert_eq!(at(json!({"birthDate": "1970-01-02"})), 7, "a person is no event");
        assert_eq!(at(json!({"authored": "someday"})), 7);
    }
}
