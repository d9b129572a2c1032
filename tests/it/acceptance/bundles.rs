//! Rows B and T: batch and transaction. <https://hl7.org/fhir/R4/http.html#transaction>

use mjumbe::store::testing::each_store;
use serde_json::{Value, json};

use crate::server::TestServer;

fn bundle(kind: &str, entries: Value) -> Value {
    json!({ "resourceType": "Bundle", "type": kind, "entry": entries })
}

#[tokio::test]
async fn t9_a_fhirpath_patch_is_an_entry_too() {
    each_store(|store| async move {
        let server = TestServer::start(store).await;
        let body = json!({ "resourceType": "Patient", "id": "1", "active": true, "identifier": [{ "value": "x" }] });
        server.put("Patient/1", &body).await;
        let entry = |url: &str, path: &str, value: Value| {
            let parts = json!([
                { "name": "type", "valueCode": "replace" }, { "name": "path", "valueString": path },
                { "name": "value", "valueBoolean": value }
            ]);
            json!({
                "resource": { "resourceType": "Parameters", "parameter": [{ "name": "operation", "part": parts }] },
                "request": { "method": "PATCH", "url": url }
            })
        };
        let wrong = entry("Patient/1", "Patient.photo", json!(false));
        let send = |kind: &str, entries: Value| {
            let sent = bundle(kind, entries);
            let server = &server;
            async move { server.post("", &sent).await }
        };
        let refused = send("transaction", json!([wrong])).await;
        refused.refused(422, "patch-path");
        let right = entry("Patient?identifier=x", "Patient.active", json!(false));
        let done = send("transaction", json!([right])).await;
        assert_eq!(done.body["entry"][0]["response"]["etag"], "W/\"2\"", "{}", done.body);
        let both = send("batch", json!([wrong, entry("Patient/1", "Patient.active", json!(true))])).await;
        assert_eq!(both.body["entry"][0]["response"]["status"], "422 Unprocessable Entity");
        assert_eq!(both.body["entry"][0]["response"]["outcome"]["resourceType"], "OperationOutcome");
        assert_eq!(both.body["entry"][1]["response"]["etag"], "W/\"3\"");
        let twice = json!([entry("Patient/1", "Patient.active", json!(true)), entry("Patient?identifier=x", "Patient.active", json!(false))]);
        send("transaction", twice).await.refused(400, "duplicate-identity");
        server.stop().await;
    })
    .await;
}
