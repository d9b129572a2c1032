//! The rows of searching that ask for the truth: what is not done is refused or named, and the self link says what was done.
//! <https://hl7.org/fhir/R4/search.html#conformance>

use mjumbe::store::testing::each_store;
use reqwest::Method;
use serde_json::json;

use super::search::{found, ids, reference, refused, stored, two_clinics};
use crate::server::{Answered, TestServer, answered};

async fn strict(server: &TestServer, path: &str) -> Answered {
    answered(server.request(Method::GET, path).header("prefer", "handling=strict")).await
}

#[tokio::test]
async fn s15_functional_lists_are_refused_not_empty() {
    each_store(|store| async move {
        let server = TestServer::start(store).await;
        let active = json!({ "coding": [{ "system": "http://terminology.hl7.org/CodeSystem/allergyintolerance-clinical",
            "code": "active" }] });
        let allergy = json!({ "resourceType": "AllergyIntolerance", "id": "a", "clinicalStatus": active, "patient": reference("Patient/p") });
        stored(&server, &[json!({ "resourceType": "Patient", "id": "p" }), allergy]).await;
        for list in ["$current-allergies", "%24current-allergies", "l,$current-allergies"] {
            let path = format!("AllergyIntolerance?_list={list}&patient=p");
            let lenient = server.get(&path).await;
            lenient.refused(400, "not-supported");
            assert!(lenient.body.to_string().contains("_list"), "{}", lenient.body);
            strict(&server, &path).await.refused(400, "not-supported");
        }
        server.stop().await;
    })
    .await;
}

#[tokio::test]
async fn s3_a_parameter_without_a_value() {
    each_store(|store| async move {
        let server = TestServer::start(store).await;
        two_clinics(&server).await;
        for name in ["name", "_count", "nonsense"] {
            let refused = strict(&server, &format!("Patient?gender=female&{name}=")).await;
            refused.refused(400, "no-value");
            assert!(refused.body.to_string().contains(name), "{}", refused.body);
            let lenient = server.get(&format!("Patient?gender=female&{name}=")).await;
            assert!(lenient.body.to_string().contains(&format!("ignored: {name}")), "{}", lenient.body);
            assert_eq!(lenient.link("self").unwrap(), format!("{}/fhir/Patient?gender=female", server.url));
        }
        server.stop().await;
    })
    .await;
}

#[tokio::test]
async fn o2_everything_names_what_it_ignores() {
    each_store(|store| async move {
        let server = TestServer::start(store).await;
        two_clinics(&server).await;
        for name in ["foo", "_elements", "_summary"] {
            let path = format!("Patient/p-north/$everything?{name}=1&_count=10");
            let refused = strict(&server, &path).await;
            refused.refused(400, "unknown-parameter");
            assert!(refused.body.to_string().contains(name), "{}", refused.body);
            let lenient = server.get(&path).await;
            assert!(lenient.entries("outcome")[0].to_string().contains(&format!("ignored: {name}")));
            assert!(!lenient.link("self").unwrap().contains(name));
        }
        let known = strict(&server, "Patient/p-north/$everything?_count=10&start=2020&_pretty=true").await;
        assert!(known.status.is_success() && known.entries("outcome").is_empty(), "{}", known.body);
        server.stop().await;
    })
    .await;
}

