//! `ValueSet/$expand`: a value set as the list of its codes. <https://hl7.org/fhir/R4/valueset-operation-expand.html>
//!
//! [`needs`] says which code systems and value sets an expansion looks at, [`expand`] makes it of them. The
//! result is flat, in the order of the definition. **Never** contacts anybody.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::rc::Rc;

use serde_json::{Map, Value, json};

use super::{
    CONCEPTS_MAX, Canonical, Concept, Known, System, filter, items, not_supported, text, too_costly,
};
use crate::fhir::index::text::normal;
use crate::fhir::outcome::Outcome;

/// Value sets in value sets, at most so deep.
pub const DEPTH_MAX: usize = 8;
/// Codes that one expansion looks at, each once for every filter and every mention of its value set, at most.
const WORK_MAX: usize = 1_000_000;
/// What making the pattern of a filter costs, in codes looked at.
const PATTERN_COST: usize = 5_000;
/// Codes of an answer whose caller does not page.
const UNPAGED_MAX: usize = 10_000;

/// What a value set refers to.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Needs {
    pub systems: BTreeSet<Canonical>,
    pub sets: BTreeSet<Canonical>,
}

/// One code of an expansion.
#[derive(Debug, Clone, PartialEq)]
pub struct Code {
    pub system: String,
    pub version: Option<String>,
    pub code: String,
    pub display: Option<String>,
    pub inactive: bool,
    pub is_abstract: bool,
    designation: Option<Value>,
}

/// How the expansion is wanted.
#[derive(Debug, Clone, Default)]
pub struct Wanted {
    /// Only codes or displays that hold this text; a word begins with it, or the code is it.
    pub filter: Option<String>,
    pub offset: usize,
    pub count: Option<usize>,
    pub active_only: bool,
    pub designations: bool,
    /// With what the value set says about itself and its making.
    pub definition: bool,
}

/// The code systems and value sets that the definition names.
pub fn needs(set: &Value) -> Needs {
    let mut needs = Needs::default();
    let compose = set.get("compose").unwrap_or(&Value::Null);
    for part in items(compose, "include").iter().chain(items(compose, "exclude")) {
        needs.systems.extend(system_of(part));
        needs.sets.extend(items(part, "valueSet").iter().filter_map(Value::as_str).map(Canonical::parse));
    }
    needs
}

fn system_of(part: &Value) -> Option<Canonical> {
    text(part, "system").map(|url| Canonical::parse(url).or_version(text(part, "version")))
}

/// All codes of a value set.
///
/// # Errors
/// 422 for what is not stored, not supported, or too much.
pub fn codes(set: &Value, known: &Known) -> Result<Vec<Code>, Outcome> {
    within(set, &mut Work { known, made: HashMap::new(), left: WORK_MAX }, 0)
}

/// An expansion in its making.
struct Work<'a> {
    known: &'a Known,
    /// The value sets that others name, each made once.
    made: HashMap<Canonical, Rc<Vec<Code>>>,
    left: usize,
}

impl Work<'_> {
    fn spend(&mut self, cost: usize) -> Result<(), Outcome> {
        let left = self.left.checked_sub(cost);
        self.left = left.ok_or_else(|| too_costly("the value set takes too much work to expand"))?;
        Ok(())
    }

    fn named(&mut self, canonical: Canonical, depth: usize) -> Result<Rc<Vec<Code>>, Outcome> {
        let made = match self.made.get(&canonical) {
            Some(made) => Rc::clone(made),
            None => {
                let Some(Some(set)) = self.known.sets.get(&canonical) else {
                    return Err(unknown("value set", &canonical));
                };
                let made = Rc::new(within(set, self, depth)?);
                self.made.insert(canonical, Rc::clone(&made));
                made
            }
        };
        self.spend(1 + made.len())?;
        Ok(made)
    }
}

fn within(set: &Value, work: &mut Work<'_>, depth: usize) -> Result<Vec<Code>, Outcome> {
    if depth >= DEPTH_MAX {
        return Err(too_costly("value sets name value sets too deeply, or in a circle"));
    }
    let Some(compose) = set.get("compose") else { return made_before(set) };
    let mut all = Vec::new();
    let mut seen = HashSet::new();
    for part in items(compose, "include") {
        for code in included(part, work, depth)? {
            if seen.insert((code.system.clone(), code.code.clone())) {
                all.push(code);
            }
        }
        if all.len() > CONCEPTS_MAX {
            return Err(too_costly("the value set has too many codes"));
        }
    }
    let mut gone = HashSet::new();
    for part in items(compose, "exclude") {
        gone.extend(included(part, work, depth)?.into_iter().map(|code| (code.system, code.code)));
    }
    if !gone.is_empty() {
        all.retain(|code| !gone.contains(&(code.system.clone(), code.code.clone())));
    }
    if compose.get("inactive") == Some(&Value::Bool(false)) {
        all.retain(|code| !code.inactive);
    }
    Ok(all)
}

