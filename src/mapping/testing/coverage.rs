//! Which rules of a mapping its tests reach: every entry, look-up, VALUE, condition (true and false), entry
//! of `map`, band, `otherwise` and `default` (taken and not).
//!
//! Rules are told apart by where they stand in the file, so that what an alias repeats is one rule. What
//! was reached is read from the trace; nothing is evaluated here.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;
use serde_json::Value;

use crate::mapping::diagnostic::Place;
use crate::mapping::evaluate::Evaluation;
use crate::mapping::expression::Operation;
use crate::mapping::program::Program;
use crate::mapping::source;
use crate::mapping::steps::{number, text_of};
use crate::mapping::trace::{Note, Outcome};

mod points;

/// What one rule must show at least once.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
enum Mark {
    /// `from` takes a change.
    Takes,
    /// The entry of `to` with this id makes an output.
    Makes(String),
    /// A look-up finds something, or (false) nothing.
    Finds(Place, bool),
    /// A VALUE has a value.
    Has(Place),
    /// A VALUE has a value without its default.
    HasOwn(Place),
    /// A condition holds, or (false) does not.
    Holds(Place, bool),
    /// The key of a `map` is met.
    Key(Place, String),
    /// A value falls into a band.
    Band(Place, usize),
    /// A row of the table is found.
    Row(Place),
}

/// One rule that tests should reach.
#[derive(Debug, Clone)]
struct Point {
    place: Place,
    mark: Mark,
    /// In words, when it was not reached.
    unreached: String,
}

/// A rule that no test reached.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Missed {
    pub file: String,
    #[serde(flatten)]
    pub place: Place,
    /// ``the branch `otherwise` of `to[0].groups[0]` is never taken``
    pub what: String,
}

/// The coverage of one mapping.
#[derive(Debug)]
pub struct Coverage {
    file: String,
    points: Vec<Point>,
    /// Steps that are looked into, by their VALUE's place.
    steps: BTreeMap<Place, Vec<(Place, Operation)>>,
    /// Look-ups by the place of what they ask with.
    asks: BTreeMap<Place, Place>,
    seen: BTreeSet<Mark>,
}

impl Coverage {
    /// Nothing reached yet; `text` is the file that the program was loaded from.
    pub fn of(program: &Program, text: &str) -> Self {
        let mut coverage = Self {
            file: program.file.clone(),
            points: Vec::new(),
            steps: BTreeMap::new(),
            asks: BTreeMap::new(),
            seen: BTreeSet::new(),
        };
        // A program was loaded from it, so it parses.
        if let Ok(root) = source::parse(text) {
            points::collect(&mut coverage, program, &root);
        }
        let mut known = BTreeSet::new();
        coverage.points.retain(|point| known.insert(point.mark.clone()));
        coverage.points.sort_by_key(|point| point.place);
        coverage
    }

    /// Counts what one evaluation reached.
    pub fn add(&mut self, evaluation: &Evaluation) {
        if evaluation.matched {
            self.seen.insert(Mark::Takes);
        }
        let ids = evaluation.outputs.iter().map(|output| Mark::Makes(output.target_id.clone()));
        self.seen.extend(ids);
        let decided = evaluation.trace.decided.iter();
        self.seen.extend(decided.map(|(place, holds)| Mark::Holds(*place, *holds)));
        evaluation.trace.notes.iter().for_each(|note| self.note(note));
    }

    fn note(&mut self, note: &Note) {
        let found = matches!(note.outcome, Outcome::Value(_));
        self.seen.insert(Mark::Finds(note.place, found));
        if found {
            self.seen.insert(Mark::Has(note.place));
            if note.steps.iter().all(|step| step.step != "default") {
                self.seen.insert(Mark::HasOwn(note.place));
            }
        } else if let Some(lookup) = self.asks.get(&note.place) {
            self.seen.insert(Mark::Finds(*lookup, false));
        }
        for (place, operation) in self.steps.get(&note.place).into_iter().flatten() {
            for step in note.steps.iter().filter(|step| step.step == operation.name()) {
                let several = step.before.as_array().map(Vec::as_slice);
                for value in several.unwrap_or(std::slice::from_ref(&step.before)) {
                    self.seen.extend(mark(*place, operation, value, step.after.is_some()));
                }
            }
        }
    }

    /// How many rules there are.
    pub fn rules(&self) -> usize {
        self.points.len()
    }

    /// How many of them were reached.
    pub fn reached(&self) -> usize {
        self.points.iter().filter(|point| self.seen.contains(&point.mark)).count()
    }

    /// Those that were not, in the order of the file.
    pub fn missed(&self) -> Vec<Missed> {
        let missed = self.points.iter().filter(|point| !self.seen.contains(&point.mark));
        missed
            .map(|point| Missed {
                file: self.file.clone(),
                place: point.place,
                what: point.unreached.clone(),
            })
            .collect()
    }
}

fn mark(place: Place, operation: &Operation, value: &Value, gave: bool) -> Option<Mark> {
    match operation {
        Operation::Map(pairs) => {
            let text = text_of(value)?;
            pairs.iter().any(|(key, _)| *key == text).then_some(Mark::Key(place, text))
        }
        Operation::Bands(bands) => {
            let number = number::decimal(value).ok()?;
            let index = bands.iter().rposition(|(bound, _)| *bound <= number)?;
            Some(Mark::Band(place, index))
        }
        Operation::Lookup { table, key, take } => {
            let text = text_of(value)?;
            (gave && table.find(*key, text.trim(), *take).is_some()).then_some(Mark::Row(place))
        }
        _ => None,
    }
}
