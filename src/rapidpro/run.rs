//! A run and its flow become a typed QuestionnaireResponse.
//!
//! **Pure.** The run is kept verbatim beside it (`rapidpro.run`), so that a better reading can be applied
//! to old runs. Every version of RapidPro is read: `input` and `id` are gone since 9.3.129 and are never
//! looked at.
//!
//! What is an answer: a result of a question, of a split or of `set_run_result`, in a category that a
//! case leads to. What is not: the default category (nothing was recognised), a timeout, the outcome of a
//! webhook, and a word where a number or date was asked ("undo").
//!
//! Where the definition does not know the node that gave a result (the flow was edited or deleted since),
//! the type cannot be known and is not guessed: the answer is a coding of its category with the value as
//! display, or text where the category says nothing, and the response is tagged
//! [`UNTYPED_TAG`] so that it is found with `_tag`.

use serde_json::{Map, Value, json};

use super::flow::questionnaire::{canonical, text};
use super::flow::{Category, Flow, Kind, Node, Question, Standing};

/// The tag of a response with answers whose type is not known: (system, code).
pub const UNTYPED_TAG: (&str, &str) = ("urn:mjumbe:reading", "untyped");

/// Shows a canonical's name: <http://hl7.org/fhir/R4/extension-display.html>.
const DISPLAY: &str = "http://hl7.org/fhir/StructureDefinition/display";

/// Why a run cannot be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RunError {
    #[error("the run has no readable `{0}`")]
    Missing(&'static str),
}

/// What a run names, beside its answers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Names {
    pub uuid: String,
    pub flow: String,
    pub flow_name: String,
    pub contact: String,
    /// As RapidPro wrote it, in microseconds: with the uuid it names a state of the run.
    pub modified_on: String,
}

/// A run as read.
#[derive(Debug, Clone, PartialEq)]
pub struct Reading {
    /// The QuestionnaireResponse without `id`.
    pub response: Value,
    /// Keys whose type is not known.
    pub untyped: Vec<String>,
    /// Keys left out because their value does not fit the type that the flow asked for.
    pub unreadable: Vec<String>,
}

/// Where a run comes from.
#[derive(Debug, Clone, Copy)]
pub struct Origin<'a> {
    /// The workspace's address, without a slash at its end.
    pub url: &'a str,
    /// `Practitioner/1`: the resource linked to the run's contact.
    pub link: Option<&'a str>,
}

/// # Errors
/// [`RunError`].
pub fn names(run: &Value) -> Result<Names, RunError> {
    let inner = |object: &'static str, key: &str| {
        run.get(object).and_then(|inner| inner.get(key)).and_then(Value::as_str)
    };
    let uuid = uuid_of(run.get("uuid").and_then(Value::as_str)).ok_or(RunError::Missing("uuid"))?;
    Ok(Names {
        uuid,
        flow: uuid_of(inner("flow", "uuid")).ok_or(RunError::Missing("flow.uuid"))?,
        flow_name: inner("flow", "name").unwrap_or_default().to_owned(),
        contact: uuid_of(inner("contact", "uuid")).ok_or(RunError::Missing("contact.uuid"))?,
        modified_on: time_of(run, "modified_on").ok_or(RunError::Missing("modified_on"))?,
    })
}

/// Reads a run by its flow's definition, if there is one.
///
/// # Errors
/// [`RunError`].
pub fn read(run: &Value, flow: Option<&Flow>, origin: Origin<'_>) -> Result<Reading, RunError> {
    let names = names(run)?;
    let answers = Answers::read(run, flow);
    let authored = answers.last.clone().or_else(|| time_of(run, "exited_on"));
    let mut response = Map::new();
    response.insert("resourceType".to_owned(), json!("QuestionnaireResponse"));
    if !answers.untyped.is_empty() {
        response
            .insert("meta".to_owned(), json!({"tag": [{"system": UNTYPED_TAG.0, "code": UNTYPED_TAG.1}]}));
    }
    response.insert(
        "identifier".to_owned(),
        json!({"system": format!("{}/run", origin.url), "value": names.uuid}),
    );
    questionnaire(&mut response, &names, flow, origin.url);
    response.insert("status".to_owned(), json!(status(run)));
    response.insert("authored".to_owned(), json!(authored.unwrap_or(names.modified_on)));
    response.insert("source".to_owned(), source(&names.contact, origin));
    if !answers.items.is_empty() {
        response.insert("item".to_owned(), Value::Array(answers.items));
    }
    Ok(Reading {
        response: Value::Object(response),
        untyped: answers.untyped,
        unreadable: answers.unreadable,
    })
}

