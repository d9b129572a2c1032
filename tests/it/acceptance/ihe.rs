//! What IHE's profiles demand of a server: mCSD (<https://profiles.ihe.net/ITI/mCSD/>), PDQm
//! (<https://profiles.ihe.net/ITI/PDQm/ITI-78.html>) and PIXm (<https://profiles.ihe.net/ITI/PIXm/ITI-104.html>).

use mjumbe::fhir::client::Profile;
use mjumbe::store::testing::each_store;
use reqwest::Method;
use serde_json::{Value, json};

use super::search_custom::soon;
use crate::server::{Answered, TestServer, answered};

const RED: &str = "urn:oid:1.3.6.1.4.1.21367.13.20.1000";
const BLUE: &str = "urn:oid:1.3.6.1.4.1.21367.13.20.3000";
const FACILITY: &str = "urn:ietf:rfc:3986|urn:ihe:iti:mcsd:2019:facility";

fn ids(found: &Answered, mode: &str) -> String {
    let mut ids: Vec<String> =
        found.entries(mode).iter().filter_map(|found| Some(found["id"].as_str()?.to_owned())).collect();
    ids.sort();
    ids.join(",")
}

async fn found(server: &TestServer, searches: &[(&str, &str)]) {
    for (path, expected) in searches {
        let found = server.get(path).await;
        assert_eq!(found.status, 200, "{path}: {}", found.body);
        assert_eq!(ids(&found, "match"), *expected, "{path}");
        // The same by POST.
        let (kind, query) = path.split_once('?').unwrap();
        let form = server
            .request(Method::POST, &format!("{kind}/_search"))
            .header("content-type", "application/x-www-form-urlencoded")
            .body(query.replace('|', "%7C").replace(' ', "+"));
        assert_eq!(ids(&answered(form).await, "match"), *expected, "POST {path}");
    }
}

async fn store(server: &TestServer, resources: Vec<Value>) {
    for resource in resources {
        let path =
            format!("{}/{}", resource["resourceType"].as_str().unwrap(), resource["id"].as_str().unwrap());
        let stored = server.put(&path, &resource).await;
        assert_eq!(stored.status, 201, "{path}: {}", stored.body);
    }
}

fn concept(system: &str, code: &str) -> Value {
    json!([{ "coding": [{ "system": system, "code": code }] }])
}

/// A small care services directory.
fn directory() -> Vec<Value> {
    let kind = concept("urn:ietf:rfc:3986", "urn:ihe:iti:mcsd:2019:facility");
    let identifier = |value: &str| json!([{ "system": "urn:fac", "value": value }]);
    vec![
        json!({"resourceType": "Endpoint", "id": "e", "status": "active",
            "identifier": identifier("e"), "managingOrganization": {"reference": "Organization/district"},
            "connectionType": {"system": "urn:c", "code": "hl7-fhir-rest"}, "address": "https://example.org/fhir",
            "payloadType": concept("urn:p", "any")}),
        json!({"resourceType": "Organization", "id": "district", "active": true, "name": "Gasabo District",
            "identifier": identifier("d"), "type": kind, "endpoint": [{"reference": "Endpoint/e"}]}),
        json!({"resourceType": "Organization", "id": "post", "active": true, "name": "Nyabisindu Health Post",
            "identifier": identifier("p"), "type": kind, "partOf": {"reference": "Organization/district"}}),
        json!({"resourceType": "Organization", "id": "closed", "active": false, "name": "Old Post",
            "identifier": identifier("o"), "partOf": {"reference": "Organization/district"}}),
        json!({"resourceType": "Location", "id": "l", "status": "active", "name": "Nyabisindu Health Post",
            "identifier": identifier("p"), "type": kind, "managingOrganization": {"reference": "Organization/post"},
            "physicalType": {"coding": [{"system": "urn:t", "code": "si"}]}}),
        json!({"resourceType": "Location", "id": "room", "status": "suspended", "name": "Maternity",
            "identifier": identifier("m"), "partOf": {"reference": "Location/l"}}),
        json!({"resourceType": "Practitioner", "id": "who", "active": true, "identifier": identifier("w"),
            "name": [{"family": "Uwase", "given": ["Ange", "Marie"]}]}),
        json!({"resourceType": "HealthcareService", "id": "hs", "active": true, "identifier": identifier("h"),
            "name": "Antenatal care", "providedBy": {"reference": "Organization/post"},
            "location": [{"reference": "Location/l"}], "type": concept("urn:s", "anc")}),
        json!({"resourceType": "PractitionerRole", "id": "role", "active": true,
            "practitioner": {"reference": "Practitioner/who"}, "organization": {"reference": "Organization/post"},
            "location": [{"reference": "Location/l"}], "healthcareService": [{"reference": "HealthcareService/hs"}],
            "code": concept("urn:r", "nurse"), "specialty": concept("urn:sp", "midwife")}),
        json!({"resourceType": "OrganizationAffiliation", "id": "aff", "active": true, "identifier": identifier("a"),
            "period": {"start": "2024-01-01"}, "organization": {"reference": "Organization/district"},
            "participatingOrganization": {"reference": "Organization/post"}, "endpoint": [{"reference": "Endpoint/e"}],
            "code": concept("urn:r", "member")}),
    ]
}

