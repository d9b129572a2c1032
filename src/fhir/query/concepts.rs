//! Tokens that somebody else lists: the codes of a value set (`:in`, `:not-in`), or of a branch of a code system
//! (`:below`, `:above`). <https://hl7.org/fhir/R4/search.html#token>
//!
//! `fhir::search` says which are meant, the server looks their codes up, and the store compares with them. **Never**
//! compared before that: a store refuses what was not looked up.

use std::collections::HashSet;
use std::fmt;
use std::sync::Arc;

use super::{Filter, Match, Query, Way};

/// What a client names instead of codes.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Named {
    /// A value set by its canonical (`url`, `url|version`).
    Set(String),
    /// A value set stored here, by its id.
    SetId(String),
    /// A code, and those below or above it in its code system.
    Branch { system: String, code: String, way: Way },
}

/// What the rows of a parameter hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Held {
    /// Codings: a code with its system.
    Codings,
    /// Codes alone, whose system the specification fixes.
    Codes,
}

/// One parameter of a search that is compared with the codes of others.
#[derive(Debug, Clone, PartialEq)]
pub struct Concepts {
    /// As the client wrote it, for refusals.
    pub parameter: String,
    /// Any of them.
    pub named: Vec<Named>,
    pub held: Held,
    /// Their codes, once they were looked up.
    pub codes: Option<Arc<Codes>>,
}

/// Codes with their systems (empty where there is none), each pair once.
#[derive(Default, Clone, PartialEq, Eq)]
pub struct Codes(Vec<(String, String)>);

impl Codes {
    /// Of pairs (system, code).
    pub fn of(pairs: impl IntoIterator<Item = (String, String)>) -> Self {
        let mut seen = HashSet::new();
        Self(pairs.into_iter().filter(|pair| seen.insert(pair.clone())).collect())
    }

    /// All pairs (system, code).
    pub fn pairs(&self) -> &[(String, String)] {
        &self.0
    }

    pub fn len(&self) -> usize {
        self.0.len()
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

/// Without the codes: a search is the same on its next page, whatever became of the value set meanwhile.
impl fmt::Debug for Codes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("codes")
    }
}

impl Query {
    /// Everything that is to be looked up, in chains and `_has` too.
    pub fn concepts(&mut self) -> Vec<&mut Concepts> {
        let mut all = Vec::new();
        self.filters.iter_mut().for_each(|filter| filter.add_concepts(&mut all));
        all
    }

    /// The parameter of something that was not looked up.
    pub fn unknown_concepts(&self) -> Option<&str> {
        self.filters.iter().find_map(Filter::unknown_concepts)
    }
}

impl Filter {
    fn add_concepts<'a>(&'a mut self, all: &mut Vec<&'a mut Concepts>) {
        for one in &mut self.any {
            match one {
                Match::Concepts(concepts) => all.push(concepts),
                Match::Chained { filter, .. } | Match::Referring { filter, .. } => filter.add_concepts(all),
                _ => {}
            }
        }
    }

    fn unknown_concepts(&self) -> Option<&str> {
        self.any.iter().find_map(|one| match one {
            Match::Concepts(concepts) if concepts.codes.is_none() => Some(concepts.parameter.as_str()),
            _ => one.inner().and_then(|(_, filter)| filter.unknown_concepts()),
        })
    }
}
