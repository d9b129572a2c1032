//! `http.post`: once, with its key; what may have been taken is sent again only to those who can tell.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use mjumbe::config::Config;
use mjumbe::sandbox::faults::{Effect, Fault, Faults};
use mjumbe::sandbox::http::{Answer, FarSide, Request, Server};
use mjumbe::store::Store;
use mjumbe::store::testing::each_store;
use serde_json::{Value, json};

use super::servers::endpoint;
use crate::fhir_out::{deliveries_of, eventually};
use crate::server::TestServer;

const ALERT: &str = r#"
mapping: alert
from: { resource: Basic }
to:
  - http.post:
      reason: stock-out
      path: { template: "alerts/{$.resource.code.text}?kind=stock" }
      body:
        item: { $value: $.resource.code.text }
        note: { $value: $.resource.author.display }
        amounts: [1, 2.50]
"#;

/// Counts what it is posted.
struct Alerts {
    taken: Mutex<Vec<(String, String, Value)>>,
    faults: Faults,
}

#[async_trait]
impl FarSide for Alerts {
    async fn answer(&self, request: Request) -> Answer {
        if request.method == "POST" {
            let body = serde_json::from_slice(&request.body).unwrap();
            let key = request.header("idempotency-key").to_owned();
            self.taken.lock().unwrap().push((key, request.path.clone(), body));
        }
        Answer::empty(201)
    }

    fn refuse(&self, status: u16, _: &Request) -> Answer {
        Answer::empty(status)
    }

    fn faults(&self) -> &Faults {
        &self.faults
    }

    fn state(&self) -> Value {
        Value::Null
    }
}

struct Scene {
    near: TestServer,
    alerts: Arc<Alerts>,
    _far: Server,
    _folder: tempfile::TempDir,
}

async fn scene(store: Store, idempotent: bool) -> Scene {
    let alerts = Arc::new(Alerts { taken: Mutex::default(), faults: Faults::new(1) });
    let far = Server::start(alerts.clone(), SocketAddr::from(([127, 0, 0, 1], 0))).await.unwrap();
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("alert.yaml"), ALERT).unwrap();
    let mut config = Config { mappings: folder.path().to_owned(), ..Config::default() };
    let settings = json!({"url": format!("{}/api", far.url()), "token": "t", "idempotent": idempotent});
    config.http.insert("alerts".to_owned(), endpoint(settings));
    Scene { near: TestServer::start_with(store, config).await, alerts, _far: far, _folder: folder }
}

impl Scene {
    async fn wanted(&self) {
        let basic = json!({"resourceType": "Basic", "id": "b1", "code": {"text": "ORS"}});
        assert_eq!(self.near.put("Basic/b1", &basic).await.status, 201);
    }

    async fn status(&self) -> Option<(String, String)> {
        let known = deliveries_of(&self.near, "alert", ("Basic", "b1")).await;
        known.into_iter().next().map(|(row, _)| (row.status.text().to_owned(), row.cause.code))
    }

    async fn until(&self, status: &str, code: &str) {
        let wanted = (status.to_owned(), code.to_owned());
        eventually(&format!("{wanted:?}"), async || {
            (self.status().await.as_ref() == Some(&wanted)).then_some(())
        })
        .await;
    }

    fn taken(&self) -> Vec<(String, String, Value)> {
        self.alerts.taken.lock().unwrap().clone()
    }

    /// The time after which an act of unknown outcome is looked at again is over.
    async fn wait_out(&self) {
        let mut tx = self.near.store.db().begin_write().await.unwrap();
        tx.execute(
            "update delivery set due_ms = due_ms - 130000, begun_ms = begun_ms - 130000, \
             updated_ms = updated_ms - 130000 where tenant = $1",
            mjumbe::args!["default"],
        )
        .await
        .unwrap();
        tx.commit().await.unwrap();
    }
}

#[tokio::test]
async fn a_post_is_made_once_with_its_key() {
    each_store(|store| async move {
        let scene = scene(store, false).await;
        scene.wanted().await;
        scene.until("settled", "").await;
        let known = deliveries_of(&scene.near, "alert", ("Basic", "b1")).await;
        let taken = scene.taken();
        assert_eq!(taken.len(), 1);
        assert_eq!(taken[0].0, known[0].0.id);
        assert_eq!(taken[0].1, "/api/alerts/ORS");
        assert_eq!(taken[0].2.to_string(), r#"{"amounts":[1,2.50],"item":"ORS"}"#);
        // A later version of the source, which wants another text, changes nothing of what happened.
        let basic = json!({"resourceType": "Basic", "id": "b1", "code": {"text": "Zinc"}});
        scene.near.put("Basic/b1", &basic).await;
        tokio::time::sleep(std::time::Duration::from_millis(1_500)).await;
        assert_eq!(scene.taken().len(), 1);
        scene.near.stop().await;
    })
    .await;
}

#[tokio::test]
async fn a_lost_answer_is_a_dead_letter_unless_the_endpoint_can_tell() {
    for (idempotent, posts) in [(false, 1), (true, 2)] {
        each_store(|store| async move {
            let scene = scene(store, idempotent).await;
            scene.alerts.faults.add(Fault::new(Effect::DropAfter).on("POST", "/api/*").times(1));
            scene.wanted().await;
            scene.until("waiting", "http-connection-lost").await;
            assert_eq!(scene.taken().len(), 1, "it was taken, and nobody said so");
            scene.wait_out().await;
            match idempotent {
                true => scene.until("settled", "").await,
                false => scene.until("dead", "unknown").await,
            }
            let taken = scene.taken();
            assert_eq!(taken.len(), posts);
            assert!(taken.iter().all(|one| one.0 == taken[0].0), "the same key");
            scene.near.stop().await;
        })
        .await;
    }
}

#[tokio::test]
async fn a_refusal_is_dead_at_once_and_what_was_not_taken_goes_again() {
    each_store(|store| async move {
        let scene = scene(store, false).await;
        let busy = Effect::Answer { status: 503, body: None, retry_after: Some(1) };
        scene.alerts.faults.add(Fault::new(busy).on("POST", "/api/*").times(1));
        scene.wanted().await;
        scene.until("settled", "").await;
        assert_eq!(scene.taken().len(), 1);
        scene.near.stop().await;
    })
    .await;
    each_store(|store| async move {
        let scene = scene(store, true).await;
        let wrong = Effect::Answer { status: 422, body: None, retry_after: None };
        scene.alerts.faults.add(Fault::new(wrong).on("POST", "/api/*"));
        scene.wanted().await;
        scene.until("dead", "http-refused").await;
        assert_eq!(scene.taken().len(), 0);
        scene.near.stop().await;
    })
    .await;
}
