//! Random histories: creations, corrections, deletions, late patients, moved patients, two reports for one
//! cell, outages, lost answers, crashes between every pair of steps, two workers at once. At the end the far
//! side equals a recount from the sources, whatever happened on the way.
//!
//! `MJUMBE_HISTORIES` says how many of each kind (4 unless told); a failure names its seed.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use mjumbe::delivery::evaluator::Evaluator;
use mjumbe::delivery::sender::Round;
use mjumbe::mapping::output::{Aggregate, Withdraw};
use mjumbe::store::Store;
use mjumbe::store::db::Engine;
use mjumbe::store::testing::each_store;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

use super::far_side::{FarSide, Trouble};
use super::mappings::{Counts, Reports};
use super::{House, TENANT, run};

const UNITS: [&str; 3] = ["north", "south", "east"];
const STEPS: usize = 120;

pub fn histories() -> u64 {
    std::env::var("MJUMBE_HISTORIES").ok().and_then(|text| text.parse().ok()).unwrap_or(4)
}

fn mappings() -> Vec<Arc<dyn Evaluator>> {
    vec![
        Arc::new(Reports { withdraw: Withdraw::Delete }),
        Arc::new(Counts { follow: true, aggregate: Aggregate::Sum }),
        Arc::new(Counts { follow: false, aggregate: Aggregate::Count }),
    ]
}

/// What the sources say now.
#[derive(Default)]
struct Sources {
    reports: BTreeMap<usize, Value>,
    observations: BTreeMap<usize, Value>,
    patients: BTreeMap<usize, Value>,
    clock: i64,
}

fn pick<'a, T>(random: &mut StdRng, all: &'a [T]) -> &'a T {
    &all[random.random_range(0..all.len())]
}

impl Sources {
    /// One thing happens in the world.
    async fn happen(&mut self, house: &House, random: &mut StdRng) {
        match random.random_range(0..10) {
            0..4 => self.report(house, random).await,
            4..8 => self.observation(house, random).await,
            _ => self.patient(house, random).await,
        }
    }

    async fn report(&mut self, house: &House, random: &mut StdRng) {
        let number = random.random_range(0..6);
        let id = number.to_string();
        if self.reports.contains_key(&number) && random.random_bool(0.25) {
            self.reports.remove(&number);
            return house.delete("test.report", &id).await;
        }
        self.clock += 1;
        let mut values = serde_json::Map::new();
        for cell in ["a", "b", "c"] {
            if random.random_bool(0.7) {
                values.insert(cell.to_owned(), json!(random.random_range(0..4).to_string()));
            }
        }
        let authored = random.random_range(0..5) * 1_000_000 + self.clock;
        let unit = pick(random, &UNITS);
        let complete = random.random_bool(0.5);
        let body = json!({ "unit": unit, "authored": authored, "values": values, "complete": complete });
        self.reports.insert(number, body.clone());
        house.put("test.report", &id, body).await;
    }

    async fn observation(&mut self, house: &House, random: &mut StdRng) {
        let number = random.random_range(0..8);
        let id = number.to_string();
        if self.observations.contains_key(&number) && random.random_bool(0.3) {
            self.observations.remove(&number);
            return house.delete("test.observation", &id).await;
        }
        // Whose observation it is does not change.
        let card = (number % 4).to_string();
        let month = pick(random, &["m1", "m2"]);
        let amount = random.random_range(1..9).to_string();
        let body = json!({ "card": card, "month": month, "amount": amount });
        self.observations.insert(number, body.clone());
        house.put("test.observation", &id, body).await;
    }

    async fn patient(&mut self, house: &House, random: &mut StdRng) {
        let number = random.random_range(0..4);
        let gender = pick(random, &["male", "female"]);
        let body = json!({ "card": number.to_string(), "gender": gender, "unit": pick(random, &UNITS) });
        self.patients.insert(number, body.clone());
        house.put("Patient", &number.to_string(), body).await;
    }

