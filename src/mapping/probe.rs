//! Targets of no system and a short way to run a mapping: for this room's own tests.

use std::collections::BTreeMap;
use std::sync::Arc;

use jiff::tz::TimeZone;
use serde_json::{Value, json};

use super::diagnostic::Diagnostic;
use super::evaluate::{Answers, Change, Evaluation, Input, Tracing};
use super::lookup::{Answer, Query, Source};
use super::output::{Issue, Nature, Output, Withdraw};
use super::program::{self, Program, Settings};
use super::table::Tables;
use super::target::{Complaint, Evaluated, Field, Kind, Owned, Registry, Shape, Target};

struct Probe {
    kind: &'static str,
    nature: Nature,
}

fn field(name: &'static str, kind: Kind) -> Field {
    Field { name, doc: "A field.", required: false, kind }
}

impl Target for Probe {
    fn kind(&self) -> &'static str {
        self.kind
    }

    fn doc(&self) -> &'static str {
        "For tests."
    }

    fn nature(&self) -> Nature {
        self.nature
    }

    fn shape(&self) -> Shape {
        let cell = Shape {
            fields: vec![
                field("element", Kind::Value),
                field("combo", Kind::ValueOr(Shape { fields: vec![field("options", Kind::List)] })),
                field("value", Kind::Value),
            ],
        };
        let period = Shape {
            fields: vec![
                Field { required: true, ..field("type", Kind::Word(&["Monthly", "Weekly"])) },
                field("at", Kind::Value),
                field("shift", Kind::Integer),
            ],
        };
        Shape {
            fields: vec![
                field("value", Kind::Value),
                field("values", Kind::Values),
                field("list", Kind::List),
                field("map", Kind::Map),
                field("word", Kind::Word(&[])),
                field("flag", Kind::Flag),
                field("outline", Kind::Outline),
                field("period", Kind::Object(period)),
                field("cells", Kind::Objects(cell)),
            ],
        }
    }

    fn withdraw(&self) -> Withdraw {
        Withdraw::Keep
    }

    fn check(&self, literals: &Value) -> Vec<Complaint> {
        let cells = literals.get("cells").and_then(Value::as_array).cloned().unwrap_or_default();
        let is_bad = |cell: &Value| cell.get("element").is_some_and(|element| element == "bad");
        let bad = cells.iter().enumerate().filter(|(_, cell)| is_bad(cell));
        bad.map(|(index, _)| Complaint {
            field: format!("cells[{index}].element"),
            message: "is bad".to_owned(),
            hint: Some("make it good".to_owned()),
        })
        .collect()
    }

    fn owns(&self, literals: &Value) -> Vec<Owned> {
        let cells = literals.get("cells").and_then(Value::as_array).cloned().unwrap_or_default();
        let place = |cell: &Value| {
            Some(format!("{}|{}", cell.get("element")?.as_str()?, cell.get("combo")?.as_str()?))
        };
        let named = cells.iter().enumerate().filter_map(|(index, cell)| Some((index, place(cell)?)));
        named.map(|(index, place)| Owned { place, field: format!("cells[{index}]") }).collect()
    }

    fn build(&self, entry: &Evaluated<'_>) -> Result<(Output, Vec<Issue>), Vec<Issue>> {
        if entry.fields.get("word").is_some_and(|word| word == "refuse") {
            return Err(vec![Issue::error("probe-refused", "refused", entry.context.place)]);
        }
        let output = Output {
            target: self.kind.to_owned(),
            target_id: entry.target_id.to_owned(),
            destination: entry.destination.to_owned(),
            nature: self.nature,
            key: entry.key.to_owned(),
            lane: entry.key.to_owned(),
            body: entry.fields.clone(),
            parts: Vec::new(),
            contributions: Vec::new(),
            withdraw: entry.withdraw,
            needs: entry.needs.to_vec(),
            authored_ms: entry.context.authored_ms,
            link: None,
            write_back: false,
            act: None,
        };
        Ok((output, Vec::new()))
    }

    fn preview(&self, output: &Output) -> Value {
        output.body.clone()
    }
}

