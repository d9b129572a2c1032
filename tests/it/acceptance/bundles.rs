//! Rows B and T: batch and transaction. <https://hl7.org/fhir/R4/http.html#transaction>

use mjumbe::store::testing::each_store;
use rand::rngs::StdRng;
use rand::seq::SliceRandom;
use rand::{Rng, SeedableRng};
use serde_json::{Value, json};

use crate::server::{Answered, TestServer, answered};

fn bundle(kind: &str, entries: Value) -> Value {
    json!({ "resourceType": "Bundle", "type": kind, "entry": entries })
}

async fn send(server: &TestServer, kind: &str, entries: Value) -> Answered {
    server.post("", &bundle(kind, entries)).await
}

fn statuses(answer: &Answered) -> Vec<String> {
    let entries = answer.body["entry"].as_array().unwrap_or_else(|| panic!("{}", answer.body));
    entries.iter().map(|entry| entry["response"]["status"].as_str().unwrap()[..3].to_owned()).collect()
}

fn put(resource: Value) -> Value {
    let url = format!("{}/{}", resource["resourceType"].as_str().unwrap(), resource["id"].as_str().unwrap());
    json!({ "resource": resource, "request": { "method": "PUT", "url": url } })
}

fn post(full_url: &str, resource: Value) -> Value {
    let kind = resource["resourceType"].clone();
    json!({ "fullUrl": full_url, "resource": resource, "request": { "method": "POST", "url": kind } })
}

fn patient(id: &str, family: &str) -> Value {
    json!({ "resourceType": "Patient", "id": id, "name": [{ "family": family }] })
}

fn observation(subject: &str) -> Value {
    json!({ "resourceType": "Observation", "status": "final", "code": { "text": "t" }, "subject": { "reference": subject } })
}

#[tokio::test]
async fn b1_a_batch_answers_each_entry_for_itself() {
    each_store(|store| async move {
        let server = TestServer::start(store).await;
        let sent = json!([
            put(patient("p", "A")),
            { "request": { "method": "GET", "url": "Patient/absent" } },
            { "resource": { "resourceType": "Patient", "birthDate": "soon" }, "request": { "method": "POST", "url": "Patient" } },
            { "request": { "method": "DELETE", "url": "Patient/never" } },
            { "request": { "method": "PATCH", "url": "Patient/p" } },
            post("urn:uuid:a", observation("urn:uuid:b"))
        ]);
        let answer = send(&server, "batch", sent).await;
        assert_eq!((answer.status.as_u16(), &answer.body["type"]), (200, &json!("batch-response")));
        assert_eq!(statuses(&answer), ["201", "404", "400", "204", "400", "201"], "{}", answer.body);
        for failed in [1, 2, 4] {
            let entry = &answer.body["entry"][failed];
            assert_eq!(entry["response"]["outcome"]["resourceType"], "OperationOutcome");
            assert!(entry.get("resource").is_none());
        }
        assert_eq!(server.get("Patient/p").await.status, 200);

        let narrow = server.token("narrow", "system/Patient.cu").await;
        let request = server.client.post(format!("{}/fhir", server.url)).bearer_auth(narrow);
        let mixed = json!([
            put(patient("p", "A")),
            put(json!({ "resourceType": "Organization", "id": "o", "name": "o" })),
            { "request": { "method": "GET", "url": "Patient/p" } },
            { "request": { "method": "DELETE", "url": "Patient/p" } }
        ]);
        let request = request.header("content-type", "application/fhir+json");
        let answer = answered(request.body(bundle("batch", mixed).to_string())).await;
        assert_eq!(statuses(&answer), ["200", "403", "403", "403"], "{}", answer.body);
        server.stop().await;
    })
    .await;
}

#[tokio::test]
async fn t1_a_transaction_is_written_whole_or_not_at_all() {
    each_store(|store| async move {
        let server = TestServer::start(store).await;
        let stale = json!({ "resource": patient("q", "B"), "request": { "method": "PUT", "url": "Patient/q", "ifMatch": "W/\"7\"" } });
        send(&server, "transaction", json!([put(patient("p", "A")), stale])).await.refused(412, "version-conflict");
        let wrong = json!({ "resource": { "resourceType": "Patient", "birthDate": "soon" }, "request": { "method": "POST", "url": "Patient" } });
        let refused = send(&server, "transaction", json!([put(patient("p", "A")), wrong])).await;
        assert_eq!((refused.status.as_u16(), &refused.body["resourceType"]), (400, &json!("OperationOutcome")));
        assert_eq!(refused.body["issue"][0]["expression"][0], "Bundle.entry[1].resource.birthDate");
        server.get("Patient/p").await.refused(404, "not-found");
        let collection = json!({ "resourceType": "Bundle", "type": "collection" });
        server.post("", &collection).await.refused(400, "bundle-type");
        server.post("", &patient("p", "A")).await.refused(400, "not-a-bundle");
        server.stop().await;
    })
    .await;
}

