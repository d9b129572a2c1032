//! The rows of what one parameter finds: its values, prefixes and modifiers.
//! <https://hl7.org/fhir/R4/search.html>

use mjumbe::store::testing::each_store;
use reqwest::Method;
use serde_json::{Value, json};

use super::search::{found, ids, reference, refused, stored};
use crate::server::{TestServer, answered};

fn patient(id: &str, more: &Value) -> Value {
    let mut patient = json!({ "resourceType": "Patient", "id": id });
    patient.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    patient
}

fn observation(id: &str, more: &Value) -> Value {
    let mut observation =
        json!({ "resourceType": "Observation", "id": id, "status": "final", "code": { "text": "x" } });
    observation.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    observation
}

async fn people(server: &TestServer) {
    let identifier = |kind: &str, value: &str| json!([{ "system": "urn:card", "value": value, "type": { "coding": [{ "system": "urn:v2", "code": kind }], "text": "Card" } }]);
    stored(
        server,
        &[
            patient(
                "a",
                &json!({ "gender": "female", "active": true, "birthDate": "1987-02-20",
                    "name": [{ "family": "Núñez", "given": ["José", "María"], "prefix": ["Dr"] }],
                    "identifier": identifier("MR", "7"), "telecom": [{ "system": "phone", "value": "+250788" }],
                    "address": [{ "line": ["12 Main"], "city": "Huye" }] }),
            ),
            patient(
                "b",
                &json!({ "gender": "male", "birthDate": "1987-03", "name": [{ "text": "Uwase, Ange" }],
                    "identifier": identifier("SS", "7"), "deceasedBoolean": true }),
            ),
            patient("c", &json!({ "identifier": [{ "value": "a,b|c$d\\e" }] })),
        ],
    )
    .await;
}

#[tokio::test]
async fn s1_by_url_by_form_and_by_both() {
    each_store(|store| async move {
        let server = TestServer::start(store).await;
        people(&server).await;
        let form = async |path: &str, body: &str| {
            let request = server.request(Method::POST, path).body(body.to_owned());
            answered(request.header("content-type", "application/x-www-form-urlencoded")).await
        };
        let by_url = server.get("Patient?birthdate=1987&gender=female").await;
        assert_eq!(ids(&by_url, "match"), "a");
        for other in [
            form("Patient/_search", "birthdate=1987&gender=female").await,
            form("Patient/_search?gender=female", "birthdate=1987").await,
            server.get("Patient/_search?birthdate=1987&gender=female").await,
            server.get("Patient?&birthdate=1987&&gender=female").await,
        ] {
            assert_eq!(other.body["entry"], by_url.body["entry"]);
            assert_eq!(other.body["total"], 1);
        }
        let json = server.with_body(Method::POST, "Patient/_search", &json!({}));
        answered(json).await.refused(415, "unsupported-media-type");
        server.stop().await;
    })
    .await;
}

#[tokio::test]
async fn s2_nothing_matches() {
    each_store(|store| async move {
        let server = TestServer::start(store).await;
        people(&server).await;
        let none = server.get("Patient?name=nobody").await;
        assert_eq!((none.status.as_u16(), none.body["total"].as_i64()), (200, Some(0)));
        assert!(none.body.get("entry").is_none(), "R4 has no empty arrays");
        assert_eq!((&none.body["resourceType"], &none.body["type"]), (&json!("Bundle"), &json!("searchset")));
        server.stop().await;
    })
    .await;
}

