use std::time::Duration;

use serde_json::json;

use super::*;

fn check_text(resource: Value) -> Vec<String> {
    check(&resource)
        .iter()
        .map(|issue| format!("{} {}", issue.code, issue.expression.first().map_or("", |e| e.as_str())))
        .collect()
}

#[test]
fn a_good_patient_passes() {
    let patient = json!({
        "resourceType": "Patient", "id": "p1",
        "text": {"status": "generated", "div": "<div xmlns=\"http://www.w3.org/1999/xhtml\">x</div>"},
        "contained": [{"resourceType": "Organization", "id": "o", "name": "O"}],
        "extension": [{"url": "http://example.org/w", "valueDecimal": 3.250},
            {"url": "http://example.org/v", "extension": [{"url": "part", "valueCode": "x"}]}],
        "name": [{"family": "A", "given": ["B", null], "_given": [null, {"extension": [{"url": "http://e.org/u", "valueCode": "x"}]}]}],
        "birthDate": "1970-03", "_birthDate": {"id": "x"},
        "deceasedBoolean": false,
        "managingOrganization": {"reference": "#o"}
    });
    assert_eq!(check_text(patient), Vec::<String>::new());
}

#[test]
fn structural_faults_have_code_and_place() {
    let cases = [
        (json!({"resourceType": "Pateint"}), "unknown-type "),
        (json!({"resourceType": "Patient", "nmae": []}), "unknown-element Patient.nmae"),
        (json!({"resourceType": "Patient", "name": []}), "empty-array Patient.name"),
        (json!({"resourceType": "Patient", "name": {"family": "x"}}), "array-expected Patient.name"),
        (json!({"resourceType": "Patient", "birthDate": ["1970"]}), "not-repeatable Patient.birthDate"),
        (json!({"resourceType": "Patient", "birthDate": "1970-13"}), "bad-value Patient.birthDate"),
        (json!({"resourceType": "Patient", "gender": "femal"}), "unknown-code Patient.gender"),
        (json!({"resourceType": "Patient", "active": null}), "null-value Patient.active"),
        (json!({"resourceType": "Patient", "name": [{}]}), "ele-1 Patient.name[0]"),
        (json!({"resourceType": "Patient", "name": ["x"]}), "object-expected Patient.name[0]"),
        (
            json!({"resourceType": "Patient", "deceasedBoolean": true, "deceasedDateTime": "2020"}),
            "several-choices Patient.deceased",
        ),
        (
            json!({"resourceType": "Patient", "link": [{"type": "refer"}]}),
            "required-element Patient.link[0].other",
        ),
        (
            json!({"resourceType": "Patient", "extension": [{"url": "http://e.org/u"}]}),
            "ext-1 Patient.extension[0]",
        ),
        (json!({"resourceType": "Patient", "_name": [{"id": "x"}]}), "unknown-element Patient._name"),
        (json!({"resourceType": "Patient", "_active": {}}), "ele-1 Patient.active"),
        (
            json!({"resourceType": "Patient", "extension": [{"url": "w", "valueCode": "x"}]}),
            "relative-url Patient.extension[0].url",
        ),
        (
            json!({"resourceType": "Patient", "_active": {"extension": [{"url": "http://e.org", "valueCoding": {
                "code": "x", "extension": [{"url": "w", "valueCode": "x"}]}}]}}),
            "relative-url Patient.active.extension[0].valueCoding.extension[0].url",
        ),
        (
            json!({"resourceType": "Patient", "generalPractitioner": [{"reference": "Foo/1"}]}),
            "bad-reference Patient.generalPractitioner[0].reference",
        ),
        (
            json!({"resourceType": "Patient", "managingOrganization": {"reference": "Organization/a_b"}}),
            "bad-reference Patient.managingOrganization.reference",
        ),
        (
            json!({"resourceType": "Patient", "contained": [{"resourceType": "Organization", "id": "o", "name": "O"},
                {"resourceType": "Organization", "id": "o", "name": "P"}], "managingOrganization": {"reference": "#o"}}),
            "contained-id Patient.contained[1]",
        ),
        (
            json!({"resourceType": "RiskAssessment", "status": "final", "subject": {"display": "x"},
                "prediction": [{"probabilityDecimal": 101}]}),
            "ras-2 RiskAssessment.prediction[0]",
        ),
        (
            json!({"resourceType": "Patient", "name": [{"given": ["a", "b"], "_given": [{"id": "1"}]}]}),
            "unequal-arrays Patient.name[0].given",
        ),
        (
            json!({"resourceType": "Patient", "contained": [{"resourceType": "Organization", "id": "o", "name": "O"}]}),
            "dom-3 Patient.contained[0]",
        ),
    ];
    for (resource, expected) in cases {
        assert_eq!(check_text(resource.clone()), [expected], "{resource}");
    }
}

