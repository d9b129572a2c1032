//! Search, paging and includes over HTTP.

use mjumbe::store::testing::each_store;
use reqwest::Method;
use serde_json::{Value, json};

use crate::server::{Answered, TestServer, answered};

async fn fill(server: &TestServer) {
    for (id, family, gender, born) in [
        ("a", "Uwase", "female", "2019-05-01"),
        ("b", "Uwamahoro", "female", "2020-05-01"),
        ("c", "Mugisha", "male", "2021-05-01"),
    ] {
        let patient = json!({
            "resourceType": "Patient", "id": id, "gender": gender, "birthDate": born,
            "identifier": [{ "system": "urn:card", "value": id }],
            "name": [{ "family": family }], "meta": { "tag": [{ "system": "urn:t", "code": family }] },
            "managingOrganization": { "reference": "Organization/o" },
        });
        assert_eq!(server.put(&format!("Patient/{id}"), &patient).await.status, 201);
    }
    let organization = json!({ "resourceType": "Organization", "id": "o", "name": "Health post" });
    assert_eq!(server.put("Organization/o", &organization).await.status, 201);
    let observation = json!({
        "resourceType": "Observation", "id": "x", "status": "final", "code": { "coding": [{ "system": "http://loinc.org", "code": "8310-5" }] },
        "subject": { "reference": "Patient/a" }, "valueQuantity": { "value": 38.5, "system": "http://unitsofmeasure.org", "code": "Cel" },
    });
    assert_eq!(server.put("Observation/x", &observation).await.status, 201);
}

fn ids(found: &Answered, mode: &str) -> Vec<String> {
    let mut ids: Vec<String> =
        found.entries(mode).iter().filter_map(|found| Some(found["id"].as_str()?.to_owned())).collect();
    ids.sort();
    ids
}

#[tokio::test]
async fn every_search_type_finds() {
    each_store(|store| async move {
        let server = TestServer::start(store).await;
        fill(&server).await;
        for (path, expected) in [
            ("Patient?name=uwa", "a,b"),
            ("Patient?family:exact=Uwase", "a"),
            ("Patient?family:contains=gish", "c"),
            ("Patient?gender=female", "a,b"),
            ("Patient?gender:not=female", "c"),
            ("Patient?identifier=urn:card|c", "c"),
            ("Patient?identifier=urn:card|a,urn:card|b", "a,b"),
            ("Patient?birthdate=ge2020-01-01&birthdate=lt2021-01-01", "b"),
            ("Patient?birthdate=2021", "c"),
            ("Patient?organization=Organization/o", "a,b,c"),
            ("Patient?organization:missing=true", ""),
            ("Patient?_id=a,c", "a,c"),
            ("Patient?_tag=urn:t|Uwase", "a"),
            ("Patient?_lastUpdated=gt2020-01-01T00:00:00.000Z", "a,b,c"),
            ("Patient/_search?name=mug", "c"),
            ("Observation?value-quantity=gt38", "x"),
            ("Observation?value-quantity=38.5|http://unitsofmeasure.org|Cel", "x"),
            ("Observation?code=http://loinc.org|8310-5&subject=Patient/a", "x"),
            ("Observation?code-value-quantity=http://loinc.org|8310-5$gt38", "x"),
        ] {
            let found = server.get(path).await;
            assert_eq!(found.status, 200, "{path}: {}", found.body);
            assert_eq!(ids(&found, "match").join(","), expected, "{path}");
            assert!(found.link("self").unwrap().starts_with(&server.url), "{path}");
        }
        server.stop().await;
    })
    .await;
}

#[tokio::test]
async fn a_form_and_its_url_search_together() {
    each_store(|store| async move {
        let server = TestServer::start(store).await;
        fill(&server).await;
        let form = server
            .request(Method::POST, "Patient/_search?gender=female")
            .header("content-type", "application/x-www-form-urlencoded")
            .body("family=Uwase");
        assert_eq!(ids(&answered(form).await, "match"), ["a"]);
        let json = server.with_body(Method::POST, "Patient/_search", &json!({}));
        answered(json).await.refused(415, "unsupported-media-type");
        server.stop().await;
    })
    .await;
}

