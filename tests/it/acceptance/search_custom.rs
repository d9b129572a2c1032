//! Search parameters that a client defines. <https://hl7.org/fhir/R4/searchparameter.html>

use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use mjumbe::store::Store;
use mjumbe::store::testing::{each_database, each_store};
use reqwest::Method;
use serde_json::{Value, json};

use super::search::{found, ids, reference, stored};
use crate::server::{TestServer, answered};

/// What a workforce registry and a messaging bridge define: extensions, unions, `exists()`, `empty()`.
const OWN: &[(&str, &str, &str, &str)] = &[
    (
        "Practitioner",
        "nationality",
        "token",
        "Practitioner.extension('http://example.org/nationality').value",
    ),
    (
        "Practitioner",
        "residence",
        "reference",
        "Practitioner.extension('http://example.org/residence').value",
    ),
    ("Practitioner", "dependents", "number", "Practitioner.extension('http://example.org/dependents').value"),
    ("Practitioner", "since", "date", "Practitioner.extension('http://example.org/since').value"),
    ("Practitioner", "motto", "string", "Practitioner.extension('http://example.org/motto').value"),
    ("Practitioner", "has-photo", "token", "Practitioner.photo.exists()"),
    ("Practitioner", "nameless", "token", "Practitioner.name.empty()"),
    (
        "Practitioner",
        "reach",
        "string",
        "Practitioner.telecom.where(system='phone').value | Practitioner.telecom.where(system='email').value",
    ),
    (
        "PractitionerRole",
        "salary",
        "quantity",
        "PractitionerRole.extension('http://example.org/salary').value",
    ),
    (
        "Basic",
        "practitioner",
        "reference",
        "Basic.extension('http://example.org/practitioner-reference').value",
    ),
    (
        "Basic",
        "leave-type",
        "token",
        "Basic.extension('http://example.org/leave').extension('leave-type').value",
    ),
    ("Basic", "page", "uri", "Basic.extension('http://example.org/page').value"),
    (
        "CommunicationRequest",
        "starts",
        "string",
        "CommunicationRequest.extension('http://example.org/flow-starts').extension('uuid').value",
    ),
    (
        "CommunicationRequest",
        "is-start",
        "token",
        "CommunicationRequest.extension('http://example.org/flow-starts').exists()",
    ),
];

fn definition((base, code, kind, expression): &(&str, &str, &str, &str)) -> Value {
    json!({
        "resourceType": "SearchParameter", "id": format!("{base}-{code}").to_lowercase(), "status": "active",
        "url": format!("http://example.org/SearchParameter/{base}-{code}"), "name": "Own", "description": "Own",
        "code": code, "base": [base], "type": kind, "expression": expression,
    })
}

fn registry() -> Vec<Value> {
    let extension = |name: &str, value: (&str, Value)| {
        let mut one = json!({ "url": format!("http://example.org/{name}") });
        one[value.0] = value.1;
        one
    };
    let inner = |name: &str, value: (&str, Value)| {
        let mut one = json!({ "url": name });
        one[value.0] = value.1;
        one
    };
    let coding = |code: &str| json!({ "system": "urn:nations", "code": code });
    vec![
        json!({ "resourceType": "Location", "id": "huye", "status": "active", "name": "Huye" }),
        json!({
            "resourceType": "Practitioner", "id": "ange", "name": [{ "family": "Uwase" }], "photo": [{ "url": "http://example.org/a.png" }],
            "telecom": [{ "system": "phone", "value": "+250788000001" }, { "system": "email", "value": "ange@example.org" }],
            "extension": [
                extension("nationality", ("valueCoding", coding("RW"))),
                extension("residence", ("valueReference", reference("Location/huye"))),
                extension("dependents", ("valueInteger", json!(3))),
                extension("since", ("valueDate", json!("2015-03-01"))),
                extension("motto", ("valueString", json!("Always be Kind"))),
            ],
        }),
        json!({ "resourceType": "Practitioner", "id": "anon", "extension": [extension("nationality", ("valueCoding", coding("KE")))] }),
        json!({
            "resourceType": "PractitionerRole", "id": "role",
            "extension": [extension("salary", ("valueQuantity", json!({ "value": 500, "unit": "USD", "code": "USD", "system": "urn:money" })))],
        }),
        json!({
            "resourceType": "Basic", "id": "leave", "code": { "text": "leave" },
            "extension": [
                extension("practitioner-reference", ("valueReference", reference("Practitioner/ange"))),
                { "url": "http://example.org/leave", "extension": [inner("leave-type", ("valueCoding", coding("sick")))] },
                extension("page", ("valueUri", json!("http://example.org/pages/1"))),
            ],
        }),
        json!({
            "resourceType": "CommunicationRequest", "id": "start", "status": "active",
            "extension": [{ "url": "http://example.org/flow-starts", "extension": [inner("uuid", ("valueString", json!("9f1c-22")))] }],
        }),
        json!({ "resourceType": "CommunicationRequest", "id": "broadcast", "status": "active" }),
    ]
}

