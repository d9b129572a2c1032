//! The tests of a flow's router, as goflow has them.

use serde_json::Value;

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
pub(super) fn route(router: &Value, operand: &str) -> Option<Routed> {
    let cases = router["cases"].as_array().map_or(&[][..], Vec::as_slice);
    for case in cases {
        if let Some(value) = matched(case, operand) {
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

fn matched(case: &Value, text: &str) -> Option<String> {
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

    #[test]
    fn words_are_matched_in_any_case() {
        let case = serde_json::json!({ "type": "has_any_word", "arguments": ["yes y oui"] });
        assert_eq!(matched(&case, "Oui, monsieur").as_deref(), Some("Oui"));
        assert_eq!(matched(&case, "yesterday"), None);
    }
}
