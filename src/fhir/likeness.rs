//! How much two Patients look like one person: points for what agrees, less for what contradicts.
//! <https://hl7.org/fhir/R4/patient-operation-match.html>
//!
//! Pure. The points are weights as in the `find` rules of mapping files: what names few people tells much.
//! **Never** is anybody certain by a name and a date alone: two children of a village share both.

use serde_json::Value;

use crate::fhir::index::text::normal;

/// Points of what agrees.
const IDENTIFIER: f64 = 10.0;
const BIRTH_DATE: f64 = 4.0;
const FAMILY: f64 = 3.0;
const GIVEN: f64 = 3.0;
const PHONE: f64 = 3.0;
const GENDER: f64 = 1.0;
const PLACE: f64 = 1.0;
/// What contradicts takes as much away as it would have given, and this many times more for what hardly changes.
const CONTRADICTION: f64 = 1.0;
/// Names less alike than this are different.
const ALIKE: f64 = 0.88;
/// Scores from which a match is of a grade.
const PROBABLE: f64 = 0.7;
const POSSIBLE: f64 = 0.4;
/// Digits at the end of two phone numbers that must be equal, however the rest is written.
const PHONE_DIGITS: usize = 8;

/// Family names, and given names, of a person that are compared: the first ones.
pub const NAMES_MAX: usize = 10;
/// Characters of a name or place that are compared; comparing two names costs the product of their lengths.
const TEXT_MAX: usize = 64;

/// <https://hl7.org/fhir/R4/valueset-match-grade.html>
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Grade {
    Certain,
    Probable,
    Possible,
    CertainlyNot,
}

impl Grade {
    /// R4's code.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Certain => "certain",
            Self::Probable => "probable",
            Self::Possible => "possible",
            Self::CertainlyNot => "certainly-not",
        }
    }
}

/// The answer: 0 to 1, and what that means.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Likeness {
    pub score: f64,
    pub grade: Grade,
}

/// Points so far.
#[derive(Default)]
struct Tally {
    points: f64,
    /// Of everything that both say.
    best: f64,
    contradicted: bool,
}

impl Tally {
    /// `agreement` from 0 (different) to 1 (the same).
    fn add(&mut self, weight: f64, agreement: f64) {
        self.best += weight;
        self.points += weight * agreement;
    }

    fn contradict(&mut self, weight: f64) {
        self.best += weight;
        self.points -= weight * CONTRADICTION;
        self.contradicted = true;
    }
}

/// Compares what is asked for with a candidate. What only one of them says is not counted against them, but
/// the score is bounded by how much there was to compare.
pub fn likeness(asked: &Value, candidate: &Value) -> Likeness {
    let mut tally = Tally::default();
    let same_identifier = identifiers(asked, candidate, &mut tally);
    names(asked, candidate, &mut tally);
    birth_date(asked, candidate, &mut tally);
    gender(asked, candidate, &mut tally);
    phones(asked, candidate, &mut tally);
    places(asked, candidate, &mut tally);
    // Little evidence is no proof: a gender that agrees is not "the same person".
    let evidence = (tally.best / (BIRTH_DATE + FAMILY + GIVEN)).min(1.0);
    let score = if tally.best > 0.0 { (tally.points / tally.best * evidence).clamp(0.0, 1.0) } else { 0.0 };
    let grade = match score {
        _ if same_identifier && !tally.contradicted => Grade::Certain,
        score if score >= PROBABLE => Grade::Probable,
        score if score >= POSSIBLE || same_identifier => Grade::Possible,
        _ => Grade::CertainlyNot,
    };
    Likeness { score, grade }
}

