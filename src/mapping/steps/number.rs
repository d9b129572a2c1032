//! Exact decimals: no value goes through a float.

use std::str::FromStr;

use rust_decimal::Decimal;
use serde_json::{Number, Value};

use super::{Failure, quoted, text_of};

/// A number, or text that is written as one.
///
/// # Errors
/// `not-a-number`, or `number-range` when it has more than 28 digits.
pub fn decimal(value: &Value) -> Result<Decimal, Failure> {
    let text = match value {
        Value::Number(_) | Value::String(_) => text_of(value).unwrap_or_default(),
        _ => return Err(Failure::new("not-a-number", "a number is needed")),
    };
    parse(text.trim())
}

/// Decimal text, with or without an exponent.
///
/// # Errors
/// As [`decimal`].
pub fn parse(text: &str) -> Result<Decimal, Failure> {
    if !is_number(text) {
        return Err(Failure::new("not-a-number", format!("{} is not a number", quoted(text)))
            .hint("numbers are written like -12.5; use `match` to take the digits out of a text"));
    }
    let parsed = if text.contains(['e', 'E']) {
        Decimal::from_scientific(text)
    } else {
        Decimal::from_str_exact(text.strip_prefix('+').unwrap_or(text))
    };
    parsed.map_err(|_| out_of_range(text))
}

fn is_number(text: &str) -> bool {
    let digits = text.strip_prefix(['-', '+']).unwrap_or(text);
    digits.starts_with(|c: char| c.is_ascii_digit())
        && digits.chars().all(|c| c.is_ascii_digit() || matches!(c, '.' | 'e' | 'E' | '-' | '+'))
        && digits.parse::<f64>().is_ok()
}

fn out_of_range(text: &str) -> Failure {
    Failure::new(
        "number-range",
        format!("{} has more digits than can be computed with exactly", quoted(text)),
    )
}

/// The sum or product that left the range.
pub(super) fn overflow() -> Failure {
    Failure::new("number-range", "the result has more digits than can be computed with exactly")
}

/// The decimal as a JSON number with these very digits.
pub fn json(value: Decimal) -> Value {
    let text = value.to_string();
    Number::from_str(&text).map_or(Value::String(text), Value::Number)
}

/// A whole number; `3.0` is 3.
pub(super) fn integer(value: &Value) -> Result<Value, Failure> {
    let number = decimal(value)?;
    if number.fract().is_zero() {
        Ok(json(number.trunc()))
    } else {
        Err(Failure::new("not-an-integer", format!("{number} is not a whole number")))
    }
}

pub(super) fn times(value: Decimal, factor: Decimal) -> Result<Value, Failure> {
    value.checked_mul(factor).map(|product| json(product.normalize())).ok_or_else(overflow)
}

/// The band with the highest lower bound that is not above the value.
pub(in crate::mapping) fn band(bands: &[(Decimal, Value)], value: &Value) -> Result<Value, Failure> {
    let number = decimal(value)?;
    bands
        .iter()
        .rev()
        .find(|(bound, _)| *bound <= number)
        .map(|(_, name)| name.clone())
        .ok_or_else(|| Failure::new("band-unmatched", format!("{number} is below the lowest of the bands")))
}
