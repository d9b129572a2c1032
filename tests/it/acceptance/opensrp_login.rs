//! OpenSRP 2: what its app, its web console and its gateway ask after a login with Keycloak.

use std::io::Write;

use mjumbe::config::{Config, JwtIssuer};
use mjumbe::store::testing::each_store;
use reqwest::Method;
use serde_json::{Value, json};

use crate::auth_jwt::{Pair, Provider, claims};
use crate::server::{Answered, TestServer, answered};

const KEYCLOAK_ID: &str = "a3c5b7d9-0000-4000-8000-000000000001";

/// A server that knows the realm, and whose requests carry a token of it.
async fn logged_in(store: mjumbe::store::Store) -> TestServer {
    let (provider, pair) = (Provider::default(), Pair::rsa());
    provider.publish(&[&pair]);
    let issuer = JwtIssuer {
        issuer: claims()["iss"].as_str().unwrap().to_owned(),
        audience: vec!["mjumbe".to_owned()],
        jwks_url: provider.start().await,
        tenant: None,
        profiles: [("fhir-core-client".to_owned(), "opensrp".to_owned())].into(),
        leeway_s: None,
        keys_pause_s: None,
        keys_stale_s: None,
        ca_file: None,
        proxy: None,
        dangerous_accept_http: false,
    };
    let mut config = Config::default();
    config.auth.jwt.insert("keycloak".to_owned(), issuer);
    let mut server = TestServer::start_with(store, config).await;
    let mut claims = claims();
    let kinds = [
        "PATIENT",
        "COMPOSITION",
        "BINARY",
        "IMPLEMENTATIONGUIDE",
        "PRACTITIONER",
        "PRACTITIONERROLE",
        "CARETEAM",
        "ORGANIZATION",
        "ORGANIZATIONAFFILIATION",
        "LOCATION",
        "GROUP",
        "QUESTIONNAIRE",
        "TASK",
        "QUESTIONNAIRERESPONSE",
    ];
    let roles: Vec<String> = kinds.iter().map(|kind| format!("MANAGE_{kind}")).collect();
    claims["realm_access"]["roles"] = json!(roles);
    server.token = pair.token(&claims);
    server
}

/// As HAPI's client, which the gateway uses, searches.
async fn search(server: &TestServer, kind: &str, form: &[(&str, &str)]) -> Vec<String> {
    let found = answered(server.request(Method::POST, &format!("{kind}/_search")).form(form)).await;
    assert_eq!(found.status, 200, "{kind}: {}", found.body);
    let mut ids: Vec<String> =
        found.entries("match").iter().map(|one| one["id"].as_str().unwrap().to_owned()).collect();
    ids.sort();
    ids
}

async fn put(server: &TestServer, body: Value) {
    let path = format!("{}/{}", body["resourceType"].as_str().unwrap(), body["id"].as_str().unwrap());
    let put = server.put(&path, &body).await;
    assert_eq!(put.status, 201, "{path}: {}", put.body);
}

#[tokio::test]
async fn the_gateway_finds_what_belongs_to_a_practitioner() {
    each_store(|store| async move {
        let server = logged_in(store).await;
        let refer = |to: &str| json!({ "reference": to });
        let snomed = json!({ "coding": [{ "system": "http://snomed.info/sct", "code": "405623001" }] });
        for resource in [
            json!({ "resourceType": "Practitioner", "id": "p1",
                "identifier": [{ "use": "secondary", "value": KEYCLOAK_ID }] }),
            json!({ "resourceType": "CareTeam", "id": "ct1", "participant": [{ "member": refer("Practitioner/p1") }],
                "managingOrganization": [refer("Organization/o1")] }),
            json!({ "resourceType": "PractitionerRole", "id": "pr1", "practitioner": refer("Practitioner/p1"),
                "organization": refer("Organization/o2") }),
            json!({ "resourceType": "Organization", "id": "o1", "name": "one" }),
            json!({ "resourceType": "Organization", "id": "o2", "name": "two" }),
            json!({ "resourceType": "OrganizationAffiliation", "id": "oa1", "organization": refer("Organization/o2"),
                "location": [refer("Location/l1")] }),
            json!({ "resourceType": "Location", "id": "l1", "status": "active" }),
            json!({ "resourceType": "Location", "id": "l2", "status": "active", "partOf": refer("Location/l1") }),
            json!({ "resourceType": "Group", "id": "g1", "type": "practitioner", "actual": true, "code": snomed,
                "member": [{ "entity": refer("Practitioner/p1") }] }),
        ] {
            put(&server, resource).await;
        }
        assert_eq!(search(&server, "Practitioner", &[("identifier", KEYCLOAK_ID)]).await, ["p1"]);
        assert_eq!(search(&server, "CareTeam", &[("participant", "Practitioner/p1")]).await, ["ct1"]);
        assert_eq!(search(&server, "PractitionerRole", &[("practitioner", "p1")]).await, ["pr1"]);
        assert_eq!(search(&server, "Organization", &[("_id", "o1,o2")]).await, ["o1", "o2"]);
        let of = [("primary-organization", "o1,o2")];
        assert_eq!(search(&server, "OrganizationAffiliation", &of).await, ["oa1"]);
        assert_eq!(search(&server, "Location", &[("_id", "l1")]).await, ["l1"]);
        assert_eq!(search(&server, "Location", &[("partof", "Location/l1")]).await, ["l2"]);
        let groups = [("member", "p1"), ("code", "http://snomed.info/sct|405623001")];
        assert_eq!(search(&server, "Group", &groups).await, ["g1"]);
        server.stop().await;
    })
    .await;
}

