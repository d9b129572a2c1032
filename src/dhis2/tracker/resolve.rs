//! Who and what is there already: the tracked entity (linked, noted, found or to be made), its enrolments,
//! its events. Gives each item its UID, or the verdict that it cannot go.

use std::collections::{BTreeMap, HashMap};

use serde_json::Value;

use super::person::{Found, Pair};
use super::sending::Sending;
use super::slot::{Kind, Slot};
use super::uid::Note;
use crate::delivery::destination::{Failure, FailureKind, Outgoing, Reason, Verdict};

// Enrolments, events and relationships of a person.
mod objects;

/// The tracked entity of a delivery.
#[derive(Debug, Clone)]
pub(super) struct Person {
    pub uid: String,
    /// As it is there; `None`: it is to be made.
    pub entity: Option<Value>,
    pub generation: u32,
    /// It was there before us.
    pub found: bool,
    /// What it is made with, besides what is wanted of it.
    pub extra: BTreeMap<String, String>,
}

/// Why a person is not known.
enum Stop {
    /// It concerns this delivery.
    Verdict(Verdict),
    /// Nothing more is sent.
    Failure(Failure),
}

impl From<Failure> for Stop {
    fn from(failure: Failure) -> Self {
        match failure.kind {
            FailureKind::Rejected => Self::Verdict(Verdict::Refused(failure.reason)),
            _ => Self::Failure(failure),
        }
    }
}

