//! Random histories of acts: wanted, changed, moved, withdrawn, wanted again, given up by a person, time that
//! passes, answers that are lost with and without effect, crashes between all steps, two workers. Whatever
//! happened on the way: each act that is wanted and due happened exactly once, or is a dead letter `unknown`
//! and happened at most once; none happened that was not wanted at or after its time.
//!
//! `MJUMBE_HISTORIES` says how many (4 unless told); a failure names its seed.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use mjumbe::delivery::acts::{BY_PERSON, LOOK_UP_AFTER_MS, NO_LONGER_WANTED, TOO_LATE, TOO_LATE_MS};
use mjumbe::delivery::desk;
use mjumbe::delivery::destination::UNPROVABLE;
use mjumbe::delivery::signal::now_ms;
use mjumbe::store::deliveries::Status;
use mjumbe::store::testing::each_store;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use serde_json::{Value, json};

use super::TENANT;
use super::history::histories;
use super::once::{Clinic, Fate};

const HOUR: i64 = 3_600_000;
const STEPS: usize = 140;
const SOURCES: usize = 4;
const REASONS: [&str; 3] = ["welcome", "reminder", "late"];

/// One state of one wish, from one moment on. `due` 0: at once. `None`: not wanted.
#[derive(Debug, Clone, PartialEq)]
struct Wanted {
    since: i64,
    what: Option<(i64, String)>,
}

/// What the sources said of each act: (source, reason) → its wishes in order.
#[derive(Default)]
struct Sources {
    said: BTreeMap<(usize, usize), Vec<Wanted>>,
    texts: u32,
}

impl Sources {
    fn now(&self, act: (usize, usize)) -> Option<(i64, String)> {
        self.said.get(&act)?.last()?.what.clone()
    }

    /// A source says something new of one or several of its acts, and all of it is mapped.
    async fn change(&mut self, clinic: &Clinic, random: &mut StdRng) {
        let source = random.random_range(0..SOURCES);
        let now = clinic.time.now();
        for reason in 0..REASONS.len() {
            if random.random_bool(0.4) {
                continue;
            }
            let what = random.random_bool(0.65).then(|| {
                let before = self.now((source, reason)).map(|(due, _)| due);
                self.texts += 1;
                let due = match (before, reason) {
                    (Some(due), _) if random.random_bool(0.5) => due,
                    (_, 0) => 0,
                    (_, 1) => now + random.random_range(0..30) * HOUR,
                    _ => now + random.random_range(-40..10) * HOUR,
                };
                (due, format!("{}", self.texts))
            });
            self.said.entry((source, reason)).or_default().push(Wanted { since: now, what });
        }
        let acts: Vec<Value> = (0..REASONS.len())
            .filter_map(|reason| {
                let (due, text) = self.now((source, reason))?;
                let due = if due == 0 { Value::Null } else { json!(due) };
                // Some of one lane.
                let lane = format!("lane-{}", source % 2);
                Some(json!({ "reason": REASONS[reason], "text": text, "due": due, "lane": lane }))
            })
            .collect();
        if acts.is_empty() && random.random_bool(0.3) {
            clinic.delete(&source.to_string()).await;
        } else {
            clinic.put(&source.to_string(), json!({ "acts": acts })).await;
        }
    }

    /// Whether an act with this text was wanted at some moment of its time, no later than `at`.
    fn was_wanted(&self, act: (usize, usize), (text, at): (&str, i64)) -> bool {
        let Some(said) = self.said.get(&act) else { return false };
        said.iter().enumerate().any(|(index, one)| {
            let Some((due, wanted)) = &one.what else { return false };
            let until = said.get(index + 1).map_or(i64::MAX, |next| next.since);
            // The clocks of two statements differ by what the statements take.
            wanted == text && until.saturating_add(1_000) >= *due && at + 1_000 >= one.since.max(*due)
        })
    }

    /// Whether it began to be wanted, or to be wanted at that time, too late.
    fn may_be_too_late(&self, act: (usize, usize)) -> bool {
        self.said.get(&act).is_some_and(|said| {
            said.iter().any(|one| {
                one.what.as_ref().is_some_and(|(due, _)| *due != 0 && one.since - due > TOO_LATE_MS - 1_000)
            })
        })
    }
}

/// One step of the machinery, with its troubles and crashes.
async fn stumble(clinic: &Clinic, random: &mut StdRng) {
    let fates = [
        Fate::Down,
        Fate::LostAfter,
        Fate::LostBefore,
        Fate::UnclearAfter,
        Fate::UnclearBefore,
        Fate::Later,
        Fate::Rejected,
        Fate::Deaf,
    ];
    match random.random_range(0..10) {
        0..4 => drop(clinic.sender.round().await.unwrap()),
        4..7 => {
            let fate = fates[random.random_range(0..fates.len())];
            clinic.far.with(|facts| facts.fates = [fate].into());
            clinic.sender.round().await.unwrap();
            clinic.far.with(|facts| facts.fates.clear());
        }
        7..9 => crash(clinic, random).await,
        _ => cancel(clinic, random).await,
    }
}

/// A process dies after it claimed, after it sent, or within settling.
async fn crash(clinic: &Clinic, random: &mut StdRng) {
    let begun = Instant::now();
    let batch = clinic.sender.claim().await.unwrap();
    if batch.deliveries.is_empty() || random.random_bool(0.3) {
        return;
    }
    if random.random_bool(0.5) {
        clinic.far.with(|facts| facts.fates = [Fate::LostBefore].into());
    }
    let sent = clinic.sender.send(&batch, begun).await;
    clinic.far.with(|facts| facts.fates.clear());
    if random.random_bool(0.5) {
        return;
    }
    let limit = Duration::from_micros(random.random_range(0..4_000));
    let _ = tokio::time::timeout(limit, clinic.sender.settle(&batch, &sent)).await;
}

