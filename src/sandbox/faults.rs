//! What can be made to go wrong, and when.
//!
//! A fault has a path pattern, a limit (so many times, with a probability, for so long) and an effect.
//! `POST /_sandbox/faults` takes one as JSON; `DELETE /_sandbox/faults` lifts all.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// One thing that goes wrong.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Fault {
    /// `*` stands for any characters; empty means every path. The query string is not part of it.
    #[serde(default)]
    pub path: String,
    /// Only this method.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub method: Option<String>,
    /// So many requests, then it is over.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub times: Option<u32>,
    /// From 0 to 1; 1 where it is not given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub probability: Option<f64>,
    /// Milliseconds from now, then it is over.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub for_ms: Option<u64>,
    #[serde(flatten)]
    pub effect: Effect,
}

/// What goes wrong.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "effect", rename_all = "kebab-case", rename_all_fields = "snake_case")]
pub enum Effect {
    /// This answer, and nothing is done. Without a body: what the system itself says with this status.
    Answer {
        status: u16,
        #[serde(default)]
        body: Option<Value>,
        #[serde(default)]
        retry_after: Option<u64>,
    },
    /// The work is done, and then this answer is given.
    AnswerAfter {
        status: u16,
        #[serde(default)]
        body: Option<Value>,
    },
    /// The connection is dropped, and nothing is done.
    DropBefore,
    /// The work is done, and the connection is dropped without an answer.
    DropAfter,
    /// The answer takes so much longer.
    Slow { ms: u64 },
    /// No answer until the fault is lifted; then the request goes on.
    Frozen,
    /// DHIS2: 401 to right passwords, 500 to tokens. RapidPro: what needs mailroom is a 500.
    DatabaseDown {
        #[serde(default)]
        answer_after_ms: u64,
    },
    /// An import stores its first rows or objects and answers 409 ERROR or 500 with counts of 0.
    StoreRows { rows: usize, status: u16 },
    /// An import answers SUCCESS or OK and stores nothing.
    StoreNothing,
    /// Cells that are refused whoever sends them.
    RefuseCells(Cells),
    /// Tracker objects that a program rule refuses whoever sends them: E1300.
    RefuseObjects(Objects),
}

/// Tracker objects that are refused. What is absent means all.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Objects {
    /// `TRACKED_ENTITY`, `ENROLLMENT`, `EVENT` or `RELATIONSHIP`
    pub kind: String,
    #[serde(default)]
    pub program: Option<String>,
    #[serde(default)]
    pub org_unit: Option<String>,
    /// What the rule says.
    pub message: String,
}

/// Cells that a data value import refuses. What is absent means all.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Cells {
    #[serde(default)]
    pub data_set: Option<String>,
    #[serde(default)]
    pub period: Option<String>,
    #[serde(default)]
    pub org_unit: Option<String>,
    #[serde(default)]
    pub data_element: Option<String>,
    pub because: Because,
}

/// Why cells are refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Because {
    /// The data set is approved: E7642, E8033.
    Approved,
    /// The period is past its expiry days: E7640, E8030.
    Expired,
    /// The organisation unit is not assigned: E7636 (strict only), E8022.
    Unassigned,
}

impl Fault {
    /// A fault of every request.
    pub fn new(effect: Effect) -> Self {
        Self { path: String::new(), method: None, times: None, probability: None, for_ms: None, effect }
    }

    #[must_use]
    pub fn on(mut self, method: &str, path: &str) -> Self {
        self.method = Some(method.to_owned());
        self.path = path.to_owned();
        self
    }

    #[must_use]
    pub fn times(mut self, times: u32) -> Self {
        self.times = Some(times);
        self
    }

    #[must_use]
    pub fn probability(mut self, probability: f64) -> Self {
        self.probability = Some(probability);
        self
    }

    #[must_use]
    pub fn lasting(mut self, duration: Duration) -> Self {
        self.for_ms = Some(u64::try_from(duration.as_millis()).unwrap_or(u64::MAX));
        self
    }
}

/// The faults of one simulated system.
#[derive(Debug)]
pub struct Faults {
    inner: Mutex<Inner>,
}

#[derive(Debug)]
struct Inner {
    random: StdRng,
    next: u64,
    active: Vec<Active>,
}

#[derive(Debug)]
struct Active {
    id: u64,
    since: Instant,
    hits: u64,
    fault: Fault,
}

impl Faults {
    /// No faults; `seed` decides the ones that have a probability.
    pub fn new(seed: u64) -> Self {
        let random = StdRng::seed_from_u64(seed);
        Self { inner: Mutex::new(Inner { random, next: 1, active: Vec::new() }) }
    }

