//! Acts, one thing at a time: each happens once, at its time, while it is wanted; killed at every step.

use std::sync::Arc;
use std::time::{Duration, Instant};

use mjumbe::delivery::acts::{BY_PERSON, LOOK_UP_AFTER_MS, NO_LONGER_WANTED, TOO_LATE};
use mjumbe::delivery::desk;
use mjumbe::delivery::destination::UNPROVABLE;
use mjumbe::delivery::signal::now_ms;
use mjumbe::store::Store;
use mjumbe::store::testing::each_store;
use serde_json::{Value, json};

use super::TENANT;
use super::once::{Clinic, Fate, Once, Time, Visits};

const HOUR: i64 = 3_600_000;
const DAY: i64 = 24 * HOUR;

fn visit(acts: &[Value]) -> Value {
    json!({ "acts": acts })
}

fn post(text: &str) -> Value {
    json!({ "reason": "hello", "text": text })
}

fn at(due: i64, text: &str) -> Value {
    json!({ "reason": "reminder", "text": text, "due": due })
}

fn said(texts: &[&str]) -> Vec<Value> {
    texts.iter().map(|text| json!({ "text": text })).collect()
}

async fn revive(clinic: &Clinic) -> usize {
    let ids = clinic.ids().await;
    let mut tx = clinic.store.db().begin_write().await.unwrap();
    let revived = desk::revive(&mut tx, TENANT, &ids, now_ms()).await.unwrap();
    tx.commit().await.unwrap();
    revived
}

async fn send_again(clinic: &Clinic) -> usize {
    let ids = clinic.ids().await;
    let mut tx = clinic.store.db().begin_write().await.unwrap();
    let revived = desk::send_again(&mut tx, TENANT, &ids, now_ms()).await.unwrap();
    tx.commit().await.unwrap();
    revived
}

async fn cancel(clinic: &Clinic) -> usize {
    let ids = clinic.ids().await;
    let mut tx = clinic.store.db().begin_write().await.unwrap();
    let cancelled = desk::cancel(&mut tx, TENANT, &ids, now_ms()).await.unwrap();
    tx.commit().await.unwrap();
    cancelled
}

/// The process that had claimed something is killed; the next one begins.
async fn successor(clinic: Clinic) -> Clinic {
    let Clinic { store, far, .. } = clinic;
    // It has the same name and takes over at once, as on a SQLite file.
    Clinic::with_owner(store, "tester", far).await
}

#[tokio::test]
async fn an_act_happens_once_and_is_frozen_from_then_on() {
    each_store(|store| async move {
        let clinic = Clinic::new(store).await;
        clinic.put("1", visit(&[post("hello")])).await;
        clinic.settle_down().await;
        assert_eq!(clinic.far.happened(), said(&["hello"]));
        let row = clinic.rows().await.remove(0);
        assert_eq!((row.reason.as_str(), row.occurrence), ("hello", 1));
        assert_eq!(row.remote, format!("uuid-of-{}", row.id));
        clinic.put("1", visit(&[post("another text")])).await;
        clinic.settle_down().await;
        clinic.delete("1").await;
        clinic.settle_down().await;
        clinic.put("1", visit(&[post("hello")])).await;
        clinic.settle_down().await;
        assert_eq!(clinic.far.happened(), said(&["hello"]), "the same reason of the same source");
        assert_eq!(clinic.acts().await, [("settled", String::new())]);
        clinic.put("1", visit(&[post("hello"), json!({"reason": "bye", "text": "bye"})])).await;
        clinic.settle_down().await;
        assert_eq!(clinic.far.happened(), said(&["hello", "bye"]));
        clinic.no_faults();
    })
    .await;
}

