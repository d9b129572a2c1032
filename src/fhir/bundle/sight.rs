//! What a condition matches, given what the same transaction does before it.
//!
//! R4 deletes first, then creates, then updates and patches, whatever the order of the entries: a conditional create
//! does not find what is deleted, a conditional update finds what is created. A reference sees all of it. The store
//! answers by what was there before; what the transaction itself writes is compared here, by its rows.
//! **Never** searches. <https://hl7.org/fhir/R4/http.html#trules>

use std::cell::Cell;
use std::collections::{BTreeSet, HashMap, HashSet};

use jiff::tz::TimeZone;

use super::{Effect, Matched, Question};
use crate::fhir::index::{self, IndexRow, IndexValue, expression};
use crate::fhir::matching::{Candidate, matches};
use crate::fhir::outcome::{IssueType, Outcome};
use crate::fhir::parameters::custom::Custom;
use crate::fhir::query::{Filter, Match};

/// So often may one resource of a transaction be held against one condition, where no code leads to it.
const MAX_COMPARISONS: usize = 2_000_000;

/// What is done before a condition is looked at.
pub(super) struct Sight<'a> {
    custom: &'a Custom,
    zone: &'a TimeZone,
    /// The types that conditions are about; others need no rows.
    kinds: HashSet<&'a str>,
    /// By (kind, id): no match of the store any more, as deleted or as written anew.
    gone: HashSet<(String, String)>,
    writes: Vec<Write>,
    /// By kind and code of a token: where in `writes`.
    by_code: HashMap<(String, String), Vec<usize>>,
    by_kind: HashMap<String, Vec<usize>>,
    comparisons: Cell<usize>,
}

/// A resource that the transaction writes.
struct Write {
    kind: String,
    id: String,
    rows: Vec<IndexRow>,
}

impl<'a> Sight<'a> {
    /// Nothing is done yet.
    pub(super) fn new(questions: &'a [Question], custom: &'a Custom, zone: &'a TimeZone) -> Self {
        Self {
            custom,
            zone,
            kinds: questions.iter().map(|question| question.query.kind.as_str()).collect(),
            gone: HashSet::new(),
            writes: Vec::new(),
            by_code: HashMap::new(),
            by_kind: HashMap::new(),
            comparisons: Cell::new(0),
        }
    }

    /// One more thing that is done.
    pub(super) fn add(&mut self, effect: &Effect) {
        let (kind, id) = match effect {
            Effect::Delete { kind, id, .. } => (*kind, id),
            Effect::Put { resource, id, .. } => (resource.kind(), id),
            Effect::Exists { .. } | Effect::Nothing | Effect::Read { .. } | Effect::Call(_) => return,
        };
        self.gone.insert((kind.to_owned(), id.clone()));
        let Effect::Put { resource, .. } = effect else { return };
        if !self.kinds.contains(kind) {
            return;
        }
        let mut rows = index::rows(kind, resource.body(), self.zone);
        rows.extend(expression::rows_for_write(self.custom.kind(kind), resource.body(), self.zone));
        let at = self.writes.len();
        let codes: HashSet<&str> = rows.iter().filter_map(|row| code_of(&row.value)).collect();
        for code in codes {
            self.by_code.entry((kind.to_owned(), code.to_owned())).or_default().push(at);
        }
        self.by_kind.entry(kind.to_owned()).or_default().push(at);
        self.writes.push(Write { kind: kind.to_owned(), id: id.clone(), rows });
    }

    /// The store's matches as they are after what is done, and the transaction's own, with version 0.
    ///
    /// # Errors
    /// 422: a condition over several resources, which cannot be compared here, or too much to compare.
    pub(super) fn seen(&self, question: &Question, stored: &[Matched]) -> Result<Vec<Matched>, Outcome> {
        let beside = question.query.is_nested() && {
            let kinds = question.query.kinds();
            self.gone.iter().any(|(kind, _)| kinds.contains(kind.as_str()))
        };
        if beside {
            return Err(undecided());
        }
        let stays = |(kind, id, _): &&Matched| !self.gone.contains(&(kind.clone(), id.clone()));
        let mut found: Vec<Matched> = stored.iter().filter(stays).cloned().collect();
        for write in self.written(question)? {
            found.push((write.kind.clone(), write.id.clone(), 0));
        }
        Ok(found)
    }

    /// Those of the transaction's own writes that match.
    fn written(&self, question: &Question) -> Result<Vec<&Write>, Outcome> {
        let kind = question.query.kind.clone();
        let places: Vec<usize> = match question.query.filters.iter().find_map(codes) {
            Some(codes) => {
                let keys = codes.into_iter().map(|code| (kind.clone(), code.to_owned()));
                keys.flat_map(|key| self.by_code.get(&key).into_iter().flatten().copied()).collect()
            }
            None => self.by_kind.get(&kind).cloned().unwrap_or_default(),
        };
        let comparisons = self.comparisons.get() + places.len();
        self.comparisons.set(comparisons);
        if comparisons > MAX_COMPARISONS {
            let text = "the conditions of this transaction cannot be held against all that it writes";
            return Err(Outcome::error(IssueType::TooCostly, "conditions-too-costly", text)
                .hint("send fewer entries, or conditions by identifier"));
        }
        // A resource may have several of the codes.
        let places: BTreeSet<usize> = places.into_iter().collect();
        let writes = places.into_iter().filter_map(|place| self.writes.get(place));
        Ok(writes.filter(|write| holds(question, write)).collect())
    }

    /// Whether another of the transaction's own writes than this one matches.
    ///
    /// # Errors
    /// As [`Sight::seen`].
    pub(super) fn has_another(&self, question: &Question, id: &str) -> Result<bool, Outcome> {
        if question.query.is_nested() {
            let same = self.by_kind.get(&question.query.kind).into_iter().flatten();
            let mut others = same.filter_map(|at| self.writes.get(*at)).filter(|write| write.id != id);
            return if others.next().is_some() { Err(undecided()) } else { Ok(false) };
        }
        Ok(self.written(question)?.iter().any(|write| write.id != id))
    }

    /// Whether the transaction writes this resource, so that it does not match any more (or nobody can tell).
    pub(super) fn loses(&self, question: &Question, (kind, id): (&str, &str)) -> bool {
        let is_this = |write: &&Write| write.kind == kind && write.id == id;
        let own =
            self.by_kind.get(kind).into_iter().flatten().filter_map(|at| self.writes.get(*at)).find(is_this);
        own.is_some_and(|write| question.query.is_nested() || !holds(question, write))
    }
}

fn undecided() -> Outcome {
    let text = "a condition with chains, _has, value sets or a hierarchy cannot be decided beside entries that come before \
                it";
    Outcome::error(IssueType::NotSupported, "not-supported", text)
        .status(422)
        .hint("send the entry on its own, or with a condition by identifier")
}

fn holds(question: &Question, Write { kind, id, rows }: &Write) -> bool {
    matches(&question.query, &Candidate { kind, id, updated_ms: i64::MAX - 1, rows })
}

fn code_of(value: &IndexValue) -> Option<&str> {
    match value {
        IndexValue::Token { code, .. } => Some(code),
        _ => None,
    }
}

/// The codes of which a match has one, if the filter says so.
fn codes(filter: &Filter) -> Option<Vec<&str>> {
    let codes = filter.any.iter().map(|wanted| match wanted {
        Match::Token { code: Some(code), .. } => Some(code.as_str()),
        _ => None,
    });
    if filter.not { None } else { codes.collect() }
}
