//! One mapping applied to one version: its look-ups answered, its result made ready to be written.
//!
//! Reads only. What was found before and is not followed is answered as it was; what was absent and what
//! is followed is looked for again.

use std::panic::{AssertUnwindSafe, catch_unwind};

use serde_json::Value;

use super::evaluator::{Asked, Evaluated, Evaluator, Hold, Round, Subject};
use super::identity::digest;
use super::lookup::{self, Surroundings, value_of};
use crate::mapping::lookup::{Answer, Read, Source};
use crate::mapping::output::{Issue, Output};
use crate::store::db::Connection;
use crate::store::error::Error;
use crate::store::read::{self, Stored};
use crate::store::reads::{self, EvaluationRow, HeldRow, ReadRow};

/// More rounds than a mapping can need: eight look-ups that climb sixteen levels.
const ROUNDS_MAX: usize = 256;

/// How many mappings may stand between what came in and what is evaluated; what more would be made is held.
pub const HOPS_MAX: i64 = 8;

/// A mapping and where it looks things up.
pub struct Surrounded<'a> {
    pub around: &'a Surroundings,
    pub evaluator: &'a dyn Evaluator,
    pub memory: Memory,
}

/// What becomes of what an earlier evaluation of the same source found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Memory {
    /// It stays as it was found, unless it is followed.
    Kept,
    /// Everything is looked up anew (`mjumbe replay --fresh`).
    Forgotten,
}

/// Which evaluation is written.
pub struct Subjected<'a> {
    pub mapping: &'a str,
    pub source: &'a str,
    pub stored: &'a Stored,
    pub now_ms: i64,
    /// The version is replayed without its acts.
    pub acts_withheld: bool,
}

/// An evaluation, ready to be written.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Prepared {
    /// The version that the mapping acted on before this one.
    pub previous: Option<i64>,
    pub outcome: Outcome,
    pub outputs: Vec<Output>,
    pub issues: Vec<Issue>,
    pub reads: Vec<ReadRow>,
    /// What it waits for: keys of absent and followed look-ups.
    pub watched: Vec<String>,
}

#[derive(Debug, Clone, PartialEq, Default)]
pub enum Outcome {
    Done,
    /// `from` does not take it (any more), or it was deleted.
    #[default]
    Unmatched,
    Held(Hold),
    /// The evaluation itself failed.
    Failed(&'static str),
    /// Mappings have made it from what mappings made, [`HOPS_MAX`] times: a circle.
    Circling,
}

impl Prepared {
    /// The row of `evaluation`.
    pub fn row(&self, subjected: &Subjected<'_>, mapping_version: &str) -> EvaluationRow {
        EvaluationRow {
            mapping: subjected.mapping.to_owned(),
            rid: subjected.stored.rid,
            version: subjected.stored.version,
            previous: self.previous,
            mapping_version: mapping_version.to_owned(),
            outcome: self.outcome_text().to_owned(),
            issues: serde_json::to_string(&self.issues).unwrap_or_else(|_| "[]".to_owned()),
            at_ms: subjected.now_ms,
            acts_withheld: subjected.acts_withheld,
        }
    }

    fn outcome_text(&self) -> &'static str {
        match self.outcome {
            Outcome::Done => "done",
            Outcome::Unmatched => "unmatched",
            Outcome::Held(_) | Outcome::Failed(_) | Outcome::Circling => "held",
        }
    }