#[tokio::test]
async fn until_its_time_an_act_is_state() {
    each_store(|store| async move {
        let clinic = Clinic::new(store).await;
        let due = clinic.time.now() + 10 * HOUR;
        clinic.put("1", visit(&[at(due, "old")])).await;
        clinic.settle_down().await;
        clinic.put("1", visit(&[at(due, "new")])).await;
        clinic.settle_down().await;
        clinic.put("1", visit(&[])).await;
        clinic.settle_down().await;
        assert_eq!(clinic.acts().await, [("cancelled", NO_LONGER_WANTED.to_owned())]);
        clinic.pass(11 * HOUR).await;
        clinic.settle_down().await;
        assert!(clinic.far.happened().is_empty(), "cancelled before its time");
        assert_eq!(revive(&clinic).await, 0, "nobody wants it");
        clinic.put("1", visit(&[at(due, "newer")])).await;
        clinic.settle_down().await;
        assert_eq!(clinic.far.happened(), said(&["newer"]), "wanted again, an hour after its time");
        clinic.no_faults();
    })
    .await;
}

#[tokio::test]
async fn another_time_is_kept_and_none_goes_before_it() {
    each_store(|store| async move {
        let clinic = Clinic::new(store).await;
        let now = clinic.time.now();
        clinic.put("1", visit(&[at(now + HOUR, "a")])).await;
        clinic.settle_down().await;
        clinic.put("1", visit(&[at(now + 5 * HOUR, "a")])).await;
        clinic.settle_down().await;
        clinic.pass(2 * HOUR).await;
        clinic.settle_down().await;
        assert_eq!(revive(&clinic).await, 1);
        clinic.settle_down().await;
        assert!(clinic.far.happened().is_empty(), "moved to later; nobody sends it before its time");
        clinic.put("1", visit(&[at(now + HOUR, "a")])).await;
        clinic.settle_down().await;
        assert_eq!(clinic.far.happened(), said(&["a"]), "moved to an earlier time");
    })
    .await;
}

#[tokio::test]
async fn what_is_wanted_a_day_late_waits_for_a_person() {
    each_store(|store| async move {
        let clinic = Clinic::new(store).await;
        let now = clinic.time.now();
        clinic.put("1", visit(&[at(now - DAY - HOUR, "late")])).await;
        clinic.put("2", visit(&[at(now - DAY + HOUR, "in time")])).await;
        clinic.put("3", visit(&[post("at once")])).await;
        clinic.settle_down().await;
        let mut happened = clinic.far.happened();
        happened.sort_by_key(Value::to_string);
        assert_eq!(happened, said(&["at once", "in time"]));
        clinic.put("1", visit(&[at(now - DAY - HOUR, "late, corrected")])).await;
        clinic.settle_down().await;
        assert_eq!(clinic.acts().await[0], ("cancelled", TOO_LATE.to_owned()));
        assert_eq!(revive(&clinic).await, 1);
        clinic.settle_down().await;
        assert_eq!(clinic.far.happened().last(), Some(&json!({ "text": "late, corrected" })));
        // One that was in time waits through an outage as long as the horizon lasts.
        clinic.far.fate(Fate::Down);
        clinic.put("4", visit(&[at(clinic.time.now(), "outage")])).await;
        clinic.settle_down().await;
        clinic.pass(3 * DAY).await;
        clinic.settle_down().await;
        assert_eq!(clinic.far.happened().last(), Some(&json!({ "text": "outage" })));
    })
    .await;
}

#[tokio::test]
async fn what_a_person_gave_up_stays_so_until_a_person_wants_it() {
    each_store(|store| async move {
        let clinic = Clinic::new(store).await;
        let due = clinic.time.now() + HOUR;
        clinic.put("1", visit(&[at(due, "a")])).await;
        clinic.settle_down().await;
        assert_eq!(cancel(&clinic).await, 1);
        clinic.put("1", visit(&[at(due, "b")])).await;
        clinic.settle_down().await;
        clinic.put("1", visit(&[])).await;
        clinic.settle_down().await;
        clinic.put("1", visit(&[at(due, "c")])).await;
        clinic.settle_down().await;
        clinic.pass(2 * HOUR).await;
        clinic.settle_down().await;
        assert_eq!(clinic.acts().await, [("cancelled", BY_PERSON.to_owned())]);
        assert_eq!(revive(&clinic).await, 1);
        clinic.settle_down().await;
        assert_eq!(clinic.far.happened(), said(&["c"]));
    })
    .await;
}

