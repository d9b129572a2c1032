//! `fhir.resource`, stored here: identity, correction, withdrawal, what belongs to somebody else, chains.

use std::time::{Duration, Instant};

use mjumbe::config::Config;
use mjumbe::store::Store;
use mjumbe::store::deliveries::{self, DeliveryRow, PartRow};
use mjumbe::store::testing::each_store;
use mjumbe::store::write::Origin;
use serde_json::{Value, json};

use super::server::TestServer;

const PATIENCE: Duration = Duration::from_secs(20);

const OBSERVED: &str = r#"
mapping: weight
from: { resource: QuestionnaireResponse, status: [completed] }
to:
  - fhir.resource:
      when: $.answers.weight
      withdraw: delete
      resource:
        resourceType: Observation
        status: final
        code: { text: Body weight }
        subject: { $value: $.resource.subject }
        effectiveDateTime: { $value: $.resource.authored }
        note: [{ text: { $value: $.answers.remark } }]
        valueQuantity: { value: { $value: $.answers.weight }, unit: kg }
"#;

/// A server whose mappings are these files.
pub async fn server(store: Store, files: &[&str]) -> (TestServer, tempfile::TempDir) {
    let folder = tempfile::tempdir().unwrap();
    for (index, text) in files.iter().enumerate() {
        std::fs::write(folder.path().join(format!("m{index}.yaml")), text).unwrap();
    }
    let config = Config { mappings: folder.path().to_owned(), ..Config::default() };
    (TestServer::start_with(store, config).await, folder)
}

