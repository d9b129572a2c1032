//! Rows O: operations. <https://hl7.org/fhir/R4/operations.html>

use mjumbe::store::testing::each_store;
use reqwest::Method;
use serde_json::{Value, json};

use crate::server::{TestServer, answered};

const OPTED_OUT: &str = "http://mhero.org/codesystem";

fn meta(tag: &str) -> Value {
    json!({ "resourceType": "Parameters", "parameter": [
        { "name": "meta", "valueMeta": { "tag": [{ "system": OPTED_OUT, "code": tag }] } } ] })
}

/// What emNutt does for whoever opts out.
#[tokio::test]
async fn o3_meta_is_read_added_to_and_taken_from() {
    each_store(|store| async move {
        let server = TestServer::start(store).await;
        server.put("Patient/p1", &json!({ "resourceType": "Patient", "id": "p1", "active": true })).await;
        let added = server.post("Patient/p1/$meta-add", &meta("optedout")).await;
        assert_eq!(added.status, 200, "{}", added.body);
        let tag = json!([{ "system": OPTED_OUT, "code": "optedout" }]);
        assert_eq!(added.body["parameter"][0]["valueMeta"]["tag"], tag);
        assert_eq!(server.get("Patient/p1/$meta").await.body["parameter"][0]["valueMeta"]["tag"], tag);
        assert_eq!(server.ids(&format!("Patient?_tag={OPTED_OUT}|optedout")).await, ["p1"]);
        server.post("Patient/p1/$meta-add", &meta("optedout")).await;
        let read = server.get("Patient/p1").await;
        assert_eq!((&read.body["active"], read.header("etag")), (&json!(true), "W/\"2\""), "added once");
        let removed = server.post("Patient/p1/$meta-delete", &meta("optedout")).await;
        assert_eq!(removed.status, 200, "{}", removed.body);
        assert!(removed.body["parameter"][0]["valueMeta"].get("tag").is_none());
        assert!(server.ids(&format!("Patient?_tag={OPTED_OUT}|optedout")).await.is_empty());
        server.get("Patient/absent/$meta").await.refused(404, "not-found");
        let none = server.post("Patient/p1/$meta-add", &json!({ "resourceType": "Parameters" })).await;
        none.refused(400, "bad-parameter");
        let many: Vec<Value> = (0..1001).map(|at| json!({ "code": at.to_string() })).collect();
        let many = json!({ "resourceType": "Parameters", "parameter": [{ "name": "meta", "valueMeta": { "tag": many } }] });
        server.post("Patient/p1/$meta-add", &many).await.refused(400, "too-costly");
        // Who may write and not read does not see the labels of others.
        let writer = server.token("writer", "system/Patient.u").await;
        let url = format!("{}/fhir/Patient/p1/$meta-add", server.url);
        let request = server.client.post(url).bearer_auth(writer).header("content-type", "application/json");
        let blind = answered(request.body(meta("optedout").to_string())).await;
        assert_eq!((blind.status.as_u16(), blind.body), (200, json!({ "resourceType": "Parameters" })));
        assert_eq!(server.ids(&format!("Patient?_tag={OPTED_OUT}|optedout")).await, ["p1"]);
        server.stop().await;
    })
    .await;
}

#[tokio::test]
async fn o5_operations_are_called_by_post_and_by_get_where_they_change_nothing() {
    each_store(|store| async move {
        let server = TestServer::start(store).await;
        server.put("Patient/p1", &json!({ "resourceType": "Patient", "id": "p1" })).await;
        for method in [Method::GET, Method::POST] {
            let answer = answered(server.request(method, "Patient/p1/$meta")).await;
            assert_eq!((answer.status.as_u16(), &answer.body["resourceType"]), (200, &json!("Parameters")));
        }
        let changing = server.get("Patient/p1/$meta-add").await;
        changing.refused(405, "method-not-allowed");
        assert_eq!(changing.header("allow"), "POST");
        let other = server.post("Patient/p1/$meta-add", &json!({ "resourceType": "Patient" })).await;
        other.refused(400, "not-parameters");
        let reader = server.token("reader", "system/Patient.rs").await;
        let url = format!("{}/fhir/Patient/p1/$meta-add", server.url);
        let request = server.client.post(url).bearer_auth(reader).header("content-type", "application/json");
        answered(request.body(meta("x").to_string())).await.refused(403, "scope-missing");
        let statement = server.get("metadata").await.body;
        let resources = statement["rest"][0]["resource"].as_array().unwrap();
        assert!(resources.iter().all(|one| one["operation"].to_string().contains("\"meta-add\"")));
        server.stop().await;
    })
    .await;
}