#[tokio::test]
async fn what_belongs_to_the_matches_is_included_once() {
    each_store(|store| async move {
        let server = TestServer::start(store).await;
        fill(&server).await;
        let forward = server.get("Patient?gender=female&_include=Patient:organization").await;
        assert_eq!(
            (ids(&forward, "match"), ids(&forward, "include")),
            (vec!["a".into(), "b".into()], vec!["o".into()])
        );
        assert_eq!(forward.body["total"], 2, "what is included does not count");
        let reverse = server.get("Patient?_id=a&_revinclude=Observation:subject").await;
        assert_eq!(ids(&reverse, "include"), ["x"]);
        let iterated = server
            .get("Observation?_include=Observation:subject&_include:iterate=Patient:organization")
            .await;
        assert_eq!(ids(&iterated, "include"), ["a", "o"]);

        let narrow = server.token("narrow", "system/Patient.rs").await;
        let hidden = server.client.get(format!("{}/fhir/Patient?_include=Patient:organization", server.url));
        let hidden = answered(hidden.bearer_auth(narrow)).await;
        assert_eq!((ids(&hidden, "match").len(), ids(&hidden, "include").len()), (3, 0));
        assert_eq!(hidden.entries("outcome").len(), 1);
        server.stop().await;
    })
    .await;
}

#[tokio::test]
async fn pages_neither_miss_nor_repeat_while_others_write() {
    each_store(|store| async move {
        let server = TestServer::start(store).await;
        let entry = |index: usize| {
            json!({
                "request": { "method": "PUT", "url": format!("Patient/p{index}") },
                "resource": { "resourceType": "Patient", "id": format!("p{index}"), "gender": if index.is_multiple_of(2) { "male" } else { "female" } },
            })
        };
        let entries: Vec<Value> = (0..57).map(entry).collect();
        let bundle = json!({ "resourceType": "Bundle", "type": "transaction", "entry": entries });
        assert_eq!(server.post("", &bundle).await.status, 200);
        for path in ["Patient?_count=10", "Patient?_count=7&_sort=-_lastUpdated", "Patient?_count=13&_sort=gender,-_id"] {
            let mut found = server.ids(path).await;
            assert_eq!(found.len(), 57, "{path}");
            found.sort();
            found.dedup();
            assert_eq!(found.len(), 57, "{path}");
        }
        let entry = |index: usize| {
            let patient = json!({ "resourceType": "Patient", "birthDate": format!("199{index}") });
            json!({ "request": { "method": "POST", "url": "Patient" }, "resource": patient })
        };
        let entries: Vec<Value> = (0..3).map(entry).collect();
        let bundle = json!({ "resourceType": "Bundle", "type": "batch", "entry": entries });
        assert_eq!(server.post("", &bundle).await.status, 200);
        assert_eq!(server.ids("Patient?birthdate=ap1991&_count=1").await.len(), 3, "`ap` looks at the clock");
        let first = server.get("Patient?_count=50").await;
        let next = first.link("next").unwrap();
        server.post("Patient", &json!({ "resourceType": "Patient" })).await;
        let page = answered(server.client.get(&next).bearer_auth(&server.token)).await;
        assert_eq!(page.entries("match").len(), 11, "what came meanwhile comes after");
        let tampered = format!("{next}x");
        answered(server.client.get(&tampered).bearer_auth(&server.token)).await.refused(410, "page-token");
        server.stop().await;
    })
    .await;
}

#[tokio::test]
async fn totals_and_what_was_applied() {
    each_store(|store| async move {
        let server = TestServer::start(store).await;
        fill(&server).await;
        let counted = server.get("Patient?_summary=count").await;
        assert_eq!((counted.body["total"].as_i64(), counted.body.get("entry")), (Some(3), None));
        let ignored = server.get("Patient?gender=male&summary=count").await;
        assert_eq!(ignored.link("self").unwrap(), format!("{}/fhir/Patient?gender=male", server.url));
        assert_eq!(ignored.entries("outcome").len(), 1, "{}", ignored.body);
        let strict = server.request(Method::GET, "Patient?gendre=male").header("prefer", "handling=strict");
        let strict = answered(strict).await;
        strict.refused(400, "unknown-parameter");
        assert!(strict.body.to_string().contains("did you mean gender"));
        server.get("Patient?birthdate=yesterday").await.refused(400, "bad-date");
        server.stop().await;
    })
    .await;
}
