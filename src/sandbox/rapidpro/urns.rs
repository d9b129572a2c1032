//! URNs as RapidPro normalises them.

use phonenumber::Mode;

const PLAIN: &[&str] = &[
    "discord",
    "ext",
    "facebook",
    "fcm",
    "freshchat",
    "instagram",
    "line",
    "rocketchat",
    "slack",
    "twitterid",
    "viber",
    "vk",
    "webchat",
    "wechat",
];

/// `tel:0788 383 383` → `tel:+250788383383`; `None` where RapidPro refuses it.
pub(super) fn normalise(text: &str, country: &str) -> Option<String> {
    let (scheme, path) = text.trim().split_once(':')?;
    let path = path.trim();
    if path.is_empty() {
        return None;
    }
    match scheme {
        "tel" => telephone(path, country).map(|number| format!("tel:{number}")),
        "whatsapp" | "telegram" => {
            path.bytes().all(|b| b.is_ascii_digit()).then(|| format!("{scheme}:{path}"))
        }
        "mailto" => (path.contains('@')).then(|| format!("mailto:{}", path.to_lowercase())),
        plain => PLAIN.contains(&plain).then(|| format!("{plain}:{path}")),
    }
}

fn telephone(path: &str, country: &str) -> Option<String> {
    let country = country.parse().ok();
    let parsed =
        |text: &str| phonenumber::parse(country, text).ok().filter(phonenumber::PhoneNumber::is_valid);
    let digits: String = path.chars().filter(|c| c.is_ascii_digit() || *c == '+').collect();
    if path.chars().any(char::is_alphabetic) {
        return None;
    }
    // A number without "+" that begins with its country code is taken for an international one.
    let number = parsed(&digits).or_else(|| parsed(&format!("+{digits}")))?;
    Some(number.format().mode(Mode::E164).to_string())
}

/// Whether a channel of the workspace reaches this URN.
pub(super) fn has_channel(urn: &str) -> bool {
    urn.starts_with("tel:") || urn.starts_with("whatsapp:")
}

/// `+250788111001` → `0788 111 001`, as run lists show it.
pub(super) fn display(urn: &str, country: &str) -> String {
    let path = urn.split_once(':').map_or(urn, |(_, path)| path);
    if !urn.starts_with("tel:") {
        return path.to_owned();
    }
    match phonenumber::parse(country.parse().ok(), path) {
        Ok(number) => number.format().mode(Mode::National).to_string(),
        Err(_) => path.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn as_recorded() {
        let table = [
            ("tel:0788383384", Some("tel:+250788383384")),
            ("tel:250788383385", Some("tel:+250788383385")),
            ("tel:+250 788-383-386", Some("tel:+250788383386")),
            ("tel:+254722123456", Some("tel:+254722123456")),
            ("tel:+250123", None),
            ("tel:+2507", None),
            ("tel:8833", None),
            ("tel:abcdef", None),
            ("+250788383390", None),
            ("fhir:123", None),
            ("EXT:AbC", None),
            ("ext:Patient/9f8e-77", Some("ext:Patient/9f8e-77")),
            ("whatsapp:+250788383392", None),
            ("whatsapp:250788383391", Some("whatsapp:250788383391")),
            ("telegram:3527065", Some("telegram:3527065")),
            ("mailto:a@b.org", Some("mailto:a@b.org")),
        ];
        for (given, wanted) in table {
            assert_eq!(normalise(given, "RW").as_deref(), wanted, "{given}");
        }
        assert_eq!(display("tel:+250788111001", "RW"), "0788 111 001");
    }
}
