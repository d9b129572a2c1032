//! What differs between what was expected and what came, by field, shown as a diff.

use std::fmt;

use serde::Serialize;
use serde_json::Value;
use similar::{Algorithm, ChangeTag, DiffOp, TextDiff, capture_diff_slices};

/// Longest value that is shown on one line.
const LINE_MAX: usize = 100;
/// Lines around a difference in a long value.
const CONTEXT: usize = 2;

/// One difference.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Difference {
    /// `outputs[0].body.dataValues[2].value`
    pub field: String,
    /// `None`: nothing was expected here.
    pub expected: Option<Value>,
    /// `None`: nothing came.
    pub got: Option<Value>,
}

/// A line of a shown difference.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Side {
    Expected,
    Got,
    Both,
}

impl Difference {
    pub fn new(field: impl Into<String>, expected: impl Into<Value>, got: impl Into<Value>) -> Self {
        Self { field: field.into(), expected: Some(expected.into()), got: Some(got.into()) }
    }

    /// What came although nothing was expected.
    pub fn surplus(field: impl Into<String>, got: impl Into<Value>) -> Self {
        Self { field: field.into(), expected: None, got: Some(got.into()) }
    }

    /// What was expected and did not come.
    pub fn missing(field: impl Into<String>, expected: impl Into<Value>) -> Self {
        Self { field: field.into(), expected: Some(expected.into()), got: None }
    }

    /// The lines below the field's name: `- expected …`, `+ got …`, or a diff where they are long.
    pub fn lines(&self) -> Vec<(Side, String)> {
        let short =
            |value: &Option<Value>| value.as_ref().map_or_else(|| "nothing".to_owned(), Value::to_string);
        let (expected, got) = (short(&self.expected), short(&self.got));
        if expected.chars().count().max(got.chars().count()) <= LINE_MAX {
            return vec![
                (Side::Expected, format!("- expected {expected}")),
                (Side::Got, format!("+ got      {got}")),
            ];
        }
        diff(&long(self.expected.as_ref()), &long(self.got.as_ref()))
    }
}

fn long(value: Option<&Value>) -> String {
    value.map_or_else(|| "nothing".to_owned(), |value| format!("{value:#}"))
}

fn diff(expected: &str, got: &str) -> Vec<(Side, String)> {
    let diff = TextDiff::from_lines(expected, got);
    let mut lines = Vec::new();
    for (index, group) in diff.grouped_ops(CONTEXT).iter().enumerate() {
        if index > 0 {
            lines.push((Side::Both, "  …".to_owned()));
        }
        for change in group.iter().flat_map(|op| diff.iter_changes(op)) {
            let (side, sign) = match change.tag() {
                ChangeTag::Delete => (Side::Expected, '-'),
                ChangeTag::Insert => (Side::Got, '+'),
                ChangeTag::Equal => (Side::Both, ' '),
            };
            lines.push((side, format!("{sign} {}", change.value().trim_end_matches('\n'))));
        }
    }
    lines
}

/// The field, then its lines.
impl fmt::Display for Difference {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{}", self.field)?;
        for (_, line) in self.lines() {
            write!(out, "\n  {line}")?;
        }
        Ok(())
    }
}

/// Every place at which two JSON values differ. Lists are aligned first, so that one member more does not
/// make all behind it differ.
pub(super) fn compare(told: &mut Vec<Difference>, name: &str, expected: &Value, got: &Value) {
    match (expected, got) {
        (Value::Object(left), Value::Object(right)) => {
            for (key, value) in left {
                match right.get(key) {
                    Some(other) => compare(told, &format!("{name}.{key}"), value, other),
                    None => told.push(Difference::missing(format!("{name}.{key}"), value.clone())),
                }
            }
            for (key, value) in right.iter().filter(|(key, _)| !left.contains_key(*key)) {
                told.push(Difference::surplus(format!("{name}.{key}"), value.clone()));
            }
        }
        (Value::Array(left), Value::Array(right)) => lists(told, name, left, right),
        (left, right) if left != right => told.push(Difference::new(name, left.clone(), right.clone())),
        _ => {}
    }
}

