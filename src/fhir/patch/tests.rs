use super::*;
use crate::fhir::structure::tolerated::NOTHING;
use serde_json::json;

fn patient() -> Value {
    json!({
        "resourceType": "Patient", "id": "1", "meta": { "versionId": "3", "lastUpdated": "2026-11-21T06:15:00.123Z" },
        "active": true, "name": [{ "family": "Uwase", "given": ["A"] }],
        "extension": [{ "url": "http://e.org/w", "valueDecimal": serde_json::from_str::<Value>("1.10").unwrap() }]
    })
}

fn apply(operations: Value) -> Result<Value, (u16, &'static str, Vec<String>)> {
    let patch = Patch::json(operations.to_string().as_bytes()).map_err(|outcome| brief(&outcome))?;
    patch
        .apply(&patient(), Deadline::begin(), NOTHING)
        .map(Resource::into_body)
        .map_err(|outcome| brief(&outcome))
}

fn brief(outcome: &Outcome) -> (u16, &'static str, Vec<String>) {
    (outcome.status, outcome.issues[0].code, outcome.issues[0].expression.clone())
}

#[test]
fn every_operation_does_what_rfc_6902_says() {
    let next = apply(json!([
        { "op": "test", "path": "/name/0/family", "value": "Uwase" },
        { "op": "test", "path": "/meta/versionId", "value": "3" },
        { "op": "replace", "path": "/name/0/family", "value": "Mukamana" },
        { "op": "add", "path": "/name/0/given/-", "value": "B" },
        { "op": "add", "path": "/name/0/given/0", "value": "C" },
        { "op": "copy", "from": "/name/0", "path": "/name/-" },
        { "op": "move", "from": "/name/1/family", "path": "/name/1/text" },
        { "op": "remove", "path": "/active" }
    ]))
    .unwrap();
    assert_eq!(
        next["name"],
        json!([
            { "family": "Mukamana", "given": ["C", "A", "B"] },
            { "given": ["C", "A", "B"], "text": "Mukamana" }
        ])
    );
    assert!(next.get("active").is_none());
    assert_eq!(next["extension"][0]["valueDecimal"].to_string(), "1.10", "digits stay");
}

#[test]
fn digits_of_what_is_added_stay() {
    let text = br#"[{"op":"replace","path":"/extension/0/valueDecimal","value":2.500}]"#;
    let next = Patch::json(text).unwrap().apply(&patient(), Deadline::begin(), NOTHING).unwrap();
    assert_eq!(next.body()["extension"][0]["valueDecimal"].to_string(), "2.500");
}

#[test]
fn what_is_malformed_is_400() {
    for wrong in [
        json!({}),
        json!([{}]),
        json!([{ "op": "spin", "path": "/active" }]),
        json!([{ "op": "add", "path": "/active" }]),
        json!([{ "op": "add", "path": "active", "value": true }]),
        json!([{ "op": "move", "path": "/active" }]),
        json!([7]),
    ] {
        assert_eq!(apply(wrong.clone()).unwrap_err().0, 400, "{wrong}");
    }
    assert_eq!(brief(&Patch::json(b"[").unwrap_err()).1, "not-json");
}

#[test]
fn what_does_not_fit_is_422_with_its_place() {
    let one = |operation: Value| apply(json!([operation])).unwrap_err();
    let test = one(json!({ "op": "test", "path": "/name/0/family", "value": "X" }));
    assert_eq!(test, (422, "patch-test-failed", vec!["Patient.name[0].family".to_owned()]));
    let path = one(json!({ "op": "replace", "path": "/name/7/family", "value": "X" }));
    assert_eq!(path, (422, "patch-path", vec!["Patient.name[7].family".to_owned()]));
    assert_eq!(one(json!({ "op": "remove", "path": "" })).0, 422);
    assert_eq!(one(json!({ "op": "move", "from": "/nothing", "path": "/active" })).2, ["Patient.nothing"]);
    assert_eq!(one(json!({ "op": "move", "from": "/name", "path": "/name/0" })).0, 422);
    assert_eq!(one(json!({ "op": "add", "path": "/brithDate", "value": "2020" })).2, ["Patient.brithDate"]);
    assert_eq!(one(json!({ "op": "add", "path": "", "value": 1 })).1, "patch-identity");
    assert_eq!(one(json!({ "op": "replace", "path": "/id", "value": "2" })).1, "patch-identity");
    assert_eq!(
        one(json!({ "op": "replace", "path": "/resourceType", "value": "Person" })).1,
        "patch-identity"
    );
}

#[test]
fn a_list_that_was_emptied_goes() {
    let next = apply(json!([{ "op": "remove", "path": "/name/0/given/0" }])).unwrap();
    assert_eq!(next["name"], json!([{ "family": "Uwase" }]));
    let next = apply(json!([
        { "op": "remove", "path": "/name/0/given/0" },
        { "op": "remove", "path": "/name/0/family" }
    ]));
    assert!(next.unwrap().get("name").is_none());
}

