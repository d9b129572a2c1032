//! A destination for acts that counts how often each took effect, and a house whose time can pass.
//!
//! Time is the real clock and what was added to it ([`Time::pass`]): stored times are moved back instead.

use std::collections::{BTreeMap, VecDeque};
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use mjumbe::delivery::destination::{
    Destination, Failure, FailureKind, Family, Limits, Outgoing, Reason, Sent, Settled, UNPROVABLE, Verdict,
};
use mjumbe::delivery::evaluator::{Asked, Evaluated, Evaluator, Round, Subject};
use mjumbe::delivery::hold::Leave;
use mjumbe::delivery::mapper::Mapper;
use mjumbe::delivery::sender::{self, Sender};
use mjumbe::delivery::signal::{Signals, now_ms};
use mjumbe::mapping::lookup::Answer;
use mjumbe::mapping::output::{Act, Nature, Output, Part, Withdraw};
use mjumbe::store::Store;
use mjumbe::store::deliveries::DeliveryRow;
use mjumbe::store::deliveries::list::{self, Filter, Shown};
use mjumbe::store::reads;
use mjumbe::store::write::Fixed;
use serde_json::{Value, json};

use super::{TENANT, put_of, run, surroundings};

/// What passed besides the real clock.
#[derive(Clone, Default)]
pub struct Time(Arc<AtomicI64>);

impl Time {
    pub fn passed(&self) -> i64 {
        self.0.load(Ordering::SeqCst)
    }

    pub fn now(&self) -> i64 {
        now_ms() + self.passed()
    }
}

/// What becomes of the next request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fate {
    /// Refused by an answer that proves that nothing happened.
    Down,
    /// No answer; it took effect.
    LostAfter,
    /// No answer; it did not.
    LostBefore,
    /// This one may or may not have happened, while the batch went through: it did.
    UnclearAfter,
    UnclearBefore,
    Later,
    Refused,
    /// The whole batch is refused.
    Rejected,
    /// Also the look-up fails.
    Deaf,
    /// No answer until the lease is over; it took effect.
    Frozen,
}

/// One effect: which delivery, its request, when.
#[derive(Debug, Clone, PartialEq)]
pub struct Effect {
    pub id: String,
    pub wanted: Value,
    pub at: i64,
}

#[derive(Debug, Default)]
pub struct Facts {
    pub effects: Vec<Effect>,
    pub states: BTreeMap<String, Value>,
    pub fates: VecDeque<Fate>,
    /// Nothing can be looked up.
    pub blind: bool,
    /// When a request for a delivery was made last that may have had an effect.
    requested: BTreeMap<String, i64>,
    pub batches: Vec<Vec<(String, String)>>,
    pub links: Vec<BTreeMap<String, String>>,
    pub faults: Vec<String>,
}

pub struct Once {
    pub facts: Mutex<Facts>,
    pub time: Time,
    pub lease: Duration,
}

impl Once {
    pub fn with<T>(&self, with: impl FnOnce(&mut Facts) -> T) -> T {
        with(&mut self.facts.lock().unwrap())
    }

    pub fn fate(&self, fate: Fate) {
        self.with(|facts| facts.fates.push_back(fate));
    }

    /// What took effect, in order.
    pub fn happened(&self) -> Vec<Value> {
        self.with(|facts| facts.effects.iter().map(|effect| effect.wanted.clone()).collect())
    }

    fn receive(&self, batch: &[Outgoing]) -> Sent {
        let now = self.time.now();
        self.with(|facts| {
            let told = batch.iter().map(|one| (one.target.clone(), one.lane.clone())).collect();
            facts.batches.push(told);
            facts.links.extend(batch.iter().map(|one| one.links.clone()));
            facts.inspect(batch, (now, self.time.passed()));
            let fate = facts.fates.pop_front();
            if fate == Some(Fate::Deaf) {
                return failed(FailureKind::Unavailable, false);
            }
            let mut settled = Vec::new();
            for one in batch {
                match facts.one(one, fate, (now, self.time.passed())) {
                    Ok(done) => settled.push(done),
                    Err(sent) => return sent,
                }
            }
            match fate {
                Some(Fate::LostAfter | Fate::LostBefore | Fate::Frozen) => {
                    failed(FailureKind::Unavailable, true)
                }
                _ => Sent { result: Ok(settled), exchanges: Vec::new() },
            }
        })
    }
}

