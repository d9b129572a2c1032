//! Values with a shape: dates, times, phone numbers, coordinates, uids.

use std::str::FromStr;
use std::sync::LazyLock;

use jiff::civil;
use regex::Regex;

/// `^[0-9+\(\)#\.\s\/ext-]{6,50}$`, as DHIS2 has it.
static PHONE: LazyLock<Option<Regex>> = LazyLock::new(|| Regex::new(r"^[0-9+()#.\s/ext-]{6,50}$").ok());
static TIME: LazyLock<Option<Regex>> =
    LazyLock::new(|| Regex::new(r"^([0-9]|0[0-9]|1[0-9]|2[0-3]):[0-5][0-9]$").ok());

/// The date as its own writer saw it: of a date with a time, the day that is written.
pub(super) fn date(text: &str) -> Option<String> {
    let day = match text.split_once('T') {
        Some((day, _)) => {
            date_time(text)?;
            day
        }
        None => text,
    };
    if day.len() != 10 {
        return None;
    }
    Some(civil::Date::from_str(day).ok()?.to_string())
}

pub(super) fn date_time(text: &str) -> Option<String> {
    let (day, time) = text.split_once('T')?;
    if day.len() != 10 || time.len() < 5 {
        return None;
    }
    let offset = time.find(['Z', '+', '-']);
    let local = civil::DateTime::from_str(text.get(..11 + offset.unwrap_or(time.len()))?).ok()?;
    if offset.is_some() {
        jiff::Timestamp::from_str(text).ok()?;
        return Some(text.to_owned());
    }
    Some(local.to_string())
}

pub(super) fn time(text: &str) -> Option<String> {
    matches(&TIME, text)
}

pub(super) fn phone(text: &str) -> Option<String> {
    matches(&PHONE, text)
}

fn matches(pattern: &Option<Regex>, text: &str) -> Option<String> {
    pattern.as_ref()?.is_match(text).then(|| text.to_owned())
}

pub(super) fn email(text: &str) -> Option<String> {
    let (user, domain) = text.split_once('@')?;
    let fits = !user.is_empty()
        && domain.contains('.')
        && !domain.starts_with('.')
        && !domain.ends_with('.')
        && !text.contains(char::is_whitespace)
        && !domain.contains('@');
    fits.then(|| text.to_owned())
}

pub(super) fn letter(text: &str) -> Option<String> {
    let mut letters = text.chars();
    let first = letters.next()?;
    (first.is_alphabetic() && letters.next().is_none()).then(|| text.to_owned())
}

/// `[longitude,latitude]`
pub(super) fn coordinate(text: &str) -> Option<String> {
    let (longitude, latitude) = text.strip_prefix('[')?.strip_suffix(']')?.split_once(',')?;
    let within = |text: &str, limit: f64| {
        text.trim().parse::<f64>().is_ok_and(|number| number.is_finite() && number.abs() <= limit)
    };
    (within(longitude, 180.0) && within(latitude, 90.0))
        .then(|| format!("[{},{}]", longitude.trim(), latitude.trim()))
}

/// `^[a-zA-Z][a-zA-Z0-9]{10}$`
/// Whether a text is written like a uid.
pub fn is_uid(text: &str) -> bool {
    text.len() == 11
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric())
        && text.bytes().next().is_some_and(|byte| byte.is_ascii_alphabetic())
}
