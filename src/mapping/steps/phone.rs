//! Phone numbers to E.164.

use phonenumber::{Mode, country};
use serde_json::Value;

use super::Failure;

/// Longest text that is looked at: no number is longer, with all its spaces.
const MAX_LENGTH: usize = 40;

/// `+250788123456`
///
/// # Errors
/// `phone-country` when a national number comes without a country, `phone-invalid` otherwise. The number
/// itself is not in the message: it is personal.
pub fn e164(text: &str, country: Option<&str>) -> Result<Value, Failure> {
    let text = text.trim();
    let text = text.strip_prefix("tel:").unwrap_or(text);
    let region = country.and_then(country_id);
    if region.is_none() && !text.starts_with('+') {
        return Err(Failure::new(
            "phone-country",
            "a phone number without a country code, and no country is known",
        )
        .hint("give `country: RW` beside `type: phone`, or in the configuration of the RapidPro workspace"));
    }
    if text.len() > MAX_LENGTH || !text.bytes().any(|byte| byte.is_ascii_digit()) {
        return Err(invalid());
    }
    let number = phonenumber::parse(region, text).map_err(|_| invalid())?;
    if !phonenumber::is_valid(&number) {
        return Err(invalid());
    }
    Ok(Value::String(number.format().mode(Mode::E164).to_string()))
}

fn invalid() -> Failure {
    Failure::new("phone-invalid", "not a phone number that exists in the numbering plan of its country")
}

/// ISO 3166-1 alpha-2 to the library's country.
pub fn country_id(code: &str) -> Option<country::Id> {
    code.to_ascii_uppercase().parse().ok()
}
