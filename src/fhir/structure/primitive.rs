//! The formats of R4's primitive types. <https://hl7.org/fhir/R4/datatypes.html#primitive>
//!
//! **Never** decides anything but the lexical form (and that a date exists in the calendar).

use super::narrative;
use crate::fhir::elements::Primitive;
use serde_json::Value;

/// What is wrong with a primitive, as a sentence. `None`: nothing.
pub fn fault(kind: Primitive, value: &Value) -> Option<&'static str> {
    match kind {
        Primitive::Boolean => (!value.is_boolean()).then_some("a boolean is true or false, without quotes"),
        Primitive::Decimal => match value {
            Value::Number(_) => None,
            _ => Some("a decimal is a JSON number, without quotes"),
        },
        Primitive::Integer => integer(value, i64::from(i32::MIN)),
        Primitive::UnsignedInt => integer(value, 0),
        Primitive::PositiveInt => integer(value, 1),
        _ => match value.as_str() {
            None => Some("this element is a JSON string"),
            Some("") => Some("a string is not empty; leave the element out"),
            Some(text) => text_fault(kind, text),
        },
    }
}

fn integer(value: &Value, lowest: i64) -> Option<&'static str> {
    let Value::Number(number) = value else { return Some("an integer is a JSON number, without quotes") };
    match number.to_string().parse::<i64>() {
        Ok(number) if number < lowest => Some("this integer is below what its type allows"),
        Ok(number) if number > i64::from(i32::MAX) => Some("an integer has at most 32 bits"),
        Ok(_) => None,
        Err(_) => Some("an integer has neither a fraction nor an exponent, and at most 32 bits"),
    }
}

fn text_fault(kind: Primitive, text: &str) -> Option<&'static str> {
    let (good, fault) = match kind {
        Primitive::Code => (is_code(text), "a code has no leading, trailing or doubled spaces"),
        Primitive::Id => (is_id(text), "an id is 1 to 64 letters, digits, '-' and '.'"),
        Primitive::Uri | Primitive::Url | Primitive::Canonical => (is_uri(text), "a uri has no spaces"),
        Primitive::Oid => (is_oid(text), "an oid looks like urn:oid:1.2.3"),
        Primitive::Uuid => (is_uuid(text), "a uuid looks like urn:uuid:c757873d-ec9a-4326-a141-556f43239520"),
        Primitive::Date => (is_date(text), "a date is YYYY, YYYY-MM or YYYY-MM-DD"),
        Primitive::DateTime => (
            is_date_time(text),
            "a dateTime is YYYY, YYYY-MM, YYYY-MM-DD or YYYY-MM-DDThh:mm:ss with a zone (Z or +hh:mm)",
        ),
        Primitive::Instant => {
            (is_instant(text), "an instant is YYYY-MM-DDThh:mm:ss with a zone (Z or +hh:mm)")
        }
        Primitive::Time => (is_time(text), "a time is hh:mm:ss"),
        Primitive::Base64Binary => (is_base64(text), "base64Binary is base64"),
        Primitive::Xhtml => return narrative::fault(text),
        _ => (is_text(text), "a string has no control characters"),
    };
    (!good).then_some(fault)
}

/// `[ \r\n\t\S]+`
fn is_text(text: &str) -> bool {
    text.chars().all(|c| !c.is_control() || matches!(c, '\t' | '\n' | '\r' | '\u{80}'..='\u{9f}'))
}

/// `[^\s]+(\s[^\s]+)*`
fn is_code(text: &str) -> bool {
    is_text(text) && text.split(char::is_whitespace).all(|word| !word.is_empty())
}

/// `[A-Za-z0-9\-\.]{1,64}`
pub fn is_id(text: &str) -> bool {
    (1..=64).contains(&text.len())
        && text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'.')
}

fn is_uri(text: &str) -> bool {
    !text.chars().any(|c| c.is_whitespace() || c.is_control())
}

/// Whether a uri has a scheme.
pub(super) fn is_absolute(uri: &str) -> bool {
    uri.split_once(':').is_some_and(|(scheme, _)| {
        let fits = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'-' | b'.');
        scheme.starts_with(|c: char| c.is_ascii_alphabetic()) && scheme.bytes().all(fits)
    })
}

/// `urn:oid:[0-2](\.(0|[1-9][0-9]*))+`
fn is_oid(text: &str) -> bool {
    let Some(oid) = text.strip_prefix("urn:oid:") else { return false };
    let mut parts = oid.split('.');
    let first = parts.next().is_some_and(|part| matches!(part, "0" | "1" | "2"));
    let mut rest = parts.peekable();
    let number = |part: &str| {
        !part.is_empty()
            && part.bytes().all(|b| b.is_ascii_digit())
            && (part == "0" || !part.starts_with('0'))
    };
    first && rest.peek().is_some() && rest.all(number)
}

fn is_uuid(text: &str) -> bool {
    text.strip_prefix("urn:uuid:").is_some_and(|uuid| uuid.len() == 36 && uuid::Uuid::try_parse(uuid).is_ok())
}

