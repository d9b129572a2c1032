//! What checking costs per resource: the walk over the structure alone, with the invariants, and the whole way
//! in (with fhirbolt's model); and what one FHIRPath expression costs.
//!
//! ```text
//! cargo bench --bench validation
//! ```
//!
//! The aim: what is written often (patients, observations, responses) stays below a millisecond. Resources whose
//! type has many rules in FHIRPath (ElementDefinition has fourteen) cost more, and are written rarely. The numbers
//! are in docs/fhir.md, "What checking costs".

use std::fmt;
use std::sync::LazyLock;

use divan::{Bencher, black_box};
use mjumbe::fhir::path::{self, Subject};
use mjumbe::fhir::resource::Resource;
use mjumbe::fhir::structure;
use serde_json::{Value, json};

static CASES: LazyLock<Vec<Case>> = LazyLock::new(cases);

fn main() {
    divan::main();
}

struct Case {
    name: &'static str,
    resource: Value,
}

impl fmt::Display for Case {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{} ({} bytes)", self.name, self.resource.to_string().len())
    }
}

fn cases() -> Vec<Case> {
    let patient = json!({
        "resourceType": "Patient", "active": true, "gender": "female", "birthDate": "1990-01-02",
        "identifier": [{ "system": "urn:nid", "value": "1", "period": { "start": "2010", "end": "2030" } }],
        "name": [{ "use": "official", "family": "Uwase", "given": ["Aline", "M"] }],
        "telecom": [{ "system": "phone", "value": "+250788000000", "use": "mobile" }],
        "address": [{ "district": "Gasabo", "country": "RW" }],
        "contact": [{ "name": { "text": "K" }, "telecom": [{ "system": "phone", "value": "+250788000001" }] }],
        "managingOrganization": { "reference": "Organization/1" }
    });
    let observation = json!({
        "resourceType": "Observation", "status": "final", "effectiveDateTime": "2026-01-02T10:00:00Z",
        "code": { "coding": [{ "system": "http://loinc.org", "code": "85354-9" }] },
        "subject": { "reference": "Patient/1" },
        "component": [
            { "code": { "coding": [{ "system": "http://loinc.org", "code": "8480-6" }] },
              "valueQuantity": { "value": 120, "unit": "mmHg", "system": "http://unitsofmeasure.org", "code": "mm[Hg]" } },
            { "code": { "coding": [{ "system": "http://loinc.org", "code": "8462-4" }] },
              "valueQuantity": { "value": 80, "unit": "mmHg", "system": "http://unitsofmeasure.org", "code": "mm[Hg]" } }
        ]
    });
    let condition = json!({
        "resourceType": "Condition", "subject": { "reference": "Patient/1" },
        "clinicalStatus": { "coding": [
            { "system": "http://terminology.hl7.org/CodeSystem/condition-clinical", "code": "active" }] },
        "code": { "text": "malaria" }, "evidence": [{ "code": [{ "text": "RDT" }] }]
    });
    let answers: Vec<Value> = (0..40)
        .map(|n| json!({ "linkId": format!("q{n}"), "text": "Question", "answer": [{ "valueString": "yes" }] }))
        .collect();
    let questions: Vec<Value> =
        (0..40).map(|n| json!({ "linkId": format!("q{n}"), "text": "Question", "type": "string" })).collect();
    let response = json!({ "resourceType": "QuestionnaireResponse", "status": "completed", "item": answers });
    let questionnaire = json!({ "resourceType": "Questionnaire", "status": "active", "item": questions });
    let elements: Vec<Value> = (0..20)
        .map(|n| {
            let path = if n == 0 { "Patient".to_owned() } else { format!("Patient.e{n}") };
            json!({ "id": path, "path": path, "min": 0, "max": "1", "definition": "Text", "base":
                { "path": path, "min": 0, "max": "1" } })
        })
        .collect();
    let definition = json!({
        "resourceType": "StructureDefinition", "url": "http://example.org/p", "name": "P", "status": "draft",
        "kind": "resource", "abstract": false, "type": "Patient", "derivation": "constraint",
        "baseDefinition": "http://hl7.org/fhir/StructureDefinition/Patient", "snapshot": { "element": elements }
    });
    [
        ("Patient", patient),
        ("Observation", observation),
        ("Condition", condition),
        ("QuestionnaireResponse of 40", response),
        ("Questionnaire of 40", questionnaire),
        ("StructureDefinition of 20", definition),
    ]
    .into_iter()
    .map(|(name, resource)| Case { name, resource })
    .collect()
}

#[divan::bench(args = CASES.iter())]
fn structure_alone(bencher: Bencher, case: &Case) {
    bencher.bench(|| structure::check_shell(black_box(&case.resource)));
}

#[divan::bench(args = CASES.iter())]
fn with_invariants(bencher: Bencher, case: &Case) {
    assert_eq!(structure::check(&case.resource), []);
    bencher.bench(|| structure::check(black_box(&case.resource)));
}

#[divan::bench(args = CASES.iter())]
fn whole_way_in(bencher: Bencher, case: &Case) {
    assert!(Resource::from_value(case.resource.clone()).is_ok());
    bencher.with_inputs(|| case.resource.clone()).bench_values(Resource::from_value);
}

/// Selections are read from the resource; the others go through the engine.
#[divan::bench(args = [
    "Observation.subject.reference",
    "Observation.component.where(code.coding.code = '8480-6').value",
    "Observation.component.count() > 1",
])]
fn one_expression(bencher: Bencher, expression: &str) {
    let program = path::engine().compile(expression).unwrap();
    let observation = &CASES[1].resource;
    assert!(!program.values(&Subject::new(observation)).unwrap().is_empty());
    bencher.bench(|| program.values(&Subject::new(black_box(observation))));
}

#[divan::bench]
fn compile_an_expression(bencher: Bencher) {
    let mut number = 0;
    bencher
        .with_inputs(|| {
            number += 1;
            format!("Observation.component.where(code.text = '{number}').value.ofType(Quantity)")
        })
        .bench_local_values(|expression| path::engine().compile(&expression).is_ok());
}
