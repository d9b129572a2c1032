//! A server that is asked to stop while something is under way.

use std::sync::Arc;
use std::time::{Duration, Instant};

use mjumbe::config;
use mjumbe::sandbox::faults::{Effect, Fault};
use mjumbe::sandbox::http::Server;
use mjumbe::sandbox::rapidpro::{Options, RapidPro};
use mjumbe::store::Store;
use mjumbe::store::deliveries::Status;
use mjumbe::store::deliveries::list::{self, Filter};
use mjumbe::store::testing::each_database;
use serde_json::json;

use crate::server::TestServer;

const PATIENCE: Duration = Duration::from_secs(20);

async fn statuses(store: &Store) -> Vec<Status> {
    let mut db = store.db().read().await.unwrap();
    let rows = list::list(&mut db, "default", &Filter::default(), (None, 10)).await.unwrap();
    rows.iter().map(|row| row.status).collect()
}

/// The contact is made while RapidPro takes its time over it, the server stops meanwhile, and the answer is
/// still written: whoever starts next need not ask.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_delivery_under_way_is_settled_before_the_server_ends() {
    each_database(|url| async move {
        let far = RapidPro::new(Options::default());
        let workspace = Server::start(Arc::new(far.clone()), ([127, 0, 0, 1], 0).into()).await.unwrap();
        far.fault(Fault::new(Effect::Slow { ms: 1_500 }).on("POST", "/api/v2/contacts.json"));
        let folder = tempfile::tempdir().unwrap();
        let mapping = "mapping: people\nfrom: { resource: Patient }\nto:\n  - rapidpro.contact:\n      urns: \
                       [{ path: '$.resource.telecom[0].value', type: phone }]\n";
        std::fs::write(folder.path().join("people.yaml"), mapping).unwrap();
        let file = folder.path().join("mjumbe.toml");
        let mappings = folder.path().display();
        let settings =
            format!("mappings = \"{mappings}\"\n[rapidpro.country]\nurl = \"{}\"\n", workspace.url());
        std::fs::write(&file, settings).unwrap();
        let token = ("MJUMBE__RAPIDPRO__COUNTRY__TOKEN".to_owned(), far.token().to_owned());
        let store = Store::open(&url, 6).await.unwrap();
        let server = TestServer::start_with(store, config::load(Some(&file), [token]).unwrap()).await;
        // The server's end closes its own pool; this one looks on.
        let onlooker = Store::open(&url, 2).await.unwrap();
        let patient = json!({ "resourceType": "Patient", "id": "a",
            "telecom": [{ "system": "phone", "value": "+250788000001" }] });
        assert_eq!(server.put("Patient/a", &patient).await.status, 201);
        let begun = Instant::now();
        while statuses(&onlooker).await != [Status::Sending] {
            assert!(begun.elapsed() < PATIENCE, "the delivery does not go out");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        server.stop().await;
        assert_eq!(statuses(&onlooker).await, [Status::Settled]);
        onlooker.close().await;
    })
    .await;
}