#[test]
fn a_misspelt_element_gets_a_suggestion() {
    let issues = check(&json!({"resourceType": "Patient", "birthdate": "1970"}));
    assert_eq!(issues[0].hint.as_deref(), Some("did you mean birthDate?"));
}

#[test]
fn depth_is_bounded() {
    let mut item = json!({"linkId": "x"});
    for _ in 0..100 {
        item = json!({"linkId": "x", "item": [item]});
    }
    let deep = json!({"resourceType": "QuestionnaireResponse", "status": "completed", "item": [item]});
    assert!(check(&deep).iter().any(|issue| issue.code == "too-deep"));
}

mod random {
    use super::*;
    use proptest::prelude::*;

    fn json_value() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<i32>().prop_map(Value::from),
            "[A-Za-z0-9:/|#._-]{0,12}".prop_map(Value::from),
            "\\PC{0,4}".prop_map(Value::from),
            Just(json!("2024-02-29T10:00:00Z")),
            Just(json!("Patient/1")),
        ];
        let name = prop_oneof![
            Just("name".to_owned()),
            Just("extension".to_owned()),
            Just("contained".to_owned()),
            Just("valueReference".to_owned()),
            Just("reference".to_owned()),
            Just("_birthDate".to_owned()),
            Just("telecom".to_owned()),
            Just("subject".to_owned()),
            Just("text".to_owned()),
            Just("div".to_owned()),
            "[a-z_]{0,6}",
        ];
        leaf.prop_recursive(5, 40, 5, move |inner| {
            prop_oneof![
                proptest::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
                proptest::collection::vec((name.clone(), inner), 0..5)
                    .prop_map(|members| Value::Object(members.into_iter().collect())),
            ]
        })
    }

    proptest! {
        #[test]
        fn nothing_panics_whatever_comes(kind in "Patient|Observation|Bundle|Questionnaire|x", body in json_value()) {
            let mut body = body;
            if let Some(object) = body.as_object_mut() {
                object.insert("resourceType".into(), kind.clone().into());
            }
            let _ = crate::fhir::resource::Resource::parse(body.to_string().as_bytes());
            crate::fhir::index::rows(&kind, &body, &jiff::tz::TimeZone::UTC);
            crate::fhir::subject::subject(&kind, "x", &body);
            crate::fhir::reference::rewrite::conditional(&body);
            let map = [("Patient/1".to_owned(), "Patient/2".to_owned())].into_iter().collect();
            crate::fhir::reference::rewrite::replace(&mut body, &map);
        }
    }
}

#[test]
fn references_name_what_their_element_allows() {
    let observation = |subject: Value| {
        check_text(json!({"resourceType": "Observation", "status": "final", "code": {"text": "x"},
            "contained": [{"resourceType": "Medication", "id": "m"}], "subject": subject,
            "focus": [{"reference": "#m"}]}))
    };
    let wrong = ["wrong-target Observation.subject.reference"];
    for text in [
        "Patient/1",
        "http://x.org/fhir/Location/1",
        "urn:uuid:1",
        "Group?identifier=x",
        "http://example.org/other",
    ] {
        assert_eq!(observation(json!({"reference": text})), Vec::<String>::new(), "{text}");
    }
    for text in ["Medication/1", "http://x.org/fhir/Encounter/1/_history/2", "Encounter?identifier=x", "#m"] {
        assert_eq!(observation(json!({"reference": text})), wrong, "{text}");
    }
    assert_eq!(observation(json!({"reference": "#none"})), ["ref-1 Observation.subject.reference"]);
    assert_eq!(
        observation(json!({"type": "Encounter", "display": "x"})),
        ["wrong-target Observation.subject.type"]
    );
    assert_eq!(observation(json!({"display": "x"})), Vec::<String>::new());
}

#[test]
fn concepts_are_of_their_required_value_set() {
    let condition = |status: Value| {
        check_text(json!({"resourceType": "Condition", "subject": {"reference": "Patient/1"},
            "clinicalStatus": status}))
    };
    let system = "http://terminology.hl7.org/CodeSystem/condition-clinical";
    assert_eq!(condition(json!({"coding": [{"system": system, "code": "active"}]})), Vec::<String>::new());
    let beside =
        json!({"coding": [{"system": "urn:own", "code": "1"}, {"system": system, "code": "active"}]});
    assert_eq!(condition(beside), Vec::<String>::new());
    let wrong = ["unknown-code Condition.clinicalStatus"];
    assert_eq!(condition(json!({"coding": [{"system": system, "code": "activ"}]})), wrong);
    assert_eq!(condition(json!({"coding": [{"code": "active"}]})), wrong);
    assert_eq!(condition(json!({"text": "active"})), wrong);
    let absent = json!({"extension": [{"url": "http://e.org/u", "valueCode": "unknown"}]});
    assert_eq!(condition(absent), Vec::<String>::new());
}

