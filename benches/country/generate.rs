//! A country's patients with their Observations and QuestionnaireResponses, always the same ones.

use futures::StreamExt;
use jiff::civil::Date;
use jiff::tz::TimeZone;
use jiff::{Timestamp, ToSpan};
use mjumbe::fhir::index;
use mjumbe::fhir::resource::{instant, strip};
use mjumbe::fhir::subject::subject;
use mjumbe::store::Store;
use mjumbe::store::write::{Fixed, Origin, Precondition, Put, Refusal};
use serde_json::{Value, json};

/// Resources of one patient, the patient included.
pub const PER_PATIENT: usize = 100;
const OBSERVATIONS: usize = 70;
/// Patients of one organization.
const PER_ORGANIZATION: usize = 10;
/// Patients of one write, and writes under way.
const PATIENTS_AT_ONCE: usize = 5;
const WRITES_AT_ONCE: usize = 4;
/// Observations that are written last, for whoever polls.
const LAST: usize = 20;
/// A code that ten observations of the country have, however large it is.
pub const RARE: &str = "39802-5";
const RARE_COUNT: usize = 10;

/// LOINC codes with unit, lowest value and range.
pub const CODES: [(&str, &str, f64, f64); 7] = [
    ("29463-7", "kg", 3.0, 80.0),
    ("8302-2", "cm", 48.0, 140.0),
    ("8310-5", "Cel", 35.5, 5.0),
    ("56072-2", "cm", 10.0, 20.0),
    ("8867-4", "/min", 60.0, 90.0),
    ("9279-1", "/min", 12.0, 40.0),
    ("2708-6", "%", 88.0, 12.0),
];

const SYLLABLES: [&str; 20] = [
    "ba", "bi", "do", "fa", "ga", "ha", "ka", "ki", "li", "ma", "mu", "na", "nya", "ra", "ri", "sa", "shi",
    "ta", "u", "wa",
];
const GIVEN: [&str; 12] = [
    "Aline",
    "Béatrice",
    "Claude",
    "Diane",
    "Eric",
    "Fiston",
    "Grâce",
    "Honoré",
    "Irène",
    "Jean",
    "Keza",
    "Léon",
];

/// What there is so far.
#[derive(Default)]
pub struct Country {
    pub size: usize,
    /// When the last observations had not been written yet.
    pub before_last: String,
}

impl Country {
    /// Writes what is missing to `size`, and the last observations; gives how many were written.
    pub async fn grow(&mut self, store: &Store, size: usize) -> usize {
        let first = self.size / PER_PATIENT;
        let patients: Vec<usize> = (first..size / PER_PATIENT).collect();
        let plans = patients.chunks(PATIENTS_AT_ONCE).map(<[usize]>::to_vec);
        let writes = plans.map(|patients| {
            let store = store.clone();
            tokio::spawn(async move {
                let puts: Vec<Put> = patients.into_iter().flat_map(patient).collect();
                write(&store, puts).await
            })
        });
        let mut writes = futures::stream::iter(writes).buffer_unordered(WRITES_AT_ONCE);
        let mut written = 0;
        while let Some(write) = writes.next().await {
            written += write.expect("the writer does not panic");
        }
        self.size = size;
        // Later than what was written, and earlier than what comes now.
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        self.before_last = format!("{:.3}", Timestamp::now());
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        let last = (0..LAST).map(|n| {
            let id = format!("last-{size}-{n}");
            put("Observation", &id, &observation(n, OBSERVATIONS + size, CODES[n % CODES.len()].0))
        });
        written + write(store, last.collect()).await
    }
}

async fn write(store: &Store, puts: Vec<Put>) -> usize {
    loop {
        let plan = Fixed { puts: puts.clone(), ..Fixed::default() };
        match store.write("default", Box::new(plan)).await {
            Ok(written) => return written.len(),
            Err(Refusal::Busy) => tokio::time::sleep(std::time::Duration::from_millis(50)).await,
            Err(refusal) => panic!("the store refuses: {refusal}"),
        }
    }
}

fn put(kind: &str, id: &str, resource: &Value) -> Put {
    Put {
        kind: kind.to_owned(),
        id: id.to_owned(),
        body: Some(strip(resource)),
        index: index::rows(kind, resource, &TimeZone::UTC),
        subject: subject(kind, id, resource),
        precondition: Precondition::None,
        origin: Origin::Client("bench".to_owned()),
    }
}

