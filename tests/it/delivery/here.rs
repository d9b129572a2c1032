//! Resources that mappings store in Mjumbe itself: a mapper that is killed at any step leaves the resource and
//! its delivery, or neither; what is left over is sent.

use std::future::{Future, poll_fn};
use std::sync::Arc;
use std::task::Poll;

use mjumbe::delivery::evaluator::{Asked, Evaluated, Evaluator, Round as Step, Subject};
use mjumbe::delivery::sender::{Round, Sender};
use mjumbe::delivery::signal::Signals;
use mjumbe::fhir_out::here::Here;
use mjumbe::mapping::lookup::Answer;
use mjumbe::mapping::output::{Nature, Output, Part, Withdraw};
use mjumbe::store::testing::each_store;
use serde_json::json;

use super::{House, TENANT, run};

/// Each `Basic/ID` makes `Patient/made-ID`.
struct Makes;

impl Evaluator for Makes {
    fn name(&self) -> &str {
        "makes"
    }

    fn version(&self) -> &str {
        "1"
    }

    fn takes(&self, kind: &str) -> bool {
        kind == "Basic"
    }

    fn evaluate(&self, subject: &Subject<'_>, _: &[(Asked, Answer)]) -> Step {
        let place = format!("Patient/made-{}", subject.id);
        let wanted = json!({
            "resourceType": "Patient", "id": format!("made-{}", subject.id),
            "name": [{ "text": subject.resource["name"] }]
        });
        let output = Output {
            target: "fhir.resource".to_owned(),
            target_id: "fhir.resource".to_owned(),
            destination: "here".to_owned(),
            nature: Nature::State,
            key: String::new(),
            lane: place.clone(),
            body: json!({ "resource": place }),
            parts: vec![Part { slot: place, wanted, last: false }],
            contributions: Vec::new(),
            withdraw: Withdraw::Delete,
            needs: Vec::new(),
            authored_ms: 1,
            link: None,
            write_back: false,
            act: None,
        };
        Step::Done(Box::new(Evaluated { matched: true, outputs: vec![output], ..Evaluated::default() }))
    }
}

/// As [`Makes`], and a report that needs what is made.
struct MakesAndReports;

impl Evaluator for MakesAndReports {
    fn name(&self) -> &str {
        "makes"
    }

    fn version(&self) -> &str {
        "1"
    }

    fn takes(&self, kind: &str) -> bool {
        kind == "Basic"
    }

    fn evaluate(&self, subject: &Subject<'_>, answers: &[(Asked, Answer)]) -> Step {
        let Step::Done(mut done) = Makes.evaluate(subject, answers) else { unreachable!() };
        let made = done.outputs[0].clone();
        done.outputs.push(Output {
            target: "test.report".to_owned(),
            target_id: "report".to_owned(),
            destination: "far".to_owned(),
            lane: subject.id.to_owned(),
            body: json!({}),
            parts: vec![Part {
                slot: format!("{}/a", subject.id),
                wanted: json!({"value": "1"}),
                last: false,
            }],
            needs: vec!["fhir.resource".to_owned()],
            ..made
        });
        Step::Done(done)
    }
}

/// Lets work go on for so many steps, then drops it where it stands.
async fn kill_after<T>(steps: usize, work: impl Future<Output = T>) -> bool {
    let mut work = std::pin::pin!(work);
    let mut left = steps;
    poll_fn(|context| {
        if left == 0 {
            return Poll::Ready(false);
        }
        left -= 1;
        work.as_mut().poll(context).map(|_| true)
    })
    .await
}

/// The resource's version (0: none), and the status of its delivery. Both in one statement: a commit that was
/// cut off may still land between two.
async fn state(house: &House, id: &str) -> (i64, String) {
    let (made, source) = (format!("made-{id}"), format!("Basic/{id}"));
    let mut db = house.store.db().read().await.unwrap();
    let row = db
        .one(
            "select coalesce((select version from resource where kind = 'Patient' and id = $1), 0) as made,
                 coalesce((select status from delivery where source = $2), '') as status",
            mjumbe::args![made, source],
        )
        .await
        .unwrap();
    (row.int("made").unwrap(), row.text("status").unwrap())
}

#[tokio::test]
async fn a_mapper_that_is_killed_leaves_both_or_neither() {
    each_store(|store| async move {
        let house = House::new(store, vec![Arc::new(Makes)]).await;
        let (mut before, mut after) = (0, 0);
        for steps in 1..=60 {
            let id = format!("b{steps}");
            house.put("Basic", &id, json!({"name": "A"})).await;
            kill_after(steps, house.mapper.round()).await;
            match state(&house, &id).await {
                (0, status) if status.is_empty() => before += 1,
                (1, status) if status == "settled" => after += 1,
                other => panic!("killed after {steps} steps: {other:?}"),
            }
            house.map().await;
            assert_eq!(state(&house, &id).await, (1, "settled".to_owned()), "after {steps} steps");
        }
        assert!(before > 0 && after > 0, "{before} before the commit, {after} after it");
    })
    .await;
}

/// What was given up because it needs a resource that could not be stored goes out once it is.
#[tokio::test]
async fn what_needs_a_resource_is_revived_when_the_mapper_stores_it() {
    each_store(|store| async move {
        let house = House::new(store, vec![Arc::new(MakesAndReports)]).await;
        house.put("Patient", "made-b1", json!({"active": true})).await;
        house.put("Basic", "b1", json!({"name": "A"})).await;
        house.settle_down().await;
        let dead = |cause: &str| ("dead".to_owned(), cause.to_owned());
        assert_eq!(house.statuses().await, [dead("needs-not-settled"), dead("resource-of-another")]);
        house.delete("Patient", "made-b1").await;
        house.put("Basic", "b1", json!({"name": "B"})).await;
        house.settle_down().await;
        assert_eq!(
            house.statuses().await,
            [("settled".into(), String::new()), ("settled".into(), String::new())]
        );
        assert_eq!(house.far.slot("b1/a"), Some(json!("1")));
    })
    .await;
}

#[tokio::test]
async fn what_the_mapper_left_is_stored_by_the_sender_killed_or_not() {
    each_store(|store| async move {
        let house = House::new(store.clone(), vec![Arc::new(Makes)]).await;
        let here = Arc::new(Here::new(store.clone(), TENANT, jiff::tz::TimeZone::UTC));
        let sender = Sender::new(store.db().clone(), (TENANT, "tester"), here, Signals::default());
        house.put("Basic", "b1", json!({"name": "A"})).await;
        house.map().await;
        for steps in 1..=40 {
            // As a retry leaves it: wanted, and not known to be there.
            let undo = [
                "update part set status = 'waiting'",
                "update slot set sent = null, sent_by = ''",
                "update delivery set status = 'waiting', due_ms = 0",
            ];
            run(&store, undo.map(str::to_owned).to_vec()).await;
            kill_after(steps, sender.round()).await;
            for _ in 0..100 {
                run(&store, vec!["update delivery set due_ms = 0, lease_until_ms = 0".to_owned()]).await;
                if sender.round().await.unwrap() == Round::Idle && state(&house, "b1").await.1 == "settled" {
                    break;
                }
                tokio::time::sleep(std::time::Duration::from_millis(20)).await;
            }
            assert_eq!(state(&house, "b1").await, (1, "settled".to_owned()), "after {steps} steps");
        }
    })
    .await;
}
