//! What the mapper asks of a mapping. [`crate::mapping`]'s programs implement it; tests bring their own.

use serde_json::Value;

use crate::mapping::lookup::{Answer, Query, Read};
use crate::mapping::output::{Issue, Output};

/// The change that a mapping is applied to.
#[derive(Debug, Clone, Copy)]
pub struct Subject<'a> {
    pub kind: &'a str,
    pub id: &'a str,
    /// With `id` and `meta`.
    pub resource: &'a Value,
    /// The version that this mapping acted on last.
    pub previous: Option<&'a Value>,
    /// When the version was written.
    pub recorded_ms: i64,
}

/// A look-up that is asked for.
#[derive(Debug, Clone, PartialEq)]
pub struct Asked {
    pub name: String,
    pub query: Query,
    pub follow: bool,
}

/// One round of an evaluation.
#[derive(Debug, Clone, PartialEq)]
pub enum Round {
    /// Answer these and ask again; never empty.
    Needs(Vec<Asked>),
    Done(Box<Evaluated>),
}

/// What a mapping makes of a change.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Evaluated {
    /// Whether the mapping takes the change at all.
    pub matched: bool,
    pub outputs: Vec<Output>,
    pub reads: Vec<Read>,
    pub issues: Vec<Issue>,
    /// Something required is absent.
    pub held: Option<Hold>,
}

/// What an evaluation waits for.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Hold {
    pub message: String,
    pub waits_for: String,
    /// `file:line:column`
    pub place: String,
}

/// The rounds of one evaluation: each is given all answers so far, those of the rounds before first.
pub type Rounds<'a> = Box<dyn FnMut(&[(Asked, Answer)]) -> Round + Send + 'a>;

/// A mapping, as the mapper sees it. Pure: equal arguments give equal rounds.
pub trait Evaluator: Send + Sync {
    /// The mapping's permanent name.
    fn name(&self) -> &str;
    /// Changes with the mapping's text.
    fn version(&self) -> &str;
    /// Whether resources of this kind can match at all.
    fn takes(&self, kind: &str) -> bool;
    /// One round, given all answers so far.
    fn evaluate(&self, subject: &Subject<'_>, answers: &[(Asked, Answer)]) -> Round;
    /// All rounds on one subject, which may keep what they have in common. Does nothing before the first one.
    fn rounds<'a>(&'a self, subject: Subject<'a>) -> Rounds<'a> {
        Box::new(move |answers| self.evaluate(&subject, answers))
    }
}
