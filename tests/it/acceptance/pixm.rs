//! PIXm: what a merge moves (<https://profiles.ihe.net/ITI/PIXm/ITI-104.html>), and which identifiers belong together
//! (<https://profiles.ihe.net/ITI/PIXm/ITI-83.html>).

use mjumbe::store::testing::each_store;
use reqwest::Method;
use serde_json::{Value, json};

use crate::server::{Answered, TestServer, answered};

const RED: &str = "urn:oid:1.3.6.1.4.1.21367.13.20.1000";
const BLUE: &str = "urn:oid:1.3.6.1.4.1.21367.13.20.3000";

async fn store(server: &TestServer, resource: &Value) {
    let path = format!("{}/{}", resource["resourceType"].as_str().unwrap(), resource["id"].as_str().unwrap());
    let stored = server.put(&path, resource).await;
    assert!(stored.status.is_success(), "{path}: {}", stored.body);
}

fn patient(id: &str, value: &str) -> Value {
    json!({ "resourceType": "Patient", "id": id, "active": true, "identifier": [{ "system": RED, "value": value }] })
}

/// The duplicate, which names who stays by an identifier.
fn replaced(id: &str, value: &str, stays: &str) -> Value {
    let mut patient = patient(id, value);
    patient["active"] = json!(false);
    let identifier = json!({ "system": RED, "value": stays });
    patient["link"] = json!([{ "other": { "identifier": identifier }, "type": "replaced-by" }]);
    patient
}

fn observation(id: &str, subject: &str) -> Value {
    json!({ "resourceType": "Observation", "id": id, "status": "final", "code": { "text": "weight" },
        "subject": { "reference": subject } })
}

fn basic(subject: &str) -> Value {
    json!({ "resourceType": "Basic", "code": { "text": "x" }, "subject": { "reference": subject } })
}

/// Two Patients of one person, and what refers to the one that is to go.
async fn two_of_one(server: &TestServer) {
    let mut stays = patient("stays", "994");
    stays["link"] = json!([{ "other": { "reference": "Patient/dup" }, "type": "replaces" }]);
    store(server, &patient("dup", "m94")).await;
    store(server, &stays).await;
    let mut seen = observation("seen", "Patient/dup");
    seen["focus"] = json!([{ "reference": "Patient/dup/_history/1" }]);
    seen["extension"] = json!([{ "url": "urn:x", "valueReference": { "reference": "Patient/dup" } }]);
    for resource in [
        seen,
        observation("other", "Patient/stays"),
        json!({ "resourceType": "Encounter", "id": "visit", "status": "finished",
            "class": { "code": "AMB" }, "subject": { "reference": "Patient/dup" } }),
        json!({ "resourceType": "Group", "id": "ward", "type": "person", "actual": true,
            "member": [{ "entity": { "reference": "Patient/stays" } }, { "entity": { "reference": "Patient/dup" } }] }),
        json!({ "resourceType": "Provenance", "id": "made", "recorded": "2026-11-21T06:15:00Z",
            "target": [{ "reference": "Patient/dup" }], "agent": [{ "who": { "display": "clerk" } }] }),
    ] {
        store(server, &resource).await;
    }
}

async fn merge(server: &TestServer, duplicate: &Value) -> Answered {
    let path = format!("Patient?identifier={RED}|m94");
    let request = server.with_body(Method::PUT, &path, duplicate).header("prefer", "return=OperationOutcome");
    answered(request).await
}

fn codes(outcome: &Value) -> Vec<&str> {
    let issues = outcome["issue"].as_array().unwrap();
    issues.iter().filter_map(|issue| issue["details"]["coding"][0]["code"].as_str()).collect()
}

async fn total(server: &TestServer, search: &str) -> u64 {
    server.get(search).await.body["total"].as_u64().unwrap()
}

