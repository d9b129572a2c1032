//! One node of a flow: who gives a result, of what type, and which categories are no answers.

use std::collections::BTreeMap;

use serde_json::Value;

use super::bounds::Bounds;
use super::{localised, text};

/// What gives a result.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Giver {
    /// A node that waits for a message: a question.
    Wait,
    /// A router that looks at something already there: a part of a message with several values, a
    /// computed value, chance.
    Split,
    /// The action `set_run_result`.
    Set,
    /// A webhook, a resthook, a ticket, a classifier: its outcome is not an answer.
    Service,
}

/// The type of an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    Choice,
    /// A choice of exactly Yes and No.
    Boolean,
    Number,
    Date,
    Time,
    Phone,
    /// A path: `Rwanda > Kigali City`.
    Location,
    Text,
}

/// A category that is an answer, because a case leads to it.
#[derive(Debug, Clone, PartialEq)]
pub struct Category {
    pub uuid: String,
    /// In the flow's base language, as runs have it.
    pub name: String,
    /// Language → name.
    pub localised: BTreeMap<String, String>,
    /// Do its cases test for the type of the question? Not so for a word beside numbers ("Undo").
    pub typed: bool,
    /// Words that lead to it, in any language, lower case.
    words: Vec<String>,
}

/// One giver of a result.
#[derive(Debug, Clone, PartialEq)]
pub struct Node {
    pub uuid: String,
    pub giver: Giver,
    pub kind: Kind,
    /// In the order of the cases.
    pub options: Vec<Category>,
    /// (uuid, name) of the category of what no case recognised; none where there are no cases.
    pub default: Option<(String, String)>,
    /// (uuid, name) of the category of those who did not answer in time.
    pub timeout: Option<(String, String)>,
    /// Of numbers and dates.
    pub bounds: Bounds,
    /// What is asked, where the node is a question and something is said before it.
    pub asked: Option<Words>,
}

/// A text in the flow's base language and in others.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Words {
    pub text: String,
    /// Language → text.
    pub localised: BTreeMap<String, String>,
}

impl Words {
    /// What a `send_msg` says.
    pub(super) fn of_message(action: &Value, localization: &Value) -> Option<Self> {
        let texts = localised(localization, &text(action, "uuid").unwrap_or_default(), "text");
        let first = |(language, texts): (String, Vec<String>)| Some((language, texts.into_iter().next()?));
        Some(Self { text: text(action, "text")?, localised: texts.into_iter().filter_map(first).collect() })
    }
}

/// What a result's category says about its value.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Standing<'a> {
    Answer(Option<&'a Category>),
    /// No case recognised it, nobody answered, or it is a service's outcome.
    NoAnswer,
    /// The category is not in this definition: another revision's.
    Unknown,
}

impl Node {
    /// Is a value of this category an answer?
    pub fn standing(&self, category: Option<&str>, value: &str) -> Standing<'_> {
        match self.giver {
            Giver::Service => return Standing::NoAnswer,
            Giver::Set => return Standing::Answer(None),
            Giver::Wait | Giver::Split => {}
        }
        let Some(category) = category else { return Standing::Unknown };
        let option = self.options.iter().find(|option| option.name == category);
        if is_named(self.timeout.as_ref(), category) && option.is_none() {
            return Standing::NoAnswer;
        }
        match (option, is_named(self.default.as_ref(), category)) {
            (Some(option), false) if option.typed => Standing::Answer(Some(option)),
            (Some(_), false) => Standing::NoAnswer,
            // "Other" is an option and also the default: runs name categories without their uuid. A case
            // leaves the words that it recognised as the value, the default leaves what was written.
            (Some(option), true) if option.recognises(value) => Standing::Answer(Some(option)),
            (_, true) => Standing::NoAnswer,
            (None, false) if self.options.is_empty() => Standing::Answer(None),
            (None, false) => Standing::Unknown,
        }
    }
}

fn is_named(category: Option<&(String, String)>, name: &str) -> bool {
    category.is_some_and(|(_, known)| known == name)
}

impl Category {
    fn recognises(&self, value: &str) -> bool {
        let mut words = value.split_whitespace().map(str::to_lowercase).peekable();
        words.peek().is_some() && words.all(|word| self.words.contains(&word))
    }
}

/// The results that a node gives: (name, node). A node may have several actions and a router.
pub(super) fn read(node: &Value, localization: &Value) -> Vec<(String, Node)> {
    let Some(uuid) = text(node, "uuid") else { return Vec::new() };
    let actions = node.get("actions").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
    let mut found = Vec::new();
    let mut serves = false;
    for action in actions {
        if text(action, "type").as_deref() == Some("set_run_result") {
            if let Some(name) = text(action, "name") {
                found.push((name, bare(&uuid, Giver::Set)));
            }
            continue;
        }
        // Webhooks, resthooks, tickets, classifiers and airtime: `result_name` is their outcome's.
        serves |= matches!(text(action, "type").as_deref(), Some("call_webhook" | "call_resthook"));
        if let Some(name) = text(action, "result_name").filter(|name| !name.is_empty()) {
            serves = true;
            found.push((name, bare(&uuid, Giver::Service)));
        }
    }
    let router = node.get("router");
    let name = router.and_then(|router| text(router, "result_name")).filter(|name| !name.is_empty());
    if let (Some(router), Some(name)) = (router, name) {
        let node = if serves { bare(&uuid, Giver::Service) } else { routed(&uuid, router, localization) };
        found.push((name, node));
    }
    found
}

