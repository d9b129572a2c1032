//! Rows B and T: operations that a batch or transaction calls. <https://hl7.org/fhir/R4/operations.html>

use mjumbe::store::testing::each_store;
use serde_json::{Value, json};

use crate::server::{Answered, TestServer, answered};

fn entry(method: &str, url: &str) -> Value {
    json!({ "request": { "method": method, "url": url } })
}

fn called(url: &str, body: Value) -> Value {
    json!({ "resource": body, "request": { "method": "POST", "url": url } })
}

async fn send(server: &TestServer, kind: &str, entries: &Value) -> Answered {
    server.post("", &json!({ "resourceType": "Bundle", "type": kind, "entry": entries })).await
}

fn statuses(answer: &Answered) -> Vec<&str> {
    let entries = answer.body["entry"].as_array().unwrap_or_else(|| panic!("{}", answer.body));
    entries.iter().map(|entry| &entry["response"]["status"].as_str().unwrap()[..3]).collect()
}

fn tagged(code: &str) -> Value {
    json!({ "resourceType": "Parameters",
        "parameter": [{ "name": "meta", "valueMeta": { "tag": [{ "system": "urn:t", "code": code }] } }] })
}

async fn store_people(server: &TestServer) {
    let patient = json!({ "resourceType": "Patient", "id": "p1", "gender": "female", "birthDate": "2021-03-04",
        "identifier": [{ "system": "urn:card", "value": "7" }], "name": [{ "family": "Uwase", "given": ["Aline"] }] });
    let observation = json!({ "resourceType": "Observation", "id": "o1", "status": "final", "code": { "text": "t" },
        "subject": { "reference": "Patient/p1" } });
    let system = json!({ "resourceType": "CodeSystem", "id": "colours", "url": "urn:colours", "status": "active",
        "content": "complete", "concept": [{ "code": "red", "display": "Red" }, { "code": "blue", "display": "Blue" }] });
    let set = json!({ "resourceType": "ValueSet", "id": "colours", "url": "urn:colours:all", "status": "active",
        "compose": { "include": [{ "system": "urn:colours" }] } });
    for (path, body) in [
        ("Patient/p1", patient),
        ("Observation/o1", observation),
        ("CodeSystem/colours", system),
        ("ValueSet/colours", set),
    ] {
        assert_eq!(server.put(path, &body).await.status, 201);
    }
}

fn asked_for() -> Value {
    json!({ "resourceType": "Parameters", "parameter": [{ "name": "resource", "resource": {
        "resourceType": "Patient", "identifier": [{ "system": "urn:card", "value": "7" }], "birthDate": "2021-03-04" } }] })
}

#[tokio::test]
async fn b1_a_batch_calls_operations() {
    each_store(|store| async move {
        let server = TestServer::start(store).await;
        store_people(&server).await;
        let wrong = json!({ "resourceType": "Patient", "birthDate": "soon" });
        let sent = json!([
            entry("GET", "Patient/p1/$everything?_count=10"),
            entry("GET", "ValueSet/$expand?url=urn:colours:all&filter=bl"),
            called("Patient/$match", asked_for()),
            called("Patient/$validate", wrong),
            called("Patient/p1/$meta-add", tagged("seen")),
            entry("HEAD", "Patient/p1/$meta"),
            entry("GET", &format!("{}/fhir/CodeSystem/$lookup?system=urn:colours&code=red", server.url)),
            entry("GET", "Patient/p1/$meta-add"),
            entry("GET", "Patient/p1/$frobnicate"),
            entry("GET", "Patient/absent/$everything"),
            called("Patient/$match", json!({ "resourceType": "Observation" })),
            entry("PUT", "Patient/$match"),
            entry("GET", "ValueSet/$expand?url=urn:nobody"),
            entry("GET", "Patient/$ihe-pix?sourceIdentifier=urn:x|1"),
        ]);
        let answer = send(&server, "batch", &sent).await;
        assert_eq!(answer.body["type"], "batch-response", "{}", answer.body);
        let expected = [
            "200", "200", "200", "200", "200", "200", "200", "405", "404", "404", "400", "400", "404", "400",
        ];
        assert_eq!(statuses(&answer), expected, "{}", answer.body);
        let resource = |at: usize| &answer.body["entry"][at]["resource"];
        assert_eq!((&resource(0)["type"], &resource(0)["total"]), (&json!("searchset"), &json!(2)));
        assert!(resource(0)["link"].to_string().contains("/fhir/Patient/p1/$everything"), "{}", resource(0));
        let codes = resource(1)["expansion"]["contains"].as_array().unwrap();
        assert_eq!((codes.len(), &codes[0]["code"]), (1, &json!("blue")));
        assert_eq!(resource(2)["entry"][0]["resource"]["id"], "p1");
        assert!(resource(3)["issue"].to_string().contains("Patient.birthDate"), "{}", resource(3));
        assert_eq!(resource(4)["parameter"][0]["valueMeta"]["tag"][0]["code"], "seen");
        assert!(answer.body["entry"][5].get("resource").is_none());
        assert_eq!(resource(6)["resourceType"], "Parameters");
        for refused in 7..14 {
            let entry = &answer.body["entry"][refused];
            assert_eq!(entry["response"]["outcome"]["resourceType"], "OperationOutcome", "{entry}");
        }
        assert_eq!(server.ids("Patient?_tag=urn:t|seen").await, ["p1"]);
        // The whole answer is valid R4.
        let checked = server.post("Bundle/$validate", &answer.body).await;
        assert!(!checked.body.to_string().contains("\"severity\":\"error\""), "{}", checked.body);
        server.stop().await;
    })
    .await;
}

