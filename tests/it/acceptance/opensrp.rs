//! OpenSRP 2 (FHIR Core on Google's FHIR Engine) against Mjumbe: what its app uploads, request by request.

use std::io::Write;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use mjumbe::fhir::client::Profile;
use mjumbe::store::testing::each_store;
use reqwest::Method;
use serde_json::{Value, json};

use crate::server::{Answered, TestServer, answered};

fn id(n: usize) -> String {
    format!("6ba7b810-9dad-11d1-80b4-{n:012}")
}

fn patient(n: usize, family: &str) -> Value {
    json!({
        "resourceType": "Patient", "id": id(n),
        "meta": { "tag": [{ "system": "https://smartregister.org/care-team-tag-id", "code": "team-1" }] },
        "name": [{ "use": "official", "family": family, "given": ["A"] }], "active": true
    })
}

fn put(n: usize, family: &str) -> Value {
    let url = format!("Patient/{}", id(n));
    json!({ "fullUrl": url, "resource": patient(n, family), "request": { "method": "PUT", "url": url } })
}

/// What the engine makes of a local change: a Binary that holds a JSON Patch.
fn patch(n: usize, operations: &Value, version: &str) -> Value {
    let url = format!("Patient/{}", id(n));
    let data = STANDARD.encode(operations.to_string());
    json!({
        "fullUrl": url,
        "resource": { "resourceType": "Binary", "contentType": "application/json-patch+json", "data": data },
        "request": { "method": "PATCH", "url": url, "ifMatch": format!("W/\"{version}\"") }
    })
}

fn delete(n: usize) -> Value {
    let url = format!("Patient/{}", id(n));
    json!({ "fullUrl": url, "request": { "method": "DELETE", "url": url } })
}

/// Uploads a transaction as the app does: gzip, at the base with or without a slash, either media type.
async fn upload(server: &TestServer, place: &str, media: &str, entries: &[Value]) -> Answered {
    let bundle = json!({ "resourceType": "Bundle", "type": "transaction", "entry": entries });
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    gzip.write_all(bundle.to_string().as_bytes()).unwrap();
    let request = server.client.request(Method::POST, format!("{}/fhir{place}", server.url));
    let request = request.bearer_auth(&server.token).header("content-type", media);
    answered(request.header("content-encoding", "gzip").body(gzip.finish().unwrap())).await
}

fn rename(family: &str) -> Value {
    json!([{ "op": "replace", "path": "/name/0/family", "value": family }])
}

/// Patients 0 to 249 at version 3.
async fn first_uploads(server: &TestServer) {
    for family in ["One", "Two", "Three"] {
        let entries: Vec<Value> = (0..250).map(|n| put(n, family)).collect();
        let answer = upload(server, "", "application/fhir+json", &entries).await;
        assert_eq!(answer.status, 200, "{}", answer.body);
    }
}

#[tokio::test]
async fn t9_an_upload_of_500_entries_is_answered_entry_by_entry() {
    each_store(|store| async move {
        let server = TestServer::start(store).await;
        first_uploads(&server).await;
        let entries: Vec<Value> = (0..500)
            .map(|n| match n {
                0..150 => patch(n, &rename("Patched"), "3"),
                150..250 => delete(n),
                _ => put(n, "New"),
            })
            .collect();
        let answer = upload(&server, "/", "application/json", &entries).await;
        assert_eq!(answer.status, 200, "{}", answer.body);
        assert_eq!(answer.body["type"], "transaction-response");
        let answers = answer.body["entry"].as_array().unwrap();
        assert_eq!(answers.len(), 500);
        for (n, entry) in answers.iter().enumerate() {
            assert!(
                entry.get("resource").is_none_or(|resource| resource["resourceType"] == "Patient"),
                "{entry}"
            );
            let response = &entry["response"];
            let (status, version) = match n {
                0..150 => ("200 OK", 4),
                150..250 => ("204 No Content", 4),
                _ => ("201 Created", 1),
            };
            assert_eq!(response["status"], status, "{n}: {entry}");
            assert_eq!(response["etag"], format!("W/\"{version}\""));
            assert!(response["lastModified"].as_str().unwrap().starts_with("20"));
            if !(150..250).contains(&n) {
                let place = format!("{}/fhir/Patient/{}/_history/{version}", server.url, id(n));
                assert_eq!(response["location"], place);
            }
        }
        let read = server.get(&format!("Patient/{}", id(7))).await;
        assert_eq!(read.body["name"][0]["family"], "Patched");
        assert_eq!(read.body["meta"]["tag"][0]["code"], "team-1", "tags stay");
        server.get(&format!("Patient/{}", id(200))).await.refused(410, "deleted");
        assert_eq!(server.get("Patient?family=patched&_summary=count").await.body["total"], 150);
        server.stop().await;
    })
    .await;
}

