//! Merges Patients inside a write group: what refers to a duplicate is written again, referring to the one that stays.
//! What a duplicate is says `fhir::merge`.
//!
//! All of it is one plan: written whole with the duplicate, or refused with it. It is done with the caller's own
//! permissions: whoever may not update a type that would change may not merge, so a merge is never a way round a scope
//! and never half done. A duplicate whose replacement is not clear is stored as it is, with a warning.

use std::collections::{BTreeSet, HashMap};
use std::time::Duration;

use serde_json::Value;

use super::super::answer;
use super::plan::{Draft, Planned};
use super::put::Writer;
use crate::auth::Principal;
use crate::auth::scope::Permission;
use crate::fhir::bundle::{self, Effect};
use crate::fhir::merge::{self, KIND, Named};
use crate::fhir::outcome::{Issue, IssueType, Outcome, Severity};
use crate::fhir::patch::Deadline;
use crate::store::write::{Further, Matches, Precondition, Put, Question, Seen};

/// Resources that one plan may redirect, and their texts in bytes.
const REDIRECTED_MAX: usize = 2_000;
const BYTES_MAX: usize = 32 * 1024 * 1024;
/// How long that may take, while the tenant's other writers wait.
const TIME_MAX: Duration = Duration::from_secs(5);
/// Duplicates of one plan.
const DUPLICATES_MAX: usize = 100;
/// Patients of one identifier: the duplicate may have it as well.
const NAMED_MAX: u32 = 10;

/// Whether an operation may write a duplicate.
pub fn may_be(operation: &bundle::Operation) -> bool {
    use bundle::Operation::{Create, Patch, PatchMatch, Update, UpdateMatch};
    match operation {
        Create { resource, .. } | Update { resource, .. } | UpdateMatch { resource, .. } => {
            Named::of(resource.body()).is_some()
        }
        Patch { kind, .. } | PatchMatch { kind, .. } => *kind == KIND,
        _ => false,
    }
}

/// A duplicate among what is written.
struct Duplicate {
    /// Its place in the draft.
    at: usize,
    id: String,
    named: Named,
}

/// By what the plan leaves: a history that is told again may write a Patient several times.
fn duplicates(planned: &[Planned]) -> Vec<Duplicate> {
    let mut last = HashMap::new();
    for (at, planned) in planned.iter().enumerate() {
        if let Some((id, body)) = own_patient(planned) {
            last.insert(id, (at, body));
        }
    }
    let named = last.into_iter().filter_map(|(id, (at, body))| {
        Named::of(body?).map(|named| Duplicate { at, id: id.to_owned(), named })
    });
    let mut all: Vec<Duplicate> = named.collect();
    all.sort_unstable_by_key(|duplicate| duplicate.at);
    all
}

/// What must be known to merge: for each duplicate that is clear, who stays, and who refers to it.
///
/// # Errors
/// 422 for too many duplicates.
pub fn further(planned: &[Planned], writer: &Writer) -> Result<Vec<Further>, Outcome> {
    let parameters = merge::parameters(writer.custom());
    let limit = u32::try_from(REDIRECTED_MAX + 1).unwrap_or(u32::MAX);
    let duplicates = duplicates(planned);
    if duplicates.len() > DUPLICATES_MAX {
        return Err(too_much());
    }
    let asked = duplicates.into_iter().filter_map(|duplicate| {
        let query = duplicate.named.query()?;
        let target = (KIND.to_owned(), duplicate.id);
        Some([
            Further::Matching(Question { query, limit: NAMED_MAX }),
            Further::Referring { target, parameters: parameters.clone(), limit },
        ])
    });
    Ok(asked.flatten().collect())
}

/// Adds to a draft what its duplicates change, and says so in their notes.
///
/// # Errors
/// 403 that names a type which the caller may not update; 422 where there is too much to do.
pub fn apply(
    draft: &mut Draft,
    seen: &Seen<'_>,
    (principal, writer): (&Principal, &Writer),
) -> Result<(), Outcome> {
    // Who stays is found by a search, which would tell who has which identifier.
    if principal.require(Permission::Search, KIND).is_err() {
        let all = duplicates(&draft.planned);
        all.iter().for_each(|one| note(draft, one.at, unmerged("the token may not search Patients")));
        return Ok(());
    }
    let mut answers = seen.further.chunks(2);
    let (mut map, mut referring, mut merged) = (HashMap::new(), BTreeSet::new(), Vec::new());
    for duplicate in duplicates(&draft.planned) {
        let found = if duplicate.named == Named::Unclear { None } else { answers.next() };
        let stays = match found {
            Some([patients, _]) => stays(&duplicate, patients, (draft, seen)),
            _ => Err("its link does not name one Patient of this server"),
        };
        match (stays, found) {
            (Ok(id), Some([_, found])) => {
                map.insert(format!("{KIND}/{}", duplicate.id), format!("{KIND}/{id}"));
                referring.extend(found.iter().map(|(kind, id, _)| (kind.clone(), id.clone())));
                merged.push(duplicate.at);
            }
            (Err(why), _) => note(draft, duplicate.at, unmerged(why)),
            (Ok(_), _) => {}
        }
    }
    if map.is_empty() {
        return Ok(());
    }
    if referring.len() > REDIRECTED_MAX {
        return Err(too_much());
    }
    let own = redirect_own(draft, &map, writer);
    referring.retain(|key| !draft.puts.iter().any(|put| (&put.kind, &put.id) == (&key.0, &key.1)));
    let others = redirect_others(&referring, seen, (&map, writer))?;
    for put in &others {
        principal.require(Permission::Update, &put.kind).map_err(|denied| {
            answer::denied(&denied)
                .hint("a merge changes what refers to the duplicate: a token needs that scope too")
        })?;
    }
    let count = own + others.len();
    draft.puts.extend(others);
    merged.into_iter().for_each(|at| note(draft, at, done(count)));
    Ok(())
}