#[tokio::test]
async fn s4_bad_values_name_their_parameter() {
    each_store(|store| async move {
        let server = TestServer::start(store).await;
        refused(
            &server,
            &[
                ("Patient?birthdate=yesterday", "bad-date"),
                ("Patient?birthdate=2024-13", "bad-date"),
                ("Patient?birthdate=xx2024", "bad-date"),
                ("Patient?_lastUpdated=now", "bad-date"),
                ("RiskAssessment?probability=high", "bad-number"),
                ("Observation?value-quantity=5|mg", "bad-quantity"),
                ("Patient?name:start=x", "unknown-modifier"),
                ("Patient?gender:exact=male", "unknown-modifier"),
                ("Patient?identifier=a|b|c", "bad-token"),
                ("Patient?identifier=|", "bad-token"),
                ("Patient?gender:missing=perhaps", "bad-value"),
                ("Patient?_count=many", "bad-number"),
                ("Patient?_summary=all", "bad-value"),
                ("Patient?_total=about", "bad-value"),
                ("Patient?_sort=shoesize", "unknown-parameter"),
                ("Patient?_include=Patient:name", "bad-include"),
                ("Observation?code-value-quantity=5", "bad-composite"),
                ("Observation?subject:Medication=1", "bad-target"),
                ("Patient?_filter=name%20eq%20x", "not-supported"),
                ("Patient?_text=x", "not-supported"),
                ("Patient?name=a%00b", "bad-value"),
            ],
        )
        .await;
        server.stop().await;
    })
    .await;
}

#[tokio::test]
async fn s5_and_by_repeating_or_by_comma_and_escapes() {
    each_store(|store| async move {
        let server = TestServer::start(store).await;
        people(&server).await;
        found(
            &server,
            &[
                ("Patient?gender=male,female", "a,b"),
                ("Patient?gender=male&gender=female", ""),
                ("Patient?given=jose&given=maria", "a"),
                ("Patient?identifier=7&gender=male,unknown", "b"),
                ("Patient?identifier=a%5C,b%5C|c%5C$d%5C%5Ce", "c"),
                ("Patient?identifier=a,b", ""),
            ],
        )
        .await;
        server.stop().await;
    })
    .await;
}

#[tokio::test]
async fn s6_numbers() {
    each_store(|store| async move {
        let server = TestServer::start(store).await;
        for (id, probability) in [("low", "0.4"), ("half", "0.5"), ("more", "0.54"), ("high", "0.9")] {
            let text = format!(
                r#"{{"resourceType":"RiskAssessment","id":"{id}","status":"final","subject":{{"reference":"Patient/a"}},"prediction":[{{"probabilityDecimal":{probability}}}]}}"#
            );
            stored(&server, &[serde_json::from_str(&text).unwrap()]).await;
        }
        found(
            &server,
            &[
                // [0.45, 0.55)
                ("RiskAssessment?probability=0.5", "half,more"),
                ("RiskAssessment?probability=0.50", "half"),
                ("RiskAssessment?probability=ne0.5", "low,high"),
                ("RiskAssessment?probability=gt0.5", "more,high"),
                ("RiskAssessment?probability=ge0.5", "half,more,high"),
                ("RiskAssessment?probability=lt0.5", "low"),
                ("RiskAssessment?probability=le0.5", "low,half"),
                ("RiskAssessment?probability=sa0.5", "more,high"),
                ("RiskAssessment?probability=eb0.5", "low"),
                ("RiskAssessment?probability=ap0.5", "half,more"),
                ("RiskAssessment?probability=5e-1", "half,more"),
            ],
        )
        .await;
        server.stop().await;
    })
    .await;
}

