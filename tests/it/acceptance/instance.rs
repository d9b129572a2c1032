//! Rows R, V, C, U, P, D, H: one resource and its versions. <https://hl7.org/fhir/R4/http.html>

use mjumbe::store::testing::each_store;
use reqwest::{Method, RequestBuilder};
use serde_json::{Value, json};

use crate::server::{TestServer, answered};

const JSON_PATCH: &str = "application/json-patch+json";

fn patch(server: &TestServer, path: &str, operations: &Value) -> RequestBuilder {
    let request = server.request(Method::PATCH, path).header("content-type", JSON_PATCH);
    request.body(operations.to_string())
}

async fn store_patient(server: &TestServer) {
    let body = json!({
        "resourceType": "Patient", "id": "1", "active": true,
        "identifier": [{ "system": "urn:card", "value": "7" }], "name": [{ "family": "Uwase" }]
    });
    assert_eq!(server.put("Patient/1", &body).await.status, 201);
}

#[tokio::test]
async fn p1_a_json_patch_makes_the_next_version() {
    each_store(|store| async move {
        let server = TestServer::start(store).await;
        store_patient(&server).await;
        let operations = json!([
            { "op": "test", "path": "/active", "value": true },
            { "op": "replace", "path": "/name/0/family", "value": "Mukamana" },
            { "op": "add", "path": "/birthDate", "value": "2021-03-04" }
        ]);
        let done = answered(patch(&server, "Patient/1", &operations)).await;
        assert_eq!((done.status.as_u16(), done.header("etag")), (200, "W/\"2\""), "{}", done.body);
        assert_eq!(done.header("location"), format!("{}/fhir/Patient/1/_history/2", server.url));
        assert_eq!(done.body["name"][0]["family"], "Mukamana");
        let read = server.get("Patient/1").await;
        assert_eq!(read.body, done.body);
        assert_eq!(
            server.get("Patient?family=mukamana&birthdate=2021").await.body["total"],
            1,
            "it is indexed"
        );
        assert_eq!(server.get("Patient?family=uwase").await.body["total"], 0);

        let minimal = patch(&server, "Patient/1", &json!([{ "op": "remove", "path": "/birthDate" }]));
        let minimal = answered(minimal.header("prefer", "return=minimal")).await;
        assert_eq!(
            (minimal.status.as_u16(), minimal.header("etag"), minimal.body),
            (200, "W/\"3\"", Value::Null)
        );
        server.stop().await;
    })
    .await;
}

#[tokio::test]
async fn p1_a_json_patch_that_does_not_fit_changes_nothing() {
    each_store(|store| async move {
        let server = TestServer::start(store).await;
        store_patient(&server).await;
        let refused = async |operations: Value, status: u16, code: &str| {
            answered(patch(&server, "Patient/1", &operations)).await.refused(status, code);
        };
        let first = json!({ "op": "remove", "path": "/active" });
        refused(
            json!([first, { "op": "test", "path": "/name/0/family", "value": "X" }]),
            422,
            "patch-test-failed",
        )
        .await;
        refused(json!([first, { "op": "remove", "path": "/name/3" }]), 422, "patch-path").await;
        refused(json!([first, { "op": "add", "path": "/birthDate", "value": "soon" }]), 422, "bad-date")
            .await;
        refused(json!([first, { "op": "jump", "path": "/name/3" }]), 400, "patch-malformed").await;
        refused(json!({ "op": "remove" }), 400, "patch-malformed").await;
        let broken = server.request(Method::PATCH, "Patient/1").header("content-type", JSON_PATCH).body("[{");
        answered(broken).await.refused(400, "not-json");
        answered(patch(&server, "Patient/absent", &json!([first]))).await.refused(404, "not-found");
        server.delete("Patient/1").await;
        answered(patch(&server, "Patient/1", &json!([first]))).await.refused(410, "deleted");
        let history = server.get("Patient/1/_history").await;
        assert_eq!(history.body["total"], 2, "none of them made a version");
        server.stop().await;
    })
    .await;
}