#[tokio::test]
async fn t1_a_transaction_needs_every_permission() {
    each_store(|store| async move {
        let server = TestServer::start(store).await;
        let narrow = server.token("narrow", "system/Patient.c").await;
        let send = |entry: Value| {
            let request = server.client.post(format!("{}/fhir", server.url)).bearer_auth(&narrow);
            let request = request.header("content-type", "application/fhir+json");
            answered(request.body(bundle("transaction", json!([entry])).to_string()))
        };
        let patient = json!({ "resourceType": "Patient" });
        let plain = json!({ "resource": patient, "request": { "method": "POST", "url": "Patient" } });
        assert_eq!(send(plain).await.status, 200);
        let conditional = json!({ "resource": patient, "request": { "method": "POST", "url": "Patient", "ifNoneExist": "gender=male" } });
        send(conditional).await.refused(403, "scope-missing");
        send(json!({ "request": { "method": "GET", "url": "Patient" } })).await.refused(403, "scope-missing");
        let patch = json!({ "resource": { "resourceType": "Parameters" }, "request": { "method": "PATCH", "url": "Patient/1" } });
        let refused = send(patch).await;
        refused.refused(403, "scope-missing");
        assert_eq!(refused.body["issue"][0]["expression"], json!(["Bundle.entry[0]"]));
        server.stop().await;
    })
    .await;
}

/// Whatever the order of the entries: deleted first, then created, updated and patched; read last.
#[tokio::test]
async fn t2_the_order_of_the_entries_makes_no_difference() {
    each_store(|store| async move {
        let server = TestServer::start(store).await;
        let mut random = StdRng::seed_from_u64(7);
        for round in 0..6 {
            send(&server, "transaction", json!([put(patient("old", "Old")), put(patient("kept", "Kept"))])).await;
            let flip = json!([
                { "name": "type", "valueCode": "add" }, { "name": "path", "valueString": "Patient" },
                { "name": "name", "valueString": "active" }, { "name": "value", "valueBoolean": true }
            ]);
            let mut entries = vec![
                json!({ "request": { "method": "DELETE", "url": "Patient/old" } }),
                post("urn:uuid:m", patient("x", &format!("New{round}"))),
                put(patient("put", "Put")),
                json!({
                    "resource": { "resourceType": "Parameters", "parameter": [{ "name": "operation", "part": flip }] },
                    "request": { "method": "PATCH", "url": "Patient/kept" }
                }),
                json!({ "request": { "method": "GET", "url": format!("Patient?family=old,put,kept,new{round}&_sort=family") } }),
                put(json!({ "resourceType": "Basic", "id": "b", "code": { "text": round.to_string() }, "subject": { "reference": "urn:uuid:m" } })),
            ];
            entries.shuffle(&mut random);
            let answer = send(&server, "transaction", Value::from(entries.clone())).await;
            assert_eq!(answer.status, 200, "{}", answer.body);
            for (sent, got) in entries.iter().zip(answer.body["entry"].as_array().unwrap()) {
                match sent["request"]["method"].as_str().unwrap() {
                    "DELETE" => assert_eq!(got["response"]["status"], "204 No Content"),
                    "GET" => {
                        let found = got["resource"]["entry"].as_array().unwrap();
                        let families: Vec<&Value> =
                            found.iter().map(|entry| &entry["resource"]["name"][0]["family"]).collect();
                        assert_eq!(families, [&json!("Kept"), &json!(format!("New{round}")), &json!("Put")]);
                        assert_eq!(found[0]["resource"]["active"], true);
                    }
                    _ => assert!(got["response"]["status"].as_str().unwrap().starts_with('2')),
                }
            }
            let reference = server.get("Basic/b").await.body["subject"]["reference"].as_str().unwrap().to_owned();
            assert_eq!(server.get(&reference).await.body["name"][0]["family"], format!("New{round}"));
            server.put("Patient/kept", &patient("kept", "Kept")).await;
        }
        server.stop().await;
    })
    .await;
}

#[tokio::test]
async fn t3_a_resource_is_there_once() {
    each_store(|store| async move {
        let server = TestServer::start(store).await;
        let mut known = patient("1", "A");
        known["identifier"] = json!([{ "value": "x" }]);
        server.put("Patient/1", &known).await;
        let delete = json!({ "request": { "method": "DELETE", "url": "Patient/1" } });
        let by_search = json!({ "resource": { "resourceType": "Patient" }, "request": { "method": "PUT", "url": "Patient?identifier=x" } });
        let delete_by_search = json!({ "request": { "method": "DELETE", "url": "Patient?identifier=x" } });
        let none_exist = json!({ "resource": { "resourceType": "Patient" }, "request": { "method": "POST", "url": "Patient", "ifNoneExist": "identifier=new" } });
        for entries in [
            json!([put(patient("1", "B")), put(patient("1", "C"))]),
            json!([put(patient("1", "B")), delete]),
            json!([put(patient("1", "B")), by_search]),
            json!([put(patient("1", "B")), delete_by_search]),
            json!([none_exist, none_exist]),
        ] {
            send(&server, "transaction", entries).await.refused(400, "duplicate-identity");
        }
        assert_eq!(server.get("Patient/1").await.header("etag"), "W/\"1\"");
        // Whether one finds the other, only a search could tell.
        let chained = |more: &str| {
            let condition = format!("encounter.identifier=7{more}");
            json!({ "resource": { "resourceType": "Condition", "subject": { "reference": "Patient/1" } },
                "request": { "method": "POST", "url": "Condition", "ifNoneExist": condition } })
        };
        let both = json!([chained(""), chained("&code=x")]);
        send(&server, "transaction", both).await.refused(422, "not-supported");
        assert_eq!(send(&server, "transaction", json!([chained("")])).await.status, 200);
        server.stop().await;
    })
    .await;
}

