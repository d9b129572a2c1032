//! One batch on its way: who is there, one request for what must go and one for what is wanted, and what
//! the report says of each object.
//!
//! What an answer leaves open is read back by UID before anything is said about it. A request that fails as
//! a whole is halved until the culprit is alone.

use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};
use std::time::{Duration, Instant};

use jiff::civil::Date;

use super::answer::{self, Answer};
use super::check::{self, Checked};
use super::notes::Notes;
use super::payload::{self, Object};
use super::person::Asking;
use super::readback::is_there;
use super::report::{Report, Word};
use super::resolve::Person;
use super::slot::{Kind, Slot};
use super::table::Fate;
use super::uid::{Namespace, Note};
use crate::delivery::destination::{
    Exchange, Failure, FailureKind, Outgoing, Reason, Sent, Settled, Verdict,
};
use crate::dhis2::aggregate::sending::probe;
use crate::dhis2::client::{Client, Request};
use crate::dhis2::metadata::Metadata;
use crate::dhis2::version::Version;

/// A small server takes about two seconds for fifty tracked entities with an enrolment and an event each.
pub const DELIVERIES_MAX: usize = 50;
/// Objects in one batch.
pub const PARTS_MAX: usize = 500;
/// Imports of one batch, so that looking again and halving end.
const IMPORTS_MAX: usize = 60;
/// How often one object is looked at again before it is refused.
const LOOKS_MAX: u32 = 2;
/// Imports that collide are sent so often before they wait for another batch.
const REPEATS: u32 = 2;
/// From this attempt on a culprit is looked for in the batch, if DHIS2 otherwise answers.
const SUSPECT_FROM: u32 = 4;

/// What a sending is given.
pub(in crate::dhis2) struct Sender<'a> {
    pub client: &'a Client,
    pub metadata: &'a Metadata,
    pub space: &'a Namespace,
    pub notes: &'a dyn Notes,
    pub today: Date,
    pub deadline: Instant,
    pub pause: Duration,
}

/// A part on its way.
pub(super) struct Item {
    /// Delivery and part, as positions in the batch.
    pub delivery: usize,
    pub part: usize,
    pub checked: Option<Checked>,
    pub note: Note,
    /// Empty until it is known.
    pub uid: String,
    /// What is there, as far as it was read.
    pub current: Option<serde_json::Value>,
    /// Of an event: the enrolment's UID. Of a relationship: the other's.
    pub other: String,
    pub ready: bool,
    pub verdict: Option<Verdict>,
    /// The note is worth keeping.
    pub noted: bool,
    pub looks: u32,
}

/// A batch on its way.
pub(super) struct Sending<'a> {
    pub with: Sender<'a>,
    pub version: Version,
    pub batch: &'a [Outgoing],
    pub items: Vec<Item>,
    pub people: Vec<Option<Person>>,
    /// What is being made in this batch, by what it is found by → its delivery.
    pub making: HashMap<(String, String), usize>,
    pub exchanges: Vec<Exchange>,
    pub stopped: Option<Failure>,
    imports: usize,
}

/// Deliveries (positions) that travel in one request.
struct Chunk {
    deliveries: Vec<usize>,
    repeats: u32,
}

/// Checks one delivery's parts: (position, why not).
pub(in crate::dhis2) fn refused(
    outgoing: &Outgoing,
    metadata: &Metadata,
    today: Date,
) -> Vec<(usize, Reason)> {
    let judged = outgoing.parts.iter().map(|part| check::check(part, metadata, today));
    judged.enumerate().filter_map(|(at, result)| Some((at, result.err()?))).collect()
}

/// Sends one batch of events and tracked entities.
pub(in crate::dhis2) async fn send(with: Sender<'_>, batch: &[Outgoing]) -> Sent {
    let items = items(batch, with.metadata, with.today);
    let version = with.metadata.system.version.unwrap_or(Version::OLDEST);
    let mut sending = Sending {
        with,
        version,
        batch,
        items,
        people: batch.iter().map(|_| None).collect(),
        making: HashMap::new(),
        exchanges: Vec::new(),
        stopped: None,
        imports: 0,
    };
    let all = Chunk { deliveries: (0..batch.len()).collect(), repeats: 0 };
    let mut chunks = VecDeque::from([all]);
    while let Some(chunk) = chunks.pop_front() {
        if !sending.may_send() {
            break;
        }
        for chunk in sending.chunk(chunk).await.into_iter().rev() {
            chunks.push_front(chunk);
        }
    }
    sending.settled()
}

