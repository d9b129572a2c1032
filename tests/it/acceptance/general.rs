//! Rows G: what holds for every interaction.

use std::io::{Read, Write};

use mjumbe::config::Config;
use mjumbe::fhir::structure;
use mjumbe::store::testing::each_store;
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use crate::server::{Answered, TestServer, answered};

async fn sent(server: &TestServer, (method, path): (Method, &str), headers: &[(&str, &str)]) -> Answered {
    let mut request = server.request(method, path);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    answered(request).await
}

#[tokio::test]
async fn g1_metadata_is_whole_and_open() {
    each_store(|store| async move {
        let server = TestServer::start(store).await;
        let url = format!("{}/fhir/metadata", server.url);
        let open = answered(server.client.get(&url)).await;
        let statement = &open.body;
        assert_eq!(
            (open.status.as_u16(), statement["resourceType"].as_str()),
            (200, Some("CapabilityStatement"))
        );
        assert_eq!(structure::check(statement), []);
        assert_eq!((&statement["fhirVersion"], &statement["kind"]), (&json!("4.0.1"), &json!("instance")));
        assert_eq!((&statement["status"], statement["date"].is_string()), (&json!("active"), true));
        for format in ["application/fhir+json", "application/fhir+xml"] {
            assert!(statement["format"].as_array().unwrap().contains(&format.into()), "{format}");
        }
        let rest = &statement["rest"][0];
        assert_eq!((&rest["mode"], &rest["security"]["cors"]), (&json!("server"), &json!(true)));
        assert!(rest["security"]["service"].is_array() && rest["interaction"].is_array());
        let resources = rest["resource"].as_array().unwrap();
        let observation = resources.iter().find(|resource| resource["type"] == "Observation").unwrap();
        for (key, value) in [
            ("versioning", json!("versioned")),
            ("readHistory", json!(true)),
            ("updateCreate", json!(true)),
            ("conditionalCreate", json!(true)),
            ("conditionalRead", json!("full-support")),
            ("conditionalUpdate", json!(true)),
        ] {
            assert_eq!(observation[key], value, "{key}");
        }
        assert_ne!(observation["conditionalDelete"], "not-supported");
        for list in ["interaction", "searchParam", "searchInclude", "searchRevInclude"] {
            assert!(!observation[list].as_array().unwrap().is_empty(), "{list}");
        }
        // It has a tag, and does not travel twice.
        let tag = open.header("etag").to_owned();
        assert!(tag.starts_with("W/\""));
        let again = answered(server.client.get(&url).header("if-none-match", &tag)).await;
        assert_eq!((again.status.as_u16(), again.body.is_null()), (304, true));
        let other = answered(server.client.get(&url).header("if-none-match", "W/\"x\"")).await;
        assert_eq!(other.status, 200);
        server.stop().await;
    })
    .await;
}

/// Everything that the statement names works, on every type; what it does not name answers not-supported.
#[tokio::test]
async fn g1_capabilities_are_what_the_router_does() {
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
async fn g2_terminology_capabilities() {
    each_store(|store| async move {
        let server = TestServer::start(store).await;
        let terminology = server.get("metadata?mode=terminology").await;
        assert_eq!(terminology.body["resourceType"], "TerminologyCapabilities");
        assert_eq!(structure::check(&terminology.body), []);
        for mode in ["full", "normative"] {
            let full = server.get(&format!("metadata?mode={mode}")).await;
            assert_eq!(full.body["resourceType"], "CapabilityStatement", "{mode}");
        }
        server.stop().await;
    })
    .await;
}

#[tokio::test]
async fn g8_gzip_goes_both_ways_and_bombs_do_not() {
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
async fn g8_what_is_not_utf8_is_400() {
    each_store(|store| async move {
        let server = TestServer::start(store).await;
        let name = json!({ "resourceType": "Patient", "id": "u", "name": [{ "family": "Ngũgĩ 🙂 كمال" }] });
        assert_eq!(server.put("Patient/u", &name).await.body["name"], name["name"]);
        let latin = b"{\"resourceType\":\"Patient\",\"name\":[{\"family\":\"Andr\xe9\"}]}".to_vec();
        let post = |media: &'static str, body: Vec<u8>| {
            answered(server.request(Method::POST, "Patient").header("content-type", media).body(body))
        };
        post("application/fhir+json", latin.clone()).await.refused(400, "not-utf8");
        post("application/fhir+xml", latin.clone()).await.refused(400, "not-utf8");
        post("application/fhir+json; charset=iso-8859-1", latin).await.refused(415, "unsupported-media-type");
        server.stop().await;
    })
    .await;
}

#[tokio::test]
async fn g9_prefer_return() {
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
        // A refusal has its outcome, whatever is preferred.
        let wrong =
            server.with_body(Method::POST, "Patient", &json!({ "resourceType": "Patient", "nmae": 1 }));
        answered(wrong.header("prefer", "return=minimal")).await.refused(400, "unknown-element");
        let id = server.request(Method::GET, "Patient").header("x-request-id", "my-id.1");
        assert_eq!(answered(id).await.header("x-request-id"), "my-id.1");
        let phone = server.request(Method::GET, "Patient").header("x-request-id", "250788123456");
        assert_ne!(answered(phone).await.header("x-request-id"), "250788123456");
        server.stop().await;
    })
    .await;
}

