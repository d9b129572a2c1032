//! A destination that keeps what it holds and every effect that it had, and fails as it is told.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Mutex;
use std::time::Duration;

use async_trait::async_trait;
use mjumbe::delivery::destination::{
    Destination, Exchange, Failure, FailureKind, Limits, Outgoing, Reason, Sent, Settled, Verdict,
};
use mjumbe::delivery::hold::Leave;
use serde_json::Value;

/// What happens to the next batch.
#[derive(Debug, Clone, PartialEq)]
pub enum Trouble {
    /// The far side is down: nothing happens.
    FailBefore,
    /// The effect takes place and the answer is lost.
    FailAfter,
    /// Every second part takes effect, and then the connection breaks.
    FailHalfway,
    Throttle,
    Collide,
    Unauthorised,
    /// The parts are said to be tried later, though they took effect.
    Later,
    /// Answers nothing until its time limit is over.
    Freeze,
}

#[derive(Debug, Default)]
pub struct FarSide {
    pub state: Mutex<Truth>,
}

#[derive(Debug)]
pub struct Truth {
    pub slots: BTreeMap<String, Value>,
    /// (delivery, slot, what was wanted) in the order in which it took effect.
    pub effects: Vec<(String, String, Option<Value>)>,
    /// Lanes of each batch.
    pub batches: Vec<Vec<String>>,
    pub troubles: VecDeque<Trouble>,
    /// Cells with this value are refused.
    pub refuses: Option<Value>,
    /// A batch with this value is refused as a whole.
    pub poison: Option<Value>,
    /// The check refuses this value.
    pub checked: Option<Value>,
    pub probes_fail: bool,
    pub probes: usize,
    pub unclear_seen: usize,
    /// Places where an attempt ended without a proof: only these may be sent without a difference.
    pub doubted: BTreeSet<String>,
    /// What went wrong with the order or without a difference.
    pub faults: Vec<String>,
    pub limits: Limits,
}

impl Default for Truth {
    fn default() -> Self {
        Self {
            slots: BTreeMap::new(),
            effects: Vec::new(),
            batches: Vec::new(),
            troubles: VecDeque::new(),
            refuses: None,
            poison: None,
            checked: None,
            probes_fail: false,
            probes: 0,
            unclear_seen: 0,
            doubted: BTreeSet::new(),
            faults: Vec::new(),
            limits: Limits {
                batch_deliveries: 10,
                batch_parts: 50,
                concurrency: 1,
                budget_per_hour: None,
                lease: Duration::from_secs(20),
                longest_request: Duration::from_secs(5),
                horizon: Duration::from_secs(7 * 86_400),
            },
        }
    }
}

impl FarSide {
    pub fn with<T>(&self, with: impl FnOnce(&mut Truth) -> T) -> T {
        with(&mut self.state.lock().unwrap())
    }

    pub fn trouble(&self, trouble: Trouble) {
        self.with(|truth| truth.troubles.push_back(trouble));
    }

    pub fn slot(&self, slot: &str) -> Option<Value> {
        self.with(|truth| truth.slots.get(slot).map(value_of))
    }

    pub fn effects(&self) -> usize {
        self.with(|truth| truth.effects.len())
    }
}

/// `value` of a cell, or the whole.
fn value_of(wanted: &Value) -> Value {
    wanted.get("value").cloned().unwrap_or_else(|| wanted.clone())
}

fn failure(kind: FailureKind, unclear: bool) -> Sent {
    let reason = Reason::new("far-side", "the far side failed", "wait");
    Sent { result: Err(Failure { kind, reason, unclear, retry_after: None }), exchanges: exchange() }
}

fn exchange() -> Vec<Exchange> {
    vec![Exchange {
        method: "POST".to_owned(),
        path: "/import".to_owned(),
        status: Some(200),
        request: "request".to_owned(),
        response: "response".to_owned(),
        elapsed_ms: 1,
    }]
}

impl Truth {
    fn take(&mut self, id: &str, slot: &str, wanted: Option<&Value>) {
        self.effects.push((id.to_owned(), slot.to_owned(), wanted.cloned()));
        match wanted {
            Some(wanted) => self.slots.insert(slot.to_owned(), wanted.clone()),
            None => self.slots.remove(slot),
        };
    }

