//! A flow as a Questionnaire.
//!
//! **Pure.** One item for each result that runs can answer, with the same `linkId`, type, codes and order as
//! the answers that [`crate::rapidpro::run`] makes, so that a response fits its Questionnaire. What a flow
//! computes is there too, read-only and hidden; what a webhook answered is not.
//!
//! `url` is the canonical that runs name, `version` the flow's revision. Nothing of it depends on when it was
//! read: an unchanged flow gives an equal Questionnaire.
//! <http://hl7.org/fhir/R4/questionnaire.html>

use serde_json::{Map, Value, json};

use super::{Flow, Giver, Kind, Question, Words};
use crate::rapidpro::run::{clean, code_of};

const TRANSLATION: &str = "http://hl7.org/fhir/StructureDefinition/translation";
const HIDDEN: &str = "http://hl7.org/fhir/StructureDefinition/questionnaire-hidden";
const LEAST: &str = "http://hl7.org/fhir/StructureDefinition/minValue";
const GREATEST: &str = "http://hl7.org/fhir/StructureDefinition/maxValue";

/// Whether the flow is in use.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Status {
    Active,
    /// Archived: no more answers come.
    Retired,
}

impl Status {
    /// Of a row of `flows.json`.
    pub fn of(row: &Value) -> Self {
        let archived = row.get("archived").and_then(Value::as_bool).unwrap_or(false);
        if archived { Self::Retired } else { Self::Active }
    }

    fn code(self) -> &'static str {
        match self {
            Self::Active => "active",
            Self::Retired => "retired",
        }
    }
}

/// The canonical of a flow; `url` is its workspace's address, without a slash at its end.
pub fn canonical(url: &str, flow: &str) -> String {
    format!("{url}/flow/{flow}")
}

/// The Questionnaire without `id`.
pub fn questionnaire(flow: &Flow, status: Status, url: &str) -> Value {
    let mut resource = Map::new();
    let mut add = |key: &str, value: Value| drop(resource.insert(key.to_owned(), value));
    add("resourceType", json!("Questionnaire"));
    if let Some(language) = language(&flow.language) {
        add("language", json!(language));
    }
    add("url", json!(canonical(url, &flow.uuid)));
    add("identifier", json!([{"system": format!("{url}/flow"), "value": flow.uuid}]));
    if let Some(revision) = flow.revision {
        add("version", json!(revision.to_string()));
    }
    if let Some(title) = said(&flow.name) {
        add("title", json!(title));
    }
    add("status", json!(status.code()));
    let items: Vec<Value> = flow.questions.iter().filter_map(item).collect();
    if !items.is_empty() {
        add("item", Value::Array(items));
    }
    Value::Object(resource)
}

/// Nothing for what is no answer: the outcome of a webhook.
fn item(question: &Question) -> Option<Value> {
    let link_id = Some(question.key.as_str()).filter(|key| !key.trim().is_empty())?;
    if question.nodes.iter().all(|node| node.giver == Giver::Service) {
        return None;
    }
    let is_asked = question.nodes.iter().any(|node| node.giver == Giver::Wait);
    let kind = kind(question);
    let mut item = Map::new();
    let mut extensions = bounds(question, kind);
    if !is_asked {
        extensions.push(json!({"url": HIDDEN, "valueBoolean": true}));
    }
    if !extensions.is_empty() {
        item.insert("extension".to_owned(), Value::Array(extensions));
    }
    item.insert("linkId".to_owned(), json!(link_id));
    add_text(&mut item, question);
    item.insert("type".to_owned(), json!(kind));
    if !is_asked {
        item.insert("readOnly".to_owned(), json!(true));
    }
    let options = options(question);
    if matches!(kind, "choice" | "open-choice") && !options.is_empty() {
        item.insert("answerOption".to_owned(), Value::Array(options));
    }
    Some(Value::Object(item))
}

/// What a result's item says: the words of the first question that has any, else the result's name. A response
/// says the same: "if text exists, it must match the questionnaire's".
pub fn text(question: &Question) -> String {
    let text = asked(question).map_or(question.name.as_str(), |words| words.text.as_str());
    said(text).unwrap_or_else(|| question.key.clone())
}