    /// The row of `held`, where it is held.
    pub fn held(&self, subjected: &Subjected<'_>) -> Option<HeldRow> {
        let (code, message, hint, place, waits_for) = match &self.outcome {
            Outcome::Done | Outcome::Unmatched => return None,
            Outcome::Held(hold) => (
                "required-absent",
                hold.message.clone(),
                "it is evaluated again as soon as that appears",
                hold.place.clone(),
                hold.waits_for.clone(),
            ),
            Outcome::Circling => (
                "too-many-hops",
                format!("{HOPS_MAX} mappings in a row made this from what the one before had made"),
                "let one of them take less (`from`, `where`); it is evaluated again when its source changes",
                String::new(),
                String::new(),
            ),
            Outcome::Failed(why) => (
                "evaluation-failed",
                (*why).to_owned(),
                "see `mjumbe explain` for this source; it is evaluated again when the source changes",
                String::new(),
                String::new(),
            ),
        };
        Some(HeldRow {
            mapping: subjected.mapping.to_owned(),
            rid: subjected.stored.rid,
            source: subjected.source.to_owned(),
            version: subjected.stored.version,
            code: code.to_owned(),
            message,
            hint: hint.to_owned(),
            place,
            waits_for,
            since_ms: subjected.now_ms,
        })
    }

    /// Whether it read something else than before, or came to another kind of end.
    pub fn differs(&self, before: &[ReadRow], row: &EvaluationRow) -> bool {
        let mut now = self.reads.clone();
        now.sort();
        let mut before = before.to_vec();
        before.sort();
        now != before || self.outcome_text() != row.outcome
    }
}

/// Evaluates one version. `None`: the mapping does not take it, and never took an earlier one.
///
/// # Errors
/// The database's.
pub async fn prepare(
    db: &mut Connection,
    surrounded: &Surrounded<'_>,
    stored: &Stored,
) -> Result<Option<Prepared>, Error> {
    let tenant = surrounded.around.tenant.as_str();
    let mapping = surrounded.evaluator.name();
    let before = reads::evaluation(db, tenant, mapping, stored.rid).await?;
    let Some(resource) = value_of(stored) else {
        return Ok(before
            .map(|before| acted_before(&before, stored))
            .map(|previous| Prepared { previous, ..Prepared::default() }));
    };
    let acted = before.as_ref().and_then(|before| acted_before(before, stored));
    let previous = match acted {
        Some(version) => previous(db, tenant, stored.rid, version).await?,
        None => None,
    };
    let known = match surrounded.memory {
        Memory::Kept => reads::reads(db, tenant, mapping, stored.rid).await?,
        Memory::Forgotten => Vec::new(),
    };
    let subject = Subject {
        kind: &stored.kind,
        id: &stored.id,
        resource: &resource,
        previous: previous.as_ref(),
        recorded_ms: stored.updated_ms,
    };
    let mut prepared = evaluate(db, surrounded, &subject, &known).await?;
    if stored.origin.hops() >= HOPS_MAX && prepared.outcome != Outcome::Unmatched {
        prepared = Prepared { outcome: Outcome::Circling, ..Prepared::default() };
    }
    prepared.previous = acted;
    Ok((before.is_some() || prepared.outcome != Outcome::Unmatched).then_some(prepared))
}

/// The version before this one that the mapping acted on. A version that is evaluated again is not its own
/// predecessor, so that it gives the same as the first time.
fn acted_before(before: &EvaluationRow, stored: &Stored) -> Option<i64> {
    if before.version == stored.version { before.previous } else { Some(before.version) }
}

async fn previous(db: &mut Connection, tenant: &str, rid: i64, version: i64) -> Result<Option<Value>, Error> {
    let stored = read::versions(db, tenant, &[(rid, version)]).await?.pop();
    Ok(stored.as_ref().and_then(value_of))
}

