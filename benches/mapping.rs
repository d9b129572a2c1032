//! Evaluations per second of the shipped mappings, beside what parsing the JSON that comes in and
//! serialising the JSON that goes out cost alone.
//!
//! ```text
//! cargo bench --bench mapping
//! ```
//!
//! `floor` parses the resource and serialises the outputs; `evaluate` is the engine between the two, as the
//! worker uses it (no trace; every look-up is asked for and answered). The aim: `evaluate` reaches at least a
//! quarter of the floor's throughput, and 20,000 evaluations a second on one core. The inputs are the first
//! matching test of each mapping, grown to the size that resources have in the field.

use std::collections::BTreeMap;
use std::fmt;
use std::path::Path;
use std::sync::{Arc, LazyLock};

use divan::counter::ItemsCount;
use divan::{Bencher, black_box};
use jiff::tz::TimeZone;
use mjumbe::mapping::evaluate::{Answers, Change, Evaluation, Input, Tracing};
use mjumbe::mapping::lookup::Answer;
use mjumbe::mapping::program::Program;
use mjumbe::mapping::target::Registry;
use mjumbe::mapping::testing::{self, Test};
use mjumbe::server::mappings;
use serde_json::{Value, json};

/// Answers that a flow of a monthly report saves besides those that the mapping reads.
const OTHER_ANSWERS: usize = 12;

static CASES: LazyLock<Vec<Case>> = LazyLock::new(cases);
static REGISTRY: LazyLock<Registry> = LazyLock::new(mappings::registry);

fn main() {
    divan::main();
}

/// One mapping with a resource that it takes.
struct Case {
    program: Arc<Program>,
    /// The resource as it comes in.
    text: String,
    resource: Value,
    kind: String,
    /// By the question's name.
    answers: BTreeMap<String, Answer>,
    zone: TimeZone,
    country: Option<String>,
    keys: BTreeMap<String, Vec<u8>>,
    /// What it makes, to be serialised by the floor.
    made: Evaluation,
}

impl fmt::Display for Case {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{} ({} bytes)", self.program.name, self.text.len())
    }
}

impl Case {
    fn evaluate(&self, resource: &Value) -> Evaluation {
        let input = Input {
            tenant: "default",
            zone: &self.zone,
            country: self.country.as_deref(),
            change: Change { kind: &self.kind, id: "1", resource, previous: None, recorded_ms: 0 },
            answers: &Answers::default(),
            pseudonym_keys: &self.keys,
            registry: &REGISTRY,
            tracing: Tracing::Off,
        };
        self.program
            .complete(&input, |question| self.answers.get(&question.name).cloned().unwrap_or(Answer::Absent))
    }
}

fn cases() -> Vec<Case> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("mappings");
    let loaded = mappings::load(&folder, &REGISTRY, None).expect("the shipped mappings can be read");
    assert!(loaded.diagnostics.is_empty(), "the shipped mappings load");
    loaded.programs.into_iter().map(case).collect()
}

fn case(program: Arc<Program>) -> Case {
    let file = Path::new(&program.file).with_extension("test.yaml");
    let text = std::fs::read_to_string(&file).expect("every shipped mapping has tests");
    let tests = testing::read(&program.file, &text).expect("the tests can be read");
    let test = tests.into_iter().find(makes_something).expect("a test that makes something");
    let zone = test.zone.clone().unwrap_or(TimeZone::UTC);
    let resource = grown(&test.given.change);
    let kind = resource.get("resourceType").and_then(Value::as_str).unwrap_or(&program.from.kind).to_owned();
    let systems = REGISTRY.iter().filter_map(|target| target.kind().split('.').next());
    let keys = systems.map(|system| (mappings::full_name(system, system), system.as_bytes().to_vec()));
    let mut case = Case {
        text: resource.to_string(),
        kind,
        answers: BTreeMap::new(),
        country: test.country.clone(),
        keys: keys.collect(),
        made: Evaluation::default(),
        program,
        zone,
        resource,
    };
    case.answers = answers(&case, &test);
    case.made = case.evaluate(&case.resource);
    assert!(!case.made.outputs.is_empty(), "{case} makes something");
    case
}

fn makes_something(test: &Test) -> bool {
    test.expect.outputs.as_ref().is_some_and(|outputs| !outputs.is_empty())
}

/// What the test's world answers.
fn answers(case: &Case, test: &Test) -> BTreeMap<String, Answer> {
    let mut answers = BTreeMap::new();
    let input = Input {
        tenant: "default",
        zone: &case.zone,
        country: case.country.as_deref(),
        change: Change {
            kind: &case.kind,
            id: "1",
            resource: &case.resource,
            previous: None,
            recorded_ms: 0,
        },
        answers: &Answers::default(),
        pseudonym_keys: &case.keys,
        registry: &REGISTRY,
        tracing: Tracing::Off,
    };
    case.program.complete(&input, |question| {
        let answer = testing::answer(&test.given, &question.query, &case.zone);
        answers.insert(question.name.clone(), answer.clone());
        answer
    });
    answers
}

/// What resources carry in the field besides what a test writes down: meta, narrative, identifiers, and of a
/// response the other results of its flow.
fn grown(change: &Value) -> Value {
    let mut resource = change.clone();
    let Some(object) = resource.as_object_mut() else { return resource };
    object.entry("meta").or_insert_with(|| {
        json!({ "versionId": "3", "lastUpdated": "2026-03-02T09:15:02.123Z",
            "profile": ["http://example.org/fhir/StructureDefinition/profile"],
            "tag": [{ "system": "https://smartregister.org/care-team-tag-id", "code": "4f2a6c0e-7a3b" }] })
    });
    object.entry("text").or_insert_with(|| {
        json!({ "status": "generated", "div": format!("<div xmlns=\"http://www.w3.org/1999/xhtml\">{}</div>",
            "<p>As it was recorded in the register of the village</p>".repeat(6)) })
    });
    object.entry("identifier").or_insert_with(|| {
        json!([{ "use": "official", "system": "https://example.org/register", "value": "RW-2026-000417" }])
    });
    if let Some(items) = object.get_mut("item").and_then(Value::as_array_mut) {
        for index in 0..OTHER_ANSWERS {
            items.push(
                json!({ "linkId": format!("other_result_{index}"), "text": "Another question of the flow",
                "answer": [{ "valueCoding": { "system": "https://rapidpro.example/flow/4f2a6c0e/result",
                    "code": "Yes", "display": "yes, since last week" } }] }),
            );
        }
    }
    resource
}

fn serialised(evaluation: &Evaluation) -> Vec<u8> {
    serde_json::to_vec(&evaluation.outputs).expect("outputs are JSON")
}

#[divan::bench(args = CASES.iter())]
fn floor(bencher: Bencher<'_, '_>, case: &Case) {
    bencher.counter(ItemsCount::new(1_usize)).bench(|| {
        let resource: Value = serde_json::from_str(black_box(&case.text)).expect("it was JSON");
        black_box(&resource);
        serialised(black_box(&case.made))
    });
}

#[divan::bench(args = CASES.iter())]
fn evaluate(bencher: Bencher<'_, '_>, case: &Case) {
    bencher.counter(ItemsCount::new(1_usize)).bench(|| case.evaluate(black_box(&case.resource)));
}

#[divan::bench(args = CASES.iter())]
fn parse_evaluate_serialise(bencher: Bencher<'_, '_>, case: &Case) {
    bencher.counter(ItemsCount::new(1_usize)).bench(|| {
        let resource: Value = serde_json::from_str(black_box(&case.text)).expect("it was JSON");
        serialised(&case.evaluate(&resource))
    });
}
