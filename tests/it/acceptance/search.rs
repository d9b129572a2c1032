//! The rows of searching. <https://hl7.org/fhir/R4/search.html>

use mjumbe::store::testing::each_store;
use reqwest::Method;
use serde_json::{Value, json};

use crate::server::{Answered, TestServer, answered};

/// The ids of the entries of a mode, in their order.
pub fn ids(found: &Answered, mode: &str) -> String {
    assert_eq!(found.status, 200, "{}", found.body);
    let ids =
        found.entries(mode).iter().map(|one| one["id"].as_str().unwrap().to_owned()).collect::<Vec<_>>();
    ids.join(",")
}

/// Each search with the ids of its matches.
pub async fn found(server: &TestServer, searches: &[(&str, &str)]) {
    for (path, expected) in searches {
        assert_eq!(ids(&server.get(path).await, "match"), *expected, "{path}");
    }
}

/// Each search with the code of its refusal, which names the parameter.
pub async fn refused(server: &TestServer, searches: &[(&str, &str)]) {
    for (path, code) in searches {
        let answer = server.get(path).await;
        answer.refused(400, code);
        let name = path.split(['?', '=', '&']).nth(1).unwrap();
        assert!(answer.body.to_string().contains(name), "{path}: {}", answer.body);
    }
}

/// Stores resources, in their order.
pub async fn stored(server: &TestServer, resources: &[Value]) {
    for resource in resources {
        let path =
            format!("{}/{}", resource["resourceType"].as_str().unwrap(), resource["id"].as_str().unwrap());
        let answer = server.put(&path, resource).await;
        assert!(answer.status.is_success(), "{path}: {}", answer.body);
    }
}

pub fn reference(to: &str) -> Value {
    json!({ "reference": to })
}

/// Two organisations with a patient each; who looks after them, and what was seen.
pub async fn two_clinics(server: &TestServer) {
    let mut all = Vec::new();
    for (name, family) in [("north", "Uwase"), ("south", "Mugisha")] {
        all.extend([
            json!({ "resourceType": "Organization", "id": name, "name": format!("Clinic {name}") }),
            json!({
                "resourceType": "Patient", "id": format!("p-{name}"), "name": [{ "family": family }],
                "identifier": [{ "system": "urn:card", "value": name }], "gender": "female",
                "meta": { "tag": [{ "system": "urn:t", "code": name }] },
                "managingOrganization": reference(&format!("Organization/{name}")),
            }),
            json!({
                "resourceType": "RelatedPerson", "id": format!("r-{name}"),
                "patient": reference(&format!("Patient/p-{name}")),
            }),
            json!({
                "resourceType": "Group", "id": format!("g-{name}"), "type": "person", "actual": true,
                "managingEntity": reference(&format!("RelatedPerson/r-{name}")),
            }),
            json!({
                "resourceType": "Observation", "id": format!("o-{name}"), "status": "final",
                "code": { "coding": [{ "system": "http://loinc.org", "code": format!("code-{name}") }] },
                "subject": reference(&format!("Patient/p-{name}")),
            }),
            json!({
                "resourceType": "Provenance", "id": format!("v-{name}"), "recorded": "2024-01-01T00:00:00Z",
                "target": [reference(&format!("Observation/o-{name}"))],
                "agent": [{ "who": reference(&format!("Organization/{name}")) }],
            }),
        ]);
    }
    all.push(json!({
        "resourceType": "Location", "id": "l", "name": "Uwase market", "status": "active",
    }));
    all.push(json!({
        "resourceType": "Observation", "id": "o-market", "status": "final", "code": { "text": "noise" },
        "subject": reference("Location/l"),
    }));
    all.push(json!({
        "resourceType": "List", "id": "round", "status": "current", "mode": "working",
        "entry": [{ "item": reference("Patient/p-south") }, { "item": reference("Location/l") }],
    }));
    stored(server, &all).await;
}