/// What is under way when its wish changes stays as it was sent; if nothing came of it, the new wish counts.
#[tokio::test]
async fn a_wish_that_changes_under_way_is_taken_up_if_nothing_happened() {
    for (fate, expected) in [(None, "old"), (Some(Fate::Down), "new"), (Some(Fate::Later), "new")] {
        each_store(|store| async move {
            let clinic = Clinic::new(store).await;
            clinic.put("1", visit(&[post("old")])).await;
            clinic.map().await;
            let begun = Instant::now();
            let batch = clinic.sender.claim().await.unwrap();
            clinic.put("1", visit(&[post("new")])).await;
            clinic.map().await;
            fate.into_iter().for_each(|fate| clinic.far.fate(fate));
            let sent = clinic.sender.send(&batch, begun).await;
            clinic.sender.settle(&batch, &sent).await.unwrap();
            clinic.pass(HOUR).await;
            clinic.settle_down().await;
            assert_eq!(clinic.far.happened(), said(&[expected]), "{fate:?}");
            clinic.no_faults();
        })
        .await;
    }
}

#[tokio::test]
async fn a_wish_that_ends_under_way_ends_if_nothing_happened() {
    for (fate, expected) in
        [(None, "settled"), (Some(Fate::Down), "cancelled"), (Some(Fate::Refused), "cancelled")]
    {
        each_store(|store| async move {
            let clinic = Clinic::new(store).await;
            clinic.put("1", visit(&[post("old")])).await;
            clinic.map().await;
            let begun = Instant::now();
            let batch = clinic.sender.claim().await.unwrap();
            clinic.delete("1").await;
            clinic.map().await;
            fate.into_iter().for_each(|fate| clinic.far.fate(fate));
            let sent = clinic.sender.send(&batch, begun).await;
            clinic.sender.settle(&batch, &sent).await.unwrap();
            clinic.pass(HOUR).await;
            clinic.settle_down().await;
            assert_eq!(clinic.acts().await[0].0, expected, "{fate:?}");
            assert_eq!(clinic.far.happened().len(), usize::from(fate.is_none()));
        })
        .await;
    }
}

#[tokio::test]
async fn a_lost_answer_is_looked_up_and_not_before_two_minutes() {
    for fate in [Fate::LostAfter, Fate::LostBefore, Fate::UnclearAfter, Fate::UnclearBefore] {
        each_store(|store| async move {
            let clinic = Clinic::new(store).await;
            clinic.far.fate(fate);
            clinic.put("1", visit(&[post("once")])).await;
            clinic.settle_down().await;
            let row = clinic.rows().await.remove(0);
            assert!(row.unclear && row.begun_ms > 0, "{fate:?}");
            assert!(row.due_ms >= now_ms() + LOOK_UP_AFTER_MS - 5_000, "{fate:?}");
            // Neither a later wish nor an outage that ends, nor a person changes that.
            clinic.put("1", visit(&[post("another")])).await;
            clinic.settle_down().await;
            assert_eq!(revive(&clinic).await, 1);
            clinic.settle_down().await;
            assert_eq!(
                clinic.far.happened().len(),
                usize::from(matches!(fate, Fate::LostAfter | Fate::UnclearAfter))
            );
            clinic.pass(LOOK_UP_AFTER_MS + 1_000).await;
            clinic.settle_down().await;
            // What was proven not to have happened is not sent any more as it was.
            let expected =
                if matches!(fate, Fate::LostAfter | Fate::UnclearAfter) { "once" } else { "another" };
            assert_eq!(clinic.far.happened(), said(&[expected]), "{fate:?}");
            assert_eq!(clinic.acts().await, [("settled", String::new())]);
            clinic.no_faults();
        })
        .await;
    }
}