#[tokio::test]
async fn mcsd_iti_90_finds_by_its_parameters() {
    each_store(|db| async move {
        let server = TestServer::start(db).await;
        store(&server, directory()).await;
        let facility = format!("Organization?type={FACILITY}");
        found(
            &server,
            &[
                ("Organization?active=true", "district,post"),
                ("Organization?identifier=urn:fac|p", "post"),
                ("Organization?name=nyab", "post"),
                ("Organization?name:contains=POST", "closed,post"),
                ("Organization?name:exact=Old Post", "closed"),
                ("Organization?name:exact=old post", ""),
                ("Organization?partof=Organization/district", "closed,post"),
                (facility.as_str(), "district,post"),
                ("Organization?_id=post,closed&active=true", "post"),
                ("Location?identifier=urn:fac|m", "room"),
                ("Location?name:contains=health", "l"),
                ("Location?organization=Organization/post", "l"),
                ("Location?partof=Location/l", "room"),
                ("Location?status=suspended", "room"),
                ("Location?type=urn:ietf:rfc:3986|urn:ihe:iti:mcsd:2019:facility", "l"),
                ("Practitioner?active=true&identifier=urn:fac|w", "who"),
                ("Practitioner?name=mari", "who"),
                ("Practitioner?given:exact=Ange&family:contains=was", "who"),
                ("PractitionerRole?active=true", "role"),
                ("PractitionerRole?location=Location/l&organization=Organization/post", "role"),
                ("PractitionerRole?practitioner=Practitioner/who", "role"),
                ("PractitionerRole?role=urn:r|nurse&specialty=urn:sp|midwife", "role"),
                ("PractitionerRole?service=HealthcareService/hs", "role"),
                ("HealthcareService?active=true&identifier=urn:fac|h", "hs"),
                ("HealthcareService?location=Location/l&name:contains=natal", "hs"),
                ("HealthcareService?organization=Organization/post&service-type=urn:s|anc", "hs"),
                ("Endpoint?connection-type=urn:c|hl7-fhir-rest&identifier=urn:fac|e", "e"),
                ("Endpoint?organization=Organization/district&payload-type=urn:p|any&status=active", "e"),
                ("OrganizationAffiliation?active=true&identifier=urn:fac|a&date=ge2024-01-01", "aff"),
                ("OrganizationAffiliation?participating-organization=Organization/post", "aff"),
                (
                    "OrganizationAffiliation?primary-organization=Organization/district&role=urn:r|member",
                    "aff",
                ),
                ("OrganizationAffiliation?endpoint=Endpoint/e", "aff"),
            ],
        )
        .await;
        server.stop().await;
    })
    .await;
}

