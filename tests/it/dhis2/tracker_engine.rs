//! A tracked entity through the whole engine, from a committed Patient to DHIS2, killed between every pair of
//! steps: mapped and not claimed, claimed and not sent, sent and not settled.

use std::sync::Arc;
use std::time::{Duration, Instant};

use jiff::tz::TimeZone;
use mjumbe::delivery::lookup::Surroundings;
use mjumbe::delivery::mapper::Mapper;
use mjumbe::delivery::programs::{Tenancy, evaluators};
use mjumbe::delivery::sender::{Round, Sender};
use mjumbe::delivery::signal::Signals;
use mjumbe::dhis2::aggregate::destination::Instance;
use mjumbe::dhis2::client::Client;
use mjumbe::sandbox::dhis2::country::facility_id;
use mjumbe::sandbox::dhis2::{Dhis2, Options, Version};
use mjumbe::sandbox::http::Server;
use mjumbe::server::mappings;
use mjumbe::store::Store;
use mjumbe::store::testing::each_store;
use mjumbe::store::write::{Fixed, Origin, Precondition, Put};
use serde_json::{Value, json};

const TENANT: &str = "default";

struct House {
    store: Store,
    mapper: Mapper,
    instance: Arc<Instance>,
    dhis2: Dhis2,
    _server: Server,
}

/// A child; it has its dose while it is `active`.
fn mapping() -> String {
    let text = r#"
mapping: child
from: { resource: Patient }
to:
  - dhis2.tracker:
      type: MjChildType
      withdraw: delete
      orgUnit: UNIT
      find: [{ attribute: MjChildNo01, value: "$.resource.identifier[0].value" }]
      attributes: [{ attribute: MjChildNam1, value: "$.resource.name[0].text" }]
      enrollments:
        - program: MjImmunize1
          enrolledAt: $.resource.birthDate
          events:
            - programStage: MjDoseStag1
              when: { path: $.resource.active, is: true }
              key: bcg
              occurredAt: $.resource.birthDate
              dataValues: [{ dataElement: MjDoseVacc1, value: BCG }]
"#;
    text.replace("UNIT", &facility_id(0))
}

