//! Value types.
//!
//! What DHIS2 stores for a text that a client sends, or why it does not; after `ValidationUtils`.

use jiff::civil;
use rust_decimal::Decimal;

use super::Version;
use super::country::{Country, DataElement};

const LONGEST: usize = 50_000;

/// Why a text is no value of its element's type.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Wrong {
    /// Key and sentence, such as `value_not_integer`.
    Type(&'static str, &'static str),
    Option,
}

/// The text as it is stored.
pub(super) fn check(
    version: Version,
    country: &Country,
    element: &DataElement,
    text: &str,
) -> Result<String, Wrong> {
    if text.chars().count() > LONGEST {
        return Err(Wrong::Type(
            "value_length_greater_than_max_length",
            "Data value is greater than max length",
        ));
    }
    let stored = typed(version, &element.value_type, text)?;
    if let Some(set) = &element.option_set {
        let known = country.option_sets.iter().find(|own| own.id == *set);
        if !known.is_some_and(|set| set.options.iter().any(|(_, code, _)| *code == stored)) {
            return Err(Wrong::Option);
        }
    }
    Ok(stored)
}

fn typed(version: Version, kind: &str, text: &str) -> Result<String, Wrong> {
    let as_is = |fits: bool, key, sentence| {
        if fits { Ok(text.to_owned()) } else { Err(Wrong::Type(key, sentence)) }
    };
    let whole = |text: &str| if is_integer(text) { text.parse::<i32>().ok() } else { None };
    // 2.43 takes "12.0" for 12.
    let cut = text.strip_suffix(".0").filter(|_| version == Version::V2_43).unwrap_or(text);
    let integer = |fits: fn(i32) -> bool, key, sentence| {
        if whole(cut).is_some_and(fits) { Ok(cut.to_owned()) } else { Err(Wrong::Type(key, sentence)) }
    };
    match kind {
        "INTEGER" => integer(|_| true, "value_not_integer", "Data value is not an integer"),
        "INTEGER_POSITIVE" => {
            integer(|n| n > 0, "value_not_positive_integer", "Data value is not a positive integer")
        }
        "INTEGER_NEGATIVE" => {
            integer(|n| n < 0, "value_not_negative_integer", "Data value is not a negative integer")
        }
        "INTEGER_ZERO_OR_POSITIVE" => integer(
            |n| n >= 0,
            "value_not_zero_or_positive_integer",
            "Data value is not a zero or positive integer",
        ),
        "NUMBER" => as_is(is_number(text), "value_not_numeric", "Data value is not numeric"),
        "PERCENTAGE" => as_is(in_range(text, 100), "value_not_percentage", "Data value is not a percentage"),
        "UNIT_INTERVAL" => {
            as_is(in_range(text, 1), "value_not_unit_interval", "Data value is not a unit interval")
        }
        "BOOLEAN" => boolean(version, text),
        "TRUE_ONLY" => as_is(text == "true", "value_not_true_only", "Data value is not true only"),
        "DATE" => {
            let day = text.get(..10).unwrap_or(text);
            as_is(
                day.parse::<civil::Date>().is_ok(),
                "value_not_valid_date",
                "Data value is not a valid date",
            )
        }
        _ => Ok(text.to_owned()),
    }
}

/// Whether a text is a value of a type for tracker, which stores it as it came.
pub(super) fn typed_for_tracker(kind: &str, text: &str) -> Result<(), Wrong> {
    let fits = |fits: bool, key, sentence| if fits { Ok(()) } else { Err(Wrong::Type(key, sentence)) };
    match kind {
        "PHONE_NUMBER" => fits(
            (6..=50).contains(&text.len()) && text.bytes().all(|b| b"0123456789+()#. /ext-".contains(&b)),
            "value_not_phone_number",
            "Data value is not a phone number",
        ),
        "DATETIME" => fits(
            text.get(..10).is_some_and(|day| day.parse::<civil::Date>().is_ok())
                && super::super::time::parse(text).is_some(),
            "value_not_valid_datetime",
            "Data value is not a valid datetime",
        ),
        // The reading of the older importer: 2.43 relaxed only that of data values.
        kind => typed(Version::V2_40, kind, text).map(|_| ()),
    }
}

fn boolean(version: Version, text: &str) -> Result<String, Wrong> {
    let new = version == Version::V2_43;
    match text.to_lowercase().as_str() {
        "true" | "t" | "1" => Ok("true".to_owned()),
        "false" | "f" | "0" => Ok("false".to_owned()),
        "yes" | "y" if new => Ok("true".to_owned()),
        "no" | "n" if new => Ok("false".to_owned()),
        _ => Err(Wrong::Type("value_not_bool", "Data value is not a boolean")),
    }
}

/// `^(0|-?[1-9]\d*)$`
fn is_integer(text: &str) -> bool {
    let digits = text.strip_prefix('-').unwrap_or(text);
    let begins_well = !digits.starts_with('0') || text == "0";
    !digits.is_empty() && begins_well && digits.bytes().all(|b| b.is_ascii_digit())
}

/// `^(-?0|-?[1-9]\d*)(\.\d+)?$`
fn is_number(text: &str) -> bool {
    let (whole, fraction) = text.split_once('.').map_or((text, None), |(whole, rest)| (whole, Some(rest)));
    let fraction_fits =
        fraction.is_none_or(|rest| !rest.is_empty() && rest.bytes().all(|b| b.is_ascii_digit()));
    (is_integer(whole) || whole == "-0") && fraction_fits && text.len() < 250
}

fn in_range(text: &str, most: i64) -> bool {
    let number = text.parse::<Decimal>().ok().filter(|_| is_number(text));
    number.is_some_and(|number| number >= Decimal::ZERO && number <= Decimal::from(most))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn as_recorded() {
        let table = [
            ("INTEGER", "12", Some("12"), Some("12")),
            ("INTEGER", "12.0", None, Some("12")),
            ("INTEGER", "12.5", None, None),
            ("INTEGER", "012", None, None),
            ("INTEGER", "+1", None, None),
            ("INTEGER", " 1", None, None),
            ("INTEGER", "-5", Some("-5"), Some("-5")),
            ("INTEGER", "99999999999", None, None),
            ("INTEGER_ZERO_OR_POSITIVE", "-1", None, None),
            ("INTEGER_ZERO_OR_POSITIVE", "0", Some("0"), Some("0")),
            ("NUMBER", "1e3", None, None),
            ("NUMBER", "1,5", None, None),
            ("NUMBER", "1.", None, None),
            ("NUMBER", "12.50", Some("12.50"), Some("12.50")),
            ("BOOLEAN", "yes", None, Some("true")),
            ("BOOLEAN", "1", Some("true"), Some("true")),
            ("BOOLEAN", "True", Some("true"), Some("true")),
            ("BOOLEAN", "maybe", None, None),
            ("PERCENTAGE", "101", None, None),
            ("PERCENTAGE", "99.5", Some("99.5"), Some("99.5")),
            ("DATE", "01/09/2026", None, None),
            ("DATE", "2026-09-01", Some("2026-09-01"), Some("2026-09-01")),
        ];
        for (kind, text, old, new) in table {
            assert_eq!(typed(Version::V2_40, kind, text).ok().as_deref(), old, "2.40 {kind} {text}");
            assert_eq!(typed(Version::V2_43, kind, text).ok().as_deref(), new, "2.43 {kind} {text}");
        }
    }
}
