//! The tests of a flow's router, as goflow has them.

use jiff::Timestamp;
use jiff::tz::TimeZone;
use serde_json::Value;

use super::{fields, urns};

/// Where and when an answer is read.
#[derive(Debug, Clone)]
pub(super) struct Place {
    pub at: Timestamp,
    pub zone: TimeZone,
    pub country: String,
}

/// What a router made of an answer.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Routed {
    /// Name of the category in the base language.
    pub category: String,
    /// What of the answer was matched; all of it for the default category.
    pub value: String,
    pub exit: String,
}

/// Routes an answer; `None` where the definition is broken.
pub(super) fn route(router: &Value, operand: &str, place: &Place) -> Option<Routed> {
    let cases = router["cases"].as_array().map_or(&[][..], Vec::as_slice);
    for case in cases {
        if let Some(value) = matched(case, operand, place) {
            return to_category(router, case["category_uuid"].as_str()?, value);
        }
    }
    to_category(router, router["default_category_uuid"].as_str()?, operand.to_owned())
}

/// The category of a timeout, if the router waits only so long.
pub(super) fn timed_out(router: &Value, value: String) -> Option<Routed> {
    to_category(router, router["wait"]["timeout"]["category_uuid"].as_str()?, value)
}

fn to_category(router: &Value, uuid: &str, value: String) -> Option<Routed> {
    let category = router["categories"].as_array()?.iter().find(|category| category["uuid"] == uuid)?;
    Some(Routed {
        category: category["name"].as_str()?.to_owned(),
        value,
        exit: category["exit_uuid"].as_str()?.to_owned(),
    })
}

fn matched(case: &Value, text: &str, place: &Place) -> Option<String> {
    let argument = |at: usize| case["arguments"][at].as_str().unwrap_or("");
    let bound = |at: usize| argument(at).parse::<rust_decimal::Decimal>().ok();
    let number = || number_in(text);
    let holds = |holds: bool, number: rust_decimal::Decimal| holds.then(|| number.to_string());
    match case["type"].as_str()? {
        "has_text" => (!text.trim().is_empty()).then(|| text.trim().to_owned()),
        "has_only_text" => (text == argument(0)).then(|| text.to_owned()),
        "has_only_phrase" => (words(text) == words(argument(0))).then(|| text.trim().to_owned()),
        "has_any_word" => {
            let wanted: Vec<String> = words(argument(0)).iter().map(|word| word.to_lowercase()).collect();
            words(text).into_iter().find(|word| wanted.contains(&word.to_lowercase()))
        }
        "has_phrase" => {
            let phrase = words(&argument(0).to_lowercase()).join(" ");
            let said = words(&text.to_lowercase()).join(" ");
            format!(" {said} ").contains(&format!(" {phrase} ")).then(|| text.trim().to_owned())
        }
        "has_all_words" => {
            let said: Vec<String> = words(&text.to_lowercase());
            words(&argument(0).to_lowercase())
                .iter()
                .all(|word| said.contains(word))
                .then(|| text.trim().to_owned())
        }
        "has_beginning" => {
            let begins = text.trim().to_lowercase().starts_with(&argument(0).trim().to_lowercase());
            begins.then(|| text.trim().to_owned())
        }
        "has_pattern" => {
            let pattern = regex::RegexBuilder::new(argument(0)).case_insensitive(true).build().ok()?;
            pattern.find(text).map(|found| found.as_str().to_owned())
        }
        "has_date" => {
            let word = |word: &str| fields::read_back("datetime", word, place.at, &place.zone);
            text.split_whitespace().find_map(word)
        }
        "has_phone" => {
            let urn = urns::normalise(&format!("tel:{}", text.trim()), &place.country)?;
            urn.split_once(':').map(|(_, number)| number.to_owned())
        }
        "has_number" => number().map(|number| number.to_string()),
        "has_number_gte" => holds(number()? >= bound(0)?, number()?),
        "has_number_gt" => holds(number()? > bound(0)?, number()?),
        "has_number_lte" => holds(number()? <= bound(0)?, number()?),
        "has_number_lt" => holds(number()? < bound(0)?, number()?),
        "has_number_eq" => holds(number()? == bound(0)?, number()?),
        "has_number_between" => holds(number()? >= bound(0)? && number()? <= bound(1)?, number()?),
        _ => None,
    }
}

fn words(text: &str) -> Vec<String> {
    text.split(|c: char| !c.is_alphanumeric()).filter(|word| !word.is_empty()).map(str::to_owned).collect()
}

/// The first number in a text: `12 cases` → `12`.
fn number_in(text: &str) -> Option<rust_decimal::Decimal> {
    text.split(|c: char| c.is_whitespace() || matches!(c, ';' | ':' | '!' | '?')).find_map(|word| {
        let start = word.find(|c: char| c.is_ascii_digit())?;
        let sign = word[..start].ends_with('-') && start == 1;
        if start > usize::from(sign) {
            return None;
        }
        let digits: String =
            word[start..].chars().take_while(|c| c.is_ascii_digit() || matches!(c, '.' | ',')).collect();
        let digits = digits.replace(',', "");
        let number: rust_decimal::Decimal = digits.trim_end_matches('.').parse().ok()?;
        Some(if sign { -number } else { number })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_found_in_words() {
        let table = [
            ("7 years", Some("7")),
            ("about 12", Some("12")),
            ("-2", Some("-2")),
            ("1,200 people", Some("1200")),
            ("12.5", Some("12.5")),
            ("many", None),
            ("x12", None),
        ];
        for (text, wanted) in table {
            assert_eq!(number_in(text).map(|n| n.to_string()).as_deref(), wanted, "{text}");
        }
    }

    fn place() -> Place {
        Place {
            at: "2026-11-20T21:54:29.378650Z".parse().unwrap(),
            zone: TimeZone::get("Africa/Kigali").unwrap(),
            country: "RW".to_owned(),
        }
    }

    #[test]
    fn answers_meet_their_tests() {
        let table = [
            ("has_any_word", "yes y oui", "Oui, monsieur", Some("Oui")),
            ("has_any_word", "yes y oui", "yesterday", None),
            ("has_phrase", "no fever", "she has no fever today", Some("she has no fever today")),
            ("has_all_words", "fever cough", "Cough, then fever", Some("Cough, then fever")),
            ("has_beginning", "MAL", "mal 12 3", Some("mal 12 3")),
            ("has_pattern", "[a-z]+-\\d+", "it is AB-12, ok", Some("AB-12")),
            ("has_phone", "", "0788 383 383", Some("+250788383383")),
            ("has_date", "", "on 2026-11-12", Some("2026-11-12T23:54:29.378650+02:00")),
            ("has_date", "", "1 oct", None),
        ];
        for (test, argument, text, wanted) in table {
            let case = serde_json::json!({ "type": test, "arguments": [argument] });
            assert_eq!(matched(&case, text, &place()).as_deref(), wanted, "{test} {text}");
        }
    }
}
