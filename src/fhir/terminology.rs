//! Code systems, value sets and concept maps, as far as they are stored here.
//! <https://hl7.org/fhir/R4/terminology-service.html>
//!
//! Pure: whoever calls brings the resources ([`Known`]) and hears what is missing. **Never** knows a code
//! that no stored resource names, and never gives a part of a set as if it were the whole: what cannot be
//! expanded is refused.

// A value set as a list of its codes.
pub mod expand;
// One filter of a value set's compose.
mod filter;
// From a code to those of another system.
pub mod translate;

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;

use serde_json::Value;

use crate::fhir::outcome::{IssueType, Outcome};

/// Concepts of one code system, and of one expansion, at most.
pub const CONCEPTS_MAX: usize = 50_000;
/// Mentions of one concept being above another, in one code system, at most.
const RELATIONS_MAX: usize = 200_000;
/// Levels of concepts in concepts that are read.
const DEPTH_MAX: usize = 32;

/// A canonical reference: `url` or `url|version`. <https://hl7.org/fhir/R4/references.html#canonical>
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Canonical {
    pub url: String,
    pub version: Option<String>,
}

impl Canonical {
    pub fn parse(text: &str) -> Self {
        match text.split_once('|') {
            Some((url, version)) => Self { url: url.to_owned(), version: Some(version.to_owned()) },
            None => Self { url: text.to_owned(), version: None },
        }
    }

    /// With a version that is said apart, where it names none itself.
    #[must_use]
    pub fn or_version(mut self, version: Option<&str>) -> Self {
        self.version = self.version.or_else(|| version.map(str::to_owned));
        self
    }
}

/// What is stored of what is needed: `None` for what was looked for and is not there.
#[derive(Debug, Default)]
pub struct Known {
    pub systems: BTreeMap<Canonical, Option<System>>,
    pub sets: BTreeMap<Canonical, Option<Arc<Value>>>,
}

/// One concept of a code system, out of its tree.
#[derive(Debug)]
pub struct Concept {
    pub code: String,
    pub display: Option<String>,
    /// Those right above it: by nesting, and by the properties `parent` and `child`.
    parents: Vec<String>,
    /// As it stands in the resource.
    pub body: Value,
}

impl Concept {
    /// The values of a property as text.
    pub fn property(&self, code: &str) -> Vec<String> {
        let all = self.body.get("property").and_then(Value::as_array).into_iter().flatten();
        let own = all.filter(|one| text(one, "code") == Some(code));
        own.filter_map(|one| {
            let object = one.as_object()?;
            let value = object.iter().find(|(name, _)| name.starts_with("value"))?.1;
            match value {
                Value::String(text) => Some(text.clone()),
                Value::Object(coding) => coding.get("code").and_then(Value::as_str).map(str::to_owned),
                other => Some(other.to_string()),
            }
        })
        .collect()
    }

    /// Whether it is not to be used any more. <https://hl7.org/fhir/R4/codesystem-concept-properties.html>
    pub fn is_inactive(&self) -> bool {
        let is = |code: &str, values: &[&str]| {
            self.property(code).iter().any(|value| values.contains(&value.as_str()))
        };
        is("inactive", &["true"]) || is("status", &["retired", "inactive", "deprecated"])
    }

    /// Whether it only groups others.
    pub fn is_abstract(&self) -> bool {
        self.property("notSelectable").iter().any(|value| value == "true")
    }
}

/// A stored CodeSystem, its tree laid flat in the order of the resource.
#[derive(Debug)]
pub struct System {
    pub url: String,
    pub version: Option<String>,
    pub name: Option<String>,
    /// Whether all its concepts are in it (`content` is `complete`).
    pub complete: bool,
    case_sensitive: bool,
    pub concepts: Vec<Concept>,
    /// The position of each code.
    by_code: HashMap<String, usize>,
    /// By position, the positions right below and right above.
    children: Vec<Vec<usize>>,
    parents: Vec<Vec<usize>>,
}