fn asked(question: &Question) -> Option<&Words> {
    question.nodes.iter().find_map(|node| node.asked.as_ref().filter(|words| said(&words.text).is_some()))
}

fn add_text(item: &mut Map<String, Value>, question: &Question) {
    item.insert("text".to_owned(), json!(text(question)));
    let localised = asked(question).into_iter().flat_map(|words| &words.localised);
    if let Some(translations) = translations(localised) {
        item.insert("_text".to_owned(), translations);
    }
}

/// The item's type: <http://hl7.org/fhir/R4/valueset-item-type.html>. Where several questions give one result,
/// what is asked decides, and a choice beside free text is an open one.
fn kind(question: &Question) -> &'static str {
    let givers = || question.nodes.iter().filter(|node| node.giver != Giver::Service);
    let mut kinds: Vec<Kind> =
        givers().filter(|node| node.giver == Giver::Wait).map(|node| node.kind).collect();
    if kinds.is_empty() {
        kinds = givers().map(|node| node.kind).collect();
    }
    let is_text = |kind: Kind| matches!(kind, Kind::Phone | Kind::Location | Kind::Text);
    let first = kinds.first().copied().unwrap_or(Kind::Text);
    if kinds.contains(&Kind::Choice) {
        let open = givers().any(|node| is_text(node.kind));
        return if open { "open-choice" } else { "choice" };
    }
    match first {
        Kind::Choice => "choice",
        Kind::Boolean => "boolean",
        Kind::Number => "decimal",
        Kind::Date => "date",
        Kind::Time => "time",
        Kind::Phone | Kind::Location | Kind::Text => "string",
    }
}

fn bounds(question: &Question, kind: &str) -> Vec<Value> {
    let lone = |nodes: &[super::Node]| nodes.iter().filter(|node| node.giver != Giver::Service).count() == 1;
    let Some(node) = question.nodes.iter().find(|node| node.giver != Giver::Service) else {
        return Vec::new();
    };
    if !lone(&question.nodes) {
        return Vec::new();
    }
    let ends = [(LEAST, &node.bounds.least), (GREATEST, &node.bounds.greatest)];
    let extension = |(url, end): (&str, &Option<String>)| {
        let text = end.as_deref()?;
        match kind {
            "decimal" => {
                let number: serde_json::Number =
                    serde_json::from_str(&crate::rapidpro::run::decimal_text(text)?).ok()?;
                Some(json!({"url": url, "valueDecimal": number}))
            }
            "date" => Some(json!({"url": url, "valueDate": text})),
            _ => None,
        }
    };
    ends.into_iter().filter_map(extension).collect()
}

/// Codes as answers have them, each once.
fn options(question: &Question) -> Vec<Value> {
    let mut codes: Vec<String> = Vec::new();
    let mut options = Vec::new();
    for option in
        question.nodes.iter().filter(|node| node.kind == Kind::Choice).flat_map(|node| &node.options)
    {
        let Some(code) = code_of(&option.name).filter(|code| !codes.contains(code)) else { continue };
        let mut coding = Map::new();
        coding.insert("code".to_owned(), json!(code));
        coding.insert("display".to_owned(), json!(code));
        if let Some(translations) = translations(&option.localised) {
            coding.insert("_display".to_owned(), translations);
        }
        options.push(json!({"valueCoding": coding}));
        codes.push(code);
    }
    options
}

fn translations<'a>(texts: impl IntoIterator<Item = (&'a String, &'a String)>) -> Option<Value> {
    let one = |(code, text): (&String, &String)| {
        let (language, text) = (language(code)?, said(text)?);
        Some(json!({"url": TRANSLATION, "extension": [
            {"url": "lang", "valueCode": language},
            {"url": "content", "valueString": text},
        ]}))
    };
    let all: Vec<Value> = texts.into_iter().filter_map(one).collect();
    (!all.is_empty()).then(|| json!({"extension": all}))
}

/// A text that FHIR can hold, if it says anything.
fn said(text: &str) -> Option<String> {
    let text = clean(text);
    let text = text.trim();
    (!text.is_empty()).then(|| text.to_owned())
}