fn items(batch: &[Outgoing], metadata: &Metadata, today: Date) -> Vec<Item> {
    let mut items = Vec::new();
    for (delivery, outgoing) in batch.iter().enumerate() {
        for (part, one) in outgoing.parts.iter().enumerate() {
            let checked = check::check(one, metadata, today);
            let verdict = checked.as_ref().err().map(|reason| Verdict::Refused(reason.clone()));
            items.push(Item {
                delivery,
                part,
                checked: checked.ok(),
                note: Note::read(&one.note),
                uid: String::new(),
                current: None,
                other: String::new(),
                ready: false,
                verdict,
                noted: false,
                looks: 0,
            });
        }
    }
    items
}

impl<'a> Sending<'a> {
    /// Whether another request may begin.
    pub fn may_send(&self) -> bool {
        self.stopped.is_none() && self.imports < IMPORTS_MAX && Instant::now() < self.with.deadline
    }

    pub fn asking(&mut self) -> Asking<'_> {
        Asking { client: self.with.client, version: self.version, exchanges: &mut self.exchanges }
    }

    async fn chunk(&mut self, chunk: Chunk) -> Vec<Chunk> {
        for delivery in &chunk.deliveries {
            if !self.may_send() {
                return Vec::new();
            }
            self.resolve(*delivery).await;
        }
        if self.stopped.is_some() {
            return Vec::new();
        }
        self.accept_what_is_there(&chunk.deliveries);
        let before = self.imports;
        for removal in [true, false] {
            let open = self.open(&chunk.deliveries, removal);
            if open.is_empty() {
                continue;
            }
            match self.import(&open, removal).await {
                Ok(report) => self.read(&open, &report, removal).await,
                Err(failure) => return self.failed(chunk, &failure).await,
            }
            if self.stopped.is_some() {
                return Vec::new();
            }
        }
        let again: BTreeSet<usize> =
            self.open_of(&chunk.deliveries).iter().map(|at| self.delivery(*at)).collect();
        if again.is_empty() || self.imports == before {
            return Vec::new();
        }
        vec![Chunk { deliveries: again.into_iter().collect(), repeats: chunk.repeats }]
    }

    /// Of deliveries whose last attempt ended without proof.
    fn accept_what_is_there(&mut self, deliveries: &[usize]) {
        let doubtful: Vec<usize> = self
            .open_of(deliveries)
            .into_iter()
            .filter(|at| self.batch.get(self.delivery(*at)).is_some_and(|outgoing| outgoing.unclear))
            .collect();
        for at in doubtful {
            if self.holds(at) {
                self.accept(at);
            }
        }
    }

    /// Whether DHIS2 holds the object as it is wanted, by what was read.
    fn holds(&self, at: usize) -> bool {
        let Some(item) = self.items.get(at) else { return false };
        let (Some(checked), Some(there)) = (&item.checked, &item.current) else { return false };
        let gone = self.object(at).map(|object| {
            let list = if checked.slot.kind() == Kind::Event { "dataValues" } else { "attributes" };
            object.emptied(list)
        });
        is_there(checked, there, &gone.unwrap_or_default(), self.with.metadata)
    }

    async fn import(&mut self, open: &[usize], removal: bool) -> Result<Report, Failure> {
        let objects: Vec<_> = open
            .iter()
            .filter_map(|at| {
                let object = self.object(*at)?;
                let kind = object.checked.slot.kind();
                Some(if removal { payload::deletion(kind, object.uid) } else { (kind, object.body()) })
            })
            .collect();
        let body = payload::request(objects);
        let strategy = if removal { "DELETE" } else { "CREATE_AND_UPDATE" };
        let query = vec![
            ("async", "false".to_owned()),
            ("importStrategy", strategy.to_owned()),
            ("atomicMode", "OBJECT".to_owned()),
        ];
        self.imports += 1;
        let (response, exchange) = self.with.client.send(Request::post("tracker", query, &body)).await;
        self.exchanges.push(exchange);
        match answer::import(&response?) {
            Answer::Report(report) => Ok(report),
            Answer::Failed(failure) => Err(failure),
        }
    }

    /// The object of an item, ready to be written.
    fn object(&self, at: usize) -> Option<Object<'_>> {
        let item = self.items.get(at)?;
        let checked = item.checked.as_ref()?;
        let outgoing = self.batch.get(item.delivery)?;
        let person = self.people.get(item.delivery)?.as_ref();
        let extra = match (&checked.slot, person) {
            (Slot::Entity { .. }, Some(person)) if person.entity.is_none() => &person.extra,
            _ => NOTHING,
        };
        let needs_incident = match &checked.slot {
            Slot::Enrollment { program, .. } => {
                self.with.metadata.programs.get(program).is_some_and(|program| program.needs_incident_date)
            }
            _ => false,
        };
        Some(Object {
            checked,
            uid: &item.uid,
            note: &item.note,
            sent: outgoing.parts.get(item.part).and_then(|part| part.sent.as_ref()),
            current: item.current.as_ref(),
            doubt: outgoing.unclear || item.current.is_none(),
            extra,
            entity: person.map_or("", |person| person.uid.as_str()),
            enrollment: &item.other,
            needs_incident,
            other: &item.other,
        })
    }

    /// Gives each object its verdict. What the report is silent about is read back.
    async fn read(&mut self, open: &[usize], report: &Report, removal: bool) {
        let mut silent = Vec::new();
        let mut named: Vec<(Kind, String, usize)> =
            open.iter().filter_map(|at| self.named(*at).map(|(kind, uid)| (kind, uid, *at))).collect();
        // What others belong to first: they may be refused for its sake.
        named.sort();
        for (kind, uid, at) in named {
            match report.word(kind, &uid) {
                Word::Stored => self.done(at, removal),
                Word::Refused(row) if removal && row.means_gone() => self.done(at, true),
                Word::Refused(row) => self.refused(at, row.fate, row.reason(kind.word())),
                Word::Silent => silent.push(at),
            }
        }
        let parents = self.inherit(&silent);
        let silent: Vec<usize> = silent.into_iter().filter(|at| !parents.contains(at)).collect();
        if silent.is_empty() {
            return;
        }
        let reason = Reason::new(
            "dhis2-object-unmentioned",
            "DHIS2's report does not say what became of it",
            "nothing to do here: it is read back and sent again",
        );
        match self.missing(&silent).await {
            Some(missing) => missing.iter().for_each(|at| self.decide(*at, Verdict::Later(reason.clone()))),
            None => silent.iter().for_each(|at| self.doubt(*at, &reason)),
        }
    }

    /// Nobody knows what became of it: the values that it may hold now are remembered.
    fn doubt(&mut self, at: usize, reason: &Reason) {
        let Some(item) = self.items.get_mut(at) else { return };
        if let Some(checked) = &item.checked {
            let known: BTreeSet<String> = std::mem::take(&mut item.note.touched).into_iter().collect();
            item.note.touched = known.into_iter().chain(checked.values.keys().cloned()).collect();
            item.noted = true;
        }
        item.verdict = Some(Verdict::Unclear(reason.clone()));
    }

    /// Objects whose report is silent because what they belong to was refused.
    fn inherit(&mut self, silent: &[usize]) -> BTreeSet<usize> {
        let mut inherited = BTreeSet::new();
        for at in silent {
            if let Some(verdict) = self.of_parent(*at) {
                self.decide(*at, verdict);
                inherited.insert(*at);
            }
        }
        inherited
    }

    /// What became of the enrolment or tracked entity that an object belongs to, if that did not go well.
    pub fn of_parent(&self, at: usize) -> Option<Verdict> {
        let item = self.items.get(at)?;
        let checked = item.checked.as_ref()?;
        let is_parent = |slot: &Slot| match (&checked.slot, slot) {
            (Slot::Event { program, enrollment, .. }, Slot::Enrollment { program: of, key, .. }) => {
                program == of && enrollment == key
            }
            (
                Slot::Event { .. } | Slot::Enrollment { .. } | Slot::Relationship { .. },
                Slot::Entity { .. },
            ) => true,
            _ => false,
        };
        let mut parents = self.items.iter().filter(|other| {
            other.delivery == item.delivery && self.slot_of(other).is_some_and(|slot| is_parent(&slot))
        });
        let kind = checked.slot.kind().word();
        parents.find_map(|parent| match &parent.verdict {
            Some(Verdict::Refused(reason)) => Some(Verdict::Refused(Reason::new(
                "dhis2-parent-refused",
                format!("the {kind} is not sent, because what it belongs to is refused: {}", reason.message),
                reason.hint.clone(),
            ))),
            Some(Verdict::Later(reason)) => Some(Verdict::Later(reason.clone())),
            _ => None,
        })
    }

    /// Also of a part that its check refused.
    fn slot_of(&self, item: &Item) -> Option<Slot> {
        let part = self.batch.get(item.delivery)?.parts.get(item.part)?;
        Slot::parse(&part.slot)
    }

    /// DHIS2 refused an object; some refusals end only after another look.
    fn refused(&mut self, at: usize, fate: Fate, reason: Reason) {
        if fate == Fate::There {
            return self.accept(at);
        }
        if fate == Fate::Parent
            && let Some(verdict) = self.of_parent(at)
        {
            return self.decide(at, verdict);
        }
        let Some(item) = self.items.get_mut(at) else { return };
        if fate == Fate::Refused || item.looks >= LOOKS_MAX {
            let waits = fate == Fate::Parent;
            item.verdict = Some(if waits { Verdict::Later(reason) } else { Verdict::Refused(reason) });
            return;
        }
        item.looks += 1;
        if fate == Fate::Deleted {
            item.note = Note { generation: item.note.generation + 1, ..Note::default() };
            item.noted = true;
        }
        let delivery = item.delivery;
        self.look_again(delivery);
    }

    /// What was resolved of a delivery is not believed any more.
    fn look_again(&mut self, delivery: usize) {
        if let Some(person) = self.people.get_mut(delivery) {
            *person = None;
        }
        for item in self.items.iter_mut().filter(|item| item.delivery == delivery && item.verdict.is_none()) {
            item.ready = false;
            item.current = None;
        }
    }

    /// The request failed as a whole.
    async fn failed(&mut self, chunk: Chunk, failure: &Failure) -> Vec<Chunk> {
        let open = self.open_of(&chunk.deliveries);
        let missing = match failure.unclear {
            true => self.missing(&open).await,
            false => Some(open),
        };
        let Some(missing) = missing else {
            self.stopped.get_or_insert_with(|| failure.clone());
            return Vec::new();
        };
        let left: BTreeSet<usize> = missing.iter().map(|at| self.delivery(*at)).collect();
        if left.is_empty() {
            return Vec::new();
        }
        let chunk = Chunk { deliveries: left.into_iter().collect(), repeats: chunk.repeats };
        match failure.kind {
            FailureKind::Rejected => self.halves(chunk, Verdict::Refused(failure.reason.clone())),
            FailureKind::Collision if chunk.repeats < REPEATS => {
                tokio::time::sleep(self.with.pause).await;
                vec![Chunk { repeats: chunk.repeats + 1, ..chunk }]
            }
            FailureKind::Collision => self.halves(chunk, Verdict::Later(failure.reason.clone())),
            FailureKind::Unauthorised if chunk.repeats == 0 && self.probe_again().await => {
                vec![Chunk { repeats: 1, ..chunk }]
            }
            FailureKind::Unavailable if self.is_suspect(&chunk) && self.probe_again().await => {
                self.halves(chunk, Verdict::Later(failure.reason.clone()))
            }
            _ => {
                self.stopped.get_or_insert_with(|| Failure { unclear: false, ..failure.clone() });
                Vec::new()
            }
        }
    }

    /// Two halves, until the culprit is alone.
    fn halves(&mut self, chunk: Chunk, alone: Verdict) -> Vec<Chunk> {
        if chunk.deliveries.len() < 2 {
            for at in self.open_of(&chunk.deliveries) {
                self.decide(at, alone.clone());
            }
            return Vec::new();
        }
        let (left, right) = chunk.deliveries.split_at(chunk.deliveries.len() / 2);
        [left, right].into_iter().map(|half| Chunk { deliveries: half.to_vec(), repeats: 0 }).collect()
    }

    /// Which of these DHIS2 does not hold as they are wanted; the others are accepted. `None`: it does not
    /// say.
    async fn missing(&mut self, open: &[usize]) -> Option<Vec<usize>> {
        let deliveries: BTreeSet<usize> = open.iter().map(|at| self.delivery(*at)).collect();
        for delivery in &deliveries {
            if Instant::now() >= self.with.deadline {
                return None;
            }
            self.look_again(*delivery);
            self.read_all(*delivery).await;
            if self.stopped.is_some() {
                return None;
            }
        }
        let mut missing = Vec::new();
        for at in open.iter().copied() {
            if !self.is_open(at) {
                continue;
            }
            let removed = self.items.get(at).is_some_and(|item| item.current.is_none());
            match self.wants(at) {
                Some(true) if self.holds(at) => self.accept(at),
                Some(false) if removed => self.done(at, true),
                _ => missing.push(at),
            }
        }
        Some(missing)
    }

    /// Refused credentials, or a failure, are believed only if a cheap request fares alike.
    async fn probe_again(&mut self) -> bool {
        tokio::time::sleep(self.with.pause).await;
        if Instant::now() >= self.with.deadline {
            return false;
        }
        match probe(self.with.client, &mut self.exchanges).await {
            Ok(()) => true,
            Err(failure) => {
                self.stopped = Some(failure);
                false
            }
        }
    }

    fn is_suspect(&self, chunk: &Chunk) -> bool {
        let old = |at: &usize| self.batch.get(*at).is_some_and(|outgoing| outgoing.attempt >= SUSPECT_FROM);
        chunk.deliveries.iter().all(old)
    }

    /// Stored, or deleted: the next object at this place then has another UID.
    fn done(&mut self, at: usize, removal: bool) {
        if removal && let Some(item) = self.items.get_mut(at) {
            item.note = Note { generation: item.note.generation + 1, ..Note::default() };
            item.noted = true;
            item.verdict = Some(Verdict::Accepted);
        } else {
            self.accept(at);
        }
    }

    pub fn accept(&mut self, at: usize) {
        let Some(item) = self.items.get_mut(at) else { return };
        item.note.uid.clone_from(&item.uid);
        item.note.touched.clear();
        item.noted = true;
        item.verdict = Some(Verdict::Accepted);
    }

    pub fn decide(&mut self, at: usize, verdict: Verdict) {
        if let Some(item) = self.items.get_mut(at) {
            item.verdict = Some(verdict);
        }
    }

    fn named(&self, at: usize) -> Option<(Kind, String)> {
        let item = self.items.get(at)?;
        Some((item.checked.as_ref()?.slot.kind(), item.uid.clone()))
    }

    fn delivery(&self, at: usize) -> usize {
        self.items.get(at).map_or(usize::MAX, |item| item.delivery)
    }

    pub fn is_open(&self, at: usize) -> bool {
        self.items.get(at).is_some_and(|item| item.verdict.is_none() && item.checked.is_some())
    }

    /// Whether it is wanted (true) or withdrawn (false).
    pub fn wants(&self, at: usize) -> Option<bool> {
        Some(self.items.get(at)?.checked.as_ref()?.wanted.is_some())
    }

    /// Undecided items of these deliveries.
    pub fn open_of(&self, deliveries: &[usize]) -> Vec<usize> {
        let of = |at: &usize| self.is_open(*at) && deliveries.contains(&self.delivery(*at));
        (0..self.items.len()).filter(of).collect()
    }

    fn open(&self, deliveries: &[usize], removal: bool) -> Vec<usize> {
        let ready = |at: &usize| self.items.get(*at).is_some_and(|item| item.ready);
        let fits = |at: &usize| ready(at) && self.wants(*at) == Some(!removal);
        self.open_of(deliveries).into_iter().filter(fits).collect()
    }

    /// One answer for each delivery. If nothing at all was decided, the batch failed.
    fn settled(mut self) -> Sent {
        let tried = self.items.iter().any(|item| item.verdict.is_some());
        if let (Some(failure), false) = (&self.stopped, tried) {
            return Sent { result: Err(failure.clone()), exchanges: self.exchanges };
        }
        let rest = self.stopped.as_ref().map_or_else(out_of_time, |failure| failure.reason.clone());
        if self.stopped.as_ref().is_some_and(|failure| failure.unclear) {
            let all: Vec<usize> = (0..self.batch.len()).collect();
            self.open_of(&all).into_iter().for_each(|at| self.doubt(at, &rest));
        }
        let mut result: Vec<Settled> = Vec::new();
        for (at, outgoing) in self.batch.iter().enumerate() {
            let items: Vec<&Item> = self.items.iter().filter(|item| item.delivery == at).collect();
            let verdict = |item: &&Item| item.verdict.clone().unwrap_or_else(|| Verdict::Later(rest.clone()));
            let note = |item: &&Item| item.noted.then(|| item.note.text());
            result.push(Settled {
                parts: items.iter().map(verdict).collect(),
                remote: outgoing.link.as_ref().and_then(|_| self.remote(at, &items)),
                notes: items.iter().map(note).collect(),
            });
        }
        Sent { result: Ok(result), exchanges: self.exchanges }
    }

    /// The tracked entity, once it is there for certain.
    fn remote(&self, delivery: usize, items: &[&Item]) -> Option<String> {
        let person = self.people.get(delivery)?.as_ref()?;
        let made = items.iter().any(|item| {
            item.checked.as_ref().is_some_and(|it| it.slot.kind() == Kind::Entity && it.wanted.is_some())
                && item.verdict == Some(Verdict::Accepted)
        });
        (person.entity.is_some() || made).then(|| person.uid.clone())
    }
}

static NOTHING: &BTreeMap<String, String> = &BTreeMap::new();

fn out_of_time() -> Reason {
    Reason::new(
        "dhis2-out-of-time",
        "there was no time left to send this in its batch",
        "it is sent with the next one",
    )
}