#[tokio::test]
async fn s7_dates() {
    each_store(|store| async move {
        let server = TestServer::start(store).await;
        people(&server).await;
        let period = json!({ "start": "2024-02-01", "end": "2024-02-10" });
        let timing = json!({ "event": ["2024-03-01T10:00:00Z", "2024-03-05"] });
        stored(
            &server,
            &[
                observation("moment", &json!({ "effectiveDateTime": "2024-01-31T23:30:00-02:00" })),
                observation("period", &json!({ "effectivePeriod": period })),
                observation("open", &json!({ "effectivePeriod": { "start": "2024-02-05" } })),
                observation("timing", &json!({ "effectiveTiming": timing })),
            ],
        )
        .await;
        found(
            &server,
            &[
                ("Patient?birthdate=1987", "a,b"),
                ("Patient?birthdate=1987-02", "a"),
                ("Patient?birthdate=1987-03-01", ""),
                ("Patient?birthdate=ne1987-02", "b"),
                ("Patient?birthdate=ge1987-02-20&birthdate=lt1987-03-01", "a"),
                ("Patient?birthdate=sa1987-02-20", "b"),
                // The zone counts: it is February already.
                ("Observation?date=2024-02-01T01:30:00Z", "moment"),
                ("Observation?date=2024-02", "moment,period"),
                ("Observation?date=gt2024-02-08", "period,open,timing"),
                ("Observation?date=sa2024-02-10", "timing"),
                ("Observation?date=eb2024-02-05", "moment"),
                ("Observation?date=lt2024-02-01", ""),
                ("Observation?date=le2024-02-01", "moment"),
            ],
        )
        .await;
        // A tenth of the time since then on both sides.
        found(&server, &[("Patient?birthdate=ap1988", "a,b"), ("Patient?birthdate=ap2025", "")]).await;
        server.stop().await;
    })
    .await;
}

#[tokio::test]
async fn s8_strings() {
    each_store(|store| async move {
        let server = TestServer::start(store).await;
        people(&server).await;
        found(
            &server,
            &[
                ("Patient?name=nun", "a"),
                ("Patient?name=MARIA", "a"),
                ("Patient?name=dr", "a"),
                ("Patient?name=uwase", "b"),
                ("Patient?name=ange", ""),
                ("Patient?name:contains=ange", "b"),
                ("Patient?family:exact=Núñez", "a"),
                ("Patient?family:exact=Nunez", ""),
                ("Patient?name:contains=ÑE", "a"),
                ("Patient?address=huye", "a"),
                ("Patient?address-city=huy", "a"),
            ],
        )
        .await;
        server.stop().await;
    })
    .await;
}

#[tokio::test]
async fn s9_tokens() {
    each_store(|store| async move {
        let server = TestServer::start(store).await;
        people(&server).await;
        let code = json!({ "coding": [{ "system": "http://loinc.org", "code": "8310-5", "display": "Body temperature" }] });
        stored(&server, &[observation("o", &json!({ "code": code })), observation("p", &json!({ "code": { "text": "Fever" } }))]).await;
        found(
            &server,
            &[
                ("Patient?gender=male", "b"),
                ("Patient?gender=http://hl7.org/fhir/administrative-gender|male", "b"),
                ("Patient?gender:not=male", "a,c"),
                ("Patient?active=true", "a"),
                ("Patient?active:not=true", "b,c"),
                ("Patient?deceased=true", "b"),
                ("Patient?phone=%2B250788", "a"),
                ("Patient?identifier=urn:card|7", "a,b"),
                ("Patient?identifier=urn:card|", "a,b"),
                ("Patient?identifier=|7", ""),
                ("Patient?identifier:of-type=urn:v2|MR|7", "a"),
                ("Patient?identifier:of-type=urn:v2|SS|7,urn:v2|MR|8", "b"),
                ("Patient?identifier:of-type=urn:v2|MR|8", ""),
                ("Observation?code=http://loinc.org|8310-5", "o"),
                ("Observation?code:text=body", "o"),
                ("Observation?code:text=fever", "p"),
                ("Observation?code:not=8310-5", "p"),
            ],
        )
        .await;
        server.stop().await;
    })
    .await;
}

