//! UCUM: a measured number in another unit.

use octofhir_ucum::{Number, analyse};
use rust_decimal::Decimal;
use serde_json::Value;

use super::{Failure, number};

/// Digits that a converted value keeps, far more than any measurement has.
const SIGNIFICANT_DIGITS: u32 = 20;

/// Converts, exactly where both units are multiples of their base units.
///
/// # Errors
/// `unit` if the units do not fit, `number-range` if the value leaves the range.
pub fn convert(value: Decimal, from: &str, to: &str) -> Result<Value, Failure> {
    let (source, target) = (unit(from)?, unit(to)?);
    if source.special.is_some() || target.special.is_some() {
        return special(value, from, to);
    }
    let factor = |number: &Number| number::parse(&number.to_string()).map_err(|_| number::overflow());
    let result = value
        .checked_mul(factor(&source.factor)?)
        .and_then(|base| factor(&target.factor).ok().and_then(|divisor| base.checked_div(divisor)))
        .ok_or_else(number::overflow)?;
    Ok(rounded(result))
}

fn rounded(value: Decimal) -> Value {
    let rounded = value.round_sf(SIGNIFICANT_DIGITS).unwrap_or(value);
    number::json(rounded.normalize())
}

fn unit(code: &str) -> Result<octofhir_ucum::UnitAnalysis, Failure> {
    analyse(code).map_err(|_| Failure::new("unit", format!("`{code}` is not a UCUM unit")))
}

/// Units on a scale of their own (Celsius, Fahrenheit): the library's functions, rounded to what a float
/// carries.
fn special(value: Decimal, from: &str, to: &str) -> Result<Value, Failure> {
    let failure = || Failure::new("unit", format!("the value cannot be converted from `{from}` to `{to}`"));
    let float: f64 = value.to_string().parse().map_err(|_| failure())?;
    let converted = octofhir_ucum::convert(float, from, to).map_err(|_| failure())?;
    let decimal = Decimal::try_from(converted).map_err(|_| failure())?;
    Ok(number::json(decimal.round_sf(12).unwrap_or(decimal).normalize()))
}

/// Whether the two units measure the same.
///
/// # Errors
/// What is wrong, in words, and the unit that is meant.
pub fn check(from: &str, to: &str) -> Result<(), (String, String)> {
    for code in [from, to] {
        octofhir_ucum::validate(code)
            .map_err(|_| (format!("`{code}` is not a UCUM unit"), code.to_owned()))?;
    }
    match octofhir_ucum::is_comparable(from, to) {
        Ok(true) => Ok(()),
        _ => Err((format!("`{from}` cannot be converted to `{to}`"), to.to_owned())),
    }
}