#[tokio::test]
async fn s3_the_self_link_says_what_was_done() {
    each_store(|store| async move {
        let server = TestServer::start(store).await;
        let patient = |id: &str, family: &str, born: &str| {
            json!({ "resourceType": "Patient", "id": id,
            "name": [{ "family": family }], "birthDate": born })
        };
        let people = [
            patient("a", "B", "2000-01-01"),
            patient("b", "A", "2001-01-01"),
            patient("c", "A", "2000-01-01"),
        ];
        stored(&server, &people).await;
        found(
            &server,
            &[
                ("Patient?_sort=birthdate&_sort=family", "c,a,b"),
                ("Patient?_sort=family&_sort=-birthdate", "b,c,a"),
            ],
        )
        .await;
        refused(
            &server,
            &[
                ("Patient?_sort=_id,_id,_id&_sort=_id,_id,_id", "too-many-values"),
                ("Patient?_count=1&_count=2", "repeated-parameter"),
                ("Patient?_total=none&_total=accurate", "repeated-parameter"),
                ("Patient?_summary=count&_summary=true", "repeated-parameter"),
                ("Patient?_page=2&_page=3", "repeated-parameter"),
                ("?_type=Patient&_type=Group", "bad-value"),
            ],
        )
        .await;
        let bounded = server.get("Patient?_count=1001&_sort=_id").await;
        let url = |rest: &str| format!("{}/fhir/{rest}", server.url);
        assert_eq!(bounded.link("self").unwrap(), url("Patient?_count=1000&_sort=_id"));
        assert_eq!(bounded.link("first").unwrap(), url("Patient?_count=1000&_sort=_id"));
        // A compartment has no Medication: there is nothing, and that was asked.
        let none = server.get("Patient/a/*?_type=Medication").await;
        assert_eq!(none.body["total"], 0);
        assert_eq!(none.link("self").unwrap(), url("Patient/a/*?_type=Medication"));
        let elements = server.get("?_type=Patient,Observation&_elements=code,birthDate").await;
        assert_eq!(ids(&elements, "match"), "a,b,c");
        refused(&server, &[("?_elements=nonsense&_type=Patient,Observation", "unknown-element")]).await;
        server.stop().await;
    })
    .await;
}

#[tokio::test]
async fn s7_the_end_of_time() {
    each_store(|store| async move {
        let server = TestServer::start(store).await;
        let born = |id: &str, date: &str| json!({ "resourceType": "Patient", "id": id, "birthDate": date });
        let period = json!({ "start": "2024-01-01", "end": "9999-12-31T23:59:59Z" });
        let encounter = json!({ "resourceType": "Encounter", "id": "e", "status": "planned",
            "class": { "code": "AMB" }, "period": period });
        stored(&server, &[born("now", "2024-01-01"), born("never", "9999-12-31"), encounter]).await;
        found(
            &server,
            &[
                ("Patient?birthdate=le9999-12-31", "now,never"),
                ("Patient?birthdate=lt9999-12-31", "now"),
                ("Patient?birthdate=9999-12-31", "never"),
                ("Patient?birthdate=9999", "never"),
                ("Patient?birthdate=gt9999-12-31", ""),
                ("Encounter?date=le9999-12-31", "e"),
                ("Encounter?date=ge9999-12-31T00:00:00Z", "e"),
                ("Patient?_lastUpdated=le9999-12-31", "now,never"),
            ],
        )
        .await;
        refused(
            &server,
            &[("Patient?birthdate=0000", "bad-date"), ("Patient?birthdate=10000-01-01", "bad-date")],
        )
        .await;
        server.stop().await;
    })
    .await;
}

#[tokio::test]
async fn s4_what_is_not_written_rightly() {
    each_store(|store| async move {
        let server = TestServer::start(store).await;
        stored(&server, &[json!({ "resourceType": "Patient", "id": "p", "name": [{ "family": "a\\b" }] })])
            .await;
        for path in ["Patient?name=%zz", "Patient?name=%ff", "Patient?name=%C0%80", "Patient?name=100%"] {
            server.get(path).await.refused(400, "bad-encoding");
        }
        let form = server.request(Method::POST, "Patient/_search").body("name=%ff");
        answered(form.header("content-type", "application/x-www-form-urlencoded"))
            .await
            .refused(400, "bad-encoding");
        refused(&server, &[("Patient?name=a%5Cb", "bad-escape"), ("Patient?name=a%5C", "bad-escape")]).await;
        refused(&server, &[("Patient?_include=Patient:organization&_summary=text", "bad-value")]).await;
        found(&server, &[("Patient?name=a%5C%5Cb", "p"), ("Patient?name=a%5C%5C", "p")]).await;
        server.stop().await;
    })
    .await;
}

