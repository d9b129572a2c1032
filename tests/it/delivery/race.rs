//! What appears between an evaluation and its commit is not missed.

use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use mjumbe::delivery::evaluator::{Asked, Evaluator, Round, Subject};
use mjumbe::mapping::lookup::Answer;
use mjumbe::mapping::output::Aggregate;
use mjumbe::store::testing::each_store;
use mjumbe::store::write::partition;
use serde_json::json;

use super::mappings::Counts;
use super::{House, TENANT, run};

/// Stops where it first finds the patient absent, until it is told to go on.
struct Slow {
    inner: Counts,
    reached: Mutex<Option<Sender<()>>>,
    go: Mutex<Receiver<()>>,
}

impl Evaluator for Slow {
    fn name(&self) -> &str {
        self.inner.name()
    }

    fn version(&self) -> &str {
        self.inner.version()
    }

    fn takes(&self, kind: &str) -> bool {
        self.inner.takes(kind)
    }

    fn evaluate(&self, subject: &Subject<'_>, answers: &[(Asked, Answer)]) -> Round {
        let absent = answers.iter().any(|(_, answer)| *answer == Answer::Absent);
        if absent && let Some(reached) = self.reached.lock().unwrap().take() {
            reached.send(()).unwrap();
            self.go.lock().unwrap().recv_timeout(Duration::from_secs(30)).unwrap();
        }
        self.inner.evaluate(subject, answers)
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_patient_who_appears_while_her_observation_is_evaluated_is_found() {
    each_store(|store| async move {
        let (reached, reached_there) = channel();
        let (go, go_there) = channel();
        let inner = Counts { follow: false, aggregate: Aggregate::Count };
        let slow = Slow { inner, reached: Mutex::new(Some(reached)), go: Mutex::new(go_there) };
        let one = House::with_owner(store.clone(), vec![Arc::new(slow)], "one", Arc::default()).await;
        one.map().await;
        // Another process maps patients.
        assert_ne!(partition("Patient/p"), partition("test.observation/1"));
        let statements = format!(
            "update mapper_partition set owner = 'two', until_ms = until_ms + 100000 where partition = {}",
            partition("Patient/p")
        );
        run(&store, vec![statements]).await;
        let counts = Counts { follow: false, aggregate: Aggregate::Count };
        let two = House::with_owner(store.clone(), vec![Arc::new(counts)], "two", one.far.clone()).await;
        one.put("test.observation", "1", json!({"card": "7", "month": "m"})).await;
        let mapper = one.mapper.clone();
        let mapped = tokio::spawn(async move { mapper.round().await.unwrap() });
        tokio::task::spawn_blocking(move || reached_there.recv_timeout(Duration::from_secs(30)).unwrap())
            .await
            .unwrap();
        one.put("Patient", "p", json!({"card": "7", "gender": "male", "unit": "u"})).await;
        two.map().await;
        go.send(()).unwrap();
        mapped.await.unwrap();
        one.settle_down().await;
        assert_eq!(one.far.slot("counts-remembered|m|u/male"), Some(json!("1")));
        let mut db = store.db().read().await.unwrap();
        assert!(mjumbe::store::reads::held(&mut db, TENANT, None, 10).await.unwrap().is_empty());
    })
    .await;
}
