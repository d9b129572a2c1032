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
        server.get("Patient/$meta-add").await.refused(405, "method-not-allowed");
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
        server.get("Foo/$meta").await.refused(404, "unknown-type");
        let near = server.post("Patient/p1/$meta-ad", &json!({ "resourceType": "Parameters" })).await;
        assert!(near.body["issue"][0]["diagnostics"].to_string().contains("$meta-add"), "{}", near.body);
        server.stop().await;
    })
    .await;
}