#[tokio::test]
async fn t9_a_stale_patch_refuses_the_whole_upload() {
    each_store(|store| async move {
        let server = TestServer::start(store).await;
        first_uploads(&server).await;
        let stale = [put(300, "New"), patch(1, &rename("Patched"), "2"), delete(2)];
        let answer = upload(&server, "", "application/fhir+json", &stale).await;
        answer.refused(412, "version-conflict");
        assert_eq!(answer.body["issue"][0]["expression"][0], "Bundle.entry[1].resource");
        let wrong = [put(300, "New"), patch(1, &json!([{ "op": "remove", "path": "/photo" }]), "3")];
        upload(&server, "", "application/fhir+json", &wrong).await.refused(422, "patch-path");
        assert_eq!(server.get(&format!("Patient/{}", id(300))).await.status, 404);
        assert_eq!(server.get(&format!("Patient/{}", id(1))).await.header("etag"), "W/\"3\"");
        assert_eq!(server.get(&format!("Patient/{}", id(2))).await.status, 200);
        server.stop().await;
    })
    .await;
}

/// As its app saves a submitted form: what it generated is contained, and nothing in the form refers to it.
fn form(id: &str) -> Value {
    let list = json!({
        "resourceType": "List", "id": "2b1c", "status": "current", "mode": "working", "title": "GeneratedResourcesList",
        "date": "2026-11-21T09:00:00+03:00", "entry": [{ "item": { "reference": "Encounter/6f0e" } }],
    });
    json!({
        "resourceType": "QuestionnaireResponse", "id": id, "contained": [list], "status": "completed",
        "questionnaire": "Questionnaire/child-registration", "authored": "2026-11-21T09:00:00+03:00",
        "item": [{ "linkId": "name", "answer": [{ "valueString": "A" }] }],
    })
}

#[tokio::test]
async fn a_submitted_form_goes_up_as_it_is_and_can_be_changed() {
    each_store(|store| async move {
        let mut server = TestServer::start(store).await;
        let url = "QuestionnaireResponse/f1";
        let entries = [
            put(1, "One"),
            json!({ "fullUrl": url, "resource": form("f1"), "request": { "method": "PUT", "url": url } }),
        ];
        let strict = upload(&server, "", "application/fhir+json", &entries).await;
        strict.refused(400, "dom-3");
        server.become_client(Profile::OpenSrp).await;
        let answer = upload(&server, "", "application/fhir+json", &entries).await;
        assert_eq!(answer.status, 200, "{}", answer.body);
        let place = "Bundle.entry[1].resource.contained[0]";
        assert_eq!(answer.header("mjumbe-repaired"), format!("contained-unused {place}"));
        let warning = &answer.body["entry"][1]["response"]["outcome"]["issue"][0];
        assert_eq!((&warning["severity"], &warning["expression"][0]), (&json!("warning"), &json!(place)));
        let mut read = server.get(url).await.body;
        read.as_object_mut().unwrap().remove("meta");
        assert_eq!(read, form("f1"), "as it was sent");
        // Changed on the phone: a JSON Patch of what still contains it.
        let changed = json!([{ "op": "replace", "path": "/item/0/answer/0/valueString", "value": "B" }]);
        let data = STANDARD.encode(changed.to_string());
        let binary =
            json!({ "resourceType": "Binary", "contentType": "application/json-patch+json", "data": data });
        let patch =
            json!({ "resource": binary, "request": { "method": "PATCH", "url": url, "ifMatch": "W/\"1\"" } });
        let answer = upload(&server, "", "application/fhir+json", &[patch]).await;
        assert_eq!(answer.body["entry"][0]["response"]["status"], "200 OK", "{}", answer.body);
        // What else is wrong is refused as ever.
        let mut wrong = form("f2");
        wrong["status"] = json!("done");
        server.put("QuestionnaireResponse/f2", &wrong).await.refused(400, "unknown-code");
        assert_eq!(server.put("QuestionnaireResponse/f2", &form("f2")).await.status, 201);
        server.stop().await;
    })
    .await;
}

