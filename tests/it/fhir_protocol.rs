//! What HTTP says around FHIR: formats, methods, sizes, encodings, capabilities.

use std::io::{Read, Write};

use mjumbe::config::Config;
use mjumbe::store::testing::each_store;
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use crate::server::{TestServer, answered};

#[tokio::test]
async fn what_is_wrong_is_told_by_status_and_outcome() {
    each_store(|store| async move {
        let server = TestServer::start(store).await;
        server.get("Patient/absent").await.refused(404, "not-found");
        server.get("Foo/1").await.refused(404, "unknown-type");
        server.get("Patient/1/2/3").await.refused(404, "no-such-place");
        let wrong = server.post("Patient/1", &json!({})).await;
        wrong.refused(405, "method-not-allowed");
        assert_eq!(wrong.header("allow"), "GET, HEAD, PUT, DELETE");
        server.get("_history").await.refused(501, "not-supported");
        let broken =
            server.request(Method::POST, "Patient").header("content-type", "application/json").body("{");
        answered(broken).await.refused(400, "not-json");
        let xml = server
            .request(Method::POST, "Patient")
            .header("content-type", "application/fhir+xml")
            .body("<Patient/>");
        answered(xml).await.refused(415, "unsupported-media-type");
        let accept = server.request(Method::GET, "Patient").header("accept", "application/fhir+xml");
        answered(accept).await.refused(406, "not-acceptable");
        assert_eq!(server.get("Patient?_format=xml").await.status, 406);
        let encoded = server.with_body(Method::POST, "Patient", &json!({})).header("content-encoding", "br");
        answered(encoded).await.refused(415, "unsupported-encoding");
        let unknown = server.post("Patient", &json!({ "resourceType": "Patient", "nam": [] })).await;
        assert_eq!(unknown.status, 400);
        assert!(unknown.body.to_string().contains("Patient.nam"), "{}", unknown.body);
        let outside = answered(server.client.get(format!("{}/nowhere", server.url))).await;
        outside.refused(404, "no-such-place");
        server.stop().await;
    })
    .await;
}

/// Bodies, queries and paths that hostile or broken clients send: an answer below 500, always.
#[tokio::test]
async fn no_input_is_a_defect() {
    each_store(|store| async move {
        let server = TestServer::start(store).await;
        let deep = format!("{}{}", "[".repeat(5000), "]".repeat(5000));
        for body in [
            "",
            "null",
            "[]",
            "1",
            "\"x\"",
            "{\"resourceType\":null}",
            "{\"resourceType\":\"Patient\",\"id\":1}",
            "{\"resourceType\":\"Patient\",\"name\":[]}",
            "{\"resourceType\":\"Patient\",\"name\":[null]}",
            "{\"resourceType\":\"Patient\",\"birthDate\":\"\\u0000\"}",
            "{\"resourceType\":\"Patient\",\"gender\":\"\\ud800\"}",
            "{\"resourceType\":\"Bundle\",\"type\":\"transaction\",\"entry\":[null]}",
            "{\"resourceType\":\"Bundle\",\"type\":\"batch\",\"entry\":[{\"request\":{}}]}",
            "{\"resourceType\":\"Observation\",\"valueQuantity\":{\"value\":1e999999}}",
            deep.as_str(),
        ] {
            for path in ["Patient", "Observation", ""] {
                let request = server.request(Method::POST, path).header("content-type", "application/json");
                let answer = answered(request.body(body.to_owned())).await;
                assert!(
                    answer.status.is_client_error(),
                    "{path} {}: {}",
                    &body[..body.len().min(60)],
                    answer.status
                );
                assert_eq!(answer.body["resourceType"], "OperationOutcome");
            }
        }
        for path in [
            "Patient?birthdate=ge",
            "Patient?birthdate=9999999-99-99",
            "Patient?_count=-1",
            "Patient?_count=99999999999999",
            "Patient?_sort=%00",
            "Patient?identifier=%7C%7C%7C",
            "Patient?_lastUpdated=gt",
            "Patient?name=%F0%28%8C",
            "Patient?_include=a:b:c:d",
            "Patient?_has:x:y:z=1",
            "Patient?name:exact=%00",
            "Patient/%00",
            "Patient/%2e%2e/1",
            "Observation?value-quantity=gt1e400",
            "Observation?code-value-quantity=%24",
            "Patient/1/_history/abc",
            "Patient/1/_history/99999999999999999999",
            "Patient/1/_history?_count=x",
            "Patient?_getpages=abc",
            "Patient?x.y.z=1",
        ] {
            let answer = server.get(path).await;
            assert!(answer.status.as_u16() < 500, "{path}: {} {}", answer.status, answer.body);
        }
        server.stop().await;
    })
    .await;
}