async fn evaluate(
    db: &mut Connection,
    surrounded: &Surrounded<'_>,
    subject: &Subject<'_>,
    known: &[ReadRow],
) -> Result<Prepared, Error> {
    let mut answers: Vec<(Asked, Answer)> = Vec::new();
    let mut watched: Vec<(String, Vec<String>)> = Vec::new();
    let mut rounds = surrounded.evaluator.rounds(*subject);
    for _ in 0..ROUNDS_MAX {
        let round = catch_unwind(AssertUnwindSafe(|| rounds(&answers)));
        let asked = match round {
            Err(_) => return Ok(failed("the mapping engine stopped unexpectedly: a defect")),
            Ok(Round::Done(evaluated)) => return Ok(finish(*evaluated, &watched)),
            Ok(Round::Needs(asked)) if asked.is_empty() => break,
            Ok(Round::Needs(asked)) => asked,
        };
        for one in asked {
            let looked = answer(db, surrounded.around, &one, known).await?;
            watched.push((one.query.key(), looked.watched));
            answers.push((one, looked.answer));
        }
    }
    Ok(failed("the mapping asks for more look-ups than it may"))
}

fn failed(why: &'static str) -> Prepared {
    Prepared { outcome: Outcome::Failed(why), ..Prepared::default() }
}

/// As it was, where it was found and is not followed; else as it is now.
async fn answer(
    db: &mut Connection,
    around: &Surroundings,
    asked: &Asked,
    known: &[ReadRow],
) -> Result<lookup::Looked, Error> {
    let key = digest(&[&asked.query.key()]);
    let remembered = known.iter().find(|row| row.query_key == key && !asked.follow);
    if let Some(row) = remembered {
        let sources: Vec<Source> = serde_json::from_str(&row.sources).unwrap_or_default();
        if !sources.is_empty()
            && let Some(answer) = lookup::recall(db, around, &asked.query, &sources).await?
        {
            return Ok(lookup::Looked { answer, watched: Vec::new() });
        }
    }
    lookup::look_up(db, around, &asked.query).await
}

fn finish(evaluated: Evaluated, watched: &[(String, Vec<String>)]) -> Prepared {
    if !evaluated.matched {
        return Prepared::default();
    }
    // Bounded by what a file may ask: eight look-ups of at most 1,000 hits and 1,000 values each.
    let mut keys: Vec<String> = evaluated
        .reads
        .iter()
        .filter(|read| read.follow || read.sources.is_empty())
        .flat_map(|read| {
            let key = read.query.key();
            watched.iter().filter(move |(query, _)| *query == key).flat_map(|(_, keys)| keys.clone())
        })
        .collect();
    keys.sort();
    keys.dedup();
    Prepared {
        previous: None,
        outcome: evaluated.held.map_or(Outcome::Done, Outcome::Held),
        outputs: evaluated.outputs,
        issues: evaluated.issues,
        reads: read_rows(&evaluated.reads),
        watched: keys,
    }
}

fn read_rows(reads: &[Read]) -> Vec<ReadRow> {
    let mut rows: Vec<ReadRow> = reads
        .iter()
        .map(|read| {
            let query = read.query.key();
            ReadRow {
                query_key: digest(&[&query]),
                query,
                name: read.name.clone(),
                follow: read.follow,
                sources: serde_json::to_string(&read.sources).unwrap_or_else(|_| "[]".to_owned()),
            }
        })
        .collect();
    rows.sort();
    // Two names may ask the same question; it is followed where one of them follows it.
    rows.dedup_by(|later, kept| {
        let same = later.query_key == kept.query_key;
        kept.follow |= same && later.follow;
        same
    });
    rows
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mapping::lookup::Query;

    #[test]
    fn every_hit_of_every_followed_look_up_is_watched() {
        let mut watched = Vec::new();
        let mut evaluated = Evaluated { matched: true, ..Evaluated::default() };
        for number in 0..8 {
            let query = Query::Search { query: format!("Patient?_tag={number}"), many: 1_000 };
            let keys = (0..1_000).map(|hit| format!("{number}/{hit}")).collect();
            watched.push((query.key(), keys));
            let source = Source { kind: "Patient".to_owned(), id: "1".to_owned(), version: 1 };
            let name = format!("look{number}");
            evaluated.reads.push(Read { name, query, follow: true, sources: vec![source] });
        }
        assert_eq!(finish(evaluated, &watched).watched.len(), 8_000);
    }
}
