//! Value types: the canonical text that DHIS2 stores for a value, or why it would refuse it.
//!
//! Pure. DHIS2 checks most of this itself, but 2.43 refuses a whole group for some faults, SMS-born values
//! are not checked at all, and a NUL character loses the whole request: so nothing leaves unchecked.
//! <https://docs.dhis2.org/en/develop/using-the-api/dhis-core-version-master/data-validation.html>

// Dates, times and texts with a shape.
mod shape;

use std::collections::BTreeSet;
use std::str::FromStr;

use rust_decimal::Decimal;

pub use shape::is_uid;

/// DHIS2 refuses longer ones.
const TEXT_LIMIT: usize = 50_000;

/// `valueType` of a data element.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ValueType {
    Number,
    Integer,
    IntegerPositive,
    IntegerNegative,
    IntegerZeroOrPositive,
    Percentage,
    UnitInterval,
    Boolean,
    TrueOnly,
    Date,
    DateTime,
    Time,
    PhoneNumber,
    Email,
    Letter,
    Coordinate,
    Uid,
    MultiText,
    Text,
    /// One that this program does not know: passed on as text.
    Other,
}

const NAMES: &[(&str, ValueType)] = &[
    ("NUMBER", ValueType::Number),
    ("INTEGER", ValueType::Integer),
    ("INTEGER_POSITIVE", ValueType::IntegerPositive),
    ("INTEGER_NEGATIVE", ValueType::IntegerNegative),
    ("INTEGER_ZERO_OR_POSITIVE", ValueType::IntegerZeroOrPositive),
    ("PERCENTAGE", ValueType::Percentage),
    ("UNIT_INTERVAL", ValueType::UnitInterval),
    ("BOOLEAN", ValueType::Boolean),
    ("TRUE_ONLY", ValueType::TrueOnly),
    ("DATE", ValueType::Date),
    ("AGE", ValueType::Date),
    ("DATETIME", ValueType::DateTime),
    ("TIME", ValueType::Time),
    ("PHONE_NUMBER", ValueType::PhoneNumber),
    ("EMAIL", ValueType::Email),
    ("LETTER", ValueType::Letter),
    ("COORDINATE", ValueType::Coordinate),
    ("ORGANISATION_UNIT", ValueType::Uid),
    ("FILE_RESOURCE", ValueType::Uid),
    ("IMAGE", ValueType::Uid),
    ("MULTI_TEXT", ValueType::MultiText),
    ("TEXT", ValueType::Text),
    ("LONG_TEXT", ValueType::Text),
    ("USERNAME", ValueType::Text),
    ("URL", ValueType::Text),
];

impl ValueType {
    pub fn named(name: &str) -> Self {
        NAMES.iter().find(|(known, _)| *known == name).map_or(Self::Other, |(_, kind)| *kind)
    }

    pub fn is_numeric(self) -> bool {
        matches!(
            self,
            Self::Number
                | Self::Integer
                | Self::IntegerPositive
                | Self::IntegerNegative
                | Self::IntegerZeroOrPositive
                | Self::Percentage
                | Self::UnitInterval
        )
    }

    /// What it takes, in words for a person.
    fn wanted(self) -> &'static str {
        match self {
            Self::Number => "a number such as 12 or 3.5, of at most 28 digits",
            Self::Integer => "a whole number between -2147483648 and 2147483647",
            Self::IntegerPositive => "a whole number from 1 on",
            Self::IntegerNegative => "a whole number up to -1",
            Self::IntegerZeroOrPositive => "a whole number from 0 on",
            Self::Percentage => "a number between 0 and 100",
            Self::UnitInterval => "a number between 0 and 1",
            Self::Boolean => "true or false",
            Self::TrueOnly => "true, or no value at all",
            Self::Date => "a date such as 2026-01-31",
            Self::DateTime => "a date and time such as 2026-01-31T08:30:00",
            Self::Time => "a time such as 08:30",
            Self::PhoneNumber => "a phone number of 6 to 50 characters",
            Self::Email => "an e-mail address",
            Self::Letter => "one letter",
            Self::Coordinate => "a coordinate such as [-11.41,8.13]",
            Self::Uid => "the uid of an object of DHIS2",
            Self::MultiText => "option codes with commas between them",
            Self::Text | Self::Other => "a text of at most 50,000 characters",
        }
    }
}

/// What a data element says of its values.
#[derive(Debug, Clone, Copy)]
pub struct Rules<'a> {
    pub value_type: ValueType,
    /// The codes of its option set.
    pub options: Option<&'a BTreeSet<String>>,
}

/// Why a value would be refused. Never holds the value.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    #[error("there is no value")]
    Empty,
    #[error("the value is not {}", .0.wanted())]
    WrongType(ValueType),
    #[error("the value is none of the option set's codes")]
    NotAnOption,
}

impl Refusal {
    pub fn code(self) -> &'static str {
        match self {
            Self::Empty => "dhis2-value-empty",
            Self::WrongType(_) => "dhis2-value-type",
            Self::NotAnOption => "dhis2-value-option",
        }
    }
}