#[tokio::test]
async fn mcsd_iti_90_follows_chains() {
    each_store(|db| async move {
        let server = TestServer::start(db).await;
        store(&server, directory()).await;
        found(
            &server,
            &[
                ("Organization?partof.identifier=urn:fac|d", "closed,post"),
                ("Organization?partof.name:contains=gasabo&active=true", "post"),
                ("Organization?endpoint.connection-type=urn:c|hl7-fhir-rest", "district"),
                ("Organization?endpoint.payload-type=urn:p|any", "district"),
                ("Location?partof.identifier=urn:fac|p", "room"),
                ("Location?partof.name=nyab", "room"),
                ("Location?organization.active=true&organization.identifier=urn:fac|p", "l"),
                ("Location?organization.name:exact=Nyabisindu Health Post", "l"),
                ("PractitionerRole?practitioner.identifier=urn:fac|w&practitioner.name=ange", "role"),
                ("PractitionerRole?practitioner.given=marie&practitioner.family=uwa", "role"),
                ("PractitionerRole?organization.active=true&organization.name=nyab", "role"),
                ("PractitionerRole?location.status=active&location.identifier=urn:fac|p", "role"),
                ("PractitionerRole?location.name:contains=post", "role"),
                ("PractitionerRole?service.active=true&service.identifier=urn:fac|h", "role"),
                ("PractitionerRole?service.location=Location/l&service.name=ante", "role"),
                ("PractitionerRole?service.organization=Organization/post", "role"),
                ("HealthcareService?organization.identifier=urn:fac|p&location.status=active", "hs"),
                ("HealthcareService?location.name=mater", ""),
            ],
        )
        .await;
        server.stop().await;
    })
    .await;
}

/// A branch of four, and one that leads back to itself.
#[tokio::test]
async fn mcsd_iti_90_looks_below_and_above() {
    each_store(|db| async move {
        let server = TestServer::start(db).await;
        let unit = |id: &str, parent: Option<&str>| {
            let mut unit = json!({"resourceType": "Location", "id": id, "name": id, "status": "active"});
            if let Some(parent) = parent {
                unit["partOf"] = json!({ "reference": format!("Location/{parent}") });
            }
            unit
        };
        let units = [("country", None), ("province", Some("country")), ("district", Some("province"))];
        let more = [("post", Some("district")), ("clinic", Some("district")), ("ring-a", Some("ring-b"))];
        let ring = [("ring-b", Some("ring-a"))];
        let all = units.into_iter().chain(more).chain(ring);
        store(&server, all.map(|(id, parent)| unit(id, parent)).collect()).await;
        let role = json!({"resourceType": "PractitionerRole", "id": "role", "location": [{"reference": "Location/post"}]});
        store(&server, vec![role]).await;
        found(
            &server,
            &[
                ("Location?partof:below=Location/country", "clinic,district,post,province"),
                ("Location?partof:below=district", "clinic,post"),
                ("Location?partof:below=Location/district,Location/country&name=post", "post"),
                ("Location?partof:below=Location/post", ""),
                ("Location?partof:below=Location/nobody", ""),
                ("Location?partof:below=Location/ring-a", "ring-a,ring-b"),
                ("Location?partof:above=Location/district", "clinic,district,post,province"),
                ("Location?partof:above=Location/country", "province"),
                ("Location?partof:above=Location/ring-b", "ring-a,ring-b"),
                ("PractitionerRole?location.partof:below=Location/country", "role"),
                ("PractitionerRole?location.partof:below=Location/post", ""),
            ],
        )
        .await;
        server.get("Location?partof:below=Organization/o").await.refused(400, "bad-target");
        server.get("Location?organization:below=Organization/o").await.refused(400, "not-supported");
        server.stop().await;
    })
    .await;
}