/// BCP 47 of RapidPro's ISO 639-3: two letters where there are any. None for `base` and `und`.
pub fn language(code: &str) -> Option<String> {
    if code == "und" || code.len() != 3 {
        return None;
    }
    let known = isolang::Language::from_639_3(code)?;
    Some(known.to_639_1().unwrap_or_else(|| known.to_639_3()).to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn languages_are_bcp_47() {
        assert_eq!(language("fra").as_deref(), Some("fr"));
        assert_eq!(language("kin").as_deref(), Some("rw"));
        assert_eq!(language("pcm").as_deref(), Some("pcm"));
        for none in ["base", "und", "", "xx", "qqq"] {
            assert_eq!(language(none), None, "{none}");
        }
    }

    fn read(nodes: &Value) -> Value {
        let definition =
            json!({"uuid": "u", "name": "Form", "language": "eng", "revision": 3, "nodes": nodes});
        questionnaire(&Flow::read(&definition).unwrap(), Status::Active, "https://r.example")
    }

    #[test]
    fn a_flow_that_asks_nothing_has_no_items() {
        let nodes = json!([{"uuid": "a", "actions": [{"type": "send_msg", "text": "Hello"}], "exits": []}]);
        assert_eq!(
            read(&nodes),
            json!({"resourceType": "Questionnaire", "language": "en", "url": "https://r.example/flow/u",
                "identifier": [{"system": "https://r.example/flow", "value": "u"}], "version": "3",
                "title": "Form", "status": "active"})
        );
    }

    /// U-Report's occupation: ten choices, and for "other" a second question of the same name.
    #[test]
    fn a_choice_beside_free_text_is_open_and_its_words_are_translated() {
        let choice = json!({"uuid": "a", "exits": [{"uuid": "e", "destination_uuid": "b"}],
            "router": {"type": "switch", "operand": "@input", "result_name": "Job", "wait": {"type": "msg"},
                "default_category_uuid": "d", "cases": [
                    {"uuid": "1", "type": "has_any_word", "arguments": ["a"], "category_uuid": "c"},
                    {"uuid": "2", "type": "has_any_word", "arguments": ["b"], "category_uuid": "f"}],
                "categories": [{"uuid": "c", "name": "Health ", "exit_uuid": "e"},
                    {"uuid": "f", "name": "Other", "exit_uuid": "e"}, {"uuid": "d", "name": "Other", "exit_uuid": "e"}]}});
        let text = json!({"uuid": "b", "exits": [], "router": {"type": "switch", "operand": "@input",
            "result_name": "Job", "wait": {"type": "msg"}, "default_category_uuid": "g", "cases": [],
            "categories": [{"uuid": "g", "name": "All Responses"}]}});
        let definition = json!({"uuid": "u", "name": "Form", "language": "base", "nodes": [choice, text],
            "localization": {"hau": {"c": {"name": ["Lafiya"]}}, "xx": {"c": {"name": ["nowhere"]}}}});
        let resource = questionnaire(&Flow::read(&definition).unwrap(), Status::Active, "https://r.example");
        assert!(resource.get("language").is_none() && resource.get("version").is_none());
        let item = &resource["item"][0];
        assert_eq!((&item["type"], &item["text"]), (&json!("open-choice"), &json!("Job")));
        let translation = json!({"url": TRANSLATION, "extension": [
            {"url": "lang", "valueCode": "ha"}, {"url": "content", "valueString": "Lafiya"}]});
        assert_eq!(
            item["answerOption"],
            json!([
                {"valueCoding": {"code": "Health", "display": "Health", "_display": {"extension": [translation]}}},
                {"valueCoding": {"code": "Other", "display": "Other"}}
            ])
        );
    }

    #[test]
    fn what_is_computed_is_hidden_and_what_a_webhook_says_is_left_out() {
        let nodes = json!([{"uuid": "a", "exits": [], "actions": [
            {"type": "set_run_result", "name": "Event", "value": "x"},
            {"type": "call_webhook", "result_name": "Webhook"}]}]);
        let items = read(&nodes)["item"].clone();
        assert_eq!(
            items,
            json!([{"extension": [{"url": HIDDEN, "valueBoolean": true}], "linkId": "event", "text": "Event",
                "type": "string", "readOnly": true}])
        );
    }
}
