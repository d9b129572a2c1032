//! Cases of the kinds that R4's own test suite has (`fhir-path-tests.xml`), and what clients get wrong.

use serde_json::{Value, json};

use super::super::{Deadline, Patch};
use crate::fhir::structure::tolerated::NOTHING;

/// `add Patient name=birthDate valueDate=…` as a parameter.
fn operation(kind: &str, path: &str, more: &[Value]) -> Value {
    let mut parts =
        vec![json!({ "name": "type", "valueCode": kind }), json!({ "name": "path", "valueString": path })];
    parts.extend(more.iter().cloned());
    json!({ "name": "operation", "part": parts })
}

fn name(text: &str) -> Value {
    json!({ "name": "name", "valueString": text })
}

fn value(key: &str, value: Value) -> Value {
    json!({ "name": "value", key: value })
}

fn number(name: &str, number: u32) -> Value {
    json!({ "name": name, "valueInteger": number })
}

fn patched(resource: &Value, operations: &[Value]) -> Result<Value, (u16, &'static str)> {
    let mut parameters = json!({ "resourceType": "Parameters" });
    if !operations.is_empty() {
        parameters["parameter"] = operations.into();
    }
    let patch = Patch::of_value(&parameters).map_err(|outcome| (outcome.status, outcome.issues[0].code))?;
    let next = patch
        .apply(resource, Deadline::begin(), NOTHING)
        .map_err(|outcome| (outcome.status, outcome.issues[0].code))?;
    Ok(next.into_body())
}

fn patient(more: Value) -> Value {
    let mut patient = json!({ "resourceType": "Patient" });
    for (key, value) in more.as_object().unwrap() {
        patient[key] = value.clone();
    }
    patient
}

#[track_caller]
fn case(before: Value, operations: &[Value], after: Value) {
    assert_eq!(patched(&patient(before), operations), Ok(patient(after)));
}

fn identifiers(values: &[&str]) -> Value {
    let all: Vec<Value> =
        values.iter().map(|value| json!({ "system": "http://example.org", "value": value })).collect();
    json!({ "identifier": all })
}

#[test]
fn nothing_to_do_changes_nothing() {
    case(json!({ "birthDate": "1920-01-01" }), &[], json!({ "birthDate": "1920-01-01" }));
    case(identifiers(&["1", "2"]), &[], identifiers(&["1", "2"]));
}

#[test]
fn primitives_are_added_replaced_and_deleted() {
    let date = || value("valueDate", json!("1930-01-01"));
    let (old, new) = (json!({ "birthDate": "1920-01-01" }), json!({ "birthDate": "1930-01-01" }));
    case(json!({}), &[operation("add", "Patient", &[name("birthDate"), date()])], new.clone());
    case(old.clone(), &[operation("replace", "Patient.birthDate", &[date()])], new);
    case(old, &[operation("delete", "Patient.birthDate", &[])], json!({}));
    case(json!({}), &[operation("delete", "Patient.birthDate", &[])], json!({}));
}

#[test]
fn nested_primitives_are_added_replaced_and_deleted() {
    let contact = |contact: Value| json!({ "contact": [contact] });
    let both = || contact(json!({ "name": { "text": "a name" }, "gender": "male" }));
    let code = |text: &str| value("valueCode", json!(text));
    let gender = "Patient.contact[0].gender";
    case(
        both(),
        &[operation("replace", gender, &[code("female")])],
        contact(json!({ "name": { "text": "a name" }, "gender": "female" })),
    );
    let text =
        operation("replace", "Patient.contact[0].name.text", &[value("valueString", json!("the name"))]);
    case(both(), &[text], contact(json!({ "name": { "text": "the name" }, "gender": "male" })));
    case(both(), &[operation("delete", gender, &[])], contact(json!({ "name": { "text": "a name" } })));
    // What holds nothing else goes with it.
    let with_phone = |mut fields: Value| {
        fields["telecom"] = json!([{ "system": "phone", "value": "1" }]);
        contact(fields)
    };
    case(
        with_phone(json!({ "name": { "text": "a name" } })),
        &[operation("delete", "Patient.contact[0].name.text", &[])],
        with_phone(json!({})),
    );
    let add = operation("add", "Patient.contact[0]", &[name("gender"), code("male")]);
    case(contact(json!({ "name": { "text": "a name" } })), &[add], both());
}

