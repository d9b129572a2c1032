//! Runs one test and tells where what came differs from what was expected.

use std::collections::BTreeMap;
use std::fmt;

use jiff::Timestamp;
use jiff::tz::TimeZone;
use serde_json::{Value, json};

use super::difference::{Difference, compare, contains};
use super::{Due, Expected, ExpectedIssue, ExpectedOutput, Given, Test, mirror};
use crate::mapping::diagnostic::Place;
use crate::mapping::evaluate::{Answers, Change, Evaluation, Input, Tracing};
use crate::mapping::output::{Issue, Output};
use crate::mapping::path::Scope;
use crate::mapping::program::Program;
use crate::mapping::steps::moment::Moment;
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

/// What a test came to.
#[derive(Debug, Clone, PartialEq)]
pub struct Tested {
    pub evaluation: Evaluation,
    /// `None`: everything is as expected.
    pub failed: Option<Failed>,
}

/// A test that did not get what it expects.
#[derive(Debug, Clone, PartialEq)]
pub struct Failed {
    pub test: String,
    /// Where the test stands in its file.
    pub place: Place,
    pub differences: Vec<Difference>,
}

/// The test's name, then each difference.
impl fmt::Display for Failed {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{}", self.test)?;
        for difference in &self.differences {
            write!(out, "\n  {}", difference.to_string().replace('\n', "\n  "))?;
        }
        Ok(())
    }
}

/// Runs one test.
pub fn run(program: &Program, test: &Test, setting: &Setting<'_>) -> Tested {
    let evaluation = evaluate(program, test, setting);
    let differences = differences(test, &evaluation, setting);
    let failed =
        (!differences.is_empty()).then(|| Failed { test: test.name.clone(), place: test.place, differences });
    Tested { evaluation, failed }
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

fn differences(test: &Test, evaluation: &Evaluation, setting: &Setting<'_>) -> Vec<Difference> {
    let (expect, mut told) = (&test.expect, Vec::new());
    let matched = expect.matched.unwrap_or(true);
    if evaluation.matched != matched {
        told.push(Difference::new("matched", matched, evaluation.matched));
    }
    holds(&mut told, expect, evaluation);
    if let Some(expected) = &expect.issues {
        issues(&mut told, expected, &evaluation.issues);
    }
    for (index, output) in evaluation.outputs.iter().enumerate() {
        if expect.absent.contains(&output.target_id) {
            told.push(Difference::surplus(format!("outputs[{index}]"), output.target_id.clone()));
        }
    }
    let comparing = Comparing {
        given: &test.given,
        registry: setting.registry,
        zone: test.zone.as_ref().unwrap_or(setting.zone),
    };
    match &expect.outputs {
        Some(outputs) => comparing.outputs(&mut told, outputs, &evaluation.outputs),
        None if expect.absent.is_empty() => comparing.outputs(&mut told, &[], &evaluation.outputs),
        None => {}
    }
    told
}

fn holds(told: &mut Vec<Difference>, expect: &Expected, evaluation: &Evaluation) {
    match (&expect.held, &evaluation.held) {
        (Some(expected), Some(held)) => {
            if expected.field != held.field {
                told.push(Difference::new("held.field", expected.field.clone(), held.field.clone()));
            }
            if let Some(words) = expected.waits_for.as_ref().filter(|words| !held.waits_for.contains(*words))
            {
                told.push(Difference::new("held.waitsFor", words.clone(), held.waits_for.clone()));
            }
        }
        (Some(expected), None) => told.push(Difference::missing("held", expected.field.clone())),
        (None, Some(held)) => {
            told.push(Difference::surplus("held", format!("{}: waits for {}", held.field, held.waits_for)))
        }
        (None, None) => {}
    }
}

/// Each expected issue takes one that came; what is left on either side differs.
fn issues(told: &mut Vec<Difference>, expected: &[ExpectedIssue], came: &[Issue]) {
    let mut left: Vec<&Issue> = came.iter().collect();
    let mut missing = Vec::new();
    for one in expected {
        match left.iter().position(|issue| is_issue(one, issue)) {
            Some(index) => {
                left.remove(index);
            }
            None => missing.push(one),
        }
    }
    for one in missing {
        let place = one.place.as_ref().map(|place| format!(" at {place}")).unwrap_or_default();
        told.push(Difference::missing("issues", format!("{}{place}", one.code)));
    }
    for issue in left {
        told.push(Difference::surplus(
            "issues",
            format!("{} at {}: {}", issue.code, issue.place, issue.message),
        ));
    }
}

fn is_issue(expected: &ExpectedIssue, issue: &Issue) -> bool {
    // `file:line:column`: a file's name may hold colons.
    let mut parts = issue.place.rsplitn(3, ':');
    let (column, line) = (parts.next().unwrap_or_default(), parts.next().unwrap_or_default());
    let stands = |place: &String| place == line || *place == format!("{line}:{column}");
    expected.code == issue.code && expected.place.as_ref().is_none_or(stands)
}

/// Comparing outputs.
struct Comparing<'a> {
    given: &'a Given,
    registry: &'a Registry,
    zone: &'a TimeZone,
}

