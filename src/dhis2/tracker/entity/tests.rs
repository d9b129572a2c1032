use jiff::tz::TimeZone;

use super::*;
use crate::dhis2::tracker::event::Event;
use crate::mapping::target::Context;

fn build_of(target: &dyn Target, source: &str, fields: Value) -> Result<(Output, Vec<Issue>), Vec<Issue>> {
    let zone = TimeZone::get("Africa/Kigali").unwrap();
    let context = Context {
        tenant: "default",
        zone: &zone,
        mapping: "m",
        source,
        authored_ms: "2026-10-01T22:30:00Z".parse::<jiff::Timestamp>().unwrap().as_millisecond(),
        place: "m.yaml:1:1",
        country: None,
    };
    let entry = Evaluated {
        target_id: target.kind(),
        destination: "national",
        key: "",
        withdraw: target.withdraw(),
        needs: &[],
        fields: &fields,
        faulty: false,
        context: &context,
    };
    target.build(&entry)
}

fn built(source: &str, fields: Value) -> Output {
    let (output, issues) = build_of(&Tracker, source, fields).unwrap();
    assert!(issues.is_empty(), "{issues:?}");
    output
}

fn slots(output: &Output) -> Vec<&str> {
    output.parts.iter().map(|part| part.slot.as_str()).collect()
}

fn child() -> Value {
    json!({
        "type": "Q9GufDoplCL", "orgUnit": "O6uvpzGd5pu",
        "find": [{ "attribute": "dIVt4l5vIOa", "value": "Amina" },
                 { "attribute": "MjTeaUnique", "value": "C-1", "weight": 10 }],
        "attributes": [{ "attribute": "dIVt4l5vIOa", "value": "Amina" },
                       { "attribute": "MjTeaSexAtt", "value": null }],
        "enrollments": [{ "program": "f1AyMswryyQ", "enrolledAt": "2026-09-01T23:00:00Z", "events": [
            { "programStage": "PaOOjwLVW23", "key": "1", "dataValues":
                [{ "dataElement": "ZrqtjjveTFc", "value": "x" }] },
            { "programStage": "PaOOjwLVW23", "key": 2, "occurredAt": "2026-10-01", "dataValues": [] }
        ] }]
    })
}

#[test]
fn a_patient_has_a_part_for_each_object() {
    let output = built("Patient/1", child());
    assert_eq!(
        slots(&output),
        [
            "te|Patient/1|m",
            "en|Patient/1|f1AyMswryyQ||m",
            "ev|Patient/1|f1AyMswryyQ||PaOOjwLVW23|1",
            "ev|Patient/1|f1AyMswryyQ||PaOOjwLVW23|2"
        ]
    );
    assert_eq!(output.link.as_deref(), Some("Patient/1"));
    assert_eq!(output.body["find"][0]["attribute"], "MjTeaUnique");
    // 23:00 UTC is 01:00 of the next day in Kigali; the event has the source's own day.
    assert_eq!(output.parts[1].wanted["enrolledAt"], "2026-09-02T01:00:00");
    assert_eq!(output.parts[2].wanted["occurredAt"], "2026-10-02");
    assert_eq!(output.parts[0].wanted["attributes"], json!({ "dIVt4l5vIOa": "Amina" }));
    let shown = &Tracker.preview(&output)["trackedEntities"][0];
    assert!(
        shown["attributes"]
            .as_array()
            .unwrap()
            .contains(&json!({ "attribute": "MjTeaUnique", "value": "C-1" }))
    );
    assert_eq!(shown["enrollments"][0]["events"][1]["occurredAt"], "2026-10-01");
}

#[test]
fn sources_that_find_the_same_person_share_a_lane() {
    let patient = built("Patient/1", child());
    let report = built("QuestionnaireResponse/7", child());
    assert_eq!(patient.lane, report.lane);
    assert!(report.lane.starts_with("find:") && !report.lane.contains("C-1"));
    assert_eq!(report.link, None);
    assert_eq!(slots(&report)[0], format!("te|{}|m", report.lane));
    let mut other = child();
    other["find"][1]["value"] = json!("c-1");
    assert_eq!(built("QuestionnaireResponse/8", other.clone()).lane, report.lane);
    // What only waits for her must not hold up what makes her.
    other["create"] = json!(false);
    assert_ne!(built("QuestionnaireResponse/9", other).lane, report.lane);
}

