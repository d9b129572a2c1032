//! FHIR resources of the people.
//!
//! Every entry is a PUT with an id of the client's own, so that a transaction whose answer was lost is
//! simply sent again.

use jiff::Timestamp;
use jiff::civil::Date;
use serde_json::{Value, json};

use super::Story;
use super::children::{Child, MOVER, Visit};
use super::people::{Patient, Person, Test, id};

const VILLAGES: &str = "https://dhis2.example.org/organisationUnits";

impl Story {
    /// Everybody who reports, with her place of work: one transaction.
    pub fn practitioners(&self) -> Value {
        let mut entries = Vec::new();
        for (at, person) in self.people.iter().enumerate() {
            entries.extend(worker(self.seed, person, ("role", at)));
        }
        transaction(entries)
    }

    /// The person who gets another number.
    pub fn moved(&self) -> Value {
        let moved = self
            .people
            .get(MOVER)
            .cloned()
            .map(|person| entry(None, practitioner(&Person { phone: self.new_phone.clone(), ..person })));
        transaction(moved.into_iter().collect())
    }

    /// The person who gets the number that is free now.
    pub fn heir(&self) -> Value {
        transaction(worker(self.seed, &self.heir, ("heir-role", 0)))
    }

    /// Children: those who are registered in time, or those who are not; what is corrected later is still
    /// wrong. Mothers who agree to be written to have said so.
    pub fn children(&self, late: bool) -> Value {
        let chosen = self.children.iter().filter(|child| child.late == late);
        transaction(
            chosen
                .flat_map(|child| [Some(show_child(child, &child.first_name)), consent(child, "active")])
                .flatten()
                .map(|resource| entry(None, resource))
                .collect(),
        )
    }

    /// Children whose names were written down wrongly.
    pub fn corrected_children(&self) -> Value {
        let wrong = self.children.iter().filter(|child| child.name != child.first_name);
        transaction(wrong.map(|child| entry(None, show_child(child, &child.name))).collect())
    }

    /// Children are enrolled: their next visits are due at a time.
    pub fn enrolments(&self, due: Timestamp) -> Value {
        let enrolled = self.children.iter().filter(|child| child.visit != Visit::NotEnrolled);
        transaction(
            enrolled
                .map(|child| {
                    entry(
                        None,
                        json!({ "resourceType": "EpisodeOfCare", "id": child.episode(), "status": "active",
                        "patient": { "reference": format!("Patient/{}", child.id) },
                        "period": { "start": super::super::time::millis(due) + "Z" } }),
                    )
                })
                .collect(),
        )
    }

    /// Visits that are recorded, and consents that are taken back.
    pub fn called_off(&self) -> Value {
        let entries = self.children.iter().filter_map(|child| match child.visit {
            Visit::Recorded => Some(json!({ "resourceType": "Encounter", "id": child.encounter(),
                "status": "finished",
                "class": { "system": "http://terminology.hl7.org/CodeSystem/v3-ActCode", "code": "AMB" },
                "subject": { "reference": format!("Patient/{}", child.id) },
                "episodeOfCare": [{ "reference": format!("EpisodeOfCare/{}", child.episode()) }] })),
            Visit::Refused => consent(child, "inactive"),
            _ => None,
        });
        transaction(entries.map(|resource| entry(None, resource)).collect())
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

/// A Practitioner, and where she works.
fn worker(seed: u64, person: &Person, (kind, at): (&str, usize)) -> Vec<Value> {
    let urn = format!("urn:uuid:{}", id(seed, &format!("{kind}-reference"), at));
    let mut entries = vec![entry(Some(&urn), practitioner(person))];
    if !person.tagged {
        entries.push(entry(
            None,
            json!({ "resourceType": "PractitionerRole", "id": id(seed, kind, at), "active": true,
                "practitioner": { "reference": urn },
                "organization": { "identifier": { "system": VILLAGES, "value": person.village } } }),
        ));
    }
    entries
}

fn show_child(child: &Child, name: &str) -> Value {
    json!({ "resourceType": "Patient", "id": child.id, "active": true,
        "identifier": [{ "system": "https://mjumbe.example/child-number", "value": child.number }],
        "name": [{ "given": [name] }], "gender": child.gender, "birthDate": child.born.to_string(),
        "contact": [{ "relationship": [{ "coding": [{
                "system": "http://terminology.hl7.org/CodeSystem/v3-RoleCode", "code": "MTH" }] }],
            "telecom": [{ "system": "phone", "value": written(&child.mother) }] }],
        "managingOrganization": { "identifier": { "system": VILLAGES, "value": child.village } } })
}

/// What a mother said about being written to; nothing of those who never agreed.
fn consent(child: &Child, status: &str) -> Option<Value> {
    let scope = json!({ "coding": [{ "system": "http://terminology.hl7.org/CodeSystem/consentscope",
        "code": "patient-privacy" }] });
    (child.visit != Visit::NoConsent).then(|| {
        json!({ "resourceType": "Consent", "id": child.consent(), "status": status, "scope": scope,
            "category": [{ "text": "Text messages to the mother" }],
            "patient": { "reference": format!("Patient/{}", child.id) },
            "policyRule": { "text": "opt-in" } })
    })
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