#[tokio::test]
async fn pixm_iti_104_a_merge_moves_what_refers_to_the_duplicate() {
    each_store(|db| async move {
        let server = TestServer::start(db).await;
        two_of_one(&server).await;
        let told = merge(&server, &replaced("dup", "m94", "994")).await;
        assert_eq!(
            (told.status.as_u16(), codes(&told.body)),
            (200, vec!["written", "merged"]),
            "{}",
            told.body
        );
        assert!(told.body["issue"][1]["details"]["text"].as_str().unwrap().starts_with("3 resources"));

        let seen = server.get("Observation/seen").await;
        assert_eq!(seen.header("etag"), "W/\"2\"");
        assert_eq!(seen.body["subject"]["reference"], "Patient/stays");
        assert_eq!(seen.body["extension"][0]["valueReference"]["reference"], "Patient/stays");
        assert_eq!(
            seen.body["focus"][0]["reference"], "Patient/dup/_history/1",
            "a version stays what it was"
        );
        assert_eq!(server.get("Observation/seen/_history").await.body["total"], 2);
        assert_eq!(server.get("Encounter/visit").await.body["subject"]["reference"], "Patient/stays");
        let ward = server.get("Group/ward").await.body;
        assert_eq!(ward["member"][1]["entity"]["reference"], "Patient/stays");
        // The index went with it.
        assert_eq!(total(&server, "Observation?subject=Patient/stays").await, 2);
        assert_eq!(total(&server, "Observation?subject=Patient/dup").await, 0);
        assert_eq!(total(&server, "Encounter?patient.identifier=994").await, 1);
        // Who is whose, and what was, stays.
        assert_eq!(server.get("Provenance/made").await.header("etag"), "W/\"1\"");
        assert_eq!(server.get("Observation/other").await.header("etag"), "W/\"1\"");
        let stays = server.get("Patient/stays").await;
        assert_eq!(
            (stays.header("etag"), &stays.body["link"][0]["other"]["reference"]),
            ("W/\"1\"", &json!("Patient/dup"))
        );

        // Told again: what came for the duplicate since then follows.
        store(&server, &observation("late", "Patient/dup")).await;
        let again = merge(&server, &replaced("dup", "m94", "994")).await;
        assert!(again.body["issue"][1]["details"]["text"].as_str().unwrap().starts_with("1 resources"));
        assert_eq!(server.get("Observation/late").await.body["subject"]["reference"], "Patient/stays");
        assert_eq!(server.get("Patient/dup").await.header("etag"), "W/\"2\"", "nothing changed in it");
        server.stop().await;
    })
    .await;
}

#[tokio::test]
async fn pixm_iti_104_a_patch_and_a_transaction_merge_too() {
    each_store(|db| async move {
        let server = TestServer::start(db).await;
        two_of_one(&server).await;
        let link = json!([{ "other": { "reference": "Patient/stays" }, "type": "replaced-by" }]);
        let patch = json!([{ "op": "replace", "path": "/active", "value": false }, { "op": "add", "path": "/link", "value": link }]);
        let request = server.request(Method::PATCH, "Patient/dup").header("content-type", "application/json-patch+json");
        assert_eq!(answered(request.body(patch.to_string())).await.status, 200);
        assert_eq!(server.get("Observation/seen").await.body["subject"]["reference"], "Patient/stays");

        // Who stays, who goes and what refers to whom, all at once.
        let entry = |method: &str, url: &str, resource: Value| {
            json!({ "request": { "method": method, "url": url }, "resource": resource })
        };
        let entries = json!([
            entry("PUT", "Patient/b", replaced("b", "b", "a")),
            entry("PUT", "Patient/a", patient("a", "a")),
            entry("PUT", "Observation/new", observation("new", "Patient/b")),
        ]);
        let bundle = json!({ "resourceType": "Bundle", "type": "transaction", "entry": entries });
        let done = server.post("", &bundle).await;
        assert_eq!(done.status, 200, "{}", done.body);
        assert_eq!(codes(&done.body["entry"][0]["response"]["outcome"]), ["merged"]);
        assert_eq!(done.body["entry"].as_array().unwrap().len(), 3);
        assert_eq!(server.get("Observation/new").await.body["subject"]["reference"], "Patient/a");
        assert_eq!(total(&server, "Observation?subject=Patient/a").await, 1);
        server.stop().await;
    })
    .await;
}

#[tokio::test]
async fn pixm_iti_104_what_is_not_clear_is_stored_and_not_merged() {
    each_store(|db| async move {
        let server = TestServer::start(db).await;
        two_of_one(&server).await;
        store(&server, &patient("twin-1", "twin")).await;
        store(&server, &patient("twin-2", "twin")).await;
        store(&server, &replaced("gone", "gone", "994")).await;
        for unclear in ["nobody", "twin", "gone", "m94"] {
            let told = merge(&server, &replaced("dup", "m94", unclear)).await;
            assert_eq!(
                (told.status.as_u16(), codes(&told.body)),
                (200, vec!["written", "not-merged"]),
                "{unclear}"
            );
            assert_eq!(told.body["issue"][1]["severity"], "warning");
            assert_eq!(
                server.get("Patient/dup").await.body["link"][0]["other"]["identifier"]["value"],
                unclear
            );
        }
        let mut two = replaced("dup", "m94", "994");
        let link = two["link"][0].clone();
        two["link"].as_array_mut().unwrap().push(link);
        assert_eq!(codes(&merge(&server, &two).await.body), ["written", "not-merged"]);
        assert_eq!(server.get("Observation/seen").await.header("etag"), "W/\"1\"");
        server.stop().await;
    })
    .await;
}

