//! Searches by value sets and hierarchies of codes (`:in`, `:not-in`, `:below`, `:above` of a token): the codes are looked
//! up here, before the store is asked. <https://hl7.org/fhir/R4/search.html#token>
//!
//! Whoever searches so must be allowed to read value sets and code systems. **Never** searches by a part of a set: what is
//! not known, or cannot be expanded, is refused with the parameter's name.

use std::collections::HashMap;
use std::sync::Arc;

use serde_json::Value;

use super::call::{Call, Stop};
use super::terminology::{self, apart};
use crate::auth::scope::Permission;
use crate::fhir::elements::table;
use crate::fhir::outcome::{IssueType, Outcome};
use crate::fhir::query::{Codes, Concepts, Held, Named, Query, Way};
use crate::fhir::reference;
use crate::fhir::terminology::{Canonical, Concept, System, expand};

/// Value sets and code systems that one search may name.
const NAMED_MAX: usize = 20;
/// Codes that one search compares with, in all its parameters and in all types that chains look at.
const CODES_MAX: usize = 20_000;

/// Looks up everything that the queries name.
///
/// # Errors
/// 400 with the parameter's name for what is not known, cannot be expanded or is too much; 403.
pub async fn look_up<'a>(
    call: &Call,
    queries: impl Iterator<Item = &'a mut Query> + Send,
) -> Result<(), Stop> {
    let mut known = Looked::default();
    let mut all = 0;
    for concepts in queries.flat_map(Query::concepts) {
        let codes = known.codes(call, concepts).await;
        let codes = codes.and_then(|codes| Ok(comparable(codes, concepts.held)?));
        let codes = codes.map_err(|stop| about(stop, &concepts.parameter))?;
        all += codes.len();
        if all > CODES_MAX {
            let text =
                format!("a search compares with at most {CODES_MAX} codes, each counted once for each type");
            let outcome = Outcome::error(IssueType::TooCostly, "too-costly", text);
            let hint = "name a smaller value set, or the type: subject:Patient.…";
            return Err(about(outcome.hint(hint).into(), &concepts.parameter));
        }
        concepts.codes = Some(codes);
    }
    Ok(())
}

/// Codings are compared with their systems.
fn comparable(codes: Arc<Codes>, held: Held) -> Result<Arc<Codes>, Outcome> {
    if held == Held::Codings && codes.pairs().iter().all(|(system, _)| system.is_empty()) {
        return Err(unknown("value set"));
    }
    Ok(codes)
}

/// A refusal with the parameter that it is about. What is wrong with a definition is a bad request of who searches by it.
fn about(stop: Stop, parameter: &str) -> Stop {
    let mut outcome = stop.outcome();
    let name: String = parameter.chars().filter(|c| !c.is_control()).take(64).collect();
    if matches!(outcome.status, 404 | 410 | 422) {
        outcome.status = 400;
    }
    for issue in &mut outcome.issues {
        issue.text = format!("search parameter {name}: {}", issue.text);
    }
    outcome.into()
}

/// What was looked up for one request.
#[derive(Default)]
struct Looked {
    sets: HashMap<Named, Arc<Codes>>,
    systems: HashMap<String, Arc<System>>,
}

impl Looked {
    async fn codes(&mut self, call: &Call, concepts: &Concepts) -> Result<Arc<Codes>, Stop> {
        let mut all = Vec::new();
        for named in &concepts.named {
            all.push(match named {
                Named::Branch { system, code, way } => self.branch(call, system, (code, *way)).await?,
                set => self.set(call, set).await?,
            });
        }
        match <[Arc<Codes>; 1]>::try_from(all) {
            Ok([one]) => Ok(one),
            Err(several) => {
                let pairs =
                    move || several.iter().flat_map(|codes| codes.pairs().to_vec()).collect::<Vec<_>>();
                apart(move || Ok(Arc::new(Codes::of(pairs())))).await
            }
        }
    }

    fn room(&self) -> Result<(), Outcome> {
        if self.sets.len() + self.systems.len() < NAMED_MAX {
            return Ok(());
        }
        let text = format!("a search names at most {NAMED_MAX} value sets and code systems");
        Err(Outcome::error(IssueType::TooCostly, "too-costly", text))
    }