#[tokio::test]
async fn s16_chains_look_at_what_is_referred_to() {
    each_store(|store| async move {
        let server = TestServer::start(store).await;
        two_clinics(&server).await;
        found(
            &server,
            &[
                // What OpenSRP asks for.
                ("Patient?organization=Organization/north", "p-north"),
                ("Group?managing-entity.patient.organization=Organization/north", "g-north"),
                ("Observation?subject.organization=south", "o-south"),
                ("Observation?subject.organization=south,north&_count=50", "o-north,o-south"),
                // One type, all types, several links.
                ("Observation?subject:Patient.name=uwase", "o-north"),
                ("Observation?subject.name=uwase", "o-north,o-market"),
                ("Observation?subject:Location.name=uwase", "o-market"),
                ("Observation?patient.organization.name=clinic%20s", "o-south"),
                ("Observation?patient.name:exact=uwase", ""),
                ("Observation?patient.name:contains=ishA", "o-south"),
                // Ends of every kind.
                ("Observation?patient._id=p-north", "o-north"),
                ("Observation?patient._tag=urn:t|south", "o-south"),
                ("Observation?patient.identifier=urn:card|north", "o-north"),
                ("Observation?patient.identifier:not=north", "o-south"),
                ("Observation?patient._lastUpdated=gt2020", "o-north,o-south"),
                ("Observation?patient.birthdate:missing=false", ""),
                ("Observation?patient.name=uwase&subject.organization=south", ""),
            ],
        )
        .await;
        refused(
            &server,
            &[
                ("Observation?code.name=x", "bad-chain"),
                ("Observation?patient.birthdate=x", "bad-date"),
                ("Observation?subject:Medication.code=x", "bad-target"),
            ],
        )
        .await;
        // What is deleted is not looked at.
        server.delete("Patient/p-north").await;
        found(&server, &[("Observation?patient.name=uwase", "")]).await;
        server.stop().await;
    })
    .await;
}

#[tokio::test]
async fn s16_chains_look_only_where_the_token_may() {
    each_store(|store| async move {
        let server = TestServer::start(store).await;
        two_clinics(&server).await;
        let narrow = server.token("narrow", "system/Observation.rs system/Patient.rs").await;
        let get = async |path: &str| {
            let url = format!("{}/fhir/{path}", server.url);
            answered(server.client.get(url).bearer_auth(&narrow)).await
        };
        let some = get("Observation?subject.name=uwase").await;
        assert_eq!(ids(&some, "match"), "o-north", "the Location is not looked at");
        assert!(some.body.to_string().contains("search-narrowed"));
        get("Observation?subject:Location.name=uwase").await.refused(403, "scope-missing");
        get("Observation?patient.organization.name=clinic").await.refused(403, "scope-missing");
        get("Patient?_has:Provenance:target:agent=x").await.refused(403, "scope-missing");
        server.stop().await;
    })
    .await;
}

#[tokio::test]
async fn s17_has_looks_at_what_refers() {
    each_store(|store| async move {
        let server = TestServer::start(store).await;
        two_clinics(&server).await;
        found(
            &server,
            &[
                ("Patient?_has:Observation:patient:code=http://loinc.org|code-south", "p-south"),
                ("Patient?_has:Observation:patient:code=code-south,code-north", "p-north,p-south"),
                ("Patient?_has:Observation:patient:status:not=final", ""),
                // Nested, in a chain, and with a chain.
                (
                    "Patient?_has:Observation:patient:_has:Provenance:target:agent=Organization/north",
                    "p-north",
                ),
                ("RelatedPerson?patient._has:Observation:patient:code=code-north", "r-north"),
                ("Patient?_has:RelatedPerson:patient:patient.name=mugisha", "p-south"),
                // What OpenSRP's web asks for, and the same by another name.
                ("Location?_has:List:item:_id=round", "l"),
                ("Patient?_has:List:item:_id=round", "p-south"),
                ("Patient?_list=round", "p-south"),
                ("Patient?_list=round&gender=male", ""),
            ],
        )
        .await;
        refused(
            &server,
            &[
                ("Patient?_has:Observation:code:status=final", "bad-has"),
                ("Location?_has:Observation:patient:code=x", "bad-target"),
                ("Patient?_has:Observation:nothing:code=x", "unknown-parameter"),
            ],
        )
        .await;
        server.delete("List/round").await;
        found(&server, &[("Patient?_list=round", "")]).await;
        server.stop().await;
    })
    .await;
}