#[tokio::test]
async fn o6_an_operation_that_is_not_known_is_not_found() {
    each_store(|store| async move {
        let server = TestServer::start(store).await;
        for path in ["$frobnicate", "Patient/$frobnicate", "Patient/p1/$frobnicate"] {
            server.get(path).await.refused(404, "unknown-operation");
            server
                .post(path, &json!({ "resourceType": "Parameters" }))
                .await
                .refused(404, "unknown-operation");
        }
        // Known, at another level.
        for path in ["Patient/$meta-add", "$expand", "Patient/p1/$match"] {
            server.get(path).await.refused(404, "unknown-operation");
        }
        server.get("Foo/$meta").await.refused(404, "unknown-type");
        let near = server.post("Patient/p1/$meta-ad", &json!({ "resourceType": "Parameters" })).await;
        assert!(near.body["issue"][0]["diagnostics"].to_string().contains("$meta-add"), "{}", near.body);
        server.stop().await;
    })
    .await;
}

fn twins() -> Vec<Value> {
    let child = |id: &str, card: &str, given: &str, gender: &str| {
        json!({ "resourceType": "Patient", "id": id, "gender": gender, "birthDate": "2021-03-04",
            "identifier": [{ "system": "urn:card", "value": card }],
            "name": [{ "family": "Uwase", "given": [given] }],
            "telecom": [{ "system": "phone", "value": "+250788123456" }] })
    };
    vec![
        child("p1", "7", "Aline", "female"),
        child("p2", "8", "Eric", "male"),
        child("p3", "9", "Aline", "female"),
        json!({ "resourceType": "Patient", "id": "other", "name": [{ "family": "Habimana" }], "birthDate": "1980-01-01" }),
    ]
}

fn grades(answer: &crate::server::Answered) -> Vec<(String, String)> {
    assert_eq!(answer.status, 200, "{}", answer.body);
    assert_eq!(mjumbe::fhir::structure::check(&answer.body), []);
    let entries = answer.body["entry"].as_array().cloned().unwrap_or_default();
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    entries
        .iter()
        .map(|entry| (text(&entry["resource"]["id"]), text(&entry["search"]["extension"][0]["valueCode"])))
        .collect()
}

#[tokio::test]
async fn o3_match_finds_who_may_be_the_same_person() {
    each_store(|store| async move {
        let server = TestServer::start(store).await;
        for patient in twins() {
            let path = format!("Patient/{}", patient["id"].as_str().unwrap());
            assert_eq!(server.put(&path, &patient).await.status, 201);
        }
        let ask = |asked: Value, others: Value| {
            let mut parameters = vec![json!({ "name": "resource", "resource": asked })];
            parameters.extend(others.as_array().cloned().unwrap_or_default());
            json!({ "resourceType": "Parameters", "parameter": parameters })
        };
        let card =
            json!({ "resourceType": "Patient", "identifier": [{ "system": "urn:card", "value": "7" }] });
        let found = server.post("Patient/$match", &ask(card.clone(), json!([]))).await;
        assert_eq!(grades(&found), [("p1".to_owned(), "certain".to_owned())]);
        let found = server.post("Patient/$match", &card).await;
        assert_eq!(grades(&found).len(), 1, "the Patient itself as the body");
        // By name, birth date and phone; accents and case do not matter.
        let person = json!({ "resourceType": "Patient", "name": [{ "family": "UWASE", "given": ["Áline"] }],
            "birthDate": "2021-03-04", "gender": "female" });
        let found = server.post("Patient/$match", &ask(person.clone(), json!([]))).await;
        let all = grades(&found);
        let probable = |id: &str| (id.to_owned(), "probable".to_owned());
        assert!(all.contains(&probable("p1")) && all.contains(&probable("p3")), "{all:?}");
        assert!(!all.iter().any(|(id, _)| id == "other"), "{all:?}");
        let scores: Vec<f64> = found.body["entry"]
            .as_array()
            .unwrap()
            .iter()
            .map(|one| one["search"]["score"].as_f64().unwrap())
            .collect();
        assert!(
            scores.is_sorted_by(|one, next| one >= next)
                && scores.iter().all(|score| (0.0..=1.0).contains(score))
        );
        let one = json!([{ "name": "count", "valueInteger": 1 }]);
        assert_eq!(grades(&server.post("Patient/$match", &ask(person.clone(), one)).await).len(), 1);
        let certain = json!([{ "name": "onlyCertainMatches", "valueBoolean": true }]);
        assert!(grades(&server.post("Patient/$match", &ask(person, certain)).await).is_empty());
        server
            .post("Patient/$match", &ask(json!({ "resourceType": "Group" }), json!([])))
            .await
            .refused(400, "bad-parameter");
        server.get("Patient/$match").await.refused(405, "method-not-allowed");
        server.stop().await;
    })
    .await;
}

