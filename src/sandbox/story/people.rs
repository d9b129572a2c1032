//! People, patients, tests, and how people answer.

use rand::Rng;
use rand::rngs::StdRng;
use uuid::Uuid;

use super::super::dhis2::country::{facility_id, village_id};
use super::super::rapidpro::Reply;
use super::children::MOVER;
use super::{PATIENTS, PEOPLE, VILLAGES};

const GIVEN: &[&str] = &[
    "Aline",
    "Bosco",
    "Chantal",
    "Damas",
    "Esperance",
    "Faustin",
    "Gloria",
    "Herve",
    "Immaculee",
    "Jean",
    "Keza",
    "Leonce",
    "Mutesi",
    "Noel",
    "Olive",
    "Pacifique",
    "Rosine",
    "Samuel",
    "Teta",
    "Valens",
];
const FAMILY: &[&str] = &[
    "Uwera", "Habimana", "Mukamana", "Nkusi", "Ingabire", "Bizimana", "Umutoni", "Gatete", "Kamanzi",
    "Nshuti", "Rukundo", "Sibomana",
];

/// A health worker who reports.
#[derive(Debug, Clone)]
pub struct Person {
    /// FHIR id of the Practitioner.
    pub id: String,
    pub name: String,
    /// E.164
    pub phone: String,
    /// BCP 47 and what RapidPro calls it.
    pub language: (&'static str, &'static str),
    /// Uid of the organisation unit.
    pub village: String,
    /// Her village is a tag, as OpenSRP does it, and not a PractitionerRole.
    pub tagged: bool,
    /// What she sends, run by run.
    pub takes: Vec<Take>,
}

/// When something is answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum When {
    First,
    WhileDown,
    Late,
}

/// One time that a person goes through the flow.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Take {
    pub when: When,
    pub replies: Vec<Reply>,
    /// What she meant; `None` where she never came to the end.
    pub answers: Option<Answers>,
}

/// The answers of a finished report.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Answers {
    pub fever: i64,
    pub malaria: i64,
    pub deaths_female: i64,
    pub deaths_male: i64,
    /// `None` where the question timed out.
    pub stock_out: Option<bool>,
}

/// Somebody who was tested.
#[derive(Debug, Clone)]
pub struct Patient {
    pub id: String,
    pub name: String,
    pub phone: String,
    /// `female` or `male`
    pub gender: &'static str,
    pub born: String,
    pub facility: String,
    /// Registered only after her tests.
    pub late: bool,
    /// Her sex was noted wrongly and is corrected later.
    pub corrected: bool,
}

/// A malaria rapid test.
#[derive(Debug, Clone)]
pub struct Test {
    pub id: String,
    /// Position of the patient.
    pub patient: usize,
    /// Day of the month before.
    pub day: i8,
    pub positive: bool,
    /// Turns out to have been entered in error.
    pub withdrawn: bool,
}

pub(super) fn id(seed: u64, kind: &str, at: usize) -> String {
    Uuid::new_v5(&Uuid::NAMESPACE_OID, format!("{seed}/{kind}/{at}").as_bytes()).to_string()
}

pub(super) fn one_of<T: Copy>(random: &mut StdRng, list: &[T], otherwise: T) -> T {
    list.get(random.random_range(0..list.len().max(1))).copied().unwrap_or(otherwise)
}

pub(super) fn name(random: &mut StdRng) -> String {
    format!("{} {}", one_of(random, GIVEN, "Aline"), one_of(random, FAMILY, "Uwera"))
}

pub(super) fn people(random: &mut StdRng, seed: u64) -> Vec<Person> {
    let languages = [("rw", "kin"), ("fr", "fra"), ("en", "eng")];
    (0..PEOPLE)
        .map(|at| {
            let shares = at >= VILLAGES;
            Person {
                id: id(seed, "practitioner", at),
                name: name(random),
                phone: number(at),
                language: one_of(random, &languages, ("en", "eng")),
                village: village_id(at % VILLAGES),
                tagged: at % 10 == 7,
                takes: takes(random, shares),
            }
        })
        .map(|mut person| {
            // What comes from her old number later is another's.
            if person.phone == number(MOVER) {
                person.takes.iter_mut().for_each(|take| take.when = When::First);
                person.takes.truncate(1);
            }
            person
        })
        .collect()
}

