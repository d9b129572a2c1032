//! A month in the country: who lives there, what they answer, what should come of it.
//!
//! The story is made from a seed. It knows what people answered because it had them answer, and works out
//! what DHIS2 and RapidPro should hold from that alone, never from what a product says. A product is
//! needed to play it: [`play::play`] talks to its FHIR address and asks for its open deliveries.

use rand::SeedableRng;
use rand::rngs::StdRng;

use jiff::Timestamp;

use self::children::{Case, Child, MOVER};
use self::people::{Patient, Person, Test};
use self::truth::month_before;
use super::dhis2::country::programs::CASE_REPORT;
use super::dhis2::country::{Country, village_id};
use super::dhis2::{self, Version};
use super::faults::{Because, Cells, Effect, Fault, Objects};
use super::rapidpro;

// What should happen once, and whether it did.
pub mod acts;
// FHIR resources of the people.
pub mod bundle;
// Children who are immunized, cases of notifiable diseases.
pub mod children;
// People, patients, tests, and how people answer.
pub mod people;
// Tells the story to a product.
pub mod play;
// What DHIS2's registers of cases, children and doses should hold.
pub mod registers;
// The table in the end.
pub mod tally;
// What should be there in the end, and a comparison with what is.
pub mod truth;

/// People who report.
pub const PEOPLE: usize = 200;
/// Villages; the last people share one with the first.
pub const VILLAGES: usize = 190;
/// People who are tested for malaria.
pub const PATIENTS: usize = 60;
/// Children who are immunized.
pub const CHILDREN: usize = 40;
/// Cases of notifiable diseases.
pub const CASES: usize = 48;
/// People whom a death is told.
pub const SUPERVISORS: usize = 3;
/// The time zone of the tenant.
pub const ZONE: &str = "Africa/Kigali";

/// Villages whose reports DHIS2 refuses, and why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refused {
    pub village: String,
    pub because: Because,
}

/// The whole story.
#[derive(Debug, Clone)]
pub struct Story {
    pub seed: u64,
    pub people: Vec<Person>,
    pub patients: Vec<Patient>,
    pub tests: Vec<Test>,
    pub refused: Vec<Refused>,
    pub cases: Vec<Case>,
    pub children: Vec<Child>,
    /// Who gets the number of the person at [`MOVER`], once that one has another.
    pub heir: Person,
    /// The other number.
    pub new_phone: String,
}

impl Story {
    /// The story of a seed.
    pub fn new(seed: u64) -> Self {
        let mut random = StdRng::seed_from_u64(seed);
        let people = people::people(&mut random, seed);
        let patients = people::patients(&mut random, seed);
        let tests = people::tests(&mut random, seed, &patients);
        let refused = vec![
            Refused { village: village_id(30), because: Because::Unassigned },
            Refused { village: village_id(60), because: Because::Unassigned },
            Refused { village: village_id(90), because: Because::Approved },
            Refused { village: village_id(120), because: Because::Expired },
        ];
        let month = month_before(Timestamp::now());
        let cases = children::cases(&mut random, month);
        let children = children::children(&mut random, seed, month);
        let heir = people::heir(&mut random, seed, people.get(MOVER));
        let new_phone = "+250788440001".to_owned();
        Self { seed, people, patients, tests, refused, cases, children, heir, new_phone }
    }

    /// The RapidPro workspace of the story: its groups and fields are there, its people are not.
    pub fn workspace(&self) -> rapidpro::Options {
        rapidpro::Options {
            timezone: ZONE.to_owned(),
            commit_delay_ms: 150,
            groups: ["Health workers", "Patients", "Caregivers"].map(str::to_owned).to_vec(),
            fields: vec![("DHIS2 organisation unit id".to_owned(), "text".to_owned())],
            seed: self.seed,
            ..rapidpro::Options::default()
        }
    }

    /// The DHIS2 of the story: every second seed another generation of importers.
    pub fn server(&self) -> dhis2::Options {
        let version = if self.seed.is_multiple_of(2) { Version::V2_40 } else { Version::V2_43 };
        let mut country = Country::demo(VILLAGES);
        let unassigned = |unit: &String| {
            self.refused
                .iter()
                .any(|refused| refused.village == *unit && refused.because == Because::Unassigned)
        };
        for set in &mut country.data_sets {
            set.units.retain(|unit| !unassigned(unit));
        }
        for program in &mut country.programs {
            program.units.retain(|unit| !unassigned(unit));
        }
        dhis2::Options { country, seed: self.seed, ..dhis2::Options::new(version) }
    }

    /// The phone of who is told of a death in the village at a position.
    pub fn supervisor(&self, village: usize) -> &str {
        self.people.get(village % SUPERVISORS).map_or("", |person| person.phone.as_str())
    }

    /// The cells and cases that DHIS2 refuses for as long as the story lasts.
    pub fn refusals(&self) -> Vec<Fault> {
        let approved = self.refused.iter().filter(|refused| refused.because == Because::Approved);
        let cases = approved.map(|refused| {
            Fault::new(Effect::RefuseObjects(Objects {
                kind: "EVENT".to_owned(),
                program: Some(CASE_REPORT.to_owned()),
                org_unit: Some(refused.village.clone()),
                message: "Cases of this village are reported on paper".to_owned(),
            }))
        });
        let cells =
            self.refused.iter().filter(|refused| refused.because != Because::Unassigned).map(|refused| {
                Fault::new(Effect::RefuseCells(Cells {
                    data_set: None,
                    period: None,
                    org_unit: Some(refused.village.clone()),
                    data_element: None,
                    because: refused.because,
                }))
            });
        cells.chain(cases).collect()
    }

    /// Whether DHIS2 takes no cases of a village.
    pub fn refuses_cases(&self, village: &str) -> bool {
        let closed = [Because::Unassigned, Because::Approved];
        self.refused.iter().any(|refused| refused.village == village && closed.contains(&refused.because))
    }
}
