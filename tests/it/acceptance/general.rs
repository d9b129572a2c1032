//! Rows G: what holds for every interaction.

use std::io::{Read, Write};

use mjumbe::config::Config;
use mjumbe::fhir::{structure, xml};
use mjumbe::store::testing::each_store;
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use crate::server::{Answered, TestServer, answered};

const XML: &str = "application/fhir+xml; charset=utf-8";
const JSON: &str = "application/fhir+json; charset=utf-8";

/// An answer's body as JSON, whatever it was written in.
fn resource(answer: &Answered) -> Value {
    match answer.header("content-type") {
        XML => {
            let text = answer.body.as_str().unwrap();
            assert!(text.starts_with("<?xml version=\"1.0\" encoding=\"UTF-8\"?>"), "{text}");
            xml::read(text.as_bytes()).unwrap()
        }
        _ => answer.body.clone(),
    }
}

async fn sent(server: &TestServer, (method, path): (Method, &str), headers: &[(&str, &str)]) -> Answered {
    let mut request = server.request(method, path);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    answered(request).await
}

async fn got(server: &TestServer, path: &str, accept: &str) -> Answered {
    sent(server, (Method::GET, path), &[("accept", accept)]).await
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
async fn g3_json_has_several_names() {
    each_store(|store| async move {
        let server = TestServer::start(store).await;
        let patient = json!({ "resourceType": "Patient", "id": "1" });
        for name in
            ["application/fhir+json", "application/json", "text/json", "application/json; charset=UTF-8"]
        {
            let put = server.request(Method::PUT, "Patient/1").header("content-type", name);
            assert!(answered(put.body(patient.to_string())).await.status.is_success(), "{name}");
            let read = got(&server, "Patient/1", name).await;
            assert_eq!((read.status.as_u16(), read.header("content-type")), (200, JSON), "{name}");
        }
        let browser = "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8";
        assert_eq!(got(&server, "Patient/1", browser).await.header("content-type"), JSON);
        server.stop().await;
    })
    .await;
}

#[tokio::test]
async fn g4_xml_is_read_and_written() {
    each_store(|store| async move {
        let server = TestServer::start(store).await;
        let text = "<Patient xmlns=\"http://hl7.org/fhir\"><id value=\"x\"/><extension url=\"http://e.org/w\">\
            <valueDecimal value=\"3.2500\"/></extension><name><family value=\"Uwase\"/><given value=\"A\"/></name>\
            <birthDate value=\"2020-01-02\"/></Patient>";
        for name in ["application/fhir+xml", "application/xml", "text/xml;charset=utf-8", "application/xml+fhir"] {
            let put = server.request(Method::PUT, "Patient/x").header("content-type", name).header("accept", name);
            let put = answered(put.body(text)).await;
            assert!(put.status.is_success(), "{name}: {}", put.body);
            assert_eq!((put.header("content-type"), &resource(&put)["id"]), (XML, &json!("x")), "{name}");
        }
        let json = server.get("Patient/x").await.body;
        assert_eq!(json["extension"][0]["valueDecimal"].to_string(), "3.2500");
        let xml = got(&server, "Patient/x", "application/fhir+xml").await;
        assert_eq!((resource(&xml), xml.header("etag")), (json.clone(), "W/\"1\""));
        // Bundles, transactions, capabilities, refusals.
        for path in ["Patient?name=uwa", "Patient/x/_history", "metadata", "metadata?mode=terminology", "Patient/absent", "Foo"] {
            let (json, xml) = (server.get(path).await, got(&server, path, "text/xml").await);
            assert_eq!((json.status, XML), (xml.status, xml.header("content-type")), "{path}");
            let mut xml = resource(&xml);
            xml["link"] = json.body["link"].clone();
            let mut json = json.body;
            json["link"] = xml["link"].clone();
            assert_eq!(xml, json, "{path}");
        }
        let bundle = "<Bundle xmlns=\"http://hl7.org/fhir\"><type value=\"transaction\"/><entry><resource><Patient>\
            <active value=\"true\"/></Patient></resource><request><method value=\"POST\"/><url value=\"Patient\"/>\
            </request></entry></Bundle>";
        let request = server.request(Method::POST, "").header("content-type", "application/fhir+xml");
        let answer = answered(request.header("accept", "application/fhir+xml").body(bundle)).await;
        let answer = resource(&answer);
        assert_eq!(answer["entry"][0]["response"]["status"], "201 Created", "{answer}");
        let unknown = answered(server.client.get(format!("{}/fhir/Patient", server.url)).header("accept", "text/xml")).await;
        assert_eq!((unknown.status.as_u16(), resource(&unknown)["resourceType"].as_str()), (401, Some("OperationOutcome")));
        server.stop().await;
    })
    .await;
}

#[tokio::test]
async fn g4_format_wins_over_accept() {
    each_store(|store| async move {
        let server = TestServer::start(store).await;
        server.put("Patient/x", &json!({ "resourceType": "Patient", "id": "x" })).await;
        for format in ["xml", "text/xml", "application/xml", "application/fhir%2Bxml", "application/fhir+xml"]
        {
            for path in ["Patient/x", "Patient", "Patient/absent"] {
                let answer = got(&server, &format!("{path}?_format={format}"), "application/json").await;
                assert_eq!(answer.header("content-type"), XML, "{path} {format}");
            }
        }
        for format in ["json", "text/json", "application/json", "application/fhir%2Bjson"] {
            let answer = got(&server, &format!("Patient/x?_format={format}"), "application/fhir+xml").await;
            assert_eq!(answer.header("content-type"), JSON, "{format}");
        }
        // A posted form says it too.
        let form = server
            .request(Method::POST, "Patient/_search")
            .header("content-type", "application/x-www-form-urlencoded");
        assert_eq!(answered(form.body("_id=x&_format=xml")).await.header("content-type"), XML);
        for (path, accept) in [
            ("Patient/x?_format=ttl", "application/json"),
            ("Patient/x?_format=text/html", "*/*"),
            ("Patient/x", "text/turtle"),
            ("Patient/x", "image/png, application/json;q=0"),
        ] {
            got(&server, path, accept).await.refused(406, "not-acceptable");
        }
        let better =
            got(&server, "Patient/x", "application/fhir+json;q=0.4, application/fhir+xml;q=0.5").await;
        assert_eq!(better.header("content-type"), XML);
        server.stop().await;
    })
    .await;
}

#[tokio::test]
async fn g4_broken_xml_is_told_with_its_place() {
    each_store(|store| async move {
        let server = TestServer::start(store).await;
        for (body, code, place) in [
            (
                "<Patient xmlns=\"http://hl7.org/fhir\">\n  <nmae/></Patient>",
                "unknown-element",
                "Patient.nmae",
            ),
            (
                "<Patient xmlns=\"http://hl7.org/fhir\">\n  <active value=\"x\"/></Patient>",
                "bad-value",
                "Patient.active",
            ),
            (
                "<Patient xmlns=\"http://hl7.org/fhir\">\n  <birthDate value=\"x\"/></Patient>",
                "bad-value",
                "Patient.birthDate",
            ),
            ("<!DOCTYPE a [<!ENTITY b SYSTEM \"file:///etc/passwd\">]><Patient/>", "doctype", ""),
            ("{}", "text-between", ""),
            ("", "not-xml", ""),
        ] {
            let request =
                server.request(Method::POST, "Patient").header("content-type", "application/fhir+xml");
            let answer = answered(request.body(body)).await;
            answer.refused(400, code);
            assert_eq!(
                answer.body["issue"][0]["expression"][0].as_str().unwrap_or_default(),
                place,
                "{body}"
            );
        }
        server.stop().await;
    })
    .await;
}

#[tokio::test]
async fn g5_a_body_of_another_type_is_415() {
    each_store(|store| async move {
        let server = TestServer::start(store).await;
        let patient = json!({ "resourceType": "Patient" }).to_string();
        for other in ["text/plain", "application/octet-stream", "text/turtle", "application/pdf", "x"] {
            let request = server.request(Method::POST, "Patient").header("content-type", other);
            answered(request.body(patient.clone())).await.refused(415, "unsupported-media-type");
        }
        let encoded = server.with_body(Method::POST, "Patient", &json!({})).header("content-encoding", "br");
        answered(encoded).await.refused(415, "unsupported-encoding");
        let legacy = server.request(Method::POST, "Patient").header("content-type", "application/json+fhir");
        assert_eq!(answered(legacy.body(patient)).await.status, 201);
        server.stop().await;
    })
    .await;
}

#[tokio::test]
async fn g6_the_version_of_fhir_is_asked_for() {
    each_store(|store| async move {
        let server = TestServer::start(store).await;
        let patient = json!({ "resourceType": "Patient" }).to_string();
        for version in ["4.0", "4.0.1", "\"4.0\""] {
            let media = format!("application/fhir+json; fhirVersion={version}");
            let request = server.request(Method::POST, "Patient").header("content-type", &media);
            let answer = answered(request.header("accept", &media).body(patient.clone())).await;
            assert_eq!(answer.status, 201, "{version}: {}", answer.body);
        }
        for version in ["3.0", "4.3", "5.0", "4"] {
            let media = format!("application/fhir+json; fhirVersion={version}");
            let request = server.request(Method::POST, "Patient").header("content-type", &media);
            answered(request.body(patient.clone())).await.refused(415, "unsupported-media-type");
            got(&server, "Patient", &media).await.refused(406, "not-acceptable");
        }
        server.stop().await;
    })
    .await;
}

#[tokio::test]
async fn g7_pretty_changes_nothing_but_the_layout() {
    each_store(|store| async move {
        let server = TestServer::start(store).await;
        server
            .put("Patient/x", &json!({ "resourceType": "Patient", "id": "x", "name": [{ "family": "U" }] }))
            .await;
        for path in ["Patient/x", "Patient", "Patient/x/_history", "metadata", "Patient/absent"] {
            for (format, line) in [("json", "\n  \""), ("xml", "\n  <")] {
                let text = |pretty: &'static str| {
                    let request =
                        server.request(Method::GET, &format!("{path}?_format={format}&_pretty={pretty}"));
                    async move { request.send().await.unwrap().text().await.unwrap() }
                };
                let (plain, pretty) = (text("false").await, text("true").await);
                assert!(!plain.contains(line) && pretty.contains(line), "{path} {format}: {pretty}");
                let read = |text: &str| -> Value {
                    let text = text.replace("_pretty=true", "_pretty=false");
                    match format {
                        "json" => serde_json::from_str(&text).unwrap(),
                        _ => xml::read(text.as_bytes()).unwrap(),
                    }
                };
                assert_eq!(read(&plain), read(&pretty), "{path} {format}");
            }
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
            for name in ["etag", "location", "content-location", "last-modified"] {
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