/// Whether one identifier is the same, system and value; numbers of one system that differ contradict nothing:
/// a person may have two cards.
fn identifiers(asked: &Value, candidate: &Value, tally: &mut Tally) -> bool {
    let pairs = |person: &Value| -> Vec<(String, String)> {
        let all = items(person, "identifier").iter();
        all.filter_map(|one| Some((text(one, "system")?.to_owned(), text(one, "value")?.to_owned())))
            .collect()
    };
    let (wanted, known) = (pairs(asked), pairs(candidate));
    let same = wanted.iter().any(|one| known.contains(one));
    if same {
        tally.add(IDENTIFIER, 1.0);
    }
    same
}

fn names(asked: &Value, candidate: &Value, tally: &mut Tally) {
    let (families, others) = (family(asked), family(candidate));
    if let Some(agreement) = best(&families, &others) {
        tally.add(FAMILY, agreement);
    }
    if let Some(agreement) = best(&given(asked), &given(candidate)) {
        tally.add(GIVEN, agreement);
    }
}

fn family(person: &Value) -> Vec<String> {
    let all = items(person, "name").iter().filter_map(|name| text(name, "family"));
    all.take(NAMES_MAX).map(compared).collect()
}

fn given(person: &Value) -> Vec<String> {
    let all = items(person, "name").iter().flat_map(|name| items(name, "given"));
    all.filter_map(Value::as_str).take(NAMES_MAX).map(compared).collect()
}

/// What is compared of a text: its beginning, without case and accents.
fn compared(text: &str) -> String {
    let end = text.char_indices().nth(TEXT_MAX).map_or(text.len(), |(at, _)| at);
    normal(text.get(..end).unwrap_or(text))
}

/// How alike the two most alike are; `None` where one side says nothing.
fn best(some: &[String], others: &[String]) -> Option<f64> {
    let pairs = some.iter().flat_map(|one| others.iter().map(move |other| (one, other)));
    let alike = pairs.map(|(one, other)| strsim::jaro_winkler(one, other));
    let best = alike.fold(None, |best: Option<f64>, one| Some(best.map_or(one, |known| known.max(one))))?;
    Some(if best >= ALIKE { best } else { 0.0 })
}

/// A year or a month agrees with a day in it, and tells less.
fn birth_date(asked: &Value, candidate: &Value, tally: &mut Tally) {
    let (Some(one), Some(other)) = (text(asked, "birthDate"), text(candidate, "birthDate")) else { return };
    let (short, long) = if one.len() <= other.len() { (one, other) } else { (other, one) };
    match long.starts_with(short) {
        true if short.len() == long.len() && short.len() >= 10 => tally.add(BIRTH_DATE, 1.0),
        true => tally.add(BIRTH_DATE, 0.5),
        // One digit wrong, or day and month changed places: it happens at registration.
        false if is_slip(one, other) => tally.add(BIRTH_DATE, 0.4),
        false => tally.contradict(BIRTH_DATE),
    }
}

fn is_slip(one: &str, other: &str) -> bool {
    let swapped = |date: &str| {
        let mut parts = date.split('-');
        let (year, month, day) = (parts.next()?, parts.next()?, parts.next()?);
        Some(format!("{year}-{day}-{month}"))
    };
    strsim::hamming(one, other).is_ok_and(|wrong| wrong == 1) || swapped(one).as_deref() == Some(other)
}

fn gender(asked: &Value, candidate: &Value, tally: &mut Tally) {
    let known = |person| text(person, "gender").filter(|gender| *gender != "unknown");
    match known(asked).zip(known(candidate)) {
        Some((one, other)) if one == other => tally.add(GENDER, 1.0),
        Some(_) => tally.contradict(GENDER),
        None => {}
    }
}

/// People share phones, and change them: another number contradicts nothing.
fn phones(asked: &Value, candidate: &Value, tally: &mut Tally) {
    let (some, others) = (digits(asked), digits(candidate));
    if some.iter().any(|one| others.contains(one)) {
        tally.add(PHONE, 1.0);
    }
}

