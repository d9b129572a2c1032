//! `Patient/$match`: who is stored already and may be this person.
//! <https://hl7.org/fhir/R4/patient-operation-match.html>
//!
//! Candidates come of a few indexed searches, each bounded; `fhir::likeness` says how much they look like the
//! one that is asked for. Nothing is changed.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::super::super::answer::Answer;
use super::super::call::{Call, Stop};
use super::arguments::bad;
use super::{Arguments, answered, stored};
use crate::auth::scope::Permission;
use crate::fhir::likeness::{Grade, Likeness, likeness};
use crate::fhir::outcome::Outcome;
use crate::fhir::search;
use crate::store::search::{Page, TotalWanted};

/// Candidates that one search gives, at most.
const CANDIDATES: u32 = 100;
/// Searches that one call makes, at most.
const SEARCHES: usize = 20;
/// Matches of an answer, where the caller does not say.
const COUNT: u32 = 20;
const GRADE: &str = "http://hl7.org/fhir/StructureDefinition/match-grade";

/// `POST Patient/$match`
pub async fn find(call: &Call, arguments: &Arguments) -> Result<Answer, Stop> {
    call.principal.require(Permission::Read, "Patient")?;
    let asked = arguments.resource("resource").filter(|one| one["resourceType"] == "Patient");
    let asked = asked.ok_or_else(|| bad("resource", "is a Patient"))?;
    let count = arguments.number("count")?.unwrap_or(COUNT);
    let certain_only = arguments.is_set("onlyCertainMatches")?;
    let mut found: Vec<(Likeness, Value)> = candidates(call, asked)
        .await?
        .into_iter()
        .map(|candidate| (likeness(asked, &candidate), candidate))
        .filter(|(likeness, _)| likeness.grade != Grade::CertainlyNot)
        .collect();
    if certain_only {
        found.retain(|(likeness, _)| likeness.grade == Grade::Certain);
        // Of two that are certain one must be wrong: then none of them is.
        if found.len() > 1 {
            found.clear();
        }
    }
    let rank = |likeness: &Likeness| (likeness.grade == Grade::Certain, likeness.score);
    found.sort_by(|(one, _), (other, _)| {
        rank(other).partial_cmp(&rank(one)).unwrap_or(std::cmp::Ordering::Equal)
    });
    found.truncate(usize::try_from(count).unwrap_or(usize::MAX));
    Ok(answered(call, &bundle(call, &found)))
}

/// Each once, by its id.
async fn candidates(call: &Call, asked: &Value) -> Result<Vec<Value>, Stop> {
    let zone = call.zone();
    let context = call.context(&zone);
    let mut all: BTreeMap<String, Value> = BTreeMap::new();
    for pairs in searches(asked).into_iter().take(SEARCHES) {
        let query = search::parse("Patient", &pairs, &context).map_err(|_| unreadable())?.query;
        let page = Page { count: CANDIDATES, total: TotalWanted::None, ..Page::default() };
        let found = call.app.store.search(&call.tenant, &query, &page).await?;
        all.extend(found.entries.iter().filter_map(|one| Some((one.id.clone(), stored::value(one)?))));
    }
    Ok(all.into_values().collect())
}

fn unreadable() -> Outcome {
    bad("resource", "has an identifier, name, phone or birth date that cannot be searched by")
}

/// The searches that could find the person, those that tell most first.
fn searches(asked: &Value) -> Vec<Vec<(String, String)>> {
    let mut all = Vec::new();
    for one in items(asked, "identifier") {
        if let (Some(system), Some(value)) = (one["system"].as_str(), one["value"].as_str()) {
            all.push(vec![pair("identifier", format!("{}|{}", escaped(system), escaped(value)))]);
        }
    }
    for one in items(asked, "telecom").iter().filter(|one| one["system"] == "phone") {
        all.extend(one["value"].as_str().map(|value| vec![pair("phone", escaped(value))]));
    }
    let names = items(asked, "name");
    let families: Vec<&str> = names.iter().filter_map(|name| name["family"].as_str()).collect();
    let given = names.iter().flat_map(|name| items(name, "given")).filter_map(Value::as_str);
    let given: Vec<&str> = given.collect();
    let born = asked["birthDate"].as_str();
    for name in families.iter().map(|name| pair("family", escaped(name))) {
        all.extend(born.map(|born| vec![name.clone(), pair("birthdate", born.to_owned())]));
        all.extend(given.iter().map(|given| vec![name.clone(), pair("given", escaped(given))]));
    }
    for name in given.iter().map(|name| pair("given", escaped(name))) {
        all.extend(born.map(|born| vec![name.clone(), pair("birthdate", born.to_owned())]));
    }
    // A name that is spelt otherwise is found by the day of birth and the gender.
    if let (Some(born), Some(gender)) = (born, asked["gender"].as_str()) {
        all.push(vec![pair("birthdate", born.to_owned()), pair("gender", escaped(gender))]);
    }
    all.retain(|pairs| pairs.iter().all(|(_, value)| !value.is_empty()));
    all
}

fn pair(name: &str, value: String) -> (String, String) {
    (name.to_owned(), value)
}

/// As one value of a search parameter. <https://hl7.org/fhir/R4/search.html#escaping>
fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for sign in text.chars() {
        if matches!(sign, '\\' | ',' | '|' | '$') {
            out.push('\\');
        }
        out.push(sign);
    }
    out
}

fn items<'a>(value: &'a Value, name: &str) -> &'a [Value] {
    value.get(name).and_then(Value::as_array).map_or(&[], Vec::as_slice)
}

fn bundle(call: &Call, found: &[(Likeness, Value)]) -> Value {
    let entries: Vec<Value> = found
        .iter()
        .map(|(likeness, patient)| {
            let id = patient["id"].as_str().unwrap_or_default();
            let score = (likeness.score * 100.0).round() / 100.0;
            json!({ "fullUrl": format!("{}/Patient/{id}", call.base), "resource": patient, "search": {
                "extension": [{ "url": GRADE, "valueCode": likeness.grade.as_str() }],
                "mode": "match", "score": score } })
        })
        .collect();
    let mut bundle = json!({ "resourceType": "Bundle", "type": "searchset", "total": entries.len() });
    // R4 has no empty arrays.
    if !entries.is_empty() {
        bundle["entry"] = entries.into();
    }
    bundle
}