#[tokio::test]
async fn t4_references_between_entries_become_ids() {
    each_store(|store| async move {
        let server = TestServer::start(store).await;
        let mut mother = patient("x", "Mother");
        mother["link"] = json!([{ "type": "seealso", "other": { "reference": "urn:oid:1.2.3" } }]);
        mother["text"] = json!({ "status": "generated", "div": "<div xmlns=\"http://www.w3.org/1999/xhtml\"><a href=\"urn:oid:1.2.3\">urn:oid:1.2.3</a></div>" });
        let mut child = patient("y", "Child");
        child["link"] = json!([{ "type": "seealso", "other": { "reference": "urn:uuid:1b671a64-40d5-491e-99b0-da01ff1f3341" } }]);
        child["extension"] = json!([
            { "url": "http://e.org/uri", "valueUri": "urn:uuid:1b671a64-40d5-491e-99b0-da01ff1f3341" },
            { "url": "http://e.org/canonical", "valueCanonical": "urn:uuid:1b671a64-40d5-491e-99b0-da01ff1f3341" },
            { "url": "http://e.org/text", "valueString": "urn:uuid:1b671a64-40d5-491e-99b0-da01ff1f3341" },
            { "url": "http://e.org/versioned", "valueReference": { "reference": "Patient/other/_history/3" } }
        ]);
        let answer = send(
            &server,
            "transaction",
            json!([post("urn:uuid:1b671a64-40d5-491e-99b0-da01ff1f3341", mother), post("urn:oid:1.2.3", child)]),
        )
        .await;
        assert_eq!(statuses(&answer), ["201", "201"]);
        let place = |n: usize| {
            let location = answer.body["entry"][n]["response"]["location"].as_str().unwrap();
            location.rsplit("/fhir/").next().unwrap().trim_end_matches("/_history/1").to_owned()
        };
        let (mother_at, child_at) = (place(0), place(1));
        let (mother, child) = (server.get(&mother_at).await.body, server.get(&child_at).await.body);
        assert_eq!(mother["link"][0]["other"]["reference"], child_at, "circles too");
        assert_eq!(child["link"][0]["other"]["reference"], mother_at);
        let div = mother["text"]["div"].as_str().unwrap();
        assert!(div.contains(&format!("href=\"{child_at}\"")) && div.contains(">urn:oid:1.2.3<"), "{div}");
        let extension = |n: usize, key: &str| child["extension"][n][key].clone();
        assert_eq!(extension(0, "valueUri"), json!(mother_at));
        assert_eq!(extension(1, "valueCanonical"), "urn:uuid:1b671a64-40d5-491e-99b0-da01ff1f3341");
        assert_eq!(extension(2, "valueString"), "urn:uuid:1b671a64-40d5-491e-99b0-da01ff1f3341");
        assert_eq!(extension(3, "valueReference")["reference"], "Patient/other/_history/3");
        server.stop().await;
    })
    .await;
}

#[tokio::test]
async fn t5_a_conditional_reference_has_exactly_one_match() {
    each_store(|store| async move {
        let server = TestServer::start(store).await;
        let card = |id: &str, value: &str| json!({ "resourceType": "Patient", "id": id, "identifier": [{ "value": value }] });
        server.put("Patient/1", &card("1", "one")).await;
        server.put("Patient/2", &card("2", "two")).await;
        server.put("Patient/3", &card("3", "two")).await;
        let about = |query: &str| post("urn:uuid:o", observation(&format!("Patient?identifier={query}")));
        let found = send(&server, "transaction", json!([about("one")])).await;
        let place = found.body["entry"][0]["response"]["location"].as_str().unwrap().to_owned();
        let read = answered(server.client.get(place).bearer_auth(&server.token)).await;
        assert_eq!(read.body["subject"]["reference"], "Patient/1");
        let none = send(&server, "transaction", json!([put(patient("9", "A")), about("none")])).await;
        none.refused(412, "no-match");
        assert_eq!(none.body["issue"][0]["expression"][0], "Bundle.entry[1].resource.subject.reference");
        send(&server, "transaction", json!([about("two")])).await.refused(412, "multiple-matches");
        assert_eq!(server.get("Patient/9").await.status, 404);
        // What the transaction itself writes is found, what it deletes is not.
        let own = json!([put(card("9", "none")), about("none")]);
        assert_eq!(statuses(&send(&server, "transaction", own).await), ["201", "201"]);
        let gone = json!([{ "request": { "method": "DELETE", "url": "Patient/3" } }, about("two")]);
        assert_eq!(statuses(&send(&server, "transaction", gone).await), ["204", "201"]);
        server.stop().await;
    })
    .await;
}

