//! `ConceptMap/$translate`: from a code to those of another system.
//! <https://hl7.org/fhir/R4/conceptmap-operation-translate.html>

use serde_json::{Value, json};

use super::{Canonical, items, text};

/// The code that is translated.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Coding {
    pub system: Option<String>,
    pub code: String,
}

/// What the caller wants of it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Wanted {
    /// Only targets of this system.
    pub target_system: Option<String>,
    /// From the map's targets to its sources.
    pub reverse: bool,
}

/// One translation.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Translation {
    /// R4's code: `equivalent`, `wider` …
    pub equivalence: String,
    /// A Coding; none where the map says that there is nothing.
    pub concept: Option<Value>,
    /// The map that says so.
    pub source: Option<String>,
}

impl Translation {
    /// Whether there is something to use. <https://hl7.org/fhir/R4/valueset-concept-map-equivalence.html>
    pub fn is_match(&self) -> bool {
        self.concept.is_some() && !matches!(self.equivalence.as_str(), "unmatched" | "disjoint")
    }
}

/// What one map says about a code, in its order.
pub fn translate(map: &Value, coding: &Coding, wanted: &Wanted) -> Vec<Translation> {
    let source = text(map, "url").map(str::to_owned);
    let mut all = Vec::new();
    for group in items(map, "group") {
        let (from, to) = if wanted.reverse { ("target", "source") } else { ("source", "target") };
        let names = |side: &str, system: Option<&str>| {
            let own = text(group, side).map(|url| Canonical::parse(url).url);
            system.is_none() || own.is_none() || own.as_deref() == system
        };
        if names(from, coding.system.as_deref()) && names(to, wanted.target_system.as_deref()) {
            let found = if wanted.reverse { backward(group, coding) } else { forward(group, coding) };
            all.extend(found.into_iter().map(|(equivalence, concept)| Translation {
                equivalence,
                concept,
                source: source.clone(),
            }));
        }
    }
    all
}

type Found = Vec<(String, Option<Value>)>;

fn forward(group: &Value, coding: &Coding) -> Found {
    let elements: Vec<&Value> =
        items(group, "element").iter().filter(|one| text(one, "code") == Some(&coding.code)).collect();
    if elements.is_empty() {
        return unmapped(group, coding).into_iter().collect();
    }
    let targets = elements.into_iter().flat_map(|element| items(element, "target"));
    targets
        .map(|target| {
            let code = text(target, "code");
            let concept = code.map(|code| concept(group, "target", (code, text(target, "display"))));
            (equivalence(target), concept)
        })
        .collect()
}

fn backward(group: &Value, coding: &Coding) -> Found {
    let mut all = Vec::new();
    for element in items(group, "element") {
        let Some(code) = text(element, "code") else { continue };
        for target in items(element, "target").iter().filter(|one| text(one, "code") == Some(&coding.code)) {
            let concept = concept(group, "source", (code, text(element, "display")));
            all.push((reversed(&equivalence(target)).to_owned(), Some(concept)));
        }
    }
    all
}

/// <https://hl7.org/fhir/R4/conceptmap-definitions.html#ConceptMap.group.unmapped>; another map is not asked.
fn unmapped(group: &Value, coding: &Coding) -> Option<(String, Option<Value>)> {
    let rule = group.get("unmapped")?;
    match text(rule, "mode")? {
        "provided" => Some(("equal".to_owned(), Some(concept(group, "target", (&coding.code, None))))),
        "fixed" => {
            let fixed = (text(rule, "code")?, text(rule, "display"));
            Some(("inexact".to_owned(), Some(concept(group, "target", fixed))))
        }
        _ => None,
    }
}

fn concept(group: &Value, side: &str, (code, display): (&str, Option<&str>)) -> Value {
    let mut coding = json!({});
    if let Some(system) = text(group, side) {
        coding["system"] = Canonical::parse(system).url.into();
    }
    if let Some(version) = text(group, &format!("{side}Version")) {
        coding["version"] = version.into();
    }
    coding["code"] = code.into();
    if let Some(display) = display {
        coding["display"] = display.into();
    }
    coding
}

fn equivalence(target: &Value) -> String {
    text(target, "equivalence").unwrap_or("equivalent").to_owned()
}

/// What is wider one way is narrower the other.
fn reversed(equivalence: &str) -> &str {
    match equivalence {
        "wider" => "narrower",
        "narrower" => "wider",
        "subsumes" => "specializes",
        "specializes" => "subsumes",
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn map() -> Value {
        json!({ "url": "http://m", "group": [{ "source": "http://a", "target": "http://b",
            "element": [
                { "code": "1", "target": [{ "code": "x", "display": "X", "equivalence": "wider" }] },
                { "code": "2", "target": [{ "equivalence": "unmatched" }] } ],
            "unmapped": { "mode": "fixed", "code": "other" } }] })
    }

    fn ask(code: &str, wanted: &Wanted) -> Vec<(String, Value, bool)> {
        let system = if wanted.reverse { "http://b" } else { "http://a" };
        let coding = Coding { system: Some(system.to_owned()), code: code.to_owned() };
        let found = translate(&map(), &coding, wanted);
        found
            .into_iter()
            .map(|one| (one.equivalence.clone(), one.concept.clone().unwrap_or_default(), one.is_match()))
            .collect()
    }

    #[test]
    fn a_code_is_translated_both_ways() {
        let forward = Wanted::default();
        let x = json!({ "system": "http://b", "code": "x", "display": "X" });
        assert_eq!(ask("1", &forward), [("wider".to_owned(), x, true)]);
        assert_eq!(ask("2", &forward), [("unmatched".to_owned(), Value::Null, false)]);
        let fixed = json!({ "system": "http://b", "code": "other" });
        assert_eq!(ask("3", &forward), [("inexact".to_owned(), fixed, true)]);
        let one = json!({ "system": "http://a", "code": "1" });
        let reverse = Wanted { reverse: true, ..Wanted::default() };
        assert_eq!(ask("x", &reverse), [("narrower".to_owned(), one, true)]);
        let elsewhere = Wanted { target_system: Some("http://c".to_owned()), ..Wanted::default() };
        assert!(ask("1", &elsewhere).is_empty());
    }
}
