use serde_json::{Value, json};

use super::*;

const URL: &str = "http://example.org/fhir/StructureDefinition/national-patient";

fn profile(elements: Value) -> (String, String) {
    let body = json!({
        "resourceType": "StructureDefinition", "url": URL, "name": "NationalPatient", "status": "active",
        "fhirVersion": "4.0.1", "kind": "resource", "abstract": false, "type": "Patient",
        "baseDefinition": "http://hl7.org/fhir/StructureDefinition/Patient", "derivation": "constraint",
        "differential": { "element": elements }
    });
    ("national.json".to_owned(), body.to_string())
}

fn with_ids(mut elements: Value) -> Value {
    for element in elements.as_array_mut().unwrap() {
        if element.get("id").is_none() {
            element["id"] = element["path"].clone();
        }
    }
    elements
}

fn checked(registry: &Registry, mut resource: Value) -> Vec<String> {
    resource["meta"] = json!({ "profile": [URL] });
    let issues = registry.check(&resource);
    issues.iter().map(|issue| format!("{} {}", issue.code, issue.expression[0])).collect()
}

fn national() -> Registry {
    let sets = [
        json!({"resourceType": "CodeSystem", "url": "urn:cs", "status": "active", "content": "complete",
            "concept": [{"code": "a", "concept": [{"code": "b"}]}]}),
        json!({"resourceType": "ValueSet", "url": "urn:vs", "status": "active",
            "compose": {"include": [{"system": "urn:cs"}]}}),
    ];
    let elements = with_ids(json!([
        { "path": "Patient", "constraint": [{ "key": "nat-1", "severity": "error", "human": "a name or a card",
            "expression": "name.exists() or identifier.exists()" }] },
        { "path": "Patient.identifier", "slicing": { "discriminator": [{ "type": "value", "path": "system" }],
            "rules": "open" } },
        { "id": "Patient.identifier:card", "path": "Patient.identifier", "sliceName": "card", "min": 1, "max": "1" },
        { "id": "Patient.identifier:card.system", "path": "Patient.identifier.system", "min": 1, "fixedUri": "urn:card" },
        { "id": "Patient.identifier:card.value", "path": "Patient.identifier.value", "min": 1 },
        { "path": "Patient.birthDate", "min": 1 },
        { "path": "Patient.photo", "max": "0" },
        { "path": "Patient.deceased[x]", "type": [{ "code": "boolean" }] },
        { "path": "Patient.maritalStatus", "binding": { "strength": "required", "valueSet": "urn:vs|1" } },
        { "path": "Patient.communication.language", "patternCodeableConcept": { "coding": [{ "code": "rw" }] } },
        { "path": "Patient.generalPractitioner", "slicing": { "discriminator": [{ "type": "profile", "path": "$this" }],
            "rules": "open" } },
    ]));
    let mut files: Vec<(String, String)> =
        sets.iter().enumerate().map(|(n, set)| (format!("{n}.json"), set.to_string())).collect();
    files.push(profile(elements));
    Registry::with(&files).unwrap()
}

#[test]
fn our_own_definitions_are_read_whole() {
    let registry = Registry::own().unwrap();
    assert_eq!(registry.told(), Vec::<String>::new());
    assert_eq!(registry.profiles.len(), 3);
    for (file, text) in OWN {
        Resource::parse(text.as_bytes()).unwrap_or_else(|outcome| panic!("{file}: {outcome}"));
    }
    let mut files: Vec<String> = std::fs::read_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/fhir-profiles"))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "json"))
        .map(|path| path.file_name().unwrap().to_string_lossy().into_owned())
        .collect();
    files.sort();
    assert_eq!(files, OWN.iter().map(|(name, _)| (*name).to_owned()).collect::<Vec<_>>());
}

#[test]
fn what_keeps_to_the_profile_passes() {
    let registry = national();
    assert!(registry.told()[0].contains("discriminator"), "{:?}", registry.told());
    let good = json!({"resourceType": "Patient", "birthDate": "2000", "deceasedBoolean": false,
        "identifier": [{"system": "urn:other"}, {"system": "urn:card", "value": "1"}],
        "maritalStatus": {"coding": [{"system": "urn:cs", "code": "b"}]},
        "communication": [{"language": {"coding": [{"system": "urn:l", "code": "rw"}], "text": "x"}}]});
    assert_eq!(checked(&registry, good.clone()), Vec::<String>::new());
    // Who does not claim it is not asked.
    assert_eq!(registry.check(&json!({"resourceType": "Patient"})), []);
}