#[tokio::test]
async fn t6_an_entry_has_the_conditions_of_an_interaction() {
    each_store(|store| async move {
        let server = TestServer::start(store).await;
        let card = json!({ "resourceType": "Patient", "identifier": [{ "value": "x" }] });
        let create = |card: &Value| json!({ "resource": card, "request": { "method": "POST", "url": "Patient", "ifNoneExist": "identifier=x" } });
        for status in ["201", "200"] {
            assert_eq!(statuses(&send(&server, "transaction", json!([create(&card)])).await), [status]);
        }
        server.put("Patient/1", &patient("1", "A")).await;
        let put = |family: &str, name: &str, value: &str| {
            json!([{ "resource": patient("1", family), "request": { "method": "PUT", "url": "Patient/1", name: value } }])
        };
        assert_eq!(statuses(&send(&server, "transaction", put("B", "ifMatch", "W/\"1\"")).await), ["200"]);
        send(&server, "transaction", put("C", "ifMatch", "W/\"1\"")).await.refused(412, "version-conflict");
        send(&server, "transaction", put("C", "ifNoneMatch", "*")).await.refused(412, "exists");
        let read = |name: &str, value: &str| json!({ "request": { "method": "GET", "url": "Patient/1", name: value } });
        let reads = json!([
            read("ifNoneMatch", "W/\"2\""), read("ifNoneMatch", "W/\"1\""),
            read("ifModifiedSince", "2100-01-01T00:00:00Z"), read("ifModifiedSince", "2001-01-01T00:00:00Z")
        ]);
        for kind in ["transaction", "batch"] {
            let answer = send(&server, kind, reads.clone()).await;
            assert_eq!(statuses(&answer), ["304", "200", "304", "200"]);
            assert!(answer.body["entry"][0].get("resource").is_none());
        }
        server.stop().await;
    })
    .await;
}

#[tokio::test]
async fn t7_the_response_tells_of_each_entry_in_order() {
    each_store(|store| async move {
        let server = TestServer::start(store).await;
        let entries = json!([
            { "request": { "method": "GET", "url": "Patient?family=A" } },
            put(patient("1", "A")),
            { "request": { "method": "HEAD", "url": "Patient/1" } },
            post("urn:uuid:a", patient("x", "A")),
            { "request": { "method": "DELETE", "url": "Patient/never" } }
        ]);
        for (round, path) in ["", "/", "?_pretty=true"].into_iter().enumerate() {
            let request = server.client.post(format!("{}/fhir{path}", server.url)).bearer_auth(&server.token);
            let request = request.header("content-type", "application/json");
            let answer = answered(request.body(bundle("transaction", entries.clone()).to_string())).await;
            assert_eq!((answer.status.as_u16(), &answer.body["type"]), (200, &json!("transaction-response")));
            let first = if round == 0 { "201" } else { "200" };
            assert_eq!(statuses(&answer), ["200", first, "200", "201", "204"]);
            let response = |n: usize| answer.body["entry"][n]["response"].clone();
            assert_eq!(response(1)["location"], format!("{}/fhir/Patient/1/_history/1", server.url));
            assert_eq!(response(1)["etag"], "W/\"1\"");
            assert!(response(1)["lastModified"].as_str().unwrap().ends_with('Z'));
            assert!(response(3)["location"].as_str().unwrap().ends_with("/_history/1"));
            assert_eq!(answer.body["entry"][0]["resource"]["total"], round + 2, "reads come last");
            assert!(answer.body["entry"][2].get("resource").is_none());
        }
        server.stop().await;
    })
    .await;
}

#[tokio::test]
async fn t8_empty_bundles_and_histories_are_taken() {
    each_store(|store| async move {
        let server = TestServer::start(store).await;
        for kind in ["transaction", "batch", "history"] {
            let empty = json!({ "resourceType": "Bundle", "type": kind });
            let answer = server.post("", &empty).await;
            assert_eq!((answer.status.as_u16(), answer.body.get("entry")), (200, None));
        }
        // R4 has no empty arrays; what is meant is clear.
        assert_eq!(send(&server, "transaction", json!([])).await.status, 200);

        server.put("Patient/1", &patient("1", "A")).await;
        server.put("Patient/1", &patient("1", "B")).await;
        let made = server.post("Patient", &patient("x", "C")).await;
        server.put("Patient/2", &patient("2", "D")).await;
        server.delete("Patient/2").await;
        let history = server.get("Patient/_history").await.body;
        let other = mjumbe::store::testing::each_store;
        let (history, id) = (std::sync::Arc::new(history), made.body["id"].as_str().unwrap().to_owned());
        server.stop().await;
        other(move |store| {
            let (history, id) = (std::sync::Arc::clone(&history), id.clone());
            async move {
                let server = TestServer::start(store).await;
                let answer = server.post("", &history).await;
                assert_eq!(statuses(&answer), ["204", "201", "201", "200", "201"], "{}", answer.body);
                assert_eq!(server.get("Patient/1").await.body["name"][0]["family"], "B");
                assert_eq!(server.get("Patient/1/_history/1").await.body["name"][0]["family"], "A");
                assert_eq!(server.get(&format!("Patient/{id}")).await.body["name"][0]["family"], "C");
                server.get("Patient/2").await.refused(410, "deleted");
                server.stop().await;
            }
        })
        .await;
    })
    .await;
}