    /// Nothing is sent without a difference or a doubt, and no lane is twice in a batch.
    fn inspect(&mut self, batch: &[Outgoing]) {
        let mut lanes = BTreeSet::new();
        for one in batch {
            if !lanes.insert(&one.lane) {
                self.faults.push(format!("{} twice in a batch", one.lane));
            }
            for part in &one.parts {
                if part.wanted == part.sent && !self.doubted.contains(&part.slot) {
                    self.faults.push(format!("{} was sent without a difference", part.slot));
                }
            }
        }
    }

    pub fn doubt(&mut self, batch: &[Outgoing]) {
        self.doubted.extend(batch.iter().flat_map(|one| &one.parts).map(|part| part.slot.clone()));
    }

    fn refuses(&self, wanted: Option<&Value>) -> bool {
        wanted.is_some_and(|wanted| Some(value_of(wanted)) == self.refuses)
    }

    fn receive(&mut self, batch: &[Outgoing]) -> Sent {
        self.batches.push(batch.iter().map(|one| one.lane.clone()).collect());
        self.unclear_seen += batch.iter().filter(|one| one.unclear).count();
        self.inspect(batch);
        let all = || batch.iter().flat_map(|one| one.parts.iter().map(move |part| (one, part)));
        let poisoned =
            all().any(|(_, part)| part.wanted.as_ref().map(value_of).is_some_and(|v| Some(v) == self.poison));
        if poisoned {
            return failure(FailureKind::Rejected, false);
        }
        let trouble = self.troubles.pop_front();
        match trouble {
            Some(Trouble::FailBefore) => return failure(FailureKind::Unavailable, false),
            Some(Trouble::Throttle) => return failure(FailureKind::Throttled, false),
            Some(Trouble::Collide) => return failure(FailureKind::Collision, false),
            Some(Trouble::Unauthorised) => return failure(FailureKind::Unauthorised, false),
            _ => {}
        }
        let mut settled = Vec::new();
        let mut at = 0;
        for one in batch {
            let mut parts = Vec::new();
            for part in &one.parts {
                at += 1;
                if trouble == Some(Trouble::FailHalfway) && at % 2 == 0 {
                    continue;
                }
                if self.refuses(part.wanted.as_ref()) {
                    parts.push(Verdict::Refused(Reason::new("cell-refused", "not this value", "another")));
                    continue;
                }
                self.take(&one.id, &part.slot, part.wanted.as_ref());
                parts.push(match trouble {
                    Some(Trouble::Later) => Verdict::Later(Reason::new("later", "later", "wait")),
                    _ => Verdict::Accepted,
                });
            }
            settled.push(Settled {
                parts,
                remote: one.link.as_ref().map(|link| format!("remote-of-{link}")),
                notes: Vec::new(),
            });
        }
        match trouble {
            Some(Trouble::FailAfter | Trouble::FailHalfway) => {
                self.doubt(batch);
                failure(FailureKind::Unavailable, true)
            }
            Some(Trouble::Later) => {
                self.doubt(batch);
                Sent { result: Ok(settled), exchanges: exchange() }
            }
            _ => Sent { result: Ok(settled), exchanges: exchange() },
        }
    }
}

#[async_trait]
impl Destination for FarSide {
    fn system(&self) -> &str {
        "test"
    }

    fn name(&self) -> &str {
        "far"
    }

    fn limits(&self) -> Limits {
        self.with(|truth| truth.limits)
    }

    fn check(&self, delivery: &Outgoing) -> Vec<(usize, Reason)> {
        let refused = self.with(|truth| truth.checked.clone());
        let wrong = |value: &Value| Some(value_of(value)) == refused;
        let parts = delivery.parts.iter().enumerate();
        parts
            .filter(|(_, part)| part.wanted.as_ref().is_some_and(wrong))
            .map(|(index, _)| (index, Reason::new("checked", "wrong", "change it")))
            .collect()
    }

    async fn send(&self, batch: &[Outgoing], leave: &Leave) -> Sent {
        assert!(!leave.is_over());
        if self.with(|truth| truth.troubles.front() == Some(&Trouble::Freeze)) {
            self.with(|truth| truth.troubles.pop_front());
            tokio::time::sleep(Duration::from_secs(600)).await;
        }
        tokio::task::yield_now().await;
        self.with(|truth| truth.receive(batch))
    }

    async fn probe(&self) -> Result<(), Failure> {
        self.with(|truth| {
            truth.probes += 1;
            match truth.probes_fail {
                true => failure(FailureKind::Unavailable, false).result.map(|_| ()),
                false => Ok(()),
            }
        })
    }
}
