//! Create, read, update, delete and history over HTTP.

use mjumbe::store::testing::each_store;
use reqwest::Method;
use serde_json::{Value, json};

use crate::server::{TestServer, answered};

fn patient(family: &str) -> Value {
    json!({ "resourceType": "Patient", "name": [{ "family": family }], "birthDate": "2021-03-04" })
}

#[tokio::test]
async fn a_resource_lives_and_ends() {
    each_store(|store| async move {
        let server = TestServer::start(store).await;
        let created = server.post("Patient", &patient("Uwase")).await;
        assert_eq!(created.status, 201, "{}", created.body);
        let id = created.body["id"].as_str().unwrap().to_owned();
        assert_eq!(created.header("etag"), "W/\"1\"");
        assert_eq!(created.header("location"), format!("{}/fhir/Patient/{id}/_history/1", server.url));
        assert_eq!(created.header("content-type"), "application/fhir+json; charset=utf-8");
        assert!(created.header("last-modified").ends_with("GMT"));

        let path = format!("Patient/{id}");
        let mut body = patient("Mukamana");
        body["id"] = json!(id);
        let updated = server.put(&path, &body).await;
        assert_eq!((updated.status.as_u16(), updated.header("etag")), (200, "W/\"2\""));
        assert_eq!(server.put(&path, &body).await.header("etag"), "W/\"2\"", "unchanged: no new version");

        let read = server.get(&path).await;
        assert_eq!(read.body["name"][0]["family"], "Mukamana");
        assert_eq!(read.body["meta"]["versionId"], "2");
        assert_eq!(server.get(&format!("{path}/_history/1")).await.body["name"][0]["family"], "Uwase");

        let deleted = server.delete(&path).await;
        assert_eq!(deleted.status, 204);
        server.get(&path).await.refused(410, "deleted");
        server.get(&format!("{path}/_history/3")).await.refused(410, "deleted");
        assert_eq!(server.delete(&path).await.status, 204, "deleting again is no error");
        assert_eq!(server.delete("Patient/never").await.status, 204);
        assert_eq!(server.get("Patient").await.body["total"], 0);

        let history = server.get(&format!("{path}/_history")).await;
        let methods: Vec<&str> = history.body["entry"]
            .as_array()
            .unwrap()
            .iter()
            .map(|entry| entry["request"]["method"].as_str().unwrap())
            .collect();
        assert_eq!(methods, ["DELETE", "PUT", "POST"]);
        assert!(history.body["entry"][0].get("resource").is_none());
        assert_eq!(server.put(&path, &body).await.status, 201, "an update brings it back");
        server.stop().await;
    })
    .await;
}

#[tokio::test]
async fn a_client_may_choose_the_id() {
    each_store(|store| async move {
        let server = TestServer::start(store).await;
        let mut body = patient("A");
        body["id"] = json!("chosen-1");
        assert_eq!(server.put("Patient/chosen-1", &body).await.status, 201);
        server.put("Patient/other", &body).await.refused(400, "id-mismatch");
        server.put("Patient/none", &patient("A")).await.refused(400, "id-missing");
        server.put("Patient/not_an_id", &body).await.refused(400, "bad-id");
        server.post("Observation", &patient("A")).await.refused(400, "type-mismatch");
        server.stop().await;
    })
    .await;
}

#[tokio::test]
async fn conditions_hold() {
    each_store(|store| async move {
        let server = TestServer::start(store).await;
        let mut body = patient("A");
        body["id"] = json!("1");
        server.put("Patient/1", &body).await;
        body["birthDate"] = json!("2022");
        let matched = |tag: &str| server.with_body(Method::PUT, "Patient/1", &body).header("if-match", tag);
        assert_eq!(answered(matched("W/\"1\"")).await.header("etag"), "W/\"2\"");
        body["birthDate"] = json!("2023");
        let matched = |tag: &str| server.with_body(Method::PUT, "Patient/1", &body).header("if-match", tag);
        answered(matched("W/\"1\"")).await.refused(412, "version-conflict");
        answered(matched("nonsense")).await.refused(400, "bad-etag");
        let delete = server.request(Method::DELETE, "Patient/1").header("if-match", "W/\"1\"");
        answered(delete).await.refused(412, "version-conflict");

        let known = server.request(Method::GET, "Patient/1").header("if-none-match", "W/\"2\"");
        let known = answered(known).await;
        assert_eq!((known.status.as_u16(), known.body), (304, Value::Null));
        let newer = server.request(Method::GET, "Patient/1").header("if-none-match", "W/\"1\"");
        assert_eq!(answered(newer).await.status, 200);
        server.stop().await;
    })
    .await;
}

#[tokio::test]
async fn if_none_exist_makes_one_of_many() {
    each_store(|store| async move {
        let server = TestServer::start(store).await;
        let body =
            json!({ "resourceType": "Patient", "identifier": [{ "system": "urn:card", "value": "7" }] });
        let create = || {
            let request = server.with_body(Method::POST, "Patient", &body);
            answered(request.header("if-none-exist", "identifier=urn:card|7"))
        };
        let answers = futures::future::join_all((0..20).map(|_| create())).await;
        let created = answers.iter().filter(|answer| answer.status == 201).count();
        assert_eq!(created, 1);
        assert!(answers.iter().all(|answer| matches!(answer.status.as_u16(), 200 | 201)));
        assert_eq!(server.get("Patient").await.body["total"], 1);

        server.post("Patient", &body).await;
        create().await.refused(412, "multiple-matches");
        let careless =
            server.with_body(Method::POST, "Patient", &body).header("if-none-exist", "identifer=x");
        answered(careless).await.refused(400, "unknown-parameter");
        server.stop().await;
    })
    .await;
}
