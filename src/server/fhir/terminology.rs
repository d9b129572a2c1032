//! Definitions of codes that requests refer to: code systems, value sets and concept maps that are stored, or that
//! the server was started with.
//!
//! They are read by their url through the index, the caller's scope is asked for each type, and how much of them one
//! request may hold is bounded. Reading and expanding them is work for the processor, done [`apart`] from the threads
//! that answer requests. **Never** decides what a code means: that is `fhir::terminology`.

use std::cmp::Ordering;
use std::collections::VecDeque;
use std::collections::btree_map::Entry;
use std::sync::{Arc, LazyLock};

use serde_json::Value;

use super::super::apart::Apart;
use super::call::{Call, Stop};
use super::read;
use crate::auth::scope::Permission;
use crate::fhir::index::ParameterKey;
use crate::fhir::outcome::Outcome;
use crate::fhir::query::{Filter, Match, Parameter, Query};
use crate::fhir::terminology::{Canonical, Known, System, expand, too_costly};
use crate::store::read::Stored;
use crate::store::search::{Page, TotalWanted};

/// Versions under one canonical that are looked at.
const VERSIONS_MAX: u32 = 100;
/// So many of them are held at once.
const VERSIONS_AT_ONCE: u32 = 4;
/// Code systems and value sets that one expansion may need.
const NEEDS_MAX: usize = 200;
/// A definition is this large at most, in bytes of JSON.
const BYTES_MAX: usize = 16 << 20;
/// All definitions of one request together.
const BYTES_IN_ALL: usize = 32 << 20;
/// Requests whose definitions are worked on at once; others wait.
const APART_MAX: usize = 4;

static APART: LazyLock<Apart> = LazyLock::new(|| Apart::of(APART_MAX));

/// Does work for the processor on a thread of its own. Where it panics, so does this.
///
/// # Errors
/// What the work says; 503 where the process is ending.
pub async fn apart<T, F>(work: F) -> Result<T, Stop>
where
    T: Send + 'static,
    F: FnOnce() -> Result<T, Outcome> + Send + 'static,
{
    Ok(APART.compute(work).await??)
}

/// A definition, and how large its text is.
struct Definition {
    body: Value,
    bytes: usize,
}

/// What is known under a canonical: the version that it names, else the newest, active ones first. What is stored goes
/// before what the server was started with.
///
/// # Errors
/// 403 where the caller may not read the type; 422 where it is too large.
pub async fn canonical_of(
    call: &Call,
    kind: &'static str,
    canonical: &Canonical,
) -> Result<Option<Value>, Stop> {
    Ok(definition(call, kind, canonical).await?.map(|found| found.body))
}

async fn definition(
    call: &Call,
    kind: &'static str,
    canonical: &Canonical,
) -> Result<Option<Definition>, Stop> {
    call.principal.require(Permission::Read, kind)?;
    let query = query(kind, canonical);
    let mut page = Page { count: VERSIONS_AT_ONCE, total: TotalWanted::None, ..Page::default() };
    let mut best = None;
    for _ in 0..VERSIONS_MAX / VERSIONS_AT_ONCE {
        let found = call.app.store.search(&call.tenant, &query, &page).await?;
        if !found.entries.is_empty() {
            let wanted = canonical.version.clone();
            best = apart(move || newest(best, &found.entries, wanted.as_deref())).await?;
        }
        page.token = found.next;
        if page.token.is_none() {
            break;
        }
    }
    if best.is_some() {
        return Ok(best);
    }
    let Some(own) = call.app.profiles.term(kind, &canonical.url, canonical.version.as_deref()) else {
        return Ok(None);
    };
    Ok(Some(apart(move || Ok(Definition { body: Value::clone(&own), bytes: 0 })).await?))
}

fn query(kind: &str, canonical: &Canonical) -> Query {
    let filter = |code: &str, value: Match| Filter {
        parameter: Parameter::Indexed(ParameterKey::new(kind, code)),
        any: vec![value],
        not: false,
    };
    let mut filters = vec![filter("url", Match::Uri(canonical.url.clone()))];
    if let Some(version) = &canonical.version {
        filters.push(filter("version", Match::Token { system: None, code: Some(version.clone()) }));
    }
    Query { kind: kind.to_owned(), filters, sort: Vec::new() }
}

/// The better of `best` and the stored ones. Only one of them is a tree at a time, besides the best.
fn newest(
    mut best: Option<Definition>,
    stored: &[Stored],
    version: Option<&str>,
) -> Result<Option<Definition>, Outcome> {
    for one in stored {
        let bytes = one.body.as_ref().map_or(0, String::len);
        let Some(body) = body_of(one)? else { continue };
        let fits = version.is_none_or(|version| body["version"].as_str() == Some(version));
        if fits && best.as_ref().is_none_or(|best| newer(&body, &best.body) != Ordering::Less) {
            best = Some(Definition { body, bytes });
        }
    }
    Ok(best)
}

