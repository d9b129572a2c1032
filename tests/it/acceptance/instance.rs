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

fn patient(family: &str) -> Value {
    json!({ "resourceType": "Patient", "name": [{ "family": family }], "birthDate": "2021-03-04" })
}

fn with_id(id: &str, family: &str) -> Value {
    let mut body = patient(family);
    body["id"] = json!(id);
    body
}

#[tokio::test]
async fn r1_a_read_tells_id_version_and_time() {
    each_store(|store| async move {
        let server = TestServer::start(store).await;
        server.put("Patient/1", &with_id("1", "Uwase")).await;
        let read = server.get("Patient/1").await;
        assert_eq!((read.status.as_u16(), read.header("etag")), (200, "W/\"1\""));
        assert_eq!(read.header("content-type"), "application/fhir+json; charset=utf-8");
        assert!(read.header("last-modified").ends_with("GMT"));
        assert_eq!((&read.body["id"], &read.body["meta"]["versionId"]), (&json!("1"), &json!("1")));
        assert!(read.body["meta"]["lastUpdated"].as_str().unwrap().ends_with('Z'));
        server.stop().await;
    })
    .await;
}

#[tokio::test]
async fn r2_what_is_unknown_deleted_or_no_id() {
    each_store(|store| async move {
        let server = TestServer::start(store).await;
        server.put("Patient/1", &with_id("1", "Uwase")).await;
        server.delete("Patient/1").await;
        let gone = server.get("Patient/1").await;
        gone.refused(410, "deleted");
        assert_eq!(gone.header("etag"), "W/\"2\"");
        server.get("Patient/absent").await.refused(404, "not-found");
        server.get("Patient/not_an_id").await.refused(404, "not-found");
        server.stop().await;
    })
    .await;
}

#[tokio::test]
async fn r3_what_the_client_has_is_304() {
    each_store(|store| async move {
        let server = TestServer::start(store).await;
        let made = server.put("Patient/1", &with_id("1", "Uwase")).await;
        let read =
            |name: &str, value: &str| answered(server.request(Method::GET, "Patient/1").header(name, value));
        for (name, value, status) in [
            ("if-none-match", "W/\"1\"", 304),
            ("if-none-match", "W/\"7\", W/\"1\"", 304),
            ("if-none-match", "W/\"2\"", 200),
            ("if-modified-since", made.header("last-modified"), 304),
            ("if-modified-since", "Tue, 15 Nov 1994 08:12:31 GMT", 200),
            ("if-modified-since", "yesterday", 200),
        ] {
            let answer = read(name, value).await;
            assert_eq!(answer.status, status, "{name}: {value}");
            assert_eq!(answer.body == Value::Null, status == 304);
            assert_eq!(answer.header("etag"), "W/\"1\"");
        }
        server.stop().await;
    })
    .await;
}

#[tokio::test]
async fn v1_a_version_is_read() {
    each_store(|store| async move {
        let server = TestServer::start(store).await;
        server.put("Patient/1", &with_id("1", "Uwase")).await;
        server.put("Patient/1", &with_id("1", "Mukamana")).await;
        server.delete("Patient/1").await;
        let first = server.get("Patient/1/_history/1").await;
        assert_eq!((first.status.as_u16(), first.header("etag")), (200, "W/\"1\""));
        assert_eq!(
            (&first.body["name"][0]["family"], &first.body["meta"]["versionId"]),
            (&json!("Uwase"), &json!("1"))
        );
        assert_eq!(server.get("Patient/1/_history/2").await.body["name"][0]["family"], "Mukamana");
        server.get("Patient/1/_history/3").await.refused(410, "deleted");
        for unknown in ["4", "0", "x", "99999999999999999999"] {
            server.get(&format!("Patient/1/_history/{unknown}")).await.refused(404, "not-found");
        }
        server.stop().await;
    })
    .await;
}