fn failed(kind: FailureKind, unclear: bool) -> Sent {
    let reason = Reason::new("far-side", "the far side failed", "wait");
    Sent { result: Err(Failure { kind, reason, unclear, retry_after: None }), exchanges: Vec::new() }
}

fn verdict(verdict: Verdict) -> Settled {
    Settled { parts: vec![verdict], remote: None, notes: Vec::new() }
}

fn reason(code: &str) -> Reason {
    Reason::new(code, "said the far side", "wait")
}

impl Facts {
    /// The rules that every sender keeps.
    fn inspect(&mut self, batch: &[Outgoing], (now, passed): (i64, i64)) {
        let mut lanes = std::collections::BTreeSet::new();
        for one in batch {
            if one.target != batch[0].target {
                self.faults.push("two families in a batch".to_owned());
            }
            if !lanes.insert(&one.lane) {
                self.faults.push(format!("{} twice in a batch", one.lane));
            }
            if one.target != "test.post" {
                continue;
            }
            let last = self.requested.get(&one.id).copied();
            if let Some(last) = last.filter(|_| one.unclear)
                && now - last < 120_000
            {
                self.faults.push(format!("looked up {} ms after the last request", now - last));
            }
            if one.unclear != (one.begun_ms != 0) {
                self.faults.push(format!("unclear {} but begun at {}", one.unclear, one.begun_ms));
            }
            if one.unclear && last.is_some_and(|_| one.begun_ms + passed > now) {
                self.faults.push("begun in the future".to_owned());
            }
        }
    }

    /// One delivery: looked up where its outcome is not known, else sent.
    fn one(
        &mut self,
        one: &Outgoing,
        fate: Option<Fate>,
        (now, passed): (i64, i64),
    ) -> Result<Settled, Sent> {
        let part = &one.parts[0];
        if one.target != "test.post" {
            if matches!(fate, Some(Fate::Down | Fate::LostBefore)) {
                return Err(failed(FailureKind::Unavailable, false));
            }
            let wanted = part.wanted.clone().unwrap_or_default();
            self.states.insert(part.slot.clone(), wanted);
            let remote = one.link.as_ref().map(|link| format!("remote-of-{link}"));
            return Ok(Settled { remote, ..verdict(Verdict::Accepted) });
        }
        if one.unclear {
            if self.blind {
                return Ok(verdict(Verdict::Refused(reason(UNPROVABLE))));
            }
            let begun = one.begun_ms + passed;
            if self.effects.iter().any(|effect| effect.id == one.id && effect.at >= begun) {
                let remote = Some(format!("uuid-of-{}", one.id));
                return Ok(Settled { remote, ..verdict(Verdict::Accepted) });
            }
            if one.superseded {
                return Ok(Settled::superseded());
            }
        }
        self.request(one, fate, now)
    }

    fn request(&mut self, one: &Outgoing, fate: Option<Fate>, now: i64) -> Result<Settled, Sent> {
        let wanted = one.parts[0].wanted.clone().unwrap_or_default();
        // What is proven to have had no effect need not be waited for.
        if !matches!(fate, Some(Fate::Down | Fate::Rejected | Fate::Later | Fate::Refused)) {
            self.requested.insert(one.id.clone(), now);
        }
        match fate {
            Some(Fate::Down) => return Err(failed(FailureKind::Unavailable, false)),
            Some(Fate::Rejected) => return Err(failed(FailureKind::Rejected, false)),
            Some(Fate::LostBefore) => return Ok(verdict(Verdict::Accepted)),
            Some(Fate::UnclearBefore) => return Ok(verdict(Verdict::Unclear(reason("no-answer")))),
            Some(Fate::Later) => return Ok(verdict(Verdict::Later(reason("busy")))),
            Some(Fate::Refused) => return Ok(verdict(Verdict::Refused(reason("wrong")))),
            _ => {}
        }
        self.effects.push(Effect { id: one.id.clone(), wanted, at: now });
        if fate == Some(Fate::UnclearAfter) {
            return Ok(verdict(Verdict::Unclear(reason("no-answer"))));
        }
        Ok(Settled { remote: Some(format!("uuid-of-{}", one.id)), ..verdict(Verdict::Accepted) })
    }
}