#[test]
fn each_fault_has_its_place() {
    let registry = national();
    let bare = json!({"resourceType": "Patient"});
    assert_eq!(
        checked(&registry, bare),
        [
            "profile-invariant Patient",
            "profile-cardinality Patient.identifier",
            "profile-cardinality Patient.birthDate"
        ]
    );
    let base = json!({"resourceType": "Patient", "birthDate": "2000",
        "identifier": [{"system": "urn:card", "value": "1"}]});
    let with = |key: &str, value: Value| {
        let mut resource = base.clone();
        resource[key] = value;
        checked(&registry, resource)
    };
    assert_eq!(with("photo", json!([{"title": "x"}])), ["profile-cardinality Patient.photo"]);
    assert_eq!(with("deceasedDateTime", json!("2020")), ["profile-type Patient.deceasedDateTime"]);
    assert_eq!(
        with("maritalStatus", json!({"coding": [{"system": "urn:x", "code": "b"}]})),
        ["profile-binding Patient.maritalStatus"]
    );
    assert_eq!(
        with("communication", json!([{"language": {"text": "x"}}])),
        ["profile-value Patient.communication[0].language"]
    );
    assert_eq!(
        with("identifier", json!([{"system": "urn:card"}])),
        ["profile-cardinality Patient.identifier[0].value"]
    );
    assert_eq!(
        with(
            "identifier",
            json!([{"system": "urn:card", "value": "1"}, {"system": "urn:card", "value": "2"}])
        ),
        ["profile-cardinality Patient.identifier"]
    );
    let mut other = json!({"resourceType": "Practitioner"});
    other["meta"] = json!({ "profile": [URL] });
    assert_eq!(registry.check(&other)[0].code, "profile-type");
}

#[test]
fn what_is_no_profile_is_refused() {
    let unusable = |text: &str| Registry::with(&[("x.json".to_owned(), text.to_owned())]).unwrap_err();
    assert!(matches!(unusable("{"), ProfileError::NotR4 { .. }));
    let (_, text) = profile(json!([{"id": "Patient", "path": "Patient"}]));
    let nonsense = unusable(&text.replace("Patient", "Nonsense"));
    assert!(matches!(nonsense, ProfileError::Unusable { .. }), "{nonsense}");
    let file = ("a.json".to_owned(), text);
    assert!(matches!(Registry::with(&[file.clone(), file]), Err(ProfileError::Doubled { .. })));
}

#[test]
fn a_profile_that_is_not_known_is_advice() {
    let patient = json!({"resourceType": "Patient", "meta": {"profile": ["http://x.org/p"]}});
    let registry = Registry::own().unwrap();
    assert_eq!(registry.check(&patient), []);
    let advice = registry.advise(&patient, &["http://x.org/other".to_owned()]);
    let severities: Vec<_> = advice.iter().map(|issue| (issue.code, issue.severity)).collect();
    assert_eq!(severities, [("unknown-profile", Severity::Warning), ("unknown-profile", Severity::Error)]);
}

#[test]
fn what_there_is_no_time_for_is_not_let_through() {
    let registry = national();
    let patient = json!({ "resourceType": "Patient", "name": [{ "family": "Uwase" }], "birthDate": "2021-03-04",
        "identifier": [{ "system": "urn:card", "value": "7" }] });
    let codes = |urls: &[&str], time: Duration| -> Vec<&'static str> {
        registry.judge_within(&patient, urls, time).iter().map(|issue| issue.code).collect()
    };
    assert_eq!(codes(&[URL], Duration::from_secs(20)), [""; 0]);
    assert_eq!(codes(&[URL], Duration::ZERO), [structure::TOO_COSTLY]);
    assert_eq!(codes(&[], Duration::ZERO), [""; 0], "nothing is to be looked at");
}