#[tokio::test]
async fn s14_of_what_every_resource_has() {
    each_store(|store| async move {
        let server = TestServer::start(store).await;
        stored(&server, &[json!({ "resourceType": "Patient", "id": "p" })]).await;
        found(
            &server,
            &[
                ("Patient?_id:missing=false", "p"),
                ("Patient?_id:missing=true", ""),
                ("Patient?_lastUpdated:missing=false", "p"),
                ("Patient?_lastUpdated:missing=true", ""),
            ],
        )
        .await;
        server.stop().await;
    })
    .await;
}

#[tokio::test]
async fn s8_parts_of_family_names() {
    each_store(|store| async move {
        let server = TestServer::start(store).await;
        let named = |id: &str, family: &str| {
            json!({ "resourceType": "Patient", "id": id,
            "name": [{ "family": family, "given": ["x"] }] })
        };
        stored(&server, &[named("a", "van der Berg"), named("b", "Carreño-Quiñones"), named("c", "Zola")])
            .await;
        found(
            &server,
            &[
                ("Patient?family=berg", "a"),
                ("Patient?family=DER", "a"),
                ("Patient?name=berg", "a"),
                ("Patient?family=quin", "b"),
                ("Patient?family=van%20der", "a"),
                ("Patient?family=erg", ""),
                ("Patient?family:exact=berg", ""),
                ("Patient?family:exact=van%20der%20Berg", "a"),
                // The order is that of whole names.
                ("Patient?_sort=family", "b,a,c"),
            ],
        )
        .await;
        server.stop().await;
    })
    .await;
}

#[tokio::test]
async fn s9_addresses_in_any_letter_case() {
    each_store(|store| async move {
        let server = TestServer::start(store).await;
        let mail = |id: &str, value: &str| json!({ "resourceType": "Patient", "id": id,
            "telecom": [{ "system": "email", "value": value }], "identifier": [{ "system": "s", "value": value }] });
        stored(&server, &[mail("a", "Ange@Example.org"), mail("b", "ange@example.org")]).await;
        found(
            &server,
            &[
                ("Patient?email=ANGE@example.org", "a,b"),
                ("Patient?email=ange@example.org", "a,b"),
                ("Patient?telecom=email|ange@Example.org", "a,b"),
                ("Patient?email:not=ANGE@example.org", ""),
                ("Patient?identifier=ange@example.org", "b"),
            ],
        )
        .await;
        server.stop().await;
    })
    .await;
}

#[tokio::test]
async fn s14_what_is_contained_is_not_missing() {
    each_store(|store| async move {
        let server = TestServer::start(store).await;
        let request = |id: &str, to: &str| {
            json!({ "resourceType": "MedicationRequest", "id": id, "status": "active",
            "intent": "order", "subject": reference("Patient/p"), "medicationReference": reference(to) })
        };
        let mut containing = request("c", "#m");
        containing["contained"] =
            json!([{ "resourceType": "Medication", "id": "m", "code": { "text": "x" } }]);
        stored(&server, &[request("r", "Medication/m"), containing]).await;
        found(
            &server,
            &[
                ("MedicationRequest?medication:missing=false", "r,c"),
                ("MedicationRequest?medication:missing=true", ""),
                ("MedicationRequest?medication=Medication/m", "r"),
            ],
        )
        .await;
        server.stop().await;
    })
    .await;
}

