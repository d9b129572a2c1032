use super::*;
use crate::fhir::search::Handling;
use crate::fhir::structure::tolerated::NOTHING;
use serde_json::json;

fn with_context<T>(run: impl FnOnce(&Context<'_>, &mut dyn FnMut() -> String) -> T) -> T {
    let zone = TimeZone::UTC;
    let now = "2024-01-11T00:00:00Z".parse().unwrap();
    let context = Context {
        base: "http://us/fhir",
        zone: &zone,
        now,
        handling: Handling::Lenient,
        custom: Custom::none(),
        tolerated: NOTHING,
    };
    let mut count = 0;
    run(&context, &mut || {
        count += 1;
        format!("new-{count}")
    })
}

fn plan(entries: Value) -> Result<Plan, Outcome> {
    let bundle = json!({"resourceType": "Bundle", "type": "transaction", "entry": entries});
    with_context(|context, new_id| transaction(bundle, context, new_id))
}

fn settle(entries: Value, answers: &[Vec<Matched>]) -> Result<Vec<Action>, Outcome> {
    settled(&plan(entries)?, answers, Vec::new())
}

/// Settles a plan where these resources are what they are.
fn settled(
    plan: &Plan,
    matches: &[Vec<Matched>],
    now: Vec<(String, Current)>,
) -> Result<Vec<Action>, Outcome> {
    let current = |kind: &str, id: &str| {
        let found = now.iter().find(|(name, _)| *name == format!("{kind}/{id}"));
        found.map(|(_, current)| current.clone())
    };
    let (custom, deadline) = (Custom::none(), Deadline::begin());
    plan.settle(&Answers { matches, current: &current, custom, deadline })
}

fn patient_at(version: i64, active: bool) -> Vec<(String, Current)> {
    let body = json!({ "resourceType": "Patient", "id": "1", "active": active });
    vec![("Patient/1".to_owned(), Current { version, updated_ms: 0, body: Some(body) })]
}

fn patch_entry(url: &str, operations: Value, if_match: Option<&str>) -> Value {
    use base64::Engine;
    let data = base64::engine::general_purpose::STANDARD.encode(operations.to_string());
    let mut request = json!({ "method": "PATCH", "url": url });
    if let Some(tag) = if_match {
        request["ifMatch"] = tag.into();
    }
    let binary =
        json!({ "resourceType": "Binary", "contentType": "application/json-patch+json", "data": data });
    json!({ "fullUrl": "Patient/1", "resource": binary, "request": request })
}

#[test]
fn what_names_an_operation_is_called_and_its_body_is_not_judged() {
    let call = |method: &str, url: &str| {
        let resource = json!({ "resourceType": "Patient", "birthDate": "soon" });
        let entry = json!({ "resource": resource, "request": { "method": method, "url": url } });
        plan(json!([entry])).map(|plan| plan.entries()[0].operation.clone())
    };
    for (method, url, by) in [
        ("POST", "Patient/$match", By::Post),
        ("GET", "http://us/fhir/Patient/1/$everything?_count=2", By::Get),
    ] {
        let Ok(Operation::Call(invocation)) = call(method, url) else { panic!("{url}") };
        assert_eq!((invocation.method, &*invocation.url), (by, url));
        assert_eq!(invocation.body.unwrap()["birthDate"], "soon");
    }
    assert_eq!(call("PUT", "Patient/$match").unwrap_err().status, 400);
    assert_eq!(call("POST", "Patient?name=$x").unwrap_err().status, 400);
    assert!(names_operation("$meta") && !names_operation("Patient/1?x=/$y") && !names_operation("Patient"));
}

#[test]
fn a_patch_is_made_of_the_version_that_is_current_then() {
    let flip = json!([{ "op": "replace", "path": "/active", "value": false }]);
    let plan = plan(json!([patch_entry("Patient/1", flip.clone(), Some("W/\"3\""))])).unwrap();
    assert!(!plan.asks_nothing() && plan.questions().is_empty());
    assert_eq!(plan.reads(&[]), [("Patient".to_owned(), "1".to_owned())]);
    let actions = settled(&plan, &[], patient_at(3, true)).unwrap();
    let Effect::Put { resource, condition, method, .. } = &actions[0].effect else { panic!("a put") };
    assert_eq!(resource.body()["active"], false);
    assert_eq!((*condition, *method), (Condition::Version(3), Method::Patch));
    assert_eq!(settled(&plan, &[], patient_at(4, true)).unwrap_err().status, 412);
    assert_eq!(settled(&plan, &[], vec![]).unwrap_err().status, 404);
    let gone = vec![("Patient/1".to_owned(), Current { version: 3, updated_ms: 0, body: None })];
    assert_eq!(settled(&plan, &[], gone).unwrap_err().status, 410);
}

#[test]
fn a_patch_by_condition_needs_exactly_one() {
    let flip = json!([{ "op": "replace", "path": "/active", "value": false }]);
    let by = plan(json!([patch_entry("Patient?identifier=x", flip.clone(), None)])).unwrap();
    let found = [one("Patient", "1")];
    assert_eq!(by.reads(&found), [("Patient".to_owned(), "1".to_owned())]);
    assert!(settled(&by, &found, patient_at(4, true)).is_ok());
    assert_eq!(settled(&by, &[vec![]], patient_at(4, true)).unwrap_err().status, 404);
    let two = [[one("Patient", "1"), one("Patient", "2")].concat()];
    assert_eq!(settled(&by, &two, patient_at(4, true)).unwrap_err().status, 412);
    let mut again = patch_entry("Patient/1", flip.clone(), None);
    again["fullUrl"] = "urn:uuid:again".into();
    let twice = plan(json!([patch_entry("Patient?identifier=x", flip, None), again]));
    let refused = settled(&twice.unwrap(), &found, patient_at(4, true)).unwrap_err();
    assert_eq!(refused.issues[0].code, "duplicate-identity");
}

#[test]
fn a_patch_takes_part_in_the_references_of_its_transaction() {
    let patch = json!([
        { "op": "add", "path": "/managingOrganization", "value": { "reference": "urn:uuid:new" } },
        { "op": "add", "path": "/identifier", "value": [{ "value": "fresh" }] },
        { "op": "add", "path": "/link", "value": [{ "type": "seealso", "other": { "reference": "Patient?identifier=b" } }] }
    ]);
    let organization = json!({ "fullUrl": "urn:uuid:new", "resource": { "resourceType": "Organization", "name": "o" }, "request": { "method": "POST", "url": "Organization" } });
    let observation = json!({ "resource": { "resourceType": "Observation", "status": "final", "code": { "text": "x" }, "subject": { "reference": "Patient?identifier=fresh" } }, "request": { "method": "POST", "url": "Observation" } });
    let plan = plan(json!([patch_entry("Patient/1", patch, None), organization, observation])).unwrap();
    let texts: Vec<&str> = plan
        .asked
        .iter()
        .filter_map(|asked| match asked {
            Asked::Reference { text, .. } => Some(text.as_str()),
            Asked::Entry(_) => None,
        })
        .collect();
    assert_eq!(texts, ["Patient?identifier=b", "Patient?identifier=fresh"]);
    let actions = settled(&plan, &[one("Patient", "b"), vec![]], patient_at(1, true)).unwrap();
    let body = |index: usize| {
        let action = actions.iter().find(|action| action.index == index).unwrap();
        let Effect::Put { resource, .. } = &action.effect else { panic!("a put") };
        resource.body().clone()
    };
    assert_eq!(body(0)["managingOrganization"]["reference"], "Organization/new-1");
    assert_eq!(body(0)["link"][0]["other"]["reference"], "Patient/b");
    assert_eq!(body(2)["subject"]["reference"], "Patient/1", "what the patch writes is found");
}

/// code and place of the refusal
fn refusal(entries: Value, answers: &[Vec<Matched>]) -> (u16, String) {
    let outcome = settle(entries, answers).unwrap_err();
    let issue = &outcome.issues[0];
    (outcome.status, format!("{} {}", issue.code, issue.expression.join(" ")))
}

fn one(kind: &str, id: &str) -> Vec<Matched> {
    vec![(kind.to_owned(), id.to_owned(), 4)]
}

#[test]
fn urn_uuids_become_ids_whatever_the_order() {
    let actions = settle(
        json!([
            {"fullUrl": "urn:uuid:o", "resource": {"resourceType": "Observation", "status": "final", "code": {"text": "x"}, "subject": {"reference": "urn:uuid:p"}}, "request": {"method": "POST", "url": "Observation"}},
            {"resource": {"resourceType": "Practitioner", "id": "7"}, "fullUrl": "Practitioner/7", "request": {"method": "PUT", "url": "Practitioner/7", "ifMatch": "W/\"3\""}},
            {"request": {"method": "GET", "url": "Patient?name=x"}},
            {"fullUrl": "urn:uuid:p", "resource": {"resourceType": "Patient", "generalPractitioner": [{"reference": "Practitioner/7"}], "link": [{"type": "seealso", "other": {"reference": "urn:uuid:p"}}]}, "request": {"method": "POST", "url": "Patient"}},
            {"request": {"method": "DELETE", "url": "http://us/fhir/Group/9"}}
        ]),
        &[],
    )
    .unwrap();
    let order: Vec<usize> = actions.iter().map(|action| action.index).collect();
    assert_eq!(order, [4, 0, 3, 1, 2]);
    let Effect::Put { resource, id, condition, .. } = &actions[1].effect else { panic!() };
    let Effect::Put { resource: patient, id: patient_id, .. } = &actions[2].effect else { panic!() };
    assert_ne!(id, patient_id);
    assert_eq!(*condition, Condition::Absent);
    assert_eq!(resource.body()["subject"]["reference"], format!("Patient/{patient_id}"));
    assert_eq!(patient.body()["link"][0]["other"]["reference"], format!("Patient/{patient_id}"));
    assert_eq!(patient.body()["generalPractitioner"][0]["reference"], "Practitioner/7");
    assert!(matches!(actions[3].effect, Effect::Put { condition: Condition::Version(3), .. }));
    assert!(matches!(&actions[0].effect, Effect::Delete { kind: "Group", id, .. } if id == "9"));
}

#[test]
fn a_conditional_create_that_matches_lends_its_id() {
    let entries = json!([
        {"fullUrl": "urn:uuid:p", "resource": {"resourceType": "Patient"}, "request": {"method": "POST", "url": "Patient", "ifNoneExist": "identifier=a|b"}},
        {"resource": {"resourceType": "Observation", "status": "final", "code": {"text": "x"}, "subject": {"reference": "urn:uuid:p"}}, "request": {"method": "POST", "url": "Observation"}}
    ]);
    let actions = settle(entries.clone(), &[one("Patient", "p9")]).unwrap();
    assert!(matches!(&actions[0].effect, Effect::Exists { id, version: 4, .. } if id == "p9"));
    let Effect::Put { resource, .. } = &actions[1].effect else { panic!() };
    assert_eq!(resource.body()["subject"]["reference"], "Patient/p9");
    assert!(matches!(settle(entries.clone(), &[vec![]]).unwrap()[0].effect, Effect::Put { .. }));
    let two = [one("Patient", "a"), one("Patient", "b")].concat();
    assert_eq!(refusal(entries, &[two]), (412, "multiple-matches Bundle.entry[0].request".into()));
}

#[test]
fn conditional_references_match_the_store_or_the_transaction() {
    let observation = json!({"resource": {"resourceType": "Observation", "status": "final", "code": {"text": "x"}, "subject": {"reference": "Patient?identifier=a|b"}}, "request": {"method": "POST", "url": "Observation"}});
    let actions = settle(json!([observation]), &[one("Patient", "p9")]).unwrap();
    let Effect::Put { resource, .. } = &actions[0].effect else { panic!() };
    assert_eq!(resource.body()["subject"]["reference"], "Patient/p9");
    let place = "Bundle.entry[0].resource.subject.reference";
    assert_eq!(refusal(json!([observation]), &[vec![]]), (412, format!("no-match {place}")));
    let patient = json!({"resource": {"resourceType": "Patient", "identifier": [{"system": "a", "value": "b"}]}, "request": {"method": "POST", "url": "Patient"}});
    let actions = settle(json!([observation, patient]), &[vec![]]).unwrap();
    let Effect::Put { resource, .. } = &actions[0].effect else { panic!() };
    assert_eq!(resource.body()["subject"]["reference"], "Patient/new-2");
    assert_eq!(refusal(json!([observation, patient]), &[one("Patient", "p9")]).0, 412);
}

#[test]
fn what_the_transaction_writes_is_found_by_a_tenants_own_parameters() {
    use crate::fhir::parameters::custom::{Definition, State};
    let clan = Definition {
        kind: "Patient",
        code: "clan".into(),
        url: String::new(),
        search_type: "string",
        targets: vec![],
        expression: "Patient.extension('http://e.org/clan').value".into(),
    };
    let custom = Custom::of([(clan, "clan".to_owned(), State::Active)]);
    let settled = |clan: &str| {
        let extension = json!([{"url": "http://e.org/clan", "valueString": clan}]);
        let bundle = json!({"resourceType": "Bundle", "type": "transaction", "entry": [
            {"resource": {"resourceType": "Observation", "status": "final", "code": {"text": "x"}, "subject": {"reference": "Patient?clan=Abega"}}, "request": {"method": "POST", "url": "Observation"}},
            {"resource": {"resourceType": "Patient", "id": "p9", "extension": extension}, "request": {"method": "PUT", "url": "Patient/p9"}}
        ]});
        let plan = with_context(|context, new_id| {
            transaction(bundle, &Context { custom: &custom, ..*context }, new_id)
        });
        let matches = [one("Patient", "p9")];
        let (current, deadline) = (&|_: &str, _: &str| None, Deadline::begin());
        plan.unwrap().settle(&Answers { matches: &matches, current, custom: &custom, deadline })
    };
    let Effect::Put { resource, .. } = &settled("Abega").unwrap()[0].effect else { panic!() };
    assert_eq!(resource.body()["subject"]["reference"], "Patient/p9");
    assert_eq!(settled("Abasinga").unwrap_err().status, 412, "it is not of that clan any more");
}

#[test]
fn conditional_updates() {
    let entries = |id: Option<&str>| {
        let mut patient = json!({"resourceType": "Patient"});
        if let Some(id) = id {
            patient["id"] = id.into();
        }
        json!([{"resource": patient, "request": {"method": "PUT", "url": "Patient?identifier=a|b"}}])
    };
    let id_of = |actions: Vec<Action>| match &actions[0].effect {
        Effect::Put { id, .. } => id.clone(),
        other => panic!("{other:?}"),
    };
    assert_eq!(id_of(settle(entries(None), &[vec![]]).unwrap()), "new-1");
    assert_eq!(id_of(settle(entries(Some("x")), &[vec![]]).unwrap()), "x");
    assert_eq!(id_of(settle(entries(None), &[one("Patient", "p9")]).unwrap()), "p9");
    assert_eq!(
        refusal(entries(Some("x")), &[one("Patient", "p9")]),
        (400, "id-mismatch Bundle.entry[0].resource.id".into())
    );
}

#[test]
fn refusals_say_where() {
    let patient = json!({"resourceType": "Patient", "id": "1"});
    let put = json!({"resource": patient, "request": {"method": "PUT", "url": "Patient/1"}});
    let cases = [
        (json!([put, put]), "duplicate-identity Bundle.entry[1]"),
        (
            json!([put, {"request": {"method": "DELETE", "url": "Patient/1"}}]),
            "duplicate-identity Bundle.entry[1]",
        ),
        (json!([{"resource": patient}]), "required-element Bundle.entry[0].request"),
        (json!([{"fullUrl": "urn:uuid:x", "resource": patient}]), "required-element Bundle.entry[0].request"),
        (
            json!([{"resource": patient, "request": {"method": "PUT", "url": "Patient/2"}}]),
            "id-mismatch Bundle.entry[0].resource.id",
        ),
        (
            json!([{"resource": patient, "request": {"method": "PUT", "url": "Person/1"}}]),
            "type-mismatch Bundle.entry[0].resource",
        ),
        (
            json!([{"resource": patient, "request": {"method": "PUT", "url": "Pateint/1"}}]),
            "bad-url Bundle.entry[0].request.url",
        ),
        (
            json!([{"request": {"method": "PATCH", "url": "Patient/1"}, "resource": {"resourceType": "Patient"}}]),
            "patch-malformed Bundle.entry[0].resource",
        ),
        (
            json!([{"request": {"method": "POST", "url": "Patient"}}]),
            "required-element Bundle.entry[0].resource",
        ),
        (
            json!([{"resource": {"resourceType": "Patient", "nmae": 1}, "request": {"method": "POST", "url": "Patient"}}]),
            "unknown-element Bundle.entry[0].resource.nmae",
        ),
        (
            json!([{"resource": patient, "request": {"method": "PUT", "url": "Patient/1", "ifMatch": "x"}}]),
            "bad-etag Bundle.entry[0].request.ifMatch",
        ),
        (
            json!([{"resource": {"resourceType": "Pateint"}, "request": {"method": "POST", "url": "Patient"}}]),
            "unknown-type Bundle.entry[0].resource",
        ),
        (
            json!([{"request": {"method": "DELETE", "url": "Patient?foo=1"}}]),
            "unknown-parameter Bundle.entry[0].request",
        ),
        (
            json!([{"request": {"method": "FETCH", "url": "Patient"}}]),
            "unknown-code Bundle.entry[0].request.method",
        ),
    ];
    for (entries, expected) in cases {
        assert_eq!(refusal(entries.clone(), &[]), (400, expected.to_owned()), "{entries}");
    }
}

#[test]
fn all_wrong_entries_are_named_at_once() {
    let bad = json!({"resource": {"resourceType": "Patient", "nmae": 1}, "request": {"method": "POST", "url": "Patient"}});
    assert_eq!(plan(json!([bad, bad])).unwrap_err().issues.len(), 2);
}

#[test]
fn a_batch_loses_only_the_wrong_entries() {
    let bundle = json!({"resourceType": "Bundle", "type": "batch", "entry": [
        {"request": {"method": "GET", "url": "Patient?_id=x"}},
        {"resource": {"resourceType": "Patient", "nmae": 1}, "request": {"method": "POST", "url": "Patient"}},
        {"request": {"method": "GET", "url": "metadata"}}
    ]});
    assert_eq!(mode(&bundle).unwrap(), Mode::Batch);
    let plans = with_context(|context, new_id| batch(bundle, context, new_id)).unwrap();
    assert!(plans[0].is_ok() && plans[1].is_err() && plans[2].is_ok());
    assert_eq!(plans[2].as_ref().unwrap().entries()[0].index, 2);
}

#[test]
fn only_transactions_and_batches_can_be_posted() {
    assert!(mode(&json!({"resourceType": "Bundle", "type": "searchset"})).is_err());
    assert!(mode(&json!({"resourceType": "Patient"})).is_err());
    assert_eq!(settle(json!([]), &[]).unwrap(), [], "an empty array is not JSON of FHIR, and means nothing");
    let empty = json!({"resourceType": "Bundle", "type": "transaction"});
    let plan = with_context(|context, new_id| transaction(empty, context, new_id)).unwrap();
    assert_eq!(settled(&plan, &[], vec![]).unwrap(), []);
}

#[test]
fn one_interaction_is_a_plan_too() {
    let resource = Resource::from_value(json!({"resourceType": "Patient"})).unwrap();
    let operation =
        Operation::Create { resource, id: "n".into(), if_none_exist: Some("identifier=a|b".into()) };
    let plan = with_context(|context, _| single(operation, context)).unwrap();
    assert_eq!(plan.questions().len(), 1);
    assert!(matches!(
        settled(&plan, &[one("Patient", "p")], vec![]).unwrap()[0].effect,
        Effect::Exists { .. }
    ));
}