fn lists(told: &mut Vec<Difference>, name: &str, left: &[Value], right: &[Value]) {
    let texts = |list: &[Value]| list.iter().map(Value::to_string).collect::<Vec<_>>();
    for op in capture_diff_slices(Algorithm::Myers, &texts(left), &texts(right)) {
        if matches!(op, DiffOp::Equal { .. }) {
            continue;
        }
        let (from, to) = (op.old_range(), op.new_range());
        let (olds, news) = (left.get(from.clone()), right.get(to.clone()));
        let (olds, news) = (olds.unwrap_or_default(), news.unwrap_or_default());
        for (offset, old) in olds.iter().enumerate() {
            match news.get(offset) {
                Some(new) => compare(told, &format!("{name}[{}]", to.start + offset), old, new),
                None => {
                    told.push(Difference::missing(format!("{name}[{}]", from.start + offset), old.clone()))
                }
            }
        }
        for (offset, new) in news.iter().enumerate().skip(olds.len()) {
            told.push(Difference::surplus(format!("{name}[{}]", to.start + offset), new.clone()));
        }
    }
}

/// What is written in `expected` and is not in `got`: of objects the keys named, of lists members that have
/// what is named, in any order.
pub(super) fn contains(told: &mut Vec<Difference>, name: &str, expected: &Value, got: &Value) {
    match (expected, got) {
        (Value::Object(left), Value::Object(right)) => {
            for (key, value) in left {
                match right.get(key) {
                    Some(other) => contains(told, &format!("{name}.{key}"), value, other),
                    None => told.push(Difference::missing(format!("{name}.{key}"), value.clone())),
                }
            }
        }
        (Value::Array(left), Value::Array(right)) => {
            let mut taken = vec![false; right.len()];
            for (index, value) in left.iter().enumerate() {
                let fits = |other: &Value| {
                    let mut inner = Vec::new();
                    contains(&mut inner, "", value, other);
                    inner.is_empty()
                };
                let free = right.iter().zip(&mut taken).find(|(other, taken)| !**taken && fits(other));
                match free {
                    Some((_, taken)) => *taken = true,
                    None => told.push(Difference {
                        field: format!("{name}[{index}]"),
                        expected: Some(value.clone()),
                        got: Some(got.clone()),
                    }),
                }
            }
        }
        (left, right) if left != right => told.push(Difference::new(name, left.clone(), right.clone())),
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn told(expected: &Value, got: &Value) -> Vec<String> {
        let mut told = Vec::new();
        compare(&mut told, "body", expected, got);
        told.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn a_member_more_is_one_difference() {
        let expected = json!({"values": [{"e": "a"}, {"e": "b"}, {"e": "c"}]});
        let got = json!({"values": [{"e": "a"}, {"e": "x"}, {"e": "b"}, {"e": "c"}]});
        insta::assert_snapshot!(told(&expected, &got).join("\n"), @r#"
        body.values[1]
          - expected nothing
          + got      {"e":"x"}
        "#);
        insta::assert_snapshot!(told(&got, &expected).join("\n"), @r#"
        body.values[1]
          - expected {"e":"x"}
          + got      nothing
        "#);
    }

    #[test]
    fn a_member_that_changed_is_told_by_its_field() {
        let expected = json!({"values": [{"e": "a", "value": "15"}, {"e": "b"}]});
        let got = json!({"values": [{"e": "a", "value": "14"}, {"e": "b"}]});
        insta::assert_snapshot!(told(&expected, &got).join("\n"), @r#"
        body.values[0].value
          - expected "15"
          + got      "14"
        "#);
    }

    #[test]
    fn long_values_are_a_diff_by_lines() {
        let many = |changed: &str| {
            let fields = (0..12).map(|index| {
                (format!("field{index}"), json!(if index == 6 { changed } else { "same text" }))
            });
            Value::Object(fields.collect())
        };
        let shown = Difference::new("body", many("one"), many("two")).to_string();
        insta::assert_snapshot!(shown, @r#"
        body
              "field4": "same text",
              "field5": "same text",
          -   "field6": "one",
          +   "field6": "two",
              "field7": "same text",
              "field8": "same text",
        "#);
    }

    #[test]
    fn only_what_is_named_is_looked_for() {
        let got = json!({"a": 1, "list": [{"e": "x", "v": 1}, {"e": "y", "v": 2}]});
        let missing = |expected: &Value| {
            let mut told = Vec::new();
            contains(&mut told, "has", expected, &got);
            told.into_iter().map(|one| one.field).collect::<Vec<_>>()
        };
        assert_eq!(missing(&json!({"list": [{"v": 2}, {"e": "x"}]})), Vec::<String>::new());
        assert_eq!(missing(&json!({"list": [{"e": "x"}, {"e": "x"}]})), ["has.list[1]"]);
        assert_eq!(missing(&json!({"a": 2, "b": 1})), ["has.a", "has.b"]);
    }
}