#[tokio::test]
async fn t10_bodies_only_where_they_are_asked_for() {
    each_store(|store| async move {
        let server = TestServer::start(store).await;
        let send = |prefer: Option<&str>, family: &str| {
            let entries =
                json!([put(patient("1", family)), { "request": { "method": "GET", "url": "Patient/1" } }]);
            let request = server.with_body(reqwest::Method::POST, "", &bundle("transaction", entries));
            answered(match prefer {
                Some(prefer) => request.header("prefer", prefer),
                None => request,
            })
        };
        for (prefer, family) in [(None, "A"), (Some("return=minimal"), "B")] {
            let answer = send(prefer, family).await;
            assert!(answer.body["entry"][0].get("resource").is_none(), "{}", answer.body);
            assert_eq!(
                answer.body["entry"][1]["resource"]["name"][0]["family"], family,
                "a read is always answered"
            );
        }
        let whole = send(Some("return=representation"), "C").await;
        assert_eq!(whole.body["entry"][0]["resource"]["name"][0]["family"], "C");
        assert_eq!(whole.body["entry"][0]["resource"]["meta"]["versionId"], "3");
        let outcome = send(Some("return=OperationOutcome"), "D").await;
        assert_eq!(outcome.body["entry"][0]["response"]["outcome"]["resourceType"], "OperationOutcome");
        assert!(outcome.body["entry"][0].get("resource").is_none());
        server.stop().await;
    })
    .await;
}

#[tokio::test]
async fn t9_a_fhirpath_patch_is_an_entry_too() {
    each_store(|store| async move {
        let server = TestServer::start(store).await;
        let body = json!({ "resourceType": "Patient", "id": "1", "active": true, "identifier": [{ "value": "x" }] });
        server.put("Patient/1", &body).await;
        let entry = |url: &str, path: &str, value: Value| {
            let parts = json!([
                { "name": "type", "valueCode": "replace" }, { "name": "path", "valueString": path },
                { "name": "value", "valueBoolean": value }
            ]);
            json!({
                "resource": { "resourceType": "Parameters", "parameter": [{ "name": "operation", "part": parts }] },
                "request": { "method": "PATCH", "url": url }
            })
        };
        let wrong = entry("Patient/1", "Patient.photo", json!(false));
        let send = |kind: &str, entries: Value| {
            let sent = bundle(kind, entries);
            let server = &server;
            async move { server.post("", &sent).await }
        };
        let refused = send("transaction", json!([wrong])).await;
        refused.refused(422, "patch-path");
        let right = entry("Patient?identifier=x", "Patient.active", json!(false));
        let done = send("transaction", json!([right])).await;
        assert_eq!(done.body["entry"][0]["response"]["etag"], "W/\"2\"", "{}", done.body);
        let both = send("batch", json!([wrong, entry("Patient/1", "Patient.active", json!(true))])).await;
        assert_eq!(both.body["entry"][0]["response"]["status"], "422 Unprocessable Entity");
        assert_eq!(both.body["entry"][0]["response"]["outcome"]["resourceType"], "OperationOutcome");
        assert_eq!(both.body["entry"][1]["response"]["etag"], "W/\"3\"");
        let twice = json!([entry("Patient/1", "Patient.active", json!(true)), entry("Patient?identifier=x", "Patient.active", json!(false))]);
        send("transaction", twice).await.refused(400, "duplicate-identity");
        server.stop().await;
    })
    .await;
}

/// What a resource is in the model: its version, and its number while it lives.
type Model = std::collections::BTreeMap<String, (i64, Option<i64>)>;

/// One random entry on one of a few patients.
struct Step {
    id: String,
    method: &'static str,
    number: i64,
    if_match: Option<i64>,
}

impl Step {
    fn random(random: &mut StdRng, model: &Model) -> Self {
        let id = format!("m{}", random.random_range(0..8));
        let version = model.get(&id).map_or(0, |(version, _)| *version);
        let if_match = random.random_bool(0.3).then(|| (version - i64::from(random.random_bool(0.2))).max(1));
        let method = ["PUT", "PUT", "PATCH", "DELETE"][random.random_range(0..4)];
        Self { id, method, number: random.random_range(0..4), if_match }
    }

    fn entry(&self) -> Value {
        let mut request = json!({ "method": self.method, "url": format!("Patient/{}", self.id) });
        if let Some(version) = self.if_match {
            request["ifMatch"] = format!("W/\"{version}\"").into();
        }
        let parts = json!([
            { "name": "type", "valueCode": "replace" }, { "name": "path", "valueString": "Patient.multipleBirth" },
            { "name": "value", "valueInteger": self.number }
        ]);
        match self.method {
            "PUT" => json!({
                "resource": { "resourceType": "Patient", "id": self.id, "multipleBirthInteger": self.number },
                "request": request
            }),
            "PATCH" => json!({
                "resource": { "resourceType": "Parameters", "parameter": [{ "name": "operation", "part": parts }] },
                "request": request
            }),
            _ => json!({ "request": request }),
        }
    }

    /// `None`: it is refused.
    fn apply(&self, model: &mut Model) -> Option<()> {
        let (version, number) = model.get(&self.id).copied().unwrap_or((0, None));
        let matches = self.if_match.is_none_or(|wanted| wanted == version && number.is_some());
        let next = match self.method {
            "DELETE" => None,
            "PATCH" => Some(number.map(|_| self.number)?),
            _ => Some(self.number),
        };
        if !matches {
            return None;
        }
        if next != number {
            model.insert(self.id.clone(), (version + 1, next));
        }
        Some(())
    }
}

