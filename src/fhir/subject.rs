//! Whom a resource is about, and when what it tells of happened.
//!
//! The subject decides the partition: changes of one subject are mapped in order. The event time decides
//! periods and which of two values is the later one. **Never** the time of processing.

use jiff::Timestamp;
use jiff::tz::TimeZone;
use serde_json::Value;

use crate::fhir::dates;
use crate::fhir::reference::{self, Literal};

/// Elements that name whom a resource is about, the better ones first.
const SUBJECTS: [&str; 7] =
    ["subject", "patient", "for", "beneficiary", "individual", "source", "practitioner"];

/// Elements that say when something happened, the better ones first. A Period or Timing counts by its end,
/// because that is when its outcome is known.
const TIMES: [&str; 24] = [
    "authored",
    "effectiveDateTime",
    "effectivePeriod",
    "effectiveInstant",
    "effectiveTiming",
    "occurrenceDateTime",
    "occurrencePeriod",
    "occurredDateTime",
    "occurredPeriod",
    "performedDateTime",
    "performedPeriod",
    "sent",
    "received",
    "period",
    "onsetDateTime",
    "recordedDate",
    "recorded",
    "authoredOn",
    "issued",
    "date",
    "dateTime",
    "created",
    "birthDate",
    "start",
];

/// The partition subject: the literal reference `Type/id`, else the resource itself.
pub fn subject(kind: &str, id: &str, resource: &Value) -> String {
    // A person's own record is its own subject, whatever it links to.
    let own = matches!(
        kind,
        "Patient" | "Practitioner" | "Person" | "RelatedPerson" | "Group" | "Organization" | "Location"
    );
    let named = |name: &str| resource.get(name)?.get("reference")?.as_str();
    let found = SUBJECTS.iter().filter(|_| !own).find_map(|name| match named(name).map(reference::parse) {
        Some(Literal::Relative { kind, id, .. }) => Some(format!("{kind}/{id}")),
        Some(Literal::Absolute { unversioned, .. }) => Some(unversioned.to_owned()),
        _ => None,
    });
    found.unwrap_or_else(|| format!("{kind}/{id}"))
}

/// When what a resource tells of happened; dates without a zone are in `zone`, the tenant's. `None` where it
/// does not say.
pub fn event_time(resource: &Value, zone: &TimeZone) -> Option<Timestamp> {
    TIMES.iter().filter_map(|name| resource.get(*name)).find_map(|value| time_of(value, zone))
}

fn time_of(value: &Value, zone: &TimeZone) -> Option<Timestamp> {
    if let Some(text) = value.as_str() {
        return dates::timestamp(text, zone);
    }
    let text = |name: &str| value.get(name).and_then(Value::as_str);
    let last_event =
        value.get("event").and_then(Value::as_array).and_then(|events| events.last()).and_then(Value::as_str);
    text("end").or_else(|| text("start")).or(last_event).and_then(|text| dates::timestamp(text, zone))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn the_subject_is_the_one_it_is_about() {
        let observation = json!({"subject": {"reference": "Patient/1/_history/2"}});
        assert_eq!(subject("Observation", "o", &observation), "Patient/1");
        let response = json!({"source": {"reference": "Practitioner/7", "identifier": {"value": "x"}}});
        assert_eq!(subject("QuestionnaireResponse", "q", &response), "Practitioner/7");
        assert_eq!(subject("Task", "t", &json!({"for": {"reference": "Patient/1"}})), "Patient/1");
        assert_eq!(subject("Patient", "p", &json!({"source": {"reference": "Patient/2"}})), "Patient/p");
        assert_eq!(
            subject("Observation", "o", &json!({"subject": {"identifier": {"value": "x"}}})),
            "Observation/o"
        );
    }

    #[test]
    fn the_event_time_is_the_events_own() {
        let zone = TimeZone::get("Africa/Nairobi").unwrap();
        let time = |resource: Value| event_time(&resource, &zone).map(|time| time.to_string());
        assert_eq!(
            time(json!({"authored": "2024-02-29T10:00:00Z", "issued": "2020"})).as_deref(),
            Some("2024-02-29T10:00:00Z")
        );
        assert_eq!(
            time(json!({"effectivePeriod": {"start": "2024-01-01", "end": "2024-02-01"}})).as_deref(),
            Some("2024-01-31T21:00:00Z")
        );
        assert_eq!(time(json!({"status": "final"})), None);
    }
}