#[test]
fn complex_types_are_added_replaced_and_deleted() {
    let status = |text: &str| json!({ "maritalStatus": { "text": text } });
    let concept = |text: &str| value("valueCodeableConcept", json!({ "text": text }));
    case(
        json!({}),
        &[operation("add", "Patient", &[name("maritalStatus"), concept("married")])],
        status("married"),
    );
    let replaced = value("valueCodeableConcept", json!({ "id": "2", "text": "not married" }));
    case(
        json!({ "maritalStatus": { "id": "1", "text": "married" } }),
        &[operation("replace", "Patient.maritalStatus", &[replaced])],
        json!({ "maritalStatus": { "id": "2", "text": "not married" } }),
    );
    case(status("married"), &[operation("delete", "Patient.maritalStatus", &[])], json!({}));
}

#[test]
fn elements_without_a_type_are_made_of_parts() {
    let parts = json!({ "name": "value", "part": [
        { "name": "name", "valueHumanName": { "text": "a name" } },
        { "name": "telecom", "valueContactPoint": { "system": "phone", "value": "1" } },
        { "name": "telecom", "valueContactPoint": { "system": "phone", "value": "2" } }
    ] });
    let after = json!({ "contact": [{
        "name": { "text": "a name" },
        "telecom": [{ "system": "phone", "value": "1" }, { "system": "phone", "value": "2" }]
    }] });
    case(json!({}), &[operation("add", "Patient", &[name("contact"), parts])], after.clone());
    case(after, &[operation("delete", "Patient.contact[0]", &[])], json!({}));
    let twice = json!({ "name": "value", "part": [{ "name": "gender", "valueCode": "male" }, { "name": "gender", "valueCode": "male" }] });
    let refused = patched(&patient(json!({})), &[operation("add", "Patient", &[name("contact"), twice])]);
    assert_eq!(refused, Err((422, "patch-path")));
}

#[test]
fn lists_grow_shrink_and_change_their_order() {
    let new = || value("valueIdentifier", json!({ "system": "http://example.org", "value": "n" }));
    let list = "Patient.identifier";
    let insert = |index: u32| [operation("insert", list, &[number("index", index), new()])];
    case(identifiers(&["1", "2"]), &insert(2), identifiers(&["1", "2", "n"]));
    case(identifiers(&["1", "2"]), &insert(1), identifiers(&["1", "n", "2"]));
    case(identifiers(&["1", "2"]), &insert(0), identifiers(&["n", "1", "2"]));
    case(json!({}), &insert(0), identifiers(&["n"]));
    case(
        identifiers(&["1", "2"]),
        &[operation("add", "Patient", &[name("identifier"), new()])],
        identifiers(&["1", "2", "n"]),
    );
    let delete = |path: &str| [operation("delete", path, &[])];
    case(identifiers(&["1", "2", "3"]), &delete("Patient.identifier[0]"), identifiers(&["2", "3"]));
    case(identifiers(&["1", "2", "3"]), &delete("Patient.identifier[1]"), identifiers(&["1", "3"]));
    case(
        identifiers(&["1", "2", "3"]),
        &delete("Patient.identifier.where(value = '3')"),
        identifiers(&["1", "2"]),
    );
    case(identifiers(&["1"]), &delete("Patient.identifier.first()"), json!({}));
    let shift =
        |from: u32, to: u32| [operation("move", list, &[number("source", from), number("destination", to)])];
    case(identifiers(&["1", "2", "3", "4"]), &shift(3, 1), identifiers(&["1", "4", "2", "3"]));
    case(identifiers(&["1", "2", "3", "4"]), &shift(3, 0), identifiers(&["4", "1", "2", "3"]));
    case(identifiers(&["1", "2", "3", "4"]), &shift(0, 3), identifiers(&["2", "3", "4", "1"]));
    let turned = [shift(3, 0), shift(3, 1), shift(3, 2)].concat();
    case(identifiers(&["1", "2", "3", "4"]), &turned, identifiers(&["4", "3", "2", "1"]));
    for wrong in [insert(3).to_vec(), shift(0, 2).to_vec(), shift(7, 0).to_vec()] {
        assert_eq!(patched(&patient(identifiers(&["1", "2"])), &wrong), Err((422, "patch-path")));
    }
}

#[test]
fn items_keep_their_extensions() {
    let own = |text: &str| json!({ "extension": [{ "url": "http://e.org/x", "valueString": text }] });
    let before = json!({ "name": [{ "given": ["A", "B", "C"], "_given": [null, own("b"), null] }] });
    let given = "Patient.name[0].given";
    let insert = operation("insert", given, &[number("index", 0), value("valueString", json!("N"))]);
    case(
        before.clone(),
        &[insert],
        json!({ "name": [{ "given": ["N", "A", "B", "C"], "_given": [null, null, own("b"), null] }] }),
    );
    let shift = operation("move", given, &[number("source", 1), number("destination", 0)]);
    case(
        before.clone(),
        &[shift],
        json!({ "name": [{ "given": ["B", "A", "C"], "_given": [own("b"), null, null] }] }),
    );
    let delete = operation("delete", "Patient.name[0].given[1]", &[]);
    case(before, &[delete], json!({ "name": [{ "given": ["A", "C"] }] }));
    let typed = json!({ "name": "value", "valueDate": "2020-01-01", "_valueDate": own("t") });
    let add = operation("add", "Patient", &[name("birthDate"), typed]);
    case(json!({}), std::slice::from_ref(&add), json!({ "birthDate": "2020-01-01", "_birthDate": own("t") }));
    let replace = operation("replace", "Patient.birthDate", &[value("valueDate", json!("2021-01-01"))]);
    case(json!({}), &[add, replace], json!({ "birthDate": "2021-01-01" }));
}