/// Random transactions do what a model says, whole or not at all, in whatever order their entries stand.
#[tokio::test]
async fn t1_random_transactions_do_what_a_model_says() {
    each_store(|store| async move {
        let server = TestServer::start(store).await;
        let mut random = StdRng::seed_from_u64(20_261_121);
        let mut model = Model::new();
        let (mut written, mut refused) = (0, 0);
        for round in 0..120 {
            let count = random.random_range(1..6);
            let mut steps: Vec<Step> = (0..count).map(|_| Step::random(&mut random, &model)).collect();
            steps.shuffle(&mut random);
            let ids: std::collections::BTreeSet<&str> = steps.iter().map(|step| step.id.as_str()).collect();
            let mut next = model.clone();
            let fine = ids.len() == steps.len() && steps.iter().all(|step| step.apply(&mut next).is_some());
            let answer = send(&server, "transaction", steps.iter().map(Step::entry).collect()).await;
            assert_eq!(answer.status == 200, fine, "round {round}: {}", answer.body);
            if fine {
                model = next;
                written += 1;
                assert_eq!(answer.body["entry"].as_array().unwrap().len(), steps.len());
            } else {
                refused += 1;
            }
            for (id, (version, number)) in &model {
                let read = server.get(&format!("Patient/{id}")).await;
                assert_eq!(read.header("etag"), format!("W/\"{version}\""), "round {round}: {id}");
                match number {
                    Some(number) => {
                        assert_eq!(read.body["multipleBirthInteger"], *number, "round {round}: {id}")
                    }
                    None => assert_eq!(read.status, 410, "round {round}: {id}"),
                }
            }
        }
        assert!(written > 30 && refused > 30, "{written} written, {refused} refused");
        server.stop().await;
    })
    .await;
}

/// A Patient with an identifier.
fn card(id: &str, value: &str) -> Value {
    json!({ "resourceType": "Patient", "id": id, "identifier": [{ "value": value }] })
}

/// A card that is created unless this is found.
fn unless(value: &str, found: &str) -> Value {
    let mut entry = post("urn:uuid:new", card("any", value));
    entry["request"]["ifNoneExist"] = found.into();
    entry
}

fn delete(url: &str) -> Value {
    json!({ "request": { "method": "DELETE", "url": url } })
}

/// Deleted first, then created: the condition does not find what is deleted. Updates come later, and must not take
/// away what it found.
#[tokio::test]
async fn t2_a_conditional_create_sees_what_is_deleted() {
    each_store(|store| async move {
        let server = TestServer::start(store).await;
        for by in ["Patient/x", "Patient?identifier=q"] {
            server.put("Patient/x", &card("x", "q")).await;
            let both = json!([
                unless("q", "identifier=q"),
                delete(by),
                post("urn:uuid:o", observation("urn:uuid:new"))
            ]);
            let answer = send(&server, "transaction", both).await;
            assert_eq!(statuses(&answer), ["201", "204", "201"], "{by}");
            server.get("Patient/x").await.refused(410, "deleted");
            assert_eq!(server.get("Patient?identifier=q").await.body["total"], 1);
            send(&server, "transaction", json!([delete("Patient?identifier=q")])).await;
        }
        // Several match, of which one is deleted: one is left. Of three, two are left.
        for (id, status) in [("b", 200), ("c", 412)] {
            server.put("Patient/a", &card("a", "r")).await;
            server.put("Patient/b", &card("b", "r")).await;
            server.put(&format!("Patient/{id}"), &card(id, "r")).await;
            let both = json!([delete("Patient/a"), unless("r", "identifier=r")]);
            assert_eq!(send(&server, "transaction", both).await.status, status);
            let both = json!([delete("Patient/a"), post("urn:uuid:o", observation("Patient?identifier=r"))]);
            assert_eq!(send(&server, "transaction", both).await.status, status);
        }
        server.stop().await;
    })
    .await;
}

#[tokio::test]
async fn t3_what_a_condition_finds_is_not_changed_or_created_beside_it() {
    each_store(|store| async move {
        let server = TestServer::start(store).await;
        server.put("Patient/x", &card("x", "q")).await;
        let patch = json!([{ "op": "replace", "path": "/identifier/0/value", "value": "other" }]);
        let patch = json!({ "resourceType": "Binary", "contentType": "application/json-patch+json",
            "data": base64::Engine::encode(&base64::engine::general_purpose::STANDARD, patch.to_string()) });
        let patch = json!({ "resource": patch, "request": { "method": "PATCH", "url": "Patient/x" } });
        let by_search = |query: &str| {
            let resource = json!({ "resourceType": "Patient", "identifier": [{ "value": "s" }] });
            json!({ "resource": resource, "request": { "method": "PUT", "url": format!("Patient?{query}") } })
        };
        for entries in [
            json!([unless("q", "identifier=q"), put(card("x", "other"))]),
            json!([patch, unless("q", "identifier=q")]),
            json!([unless("s", "identifier=s"), post("urn:uuid:s", card("any", "s"))]),
            json!([by_search("identifier=s"), post("urn:uuid:s", card("any", "s"))]),
        ] {
            send(&server, "transaction", entries).await.refused(400, "duplicate-identity");
        }
        assert_eq!(server.get("Patient/x").await.header("etag"), "W/\"1\"");
        // It is found all the same.
        let mut kept = card("x", "q");
        kept["active"] = true.into();
        let entries = json!([put(kept), unless("q", "identifier=q")]);
        assert_eq!(statuses(&send(&server, "transaction", entries).await), ["200", "200"]);
        // A create comes before an update, which comes after a deletion.
        let entries = json!([put(card("y", "late")), unless("late", "identifier=late")]);
        assert_eq!(statuses(&send(&server, "transaction", entries).await), ["201", "201"]);
        let entries = json!([by_search("identifier=q"), delete("Patient/x")]);
        assert_eq!(statuses(&send(&server, "transaction", entries).await), ["201", "204"]);
        // Chains cannot be looked at in what is not written yet.
        let chained = json!([put(patient("p", "A")), delete("Patient/y"), unless("z", "link.identifier=q")]);
        send(&server, "transaction", chained).await.refused(422, "not-supported");
        server.stop().await;
    })
    .await;
}