#[tokio::test]
async fn the_app_reads_its_configuration() {
    each_store(|store| async move {
        let server = logged_in(store).await;
        let binary = |id: &str| json!({ "resourceType": "Binary", "id": id, "contentType": "application/json", "data": "e30=" });
        put(&server, binary("b1")).await;
        put(&server, json!({
            "resourceType": "Composition", "id": "c1", "status": "final", "type": { "text": "app" },
            "date": "2026-01-01", "author": [{ "display": "x" }], "title": "app",
            "identifier": { "use": "official", "value": "quest" },
            "section": [{ "title": "config", "focus": { "reference": "Binary/b1" } }],
        }))
        .await;
        for (id, level) in [("ig1", 1), ("ig5", 5), ("ig9", 9)] {
            put(&server, json!({
                "resourceType": "ImplementationGuide", "id": id, "status": "active", "name": "quest", "url": format!("urn:{id}"),
                "packageId": "quest", "fhirVersion": ["4.0.1"],
                "useContext": [{ "code": { "code": "program" }, "valueRange": { "low": { "value": level }, "high": { "value": level } } }],
            }))
            .await;
        }
        // An empty parameter first, as the app writes it.
        let guides = "ImplementationGuide?&name:exact=quest&_count=1000";
        assert_eq!(server.get(guides).await.entries("match").len(), 3);
        let composition = server.get("Composition?identifier=quest&_count=1000").await;
        assert_eq!(composition.entries("match")[0]["id"], "c1");
        assert_eq!(server.get("Composition/c1/_history/1").await.body["resourceType"], "Composition");
        // A batch of GETs, posted as plain JSON.
        let entries: Vec<Value> = ["Binary?_id=b1&_count=1000", "Composition?_id=c1&_lastUpdated=gt2000-01-01T00:00:00.000%2B00:00"]
            .iter()
            .map(|url| json!({ "request": { "method": "GET", "url": url } }))
            .collect();
        let batch = json!({ "resourceType": "Bundle", "type": "batch", "entry": entries });
        let request = server.request(Method::POST, "").header("content-type", "application/json");
        let done = answered(request.body(batch.to_string())).await;
        assert_eq!(done.status, 200, "{}", done.body);
        for index in 0..2 {
            let page = &done.body["entry"][index]["resource"];
            assert_eq!((page["type"].as_str(), page["total"].as_u64()), (Some("searchset"), Some(1)), "{page}");
        }
        server.stop().await;
    })
    .await;
}

fn upload(count: usize) -> Value {
    let tags = json!([
        { "system": "https://smartregister.org/location-tag-id", "code": "l1", "display": "Practitioner Location" },
        { "system": "https://smartregister.org/care-team-tag-id", "code": "Not defined" },
        { "system": "https://smartregister.org/app-version", "code": "1.0.0" },
    ]);
    let entry = |n: usize| {
        let id = format!("00000000-0000-4000-8000-{n:012}");
        json!({
            // Relative, against the specification.
            "fullUrl": format!("Patient/{id}"),
            "resource": { "resourceType": "Patient", "id": id, "meta": { "tag": tags }, "active": true,
                "name": [{ "family": "Okello", "given": [format!("n{n}")] }] },
            "request": { "method": "PUT", "url": format!("Patient/{id}") },
        })
    };
    json!({ "resourceType": "Bundle", "type": "transaction", "entry": (0..count).map(entry).collect::<Vec<_>>() })
}

/// `POST <base>/` with gzip, as the app's Retrofit client does.
async fn sent(server: &TestServer, bundle: &Value) -> Answered {
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    gzip.write_all(bundle.to_string().as_bytes()).unwrap();
    let request = server.request(Method::POST, "").header("content-encoding", "gzip");
    answered(request.header("content-type", "application/fhir+json").body(gzip.finish().unwrap())).await
}

#[tokio::test]
async fn five_hundred_entries_are_uploaded_and_come_down_again_by_tag() {
    each_store(|store| async move {
        let server = logged_in(store).await;
        let bundle = upload(500);
        let done = sent(&server, &bundle).await;
        assert_eq!((done.status.as_u16(), done.body["type"].as_str()), (200, Some("transaction-response")));
        let entries = done.body["entry"].as_array().unwrap();
        assert_eq!(entries.len(), 500);
        for (index, entry) in entries.iter().enumerate() {
            let response = &entry["response"];
            let location = response["location"].as_str().unwrap();
            assert!(
                location.ends_with(&format!("Patient/00000000-0000-4000-8000-{index:012}/_history/1")),
                "{location}"
            );
            assert_eq!(response["etag"], "W/\"1\"");
            assert!(response["lastModified"].is_string() && entry.get("resource").is_none());
        }
        // The same again, because the answer was lost, changes nothing.
        let again = sent(&server, &bundle).await;
        assert_eq!(again.body["entry"][7]["response"]["etag"], "W/\"1\"");
        let tag = "_tag=https://smartregister.org/location-tag-id|l1";
        let total = server.get(&format!("Patient?{tag}&_summary=count")).await;
        assert_eq!(total.body["total"], 500);
        // Misspelt in the app: not an error.
        assert_eq!(server.get(&format!("Patient?{tag}&summary=count")).await.status, 200);
        let page = format!(
            "Patient?{tag}&_sort=_lastUpdated&_count=200&_lastUpdated=gt2000-01-01T00:00:00.000%2B00:00"
        );
        assert_eq!(server.ids(&page).await.len(), 500);
        // The web console.
        let list =
            "Patient/_search?_getpagesoffset=0&_count=20&_total=accurate&name:contains=n49&_sort=given";
        let list = server.get(list).await;
        assert_eq!((list.status.as_u16(), list.body["total"].as_u64()), (200, Some(11)), "{}", list.body);
        server.stop().await;
    })
    .await;
}