#[tokio::test]
async fn t6_a_transaction_calls_what_changes_nothing() {
    each_store(|store| async move {
        let server = TestServer::start(store).await;
        store_people(&server).await;
        let new = json!({ "resourceType": "Observation", "id": "o2", "status": "final", "code": { "text": "t" },
            "subject": { "reference": "Patient/p1" } });
        let write = json!({ "resource": new, "request": { "method": "PUT", "url": "Observation/o2" } });
        // It is called after what is written.
        let sent = json!([entry("GET", "Patient/p1/$everything"), write, called("Patient/$match", asked_for())]);
        let answer = send(&server, "transaction", &sent).await;
        assert_eq!(statuses(&answer), ["200", "201", "200"], "{}", answer.body);
        assert_eq!(answer.body["entry"][0]["resource"]["total"], 3);
        // What changes something is refused before anything is written.
        let mut other = write;
        other["resource"]["id"] = json!("o3");
        other["request"]["url"] = json!("Observation/o3");
        for (call, status, code) in [
            (called("Patient/p1/$meta-add", tagged("x")), 400, "not-supported"),
            (entry("GET", "Patient/p1/$meta-add"), 405, "method-not-allowed"),
            (entry("GET", "Patient/$frobnicate"), 404, "unknown-operation"),
        ] {
            let refused = send(&server, "transaction", &json!([other, call])).await;
            refused.refused(status, code);
            assert_eq!(refused.body["issue"][0]["expression"], json!(["Bundle.entry[1].request.url"]));
        }
        assert_eq!(server.get("Observation/o3").await.status, 404);
        server.stop().await;
    })
    .await;
}

#[tokio::test]
async fn b1_operations_in_a_bundle_have_their_own_scopes_and_limits() {
    each_store(|store| async move {
        let server = TestServer::start(store).await;
        store_people(&server).await;
        let as_client = async |scope: &str, kind: &str, entries: Value| {
            let token = server.token(scope, scope).await;
            let bundle = json!({ "resourceType": "Bundle", "type": kind, "entry": entries });
            let request = server.client.post(format!("{}/fhir", server.url)).bearer_auth(token);
            answered(request.header("content-type", "application/fhir+json").body(bundle.to_string())).await
        };
        let calls = json!([
            entry("GET", "Patient/p1/$meta"),
            called("Patient/p1/$meta-add", tagged("x")),
            called("Patient/$match", asked_for()),
            entry("GET", "ValueSet/$expand?url=urn:colours:all"),
        ]);
        let reader = as_client("system/Patient.r", "batch", calls).await;
        assert_eq!(statuses(&reader), ["200", "403", "403", "403"], "{}", reader.body);
        let whole =
            as_client("system/Patient.cru", "transaction", json!([called("Patient/$match", asked_for())]));
        whole.await.refused(403, "scope-missing");
        let many = |count: usize| Value::from(vec![entry("GET", "Patient/p1/$meta"); count]);
        assert_eq!(statuses(&send(&server, "batch", &many(100)).await), ["200"; 100]);
        send(&server, "batch", &many(101)).await.refused(400, "too-costly");
        server.stop().await;
    })
    .await;
}
