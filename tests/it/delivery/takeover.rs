//! A process vanishes while it sends; the next one takes over long before the lease is over, and no sooner
//! than the last request of the vanished one can be.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use mjumbe::delivery::destination::{
    Destination, Failure, Limits, Outgoing, Reason, Sent, Settled, Verdict, not_begun,
};
use mjumbe::delivery::hold::{Leave, Terms};
use mjumbe::delivery::mapper::Mapper;
use mjumbe::delivery::sender::Sender;
use mjumbe::delivery::signal::{Signals, now_ms};
use mjumbe::mapping::output::Withdraw;
use mjumbe::store::Store;
use mjumbe::store::testing::each_store;
use mjumbe::store::write::Fixed;
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

use super::mappings::Reports;
use super::once::Clinic;
use super::{TENANT, put_of, run, surroundings};

const LEASE: Duration = Duration::from_secs(120);
/// The longest request, which the far side works on nearly as long, whoever listens still.
const LONGEST: Duration = Duration::from_millis(3_000);
const WORKS: Duration = Duration::from_millis(2_800);
const TERMS: Terms = Terms { hold: Duration::from_millis(600), margin: Duration::from_millis(300) };

/// Slot, value, whether its outcome was unclear before.
type Carried = (String, Value, bool);

/// What arrived, and what took effect, in order.
#[derive(Debug, Default)]
struct Heard {
    slots: BTreeMap<String, Value>,
    effects: Vec<(String, Value)>,
    /// When each request began and what it carried.
    requests: Vec<(Instant, Vec<Carried>)>,
}

/// A far side that goes on working on a request whoever listens still. Sends one delivery a request.
#[derive(Clone, Default)]
struct Slow {
    heard: Arc<Mutex<Heard>>,
    /// How long it works on each request from the first on.
    works: Arc<Mutex<Vec<Duration>>>,
}

impl Slow {
    fn with<T>(&self, with: impl FnOnce(&mut Heard) -> T) -> T {
        with(&mut self.heard.lock().unwrap())
    }

    async fn request(&self, one: &Outgoing) {
        let parts: Vec<_> = one
            .parts
            .iter()
            .map(|part| (part.slot.clone(), part.wanted.clone().unwrap_or_default(), one.unclear))
            .collect();
        let works = {
            let mut works = self.works.lock().unwrap();
            if works.is_empty() { Duration::ZERO } else { works.remove(0) }
        };
        self.with(|heard| heard.requests.push((Instant::now(), parts.clone())));
        let heard = Arc::clone(&self.heard);
        let working = tokio::spawn(async move {
            tokio::time::sleep(works).await;
            let mut heard = heard.lock().unwrap();
            for (slot, wanted, _) in parts {
                heard.effects.push((slot.clone(), wanted.clone()));
                heard.slots.insert(slot, wanted);
            }
        });
        working.await.unwrap();
    }
}

#[async_trait]
impl Destination for Slow {
    fn system(&self) -> &str {
        "test"
    }

    fn name(&self) -> &str {
        "far"
    }

    fn limits(&self) -> Limits {
        Limits {
            batch_deliveries: 10,
            batch_parts: 50,
            concurrency: 1,
            budget_per_hour: None,
            lease: LEASE,
            longest_request: LONGEST,
            horizon: Duration::from_secs(86_400),
        }
    }

    fn check(&self, _: &Outgoing) -> Vec<(usize, Reason)> {
        Vec::new()
    }

    async fn send(&self, batch: &[Outgoing], leave: &Leave) -> Sent {
        let mut settled = Vec::new();
        for one in batch {
            if leave.is_over() {
                return Sent { result: Err(not_begun()), exchanges: Vec::new() };
            }
            self.request(one).await;
            let parts = one.parts.iter().map(|_| Verdict::Accepted).collect();
            settled.push(Settled { parts, remote: None, notes: Vec::new() });
        }
        Sent { result: Ok(settled), exchanges: Vec::new() }
    }

    async fn probe(&self) -> Result<(), Failure> {
        Ok(())
    }
}

struct Scene {
    store: Store,
    mapper: Mapper,
    far: Slow,
}

impl Scene {
    async fn new(store: Store, works: &[Duration]) -> Self {
        let reports = Arc::new(Reports { withdraw: Withdraw::Delete });
        let (db, signals) = (store.db().clone(), Signals::default());
        let mapper = Mapper::start(db, "mapper", surroundings(), vec![reports], signals).await.unwrap();
        let far = Slow::default();
        far.works.lock().unwrap().extend_from_slice(works);
        Self { store, mapper, far }
    }

    fn sender(&self, owner: &str) -> Sender {
        self.steady(owner).with_terms(TERMS)
    }

    /// One that keeps its hold for as long as usual.
    fn steady(&self, owner: &str) -> Sender {
        let far = Arc::new(self.far.clone());
        Sender::new(self.store.db().clone(), (TENANT, owner), far, Signals::default())
    }

