//! Where each value came from: what `explain` prints.

use std::collections::BTreeSet;

use serde::Serialize;
use serde_json::Value;

use super::diagnostic::Place;

/// Most notes that one trace keeps.
pub const MAX_NOTES: usize = 20_000;

/// Everything that was evaluated, in order.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct Trace {
    pub notes: Vec<Note>,
    /// What each condition came to, by where it stands: for the coverage of tests.
    #[serde(skip)]
    pub decided: BTreeSet<(Place, bool)>,
}

/// One rule of the file and what became of it.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Note {
    /// Where the rule stands in the mapping: `to[0].values[2].value`, `with.unit`, `from`.
    pub field: String,
    #[serde(flatten)]
    pub place: Place,
    /// What each path found.
    pub found: Vec<Sighting>,
    pub steps: Vec<StepNote>,
    pub outcome: Outcome,
}

/// What a path found.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Sighting {
    pub path: String,
    pub value: Option<Value>,
}

/// A step's before and after.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct StepNote {
    pub step: String,
    pub before: Value,
    /// Nothing: absent from here on.
    pub after: Option<Value>,
    /// Why it gave nothing, or which fallback was taken.
    pub because: Option<String>,
}

#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum Outcome {
    Value(Value),
    /// Gave nothing, and why.
    Nothing(String),
}
