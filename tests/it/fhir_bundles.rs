//! Transactions and batches over HTTP, as OpenSRP sends them.

use mjumbe::store::testing::each_store;
use reqwest::Method;
use serde_json::{Value, json};

use crate::server::{TestServer, answered};

const MOTHER: &str = "urn:uuid:1b671a64-40d5-491e-99b0-da01ff1f3341";

fn bundle(kind: &str, entries: Value) -> Value {
    json!({ "resourceType": "Bundle", "type": kind, "entry": entries })
}

fn statuses(answer: &Value) -> Vec<String> {
    let entries = answer["entry"].as_array().unwrap();
    entries.iter().map(|entry| entry["response"]["status"].as_str().unwrap()[..3].to_owned()).collect()
}

#[tokio::test]
async fn a_transaction_is_written_whole_with_its_references() {
    each_store(|store| async move {
        let server = TestServer::start(store).await;
        let sent = bundle(
            "transaction",
            json!([
                { "request": { "method": "GET", "url": "Patient?family=Uwase" } },
                {
                    "fullUrl": "Observation/o1",
                    "resource": { "resourceType": "Observation", "id": "o1", "status": "final", "code": { "text": "t" }, "subject": { "reference": MOTHER } },
                    "request": { "method": "PUT", "url": "Observation/o1" }
                },
                {
                    "fullUrl": MOTHER,
                    "resource": { "resourceType": "Patient", "name": [{ "family": "Uwase" }] },
                    "request": { "method": "POST", "url": "Patient" }
                }
            ]),
        );
        for path in ["", "/"] {
            let request = server.client.post(format!("{}/fhir{path}", server.url)).bearer_auth(&server.token);
            let answer = answered(request.header("content-type", "application/json").body(sent.to_string())).await;
            assert_eq!(answer.status, 200, "{}", answer.body);
            assert_eq!(answer.body["type"], "transaction-response");
        }
        let answer = server.post("", &sent).await;
        assert_eq!(statuses(&answer.body), ["200", "200", "201"]);
        let created = &answer.body["entry"][2]["response"];
        let location = created["location"].as_str().unwrap();
        let id = location.split('/').nth_back(2).unwrap();
        assert!(location.ends_with("/_history/1") && created["etag"] == "W/\"1\"", "{created}");
        assert_eq!(answer.body["entry"][0]["resource"]["total"], 3, "reads come last");
        let observation = server.get("Observation/o1").await;
        assert_eq!(observation.body["subject"]["reference"], format!("Patient/{id}"));
        server.stop().await;
    })
    .await;
}

#[tokio::test]
async fn a_transaction_fails_whole() {
    each_store(|store| async move {
        let server = TestServer::start(store).await;
        let good = json!({ "resource": { "resourceType": "Patient", "id": "p" }, "request": { "method": "PUT", "url": "Patient/p" } });
        let stale = json!({ "resource": { "resourceType": "Patient", "id": "q" }, "request": { "method": "PUT", "url": "Patient/q", "ifMatch": "W/\"7\"" } });
        server.post("", &bundle("transaction", json!([good, stale]))).await.refused(412, "version-conflict");
        let wrong = json!({ "resource": { "resourceType": "Patient", "birthDate": "soon" }, "request": { "method": "POST", "url": "Patient" } });
        let refused = server.post("", &bundle("transaction", json!([good, wrong]))).await;
        assert_eq!(refused.status, 400);
        assert_eq!(refused.body["issue"][0]["expression"][0], "Bundle.entry[1].resource.birthDate");
        server.get("Patient/p").await.refused(404, "not-found");
        server.post("", &json!({ "resourceType": "Bundle", "type": "collection" })).await.refused(400, "bundle-type");
        assert_eq!(server.post("", &bundle("transaction", json!([]))).await.status, 400, "R4 has no empty arrays");
        server.stop().await;
    })
    .await;
}

#[tokio::test]
async fn a_batch_answers_each_entry_for_itself() {
    each_store(|store| async move {
        let server = TestServer::start(store).await;
        let sent = bundle(
            "batch",
            json!([
                { "resource": { "resourceType": "Patient", "id": "p" }, "request": { "method": "PUT", "url": "Patient/p" } },
                { "request": { "method": "GET", "url": "Patient/absent" } },
                { "resource": { "resourceType": "Patient", "birthDate": "soon" }, "request": { "method": "POST", "url": "Patient" } },
                { "request": { "method": "DELETE", "url": "Patient/never" } },
                { "request": { "method": "PATCH", "url": "Patient/p" } }
            ]),
        );
        let answer = server.post("", &sent).await;
        assert_eq!(statuses(&answer.body), ["201", "404", "400", "204", "400"], "{}", answer.body);
        let outcome = &answer.body["entry"][2]["response"]["outcome"];
        assert_eq!(outcome["resourceType"], "OperationOutcome");
        assert_eq!(server.get("Patient/p").await.status, 200);

        let narrow = server.token("narrow", "system/Patient.cu").await;
        let request = server.client.post(format!("{}/fhir", server.url)).bearer_auth(narrow);
        let mixed = bundle(
            "batch",
            json!([
                { "resource": { "resourceType": "Patient", "id": "p" }, "request": { "method": "PUT", "url": "Patient/p" } },
                { "resource": { "resourceType": "Organization", "id": "o" }, "request": { "method": "PUT", "url": "Organization/o" } },
                { "request": { "method": "GET", "url": "Patient/p" } },
                { "request": { "method": "DELETE", "url": "Patient/p" } }
            ]),
        );
        let request = request.header("content-type", "application/fhir+json");
        let answer = answered(request.body(mixed.to_string())).await;
        assert_eq!(statuses(&answer.body), ["200", "403", "403", "403"], "{}", answer.body);
        server.stop().await;
    })
    .await;
}

#[tokio::test]
async fn a_transaction_needs_every_permission() {
    each_store(|store| async move {
        let server = TestServer::start(store).await;
        let narrow = server.token("narrow", "system/Patient.c").await;
        let send = |entry: Value| {
            let request = server.client.request(Method::POST, format!("{}/fhir", server.url)).bearer_auth(&narrow);
            let request = request.header("content-type", "application/fhir+json");
            answered(request.body(bundle("transaction", json!([entry])).to_string()))
        };
        let patient = json!({ "resourceType": "Patient" });
        let plain = json!({ "resource": patient, "request": { "method": "POST", "url": "Patient" } });
        assert_eq!(send(plain).await.status, 200);
        let conditional = json!({ "resource": patient, "request": { "method": "POST", "url": "Patient", "ifNoneExist": "gender=male" } });
        send(conditional).await.refused(403, "scope-missing");
        send(json!({ "request": { "method": "GET", "url": "Patient" } })).await.refused(403, "scope-missing");
        server.stop().await;
    })
    .await;
}