/// A value set that comes with its expansion and without its definition.
fn made_before(set: &Value) -> Result<Vec<Code>, Outcome> {
    let Some(expansion) = set.get("expansion") else { return Ok(Vec::new()) };
    let mut all = Vec::new();
    contained(items(expansion, "contains"), &mut all, 0)?;
    let total = expansion.get("total").and_then(Value::as_u64);
    if total.is_some_and(|total| usize::try_from(total).is_ok_and(|total| total > all.len())) {
        let why = "the value set is stored as a part of its expansion only";
        return Err(not_supported("expansion-partial", why.to_owned()));
    }
    Ok(all)
}

fn contained(list: &[Value], all: &mut Vec<Code>, depth: usize) -> Result<(), Outcome> {
    if depth >= DEPTH_MAX || all.len() > CONCEPTS_MAX {
        return Err(too_costly("the stored expansion is too large or too deep"));
    }
    for one in list {
        let owned = |name: &str| text(one, name).map(str::to_owned);
        let flag = |name: &str| one.get(name) == Some(&Value::Bool(true));
        if let Some(code) = owned("code") {
            all.push(Code {
                system: owned("system").unwrap_or_default(),
                version: owned("version"),
                code,
                display: owned("display"),
                inactive: flag("inactive"),
                is_abstract: flag("abstract"),
                designation: one.get("designation").cloned(),
            });
        }
        contained(items(one, "contains"), all, depth + 1)?;
    }
    Ok(())
}

/// What one include (or exclude) names: the codes of its system that are in all its value sets.
fn included(part: &Value, work: &mut Work<'_>, depth: usize) -> Result<Vec<Code>, Outcome> {
    let mut sets = Vec::new();
    for canonical in items(part, "valueSet").iter().filter_map(Value::as_str).map(Canonical::parse) {
        sets.push(work.named(canonical, depth + 1)?);
    }
    let of_system = match system_of(part) {
        Some(canonical) => Some(of_system(part, &canonical, work)?),
        None => None,
    };
    let mut lists = sets.into_iter();
    let mut codes = of_system.or_else(|| lists.next().map(|first| first.to_vec())).unwrap_or_default();
    for other in lists {
        let other: HashSet<(&str, &str)> =
            other.iter().map(|code| (code.system.as_str(), code.code.as_str())).collect();
        codes.retain(|code| other.contains(&(code.system.as_str(), code.code.as_str())));
    }
    Ok(codes)
}

fn of_system(part: &Value, canonical: &Canonical, work: &mut Work<'_>) -> Result<Vec<Code>, Outcome> {
    let system = work.known.systems.get(canonical).and_then(Option::as_ref);
    let listed = items(part, "concept");
    work.spend(1 + listed.len())?;
    if !listed.is_empty() {
        return Ok(listed.iter().filter_map(|one| listed_code(one, canonical, system)).collect());
    }
    let Some(system) = system else { return Err(unknown("code system", canonical)) };
    if !system.complete {
        let why = "the code system is stored without all its concepts: only listed codes can be expanded";
        return Err(not_supported("code-system-partial", why.to_owned()));
    }
    let filters = items(part, "filter");
    let patterns = filters.iter().filter(|one| text(one, "op") == Some("regex")).count();
    work.spend(patterns.saturating_mul(PATTERN_COST))?;
    work.spend(system.concepts.len().saturating_mul(1 + filters.len()))?;
    let filters: Vec<filter::Taken<'_>> =
        filters.iter().map(|one| filter::read(system, one)).collect::<Result<_, _>>()?;
    let taken = system.concepts.iter().filter(|one| filters.iter().all(|filter| filter.takes(one)));
    Ok(taken.map(|one| code_of(one, system)).collect())
}

/// A code that the value set lists: its own display goes before that of the system.
fn listed_code(one: &Value, canonical: &Canonical, system: Option<&System>) -> Option<Code> {
    let code = text(one, "code")?;
    let mut found = match system.and_then(|system| system.find(code).map(|concept| (system, concept))) {
        Some((system, concept)) => code_of(concept, system),
        None => Code {
            system: canonical.url.clone(),
            version: canonical.version.clone(),
            code: code.to_owned(),
            display: None,
            inactive: false,
            is_abstract: false,
            designation: None,
        },
    };
    if let Some(display) = text(one, "display") {
        found.display = Some(display.to_owned());
    }
    if let Some(designation) = one.get("designation") {
        found.designation = Some(designation.clone());
    }
    Some(found)
}

