//! A made-up answer to every question of a flow, read as a real run would be.
//!
//! Pure. For `mjumbe run` and for the first test of a mapping: the values are of the type that each question asks
//! for, and within the bounds that it tests.

use rust_decimal::Decimal;
use rust_decimal::prelude::ToPrimitive;
use serde_json::{Map, Value, json};

use super::{Flow, Kind, Node, Question};
use crate::fhir::resource::Resource;
use crate::rapidpro::catalogue::main_node;
use crate::rapidpro::run::{self, Origin, RunError};

/// The run that does not exist.
pub const RUN: &str = "00000000-0000-4000-8000-000000000002";
/// Who answers, where nobody is named.
pub const CONTACT: &str = "00000000-0000-4000-8000-000000000001";
/// When, in UTC.
pub const ANSWERED: &str = "2026-03-02T09:15:00.000000Z";

/// Why there is no example.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("{0}")]
    Run(#[from] RunError),
    #[error("the example is not R4 in {0} places [example-invalid]")]
    NotR4(usize),
}

/// A completed QuestionnaireResponse of the flow, as it would be stored. `definition` is the one that `flow` was
/// read from; `url` is the workspace's, `contact` the uuid of who answers.
///
/// # Errors
/// [`Error`]
pub fn response(flow: &Flow, definition: &Value, (url, contact): (&str, &str)) -> Result<Value, Error> {
    let run = run(flow, definition, contact);
    let mut response = run::read(&run, Some(flow), Origin { url, link: None })?.response;
    if let Some(fields) = response.as_object_mut() {
        fields.insert("id".to_owned(), json!(RUN));
    }
    let checked = Resource::from_value(response).map_err(|outcome| Error::NotR4(outcome.issues.len()))?;
    Ok(checked.into_body())
}

fn run(flow: &Flow, definition: &Value, contact: &str) -> Value {
    let mut values = Map::new();
    for (index, question) in flow.questions.iter().enumerate() {
        if let Some((node, (value, category))) = answer(question, definition, index) {
            let given = json!({ "value": value, "category": category, "node": node.uuid, "time": ANSWERED,
                "name": question.name });
            values.insert(question.key.clone(), given);
        }
    }
    json!({ "uuid": RUN, "flow": { "uuid": flow.uuid, "name": flow.name },
        "contact": { "uuid": contact }, "responded": true, "values": values, "created_on": ANSWERED,
        "modified_on": ANSWERED, "exited_on": ANSWERED, "exit_type": "completed" })
}

/// Value and category.
type Answer = (String, Option<String>);

fn answer<'q>(question: &'q Question, definition: &Value, index: usize) -> Option<(&'q Node, Answer)> {
    let node = main_node(question)?;
    let typed = node.options.iter().find(|option| option.typed);
    let category = typed.map(|option| option.name.clone());
    let value = match node.kind {
        Kind::Choice | Kind::Boolean => category.clone()?,
        Kind::Number => number(definition, &node.uuid, typed.map(|option| option.uuid.as_str()), index),
        Kind::Date => "2026-02-14T12:00:00.000000+00:00".to_owned(),
        Kind::Time => "08:30".to_owned(),
        Kind::Phone => "+250788123456".to_owned(),
        Kind::Location => "Rwanda > Kigali City".to_owned(),
        Kind::Text => "Some words".to_owned(),
    };
    Some((node, (value, category.or_else(|| Some("All Responses".to_owned())))))
}

/// Another number for each question, within what its first case tests.
fn number(definition: &Value, node: &str, category: Option<&str>, index: usize) -> String {
    let (low, high) = bounds(definition, node, category);
    let wanted = i64::try_from(index).unwrap_or_default() + 3;
    let within = match (low, high) {
        (Some(low), Some(high)) if wanted < low || wanted > high => low + (high - low) / 2,
        (low, high) => wanted.max(low.unwrap_or(wanted)).min(high.unwrap_or(i64::MAX)),
    };
    within.to_string()
}

/// Whole numbers that the first case of the category lets through.
fn bounds(definition: &Value, node: &str, category: Option<&str>) -> (Option<i64>, Option<i64>) {
    let array =
        |value: &Value, key: &str| value.get(key).and_then(Value::as_array).cloned().unwrap_or_default();
    let is = |value: &Value, key: &str, wanted: &str| value.get(key).and_then(Value::as_str) == Some(wanted);
    let nodes = array(definition, "nodes");
    let Some(router) = nodes.iter().find(|one| is(one, "uuid", node)).and_then(|one| one.get("router"))
    else {
        return (None, None);
    };
    let cases = array(router, "cases");
    let case = cases.iter().find(|case| category.is_none_or(|wanted| is(case, "category_uuid", wanted)));
    let Some(case) = case else { return (None, None) };
    let arguments = array(case, "arguments");
    let bound = |at: usize| arguments.get(at)?.as_str()?.trim().parse::<Decimal>().ok();
    let up = |at: usize| bound(at).and_then(|number| number.ceil().to_i64());
    let down = |at: usize| bound(at).and_then(|number| number.floor().to_i64());
    let above = |number: Option<i64>| number.map(|number| number.saturating_add(1));
    let below = |number: Option<i64>| number.map(|number| number.saturating_sub(1));
    match case.get("type").and_then(Value::as_str).unwrap_or_default() {
        "has_number_between" => (up(0), down(1)),
        "has_number_gte" => (up(0), None),
        "has_number_gt" => (above(down(0)), None),
        "has_number_lte" => (None, down(0)),
        "has_number_lt" => (None, below(up(0))),
        "has_number_eq" => (up(0), up(0)),
        _ => (None, None),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RECORDED: &str =
        include_str!("../../../tests/fixtures/rapidpro/definitions_get_one_flow_no_deps.json");

    /// As recorded: every question of it is answered, in its type.
    #[test]
    fn every_question_of_a_flow_is_answered_in_its_type() {
        let recorded: Value = serde_json::from_str(RECORDED).unwrap();
        let definition = &recorded["body"]["flows"][0];
        let flow = Flow::read(definition).unwrap();
        let response = response(&flow, definition, ("https://rapidpro.example", CONTACT)).unwrap();
        let items = response["item"].as_array().unwrap();
        let answered: Vec<&str> = items.iter().map(|item| item["linkId"].as_str().unwrap()).collect();
        let asked: Vec<&str> = flow
            .questions
            .iter()
            .filter(|question| main_node(question).is_some())
            .map(|question| question.key.as_str())
            .collect();
        assert!(asked.len() > 3, "{asked:?}");
        assert_eq!(answered, asked);
        assert_eq!(response["status"], "completed");
        assert!(response.get("meta").is_none(), "some answer is not typed: {response}");
    }

    #[test]
    fn numbers_are_within_what_the_question_tests() {
        let with = |test: &str, arguments: Value| {
            let definition = json!({"nodes": [{"uuid": "n", "router": {"cases": [
                {"type": test, "arguments": arguments, "category_uuid": "c"}]}}]});
            number(&definition, "n", Some("c"), 0)
        };
        assert_eq!(with("has_number", json!([])), "3");
        assert_eq!(with("has_number_between", json!(["10", "20"])), "15");
        assert_eq!(with("has_number_between", json!(["0", "120"])), "3");
        assert_eq!(with("has_number_lt", json!(["2"])), "1");
        assert_eq!(with("has_number_lte", json!(["-5"])), "-5");
        assert_eq!(with("has_number_gt", json!(["30"])), "31");
        assert_eq!(with("has_number_eq", json!(["7"])), "7");
    }
}
