//! A start and a message from a committed resource to RapidPro, killed at every step and with every answer
//! lost: each happens once.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Instant;

use mjumbe::delivery::mapper::Mapper;
use mjumbe::delivery::programs::{Tenancy, evaluators};
use mjumbe::delivery::sender::{Round, Sender};
use mjumbe::delivery::signal::Signals;
use mjumbe::mapping::program::{self, Settings};
use mjumbe::mapping::table::Tables;
use mjumbe::rapidpro::act::others::StoredOthers;
use mjumbe::rapidpro::client::Client;
use mjumbe::rapidpro::contact::owners::StoredLinks;
use mjumbe::rapidpro::destination::{Surroundings, Workspace};
use mjumbe::sandbox::faults::{Effect, Fault};
use mjumbe::sandbox::http::Server;
use mjumbe::sandbox::rapidpro::definition::monthly_report;
use mjumbe::sandbox::rapidpro::{Options, RapidPro};
use mjumbe::server::mappings::registry;
use mjumbe::store::Store;
use mjumbe::store::testing::each_store;
use mjumbe::store::write::Fixed;
use serde_json::{Value, json};

use super::delivery::{TENANT, put_of, run, surroundings};
use super::rapidpro_contact::settings;

const MAPPINGS: [&str; 2] = [
    "
mapping: patients
from: { resource: Patient }
to:
  - rapidpro.contact: { urns: ['$.resource.phone'] }
",
    "
mapping: visits
from: { resource: Observation }
to:
  - rapidpro.start:
      flow: Monthly village report
      contact: { link: $.resource.subject }
      params: { visit_date: '2026-12-24' }
  - rapidpro.message:
      contact: $.resource.subject
      text: { eng: 'Take your medicine, @contact.name', fra: 'Prenez vos medicaments' }
",
];

struct House {
    far: RapidPro,
    _server: Server,
    store: Store,
    mapper: Mapper,
    client: Arc<Client>,
}

impl House {
    async fn new(store: Store, version: u32) -> Self {
        let far = RapidPro::new(Options { version, ..Options::default() });
        far.add_flow(monthly_report(None));
        let server =
            Server::start(Arc::new(far.clone()), SocketAddr::from(([127, 0, 0, 1], 0))).await.unwrap();
        let client = Arc::new(Client::new("main", &settings(&server.url(), far.token())).unwrap());
        let destinations = [("rapidpro".to_owned(), "main".to_owned())];
        let (registry, tables) = (registry(), Tables::new());
        let loading = Settings { registry: &registry, destinations: Some(&destinations), tables: &tables };
        let load = |text: &&str| Arc::new(program::load("visits.yaml", text, &loading).unwrap());
        let programs: Vec<_> = MAPPINGS.iter().map(load).collect();
        let tenancy = Tenancy {
            tenant: TENANT.to_owned(),
            zone: jiff::tz::TimeZone::UTC,
            country: Some("RW".to_owned()),
            pseudonym_keys: std::collections::BTreeMap::new(),
            registry,
        };
        let mappings = evaluators(&programs, tenancy);
        let mapper =
            Mapper::start(store.db().clone(), "mapper", surroundings(), mappings, Signals::default())
                .await
                .unwrap();
        Self { far, _server: server, store, mapper, client }
    }

    /// A process of its own.
    fn sender(&self, owner: &str) -> Sender {
        let (store, tenant, workspace) = (self.store.clone(), TENANT.to_owned(), "main".to_owned());
        let around = Surroundings {
            links: Arc::new(StoredLinks {
                store: store.clone(),
                tenant: tenant.clone(),
                workspace: workspace.clone(),
            }),
            others: Arc::new(StoredOthers { store, tenant, workspace }),
            languages: Vec::new(),
        };
        let destination = Arc::new(Workspace::new(Arc::clone(&self.client), around));
        Sender::new(self.store.db().clone(), (TENANT, owner), destination, Signals::default())
    }

    async fn put(&self, kind: &str, id: &str, body: Value) {
        let puts = vec![put_of(kind, id, Some(body))];
        self.store.write(TENANT, Box::new(Fixed { puts, ..Fixed::default() })).await.unwrap();
        for _ in 0..100 {
            if self.mapper.round().await.unwrap() == 0 {
                return;
            }
        }
        panic!("the mapper never comes to rest");
    }

    async fn send(&self, sender: &Sender) {
        for _ in 0..200 {
            match sender.round().await.unwrap() {
                Round::Sent => {}
                _ => return,
            }
        }
        panic!("the sender never comes to rest");
    }

    /// Leases end, back-offs and the wait before a look-up pass.
    async fn let_time_pass(&self) {
        let statements = [
            "update delivery set due_ms = 0 where status = 'waiting'",
            "update delivery set lease_until_ms = 1 where status = 'sending'",
            "update destination set circuit_until_ms = 0, circuit = 'closed', failures = 0, until_ms = 1",
        ];
        run(&self.store, statements.map(str::to_owned).to_vec()).await;
    }