#[tokio::test]
async fn mcsd_iti_90_includes_pairs_and_compares_times() {
    each_store(|db| async move {
        let server = TestServer::start(db).await;
        store(&server, directory()).await;
        for (path, matches, included) in [
            ("Organization?_id=district&_include=Organization:endpoint", "district", "e"),
            ("Organization?_id=post&_revinclude=Location:organization", "post", "l"),
            (
                "Organization?_id=post&_revinclude=OrganizationAffiliation:participating-organization",
                "post",
                "aff",
            ),
            ("Location?_id=l&_include=Location:organization", "l", "post"),
            ("PractitionerRole?_include=PractitionerRole:practitioner", "role", "who"),
        ] {
            let found = server.get(path).await;
            assert_eq!(
                (ids(&found, "match"), ids(&found, "include")),
                (matches.into(), included.into()),
                "{path}"
            );
        }
        let updated = server.get("Organization/post").await.body["meta"]["lastUpdated"].clone();
        let updated = updated.as_str().unwrap();
        for (prefix, is_there) in
            [("gt", false), ("lt", false), ("sa", false), ("eb", false), ("ge", true), ("le", true)]
        {
            let at = format!("Organization?_id=post&_lastUpdated={prefix}{updated}");
            let past = format!("Organization?_id=post&_lastUpdated={prefix}2001-01-01");
            assert_eq!(ids(&server.get(&at).await, "match") == "post", is_there, "{at}");
            let later = matches!(prefix, "gt" | "ge" | "sa");
            assert_eq!(ids(&server.get(&past).await, "match") == "post", later, "{past}");
        }
        server.get("Organization/nobody").await.refused(404, "not-found");
        let nobody = server.get("Organization/nobody").await;
        assert_eq!(nobody.body["issue"][0]["code"], "not-found");
        server.stop().await;
    })
    .await;
}

/// <https://profiles.ihe.net/ITI/mCSD/ITI-91.html>: what was made, changed and deleted since.
#[tokio::test]
async fn mcsd_iti_91_tells_what_changed_since() {
    each_store(|db| async move {
        let server = TestServer::start(db).await;
        store(&server, directory()).await;
        let before = server.get("Organization/closed").await.body["meta"]["lastUpdated"].clone();
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        let mut post = server.get("Organization/post").await.body;
        post["name"] = json!("Nyabisindu Health Centre");
        assert_eq!(server.put("Organization/post", &post).await.status, 200);
        server.delete("OrganizationAffiliation/aff").await;
        assert!(server.delete("Organization/closed").await.status.is_success());
        let since = before.as_str().unwrap();
        let changed = server.get(&format!("Organization/_history?_since={since}")).await;
        assert_eq!(
            (changed.status.as_u16(), &changed.body["type"]),
            (200, &json!("history")),
            "{}",
            changed.body
        );
        let told = |entry: &Value| format!("{} {}", entry["request"]["method"], entry["request"]["url"]);
        let told: Vec<String> = changed.body["entry"].as_array().unwrap().iter().map(told).collect();
        assert!(told.contains(&"\"DELETE\" \"Organization/closed\"".to_owned()), "{told:?}");
        assert!(told.contains(&"\"PUT\" \"Organization/post\"".to_owned()), "{told:?}");
        server.stop().await;
    })
    .await;
}

/// <https://profiles.ihe.net/ITI/mCSD/ITI-130.html>
#[tokio::test]
async fn mcsd_iti_130_feeds_create_update_and_delete() {
    each_store(|db| async move {
        let server = TestServer::start(db).await;
        let location = json!({"resourceType": "Location", "status": "active", "name": "New Post"});
        let made = server.post("Location", &location).await;
        assert_eq!(made.status, 201);
        let id = made.body["id"].as_str().unwrap();
        assert!(made.header("location").contains(&format!("/Location/{id}/_history/1")));
        let path = format!("Location/{id}");
        let renamed = json!({"resourceType": "Location", "id": id, "status": "active", "name": "Newer Post"});
        assert_eq!(server.put(&path, &renamed).await.status, 200);
        assert_eq!(server.get(&path).await.body["name"], "Newer Post");
        assert!(server.delete(&path).await.status.is_success());
        assert_eq!(server.get(&path).await.status, 410);
        server.stop().await;
    })
    .await;
}

fn mohr(identifier: &str, given: &str) -> Value {
    json!({"resourceType": "Patient", "active": true, "gender": "female", "birthDate": "1958-01-30",
        "identifier": [{"system": RED, "value": identifier}],
        "name": [{"family": "MOHR", "given": [given]}]})
}