/// The id of the one that stays.
fn stays(
    duplicate: &Duplicate,
    patients: &Matches,
    (draft, seen): (&Draft, &Seen<'_>),
) -> Result<String, &'static str> {
    let own: HashMap<&str, Option<&Value>> = draft.planned.iter().filter_map(own_patient).collect();
    let stored = patients.iter().map(|(_, id, _)| id.as_str()).filter(|id| !own.contains_key(id));
    let written = own.iter().filter(|(id, body)| body.is_some_and(|body| duplicate.named.names(id, body)));
    let mut all = stored.chain(written.map(|(id, _)| *id)).filter(|id| *id != duplicate.id);
    let (id, None) = (all.next().ok_or("there is no Patient that its link names")?, all.next()) else {
        return Err("its link names several Patients");
    };
    let key = (KIND.to_owned(), id.to_owned());
    let replaced = match own.get(id) {
        Some(body) => body.is_some_and(|body| Named::of(body).is_some()),
        None => {
            let text = seen.standing.get(&key).and_then(|standing| standing.body.as_deref());
            let body = text.and_then(|text| serde_json::from_str::<Value>(text).ok());
            body.is_some_and(|body| Named::of(&body).is_some())
        }
    };
    if replaced { Err("the Patient that its link names is replaced itself") } else { Ok(id.to_owned()) }
}

/// A Patient that the plan itself writes, or deletes.
fn own_patient(planned: &Planned) -> Option<(&str, Option<&Value>)> {
    match &planned.action.effect {
        Effect::Put { resource, id, .. } if resource.kind() == KIND => Some((id, Some(resource.body()))),
        Effect::Delete { kind: KIND, id, .. } => Some((id, None)),
        _ => None,
    }
}

/// What the plan itself writes; tells how many of it changed.
fn redirect_own(draft: &mut Draft, map: &HashMap<String, String>, writer: &Writer) -> usize {
    let (mut changed, mut puts) = (0, draft.puts.iter_mut());
    for planned in &mut draft.planned {
        let Some(put) = planned.action.writes().then(|| puts.next()).flatten() else { continue };
        let Effect::Put { resource, id, .. } = &mut planned.action.effect else { continue };
        if merge::redirect(resource.body_mut(), map) {
            *put = writer.put(resource, id, put.precondition.clone());
            planned.stored = put.body.clone();
            changed += 1;
        }
    }
    changed
}

fn redirect_others(
    referring: &BTreeSet<(String, String)>,
    seen: &Seen<'_>,
    (map, writer): (&HashMap<String, String>, &Writer),
) -> Result<Vec<Put>, Outcome> {
    let deadline = Deadline::within(TIME_MAX);
    let (mut puts, mut bytes) = (Vec::new(), 0usize);
    for key in referring {
        let Some(text) = seen.standing.get(key).and_then(|standing| standing.body.as_deref()) else {
            continue;
        };
        bytes = bytes.saturating_add(text.len());
        if bytes > BYTES_MAX || deadline.check().is_err() {
            return Err(too_much());
        }
        let Ok(mut body) = serde_json::from_str::<Value>(text) else { continue };
        if merge::redirect(&mut body, map) {
            puts.push(writer.put_body((&key.0, &key.1), &body, Precondition::None));
        }
    }
    Ok(puts)
}

fn note(draft: &mut Draft, at: usize, issue: Issue) {
    if let Some(planned) = draft.planned.get_mut(at) {
        planned.notes.push(issue);
    }
}

fn done(count: usize) -> Issue {
    let text = format!("{count} resources that referred to a duplicate refer to the Patient that stays now");
    Issue::error(IssueType::Informational, "merged", text).severity(Severity::Information)
}

fn unmerged(why: &str) -> Issue {
    Issue::error(IssueType::BusinessRule, "not-merged", format!("stored, but nothing was merged: {why}"))
        .severity(Severity::Warning)
        .at("Patient.link")
        .hint("references to this Patient stay; repeat the update when its link names one")
}

fn too_much() -> Outcome {
    let text = "too much refers to this duplicate to be changed at once";
    Outcome::error(IssueType::TooCostly, "merge-too-large", text)
        .status(422)
        .hint("at most 2,000 resources and 32 MiB: let most of them refer to the Patient that stays by transactions of your own, then repeat this")
}