/// `probe.state`, `probe.act` and `probe.count`.
pub(super) fn registry() -> Registry {
    Registry::default()
        .with(Arc::new(Probe { kind: "probe.state", nature: Nature::State }))
        .with(Arc::new(Probe { kind: "probe.act", nature: Nature::Act }))
        .with(Arc::new(Probe { kind: "probe.count", nature: Nature::Count }))
}

pub(super) fn tables() -> Tables {
    let text = "code,uid,phone\nA1,ImspTQPwCqd,+250788123456\nB2,,\n";
    BTreeMap::from([("facilities.csv".to_owned(), text.to_owned())])
}

pub(super) fn load(text: &str) -> Result<Program, Vec<Diagnostic>> {
    let (registry, tables) = (registry(), tables());
    let settings = Settings { registry: &registry, destinations: None, tables: &tables };
    program::load("m.yaml", text, &settings)
}

/// The mistakes in a file: code, line, column, offending text.
pub(super) fn mistakes(text: &str) -> Vec<(String, u32, u32, String)> {
    let told = load(text).expect_err("the file has mistakes");
    told.into_iter().map(|one| (one.code, one.place.line, one.place.column, one.offending)).collect()
}

/// What the look-ups of a test find.
pub(super) type Mirror<'a> = &'a dyn Fn(&Query) -> Option<Value>;

pub(super) fn run(text: &str, resource: &Value, mirror: Mirror<'_>) -> Evaluation {
    let program = load(text).unwrap_or_else(|told| panic!("{}", told[0]));
    let zone = TimeZone::get("Africa/Kigali").unwrap();
    let kind = resource.get("resourceType").and_then(Value::as_str).unwrap_or(&program.from.kind).to_owned();
    let keys = BTreeMap::from([("probe.probe".to_owned(), b"secret".to_vec())]);
    let input = Input {
        tenant: "default",
        zone: &zone,
        country: Some("RW"),
        change: Change { kind: &kind, id: "1", resource, previous: None, recorded_ms: 0 },
        answers: &Answers::default(),
        pseudonym_keys: &keys,
        registry: &registry(),
        tracing: Tracing::On,
    };
    program.complete(&input, |question| match mirror(&question.query) {
        Some(value) => Answer::Found {
            value,
            sources: vec![Source { kind: "x".to_owned(), id: "1".to_owned(), version: 1 }],
        },
        None => Answer::Absent,
    })
}

/// Evaluates one VALUE, written in YAML's flow style, against `$.resource`.
pub(super) fn value(expression: &str, resource: &Value) -> (Value, Vec<String>) {
    let (value, evaluation) = probe("value", expression, resource);
    (value, evaluation.issues.into_iter().map(|issue| issue.code).collect())
}

/// Evaluates one VALUE that may give several values.
pub(super) fn values(expression: &str, resource: &Value) -> (Value, Vec<String>) {
    let (value, evaluation) = probe("values", expression, resource);
    (value, evaluation.issues.into_iter().map(|issue| issue.code).collect())
}

/// Evaluates one COND against `$.resource`.
pub(super) fn holds(condition: &str, resource: &Value) -> (bool, Vec<String>) {
    let text = format!(
        "mapping: m\nfrom: {{resource: Basic}}\nto:\n- probe.state:\n    when: {condition}\n    value: 1\n"
    );
    let evaluation = run(&text, resource, &|_| None);
    (evaluation.outputs.len() == 1, evaluation.issues.into_iter().map(|issue| issue.code).collect())
}

fn probe(field: &str, expression: &str, resource: &Value) -> (Value, Evaluation) {
    let text =
        format!("mapping: m\nfrom: {{resource: Basic}}\nto:\n- probe.state:\n    {field}: {expression}\n");
    let mut resource = resource.clone();
    resource["resourceType"] = json!("Basic");
    let evaluation = run(&text, &resource, &|_| None);
    let value = evaluation.outputs.first().map(|output| output.body[field].clone()).unwrap_or_default();
    (value, evaluation)
}