fn people() -> Vec<Value> {
    let mut alice = mohr("IHERED-994", "ALICE");
    alice["id"] = json!("alice");
    alice["identifier"].as_array_mut().unwrap().push(json!({"system": BLUE, "value": "IHEBLUE-994"}));
    alice["telecom"] = json!([{"system": "phone", "value": "+250788123456"}]);
    alice["address"] = json!([{"city": "Kigali", "state": "Gasabo", "country": "RW", "postalCode": "0001",
        "line": ["KG 7 Avenue"]}]);
    let mut maiden = mohr("IHERED-m94", "MAIDEN");
    maiden["id"] = json!("maiden");
    maiden["birthDate"] = json!("1958-02-01");
    let other = json!({"resourceType": "Patient", "id": "paul", "active": false, "gender": "male", "birthDate": "1990-05-05",
        "identifier": [{"system": "urn:card", "value": "994"}], "name": [{"family": "Mohrman", "given": ["Paul"]}]});
    vec![alice, maiden, other]
}

#[tokio::test]
async fn pdqm_iti_78_finds_by_its_parameters() {
    each_store(|db| async move {
        let server = TestServer::start(db).await;
        store(&server, people()).await;
        let both = format!("Patient?identifier={RED}|IHERED-994&identifier={BLUE}|IHEBLUE-994");
        let neither = format!("Patient?identifier={RED}|IHERED-m94&identifier={BLUE}|IHEBLUE-994");
        let either = format!("Patient?identifier={RED}|IHERED-994,{RED}|IHERED-m94");
        found(
            &server,
            &[
                ("Patient?_id=alice", "alice"),
                ("Patient?active=true", "alice,maiden"),
                ("Patient?family=mohr", "alice,maiden,paul"),
                ("Patient?family:exact=MOHR", "alice,maiden"),
                ("Patient?given=ali", "alice"),
                ("Patient?family=MOHR&given=ALICE&active=true&gender=female", "alice"),
                (both.as_str(), "alice"),
                (neither.as_str(), ""),
                (either.as_str(), "alice,maiden"),
                ("Patient?identifier=994", "paul"),
                ("Patient?telecom=%2B250788123456", "alice"),
                ("Patient?birthdate=1958-01-30&family=Mohr", "alice"),
                ("Patient?birthdate=ge1958-01-01&birthdate=le1958-12-31", "alice,maiden"),
                ("Patient?address=kigali", "alice"),
                ("Patient?address-city=Kigali&address-country=RW", "alice"),
                ("Patient?address-postalcode=0001&address-state:exact=Gasabo", "alice"),
                ("Patient?gender=female&family=Mohr", "alice,maiden"),
                ("Patient?gender=male", "paul"),
            ],
        )
        .await;
        server.stop().await;
    })
    .await;
}

/// Cases 1, 3 and 5, and what a client without the profile gets for cases 2 and 4: `identifier=SYSTEM|` is a search
/// of R4, whose matches are whole resources, since a client may write back what it read.
#[tokio::test]
async fn pdqm_iti_78_answers_its_cases() {
    each_store(|db| async move {
        let server = TestServer::start(db).await;
        store(&server, people()).await;
        let all = server.get("Patient?family=mohr&_count=2").await;
        assert_eq!((all.body["total"].as_u64(), all.entries("match").len()), (Some(3), 2));
        assert!(all.link("next").is_some() && all.link("self").is_some());
        for (domains, expected) in [
            (format!("{BLUE}|"), "alice"),
            (format!("{RED}|,{BLUE}|"), "alice,maiden"),
            ("urn:oid:9.9.9|".to_owned(), ""),
        ] {
            let found = server.get(&format!("Patient?family=mohr&identifier={domains}")).await;
            assert_eq!((found.status.as_u16(), ids(&found, "match").as_str()), (200, expected), "{domains}");
            let amount = expected.split(',').filter(|id| !id.is_empty()).count();
            assert_eq!(found.body["total"].as_u64(), u64::try_from(amount).ok(), "{domains}");
            assert_eq!(found.body.get("entry").is_none(), expected.is_empty(), "{domains}");
        }
        let whole = server.get(&format!("Patient?identifier={BLUE}|")).await;
        assert_eq!(systems(&whole.entries("match")[0]), [RED, BLUE], "nothing is left out");
        let unknown = server.get("Patient?family=mohr&_format=text/csv").await;
        assert_eq!(unknown.status, 406);
        assert_eq!(unknown.body["issue"][0]["severity"], "error");
        assert_eq!(unknown.body["issue"][0]["code"], "not-supported");
        server.stop().await;
    })
    .await;
}