/// A person gives one up, or lets it go again.
async fn cancel(clinic: &Clinic, random: &mut StdRng) {
    let ids = clinic.ids().await;
    if ids.is_empty() {
        return;
    }
    let id = vec![ids[random.random_range(0..ids.len())].clone()];
    let mut tx = clinic.store.db().begin_write().await.unwrap();
    if random.random_bool(0.5) {
        desk::cancel(&mut tx, TENANT, &id, now_ms()).await.unwrap();
    } else {
        desk::revive(&mut tx, TENANT, &id, now_ms()).await.unwrap();
    }
    tx.commit().await.unwrap();
}

/// The troubles end; everything comes to rest.
async fn heal(clinic: Clinic) -> Clinic {
    let Clinic { store, far, .. } = clinic;
    let clinic = Clinic::with_owner(store, "last", far).await;
    for _ in 0..60 {
        clinic.pass(HOUR).await;
        clinic.settle_down().await;
        let open = |status: Status| matches!(status, Status::Waiting | Status::Sending);
        if !clinic.rows().await.iter().any(|row| open(row.status)) {
            return clinic;
        }
    }
    panic!("never comes to rest: {:?}", clinic.acts().await);
}

async fn judge(clinic: &Clinic, sources: &Sources, seed: u64) {
    let faults = clinic.far.with(|facts| facts.faults.clone());
    assert!(faults.is_empty(), "seed {seed}: {faults:?}");
    let effects = clinic.far.with(|facts| facts.effects.clone());
    let blind = clinic.far.with(|facts| facts.blind);
    for row in clinic.rows().await {
        let source: usize = row.source.rsplit('/').next().unwrap().parse().unwrap();
        let act = (source, REASONS.iter().position(|reason| *reason == row.reason).unwrap());
        let own: Vec<_> = effects.iter().filter(|effect| effect.id == row.id).collect();
        let told = || format!("seed {seed}: {row:?}\n{own:?}\n{:?}", sources.said.get(&act));
        assert!(own.len() <= 1, "twice: {}", told());
        for effect in &own {
            let text = effect.wanted["text"].as_str().unwrap();
            assert!(sources.was_wanted(act, (text, effect.at)), "never wanted at its time: {}", told());
        }
        let cause = row.cause.code.as_str();
        match (row.status, cause) {
            (Status::Settled, _) => assert_eq!(own.len(), 1, "lost: {}", told()),
            (Status::Dead, UNPROVABLE) => assert!(blind, "it could be looked up: {}", told()),
            (Status::Dead, "far-side") => assert!(own.is_empty(), "refused: {}", told()),
            // What had begun may have happened.
            (Status::Cancelled, BY_PERSON) => assert!(own.is_empty() || row.begun_ms != 0, "{}", told()),
            (Status::Cancelled, NO_LONGER_WANTED) => {
                assert!(own.is_empty() && sources.now(act).is_none(), "{}", told());
            }
            (Status::Cancelled, TOO_LATE) => {
                assert!(own.is_empty() && sources.may_be_too_late(act), "{}", told());
            }
            _ => panic!("{}", told()),
        }
    }
    // Nothing that is wanted was passed over.
    let rows = clinic.rows().await;
    for act in sources.said.keys().filter(|act| sources.now(**act).is_some()) {
        let source = format!("test.visit/{}", act.0);
        assert!(
            rows.iter().any(|row| row.source == source && row.reason == REASONS[act.1]),
            "seed {seed}: {act:?}"
        );
    }
    let before = effects.len();
    clinic.pass(48 * HOUR).await;
    clinic.settle_down().await;
    assert_eq!(
        clinic.far.with(|facts| facts.effects.len()),
        before,
        "seed {seed}: after everything was at rest"
    );
}

#[tokio::test]
async fn every_act_happens_once_in_every_history() {
    for seed in 0..histories() {
        each_store(|store| async move {
            let mut random = StdRng::seed_from_u64(seed);
            let mut clinic = Clinic::new(store.clone()).await;
            clinic.far.with(|facts| facts.blind = seed % 4 == 3);
            let mut other = Clinic::with_owner(store.clone(), "other", clinic.far.clone()).await;
            let mut sources = Sources::default();
            for _ in 0..STEPS {
                let which = if random.random_bool(0.5) { &clinic } else { &other };
                match random.random_range(0..10) {
                    0..2 => {
                        sources.change(which, &mut random).await;
                        // Whoever holds the partition.
                        clinic.mapper.round().await.unwrap();
                        other.mapper.round().await.unwrap();
                        mapped(&clinic, &other).await;
                    }
                    2..8 => stumble(which, &mut random).await,
                    8 => clinic.pass(random.random_range(1..20) * 60_000).await,
                    _ => clinic.pass(random.random_range(1..8) * HOUR + LOOK_UP_AFTER_MS).await,
                }
                if random.random_bool(0.05) {
                    // Killed, and started again under its name.
                    clinic = Clinic::with_owner(store.clone(), "tester", clinic.far.clone()).await;
                }
                if random.random_bool(0.05) {
                    other = Clinic::with_owner(store.clone(), "other", clinic.far.clone()).await;
                }
            }
            let last = heal(clinic).await;
            judge(&last, &sources, seed).await;
        })
        .await;
    }
}

/// Time passes only when what was said is mapped: then what the model knows is what the store knows.
async fn mapped(one: &Clinic, other: &Clinic) {
    for _ in 0..100 {
        let worked = one.mapper.round().await.unwrap() + other.mapper.round().await.unwrap();
        if worked == 0 {
            return;
        }
    }
    panic!("the mappers never come to rest");
}
