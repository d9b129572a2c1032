//! Resources that operations work on: by the id of the place, given by the caller, or stored under a canonical.
//!
//! Whatever is read of another type than the place's is asked of the caller's scope here.

use std::cmp::Ordering;
use std::collections::VecDeque;
use std::collections::btree_map::Entry;

use serde_json::Value;

use super::super::super::answer;
use super::super::call::{Call, Stop};
use super::super::{read, render};
use super::{Arguments, Place};
use crate::auth::scope::Permission;
use crate::fhir::index::ParameterKey;
use crate::fhir::outcome::{IssueType, Outcome};
use crate::fhir::query::Match;
use crate::fhir::terminology::{Canonical, Known, System, expand, too_costly};
use crate::store::read::Stored;

/// Versions under one canonical that are looked at.
const VERSIONS_MAX: u32 = 100;
/// Code systems and value sets that one expansion may need.
const NEEDS_MAX: usize = 200;
/// Codes that one call asks about.
const ASKED_MAX: usize = 100;

/// The input that may be a resource, a canonical, or the place itself.
pub struct Named {
    pub kind: &'static str,
    /// The name of the parameter that holds the resource.
    pub resource: &'static str,
    /// The name of the parameter that holds its canonical, and of the one for its version.
    pub url: &'static str,
    pub version: &'static str,
}

/// The resource that an operation is about: the place's instance, the one in the arguments, or a stored one.
/// `None` where none is named.
///
/// # Errors
/// 404 where it is not stored.
pub async fn named(
    call: &Call,
    place: &Place,
    arguments: &Arguments,
    named: &Named,
) -> Result<Option<Value>, Stop> {
    if let Place::Instance { kind, id } = place {
        return Ok(Some(instance(call, kind, id).await?));
    }
    if let Some(given) = arguments.resource(named.resource) {
        return Ok(Some(given.clone()));
    }
    let Some(url) = arguments.text(named.url)? else { return Ok(None) };
    let canonical = Canonical::parse(&url).or_version(arguments.text(named.version)?.as_deref());
    let found = canonical_of(call, named.kind, &canonical).await?;
    Ok(Some(found.ok_or_else(|| absent(named.kind, &url))?))
}

fn absent(kind: &str, url: &str) -> Outcome {
    let url: String = url.chars().filter(|c| !c.is_control()).take(200).collect();
    Outcome::error(IssueType::NotFound, "not-found", format!("there is no {kind} {url} here")).status(404)
}

/// The current version of one resource, as clients see it.
///
/// # Errors
/// 404, 410
pub async fn instance(call: &Call, kind: &str, id: &str) -> Result<Value, Stop> {
    let stored = read::current(call, kind, id).await?;
    Ok(value(&stored).ok_or_else(|| render::gone_outcome(kind, id))?)
}

/// As clients see it; `None` for a deletion.
pub fn value(stored: &Stored) -> Option<Value> {
    serde_json::from_str(&read::version_of(stored)?.text()).ok()
}

/// What is stored under a canonical: the version that it names, else the newest, active ones first.
///
/// # Errors
/// 403 where the caller may not read the type.
pub async fn canonical_of(
    call: &Call,
    kind: &'static str,
    canonical: &Canonical,
) -> Result<Option<Value>, Stop> {
    call.principal.require(Permission::Read, kind)?;
    let by_url = (ParameterKey::new(kind, "url"), vec![Match::Uri(canonical.url.clone())]);
    let found = call.app.store.find(&call.tenant, kind, by_url, VERSIONS_MAX).await?;
    let all = found.iter().filter_map(value);
    let wanted = |one: &Value| {
        canonical.version.as_deref().is_none_or(|version| one["version"].as_str() == Some(version))
    };
    Ok(all.filter(wanted).max_by(newer))
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

/// Everything that is stored of what a value set refers to, at any depth.
///
/// # Errors
/// 403; 422 where it is too much.
pub async fn known(call: &Call, set: &Value) -> Result<Known, Stop> {
    let mut known = Known::default();
    let mut open = VecDeque::from([set.clone()]);
    while let Some(set) = open.pop_front() {
        let needs = expand::needs(&set);
        if needs.systems.len() + needs.sets.len() > NEEDS_MAX {
            return Err(too_costly("the value set refers to too many others").into());
        }
        for canonical in needs.systems {
            if let Entry::Vacant(place) = known.systems.entry(canonical) {
                let found = canonical_of(call, "CodeSystem", place.key()).await?;
                place.insert(found.as_ref().map(System::read).transpose()?);
            }
        }
        for canonical in needs.sets {
            if let Entry::Vacant(place) = known.sets.entry(canonical) {
                let found = canonical_of(call, "ValueSet", place.key()).await?;
                open.extend(found.clone());
                place.insert(found);
            }
        }
        if known.systems.len() + known.sets.len() > NEEDS_MAX {
            return Err(too_costly("the value set refers to too many others").into());
        }
    }
    Ok(known)
}

/// The stored code system of a Coding, if there is one.
///
/// # Errors
/// 403; 422 where it is too large.
pub async fn system(call: &Call, canonical: &Canonical) -> Result<Option<System>, Stop> {
    let found = canonical_of(call, "CodeSystem", canonical).await?;
    Ok(found.as_ref().map(System::read).transpose()?)
}

/// One coded value that a caller asks about.
#[derive(Debug, Clone, Default)]
pub struct Asked {
    pub system: Option<String>,
    pub version: Option<String>,
    pub code: String,
    pub display: Option<String>,
}

/// `code` with `system`, `coding`, or those of `codeableConcept`.
///
/// # Errors
/// 400 where there is none, or too many.
pub fn asked(arguments: &Arguments, version: &'static str) -> Result<Vec<Asked>, Outcome> {
    let mut all: Vec<Asked> = Vec::new();
    if let Some(code) = arguments.text("code")? {
        let (system, display) = (arguments.text("system")?, arguments.text("display")?);
        all.push(Asked { system, version: arguments.text(version)?, code, display });
    }
    let concept = arguments.value("codeableConcept").and_then(|concept| concept.get("coding"));
    let codings = concept.and_then(Value::as_array).into_iter().flatten();
    for coding in arguments.value("coding").into_iter().chain(codings) {
        let owned = |name: &str| coding.get(name).and_then(Value::as_str).map(str::to_owned);
        if let Some(code) = owned("code") {
            all.push(Asked {
                system: owned("system"),
                version: owned("version"),
                code,
                display: owned("display"),
            });
        }
    }
    if all.is_empty() {
        let text = "the operation needs a code: `code` with `system`, `coding` or `codeableConcept`";
        return Err(Outcome::error(IssueType::Required, "parameter-missing", text));
    }
    if all.len() > ASKED_MAX {
        let text = format!("an operation asks about at most {ASKED_MAX} codes");
        return Err(Outcome::error(IssueType::TooCostly, "too-costly", text));
    }
    Ok(all)
}

/// A code as it may stand in a sentence of ours.
pub fn shown(asked: &Asked) -> String {
    let system = asked.system.as_deref().unwrap_or("(no system)");
    let system: String = system.chars().filter(|c| !c.is_control()).take(200).collect();
    format!("{} of {system}", answer::plain(&asked.code))
}