fn digits(person: &Value) -> Vec<String> {
    let phones = items(person, "telecom").iter().filter(|one| text(one, "system") == Some("phone"));
    phones
        .filter_map(|one| text(one, "value"))
        .map(|value| value.chars().filter(char::is_ascii_digit).collect::<Vec<char>>())
        .filter(|digits| digits.len() >= PHONE_DIGITS)
        .map(|digits| digits.iter().rev().take(PHONE_DIGITS).collect())
        .collect()
}

fn places(asked: &Value, candidate: &Value, tally: &mut Tally) {
    let of = |person: &Value| -> Vec<String> {
        let parts = ["city", "district", "postalCode"];
        let all = items(person, "address").iter().flat_map(|one| parts.map(|part| text(one, part)));
        all.flatten().map(compared).collect()
    };
    let (some, others) = (of(asked), of(candidate));
    if some.iter().any(|one| others.contains(one)) {
        tally.add(PLACE, 1.0);
    }
}

fn text<'a>(value: &'a Value, name: &str) -> Option<&'a str> {
    value.get(name).and_then(Value::as_str).filter(|text| !text.is_empty())
}

fn items<'a>(value: &'a Value, name: &str) -> &'a [Value] {
    value.get(name).and_then(Value::as_array).map_or(&[], Vec::as_slice)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn uwase() -> Value {
        json!({ "identifier": [{ "system": "urn:card", "value": "7" }], "birthDate": "2021-03-04", "gender": "female",
            "name": [{ "family": "Uwase", "given": ["Aline"] }], "telecom": [{ "system": "phone", "value": "+250788123456" }] })
    }

    fn grade(asked: &Value) -> Grade {
        likeness(asked, &uwase()).grade
    }

    #[test]
    fn a_shared_number_is_certain_unless_something_contradicts() {
        assert_eq!(grade(&json!({ "identifier": [{ "system": "urn:card", "value": "7" }] })), Grade::Certain);
        let other = json!({ "identifier": [{ "system": "urn:card", "value": "7" }], "gender": "male", "birthDate": "1980-01-01" });
        assert_eq!(grade(&other), Grade::Possible);
        assert_eq!(
            grade(&json!({ "identifier": [{ "system": "urn:x", "value": "7" }] })),
            Grade::CertainlyNot
        );
    }

    #[test]
    fn a_name_and_a_date_are_probable_and_never_certain() {
        let asked = json!({ "name": [{ "family": "UWASE", "given": ["Aline"] }], "birthDate": "2021-03-04" });
        assert_eq!(grade(&asked), Grade::Probable);
        let spelt = json!({ "name": [{ "family": "Uwasse", "given": ["Alina"] }], "birthDate": "2021-04-03", "gender": "female" });
        assert!(matches!(grade(&spelt), Grade::Probable | Grade::Possible));
        let local = json!({ "name": [{ "family": "Uwase", "given": ["Aline"] }], "telecom": [{ "system": "phone", "value": "0788 123 456" }] });
        assert_eq!(grade(&local), Grade::Probable);
    }

    #[test]
    fn only_the_beginning_of_what_is_stored_is_compared() {
        let names = |name: Value| json!({ "name": [name] });
        let long = "a".repeat(100_000);
        let stored = names(json!({ "family": long, "given": vec![long.clone(); 10_000] }));
        assert_eq!(family(&stored), ["a".repeat(TEXT_MAX)]);
        assert_eq!(given(&stored).len(), NAMES_MAX);
        assert_eq!(compared("é".repeat(100).as_str()).chars().count(), TEXT_MAX);
    }

    #[test]
    fn others_are_others() {
        let brother = json!({ "name": [{ "family": "Uwase", "given": ["Eric"] }], "birthDate": "2015-06-01", "gender": "male" });
        assert_eq!(grade(&brother), Grade::CertainlyNot);
        assert_eq!(grade(&json!({ "gender": "female" })), Grade::CertainlyNot);
        assert_eq!(grade(&json!({})), Grade::CertainlyNot);
    }
}
