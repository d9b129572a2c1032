//! One thing at a time.

use std::sync::Arc;
use std::time::Duration;

use mjumbe::delivery::desk;
use mjumbe::delivery::evaluator::Evaluator;
use mjumbe::delivery::signal::now_ms;
use mjumbe::mapping::output::{Aggregate, Withdraw};
use mjumbe::store::deliveries::Status;
use mjumbe::store::deliveries::list::{self, Filter};
use mjumbe::store::reads::{self, HeldFilter};
use mjumbe::store::testing::each_store;
use serde_json::{Value, json};

use super::far_side::Trouble;
use super::mappings::{Counts, Reports};
use super::{House, TENANT};

fn reports() -> Vec<Arc<dyn Evaluator>> {
    vec![Arc::new(Reports { withdraw: Withdraw::Delete })]
}

fn report(unit: &str, authored: i64, values: Value) -> Value {
    json!({ "unit": unit, "authored": authored, "values": values })
}

#[tokio::test]
async fn only_the_difference_travels() {
    each_store(|store| async move {
        let house = House::new(store, reports()).await;
        house.put("test.report", "1", report("u", 1, json!({"a": "1", "b": "2"}))).await;
        house.settle_down().await;
        assert_eq!(house.far.effects(), 2);
        house.put("test.report", "1", report("u", 1, json!({"a": "1", "b": "3"}))).await;
        house.settle_down().await;
        assert_eq!(house.far.effects(), 3, "only b");
        assert_eq!(house.far.slot("u/b"), Some(json!("3")));
        house.put("test.report", "1", report("u", 1, json!({"b": "3"}))).await;
        house.settle_down().await;
        assert_eq!(house.far.slot("u/a"), None, "a was withdrawn");
        house.delete("test.report", "1").await;
        house.settle_down().await;
        assert_eq!(house.far.slot("u/b"), None, "its source was deleted");
        assert_eq!(house.statuses().await, [("settled".into(), String::new())]);
        house.settle_down().await;
        assert_eq!(house.far.effects(), 5);
    })
    .await;
}

#[tokio::test]
async fn what_no_longer_matches_is_withdrawn_or_kept() {
    for withdraw in [Withdraw::Delete, Withdraw::Keep] {
        each_store(|store| async move {
            let house = House::new(store, vec![Arc::new(Reports { withdraw })]).await;
            house.put("test.report", "1", report("u", 1, json!({"a": "1"}))).await;
            house.settle_down().await;
            house.put("test.report", "1", json!({"ignored": true})).await;
            house.settle_down().await;
            assert_eq!(house.far.slot("u/a").is_some(), withdraw == Withdraw::Keep);
        })
        .await;
    }
}

#[tokio::test]
async fn the_later_report_has_the_cell_and_gives_it_back() {
    each_store(|store| async move {
        let house = House::new(store, reports()).await;
        house.put("test.report", "late", report("u", 9, json!({"a": "9"}))).await;
        house.put("test.report", "early", report("u", 1, json!({"a": "1", "b": "1"}))).await;
        house.settle_down().await;
        assert_eq!(house.far.slot("u/a"), Some(json!("9")));
        assert_eq!(house.far.slot("u/b"), Some(json!("1")));
        house.delete("test.report", "late").await;
        house.settle_down().await;
        assert_eq!(house.far.slot("u/a"), Some(json!("1")));
    })
    .await;
}

#[tokio::test]
async fn a_refused_cell_is_dead_alone_and_a_newer_wish_revives_it() {
    each_store(|store| async move {
        let house = House::new(store, reports()).await;
        house.far.with(|truth| truth.refuses = Some(json!("bad")));
        let mut body = report("u", 1, json!({"a": "bad", "b": "2"}));
        body["complete"] = json!(true);
        house.put("test.report", "1", body.clone()).await;
        house.settle_down().await;
        assert_eq!(house.statuses().await, [("dead".into(), "cell-refused".into())]);
        assert_eq!(house.far.slot("u/b"), Some(json!("2")));
        assert_eq!(house.far.slot("u/complete"), None, "not complete while a cell is dead");
        let mut db = house.store.db().read().await.unwrap();
        let groups = list::groups(&mut db, TENANT, &Filter::default()).await.unwrap();
        assert_eq!((groups[0].cause.as_str(), groups[0].count), ("cell-refused", 1));
        assert_eq!(groups[0].hint, "another");
        drop(db);
        body["values"]["a"] = json!("good");
        house.put("test.report", "1", body).await;
        house.settle_down().await;
        assert_eq!(house.statuses().await, [("settled".into(), String::new())]);
        assert_eq!(house.far.slot("u/complete"), Some(json!(true)));
    })
    .await;
}

