//! What appears between an evaluation and its commit is not missed.

use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use mjumbe::delivery::evaluator::{Asked, Evaluator, Round, Subject};
use mjumbe::mapping::lookup::Answer;
use mjumbe::mapping::output::{Aggregate, Withdraw};
use mjumbe::store::testing::each_store;
use mjumbe::store::write::{Fixed, Put, partition};
use serde_json::json;

use super::mappings::{Counts, Reports};
use super::{House, TENANT, put_of, run};

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
        assert!(
            mjumbe::store::reads::held(&mut db, TENANT, &Default::default(), 10).await.unwrap().is_empty()
        );
    })
    .await;
}

/// A resource stays in the partition of its first version, so that its versions are mapped in order although
/// its subject changes or it is deleted.
#[tokio::test]
async fn versions_are_mapped_in_order_although_the_subject_changes() {
    each_store(|store| async move {
        let mapping = Reports { withdraw: Withdraw::Delete };
        let house = House::new(store, vec![Arc::new(mapping)]).await;
        // Partitions are worked on in their order: what comes second goes into an earlier one.
        let mut subjects: Vec<String> = (0..40).map(|at| format!("Patient/{at}")).collect();
        subjects.sort_by_key(|subject| partition(subject));
        let (early, late) = (subjects[0].clone(), subjects[39].clone());
        let report = |value: &str| Some(json!({ "unit": "u", "authored": 1, "values": { "a": value } }));
        let put = |id: &str, body, subject: &str| Put {
            subject: subject.to_owned(),
            ..put_of("test.report", id, body)
        };
        let puts = [
            put("deleted", report("1"), &late),
            put("deleted", None, &early),
            put("moved", report("2"), &late),
            put("moved", report("3"), &early),
        ];
        for put in puts {
            let plan = Fixed { puts: vec![put], ..Fixed::default() };
            house.store.write(TENANT, Box::new(plan)).await.unwrap();
        }
        house.settle_down().await;
        assert_eq!(house.far.slot("u/a"), Some(json!("3")));
        house.delete("test.report", "moved").await;
        house.settle_down().await;
        assert_eq!(house.far.slot("u/a"), None, "what was deleted wants nothing");
    })
    .await;
}