/// The canonical text of a value: what is compared with what was sent before, and what is sent.
///
/// # Errors
/// [`Refusal`]: DHIS2 would refuse it, or store something else than was meant.
pub fn normalise(text: &str, rules: Rules<'_>) -> Result<String, Refusal> {
    let clean = without_controls(text);
    let clean = clean.trim();
    if clean.is_empty() {
        return Err(Refusal::Empty);
    }
    let value = typed(clean, rules.value_type).ok_or(Refusal::WrongType(rules.value_type))?;
    match rules.options {
        Some(options) if !is_option(&value, rules.value_type, options) => Err(Refusal::NotAnOption),
        _ => Ok(value),
    }
}

/// Control characters other than tab and line breaks are dropped: PostgreSQL cannot store NUL, and 2.43
/// then loses the whole request while it says SUCCESS.
pub fn without_controls(text: &str) -> String {
    text.chars().filter(|c| !c.is_control() || matches!(c, '\n' | '\r' | '\t')).collect()
}

/// Two texts for one value: `3` and `3.0`, `true` and `1`. Used where a cell is read back.
pub fn same(left: &str, right: &str, value_type: ValueType) -> bool {
    if left == right {
        return true;
    }
    matches!((typed(left.trim(), value_type), typed(right.trim(), value_type)), (Some(a), Some(b)) if a == b)
}

/// Zero: which 2.38 to 2.42 do not store where the data element says that zero is not significant.
pub fn is_zero(text: &str) -> bool {
    Decimal::from_str(text).is_ok_and(|number| number.is_zero())
}

fn typed(text: &str, value_type: ValueType) -> Option<String> {
    match value_type {
        ValueType::Number => number(text, None),
        ValueType::Integer => integer(text, i64::from(i32::MIN), i64::from(i32::MAX)),
        ValueType::IntegerPositive => integer(text, 1, i64::from(i32::MAX)),
        ValueType::IntegerNegative => integer(text, i64::from(i32::MIN), -1),
        ValueType::IntegerZeroOrPositive => integer(text, 0, i64::from(i32::MAX)),
        ValueType::Percentage => number(text, Some(100)),
        ValueType::UnitInterval => number(text, Some(1)),
        ValueType::Boolean => boolean(text).map(|value| value.to_string()),
        ValueType::TrueOnly => boolean(text)?.then(|| "true".to_owned()),
        ValueType::Date => shape::date(text),
        ValueType::DateTime => shape::date_time(text),
        ValueType::Time => shape::time(text),
        ValueType::PhoneNumber => shape::phone(text),
        ValueType::Email => shape::email(text),
        ValueType::Letter => shape::letter(text),
        ValueType::Coordinate => shape::coordinate(text),
        ValueType::Uid => shape::is_uid(text).then(|| text.to_owned()),
        ValueType::MultiText | ValueType::Text | ValueType::Other => {
            (text.chars().count() <= TEXT_LIMIT).then(|| text.to_owned())
        }
    }
}

/// `^(-?0|-?[1-9]\d*)(\.\d+)?$` is what DHIS2 takes: no plus sign, no leading zero, no exponent.
fn number(text: &str, at_most: Option<i64>) -> Option<String> {
    let number = decimal(text)?;
    if let Some(at_most) = at_most
        && (number < Decimal::ZERO || number > Decimal::from(at_most))
    {
        return None;
    }
    Some(number.to_string())
}

fn integer(text: &str, low: i64, high: i64) -> Option<String> {
    let number = decimal(text)?;
    let within = number.is_integer() && number >= Decimal::from(low) && number <= Decimal::from(high);
    within.then(|| number.to_string())
}

fn decimal(text: &str) -> Option<Decimal> {
    let plain = text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'.' | b'-' | b'+' | b'e' | b'E'));
    if !plain || text.starts_with('.') || text.ends_with('.') {
        return None;
    }
    let number = if text.contains(['e', 'E']) {
        Decimal::from_scientific(text).ok()?
    } else {
        Decimal::from_str_exact(text).ok()?
    };
    let number = number.normalize();
    Some(if number.is_zero() { Decimal::ZERO } else { number })
}

/// 2.38 to 2.42 take true, false, 1, 0, t, f; 2.43 also yes and no. All become true or false here.
fn boolean(text: &str) -> Option<bool> {
    match text.to_ascii_lowercase().as_str() {
        "true" | "t" | "1" | "yes" | "y" => Some(true),
        "false" | "f" | "0" | "no" | "n" => Some(false),
        _ => None,
    }
}

/// Option codes are compared as they are, case included.
fn is_option(value: &str, value_type: ValueType, options: &BTreeSet<String>) -> bool {
    match value_type {
        ValueType::MultiText => value.split(',').all(|code| options.contains(code.trim())),
        _ => options.contains(value),
    }
}

#[cfg(test)]
mod tests;
