//! The invariants of R4's types on the walk: what is cheap is checked where it stands, what is written in
//! FHIRPath once the whole structure is known to be right.
//!
//! An invariant whose evaluation fails or takes too long is not enforced; `$validate` says so. One without a
//! result is not broken: a comparison of dates of unlike precision has none, nor has the engine where R4 has
//! `true` for an empty list (`isDistinct()`, `all()`).

use std::time::{Duration, Instant};

use serde_json::Value;

use super::{Frame, MAX_ISSUES, MAX_TIME, MAX_TIME_IN_ALL, Step, TIME_PER_ELEMENT, TOO_COSTLY, Walk, Wanted};
use crate::fhir::elements::{Key, Node};
use crate::fhir::invariants::{How, Invariant, rules};
use crate::fhir::outcome::{Issue, IssueType, Severity};
use crate::fhir::path::{self, Focus, Subject};

/// How long evaluations may take.
#[derive(Clone, Copy)]
pub(super) struct Time {
    /// Those on one resource, without what it contains.
    pub resource: Duration,
    /// What each element adds to the time for all resources together.
    pub element: Duration,
    pub all: Duration,
}

impl Time {
    pub(super) const USUAL: Self =
        Self { resource: MAX_TIME, element: TIME_PER_ELEMENT, all: MAX_TIME_IN_ALL };

    /// For all resources together, which have so many elements with rules.
    pub(super) fn together(self, elements: usize) -> Duration {
        let elements = u32::try_from(elements).unwrap_or(u32::MAX);
        self.element.saturating_mul(elements).saturating_add(self.resource).min(self.all)
    }
}

/// Invariants to be evaluated at one place.
pub(super) struct Due<'a> {
    /// The resource that the place is in.
    frame: Frame<'a>,
    /// The whole path to it.
    path: Vec<Step<'a>>,
    value: &'a Value,
    kind: &'static str,
    rules: Vec<&'static Invariant>,
}

impl<'a> Walk<'a> {
    /// Those of a type or backbone.
    pub(super) fn rules_of_type(&mut self, node: &'static Node, value: &'a Value) {
        let found = rules().of_type(node.name);
        if !found.is_empty() {
            self.rules_at(found, node.name, value);
        }
    }

    /// Those that the element of a type adds to what its own type has.
    pub(super) fn rules_of_element(
        &mut self,
        node: &'static Node,
        key: &'static Key,
        name: &'a str,
        value: &'a Value,
    ) {
        let Some(element) = node.elements.get(key.element) else { return };
        let found = rules().of_element(node.name, element.name);
        if found.is_empty() {
            return;
        }
        match value {
            Value::Array(items) => {
                for (index, item) in items.iter().enumerate().filter(|(_, item)| !item.is_null()) {
                    self.path.extend([Step::Name(name), Step::Index(index)]);
                    self.rules_at(found, key.kind, item);
                    self.path.truncate(self.path.len().saturating_sub(2));
                }
            }
            _ => self.inside(Step::Name(name), |walk| walk.rules_at(found, key.kind, value)),
        }
    }