#[tokio::test]
async fn s25_types_are_searched_together() {
    each_store(|store| async move {
        let server = TestServer::start(store).await;
        two_clinics(&server).await;
        found(
            &server,
            &[
                ("?_type=Patient,Organization", "north,p-north,south,p-south"),
                ("?_type=Patient,Organization&name=uwase", "p-north"),
                ("?_type=Patient,Location&name=uwase", "p-north,l"),
                ("?_type=Patient,Organization&_sort=-_lastUpdated&_count=2", "p-south,south"),
                ("?_id=p-south,l", "p-south,l"),
                ("?_tag=urn:t|north", "p-north"),
                ("_search?_type=Group&_id=g-north", "g-north"),
                ("?_type=Observation&_type=Observation,Patient&patient.name=uwase", "o-north"),
            ],
        )
        .await;
        let posted = server
            .request(Method::POST, "_search")
            .header("content-type", "application/x-www-form-urlencoded")
            .body("_type=Patient,Organization&name=uwase");
        assert_eq!(ids(&answered(posted).await, "match"), "p-north");
        // Each type has the parameter, or it is ignored, and told.
        let mixed = server.get("?_type=Patient,Organization&gender=female").await;
        assert_eq!(ids(&mixed, "match"), "north,p-north,south,p-south");
        assert!(mixed.body.to_string().contains("ignored: gender"));
        let strict = server.request(Method::GET, "?_type=Patient,Organization&gender=female");
        answered(strict.header("prefer", "handling=strict")).await.refused(400, "unknown-parameter");
        let included = server.get("?_type=Observation,Group&_include=Observation:subject&_id=o-north").await;
        assert_eq!(
            (ids(&included, "match"), ids(&included, "include")),
            ("o-north".into(), "p-north".into())
        );
        refused(
            &server,
            &[
                ("?_type=Pateint", "unknown-type"),
                ("Patient?_type=Group", "bad-value"),
                ("?_sort=name", "unknown-parameter"),
            ],
        )
        .await;
        // Pages go on where the last one ended.
        let all = server.ids("?_count=100").await;
        assert_eq!(all.len(), 15);
        assert_eq!(server.ids("?_count=4").await, all);
        let narrow = server.token("narrow", "system/Patient.rs").await;
        let get = async |path: &str| {
            answered(server.client.get(format!("{}/fhir/{path}", server.url)).bearer_auth(&narrow)).await
        };
        assert_eq!(ids(&get("?_id=p-north,l").await, "match"), "p-north");
        get("?_type=Patient,Location").await.refused(403, "scope-missing");
        server.stop().await;
    })
    .await;
}

#[tokio::test]
async fn s25_compartments_hold_what_belongs_to_someone() {
    each_store(|store| async move {
        let server = TestServer::start(store).await;
        two_clinics(&server).await;
        found(
            &server,
            &[
                ("Patient/p-north/Observation", "o-north"),
                ("Patient/p-north/Observation?code=code-south", ""),
                ("Patient/p-north/Observation/_search?status=final", "o-north"),
                ("Patient/p-north/Patient", "p-north"),
                ("Patient/p-south/List", ""),
                ("Patient/nobody/Observation", ""),
                ("Patient/p-north/*", "p-north,r-north,o-north"),
                ("Patient/p-north/*?_type=RelatedPerson,Group", "r-north"),
                ("RelatedPerson/r-north/*", "r-north"),
            ],
        )
        .await;
        let posted = server
            .request(Method::POST, "Patient/p-north/Observation/_search")
            .header("content-type", "application/x-www-form-urlencoded")
            .body("status=final");
        assert_eq!(ids(&answered(posted).await, "match"), "o-north");
        server.get("Location/l/Observation").await.refused(404, "no-such-place");
        assert_eq!(server.post("Patient/p-north/Observation", &json!({})).await.status, 405);
        let batch = json!({ "resourceType": "Bundle", "type": "batch", "entry": [
            { "request": { "method": "GET", "url": "Patient/p-north/Observation" } },
            { "request": { "method": "GET", "url": "?_type=Location" } },
        ] });
        let batch = server.post("", &batch).await;
        for (at, id) in [(0, "o-north"), (1, "l")] {
            let entry = &batch.body["entry"][at];
            assert_eq!(entry["resource"]["entry"][0]["resource"]["id"], id, "{entry}");
        }
        let narrow = server.token("narrow", "system/Observation.rs").await;
        let url = format!("{}/fhir/Patient/p-north/Observation", server.url);
        answered(server.client.get(url).bearer_auth(narrow)).await.refused(403, "scope-missing");
        server.stop().await;
    })
    .await;
}