/// A number that looks random and is always the same.
fn mixed(n: usize) -> usize {
    let mut x = (n as u64).wrapping_add(0x9E37_79B9_7F4A_7C15);
    x = (x ^ (x >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    x = (x ^ (x >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    usize::try_from((x ^ (x >> 31)) & 0xFFFF_FFFF).unwrap_or_default()
}

pub fn national_id(n: usize) -> String {
    format!("1{:04}8{:07}", n % 3_000, n)
}

pub fn phone(n: usize) -> String {
    format!("+25078{n:07}")
}

pub fn organization(n: usize) -> usize {
    n / PER_ORGANIZATION
}

/// A name that nobody else has, out of 160,000.
pub fn family(n: usize) -> String {
    let mut rest = (n * 7_919) % 160_000;
    let mut name = String::new();
    for _ in 0..4 {
        name.push_str(SYLLABLES[rest % SYLLABLES.len()]);
        rest /= SYLLABLES.len();
    }
    // Ends like no beginning of another name.
    name.push('x');
    name
}

/// A patient with everything about her; each tenth with the organization of the next ten.
fn patient(n: usize) -> Vec<Put> {
    let id = format!("p{n}");
    let born = Date::constant(1950, 1, 1) + i64::try_from(mixed(n) % 27_000).unwrap_or_default().days();
    let resource = json!({
        "resourceType": "Patient", "active": true, "gender": if mixed(n).is_multiple_of(2) { "female" } else { "male" },
        "meta": { "tag": [{ "system": "https://smartregister.org/location-tag-id", "code": format!("l{}", organization(n)) }] },
        "identifier": [{ "use": "official", "system": "https://e.org/national-id", "value": national_id(n) },
            { "system": "https://e.org/clinic-number", "value": format!("C{}-{}", organization(n), n % PER_ORGANIZATION) }],
        "name": [{ "use": "official", "family": family(n), "given": [GIVEN[mixed(n + 1) % GIVEN.len()]] }],
        "telecom": [{ "system": "phone", "value": phone(n), "use": "mobile" }],
        "birthDate": born.to_string(),
        "address": [{ "district": format!("District {}", n % 30), "city": format!("Sector {}", n % 416) }],
        "managingOrganization": { "reference": format!("Organization/o{}", organization(n)) }
    });
    let mut puts = vec![put("Patient", &id, &resource)];
    if n.is_multiple_of(PER_ORGANIZATION) {
        let name = format!("Health centre {}", organization(n));
        let resource = json!({ "resourceType": "Organization", "active": true, "name": name });
        puts.push(put("Organization", &format!("o{}", organization(n)), &resource));
    }
    for at in 0..OBSERVATIONS {
        let code = if n < RARE_COUNT && at == 0 { RARE } else { CODES[at % CODES.len()].0 };
        puts.push(put("Observation", &format!("{id}-o{at}"), &observation(n, at, code)));
    }
    while puts.len() < PER_PATIENT {
        let at = puts.len();
        puts.push(put("QuestionnaireResponse", &format!("{id}-q{at}"), &response(n, at)));
    }
    puts
}

/// Some time in the years 2024 to 2026.
fn when(seed: usize) -> String {
    let seconds = i64::try_from(mixed(seed) % 90_000_000).unwrap_or_default();
    instant((1_704_067_200 + seconds) * 1_000)
}

fn observation(n: usize, at: usize, code: &str) -> Value {
    let seed = n * 1_000 + at;
    let (_, unit, low, range) = CODES.into_iter().find(|one| one.0 == code).unwrap_or(CODES[0]);
    let share = f64::from(u32::try_from(mixed(seed + 7) % 1_000).unwrap_or_default()) / 1_000.0;
    let value = ((low + range * share) * 10.0).round() / 10.0;
    json!({
        "resourceType": "Observation", "status": "final",
        "meta": { "tag": [{ "system": "https://smartregister.org/location-tag-id", "code": format!("l{}", organization(n)) }] },
        "category": [{ "coding": [{ "system": "http://terminology.hl7.org/CodeSystem/observation-category", "code": "vital-signs" }] }],
        "code": { "coding": [{ "system": "http://loinc.org", "code": code }] },
        "subject": { "reference": format!("Patient/p{n}") },
        "effectiveDateTime": when(seed),
        "performer": [{ "reference": format!("Practitioner/w{}", n % 500) }],
        "valueQuantity": { "value": value, "unit": unit, "system": "http://unitsofmeasure.org", "code": unit }
    })
}

fn response(n: usize, at: usize) -> Value {
    let seed = n * 1_000 + 500 + at;
    let items: Vec<Value> = (0..8)
        .map(|item| {
            json!({ "linkId": format!("q{item}"), "text": "How is the child today?",
                "answer": [{ "valueCoding": { "system": "https://e.org/answers", "code": format!("a{}", mixed(seed + item) % 4) } }] })
        })
        .collect();
    json!({
        "resourceType": "QuestionnaireResponse", "status": "completed",
        "questionnaire": format!("https://e.org/Questionnaire/visit-{}|3", at % 6),
        "subject": { "reference": format!("Patient/p{n}") },
        "source": { "reference": format!("Patient/p{n}") },
        "authored": when(seed), "item": items
    })
}