/// Digits of a fixed length, within bounds.
fn digits(text: &str, length: usize, range: std::ops::RangeInclusive<u32>) -> bool {
    text.len() == length
        && text.bytes().all(|b| b.is_ascii_digit())
        && text.parse().is_ok_and(|number| range.contains(&number))
}

fn is_date(text: &str) -> bool {
    let mut parts = text.split('-');
    let year = parts.next().is_some_and(|year| digits(year, 4, 1..=9999));
    let month = parts.next().map(|month| digits(month, 2, 1..=12));
    let day = parts.next().map(|day| digits(day, 2, 1..=31));
    let exists = day.is_none() || text.parse::<jiff::civil::Date>().is_ok();
    year && month != Some(false) && day != Some(false) && parts.next().is_none() && exists
}

fn is_date_time(text: &str) -> bool {
    if text.contains('T') { is_instant(text) } else { is_date(text) }
}

fn is_instant(text: &str) -> bool {
    let Some((date, time)) = text.split_once('T') else { return false };
    let Some(zone_at) = time.find(['Z', '+', '-']) else { return false };
    let (clock, zone) = time.split_at(zone_at);
    date.len() == 10 && is_date(date) && is_time(clock) && is_zone(zone)
}

/// `([01][0-9]|2[0-3]):[0-5][0-9]:([0-5][0-9]|60)(\.[0-9]+)?`
fn is_time(text: &str) -> bool {
    let (clock, fraction) = match text.split_once('.') {
        Some((clock, fraction)) => (clock, Some(fraction)),
        None => (text, None),
    };
    let parts: Vec<&str> = clock.split(':').collect();
    let [hour, minute, second] = parts.as_slice() else { return false };
    let fraction_good = fraction.is_none_or(|f| !f.is_empty() && f.bytes().all(|b| b.is_ascii_digit()));
    digits(hour, 2, 0..=23) && digits(minute, 2, 0..=59) && digits(second, 2, 0..=60) && fraction_good
}

/// `Z|(\+|-)((0[0-9]|1[0-3]):[0-5][0-9]|14:00)`
fn is_zone(text: &str) -> bool {
    let Some((hour, minute)) = text.get(1..).and_then(|zone| zone.split_once(':')) else {
        return text == "Z";
    };
    (digits(hour, 2, 0..=13) && digits(minute, 2, 0..=59)) || (hour == "14" && minute == "00")
}

/// Whitespace is allowed between the letters.
fn is_base64(text: &str) -> bool {
    let letters = text.bytes().filter(|b| !b.is_ascii_whitespace());
    let (mut count, mut padding) = (0usize, 0usize);
    for letter in letters {
        count += 1;
        match letter {
            b'=' => padding += 1,
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'+' | b'/' if padding == 0 => {}
            _ => return false,
        }
    }
    count % 4 == 0 && padding <= 2
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn good(kind: Primitive, value: Value) -> bool {
        fault(kind, &value).is_none()
    }

    #[test]
    fn dates() {
        for text in ["2024", "2024-02", "2024-02-29"] {
            assert!(good(Primitive::Date, json!(text)), "{text}");
        }
        for text in ["24", "2024-13", "2023-02-29", "2024-2-1", "2024-02-29T00:00:00Z", ""] {
            assert!(!good(Primitive::Date, json!(text)), "{text}");
        }
        for text in ["2024", "2024-02-29T10:00:00Z", "2024-02-29T10:00:00.123+05:30"] {
            assert!(good(Primitive::DateTime, json!(text)), "{text}");
        }
        for text in
            ["2024-02-29T10:00:00", "2024-02-29T10:00Z", "2024-02-29T25:00:00Z", "2024-02-29T10:00:00+15:00"]
        {
            assert!(!good(Primitive::DateTime, json!(text)), "{text}");
        }
        assert!(!good(Primitive::Instant, json!("2024-02-29")));
    }

    #[test]
    fn numbers() {
        assert!(good(Primitive::Integer, json!(-5)) && !good(Primitive::Integer, json!("5")));
        assert!(!good(Primitive::Integer, json!(5.5)) && !good(Primitive::Integer, json!(5_000_000_000_i64)));
        assert!(!good(Primitive::PositiveInt, json!(0)) && good(Primitive::UnsignedInt, json!(0)));
        assert!(good(Primitive::Decimal, json!(1.50)) && !good(Primitive::Decimal, json!("1.5")));
    }

    #[test]
    fn identifiers() {
        assert!(good(Primitive::Id, json!("a-b.C9")) && !good(Primitive::Id, json!("a_b")));
        assert!(good(Primitive::Oid, json!("urn:oid:1.2.3")) && !good(Primitive::Oid, json!("1.2.3")));
        assert!(good(Primitive::Uuid, json!("urn:uuid:c757873d-ec9a-4326-a141-556f43239520")));
        assert!(!good(Primitive::Uri, json!("http://a b")));
        assert!(good(Primitive::Code, json!("a b")) && !good(Primitive::Code, json!("a  b")));
        assert!(
            good(Primitive::Base64Binary, json!("aGVsbG8=")) && !good(Primitive::Base64Binary, json!("a*=="))
        );
    }
}