#[tokio::test]
async fn p1_other_patch_formats_are_415_with_those_that_are_read() {
    each_store(|store| async move {
        let server = TestServer::start(store).await;
        store_patient(&server).await;
        for media in ["application/xml-patch+xml", "application/merge-patch+json", "text/plain"] {
            let request =
                server.request(Method::PATCH, "Patient/1").header("content-type", media).body("<diff/>");
            let answer = answered(request).await;
            answer.refused(415, "unsupported-media-type");
            assert!(answer.header("accept-patch").contains(JSON_PATCH), "{:?}", answer.headers);
        }
        let statement = server.get("metadata").await;
        assert!(statement.body["patchFormat"].as_array().unwrap().contains(&json!(JSON_PATCH)));
        server.stop().await;
    })
    .await;
}

/// Fifty clients add to one list at once.
#[tokio::test]
async fn p1_no_concurrent_patch_is_lost() {
    each_store(|store| async move {
        let server = TestServer::start(store).await;
        store_patient(&server).await;
        let add = |n: u32| {
            let name = json!({ "family": format!("N{n}") });
            answered(patch(&server, "Patient/1", &json!([{ "op": "add", "path": "/name/-", "value": name }])))
        };
        let answers = futures::future::join_all((0..50).map(add)).await;
        for answer in &answers {
            assert_eq!(answer.status, 200, "{}", answer.body);
        }
        let read = server.get("Patient/1").await;
        assert_eq!(read.header("etag"), "W/\"51\"");
        let names = read.body["name"].as_array().unwrap();
        for n in 0..50 {
            let family = format!("N{n}");
            assert_eq!(names.iter().filter(|name| name["family"] == *family).count(), 1, "{family}");
        }
        server.stop().await;
    })
    .await;
}

#[tokio::test]
async fn p1_a_patch_shows_no_more_than_the_token_may_read() {
    each_store(|store| async move {
        let server = TestServer::start(store).await;
        store_patient(&server).await;
        let with = |token: String| {
            let request = server.client.patch(format!("{}/fhir/Patient/1", server.url)).bearer_auth(token);
            let request = request.header("content-type", JSON_PATCH);
            answered(
                request.body(json!([{ "op": "replace", "path": "/active", "value": false }]).to_string()),
            )
        };
        let blind = with(server.token("blind", "system/Patient.u").await).await;
        assert_eq!((blind.status.as_u16(), blind.body), (200, Value::Null));
        with(server.token("reader", "system/Patient.rs").await).await.refused(403, "scope-missing");
        server.stop().await;
    })
    .await;
}