    /// Adds a fault and names it.
    pub fn add(&self, fault: Fault) -> u64 {
        let mut inner = self.lock();
        let id = inner.next;
        inner.next += 1;
        inner.active.push(Active { id, since: Instant::now(), hits: 0, fault });
        id
    }

    /// Lifts one fault.
    pub fn lift(&self, id: u64) {
        self.lock().active.retain(|active| active.id != id);
    }

    /// Lifts all faults.
    pub fn clear(&self) {
        self.lock().active.clear();
    }

    /// Whether a fault still holds.
    pub fn holds(&self, id: u64) -> bool {
        let mut inner = self.lock();
        inner.forget_past();
        inner.active.iter().any(|active| active.id == id)
    }

    /// Whether a fault of some kind holds now, whatever its path.
    pub fn any(&self, is: impl Fn(&Effect) -> bool) -> bool {
        let mut inner = self.lock();
        inner.forget_past();
        inner.active.iter().any(|active| is(&active.fault.effect))
    }

    /// What goes wrong with this request; counts it.
    pub fn of(&self, method: &str, path: &str) -> Vec<(u64, Effect)> {
        let mut inner = self.lock();
        inner.forget_past();
        let Inner { random, active, .. } = &mut *inner;
        let mut effects = Vec::new();
        for one in active.iter_mut() {
            let right_method = one.fault.method.as_deref().is_none_or(|wanted| wanted == method);
            let path_fits = one.fault.path.is_empty() || fits(&one.fault.path, path);
            let happens = one.fault.probability.is_none_or(|p| random.random::<f64>() < p);
            if right_method && path_fits && happens {
                one.hits += 1;
                effects.push((one.id, one.fault.effect.clone()));
            }
        }
        effects
    }

    /// The faults that hold, with how often each was met.
    pub fn list(&self) -> Vec<Value> {
        let mut inner = self.lock();
        inner.forget_past();
        let show = |active: &Active| {
            let mut shown = serde_json::to_value(&active.fault).unwrap_or(Value::Null);
            if let Value::Object(shown) = &mut shown {
                shown.insert("id".to_owned(), active.id.into());
                shown.insert("hits".to_owned(), active.hits.into());
            }
            shown
        };
        inner.active.iter().map(show).collect()
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Inner {
    fn forget_past(&mut self) {
        self.active.retain(|active| {
            let spent = active.fault.times.is_some_and(|times| active.hits >= u64::from(times));
            // A frozen request asks whether its fault holds: it ends by time, or when it is lifted.
            let spent = spent && active.fault.effect != Effect::Frozen;
            let over =
                active.fault.for_ms.is_some_and(|ms| active.since.elapsed() >= Duration::from_millis(ms));
            !spent && !over
        });
    }
}

/// Whether a text fits a pattern in which `*` stands for any characters.
fn fits(pattern: &str, text: &str) -> bool {
    let Some((start, rest)) = pattern.split_once('*') else { return pattern == text };
    let Some(text) = text.strip_prefix(start) else { return false };
    if rest.is_empty() {
        return true;
    }
    (0..=text.len()).filter(|at| text.is_char_boundary(*at)).any(|at| fits(rest, &text[at..]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stars_stand_for_anything() {
        assert!(fits("/api/*", "/api/dataValueSets"));
        assert!(fits("*Sets", "/api/dataValueSets"));
        assert!(fits("/api/*/a*c", "/api/x/abbc"));
        assert!(!fits("/api/v2", "/api/v2/contacts.json"));
    }

    #[test]
    fn a_fault_ends_after_its_times() {
        let faults = Faults::new(1);
        faults.add(Fault::new(Effect::DropBefore).on("POST", "/a*").times(2));
        let met = (0..4).filter(|_| !faults.of("POST", "/abc").is_empty()).count();
        assert_eq!((met, faults.of("GET", "/abc").len()), (2, 0));
    }

    #[test]
    fn faults_are_read_from_json() {
        let text = r#"{"path":"/x","times":1,"effect":"refuse-cells","org_unit":"ou","because":"approved"}"#;
        let fault: Fault = serde_json::from_str(text).unwrap();
        let Effect::RefuseCells(cells) = fault.effect else { panic!("{fault:?}") };
        assert_eq!((cells.org_unit.as_deref(), cells.because), (Some("ou"), Because::Approved));
        let text = r#"{"effect":"answer","status":503,"retry_after":3}"#;
        let fault: Fault = serde_json::from_str(text).unwrap();
        assert_eq!(fault.effect, Effect::Answer { status: 503, body: None, retry_after: Some(3) });
    }
}
