//! What a report says of single objects, and what becomes of them.

use std::collections::BTreeSet;

use super::{Item, LOOKS_MAX, Sending};
use crate::delivery::destination::{Reason, Verdict};
use crate::dhis2::tracker::report::{Report, Word};
use crate::dhis2::tracker::slot::{Kind, Slot};
use crate::dhis2::tracker::table::Fate;
use crate::dhis2::tracker::uid::Note;

impl Sending<'_> {
    /// Gives each object its verdict. What the report is silent about is read back.
    pub(super) async fn read(&mut self, open: &[usize], report: &Report, removal: bool) {
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
    pub(super) fn doubt(&mut self, at: usize, reason: &Reason) {
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
    pub(super) fn look_again(&mut self, delivery: usize) {
        if let Some(person) = self.people.get_mut(delivery) {
            *person = None;
        }
        for item in self.items.iter_mut().filter(|item| item.delivery == delivery && item.verdict.is_none()) {
            item.ready = false;
            item.current = None;
        }
    }
}
