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

use std::collections::{BTreeMap, HashMap};

use serde_json::Value;

use crate::fhir::outcome::{IssueType, Outcome};

/// Concepts of one code system, and of one expansion, at most.
pub const CONCEPTS_MAX: usize = 50_000;
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
    pub sets: BTreeMap<Canonical, Option<Value>>,
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
    by_code: HashMap<String, usize>,
    children: HashMap<String, Vec<usize>>,
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
            children: HashMap::new(),
        };
        system.add(resource, None, 0)?;
        system.link();
        Ok(system)
    }

    fn add(&mut self, holder: &Value, parent: Option<&str>, depth: usize) -> Result<(), Outcome> {
        let below = holder.get("concept").and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
        for one in below {
            if self.concepts.len() >= CONCEPTS_MAX || depth >= DEPTH_MAX {
                return Err(too_costly("the code system is too large or too deep to be looked at here"));
            }
            let Some(code) = text(one, "code") else { continue };
            let mut body = one.clone();
            if let Some(object) = body.as_object_mut() {
                object.shift_remove("concept");
            }
            let display = text(one, "display").map(str::to_owned);
            let parents = parent.map(str::to_owned).into_iter().collect();
            self.concepts.push(Concept { code: code.to_owned(), display, parents, body });
            self.add(one, Some(code), depth + 1)?;
        }
        Ok(())
    }

    /// The tree by properties, where a system says it so, and the ways to find a concept.
    fn link(&mut self) {
        let mut said: Vec<(String, String)> = Vec::new();
        for concept in &self.concepts {
            said.extend(concept.property("parent").into_iter().map(|parent| (concept.code.clone(), parent)));
            said.extend(concept.property("child").into_iter().map(|child| (child, concept.code.clone())));
        }
        self.by_code =
            self.concepts.iter().enumerate().map(|(at, concept)| (self.key(&concept.code), at)).collect();
        for (code, parent) in said {
            let found = self.by_code.get(&self.key(&code)).copied();
            if let Some(concept) = found.and_then(|at| self.concepts.get_mut(at))
                && !concept.parents.contains(&parent)
            {
                concept.parents.push(parent);
            }
        }
        let mut children: HashMap<String, Vec<usize>> = HashMap::new();
        for (at, concept) in self.concepts.iter().enumerate() {
            for parent in &concept.parents {
                children.entry(self.key(parent)).or_default().push(at);
            }
        }
        self.children = children;
    }

    fn key(&self, code: &str) -> String {
        if self.case_sensitive { code.to_owned() } else { code.to_lowercase() }
    }

    /// A concept by its code.
    pub fn find(&self, code: &str) -> Option<&Concept> {
        self.by_code.get(&self.key(code)).and_then(|at| self.concepts.get(*at))
    }

    /// The codes below one, without itself; each once, whatever cycles the resource holds.
    pub fn below(&self, code: &str) -> Vec<&Concept> {
        let mut seen = vec![false; self.concepts.len()];
        let mut open: Vec<String> = vec![self.key(code)];
        while let Some(one) = open.pop() {
            for at in self.children.get(&one).into_iter().flatten() {
                if let (Some(seen), Some(concept)) = (seen.get_mut(*at), self.concepts.get(*at))
                    && !*seen
                {
                    *seen = true;
                    open.push(self.key(&concept.code));
                }
            }
        }
        let start = self.key(code);
        let found = self.concepts.iter().zip(seen);
        found
            .filter(|(concept, seen)| *seen && self.key(&concept.code) != start)
            .map(|(concept, _)| concept)
            .collect()
    }
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
    fn what_is_too_deep_is_refused() {
        let mut concept = json!({ "code": "x" });
        for _ in 0..40 {
            concept = json!({ "code": "x", "concept": [concept] });
        }
        let refused = System::read(&json!({ "concept": [concept] })).unwrap_err();
        assert_eq!((refused.status, refused.issues[0].code), (422, "too-costly"));
    }
}