impl Sending<'_> {
    /// Resolves what is open of a delivery; asks DHIS2 only for what is needed.
    pub async fn resolve(&mut self, delivery: usize) {
        self.resolve_as(delivery, false).await;
    }

    /// As [`Sending::resolve`], and reads everything that is open.
    pub async fn read_all(&mut self, delivery: usize) {
        self.resolve_as(delivery, true).await;
    }

    async fn resolve_as(&mut self, delivery: usize, everything: bool) {
        let open: Vec<usize> = self
            .open_of(&[delivery])
            .into_iter()
            .filter(|at| self.items.get(*at).is_some_and(|item| !item.ready))
            .collect();
        let Some(outgoing) = self.batch.get(delivery) else { return };
        let everything = everything || outgoing.unclear;
        let (singles, others): (Vec<usize>, Vec<usize>) =
            open.into_iter().partition(|at| matches!(self.slot(*at), Some(Slot::Single { .. })));
        for at in singles {
            self.single(at, outgoing, everything).await;
        }
        let (wanted, withdrawn): (Vec<usize>, Vec<usize>) =
            others.into_iter().partition(|at| self.wants(*at) == Some(true));
        for at in withdrawn {
            self.withdrawn(at, everything).await;
        }
        if wanted.is_empty() || self.stopped.is_some() {
            return;
        }
        match self.person(delivery, outgoing).await {
            Ok(person) => self.objects(outgoing, (delivery, person), &wanted).await,
            Err(Stop::Verdict(verdict)) => wanted.iter().for_each(|at| self.decide(*at, verdict.clone())),
            Err(Stop::Failure(failure)) => self.stop(failure),
        }
    }

    fn slot(&self, at: usize) -> Option<Slot> {
        Some(self.items.get(at)?.checked.as_ref()?.slot.clone())
    }

    fn stop(&mut self, failure: Failure) {
        self.stopped.get_or_insert(failure);
    }

    /// An event of an event program. It is read where its status would otherwise be guessed.
    async fn single(&mut self, at: usize, outgoing: &Outgoing, everything: bool) {
        let Some(slot) = self.slot(at) else { return };
        let Some(item) = self.items.get(at) else { return };
        let uid = self.uid_of(&slot, &item.note);
        let part = outgoing.parts.get(item.part);
        let updates = part.is_some_and(|part| {
            part.sent.is_some() && part.wanted.as_ref().is_some_and(|wanted| wanted.get("status").is_none())
        });
        let mut current = None;
        if everything || updates {
            match self.asking().event(&uid).await {
                Ok(event) => current = event,
                Err(failure) => return self.stop(failure),
            }
        }
        if let Some(item) = self.items.get_mut(at) {
            item.uid = uid;
            item.current = current;
            item.ready = true;
        }
    }

    /// What is no longer wanted is deleted if it is ours.
    async fn withdrawn(&mut self, at: usize, everything: bool) {
        let Some(slot) = self.slot(at) else { return };
        let Some(item) = self.items.get(at) else { return };
        if item.note.found {
            return self.accept(at);
        }
        let uid = self.uid_of(&slot, &item.note);
        let mut current = None;
        if everything {
            let read = match slot.kind() {
                Kind::Entity => self.asking().read(&uid, None).await,
                Kind::Event => self.asking().event(&uid).await,
                // Only deleting it once more tells.
                Kind::Enrollment | Kind::Relationship => Ok(Some(Value::Null)),
            };
            match read {
                Ok(there) => current = there,
                Err(failure) => return self.stop(failure),
            }
        }
        if let Some(item) = self.items.get_mut(at) {
            item.uid = uid;
            item.current = current;
            item.ready = true;
        }
    }

    fn uid_of(&self, slot: &Slot, note: &Note) -> String {
        if note.uid.is_empty() { self.with.space.uid(slot, note.generation) } else { note.uid.clone() }
    }

    async fn person(&mut self, delivery: usize, outgoing: &Outgoing) -> Result<Person, Stop> {
        if let Some(Some(person)) = self.people.get(delivery) {
            return Ok(person.clone());
        }
        let person = match outgoing.body.get("trackedEntity") {
            Some(known) => self.known(outgoing, known).await?,
            None => self.looked_for(delivery, outgoing).await?,
        };
        if let Some(place) = self.people.get_mut(delivery) {
            *place = Some(person.clone());
        }
        Ok(person)
    }

    /// The mapping says who it is.
    async fn known(&mut self, outgoing: &Outgoing, known: &Value) -> Result<Person, Stop> {
        let uid = self.linked(outgoing, known).map_err(Stop::Verdict)?;
        let entity = self.asking().read(&uid, None).await?;
        match entity {
            Some(entity) => Ok(there(uid, entity, 0, true)),
            None => Err(Stop::Verdict(Verdict::Refused(gone("tracked entity")))),
        }
    }

    /// A uid, or that of a linked resource.
    fn linked(&self, outgoing: &Outgoing, value: &Value) -> Result<String, Verdict> {
        if let Some(uid) = value.as_str() {
            return Ok(uid.to_owned());
        }
        let resource = value.pointer("/$link/resource").and_then(Value::as_str).unwrap_or_default();
        outgoing.links.get(resource).cloned().ok_or_else(|| {
            Verdict::Later(Reason::new(
                "link-missing",
                "a resource that it belongs to is not linked with a tracked entity yet",
                "it is sent once that resource was delivered",
            ))
        })
    }

    /// Linked, noted, found, or to be made.
    async fn looked_for(&mut self, delivery: usize, outgoing: &Outgoing) -> Result<Person, Stop> {
        let text = |name: &str| outgoing.body[name].as_str().unwrap_or_default().to_owned();
        let slot = Slot::Entity { identity: text("identity"), mapping: text("mapping") };
        let own = self.items.iter().position(|item| {
            item.delivery == delivery
                && outgoing.parts.get(item.part).is_some_and(|part| part.slot == slot.to_string())
        });
        let note = match own.and_then(|at| self.items.get(at)) {
            Some(item) => item.note.clone(),
            None => self.noted(&[slot.to_string()]).await?.remove(&slot.to_string()).unwrap_or_default(),
        };
        let mut generation = note.generation;
        let noted = (!note.uid.is_empty()).then_some(note.uid);
        for uid in outgoing.remote.clone().into_iter().chain(noted) {
            if let Some(entity) = self.asking().read(&uid, None).await? {
                let found = uid != self.with.space.uid(&slot, generation);
                return Ok(there(uid, entity, generation, found));
            }
            if uid == self.with.space.uid(&slot, generation) {
                generation += 1;
            }
        }
        if let Some(person) = self.found(outgoing, (&slot, generation)).await? {
            return Ok(person);
        }
        let uid = self.with.space.uid(&slot, generation);
        let may_be = outgoing.attempt > 0 || outgoing.unclear || own.is_none();
        if may_be && let Some(entity) = self.asking().read(&uid, None).await? {
            return Ok(there(uid, entity, generation, false));
        }
        match own.and_then(|at| self.items.get(at)).map(|item| item.verdict.clone()) {
            Some(None) if outgoing.body["create"] == true => {
                self.made(delivery, outgoing, (uid, generation)).map_err(Stop::Verdict)
            }
            Some(Some(Verdict::Refused(reason))) => Err(Stop::Verdict(Verdict::Refused(Reason::new(
                "dhis2-parent-refused",
                format!("it is not sent, because the tracked entity is refused: {}", reason.message),
                reason.hint,
            )))),
            _ => Err(Stop::Verdict(Verdict::Later(absent("tracked entity")))),
        }
    }

    async fn found(
        &mut self,
        outgoing: &Outgoing,
        (slot, generation): (&Slot, u32),
    ) -> Result<Option<Person>, Stop> {
        let pairs: Vec<Pair<'_>> = pairs(outgoing).collect();
        let kind = outgoing.body["type"].as_str().unwrap_or_default();
        if pairs.is_empty() || kind.is_empty() {
            return Ok(None);
        }
        let margin = outgoing.body["margin"].as_i64().unwrap_or(1);
        match self.asking().find(kind, &pairs, margin).await? {
            Found::Nobody => Ok(None),
            Found::One(entity) => {
                let uid = entity["trackedEntity"].as_str().unwrap_or_default().to_owned();
                let found = uid != self.with.space.uid(slot, generation);
                Ok(Some(there(uid, *entity, generation, found)))
            }
            Found::Several(count) => Err(Stop::Verdict(Verdict::Refused(Reason::new(
                "dhis2-entity-ambiguous",
                format!("{count} tracked entities fit `find` about equally well"),
                "merge them in DHIS2, or name what tells them apart under `find`, with its `weight`",
            )))),
        }
    }

    /// To be made, unless another delivery of this batch makes the same.
    fn made(
        &mut self,
        delivery: usize,
        outgoing: &Outgoing,
        (uid, generation): (String, u32),
    ) -> Result<Person, Verdict> {
        let keys: Vec<(String, String)> =
            pairs(outgoing).map(|pair| (pair.attribute.to_owned(), pair.value.to_lowercase())).collect();
        if keys.iter().any(|key| self.making.get(key).is_some_and(|other| *other != delivery)) {
            return Err(Verdict::Later(Reason::new(
                "dhis2-entity-being-made",
                "another delivery is just making this tracked entity",
                "nothing to do here: it is looked for again in a moment",
            )));
        }
        self.making.extend(keys.into_iter().map(|key| (key, delivery)));
        let extra = pairs(outgoing).map(|pair| (pair.attribute.to_owned(), pair.value.to_owned())).collect();
        Ok(Person { uid, entity: None, generation, found: false, extra })
    }

    async fn noted(&mut self, slots: &[String]) -> Result<HashMap<String, Note>, Stop> {
        self.with.notes.notes(slots).await.map_err(|error| {
            tracing::warn!(error, "what is remembered about objects of DHIS2 could not be read");
            Stop::Failure(Failure {
                kind: FailureKind::Collision,
                reason: Reason::new("store-unavailable", "the store did not answer", "it is tried again"),
                unclear: false,
                retry_after: None,
            })
        })
    }
}

fn pairs(outgoing: &Outgoing) -> impl Iterator<Item = Pair<'_>> {
    let all = outgoing.body["find"].as_array().map_or(&[][..], Vec::as_slice);
    all.iter().filter_map(|pair| {
        Some(Pair {
            attribute: pair["attribute"].as_str()?,
            value: pair["value"].as_str()?,
            weight: pair["weight"].as_i64().unwrap_or(1),
        })
    })
}

fn there(uid: String, entity: Value, generation: u32, found: bool) -> Person {
    Person { uid, entity: Some(entity), generation, found, extra: BTreeMap::new() }
}

fn gone(what: &str) -> Reason {
    Reason::new(
        &format!("dhis2-{}-gone", if what == "enrolment" { "enrollment" } else { "entity" }),
        format!("the {what} is no longer in DHIS2, or the account may not see it"),
        "if it was deleted by mistake, restore it there; else cancel this delivery",
    )
}

fn absent(what: &str) -> Reason {
    Reason::new(
        &format!("dhis2-{}-absent", if what == "enrolment" { "enrollment" } else { "entity" }),
        format!("the {what} is not there yet, and the mapping does not make it"),
        "it is sent once it is there; `create: true` or `enrolledAt` would make it",
    )
}