/// `null` is a run that goes on; expired, interrupted and failed ones have stopped.
fn status(run: &Value) -> &'static str {
    match run.get("exit_type").and_then(Value::as_str) {
        None => "in-progress",
        Some("completed") => "completed",
        Some(_) => "stopped",
    }
}

fn questionnaire(response: &mut Map<String, Value>, names: &Names, flow: Option<&Flow>, url: &str) {
    let version =
        flow.and_then(|flow| flow.revision).map(|revision| format!("|{revision}")).unwrap_or_default();
    let name = flow.map_or(names.flow_name.as_str(), |flow| flow.name.as_str()).trim();
    response.insert("questionnaire".to_owned(), json!(format!("{}{version}", canonical(url, &names.flow))));
    if !name.is_empty() {
        let display = json!({"extension": [{"url": DISPLAY, "valueString": clean(name)}]});
        response.insert("_questionnaire".to_owned(), display);
    }
}

fn source(contact: &str, origin: Origin<'_>) -> Value {
    let mut source = Map::new();
    if let Some(link) = origin.link {
        source.insert("reference".to_owned(), json!(link));
    }
    let identifier = json!({"system": format!("{}/contact", origin.url), "value": contact});
    source.insert("identifier".to_owned(), identifier);
    Value::Object(source)
}

#[derive(Default)]
struct Answers {
    items: Vec<Value>,
    untyped: Vec<String>,
    unreadable: Vec<String>,
    /// When the last answer came.
    last: Option<String>,
}

/// One entry of `run.values`.
struct Given<'a> {
    key: &'a str,
    name: &'a str,
    value: String,
    category: Option<&'a str>,
    node: &'a str,
    time: Option<String>,
}

impl Answers {
    /// In the order of the flow, and what it does not know after that.
    fn read(run: &Value, flow: Option<&Flow>) -> Self {
        let empty = Map::new();
        let values = run.get("values").and_then(Value::as_object).unwrap_or(&empty);
        let mut answers = Self::default();
        let questions = flow.map(|flow| flow.questions.as_slice()).unwrap_or_default();
        for question in questions {
            if let Some(given) = values.get(&question.key).and_then(|value| Given::read(&question.key, value))
            {
                answers.take(&given, Some(question));
            }
        }
        for (key, value) in values {
            let known = questions.iter().any(|question| question.key == *key);
            if let Some(given) = (!known).then(|| Given::read(key, value)).flatten() {
                answers.take(&given, None);
            }
        }
        answers
    }

    fn take(&mut self, given: &Given<'_>, question: Option<&Question>) {
        let answer = match question.and_then(|question| judge(question, given)) {
            Some((_, Standing::NoAnswer)) => return,
            Some((node, Standing::Answer(category))) => {
                let Some(answer) = typed(node.kind, category, &given.value) else {
                    self.unreadable.push(given.key.to_owned());
                    return;
                };
                answer
            }
            None | Some((_, Standing::Unknown)) => {
                let Some(answer) = untyped(given) else { return };
                self.untyped.push(given.key.to_owned());
                answer
            }
        };
        let text = question.map_or_else(|| given.text(), text);
        self.items.push(json!({"linkId": given.key, "text": text, "answer": [answer]}));
        if given.time > self.last {
            self.last.clone_from(&given.time);
        }
    }
}

impl<'a> Given<'a> {
    /// Nothing, where there is no value that FHIR could hold.
    fn read(key: &'a str, value: &'a Value) -> Option<Self> {
        let text = |name: &str| value.get(name).and_then(Value::as_str);
        let written = match value.get("value") {
            Some(Value::String(text)) => clean(text),
            Some(Value::Number(number)) => number.to_string(),
            _ => return None,
        };
        let blank = written.trim().is_empty() || key.trim().is_empty();
        (!blank).then(|| Self {
            key,
            name: text("name").unwrap_or(key),
            value: written,
            category: text("category").filter(|category| !category.trim().is_empty()),
            node: text("node").unwrap_or_default(),
            time: time_of(value, "time"),
        })
    }

    fn text(&self) -> String {
        let name = clean(self.name);
        if name.trim().is_empty() { self.key.to_owned() } else { name.trim().to_owned() }
    }
}