#[tokio::test]
async fn s10_references() {
    each_store(|store| async move {
        let server = TestServer::start(store).await;
        let logical = json!({ "subject": { "identifier": { "system": "urn:card", "value": "7" } } });
        stored(
            &server,
            &[
                observation("mine", &json!({ "subject": reference("Patient/a") })),
                observation("versioned", &json!({ "subject": reference("Patient/a/_history/1") })),
                observation("group", &json!({ "subject": reference("Group/a") })),
                observation(
                    "theirs",
                    &json!({ "subject": reference("https://elsewhere.example.org/fhir/Patient/a") }),
                ),
                observation("logical", &logical),
            ],
        )
        .await;
        let own = format!("Observation?subject={}/fhir/Patient/a", server.url);
        found(
            &server,
            &[
                ("Observation?subject=Patient/a", "mine,versioned"),
                ("Observation?subject=a", "mine,versioned,group"),
                ("Observation?subject:Patient=a", "mine,versioned"),
                ("Observation?patient=a", "mine,versioned"),
                (&own, "mine,versioned"),
                ("Observation?subject=https://elsewhere.example.org/fhir/Patient/a", "theirs"),
                ("Observation?subject:identifier=urn:card|7", "logical"),
                ("Observation?subject:missing=true", ""),
                ("Observation?encounter:missing=true&subject=Group/a", "group"),
            ],
        )
        .await;
        server.stop().await;
    })
    .await;
}

#[tokio::test]
async fn s11_quantities() {
    each_store(|store| async move {
        let server = TestServer::start(store).await;
        let value = |value: f64, code: &str| json!({ "valueQuantity": { "value": value, "unit": code, "system": "http://unitsofmeasure.org", "code": code } });
        stored(&server, &[observation("g", &value(5.4, "g")), observation("kg", &value(5.4, "kg")), observation("more", &value(7.0, "g"))]).await;
        let less = json!({ "valueQuantity": { "value": 5, "comparator": "<", "code": "g", "system": "http://unitsofmeasure.org" } });
        stored(&server, &[observation("less", &less)]).await;
        found(
            &server,
            &[
                ("Observation?value-quantity=5.4", "g,kg"),
                ("Observation?value-quantity=5.4|http://unitsofmeasure.org|g", "g"),
                ("Observation?value-quantity=5.40||kg", "kg"),
                ("Observation?value-quantity=gt6||g", "more"),
                ("Observation?value-quantity=lt5||g", "less"),
                ("Observation?value-quantity=le5.4||g", "g,less"),
                ("Observation?value-quantity=ne5.4||g", "more,less"),
            ],
        )
        .await;
        server.stop().await;
    })
    .await;
}

#[tokio::test]
async fn s12_uris() {
    each_store(|store| async move {
        let server = TestServer::start(store).await;
        let set = |id: &str, url: &str| json!({ "resourceType": "ValueSet", "id": id, "status": "active", "url": url });
        stored(
            &server,
            &[
                set("a", "http://example.org/fhir"),
                set("b", "http://example.org/fhir/ValueSet/b"),
                set("c", "http://example.org/fhirs"),
                set("d", "urn:oid:1.2.3"),
            ],
        )
        .await;
        found(
            &server,
            &[
                ("ValueSet?url=http://example.org/fhir", "a"),
                ("ValueSet?url=http://example.org/fhir,urn:oid:1.2.3", "a,d"),
                ("ValueSet?url=HTTP://example.org/fhir", ""),
                ("ValueSet?url:below=http://example.org/fhir", "a,b"),
                ("ValueSet?url:below=http://example.org/fhir/", "a,b"),
                ("ValueSet?url:above=http://example.org/fhir/ValueSet/b/_history/5", "a,b"),
                ("ValueSet?url:above=urn:oid:1.2.3", "d"),
            ],
        )
        .await;
        server.stop().await;
    })
    .await;
}

