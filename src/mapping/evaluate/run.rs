//! One round: match, look up, then the entries of `to`.

use std::fmt::Write;

use serde_json::Value;

use super::lookups::Looked;
use super::{Evaluation, Held, Input, MAX_ISSUES, Question, Step};
use crate::mapping::diagnostic::Place;
use crate::mapping::document::{self, Answered};
use crate::mapping::lookup::Read;
use crate::mapping::output::{Issue, Output, Severity};
use crate::mapping::path::Scope;
use crate::mapping::program::{From, Program};
use crate::mapping::steps::{Failure, Locale};
use crate::mapping::trace::{MAX_NOTES, Note, Outcome, Trace};

/// What does not depend on look-ups: worked out once, however many rounds follow.
#[derive(Debug)]
pub struct Begun {
    answered: Answered,
    taken: Taken,
}

/// Whether `from` takes the change, and what its condition told.
#[derive(Debug, Clone, Default)]
struct Taken {
    matched: bool,
    issues: Vec<Issue>,
    faults: usize,
    held: Option<Held>,
    trace: Trace,
}

pub(super) fn begin(program: &Program, input: &Input<'_>) -> Begun {
    let answered = document::answered(input.change.resource);
    let mut round = Round::new(program, *input, &answered);
    let matched = round.takes(&program.from);
    let Round { issues, faults, held, trace, .. } = round;
    Begun { taken: Taken { matched, issues, faults, held, trace }, answered }
}

pub(super) fn go_on(program: &Program, begun: &Begun, input: &Input<'_>) -> Step {
    let mut round = Round::new(program, *input, &begun.answered);
    let Taken { matched, issues, faults, held, trace } = begun.taken.clone();
    (round.issues, round.faults, round.held, round.trace) = (issues, faults, held, trace);
    if matched {
        let questions = round.look_up();
        if !questions.is_empty() {
            return Step::Needs(questions);
        }
        round.entries();
    }
    Step::Done(Box::new(round.finish(matched)))
}

/// The state of one round. Everything in it is thrown away when a look-up is missing.
pub(super) struct Round<'a> {
    pub(super) program: &'a Program,
    pub(super) input: Input<'a>,
    pub(super) scope: Scope<'a>,
    /// The rule that is being evaluated: `to[0].values[2].value`.
    pub(super) trail: String,
    /// Look-ups that were made or could not be, by name.
    pub(super) looked: Vec<(&'a str, Looked)>,
    /// Where the entry goes, as `SYSTEM.NAME`; decides on the key of pseudonyms.
    pub(super) destination: Option<String>,
    pub(super) outputs: Vec<Output>,
    pub(super) reads: Vec<Read>,
    issues: Vec<Issue>,
    /// Issues of severity `Error` so far, also those beyond what is kept.
    pub(super) faults: usize,
    held: Option<Held>,
    trace: Trace,
}

impl<'a> Round<'a> {
    fn new(program: &'a Program, input: Input<'a>, answered: &'a Answered) -> Self {
        let mut scope = Scope::default();
        scope.bind("resource", input.change.resource);
        scope.bind("document", input.change.resource);
        scope.bind("answers", &answered.answers);
        scope.bind("groups", &answered.groups);
        if let Some(previous) = input.change.previous {
            scope.bind("previous", previous);
        }
        Self {
            program,
            input,
            scope,
            trail: String::new(),
            looked: Vec::new(),
            destination: None,
            outputs: Vec::new(),
            reads: Vec::new(),
            issues: Vec::new(),
            faults: 0,
            held: None,
            trace: Trace::default(),
        }
    }