fn systems(patient: &Value) -> Vec<&str> {
    patient["identifier"].as_array().unwrap().iter().map(|one| one["system"].as_str().unwrap()).collect()
}

/// Cases 2 and 4, for a client with the profile `pdqm`.
#[tokio::test]
async fn pdqm_iti_78_gives_identifiers_of_the_domains_that_are_named() {
    each_store(|db| async move {
        let mut server = TestServer::start(db).await;
        store(&server, people()).await;
        let link = json!({"resourceType": "Patient", "id": "link", "identifier": [{"system": BLUE, "value": "1"}],
            "link": [{"other": {"reference": "Patient/alice"}, "type": "seealso"}]});
        store(&server, vec![link]).await;
        server.become_client(Profile::Pdqm).await;
        let only_blue = format!("Patient?family=mohr&identifier={BLUE}|");
        let found = server.get(&only_blue).await;
        let alice = &found.entries("match")[0];
        assert_eq!((found.body["total"].as_u64(), systems(alice)), (Some(1), vec![BLUE]), "{}", found.body);
        // What was trimmed cannot take the place of the whole.
        server.put("Patient/alice", alice).await.refused(422, "subsetted");
        let both = server.get(&format!("Patient?_id=alice&identifier={RED}|,{BLUE}|")).await;
        assert_eq!(systems(&both.entries("match")[0]), [RED, BLUE]);
        assert!(both.entries("match")[0]["meta"].get("tag").is_none(), "nothing was left out");
        for whole in ["Patient?_id=alice", &format!("Patient?identifier={BLUE}|IHEBLUE-994")] {
            assert_eq!(systems(&server.get(whole).await.entries("match")[0]).len(), 2, "{whole}");
        }
        assert_eq!(systems(&server.get("Patient/alice").await.body).len(), 2);
        // By every way to search: a form, what is included, later pages, a batch.
        let form = server.request(Method::POST, "Patient/_search");
        let form = form.header("content-type", "application/x-www-form-urlencoded");
        let form = answered(form.body(format!("_id=alice&identifier={BLUE}%7C"))).await;
        assert_eq!(systems(&form.entries("match")[0]), [BLUE]);
        let with = server.get(&format!("Patient?_id=link&identifier={BLUE}|&_include=Patient:link")).await;
        assert_eq!(systems(&with.entries("include")[0]), [BLUE], "{}", with.body);
        let first = server.get(&format!("Patient?identifier={BLUE}|&_count=1&_sort=-_id")).await;
        let next = answered(server.client.get(first.link("next").unwrap()).bearer_auth(&server.token)).await;
        assert_eq!(systems(&next.entries("match")[0]), [BLUE], "{}", next.body);
        let asks = |url: &str| json!({"request": {"method": "GET", "url": url}});
        let unknown = format!("Patient?identifier={BLUE}|,urn:oid:9.9.9|");
        let batch = json!({"resourceType": "Bundle", "type": "batch", "entry": [asks(&only_blue), asks(&unknown)]});
        let batch = server.post("", &batch).await;
        assert_eq!(systems(&batch.body["entry"][0]["resource"]["entry"][0]["resource"]), [BLUE]);
        assert_eq!(batch.body["entry"][1]["response"]["status"], "404 Not Found");
        let refused = server.get(&unknown).await;
        refused.refused(404, "unknown-domain");
        let issue = &refused.body["issue"][0];
        assert_eq!((&issue["severity"], &issue["code"]), (&json!("warning"), &json!("not-found")));
        assert!(issue["diagnostics"].as_str().unwrap().contains("targetSystem not found"), "{issue}");
        let many: Vec<String> = (0..51).map(|n| format!("urn:d:{n}|")).collect();
        server.get(&format!("Patient?identifier={}", many.join(","))).await.refused(400, "too-costly");
        server.stop().await;
    })
    .await;
}