#[tokio::test]
async fn what_the_metadata_refuses_never_leaves() {
    each_store(|store| async move {
        let house = House::new(store, reports()).await;
        house.far.with(|truth| truth.checked = Some(json!("wrong")));
        house.put("test.report", "1", report("u", 1, json!({"a": "wrong"}))).await;
        house.settle_down().await;
        assert_eq!(house.statuses().await, [("dead".into(), "checked".into())]);
        assert!(house.far.with(|truth| truth.batches.is_empty()));
    })
    .await;
}

#[tokio::test]
async fn a_poisoned_batch_is_halved_until_the_culprit_is_alone() {
    each_store(|store| async move {
        let house = House::new(store, reports()).await;
        house.far.with(|truth| truth.poison = Some(json!("poison")));
        for unit in 0..7 {
            let value = if unit == 4 { "poison" } else { "fine" };
            let values = json!({"a": "fine", "b": value, "c": "fine"});
            house.put("test.report", &format!("{unit}"), report(&format!("u{unit}"), 1, values)).await;
        }
        house.settle_down().await;
        let mut statuses = house.statuses().await;
        statuses.retain(|(status, _)| status != "settled");
        assert_eq!(statuses, [("dead".into(), "far-side".into())]);
        assert_eq!(house.far.with(|truth| truth.slots.len()), 20, "all but the culprit's one cell");
    })
    .await;
}

#[tokio::test]
async fn an_unclear_end_is_sent_again_with_a_warning_and_a_reverted_wish_too() {
    each_store(|store| async move {
        let house = House::new(store, reports()).await;
        house.put("test.report", "1", report("u", 1, json!({"a": "old"}))).await;
        house.settle_down().await;
        house.far.trouble(Trouble::FailAfter);
        house.put("test.report", "1", report("u", 1, json!({"a": "new"}))).await;
        house.settle_down().await;
        assert_eq!(house.far.slot("u/a"), Some(json!("new")), "the effect took place");
        // Back to what is known to have been accepted: the far side holds something else.
        house.put("test.report", "1", report("u", 1, json!({"a": "old"}))).await;
        house.map().await;
        house.let_time_pass().await;
        house.send().await;
        assert_eq!(house.far.slot("u/a"), Some(json!("old")));
        assert_eq!(house.far.with(|truth| truth.unclear_seen), 1);
        assert_eq!(house.statuses().await, [("settled".into(), String::new())]);
    })
    .await;
}

