//! (mapping, change, what was looked up) → evaluation. Pure, total, bounded.
//!
//! The caller drives it: [`evaluate`] says [`Step::Needs`] with the look-ups that it can ask for now;
//! the caller fetches the answers and calls again with all answers so far, until [`Step::Done`]. The
//! number of rounds is bounded by [`MAX_ROUNDS`].

use std::collections::BTreeMap;

use jiff::tz::TimeZone;
use serde_json::Value;

use super::lookup::{Answer, Query, Read};
use super::output::{Issue, Output};
use super::program::Program;
use super::target::Registry;
use super::trace::Trace;

mod acts;
mod conditions;
mod entries;
mod fields;
mod lookups;
mod outline;
mod run;
mod values;

pub use run::Begun;

/// More rounds than any mapping can need: eight look-ups, each climbing sixteen levels.
pub const MAX_ROUNDS: usize = 8 * (MAX_CLIMB + 1) + 1;
/// Levels that `up` climbs at most.
pub const MAX_CLIMB: usize = 16;
/// Items of `each`.
pub const MAX_ITEMS: usize = 1_000;
/// Issues that one evaluation keeps.
pub const MAX_ISSUES: usize = 1_000;

/// What changed, as the engine sees it.
#[derive(Debug, Clone, Copy)]
pub struct Change<'a> {
    /// An R4 type or a document kind.
    pub kind: &'a str,
    pub id: &'a str,
    /// As stored, with `id` and `meta`.
    pub resource: &'a Value,
    /// The version that this mapping acted on last.
    pub previous: Option<&'a Value>,
    /// When the version was written: the event time of a resource that names none.
    pub recorded_ms: i64,
}

/// Whether the trace is kept. It is for people; the worker does without.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tracing {
    Off,
    On,
}

/// Everything an evaluation may depend on.
#[derive(Clone, Copy)]
pub struct Input<'a> {
    pub tenant: &'a str,
    /// The tenant's time zone: dates without a zone are in it.
    pub zone: &'a TimeZone,
    /// ISO 3166-1 alpha-2, for phone numbers without a country code.
    pub country: Option<&'a str>,
    pub change: Change<'a>,
    /// What was looked up so far, by the question's name.
    pub answers: &'a Answers,
    /// Secret keys of pseudonyms, by destination as `SYSTEM.NAME`.
    pub pseudonym_keys: &'a BTreeMap<String, Vec<u8>>,
    pub registry: &'a Registry,
    pub tracing: Tracing,
}

/// A look-up that an evaluation asks for.
#[derive(Debug, Clone, PartialEq)]
pub struct Question {
    /// The name in `with`; a climbed look-up adds `#1`, `#2` …
    pub name: String,
    pub query: Query,
    pub follow: bool,
}

/// Answers by the question's name, each with the query that it answers: an answer to another query is
/// none.
#[derive(Debug, Clone, Default)]
pub struct Answers {
    by_name: BTreeMap<String, (Query, Answer)>,
}

impl Answers {
    pub fn insert(&mut self, question: Question, answer: Answer) {
        self.by_name.insert(question.name, (question.query, answer));
    }

    pub fn get(&self, name: &str, query: &Query) -> Option<&Answer> {
        self.by_name.get(name).filter(|(asked, _)| asked == query).map(|(_, answer)| answer)
    }
}

/// One round of an evaluation.
#[derive(Debug, Clone, PartialEq)]
pub enum Step {
    /// Answer these and call again; never empty.
    Needs(Vec<Question>),
    Done(Box<Evaluation>),
}

/// What one mapping makes of one change.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Evaluation {
    /// Whether `from` takes the change. If not, everything else but the trace is empty.
    pub matched: bool,
    /// Empty while held.
    pub outputs: Vec<Output>,
    /// Every look-up that was made, found or not.
    pub reads: Vec<Read>,
    pub issues: Vec<Issue>,
    /// Something required is absent.
    pub held: Option<Held>,
    pub trace: Trace,
}

/// What an evaluation waits for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Held {
    /// The field: `to[0].orgUnit`.
    pub field: String,
    /// What is absent, in words: the path and, where it comes from a look-up, what was looked for.
    pub waits_for: String,
    /// `file:line:column`
    pub place: String,
    /// The absent look-ups (names in `with`) that the value depends on.
    pub lookups: Vec<String>,
}

/// One round. Deterministic: the same program and input give the same step.
pub fn evaluate(program: &Program, input: &Input<'_>) -> Step {
    program.go_on(&program.begin(input), input)
}

impl Program {
    /// What all rounds of one evaluation have in common: whether `from` takes the change, and the answers of
    /// a response.
    pub fn begin(&self, input: &Input<'_>) -> Begun {
        run::begin(self, input)
    }

    /// One round of an evaluation that [`Program::begin`] began with the same input but for the answers.
    pub fn go_on(&self, begun: &Begun, input: &Input<'_>) -> Step {
        run::go_on(self, begun, input)
    }

    /// See [`evaluate`].
    pub fn evaluate(&self, input: &Input<'_>) -> Step {
        evaluate(self, input)
    }

    /// Evaluates to the end, answering each question with `answer`.
    pub fn complete(&self, input: &Input<'_>, mut answer: impl FnMut(&Question) -> Answer) -> Evaluation {
        let mut answers = input.answers.clone();
        let begun = self.begin(input);
        for _ in 0..MAX_ROUNDS {
            let step = self.go_on(&begun, &Input { answers: &answers, ..*input });
            match step {
                Step::Done(evaluation) => return *evaluation,
                Step::Needs(questions) => {
                    for question in questions {
                        let found = answer(&question);
                        answers.insert(question, found);
                    }
                }
            }
        }
        unanswered(self)
    }
}

/// Questions without end, which the bounds on look-ups and climbing rule out: told, never passed over.
fn unanswered(program: &Program) -> Evaluation {
    let place = program.from.place.within(&program.file);
    let message = format!("the look-ups were not answered after {MAX_ROUNDS} rounds");
    Evaluation {
        matched: true,
        issues: vec![Issue::error("lookups-endless", message.clone(), &place)],
        held: Some(Held { field: "with".to_owned(), waits_for: message, place, lookups: Vec::new() }),
        ..Evaluation::default()
    }
}

#[cfg(test)]
mod tests;
