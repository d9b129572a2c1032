//! Personal data made unreadable, so that a trail can be read out or pasted into a ticket.

/// A phone number keeps its beginning and its last two digits, so that the caller can be recognised; anything
/// else keeps only that it is there.
pub fn masked(text: &str) -> String {
    let (scheme, path) = match text.split_once(':') {
        Some((scheme, path)) if scheme.chars().all(|c| c.is_ascii_lowercase()) => (Some(scheme), path),
        _ => (None, text),
    };
    let digits = path.chars().filter(char::is_ascii_digit).count();
    let is_number = digits >= 7 && path.chars().all(|c| c.is_ascii_digit() || c == '+');
    if !is_number {
        return "•••".to_owned();
    }
    let (keep, all) = (4, path.chars().count());
    let begin: String = path.chars().take(keep).collect();
    let end: String = path.chars().skip(all.saturating_sub(2)).collect();
    let number = format!("{begin}•••{end}");
    scheme.map_or(number.clone(), |scheme| format!("{scheme}:{number}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_is_recognised_by_who_knows_it_and_nobody_else() {
        assert_eq!(masked("tel:+250788383383"), "tel:+250•••83");
        assert_eq!(masked("whatsapp:250788383383"), "whatsapp:2507•••83");
        assert_eq!(masked("Uwase Marie"), "•••");
        assert_eq!(masked("12"), "•••");
        assert_eq!(masked("mailto:a1234567@example.org"), "•••");
        assert_eq!(masked(""), "•••");
    }
}