/// The number of the health worker at a position.
fn number(at: usize) -> String {
    format!("+25078841{at:04}")
}

/// Somebody who is registered late, with a number that was another's, and works elsewhere.
pub(super) fn heir(random: &mut StdRng, seed: u64, before: Option<&Person>) -> Person {
    Person {
        id: id(seed, "heir", 0),
        name: name(random),
        phone: before.map(|person| person.phone.clone()).unwrap_or_default(),
        language: ("en", "eng"),
        village: village_id(VILLAGES - 1),
        tagged: false,
        takes: Vec::new(),
    }
}

/// Most people answer once and well; some do not.
fn takes(random: &mut StdRng, shares: bool) -> Vec<Take> {
    // Whoever shares a village reports later than the other: whose report counts is then plain.
    let when = match random.random_range(0..10) {
        _ if shares => When::Late,
        0..5 => When::First,
        5..9 => When::WhileDown,
        _ => When::Late,
    };
    let answers = answers(random);
    match random.random_range(0..100) {
        0..10 => vec![take(random, when, answers, Manner::WrongFirst)],
        10..15 => vec![take(random, when, Answers { stock_out: None, ..answers }, Manner::Plain)],
        15..20 => {
            let mut unfinished = take(random, when, answers, Manner::Plain);
            unfinished.replies.truncate(2);
            unfinished.replies.push(Reply::Expire);
            unfinished.answers = None;
            vec![unfinished]
        }
        20..28 if when < When::Late => {
            let first = take(random, when, answers, Manner::Plain);
            let corrected =
                Answers { fever: answers.fever + 3, stock_out: answers.stock_out.map(|out| !out), ..answers };
            vec![first, take(random, When::Late, corrected, Manner::Plain)]
        }
        28..31 => vec![take(random, when, Answers { fever: -3, ..answers }, Manner::Plain)],
        _ => vec![take(random, when, answers, Manner::Plain)],
    }
}

fn answers(random: &mut StdRng) -> Answers {
    let fever = random.random_range(0..60);
    Answers {
        fever,
        malaria: random.random_range(0..=fever),
        deaths_female: random.random_range(0..3),
        deaths_male: random.random_range(0..3),
        stock_out: Some(random.random_range(0..4) == 0),
    }
}

enum Manner {
    Plain,
    WrongFirst,
}

fn take(random: &mut StdRng, when: When, answers: Answers, manner: Manner) -> Take {
    let mut replies = Vec::new();
    if matches!(manner, Manner::WrongFirst) {
        replies.push(Reply::text("many"));
    }
    let numbers = [answers.fever, answers.malaria, answers.deaths_female, answers.deaths_male];
    for number in numbers {
        let text = match random.random_range(0..6) {
            0 => format!("{number} people"),
            1 => format!("about {number}"),
            _ => number.to_string(),
        };
        replies.push(Reply::Text(text));
    }
    let words: &[&str] = match answers.stock_out {
        Some(true) => &["yes", "Yes", "oui", "yego", "Y"],
        Some(false) => &["no", "No", "non", "oya"],
        None => &[],
    };
    replies.push(if words.is_empty() { Reply::Timeout } else { Reply::text(one_of(random, words, "no")) });
    Take { when, replies, answers: Some(answers) }
}

pub(super) fn patients(random: &mut StdRng, seed: u64) -> Vec<Patient> {
    (0..PATIENTS)
        .map(|at| {
            let year = random.random_range(1950..2026);
            Patient {
                id: id(seed, "patient", at),
                name: name(random),
                phone: format!("+25078842{at:04}"),
                gender: if random.random_range(0..2) == 0 { "female" } else { "male" },
                // Never in the month of the tests: an age changes on a birthday.
                born: format!("{year}-01-{:02}", random.random_range(1..28)),
                facility: facility_id(random.random_range(0..20)),
                late: at % 15 == 4,
                corrected: at % 20 == 9,
            }
        })
        .collect()
}

pub(super) fn tests(random: &mut StdRng, seed: u64, patients: &[Patient]) -> Vec<Test> {
    (0..patients.len() * 2 + patients.len() / 2)
        .map(|at| Test {
            id: id(seed, "test", at),
            patient: at % patients.len().max(1),
            day: random.random_range(1..28),
            positive: random.random_range(0..3) == 0,
            withdrawn: at % 25 == 13,
        })
        .collect()
}