/// In a circle of two that refer to each other, of which one is there.
#[tokio::test]
async fn t5_references_go_to_what_a_condition_found() {
    each_store(|store| async move {
        let server = TestServer::start(store).await;
        server.put("Patient/x", &card("x", "q")).await;
        let mut child = card("any", "child");
        child["link"] = json!([
            { "type": "seealso", "other": { "reference": "urn:uuid:new" } },
            { "type": "seealso", "other": { "reference": "Patient?identifier=mother" } }
        ]);
        let mut mother = card("m", "mother");
        mother["link"] = json!([{ "type": "seealso", "other": { "reference": "Patient?identifier=child" } }]);
        let entries = json!([post("urn:uuid:child", child), put(mother), unless("q", "identifier=q")]);
        let answer = send(&server, "transaction", entries).await;
        assert_eq!(statuses(&answer), ["201", "201", "200"], "{}", answer.body);
        assert!(
            answer.body["entry"][2]["response"]["lastModified"]
                .as_str()
                .is_some_and(|at| at.starts_with("20"))
        );
        let child = server.get("Patient?identifier=child").await.body["entry"][0]["resource"].clone();
        assert_eq!(child["link"][0]["other"]["reference"], "Patient/x");
        assert_eq!(child["link"][1]["other"]["reference"], "Patient/m");
        let mother = server.get("Patient/m").await.body["link"][0]["other"]["reference"].clone();
        assert_eq!(mother, format!("Patient/{}", child["id"].as_str().unwrap()));
        server.stop().await;
    })
    .await;
}

#[tokio::test]
async fn t4_every_name_is_there_once_and_means_an_entry() {
    each_store(|store| async move {
        let server = TestServer::start(store).await;
        let name = "urn:uuid:1b671a64-40d5-491e-99b0-da01ff1f3341";
        let twice = json!([post(name, patient("a", "A")), post(name, patient("b", "B"))]);
        let refused = send(&server, "transaction", twice.clone()).await;
        refused.refused(400, "duplicate-full-url");
        assert_eq!(refused.body["issue"][0]["expression"][0], "Bundle.entry[1].fullUrl");
        assert_eq!(statuses(&send(&server, "batch", twice).await), ["201", "400"]);
        let other = json!([post("http://example.org/fhir/Patient/other", patient("a", "A"))]);
        send(&server, "transaction", other).await.refused(400, "full-url-mismatch");
        let other = json!({ "fullUrl": "Patient/other", "resource": patient("a", "A"), "request": { "method": "PUT", "url": "Patient/a" } });
        send(&server, "transaction", json!([other])).await.refused(400, "full-url-mismatch");
        for url in ["http://example.org/fhir/Patient/a", "Patient/a", "http://example.org/a"] {
            assert_eq!(
                statuses(&send(&server, "transaction", json!([post(url, patient("a", "A"))])).await),
                ["201"]
            );
        }
        let lost = json!([
            put(patient("c", "C")),
            post(name, observation("urn:uuid:99999999-40d5-491e-99b0-da01ff1f3341"))
        ]);
        let refused = send(&server, "transaction", lost).await;
        refused.refused(400, "unresolved-reference");
        assert_eq!(refused.body["issue"][0]["expression"][0], "Bundle.entry[1].resource.subject.reference");
        server.get("Patient/c").await.refused(404, "not-found");
        // A uuid cannot hold `Patient/…`.
        let mut uuid = patient("d", "D");
        uuid["extension"] = json!([{ "url": "http://e.org/uuid", "valueUuid": name }]);
        let answer = send(&server, "transaction", json!([put(uuid), post(name, patient("x", "X"))])).await;
        assert_eq!(statuses(&answer), ["201", "201"]);
        let read = server.get("Patient/d").await.body;
        assert_eq!(read["extension"][0]["valueUuid"], name);
        assert_eq!(server.put("Patient/d", &read).await.status, 200);
        server.stop().await;
    })
    .await;
}

#[tokio::test]
async fn b1_a_broken_entry_is_named_and_breaks_no_other() {
    each_store(|store| async move {
        let server = TestServer::start(store).await;
        let sent = json!([
            put(patient("p", "A")),
            { "resource": patient("q", "B") },
            { "request": { "method": "STEAL", "url": "Patient/p" } },
            { "request": { "method": "GET", "url": "Patient/p" }, "color": "red" },
            {},
            "entry"
        ]);
        let answer = send(&server, "batch", sent.clone()).await;
        assert_eq!(statuses(&answer), ["201", "400", "400", "400", "400", "400"], "{}", answer.body);
        let issue = |n: usize| answer.body["entry"][n]["response"]["outcome"]["issue"][0].clone();
        assert_eq!(issue(1)["details"]["coding"][0]["code"], "required-element");
        assert_eq!(issue(1)["expression"][0], "Bundle.entry[1].request");
        assert_eq!(issue(2)["expression"][0], "Bundle.entry[2].request.method");
        assert_eq!(issue(3)["expression"][0], "Bundle.entry[3].color");
        assert_eq!(send(&server, "transaction", sent).await.status, 400);
        let empty = json!({ "resourceType": "Bundle", "type": "batch", "entry": [] });
        let answer = server.post("", &empty).await;
        assert_eq!((answer.status.as_u16(), answer.body.get("entry")), (200, None));
        let object = json!({ "resourceType": "Bundle", "type": "batch", "entry": {} });
        server.post("", &object).await.refused(400, "array-expected");
        server.stop().await;
    })
    .await;
}