/// As clients see it; `None` for a deletion.
///
/// # Errors
/// 422 where it is too large.
pub fn body_of(stored: &Stored) -> Result<Option<Value>, Outcome> {
    if stored.body.as_ref().is_some_and(|body| body.len() > BYTES_MAX) {
        return Err(too_costly("a definition of codes is larger than 16 MiB"));
    }
    Ok(read::version_of(stored).and_then(|version| serde_json::from_str(&version.text()).ok()))
}

/// Everything of a type that holds one of some values in a parameter, at most `limit` in the order of creation.
///
/// # Errors
/// 403; 422 where it is too large.
pub async fn holding(
    call: &Call,
    kind: &'static str,
    (code, any): (&str, Vec<Match>),
    limit: usize,
) -> Result<Vec<Value>, Stop> {
    call.principal.require(Permission::Read, kind)?;
    let parameter = Parameter::Indexed(ParameterKey::new(kind, code));
    let filters = vec![Filter { parameter, any, not: false }];
    let query = Query { kind: kind.to_owned(), filters, sort: Vec::new() };
    let mut page = Page { count: VERSIONS_AT_ONCE, total: TotalWanted::None, ..Page::default() };
    let (mut all, mut bytes) = (Vec::new(), 0);
    while all.len() < limit {
        let found = call.app.store.search(&call.tenant, &query, &page).await?;
        bytes += found.entries.iter().filter_map(|one| one.body.as_ref()).map(String::len).sum::<usize>();
        if bytes > BYTES_IN_ALL {
            return Err(too_costly("the definitions that fit are larger than 32 MiB together").into());
        }
        let read = move || found.entries.iter().map(body_of).collect::<Result<Vec<_>, _>>();
        all.extend(apart(read).await?.into_iter().flatten());
        page.token = found.next;
        if page.token.is_none() {
            break;
        }
    }
    all.truncate(limit);
    Ok(all)
}

fn newer(one: &Value, other: &Value) -> Ordering {
    let active = |value: &Value| value["status"] == "active";
    let version = |value: &Value| value["version"].as_str().unwrap_or_default().to_owned();
    active(one).cmp(&active(other)).then_with(|| by_parts(&version(one), &version(other)))
}

/// `4.0.10` is newer than `4.0.9`.
fn by_parts(one: &str, other: &str) -> Ordering {
    let parts = |text: &str| -> Vec<(u64, String)> {
        text.split(['.', '-']).map(|part| (part.parse().unwrap_or(0), part.to_owned())).collect()
    };
    parts(one).cmp(&parts(other))
}

/// A value set with everything that it refers to, at any depth.
pub struct Whole {
    pub set: Value,
    pub known: Known,
}

/// Reads what a value set refers to.
///
/// # Errors
/// 403; 422 where it is too much.
pub async fn whole(call: &Call, set: Value) -> Result<Whole, Stop> {
    let set = Arc::new(set);
    let (mut known, mut bytes) = (Known::default(), 0);
    let mut open = VecDeque::from([Arc::clone(&set)]);
    while let Some(one) = open.pop_front() {
        let needs = apart(move || Ok(expand::needs(&one))).await?;
        if needs.systems.len() + needs.sets.len() > NEEDS_MAX {
            return Err(too_many().into());
        }
        for canonical in needs.systems {
            if let Entry::Vacant(place) = known.systems.entry(canonical) {
                let found = definition(call, "CodeSystem", place.key()).await?;
                let found = match counted(found, &mut bytes)? {
                    Some(body) => Some(apart(move || System::read(&body)).await?),
                    None => None,
                };
                place.insert(found);
            }
        }
        for canonical in needs.sets {
            if let Entry::Vacant(place) = known.sets.entry(canonical) {
                let found = definition(call, "ValueSet", place.key()).await?;
                let found = counted(found, &mut bytes)?.map(Arc::new);
                open.extend(found.clone());
                place.insert(found);
            }
        }
        if known.systems.len() + known.sets.len() > NEEDS_MAX {
            return Err(too_many().into());
        }
    }
    Ok(Whole { set: Arc::unwrap_or_clone(set), known })
}

fn too_many() -> Outcome {
    too_costly("the value set refers to too many others")
}

fn counted(found: Option<Definition>, bytes: &mut usize) -> Result<Option<Value>, Outcome> {
    let Some(found) = found else { return Ok(None) };
    *bytes += found.bytes;
    if *bytes > BYTES_IN_ALL {
        return Err(too_costly("what the value set refers to is larger than 32 MiB"));
    }
    Ok(Some(found.body))
}

/// The code system of a canonical, if it is known.
///
/// # Errors
/// 403; 422 where it is too large.
pub async fn system(call: &Call, canonical: &Canonical) -> Result<Option<System>, Stop> {
    match canonical_of(call, "CodeSystem", canonical).await? {
        Some(body) => Ok(Some(apart(move || System::read(&body)).await?)),
        None => Ok(None),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    #[should_panic(expected = "a defect")]
    async fn a_panic_of_the_work_comes_through() {
        let _ = apart::<(), _>(|| panic!("a defect")).await;
    }
}