#[tokio::test]
async fn s13_composites() {
    each_store(|store| async move {
        let server = TestServer::start(store).await;
        let part = |code: &str, value: i64| json!({ "code": { "coding": [{ "system": "http://loinc.org", "code": code }] }, "valueQuantity": { "value": value } });
        stored(
            &server,
            &[
                observation("high", &json!({ "component": [part("sys", 160), part("dia", 80)] })),
                observation("fine", &json!({ "component": [part("sys", 120), part("dia", 160)] })),
            ],
        )
        .await;
        found(
            &server,
            &[
                ("Observation?component-code-value-quantity=http://loinc.org|sys$gt140", "high"),
                ("Observation?component-code-value-quantity=dia$gt140", "fine"),
                ("Observation?component-code-value-quantity=sys$gt140,dia$gt140", "high,fine"),
                ("Observation?component-code=sys&component-value-quantity=gt150", "high,fine"),
            ],
        )
        .await;
        server.stop().await;
    })
    .await;
}

#[tokio::test]
async fn s14_missing() {
    each_store(|store| async move {
        let server = TestServer::start(store).await;
        people(&server).await;
        found(
            &server,
            &[
                ("Patient?gender:missing=true", "c"),
                ("Patient?gender:missing=false", "a,b"),
                ("Patient?birthdate:missing=true", "c"),
                ("Patient?name:missing=true", "c"),
                ("Patient?organization:missing=true&gender=male", "b"),
                ("Patient?identifier:missing=true", ""),
                ("Patient?_profile:missing=true", "a,b,c"),
            ],
        )
        .await;
        server.stop().await;
    })
    .await;
}

/// Names and values put together at random: whatever comes, it is answered or refused by the client's fault.
#[tokio::test]
async fn s4_nothing_that_is_asked_is_our_fault() {
    const KINDS: [&str; 6] = ["Patient", "Observation", "Group", "ValueSet", "RiskAssessment", "Provenance"];
    const MODIFIERS: [&str; 12] = [
        "",
        "",
        "",
        ":exact",
        ":contains",
        ":missing",
        ":not",
        ":Patient",
        ":of-type",
        ":above",
        ":below",
        ":nonsense",
    ];
    const VALUES: [&str; 22] = [
        "",
        "x",
        "true",
        "2024",
        "ge2024-02-30",
        "ap0001-01-01",
        "gt9999-12-31T23:59:59.999Z",
        "1e308",
        "-1e-400",
        "5.4|http://unitsofmeasure.org|mg",
        "|||",
        "a$b",
        "$",
        "a,b,,c",
        "\\",
        "\\,\\$\\|",
        "Patient/1/_history/2",
        "http://a/b//c|1|2",
        "\u{10ffff}\u{1}",
        "urn:uuid:x",
        "%_'\"; drop table resource",
        "99999999999999999999",
    ];
    each_store(|store| async move {
        let server = TestServer::start(store).await;
        people(&server).await;
        let mut seed = 20_261_121_u64;
        let mut roll = |below: usize| {
            seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            usize::try_from(seed >> 33).unwrap() % below
        };
        for round in 0..400 {
            let kind = KINDS[roll(KINDS.len())];
            let mut pairs = Vec::new();
            for _ in 0..=roll(3) {
                let all = mjumbe::fhir::parameters::of(kind);
                let code = all[roll(all.len())].code;
                let modifier = MODIFIERS[roll(MODIFIERS.len())];
                let name = match roll(8) {
                    0 => format!("{code}{modifier}.name"),
                    1 => format!("{code}.{code}{modifier}"),
                    2 => format!("_has:Observation:subject:{code}{modifier}"),
                    3 => format!("_has:{code}"),
                    4 => [
                        "_sort",
                        "_include",
                        "_revinclude",
                        "_count",
                        "_getpages",
                        "_type",
                        "_page",
                        "_total",
                    ][roll(8)]
                    .to_owned(),
                    _ => format!("{code}{modifier}"),
                };
                pairs.push((name, VALUES[roll(VALUES.len())]));
            }
            let path = if roll(6) == 0 { "" } else { kind };
            let answer = answered(server.request(Method::GET, path).query(&pairs)).await;
            assert!(answer.status.as_u16() < 500, "round {round}: {path}?{pairs:?}: {}", answer.body);
        }
        server.stop().await;
    })
    .await;
}