#[tokio::test]
async fn b1_what_is_read_by_post_is_read_in_a_batch_too() {
    each_store(|store| async move {
        let server = TestServer::start(store).await;
        server.put("Patient/1", &card("1", "one")).await;
        server.put("Patient/2", &card("2", "two")).await;
        let search = |url: &str| json!({ "request": { "method": "POST", "url": url } });
        let by = json!({ "resourceType": "Parameters", "parameter": [{ "name": "identifier", "valueString": "two" }] });
        let form = base64::Engine::encode(&base64::engine::general_purpose::STANDARD, "identifier=two");
        let form = json!({ "resourceType": "Binary", "contentType": "application/x-www-form-urlencoded", "data": form });
        let with = |resource: &Value| {
            let mut entry = search("Patient/_search");
            entry["resource"] = resource.clone();
            entry
        };
        let sent = json!([
            { "request": { "method": "GET", "url": "metadata" } },
            search("Patient/_search?identifier=two"),
            with(&by),
            with(&form),
            search("_search?_type=Patient&identifier=two"),
            with(&patient("1", "A"))
        ]);
        for kind in ["batch", "transaction"] {
            let mut sent = sent.clone();
            if kind == "transaction" {
                send(&server, kind, sent.clone()).await.refused(400, "bad-form");
                sent.as_array_mut().unwrap().pop();
            }
            let answer = send(&server, kind, sent).await;
            assert_eq!(answer.status, 200, "{}", answer.body);
            assert_eq!(answer.body["entry"][0]["resource"]["resourceType"], "CapabilityStatement");
            for n in 1..5 {
                let found = &answer.body["entry"][n]["resource"];
                assert_eq!((&found["total"], &found["entry"][0]["resource"]["id"]), (&json!(1), &json!("2")), "{n}");
            }
        }
        server.stop().await;
    })
    .await;
}

/// R4: a transaction fails as a whole, whatever of it fails. Each read of a batch is for itself.
#[tokio::test]
async fn t1_a_read_that_fails_fails_the_transaction() {
    each_store(|store| async move {
        let server = TestServer::start(store).await;
        server.put("Patient/old", &patient("old", "Old")).await;
        let read = |url: &str| json!({ "request": { "method": "GET", "url": url } });
        for (url, status) in [
            ("Patient/absent", 404),
            ("Patient/old", 410),
            ("Patient/old/_history/9", 404),
            ("Patient/new/_history/2", 404),
            ("Patient?birthdate=soon", 400),
            ("Patient/_history?_since=soon", 400),
            ("Patient/new/unknown", 404),
        ] {
            let entries = json!([put(patient("new", "New")), delete("Patient/old"), read(url)]);
            let refused = send(&server, "transaction", entries).await;
            assert_eq!(refused.status.as_u16(), status, "{url} {}", refused.body);
            assert_eq!(refused.body["issue"][0]["expression"][0], "Bundle.entry[2].request.url", "{url}");
            assert_eq!(statuses(&send(&server, "batch", json!([read(url)])).await).len(), 1);
        }
        server.get("Patient/new").await.refused(404, "not-found");
        let entries = json!([
            put(patient("new", "New")),
            delete("Patient/old"),
            read("Patient/new"),
            read("Patient/new/_history/1"),
            read("Patient/old/_history/1"),
            read("Patient?birthdate=2000")
        ]);
        let answer = send(&server, "transaction", entries).await;
        assert_eq!(statuses(&answer), ["201", "204", "200", "200", "200", "200"], "{}", answer.body);
        server.stop().await;
    })
    .await;
}

/// 300 small questions do not become an answer of hundreds of megabytes.
#[tokio::test]
async fn b1_the_reads_of_a_batch_have_a_bound() {
    each_store(|store| async move {
        let server = TestServer::start(store).await;
        let mut large = patient("large", "A");
        large["name"][0]["text"] = "x".repeat(700_000).into();
        server.put("Patient/large", &large).await;
        let read = json!({ "request": { "method": "GET", "url": "Patient/large" } });
        let answer = send(&server, "batch", Value::from(vec![read; 110])).await;
        let statuses = statuses(&answer);
        let given = statuses.iter().filter(|status| *status == "200").count();
        assert!((90..=97).contains(&given), "{given}");
        assert!(statuses.iter().all(|status| status == "200" || status == "422"));
        let last = &answer.body["entry"][109]["response"]["outcome"]["issue"][0];
        assert_eq!(
            (&last["code"], &last["details"]["coding"][0]["code"]),
            (&json!("too-costly"), &json!("answer-too-large"))
        );
        server.stop().await;
    })
    .await;
}