#[tokio::test]
async fn what_is_withdrawn_while_nobody_knows_whether_it_happened_is_not_sent_if_it_did_not() {
    for (fate, status, effects) in [(Fate::LostBefore, "cancelled", 0), (Fate::LostAfter, "settled", 1)] {
        each_store(|store| async move {
            let clinic = Clinic::new(store).await;
            clinic.far.fate(fate);
            clinic.put("1", visit(&[post("once")])).await;
            clinic.settle_down().await;
            clinic.delete("1").await;
            clinic.settle_down().await;
            clinic.pass(LOOK_UP_AFTER_MS + 1_000).await;
            clinic.settle_down().await;
            assert_eq!(clinic.acts().await[0].0, status, "{fate:?}");
            assert_eq!(clinic.far.happened().len(), effects, "{fate:?}");
            clinic.no_faults();
        })
        .await;
    }
}

#[tokio::test]
async fn what_cannot_be_proven_is_a_dead_letter_and_only_a_person_sends_it_again() {
    each_store(|store| async move {
        let clinic = Clinic::new(store).await;
        clinic.far.with(|facts| facts.blind = true);
        clinic.far.fate(Fate::LostAfter);
        clinic.put("1", json!({ "acts": [{ "reason": "r", "text": "once", "lane": "x" }] })).await;
        clinic.settle_down().await;
        clinic.pass(LOOK_UP_AFTER_MS + 1_000).await;
        clinic.settle_down().await;
        assert_eq!(clinic.acts().await, [("dead", UNPROVABLE.to_owned())]);
        // It holds up nobody of its lane, and neither a newer wish nor a retry sends it.
        clinic.put("1", json!({ "acts": [{ "reason": "r", "text": "new", "lane": "x" }] })).await;
        clinic.put("2", json!({ "acts": [{ "reason": "r", "text": "next", "lane": "x" }] })).await;
        clinic.settle_down().await;
        assert_eq!(revive(&clinic).await, 0);
        clinic.pass(30 * DAY).await;
        clinic.settle_down().await;
        assert_eq!(clinic.far.happened(), said(&["once", "next"]));
        assert_eq!(send_again(&clinic).await, 1);
        clinic.settle_down().await;
        assert_eq!(clinic.far.happened(), said(&["once", "next", "new"]), "a person decided so");
        clinic.no_faults();
    })
    .await;
}

/// Killed at every step: after the claim, after the request, within and before the settlement.
#[tokio::test]
async fn killed_at_any_step_it_happens_once() {
    for step in ["claimed", "sent", "settling"] {
        each_store(|store| async move {
            let clinic = Clinic::new(store).await;
            clinic.put("1", visit(&[post("once")])).await;
            clinic.map().await;
            let begun = Instant::now();
            let batch = clinic.sender.claim().await.unwrap();
            assert_eq!(batch.deliveries.len(), 1);
            if step != "claimed" {
                let sent = clinic.sender.send(&batch, begun).await;
                if step == "settling" {
                    let work = clinic.sender.settle(&batch, &sent);
                    let _ = tokio::time::timeout(Duration::from_micros(300), work).await;
                }
            }
            let clinic = successor(clinic).await;
            clinic.settle_down().await;
            let settled = clinic.acts().await == [("settled", String::new())];
            assert!(!settled || step == "settling", "{step}: nobody knows yet");
            clinic.pass(2 * LOOK_UP_AFTER_MS + 1_000).await;
            clinic.settle_down().await;
            assert_eq!(clinic.far.happened(), said(&["once"]), "{step}");
            assert_eq!(clinic.acts().await, [("settled", String::new())], "{step}");
            clinic.no_faults();
        })
        .await;
    }
}