#[tokio::test]
async fn g10_prefer_handling() {
    each_store(|store| async move {
        let server = TestServer::start(store).await;
        server.put("Patient/x", &json!({ "resourceType": "Patient", "id": "x", "gender": "female" })).await;
        let lenient = server.get("Patient?gender=female&fuor=1").await;
        assert_eq!((lenient.status.as_u16(), lenient.body["total"].as_u64()), (200, Some(1)));
        let own = lenient.link("self").unwrap();
        assert!(own.contains("gender=female") && !own.contains("fuor"), "{own}");
        assert_eq!(lenient.entries("outcome")[0]["issue"][0]["severity"], "warning");
        let strict = [("prefer", "handling=strict")];
        let refused = sent(&server, (Method::GET, "Patient?gendr=female"), &strict).await;
        refused.refused(400, "unknown-parameter");
        assert!(refused.body.to_string().contains("did you mean gender?"), "{}", refused.body);
        assert_eq!(sent(&server, (Method::GET, "Patient/x?foo=1"), &strict).await.status, 400);
        assert_eq!(sent(&server, (Method::GET, "Patient?gender=female"), &strict).await.status, 200);
        let said = sent(&server, (Method::GET, "Patient?fuor=1"), &[("prefer", "handling=lenient")]).await;
        assert_eq!(said.status, 200);
        server.stop().await;
    })
    .await;
}

#[tokio::test]
async fn g11_pages_of_other_origins_may_call() {
    each_store(|store| async move {
        let server = TestServer::start(store.clone()).await;
        let origin = ("origin", "https://web.example.org");
        let asked = [
            origin,
            ("access-control-request-method", "PUT"),
            ("access-control-request-headers", "authorization,if-match,content-type"),
        ];
        // Without a token: a browser sends none with this question.
        let url = format!("{}/fhir/Patient/1", server.url);
        let mut question = server.client.request(Method::OPTIONS, &url);
        for (name, value) in asked {
            question = question.header(name, value);
        }
        let answer = answered(question).await;
        assert_eq!((answer.status.as_u16(), answer.header("access-control-allow-origin")), (200, "*"));
        for method in ["GET", "POST", "PUT", "PATCH", "DELETE", "HEAD"] {
            assert!(answer.header("access-control-allow-methods").contains(method), "{method}");
        }
        assert_eq!(answer.header("access-control-allow-headers"), "authorization,if-match,content-type");
        for path in ["Patient", "Foo"] {
            let found = sent(&server, (Method::GET, path), &[origin]).await;
            assert_eq!(found.header("access-control-allow-origin"), "*", "{path}");
            let exposed = found.header("access-control-expose-headers").to_ascii_lowercase();
            for name in ["etag", "location", "content-location", "last-modified", "mjumbe-repaired"] {
                assert!(exposed.split(',').any(|one| one == name), "{exposed}");
            }
        }
        server.stop().await;
    })
    .await;
}

#[tokio::test]
async fn g11_origins_can_be_named_or_none() {
    each_store(|store| async move {
        let (ours, other) = ("https://web.example.org", "https://other.example.org");
        let mut config = Config::default();
        config.server.cors_origins = vec![ours.to_owned()];
        let server = TestServer::start_with(store.clone(), config).await;
        let allowed = |answer: &Answered| answer.header("access-control-allow-origin").to_owned();
        assert_eq!(allowed(&sent(&server, (Method::GET, "Patient"), &[("origin", ours)]).await), ours);
        assert_eq!(allowed(&sent(&server, (Method::GET, "Patient"), &[("origin", other)]).await), "");
        server.stop().await;
    })
    .await;
    each_store(|store| async move {
        // Where no token is asked for, any page in this machine's browser could read all: `*` is nobody.
        let mut config = Config::default();
        config.server.dangerous_disable_auth = true;
        let server = TestServer::start_with(store, config).await;
        let answer =
            sent(&server, (Method::GET, "Patient"), &[("origin", "https://other.example.org")]).await;
        assert_eq!((answer.status.as_u16(), answer.header("access-control-allow-origin")), (200, ""));
        assert_eq!(server.get("metadata").await.body["rest"][0]["security"]["cors"], false);
        server.stop().await;
    })
    .await;
}