/// By the node that gave the value; where the flow was edited since, by another node of the same result
/// that knows the category.
fn judge<'q>(question: &'q Question, given: &Given<'_>) -> Option<(&'q Node, Standing<'q>)> {
    let of = |node: &'q Node| (node, node.standing(given.category, &given.value));
    if let Some(node) = question.node(given.node) {
        return Some(of(node));
    }
    question.nodes.iter().map(of).find(|(_, standing)| *standing != Standing::Unknown)
}

/// The typed answer, or nothing where the value does not fit.
fn typed(kind: Kind, category: Option<&Category>, value: &str) -> Option<Value> {
    match kind {
        Kind::Choice => coding(category?.name.as_str(), None),
        Kind::Boolean => match category?.name.trim().to_lowercase().as_str() {
            "yes" => Some(json!({"valueBoolean": true})),
            "no" => Some(json!({"valueBoolean": false})),
            _ => None,
        },
        Kind::Number => number(value),
        Kind::Date => {
            // In the workspace's zone, with the time of the answer filled in: its local date is what
            // was said, and it is not converted to UTC.
            let date = value.get(..10)?;
            date.parse::<jiff::civil::Date>().ok()?;
            Some(json!({"valueDate": date}))
        }
        Kind::Time => {
            let time = value.parse::<jiff::civil::Time>().ok()?;
            Some(json!({"valueTime": time.strftime("%H:%M:%S").to_string()}))
        }
        Kind::Phone | Kind::Location | Kind::Text => Some(json!({"valueString": value})),
    }
}

/// A code has no white space around it and single spaces within: <http://hl7.org/fhir/R4/datatypes.html#code>.
fn coding(category: &str, display: Option<&str>) -> Option<Value> {
    let code = code_of(category)?;
    Some(json!({"valueCoding": {"code": code, "display": display.unwrap_or(&code)}}))
}

/// A category's name as a code.
pub(super) fn code_of(category: &str) -> Option<String> {
    let code = category.split_whitespace().collect::<Vec<_>>().join(" ");
    (!code.is_empty()).then_some(code)
}

/// Digit by digit as it was given; always a decimal, because the question's type is one for all answers.
fn number(value: &str) -> Option<Value> {
    let number: serde_json::Number = serde_json::from_str(&decimal_text(value)?).ok()?;
    Some(json!({"valueDecimal": number}))
}

/// A number as JSON writes it.
pub(super) fn decimal_text(value: &str) -> Option<String> {
    let value = value.trim();
    let (sign, digits) = value.strip_prefix('-').map_or(("", value), |digits| ("-", digits));
    let (whole, fraction) =
        digits.split_once('.').map_or((digits, None), |(whole, rest)| (whole, Some(rest)));
    let are_digits = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    if !are_digits(whole) || !fraction.is_none_or(are_digits) || value.len() > 40 {
        return None;
    }
    let whole = whole.trim_start_matches('0');
    let whole = if whole.is_empty() { "0" } else { whole };
    let sign = if whole == "0" && fraction.is_none() { "" } else { sign };
    Some(match fraction {
        Some(fraction) => format!("{sign}{whole}.{fraction}"),
        None => format!("{sign}{whole}"),
    })
}

/// RapidPro's own names of the categories that are no answers or say nothing, as its editor gives them.
fn untyped(given: &Given<'_>) -> Option<Value> {
    match given.category {
        Some("Other" | "No Response") => None,
        // A webhook's status, a resthook without subscribers.
        Some("Success" | "Failure") => None,
        Some("All Responses") | None => Some(json!({"valueString": given.value})),
        Some(category) => coding(category, Some(&given.value)),
    }
}

/// FHIR strings hold no control characters but tab and line breaks.
pub(super) fn clean(text: &str) -> String {
    text.chars().filter(|c| !c.is_control() || matches!(c, '\t' | '\n' | '\r')).collect()
}

fn uuid_of(text: Option<&str>) -> Option<String> {
    uuid::Uuid::parse_str(text?).ok().map(|uuid| uuid.hyphenated().to_string())
}

/// RapidPro's times are UTC with microseconds, so that texts compare as times do.
fn time_of(value: &Value, key: &str) -> Option<String> {
    let time = value.get(key)?.as_str()?.parse::<jiff::Timestamp>().ok()?;
    Some(super::client::utc(time))
}