#[tokio::test]
async fn an_outage_opens_the_circuit_and_a_probe_ends_it() {
    each_store(|store| async move {
        let house = House::new(store, reports()).await;
        (0..3).for_each(|_| house.far.trouble(Trouble::FailBefore));
        for unit in ["x", "y", "z"] {
            house.put("test.report", unit, report(unit, 1, json!({"a": "1"}))).await;
            house.settle_down().await;
        }
        house.put("test.report", "w", report("w", 1, json!({"a": "1"}))).await;
        house.far.with(|truth| truth.probes_fail = true);
        house.settle_down().await;
        assert_eq!(house.far.effects(), 0, "the circuit is open");
        let mut db = house.store.db().read().await.unwrap();
        let tallies = list::tallies(&mut db, TENANT, now_ms()).await.unwrap();
        assert_eq!(tallies.iter().map(|tally| tally.count).sum::<i64>(), 4);
        drop(db);
        house.far.with(|truth| truth.probes_fail = false);
        for _ in 0..80 {
            house.send().await;
            if house.far.effects() == 4 {
                break;
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        assert_eq!(house.far.effects(), 4, "all at once after the probe, long before their back-off ends");
        assert!(house.far.with(|truth| truth.probes) >= 1);
    })
    .await;
}

#[tokio::test]
async fn one_lane_keeps_its_order_and_is_not_blocked_by_the_dead() {
    each_store(|store| async move {
        let house = House::new(store, reports()).await;
        house.far.trouble(Trouble::FailBefore);
        house.put("test.report", "1", report("u", 1, json!({"a": "1"}))).await;
        house.settle_down().await;
        house.put("test.report", "2", report("u", 2, json!({"b": "2"}))).await;
        house.settle_down().await;
        assert_eq!(house.far.effects(), 0, "the second waits for the first");
        house.let_time_pass().await;
        house.send().await;
        let order =
            house.far.with(|truth| truth.effects.iter().map(|(_, slot, _)| slot.clone()).collect::<Vec<_>>());
        assert_eq!(order, ["u/a", "u/b"]);
        house.far.with(|truth| truth.refuses = Some(json!("bad")));
        house.put("test.report", "1", report("u", 1, json!({"a": "bad"}))).await;
        house.settle_down().await;
        house.put("test.report", "2", report("u", 2, json!({"b": "3"}))).await;
        house.settle_down().await;
        assert_eq!(house.far.slot("u/b"), Some(json!("3")));
    })
    .await;
}

#[tokio::test]
async fn a_person_may_retry_and_cancel() {
    each_store(|store| async move {
        let house = House::new(store, reports()).await;
        house.far.with(|truth| truth.refuses = Some(json!("bad")));
        house.put("test.report", "1", report("u", 1, json!({"a": "bad"}))).await;
        house.settle_down().await;
        let filter = Filter { status: Some(Status::Dead), ..Filter::default() };
        let ids = {
            let mut db = house.store.db().read().await.unwrap();
            list::ids(&mut db, TENANT, &filter, 10).await.unwrap()
        };
        let shown = {
            let mut db = house.store.db().read().await.unwrap();
            list::show(&mut db, TENANT, &ids[0][..8]).await.unwrap().unwrap()
        };
        assert_eq!((shown.attempts.len(), shown.exchanges.len()), (1, 1));
        assert_eq!(shown.delivery.source, "test.report/1");
        house.far.with(|truth| truth.refuses = None);
        let mut tx = house.store.db().begin_write().await.unwrap();
        assert_eq!(desk::revive(&mut tx, TENANT, &ids, now_ms()).await.unwrap(), 1);
        tx.commit().await.unwrap();
        house.send().await;
        assert_eq!(house.far.slot("u/a"), Some(json!("bad")));
        house.put("test.report", "1", report("u", 1, json!({"a": "next"}))).await;
        house.map().await;
        let mut tx = house.store.db().begin_write().await.unwrap();
        assert_eq!(desk::cancel(&mut tx, TENANT, &ids, now_ms()).await.unwrap(), 1);
        tx.commit().await.unwrap();
        house.send().await;
        assert_eq!(house.far.slot("u/a"), Some(json!("bad")));
        assert_eq!(house.statuses().await, [("cancelled".into(), String::new())]);
        house.put("test.report", "1", report("u", 1, json!({"a": "newest"}))).await;
        house.settle_down().await;
        assert_eq!(house.far.slot("u/a"), Some(json!("newest")));
    })
    .await;
}

#[tokio::test]
async fn counts_are_recounted_and_emptied_cells_deleted() {
    each_store(|store| async move {
        let counts = Counts { follow: true, aggregate: Aggregate::Sum };
        let house = House::new(store, vec![Arc::new(counts)]).await;
        house.put("Patient", "p", json!({"card": "7", "gender": "female", "unit": "u"})).await;
        house.put("test.observation", "1", json!({"card": "7", "month": "m", "amount": "0.1"})).await;
        house.put("test.observation", "2", json!({"card": "7", "month": "m", "amount": "0.2"})).await;
        house.settle_down().await;
        assert_eq!(house.far.slot("counts-followed|m|u/female"), Some(json!("0.3")));
        house.put("Patient", "p", json!({"card": "7", "gender": "male", "unit": "u"})).await;
        house.settle_down().await;
        assert_eq!(house.far.slot("counts-followed|m|u/female"), None);
        assert_eq!(house.far.slot("counts-followed|m|u/male"), Some(json!("0.3")));
        house.delete("test.observation", "1").await;
        house.settle_down().await;
        assert_eq!(house.far.slot("counts-followed|m|u/male"), Some(json!("0.2")));
        house.delete("test.observation", "2").await;
        house.settle_down().await;
        assert!(house.far.with(|truth| truth.slots.is_empty()));
    })
    .await;
}

#[tokio::test]
async fn what_was_absent_releases_who_waited_for_it_and_what_was_found_stays() {
    each_store(|store| async move {
        let counts = Counts { follow: false, aggregate: Aggregate::Count };
        let house = House::new(store, vec![Arc::new(counts)]).await;
        house.put("test.observation", "1", json!({"card": "7", "month": "m"})).await;
        house.settle_down().await;
        let held = {
            let mut db = house.store.db().read().await.unwrap();
            reads::held(&mut db, TENANT, &Default::default(), 10).await.unwrap()
        };
        assert_eq!((held.len(), held[0].waits_for.as_str()), (1, "patient"));
        house.put("Patient", "other", json!({"card": "8", "gender": "male", "unit": "u"})).await;
        house.put("Patient", "p", json!({"card": "7", "gender": "male", "unit": "u"})).await;
        house.settle_down().await;
        assert_eq!(house.far.slot("counts-remembered|m|u/male"), Some(json!("1")));
        house.put("Patient", "p", json!({"card": "7", "gender": "male", "unit": "moved"})).await;
        house.put("test.observation", "1", json!({"card": "7", "month": "m", "again": true})).await;
        house.settle_down().await;
        assert_eq!(
            house.far.slot("counts-remembered|m|u/male"),
            Some(json!("1")),
            "the facility of that time"
        );
        assert_eq!(house.far.slot("counts-remembered|m|moved/male"), None);
    })
    .await;
}

#[tokio::test]
async fn a_failing_evaluation_is_held_and_does_not_stop_the_others() {
    each_store(|store| async move {
        let house = House::new(store, reports()).await;
        house.put("test.report", "1", json!({"panic": true})).await;
        house.put("test.report", "2", report("u", 1, json!({"a": "1"}))).await;
        house.settle_down().await;
        assert_eq!(house.far.slot("u/a"), Some(json!("1")));
        let mut db = house.store.db().read().await.unwrap();
        let reports = HeldFilter { mapping: Some("reports".to_owned()), ..HeldFilter::default() };
        let held = reads::held(&mut db, TENANT, &reports, 10).await.unwrap();
        assert_eq!(held[0].code, "evaluation-failed");
    })
    .await;
}

#[tokio::test]
async fn a_mapping_acts_from_its_activation_on() {
    each_store(|store| async move {
        let early = House::new(store.clone(), Vec::new()).await;
        early.put("test.report", "old", report("u", 1, json!({"a": "1"}))).await;
        let house = House::new(store, reports()).await;
        house.put("test.report", "new", report("v", 1, json!({"a": "1"}))).await;
        house.settle_down().await;
        assert_eq!(house.far.slot("u/a"), None);
        assert_eq!(house.far.slot("v/a"), Some(json!("1")));
    })
    .await;
}

#[tokio::test]
async fn a_settled_delivery_is_linked_to_its_resource() {
    each_store(|store| async move {
        let house = House::new(store, reports()).await;
        let mut body = report("u", 1, json!({"a": "1"}));
        body["link"] = json!("Patient/1");
        house.put("test.report", "1", body).await;
        house.settle_down().await;
        let mut db = house.store.db().read().await.unwrap();
        let links = reads::links_of(&mut db, TENANT, ("Patient", "1"), "test.report").await.unwrap();
        assert_eq!(links, [("far".to_owned(), "remote-of-Patient/1".to_owned())]);
    })
    .await;
}

/// Who waits until somebody is over there need not wait for the end of its back-off when she is.
#[tokio::test]
async fn what_waits_behind_a_lane_goes_out_when_the_lane_gets_there() {
    each_store(|store| async move {
        let house = House::new(store, reports()).await;
        let behind = mjumbe::delivery::identity::lane_behind("u");
        house.put("test.report", "1", report(&behind, 1, json!({"a": "1"}))).await;
        house.map().await;
        for _ in 0..4 {
            house.far.trouble(Trouble::Later);
            house.let_time_pass().await;
            house.send().await;
        }
        assert_eq!(house.statuses().await, [("waiting".into(), "later".into())]);
        house.put("test.report", "2", report("u", 1, json!({"a": "1"}))).await;
        house.settle_down().await;
        assert_eq!(
            house.statuses().await,
            [("settled".into(), String::new()), ("settled".into(), String::new())]
        );
    })
    .await;
}

#[tokio::test]
async fn who_lost_the_lease_writes_nothing() {
    each_store(|store| async move {
        let slow = House::with_owner(store.clone(), reports(), "slow", Arc::default()).await;
        slow.put("test.report", "1", report("u", 1, json!({"a": "old"}))).await;
        slow.map().await;
        let begun = std::time::Instant::now();
        let batch = slow.sender.claim().await.unwrap();
        let sent = slow.sender.send(&batch, begun).await;
        slow.put("test.report", "1", report("u", 1, json!({"a": "new"}))).await;
        slow.map().await;
        super::history::expire(&store).await;
        let next = House::with_owner(store.clone(), reports(), "next", slow.far.clone()).await;
        slow.far.with(|truth| truth.doubt(&batch.outgoing()));
        next.let_time_pass().await;
        next.send().await;
        let outcome = slow.sender.settle(&batch, &sent).await.unwrap();
        assert_eq!((outcome.lost, outcome.accepted), (1, 0));
        let mut db = store.db().read().await.unwrap();
        let row = db.one("select sent from slot", mjumbe::args![]).await.unwrap();
        assert_eq!(row.text("sent").unwrap(), "\"new\"");
        assert_eq!(slow.far.slot("u/a"), Some(json!("new")));
    })
    .await;
}

#[tokio::test]
async fn a_frozen_far_side_costs_no_more_than_its_lease() {
    each_store(|store| async move {
        let house = House::new(store, reports()).await;
        house.far.with(|truth| truth.limits.lease = Duration::from_secs(2));
        house.far.trouble(Trouble::Freeze);
        house.put("test.report", "1", report("u", 1, json!({"a": "1"}))).await;
        house.settle_down().await;
        assert_eq!(house.statuses().await, [("waiting".into(), "no-answer-in-time".into())]);
        house.far.with(|truth| truth.doubted.insert("u/a".to_owned()));
        house.let_time_pass().await;
        house.send().await;
        assert_eq!(house.far.with(|truth| truth.unclear_seen), 1, "it was told to look first");
        assert_eq!(house.far.slot("u/a"), Some(json!("1")));
    })
    .await;
}

#[tokio::test]
async fn who_comes_after_a_killed_process_of_the_same_file_waits_for_no_lease() {
    each_store(|store| async move {
        let far = Arc::new(super::far_side::FarSide::default());
        let killed = House::with_owner(store.clone(), reports(), "this-file", far.clone()).await;
        killed.put("test.report", "1", report("u", 1, json!({"a": "1"}))).await;
        killed.map().await;
        killed.sender.round().await.unwrap();
        killed.put("test.report", "1", report("u", 1, json!({"a": "2"}))).await;
        killed.map().await;
        let batch = killed.sender.claim().await.unwrap();
        assert_eq!(batch.deliveries.len(), 1);
        // It was killed here. Another owner has to wait, its successor has not.
        let other = House::with_owner(store.clone(), reports(), "another", far.clone()).await;
        other.send().await;
        assert_eq!(far.slot("u/a"), Some(json!("1")));
        let next = House::with_owner(store, reports(), "this-file", far.clone()).await;
        next.settle_down().await;
        assert_eq!(far.slot("u/a"), Some(json!("2")));
        assert_eq!(far.with(|truth| truth.unclear_seen), 1, "it is told that the outcome is unclear");
        // Its own claims are nobody's predecessor's.
        next.put("test.report", "1", report("u", 1, json!({"a": "3"}))).await;
        next.map().await;
        assert_eq!(next.sender.claim().await.unwrap().deliveries.len(), 1);
        next.send().await;
        assert_eq!(far.slot("u/a"), Some(json!("2")));
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_long_request_keeps_its_destination() {
    each_store(|store| async move {
        let house = House::new(store.clone(), reports()).await;
        house.far.with(|truth| truth.limits.concurrency = 1);
        house.far.trouble(Trouble::Freeze);
        house.put("test.report", "1", report("u", 1, json!({"a": "1"}))).await;
        house.map().await;
        let stop = tokio_util::sync::CancellationToken::new();
        let running = tokio::spawn({
            let (sender, stop) = (house.sender.clone(), stop.clone());
            async move { sender.run(stop).await }
        });
        // The request is under way; half of the lease is over.
        tokio::time::sleep(Duration::from_millis(500)).await;
        super::run(&store, vec!["update destination set until_ms = until_ms - 6000".to_owned()]).await;
        tokio::time::sleep(Duration::from_secs(7)).await;
        let row = store
            .db()
            .read()
            .await
            .unwrap()
            .one("select until_ms from destination", Default::default())
            .await;
        assert!(row.unwrap().int("until_ms").unwrap() > now_ms(), "another process could take it over");
        stop.cancel();
        running.abort();
    })
    .await;
}
