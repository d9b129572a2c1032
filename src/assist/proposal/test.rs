//! The first test of a mapping: a made-up response, and what the mapping makes of it today.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::Ask;
use super::yaml::{block, comment, quoted};
use crate::mapping::evaluate::{Answers, Change, Evaluation, Input, Tracing};
use crate::mapping::lookup::{Answer, Query, Source};
use crate::mapping::program::Program;
use crate::mapping::target::Registry;
use crate::rapidpro::flow::example::CONTACT;

/// A uid that no instance has.
const UNIT: &str = "OrgUnitUid1";

/// Whether the whole body is expected: only where the author need not fill in anything.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Expect {
    Body,
    Target,
}

pub(super) fn write(ask: &Ask<'_>, program: &Program, registry: &Registry, expect: Expect) -> String {
    let contact = json!({ "uuid": CONTACT, "fields": { ask.unit_field: UNIT } });
    let unit = json!({ "id": UNIT, "code": "EXAMPLE", "name": "Example" });
    let evaluation = evaluate(ask, program, registry, (&contact, &unit));
    let given = json!({ "change": ask.example, "contacts": [contact], "units": [unit] });
    let mut text = String::new();
    text.push_str(match expect {
        Expect::Body => "# What the mapping makes of a made-up response. Change `expect` to what you want, then `mjumbe test`.\n",
        Expect::Target => {
            "# A made-up response, and which output comes of it. Once the mapping is filled in, write down under `body` what you\n\
             # want to be sent (`mjumbe run` prints what is), then `mjumbe test`.\n"
        }
    });
    text.push_str(&format!("zone: {}\ntests:\n", quoted(ask.zone)));
    let name = format!("every question of \"{}\" is answered", comment(ask.flow));
    text.push_str(&format!("  - name: {}\n    given:\n{}", quoted(&name), block(&given, 6)));
    text.push_str(&format!("    expect:\n{}", block(&expected(&evaluation, registry, expect), 6)));
    text
}

fn expected(evaluation: &Evaluation, registry: &Registry, expect: Expect) -> Value {
    let issues: Vec<&str> = evaluation.issues.iter().map(|issue| issue.code.as_str()).collect();
    let outputs: Vec<Value> = evaluation
        .outputs
        .iter()
        .map(|output| {
            let target = registry.get(&output.target).filter(|_| expect == Expect::Body);
            let mut told = json!({ "target": output.target });
            if let Some(target) = target {
                told["body"] = target.preview(output);
            }
            told
        })
        .collect();
    json!({ "issues": issues, "outputs": outputs })
}

fn evaluate(
    ask: &Ask<'_>,
    program: &Program,
    registry: &Registry,
    (contact, unit): (&Value, &Value),
) -> Evaluation {
    let zone = jiff::tz::TimeZone::get(ask.zone).unwrap_or(jiff::tz::TimeZone::UTC);
    let input = Input {
        tenant: "default",
        zone: &zone,
        country: None,
        change: Change {
            kind: "QuestionnaireResponse",
            id: ask.example.get("id").and_then(Value::as_str).unwrap_or("1"),
            resource: ask.example,
            previous: None,
            recorded_ms: 0,
        },
        answers: &Answers::default(),
        pseudonym_keys: &BTreeMap::new(),
        registry,
        tracing: Tracing::Off,
    };
    let found = |value: &Value, kind: &str| Answer::Found {
        value: value.clone(),
        sources: vec![Source { kind: kind.to_owned(), id: "1".to_owned(), version: 1 }],
    };
    program.complete(&input, |question| match &question.query {
        Query::Contact { .. } => found(contact, "rapidpro.contact"),
        Query::OrgUnit { .. } => found(unit, "dhis2.organisationUnit"),
        Query::Reference { .. } | Query::Search { .. } => Answer::Absent,
    })
}