async fn store_terminology(server: &TestServer) {
    let system = json!({ "resourceType": "CodeSystem", "id": "s", "url": "http://e.org/s", "version": "2", "name": "Signs",
        "status": "active", "content": "complete", "concept": [
            { "code": "fever", "display": "Fever", "definition": "Hot", "concept": [
                { "code": "high", "display": "High fever", "property": [{ "code": "grade", "valueInteger": 3 }],
                  "designation": [{ "language": "sw", "value": "Homa kali" }] }] },
            { "code": "cough", "display": "Cough" } ] });
    let set = json!({ "resourceType": "ValueSet", "id": "v", "url": "http://e.org/v", "status": "active", "compose": {
        "include": [{ "system": "http://e.org/s", "filter": [{ "property": "concept", "op": "is-a", "value": "fever" }] },
            { "system": "http://e.org/other", "concept": [{ "code": "x", "display": "X" }] }] } });
    let abroad = json!({ "resourceType": "ValueSet", "id": "abroad", "url": "http://e.org/abroad", "status": "active",
        "compose": { "include": [{ "system": "http://snomed.info/sct" }] } });
    let map = json!({ "resourceType": "ConceptMap", "id": "m", "url": "http://e.org/m", "status": "active", "group": [
        { "source": "http://e.org/s", "target": "http://e.org/t", "element": [
            { "code": "fever", "target": [{ "code": "F", "display": "Fièvre", "equivalence": "equivalent" }] }] }] });
    for resource in [system, set, abroad, map] {
        let (kind, id) = (resource["resourceType"].as_str().unwrap(), resource["id"].as_str().unwrap());
        let written = server.put(&format!("{kind}/{id}"), &resource).await;
        assert_eq!(written.status, 201, "{}", written.body);
    }
}

fn codes(expanded: &crate::server::Answered) -> Vec<String> {
    assert_eq!(expanded.status, 200, "{}", expanded.body);
    assert_eq!(mjumbe::fhir::structure::check(&expanded.body), []);
    let contains = expanded.body["expansion"]["contains"].as_array().cloned().unwrap_or_default();
    contains.iter().map(|one| one["code"].as_str().unwrap().to_owned()).collect()
}

/// The values of the outer parameters, by name.
fn parameter(answer: &crate::server::Answered, name: &str) -> Value {
    assert_eq!(answer.status, 200, "{}", answer.body);
    assert_eq!(mjumbe::fhir::structure::check(&answer.body), []);
    let all = answer.body["parameter"].as_array().unwrap();
    let found = all.iter().find(|one| one["name"] == name).and_then(|one| one.as_object());
    let value =
        found.and_then(|one| one.iter().find(|(name, _)| name.starts_with("value") || *name == "part"));
    value.map(|(_, value)| value.clone()).unwrap_or_default()
}