impl House {
    async fn new(version: Version, store: Store) -> Self {
        let dhis2 = Dhis2::new(Options::new(version));
        let server = Server::start(Arc::new(dhis2.clone()), ([127, 0, 0, 1], 0).into()).await.unwrap();
        let settings =
            serde_json::from_value(json!({ "url": server.url(), "token": dhis2.token() })).unwrap();
        let connected = mjumbe::dhis2::connect("national", &settings, &store, TENANT).unwrap();
        let client = Arc::new(Client::new("national", &settings).unwrap());
        let tracking = mjumbe::dhis2::tracking("national", &store, TENANT);
        let instance = Instance::new(client, Arc::clone(&connected.mirror), tracking, None)
            .with_clock(jiff::Timestamp::now, Duration::from_millis(2));
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("child.yaml"), mapping()).unwrap();
        let destinations = [("dhis2".to_owned(), "national".to_owned())];
        let loaded = mappings::load(folder.path(), &mappings::registry(), Some(&destinations)).unwrap();
        assert!(loaded.diagnostics.is_empty(), "{:?}", loaded.diagnostics);
        let tenancy = Tenancy {
            tenant: TENANT.to_owned(),
            zone: TimeZone::UTC,
            country: None,
            pseudonym_keys: Default::default(),
            registry: mappings::registry(),
        };
        let around = Surroundings {
            tenant: TENANT.to_owned(),
            base: "http://localhost/fhir".to_owned(),
            zone: TimeZone::UTC,
            workspaces: Vec::new(),
        };
        let evaluators = evaluators(&loaded.programs, tenancy);
        let db = store.db().clone();
        let mapper = Mapper::start(db, "tester", around, evaluators, Signals::default()).await.unwrap();
        Self { store, mapper, instance: Arc::new(instance), dhis2, _server: server }
    }

    /// A sender of the same process's name: what its predecessor held is taken over at once.
    fn sender(&self) -> Sender {
        let names = (TENANT, "tester");
        Sender::new(self.store.db().clone(), names, self.instance.clone(), Signals::default())
    }

    async fn put(&self, name: &str, is_vaccinated: bool) {
        let body = json!({ "resourceType": "Patient", "active": is_vaccinated, "birthDate": "2026-09-01",
            "name": [{ "text": name }], "identifier": [{ "system": "urn:card", "value": "N-1" }] });
        let put = Put {
            kind: "Patient".to_owned(),
            id: "1".to_owned(),
            body: Some(body.to_string()),
            index: Vec::new(),
            subject: "Patient/1".to_owned(),
            precondition: Precondition::None,
            origin: Origin::Client("test".to_owned()),
        };
        self.store.write(TENANT, Box::new(Fixed { puts: vec![put], ..Fixed::default() })).await.unwrap();
        while self.mapper.round().await.unwrap() > 0 {}
    }

    /// Killed after the claim, then after the answer; then a process that lives.
    async fn die_and_live(&self) {
        let first = self.sender();
        first.claim().await.unwrap();
        let second = self.sender();
        second.round().await.unwrap();
        let third = self.sender();
        let batch = third.claim().await.unwrap();
        if !batch.deliveries.is_empty() {
            third.send(&batch, Instant::now()).await;
        }
        self.live().await;
    }

    async fn live(&self) {
        let sender = self.sender();
        for _ in 0..50 {
            if sender.round().await.unwrap() != Round::Sent && self.waiting().await == 0 {
                return;
            }
        }
        panic!("the sender never comes to rest: {:?}", self.rows().await);
    }

    async fn rows(&self) -> Vec<(String, String)> {
        let mut db = self.store.db().read().await.unwrap();
        let rows = db.all("select status, cause from delivery", mjumbe::args![]).await.unwrap();
        rows.iter().map(|row| (row.text("status").unwrap(), row.text("cause").unwrap())).collect()
    }

    async fn waiting(&self) -> usize {
        self.rows().await.iter().filter(|(status, _)| status == "waiting" || status == "sending").count()
    }

    fn there(&self, list: &str) -> Vec<Value> {
        let all = self.dhis2.state()["tracker"][list].as_array().unwrap().clone();
        all.into_iter().filter(|own| own["deleted"] == false).collect()
    }

    fn counts(&self) -> [usize; 3] {
        ["trackedEntities", "enrollments", "events"].map(|list| self.there(list).len())
    }
}

#[tokio::test]
async fn a_child_is_there_once_whenever_the_process_is_killed() {
    for version in [Version::V2_40, Version::V2_43] {
        each_store(|store| async move {
            let house = House::new(version, store).await;
            house.put("Keza", true).await;
            house.die_and_live().await;
            assert_eq!(
                (house.counts(), house.rows().await),
                ([1, 1, 1], vec![("settled".into(), "".into())])
            );
            let links = house.store.links_of(TENANT, "national", &[("Patient".into(), "1".into())]).await;
            let link = links.unwrap().pop().unwrap();
            let entity = house.there("trackedEntities").remove(0);
            assert_eq!(
                (link.remote_kind.as_str(), &json!(link.remote_id)),
                ("dhis2.tracker", &entity["trackedEntity"])
            );
            // Corrected: another name, no dose.
            house.put("Keza Uwase", false).await;
            house.die_and_live().await;
            assert_eq!(house.counts(), [1, 1, 0]);
            assert_eq!(house.there("trackedEntities")[0]["attributes"]["MjChildNam1"], "Keza Uwase");
            // The dose was given after all: a deleted UID is never taken again, so it has another one.
            house.put("Keza Uwase", true).await;
            house.die_and_live().await;
            assert_eq!(house.counts(), [1, 1, 1]);
            // Unchanged: nothing is sent.
            house.put("Keza Uwase", true).await;
            assert_eq!(house.waiting().await, 0);
        })
        .await;
    }
}