/// A lease that ran out was used for requests in its first half only.
#[tokio::test]
async fn the_wait_counts_from_the_last_moment_at_which_a_request_could_be_made() {
    each_store(|store| async move {
        let clinic = Clinic::new(store).await;
        clinic.put("1", visit(&[post("once")])).await;
        clinic.map().await;
        clinic.sender.claim().await.unwrap();
        clinic.pass(121_000).await;
        let other = Clinic::with_owner(clinic.store.clone(), "other", clinic.far.clone()).await;
        other.settle_down().await;
        let row = other.rows().await.remove(0);
        let waits = row.due_ms - now_ms();
        assert!((50_000..=60_000).contains(&waits), "60 s of the lease and 120 s: {waits}");
        other.pass(61_000).await;
        other.settle_down().await;
        assert_eq!(other.far.happened(), said(&["once"]));
    })
    .await;
}

#[tokio::test]
async fn a_far_side_that_never_answers_is_looked_up() {
    each_store(|store| async move {
        let time = Time::default();
        let far = Once { facts: Default::default(), time, lease: Duration::from_millis(400) };
        let clinic = Clinic::with_owner(store, "tester", Arc::new(far)).await;
        clinic.far.fate(Fate::Frozen);
        clinic.put("1", visit(&[post("once")])).await;
        clinic.settle_down().await;
        clinic.pass(LOOK_UP_AFTER_MS + 1_000).await;
        clinic.settle_down().await;
        assert_eq!(clinic.far.happened(), said(&["once"]));
        assert_eq!(clinic.acts().await, [("settled", String::new())]);
        clinic.no_faults();
    })
    .await;
}

/// A look-up that fails proves nothing.
#[tokio::test]
async fn an_outage_of_the_look_up_is_waited_for() {
    each_store(|store| async move {
        let clinic = Clinic::new(store).await;
        clinic.far.fate(Fate::LostAfter);
        clinic.put("1", visit(&[post("once")])).await;
        clinic.settle_down().await;
        clinic.far.fate(Fate::Deaf);
        clinic.pass(LOOK_UP_AFTER_MS + 1_000).await;
        clinic.settle_down().await;
        let row = clinic.rows().await.remove(0);
        assert!(row.unclear && row.begun_ms > 0);
        clinic.pass(HOUR).await;
        clinic.settle_down().await;
        assert_eq!(clinic.far.happened(), said(&["once"]));
        clinic.no_faults();
    })
    .await;
}

#[tokio::test]
async fn what_is_refused_is_dead_and_a_newer_wish_goes() {
    each_store(|store| async move {
        let clinic = Clinic::new(store).await;
        clinic.far.fate(Fate::Refused);
        clinic.put("1", visit(&[post("wrong")])).await;
        clinic.settle_down().await;
        assert_eq!(clinic.acts().await, [("dead", "wrong".to_owned())]);
        clinic.put("1", visit(&[post("right")])).await;
        clinic.settle_down().await;
        assert_eq!(clinic.far.happened(), said(&["right"]));
        clinic.no_faults();
    })
    .await;
}

#[tokio::test]
async fn a_refused_batch_is_halved_and_all_others_happen_once() {
    each_store(|store| async move {
        let clinic = Clinic::new(store).await;
        clinic.far.fate(Fate::Rejected);
        for id in ["1", "2", "3"] {
            clinic.put(id, visit(&[post(id)])).await;
        }
        clinic.settle_down().await;
        let mut happened = clinic.far.happened();
        happened.sort_by_key(Value::to_string);
        assert_eq!(happened, said(&["1", "2", "3"]));
        clinic.no_faults();
    })
    .await;
}

