//! Hostile and too much: whatever comes, the answer is no defect.

use mjumbe::config::Config;
use mjumbe::store::testing::each_store;
use reqwest::Method;

use crate::server::{TestServer, answered};

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
            "{\"resourceType\":\"Bundle\",\"type\":\"transaction\",\"entry\":[{\"request\":{}}]}",
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

/// Writes all of a request before it reads, as many clients do.
async fn written_whole(server: &TestServer, head: &str, size: usize) -> String {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let address = server.url.trim_start_matches("http://");
    let mut stream = tokio::net::TcpStream::connect(address).await.unwrap();
    let head = format!("{head}\r\nhost: x\r\nconnection: close\r\ncontent-length: {size}\r\n\r\n");
    stream.write_all(head.as_bytes()).await.unwrap();
    for _ in 0..size / 1024 {
        stream.write_all(&[b' '; 1024]).await.unwrap();
    }
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).await.unwrap();
    String::from_utf8(answer).unwrap()
}

/// A refusal arrives although the request was not read to its end, and is no reset of the connection.
#[tokio::test]
async fn who_is_refused_while_sending_reads_why() {
    each_store(|store| async move {
        let mut config = Config::default();
        config.server.body_limit_mb = 1;
        let server = TestServer::start_with(store, config).await;
        let size = 20 << 20;
        let token = format!("authorization: Bearer {}", server.token);
        for (head, status, code) in [
            ("POST /fhir/Patient HTTP/1.1".to_owned(), "401", "login"),
            (format!("POST /fhir/Patient HTTP/1.1\r\n{token}"), "413", "body-too-large"),
            (format!("POST /fhir/Nobody HTTP/1.1\r\n{token}"), "404", "OperationOutcome"),
            (
                format!("POST /fhir/Patient HTTP/1.1\r\n{token}\r\ncontent-encoding: br"),
                "415",
                "unsupported-encoding",
            ),
        ] {
            let answer = written_whole(&server, &head, size).await;
            assert!(answer.starts_with(&format!("HTTP/1.1 {status}")), "{answer}");
            assert!(answer.contains("OperationOutcome") && answer.contains(code), "{answer}");
        }
        server.stop().await;
    })
    .await;
}