/// Asks until `test` gives something.
pub async fn eventually<T>(what: &str, mut test: impl AsyncFnMut() -> Option<T>) -> T {
    let begun = Instant::now();
    loop {
        if let Some(found) = test().await {
            return found;
        }
        assert!(begun.elapsed() < PATIENCE, "{what} does not come");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

pub fn response(weight: Value, remark: Option<&str>) -> Value {
    let mut items = vec![json!({"linkId": "weight", "answer": [{"valueDecimal": weight}]})];
    items.extend(remark.map(|remark| json!({"linkId": "remark", "answer": [{"valueString": remark}]})));
    json!({
        "resourceType": "QuestionnaireResponse", "id": "q1", "status": "completed",
        "subject": {"reference": "Patient/p1"}, "authored": "2026-11-01T08:00:00Z", "item": items
    })
}

/// The deliveries of a source with their parts.
pub async fn deliveries_of(
    server: &TestServer,
    mapping: &str,
    (kind, id): (&str, &str),
) -> Vec<(DeliveryRow, Vec<PartRow>)> {
    let Some(stored) = server.store.read("default", kind, id).await.unwrap() else { return Vec::new() };
    let mut db = server.store.db().read().await.unwrap();
    let rows = deliveries::deliveries_of_source(&mut db, "default", mapping, stored.rid).await.unwrap();
    let mut found = Vec::new();
    for row in rows {
        let parts = deliveries::parts_of(&mut db, "default", std::slice::from_ref(&row.id)).await.unwrap();
        found.push((row, parts));
    }
    found
}

async fn observation(server: &TestServer) -> Option<Value> {
    let found = server.get("Observation?subject=Patient/p1").await;
    found.entries("match").into_iter().next()
}

#[tokio::test]
async fn a_resource_is_made_corrected_and_withdrawn_with_its_source() {
    each_store(|store| async move {
        let (server, _folder) = server(store, &[OBSERVED]).await;
        assert_eq!(
            server
                .put("QuestionnaireResponse/q1", &response(serde_json::from_str("7.50").unwrap(), Some("ok")))
                .await
                .status,
            201
        );
        let made = eventually("the observation", async || observation(&server).await).await;
        assert_eq!(made["valueQuantity"]["value"].to_string(), "7.50");
        assert_eq!(made["note"], json!([{"text": "ok"}]));
        let id = made["id"].as_str().unwrap().to_owned();
        assert!(id.starts_with("mjumbe-"), "{id}");
        let known = deliveries_of(&server, "weight", ("QuestionnaireResponse", "q1")).await;
        let (row, parts) = &known[0];
        assert_eq!((row.destination.as_str(), row.status.text()), ("fhir.here", "settled"));
        assert_eq!(parts[0].slot, format!("Observation/{id}"));
        let stored = server.store.read("default", "Observation", &id).await.unwrap().unwrap();
        assert_eq!(stored.origin, Origin::Mapping { name: "weight".to_owned(), hops: 1 });

        server.put("QuestionnaireResponse/q1", &response(json!(8.25), None)).await;
        let corrected = eventually("the correction", async || {
            observation(&server).await.filter(|one| one["valueQuantity"]["value"] == json!(8.25))
        })
        .await;
        assert_eq!(corrected["id"], id.as_str());
        assert_eq!(corrected.get("note"), None);
        assert_eq!(corrected["meta"]["versionId"], "2");

        // An equal wish makes no version.
        let mut equal = response(json!(8.25), None);
        equal["language"] = json!("en");
        server.put("QuestionnaireResponse/q1", &equal).await;
        server.delete("QuestionnaireResponse/q1").await;
        let gone = eventually("the withdrawal", async || {
            Some(server.get(&format!("Observation/{id}")).await).filter(|answer| answer.status == 410)
        })
        .await;
        assert_eq!(gone.header("etag"), "W/\"3\"");
        server.stop().await;
    })
    .await;
}

const NAMED: &str = r#"
mapping: named
from: { resource: Basic }
to:
  - fhir.resource:
      resource:
        resourceType: Patient
        id: { $value: $.resource.code.text }
        active: true
        name: [{ text: { $value: $.resource.author.display } }]
"#;

fn basic(name: &str) -> Value {
    json!({"resourceType": "Basic", "id": "b1", "code": {"text": "p7"}, "author": {"display": name}})
}

#[tokio::test]
async fn what_a_client_made_is_left_alone_and_what_it_deleted_stays_so() {
    each_store(|store| async move {
        let (server, _folder) = server(store, &[NAMED]).await;
        let own = json!({"resourceType": "Patient", "id": "p7", "name": [{"text": "mine"}]});
        server.put("Patient/p7", &own).await;
        server.put("Basic/b1", &basic("other")).await;
        let dead = eventually("the refusal", async || {
            deliveries_of(&server, "named", ("Basic", "b1")).await.into_iter().next()
        })
        .await;
        assert_eq!((dead.0.status.text(), dead.0.cause.code.as_str()), ("dead", "resource-of-another"));
        assert_eq!(server.get("Patient/p7").await.body["name"], json!([{"text": "mine"}]));

        // Once it is gone the next wish is made; what a client changes in it stays until the wish changes.
        server.delete("Patient/p7").await;
        server.put("Basic/b1", &basic("first")).await;
        let name = async |text: &str| {
            eventually(text, async || {
                let found = server.get("Patient/p7").await;
                (found.body["name"][0]["text"] == text).then_some(found)
            })
            .await
        };
        name("first").await;
        let edited = json!({"resourceType": "Patient", "id": "p7", "name": [{"text": "edited"}]});
        server.put("Patient/p7", &edited).await;
        server.put("Basic/b1", &basic("second")).await;
        name("second").await;

        server.delete("Patient/p7").await;
        server.put("Basic/b1", &basic("third")).await;
        eventually("the second refusal", async || {
            let known = deliveries_of(&server, "named", ("Basic", "b1")).await;
            known.into_iter().find(|(row, _)| row.cause.code == "resource-deleted")
        })
        .await;
        assert_eq!(server.get("Patient/p7").await.status, 410);
        server.stop().await;
    })
    .await;
}

#[tokio::test]
async fn what_is_not_r4_is_not_made_and_says_why() {
    each_store(|store| async move {
        let (server, _folder) = server(store, &[NAMED]).await;
        let mut wrong = basic("x");
        wrong["code"]["text"] = json!("no id at all");
        server.put("Basic/b1", &wrong).await;
        let stored = server.store.read("default", "Basic", "b1").await.unwrap().unwrap();
        let evaluated = eventually("the evaluation", async || {
            let mut db = server.store.db().read().await.unwrap();
            mjumbe::store::reads::evaluation(&mut db, "default", "named", stored.rid).await.unwrap()
        })
        .await;
        assert!(evaluated.issues.contains("resource-invalid"), "{}", evaluated.issues);
        assert!(evaluated.issues.contains("Patient.id"), "{}", evaluated.issues);
        assert!(deliveries_of(&server, "named", ("Basic", "b1")).await.is_empty());
        server.stop().await;
    })
    .await;
}

fn circle(name: &str, from: &str, to: &str) -> String {
    format!(
        "mapping: {name}\nfrom: {{ resource: {from} }}\nto:\n  - fhir.resource:\n      resource: \
         {{ resourceType: {to}, code: {{ text: {{ $value: {{ template: \"{{$.resource.code.text}}.\" }} }} }} }}\n"
    )
}

#[tokio::test]
async fn a_chain_of_mappings_stops_at_eight_hops() {
    each_store(|store| async move {
        // Each makes a new resource of what the other made: without an end it would go on for ever.
        let there = circle("there", "Basic", "Substance");
        let back = circle("back", "Substance", "Basic");
        let (server, _folder) = server(store, &[&there, &back]).await;
        server.put("Basic/b1", &basic("x")).await;
        let held = eventually("the held evaluation", async || {
            let mut db = server.store.db().read().await.unwrap();
            let held = mjumbe::store::reads::held(
                &mut db,
                "default",
                &mjumbe::store::reads::HeldFilter::default(),
                10,
            )
            .await
            .unwrap();
            held.into_iter().find(|row| row.code == "too-many-hops")
        })
        .await;
        assert!(held.source.starts_with("Basic/mjumbe-"), "{}", held.source);
        let all = server.ids("Basic").await.len() + server.ids("Substance").await.len();
        assert_eq!(all, 9, "the first and eight made of it");
        server.stop().await;
    })
    .await;
}
