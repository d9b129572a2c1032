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
        send(patch).await.refused(403, "scope-missing");
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
        assert_eq!(send(&server, "transaction", json!([])).await.status, 400, "R4 has no empty arrays");

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
