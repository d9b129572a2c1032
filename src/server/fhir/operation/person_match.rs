//! `Patient/$match`: who is stored already and may be this person.
//! <https://hl7.org/fhir/R4/patient-operation-match.html>
//!
//! Candidates come of a few indexed searches, each bounded; `fhir::likeness` says how much they look like the
//! one that is asked for. Nothing is changed.

use std::collections::HashSet;

use serde_json::{Value, json};

use super::super::super::answer::Answer;
use super::super::call::{Call, Stop};
use super::arguments::bad;
use super::{Arguments, answered, stored};
use crate::auth::scope::Permission;
use crate::fhir::likeness::{Grade, Likeness, NAMES_MAX, likeness};
use crate::fhir::outcome::{IssueType, Outcome};
use crate::fhir::search;
use crate::store::search::{Page, TotalWanted};

/// Candidates that one search gives, at most.
const CANDIDATES: u32 = 100;
/// Searches that one call makes, at most.
const SEARCHES: usize = 20;
/// Items of one list of the Patient that is asked for, at most.
const LISTS: [(&str, usize); 4] = [("identifier", 20), ("telecom", 20), ("address", 20), ("name", NAMES_MAX)];
/// Characters of one text that is compared, at most.
const TEXT_MAX: usize = 256;
/// Matches of an answer, where the caller does not say, and at most.
const COUNT: u32 = 20;
const COUNT_MAX: u32 = 100;
const GRADE: &str = "http://hl7.org/fhir/StructureDefinition/match-grade";

/// `POST Patient/$match`
pub async fn find(call: &Call, arguments: &Arguments) -> Result<Answer, Stop> {
    call.principal.require(Permission::Read, "Patient")?;
    let asked = arguments.resource("resource").filter(|one| one["resourceType"] == "Patient");
    let asked = asked.ok_or_else(|| bad("resource", "is a Patient"))?;
    bounded(asked)?;
    let count = arguments.number("count")?.unwrap_or(COUNT).min(COUNT_MAX);
    let certain_only = arguments.is_set("onlyCertainMatches")?;
    // Of two that are certain one must be wrong: to see that, two are kept.
    let kept = if certain_only { count.max(2) } else { count };
    let mut found = best(call, asked, usize::try_from(kept).unwrap_or(usize::MAX)).await?;
    if certain_only {
        found.retain(|(likeness, _)| likeness.grade == Grade::Certain);
        if found.len() > 1 {
            found.clear();
        }
    }
    found.truncate(usize::try_from(count).unwrap_or(usize::MAX));
    Ok(answered(call, &bundle(call, &found)))
}

/// Puts those that look most alike first, and keeps the first `most`.
fn keep_best(found: &mut Vec<(Likeness, Value)>, most: usize) {
    let rank = |likeness: &Likeness| (likeness.grade == Grade::Certain, likeness.score);
    found.sort_by(|(one, _), (other, _)| {
        rank(other).partial_cmp(&rank(one)).unwrap_or(std::cmp::Ordering::Equal)
    });
    found.truncate(most);
}

/// 400 for a Patient that says more than is worth comparing: what follows costs the product of its lists.
fn bounded(asked: &Value) -> Result<(), Outcome> {
    let given = items(asked, "name").iter().map(|name| items(name, "given").len()).sum::<usize>();
    let many = LISTS.iter().find(|(name, most)| items(asked, name).len() > *most);
    if let Some((name, most)) = many.copied().or((given > NAMES_MAX).then_some(("name.given", NAMES_MAX))) {
        let text = format!("a person is searched for by at most {most} of each list");
        return Err(Outcome::error(IssueType::TooCostly, "too-costly", text).at(format!("Patient.{name}")));
    }
    let mut compared = LISTS.iter().map(|(name, _)| *name).chain(["birthDate", "gender"]);
    match compared.find(|name| asked.get(name).is_some_and(is_long)) {
        None => Ok(()),
        Some(name) => {
            let text = format!("a person is searched for by texts of at most {TEXT_MAX} characters");
            Err(Outcome::error(IssueType::TooCostly, "too-costly", text).at(format!("Patient.{name}")))
        }
    }
}

/// Whether a text in it is longer than [`TEXT_MAX`].
fn is_long(value: &Value) -> bool {
    match value {
        Value::String(text) => text.chars().nth(TEXT_MAX).is_some(),
        Value::Array(all) => all.iter().any(is_long),
        Value::Object(members) => members.values().any(is_long),
        Value::Null | Value::Bool(_) | Value::Number(_) => false,
    }
}