#[test]
fn a_dose_goes_to_the_tracked_entity_of_its_patient() {
    let output = built(
        "Immunization/9",
        json!({
            "trackedEntity": { "$link": { "resource": "Patient/1" } }, "orgUnit": "O6uvpzGd5pu",
            "enrollments": [{ "program": "f1AyMswryyQ", "events":
                [{ "programStage": "PaOOjwLVW23", "key": "2", "dataValues": [] }] }],
            "relationships": [{ "relationshipType": "TV9oB9LT3sh", "to": { "$link": { "resource": "Patient/2" } } }]
        }),
    );
    assert_eq!(
        slots(&output),
        ["ev|Patient/1|f1AyMswryyQ||PaOOjwLVW23|2", "rel|Patient/1|TV9oB9LT3sh|Patient/2"]
    );
    assert_eq!((output.lane.as_str(), output.link), ("Patient/1", None));
}

#[test]
fn what_is_missing_is_told_and_the_rest_goes() {
    let codes = |result: Result<(Output, Vec<Issue>), Vec<Issue>>| -> Vec<String> {
        let issues = result.map_or_else(|issues| issues, |(_, issues)| issues);
        issues.into_iter().map(|issue| issue.code).collect()
    };
    let mut fields = child();
    fields["enrollments"][0]["events"][0]["key"] = Value::Null;
    fields["enrollments"][0]["events"][1]["occurredAt"] = json!("2026-10");
    fields["enrollments"][0]["status"] = json!("active");
    let (output, issues) = build_of(&Tracker, "Patient/1", fields).unwrap();
    assert_eq!(slots(&output).len(), 2);
    assert_eq!(output.parts[1].wanted["status"], "ACTIVE");
    let found: Vec<&str> = issues.iter().map(|issue| issue.code.as_str()).collect();
    assert_eq!(found, ["dhis2-key-absent", "dhis2-date-unreadable"]);
    let nameless = json!({ "type": "Q9GufDoplCL", "orgUnit": "O6uvpzGd5pu",
        "find": [{ "attribute": "MjTeaUnique", "value": null }] });
    assert_eq!(codes(build_of(&Tracker, "Observation/1", nameless)), ["dhis2-entity-unnamed"]);
    let empty = json!({ "trackedEntity": "MjTe0000001" });
    assert_eq!(codes(build_of(&Tracker, "Observation/1", empty)), ["dhis2-nothing-wanted"]);
    let none = json!({ "program": "Zd2rkv8FsWq", "orgUnit": null, "dataValues": [] });
    assert_eq!(codes(build_of(&Event, "Observation/1", none)), ["dhis2-org-unit-absent"]);
}

#[test]
fn an_event_names_its_delivery_and_shows_what_dhis2_is_sent() {
    let fields = json!({ "program": "Zd2rkv8FsWq", "orgUnit": "O6uvpzGd5pu", "status": "completed",
        "dataValues": [{ "dataElement": "BuZ5LGNfGEU", "value": 3 }] });
    let (output, _) = build_of(&Event, "QuestionnaireResponse/7", fields.clone()).unwrap();
    let (other, _) = build_of(&Event, "QuestionnaireResponse/8", fields).unwrap();
    assert_ne!(output.parts[0].slot, other.parts[0].slot);
    assert_eq!(
        Event.preview(&output),
        json!({ "events": [{ "program": "Zd2rkv8FsWq", "orgUnit": "O6uvpzGd5pu", "status": "COMPLETED",
            "occurredAt": "2026-10-02", "dataValues": [{ "dataElement": "BuZ5LGNfGEU", "value": "3" }] }] })
    );
}

#[test]
fn constants_are_checked_and_named() {
    let literals = json!({ "type": "Q9GufDoplCL", "find": [{ "attribute": "no uid" }],
        "enrollments": [{ "program": "f1AyMswryyQ", "status": "open", "events":
            [{ "programStage": "PaOOjwLVW23", "dataValues":
                [{ "dataElement": "ZrqtjjveTFc", "value": "x" }] }] }] });
    let told: Vec<String> = Tracker.check(&literals).into_iter().map(|one| one.field).collect();
    assert_eq!(told, ["find[0].attribute", "enrollments[0].status"]);
    let names = Tracker.names(&literals);
    let element = names.iter().find(|named| named.kind == "dataElement").unwrap();
    assert_eq!(element.field, "enrollments[0].events[0].dataValues[0].dataElement");
    assert_eq!(element.within[0], ("programStage", "PaOOjwLVW23".to_owned()));
    assert_eq!(element.value.as_ref().unwrap().1, "x");
}
