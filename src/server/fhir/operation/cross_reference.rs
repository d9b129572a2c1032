//! `Patient/$ihe-pix`: the other identifiers of the person who has this one, and where that person is.
//! <https://profiles.ihe.net/ITI/PIXm/ITI-83.html>
//!
//! A domain is known here where any Patient has an identifier of it. A duplicate leads to the one that stays
//! (`fhir::merge`). Nothing is changed, and no likeness is guessed: that is `$match`.

use std::collections::{BTreeMap, HashSet};

use axum::http::StatusCode;
use serde_json::{Value, json};

use super::super::super::answer::{self, Answer};
use super::super::call::{Call, Stop};
use super::arguments::bad;
use super::{Arguments, answered, stored};
use crate::auth::scope::Permission;
use crate::fhir::index::ParameterKey;
use crate::fhir::merge::{KIND, Named};
use crate::fhir::outcome::{IssueType, Outcome};
use crate::fhir::query::Match;
use crate::store::search::Page;

/// Patients of one identifier that are looked at.
const PATIENTS_MAX: u32 = 20;
/// Duplicates of duplicates that are followed.
const ROUNDS_MAX: usize = 5;
/// Domains that one call may name.
const TARGETS_MAX: usize = 20;

/// `GET Patient/$ihe-pix?sourceIdentifier=…&targetSystem=…`
pub async fn identifiers(call: &Call, arguments: &Arguments) -> Result<Answer, Stop> {
    call.principal.require(Permission::Read, KIND)?;
    let source = source(arguments)?;
    let targets = arguments.texts("targetSystem");
    if targets.len() > TARGETS_MAX {
        return Err(bad("targetSystem", "is given 20 times at most").into());
    }
    let found = with_identifier(call, Some(&source.value), &source.system, PATIENTS_MAX).await?;
    if found.is_empty() {
        return Ok(match is_known(call, &source.system).await? {
            true => refused(call, IssueType::NotFound, "sourceIdentifier Patient Identifier not found"),
            false => refused(call, IssueType::CodeInvalid, "sourceIdentifier Assigning Authority not found"),
        });
    }
    for target in &targets {
        if !is_known(call, target).await? {
            return Ok(refused(call, IssueType::Forbidden, "targetSystem not found"));
        }
    }
    let people = with_those_who_stay(call, found).await?;
    Ok(answered(call, &answer_of(call, &people, (&source, &targets))))
}

/// The identifier that is asked for.
struct Source {
    system: String,
    value: String,
}

/// As `system|value`, or as an Identifier in a posted Parameters.
fn source(arguments: &Arguments) -> Result<Source, Outcome> {
    let wrong = || bad("sourceIdentifier", "is given once, as system|value");
    if arguments.all("sourceIdentifier").count() != 1 {
        return Err(wrong());
    }
    let (system, value) = match arguments.value("sourceIdentifier").ok_or_else(wrong)? {
        Value::String(text) => {
            text.split_once('|').map(|(system, value)| (unescaped(system), unescaped(value)))
        }
        identifier => {
            let text = |key: &str| identifier.get(key).and_then(Value::as_str).map(str::to_owned);
            text("system").zip(text("value"))
        }
    }
    .ok_or_else(wrong)?;
    if system.is_empty() || value.is_empty() {
        return Err(wrong());
    }
    Ok(Source { system, value })
}

/// <https://hl7.org/fhir/R4/search.html#escaping>
fn unescaped(text: &str) -> String {
    let (mut out, mut signs) = (String::with_capacity(text.len()), text.chars());
    while let Some(sign) = signs.next() {
        out.extend(if sign == '\\' { signs.next() } else { Some(sign) });
    }
    out
}

/// Who has an identifier of this domain, with this value or with any.
async fn with_identifier(
    call: &Call,
    value: Option<&str>,
    system: &str,
    limit: u32,
) -> Result<Vec<Value>, Stop> {
    let wanted = Match::Token { system: Some(system.to_owned()), code: value.map(str::to_owned) };
    let parameter = ParameterKey::new(KIND, "identifier");
    let found = call.app.store.find(&call.tenant, KIND, (parameter, vec![wanted]), limit).await?;
    Ok(found.iter().filter_map(stored::value).collect())
}

async fn is_known(call: &Call, system: &str) -> Result<bool, Stop> {
    Ok(!with_identifier(call, None, system, 1).await?.is_empty())
}

/// These Patients and those that replace them, by id.
async fn with_those_who_stay(call: &Call, found: Vec<Value>) -> Result<BTreeMap<String, Value>, Stop> {
    let (mut people, mut open) = (BTreeMap::new(), found);
    for _ in 0..ROUNDS_MAX {
        let mut next = Vec::new();
        for patient in open {
            let id = patient["id"].as_str().unwrap_or_default().to_owned();
            let query = Named::of(&patient).and_then(|named| named.query());
            let is_new = people.insert(id, patient).is_none();
            if let Some(query) = query.filter(|_| is_new) {
                let found = call.app.store.search(&call.tenant, &query, &Page::new(PATIENTS_MAX)).await?;
                next.extend(found.entries.iter().filter_map(stored::value));
            }
        }
        open = next;
    }
    Ok(people)
}

fn answer_of(
    call: &Call,
    people: &BTreeMap<String, Value>,
    (source, targets): (&Source, &[String]),
) -> Value {
    let (mut parameters, mut seen) = (Vec::new(), HashSet::new());
    for identifier in people.values().filter_map(|patient| patient["identifier"].as_array()).flatten() {
        let (Some(system), Some(value)) = (identifier["system"].as_str(), identifier["value"].as_str())
        else {
            continue;
        };
        let asked = (system, value) == (source.system.as_str(), source.value.as_str());
        let wanted = targets.is_empty() || targets.iter().any(|target| target == system);
        if !asked && wanted && seen.insert((system, value)) {
            parameters.push(json!({ "name": "targetIdentifier", "valueIdentifier": identifier }));
        }
    }
    // Those who were replaced by somebody that is not here are all there is of that person.
    let gone = |patient: &Value| Named::of(patient).is_some();
    let only_gone = people.values().all(gone);
    for (id, _) in people.iter().filter(|(_, patient)| only_gone || !gone(patient)) {
        let reference = format!("{}/{KIND}/{id}", call.base);
        parameters.push(json!({ "name": "targetId", "valueReference": { "reference": reference } }));
    }
    json!({ "resourceType": "Parameters", "parameter": parameters })
}

/// As PIXm words it: 404, 400 and, for a domain that is asked for, 403.
fn refused(call: &Call, kind: IssueType, text: &'static str) -> Answer {
    let issue = if kind == IssueType::NotFound { kind } else { IssueType::CodeInvalid };
    let outcome = Outcome::error(issue, "unknown-identifier", text).status(kind.status());
    let mut body = outcome.to_value();
    body["issue"][0]["diagnostics"] = text.into();
    let status = StatusCode::from_u16(outcome.status).unwrap_or(StatusCode::BAD_REQUEST);
    answer::resource(status, &body, call.wishes.layout)
}
