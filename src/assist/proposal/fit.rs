//! Whether an answer of a flow can become a value of DHIS2, and how. Pure.

use super::words::{alike, stems};
use super::yaml::{path, quoted};
use crate::dhis2::form::Question;
use crate::dhis2::value::ValueType;
use crate::rapidpro::catalogue::Shown;

/// A VALUE of a mapping file.
#[derive(Debug, Clone, PartialEq)]
pub struct Fit {
    /// One line, or several of which the first is empty; without indentation.
    pub lines: Vec<String>,
    /// From 0 to 1: how well the types go together.
    pub weight: f64,
}

impl Fit {
    fn line(text: String) -> Option<Self> {
        Some(Self { lines: vec![text], weight: 1.0 })
    }

    fn poorly(self) -> Self {
        Self { weight: 0.8, ..self }
    }
}

/// How this result becomes a value of that question; `None` where its type cannot.
pub fn fit(result: &Shown, question: &Question) -> Option<Fit> {
    let at = path("answers", &result.key);
    let kind = ValueType::named(&question.value_type);
    if let Some(options) = &question.options {
        return of_options(result, options, &at);
    }
    match (result.kind, kind) {
        ("number", kind) if is_whole(kind) => Fit::line(format!("{{ path: {at}, type: integer }}")),
        ("number", kind) if kind.is_numeric() => Fit::line(at),
        ("number", ValueType::Text) => Fit::line(at).map(Fit::poorly),
        ("yes/no", ValueType::Boolean) => Fit::line(at),
        ("yes/no", ValueType::TrueOnly) => {
            Fit::line(format!("{{ path: {at}, when: {{ path: {at}, is: true }} }}"))
        }
        ("choice", ValueType::Boolean) => booleans(result, &at),
        ("choice" | "text" | "location" | "phone", ValueType::Text) => Fit::line(at),
        ("date", ValueType::Date) => Fit::line(at),
        // Answers have seconds, DHIS2's times have none.
        ("time", ValueType::Time) => Fit::line(format!("{{ path: {at}, match: '^\\d\\d:\\d\\d' }}")),
        ("phone", ValueType::PhoneNumber) => Fit::line(at),
        ("text", ValueType::Email | ValueType::Letter | ValueType::PhoneNumber) => {
            Fit::line(at).map(Fit::poorly)
        }
        _ => None,
    }
}

fn is_whole(kind: ValueType) -> bool {
    matches!(
        kind,
        ValueType::Integer
            | ValueType::IntegerPositive
            | ValueType::IntegerNegative
            | ValueType::IntegerZeroOrPositive
    )
}

/// Each category becomes the code of the option that is called alike.
fn of_options(result: &Shown, options: &[(String, String)], at: &str) -> Option<Fit> {
    let words: Vec<(String, String)> = match result.kind {
        "choice" => result.categories.iter().map(|name| (name.clone(), name.clone())).collect(),
        "yes/no" => {
            [("true", "Yes"), ("false", "No")].map(|(is, says)| (is.to_owned(), says.to_owned())).into()
        }
        _ => return None,
    };
    let mut lines = vec![String::new(), format!("path: {at}"), "map:".to_owned()];
    let mut found = 0_u32;
    for (value, says) in &words {
        match nearest(says, options) {
            Some(code) => {
                found += 1;
                lines.push(format!("  {}: {}", quoted(value), quoted(code)));
            }
            None => lines.push(format!("  # {}: say which of {}", quoted(value), codes(options))),
        }
    }
    let all = u32::try_from(words.len()).unwrap_or(u32::MAX).max(1);
    (found > 0).then(|| Fit { lines, weight: 0.7 + 0.3 * f64::from(found) / f64::from(all) })
}

fn nearest<'o>(says: &str, options: &'o [(String, String)]) -> Option<&'o str> {
    let wanted = stems(says);
    let score =
        |(code, name): &(String, String)| alike(&wanted, &stems(name)).max(alike(&wanted, &stems(code)));
    let best =
        options.iter().map(|option| (option, score(option))).max_by(|one, two| one.1.total_cmp(&two.1))?;
    (best.1 >= 0.6).then_some(best.0.0.as_str())
}

/// At most twelve, for a comment.
fn codes(options: &[(String, String)]) -> String {
    let more = if options.len() > 12 { ", …" } else { "" };
    let names: Vec<String> = options.iter().take(12).map(|(code, _)| quoted(code)).collect();
    names.join(", ") + more
}

/// Categories that say yes or no in other words.
fn booleans(result: &Shown, at: &str) -> Option<Fit> {
    const YES: &[&str] = &["yes", "positive", "present", "done", "available"];
    const NO: &[&str] = &["no", "negative", "absent", "none", "missed"];
    let mut lines = vec![String::new(), format!("path: {at}"), "map:".to_owned()];
    let mut found = [false, false];
    for name in &result.categories {
        let words = stems(name);
        let is = |list: &[&str]| words.iter().any(|word| list.contains(&word.as_str()));
        match (is(YES), is(NO)) {
            (true, false) => {
                found[0] = true;
                lines.push(format!("  {}: true", quoted(name)));
            }
            (false, true) => {
                found[1] = true;
                lines.push(format!("  {}: false", quoted(name)));
            }
            _ => lines.push(format!("  # {}: say true or false", quoted(name))),
        }
    }
    (found == [true, true]).then_some(Fit { lines, weight: 0.9 })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(kind: &'static str, categories: &[&str]) -> Shown {
        let categories = categories.iter().map(|name| (*name).to_owned()).collect();
        Shown { key: "result".to_owned(), name: "Result".to_owned(), kind, categories }
    }

    fn question(value_type: &str, options: &[(&str, &str)]) -> Question {
        let options = options.iter().map(|(code, name)| ((*code).to_owned(), (*name).to_owned())).collect();
        let options = Some(options).filter(|options: &Vec<_>| !options.is_empty());
        Question { value_type: value_type.to_owned(), options, ..Question::default() }
    }

    #[test]
    fn a_number_becomes_what_the_value_type_takes() {
        let lines =
            |value_type: &str| fit(&shown("number", &[]), &question(value_type, &[])).map(|fit| fit.lines);
        assert_eq!(lines("INTEGER_POSITIVE").unwrap(), ["{ path: $.answers.result, type: integer }"]);
        assert_eq!(lines("PERCENTAGE").unwrap(), ["$.answers.result"]);
        assert_eq!(lines("BOOLEAN"), None);
        assert_eq!(lines("DATE"), None);
    }

    #[test]
    fn categories_become_the_codes_of_options_and_what_is_not_known_is_said() {
        let options = [("POS", "Positive"), ("NEG", "Negative")];
        let fit =
            fit(&shown("choice", &["positive", "Negative", "Lost"]), &question("TEXT", &options)).unwrap();
        assert_eq!(
            fit.lines,
            [
                "",
                "path: $.answers.result",
                "map:",
                "  positive: POS",
                "  Negative: NEG",
                "  # Lost: say which of POS, NEG"
            ]
        );
    }
}