impl System {
    /// Reads a CodeSystem.
    ///
    /// # Errors
    /// 422 where it is larger than [`CONCEPTS_MAX`].
    pub fn read(resource: &Value) -> Result<Self, Outcome> {
        let owned = |name: &str| text(resource, name).map(str::to_owned);
        let mut system = Self {
            url: owned("url").unwrap_or_default(),
            version: owned("version"),
            name: owned("name").or_else(|| owned("title")),
            complete: text(resource, "content") == Some("complete"),
            case_sensitive: resource.get("caseSensitive") != Some(&Value::Bool(false)),
            concepts: Vec::new(),
            by_code: HashMap::new(),
            children: Vec::new(),
            parents: Vec::new(),
        };
        system.add(resource, None, 0)?;
        system.link()?;
        Ok(system)
    }

    fn add(&mut self, holder: &Value, parent: Option<&str>, depth: usize) -> Result<(), Outcome> {
        let below = holder.get("concept").and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
        for one in below {
            if self.concepts.len() >= CONCEPTS_MAX || depth >= DEPTH_MAX {
                return Err(too_large());
            }
            let Some(code) = text(one, "code") else { continue };
            // Without those below it, which would be copied once for each level.
            let own = one.as_object().into_iter().flatten().filter(|(name, _)| *name != "concept");
            let body = Value::Object(own.map(|(name, value)| (name.clone(), value.clone())).collect());
            let display = text(one, "display").map(str::to_owned);
            let parents = parent.map(str::to_owned).into_iter().collect();
            self.concepts.push(Concept { code: code.to_owned(), display, parents, body });
            self.add(one, Some(code), depth + 1)?;
        }
        Ok(())
    }

    /// The tree by nesting and by properties, where a system says it so, and the ways to find a concept.
    fn link(&mut self) -> Result<(), Outcome> {
        self.by_code =
            self.concepts.iter().enumerate().map(|(at, concept)| (self.key(&concept.code), at)).collect();
        let said = self.said()?;
        let mut known = HashSet::new();
        self.children = vec![Vec::new(); self.concepts.len()];
        self.parents = vec![Vec::new(); self.concepts.len()];
        for (child, parent) in said {
            let Some(at) = self.by_code.get(&self.key(&child)).copied() else { continue };
            if !known.insert((at, parent.clone())) {
                continue;
            }
            if let Some(above) = self.by_code.get(&self.key(&parent)).copied() {
                self.parents.get_mut(at).into_iter().for_each(|all| all.push(above));
                self.children.get_mut(above).into_iter().for_each(|all| all.push(at));
            }
            if let Some(concept) = self.concepts.get_mut(at)
                && concept.parents.first() != Some(&parent)
            {
                concept.parents.push(parent);
            }
        }
        Ok(())
    }

    /// All pairs (child, parent), each as often as it is said.
    fn said(&self) -> Result<Vec<(String, String)>, Outcome> {
        let mut said = Vec::new();
        for concept in &self.concepts {
            let (parents, children) = (concept.property("parent"), concept.property("child"));
            if said.len() + parents.len() + children.len() >= RELATIONS_MAX {
                return Err(too_large());
            }
            said.extend(concept.parents.iter().map(|parent| (concept.code.clone(), parent.clone())));
            said.extend(parents.into_iter().map(|parent| (concept.code.clone(), parent)));
            said.extend(children.into_iter().map(|child| (child, concept.code.clone())));
        }
        Ok(said)
    }

    fn key(&self, code: &str) -> String {
        if self.case_sensitive { code.to_owned() } else { code.to_lowercase() }
    }

    /// A concept by its code.
    pub fn find(&self, code: &str) -> Option<&Concept> {
        self.by_code.get(&self.key(code)).and_then(|at| self.concepts.get(*at))
    }

    /// The concepts below one, without itself; each once, whatever cycles the resource holds.
    pub fn below(&self, code: &str) -> Vec<&Concept> {
        self.reached(code, &self.children)
    }

    /// The concepts above one, without itself; each once.
    pub fn above(&self, code: &str) -> Vec<&Concept> {
        self.reached(code, &self.parents)
    }

    fn reached(&self, code: &str, next: &[Vec<usize>]) -> Vec<&Concept> {
        let Some(start) = self.by_code.get(&self.key(code)).copied() else { return Vec::new() };
        let mut seen = vec![false; self.concepts.len()];
        let mut open = vec![start];
        while let Some(at) = open.pop() {
            for at in next.get(at).into_iter().flatten() {
                if let Some(seen) = seen.get_mut(*at).filter(|seen| !**seen) {
                    *seen = true;
                    open.push(*at);
                }
            }
        }
        let found = self.concepts.iter().zip(seen).enumerate();
        found.filter(|(at, (_, seen))| *seen && *at != start).map(|(_, (concept, _))| concept).collect()
    }
}