#[tokio::test]
async fn g12_an_unknown_type_is_404() {
    each_store(|store| async move {
        let server = TestServer::start(store).await;
        for path in ["Foo/1", "Foo", "patient/1", "Patients"] {
            server.get(path).await.refused(404, "unknown-type");
        }
        server.get("Patient/1/2/3").await.refused(404, "no-such-place");
        let outside = answered(server.client.get(format!("{}/nowhere", server.url))).await;
        outside.refused(404, "no-such-place");
        server.stop().await;
    })
    .await;
}

#[tokio::test]
async fn g13_a_wrong_method_is_405_with_what_is_allowed() {
    each_store(|store| async move {
        let server = TestServer::start(store).await;
        for (method, path, allowed) in [
            (Method::POST, "Patient/1", "PUT"),
            (Method::DELETE, "metadata", "GET"),
            (Method::PUT, "Patient/1/_history", "GET"),
            (Method::POST, "Patient/1/_history/1", "GET"),
            (Method::DELETE, "Patient/_search", "POST"),
        ] {
            let wrong = answered(server.with_body(method.clone(), path, &json!({}))).await;
            wrong.refused(405, "method-not-allowed");
            let allow = wrong.header("allow");
            assert!(
                allow.contains(allowed) && !allow.split(", ").any(|one| one == method.as_str()),
                "{path}: {allow}"
            );
        }
        server.stop().await;
    })
    .await;
}

/// More in `auth_matrix`: every route, every method, every scope.
#[tokio::test]
async fn g14_no_token_is_401_and_no_scope_403() {
    each_store(|store| async move {
        let server = TestServer::start(store).await;
        let url = format!("{}/fhir/Patient", server.url);
        for header in ["", "Bearer wrong", "Basic d3Jvbmc6d3Jvbmc="] {
            let stranger = answered(server.client.get(&url).header("authorization", header)).await;
            stranger.refused(401, "login-required");
            assert!(stranger.header("www-authenticate").starts_with("Bearer"));
        }
        let narrow = server.token("narrow", "system/Patient.rs").await;
        let call = |method: Method, path: &str| {
            let url = format!("{}/fhir/{path}", server.url);
            let request = server.client.request(method, url).bearer_auth(&narrow);
            answered(
                request
                    .header("content-type", "application/fhir+json")
                    .body("{\"resourceType\":\"Patient\"}"),
            )
        };
        assert_eq!(call(Method::GET, "Patient").await.status, 200);
        call(Method::POST, "Patient").await.refused(403, "scope-missing");
        call(Method::GET, "Observation").await.refused(403, "scope-missing");
        server.stop().await;
    })
    .await;
}

#[tokio::test]
async fn g15_head_is_a_get_without_body() {
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
async fn g16_an_outcome_says_what_where_and_what_to_do() {
    each_store(|store| async move {
        let server = TestServer::start(store).await;
        let observation =
            json!({ "resourceType": "Observation", "status": "done", "valueQuantity": { "valeu": 1 } });
        let answer = server.post("Observation", &observation).await;
        assert_eq!((answer.status.as_u16(), structure::check(&answer.body)), (400, Vec::new()));
        let issues = answer.body["issue"].as_array().unwrap();
        let of = |place: &str| {
            issues
                .iter()
                .find(|issue| issue["expression"][0] == place)
                .unwrap_or_else(|| panic!("{place}: {issues:?}"))
        };
        for (place, code) in [
            ("Observation.status", "code-invalid"),
            ("Observation.code", "required"),
            ("Observation.valueQuantity.valeu", "structure"),
        ] {
            let issue = of(place);
            assert_eq!((&issue["severity"], &issue["code"]), (&json!("error"), &json!(code)), "{place}");
            assert!(
                issue["details"]["text"].is_string() && issue["details"]["coding"][0]["code"].is_string()
            );
        }
        assert!(
            of("Observation.valueQuantity.valeu")["diagnostics"]
                .as_str()
                .unwrap()
                .contains("did you mean value?")
        );
        let broken =
            server.request(Method::POST, "Patient").header("content-type", "application/json").body("{");
        answered(broken).await.refused(400, "not-json");
        server.get("Patient/absent").await.refused(404, "not-found");
        server.get("Patient?birthdate=x").await.refused(400, "bad-date");
        assert_eq!(server.get("Patient/absent").await.body["issue"][0]["code"], "not-found");
        server.stop().await;
    })
    .await;
}
