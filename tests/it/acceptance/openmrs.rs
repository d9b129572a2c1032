//! OpenMRS and the pollers around it: `_lastUpdated` windows, one after the other.

use mjumbe::fhir::client::Profile;
use mjumbe::store::testing::each_store;
use serde_json::{Value, json};

use crate::server::{TestServer, answered};

async fn as_poller(store: mjumbe::store::Store) -> TestServer {
    let mut server = TestServer::start(store).await;
    server.become_client(Profile::OpenMrs).await;
    server
}

fn patient(n: usize, gender: &str) -> Value {
    json!({
        "resourceType": "Patient", "id": format!("p{n}"), "gender": gender,
        "identifier": [{ "type": { "text": "OpenMRS ID" }, "system": "urn:openmrs", "value": format!("100{n}GX") }],
    })
}

/// A poller that remembers the last `lastUpdated` and asks for what came after it, page by page.
async fn window(server: &TestServer, since: &mut String) -> Vec<(String, String)> {
    let path = format!("Patient?_lastUpdated=gt{since}&_sort=_lastUpdated&_count=3");
    let mut next = Some(format!("{}/fhir/{path}", server.url));
    let mut seen = Vec::new();
    while let Some(url) = next {
        let page = answered(server.client.get(&url).bearer_auth(&server.token)).await;
        assert_eq!(page.status, 200, "{}", page.body);
        for one in page.entries("match") {
            let text = |path: &str| one.pointer(path).unwrap().as_str().unwrap().to_owned();
            assert!(text("/meta/lastUpdated") > *since || seen.is_empty(), "ascending");
            since.clone_from(&text("/meta/lastUpdated"));
            seen.push((text("/id"), text("/meta/versionId")));
        }
        next = page.link("next");
    }
    seen
}

#[tokio::test]
async fn windows_show_each_current_version_once() {
    each_store(|store| async move {
        let server = as_poller(store).await;
        let mut since = "2000-01-01T00:00:00.000Z".to_owned();
        for n in 0..7 {
            server.put(&format!("Patient/p{n}"), &patient(n, "female")).await;
        }
        assert_eq!(window(&server, &mut since).await.len(), 7);
        assert!(window(&server, &mut since).await.is_empty(), "nothing new");
        for n in [2, 5] {
            server.put(&format!("Patient/p{n}"), &patient(n, "male")).await;
        }
        // The same again is no new version.
        server.put("Patient/p1", &patient(1, "female")).await;
        let changed = window(&server, &mut since).await;
        assert_eq!(changed, [("p2".to_owned(), "2".to_owned()), ("p5".to_owned(), "2".to_owned())]);
        server.stop().await;
    })
    .await;
}

#[tokio::test]
async fn a_closed_window_and_the_set_difference_by_identifier() {
    each_store(|store| async move {
        let server = as_poller(store).await;
        let first = server.put("Patient/p1", &patient(1, "female")).await;
        let at = first.body["meta"]["lastUpdated"].as_str().unwrap().to_owned();
        let second = server.put("Patient/p2", &patient(2, "female")).await;
        let then = second.body["meta"]["lastUpdated"].as_str().unwrap();
        let ids = |path: String| {
            let server = &server;
            async move { server.ids(&path).await }
        };
        assert_eq!(ids(format!("Patient?_lastUpdated=ge{at}&_lastUpdated=lt{then}")).await, ["p1"]);
        assert_eq!(ids(format!("Patient?_lastUpdated=gt{at}&_lastUpdated=le{then}")).await, ["p2"]);
        // Is the patient of the other side here already?
        assert_eq!(server.get("Patient?identifier=urn:openmrs|1001GX").await.body["total"], 1);
        assert_eq!(server.get("Patient?identifier=1009GX").await.body["total"], 0);
        // What is deleted is no longer found, and says so when it is read.
        server.delete("Patient/p2").await;
        assert_eq!(server.ids("Patient").await, ["p1"]);
        assert_eq!(server.get("Patient/p2").await.status, 410);
        let history = server.get("Patient/p2/_history").await;
        assert_eq!(history.body["entry"][0]["request"]["method"], "DELETE");
        server.stop().await;
    })
    .await;
}