const SEARCHES: &[(&str, &str)] = &[
    ("Practitioner?nationality=RW", "ange"),
    ("Practitioner?nationality=urn:nations|KE", "anon"),
    ("Practitioner?nationality:not=RW", "anon"),
    ("Practitioner?residence=Location/huye", "ange"),
    ("Practitioner?residence.name=huye", "ange"),
    ("Practitioner?residence:missing=true", "anon"),
    ("Practitioner?dependents=gt2", "ange"),
    ("Practitioner?since=2015", "ange"),
    ("Practitioner?motto=always", "ange"),
    ("Practitioner?motto:contains=KIND", "ange"),
    ("Practitioner?has-photo=true", "ange"),
    ("Practitioner?nameless=true", "anon"),
    ("Practitioner?reach=ange@", "ange"),
    ("Practitioner?reach:contains=788000", "ange"),
    ("Practitioner?_sort=-nationality", "ange,anon"),
    ("PractitionerRole?salary=ge500|urn:money|USD", "role"),
    ("Basic?practitioner=Practitioner/ange", "leave"),
    ("Basic?practitioner.nationality=RW", "leave"),
    ("Basic?leave-type=sick", "leave"),
    ("Basic?page:below=http://example.org/pages", "leave"),
    ("CommunicationRequest?starts=9f1c", "start"),
    ("CommunicationRequest?is-start=true", "start"),
    ("CommunicationRequest?is-start=false", "broadcast"),
    ("Practitioner?_has:Basic:practitioner:leave-type=sick", "ange"),
    ("?_type=Practitioner&nationality=KE", "anon"),
];

