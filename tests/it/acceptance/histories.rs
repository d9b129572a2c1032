//! Rows H: histories. <https://hl7.org/fhir/R4/http.html#history>

use mjumbe::store::testing::each_store;
use reqwest::Method;
use serde_json::{Value, json};

use crate::server::{TestServer, answered};

/// What a history tells: `METHOD Type/id version`.
fn told(history: &crate::server::Answered) -> Vec<String> {
    assert_eq!(
        (history.status.as_u16(), &history.body["type"]),
        (200, &json!("history")),
        "{}",
        history.body
    );
    let entries = history.body["entry"].as_array().cloned().unwrap_or_default();
    let tell = |entry: &Value| {
        let method = entry["request"]["method"].as_str().unwrap();
        let place = entry["fullUrl"].as_str().unwrap().rsplit("/fhir/").next().unwrap();
        assert_eq!(entry.get("resource").is_none(), method == "DELETE", "{entry}");
        assert!(entry["response"]["lastModified"].as_str().unwrap().ends_with('Z'));
        let version = entry["response"]["etag"].as_str().unwrap();
        format!("{method} {place} {}", version.trim_start_matches("W/").trim_matches('"'))
    };
    entries.iter().map(tell).collect()
}

/// Patient/1 in three versions, Patient/2 and Observation/3; Patient/1 is deleted last. The time between is told.
async fn lives(server: &TestServer) -> String {
    let patient = |id: &str, family: &str| json!({ "resourceType": "Patient", "id": id, "name": [{ "family": family }] });
    server.put("Patient/1", &patient("1", "A")).await;
    server.put("Patient/2", &patient("2", "B")).await;
    let second = server.put("Patient/1", &patient("1", "C")).await;
    let observation =
        json!({ "resourceType": "Observation", "id": "3", "status": "final", "code": { "text": "t" } });
    server.put("Observation/3", &observation).await;
    server.delete("Patient/1").await;
    second.body["meta"]["lastUpdated"].as_str().unwrap().to_owned()
}

#[tokio::test]
async fn h1_histories_of_an_instance_a_type_and_everything() {
    each_store(|store| async move {
        let server = TestServer::start(store).await;
        lives(&server).await;
        let instance = server.get("Patient/1/_history").await;
        assert_eq!(told(&instance), ["DELETE Patient/1 3", "PUT Patient/1 2", "PUT Patient/1 1"]);
        assert_eq!(instance.body["total"], 3);
        let patients = ["DELETE Patient/1 3", "PUT Patient/1 2", "PUT Patient/2 1", "PUT Patient/1 1"];
        assert_eq!(told(&server.get("Patient/_history").await), patients);
        let everything = [
            "DELETE Patient/1 3",
            "PUT Observation/3 1",
            "PUT Patient/1 2",
            "PUT Patient/2 1",
            "PUT Patient/1 1",
        ];
        assert_eq!(told(&server.get("_history").await), everything);
        assert!(told(&server.get("Encounter/_history").await).is_empty());
        server.get("Patient/absent/_history").await.refused(404, "not-found");
        // Whoever reads XML gets XML on every page.
        let next = server.get("Patient/_history?_count=1&_format=xml").await;
        assert!(next.body.as_str().unwrap().contains("_format=xml&amp;_before="), "{}", next.body);
        let batch = json!({ "resourceType": "Bundle", "type": "batch", "entry": [
            { "request": { "method": "GET", "url": "Patient/_history?_count=1" } },
            { "request": { "method": "GET", "url": "_history" } }
        ] });
        let batch = server.post("", &batch).await;
        assert_eq!(batch.body["entry"][0]["resource"]["entry"].as_array().unwrap().len(), 1);
        assert_eq!(batch.body["entry"][1]["resource"]["entry"].as_array().unwrap().len(), 5);

        let narrow = server.token("narrow", "system/Patient.rs").await;
        for (path, status) in [
            ("Patient/1/_history", 200),
            ("Patient/_history", 200),
            ("Observation/_history", 403),
            ("_history", 403),
        ] {
            let request = server.client.get(format!("{}/fhir/{path}", server.url)).bearer_auth(&narrow);
            assert_eq!(answered(request).await.status, status, "{path}");
        }
        server.stop().await;
    })
    .await;
}