#[tokio::test]
async fn o3_value_sets_are_expanded_by_what_is_stored() {
    each_store(|store| async move {
        let server = TestServer::start(store).await;
        store_terminology(&server).await;
        let by_url = "ValueSet/$expand?url=http://e.org/v";
        assert_eq!(codes(&server.get(by_url).await), ["fever", "high", "x"]);
        assert_eq!(codes(&server.get("ValueSet/v/$expand").await), ["fever", "high", "x"]);
        let body = json!({ "resourceType": "Parameters", "parameter": [{ "name": "url", "valueUri": "http://e.org/v" }] });
        assert_eq!(codes(&server.post("ValueSet/$expand", &body).await).len(), 3);
        let own = json!({ "resourceType": "ValueSet", "status": "draft", "compose": { "include": [{ "system": "http://e.org/s" }],
            "exclude": [{ "valueSet": ["http://e.org/v"] }] } });
        assert_eq!(codes(&server.post("ValueSet/$expand", &own).await), ["cough"]);
        let page = server.get(&format!("{by_url}&offset=1&count=1")).await;
        assert_eq!((codes(&page), &page.body["expansion"]["total"]), (vec!["high".to_owned()], &json!(3)));
        assert_eq!(codes(&server.get(&format!("{by_url}&filter=HIGH")).await), ["high"]);
        server.get("ValueSet/$expand?url=http://e.org/none").await.refused(404, "not-found");
        server.get("ValueSet/$expand?url=http://e.org/abroad").await.refused(422, "terminology-unknown");
        server.get("ValueSet/$expand").await.refused(400, "parameter-missing");
        server.get(&format!("{by_url}&count=many")).await.refused(400, "bad-parameter");
        // What the value set refers to is asked for too.
        let token = server.token("sets-only", "system/ValueSet.rs").await;
        let url = format!("{}/fhir/{by_url}", server.url);
        answered(server.client.get(url).bearer_auth(token)).await.refused(403, "scope-missing");
        server.stop().await;
    })
    .await;
}

#[tokio::test]
async fn o3_codes_are_looked_up_judged_and_translated() {
    each_store(|store| async move {
        let server = TestServer::start(store).await;
        store_terminology(&server).await;
        let high = server.get("CodeSystem/$lookup?system=http://e.org/s&code=high").await;
        assert_eq!(parameter(&high, "name"), "Signs");
        assert_eq!(parameter(&high, "display"), "High fever");
        assert_eq!(parameter(&high, "designation")[1], json!({ "name": "value", "valueString": "Homa kali" }));
        assert_eq!(parameter(&high, "property")[1], json!({ "name": "value", "valueInteger": 3 }));
        server.get("CodeSystem/$lookup?system=http://e.org/s&code=none").await.refused(404, "unknown-code");
        server.get("CodeSystem/$lookup?system=http://e.org/x&code=a").await.refused(404, "terminology-unknown");
        let coding = json!({ "resourceType": "Parameters", "parameter": [
            { "name": "coding", "valueCoding": { "system": "http://e.org/s", "code": "fever", "display": "Cold" } }] });
        assert_eq!(parameter(&server.post("CodeSystem/$validate-code", &coding).await, "result"), false);
        let valid = "CodeSystem/$validate-code?url=http://e.org/s&code=fever";
        assert_eq!(parameter(&server.get(valid).await, "result"), true);
        for (code, expected) in [("high", true), ("cough", false)] {
            let path = format!("ValueSet/v/$validate-code?system=http://e.org/s&code={code}");
            assert_eq!(parameter(&server.get(&path).await, "result"), expected, "{code}");
        }
        let target = json!([{ "name": "equivalence", "valueCode": "equivalent" },
            { "name": "concept", "valueCoding": { "system": "http://e.org/t", "code": "F", "display": "Fièvre" } },
            { "name": "source", "valueUri": "http://e.org/m" }]);
        for map in ["url=http://e.org/m&", ""] {
            let path = format!("ConceptMap/$translate?{map}system=http://e.org/s&code=fever");
            let translated = server.get(&path).await;
            assert_eq!((parameter(&translated, "result"), parameter(&translated, "match")), (json!(true), target.clone()));
        }
        let none = server.get("ConceptMap/m/$translate?system=http://e.org/s&code=cough").await;
        assert_eq!(parameter(&none, "result"), false);
        server.get("ConceptMap/$translate?code=cough").await.refused(400, "parameter-missing");
        server.stop().await;
    })
    .await;
}