/// `mothersMaidenName` and the parameters of mCSD's hierarchies, as docs/fhir.md says: by the definitions of HL7 and IHE.
#[tokio::test]
async fn pdqm_and_mcsd_parameters_on_extensions_are_stored_by_a_client() {
    each_store(|db| async move {
        let server = TestServer::start(db).await;
        store(&server, definitions()).await;
        let maiden = |id: &str, name: &str| {
            json!({"resourceType": "Patient", "id": id, "extension": [{
                "url": "http://hl7.org/fhir/StructureDefinition/patient-mothersMaidenName", "valueString": name}]})
        };
        let hierarchy = |id: &str, above: Option<&str>| {
            let mut unit = json!({"resourceType": "Organization", "id": id, "name": id});
            if let Some(above) = above {
                unit["extension"] = json!([{"url": HIERARCHY, "extension": [
                    {"url": "hierarchy-type", "valueCodeableConcept": {"coding": [{"system": "urn:h", "code": "supply"}]}},
                    {"url": "part-of", "valueReference": {"reference": format!("Organization/{above}")}}]}]);
            }
            unit
        };
        store(&server, vec![maiden("m1", "Mukamana"), maiden("m2", "mukamana Rose")]).await;
        store(&server, vec![hierarchy("store", None), hierarchy("depot", Some("store"))]).await;
        store(&server, vec![hierarchy("shelf", Some("depot"))]).await;
        for (path, expected) in [
            ("Patient?mothersMaidenName=muka", "m1,m2"),
            ("Patient?mothersMaidenName:exact=Mukamana", "m1"),
            ("Patient?mothersMaidenName:contains=rose", "m2"),
            ("Organization?ihe-mcsd-hierarchy-type=supply", "depot,shelf"),
            ("Organization?ihe-mcsd-hierarchy-type=urn:h|supply&ihe-mcsd-hierarchy-partof=Organization/store", "depot"),
            ("Organization?ihe-mcsd-hierarchy-partof:below=Organization/store", "depot,shelf"),
            ("Organization?ihe-mcsd-hierarchy-partof:above=Organization/depot", "depot,shelf"),
        ] {
            soon(&server, path, expected).await;
        }
        server.stop().await;
    })
    .await;
}

const HIERARCHY: &str = "http://profiles.ihe.net/ITI/mCSD/StructureDefinition/IHE.mCSD.OrganizationHierarchy";

/// HL7's of patient extensions, whose expression ends at the extension (with the url of the extension put right as
/// R4B has it, and `active`), and IHE's own two.
fn definitions() -> Vec<Value> {
    let ihe = |name: &str, code: &str, kind: &str, rest: &str| {
        json!({"resourceType": "SearchParameter", "id": format!("IHE.mCSD.Organization.{name}"), "status": "active",
            "url": format!("http://profiles.ihe.net/ITI/mCSD/SearchParameter/IHE.mCSD.Organization.{name}"),
            "name": format!("IHE_mCSD_{name}"), "description": "Finds Organizations by the hierarchy extension",
            "code": code, "base": ["Organization"], "type": kind, "expression": format!("extension('{HIERARCHY}').{rest}")})
    };
    let mut part_of = ihe(
        "HierarchyPartOf",
        "ihe-mcsd-hierarchy-partof",
        "reference",
        "extension('part-of').value as Reference",
    );
    part_of["modifier"] = json!(["below", "above"]);
    let typed = "extension('hierarchy-type').value as CodeableConcept";
    vec![
        json!({"resourceType": "SearchParameter", "id": "patient-extensions-Patient-mothersMaidenName",
            "url": "http://hl7.org/fhir/SearchParameter/patient-extensions-Patient-mothersMaidenName",
            "version": "4.0.1", "name": "mothersMaidenName", "status": "active", "experimental": true,
            "description": "Search based on patient's mother's maiden name", "code": "mothersMaidenName",
            "base": ["Patient"], "type": "string", "xpathUsage": "normal",
            "expression": "Patient.extension('http://hl7.org/fhir/StructureDefinition/patient-mothersMaidenName')"}),
        ihe("HierarchyType", "ihe-mcsd-hierarchy-type", "token", typed),
        part_of,
    ]
}

