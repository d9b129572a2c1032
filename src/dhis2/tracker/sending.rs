//! One batch on its way: who is there, one request for what must go and one for what is wanted, and what
//! the report says of each object.
//!
//! What an answer leaves open is read back by UID before anything is said about it. A request that fails as
//! a whole is halved until the culprit is alone.

use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};
use std::time::Duration;

use jiff::civil::Date;

use super::answer::{self, Answer};
use super::check::{self, Checked};
use super::notes::Notes;
use super::payload::{self, Object};
use super::person::Asking;
use super::readback::is_there;
use super::report::Report;
use super::resolve::Person;
use super::slot::{Kind, Slot};
use super::uid::{Namespace, Note};
use crate::delivery::destination::{Exchange, Failure, Outgoing, Reason, Sent, Settled, Verdict};
use crate::delivery::hold::Leave;
use crate::dhis2::client::{Client, Request};
use crate::dhis2::metadata::Metadata;
use crate::dhis2::version::Version;

// When a request fails as a whole.
mod failing;
// What a report says of single objects.
mod verdicts;

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
    pub leave: &'a Leave,
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
    /// Items of requests whose answer was lost and which were not there when they were read back: DHIS2 may
    /// store them yet.
    unproven: BTreeSet<usize>,
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
        unproven: BTreeSet::new(),
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
        self.stopped.is_none() && self.imports < IMPORTS_MAX && !self.with.leave.is_over()
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
            if !self.may_send() {
                return Vec::new();
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
            let unclear = failure.unclear || !self.unproven.is_empty();
            return Sent { result: Err(Failure { unclear, ..failure.clone() }), exchanges: self.exchanges };
        }
        self.doubt_what_is_unproven();
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

    /// What waits after a lost answer waits in doubt, whatever was said of it later.
    fn doubt_what_is_unproven(&mut self) {
        for at in std::mem::take(&mut self.unproven) {
            let reason = match self.items.get(at).map(|item| &item.verdict) {
                Some(None) => self.stopped.as_ref().map_or_else(out_of_time, |it| it.reason.clone()),
                Some(Some(Verdict::Later(reason))) => reason.clone(),
                _ => continue,
            };
            self.doubt(at, &reason);
        }
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
