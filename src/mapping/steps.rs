//! What each step of a VALUE does to one value. Pure and total: a step that cannot do its work says so
//! with a [`Failure`], and the value is absent from there on.

use jiff::tz::TimeZone;
use regex::{Regex, RegexBuilder};
use serde_json::Value;

use super::expression::{Operation, Type};

pub mod moment;
pub mod number;
pub mod phone;
pub mod reduce;
pub mod unit;

use moment::Moment;

/// Longest text that a step makes or splits.
pub const MAX_TEXT: usize = 100_000;

/// Why a step gave nothing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    /// Stable, kebab-case: `map-unmatched`.
    pub code: &'static str,
    pub message: String,
    pub hint: Option<&'static str>,
}

impl Failure {
    pub fn new(code: &'static str, message: impl Into<String>) -> Self {
        Self { code, message: message.into(), hint: None }
    }

    pub fn hint(mut self, hint: &'static str) -> Self {
        self.hint = Some(hint);
        self
    }
}

/// What steps may know besides the value.
#[derive(Debug, Clone, Copy)]
pub struct Locale<'a> {
    pub zone: &'a TimeZone,
    /// Country of phone numbers without a country code.
    pub country: Option<&'a str>,
}

/// Compiles a pattern under a bound on its size.
///
/// # Errors
/// What is wrong with the pattern, in words.
pub fn pattern(text: &str) -> Result<Regex, String> {
    RegexBuilder::new(text)
        .size_limit(256 * 1024)
        .dfa_size_limit(256 * 1024)
        .nest_limit(50)
        .build()
        .map_err(|error| format!("`{text}` is not a regular expression: {}", last_line(&error.to_string())))
}

fn last_line(text: &str) -> String {
    text.lines().last().unwrap_or_default().trim_start_matches("error: ").to_owned()
}

/// A scalar as text; lists and objects have none.
pub fn text_of(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        Value::Bool(flag) => Some(flag.to_string()),
        Value::Null | Value::Array(_) | Value::Object(_) => None,
    }
}

/// Steps 4 to 11 on one value. `None` is absence without a failure (`map` to null).
///
/// # Errors
/// Why the step cannot do its work.
pub fn apply(operation: &Operation, value: &Value, locale: Locale<'_>) -> Result<Option<Value>, Failure> {
    match operation {
        // Conditions, lists and their reduction are the evaluator's: they need more than one value.
        Operation::When(_) | Operation::Split(_) | Operation::Reduce(_) => Ok(Some(value.clone())),
        Operation::Match(regex) => matched(regex, &text(value)?).map(Some),
        Operation::Type(kind) => convert(kind, value, locale).map(Some),
        Operation::Unit { from, to } => unit::convert(number::decimal(value)?, from, to).map(Some),
        Operation::Times(factor) => number::times(number::decimal(value)?, *factor).map(Some),
        Operation::Plus(span) => {
            Ok(Some(Value::String(Moment::of(value, locale.zone)?.plus(*span)?.to_string())))
        }
        Operation::Bands(bands) => number::band(bands, value).map(Some),
        Operation::Synonyms(spellings) => Ok(Some(synonym(spellings, value)?)),
        Operation::Map(pairs) => map(pairs, &text(value)?),
        Operation::Lookup { table, key, take } => {
            let wanted = text(value)?;
            let found = table.find(*key, wanted.trim(), *take);
            found.map(|cell| Some(Value::String(cell.to_owned()))).ok_or_else(|| {
                Failure::new("lookup-unmatched", format!("no row of the table has {}", quoted(&wanted)))
                    .hint("add the row, or give `otherwise`")
            })
        }
        Operation::Write(format) => {
            Moment::of(value, locale.zone)?.write(format).map(|t| Some(Value::String(t)))
        }
    }
}

/// A value in a message: shortened, in quotes.
pub fn quoted(text: &str) -> String {
    let short: String = text.chars().take(60).collect();
    let more = if text.chars().count() > 60 { "…" } else { "" };
    format!("\"{short}{more}\"")
}

fn text(value: &Value) -> Result<String, Failure> {
    text_of(value).ok_or_else(|| not_scalar(value))
}

pub(super) fn not_scalar(value: &Value) -> Failure {
    let what = if value.is_array() { "a list" } else { "an object" };
    Failure::new("not-a-scalar", format!("{what} was found where one text, number or boolean is needed"))
        .hint("let the path go on to the element that is meant")
}

fn matched(regex: &Regex, text: &str) -> Result<Value, Failure> {
    let captures = regex.captures(text);
    let group = captures.as_ref().and_then(|found| found.get(1).or_else(|| found.get(0)));
    group.map(|group| Value::String(group.as_str().to_owned())).ok_or_else(|| {
        Failure::new("match-unmatched", format!("{} does not match `{}`", quoted(text), regex.as_str()))
    })
}

fn convert(kind: &Type, value: &Value, locale: Locale<'_>) -> Result<Value, Failure> {
    match kind {
        Type::Text => text(value).map(Value::String),
        Type::Integer => number::integer(value),
        Type::Number => number::decimal(value).map(number::json),
        Type::Boolean => boolean(value),
        Type::Date(format) => moment::date(value, format.as_deref(), locale.zone),
        Type::DateTime(format) => moment::date_time(value, format.as_deref(), locale.zone),
        Type::Phone(country) => phone::e164(&text(value)?, country.as_deref().or(locale.country)),
    }
}

fn boolean(value: &Value) -> Result<Value, Failure> {
    match text(value)?.trim().to_lowercase().as_str() {
        "true" => Ok(Value::Bool(true)),
        "false" => Ok(Value::Bool(false)),
        other => Err(Failure::new("not-a-boolean", format!("{} is neither true nor false", quoted(other)))
            .hint("use `synonyms` or `map` to say which texts mean true")),
    }
}

/// Many spellings, one value; what is no known spelling stays as it is, so that `map` can judge it.
fn synonym(spellings: &[(String, Value)], value: &Value) -> Result<Value, Failure> {
    let spelt = text(value)?.trim().to_lowercase();
    Ok(spellings.iter().find(|(known, _)| *known == spelt).map_or_else(|| value.clone(), |(_, v)| v.clone()))
}

fn map(pairs: &[(String, Value)], text: &str) -> Result<Option<Value>, Failure> {
    match pairs.iter().find(|(key, _)| key == text) {
        Some((_, Value::Null)) => Ok(None),
        Some((_, value)) => Ok(Some(value.clone())),
        None => Err(Failure::new("map-unmatched", format!("`map` has no entry for {}", quoted(text)))
            .hint("add it to `map`, or give `otherwise`")),
    }
}

#[cfg(test)]
mod tests;