#[tokio::test]
async fn s18_by_canonical_url() {
    each_store(|store| async move {
        let server = TestServer::start(store).await;
        let form = |id: &str, version: &str| {
            json!({ "resourceType": "Questionnaire", "id": id, "status": "active",
            "url": "http://example.org/form", "version": version })
        };
        let response = |id: &str, to: &str| {
            json!({ "resourceType": "QuestionnaireResponse", "id": id,
            "status": "completed", "questionnaire": to })
        };
        stored(
            &server,
            &[
                form("one", "1"),
                form("two", "2"),
                response("versioned", "http://example.org/form|2"),
                response("any", "http://example.org/form"),
                response("none", "http://example.org/other"),
            ],
        )
        .await;
        let include = "_include=QuestionnaireResponse:questionnaire";
        for (path, included) in [
            (format!("QuestionnaireResponse?_id=versioned&{include}"), "two"),
            (format!("QuestionnaireResponse?_id=any&{include}:Questionnaire"), "one,two"),
            (format!("QuestionnaireResponse?_id=none&{include}"), ""),
            ("QuestionnaireResponse?_id=versioned&_include=*".to_owned(), "two"),
            (
                "Questionnaire?_id=two&_revinclude=QuestionnaireResponse:questionnaire".to_owned(),
                "versioned,any",
            ),
            ("Questionnaire?_id=one&_revinclude=QuestionnaireResponse:questionnaire".to_owned(), "any"),
        ] {
            assert_eq!(ids(&server.get(&path).await, "include"), included, "{path}");
        }
        server.stop().await;
    })
    .await;
}

/// As many values as the limits allow are answered while a client still waits, and more than those are refused.
#[tokio::test]
async fn s5_many_values() {
    each_store(|store| async move {
        let server = TestServer::start(store).await;
        let entries: Vec<_> = (0..400)
            .map(|n| {
                let patient = json!({ "resourceType": "Patient", "id": format!("p{n}"), "birthDate": "2020-01-01",
                    "name": [{ "family": format!("Name{n:04}"), "given": ["Ange"] }],
                    "identifier": [{ "system": "urn:s", "value": n.to_string() }] });
                json!({ "resource": patient, "request": { "method": "PUT", "url": format!("Patient/p{n}") } })
            })
            .collect();
        let bundle = json!({ "resourceType": "Bundle", "type": "transaction", "entry": entries });
        assert!(server.post("", &bundle).await.status.is_success());
        let media = "application/x-www-form-urlencoded";
        let form = |body: String| {
            answered(server.request(Method::POST, "Patient/_search").header("content-type", media).body(body))
        };
        let many = |name: &str, value: &dyn Fn(usize) -> String| {
            let values = (0..2_000).map(value).collect::<Vec<_>>().join(",");
            format!("{name}={values}")
        };
        let names = many("name", &|n| format!("name{n:04}"));
        for (what, total) in [
            (many("identifier", &|n| format!("urn:s%7C{n}")), 400),
            (many("identifier", &|n| (n + 399).to_string()), 1),
            (many("identifier:not", &|n| (n + 1).to_string()), 1),
            (names.clone(), 400),
            (many("family:exact", &|n| format!("Name{n:04}")), 400),
            (many("_id", &|n| format!("p{n}")), 400),
            (many("_id:not", &|n| format!("p{}", n + 1)), 1),
            (many("name", &|n| format!("{}x", "n".repeat(n % 300))), 0),
        ] {
            let five = format!("{}&_count=5", vec![what; 5].join("&"));
            let before = std::time::Instant::now();
            let found = form(five.clone()).await;
            let shown: String = five.chars().take(40).collect();
            assert_eq!((found.status.as_u16(), &found.body["total"]), (200, &json!(total)), "{shown}");
            assert!(before.elapsed().as_secs() < 20, "{shown}: {:?}", before.elapsed());
        }
        let dates = |n: usize| format!("birthdate={}", vec!["2020-01-01"; n].join(","));
        assert_eq!(form(dates(500)).await.body["total"], 400);
        form(dates(501)).await.refused(400, "too-many-values");
        let chains = |n: usize| vec!["organization.partof.name=x"; n].join("&");
        assert_eq!(form(chains(20)).await.body["total"], 0);
        form(chains(21)).await.refused(400, "too-many-chains");
        server.stop().await;
    })
    .await;
}