#[tokio::test]
async fn pixm_iti_104_a_merge_is_no_way_round_a_scope() {
    each_store(|db| async move {
        let server = TestServer::start(db).await;
        two_of_one(&server).await;
        let with = async |token: String| {
            let request = server.client.put(format!("{}/fhir/Patient/dup", server.url)).bearer_auth(token);
            let body = replaced("dup", "m94", "994").to_string();
            answered(request.header("content-type", "application/fhir+json").body(body)).await
        };
        let patients = with(server.token("feed", "system/Patient.cruds").await).await;
        patients.refused(403, "scope-missing");
        let some = "system/Patient.cruds system/Encounter.cruds system/Group.cruds";
        let some = with(server.token("some", some).await).await;
        some.refused(403, "scope-missing");
        assert!(some.body["issue"][0]["details"]["text"].as_str().unwrap().contains("system/Observation.u"));
        for path in ["Patient/dup", "Encounter/visit", "Observation/seen"] {
            assert_eq!(server.get(path).await.header("etag"), "W/\"1\"", "{path}");
        }
        // Who may not search is not told who has which identifier.
        let blind = "system/Patient.u system/Encounter.u system/Group.u system/Observation.u";
        assert_eq!(with(server.token("blind", blind).await).await.status, 200);
        assert_eq!(server.get("Encounter/visit").await.header("etag"), "W/\"1\"");
        let all = "system/Patient.us system/Encounter.u system/Group.u system/Observation.u";
        assert_eq!(with(server.token("all", all).await).await.status, 200);
        assert_eq!(server.get("Encounter/visit").await.header("etag"), "W/\"2\"");
        server.stop().await;
    })
    .await;
}

/// A history of another server is told again: what the Patient is in the end counts.
#[tokio::test]
async fn pixm_iti_104_who_was_a_duplicate_once_is_not_merged() {
    each_store(|db| async move {
        let server = TestServer::start(db).await;
        two_of_one(&server).await;
        let told = |resource: Value| {
            json!({ "fullUrl": "http://other.org/fhir/Patient/dup", "resource": resource,
                "request": { "method": "PUT", "url": "Patient/dup" }, "response": { "status": "200" } })
        };
        // Newest first.
        let history = json!({ "resourceType": "Bundle", "type": "history", "entry": [
            told(patient("dup", "m95")), told(replaced("dup", "m94", "994"))
        ] });
        let answer = server.post("", &history).await;
        assert_eq!(answer.status, 200, "{}", answer.body);
        assert_eq!(server.get("Patient/dup").await.body["active"], true);
        assert_eq!(server.get("Encounter/visit").await.header("etag"), "W/\"1\"");
        server.stop().await;
    })
    .await;
}

/// Observations of the duplicate arrive while it is merged.
#[tokio::test]
async fn pixm_iti_104_nothing_is_lost_between_writers() {
    each_store(|db| async move {
        let server = TestServer::start(db).await;
        two_of_one(&server).await;
        let duplicate = replaced("dup", "m94", "994");
        let writes = futures::future::join_all((0..40).map(|n| {
            let resource = observation(&format!("o{n}"), "Patient/dup");
            let server = &server;
            async move { server.put(&format!("Observation/o{n}"), &resource).await.status }
        }));
        let (writes, merged) = futures::future::join(writes, merge(&server, &duplicate)).await;
        assert!(writes.iter().all(|status| *status == 201));
        assert_eq!(merged.status, 200, "{}", merged.body);
        for n in 0..40 {
            let path = format!("Observation/o{n}");
            let read = server.get(&path).await;
            // Before the merge: moved, as a new version. After it: as it was told.
            let subject = read.body["subject"]["reference"].as_str().unwrap();
            let expected = if read.header("etag") == "W/\"2\"" { "Patient/stays" } else { "Patient/dup" };
            assert_eq!(subject, expected, "{path}");
        }
        assert_eq!(merge(&server, &duplicate).await.status, 200);
        assert_eq!(total(&server, "Observation?subject=Patient/dup").await, 0);
        assert_eq!(total(&server, "Observation?subject=Patient/stays").await, 42);
        server.stop().await;
    })
    .await;
}

