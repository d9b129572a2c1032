//! Rows R, V, C, U, D: one resource. <https://hl7.org/fhir/R4/http.html>

use mjumbe::store::testing::each_store;
use reqwest::Method;
use serde_json::{Value, json};

use crate::server::{TestServer, answered};

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

/// <https://www.rfc-editor.org/rfc/rfc9110#section-13.1.1>
#[tokio::test]
async fn u4_if_match_takes_a_list_and_anything_that_is_there() {
    each_store(|store| async move {
        let server = TestServer::start(store).await;
        let put = async |id: &str, tags: &str| {
            let url = format!("Patient/{id}");
            let request = server.with_body(Method::PUT, &url, &with_id(id, &format!("Uwase {tags}")));
            answered(request.header("if-match", tags)).await
        };
        for tags in ["*", "W/\"1\"", "W/\"1\", W/\"2\""] {
            let refused = put("1", tags).await;
            refused.refused(412, "version-conflict");
            let text = refused.body["issue"][0]["details"]["text"].as_str().unwrap();
            assert!(text.contains("does not exist") && !text.contains('0'), "{text}");
        }
        server.put("Patient/1", &with_id("1", "Uwase")).await;
        for (tags, status) in [
            ("*", 200),
            ("W/\"1\", W/\"2\"", 200),
            ("\"7\",\"3\"", 200),
            ("W/\"1\", W/\"2\"", 412),
            ("W/\"x\"", 400),
            ("1,2,3,4,5,6,7,8,9", 400),
        ] {
            assert_eq!(put("1", tags).await.status.as_u16(), status, "{tags}");
        }
        let request = server.with_body(Method::PUT, "Patient?identifier=none", &patient("Uwase"));
        let refused = answered(request.header("if-match", "W/\"1\"")).await;
        refused.refused(412, "version-conflict");
        assert!(refused.body["issue"][0].get("expression").is_none(), "{}", refused.body);
        server.stop().await;
    })
    .await;
}

#[tokio::test]
async fn u3_an_id_is_of_use_in_a_url() {
    each_store(|store| async move {
        let server = TestServer::start(store).await;
        for id in [".", ".."] {
            let refused = server.put("Patient?family=Uwase", &with_id(id, "Uwase")).await;
            refused.refused(400, "bad-id");
            assert_eq!(refused.body["issue"][0]["expression"][0], "Patient.id");
            let entry = json!({ "resource": with_id(id, "Uwase"), "request": { "method": "PUT", "url": format!("Patient/{id}") } });
            let bundle = json!({ "resourceType": "Bundle", "type": "transaction", "entry": [entry] });
            let refused = server.post("", &bundle).await;
            refused.refused(400, "bad-id");
            assert_eq!(refused.body["issue"][0]["expression"][0], "Bundle.entry[0].resource.id");
        }
        assert_eq!(server.put("Patient/a.", &with_id("a.", "Uwase")).await.status, 201);
        server.stop().await;
    })
    .await;
}

#[tokio::test]
async fn c1_a_body_may_begin_with_a_byte_order_mark() {
    each_store(|store| async move {
        let server = TestServer::start(store).await;
        let xml = "<Patient xmlns=\"http://hl7.org/fhir\"><active value=\"true\"/></Patient>".to_owned();
        for (kind, body) in [
            ("application/fhir+json", patient("Uwase").to_string()),
            ("application/json", patient("Uwase").to_string()),
            ("application/fhir+xml", xml),
        ] {
            let request = server.request(Method::POST, "Patient").header("content-type", kind);
            assert_eq!(answered(request.body(format!("\u{feff}{body}"))).await.status, 201, "{kind}");
        }
        let deep = format!("{}{}", "[".repeat(500), "]".repeat(500));
        for path in ["Patient", ""] {
            let request = server.request(Method::POST, path).header("content-type", "application/json");
            answered(request.body(deep.clone())).await.refused(400, "too-deep");
        }
        server.stop().await;
    })
    .await;
}

#[tokio::test]
async fn r2_a_path_that_is_no_text_is_refused_as_all_else() {
    each_store(|store| async move {
        let server = TestServer::start(store).await;
        for path in ["Patient/%ff", "%c3%28", "Patient/1/_history/%ff"] {
            server.get(path).await.refused(400, "bad-url");
        }
        server.stop().await;
    })
    .await;
}

#[tokio::test]
async fn c3_what_a_browser_would_run_is_refused() {
    each_store(|store| async move {
        let server = TestServer::start(store).await;
        let with = |inner: &str| {
            let mut body = patient("Uwase");
            body["text"] = json!({ "status": "generated", "div": format!("<div xmlns=\"http://www.w3.org/1999/xhtml\">{inner}</div>") });
            body
        };
        for inner in ["<p onclick=\"x()\">x</p>", "<style>x</style>x", "<a href=\"vbscript:x\">x</a>", " "] {
            let refused = server.post("Patient", &with(inner)).await;
            refused.refused(400, "bad-value");
            assert_eq!(refused.body["issue"][0]["expression"][0], "Patient.text.div");
        }
        assert_eq!(server.post("Patient", &with("<p style=\"color: red\">x</p>")).await.status, 201);
        server.stop().await;
    })
    .await;
}
