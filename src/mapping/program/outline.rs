//! JSON in a mapping file in which `{ $value: VALUE }` stands for a value.

use serde_json::Value;

use super::reader::Reader;
use super::values;
use crate::mapping::diagnostic::{Diagnostic, Place};
use crate::mapping::expression::{Expression, Source};
use crate::mapping::source::{Content, Key, Node};

/// The key of a value among the constants.
pub const VALUE_KEY: &str = "$value";

/// JSON with VALUEs in it. What is absent vanishes, and what becomes empty with it.
#[derive(Debug, Clone)]
pub enum Outline {
    Constant(Value),
    Value(Expression),
    Object(Vec<(String, Outline)>),
    List(Vec<Outline>),
}

impl Outline {
    /// Every VALUE in it, in the order of the file.
    pub fn values(&self) -> Vec<&Expression> {
        match self {
            Self::Constant(_) => Vec::new(),
            Self::Value(expression) => vec![expression],
            Self::Object(members) => members.iter().flat_map(|(_, one)| one.values()).collect(),
            Self::List(items) => items.iter().flat_map(Self::values).collect(),
        }
    }

    /// The constants, with `{ "$value": null }` where a value is computed, so that positions are kept.
    pub(super) fn literal(&self) -> Value {
        match self {
            Self::Constant(value) => value.clone(),
            Self::Value(Expression { source: Source::Constant(value), steps, .. }) if steps.is_empty() => {
                value.clone()
            }
            Self::Value(_) => serde_json::json!({ VALUE_KEY: null }),
            Self::Object(members) => {
                Value::Object(members.iter().map(|(name, one)| (name.clone(), one.literal())).collect())
            }
            Self::List(items) => Value::Array(items.iter().map(Self::literal).collect()),
        }
    }
}

/// Compiles the JSON at `node`; every VALUE in it is checked.
pub(super) fn outline(reader: &mut Reader<'_>, node: &Node) -> Option<Outline> {
    match &node.content {
        Content::Scalar { .. } => constant(reader, node).map(Outline::Constant),
        Content::List(items) => {
            let all: Vec<_> = items.iter().map(|item| outline(reader, item)).collect();
            all.into_iter().collect::<Option<Vec<_>>>().map(Outline::List)
        }
        Content::Map(members) => match node.get(VALUE_KEY) {
            Some(value) if members.len() == 1 => values::value(reader, value).map(Outline::Value),
            Some(_) => beside(reader, members),
            None => {
                let all: Vec<_> = members
                    .iter()
                    .map(|(key, member)| Some((key.text.clone(), outline(reader, member)?)))
                    .collect();
                all.into_iter().collect::<Option<Vec<_>>>().map(Outline::Object)
            }
        },
    }
}

fn beside(reader: &mut Reader<'_>, members: &[(Key, Node)]) -> Option<Outline> {
    let other = members.iter().find(|(key, _)| key.text != VALUE_KEY)?;
    let told = Diagnostic::new("value-beside", other.0.place, "`$value` stands alone in its object");
    reader.tell(
        told.offending(&other.0.text).hint("the steps of a VALUE go inside: { $value: { path: P, … } }"),
    );
    None
}

/// Text as written; what looks like a path was probably meant as one.
fn constant(reader: &mut Reader<'_>, node: &Node) -> Option<Value> {
    match node.to_json() {
        Value::String(text) if text.starts_with("$$") => Some(Value::String(text.chars().skip(1).collect())),
        Value::String(text) if text.starts_with("$.") || text.starts_with("$[") => {
            tell_path(reader, &text, node.place);
            None
        }
        Value::Null => {
            reader.tell(Diagnostic::new("value-empty", node.place, "a value is missing here"));
            None
        }
        constant => Some(constant),
    }
}

fn tell_path(reader: &mut Reader<'_>, text: &str, place: Place) {
    let told = Diagnostic::new("value-expected", place, "a path stands here as mere text").offending(text);
    reader.tell(told.hint(format!("write {{ $value: {text} }}; text that begins with $ is written $$")));
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use crate::mapping::probe;

    fn load(outline: &str) -> Result<crate::mapping::program::Program, Vec<String>> {
        let text =
            format!("mapping: m\nfrom: {{ resource: Basic }}\nto:\n- probe.state:\n    outline: {outline}\n");
        probe::load(&text).map_err(|told| {
            told.into_iter()
                .map(|one| format!("{} {}:{}", one.code, one.place.line, one.place.column))
                .collect()
        })
    }

    fn run(outline: &str, mut resource: serde_json::Value) -> serde_json::Value {
        resource["resourceType"] = json!("Basic");
        let text =
            format!("mapping: m\nfrom: {{ resource: Basic }}\nto:\n- probe.state:\n    outline: {outline}\n");
        let evaluation = probe::run(&text, &resource, &|_| None);
        evaluation.outputs[0].body["outline"].clone()
    }

    #[test]
    fn what_is_absent_vanishes_and_what_becomes_empty_with_it() {
        let outline = "{ a: { $value: $.resource.a }, b: { c: [{ d: { $value: $.resource.d } }] }, e: [1, { $value: $.resource.e }] }";
        assert_eq!(run(outline, json!({})), json!({"e": [1]}));
        assert_eq!(
            run(outline, json!({"a": 1.50, "d": "x", "e": [2, 3]})),
            json!({"a": 1.50, "b": {"c": [{"d": "x"}]}, "e": [1, 2, 3]})
        );
        assert_eq!(run("{ a: { $value: $.resource.a } }", json!({})), json!(null));
    }

    #[test]
    fn whole_elements_can_be_taken_over() {
        let outline = "{ who: { $value: $.resource.subject }, name: { $value: $.resource.name } }";
        let resource = json!({"subject": {"reference": "Patient/1"}, "name": [{"family": "A"}]});
        assert_eq!(
            run(outline, resource.clone()),
            json!({"who": resource["subject"], "name": resource["name"]})
        );
    }

    #[test]
    fn mistakes_are_told_with_their_place() {
        assert_eq!(load("{ a: $.resource.x }").unwrap_err(), ["value-expected 5:19"]);
        assert_eq!(load("{ a: { $value: $.nobody.x } }").unwrap_err(), ["unknown-name 5:29"]);
        assert_eq!(load("{ a: { $value: $.resource.x, b: 1 } }").unwrap_err(), ["value-beside 5:43"]);
        assert!(load("{ a: $$.resource.x }").is_ok());
    }
}
