//! `fhir.resource` with a destination: another Mjumbe is the other FHIR server.

use std::path::Path;

use mjumbe::config::{Config, Endpoint};
use mjumbe::store::testing::each_store;
use serde_json::{Value, json};

use crate::fhir_out::{deliveries_of, eventually, response};
use crate::server::TestServer;

/// The settings of one endpoint.
pub fn endpoint(settings: Value) -> Endpoint {
    serde_json::from_value(settings).unwrap()
}

/// Sends a person first, then what refers to the person by the link.
const SHARED: &str = r#"
mapping: shared-patient
from: { resource: Patient }
to:
  - fhir.resource:
      destination: shr
      writeBack: true
      withdraw: delete
      resource:
        resourceType: Patient
        active: true
        name: { $value: $.resource.name }
        gender: { $value: $.resource.gender }
"#;

const WEIGHT: &str = r#"
mapping: shared-weight
from: { resource: QuestionnaireResponse }
to:
  - fhir.resource:
      destination: shr
      resource:
        resourceType: Observation
        status: final
        code: { text: Body weight }
        subject: { reference: { $value: { link: $.resource.subject } } }
        valueQuantity: { value: { $value: $.answers.weight }, unit: kg }
"#;

fn write(folder: &Path, files: &[&str]) {
    for (index, text) in files.iter().enumerate() {
        std::fs::write(folder.join(format!("m{index}.yaml")), text).unwrap();
    }
}

fn patient(name: &str) -> Value {
    json!({"resourceType": "Patient", "id": "p1", "gender": "female", "name": [{"family": name}]})
}

async fn pair(
    store: mjumbe::store::Store,
    token_of: impl Fn(&TestServer) -> String,
) -> (TestServer, TestServer, tempfile::TempDir) {
    let folder = tempfile::tempdir().unwrap();
    let far_store = format!("sqlite://{}", folder.path().join("far.db").display());
    let far_store = mjumbe::store::Store::open(&far_store, 4).await.unwrap();
    let far = TestServer::start_with(
        far_store,
        Config { mappings: folder.path().join("none"), ..Config::default() },
    );
    let far = far.await;
    write(folder.path(), &[SHARED, WEIGHT]);
    let mut config = Config { mappings: folder.path().to_owned(), ..Config::default() };
    let settings = json!({"url": format!("{}/fhir", far.url), "token": token_of(&far)});
    config.fhir.insert("shr".to_owned(), endpoint(settings));
    (TestServer::start_with(store, config).await, far, folder)
}

#[tokio::test]
async fn resources_go_to_another_server_with_links_and_are_withdrawn() {
    each_store(|store| async move {
        let (near, far, _folder) = pair(store, |far| far.token.clone()).await;
        // The weight waits for the person's link.
        near.put("QuestionnaireResponse/q1", &response(serde_json::from_str("7.50").unwrap(), None)).await;
        near.put("Patient/p1", &patient("Uwera")).await;
        let weight = eventually("the weight", async || {
            far.get("Observation").await.entries("match").into_iter().next()
        })
        .await;
        assert_eq!(weight["valueQuantity"]["value"].to_string(), "7.50");
        let subject = weight["subject"]["reference"].as_str().unwrap();
        let person = far.get(subject).await;
        assert_eq!(person.body["name"][0]["family"], "Uwera");

        // What it is called there is an identifier here, and a client that does not know it does not remove it.
        let system = format!("{}/fhir", far.url);
        let search = format!("Patient?identifier={system}|{subject}");
        eventually("the identifier", async || near.ids(&search).await.pop()).await;
        let updated = near.put("Patient/p1", &patient("Mukamana")).await;
        assert_eq!(updated.body["identifier"][0]["value"], subject, "{}", updated.body);
        assert_eq!(near.ids(&search).await, ["p1"]);
        eventually("the correction", async || {
            let person = far.get(subject).await;
            (person.body["name"][0]["family"] == "Mukamana").then_some(())
        })
        .await;

        near.delete("Patient/p1").await;
        eventually("the withdrawal", async || (far.get(subject).await.status == 410).then_some(())).await;
        assert_eq!(near.get("Patient/p1").await.status, 410);
        near.stop().await;
        far.stop().await;
    })
    .await;
}

#[tokio::test]
async fn wrong_credentials_stop_the_destination_and_lose_nothing() {
    each_store(|store| async move {
        let (near, far, _folder) = pair(store, |_| "mjumbe_wrong".to_owned()).await;
        near.put("Patient/p1", &patient("Uwera")).await;
        let waiting = eventually("the refusal", async || {
            let known = deliveries_of(&near, "shared-patient", ("Patient", "p1")).await;
            known.into_iter().find(|(row, _)| !row.cause.code.is_empty())
        })
        .await;
        assert_eq!(waiting.0.cause.code, "fhir-unauthorised");
        assert_eq!(waiting.0.status.text(), "waiting");
        near.stop().await;
        far.stop().await;
    })
    .await;
}