    /// What the far side should hold: a recount.
    async fn recount(&self, store: &Store) -> BTreeMap<String, Value> {
        let mut cells = BTreeMap::new();
        let mut latest: BTreeMap<String, i64> = BTreeMap::new();
        for report in self.reports.values() {
            let unit = report["unit"].as_str().unwrap();
            let authored = report["authored"].as_i64().unwrap();
            let mut wants: Vec<(String, Value)> = report["values"]
                .as_object()
                .unwrap()
                .iter()
                .map(|(cell, value)| (format!("{unit}/{cell}"), value.clone()))
                .collect();
            if report["complete"] == json!(true) {
                wants.push((format!("{unit}/complete"), json!(true)));
            }
            for (slot, value) in wants {
                if latest.get(&slot).is_none_or(|known| *known < authored) {
                    latest.insert(slot.clone(), authored);
                    cells.insert(slot, value);
                }
            }
        }
        let mut sums: BTreeMap<(String, String), i64> = BTreeMap::new();
        for (number, observation) in &self.observations {
            let month = observation["month"].as_str().unwrap();
            let amount: i64 = observation["amount"].as_str().unwrap().parse().unwrap();
            if let Some(patient) = self.patients.get(&(number % 4)) {
                *sums.entry(count_slot("counts-followed", month, patient)).or_default() += amount;
            }
            if let Some(patient) = remembered(store, *number).await {
                *sums.entry(count_slot("counts-remembered", month, &patient)).or_default() += 1;
            }
        }
        for ((slot, sex), sum) in sums {
            cells.insert(slot, json!({ "sex": sex, "value": sum.to_string() }));
        }
        cells
    }
}

fn count_slot(mapping: &str, month: &str, patient: &Value) -> (String, String) {
    let (unit, sex) = (patient["unit"].as_str().unwrap(), patient["gender"].as_str().unwrap());
    (format!("{mapping}|{month}|{unit}/{sex}"), sex.to_owned())
}

/// The patient as an observation saw it first.
async fn remembered(store: &Store, observation: usize) -> Option<Value> {
    let rid = store.read(TENANT, "test.observation", &observation.to_string()).await.unwrap().unwrap().rid;
    let sources = {
        let mut db = store.db().read().await.unwrap();
        let rows = mjumbe::store::reads::reads(&mut db, TENANT, "counts-remembered", rid).await.unwrap();
        rows.first()?.sources.clone()
    };
    let sources: Vec<Value> = serde_json::from_str(&sources).unwrap();
    let source = sources.first()?;
    let id = source["id"].as_str().unwrap();
    let seen =
        store.vread(TENANT, ("Patient", id), source["version"].as_i64().unwrap()).await.unwrap().unwrap();
    Some(serde_json::from_str(&seen.body.unwrap()).unwrap())
}

/// One step of the machinery, with its troubles and crashes.
async fn stumble(house: &House, random: &mut StdRng) {
    let troubles = [
        Trouble::FailBefore,
        Trouble::FailAfter,
        Trouble::FailHalfway,
        Trouble::Throttle,
        Trouble::Collide,
        Trouble::Unauthorised,
        Trouble::Later,
    ];
    match random.random_range(0..12) {
        0..3 => drop(house.mapper.round().await.unwrap()),
        // Killed somewhere within a round.
        3..5 => {
            let limit = Duration::from_micros(random.random_range(0..8_000));
            let _ = tokio::time::timeout(limit, house.mapper.round()).await;
        }
        5..8 => drop(house.sender.round().await.unwrap()),
        8 => {
            house.far.trouble(pick(random, &troubles).clone());
            house.sender.round().await.unwrap();
        }
        9 => crash(house, random).await,
        10 => house.let_time_pass().await,
        _ => {
            house.let_time_pass().await;
            expire(&house.store).await;
        }
    }
}

/// A process dies after it claimed, after it sent, or within settling.
async fn crash(house: &House, random: &mut StdRng) {
    let begun = Instant::now();
    let batch = house.sender.claim().await.unwrap();
    house.far.with(|truth| truth.doubt(&batch.outgoing()));
    if random.random_bool(0.3) {
        return;
    }
    let sent = house.sender.send(&batch, begun).await;
    if random.random_bool(0.5) {
        return;
    }
    let limit = Duration::from_micros(random.random_range(0..4_000));
    let _ = tokio::time::timeout(limit, house.sender.settle(&batch, &sent)).await;
}

/// All leases run out.
pub async fn expire(store: &Store) {
    let statements = [
        "update delivery set lease_until_ms = 0 where status = 'sending'",
        "update destination set until_ms = 0",
        "update mapper_partition set until_ms = 0",
        "delete from mapper_worker",
    ];
    run(store, statements.map(str::to_owned).to_vec()).await;
}

