//! The enrolments, events and relationships that are wanted of a person: which are there, which are new.

use std::collections::BTreeMap;

use serde_json::Value;

use super::{Person, Stop, absent, gone};
use crate::delivery::destination::{Outgoing, Reason, Verdict};
use crate::dhis2::tracker::person::{enrollments, events};
use crate::dhis2::tracker::sending::Sending;
use crate::dhis2::tracker::slot::Slot;
use crate::dhis2::tracker::uid::Note;

/// The enrolment that events belong to.
struct Enrolled {
    uid: String,
    there: Option<Value>,
    note: Note,
}

impl Sending<'_> {
    /// UIDs of the objects that are wanted of a person.
    pub(super) async fn objects(
        &mut self,
        outgoing: &Outgoing,
        (delivery, person): (usize, Person),
        wanted: &[usize],
    ) {
        let mut enrolled: BTreeMap<(String, String), Enrolled> = BTreeMap::new();
        for at in wanted.iter().copied() {
            match self.slot(at) {
                Some(Slot::Entity { .. }) => self.entity(at, &person),
                Some(
                    Slot::Enrollment { program, key, .. } | Slot::Event { program, enrollment: key, .. },
                ) => {
                    let place = (program, key);
                    if !enrolled.contains_key(&place) {
                        match self.enrolled(outgoing, (delivery, &person), &place).await {
                            Ok(one) => {
                                enrolled.insert(place.clone(), one);
                            }
                            Err(Stop::Verdict(verdict)) => {
                                self.decide(at, verdict);
                                continue;
                            }
                            Err(Stop::Failure(failure)) => return self.stop(failure),
                        }
                    }
                    if let Some(one) = enrolled.get(&place) {
                        self.of_enrollment(at, one);
                    }
                }
                Some(Slot::Relationship { .. }) => self.relationship(at, outgoing, &person),
                Some(Slot::Single { .. }) | None => {}
            }
        }
    }

    fn entity(&mut self, at: usize, person: &Person) {
        let Some(item) = self.items.get_mut(at) else { return };
        item.uid.clone_from(&person.uid);
        item.note.generation = person.generation;
        item.note.found = person.found;
        item.current.clone_from(&person.entity);
        item.ready = true;
    }

    /// The enrolment of a program: ours, one that is there, or a new one.
    async fn enrolled(
        &mut self,
        outgoing: &Outgoing,
        (delivery, person): (usize, &Person),
        (program, key): &(String, String),
    ) -> Result<Enrolled, Stop> {
        let text = |name: &str| outgoing.body[name].as_str().unwrap_or_default().to_owned();
        let slot = Slot::Enrollment {
            identity: text("identity"),
            program: program.clone(),
            key: key.clone(),
            mapping: text("mapping"),
        };
        let name = slot.to_string();
        let own = self.items.iter().position(|item| {
            item.delivery == delivery && outgoing.parts.get(item.part).is_some_and(|part| part.slot == name)
        });
        let own = own.and_then(|at| self.items.get(at));
        let wanted = own.is_some_and(|item| {
            item.verdict.is_none() && item.checked.as_ref().is_some_and(|checked| checked.wanted.is_some())
        });
        let refused = own.and_then(|item| item.verdict.clone());
        let mut note = match own {
            Some(item) => item.note.clone(),
            None => self.noted(std::slice::from_ref(&name)).await?.remove(&name).unwrap_or_default(),
        };
        let derived = self.with.space.uid(&slot, note.generation);
        let once = self.with.metadata.programs.get(program).is_some_and(|program| program.enrol_once);
        let choice = Choice { note: &note, derived: &derived, plain: key.is_empty(), wanted, once };
        let nothing = Value::Null;
        let entity = person.entity.as_ref().unwrap_or(&nothing);
        if let Some(there) = choice.among(entity, program) {
            let uid = there["enrollment"].as_str().unwrap_or_default().to_owned();
            note.found = uid != derived;
            return Ok(Enrolled { uid, there: Some(there.clone()), note });
        }
        if wanted {
            if note.uid == derived && person.entity.is_some() {
                note.generation += 1;
            }
            note.found = false;
            return Ok(Enrolled { uid: self.with.space.uid(&slot, note.generation), there: None, note });
        }
        Err(Stop::Verdict(match refused {
            Some(Verdict::Refused(reason)) => Verdict::Refused(Reason::new(
                "dhis2-parent-refused",
                format!("the event is not sent, because its enrolment is refused: {}", reason.message),
                reason.hint,
            )),
            Some(Verdict::Later(reason)) => Verdict::Later(reason),
            _ if !note.uid.is_empty() => Verdict::Refused(gone("enrolment")),
            _ => Verdict::Later(absent("enrolment")),
        }))
    }

    fn of_enrollment(&mut self, at: usize, enrolled: &Enrolled) {
        let Some(slot) = self.slot(at) else { return };
        let Some(item) = self.items.get(at) else { return };
        let (uid, note, current) = match &slot {
            Slot::Event { stage, .. } => self.event_of(&slot, stage, &item.note, enrolled),
            _ => (enrolled.uid.clone(), enrolled.note.clone(), enrolled.there.clone()),
        };
        if let Some(item) = self.items.get_mut(at) {
            item.uid = uid;
            item.note = note;
            item.current = current;
            item.other.clone_from(&enrolled.uid);
            item.ready = true;
        }
    }

    /// Ours, or the one that is there of a stage that is not repeatable.
    fn event_of(
        &self,
        slot: &Slot,
        stage: &str,
        note: &Note,
        enrolled: &Enrolled,
    ) -> (String, Note, Option<Value>) {
        let uid = self.uid_of(slot, note);
        let nothing = Value::Null;
        let there = enrolled.there.as_ref().unwrap_or(&nothing);
        if let Some(event) = events(there).find(|event| event["event"] == uid.as_str()) {
            return (uid, note.clone(), Some(event.clone()));
        }
        let Slot::Event { program, .. } = slot else { return (uid, note.clone(), None) };
        let known = self.with.metadata.programs.get(program).and_then(|program| program.stages.get(stage));
        let other = events(there).find(|event| event["programStage"] == stage);
        match other.filter(|_| known.is_some_and(|stage| !stage.repeatable)) {
            Some(event) => {
                let uid = event["event"].as_str().unwrap_or_default().to_owned();
                (uid, Note { found: true, ..note.clone() }, Some(event.clone()))
            }
            None => (uid, note.clone(), None),
        }
    }

    fn relationship(&mut self, at: usize, outgoing: &Outgoing, person: &Person) {
        let Some(slot) = self.slot(at) else { return };
        let Some(item) = self.items.get(at) else { return };
        let to = item.checked.as_ref().and_then(|checked| checked.wanted.as_ref()).map(|it| it["to"].clone());
        let uid = self.uid_of(&slot, &item.note);
        match self.linked(outgoing, &to.unwrap_or_default()) {
            Err(verdict) => self.decide(at, verdict),
            Ok(other) => {
                let known = person.entity.as_ref().and_then(|entity| {
                    let all = entity["relationships"].as_array()?;
                    all.iter().find(|one| one["relationship"] == uid.as_str()).cloned()
                });
                let is_there = known.is_some();
                if let Some(item) = self.items.get_mut(at) {
                    item.uid = uid;
                    item.other = other;
                    item.current = known;
                    item.ready = true;
                }
                // A relationship has nothing that could change.
                if is_there {
                    self.accept(at);
                }
            }
        }
    }
}

/// Which of the enrolments that are there is meant.
struct Choice<'a> {
    note: &'a Note,
    derived: &'a str,
    /// The mapping tells no enrolments of the program apart.
    plain: bool,
    wanted: bool,
    once: bool,
}

impl Choice<'_> {
    fn among<'v>(&self, entity: &'v Value, program: &str) -> Option<&'v Value> {
        let all = || enrollments(entity).filter(|one| one["program"] == program);
        let with = |uid: &str| all().find(|one| one["enrollment"] == uid);
        let ours = with(&self.note.uid).or_else(|| with(self.derived));
        if ours.is_some() || !self.plain {
            return ours;
        }
        let active = all().find(|one| one["status"] == "ACTIVE");
        let last = || all().max_by_key(|one| one["enrolledAt"].as_str().unwrap_or_default().to_owned());
        active.or_else(|| if self.once || !self.wanted { last() } else { None })
    }
}
