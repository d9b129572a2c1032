//! FHIR resources of the people.
//!
//! Every entry is a PUT with an id of the client's own, so that a transaction whose answer was lost is
//! simply sent again.

use jiff::civil::Date;
use serde_json::{Value, json};

use super::Story;
use super::people::{Patient, Person, Test, id};

const VILLAGES: &str = "https://dhis2.example.org/organisationUnits";

impl Story {
    /// Everybody who reports, with her place of work: one transaction.
    pub fn practitioners(&self) -> Value {
        let mut entries = Vec::new();
        for (at, person) in self.people.iter().enumerate() {
            let urn = format!("urn:uuid:{}", id(self.seed, "reference", at));
            entries.push(entry(Some(&urn), practitioner(person)));
            if !person.tagged {
                let role = id(self.seed, "role", at);
                entries.push(entry(
                    None,
                    json!({ "resourceType": "PractitionerRole", "id": role, "active": true,
                    "practitioner": { "reference": urn },
                    "organization": { "identifier": { "system": VILLAGES, "value": person.village } } }),
                ));
            }
        }
        transaction(entries)
    }

    /// Patients: those who are registered in time, or those who are not.
    pub fn patients(&self, late: bool) -> Value {
        let chosen = self.patients.iter().filter(|patient| patient.late == late);
        transaction(chosen.map(|patient| entry(None, show_patient(patient, wrong_gender(patient)))).collect())
    }

    /// The tests of the month before.
    pub fn observations(&self, month: Date) -> Value {
        let show = |test: &Test| entry(None, self.observation(test, month, "final"));
        transaction(self.tests.iter().map(show).collect())
    }

    /// What is put right later: the sex of some patients, and tests that were entered in error.
    pub fn corrections(&self, month: Date) -> Value {
        let patients = self.patients.iter().filter(|patient| patient.corrected);
        let mut entries: Vec<Value> =
            patients.map(|patient| entry(None, show_patient(patient, patient.gender))).collect();
        let tests = self.tests.iter().filter(|test| test.withdrawn);
        entries.extend(tests.map(|test| entry(None, self.observation(test, month, "entered-in-error"))));
        transaction(entries)
    }

    fn observation(&self, test: &Test, month: Date, status: &str) -> Value {
        let patient = self.patients.get(test.patient).map_or("", |patient| patient.id.as_str());
        let day = Date::new(month.year(), month.month(), test.day).unwrap_or(month);
        let (code, display) =
            if test.positive { ("10828004", "Positive") } else { ("260385009", "Negative") };
        json!({ "resourceType": "Observation", "id": test.id, "status": status,
            "code": { "coding": [{ "system": "http://loinc.org", "code": "70569-9" }] },
            "subject": { "reference": format!("Patient/{patient}") },
            "effectiveDateTime": format!("{day}T09:30:00+02:00"),
            "valueCodeableConcept": { "coding": [{ "system": "http://snomed.info/sct", "code": code,
                "display": display }] } })
    }
}

fn transaction(entries: Vec<Value>) -> Value {
    json!({ "resourceType": "Bundle", "type": "transaction", "entry": entries })
}

fn entry(full_url: Option<&str>, resource: Value) -> Value {
    let text = |key: &str| resource[key].as_str().unwrap_or("").to_owned();
    let url = format!("{}/{}", text("resourceType"), text("id"));
    let mut entry = json!({ "request": { "method": "PUT", "url": url }, "resource": resource });
    if let Some(full_url) = full_url {
        entry["fullUrl"] = full_url.into();
    }
    entry
}

/// `+250788410001` as people write it down.
fn written(phone: &str) -> String {
    match (phone.get(..4), phone.get(4..7), phone.get(7..)) {
        (Some(country), Some(network), Some(rest)) => format!("{country} {network} {rest}"),
        _ => phone.to_owned(),
    }
}

fn practitioner(person: &Person) -> Value {
    let (given, family) = person.name.split_once(' ').unwrap_or((&person.name, ""));
    let mut shown = json!({ "resourceType": "Practitioner", "id": person.id, "active": true,
        "name": [{ "text": person.name, "family": family, "given": [given] }],
        "telecom": [{ "system": "phone", "value": written(&person.phone), "use": "mobile" }],
        "communication": [{ "coding": [{ "system": "urn:ietf:bcp:47", "code": person.language.0 }] }] });
    if person.tagged {
        let tag = json!({ "system": "https://smartregister.org/location-tag-id", "code": person.village });
        shown["meta"] = json!({ "tag": [tag] });
    }
    shown
}

/// The sex as it was noted first.
fn wrong_gender(patient: &Patient) -> &'static str {
    match (patient.corrected, patient.gender) {
        (true, "female") => "male",
        (true, _) => "female",
        (false, gender) => gender,
    }
}

fn show_patient(patient: &Patient, gender: &str) -> Value {
    let (given, family) = patient.name.split_once(' ').unwrap_or((&patient.name, ""));
    json!({ "resourceType": "Patient", "id": patient.id, "active": true,
        "name": [{ "family": family, "given": [given] }], "gender": gender, "birthDate": patient.born,
        "telecom": [{ "system": "phone", "value": written(&patient.phone) }],
        "communication": [{ "language": { "coding": [{ "system": "urn:ietf:bcp:47", "code": "rw" }] },
            "preferred": true }],
        "managingOrganization": { "identifier": { "system": VILLAGES, "value": patient.facility } } })
}
