//! `writeBack` with RapidPro, and two mappings that feed each other: they come to rest.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use mjumbe::config::Config;
use mjumbe::sandbox::http::Server;
use mjumbe::sandbox::rapidpro::{Options, RapidPro};
use mjumbe::store::testing::each_store;
use mjumbe::store::write::Origin;
use serde_json::{Value, json};

use crate::fhir_out::{deliveries_of, eventually};
use crate::rapidpro_contact::settings;
use crate::server::TestServer;

const OUT: &str = r#"
mapping: patient-contact
from: { resource: Patient }
to:
  - rapidpro.contact:
      writeBack: true
      urns: [{ path: "$.resource.telecom[0].value", type: phone }]
      name: $.resource.name[0].text
"#;

/// Every contact becomes the Patient that it is, or a new one: with OUT it could go round for ever.
const BACK: &str = r#"
mapping: contact-patient
from: { document: rapidpro.contact }
to:
  - fhir.resource:
      resource:
        resourceType: Patient
        name: [{ text: { $value: $.document.name } }]
        telecom: [{ system: phone, value: { $value: { path: "$.document.urns[0]", match: "tel:(.*)" } } }]
"#;

fn patient(name: &str) -> Value {
    json!({
        "resourceType": "Patient", "id": "p1", "name": [{"text": name}],
        "telecom": [{"system": "phone", "value": "+250788383383"}]
    })
}

#[tokio::test]
async fn two_mappings_that_feed_each_other_come_to_rest() {
    each_store(|store| async move {
        let far = RapidPro::new(Options { version: 9, ..Options::default() });
        let server =
            Server::start(Arc::new(far.clone()), SocketAddr::from(([127, 0, 0, 1], 0))).await.unwrap();
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("out.yaml"), OUT).unwrap();
        std::fs::write(folder.path().join("back.yaml"), BACK).unwrap();
        let mut config = Config { mappings: folder.path().to_owned(), ..Config::default() };
        let mut workspace = settings(&server.url(), far.token());
        workspace.poll_interval_s = Some(1);
        config.rapidpro.insert("north".to_owned(), workspace);
        let near = TestServer::start_with(store, config).await;

        near.put("Patient/p1", &patient("Uwera")).await;
        let system = format!("{}/contact", server.url());
        let search = format!("Patient?identifier={system}|");
        eventually("the identifier", async || near.ids(&search).await.into_iter().find(|id| id == "p1"))
            .await;
        let stored = near.store.read("default", "Patient", "p1").await.unwrap().unwrap();
        assert_eq!((stored.version, stored.origin.hops()), (2, 1));
        assert_eq!(stored.origin, Origin::Mapping { name: "patient-contact".to_owned(), hops: 1 });

        // The contact comes back, becomes a Patient of its own, whose contact is the same one.
        let made = eventually("the way back", async || {
            near.ids("Patient").await.into_iter().find(|id| id.starts_with("mjumbe-"))
        })
        .await;
        // That contact is p1's already: nothing takes it away, and a person is asked.
        eventually("its end", async || {
            let known = deliveries_of(&near, "patient-contact", ("Patient", &made)).await;
            known.into_iter().find(|(row, _)| matches!(row.status.text(), "settled" | "dead"))
        })
        .await;

        // One who begins as a contact becomes a Patient, who is found to be that contact.
        let body = json!({"name": "Keza", "urns": ["tel:+250788383384"]});
        let request = reqwest::Client::new().post(format!("{}/api/v2/contacts.json", server.url()));
        let request = request.header("Authorization", format!("Token {}", far.token())).json(&body);
        let contact: Value = request.send().await.unwrap().json().await.unwrap();
        let search = format!("Patient?identifier={system}|{}", contact["uuid"].as_str().unwrap());
        let keza = eventually("her identifier", async || near.ids(&search).await.pop()).await;
        assert_eq!(near.get(&format!("Patient/{keza}")).await.body["name"][0]["text"], "Keza");

        // Everything rests: no version is made any more.
        let versions = async || {
            let mut all = Vec::new();
            for id in ["p1".to_owned(), made.clone(), keza.clone()] {
                all.push(near.store.read("default", "Patient", &id).await.unwrap().unwrap().version);
            }
            all
        };
        tokio::time::sleep(Duration::from_secs(2)).await;
        let before = versions().await;
        tokio::time::sleep(Duration::from_secs(4)).await;
        assert_eq!(versions().await, before, "something goes round");
        assert!(before.iter().all(|version| *version <= 4), "{before:?}");

        // A client that deletes its Patient wins: nothing makes it again.
        near.delete("Patient/p1").await;
        tokio::time::sleep(Duration::from_secs(2)).await;
        assert_eq!(near.get("Patient/p1").await.status, 410);
        let known = deliveries_of(&near, "patient-contact", ("Patient", "p1")).await;
        assert!(known.iter().all(|(row, _)| row.status.text() == "settled"));
        near.stop().await;
    })
    .await;
}