fn code_of(concept: &Concept, system: &System) -> Code {
    Code {
        system: system.url.clone(),
        version: system.version.clone(),
        code: concept.code.clone(),
        display: concept.display.clone(),
        inactive: concept.is_inactive(),
        is_abstract: concept.is_abstract(),
        designation: concept.body.get("designation").cloned(),
    }
}

fn unknown(what: &str, canonical: &Canonical) -> Outcome {
    let url: String = canonical.url.chars().filter(|c| !c.is_control()).take(200).collect();
    not_supported("terminology-unknown", format!("the {what} {url} is not stored here"))
        .hint("store it (PUT), with all that it refers to")
}

/// The value set with its expansion, as [`Wanted`].
///
/// # Errors
/// As [`codes`]; 422 where the answer would be too large without `count`.
pub fn expand(set: &Value, known: &Known, wanted: &Wanted, stamp: (&str, &str)) -> Result<Value, Outcome> {
    let mut codes = codes(set, known)?;
    if wanted.active_only {
        codes.retain(|code| !code.inactive);
    }
    if let Some(filter) = &wanted.filter {
        let filter = normal(filter);
        codes.retain(|code| holds(code, &filter));
    }
    let total = codes.len();
    let page: Vec<Value> = codes
        .iter()
        .skip(wanted.offset)
        .take(wanted.count.unwrap_or(usize::MAX))
        .map(|code| contains(code, wanted))
        .collect();
    if page.len() > UNPAGED_MAX {
        let why = format!("the value set has {total} codes");
        return Err(too_costly(&why).hint("ask for a page by `offset` and `count`, or narrow by `filter`"));
    }
    let mut expansion = Map::new();
    let (identifier, timestamp) = stamp;
    expansion.insert("identifier".to_owned(), identifier.into());
    expansion.insert("timestamp".to_owned(), timestamp.into());
    expansion.insert("total".to_owned(), total.into());
    if wanted.offset > 0 || wanted.count.is_some() {
        expansion.insert("offset".to_owned(), wanted.offset.into());
    }
    let parameters = parameters(wanted);
    if !parameters.is_empty() {
        expansion.insert("parameter".to_owned(), parameters.into());
    }
    if !page.is_empty() {
        expansion.insert("contains".to_owned(), page.into());
    }
    Ok(with_expansion(set, wanted, expansion))
}

fn with_expansion(set: &Value, wanted: &Wanted, expansion: Map<String, Value>) -> Value {
    let mut answer = set.clone();
    if let Some(object) = answer.as_object_mut() {
        if !wanted.definition {
            object.retain(|name, _| {
                let name = name.trim_start_matches('_');
                matches!(name, "resourceType" | "id" | "url" | "version" | "name" | "title" | "status")
            });
        }
        object.insert("expansion".to_owned(), Value::Object(expansion));
    }
    answer
}

/// A text filter: a word of the display begins with it, or the code does.
fn holds(code: &Code, filter: &str) -> bool {
    let display = code.display.as_deref().map(normal).unwrap_or_default();
    let begins = |text: &str| text.starts_with(filter) || text.contains(&format!(" {filter}"));
    begins(&display) || code.code.to_lowercase().starts_with(filter)
}

fn contains(code: &Code, wanted: &Wanted) -> Value {
    let mut one = Map::new();
    if !code.system.is_empty() {
        one.insert("system".to_owned(), code.system.clone().into());
    }
    if code.is_abstract {
        one.insert("abstract".to_owned(), true.into());
    }
    if code.inactive {
        one.insert("inactive".to_owned(), true.into());
    }
    if let Some(version) = &code.version {
        one.insert("version".to_owned(), version.clone().into());
    }
    one.insert("code".to_owned(), code.code.clone().into());
    if let Some(display) = &code.display {
        one.insert("display".to_owned(), display.clone().into());
    }
    if let Some(designation) = code.designation.as_ref().filter(|_| wanted.designations) {
        one.insert("designation".to_owned(), designation.clone());
    }
    Value::Object(one)
}

/// What shaped the expansion. <https://hl7.org/fhir/R4/valueset-definitions.html#ValueSet.expansion.parameter>
fn parameters(wanted: &Wanted) -> Vec<Value> {
    let mut all = Vec::new();
    if let Some(filter) = &wanted.filter {
        all.push(json!({ "name": "filter", "valueString": filter }));
    }
    if let Some(count) = wanted.count {
        all.push(json!({ "name": "count", "valueInteger": count }));
    }
    for (name, is) in [("activeOnly", wanted.active_only), ("includeDesignations", wanted.designations)] {
        if is {
            all.push(json!({ "name": name, "valueBoolean": true }));
        }
    }
    all
}

#[cfg(test)]
mod tests;