impl Comparing<'_> {
    fn outputs(&self, told: &mut Vec<Difference>, expected: &[ExpectedOutput], came: &[Output]) {
        for (index, expected) in expected.iter().enumerate() {
            let name = format!("outputs[{index}]");
            match came.get(index) {
                Some(output) => self.output(told, &name, expected, output),
                None => told.push(Difference::missing(name, expected.target.clone())),
            }
        }
        for (index, output) in came.iter().enumerate().skip(expected.len()) {
            let body = self.body(output);
            let what =
                json!({ "target": output.target, "id": output.target_id, "key": output.key, "body": body });
            told.push(Difference::surplus(format!("outputs[{index}]"), what));
        }
    }

    fn output(&self, told: &mut Vec<Difference>, name: &str, expected: &ExpectedOutput, output: &Output) {
        let mut text = |field: &str, expected: Option<&str>, came: &str| {
            if let Some(expected) = expected.filter(|expected| *expected != came) {
                told.push(Difference::new(format!("{name}.{field}"), expected, came));
            }
        };
        text("target", Some(&expected.target), &output.target);
        text("id", expected.id.as_deref(), &output.target_id);
        text("destination", expected.destination.as_deref(), &output.destination);
        text("key", expected.key.as_deref(), &output.key);
        self.act(told, name, expected, output);
        let body = self.body(output);
        if let Some(expected) = &expected.body {
            compare(told, &format!("{name}.body"), expected, &body);
        }
        if let Some(expected) = &expected.has {
            contains(told, &format!("{name}.has"), expected, &body);
        }
        let mut scope = Scope::default();
        for (key, value) in body.as_object().into_iter().flatten() {
            scope.bind(key, value);
        }
        for path in &expected.without {
            for found in path.nodes(&scope) {
                told.push(Difference::surplus(format!("{name}.without {}", path.text), found));
            }
        }
    }

    fn act(&self, told: &mut Vec<Difference>, name: &str, expected: &ExpectedOutput, output: &Output) {
        let act = output.act.as_ref();
        if let Some(reason) = &expected.reason {
            let came = act.map(|act| act.reason.clone());
            if came.as_ref() != Some(reason) {
                told.push(Difference::new(format!("{name}.reason"), reason.clone(), came));
            }
        }
        if let Some(occurrence) = expected.occurrence {
            let came = act.map(|act| act.occurrence);
            if came != Some(occurrence) {
                told.push(Difference::new(format!("{name}.occurrence"), occurrence, came));
            }
        }
        let Some(due) = &expected.due else { return };
        let came = act.and_then(|act| act.not_before_ms);
        let wanted = match due {
            Due::AtOnce => None,
            Due::At(time) => match Moment::of(time, self.zone).and_then(|moment| moment.instant(self.zone)) {
                Ok(time) => Some(time.as_millisecond()),
                Err(failure) => {
                    return told.push(Difference::new(format!("{name}.due"), time.clone(), failure.message));
                }
            },
        };
        if came != wanted || act.is_none() {
            told.push(Difference::new(
                format!("{name}.due"),
                self.time(wanted),
                act.map(|_| self.time(came)),
            ));
        }
    }

    fn time(&self, milliseconds: Option<i64>) -> String {
        let time = milliseconds.map(Timestamp::from_millisecond);
        match time {
            None => "at-once".to_owned(),
            Some(Ok(time)) => {
                let zoned = time.to_zoned(self.zone.clone());
                zoned.strftime("%Y-%m-%dT%H:%M:%S%:z").to_string()
            }
            Some(Err(_)) => "out of range".to_owned(),
        }
    }

    /// What the destination would be sent for this output alone, with the links that the test gives.
    fn body(&self, output: &Output) -> Value {
        let target = self.registry.get(&output.target);
        let body = target.map_or(Value::Null, |target| target.preview(output));
        self.linked(body, output)
    }

    fn linked(&self, value: Value, output: &Output) -> Value {
        if let Some(resource) = value.pointer("/$link/resource").and_then(Value::as_str) {
            let system = output.target.split('.').next().unwrap_or_default();
            let full = format!("{system}.{}", output.destination);
            let is_there = |name: &String| *name == full || *name == output.destination;
            let link = self
                .given
                .links
                .iter()
                .find(|link| link.resource == resource && link.destination.as_ref().is_none_or(is_there));
            return link.map_or_else(|| value.clone(), |link| Value::String(link.id.clone()));
        }
        match value {
            Value::Object(map) => {
                Value::Object(map.into_iter().map(|(key, inner)| (key, self.linked(inner, output))).collect())
            }
            Value::Array(list) => {
                Value::Array(list.into_iter().map(|inner| self.linked(inner, output)).collect())
            }
            other => other,
        }
    }
}