#[tokio::test]
async fn what_is_to_come_does_not_hold_up_its_lane() {
    each_store(|store| async move {
        let clinic = Clinic::new(store).await;
        let due = clinic.time.now() + HOUR;
        let act = |reason: &str, text: &str, due: Option<i64>| {
            json!({ "reason": reason, "text": text, "due": due, "lane": "her" })
        };
        clinic.put("1", visit(&[act("reminder", "later", Some(due)), act("hello", "now", None)])).await;
        clinic.settle_down().await;
        clinic.put("2", visit(&[act("more", "after it", None)])).await;
        clinic.settle_down().await;
        assert_eq!(clinic.far.happened(), said(&["now", "after it"]));
        clinic.pass(HOUR).await;
        clinic.settle_down().await;
        assert_eq!(clinic.far.happened().last(), Some(&json!({ "text": "later" })));
        clinic.no_faults();
    })
    .await;
}

/// An act that needs a contact, in the contact's own lane, and its link.
#[tokio::test]
async fn an_act_waits_for_what_it_needs_and_for_its_link() {
    for key in ["needs", "link"] {
        each_store(|store| async move {
            let waits = json!({ key: if key == "needs" { "contact" } else { "Patient/1" } });
            let clinic = Clinic::new(store).await;
            let mut act = json!({ "reason": "hello", "text": "hi", "lane": "her" });
            act.as_object_mut().unwrap().append(&mut waits.as_object().unwrap().clone());
            clinic
                .put("2", visit(&[json!({ "reason": "r", "text": "x", "lane": "her", "link": "Patient/9" })]))
                .await;
            clinic.settle_down().await;
            clinic.far.fate(Fate::Down);
            let visit = json!({ "contact": "her", "name": "A", "link": "Patient/1", "acts": [act] });
            clinic.put("1", visit).await;
            clinic.settle_down().await;
            assert!(clinic.far.happened().is_empty(), "the contact is not there yet");
            let codes: Vec<String> = clinic.acts().await.into_iter().map(|(_, code)| code).collect();
            let code = if waits.get("link").is_some() { "link-missing" } else { "needs-unsettled" };
            assert!(codes.iter().any(|one| one == code), "{codes:?}");
            clinic.pass(6_000).await;
            clinic.settle_down().await;
            clinic.pass(6_000).await;
            clinic.settle_down().await;
            assert_eq!(
                clinic.far.happened().len(),
                1,
                "woken by the link, or by what it needs: {:?}",
                clinic.acts().await
            );
            if waits.get("link").is_some() {
                let links = clinic.far.with(|facts| facts.links.last().cloned().unwrap());
                assert_eq!(links["Patient/1"], "remote-of-Patient/1");
            }
            assert!(
                clinic.acts().await.contains(&("waiting", "link-missing".to_owned())),
                "nobody links Patient/9"
            );
            clinic.no_faults();
        })
        .await;
    }
}

/// State that is wanted is delivered whether its mapping is loaded or not; nothing new begins.
#[tokio::test]
async fn acts_of_a_mapping_that_is_not_loaded_wait_for_it() {
    each_store(|store| async move {
        let clinic = Clinic::new(store).await;
        clinic.far.fate(Fate::LostAfter);
        clinic.put("0", visit(&[post("begun")])).await;
        clinic.settle_down().await;
        let due = clinic.time.now() + HOUR;
        clinic.put("1", json!({ "contact": "c", "name": "A", "acts": [at(due, "later")] })).await;
        clinic.map().await;
        // The file is gone when the program starts again.
        let renamed = Visits { name: "renamed", time: clinic.time.clone() };
        Clinic::mapper(&clinic.store, "tester", vec![Arc::new(renamed)]).await;
        clinic.send().await;
        assert_eq!(clinic.far.with(|facts| facts.states.len()), 1, "state is delivered");
        clinic.pass(2 * HOUR).await;
        clinic.send().await;
        assert_eq!(clinic.far.happened(), said(&["begun"]));
        let expected = [("settled", String::new()), ("waiting", "mapping-not-loaded".to_owned())];
        assert_eq!(clinic.acts().await, expected, "what had begun was looked up");
        // It is back.
        let back = Visits { name: "visits", time: clinic.time.clone() };
        Clinic::mapper(&clinic.store, "tester", vec![Arc::new(back)]).await;
        clinic.send().await;
        assert_eq!(clinic.far.happened(), said(&["begun", "later"]));
        clinic.no_faults();
    })
    .await;
}