#[tokio::test]
async fn pixm_iti_104_adds_revises_merges_and_removes() {
    each_store(|db| async move {
        let server = TestServer::start(db).await;
        let capability = server.get("metadata").await.body;
        let resources = capability["rest"][0]["resource"].as_array().unwrap();
        let patient = resources.iter().find(|resource| resource["type"] == "Patient").unwrap();
        assert_eq!(patient["conditionalUpdate"], true);
        assert!(matches!(patient["conditionalDelete"].as_str(), Some("single" | "multiple")));

        let red = |value: &str| format!("Patient?identifier={RED}|{value}");
        let added = server.put(&red("IHERED-994"), &mohr("IHERED-994", "ALISSA")).await;
        assert_eq!(added.status, 201, "{}", added.body);
        let revised = server.put(&red("IHERED-994"), &mohr("IHERED-994", "ALICE")).await;
        assert_eq!((revised.status.as_u16(), &revised.body["id"]), (200, &added.body["id"]));
        let duplicate = server.put(&red("IHERED-m94"), &mohr("IHERED-m94", "MAIDEN")).await;
        assert_eq!(duplicate.status, 201);

        // Subsumed: the surviving one is named by its identifier.
        let mut merged = mohr("IHERED-m94", "MAIDEN");
        merged["active"] = json!(false);
        let surviving = json!({"system": RED, "value": "IHERED-994"});
        merged["link"] = json!([{"other": {"identifier": surviving}, "type": "replaced-by"}]);
        let told = server.put(&red("IHERED-m94"), &merged).await;
        assert_eq!((told.status.as_u16(), &told.body["id"]), (200, &duplicate.body["id"]), "{}", told.body);
        assert_eq!(told.body["link"][0]["other"]["identifier"], surviving);
        found(
            &server,
            &[
                ("Patient?active=true", added.body["id"].as_str().unwrap()),
                ("Patient?active=false", duplicate.body["id"].as_str().unwrap()),
            ],
        )
        .await;
        let replaced = format!("Patient?link:identifier={RED}|IHERED-994");
        assert_eq!(ids(&server.get(&replaced).await, "match"), duplicate.body["id"].as_str().unwrap());

        assert!(server.delete(&red("IHERED-994")).await.status.is_success());
        assert_eq!(server.get(&red("IHERED-994")).await.body["total"], 0);
        server.stop().await;
    })
    .await;
}

/// Both formats, both ways.
#[tokio::test]
async fn mcsd_pdqm_and_pixm_speak_xml() {
    each_store(|db| async move {
        let server = TestServer::start(db).await;
        let path = format!("Patient?identifier={RED}%7CIHERED-994");
        let xml = format!(
            "<Patient xmlns=\"http://hl7.org/fhir\"><identifier><system value=\"{RED}\"/><value value=\"IHERED-994\"/>\
             </identifier><active value=\"true\"/><name><family value=\"MOHR\"/><given value=\"ALISSA\"/></name></Patient>"
        );
        let put = |body: String| {
            let request = server.request(Method::PUT, &path);
            request.header("content-type", "application/fhir+xml").header("accept", "application/fhir+xml").body(body)
        };
        let added = answered(put(xml.clone())).await;
        assert_eq!(added.status, 201, "{}", added.body);
        let revised = answered(put(xml.replace("ALISSA", "ALICE"))).await;
        assert_eq!(revised.status, 200, "{}", revised.body);
        assert!(revised.header("content-type").starts_with("application/fhir+xml"));
        assert!(revised.body.as_str().unwrap().contains("<given value=\"ALICE\"/>"), "{}", revised.body);
        let read = server.get(&path).await.entries("match");
        assert_eq!((read.len(), &read[0]["name"][0]["given"][0]), (1, &json!("ALICE")));
        for search in ["Patient?family=mohr", "Organization?active=true"] {
            let asked = server.request(Method::GET, search).header("accept", "application/fhir+xml");
            let found = answered(asked).await;
            assert_eq!(found.status, 200, "{search}: {}", found.body);
            assert!(found.header("content-type").starts_with("application/fhir+xml"));
            assert!(found.body.as_str().unwrap().contains("<Bundle xmlns=\"http://hl7.org/fhir\">"), "{}", found.body);
        }
        server.stop().await;
    })
    .await;
}