/// The candidates that look most alike. Of each search only these are kept, whole Patients may be large.
async fn best(call: &Call, asked: &Value, most: usize) -> Result<Vec<(Likeness, Value)>, Stop> {
    let zone = call.zone();
    let context = call.context(&zone);
    let (mut best, mut seen) = (Vec::new(), HashSet::new());
    for pairs in searches(asked).take(SEARCHES) {
        let query = search::parse("Patient", &pairs, &context).map_err(|_| unreadable())?.query;
        let page = Page { count: CANDIDATES, total: TotalWanted::None, ..Page::default() };
        let found = call.app.store.search(&call.tenant, &query, &page).await?;
        for one in found.entries {
            if !seen.insert(one.id.clone()) {
                continue;
            }
            let Some(patient) = stored::value(&one) else { continue };
            let likeness = likeness(asked, &patient);
            if likeness.grade != Grade::CertainlyNot {
                best.push((likeness, patient));
            }
        }
        keep_best(&mut best, most);
    }
    Ok(best)
}

fn unreadable() -> Outcome {
    bad("resource", "has an identifier, name, phone or birth date that cannot be searched by")
}

type Pairs = Vec<(String, String)>;

/// The searches that could find the person, those that tell most first; each is made when it is asked for.
fn searches(asked: &Value) -> impl Iterator<Item = Pairs> {
    let born = asked["birthDate"].as_str();
    let with_birth =
        move |name: (String, String)| born.map(|born| vec![name, pair("birthdate", born.to_owned())]);
    let by_identifier = items(asked, "identifier").iter().filter_map(|one| {
        let (system, value) = (one["system"].as_str()?, one["value"].as_str()?);
        Some(vec![pair("identifier", format!("{}|{}", escaped(system), escaped(value)))])
    });
    let phones = items(asked, "telecom").iter().filter(|one| one["system"] == "phone");
    let by_phone = phones.filter_map(|one| Some(vec![pair("phone", escaped(one["value"].as_str()?))]));
    let given = || {
        let all = items(asked, "name").iter().flat_map(|name| items(name, "given"));
        all.filter_map(Value::as_str).map(|name| pair("given", escaped(name)))
    };
    let families = items(asked, "name").iter().filter_map(|name| name["family"].as_str());
    let by_family = families.map(|name| pair("family", escaped(name))).flat_map(move |family| {
        let with_given = given().map({
            let family = family.clone();
            move |given| vec![family.clone(), given]
        });
        with_birth(family).into_iter().chain(with_given)
    });
    // A name that is spelt otherwise is found by the day of birth and the gender.
    let gender = asked["gender"].as_str().map(|gender| pair("gender", escaped(gender)));
    let all = by_identifier.chain(by_phone).chain(by_family).chain(given().filter_map(with_birth));
    let all = all.chain(gender.and_then(with_birth));
    all.filter(|pairs| pairs.iter().all(|(_, value)| !value.is_empty()))
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_searches_that_tell_most_come_first() {
        let asked = json!({ "identifier": [{ "system": "urn:card", "value": "7|8" }], "birthDate": "2021-03-04",
            "gender": "female", "telecom": [{ "system": "phone", "value": "0788" }, { "system": "email", "value": "x" }],
            "name": [{ "family": "Uwase", "given": ["Aline", ""] }] });
        let all: Vec<String> = searches(&asked)
            .map(|pairs| {
                let pairs = pairs.iter().map(|(name, value)| format!("{name}={value}"));
                pairs.collect::<Vec<_>>().join("&")
            })
            .collect();
        let family = "family=Uwase";
        assert_eq!(
            all,
            [
                "identifier=urn:card|7\\|8",
                "phone=0788",
                &format!("{family}&birthdate=2021-03-04"),
                &format!("{family}&given=Aline"),
                "given=Aline&birthdate=2021-03-04",
                "gender=female&birthdate=2021-03-04"
            ]
        );
    }

    #[test]
    fn searches_are_made_as_they_are_asked_for() {
        let names: Vec<String> = (0..20_000).map(|at| at.to_string()).collect();
        let families: Vec<Value> = names.iter().map(|name| json!({ "family": name })).collect();
        let mut asked = json!({ "name": families });
        asked["name"][0]["given"] = names.into();
        // 400,000,000 pairs: taking some must not make them all.
        assert_eq!(searches(&asked).take(SEARCHES).count(), SEARCHES);
    }

    #[test]
    fn a_person_who_says_too_much_is_refused() {
        assert!(bounded(&json!({ "name": [{ "family": "Uwase", "given": vec!["a"; NAMES_MAX] }] })).is_ok());
        let photo = json!({ "photo": [{ "data": "a".repeat(1000) }] });
        assert!(bounded(&photo).is_ok(), "it is not compared");
        for wrong in [
            json!({ "identifier": vec![json!({}); 21] }),
            json!({ "telecom": vec![json!({}); 21] }),
            json!({ "name": vec![json!({}); NAMES_MAX + 1] }),
            json!({ "name": [{ "given": vec!["a"; NAMES_MAX + 1] }] }),
            json!({ "name": [{ "family": "a".repeat(TEXT_MAX + 1) }] }),
            json!({ "birthDate": "2".repeat(TEXT_MAX + 1) }),
        ] {
            let refused = bounded(&wrong).unwrap_err();
            assert_eq!((refused.status, refused.issues[0].code), (400, "too-costly"), "{wrong}");
        }
    }
}