/// An edited mapping: what waits is renewed by the next evaluation of its source, what happened is not touched.
#[tokio::test]
async fn one_delivery_is_shown_with_its_reason_and_time() {
    each_store(|store: Store| async move {
        let clinic = Clinic::new(store).await;
        let due = clinic.time.now() + HOUR;
        let third = json!({ "reason": "reminder", "text": "t", "due": due, "occurrence": 3 });
        clinic.put("1", visit(&[third])).await;
        clinic.map().await;
        let id = clinic.ids().await.remove(0);
        let shown = clinic.show(&id).await.delivery;
        assert_eq!((shown.reason.as_str(), shown.occurrence, shown.not_before_ms), ("reminder", 3, due));
        assert_eq!(shown.due_ms, due);
    })
    .await;
}

/// Hours in UTC that begin so many minutes from now and last an hour.
fn hours_from(minutes: i64) -> String {
    let time = |minutes| {
        let moment = jiff::Timestamp::from_millisecond(now_ms() + minutes * 60_000).unwrap();
        moment.strftime("%H:%M").to_string()
    };
    format!("{}-{} UTC", time(minutes), time(minutes + 60))
}

async fn open(clinic: &Clinic) {
    let hours = hours_from(-30);
    super::run(
        &clinic.store,
        vec![format!("update delivery set hours = '{hours}', due_ms = 0 where hours <> ''")],
    )
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_late_keeps_its_hours_and_holds_up_nobody() {
    each_store(|store| async move {
        let clinic = Clinic::new(store).await;
        let late = json!({ "reason": "late", "text": "night", "hours": hours_from(120) });
        let other = json!({ "reason": "other", "text": "day" });
        clinic.put("a", visit(&[late, other])).await;
        clinic.settle_down().await;
        let heard = clinic.far.with(|facts| facts.effects.clone());
        assert_eq!(heard.into_iter().map(|effect| effect.wanted).collect::<Vec<_>>(), said(&["day"]));
        // A person who asks for it does not disturb anybody either.
        revive(&clinic).await;
        send_again(&clinic).await;
        clinic.send().await;
        let rows = clinic.rows().await;
        let row = rows.iter().find(|row| row.reason == "late").unwrap();
        assert_eq!((row.status.text(), row.cause.code.as_str()), ("waiting", "outside-hours"));
        let wait = row.due_ms - now_ms();
        assert!((115 * 60_000..=120 * 60_000).contains(&wait), "{wait}");
        assert_eq!(row.begun_ms, 0);

        open(&clinic).await;
        clinic.send().await;
        assert_eq!(clinic.far.with(|facts| facts.effects.len()), 2);
        clinic.no_faults();
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_could_not_go_in_its_hours_goes_when_they_open_next() {
    each_store(|store| async move {
        let clinic = Clinic::new(store).await;
        clinic.far.fate(Fate::Down);
        clinic.put("a", visit(&[json!({ "reason": "r", "text": "hi", "hours": hours_from(-30) })])).await;
        clinic.settle_down().await;
        assert_eq!(clinic.far.with(|facts| facts.effects.len()), 0);
        let closed = hours_from(120);
        super::run(&clinic.store, vec![format!("update delivery set hours = '{closed}'")]).await;
        clinic.pass(HOUR).await;
        clinic.send().await;
        assert_eq!(clinic.acts().await, [("waiting", "outside-hours".to_owned())]);
        assert_eq!(clinic.far.with(|facts| facts.effects.len()), 0);
        open(&clinic).await;
        clinic.send().await;
        assert_eq!(clinic.far.with(|facts| facts.effects.len()), 1);
        clinic.no_faults();
    })
    .await;
}
