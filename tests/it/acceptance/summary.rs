//! Rows R4 and S23: `_summary` and `_elements`, of a read, a search and a history.
//! <https://hl7.org/fhir/R4/search.html#summary>

use mjumbe::fhir::structure;
use mjumbe::store::testing::each_store;
use reqwest::Method;
use serde_json::{Value, json};

use crate::server::{TestServer, answered};

async fn fill(server: &TestServer) {
    let patient = json!({
        "resourceType": "Patient", "id": "p",
        "text": { "status": "generated", "div": "<div xmlns=\"http://www.w3.org/1999/xhtml\">Uwase</div>" },
        "extension": [{ "url": "http://e.org/x", "valueString": "y" }],
        "identifier": [{ "system": "urn:card", "value": "7" }],
        "name": [{ "family": "Uwase" }], "birthDate": "2020-01-01",
        "photo": [{ "title": "t" }],
    });
    assert_eq!(server.put("Patient/p", &patient).await.status, 201);
    let observation = json!({
        "resourceType": "Observation", "id": "o", "status": "final", "code": { "text": "c" },
        "subject": { "reference": "Patient/p" }, "note": [{ "text": "n" }], "valueInteger": 1,
    });
    assert_eq!(server.put("Observation/o", &observation).await.status, 201);
}

/// The names at the root, without the type; asserts that the mark is there where something may be missing.
fn names(part: &Value) -> Vec<String> {
    assert_eq!(structure::check(part), []);
    let marked = part["meta"]["tag"].to_string().contains("\"SUBSETTED\"");
    let names: Vec<String> =
        part.as_object().unwrap().keys().filter(|key| *key != "resourceType").cloned().collect();
    assert_eq!(marked, names.len() < 8, "{part}");
    names
}

const FULL: [&str; 8] = ["id", "meta", "text", "extension", "identifier", "name", "birthDate", "photo"];

/// What each wish leaves of the patient.
const WISHES: [(&str, &[&str]); 6] = [
    ("_summary=true", &["id", "meta", "identifier", "name", "birthDate"]),
    ("_summary=text", &["id", "meta", "text"]),
    ("_summary=data", &["id", "meta", "extension", "identifier", "name", "birthDate", "photo"]),
    ("_summary=false", &FULL),
    ("_elements=name,photo", &["id", "meta", "name", "photo"]),
    ("_elements=Patient.birthDate", &["id", "meta", "birthDate"]),
];

#[tokio::test]
async fn r4_a_read_gives_the_part_that_is_wished_for() {
    each_store(|store| async move {
        let server = TestServer::start(store).await;
        fill(&server).await;
        for (wish, expected) in WISHES {
            for path in ["Patient/p", "Patient/p/_history/1"] {
                let read = server.get(&format!("{path}?{wish}")).await;
                assert_eq!((read.status.as_u16(), read.header("etag")), (200, "W/\"1\""), "{path} {wish}");
                assert_eq!(names(&read.body), expected, "{path} {wish}");
            }
            let history = server.get(&format!("Patient/p/_history?{wish}")).await;
            assert_eq!(names(&history.body["entry"][0]["resource"]), expected, "{wish}");
            let (name, value) = wish.split_once('=').unwrap();
            let own = history.link("self").unwrap();
            assert!(own.contains(&format!("{name}={}", value.replace(',', "%2C"))), "{own}");
            let batch = json!({ "resourceType": "Bundle", "type": "batch",
                "entry": [{ "request": { "method": "GET", "url": format!("Patient/p?{wish}") } }] });
            let batch = server.post("", &batch).await;
            assert_eq!(names(&batch.body["entry"][0]["resource"]), expected, "{wish}");
        }
        // What R4 requires is there though nobody asked for it.
        let observation = server.get("Observation/o?_elements=subject").await.body;
        assert!(observation["status"] == "final" && observation["code"]["text"] == "c", "{observation}");
        assert!(observation.get("note").is_none() && observation.get("valueInteger").is_none());
        for wrong in ["_summary=yes", "_summary=count", "_elements=nmae", "_summary=true&_elements=name"] {
            assert_eq!(server.get(&format!("Patient/p?{wrong}")).await.status, 400, "{wrong}");
        }
        server.stop().await;
    })
    .await;
}

#[tokio::test]
async fn r4_a_part_never_takes_the_place_of_the_whole() {
    each_store(|store| async move {
        let server = TestServer::start(store).await;
        fill(&server).await;
        let part = server.get("Patient/p?_elements=name").await.body;
        server.put("Patient/p", &part).await.refused(422, "subsetted");
        let bundle = json!({ "resourceType": "Bundle", "type": "transaction",
            "entry": [{ "resource": part, "request": { "method": "PUT", "url": "Patient/p" } }] });
        server.post("", &bundle).await.refused(422, "subsetted");
        let whole = server.get("Patient/p").await;
        assert_eq!((names(&whole.body).len(), whole.header("etag")), (8, "W/\"1\""));
        server.stop().await;
    })
    .await;
}

#[tokio::test]
async fn s23_a_search_gives_the_parts_that_are_wished_for() {
    each_store(|store| async move {
        let server = TestServer::start(store).await;
        fill(&server).await;
        for (wish, expected) in WISHES {
            let found = server.get(&format!("Patient?name=uwase&{wish}")).await;
            assert_eq!(found.body["total"], 1, "{wish}");
            assert_eq!(names(&found.entries("match")[0]), expected, "{wish}");
            let (name, value) = wish.split_once('=').unwrap();
            let own = found.link("self").unwrap();
            assert!(own.contains(&format!("{name}={}", value.replace(',', "%2C"))), "{own}");
            let form = server.request(Method::POST, "Patient/_search");
            let form = form.header("content-type", "application/x-www-form-urlencoded");
            let posted = answered(form.body(format!("name=uwase&{wish}"))).await;
            assert_eq!(posted.entries("match"), found.entries("match"), "{wish}");
        }
        let counted = server.get("Patient?_summary=count").await;
        assert_eq!((&counted.body["total"], counted.body.get("entry")), (&json!(1), None));
        // A name without a type is about what was asked for, not about what came along.
        let found = server.get("Observation?_include=Observation:subject&_elements=subject").await;
        assert!(found.entries("match")[0].get("note").is_none());
        assert_eq!(names(&found.entries("include")[0]), FULL);
        let both = "Observation?_include=Observation:subject&_elements=subject,Patient.name";
        assert_eq!(names(&server.get(both).await.entries("include")[0]), ["id", "meta", "name"]);
        for wrong in ["_summary=yes", "_elements=nmae", "_summary=true&_elements=name"] {
            assert_eq!(server.get(&format!("Patient?{wrong}")).await.status, 400, "{wrong}");
        }
        server.stop().await;
    })
    .await;
}