#[tokio::test]
async fn gzip_goes_both_ways_and_bombs_do_not() {
    each_store(|store| async move {
        let mut config = Config::default();
        config.server.body_limit_mb = 1;
        let server = TestServer::start_with(store, config).await;
        let patient = json!({ "resourceType": "Patient", "name": [{ "family": "Uwase" }] }).to_string();
        let send = |body: Vec<u8>| {
            let request =
                server.request(Method::POST, "Patient").header("content-type", "application/fhir+json");
            answered(request.header("content-encoding", "gzip").body(body))
        };
        assert_eq!(send(gzip(patient.as_bytes())).await.status, 201);
        send(gzip(&vec![b' '; 30 * 1024 * 1024])).await.refused(413, "body-too-large");
        send(b"not gzip".to_vec()).await.refused(400, "body-broken");
        let large = server.request(Method::POST, "Patient").header("content-type", "application/json");
        let answer = large.body(vec![b' '; 2 * 1024 * 1024]).send().await;
        assert!(answer.map_or(true, |answer| answer.status() == StatusCode::PAYLOAD_TOO_LARGE));

        let request =
            server.request(Method::GET, "metadata").header("accept-encoding", "gzip").send().await.unwrap();
        assert_eq!(request.headers()["content-encoding"], "gzip");
        let mut text = String::new();
        let bytes = request.bytes().await.unwrap();
        flate2::read::GzDecoder::new(&bytes[..]).read_to_string(&mut text).unwrap();
        assert!(text.starts_with("{\"resourceType\":\"CapabilityStatement\""));
        server.stop().await;
    })
    .await;
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

#[tokio::test]
async fn head_is_a_get_without_body() {
    each_store(|store| async move {
        let server = TestServer::start(store).await;
        server.put("Patient/1", &json!({ "resourceType": "Patient", "id": "1" })).await;
        for path in ["Patient/1", "Patient", "Patient/1/_history", "metadata"] {
            let (get, head) = (server.get(path).await, answered(server.request(Method::HEAD, path)).await);
            assert_eq!((head.status, &head.body), (StatusCode::OK, &Value::Null), "{path}");
            assert_eq!(get.header("etag"), head.header("etag"), "{path}");
        }
        assert_eq!(answered(server.request(Method::HEAD, "Patient/absent")).await.status, 404);
        server.stop().await;
    })
    .await;
}

#[tokio::test]
async fn preferences_shape_the_answer() {
    each_store(|store| async move {
        let server = TestServer::start(store).await;
        let patient = json!({ "resourceType": "Patient" });
        let create = |prefer: &str| {
            answered(server.with_body(Method::POST, "Patient", &patient).header("prefer", prefer))
        };
        let minimal = create("return=minimal").await;
        assert_eq!((minimal.status.as_u16(), minimal.body.is_null()), (201, true));
        assert!(!minimal.header("location").is_empty());
        assert_eq!(create("return=OperationOutcome").await.body["resourceType"], "OperationOutcome");
        assert_eq!(create("return=representation").await.body["resourceType"], "Patient");
        let pretty =
            server.request(Method::GET, "Patient?_pretty=true").send().await.unwrap().text().await.unwrap();
        assert!(pretty.contains("\n  \"type\": \"searchset\""));
        let id = server.request(Method::GET, "Patient").header("x-request-id", "my-id.1");
        assert_eq!(answered(id).await.header("x-request-id"), "my-id.1");
        let phone = server.request(Method::GET, "Patient").header("x-request-id", "250788123456");
        assert_ne!(answered(phone).await.header("x-request-id"), "250788123456");
        server.stop().await;
    })
    .await;
}

/// Everything that the statement names works, on every type; what it does not name answers not-supported.
#[tokio::test]
async fn capabilities_are_what_the_router_does() {
    each_store(|store| async move {
        let server = TestServer::start(store).await;
        let statement = answered(server.client.get(format!("{}/fhir/metadata", server.url))).await;
        assert_eq!((statement.status.as_u16(), statement.body["fhirVersion"].as_str()), (200, Some("4.0.1")));
        let resources = statement.body["rest"][0]["resource"].as_array().unwrap();
        assert!(resources.len() > 140);
        for resource in resources {
            let kind = resource["type"].as_str().unwrap();
            let codes: Vec<&str> = resource["interaction"]
                .as_array()
                .unwrap()
                .iter()
                .filter_map(|one| one["code"].as_str())
                .collect();
            assert_eq!(server.get(kind).await.status, 200, "{kind}");
            for (code, method, path) in [
                ("read", Method::GET, format!("{kind}/x")),
                ("vread", Method::GET, format!("{kind}/x/_history/1")),
                ("history-instance", Method::GET, format!("{kind}/x/_history")),
                ("delete", Method::DELETE, format!("{kind}/x")),
                ("update", Method::PUT, format!("{kind}/x")),
                ("create", Method::POST, kind.to_owned()),
                ("patch", Method::PATCH, format!("{kind}/x")),
                ("history-type", Method::GET, format!("{kind}/_history")),
            ] {
                let request = server.request(method, &path).header("content-type", "application/fhir+json");
                let answer = answered(request.body("{}")).await;
                let refused = answer.code() == "not-supported" || answer.status == 405;
                assert_eq!(codes.contains(&code), !refused, "{kind} {code}: {}", answer.status);
            }
        }
        server.stop().await;
    })
    .await;
}

#[tokio::test]
async fn too_many_requests_at_once_are_asked_to_wait() {
    each_store(|store| async move {
        let mut config = Config::default();
        config.server.concurrency = 1;
        let server = TestServer::start_with(store, config).await;
        let answers = futures::future::join_all((0..40).map(|_| server.get("metadata"))).await;
        let busy: Vec<_> = answers.iter().filter(|answer| answer.status == 503).collect();
        for answer in &busy {
            assert!(!answer.header("retry-after").is_empty());
            assert_eq!(answer.code(), "busy");
        }
        assert!(answers.iter().any(|answer| answer.status == 200));
        server.stop().await;
    })
    .await;
}