#[tokio::test]
async fn c1_a_create_gives_id_and_version() {
    each_store(|store| async move {
        let server = TestServer::start(store).await;
        let mut body = with_id("mine", "Uwase");
        body["meta"] =
            json!({ "versionId": "77", "lastUpdated": "2001-01-01T00:00:00Z", "tag": [{ "code": "kept" }] });
        let created = server.post("Patient", &body).await;
        assert_eq!(created.status, 201, "{}", created.body);
        let id = created.body["id"].as_str().unwrap().to_owned();
        assert_ne!(id, "mine");
        assert_eq!(created.header("etag"), "W/\"1\"");
        assert_eq!(created.header("location"), format!("{}/fhir/Patient/{id}/_history/1", server.url));
        assert!(created.header("last-modified").ends_with("GMT"));
        let meta = &created.body["meta"];
        assert_eq!((&meta["versionId"], &meta["tag"][0]["code"]), (&json!("1"), &json!("kept")));
        assert!(!meta["lastUpdated"].as_str().unwrap().starts_with("2001"));
        server.stop().await;
    })
    .await;
}

#[tokio::test]
async fn c2_what_is_not_r4_is_not_created() {
    each_store(|store| async move {
        let server = TestServer::start(store).await;
        let send = |body: &'static str| {
            let request =
                server.request(Method::POST, "Patient").header("content-type", "application/fhir+json");
            answered(request.body(body))
        };
        send("{").await.refused(400, "not-json");
        send("").await.refused(400, "not-json");
        let unknown = send(r#"{"resourceType":"Patient","nmae":1}"#).await;
        assert_eq!(
            (unknown.status.as_u16(), &unknown.body["issue"][0]["expression"][0]),
            (400, &json!("Patient.nmae"))
        );
        server.post("Observation", &patient("A")).await.refused(400, "type-mismatch");
        assert_eq!(server.get("Patient").await.body["total"], 0);
        server.stop().await;
    })
    .await;
}

#[tokio::test]
async fn c3_if_none_exist_makes_one_of_many() {
    each_store(|store| async move {
        let server = TestServer::start(store).await;
        let body =
            json!({ "resourceType": "Patient", "identifier": [{ "system": "urn:card", "value": "7" }] });
        let create = || {
            let request = server.with_body(Method::POST, "Patient", &body);
            answered(request.header("if-none-exist", "identifier=urn:card|7"))
        };
        let answers = futures::future::join_all((0..20).map(|_| create())).await;
        let created = answers.iter().filter(|answer| answer.status == 201).count();
        assert_eq!(created, 1);
        assert!(answers.iter().all(|answer| matches!(answer.status.as_u16(), 200 | 201)));
        let places: std::collections::BTreeSet<&str> =
            answers.iter().map(|answer| answer.header("location")).collect();
        assert_eq!(places.len(), 1);
        assert_eq!(server.get("Patient").await.body["total"], 1);

        server.post("Patient", &body).await;
        create().await.refused(412, "multiple-matches");
        let careless =
            server.with_body(Method::POST, "Patient", &body).header("if-none-exist", "identifer=x");
        answered(careless).await.refused(400, "unknown-parameter");
        server.stop().await;
    })
    .await;
}

#[tokio::test]
async fn u1_an_update_makes_a_new_version() {
    each_store(|store| async move {
        let server = TestServer::start(store).await;
        server.put("Patient/1", &with_id("1", "Uwase")).await;
        let updated = server.put("Patient/1", &with_id("1", "Mukamana")).await;
        assert_eq!((updated.status.as_u16(), updated.header("etag")), (200, "W/\"2\""));
        assert!(updated.header("last-modified").ends_with("GMT"));
        let read = server.get("Patient/1").await;
        assert_eq!(
            (&read.body["name"][0]["family"], &read.body["meta"]["versionId"]),
            (&json!("Mukamana"), &json!("2"))
        );
        server.stop().await;
    })
    .await;
}

#[tokio::test]
async fn u2_an_update_of_what_is_not_there_creates() {
    each_store(|store| async move {
        let server = TestServer::start(store).await;
        let made = server.put("Patient/chosen-1", &with_id("chosen-1", "A")).await;
        assert_eq!(made.status, 201);
        assert_eq!(made.header("location"), format!("{}/fhir/Patient/chosen-1/_history/1", server.url));
        server.stop().await;
    })
    .await;
}