    fn rules_at(&mut self, found: &'static [&'static Invariant], kind: &'static str, value: &'a Value) {
        let mut later = Vec::new();
        for &rule in found {
            let is_wanted = match self.wanted {
                Wanted::Structure => false,
                Wanted::Errors => rule.severity == Severity::Error,
                Wanted::Advice => true,
            };
            if !is_wanted {
                continue;
            }
            match &rule.how {
                How::Plain(holds) => {
                    if value.as_object().is_some_and(|object| !holds(object)) {
                        self.report(broken(rule));
                    }
                }
                How::Path(_) => later.push(rule),
                How::Elsewhere | How::Left(_) => {}
            }
        }
        let Some(&frame) = self.frames.last().filter(|_| !later.is_empty()) else { return };
        self.due.push(Due { frame, path: self.path.clone(), value, kind, rules: later });
    }

    /// Evaluates what is due, unless something is wrong already.
    pub(super) fn settle(&mut self, time: Time) {
        let mut due = std::mem::take(&mut self.due);
        if self.issues.iter().any(|issue| issue.severity == Severity::Error) {
            return;
        }
        // Resource by resource: each is prepared for the engine once. Those of a Bundle come between its entries.
        due.sort_by_key(|place| place.frame.number);
        let end = Instant::now() + time.together(due.len());
        let mut checked = 0;
        for places in due.chunk_by(|one, next| one.frame.number == next.frame.number) {
            let deadline = end.min(Instant::now() + time.resource);
            let cut = path::within(deadline, || self.evaluate_all(places, deadline));
            if self.issues.len() >= MAX_ISSUES {
                return;
            }
            if let Some(done) = cut {
                let whole = deadline == end;
                let (place, done) = if whole { (None, checked + done) } else { (places.first(), done) };
                let all = if whole { due.len() } else { places.len() };
                return self.too_costly(place, done, all);
            }
            checked += places.len();
        }
    }

    /// Evaluates what is due on one resource; gives how many places were done where the time was over.
    fn evaluate_all(&mut self, places: &[Due<'a>], deadline: Instant) -> Option<usize> {
        let subject = Subject::new(places.first()?.frame.resource);
        for (before, place) in places.iter().enumerate() {
            self.evaluate(place, &subject);
            if self.issues.len() >= MAX_ISSUES {
                return None;
            }
            // What was evaluated last may have been cut short.
            if Instant::now() >= deadline {
                return Some(before);
            }
        }
        None
    }

    /// Says so of the resource that `place` is in, or of the whole.
    fn too_costly(&mut self, place: Option<&Due<'a>>, checked: usize, all: usize) {
        let text =
            format!("R4's rules for this resource take too long: {checked} of {all} elements were checked");
        let hint = format!("divide it: a resource may have about {checked} elements with rules");
        match place {
            Some(place) => {
                self.path = place.path.get(..place.frame.depth).unwrap_or_default().to_vec();
            }
            None => self.path.truncate(1),
        }
        self.report(Issue::error(IssueType::TooCostly, TOO_COSTLY, text).hint(hint));
    }

    fn evaluate(&mut self, place: &Due<'a>, subject: &Subject) {
        let pointer = pointer(place.path.get(place.frame.depth..).unwrap_or_default());
        let focus = Focus { pointer: &pointer, kind: Some(place.kind) };
        for rule in &place.rules {
            let How::Path(program) = &rule.how else { continue };
            let issue = match program().map(|program| program.truth(subject, &focus)) {
                Some(Ok(Some(false))) if !half_seen(place.value) => broken(rule),
                Some(Ok(_)) => continue,
                _ if self.wanted == Wanted::Advice => unknown(rule),
                _ => continue,
            };
            self.path.clone_from(&place.path);
            self.report(issue);
        }
    }
}

fn broken(rule: &'static Invariant) -> Issue {
    let kind = if rule.severity == Severity::Error { IssueType::Invariant } else { IssueType::BusinessRule };
    Issue::error(kind, rule.key, rule.human).severity(rule.severity).hint(rule.expression)
}

fn unknown(rule: &'static Invariant) -> Issue {
    let text = format!("whether {} holds could not be found out", rule.key);
    Issue::error(IssueType::Processing, "not-evaluated", text).severity(Severity::Warning)
}

/// The engine does not see a primitive that has extensions only: what it misses may be such a one.
fn half_seen(value: &Value) -> bool {
    value.as_object().is_some_and(|object| {
        object.keys().any(|key| key.strip_prefix('_').is_some_and(|bare| !object.contains_key(bare)))
    })
}

/// `/contact/0/name`; the names of R4's elements need no escapes.
fn pointer(steps: &[Step]) -> String {
    steps
        .iter()
        .map(|step| match step {
            Step::Name(name) => format!("/{name}"),
            Step::Index(index) => format!("/{index}"),
        })
        .collect()
}