#[tokio::test]
async fn o2_everything_is_the_patient_and_her_compartment() {
    each_store(|store| async move {
        let server = TestServer::start(store).await;
        let observation = |id: &str, patient: &str, day: &str| {
            json!({ "resourceType": "Observation", "id": id, "status": "final", "code": { "text": "x" },
                "subject": { "reference": format!("Patient/{patient}") }, "effectiveDateTime": day })
        };
        let resources = [
            json!({ "resourceType": "Patient", "id": "p1" }),
            json!({ "resourceType": "Patient", "id": "p2" }),
            observation("o1", "p1", "2026-01-10"),
            observation("o2", "p1", "2026-02-10"),
            observation("o3", "p2", "2026-01-10"),
            json!({ "resourceType": "Immunization", "id": "i1", "status": "completed", "vaccineCode": { "text": "BCG" },
                "patient": { "reference": "Patient/p1" }, "occurrenceDateTime": "2026-01-11" }),
            json!({ "resourceType": "Organization", "id": "org", "name": "Not of anybody" }),
        ];
        for resource in &resources {
            let (kind, id) = (resource["resourceType"].as_str().unwrap(), resource["id"].as_str().unwrap());
            assert_eq!(server.put(&format!("{kind}/{id}"), resource).await.status, 201);
        }
        let sorted = |mut ids: Vec<String>| {
            ids.sort();
            ids
        };
        let all = server.get("Patient/p1/$everything").await;
        assert_eq!((all.status.as_u16(), &all.body["type"], &all.body["total"]), (200, &json!("searchset"), &json!(4)));
        assert_eq!(mjumbe::fhir::structure::check(&all.body), []);
        assert_eq!(sorted(server.ids("Patient/p1/$everything").await), ["i1", "o1", "o2", "p1"]);
        let posted = server.post("Patient/p1/$everything", &json!({ "resourceType": "Parameters" })).await;
        assert_eq!(posted.body["total"], 4);
        for (query, expected) in [
            ("_count=1", vec!["i1", "o1", "o2", "p1"]),
            ("_type=Observation", vec!["o1", "o2"]),
            ("_type=Observation,Patient&_count=2", vec!["o1", "o2", "p1"]),
            ("start=2026-02-01", vec!["o2", "p1"]),
            ("end=2026-01-31", vec!["i1", "o1", "p1"]),
            ("start=2026-01-11&end=2026-01-11&_type=Immunization", vec!["i1"]),
            ("_since=2999-01-01T00:00:00Z", vec![]),
        ] {
            assert_eq!(sorted(server.ids(&format!("Patient/p1/$everything?{query}")).await), expected, "{query}");
        }
        server.get("Patient/none/$everything").await.refused(404, "not-found");
        server.get("Patient/p1/$everything?_type=Foo").await.refused(400, "bad-parameter");
        server.get("Patient/p1/$everything?start=someday").await.refused(400, "bad-parameter");
        server.get("Observation/o1/$everything").await.refused(404, "unknown-operation");
        server.delete("Patient/p2").await;
        server.get("Patient/p2/$everything").await.refused(410, "deleted");
        let token = server.token("two", "system/Patient.rs system/Immunization.rs").await;
        let ask = |query: &str| {
            let url = format!("{}/fhir/Patient/p1/$everything{query}", server.url);
            answered(server.client.get(url).bearer_auth(&token))
        };
        let narrowed = ask("").await;
        assert_eq!(narrowed.entries("match").len(), 2);
        assert_eq!(narrowed.entries("outcome")[0]["issue"][0]["severity"], "warning");
        ask("?_type=Observation").await.refused(403, "scope-missing");
        server.stop().await;
    })
    .await;
}

#[tokio::test]
async fn o1_a_resource_is_validated_without_being_written() {
    each_store(|store| async move {
        let server = TestServer::start(store).await;
        let good = json!({ "resourceType": "Patient", "birthDate": "2000-01-02" });
        let fine = server.post("Patient/$validate", &good).await;
        assert_eq!((fine.status.as_u16(), said(&fine.body)), (200, vec!["information no-issues".to_owned()]));
        assert_eq!(server.get("Patient?_summary=count").await.body["total"], 0, "nothing is written");
        let faults = [
            (
                json!({ "resourceType": "Patient", "brithDate": "2000" }),
                "error unknown-element",
                "Patient.brithDate",
            ),
            (
                json!({ "resourceType": "Patient", "birthDate": "2000-13" }),
                "error bad-value",
                "Patient.birthDate",
            ),
            (
                json!({ "resourceType": "Patient", "contact": [{ "gender": "male" }] }),
                "error pat-1",
                "Patient.contact[0]",
            ),
            (
                json!({ "resourceType": "Patient", "generalPractitioner": [{ "reference": "Patient/1" }] }),
                "error wrong-target",
                "Patient.generalPractitioner[0].reference",
            ),
            (json!({ "resourceType": "Observation" }), "error type-mismatch", "resourceType"),
        ];
        for (resource, code, place) in faults {
            let answer = server.post("Patient/$validate", &resource).await;
            assert_eq!(answer.status, 200, "{}", answer.body);
            assert_eq!(said(&answer.body)[0], code, "{}", answer.body);
            assert_eq!(answer.body["issue"][0]["expression"][0], place);
        }
        let advice = json!({ "resourceType": "ValueSet", "status": "draft", "name": "not a name" });
        assert_eq!(said(&server.post("ValueSet/$validate", &advice).await.body), ["warning vsd-0"]);
        server.stop().await;
    })
    .await;
}

