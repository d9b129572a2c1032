//! `rapidpro.message` in mapping files.
//!
//! **Pure.** One part whose `wanted` is the contact and the text, or a text for each language. Which language
//! the person reads is known when it is sent.

use serde_json::{Map, Value, json};

use super::addressee::{self, issue};
use super::start::{output, wanted};
use crate::mapping::output::{Issue, Nature, Output, Severity, Withdraw};
use crate::mapping::target::{Complaint, Evaluated, Field, Kind, Shape, Target};
use crate::rapidpro::contact::words::{LANGUAGE_HINT, complaint, is_language, scalar};

/// RapidPro 26 takes so many; up to version 10 it takes 640 and refuses more, which only sending shows.
const TEXT_CHARACTERS: usize = 4_096;

/// The target.
#[derive(Debug, Clone, Copy, Default)]
pub struct Message;

impl Target for Message {
    fn kind(&self) -> &'static str {
        "rapidpro.message"
    }

    fn doc(&self) -> &'static str {
        "A message to a contact, sent once; to nobody who is blocked or has opted out."
    }

    fn nature(&self) -> Nature {
        Nature::Act
    }

    fn shape(&self) -> Shape {
        let field = |name, doc, kind| Field { name, doc, required: true, kind };
        Shape {
            fields: vec![
                field("text", "The text, or one for each language (ISO 639-3).", Kind::ValueOrLanguages),
                field(
                    "contact",
                    "A contact's uuid, a URN, a phone number, `{ link: … }` or a reference.",
                    Kind::Anything,
                ),
            ],
        }
    }

    fn withdraw(&self) -> Withdraw {
        Withdraw::Keep
    }

    fn check(&self, literals: &Value) -> Vec<Complaint> {
        match literals.get("text") {
            Some(Value::Object(texts)) => texts
                .iter()
                .flat_map(|(language, text)| {
                    let field = format!("text.{language}");
                    let wrong = !is_language(language);
                    let message = format!("`{language}` is not three letters");
                    let bad = wrong.then(|| complaint(&field, message, Some(LANGUAGE_HINT)));
                    bad.into_iter().chain(too_long(&field, text))
                })
                .collect(),
            Some(text) => too_long("text", text).into_iter().collect(),
            None => Vec::new(),
        }
    }

    fn build(&self, entry: &Evaluated<'_>) -> Result<(Output, Vec<Issue>), Vec<Issue>> {
        let mut issues = Vec::new();
        let wish = addressee::whole(entry).and_then(|()| addressee::read(entry));
        let addressee = wish.map_err(|issue| vec![issue])?;
        let Some(text) = text(entry, &mut issues) else {
            if issues.is_empty() {
                let absent = issue(entry, "message-without-text", "`text` gave nothing");
                issues.push(absent.with_hint("`when: …` leaves out messages that have nothing to say"));
            }
            return Err(issues);
        };
        let wanted = json!({"contact": addressee.contact, "text": text});
        Ok((output(entry, self.kind(), addressee.lane, wanted), issues))
    }

    fn preview(&self, output: &Output) -> Value {
        wanted(output)
    }
}

fn too_long(field: &str, text: &Value) -> Option<Complaint> {
    let long = text.as_str().is_some_and(|text| text.chars().count() > TEXT_CHARACTERS);
    long.then(|| complaint(field, format!("the text has more than {TEXT_CHARACTERS} characters"), None))
}

/// One text, or an object of languages.
fn text(entry: &Evaluated<'_>, issues: &mut Vec<Issue>) -> Option<Value> {
    let value = entry.fields.get("text").unwrap_or(&Value::Null);
    let Value::Object(given) = value else {
        return fit(entry, "text", value, issues).map(Value::String);
    };
    let mut texts = Map::new();
    for (language, value) in given {
        if !is_language(language) {
            let shown: String = language.chars().take(20).collect();
            let message = format!("`text`: `{shown}` is not a language");
            issues.push(issue(entry, "message-language-invalid", message).with_hint(LANGUAGE_HINT));
        } else if let Some(text) = fit(entry, &format!("text.{language}"), value, issues) {
            texts.insert(language.clone(), Value::String(text));
        }
    }
    (!texts.is_empty()).then_some(Value::Object(texts))
}

/// RapidPro trims texts and refuses control characters; so that the text can be found again it is sent as
/// RapidPro keeps it.
fn fit(entry: &Evaluated<'_>, field: &str, value: &Value, issues: &mut Vec<Issue>) -> Option<String> {
    let text = scalar(value)?.replace("\r\n", "\n");
    let text: String = text.chars().filter(|c| !c.is_control() || matches!(c, '\n' | '\t')).collect();
    let text = text.trim();
    if text.chars().count() > TEXT_CHARACTERS {
        let message = format!("`{field}` has more than {TEXT_CHARACTERS} characters and is left out");
        let told = issue(entry, "message-too-long", message).with_hint("`match` takes a part of a text");
        issues.push(Issue { severity: Severity::Error, ..told });
        return None;
    }
    (!text.is_empty()).then(|| text.to_owned())
}