#[test]
fn copies_cannot_explode() {
    let double = json!({ "op": "copy", "from": "/name", "path": "/name/0/x" });
    let operations: Vec<Value> = std::iter::repeat_n(double, 150).collect();
    assert_eq!(apply(Value::Array(operations)).unwrap_err().1, "patch-too-large");
    let wide: Vec<Value> = (0..40)
        .flat_map(|n| {
            [
                json!({ "op": "copy", "from": "/name", "path": "/x" }),
                json!({ "op": "add", "path": "/name/-", "value": n }),
                json!({ "op": "move", "from": "/x", "path": "/name/0" }),
            ]
        })
        .collect();
    assert_eq!(apply(Value::Array(wide)).unwrap_err().1, "patch-too-large");
}

#[test]
fn conditional_references_in_values_are_found() {
    let patch = Patch::json(
        br#"[{"op":"add","path":"/subject","value":{"reference":"Patient?identifier=a|b"}},
             {"op":"replace","path":"/encounter/reference","value":"Encounter?identifier=x"},
             {"op":"add","path":"/note","value":[{"text":"Patient?identifier=no"}]}]"#,
    );
    let found = patch.unwrap().conditional();
    assert_eq!(found.keys().collect::<Vec<_>>(), ["Encounter?identifier=x", "Patient?identifier=a|b"]);
}

#[test]
fn a_binary_carries_a_patch() {
    let binary = |media: &str, data: &str| {
        let body = json!({ "resourceType": "Binary", "contentType": media, "data": data });
        Patch::of_resource(&Resource::from_value(body).unwrap(), &mut Reader::default())
    };
    let data = STANDARD.encode(br#"[{"op":"remove","path":"/active"}]"#);
    assert!(binary(JSON_PATCH, &data).is_ok());
    assert_eq!(brief(&binary("text/plain", &data).unwrap_err()).2, ["Binary.contentType"]);
    assert_eq!(brief(&binary(JSON_PATCH, "e30=").unwrap_err()).2, ["Binary.data"]);
}

#[test]
fn what_takes_too_long_is_refused_between_operations() {
    let identifiers = vec![json!({ "value": "1" }); 100_000];
    let patient = json!({ "resourceType": "Patient", "identifier": identifiers });
    let first = json!({ "op": "add", "path": "/identifier/0", "value": { "value": "2" } });
    let operations = Value::Array(vec![first; MAX_OPERATIONS]);
    let json = Patch::json(operations.to_string().as_bytes()).unwrap();
    let paths = Patch::of_value(
        &json!({ "resourceType": "Parameters", "parameter": [{ "name": "operation", "part": [
        { "name": "type", "valueCode": "delete" }, { "name": "path", "valueString": "Patient.active" }
    ] }] }),
    );
    for (patch, time) in [(json, 100), (paths.unwrap(), 0)] {
        let begun = Instant::now();
        let refused =
            patch.apply(&patient, Deadline(begun + Duration::from_millis(time)), NOTHING).unwrap_err();
        assert_eq!((refused.status, refused.issues[0].kind), (422, IssueType::TooCostly));
        assert!(begun.elapsed() < Duration::from_secs(10), "{:?}", begun.elapsed());
    }
}

#[test]
fn a_path_is_compiled_once_for_all_patches_of_a_request() {
    let path = json!({ "name": "path", "valueString": "Patient.active" });
    let delete = json!({ "name": "operation", "part": [{ "name": "type", "valueCode": "delete" }, path] });
    let patch = json!({ "resourceType": "Parameters", "parameter": vec![delete; 1_000] });
    let patch = Resource::from_value(patch).unwrap();
    let mut reader = Reader::default();
    for _ in 0..10 {
        Patch::of_resource(&patch, &mut reader).unwrap();
    }
    assert_eq!(reader.paths.len(), 1);
    let refused = Patch::of_resource(&patch, &mut reader).unwrap_err();
    assert_eq!((refused.status, refused.issues[0].kind), (422, IssueType::TooCostly));
}

#[test]
fn the_plans_of_a_request_share_its_time() {
    let allowance = Allowance::default();
    assert!(allowance.begin(1).check().is_ok());
    allowance.spend(1, Duration::from_millis(600));
    assert!(allowance.begin(1).check().is_ok());
    // The 500 of one transaction have ten seconds of their own.
    allowance.spend(500, Duration::from_millis(9_000));
    assert!(allowance.begin(1).check().is_ok());
    allowance.spend(1, Duration::from_millis(600));
    let refused = allowance.begin(0).check().unwrap_err();
    assert_eq!((refused.status, refused.issues[0].code), (422, "patch-too-large"));
}
