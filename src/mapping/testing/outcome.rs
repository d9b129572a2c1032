//! Runs one test and tells where what came differs from what was expected.

use std::collections::BTreeMap;

use jiff::Timestamp;
use jiff::tz::TimeZone;
use serde_json::Value;

use super::{ExpectedOutput, Test, mirror};
use crate::mapping::evaluate::{Answers, Change, Evaluation, Input, Tracing};
use crate::mapping::output::Output;
use crate::mapping::program::Program;
use crate::mapping::target::Registry;

/// What all tests of a file share.
#[derive(Clone, Copy)]
pub struct Setting<'a> {
    pub registry: &'a Registry,
    pub zone: &'a TimeZone,
    pub country: Option<&'a str>,
    /// Fixed keys of pseudonyms, by destination as `SYSTEM.NAME`, so that expected pseudonyms can be written down.
    pub pseudonym_keys: &'a BTreeMap<String, Vec<u8>>,
}

/// A test that did not get what it expects.
#[derive(Debug, Clone, PartialEq)]
pub struct Failed {
    pub test: String,
    /// One line a difference.
    pub differences: Vec<String>,
}

/// Runs one test.
///
/// # Errors
/// Every difference between what was expected and what came.
pub fn run(program: &Program, test: &Test, setting: &Setting<'_>) -> Result<Evaluation, Failed> {
    let evaluation = evaluate(program, test, setting);
    let differences = differences(test, &evaluation, setting.registry);
    if differences.is_empty() { Ok(evaluation) } else { Err(Failed { test: test.name.clone(), differences }) }
}

fn evaluate(program: &Program, test: &Test, setting: &Setting<'_>) -> Evaluation {
    let given = &test.given;
    let text = |key: &str| given.change.get(key).and_then(Value::as_str);
    let recorded = given.recorded.as_deref().and_then(|text| text.parse::<Timestamp>().ok());
    let change = Change {
        kind: given.kind.as_deref().or_else(|| text("resourceType")).unwrap_or(&program.from.kind),
        id: given.id.as_deref().or_else(|| text("id")).unwrap_or("1"),
        resource: &given.change,
        previous: given.previous.as_ref(),
        recorded_ms: recorded.map_or(0, Timestamp::as_millisecond),
    };
    let zone = test.zone.as_ref().unwrap_or(setting.zone);
    let input = Input {
        tenant: "default",
        zone,
        country: test.country.as_deref().or(setting.country),
        change,
        answers: &Answers::default(),
        pseudonym_keys: setting.pseudonym_keys,
        registry: setting.registry,
        tracing: Tracing::On,
    };
    program.complete(&input, |question| mirror::answer(given, &question.query, zone))
}

fn differences(test: &Test, evaluation: &Evaluation, registry: &Registry) -> Vec<String> {
    let expect = &test.expect;
    let mut told = Vec::new();
    if evaluation.matched != expect.matched.unwrap_or(true) {
        let says = if evaluation.matched { "takes" } else { "does not take" };
        told.push(format!("the mapping {says} this change"));
    }
    let held = evaluation.held.as_ref();
    match (&expect.held, held) {
        (Some(field), Some(held)) if held.field == *field => {}
        (Some(field), Some(held)) => told.push(format!("held at `{}`, expected at `{field}`", held.field)),
        (Some(field), None) => told.push(format!("not held, expected to be held at `{field}`")),
        (None, Some(held)) => told.push(format!("held at `{}`: waits for {}", held.field, held.waits_for)),
        (None, None) => {}
    }
    if let Some(expected) = &expect.issues {
        let mut expected = expected.clone();
        let mut came: Vec<String> = evaluation.issues.iter().map(|issue| issue.code.clone()).collect();
        expected.sort();
        came.sort();
        if expected != came {
            told.push(format!("issues: expected [{}], got [{}]", expected.join(", "), came.join(", ")));
        }
    }
    if evaluation.outputs.len() != expect.outputs.len() {
        let kinds: Vec<&str> = evaluation.outputs.iter().map(|output| output.target.as_str()).collect();
        let count = expect.outputs.len();
        told.push(format!("outputs: expected {count}, got {} [{}]", kinds.len(), kinds.join(", ")));
    }
    for (index, (expected, output)) in expect.outputs.iter().zip(&evaluation.outputs).enumerate() {
        compare_output(&mut told, &format!("outputs[{index}]"), expected, output, registry);
    }
    told
}

fn compare_output(
    told: &mut Vec<String>,
    name: &str,
    expected: &ExpectedOutput,
    output: &Output,
    registry: &Registry,
) {
    let mut text = |field: &str, expected: Option<&str>, came: &str| {
        if let Some(expected) = expected.filter(|expected| *expected != came) {
            told.push(format!("{name}.{field}: expected \"{expected}\", got \"{came}\""));
        }
    };
    text("target", Some(&expected.target), &output.target);
    text("id", expected.id.as_deref(), &output.target_id);
    text("destination", expected.destination.as_deref(), &output.destination);
    text("key", expected.key.as_deref(), &output.key);
    if let (Some(body), Some(target)) = (&expected.body, registry.get(&output.target)) {
        compare(told, &format!("{name}.body"), body, &target.preview(output));
    }
}

/// Every place at which two JSON values differ.
fn compare(told: &mut Vec<String>, name: &str, expected: &Value, came: &Value) {
    match (expected, came) {
        (Value::Object(left), Value::Object(right)) => {
            for (key, value) in left {
                match right.get(key) {
                    Some(other) => compare(told, &format!("{name}.{key}"), value, other),
                    None => told.push(format!("{name}.{key}: expected {value}, got nothing")),
                }
            }
            for (key, value) in right.iter().filter(|(key, _)| !left.contains_key(*key)) {
                told.push(format!("{name}.{key}: not expected, got {value}"));
            }
        }
        (Value::Array(left), Value::Array(right)) => {
            for (index, value) in left.iter().enumerate() {
                match right.get(index) {
                    Some(other) => compare(told, &format!("{name}[{index}]"), value, other),
                    None => told.push(format!("{name}[{index}]: expected {value}, got nothing")),
                }
            }
            for (index, value) in right.iter().enumerate().skip(left.len()) {
                told.push(format!("{name}[{index}]: not expected, got {value}"));
            }
        }
        (left, right) if left != right => told.push(format!("{name}: expected {left}, got {right}")),
        _ => {}
    }
}
