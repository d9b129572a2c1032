//! Numbers and quantities, with their implicit precision. <https://hl7.org/fhir/R4/search.html#number>

use rust_decimal::Decimal;
use rust_decimal::prelude::ToPrimitive;
use serde_json::Value;

use super::IndexValue;
use super::extract::Found;

const CURRENCY: &str = "urn:iso:std:iso:4217";

/// A decimal, exactly; `None` where it has more digits than a decimal of 96 bits or is no number.
pub fn decimal(text: &str) -> Option<Decimal> {
    Decimal::from_str_exact(text).ok().or_else(|| Decimal::from_scientific(text).ok())
}

/// What a searched number stands for: `100` is `[99.5, 100.5)`, `5.40` is `[5.395, 5.405)`. The upper end
/// is given as the largest number below it, so that both ends belong to the range.
pub fn implicit(text: &str) -> Option<(f64, f64)> {
    let value = decimal(text)?;
    let half = half_of_last_digit(text)?;
    let low = value.checked_sub(half)?.to_f64()?;
    Some((low, value.checked_add(half)?.to_f64()?.next_down()))
}

/// Half of the last written digit: 0.5 for `100`, 0.005 for `5.40`, 50 for `1e2`.
fn half_of_last_digit(text: &str) -> Option<Decimal> {
    let (mantissa, exponent) = match text.split_once(['e', 'E']) {
        Some((mantissa, exponent)) => (mantissa, exponent.parse::<i32>().ok()?),
        None => (text, 0),
    };
    let fraction = mantissa.split_once('.').map_or(0, |(_, fraction)| fraction.len());
    let power = exponent.checked_sub(i32::try_from(fraction).ok()?)?;
    let digits = power.unsigned_abs();
    if power < 0 {
        return Decimal::try_new(5, digits.checked_add(1)?).ok();
    }
    Decimal::new(5, 1).checked_mul(Decimal::from(10i64.checked_pow(digits)?))
}

pub(super) fn float(value: Option<&Value>) -> Option<f64> {
    let Value::Number(number) = value? else { return None };
    let text = number.to_string();
    decimal(&text)
        .and_then(|decimal| decimal.to_f64())
        .or_else(|| text.parse().ok())
        .filter(|f: &f64| f.is_finite())
}

pub(super) fn number(found: Found<'_>) -> Option<IndexValue> {
    let (low, high) = match found.kind {
        "Range" => range(found.value)?,
        _ => float(Some(found.value)).map(|value| (value, value))?,
    };
    Some(IndexValue::Number { low, high })
}

fn range(value: &Value) -> Option<(f64, f64)> {
    match (float(value.pointer("/low/value")), float(value.pointer("/high/value"))) {
        (None, None) => None,
        (low, high) => Some((low.unwrap_or(f64::MIN), high.unwrap_or(f64::MAX))),
    }
}

pub(super) fn quantities(found: Found<'_>) -> Vec<IndexValue> {
    let value = found.value;
    match found.kind {
        "Money" => {
            let currency = serde_json::json!({ "system": CURRENCY, "code": value.get("currency") });
            with_unit(float(value.get("value")).map(|v| (v, v)), &currency)
        }
        "Range" => {
            let unit = value.get("low").or_else(|| value.get("high")).unwrap_or(&Value::Null);
            with_unit(range(value), unit)
        }
        "SampledData" => with_unit(sampled(value), value.get("origin").unwrap_or(&Value::Null)),
        _ => with_unit(compared(value), value),
    }
}

/// `<5` is everything below 5.
fn compared(value: &Value) -> Option<(f64, f64)> {
    let exact = float(value.get("value"))?;
    Some(match value.get("comparator").and_then(Value::as_str) {
        Some("<") => (f64::MIN, exact.next_down()),
        Some("<=") => (f64::MIN, exact),
        Some(">") => (exact.next_up(), f64::MAX),
        Some(">=") => (exact, f64::MAX),
        _ => (exact, exact),
    })
}

/// The limits of what was sampled, or its origin.
fn sampled(value: &Value) -> Option<(f64, f64)> {
    let origin = float(value.pointer("/origin/value"))?;
    let factor = float(value.get("factor")).unwrap_or(1.0);
    match (float(value.get("lowerLimit")), float(value.get("upperLimit"))) {
        (Some(low), Some(high)) => Some((origin + factor * low, origin + factor * high)),
        _ => Some((origin, origin)),
    }
}

fn with_unit(range: Option<(f64, f64)>, unit: &Value) -> Vec<IndexValue> {
    let Some((low, high)) = range else { return Vec::new() };
    let text = |key: &str| unit.get(key).and_then(Value::as_str).unwrap_or_default().to_owned();
    let (system, code, shown) = (text("system"), text("code"), text("unit"));
    let mut out = Vec::new();
    if !shown.is_empty() && shown != code {
        out.push(IndexValue::Quantity { low, high, system: String::new(), code: shown });
    }
    if out.is_empty() || !code.is_empty() {
        out.push(IndexValue::Quantity { low, high, system, code });
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn precision_is_half_of_the_last_digit() {
        let within = |text: &str, value: f64| {
            let (low, high) = implicit(text).unwrap();
            low <= value && value <= high
        };
        assert!(within("100", 99.5) && within("100", 100.4) && !within("100", 100.5));
        assert!(within("100.00", 100.0) && !within("100.00", 100.4));
        assert!(within("1e2", 51.0) && !within("1e2", 151.0));
        assert!(within("-0.5", -0.52));
        assert!(implicit("x").is_none() && implicit("").is_none() && implicit("1e99").is_none());
    }
}
