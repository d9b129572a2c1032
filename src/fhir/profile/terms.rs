//! Value sets that are plain lists: concepts by system, whole code systems that are here too, expansions.

use std::collections::{HashMap, HashSet};

use serde_json::Value;

/// (system, code)
pub(super) type Codes = HashSet<(String, String)>;

/// The value sets and code systems among some definitions.
pub(super) struct Terms<'a> {
    sets: HashMap<&'a str, &'a Value>,
    systems: HashMap<&'a str, &'a Value>,
}

impl<'a> Terms<'a> {
    pub(super) fn of(definitions: impl Iterator<Item = &'a Value>) -> Self {
        let mut terms = Self { sets: HashMap::new(), systems: HashMap::new() };
        for body in definitions {
            let Some(url) = body["url"].as_str() else { continue };
            match body["resourceType"].as_str() {
                Some("ValueSet") => drop(terms.sets.insert(url, body)),
                Some("CodeSystem") => drop(terms.systems.insert(url, body)),
                _ => {}
            }
        }
        terms
    }

    /// The codes of a value set; `None` where it is not here, or is no plain list.
    pub(super) fn codes(&self, url: &str) -> Option<Codes> {
        let set = self.sets.get(url)?;
        let mut codes = Codes::new();
        if let Some(contains) = set.pointer("/expansion/contains").and_then(Value::as_array) {
            expanded(contains, &mut codes);
            return Some(codes);
        }
        if set.pointer("/compose/exclude").is_some() {
            return None;
        }
        for include in set.pointer("/compose/include").and_then(Value::as_array)? {
            if include.get("filter").is_some() || include.get("valueSet").is_some() {
                return None;
            }
            let system = include["system"].as_str()?;
            match include.get("concept").and_then(Value::as_array) {
                Some(concepts) => listed(system, concepts, &mut codes),
                None => {
                    let found = self.systems.get(system).filter(|found| found["content"] == "complete")?;
                    listed(system, found["concept"].as_array()?, &mut codes);
                }
            }
        }
        Some(codes)
    }
}

/// Concepts may be nested; their depth was bounded when they were read.
fn listed(system: &str, concepts: &[Value], codes: &mut Codes) {
    for concept in concepts {
        codes.extend(concept["code"].as_str().map(|code| (system.to_owned(), code.to_owned())));
        listed(system, concept["concept"].as_array().map_or(&[][..], Vec::as_slice), codes);
    }
}

fn expanded(contains: &[Value], codes: &mut Codes) {
    for one in contains {
        let system = one["system"].as_str().unwrap_or_default();
        if one["abstract"] != true {
            codes.extend(one["code"].as_str().map(|code| (system.to_owned(), code.to_owned())));
        }
        expanded(one["contains"].as_array().map_or(&[][..], Vec::as_slice), codes);
    }
}