/// The troubles end, the other processes too; everything comes to rest.
async fn heal(store: &Store, far: &Arc<FarSide>) -> House {
    far.with(|truth| truth.troubles.clear());
    expire(store).await;
    let house = House::with_owner(store.clone(), mappings(), "last", far.clone()).await;
    for _ in 0..100 {
        expire(&house.store).await;
        house.let_time_pass().await;
        house.settle_down().await;
        let statuses = house.statuses().await;
        if statuses.iter().all(|(status, _)| status == "settled") && house.mapper.round().await.unwrap() == 0
        {
            return house;
        }
    }
    panic!("never comes to rest: {:?}", house.statuses().await);
}

async fn judge(house: &House, sources: &Sources, seed: u64) {
    let truth = house.far.with(|truth| truth.slots.clone());
    assert_eq!(truth, sources.recount(&house.store).await, "seed {seed}");
    let faults = house.far.with(|truth| truth.faults.clone());
    assert!(faults.is_empty(), "seed {seed}: {faults:?}");
    let effects = house.far.effects();
    house.let_time_pass().await;
    house.settle_down().await;
    assert_eq!(house.far.effects(), effects, "seed {seed}: sent after everything was settled");
}

#[tokio::test]
async fn every_history_ends_with_a_recount() {
    for seed in 0..histories() {
        each_store(|store| async move {
            let mut random = StdRng::seed_from_u64(seed);
            let house = House::new(store.clone(), mappings()).await;
            // A second process that takes over whenever leases run out.
            let other = House::with_owner(store, mappings(), "other", house.far.clone()).await;
            let mut sources = Sources::default();
            for _ in 0..STEPS {
                if random.random_bool(0.4) {
                    sources.happen(&house, &mut random).await;
                } else {
                    let which = if random.random_bool(0.5) { &house } else { &other };
                    stumble(which, &mut random).await;
                }
            }
            let last = heal(&house.store, &house.far).await;
            judge(&last, &sources, seed).await;
        })
        .await;
    }
}

/// Two processes at once, whose tasks are killed and started again.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn two_workers_at_once_end_with_a_recount() {
    for seed in 0..histories().div_ceil(2) {
        each_store(|store| async move {
            if store.db().engine() == Engine::Sqlite {
                // One process has a SQLite file.
                return;
            }
            let mut random = StdRng::seed_from_u64(seed);
            let far = Arc::new(FarSide::default());
            far.with(|truth| truth.limits.concurrency = 3);
            let first = House::new(store.clone(), mappings()).await;
            let house = House { far: far.clone(), ..first };
            let mut sources = Sources::default();
            let mut workers = [start(&store, &far, "one", 0).await, start(&store, &far, "two", 0).await];
            for step in 0..60_usize {
                sources.happen(&house, &mut random).await;
                tokio::time::sleep(Duration::from_millis(random.random_range(0..30))).await;
                if random.random_bool(0.15) {
                    far.trouble(pick(&mut random, &[Trouble::FailAfter, Trouble::FailBefore]).clone());
                }
                if random.random_bool(0.1) {
                    let at = random.random_range(0..2);
                    workers[at].iter().for_each(tokio::task::JoinHandle::abort);
                    // What was under way may have taken effect.
                    far.with(|truth| {
                        let all: Vec<String> = truth.slots.keys().cloned().collect();
                        truth.doubted.extend(all);
                    });
                    workers[at] = start(&store, &far, ["one", "two"][at], step).await;
                }
                if random.random_bool(0.2) {
                    house.let_time_pass().await;
                }
            }
            for worker in workers.iter().flatten() {
                worker.abort();
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
            let last = heal(&store, &far).await;
            far.with(|truth| truth.faults.retain(|fault| !fault.contains("without a difference")));
            judge(&last, &sources, seed).await;
            assert_eq!(last.sender.round().await.unwrap(), Round::Idle);
        })
        .await;
    }
}

async fn start(
    store: &Store,
    far: &Arc<FarSide>,
    name: &str,
    generation: usize,
) -> [tokio::task::JoinHandle<()>; 2] {
    let owner = format!("{name}-{generation}");
    let house = House::with_owner(store.clone(), mappings(), &owner, far.clone()).await;
    let cancel = CancellationToken::new();
    let (mapper, sender) = (house.mapper.clone(), house.sender.clone());
    let other = cancel.clone();
    [
        tokio::spawn(async move { mapper.run(cancel).await }),
        tokio::spawn(async move { sender.run(other).await }),
    ]
}