#[tokio::test]
async fn u3_the_ids_of_url_and_resource_agree() {
    each_store(|store| async move {
        let server = TestServer::start(store).await;
        server.put("Patient/other", &with_id("1", "A")).await.refused(400, "id-mismatch");
        server.put("Patient/none", &patient("A")).await.refused(400, "id-missing");
        server.put("Patient/not_an_id", &with_id("1", "A")).await.refused(400, "bad-id");
        server.put("Observation/1", &with_id("1", "A")).await.refused(400, "type-mismatch");
        server.stop().await;
    })
    .await;
}

#[tokio::test]
async fn u4_a_write_names_the_version_that_it_changes() {
    each_store(|store| async move {
        let server = TestServer::start(store).await;
        server.put("Patient/1", &with_id("1", "A")).await;
        let put = |family: &str, name: &str, value: &str| {
            answered(server.with_body(Method::PUT, "Patient/1", &with_id("1", family)).header(name, value))
        };
        assert_eq!(put("B", "if-match", "W/\"1\"").await.header("etag"), "W/\"2\"");
        put("C", "if-match", "W/\"1\"").await.refused(412, "version-conflict");
        put("C", "if-match", "nonsense").await.refused(400, "bad-etag");
        put("C", "if-none-match", "*").await.refused(412, "exists");
        assert_eq!(server.get("Patient/1").await.body["name"][0]["family"], "B");
        let absent = server.with_body(Method::PUT, "Patient/2", &with_id("2", "A"));
        answered(absent.header("if-match", "W/\"1\"")).await.refused(412, "version-conflict");
        let absent = server.with_body(Method::PUT, "Patient/2", &with_id("2", "A"));
        assert_eq!(answered(absent.header("if-none-match", "*")).await.status, 201);
        let delete =
            |tag: &str| answered(server.request(Method::DELETE, "Patient/1").header("if-match", tag));
        delete("W/\"1\"").await.refused(412, "version-conflict");
        assert_eq!(delete("W/\"2\"").await.status, 204);
        server.stop().await;
    })
    .await;
}

/// Of writers that all read the same version, one wins.
#[tokio::test]
async fn u4_one_of_many_who_name_a_version_wins() {
    each_store(|store| async move {
        let server = TestServer::start(store).await;
        server.put("Patient/1", &with_id("1", "A")).await;
        let put = |n: usize| {
            let body = with_id("1", &format!("N{n}"));
            answered(server.with_body(Method::PUT, "Patient/1", &body).header("if-match", "W/\"1\""))
        };
        let answers = futures::future::join_all((0..20).map(put)).await;
        assert_eq!(answers.iter().filter(|answer| answer.status == 200).count(), 1);
        assert_eq!(answers.iter().filter(|answer| answer.status == 412).count(), 19);
        server.stop().await;
    })
    .await;
}

#[tokio::test]
async fn u5_an_update_by_search() {
    each_store(|store| async move {
        let server = TestServer::start(store).await;
        let card = |id: Option<&str>, family: &str| {
            let mut body = patient(family);
            body["identifier"] = json!([{ "system": "urn:card", "value": "7" }]);
            if let Some(id) = id {
                body["id"] = json!(id);
            }
            body
        };
        let path = "Patient?identifier=urn:card|7";
        let made = server.put(path, &card(None, "A")).await;
        assert_eq!(made.status, 201, "{}", made.body);
        let id = made.body["id"].as_str().unwrap().to_owned();
        let updated = server.put(path, &card(None, "B")).await;
        assert_eq!((updated.status.as_u16(), &updated.body["id"]), (200, &json!(id)));
        assert_eq!(server.put(path, &card(Some(&id), "C")).await.header("etag"), "W/\"3\"");
        server.put(path, &card(Some("other"), "D")).await.refused(400, "id-mismatch");
        let chosen = server.put("Patient?identifier=urn:card|8", &with_id("chosen", "E")).await;
        assert_eq!((chosen.status.as_u16(), &chosen.body["id"]), (201, &json!("chosen")));
        server.post("Patient", &card(None, "F")).await;
        server.put(path, &card(None, "G")).await.refused(412, "multiple-matches");
        server.stop().await;
    })
    .await;
}

