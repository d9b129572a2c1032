//! Rows G3 to G7: JSON and XML, in and out.

use mjumbe::fhir::xml;
use mjumbe::store::testing::each_store;
use reqwest::Method;
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

async fn got(server: &TestServer, path: &str, accept: &str) -> Answered {
    answered(server.request(Method::GET, path).header("accept", accept)).await
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
async fn g4_a_write_is_answered_though_xml_cannot_hold_it() {
    each_store(|store| async move {
        let server = TestServer::start(store).await;
        let div = |text: &str| json!({ "status": "generated", "div": format!("<div xmlns=\"http://www.w3.org/1999/xhtml\">{text}</div>") });
        let send = |method: Method, path: &'static str, body: Value| {
            let request = server.request(method, path).header("content-type", "application/json");
            answered(request.header("accept", "application/fhir+xml").body(body.to_string()))
        };
        // HTML's entities become characters.
        let html = json!({ "resourceType": "Patient", "id": "html", "text": div("a&nbsp;b") });
        let put = send(Method::PUT, "Patient/html", html.clone()).await;
        assert_eq!((put.status.as_u16(), &resource(&put)["text"]), (201, &div("a\u{a0}b")));
        assert_eq!(server.get("Patient/html").await.body["text"], html["text"]);
        // XML has no such character at all.
        let never = json!({ "resourceType": "Patient", "name": [{ "family": "a\u{ffff}" }] });
        let made = send(Method::POST, "Patient", never.clone()).await;
        assert_eq!((made.status.as_u16(), made.header("content-type"), made.header("etag")), (201, "", "W/\"1\""));
        let (_, id) = made.header("location").split_once("/Patient/").unwrap();
        let id = id.split('/').next().unwrap().to_owned();
        got(&server, &format!("Patient/{id}"), "application/fhir+xml").await.refused(406, "no-xml");
        // A page leaves it out and says so.
        let page = resource(&got(&server, "Patient", "application/fhir+xml").await);
        let modes: Vec<_> = page["entry"].as_array().unwrap().iter().map(|one| &one["search"]["mode"]).collect();
        assert!(modes.contains(&&json!("match")) && modes.contains(&&json!("outcome")), "{page}");
        assert_eq!((&page["total"], mjumbe::fhir::structure::check(&page)), (&json!(2), vec![]));
        assert!(page.to_string().contains(&format!("Patient/{id} is left out")), "{page}");
        let history = resource(&got(&server, "Patient/_history", "application/fhir+xml").await);
        assert_eq!(mjumbe::fhir::structure::check(&history), []);
        let entries = history["entry"].as_array().unwrap();
        assert_eq!(entries.iter().filter(|one| one["response"]["outcome"].is_object()).count(), 1, "{history}");
        let entry = json!({ "resource": never, "request": { "method": "POST", "url": "Patient" } });
        let bundle = json!({ "resourceType": "Bundle", "type": "transaction", "entry": [entry] });
        let done = resource(&send(Method::POST, "", bundle).await);
        assert_eq!(done["entry"][0]["response"]["status"], "201 Created", "{done}");
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