#[test]
fn invariants_hold_where_their_type_occurs() {
    let cases = [
        (json!({"resourceType": "Patient", "contact": [{"gender": "male"}]}), "pat-1 Patient.contact[0]"),
        (json!({"resourceType": "Patient", "telecom": [{"value": "1"}]}), "cpt-2 Patient.telecom[0]"),
        (
            json!({"resourceType": "Patient", "identifier": [{"period": {"start": "2020-02", "end": "2020-01-31"}}]}),
            "per-1 Patient.identifier[0].period",
        ),
        (
            json!({"resourceType": "Organization", "telecom": [{"system": "phone", "value": "1", "use": "home"}], "name": "x"}),
            "org-3 Organization.telecom[0]",
        ),
        (
            json!({"resourceType": "Observation", "status": "final", "code": {"text": "x"}, "referenceRange": [{"type": {"text": "x"}}]}),
            "obs-3 Observation.referenceRange[0]",
        ),
        (
            json!({"resourceType": "Questionnaire", "status": "draft", "item": [
                {"linkId": "a", "type": "group", "text": "g", "item": [{"linkId": "b", "type": "display", "required": true}]}]}),
            "que-6 Questionnaire.item[0].item[0]",
        ),
        (
            json!({"resourceType": "Questionnaire", "status": "draft", "item": [
                {"linkId": "a", "type": "string"}, {"linkId": "a", "type": "string"}]}),
            "que-2 Questionnaire",
        ),
        (
            json!({"resourceType": "Bundle", "type": "collection", "entry": [{"resource": {"resourceType": "Condition",
                "subject": {"reference": "Patient/1"}, "stage": [{"type": {"text": "x"}}]}}]}),
            "con-1 Bundle.entry[0].resource.stage[0]",
        ),
        (
            json!({"resourceType": "RiskAssessment", "status": "final", "subject": {"reference": "Patient/1"},
                "prediction": [{"probabilityRange": {"low": {"value": 1, "code": "x", "system": "http://unitsofmeasure.org"}}}]}),
            "ras-1 RiskAssessment.prediction[0].probabilityRange",
        ),
    ];
    for (resource, expected) in cases {
        assert_eq!(check_text(resource.clone()), [expected], "{resource}");
    }
}

/// An observation with three elements that have rules.
fn ranged() -> Value {
    let range = json!({"low": {"value": 1}});
    json!({"resourceType": "Observation", "status": "final", "code": {"text": "x"}, "referenceRange": [range, range, range]})
}

const HOUR: Duration = Duration::from_secs(3600);

/// What took too long, and where.
fn too_costly(resource: &Value, time: Time) -> Option<(String, String)> {
    let issues = walked(resource, (Wanted::Errors, NOTHING), time).issues;
    assert!(issues.len() <= 1, "{issues:?}");
    let found = issues.into_iter().next()?;
    assert_eq!((found.code, found.kind), (TOO_COSTLY, IssueType::TooCostly));
    let (_, told) = found.text.split_once(": ").unwrap();
    Some((found.expression[0].clone(), told.to_owned()))
}

#[test]
fn rules_have_one_deadline_for_a_resource() {
    assert_eq!(check(&ranged()), []);
    let none = Time { resource: Duration::ZERO, element: HOUR, all: HOUR };
    let told = Some(("Observation".to_owned(), "0 of 3 elements were checked".to_owned()));
    assert_eq!(too_costly(&ranged(), none), told);
}

#[test]
fn each_resource_of_a_bundle_has_its_own_time_and_all_have_a_bound() {
    let entries: Vec<Value> = (0..3).map(|_| json!({"resource": ranged()})).collect();
    let bundle = json!({"resourceType": "Bundle", "type": "collection", "entry": entries});
    assert_eq!(check(&bundle), []);
    let none = Time { resource: Duration::ZERO, element: HOUR, all: HOUR };
    let first = ("Bundle.entry[0].resource".to_owned(), "0 of 3 elements were checked".to_owned());
    assert_eq!(too_costly(&bundle, none), Some(first));
    let bounded = Time { resource: HOUR, element: Duration::ZERO, all: Duration::ZERO };
    let whole = ("Bundle".to_owned(), "0 of 9 elements were checked".to_owned());
    assert_eq!(too_costly(&bundle, bounded), Some(whole));
    assert_eq!(Time::USUAL.together(1_000), MAX_TIME + Duration::from_secs(5));
    assert_eq!(Time::USUAL.together(MAX_ELEMENTS), MAX_TIME_IN_ALL);
}

#[test]
fn warnings_are_advice() {
    let map = json!({"resourceType": "ValueSet", "status": "draft", "name": "not a name"});
    assert_eq!(check(&map), []);
    let advice = advise(&map);
    assert_eq!(advice.len(), 1, "{advice:?}");
    assert_eq!((advice[0].code, advice[0].severity), ("vsd-0", crate::fhir::outcome::Severity::Warning));
}
