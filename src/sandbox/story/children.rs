//! Children who are immunized, their mothers, and cases of notifiable diseases.

use jiff::civil::Date;
use rand::Rng;
use rand::rngs::StdRng;
use uuid::Uuid;

use super::super::dhis2::country::village_id;
use super::super::rapidpro::Reply;
use super::people::{When, id, name, one_of};
use super::{CASES, CHILDREN, VILLAGES};

/// The person whose number moves to somebody else.
pub const MOVER: usize = 5;

/// What becomes of a child's next visit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Visit {
    /// Nobody comes: her mother is reminded.
    Missed,
    /// It is recorded in time: nobody is reminded.
    Recorded,
    /// Her mother takes her consent back in time.
    Refused,
    /// Her mother never agreed to be written to.
    NoConsent,
    /// She was never enrolled for reminders.
    NotEnrolled,
}

/// A child with a number on her card.
#[derive(Debug, Clone)]
pub struct Child {
    /// FHIR id of the Patient.
    pub id: String,
    /// `KY-0001`
    pub number: String,
    pub name: String,
    /// As it was written down first.
    pub first_name: String,
    /// `female` or `male`
    pub gender: &'static str,
    pub born: Date,
    /// Uid of the organisation unit.
    pub village: String,
    /// Position of who reports her doses.
    pub reporter: usize,
    /// E.164
    pub mother: String,
    /// Registered only after her first doses.
    pub late: bool,
    pub visit: Visit,
    pub doses: Vec<Dose>,
}

/// A dose that was given, as it is reported.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Dose {
    pub when: When,
    /// The word that is answered, the category's name, DHIS2's code.
    pub vaccine: (&'static str, &'static str, &'static str),
    pub number: i64,
    pub given: Date,
    pub reaction: bool,
}

/// A case of a notifiable disease.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Case {
    pub when: When,
    /// Position of who reports it.
    pub reporter: usize,
    /// The word that is answered, the category's name, DHIS2's code.
    pub disease: (&'static str, &'static str, &'static str),
    pub age: i64,
    /// `female` or `male`
    pub sex: &'static str,
    pub onset: Date,
    pub died: bool,
    pub notes: String,
}

impl Child {
    /// FHIR id of her EpisodeOfCare.
    pub fn episode(&self) -> String {
        self.of("episode")
    }

    /// FHIR id of the Encounter that is her next visit.
    pub fn encounter(&self) -> String {
        self.of("encounter")
    }

    /// FHIR id of her mother's Consent.
    pub fn consent(&self) -> String {
        self.of("consent")
    }

    fn of(&self, kind: &str) -> String {
        Uuid::new_v5(&Uuid::NAMESPACE_OID, format!("{}/{kind}", self.id).as_bytes()).to_string()
    }
}

impl Dose {
    /// What is answered in the flow.
    pub fn replies(&self, child: &Child) -> Vec<Reply> {
        let words = [child.number.as_str(), self.vaccine.0];
        let mut replies: Vec<Reply> = words.map(Reply::text).to_vec();
        replies.push(Reply::Text(self.number.to_string()));
        replies.push(Reply::Text(self.given.to_string()));
        replies.push(Reply::text(if self.reaction { "yes" } else { "no" }));
        replies
    }
}

impl Case {
    /// What is answered in the flow.
    pub fn replies(&self) -> Vec<Reply> {
        let died = if self.died { "yego" } else { "oya" };
        let (age, onset) = (format!("{} years", self.age), self.onset.to_string());
        [self.disease.0, &age, self.sex, &onset, died, &self.notes].map(Reply::text).to_vec()
    }
}

fn when(random: &mut StdRng) -> When {
    match random.random_range(0..10) {
        0..4 => When::First,
        4..8 => When::WhileDown,
        _ => When::Late,
    }
}

/// A day in the last weeks before `month` ended.
fn day(random: &mut StdRng, month: Date) -> Date {
    Date::new(month.year(), month.month(), random.random_range(1..28)).unwrap_or(month)
}

pub(super) fn cases(random: &mut StdRng, month: Date) -> Vec<Case> {
    let diseases = [
        ("cholera", "Cholera", "CHOLERA"),
        ("measles", "Measles", "MEASLES"),
        ("paralysis", "Polio", "POLIO"),
        ("rage", "Rabies", "RABIES"),
    ];
    (0..CASES)
        .map(|at| Case {
            when: when(random),
            // Whoever gets another number reports in the end, with the new one.
            reporter: MOVER + 1 + at * 3,
            disease: one_of(random, &diseases, ("cholera", "Cholera", "CHOLERA")),
            age: random.random_range(0..90),
            sex: if random.random_range(0..2) == 0 { "female" } else { "male" },
            onset: day(random, month),
            died: at % 4 == 1,
            notes: format!("case {at} of the story"),
        })
        .collect()
}

pub(super) fn children(random: &mut StdRng, seed: u64, month: Date) -> Vec<Child> {
    (0..CHILDREN)
        .map(|at| {
            let right = name(random);
            let corrected = at % 8 == 3;
            let reporter = (MOVER + 2 + at * 4) % VILLAGES;
            let year = month.year() - 1;
            let late = at % 10 == 6;
            Child {
                id: id(seed, "child", at),
                number: format!("KY-{at:04}"),
                first_name: if corrected { format!("{right}a") } else { right.clone() },
                name: right,
                gender: if random.random_range(0..2) == 0 { "female" } else { "male" },
                born: Date::new(year, random.random_range(1..13), random.random_range(1..28))
                    .unwrap_or(month),
                village: village_id(reporter),
                reporter,
                mother: format!("+25078843{at:04}"),
                late,
                visit: match at % 6 {
                    _ if late => Visit::NotEnrolled,
                    0 | 1 => Visit::Missed,
                    2 | 3 => Visit::Recorded,
                    4 => Visit::Refused,
                    _ => Visit::NoConsent,
                },
                doses: doses(random, at, month),
            }
        })
        .collect()
}

/// One or two doses; some are reported again with what was forgotten.
fn doses(random: &mut StdRng, at: usize, month: Date) -> Vec<Dose> {
    let penta = ("penta", "Pentavalent", "PENTA");
    let vaccines = [("bcg", "BCG", "BCG"), ("opv", "Oral polio", "OPV"), ("iseru", "Measles", "MEASLES")];
    let dose = |when: When, vaccine, number, given| Dose { when, vaccine, number, given, reaction: false };
    let first = dose(When::First, penta, 1, day(random, month));
    let mut doses = vec![first.clone()];
    if at.is_multiple_of(2) {
        doses.push(dose(When::WhileDown, penta, 2, day(random, month)));
    } else {
        let vaccine = one_of(random, &vaccines, penta);
        doses.push(dose(when(random), vaccine, 1, day(random, month)));
    }
    if at % 7 == 2 {
        doses.push(Dose { when: When::Late, reaction: true, ..first });
    }
    doses
}