#[tokio::test]
async fn p3_a_fhirpath_patch_makes_the_next_version() {
    each_store(|store| async move {
        let server = TestServer::start(store).await;
        store_patient(&server).await;
        let send = |operations: Value| {
            let body = json!({ "resourceType": "Parameters", "parameter": operations });
            answered(server.with_body(Method::PATCH, "Patient/1", &body))
        };
        let operation = |parts: Value| json!({ "name": "operation", "part": parts });
        let done = send(json!([
            operation(json!([
                { "name": "type", "valueCode": "add" }, { "name": "path", "valueString": "Patient" },
                { "name": "name", "valueString": "birthDate" }, { "name": "value", "valueDate": "2021-03-04" }
            ])),
            operation(json!([
                { "name": "type", "valueCode": "insert" }, { "name": "path", "valueString": "Patient.identifier" },
                { "name": "index", "valueInteger": 0 },
                { "name": "value", "valueIdentifier": { "system": "urn:card", "value": "6" } }
            ])),
            operation(json!([
                { "name": "type", "valueCode": "replace" },
                { "name": "path", "valueString": "Patient.name.where(family = 'Uwase').family" },
                { "name": "value", "valueString": "Mukamana" }
            ])),
            operation(json!([
                { "name": "type", "valueCode": "move" }, { "name": "path", "valueString": "Patient.identifier" },
                { "name": "source", "valueInteger": 0 }, { "name": "destination", "valueInteger": 1 }
            ])),
            operation(json!([{ "name": "type", "valueCode": "delete" }, { "name": "path", "valueString": "Patient.active" }]))
        ]))
        .await;
        assert_eq!((done.status.as_u16(), done.header("etag")), (200, "W/\"2\""), "{}", done.body);
        let read = server.get("Patient/1").await.body;
        assert_eq!((&read["birthDate"], &read["name"][0]["family"]), (&json!("2021-03-04"), &json!("Mukamana")));
        assert_eq!((&read["identifier"][0]["value"], &read["identifier"][1]["value"]), (&json!("7"), &json!("6")));
        assert!(read.get("active").is_none());

        let path = |path: &str| {
            send(json!([operation(json!([
                { "name": "type", "valueCode": "replace" }, { "name": "path", "valueString": path },
                { "name": "value", "valueString": "x" }
            ]))]))
        };
        let nothing = path("Patient.photo.title").await;
        nothing.refused(422, "patch-path");
        assert_eq!(nothing.body["issue"][0]["expression"][0], "Parameters.parameter[0]");
        path("Patient.identifier.value").await.refused(422, "patch-path");
        path("Patient.((").await.refused(400, "patch-path");
        path("Patient.id").await.refused(422, "patch-identity");
        assert_eq!(server.get("Patient/1").await.header("etag"), "W/\"2\"");
        server.stop().await;
    })
    .await;
}

#[tokio::test]
async fn p4_a_patch_of_one_version() {
    each_store(|store| async move {
        let server = TestServer::start(store).await;
        store_patient(&server).await;
        let flip = |value: bool, tag: &str| {
            let operations = json!([{ "op": "replace", "path": "/active", "value": value }]);
            answered(patch(&server, "Patient/1", &operations).header("if-match", tag))
        };
        assert_eq!(flip(false, "W/\"1\"").await.header("etag"), "W/\"2\"");
        flip(true, "W/\"1\"").await.refused(412, "version-conflict");
        flip(true, "nonsense").await.refused(400, "bad-etag");
        assert_eq!(server.get("Patient/1").await.body["active"], false);
        server.stop().await;
    })
    .await;
}

#[tokio::test]
async fn p5_a_patch_by_search_needs_exactly_one() {
    each_store(|store| async move {
        let server = TestServer::start(store).await;
        store_patient(&server).await;
        let flip = |query: &str| {
            let operations = json!([{ "op": "replace", "path": "/active", "value": false }]);
            answered(patch(&server, &format!("Patient?{query}"), &operations))
        };
        let done = flip("identifier=urn:card|7").await;
        assert_eq!((done.status.as_u16(), done.body["active"].clone()), (200, json!(false)), "{}", done.body);
        flip("identifier=urn:card|8").await.refused(404, "no-match");
        server
            .post(
                "Patient",
                &json!({ "resourceType": "Patient", "identifier": [{ "system": "urn:card", "value": "7" }] }),
            )
            .await;
        flip("identifier=urn:card|7").await.refused(412, "multiple-matches");
        flip("identifer=x").await.refused(400, "unknown-parameter");
        flip("").await.refused(400, "empty-condition");
        server.stop().await;
    })
    .await;
}

#[tokio::test]
async fn p6_a_patch_changes_neither_id_nor_type() {
    each_store(|store| async move {
        let server = TestServer::start(store).await;
        store_patient(&server).await;
        for (path, value) in [("/id", "2"), ("/resourceType", "Person")] {
            let operations = json!([{ "op": "replace", "path": path, "value": value }]);
            answered(patch(&server, "Patient/1", &operations)).await.refused(422, "patch-identity");
        }
        let operations = json!([{ "op": "remove", "path": "/id" }]);
        answered(patch(&server, "Patient/1", &operations)).await.refused(422, "patch-identity");
        server.stop().await;
    })
    .await;
}

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