#[tokio::test]
async fn o1_modes_and_profiles_are_heeded() {
    each_store(|store| async move {
        let server = TestServer::start(store).await;
        let good = json!({ "resourceType": "Patient", "id": "p1", "birthDate": "2000-01-02" });
        server.put("Patient/p1", &good).await;
        let parameters = |mode: &str, resource: &Value| {
            json!({ "resourceType": "Parameters", "parameter": [
                { "name": "mode", "valueCode": mode }, { "name": "resource", "resource": resource } ] })
        };
        let ask = async |path: &str, body: Value| said(&server.post(path, &body).await.body);
        assert_eq!(ask("Patient/p1/$validate", parameters("update", &good)).await, ["information no-issues"]);
        assert_eq!(ask("Patient/p2/$validate", parameters("update", &good)).await, ["error id-mismatch"]);
        let unnamed = json!({ "resourceType": "Patient", "birthDate": "2000" });
        assert_eq!(ask("Patient/$validate", parameters("update", &unnamed)).await, ["error id-missing"]);
        assert_eq!(ask("Patient/$validate", parameters("create", &unnamed)).await, ["information no-issues"]);
        assert_eq!(ask("Patient/p1/$validate", parameters("create", &good)).await, ["error id-given"]);
        let delete =
            json!({ "resourceType": "Parameters", "parameter": [{ "name": "mode", "valueCode": "delete" }] });
        assert_eq!(ask("Patient/p1/$validate", delete.clone()).await, ["information no-issues"]);
        assert_eq!(ask("Patient/p2/$validate", delete).await, ["warning not-found"]);
        let nothing = json!({ "resourceType": "Parameters" });
        assert_eq!(
            ask("Patient/p1/$validate", nothing.clone()).await,
            ["information no-issues"],
            "what is stored"
        );
        server.post("Patient/$validate", &nothing).await.refused(400, "parameter-missing");
        server.post("Patient/$validate", &parameters("erase", &good)).await.refused(400, "bad-parameter");
        server.post("Patient/$validate", &json!({ "no": "resource" })).await.refused(400, "not-parameters");
        let run = "https://mjumbe.org/fhir/StructureDefinition/run-response";
        let response = json!({ "resourceType": "QuestionnaireResponse", "status": "completed",
            "identifier": { "system": "s", "value": "1" }, "questionnaire": "https://r.example.org/flow/1",
            "source": { "identifier": { "value": "c" } } });
        let found = ask(&format!("QuestionnaireResponse/$validate?profile={run}"), response.clone()).await;
        assert_eq!(found, ["error profile-cardinality"], "authored is missing");
        let found =
            ask("QuestionnaireResponse/$validate?profile=http://x.org/unknown", response.clone()).await;
        assert_eq!(found, ["error unknown-profile"]);
        // R4's own definitions, which the CapabilityStatement names.
        let own = |kind: &str| {
            format!("QuestionnaireResponse/$validate?mode=profile&profile=http://hl7.org/fhir/StructureDefinition/{kind}")
        };
        assert!(!ask(&own("QuestionnaireResponse"), response.clone()).await.iter().any(|one| one.contains("error")));
        assert_eq!(ask(&own("Patient"), response.clone()).await, ["error profile-type"]);
        let mut claiming = response;
        claiming["meta"] = json!({ "profile": [run] });
        let refused = server.post("QuestionnaireResponse", &claiming).await;
        refused.refused(422, "profile-cardinality");
        // A client that claims several must know which one it broke.
        let hint = refused.body["issue"][0]["diagnostics"].as_str().unwrap();
        assert!(hint.contains("StructureDefinition/run-response"), "{hint}");
        claiming["authored"] = "2026-01-01".into();
        assert_eq!(server.post("QuestionnaireResponse", &claiming).await.status, 201);
        server.stop().await;
    })
    .await;
}

/// Severity and code of each issue.
fn said(outcome: &Value) -> Vec<String> {
    assert_eq!(outcome["resourceType"], "OperationOutcome", "{outcome}");
    let issues = outcome["issue"].as_array().unwrap().iter();
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    issues
        .map(|one| format!("{} {}", text(&one["severity"]), text(&one["details"]["coding"][0]["code"])))
        .collect()
}