    async fn set(&mut self, call: &Call, named: &Named) -> Result<Arc<Codes>, Stop> {
        if let Some(known) = self.sets.get(named) {
            return Ok(Arc::clone(known));
        }
        self.room()?;
        let codes = Arc::new(expanded(call, named).await?);
        if codes.is_empty() {
            let outcome =
                Outcome::error(IssueType::NotSupported, "value-set-empty", "the value set has no codes");
            return Err(outcome.hint("store it with a compose or an expansion").into());
        }
        self.sets.insert(named.clone(), Arc::clone(&codes));
        Ok(codes)
    }

    async fn branch(&mut self, call: &Call, url: &str, (code, way): (&str, Way)) -> Result<Arc<Codes>, Stop> {
        let system = match self.systems.get(url) {
            Some(known) => Arc::clone(known),
            None => {
                self.room()?;
                let found = terminology::system(call, &Canonical::parse(url)).await?;
                let system = Arc::new(found.ok_or_else(|| unknown("code system"))?);
                self.systems.insert(url.to_owned(), Arc::clone(&system));
                system
            }
        };
        let code = code.to_owned();
        apart(move || Ok(Arc::new(branch(&system, &code, way)?))).await
    }
}

/// The code itself and what is below or above it: each concept subsumes itself.
fn branch(system: &System, code: &str, way: Way) -> Result<Codes, Outcome> {
    if !system.complete {
        let text = "the code system is stored without all its concepts";
        return Err(Outcome::error(IssueType::NotSupported, "code-system-partial", text));
    }
    let Some(own) = system.find(code) else {
        let text = "the code system has no such code";
        return Err(Outcome::error(IssueType::CodeInvalid, "unknown-code", text));
    };
    let others = match way {
        Way::Below => system.below(code),
        Way::Above => system.above(code),
    };
    let pair = |concept: &Concept| (system.url.clone(), concept.code.clone());
    Ok(Codes::of(std::iter::once(own).chain(others).map(pair)))
}

/// All codes of a value set.
async fn expanded(call: &Call, named: &Named) -> Result<Codes, Stop> {
    let set = match named {
        Named::SetId(id) => by_id(call, id).await?,
        Named::Set(text) => match by_canonical(call, text).await? {
            Some(set) => Some(set),
            None => return standard(text).ok_or_else(|| unknown("value set").into()),
        },
        Named::Branch { .. } => None,
    };
    let set = set.ok_or_else(|| unknown("value set"))?;
    let whole = terminology::whole(call, set).await?;
    apart(move || {
        let codes = expand::codes(&whole.set, &whole.known)?;
        Ok(Codes::of(codes.into_iter().map(|code| (code.system, code.code))))
    })
    .await
}

/// By its canonical, else by its address here.
async fn by_canonical(call: &Call, text: &str) -> Result<Option<Value>, Stop> {
    let found = terminology::canonical_of(call, "ValueSet", &Canonical::parse(text)).await?;
    match reference::local(text, &call.base) {
        Some(("ValueSet", id, None)) if found.is_none() => by_id(call, id).await,
        _ => Ok(found),
    }
}

async fn by_id(call: &Call, id: &str) -> Result<Option<Value>, Stop> {
    call.principal.require(Permission::Read, "ValueSet")?;
    let stored = call.app.store.read(&call.tenant, "ValueSet", id).await?;
    apart(move || stored.as_ref().map_or(Ok(None), terminology::body_of)).await
}

/// One of the closed value sets of R4 that required bindings are checked against.
fn standard(url: &str) -> Option<Codes> {
    let canonical = Canonical::parse(url);
    if canonical.version.is_some_and(|version| version != "4.0.1") {
        return None;
    }
    let codes = table().value_set(&canonical.url)?;
    Some(Codes::of(codes.into_iter().map(|(system, code)| (system.to_owned(), code.to_owned()))))
}

fn unknown(what: &str) -> Outcome {
    Outcome::error(IssueType::NotSupported, "terminology-unknown", format!("this {what} is not stored here"))
        .hint("store it (PUT), with all that it refers to; a hierarchy needs its CodeSystem")
}