fn too_large() -> Outcome {
    too_costly("the code system is too large or too deep to be looked at here")
}

/// A member that is text.
pub(crate) fn text<'a>(value: &'a Value, name: &str) -> Option<&'a str> {
    value.get(name).and_then(Value::as_str)
}

fn items<'a>(value: &'a Value, name: &str) -> &'a [Value] {
    value.get(name).and_then(Value::as_array).map_or(&[], Vec::as_slice)
}

/// 422: it is here, and too much.
pub(crate) fn too_costly(why: &str) -> Outcome {
    Outcome::error(IssueType::TooCostly, "too-costly", why).status(422)
}

/// 422: it is not here, or cannot be done.
pub(crate) fn not_supported(code: &'static str, why: String) -> Outcome {
    Outcome::error(IssueType::NotSupported, code, why).status(422)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_tree_is_read_by_nesting_and_by_properties() {
        let system =
            System::read(&json!({ "resourceType": "CodeSystem", "url": "http://s", "content": "complete",
            "concept": [
                { "code": "a", "concept": [{ "code": "b", "concept": [{ "code": "c" }] }] },
                { "code": "d", "property": [{ "code": "parent", "valueCode": "b" }] },
                { "code": "e", "property": [{ "code": "child", "valueCode": "a" }] } ] }))
            .unwrap();
        let below = |code: &str| system.below(code).iter().map(|one| one.code.as_str()).collect::<Vec<_>>();
        assert_eq!(below("a"), ["b", "c", "d"]);
        assert_eq!(below("e"), ["a", "b", "c", "d"]);
        assert!(below("c").is_empty() && below("x").is_empty());
        let above = |code: &str| system.above(code).iter().map(|one| one.code.as_str()).collect::<Vec<_>>();
        assert_eq!(above("d"), ["a", "b", "e"]);
        assert!(above("e").is_empty() && above("x").is_empty());
        assert!(system.find("B").is_none());
    }

    #[test]
    fn a_cycle_ends() {
        let system = System::read(&json!({ "resourceType": "CodeSystem", "concept": [
            { "code": "a", "property": [{ "code": "parent", "valueCode": "b" }] },
            { "code": "b", "property": [{ "code": "parent", "valueCode": "a" }] } ] }))
        .unwrap();
        assert_eq!(system.below("a").iter().map(|one| one.code.as_str()).collect::<Vec<_>>(), ["b"]);
    }

    #[test]
    fn work_grows_with_the_size() {
        let begun = std::time::Instant::now();
        // One code many times, all said to be below themselves; one with many parents, and many of one parent.
        let same: Vec<Value> = (0..20_000).map(|_| json!({ "code": "b" })).collect();
        let parents: Vec<Value> =
            (0..20_000).map(|at| json!({ "code": "parent", "valueCode": format!("p{at}") })).collect();
        let flat = (0..20_000).map(
            |at| json!({ "code": format!("p{at}"), "property": [{ "code": "parent", "valueCode": "b" }] }),
        );
        let mut concepts: Vec<Value> = flat.collect();
        concepts.push(json!({ "code": "b", "concept": same }));
        concepts.push(json!({ "code": "z", "property": parents }));
        let system = System::read(&json!({ "concept": concepts })).unwrap();
        assert_eq!(system.below("b").len(), 20_001);
        assert_eq!(system.above("z").len(), 20_001);
        let many: Vec<Value> = (0..200_001).map(|_| json!({ "code": "child", "valueCode": "a" })).collect();
        let refused = System::read(&json!({ "concept": [{ "code": "a", "property": many }] })).unwrap_err();
        assert_eq!(refused.issues[0].code, "too-costly");
        // A hundred times what it takes; with the square of the size it would be minutes.
        assert!(begun.elapsed() < std::time::Duration::from_secs(20), "{:?}", begun.elapsed());
    }

    #[test]
    fn what_is_too_deep_is_refused() {
        let mut concept = json!({ "code": "x" });
        for _ in 0..40 {
            concept = json!({ "code": "x", "concept": [concept] });
        }
        let refused = System::read(&json!({ "concept": [concept] })).unwrap_err();
        assert_eq!((refused.status, refused.issues[0].code), (422, "too-costly"));
    }
}