fn bare(uuid: &str, giver: Giver) -> Node {
    Node {
        uuid: uuid.to_owned(),
        giver,
        kind: Kind::Text,
        options: Vec::new(),
        default: None,
        timeout: None,
        bounds: Bounds::default(),
        asked: None,
    }
}

fn routed(uuid: &str, router: &Value, localization: &Value) -> Node {
    let wait = router.get("wait").filter(|wait| !wait.is_null());
    let named = |uuid: Option<String>| {
        let uuid = uuid?;
        let name = category_name(router, &uuid)?;
        Some((uuid, name))
    };
    let timeout = named(wait.and_then(|wait| text(wait.get("timeout")?, "category_uuid")));
    let mut node = bare(uuid, if wait.is_some() { Giver::Wait } else { Giver::Split });
    node.timeout = timeout;
    if text(router, "type").as_deref() == Some("random") {
        node.kind = Kind::Choice;
        node.options = categories(router).map(|(uuid, name)| option(uuid, name, localization)).collect();
        return node;
    }
    let cases: Vec<Case> =
        array(router, "cases").iter().filter_map(|case| Case::read(case, localization)).collect();
    if operand_is_service(router) {
        node.giver = Giver::Service;
    }
    if cases.is_empty() {
        return node;
    }
    node.kind = kind(&cases);
    node.default = named(text(router, "default_category_uuid"));
    for case in &cases {
        add_case(&mut node, case, router, localization);
    }
    node.bounds = match node.kind {
        Kind::Number => Bounds::of_numbers(router),
        Kind::Date => Bounds::of_dates(router),
        _ => Bounds::default(),
    };
    if node.kind == Kind::Choice && is_yes_no(&node.options) {
        node.kind = Kind::Boolean;
    }
    node
}

/// `@webhook.status` (spec 14.1 on) and `@webhook.json`: the split shows what a service answered.
fn operand_is_service(router: &Value) -> bool {
    text(router, "operand").is_some_and(|operand| {
        let operand = operand.trim_start_matches(['@', '(']);
        operand.starts_with("webhook") || operand.starts_with("resthook")
    })
}

fn add_case(node: &mut Node, case: &Case, router: &Value, localization: &Value) {
    let Some(name) = category_name(router, &case.category) else { return };
    let known = node.options.iter().position(|option| option.uuid == case.category);
    let mut category = match known {
        Some(index) => node.options.remove(index),
        None => Category { typed: false, ..option(case.category.clone(), name, localization) },
    };
    category.typed |= case.kind == node.kind || node.kind == Kind::Text;
    category.words.extend(case.words.iter().cloned());
    let index = known.unwrap_or(node.options.len());
    node.options.insert(index, category);
}

fn option(uuid: String, name: String, localization: &Value) -> Category {
    let names = localised(localization, &uuid, "name");
    let localised =
        names.into_iter().filter_map(|(language, names)| Some((language, names.into_iter().next()?)));
    Category { localised: localised.collect(), uuid, name, typed: true, words: Vec::new() }
}

pub(super) fn array<'a>(value: &'a Value, key: &str) -> &'a [Value] {
    value.get(key).and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default()
}

fn categories(router: &Value) -> impl Iterator<Item = (String, String)> + '_ {
    array(router, "categories")
        .iter()
        .filter_map(|category| Some((text(category, "uuid")?, text(category, "name")?)))
}

fn category_name(router: &Value, uuid: &str) -> Option<String> {
    categories(router).find(|(known, _)| known == uuid).map(|(_, name)| name)
}

struct Case {
    category: String,
    kind: Kind,
    words: Vec<String>,
}

impl Case {
    fn read(case: &Value, localization: &Value) -> Option<Self> {
        let test = text(case, "type")?;
        let mut words: Vec<String> =
            array(case, "arguments").iter().filter_map(Value::as_str).flat_map(words_of).collect();
        for arguments in
            localised(localization, &text(case, "uuid").unwrap_or_default(), "arguments").values()
        {
            words.extend(arguments.iter().flat_map(|argument| words_of(argument)));
        }
        Some(Self { category: text(case, "category_uuid")?, kind: tested(&test), words })
    }
}

fn words_of(text: &str) -> Vec<String> {
    text.split_whitespace().map(str::to_lowercase).collect()
}

/// The type that a test asks for.
fn tested(test: &str) -> Kind {
    match test {
        "has_number" | "has_number_between" | "has_number_lt" | "has_number_lte" | "has_number_eq"
        | "has_number_gte" | "has_number_gt" => Kind::Number,
        "has_date" | "has_date_lt" | "has_date_eq" | "has_date_gt" => Kind::Date,
        "has_time" => Kind::Time,
        "has_phone" => Kind::Phone,
        "has_state" | "has_district" | "has_ward" => Kind::Location,
        "has_text" | "has_pattern" | "has_email" | "has_value" | "has_error" => Kind::Text,
        // Words, and groups, categories and intents, of which the category is what counts.
        _ => Kind::Choice,
    }
}

/// A type that the value shows (number, date …) counts more than words beside it; among those the first.
/// Free text counts more than words: every value is one.
fn kind(cases: &[Case]) -> Kind {
    let shown = cases.iter().map(|case| case.kind).find(|kind| !matches!(kind, Kind::Choice | Kind::Text));
    let text = cases.iter().map(|case| case.kind).find(|kind| *kind == Kind::Text);
    shown.or(text).unwrap_or(Kind::Choice)
}

fn is_yes_no(options: &[Category]) -> bool {
    let mut names: Vec<String> = options.iter().map(|option| option.name.trim().to_lowercase()).collect();
    names.sort();
    names == ["no", "yes"]
}