#[tokio::test]
async fn pixm_iti_104_a_merge_is_bounded() {
    each_store(|db| async move {
        let server = TestServer::start(db).await;
        two_of_one(&server).await;
        let entry =
            json!({ "request": { "method": "POST", "url": "Basic" }, "resource": basic("Patient/dup") });
        let bundle = json!({ "resourceType": "Bundle", "type": "transaction", "entry": vec![entry; 1_998] });
        assert_eq!(server.post("", &bundle).await.status, 200);
        merge(&server, &replaced("dup", "m94", "994")).await.refused(422, "merge-too-large");
        assert_eq!(server.get("Patient/dup").await.header("etag"), "W/\"1\"");
        server.delete("Observation/seen").await;
        let told = merge(&server, &replaced("dup", "m94", "994")).await;
        assert!(
            told.body["issue"][1]["details"]["text"].as_str().unwrap().starts_with("2000 resources"),
            "{}",
            told.body
        );
        assert_eq!(total(&server, "Basic?subject=Patient/stays").await, 1_998);
        server.stop().await;
    })
    .await;
}

#[tokio::test]
async fn pixm_iti_83_tells_the_other_identifiers() {
    each_store(|db| async move {
        let server = TestServer::start(db).await;
        let mut stays = patient("stays", "994");
        let blue = json!({ "system": BLUE, "value": "b994", "use": "official" });
        stays["identifier"].as_array_mut().unwrap().push(blue.clone());
        store(&server, &stays).await;
        store(&server, &replaced("dup", "m94", "994")).await;
        let ask = async |query: &str| server.get(&format!("Patient/$ihe-pix?{query}")).await;
        let found = ask(&format!("sourceIdentifier={RED}|994")).await;
        assert_eq!(found.status, 200, "{}", found.body);
        let at = json!({ "reference": format!("{}/fhir/Patient/stays", server.url) });
        assert_eq!(found.body["parameter"], json!([
            { "name": "targetIdentifier", "valueIdentifier": blue }, { "name": "targetId", "valueReference": at }
        ]));
        // A duplicate leads to the one that stays.
        let found = ask(&format!("sourceIdentifier={RED}|m94&targetSystem={RED}")).await;
        assert_eq!(found.body["parameter"], json!([
            { "name": "targetIdentifier", "valueIdentifier": { "system": RED, "value": "994" } },
            { "name": "targetId", "valueReference": at }
        ]));
        let by_post = json!({ "resourceType": "Parameters", "parameter": [
            { "name": "sourceIdentifier", "valueIdentifier": { "system": BLUE, "value": "b994" } },
            { "name": "targetSystem", "valueUri": RED }
        ] });
        let found = server.post("Patient/$ihe-pix", &by_post).await;
        assert_eq!(found.body["parameter"][0]["valueIdentifier"]["value"], "994", "{}", found.body);

        for (query, status, code, text) in [
            (format!("sourceIdentifier={RED}|7"), 404, "not-found", "sourceIdentifier Patient Identifier not found"),
            ("sourceIdentifier=urn:no|7".to_owned(), 400, "code-invalid", "sourceIdentifier Assigning Authority not found"),
            (format!("sourceIdentifier={RED}|994&targetSystem=urn:no"), 403, "code-invalid", "targetSystem not found"),
        ] {
            let refused = ask(&query).await;
            let issue = &refused.body["issue"][0];
            assert_eq!((refused.status.as_u16(), &issue["code"]), (status, &json!(code)), "{query}");
            assert_eq!(issue["diagnostics"], text);
        }
        for wrong in ["", "sourceIdentifier=994", "sourceIdentifier=|994", "sourceIdentifier=urn:a|"] {
            ask(wrong).await.refused(400, "bad-parameter");
        }
        let blind = server.client.get(format!("{}/fhir/Patient/$ihe-pix?sourceIdentifier={RED}|994", server.url));
        let blind = blind.bearer_auth(server.token("blind", "system/Observation.rs").await);
        answered(blind).await.refused(403, "scope-missing");
        let statement = server.get("metadata").await.body;
        let patient = statement["rest"][0]["resource"].as_array().unwrap().iter().find(|one| one["type"] == "Patient").unwrap();
        let named = |one: &&Value| one["name"] == "ihe-pix";
        assert!(patient["operation"].as_array().unwrap().iter().any(|one| named(&one)));
        server.stop().await;
    })
    .await;
}