#[tokio::test]
async fn u6_an_update_brings_back_what_was_deleted() {
    each_store(|store| async move {
        let server = TestServer::start(store).await;
        server.put("Patient/1", &with_id("1", "A")).await;
        server.delete("Patient/1").await;
        let back = server.put("Patient/1", &with_id("1", "A")).await;
        assert_eq!((back.status.as_u16(), back.header("etag")), (201, "W/\"3\""));
        assert_eq!(server.get("Patient?family=a").await.body["total"], 1);
        server.stop().await;
    })
    .await;
}

#[tokio::test]
async fn u7_an_unchanged_update_makes_no_version() {
    each_store(|store| async move {
        let server = TestServer::start(store).await;
        let made = server.put("Patient/1", &with_id("1", "A")).await;
        for _ in 0..3 {
            let same = server.put("Patient/1", &with_id("1", "A")).await;
            assert_eq!((same.status.as_u16(), same.header("etag")), (200, "W/\"1\""));
            assert_eq!(same.body, made.body);
        }
        assert_eq!(server.get("Patient/1/_history").await.body["total"], 1);
        server.stop().await;
    })
    .await;
}

#[tokio::test]
async fn d1_a_delete_ends_it() {
    each_store(|store| async move {
        let server = TestServer::start(store).await;
        server.put("Patient/1", &with_id("1", "A")).await;
        let deleted = server.delete("Patient/1").await;
        assert_eq!(
            (deleted.status.as_u16(), deleted.header("etag"), &deleted.body),
            (204, "W/\"2\"", &Value::Null)
        );
        server.get("Patient/1").await.refused(410, "deleted");
        assert_eq!(server.get("Patient").await.body["total"], 0);
        assert_eq!(server.get("Patient?_id=1").await.body["total"], 0);
        assert_eq!(server.delete("Patient/1").await.status, 204, "again is no error");
        assert_eq!(server.delete("Patient/never").await.status, 204);
        assert_eq!(server.get("Patient/1/_history").await.body["total"], 2);
        server.stop().await;
    })
    .await;
}

#[tokio::test]
async fn d2_a_delete_may_be_refused() {
    each_store(|store| async move {
        let server = TestServer::start(store).await;
        server.put("Patient/1", &with_id("1", "A")).await;
        let reader = server.token("reader", "system/Patient.rs").await;
        let request = server.client.delete(format!("{}/fhir/Patient/1", server.url)).bearer_auth(reader);
        answered(request).await.refused(403, "scope-missing");
        let history = answered(server.request(Method::DELETE, "Patient/1/_history/1")).await;
        history.refused(405, "method-not-allowed");
        assert_eq!(history.header("allow"), "GET, HEAD");
        assert_eq!(server.get("Patient/1").await.status, 200);
        server.stop().await;
    })
    .await;
}

#[tokio::test]
async fn d3_a_delete_by_search_of_at_most_one() {
    each_store(|store| async move {
        let server = TestServer::start(store).await;
        server.put("Patient/1", &with_id("1", "A")).await;
        server.put("Patient/2", &with_id("2", "B")).await;
        server.put("Patient/3", &with_id("3", "B")).await;
        assert_eq!(server.delete("Patient?family=a").await.status, 204);
        server.get("Patient/1").await.refused(410, "deleted");
        assert_eq!(server.delete("Patient?family=a").await.status, 204, "nothing matches");
        server.delete("Patient?family=b").await.refused(412, "multiple-matches");
        server.delete("Patient?fmaily=b").await.refused(400, "unknown-parameter");
        server.delete("Patient").await.refused(400, "empty-condition");
        assert_eq!(server.get("Patient").await.body["total"], 2);
        let statement = server.get("metadata").await;
        assert_eq!(statement.body["rest"][0]["resource"][0]["conditionalDelete"], "single");
        server.stop().await;
    })
    .await;
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
            (minimal.status.as_u16(), minimal.header("etag"), &minimal.body),
            (200, "W/\"3\"", &Value::Null)
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
        refused(json!([first, { "op": "add", "path": "/birthDate", "value": "soon" }]), 422, "bad-value")
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
