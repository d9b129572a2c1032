//! Several values become one: `at`, `first`, `last`, `count`, `sum`, `min`, `max`, `join`.

use std::cmp::Ordering;

use jiff::tz::TimeZone;
use rust_decimal::Decimal;
use serde_json::Value;

use super::moment::Moment;
use super::{Failure, MAX_TEXT, not_scalar, number, text_of};
use crate::mapping::expression::Reduce;

/// Reduces a list, which is never empty: an empty list is absence. `None`: `at` beyond the end.
///
/// # Errors
/// A value that cannot be summed, compared or joined.
pub fn reduce(how: &Reduce, values: &[Value], zone: &TimeZone) -> Result<Option<Value>, Failure> {
    match how {
        Reduce::First => Ok(values.first().cloned()),
        Reduce::Last => Ok(values.last().cloned()),
        Reduce::At(index) => Ok(at(values, *index)),
        Reduce::Count => Ok(Some(Value::from(values.len()))),
        Reduce::Sum => sum(values).map(Some),
        Reduce::Min => extreme(values, Ordering::Less, zone),
        Reduce::Max => extreme(values, Ordering::Greater, zone),
        Reduce::Join(separator) => join(values, separator).map(Some),
    }
}

/// From zero; negative from the end, as in JSONPath.
fn at(values: &[Value], index: i64) -> Option<Value> {
    let position = if index < 0 {
        values.len().checked_sub(usize::try_from(index.unsigned_abs()).ok()?)?
    } else {
        usize::try_from(index).ok()?
    };
    values.get(position).cloned()
}

fn sum(values: &[Value]) -> Result<Value, Failure> {
    let mut total = Decimal::ZERO;
    for value in values {
        total = total.checked_add(number::decimal(value)?).ok_or_else(number::overflow)?;
    }
    Ok(number::json(total))
}

fn extreme(values: &[Value], wanted: Ordering, zone: &TimeZone) -> Result<Option<Value>, Failure> {
    let mut best: Option<&Value> = None;
    for value in values {
        best = match best {
            None => Some(value),
            Some(held) if compare(value, held, zone)? == wanted => Some(value),
            held => held,
        };
    }
    // A single value is compared with itself, so that `max` of one text is refused like that of two.
    if let Some(only) = best {
        compare(only, only, zone)?;
    }
    Ok(best.cloned())
}

/// Numbers with numbers, dates with dates.
///
/// # Errors
/// `not-comparable`
pub fn compare(left: &Value, right: &Value, zone: &TimeZone) -> Result<Ordering, Failure> {
    if let (Ok(left), Ok(right)) = (number::decimal(left), number::decimal(right)) {
        return Ok(left.cmp(&right));
    }
    match (Moment::of(left, zone), Moment::of(right, zone)) {
        (Ok(left), Ok(right)) => Ok(left.instant(zone)?.cmp(&right.instant(zone)?)),
        _ => Err(Failure::new("not-comparable", "only two numbers or two dates can be compared")
            .hint("give `type: number` or `type: date`")),
    }
}

fn join(values: &[Value], separator: &str) -> Result<Value, Failure> {
    let mut text = String::new();
    for (index, value) in values.iter().enumerate() {
        if index > 0 {
            text.push_str(separator);
        }
        text.push_str(&text_of(value).ok_or_else(|| not_scalar(value))?);
        if text.len() > MAX_TEXT {
            return Err(Failure::new(
                "text-too-long",
                format!("the joined text has more than {MAX_TEXT} bytes"),
            ));
        }
    }
    Ok(Value::String(text))
}
