//! Flow definitions (spec 13 and 14), read for what their results mean.
//!
//! **Never** trusts a name: categories are told apart by uuid, because "Has Number" stands on a date
//! question and "Other" may be an option. One result name may be used by several nodes, so a result is
//! read by the node that gave it.
//!
//! Comes from `definitions.json` (and `flows.json` for the revision's time), goes to [`super::run`].

use std::collections::BTreeMap;

use serde_json::Value;

// Between which numbers or dates an answer is accepted.
mod bounds;
// A made-up answer to every question.
pub mod example;
// The way through a flow.
mod graph;
// Nodes: routers and actions that give results.
mod node;
// A flow as a Questionnaire.
pub mod questionnaire;

pub use bounds::Bounds;
pub use node::{Category, Giver, Kind, Node, Standing, Words};

/// What a result key means: the nodes that may give it.
#[derive(Debug, Clone, PartialEq)]
pub struct Question {
    /// As in `run.values`: `patient_age`.
    pub key: String,
    /// The result's name: `Patient Age`.
    pub name: String,
    /// In the order in which people come to them; never empty.
    pub nodes: Vec<Node>,
}

/// A flow, as far as its results go.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Flow {
    pub uuid: String,
    pub name: String,
    /// Absent in very old definitions.
    pub revision: Option<i64>,
    /// The language of category names: `eng`, or `und`, `base`.
    pub language: String,
    /// By key, in the order in which people come to them.
    pub questions: Vec<Question>,
}

/// Why a definition cannot be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FlowError {
    #[error("the definition has no {0}")]
    Missing(&'static str),
    #[error("the definition is older than spec 13: RapidPro migrates it when it is opened in the editor")]
    Legacy,
}

impl Flow {
    /// Reads one element of `definitions.json`'s `flows`.
    ///
    /// # Errors
    /// [`FlowError`].
    pub fn read(definition: &Value) -> Result<Self, FlowError> {
        if definition.get("action_sets").is_some() || definition.get("rule_sets").is_some() {
            return Err(FlowError::Legacy);
        }
        let nodes = definition.get("nodes").and_then(Value::as_array).ok_or(FlowError::Missing("nodes"))?;
        let localization = definition.get("localization").unwrap_or(&Value::Null);
        let mut flow = Self {
            uuid: text(definition, "uuid").ok_or(FlowError::Missing("uuid"))?,
            name: text(definition, "name").ok_or(FlowError::Missing("name"))?,
            revision: definition.get("revision").and_then(Value::as_i64),
            language: text(definition, "language").unwrap_or_default(),
            questions: Vec::new(),
        };
        let graph = graph::Graph::read(nodes);
        let asked = graph.asked();
        for node in graph.order() {
            for (name, mut found) in node::read(node, localization) {
                if found.giver == Giver::Wait {
                    let message = asked.get(found.uuid.as_str());
                    found.asked = message.and_then(|message| Words::of_message(message, localization));
                }
                flow.add(&name, found);
            }
        }
        Ok(flow)
    }

    fn add(&mut self, name: &str, node: Node) {
        let key = key(name);
        match self.questions.iter_mut().find(|question| question.key == key) {
            Some(question) => question.nodes.push(node),
            None => self.questions.push(Question { key, name: name.trim().to_owned(), nodes: vec![node] }),
        }
    }

    pub fn question(&self, key: &str) -> Option<&Question> {
        self.questions.iter().find(|question| question.key == key)
    }

    /// Does this definition know the node that gave a result? If not, the run was made by another
    /// revision.
    pub fn knows(&self, key: &str, node: &str) -> bool {
        self.question(key).is_some_and(|question| question.node(node).is_some())
    }
}

impl Question {
    pub fn node(&self, uuid: &str) -> Option<&Node> {
        self.nodes.iter().find(|node| node.uuid == uuid)
    }
}

/// The key that RapidPro makes of a result's name: runs of what is neither a letter, a digit nor `_`
/// become one `_`.
pub fn key(name: &str) -> String {
    let mut key = String::with_capacity(name.len());
    let mut gap = false;
    for c in name.trim().chars() {
        if c.is_alphabetic() || c.is_ascii_digit() || c == '_' {
            if std::mem::take(&mut gap) {
                key.push('_');
            }
            key.extend(c.to_lowercase());
        } else {
            gap = true;
        }
    }
    if gap {
        key.push('_');
    }
    key
}

fn text(value: &Value, key: &str) -> Option<String> {
    value.get(key).and_then(Value::as_str).map(str::to_owned)
}

/// Words in other languages: language → words, from `localization`.
fn localised(localization: &Value, item: &str, property: &str) -> BTreeMap<String, Vec<String>> {
    let mut found = BTreeMap::new();
    for (language, items) in localization.as_object().into_iter().flatten() {
        let texts = items.get(item).and_then(|item| item.get(property)).and_then(Value::as_array);
        let texts: Vec<String> =
            texts.into_iter().flatten().filter_map(Value::as_str).map(str::to_owned).collect();
        if !texts.is_empty() {
            found.insert(language.clone(), texts);
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn keys_are_made_as_rapidpro_makes_them() {
        assert_eq!(key("Patient Age"), "patient_age");
        assert_eq!(key(" MAL_POP_TOTAL__MAL-0514Y "), "mal_pop_total__mal_0514y");
        assert_eq!(key("Âge (années)"), "âge_années_");
        assert_eq!(key("Response 2"), "response_2");
    }

    #[test]
    fn a_flow_of_an_older_spec_is_refused() {
        let old = json!({"uuid": "u", "name": "n", "action_sets": [], "rule_sets": []});
        assert_eq!(Flow::read(&old), Err(FlowError::Legacy));
        assert_eq!(Flow::read(&json!({"uuid": "u"})), Err(FlowError::Missing("nodes")));
    }
}