    pub(super) fn locale(&self) -> Locale<'a> {
        Locale { zone: self.input.zone, country: self.input.country }
    }

    /// Goes one level down in the rule's name; give the result to [`Round::leave`].
    pub(super) fn enter(&mut self, name: &str) -> usize {
        let length = self.trail.len();
        if length > 0 {
            self.trail.push('.');
        }
        self.trail.push_str(name);
        length
    }

    /// The same into an item of a list: `NAME[INDEX]`, or `[INDEX]` of what is entered already.
    pub(super) fn enter_item(&mut self, name: &str, index: usize) -> usize {
        let length = self.trail.len();
        if !name.is_empty() {
            self.enter(name);
        }
        // Writing to a text does not fail.
        let _ = write!(self.trail, "[{index}]");
        length
    }

    pub(super) fn leave(&mut self, length: usize) {
        self.trail.truncate(length);
    }

    pub(super) fn place(&self, place: Place) -> String {
        place.within(&self.program.file)
    }

    pub(super) fn failed(&mut self, place: Place, failure: &Failure) {
        let mut issue = Issue::error(failure.code, failure.message.clone(), &self.place(place));
        issue.hint = failure.hint.map(str::to_owned);
        self.issue(issue);
    }

    pub(super) fn issue(&mut self, issue: Issue) {
        self.faults += usize::from(issue.severity == Severity::Error);
        if self.issues.len() < MAX_ISSUES {
            self.issues.push(issue);
        }
    }

    /// The first thing that is waited for names the evaluation's state; all of them are issues.
    pub(super) fn hold(&mut self, held: Held) {
        self.issue(Issue {
            severity: Severity::Held,
            code: "required-absent".to_owned(),
            message: format!("`{}` is required: waits for {}", held.field, held.waits_for),
            hint: None,
            place: held.place.clone(),
        });
        self.held.get_or_insert(held);
    }

    /// Whether something required is absent: no output leaves then.
    pub(super) fn is_held(&self) -> bool {
        self.held.is_some()
    }

    /// A note for the trace, when it is kept.
    pub(super) fn note(&self, place: Place) -> Option<Note> {
        (self.input.tracing == super::Tracing::On && self.trace.notes.len() < MAX_NOTES).then(|| Note {
            field: self.trail.clone(),
            place,
            found: Vec::new(),
            steps: Vec::new(),
            outcome: Outcome::Nothing(String::new()),
        })
    }

    pub(super) fn keep(&mut self, note: Option<Note>, outcome: impl FnOnce() -> Outcome) {
        if let Some(mut note) = note {
            note.outcome = outcome();
            self.trace.notes.push(note);
        }
    }

    /// Remembers what a condition came to, when the trace is kept.
    pub(super) fn decided(&mut self, place: Place, holds: bool) {
        if self.input.tracing == super::Tracing::On {
            self.trace.decided.insert((place, holds));
        }
    }

    /// Notes why the rule at hand gave nothing.
    pub(super) fn nothing(&mut self, place: Place, why: &str) {
        let note = self.note(place);
        self.keep(note, || Outcome::Nothing(why.to_owned()));
    }

    fn takes(&mut self, from: &From) -> bool {
        let entered = self.enter("from");
        let refused = refusal(from, self.input.change.kind, self.input.change.resource);
        let taken = match refused {
            Some(why) => {
                self.nothing(from.place, &why);
                false
            }
            None => from.condition.as_ref().is_none_or(|condition| {
                let inner = self.enter("where");
                let holds = self.condition(condition);
                self.leave(inner);
                if !holds {
                    self.nothing(condition.place, "`where` does not hold");
                }
                holds
            }),
        };
        self.leave(entered);
        taken
    }

    fn look_up(&mut self) -> Vec<Question> {
        let entered = self.enter("with");
        let questions = self.lookups();
        self.leave(entered);
        questions
    }

    fn finish(self, matched: bool) -> Evaluation {
        Evaluation {
            matched,
            outputs: if self.held.is_some() { Vec::new() } else { self.outputs },
            reads: self.reads,
            issues: self.issues,
            held: self.held,
            trace: self.trace,
        }
    }
}

/// Why `from` does not take the change, without its condition.
fn refusal(from: &From, kind: &str, resource: &Value) -> Option<String> {
    if from.kind != kind {
        return Some(format!("takes {}, not {kind}", from.kind));
    }
    if let Some(flow) = &from.flow
        && !names_flow(resource, flow)
    {
        return Some(format!("takes the flow `{flow}` only"));
    }
    if let Some(wanted) = &from.questionnaire
        && !is_canonical(resource, wanted)
    {
        return Some(format!("takes the questionnaire `{wanted}` only"));
    }
    let status = resource.get("status").and_then(Value::as_str).unwrap_or_default();
    if !from.status.is_empty() && !from.status.iter().any(|wanted| wanted == status) {
        return Some(format!("takes the status {} only", from.status.join(", ")));
    }
    None
}

const DISPLAY: &str = "http://hl7.org/fhir/StructureDefinition/display";

/// A flow is named by the display of `questionnaire`, or by its uuid, the last segment of the canonical;
/// a run carries both itself.
fn names_flow(resource: &Value, flow: &str) -> bool {
    let canonical = resource.get("questionnaire").and_then(Value::as_str).unwrap_or_default();
    let url = canonical.split('|').next().unwrap_or_default();
    if !url.is_empty() && url.rsplit('/').next() == Some(flow) {
        return true;
    }
    let extensions = resource.pointer("/_questionnaire/extension").and_then(Value::as_array);
    let displayed = extensions.into_iter().flatten().any(|extension| {
        extension.get("url").and_then(Value::as_str) == Some(DISPLAY)
            && extension.get("valueString").and_then(Value::as_str) == Some(flow)
    });
    let run = |key: &str| resource.pointer(key).and_then(Value::as_str) == Some(flow);
    displayed || run("/flow/uuid") || run("/flow/name")
}

fn is_canonical(resource: &Value, wanted: &str) -> bool {
    let given = resource.get("questionnaire").and_then(Value::as_str).unwrap_or_default();
    given == wanted || (!wanted.contains('|') && given.split('|').next() == Some(wanted))
}