#[test]
fn choices_change_their_type() {
    let add = operation("add", "Patient", &[name("deceased"), value("valueBoolean", json!(true))]);
    case(json!({}), std::slice::from_ref(&add), json!({ "deceasedBoolean": true }));
    let when = value("valueDateTime", json!("2020-01-01"));
    let replace = operation("replace", "Patient.deceased", std::slice::from_ref(&when));
    case(json!({ "deceasedBoolean": true }), &[replace], json!({ "deceasedDateTime": "2020-01-01" }));
    let again = operation("add", "Patient", &[name("deceased"), when]);
    assert_eq!(patched(&patient(json!({ "deceasedBoolean": true })), &[again]), Err((422, "patch-path")));
    let wrong = operation("add", "Patient", &[name("deceased"), value("valueString", json!("yes"))]);
    assert_eq!(patched(&patient(json!({})), &[wrong]), Err((422, "patch-path")));
}

#[test]
fn extensions_and_conditions_select() {
    let before = json!({ "extension": [{ "url": "http://e.org/a", "valueInteger": 1 }, { "url": "http://e.org/b", "valueInteger": 2 }] });
    let replace =
        operation("replace", "Patient.extension('http://e.org/b').value", &[value("valueInteger", json!(3))]);
    case(
        before,
        &[replace],
        json!({ "extension": [{ "url": "http://e.org/a", "valueInteger": 1 }, { "url": "http://e.org/b", "valueInteger": 3 }] }),
    );
    let telecom =
        json!({ "telecom": [{ "system": "phone", "value": "1" }, { "system": "email", "value": "2" }] });
    let replace = operation(
        "replace",
        "Patient.telecom.where(system = 'email').value",
        &[value("valueString", json!("3"))],
    );
    case(
        telecom,
        &[replace],
        json!({ "telecom": [{ "system": "phone", "value": "1" }, { "system": "email", "value": "3" }] }),
    );
}

#[test]
fn what_does_not_fit_is_422_and_what_is_malformed_400() {
    let resource = patient(json!({ "active": true, "name": [{ "family": "A" }, { "family": "B" }] }));
    let date = value("valueDate", json!("1930-01-01"));
    let flag = value("valueBoolean", json!(true));
    for (operation, refused) in [
        (operation("replace", "Patient.birthDate", std::slice::from_ref(&date)), (422, "patch-path")),
        (
            operation("replace", "Patient.name.family", &[value("valueString", json!("C"))]),
            (422, "patch-path"),
        ),
        (operation("delete", "Patient.name", &[]), (422, "patch-path")),
        (operation("delete", "Patient", &[]), (422, "patch-path")),
        (operation("delete", "Patient.name.count()", &[]), (422, "patch-path")),
        (operation("add", "Patient", &[name("active"), flag.clone()]), (422, "patch-path")),
        (operation("add", "Patient", &[name("nmae"), flag.clone()]), (422, "patch-path")),
        (operation("add", "Patient.active", &[name("x"), flag.clone()]), (422, "patch-path")),
        (operation("insert", "Patient.active", &[number("index", 0), flag.clone()]), (422, "patch-path")),
        (operation("replace", "Patient.active", std::slice::from_ref(&date)), (422, "wrong-type")),
        (operation("replace", "Patient.((", std::slice::from_ref(&flag)), (400, "patch-path")),
        (operation("turn", "Patient.active", std::slice::from_ref(&flag)), (400, "patch-malformed")),
        (operation("replace", "Patient.active", &[]), (400, "patch-malformed")),
        (operation("add", "Patient", std::slice::from_ref(&flag)), (400, "patch-malformed")),
        (operation("insert", "Patient.name", &[date]), (400, "patch-malformed")),
        (json!({ "name": "surgery", "valueString": "x" }), (400, "patch-malformed")),
    ] {
        let found = patched(&resource, std::slice::from_ref(&operation)).unwrap_err();
        if refused.1 == "wrong-type" {
            assert_eq!(found.0, 422, "{operation}");
        } else {
            assert_eq!(found, refused, "{operation}");
        }
    }
}
