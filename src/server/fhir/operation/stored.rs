//! Resources that operations work on: by the id of the place, given by the caller, or stored under a canonical.
//!
//! Whatever is read of another type than the place's is asked of the caller's scope here.

use serde_json::Value;

use super::super::super::answer;
use super::super::call::{Call, Stop};
use super::super::terminology::{apart, body_of, canonical_of};
use super::super::{read, render};
use super::{Arguments, Place};
use crate::fhir::outcome::{IssueType, Outcome};
use crate::fhir::terminology::Canonical;
use crate::store::read::Stored;

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
        let stored = read::current(call, kind, id).await?;
        let body = apart(move || body_of(&stored)).await?;
        return Ok(Some(body.ok_or_else(|| render::gone_outcome(kind, id))?));
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