/// Waits until the search is answered and finds this; a search by values that are being collected is 503.
pub async fn soon(server: &TestServer, path: &str, expected: &str) {
    for _ in 0..600 {
        let answer = server.get(path).await;
        if answer.status == 503 {
            answer.refused(503, "parameter-building");
        } else if ids(&answer, "match") == expected && !answer.body.to_string().contains("parameters-ignored")
        {
            return;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    panic!("{path} does not come to {expected:?}: {}", server.get(path).await.body);
}

#[tokio::test]
async fn s26_what_is_stored_is_indexed_anew() {
    each_store(|store| async move {
        let server = TestServer::start(store).await;
        stored(&server, &registry()).await;
        stored(&server, &OWN.iter().map(definition).collect::<Vec<_>>()).await;
        for (path, expected) in SEARCHES {
            soon(&server, path, expected).await;
        }
        let included = server.get("Basic?leave-type=sick&_include=Basic:practitioner").await;
        assert_eq!(ids(&included, "include"), "ange");
        let included = server.get("Practitioner?nationality=RW&_revinclude=Basic:practitioner").await;
        assert_eq!(ids(&included, "include"), "leave");
        let statement = server.get("metadata").await.body;
        let kinds = statement["rest"][0]["resource"].as_array().unwrap();
        let basic = kinds.iter().find(|kind| kind["type"] == "Basic").unwrap();
        let listed =
            basic["searchParam"].as_array().unwrap().iter().find(|one| one["name"] == "leave-type").unwrap();
        assert_eq!(listed["definition"], "http://example.org/SearchParameter/Basic-leave-type");
        assert!(basic["searchInclude"].as_array().unwrap().contains(&json!("Basic:practitioner")));
        only_for_its_own(&server).await;
        server.stop().await;
    })
    .await;
}

#[tokio::test]
async fn s26_writes_are_indexed_at_once_and_changes_are_followed() {
    each_store(|store| async move {
        let server = TestServer::start(store.clone()).await;
        stored(&server, &[definition(&OWN[0]), definition(&OWN[5])]).await;
        soon(&server, "Practitioner?nationality=RW", "").await;
        soon(&server, "Practitioner?has-photo=true", "").await;
        stored(&server, &registry()).await;
        found(&server, &[("Practitioner?nationality=RW", "ange"), ("Practitioner?has-photo=true", "ange")]).await;
        // Another process, which shares only the store.
        let late = json!({ "resourceType": "Practitioner", "id": "late", "photo": [{ "url": "http://example.org/b.png" }] });
        stored(&server, &[late]).await;
        found(&server, &[("Practitioner?has-photo=true", "ange,late")]).await;
        // Another expression: everything is collected again.
        let mut changed = definition(&OWN[5]);
        changed["expression"] = json!("Practitioner.photo.empty()");
        stored(&server, &[changed]).await;
        soon(&server, "Practitioner?has-photo=true", "anon").await;
        // Retired, and deleted: nobody searches by it any more.
        let mut retired = definition(&OWN[0]);
        retired["status"] = json!("retired");
        stored(&server, &[retired]).await;
        server.delete("SearchParameter/practitioner-has-photo").await;
        for code in ["nationality=RW", "has-photo=true"] {
            let gone = server.request(Method::GET, &format!("Practitioner?{code}"));
            answered(gone.header("prefer", "handling=strict")).await.refused(400, "unknown-parameter");
        }
        for _ in 0..200 {
            if store.own_parameters("default").await.unwrap().is_empty() {
                break;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        assert_eq!(store.own_parameters("default").await.unwrap(), [], "its values are taken away");
        server.stop().await;
    })
    .await;
}

#[tokio::test]
async fn s26_what_cannot_be_searched_by_is_refused() {
    each_store(|store| async move {
        let server = TestServer::start(store).await;
        let with = |key: &str, value: Value| {
            let mut definition = definition(&OWN[0]);
            definition[key] = value;
            definition
        };
        for (definition, code, place) in [
            (
                with("expression", json!("Practitioner.extension(")),
                "bad-expression",
                "SearchParameter.expression",
            ),
            (with("expression", Value::Null), "expression-missing", "SearchParameter.expression"),
            (with("code", json!("gender")), "standard-parameter", "SearchParameter.code"),
            (with("type", json!("composite")), "not-supported", "SearchParameter.type"),
        ] {
            let mut definition = definition;
            definition.as_object_mut().unwrap().retain(|_, value| !value.is_null());
            let path = format!("SearchParameter/{}", definition["id"].as_str().unwrap());
            let answer = server.put(&path, &definition).await;
            answer.refused(422, code);
            assert_eq!(answer.body["issue"][0]["expression"], json!([place]), "{}", answer.body);
            // A draft may be anything.
            definition["status"] = json!("draft");
            assert!(server.put(&path, &definition).await.status.is_success());
        }
        stored(&server, &[definition(&OWN[0])]).await;
        let mut twice = definition(&OWN[0]);
        twice["id"] = json!("other");
        server.put("SearchParameter/other", &twice).await.refused(422, "code-taken");
        server.stop().await;
    })
    .await;
}

/// What is checked is the resource that comes about, under the id that it has then.
#[tokio::test]
async fn s26_a_definition_by_condition_or_patch() {
    each_store(|store| async move {
        let server = TestServer::start(store).await;
        let patch = |path: &str, patch: &Value| {
            let request = server.request(Method::PATCH, path);
            answered(request.header("content-type", "application/json-patch+json").body(patch.to_string()))
        };
        let mut own = definition(&OWN[0]);
        own.as_object_mut().unwrap().remove("id");
        let url = format!("SearchParameter?url={}", own["url"].as_str().unwrap());
        assert_eq!(server.put(&url, &own).await.status, 201);
        own["description"] = json!("Said better");
        let again = server.put(&url, &own).await;
        assert_eq!(again.status, 200, "{}", again.body);
        let post = server.with_body(Method::POST, "SearchParameter", &own).header("if-none-exist", &url);
        assert_eq!(answered(post).await.status, 200);
        server.post("SearchParameter", &own).await.refused(422, "code-taken");

        let code = json!([{ "op": "replace", "path": "/code", "value": "gender" }]);
        patch(&url, &code).await.refused(422, "standard-parameter");
        let id = again.body["id"].as_str().unwrap().to_owned();
        let entry = json!({
            "resource": { "resourceType": "Binary", "contentType": "application/json-patch+json", "data": STANDARD.encode(code.to_string()) },
            "request": { "method": "PATCH", "url": format!("SearchParameter/{id}") },
        });
        let bundle = json!({ "resourceType": "Bundle", "type": "transaction", "entry": [entry] });
        let refused = server.post("", &bundle).await;
        refused.refused(422, "standard-parameter");
        assert!(refused.body.to_string().contains("Bundle.entry[0].resource"), "{}", refused.body);

        stored(&server, &[json!({ "resourceType": "QuestionnaireResponse", "id": "run", "status": "completed" })]).await;
        let claim = json!([{ "op": "add", "path": "/meta/profile", "value": ["https://mjumbe.org/fhir/StructureDefinition/run-response"] }]);
        let refused = patch("QuestionnaireResponse/run", &claim).await;
        assert_eq!(refused.status, 422, "{}", refused.body);
        assert!(refused.body.to_string().contains("QuestionnaireResponse.questionnaire"), "{}", refused.body);
        server.stop().await;
    })
    .await;
}

/// A version whose writer did not know the parameter is found all the same.
#[tokio::test]
async fn s26_whoever_wrote_it() {
    each_store(|store| async move {
        let server = TestServer::start(store.clone()).await;
        stored(&server, &[definition(&OWN[5])]).await;
        soon(&server, "Practitioner?has-photo=true", "").await;
        let put = mjumbe::store::write::Put {
            kind: "Practitioner".into(),
            id: "unknowing".into(),
            body: Some(
                r#"{"resourceType":"Practitioner","photo":[{"url":"http://example.org/c.png"}]}"#.into(),
            ),
            index: Vec::new(),
            subject: "Practitioner/unknowing".into(),
            precondition: mjumbe::store::write::Precondition::None,
            origin: mjumbe::store::write::Origin::Client("another process".into()),
        };
        let plan = mjumbe::store::write::Fixed { puts: vec![put], ..Default::default() };
        store.write("default", Box::new(plan)).await.unwrap();
        soon(&server, "Practitioner?has-photo=true", "unknowing").await;
        server.stop().await;
    })
    .await;
}

/// A base that other types are derived from is all of them.
#[tokio::test]
async fn s26_of_every_type() {
    each_store(|store| async move {
        let server = TestServer::start(store).await;
        let village = |kind: &str, id: &str, code: &str| {
            json!({ "resourceType": kind, "id": id, "identifier": [{ "value": id }], "meta": { "source": format!("urn:from:{id}") },
                "extension": [{ "url": "http://example.org/village", "valueCoding": { "system": "urn:v", "code": code } }] })
        };
        stored(&server, &[village("Patient", "before", "huye"), village("Location", "there", "huye")]).await;
        let of = |base: &str, code: &str, kind: &str, expression: &str| {
            let mut one = definition(&("Basic", code, kind, expression));
            one["base"] = json!([base]);
            one
        };
        let by_extension = "DomainResource.extension('http://example.org/village').value";
        let own = of("DomainResource", "village", "token", by_extension);
        stored(&server, &[own.clone(), of("Resource", "origin", "uri", "Resource.meta.source")]).await;
        stored(&server, &[village("Patient", "after", "huye"), village("Organization", "office", "kigali")]).await;
        for (path, expected) in [
            ("Patient?village=urn:v|huye", "before,after"),
            ("Location?village=huye", "there"),
            ("Organization?village=kigali", "office"),
            ("?_type=Patient,Location,Organization&village=huye", "before,there,after"),
            ("Patient?origin=urn:from:before", "before"),
            ("Encounter?village=huye", ""),
            ("Binary?origin=urn:from:before", ""),
        ] {
            soon(&server, path, expected).await;
        }
        let bare = server.request(Method::GET, "Binary?village=huye").header("prefer", "handling=strict");
        answered(bare).await.refused(400, "unknown-parameter");
        let mut listed = (0, 0);
        for _ in 0..600 {
            let statement = server.get("metadata").await.body;
            let kinds = statement["rest"][0]["resource"].as_array().unwrap();
            let with = kinds.iter().filter(|kind| kind["searchParam"].to_string().contains("\"village\""));
            listed = (with.count(), kinds.len() - 3);
            if listed.0 == listed.1 {
                break;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        assert_eq!(listed.0, listed.1, "all but Binary, Bundle and Parameters, as soon as they are collected");
        // An update of it does not count twice, and it goes from all types.
        let mut retired = own.clone();
        retired["status"] = json!("retired");
        stored(&server, &[own, retired]).await;
        let gone = server.request(Method::GET, "Location?village=huye").header("prefer", "handling=strict");
        answered(gone).await.refused(400, "unknown-parameter");
        server.stop().await;
    })
    .await;
}

/// Two processes share a database: what one of them is told is indexed by both, and nothing is missed that either
/// wrote before, during or after the values were collected.
#[tokio::test(flavor = "multi_thread")]
async fn s26_two_processes_share_a_parameter() {
    each_database(|url| async move {
        if url.starts_with("sqlite:") {
            return;
        }
        let mut servers = Vec::new();
        for _ in 0..2 {
            let store = Store::open(&url, 6).await.unwrap();
            servers.push(TestServer::start(store).await);
        }
        let [one, other] = servers.as_slice() else { unreachable!() };
        let write = async |server: &TestServer, name: &str, numbers: std::ops::Range<u32>| {
            for n in numbers {
                let photo =
                    if n % 2 == 0 { json!([{ "url": "http://example.org/a.png" }]) } else { json!([]) };
                let mut practitioner =
                    json!({ "resourceType": "Practitioner", "id": format!("{name}-{n}"), "photo": photo });
                if n % 2 == 1 {
                    practitioner.as_object_mut().unwrap().remove("photo");
                }
                stored(server, &[practitioner]).await;
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        write(one, "early", 0..250).await;
        let define = async {
            tokio::time::sleep(Duration::from_millis(300)).await;
            stored(one, &[definition(&OWN[5])]).await;
        };
        tokio::join!(write(one, "one", 0..500), write(other, "other", 0..500), define);
        let ids_of = |even: u32| {
            let mut all: Vec<String> = Vec::new();
            for (name, count) in [("early", 250), ("one", 500), ("other", 500)] {
                all.extend((0..count).filter(|n| n % 2 == even).map(|n| format!("{name}-{n}")));
            }
            all.sort();
            all
        };
        for server in &servers {
            all_of(server, "Practitioner?has-photo=true", &ids_of(0)).await;
            all_of(server, "Practitioner?has-photo=false", &ids_of(1)).await;
        }
        // The other one is told something else, while both write.
        let mut changed = definition(&OWN[5]);
        changed["expression"] = json!("Practitioner.photo.empty()");
        let define = async {
            tokio::time::sleep(Duration::from_millis(100)).await;
            stored(other, &[changed]).await;
        };
        tokio::join!(write(one, "one", 0..300), write(other, "other", 200..500), define);
        for server in &servers {
            all_of(server, "Practitioner?has-photo=true", &ids_of(1)).await;
            all_of(server, "Practitioner?has-photo=false", &ids_of(0)).await;
        }
        // At once, in a process that was not told.
        write(one, "last", 1..2).await;
        assert!(one.get("Practitioner?has-photo=true&_id=last-1").await.body["total"] == 1);
        write(other, "last", 3..4).await;
        assert!(other.get("Practitioner?has-photo=true&_id=last-3").await.body["total"] == 1);
        for server in servers {
            let store = server.store.clone();
            server.stop().await;
            store.close().await;
        }
    })
    .await;
}

/// Waits until the search finds exactly these.
async fn all_of(server: &TestServer, path: &str, expected: &[String]) {
    let mut found = Vec::new();
    for _ in 0..400 {
        let answer = server.get(path).await;
        if answer.status == 503 {
            answer.refused(503, "parameter-building");
        } else if !answer.body.to_string().contains("parameters-ignored") {
            found = server.ids(&format!("{path}&_count=1000")).await;
            found.sort();
            if found == expected {
                return;
            }
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    panic!("{path}: {} found, {} expected", found.len(), expected.len());
}

/// Who has no token learns neither what a tenant has of its own nor which tenants there are.
async fn only_for_its_own(server: &TestServer) {
    let ours = server.get("metadata").await;
    assert!(ours.body.to_string().contains("leave-type"));
    let at = |base: &str| server.client.get(format!("{}{base}/fhir/metadata", server.url));
    let stranger = answered(at("")).await;
    let wrong = answered(at("").bearer_auth("mjumbe_wrong")).await;
    let nowhere = answered(at("/tenants/nowhere").bearer_auth(&server.token)).await;
    for answer in [&stranger, &wrong, &nowhere] {
        assert_eq!((answer.status.as_u16(), answer.body.to_string().contains("leave-type")), (200, false));
        assert_ne!(answer.header("etag"), ours.header("etag"));
        let vary = answer
            .headers
            .get_all("vary")
            .iter()
            .any(|value| value.to_str().unwrap().contains("authorization"));
        assert!(vary, "{:?}", answer.headers);
    }
    assert_eq!(stranger.header("etag"), wrong.header("etag"));
    let elsewhere = stranger.body.to_string().replace("/fhir/metadata", "/tenants/nowhere/fhir/metadata");
    let base =
        |answer: &crate::server::Answered| answer.body["implementation"]["url"].as_str().unwrap().to_owned();
    assert_eq!(
        elsewhere.replace(&format!("{:?}", base(&stranger)), &format!("{:?}", base(&nowhere))),
        nowhere.body.to_string()
    );
    let seen = at("").bearer_auth(&server.token).header("if-none-match", stranger.header("etag"));
    assert_eq!(answered(seen).await.status, 200);
    assert_eq!(answered(at("/tenants/No%20where")).await.status, 404);
}
