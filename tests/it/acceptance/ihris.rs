//! iHRIS 5 and its mHero module, which talks to emNutt's routes.

use mjumbe::fhir::client::Profile;
use mjumbe::store::testing::each_store;
use reqwest::{Method, RequestBuilder};
use serde_json::{Value, json};

use super::search_custom::soon;
use crate::server::{Answered, TestServer, answered};

const TAGS: &str = "http://mhero.org/codesystem|optedout";

async fn as_ihris(store: mjumbe::store::Store) -> TestServer {
    let mut server = TestServer::start(store).await;
    server.become_client(Profile::Ihris).await;
    server
}

/// `{emnutt:base}/…` as iHRIS calls it: Basic, with the token's name and the token.
fn emnutt(server: &TestServer, method: Method, path: &str) -> RequestBuilder {
    let url = format!("{}/emNutt/{path}", server.url);
    server.client.request(method, url).basic_auth("ihris", Some(&server.token))
}

async fn post(server: &TestServer, path: &str, body: &Value) -> Answered {
    let request = emnutt(server, Method::POST, path).header("content-type", "application/json");
    answered(request.body(body.to_string())).await
}

async fn get(server: &TestServer, path: &str) -> Answered {
    answered(emnutt(server, Method::GET, path)).await
}

fn communication_request(recipients: usize) -> Value {
    let recipients: Vec<Value> =
        (0..recipients).map(|n| json!({ "reference": format!("Practitioner/p{n}") })).collect();
    json!({
        "meta": { "tag": [{ "system": "parentReqId", "code": "8a3e1f9e-4f3b-4a39-9d8e-1c9a5c4f0001" }] },
        "payload": [{ "contentString": "Meeting on Monday" }], "recipient": recipients,
        "resourceType": "CommunicationRequest", "id": "0b0f6f1a-2f7c-4b44-8d5b-9f7f6d4c0002",
    })
}

#[tokio::test]
async fn a_group_without_type_is_made_and_gets_members() {
    each_store(|store| async move {
        let server = as_ihris(store).await;
        let made = server.post("Group", &json!({ "resourceType": "Group", "name": "Nurses" })).await;
        assert_eq!((made.status.as_u16(), made.body["type"].as_str()), (201, Some("practitioner")));
        assert_eq!(
            made.header("mjumbe-repaired"),
            "group-type-missing Group.type, group-actual-missing Group.actual"
        );
        let id = made.body["id"].as_str().unwrap();
        let members = json!([{ "entity": { "reference": "Practitioner/1" } }]);
        let group = json!({ "resourceType": "Group", "id": id, "name": "Nurses", "member": members });
        let put = server.put(&format!("Group/{id}"), &group).await;
        assert_eq!((put.status.as_u16(), &put.body["member"]), (200, &members));
        server.stop().await;
    })
    .await;
}

#[tokio::test]
async fn pages_are_followed_at_the_base() {
    each_store(|store| async move {
        let server = as_ihris(store).await;
        let profile = "http://mhero.org/fhir/StructureDefinition/mhero-workflows";
        for n in 0..5 {
            let flow = json!({
                "resourceType": "Basic", "id": format!("flow-{n}"), "code": { "text": "flow" },
                "meta": { "profile": [profile] },
            });
            assert_eq!(server.put(&format!("Basic/flow-{n}"), &flow).await.status, 201);
        }
        let mut page = server.get(&format!("Basic?_profile={profile}&_count=2")).await;
        let mut ids: Vec<String> = Vec::new();
        loop {
            ids.extend(page.entries("match").iter().map(|one| one["id"].as_str().unwrap().to_owned()));
            let Some(next) = page.link("next") else { break };
            // routes/mhero.js copies the query of the link and leaves the path away.
            let query = url::Url::parse(&next).unwrap().query().unwrap().to_owned();
            assert!(query.contains("_getpages="), "{query}");
            page = server.get(&format!("?{query}")).await;
            assert_eq!(page.status, 200, "{}", page.body);
        }
        ids.sort();
        assert_eq!(ids, ["flow-0", "flow-1", "flow-2", "flow-3", "flow-4"]);
        server.stop().await;
    })
    .await;
}