    /// (target, status, cause, whether RapidPro's name of it is recorded) of the acts.
    async fn acts(&self) -> Vec<(String, String, String, bool)> {
        let mut db = self.store.db().read().await.unwrap();
        let sql =
            "select target, status, cause, remote from delivery where nature = 'act' order by target, id";
        let rows = db.all(sql, mjumbe::args![]).await.unwrap();
        let text = |row: &mjumbe::store::db::Row, key: &str| row.text(key).unwrap();
        let act = |row: &mjumbe::store::db::Row| {
            (text(row, "target"), text(row, "status"), text(row, "cause"), !text(row, "remote").is_empty())
        };
        rows.iter().map(act).collect()
    }

    /// How many starts and how many messages of the text RapidPro has.
    async fn happened(&self) -> (usize, usize) {
        let starts = self.client.get("flow_starts", &[]).await.unwrap();
        let messages = self.client.get("messages", &[]).await.unwrap();
        let broadcasts = self.client.get("broadcasts", &[]).await.unwrap();
        let rows = |list: &Value| list["results"].as_array().unwrap().clone();
        let ours =
            |row: &&Value| row["text"] == "Take your medicine, @contact.name" && row["broadcast"].is_null();
        let alone = rows(&messages).iter().filter(ours).count();
        (rows(&starts).len(), alone + rows(&broadcasts).len())
    }
}

const SETTLED: [(&str, &str); 2] = [("rapidpro.message", "settled"), ("rapidpro.start", "settled")];

async fn both_happened_once(house: &House, what: &str) {
    let acts = house.acts().await;
    let statuses: Vec<(&str, &str)> =
        acts.iter().map(|(target, status, ..)| (target.as_str(), status.as_str())).collect();
    assert_eq!(statuses, SETTLED, "{what}: {acts:?}");
    assert!(acts.iter().all(|act| act.3), "{what}: {acts:?}");
    assert_eq!(house.happened().await, (1, 1), "{what}");
}

async fn patient_and_visit(house: &House) {
    house.put("Observation", "1", json!({"subject": {"reference": "Patient/1"}})).await;
    house.put("Patient", "1", json!({"phone": "0788383383"})).await;
}

/// Where a process ends.
#[derive(Debug, Clone, Copy)]
enum Killed {
    AfterClaim,
    AfterSend,
}

#[tokio::test]
async fn a_process_that_is_killed_anywhere_leaves_each_act_to_happen_once() {
    for killed in [Killed::AfterClaim, Killed::AfterSend] {
        // The two acts are of one person, and go one after the other.
        for before in [0, 1] {
            each_store(|store| async move {
                let house = House::new(store, 9).await;
                house.put("Patient", "1", json!({"phone": "0788383383"})).await;
                house.send(&house.sender("contact")).await;
                house.put("Observation", "1", json!({"subject": {"reference": "Patient/1"}})).await;
                let sender = house.sender("killed");
                for _ in 0..before {
                    house.let_time_pass().await;
                    assert_eq!(sender.round().await.unwrap(), Round::Sent);
                }
                // The hold of the one that sent the contact is over.
                house.let_time_pass().await;
                let batch = sender.claim().await.unwrap();
                assert_eq!(batch.deliveries.len(), 1);
                if matches!(killed, Killed::AfterSend) {
                    let sent = sender.send(&batch, Instant::now()).await;
                    assert!(sent.result.is_ok(), "{:?}", sent.result);
                }
                for life in 0..3 {
                    house.let_time_pass().await;
                    house.send(&house.sender(&format!("life-{life}"))).await;
                }
                both_happened_once(&house, &format!("{killed:?} {before}")).await;
            })
            .await;
        }
    }
}

#[tokio::test]
async fn each_act_happens_once_whichever_answer_is_lost() {
    for version in [8, 9, 26] {
        for effect in [
            Effect::DropAfter,
            Effect::DropBefore,
            Effect::AnswerAfter { status: 500, body: None },
            Effect::Answer { status: 502, body: None, retry_after: None },
        ] {
            each_store(|store| async {
                let (store, effect) = (store, effect.clone());
                let what = format!("{version} {effect:?}");
                let house = House::new(store, version).await;
                for endpoint in ["flow_starts", "messages", "broadcasts"] {
                    let path = format!("/api/v2/{endpoint}.json");
                    house.far.fault(Fault::new(effect.clone()).on("POST", &path).times(1));
                    house.far.fault(Fault::new(effect.clone()).on("GET", &path).times(1));
                }
                patient_and_visit(&house).await;
                for life in 0..12 {
                    house.let_time_pass().await;
                    house.send(&house.sender(&format!("life-{life}"))).await;
                }
                both_happened_once(&house, &what).await;
            })
            .await;
        }
    }
}
