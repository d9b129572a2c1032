use serde_json::json;

use super::*;
use crate::dhis2::metadata::document;

/// A tracker program with a repeatable stage and one that is not, and an event program.
pub(in crate::dhis2) fn metadata() -> Metadata {
    let documents = [
        ("dhis2.system", "system", json!({ "version": "2.43.1", "calendar": "iso8601" })),
        ("dhis2.organisationUnit", "O6uvpzGd5pu", json!({ "name": "Bo" })),
        ("dhis2.organisationUnit", "YuQRtpLP10I", json!({ "name": "Badjia" })),
        ("dhis2.optionSet", "OptSexSet01", json!({ "options": [{ "code": "F" }, { "code": "M" }] })),
        (
            "dhis2.trackedEntityType",
            "Q9GufDoplCL",
            json!({ "name": "Person", "trackedEntityTypeAttributes": [
                { "mandatory": false, "trackedEntityAttribute":
                    { "id": "dIVt4l5vIOa", "name": "First name", "valueType": "TEXT" } },
                { "mandatory": false, "trackedEntityAttribute":
                    { "id": "MjTeaUnique", "name": "Card", "valueType": "TEXT", "unique": true } },
                { "mandatory": false, "trackedEntityAttribute": { "id": "MjTeaSexAtt", "name": "Sex",
                    "valueType": "TEXT", "optionSet": { "id": "OptSexSet01" } } }
            ] }),
        ),
        (
            "dhis2.program",
            "f1AyMswryyQ",
            json!({ "name": "Immunization", "programType": "WITH_REGISTRATION", "displayIncidentDate": true,
                "trackedEntityType": { "id": "Q9GufDoplCL" }, "organisationUnits": [{ "id": "O6uvpzGd5pu" }],
                "programTrackedEntityAttributes": [{ "trackedEntityAttribute":
                    { "id": "MjTeaUnique", "name": "Card", "valueType": "TEXT", "unique": true } }],
                "programStages": [
                    { "id": "nlXNK4b7LVr", "name": "Birth", "repeatable": false, "programStageDataElements":
                        [{ "dataElement": { "id": "BuZ5LGNfGEU", "name": "Weight", "valueType": "NUMBER" } }] },
                    { "id": "PaOOjwLVW23", "name": "Dose", "repeatable": true, "programStageDataElements":
                        [{ "dataElement": { "id": "ZrqtjjveTFc", "name": "Note", "valueType": "TEXT" } }] }
                ] }),
        ),
        (
            "dhis2.program",
            "Zd2rkv8FsWq",
            json!({ "name": "Case", "programType": "WITHOUT_REGISTRATION",
                "organisationUnits": [{ "id": "O6uvpzGd5pu" }], "programStages": [{ "id": "jKLB23QZS4I",
                "name": "Case", "programStageDataElements":
                    [{ "dataElement": { "id": "BuZ5LGNfGEU", "name": "Weight", "valueType": "NUMBER" } }] }] }),
        ),
    ];
    document::snapshot(documents.iter().map(|(kind, uid, body)| (*kind, *uid, body)))
}

fn judged(slot: &str, wanted: Value) -> Result<Checked, String> {
    let part = OutgoingPart { slot: slot.to_owned(), wanted: Some(wanted), ..OutgoingPart::default() };
    check(&part, &metadata(), "2026-10-02".parse().unwrap()).map_err(|reason| reason.code)
}

fn code(slot: &str, wanted: Value) -> String {
    judged(slot, wanted).map_or_else(|code| code, |_| "fine".to_owned())
}

#[test]
fn values_are_checked_by_type_and_option_code() {
    let event = |element: &str, value: &str| {
        let wanted = json!({ "orgUnit": "O6uvpzGd5pu", "dataValues": { element: value } });
        code("event|Zd2rkv8FsWq||x", wanted)
    };
    assert_eq!(event("BuZ5LGNfGEU", "3.50"), "fine");
    assert_eq!(event("BuZ5LGNfGEU", "three"), "dhis2-value-type");
    assert_eq!(event("ZrqtjjveTFc", "x"), "dhis2-element-not-in-stage");
    let entity = |value: &str| {
        let attributes = json!({ "MjTeaSexAtt": value });
        code(
            "te|Patient/1|m",
            json!({ "type": "Q9GufDoplCL", "orgUnit": "O6uvpzGd5pu", "attributes": attributes }),
        )
    };
    assert_eq!((entity("F"), entity("female")), ("fine".to_owned(), "dhis2-value-option".to_owned()));
}

#[test]
fn the_only_stage_of_an_event_program_need_not_be_named() {
    let checked = judged(
        "event|Zd2rkv8FsWq||x",
        json!({ "orgUnit": "O6uvpzGd5pu", "dataValues": { "BuZ5LGNfGEU": "3.50" } }),
    )
    .unwrap();
    assert_eq!(checked.stage, "jKLB23QZS4I");
    assert_eq!(checked.values["BuZ5LGNfGEU"], "3.5");
}

#[test]
fn what_dhis2_would_refuse_does_not_leave() {
    let unit = json!({ "orgUnit": "O6uvpzGd5pu", "dataValues": {} });
    assert_eq!(code("ev|Patient/1|f1AyMswryyQ||PaOOjwLVW23|", unit.clone()), "dhis2-event-key-absent");
    assert_eq!(code("ev|Patient/1|f1AyMswryyQ||PaOOjwLVW23|1", unit.clone()), "fine");
    assert_eq!(code("ev|Patient/1|f1AyMswryyQ||nlXNK4b7LVr|", unit.clone()), "fine");
    assert_eq!(code("ev|Patient/1|f1AyMswryyQ||nosuchStage|", unit.clone()), "dhis2-stage-not-in-program");
    assert_eq!(
        code("ev|Patient/1|Zd2rkv8FsWq||jKLB23QZS4I|", unit.clone()),
        "dhis2-program-without-registration"
    );
    assert_eq!(code("event|f1AyMswryyQ|nlXNK4b7LVr|x", unit.clone()), "dhis2-program-with-registration");
    assert_eq!(code("event|nosuchProgr|nlXNK4b7LVr|x", unit), "dhis2-program-unknown");
    let elsewhere = json!({ "orgUnit": "YuQRtpLP10I", "dataValues": {} });
    assert_eq!(code("event|Zd2rkv8FsWq||x", elsewhere), "dhis2-unit-not-in-program");
    let planned =
        json!({ "orgUnit": "O6uvpzGd5pu", "status": "SCHEDULE", "dataValues": { "ZrqtjjveTFc": "x" } });
    assert_eq!(code("ev|Patient/1|f1AyMswryyQ||PaOOjwLVW23|1", planned), "dhis2-status-without-values");
    let later = json!({ "orgUnit": "O6uvpzGd5pu", "enrolledAt": "2026-10-03", "attributes": {} });
    assert_eq!(code("en|Patient/1|f1AyMswryyQ||m", later), "dhis2-date-in-future");
    let stray = json!({ "orgUnit": "O6uvpzGd5pu", "enrolledAt": "2026-10-01",
        "attributes": { "dIVt4l5vIOa": "Amina" } });
    assert_eq!(code("en|Patient/1|f1AyMswryyQ||m", stray), "dhis2-attribute-not-in-program");
}