#[async_trait]
impl Destination for Once {
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
            lease: self.lease,
            longest_request: Duration::from_secs(55),
            horizon: Duration::from_secs(7 * 86_400),
        }
    }

    fn family(&self, target: &str) -> Family {
        let (name, deliveries) = if target == "test.post" { ("posts", 3) } else { ("contacts", 10) };
        Family { name, deliveries, parts: 50 }
    }

    fn check(&self, _: &Outgoing) -> Vec<(usize, Reason)> {
        Vec::new()
    }

    async fn send(&self, batch: &[Outgoing], leave: &Leave) -> Sent {
        assert!(!leave.is_over());
        let frozen = self.with(|facts| facts.fates.front() == Some(&Fate::Frozen));
        tokio::task::yield_now().await;
        let sent = self.receive(batch);
        if frozen {
            tokio::time::sleep(Duration::from_secs(600)).await;
        }
        sent
    }

    async fn probe(&self) -> Result<(), Failure> {
        Ok(())
    }
}

/// `test.visit` documents: `{ contact: LANE?, link: Type/id?, acts: [{ reason, occurrence?, text, due?, lane?,
/// needs?, link?, hours? }] }`, `due` in the time of [`Time::now`].
pub struct Visits {
    pub name: &'static str,
    pub time: Time,
}

impl Visits {
    fn output(&self, target: &str, lane: &str, wanted: Value) -> Output {
        Output {
            target: format!("test.{target}"),
            target_id: target.to_owned(),
            destination: "far".to_owned(),
            nature: Nature::State,
            key: String::new(),
            lane: lane.to_owned(),
            body: json!({}),
            parts: vec![Part { slot: format!("{target}|{lane}"), wanted, last: false }],
            contributions: Vec::new(),
            withdraw: Withdraw::Keep,
            needs: Vec::new(),
            authored_ms: 1,
            link: None,
            write_back: false,
            act: None,
        }
    }

    fn act(&self, act: &Value, source: &str) -> Output {
        let lane = act["lane"].as_str().unwrap_or(source);
        let mut wanted = json!({ "text": act["text"] });
        if let Some(link) = act["link"].as_str() {
            wanted["contact"] = json!({ "$link": { "resource": link } });
        }
        let mut output = self.output("post", lane, wanted);
        output.nature = Nature::Act;
        output.needs = act["needs"].as_str().into_iter().map(str::to_owned).collect();
        output.act = Some(Act {
            reason: act["reason"].as_str().unwrap().to_owned(),
            not_before_ms: act["due"].as_i64().map(|due| due - self.time.passed()),
            occurrence: u32::try_from(act["occurrence"].as_u64().unwrap_or(1)).unwrap(),
            hours: act["hours"].as_str().map(str::to_owned),
        });
        output
    }
}

impl Evaluator for Visits {
    fn name(&self) -> &str {
        self.name
    }

    fn version(&self) -> &str {
        "1"
    }

    fn takes(&self, kind: &str) -> bool {
        kind == "test.visit"
    }

    fn evaluate(&self, subject: &Subject<'_>, _: &[(Asked, Answer)]) -> Round {
        let visit = subject.resource;
        let mut outputs = Vec::new();
        if let Some(lane) = visit["contact"].as_str() {
            let mut contact = self.output("contact", lane, json!({ "name": visit["name"] }));
            contact.link = visit["link"].as_str().map(str::to_owned);
            outputs.push(contact);
        }
        let acts = visit["acts"].as_array().into_iter().flatten();
        outputs.extend(acts.map(|act| self.act(act, subject.id)));
        Round::Done(Box::new(Evaluated { matched: true, outputs, ..Evaluated::default() }))
    }
}

/// A store with a mapper and a sender that are driven by hand.
pub struct Clinic {
    pub store: Store,
    pub mapper: Mapper,
    pub sender: Sender,
    pub far: Arc<Once>,
    pub time: Time,
}

impl Clinic {
    pub async fn new(store: Store) -> Self {
        let time = Time::default();
        let far = Once { facts: Mutex::default(), time: time.clone(), lease: Duration::from_secs(120) };
        Self::with_owner(store, "tester", Arc::new(far)).await
    }

    /// Another process, or the next one after it was killed.
    pub async fn with_owner(store: Store, owner: &str, far: Arc<Once>) -> Self {
        let time = far.time.clone();
        let mapper =
            Self::mapper(&store, owner, vec![Arc::new(Visits { name: "visits", time: time.clone() })]).await;
        let sender = Sender::new(store.db().clone(), (TENANT, owner), far.clone(), Signals::default());
        Self { store, mapper, sender, far, time }
    }