/// The app asks for the newest configuration that its own version can read: the highest number up to its own.
#[tokio::test]
async fn s11_the_newest_configuration_up_to_the_apps_version_is_found() {
    each_store(|store| async move {
        let server = TestServer::start(store).await;
        let guide = |id: &str, name: &str, version: f64| {
            json!({
                "resourceType": "ImplementationGuide", "id": id, "url": format!("http://example.org/{id}"), "name": name,
                "status": "active", "packageId": "org.example.app", "fhirVersion": ["4.0.1"],
                "useContext": [{ "code": { "system": "http://example.org/context", "code": "version" },
                    "valueQuantity": { "value": version } }]
            })
        };
        for guide in
            [guide("g1", "app", 1.0), guide("g10", "app", 10.0), guide("g2", "app", 2.5), guide("x", "other", 3.0)]
        {
            let path = format!("ImplementationGuide/{}", guide["id"].as_str().unwrap());
            assert_eq!(server.put(&path, &guide).await.status, 201);
        }
        for (version, expected) in [("1", "g1"), ("9", "g2"), ("2.5", "g2"), ("10", "g10"), ("0", "")] {
            let asked = format!(
                "ImplementationGuide?&name:exact=app&context-quantity=le{version}&_sort=-context-quantity&_count=1"
            );
            let found = server.get(&asked).await;
            assert_eq!(found.status, 200, "{}", found.body);
            let ids: Vec<String> =
                found.entries("match").iter().map(|one| one["id"].as_str().unwrap().to_owned()).collect();
            assert_eq!(ids.join(","), expected, "{version}: {}", found.body);
        }
        server.stop().await;
    })
    .await;
}

/// Its SDK stores every entry of a page as it comes.
#[tokio::test]
async fn a_page_for_the_app_holds_only_what_is_stored() {
    each_store(|store| async move {
        let mut server = TestServer::start(store).await;
        first_uploads(&server).await;
        let search = "Patient?_syncLocations=1,2&summary=count&_sort=_lastUpdated&_count=200";
        assert_eq!(server.get(search).await.entries("outcome").len(), 1, "everybody else is told");
        server.become_client(Profile::OpenSrp).await;
        let mut page = server.get(search).await;
        let mut seen = 0;
        loop {
            let entries = page.body["entry"].as_array().unwrap();
            assert!(
                entries.iter().all(|entry| entry["resource"]["resourceType"] == "Patient"),
                "{}",
                page.body
            );
            seen += entries.len();
            let Some(next) = page.link("next") else { break };
            page = answered(server.client.get(&next).bearer_auth(&server.token)).await;
        }
        assert_eq!(seen, 250);
        let strict = answered(server.request(Method::GET, search).header("prefer", "handling=strict")).await;
        assert_eq!(strict.status, 400, "who asks for it is told");
        server.stop().await;
    })
    .await;
}