#[tokio::test]
async fn s3_the_searchset() {
    each_store(|store| async move {
        let server = TestServer::start(store).await;
        two_clinics(&server).await;
        let search = "Observation?status=final&nonsense=1&patient.name=uwase&_include=Observation:subject";
        let found = server.get(search).await;
        assert_eq!((&found.body["type"], &found.body["total"]), (&json!("searchset"), &json!(1)));
        let used = format!(
            "{}/fhir/Observation?status=final&patient.name=uwase&_include=Observation%3Asubject",
            server.url
        );
        assert_eq!(found.link("self").unwrap(), used, "what was applied, and no more");
        let entries = found.body["entry"].as_array().unwrap();
        let modes: Vec<&str> = entries.iter().map(|one| one["search"]["mode"].as_str().unwrap()).collect();
        assert_eq!(modes, ["match", "include", "outcome"]);
        for entry in &entries[..2] {
            let (kind, id) = (&entry["resource"]["resourceType"], &entry["resource"]["id"]);
            let url = format!("{}/fhir/{}/{}", server.url, kind.as_str().unwrap(), id.as_str().unwrap());
            assert_eq!(entry["fullUrl"], url);
        }
        let issues = entries[2]["resource"]["issue"].as_array().unwrap();
        assert!(issues.iter().all(|issue| issue["severity"] == "warning"));
        assert!(issues[0].to_string().contains("ignored: nonsense"));
        let strict = server.request(Method::GET, search).header("prefer", "handling=strict");
        answered(strict).await.refused(400, "unknown-parameter");
        let strict = server.request(Method::GET, "Patient?gendre=male").header("prefer", "handling=strict");
        let strict = answered(strict).await;
        strict.refused(400, "unknown-parameter");
        for word in ["did you mean gender", "birthdate"] {
            assert!(strict.body.to_string().contains(word), "{word}: {}", strict.body);
        }
        server.stop().await;
    })
    .await;
}

#[tokio::test]
async fn s15_parameters_of_every_type() {
    each_store(|store| async move {
        let server = TestServer::start(store).await;
        let meta = json!({
            "tag": [{ "system": "urn:t", "code": "red" }], "security": [{ "system": "urn:s", "code": "R" }],
            "profile": ["http://example.org/profile|2"], "source": "urn:from",
        });
        stored(
            &server,
            &[
                json!({ "resourceType": "Basic", "id": "a", "code": { "text": "x" }, "meta": meta }),
                json!({ "resourceType": "Basic", "id": "b", "code": { "text": "y" } }),
                json!({ "resourceType": "List", "id": "l", "status": "current", "mode": "working",
                    "entry": [{ "item": reference("Basic/b") }] }),
            ],
        )
        .await;
        let first = server.get("Basic/a").await.body["meta"]["lastUpdated"].as_str().unwrap().to_owned();
        found(
            &server,
            &[
                ("Basic?_id=a,c", "a"),
                ("Basic?_id=Basic/b", "b"),
                ("Basic?_id:not=a", "b"),
                (&format!("Basic?_lastUpdated={first}"), "a"),
                (&format!("Basic?_lastUpdated=gt{first}"), "b"),
                (&format!("Basic?_lastUpdated=le{first}"), "a"),
                ("Basic?_tag=urn:t|red", "a"),
                ("Basic?_tag:not=red", "b"),
                ("Basic?_security=urn:s|R", "a"),
                ("Basic?_profile=http://example.org/profile", "a"),
                ("Basic?_profile=http://example.org/profile|2", "a"),
                ("Basic?_profile=http://example.org/profile|3", ""),
                ("Basic?_source=urn:from", "a"),
                ("Basic?_list=l", "b"),
                ("Basic?_type=Basic", "a,b"),
                ("?_type=Basic&_list=l", "b"),
            ],
        )
        .await;
        // What would need a search in all text is refused, not ignored.
        refused(&server, &[("Basic?_text=x", "not-supported"), ("Basic?_content=x", "not-supported")]).await;
        refused(&server, &[("Basic?_filter=code%20eq%20x", "not-supported")]).await;
        server.stop().await;
    })
    .await;
}