    pub async fn mapper(store: &Store, owner: &str, mappings: Vec<Arc<dyn Evaluator>>) -> Mapper {
        Mapper::start(store.db().clone(), owner, surroundings(), mappings, Signals::default()).await.unwrap()
    }

    pub async fn put(&self, id: &str, visit: Value) {
        let plan = Fixed { puts: vec![put_of("test.visit", id, Some(visit))], ..Fixed::default() };
        self.store.write(TENANT, Box::new(plan)).await.unwrap();
    }

    pub async fn delete(&self, id: &str) {
        let plan = Fixed { puts: vec![put_of("test.visit", id, None)], ..Fixed::default() };
        self.store.write(TENANT, Box::new(plan)).await.unwrap();
    }

    pub async fn map(&self) {
        for _ in 0..1_000 {
            if self.mapper.round().await.unwrap() == 0 {
                assert_eq!(self.held().await, [""; 0], "nothing is held");
                return;
            }
        }
        panic!("the mapper never comes to rest");
    }

    pub async fn send(&self) {
        for _ in 0..1_000 {
            if self.sender.round().await.unwrap() != sender::Round::Sent {
                return;
            }
        }
        panic!("the sender never comes to rest");
    }

    pub async fn settle_down(&self) {
        self.map().await;
        self.send().await;
    }

    /// Time passes: everything that is stored with a time is so much longer ago. The circuit closes.
    pub async fn pass(&self, milliseconds: i64) {
        let older = |column: &str| {
            format!("{column} = case when {column} > 0 then {column} - {milliseconds} else {column} end")
        };
        let times =
            ["due_ms", "not_before_ms", "begun_ms", "first_failed_ms", "updated_ms", "lease_until_ms"];
        let deliveries = times.map(older).join(", ");
        let statements = vec![
            format!("update delivery set {deliveries}"),
            format!(
                "update destination set {}, circuit = 'closed', circuit_until_ms = 0, failures = 0",
                older("until_ms")
            ),
            format!("update mapper_partition set {}", older("until_ms")),
            format!("update mapper_worker set {}", older("until_ms")),
        ];
        run(&self.store, statements).await;
        self.shift_pending(milliseconds).await;
        self.time.0.fetch_add(milliseconds, Ordering::SeqCst);
    }

    async fn shift_pending(&self, milliseconds: i64) {
        let rows = {
            let mut db = self.store.db().read().await.unwrap();
            db.all("select id, pending from delivery where pending <> ''", mjumbe::args![]).await.unwrap()
        };
        for row in rows {
            let mut pending: Value = serde_json::from_str(&row.text("pending").unwrap()).unwrap();
            let due = pending["not_before_ms"].as_i64().unwrap();
            if due > 0 {
                pending["not_before_ms"] = json!(due - milliseconds);
            }
            let (id, pending) = (row.text("id").unwrap(), pending.to_string().replace('\'', "''"));
            run(&self.store, vec![format!("update delivery set pending = '{pending}' where id = '{id}'")])
                .await;
        }
    }

    pub async fn rows(&self) -> Vec<DeliveryRow> {
        let mut db = self.store.db().read().await.unwrap();
        list::list(&mut db, TENANT, &Filter::default(), (None, 10_000)).await.unwrap()
    }

    pub async fn show(&self, id: &str) -> Shown {
        let mut db = self.store.db().read().await.unwrap();
        list::show(&mut db, TENANT, id).await.unwrap().unwrap()
    }

    /// (status, cause) of the acts.
    pub async fn acts(&self) -> Vec<(&'static str, String)> {
        let mut rows = self.rows().await;
        rows.retain(|row| row.nature == "act");
        let mut all: Vec<_> = rows.into_iter().map(|row| (row.status.text(), row.cause.code)).collect();
        all.sort();
        all
    }

    pub async fn held(&self) -> Vec<String> {
        let mut db = self.store.db().read().await.unwrap();
        let rows = reads::held(&mut db, TENANT, &Default::default(), 10).await.unwrap();
        rows.into_iter().map(|row| format!("{} {}", row.code, row.message)).collect()
    }

    pub async fn ids(&self) -> Vec<String> {
        let rows = self.rows().await;
        rows.into_iter().filter(|row| row.nature == "act").map(|row| row.id).collect()
    }

    pub fn no_faults(&self) {
        let faults = self.far.with(|facts| facts.faults.clone());
        assert!(faults.is_empty(), "{faults:?}");
    }
}