    /// Five units report this value.
    async fn report(&self, units: &[&str], value: i64) {
        let body = |unit: &&str| json!({"unit": unit, "authored": value, "values": {"a": value}});
        let puts = units.iter().map(|unit| put_of("test.report", unit, Some(body(unit)))).collect();
        self.store.write(TENANT, Box::new(Fixed { puts, ..Fixed::default() })).await.unwrap();
        while self.mapper.round().await.unwrap() > 0 {}
    }

    async fn leases(&self) -> Vec<i64> {
        let mut db = self.store.db().read().await.unwrap();
        let sql = "select lease_until_ms from delivery where status = 'sending' order by id";
        let rows = db.all(sql, mjumbe::args![]).await.unwrap();
        rows.iter().map(|row| row.int("lease_until_ms").unwrap()).collect()
    }

    async fn open(&self) -> i64 {
        let mut db = self.store.db().read().await.unwrap();
        let sql = "select count(*) as open from delivery where status <> 'settled'";
        db.one(sql, mjumbe::args![]).await.unwrap().int("open").unwrap()
    }

    async fn until(&self, what: &str, limit: Duration, holds: impl AsyncFn() -> bool) {
        let begun = Instant::now();
        while !holds().await {
            assert!(begun.elapsed() < limit, "{what}: not within {limit:?}");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
}

const UNITS: [&str; 5] = ["u1", "u2", "u3", "u4", "u5"];

#[tokio::test(flavor = "multi_thread")]
async fn who_takes_over_from_a_vanished_sender_waits_for_its_last_request_and_not_for_its_lease() {
    each_store(|store| async move {
        let scene = Scene::new(store, &[Duration::ZERO, Duration::ZERO, WORKS]).await;
        scene.report(&UNITS, 1).await;
        let vanishing = scene.sender("one");
        let one = tokio::spawn(async move { vanishing.run(CancellationToken::new()).await });
        // Two of five were answered, the third is worked on.
        let third = async || scene.far.with(|heard| heard.requests.len() == 3);
        scene.until("the third request", Duration::from_secs(10), third).await;
        one.abort();
        assert!(one.await.unwrap_err().is_cancelled());
        let gone = Instant::now();
        // A newer value of each, which the old one under way must not overwrite.
        scene.report(&UNITS, 2).await;
        let two = scene.sender("two");
        let stop = CancellationToken::new();
        let two = tokio::spawn({
            let stop = stop.clone();
            async move { two.run(stop).await }
        });
        scene.until("all is settled", Duration::from_secs(20), async || scene.open().await == 0).await;
        assert!(gone.elapsed() < LEASE / 4, "it waited for the lease");
        stop.cancel();
        two.await.unwrap();
        scene.far.with(|heard| {
            let third = heard.requests[2].0;
            let next = &heard.requests[3];
            assert!(next.0 - third >= LONGEST, "a request of the vanished one could be under way");
            assert!(
                heard.slots.len() == 5 && heard.slots.values().all(|value| *value == json!(2)),
                "{heard:?}"
            );
            for (_, parts) in &heard.requests[3..] {
                assert!(parts.iter().all(|(_, value, unclear)| *value == json!(2) && *unclear), "{parts:?}");
            }
            // Nothing went out twice, though it went out for each that had been claimed.
            assert_eq!(heard.requests.len(), 3 + 5);
            assert_eq!(heard.effects.iter().filter(|(_, value)| *value == json!(2)).count(), 5);
        });
    })
    .await;
}

/// The one that takes over vanishes too: what the first had claimed is not waited for anew.
#[tokio::test]
async fn a_claim_of_one_who_is_gone_ends_once_however_many_follow() {
    each_store(|store| async move {
        let scene = Scene::new(store.clone(), &[]).await;
        scene.report(&["u1", "u2"], 1).await;
        let one = scene.sender("one");
        assert_eq!(one.claim().await.unwrap().deliveries.len(), 2);
        let whole = scene.leases().await;
        assert!(whole.iter().all(|until| *until > now_ms() + 100_000));
        // While it holds the destination nobody ends its claims, nor does it itself.
        let two = scene.sender("two");
        assert_eq!(two.claim().await.unwrap().deliveries.len(), 0);
        tokio::time::sleep(TERMS.hold / 2).await;
        one.claim().await.unwrap();
        assert_eq!(scene.leases().await, whole);
        tokio::time::sleep(TERMS.hold).await;
        let before = now_ms();
        two.claim().await.unwrap();
        let cut = scene.leases().await;
        let whole_wait = i64::try_from((TERMS.hold + LONGEST + TERMS.margin).as_millis()).unwrap();
        assert!(cut.iter().all(|until| (before..=now_ms()).contains(&(until - whole_wait))), "{cut:?}");
        tokio::time::sleep(TERMS.hold).await;
        scene.sender("three").claim().await.unwrap();
        assert_eq!(scene.leases().await, cut);
    })
    .await;
}

/// One that is alive and lost its destination to another begins no request after its hold.
#[tokio::test(flavor = "multi_thread")]
async fn who_lost_the_destination_begins_no_further_request() {
    each_store(|store| async move {
        let scene = Scene::new(store.clone(), &[Duration::from_millis(400); 5]).await;
        scene.report(&UNITS, 1).await;
        let losing = scene.sender("one");
        let one = tokio::spawn(async move { losing.round().await });
        let first = async || scene.far.with(|heard| heard.requests.len() == 1);
        scene.until("the first request", Duration::from_secs(10), first).await;
        let until = now_ms() + 600_000;
        let stolen = format!("update destination set owner = 'two', fence = fence + 1, until_ms = {until}");
        run(&store, vec![stolen]).await;
        let lost = Instant::now();
        one.await.unwrap().unwrap();
        scene.far.with(|heard| {
            assert!(heard.requests.len() < UNITS.len(), "it went on");
            let last = heard.requests.last().unwrap().0;
            assert!(last.saturating_duration_since(lost) <= TERMS.hold, "{:?} later", last - lost);
        });
    })
    .await;
}

/// A claim that began under a hold and comes to the store after another took the destination.
#[tokio::test]
async fn who_lost_the_destination_claims_nothing() {
    each_store(|store| async move {
        let scene = Scene::new(store.clone(), &[]).await;
        let one = scene.steady("one");
        assert!(one.claim().await.unwrap().deliveries.is_empty());
        let until = now_ms() + 600_000;
        let stolen = format!("update destination set owner = 'two', fence = fence + 1, until_ms = {until}");
        run(&store, vec![stolen]).await;
        scene.report(&["u1"], 1).await;
        // By its own clock it holds the destination still.
        assert!(one.claim().await.unwrap().deliveries.is_empty());
        assert_eq!(scene.leases().await, [0; 0]);
    })
    .await;
}

/// A process stands still for longer than the take-over provides for and goes on with what it was sending: the
/// newer value stands in the end, whether that was settled by then or was under way.
#[tokio::test]
async fn a_late_answer_of_who_stood_still_leaves_the_newer_value() {
    each_store(|store| async move {
        for under_way in [false, true] {
            let unit = if under_way { "u1" } else { "u2" };
            let scene = Scene::new(store.clone(), &[]).await;
            let (one, two) = (scene.steady("one"), scene.steady("two"));
            let leave = || Leave::until(Instant::now() + LEASE);
            let free = || async {
                let ended = ["update delivery set lease_until_ms = 0", "update destination set until_ms = 0"];
                run(&scene.store, ended.map(str::to_owned).to_vec()).await;
            };
            scene.report(&[unit], 1).await;
            let old = one.claim().await.unwrap();
            assert_eq!(old.deliveries.len(), 1);
            free().await;
            scene.report(&[unit], 2).await;
            two.round().await.unwrap();
            let effects = || scene.far.with(|heard| heard.effects.len());
            if under_way {
                // Again, so that it is under way when the late one comes.
                scene.report(&[unit], 3).await;
                let new = two.claim().await.unwrap();
                assert_eq!(new.deliveries.len(), 1);
                let sent = scene.far.send(&new.outgoing(), &leave()).await;
                let late = scene.far.send(&old.outgoing(), &leave()).await;
                assert_eq!(one.settle(&old, &late).await.unwrap().lost, 1);
                assert_eq!(two.settle(&new, &sent).await.unwrap().lost, 1, "its answer proves nothing");
                free().await;
            } else {
                let late = scene.far.send(&old.outgoing(), &leave()).await;
                assert_eq!(scene.open().await, 0, "the newer one was settled");
                assert_eq!(one.settle(&old, &late).await.unwrap().lost, 1);
            }
            let before = effects();
            two.round().await.unwrap();
            assert_eq!((effects(), scene.open().await), (before + 1, 0), "sent again, once");
            let newest = json!(if under_way { 3 } else { 2 });
            let stands = scene.far.with(|heard| heard.slots.values().cloned().collect::<Vec<_>>());
            assert_eq!(stands, [newest]);
            // Nobody holds the destination when the next turn begins.
            free().await;
        }
    })
    .await;
}

/// An act of a vanished sender is looked up no sooner than 120 s after its last request can have been made.
#[tokio::test]
async fn an_act_of_a_vanished_sender_is_looked_up_in_its_time() {
    each_store(|store| async move {
        let clinic = Clinic::new(store).await;
        let act = json!({"reason": "r", "text": "once"});
        clinic.put("1", json!({"acts": [act]})).await;
        clinic.map().await;
        let begun = Instant::now();
        let batch = clinic.sender.claim().await.unwrap();
        clinic.sender.send(&batch, begun).await;
        // The hold is over, and another process takes the destination.
        clinic.pass(11_000).await;
        let other = Clinic::with_owner(clinic.store.clone(), "other", clinic.far.clone()).await;
        for _ in 0..60 {
            other.settle_down().await;
            other.pass(5_000).await;
        }
        assert_eq!(other.acts().await, [("settled", String::new())]);
        assert_eq!(other.far.happened().len(), 1);
        other.no_faults();
    })
    .await;
}