#[tokio::test]
async fn s18_what_belongs_to_the_matches_is_included_once() {
    each_store(|store| async move {
        let server = TestServer::start(store).await;
        two_clinics(&server).await;
        for (path, matches, included) in [
            ("Patient?gender=female&_include=Patient:organization", "p-north,p-south", "north,south"),
            ("Observation?_id=o-north,o-market&_include=Observation:subject:Patient", "o-north,o-market", "p-north"),
            ("Observation?_id=o-north&_include=*", "o-north", "p-north"),
            ("Observation?_id=o-north&_include=Observation:*", "o-north", "p-north"),
            ("Patient?_id=p-north&_revinclude=Observation:subject", "p-north", "o-north"),
            ("Patient?_id=p-north&_revinclude=Observation:subject&_revinclude=RelatedPerson:patient", "p-north", "r-north,o-north"),
            ("Patient?_id=p-north&_revinclude=Observation:*", "p-north", "o-north"),
            ("Observation?_id=o-north&_include=Observation:subject&_include:iterate=Patient:organization", "o-north", "north,p-north"),
            // OpenSRP's name for it.
            ("Group?_id=g-north&_include=Group:managing-entity&_include:recurse=RelatedPerson:patient", "g-north", "p-north,r-north"),
            ("Organization?_id=north&_revinclude=Patient:organization&_revinclude:iterate=Observation:patient", "north", "p-north,o-north"),
        ] {
            let found = server.get(path).await;
            let mut ids_included: Vec<String> = ids(&found, "include").split(',').map(str::to_owned).collect();
            let mut expected: Vec<&str> = included.split(',').collect();
            ids_included.sort();
            expected.sort_unstable();
            assert_eq!((ids(&found, "match").as_str(), ids_included.join(",")), (matches, expected.join(",")), "{path}");
            let total = matches.split(',').count();
            assert_eq!(found.body["total"], total, "{path}: what is included does not count");
        }
        let narrow = server.token("narrow", "system/Patient.rs").await;
        let hidden = server.client.get(format!("{}/fhir/Patient?_include=Patient:organization", server.url));
        let hidden = answered(hidden.bearer_auth(narrow)).await;
        assert_eq!((ids(&hidden, "match").as_str(), ids(&hidden, "include").as_str()), ("p-north,p-south", ""));
        assert!(hidden.entries("outcome")[0].to_string().contains("includes-hidden"));
        server.stop().await;
    })
    .await;
}

#[tokio::test]
async fn s24_contained_resources_are_not_searched() {
    each_store(|store| async move {
        let server = TestServer::start(store).await;
        two_clinics(&server).await;
        let lenient = server.get("Patient?_contained=true&gender=female").await;
        assert_eq!(ids(&lenient, "match"), "p-north,p-south");
        assert!(lenient.body.to_string().contains("ignored: _contained"));
        for name in ["_contained=true", "_containedType=contained", "_contained=both"] {
            let strict = server.request(Method::GET, &format!("Patient?{name}"));
            answered(strict.header("prefer", "handling=strict")).await.refused(400, "not-supported");
        }
        let default = server.request(Method::GET, "Patient?_contained=false");
        assert_eq!(
            ids(&answered(default.header("prefer", "handling=strict")).await, "match"),
            "p-north,p-south"
        );
        server.stop().await;
    })
    .await;
}

/// More than a database binds in one statement is refused, and what is within the limit is answered.
#[tokio::test]
async fn a_search_by_too_many_values_is_too_costly() {
    each_store(|store| async move {
        let server = TestServer::start(store).await;
        let ids = (1..=2_000).map(|id| id.to_string()).collect::<Vec<_>>().join(",");
        let chained = server.get(&format!("Provenance?target._id={ids}")).await;
        chained.refused(400, "too-many-values");
        assert_eq!(chained.body["issue"][0]["code"], "too-costly");
        let values = (1..=2_000).map(|value| format!("s%7C{value}")).collect::<Vec<_>>().join(",");
        let form = |path: &'static str, times: usize| {
            let form = vec![format!("identifier={values}"); times].join("&");
            let media = "application/x-www-form-urlencoded";
            answered(server.request(Method::POST, path).header("content-type", media).body(form))
        };
        form("Patient/_search", 20).await.refused(400, "too-many-values");
        form("_search", 1).await.refused(400, "too-many-values");
        let within = form("Patient/_search", 5).await;
        assert_eq!((within.status.as_u16(), &within.body["total"]), (200, &json!(0)));
        server.stop().await;
    })
    .await;
}
