//! URNs: how RapidPro names a way to reach a contact, `tel:+250788383383`.
//!
//! **Pure.** RapidPro normalises phone numbers with the workspace's country; here they are normalised
//! before, so that the owner can be looked up and the same number is never sent twice in one body
//! (RapidPro answers that with 500).

/// The schemes of RapidPro 7.4 to 26. An unknown one is refused by RapidPro with 400.
pub const SCHEMES: &[&str] = &[
    "discord",
    "ext",
    "facebook",
    "fcm",
    "freshchat",
    "instagram",
    "jiochat",
    "line",
    "mailto",
    "rocketchat",
    "slack",
    "tel",
    "telegram",
    "twitter",
    "twitterid",
    "viber",
    "vk",
    "webchat",
    "wechat",
    "whatsapp",
];

/// Why a text is no URN. Holds no part of the text: it may be a phone number.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum UrnError {
    #[error("this is neither a phone number nor `scheme:path`")]
    Unreadable,
    #[error("RapidPro knows no scheme `{scheme}:`")]
    Scheme { scheme: String, suggestion: Option<&'static str> },
    #[error("this is not a phone number that can be dialled")]
    Phone,
    #[error("a `{scheme}:` URN holds digits only")]
    Digits { scheme: String },
    #[error("the URN has no path, or more than 255 characters")]
    Length,
}

/// The URN that RapidPro would make of this text: a phone number becomes `tel:+…`, `country` (ISO 3166
/// alpha-2) helps where it has no country code.
///
/// # Errors
/// [`UrnError`].
pub fn normalise(text: &str, country: Option<&str>) -> Result<String, UrnError> {
    let text = text.trim();
    match text.split_once(':') {
        None if looks_like_phone(text) => phone(text, country),
        None => Err(UrnError::Unreadable),
        Some((scheme, path)) => with_scheme(scheme.trim(), path.trim(), country),
    }
}

fn with_scheme(scheme: &str, path: &str, country: Option<&str>) -> Result<String, UrnError> {
    let lower = scheme.to_ascii_lowercase();
    if !SCHEMES.contains(&lower.as_str()) {
        let suggestion = SCHEMES.iter().copied().find(|known| strsim::levenshtein(known, &lower) <= 2);
        return Err(UrnError::Scheme { scheme: scheme.chars().take(20).collect(), suggestion });
    }
    if path.is_empty() || path.len() > 255 {
        return Err(UrnError::Length);
    }
    match lower.as_str() {
        "tel" => phone(path, country),
        "whatsapp" | "telegram" => digits(&lower, path),
        "mailto" => Ok(format!("mailto:{}", path.to_lowercase())),
        _ => Ok(format!("{lower}:{path}")),
    }
}

/// `whatsapp:` refuses a leading plus sign.
fn digits(scheme: &str, path: &str) -> Result<String, UrnError> {
    let path = path.trim_start_matches('+');
    if path.is_empty() || !path.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(UrnError::Digits { scheme: scheme.to_owned() });
    }
    Ok(format!("{scheme}:{path}"))
}

fn looks_like_phone(text: &str) -> bool {
    let allowed = |c: char| c.is_ascii_digit() || " +-().\u{a0}/".contains(c);
    !text.is_empty() && text.len() <= 40 && text.chars().all(allowed)
}

fn phone(text: &str, country: Option<&str>) -> Result<String, UrnError> {
    if !looks_like_phone(text) {
        return Err(UrnError::Phone);
    }
    let digits: String = text.chars().filter(|c| c.is_ascii_digit()).collect();
    let plus = if text.trim_start().starts_with('+') || text.starts_with("00") { "+" } else { "" };
    let dialled =
        format!("{plus}{}", if text.starts_with("00") { digits.get(2..).unwrap_or("") } else { &digits });
    let region = country.and_then(|country| country.to_ascii_uppercase().parse().ok());
    let mut parsed = phonenumber::parse(region, &dialled);
    if plus.is_empty() && !parsed.as_ref().is_ok_and(is_possible) {
        // A number with its country code but without the plus sign, as many registers keep it.
        parsed = phonenumber::parse(None, format!("+{digits}"));
    }
    let number = parsed.map_err(|_| UrnError::Phone)?;
    if !is_possible(&number) {
        return Err(UrnError::Phone);
    }
    Ok(format!("tel:{}", number.format().mode(phonenumber::Mode::E164)))
}

/// RapidPro asks whether a number is possible (by its length), not whether it is assigned.
fn is_possible(number: &phonenumber::PhoneNumber) -> bool {
    let length = u16::try_from(number.national().to_string().len()).unwrap_or(u16::MAX);
    let regions = phonenumber::metadata::DATABASE.by_code(&number.country().code()).unwrap_or_default();
    let kinds = [phonenumber::Type::Mobile, phonenumber::Type::FixedLine, phonenumber::Type::Voip];
    regions.iter().any(|region| {
        let descriptors = kinds.iter().filter_map(|kind| region.descriptors().get(*kind));
        descriptors.flat_map(|descriptor| descriptor.possible_length()).any(|possible| *possible == length)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, expected: &str) {
        assert_eq!(normalise(text, Some("RW")).as_deref(), Ok(expected), "{text}");
    }

    #[test]
    fn phone_numbers_become_e164() {
        check("0788383384", "tel:+250788383384");
        check("tel:0788383384", "tel:+250788383384");
        check("+250 788-383-384", "tel:+250788383384");
        check("250788383384", "tel:+250788383384");
        check("00250788383384", "tel:+250788383384");
        check("tel:+250788383384", "tel:+250788383384");
        check("+12065551212", "tel:+12065551212");
    }

    #[test]
    fn other_schemes_keep_their_path() {
        check("ext:Patient/9f8e-77", "ext:Patient/9f8e-77");
        check("EXT:AbC", "ext:AbC");
        check("whatsapp:+250788383392", "whatsapp:250788383392");
        check("telegram:12345", "telegram:12345");
        check("mailto:A@Example.org", "mailto:a@example.org");
    }

    /// What RapidPro refused when it was asked: contacts_post_invalid_phone_*, contacts_post_urn_*.
    #[test]
    fn what_rapidpro_refuses_is_refused_here() {
        for text in ["tel:+2507", "tel:abcdef", "tel:8833", "tel:+250123", "fhir:123", "", "tel:", "Jean"] {
            assert!(normalise(text, Some("RW")).is_err(), "{text}");
        }
    }

    #[test]
    fn an_unknown_scheme_gets_a_suggestion() {
        assert_eq!(
            normalise("whatsap:250788383392", None),
            Err(UrnError::Scheme { scheme: "whatsap".to_owned(), suggestion: Some("whatsapp") })
        );
    }

    #[test]
    fn without_a_country_a_national_number_is_refused() {
        assert_eq!(normalise("0788383384", None), Err(UrnError::Phone));
    }
}