/// Pages of each history, while others write, neither miss nor repeat what was there at the start.
#[tokio::test]
async fn h1_pages_of_a_history_stay_while_others_write() {
    each_store(|store| async move {
        let server = TestServer::start(store).await;
        for n in 0..12 {
            let patient = json!({ "resourceType": "Patient", "id": "1", "multipleBirthInteger": n });
            server.put("Patient/1", &patient).await;
        }
        let entries: Vec<Value> = (0..7)
            .map(|n| json!({ "resource": { "resourceType": "Patient", "id": format!("p{n}") }, "request": { "method": "PUT", "url": format!("Patient/p{n}") } }))
            .collect();
        server.post("", &json!({ "resourceType": "Bundle", "type": "transaction", "entry": entries })).await;
        for (place, there) in [("Patient/1/_history", 12), ("Patient/_history", 19), ("_history", 22)] {
            let first = server.get(&format!("{place}?_count=1000")).await;
            let mut seen = Vec::new();
            let mut next = Some(format!("{}/fhir/{place}?_count=4", server.url));
            while let Some(url) = next {
                let page = answered(server.client.get(&url).bearer_auth(&server.token)).await;
                assert!(told(&page).len() <= 4);
                seen.extend(told(&page));
                next = page.link("next");
                let other = json!({ "resourceType": "Basic", "id": "b", "code": { "text": seen.len().to_string() } });
                if place != "_history" && seen.len() == 4 {
                    server.put("Basic/b", &other).await;
                    server.put("Patient/2", &json!({ "resourceType": "Patient", "id": "2", "multipleBirthInteger": seen.len() })).await;
                    server.delete("Patient/2").await;
                }
                assert!(seen.len() < 100, "paging does not end");
            }
            assert_eq!(seen, told(&first), "{place}");
            assert!(seen.len() >= there, "{place}: {}", seen.len());
        }
        server.stop().await;
    })
    .await;
}

#[tokio::test]
async fn h2_a_history_since_and_at_a_time() {
    each_store(|store| async move {
        let server = TestServer::start(store).await;
        let second = lives(&server).await;
        let get = async |path: String| told(&server.get(&path).await);
        assert_eq!(
            get(format!("Patient/1/_history?_since={second}")).await,
            ["DELETE Patient/1 3", "PUT Patient/1 2"]
        );
        assert_eq!(server.get(&format!("Patient/1/_history?_since={second}")).await.body["total"], 2);
        assert_eq!(
            get(format!("Patient/_history?_since={second}")).await,
            ["DELETE Patient/1 3", "PUT Patient/1 2"]
        );
        let since = ["DELETE Patient/1 3", "PUT Observation/3 1", "PUT Patient/1 2"];
        assert_eq!(get(format!("_history?_since={second}")).await, since);
        assert_eq!(get("_history?_since=2100-01-01T00:00:00Z".to_owned()).await, Vec::<String>::new());
        assert_eq!(get(format!("Patient/1/_history?_at={second}")).await, ["PUT Patient/1 2"]);
        assert_eq!(
            get(format!("Patient/_history?_at={second}")).await,
            ["PUT Patient/1 2", "PUT Patient/2 1"]
        );
        assert_eq!(get(format!("_history?_at={second}")).await, ["PUT Patient/1 2", "PUT Patient/2 1"]);
        assert_eq!(get(format!("_history?_at={}", &second[..4])).await.len(), 5, "all of the year");
        assert_eq!(get("Patient/_history?_at=2001".to_owned()).await, Vec::<String>::new());
        assert_eq!(get(format!("Patient/_history?_since={second}&_count=1")).await, ["DELETE Patient/1 3"]);
        let links = server.get(&format!("Patient/_history?_since={second}&_count=1&nonsense=1")).await;
        let link = links.link("self").unwrap();
        assert!(
            link.contains("_since=") && link.contains("_count=1") && !link.contains("nonsense"),
            "{link}"
        );
        let rest = answered(server.client.get(links.link("next").unwrap()).bearer_auth(&server.token)).await;
        assert_eq!((told(&rest), rest.link("next")), (vec!["PUT Patient/1 2".to_owned()], None));

        for (query, code) in [
            ("_since=soon", "bad-date"),
            ("_at=2020-13", "bad-date"),
            ("_count=few", "bad-number"),
            ("_count=1&_count=2", "repeated-parameter"),
            ("_since=2020&_since=2021", "repeated-parameter"),
            ("_list=List/1", "not-supported"),
            ("_before=x", "page-token"),
        ] {
            server.get(&format!("Patient/_history?{query}")).await.refused(400, code);
        }
        let strict =
            server.request(Method::GET, "Patient/_history?nonsense=1").header("prefer", "handling=strict");
        answered(strict).await.refused(400, "unknown-parameter");
        server.stop().await;
    })
    .await;
}

#[tokio::test]
async fn h1_what_comes_back_after_a_deletion_was_created() {
    each_store(|store| async move {
        let server = TestServer::start(store).await;
        let patient = json!({ "resourceType": "Patient", "id": "1" });
        server.put("Patient/1", &patient).await;
        server.delete("Patient/1").await;
        assert_eq!(server.put("Patient/1", &patient).await.status, 201);
        server.put("Patient/1", &json!({ "resourceType": "Patient", "id": "1", "active": true })).await;
        for path in ["Patient/1/_history", "Patient/_history", "_history"] {
            let history = server.get(path).await;
            let entries = history.body["entry"].as_array().unwrap();
            let statuses: Vec<_> =
                entries.iter().map(|entry| entry["response"]["status"].as_str().unwrap()).collect();
            assert_eq!(statuses, ["200 OK", "201 Created", "204 No Content", "201 Created"], "{path}");
            let none = server.get(&format!("{path}?_count=0")).await;
            assert_eq!(
                (none.status.as_u16(), none.body.get("entry"), none.link("next")),
                (200, None, None),
                "{path}"
            );
        }
        assert_eq!(server.get("Patient/1/_history?_count=0").await.body["total"], 4);
        server.stop().await;
    })
    .await;
}