#[tokio::test]
async fn the_searches_of_the_backend_are_answered() {
    each_store(|store| async move {
        let server = as_ihris(store).await;
        let practitioner = json!({
            "resourceType": "Practitioner", "id": "p1", "name": [{ "family": "Uwase", "given": ["Alice"] }],
            "telecom": [{ "system": "phone", "value": "+250 788 555 123" }], "active": true,
            "meta": { "security": [{ "system": "http://ihris.org/fhir/CodeSystem/ihris-resource-restrictions", "code": "x" }] },
        });
        let location = |id: &str, above: Option<&str>| {
            let part_of = above.map(|id| json!({ "reference": format!("Location/{id}") }));
            json!({ "resourceType": "Location", "id": id, "status": "active", "partOf": part_of })
        };
        let role = |id: &str, date: &str| {
            json!({ "resourceType": "PractitionerRole", "id": id, "period": { "start": date },
                "practitioner": { "reference": "Practitioner/p1" }, "location": [{ "reference": "Location/l3" }] })
        };
        let mut district = location("l2", Some("l1"));
        let mut country = location("l1", None);
        country.as_object_mut().unwrap().remove("partOf");
        district["name"] = "District".into();
        for (path, body) in [
            ("Practitioner/p1", practitioner),
            ("Location/l1", country),
            ("Location/l2", district),
            ("Location/l3", location("l3", Some("l2"))),
            ("PractitionerRole/r1", role("r1", "2020-01-01")),
            ("PractitionerRole/r2", role("r2", "2024-01-01")),
        ] {
            let put = server.put(path, &body).await;
            assert_eq!(put.status, 201, "{path}: {}", put.body);
        }
        let matches = async |query: &str| {
            let found = server.get(query).await;
            assert_eq!(found.status, 200, "{query}: {}", found.body);
            let ids = |mode| {
                found.entries(mode).iter().map(|one| one["id"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
            };
            (ids("match"), ids("include"))
        };
        let roles = "PractitionerRole?practitioner=p1&_sort=-date,-_id";
        assert_eq!(matches(roles).await.0, ["r2", "r1"]);
        let both = format!("{roles}&_include=PractitionerRole:practitioner&_include=PractitionerRole:location");
        assert_eq!(matches(&both).await.1.len(), 2);
        let above = "Location?_id=Location/l3&status=active&_include:iterate=Location:partof";
        let (own, mut included) = matches(above).await;
        included.sort();
        assert_eq!((own, included), (vec!["l3".to_owned()], vec!["l1".to_owned(), "l2".to_owned()]));
        let restricted = "http://ihris.org/fhir/CodeSystem/ihris-resource-restrictions|x";
        assert_eq!(matches(&format!("Practitioner?_security={restricted}")).await.0, ["p1"]);
        let nobody: Vec<String> = Vec::new();
        assert_eq!(matches("CodeSystem?_elements=url,title,property&_count=200").await.0, nobody);
        assert_eq!(matches("Person?email=nobody@example.org").await.0, nobody);
        // fhirAxios sends `Cache-Control: no-cache` and plain JSON.
        let read = server.request(Method::GET, "Practitioner/p1/_history/1");
        let read = answered(read.header("cache-control", "no-cache").header("accept", "application/json")).await;
        assert_eq!((read.status.as_u16(), read.body["id"].as_str()), (200, Some("p1")));
        server.stop().await;
    })
    .await;
}

#[tokio::test]
async fn ten_thousand_and_one_recipients_are_one_request() {
    each_store(|store| async move {
        let server = as_ihris(store).await;
        let sent = post(&server, "fhir/CommunicationRequest", &communication_request(10_001)).await;
        assert_eq!(sent.status, 200, "{}", sent.body);
        assert_eq!(sent.body["status"], "Processing");
        assert!(sent.header("mjumbe-repaired").starts_with("request-status-missing"));
        let id = sent.body["reqID"].as_str().unwrap();
        let stored = server.get(&format!("CommunicationRequest/{id}")).await;
        assert_eq!(stored.body["status"], "active");
        assert_eq!(stored.body["recipient"].as_array().unwrap().len(), 10_001);
        let by_parent =
            server.get("CommunicationRequest?_tag=parentReqId|8a3e1f9e-4f3b-4a39-9d8e-1c9a5c4f0001").await;
        assert_eq!(by_parent.body["total"], 1);
        // The dialogue asks every two seconds until all are done; it is not told that anything was sent.
        let ids = json!({ "childrenReqIDs": [id], "parentReqId": "x" }).to_string();
        let asked = emnutt(&server, Method::GET, "fhir/getProgress").query(&[("requestIDs", &ids)]);
        let progress = answered(asked).await;
        let one = &progress.body[0];
        assert_eq!((progress.status.as_u16(), one["id"].as_str()), (200, Some(id)), "{}", progress.body);
        assert_eq!((one["totalRecords"].as_u64(), one["processedRecords"].as_u64()), (Some(10_001), Some(0)));
        assert_eq!((one["status"].as_str(), one["step"].as_u64()), (Some("done"), Some(1)));
        assert!(one["error"].as_str().unwrap().contains("not sent"), "{one}");
        assert_eq!(one["sendStatus"][id][id], json!({ "success": 0, "failed": 0, "ignored": 0 }));
        // What is based on it counts.
        let message = json!({
            "resourceType": "Communication", "status": "completed",
            "basedOn": [{ "reference": format!("CommunicationRequest/{id}") }],
        });
        assert_eq!(server.post("Communication", &message).await.status, 201);
        let asked = emnutt(&server, Method::GET, "fhir/getProgress").query(&[("requestIDs", &ids)]);
        assert_eq!(answered(asked).await.body[0]["sendStatus"][id][id]["success"], 1);
        let clear = emnutt(&server, Method::GET, "fhir/clearProgress").query(&[("requestIDs", &ids)]);
        assert_eq!(answered(clear).await.status, 200);
        server.stop().await;
    })
    .await;
}

#[tokio::test]
async fn a_schedule_is_kept_and_ended() {
    each_store(|store| async move {
        let server = as_ihris(store).await;
        let mut request = communication_request(2);
        request["extension"] = json!([{
            "url": "http://mhero.org/fhir/StructureDefinition/sms-cron-expression-schedule",
            "extension": [{ "url": "frequency", "valueString": "recurring" },
                { "url": "cronExpression", "valueString": "0 9 * * 1" }],
        }]);
        let sent = post(&server, "fhir/CommunicationRequest", &request).await;
        let id = sent.body["reqID"].as_str().unwrap();
        let waiting = server.get("CommunicationRequest?status=on-hold").await;
        assert_eq!(waiting.entries("match")[0]["id"], id);
        let ended = json!({ "schedules": [format!("CommunicationRequest/{id}")] });
        let cancelled = post(&server, "fhir/cancelMessageSchedule", &ended).await;
        assert_eq!((cancelled.status.as_u16(), cancelled.body["status"].as_str()), (200, Some("Processing")));
        assert_eq!(server.get(&format!("CommunicationRequest/{id}")).await.body["status"], "completed");
        let failed = post(&server, "fhir/cancelMessageSchedule", &json!({ "schedules": ["nobody"] })).await;
        let ids = [&cancelled, &failed].map(|answer| answer.body["reqID"].clone());
        let ids = json!({ "childrenReqIDs": ids }).to_string();
        let asked = emnutt(&server, Method::GET, "fhir/getProgress").query(&[("requestIDs", &ids)]);
        let progress = answered(asked).await;
        assert_eq!((&progress.body[0]["status"], &progress.body[0]["error"]), (&json!("done"), &Value::Null));
        assert!(progress.body[1]["error"].as_str().unwrap().contains("canceling"));
        for wrong in [json!({}), json!({ "schedules": "x" })] {
            assert_eq!(post(&server, "fhir/cancelMessageSchedule", &wrong).await.status, 400);
        }
        server.stop().await;
    })
    .await;
}

#[tokio::test]
async fn people_opt_out_and_in_again() {
    each_store(|store| async move {
        let server = as_ihris(store).await;
        for id in ["p1", "p2"] {
            let person = json!({ "resourceType": "Practitioner", "id": id, "name": [{ "family": "x" }] });
            server.put(&format!("Practitioner/{id}"), &person).await;
        }
        let put = async |path: &str, body: &str| {
            let request = emnutt(&server, Method::PUT, path).header("content-type", "application/json");
            let answer = answered(request.body(body.to_owned())).await;
            (answer.status.as_u16(), answer.body)
        };
        let done = |id: &str| json!({ "response": { "status": "200 OK", "location": format!("Practitioner/{id}") } });
        assert_eq!(put("optout?globalid=p1&entitytype=Practitioner", "").await, (200, json!([done("p1")])));
        assert_eq!(put("optout?globalid=p1&entitytype=Practitioner", "{}").await.0, 200);
        let out = server.get(&format!("Practitioner?_tag={TAGS}")).await;
        assert_eq!((out.body["total"].as_u64(), &out.entries("match")[0]["id"]), (Some(1), &json!("p1")));
        let both = r#"[{"globalid":"p1","entitytype":"Practitioner"},{"globalid":"p2","entitytype":"Practitioner"}]"#;
        assert_eq!(put("optout", both).await, (200, json!([done("p1"), done("p2")])));
        assert_eq!(server.get(&format!("Practitioner?_tag={TAGS}")).await.body["total"], 2);
        assert_eq!(put("undoOptout", both).await.0, 200);
        assert_eq!(server.get(&format!("Practitioner?_tag={TAGS}")).await.body["total"], 0);
        assert_eq!(put("optout", "").await.0, 400);
        let nobody = json!([{ "response": { "status": "404 Not Found" } }]);
        assert_eq!(put("optout?globalid=nobody&entitytype=Practitioner", "").await, (200, nobody));
        assert_eq!(put("optout?globalid=../x&entitytype=Practitioner", "").await.0, 400);
        server.stop().await;
    })
    .await;
}

#[tokio::test]
async fn what_is_read_and_posted_passes_through() {
    each_store(|store| async move {
        let server = as_ihris(store).await;
        for id in ["a", "b", "c"] {
            let basic = json!({ "resourceType": "Basic", "id": id, "meta": { "code": { "text": "flow" } } });
            assert_eq!(post(&server, "fhir", &basic).await.status, 201);
        }
        assert_eq!(get(&server, "fhir/Basic/a").await.body["code"]["text"], "flow");
        let page = get(&server, "fhir/Basic?_count=2").await;
        let next = page.link("next").unwrap();
        assert!(next.starts_with(&format!("{}/emNutt/fhir", server.url)), "{next}");
        let rest = answered(server.client.get(&next).basic_auth("ihris", Some(&server.token))).await;
        assert_eq!((rest.status.as_u16(), rest.entries("match").len()), (200, 1), "{}", rest.body);
        let bundle = json!({ "resourceType": "Bundle", "type": "batch", "entry": [
            { "resource": { "resourceType": "Basic", "code": { "text": "x" } },
              "request": { "method": "POST", "url": "Basic" } }] });
        let done = post(&server, "fhir", &bundle).await;
        assert_eq!(done.body["entry"][0]["response"]["status"], "201 Created");
        assert_eq!(post(&server, "fhir", &json!({})).await.status, 400);
        assert_eq!(get(&server, "fhir/metadata").await.body["resourceType"], "CapabilityStatement");
        server.stop().await;
    })
    .await;
}

#[tokio::test]
async fn only_ihris_is_let_in_and_nothing_is_told() {
    each_store(|store| async move {
        let mut server = as_ihris(store).await;
        let routes = [
            (Method::POST, "fhir/CommunicationRequest"),
            (Method::GET, "fhir/getProgress"),
            (Method::GET, "fhir/metadata"),
            (Method::GET, "fhir/Patient"),
            (Method::PUT, "optout"),
            (Method::GET, "sync/syncWorkflows"),
            (Method::GET, "getConfig?parameter=rapidpro"),
            (Method::GET, "nothing"),
        ];
        let (ihris, plain) = (server.token.clone(), server.token("plain", "system/*.cruds").await);
        for (method, path) in &routes {
            let url = format!("{}/emNutt/{path}", server.url);
            let ask = |user: &str, token: &str| {
                answered(server.client.request(method.clone(), &url).basic_auth(user, Some(token)))
            };
            answered(server.client.request(method.clone(), &url)).await.refused(401, "login-required");
            ask("ihris", "wrong").await.refused(401, "login-required");
            ask("other", &ihris).await.refused(401, "login-required");
            ask("plain", &plain).await.refused(403, "profile-needed");
            let elsewhere = url.replace("/emNutt/", "/tenants/other/emNutt/");
            let stranger = server.client.request(method.clone(), elsewhere).bearer_auth(&ihris);
            answered(stranger).await.refused(401, "login-required");
        }
        assert_eq!(get(&server, "getConfig?parameter=rapidpro").await.status, 403);
        for (what, status) in [("syncWorkflows", 501), ("syncContacts", 501), ("cacheFHIR2ES", 501)] {
            assert_eq!(get(&server, &format!("sync/{what}")).await.status, status, "{what}");
            let root = server.client.get(format!("{}/sync/{what}", server.url));
            assert_eq!(answered(root.try_clone().unwrap()).await.status, 401);
            assert_eq!(answered(root.basic_auth("ihris", Some(&ihris))).await.status, status, "{what}");
        }
        for wrong in ["", "?requestIDs=x", "?requestIDs=[]", "?requestIDs={}"] {
            assert_eq!(get(&server, &format!("fhir/getProgress{wrong}")).await.status, 400, "{wrong}");
        }
        let unknown = r#"{"childrenReqIDs":["nobody","a/b?c",7]}"#;
        let asked = emnutt(&server, Method::GET, "fhir/getProgress").query(&[("requestIDs", unknown)]);
        let progress = answered(asked).await;
        assert_eq!((progress.status.as_u16(), progress.body.as_array().unwrap().len()), (200, 3));
        assert!(progress.body.as_array().unwrap().iter().all(|one| one["error"].is_string()));
        // A refusal is told, where emNutt would have said that it is processing.
        let wrong = json!({ "resourceType": "CommunicationRequest", "recipient": 1 });
        assert_eq!(post(&server, "fhir/CommunicationRequest", &wrong).await.status, 400);
        // Its scopes hold here too.
        let scopes = mjumbe::auth::scope::Scopes::parse("system/Basic.rs", |_| true).unwrap();
        let grant = mjumbe::auth::token::Grant::to(Profile::Ihris, scopes);
        server.store.revoke_token("default", "ihris").await.unwrap();
        server.token = mjumbe::auth::token::create(&server.store, "default", "ihris", grant).await.unwrap();
        let refused = post(&server, "fhir/CommunicationRequest", &communication_request(1)).await;
        refused.refused(403, "scope-missing");
        server.stop().await;
    })
    .await;
}

#[tokio::test]
async fn drop_down_lists_are_expanded_and_codes_looked_up() {
    each_store(|store| async move {
        let server = as_ihris(store).await;
        let system = "http://ihris.org/fhir/CodeSystem/ihris-job";
        let jobs = json!({
            "resourceType": "CodeSystem", "id": "ihris-job", "url": system, "status": "active", "content": "complete",
            "concept": [{ "code": "nurse", "display": "Nurse" }, { "code": "driver", "display": "Driver" }],
        });
        let list = json!({
            "resourceType": "ValueSet", "id": "ihris-job", "url": "http://ihris.org/fhir/ValueSet/ihris-job",
            "status": "active", "compose": { "include": [{ "system": system }] },
        });
        assert_eq!(server.put("CodeSystem/ihris-job", &jobs).await.status, 201);
        assert_eq!(server.put("ValueSet/ihris-job", &list).await.status, 201);
        let expanded = server.get("ValueSet/ihris-job/$expand").await;
        let contains = expanded.body["expansion"]["contains"].as_array().unwrap();
        let shown: Vec<&str> = contains.iter().map(|one| one["display"].as_str().unwrap()).collect();
        assert_eq!(shown, ["Nurse", "Driver"]);
        let looked_up = server.get(&format!("CodeSystem/$lookup?system={system}&code=nurse")).await;
        let parameters = looked_up.body["parameter"].as_array().unwrap();
        let display = parameters.iter().find(|one| one["name"] == "display").unwrap();
        assert_eq!(display["valueString"], "Nurse");
        server.stop().await;
    })
    .await;
}

/// The backend changes a group by sending all of it, also when its last member has left.
#[tokio::test]
async fn the_last_member_leaves_a_group() {
    each_store(|store| async move {
        let server = as_ihris(store).await;
        let group = |members: Value| {
            json!({ "resourceType": "Group", "id": "g1", "type": "practitioner", "actual": true, "member": members })
        };
        let one = json!([{ "entity": { "reference": "Practitioner/1" } }]);
        assert_eq!(server.put("Group/g1", &group(one)).await.status, 201);
        let left = server.put("Group/g1", &group(json!([]))).await;
        assert_eq!((left.status.as_u16(), left.body.get("member")), (200, None), "{}", left.body);
        assert_eq!(left.header("mjumbe-repaired"), "empty-value Group.member");
        server.stop().await;
    })
    .await;
}

/// As modules/fhir/fhirAudit.js, resources/Basic-ihris-role-hrofficer.json and the SearchParameters write them.
#[tokio::test]
async fn its_audit_trail_roles_and_search_parameters_are_stored() {
    each_store(|store| async move {
        let server = as_ihris(store).await;
        let event = json!({
            "resourceType": "AuditEvent", "recorded": "2026-11-21T10:00:00.000Z", "outcome": 0, "entity": [],
            "type": { "system": "http://terminology.hl7.org/CodeSystem/audit-event-type", "code": "rest" },
            "agent": [{ "name": "", "requestor": true, "network": { "address": "10.0.0.1", "type": 2 } }],
            "source": { "observer": { "display": "iHRIS" } },
        });
        let logged = server.post("AuditEvent", &event).await;
        assert_eq!((logged.status.as_u16(), &logged.body["outcome"]), (201, &json!("0")), "{}", logged.body);
        let role = json!({
            "resourceType": "Basic", "id": "ihris-role-hrofficer", "code": { "text": "role" }, "extension": [
                { "url": "http://ihris.org/fhir/StructureDefinition/ihris-assign-task", "valueId": "person:person_add" }],
        });
        let stored = server.put("Basic/ihris-role-hrofficer", &role).await;
        assert_eq!((stored.status.as_u16(), &stored.body["extension"]), (201, &role["extension"]));
        assert_eq!(stored.header("mjumbe-repaired"), "id-as-text Basic.extension[0].valueId");
        let details = "http://ihris.org/fhir/StructureDefinition/ihris-user-details";
        let parameter = json!({
            "resourceType": "SearchParameter", "id": "ihris-username", "url": "http://ihris.org/fhir/SearchParameter/username",
            "name": "username", "status": "active", "description": "x", "code": "username", "base": ["Person"],
            "type": "string", "expression": format!("Person.extension('{details}').extension('username')"),
            "xpath": "f:Person/f:extension",
        });
        assert_eq!(server.put("SearchParameter/ihris-username", &parameter).await.status, 201);
        let user = |name: &str| {
            let username = json!([{ "url": "username", "valueString": name }]);
            json!({ "resourceType": "Person", "id": name, "extension": [{ "url": details, "extension": username }] })
        };
        for name in ["admin", "hr"] {
            assert_eq!(server.put(&format!("Person/{name}"), &user(name)).await.status, 201);
        }
        soon(&server, "Person?username=admin", "admin").await;
        server.stop().await;
    })
    .await;
}
