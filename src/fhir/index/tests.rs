use super::*;
use serde_json::json;

/// The rows of one parameter, as short texts.
fn check(resource: Value, code: &str) -> Vec<String> {
    let kind = resource["resourceType"].as_str().unwrap().to_owned();
    let key = ParameterKey::new(&kind, code);
    let zone = TimeZone::get("Africa/Nairobi").unwrap();
    rows(&kind, &resource, &zone)
        .iter()
        .filter(|row| row.parameter == key)
        .map(|row| show(&row.value))
        .collect()
}

fn show(value: &IndexValue) -> String {
    match value {
        IndexValue::Token { system, code, text } => format!("{system}|{code}|{text}"),
        IndexValue::Text { normal, exact } => format!("{normal}/{exact}"),
        IndexValue::Date { low, high } => format!("{low}..{high}"),
        IndexValue::Number { low, high } => format!("{low}..{high}"),
        IndexValue::Quantity { low, high, system, code } => format!("{low}..{high} {system}|{code}"),
        IndexValue::Reference { kind, id, url, identifier } => format!("{kind}/{id} {url} {identifier}"),
        IndexValue::Uri(uri) => uri.clone(),
        IndexValue::Composite { first, second } => {
            let part = |p: &Part| format!("{}|{}[{}..{}]", p.system, p.code, p.low, p.high);
            format!("{}${}", part(first), part(second))
        }
    }
}

fn patient() -> Value {
    json!({
        "resourceType": "Patient", "id": "p",
        "meta": {"tag": [{"system": "http://t", "code": "x"}], "profile": ["http://p|1"]},
        "identifier": [{"system": "urn:card", "value": "7", "type": {"text": "Card"}}],
        "active": true, "gender": "female", "birthDate": "1980-05",
        "name": [{"family": "Núñez", "given": ["Ana", "María"]}],
        "telecom": [{"system": "phone", "value": "+255"}, {"system": "email", "value": "a@b"}],
        "address": [{"city": "Dodoma", "line": ["1 Road"]}],
        "deceasedDateTime": "2020-01-01T00:00:00Z",
        "generalPractitioner": [{"reference": "Practitioner/1/_history/2"}, {"reference": "http://x.org/fhir/Practitioner/2"}, {"identifier": {"system": "s", "value": "v"}}],
        "managingOrganization": {"reference": "#o"}
    })
}

#[test]
fn tokens() {
    assert_eq!(check(patient(), "identifier"), ["urn:card|7|card"]);
    assert_eq!(check(patient(), "gender"), ["|female|"]);
    assert_eq!(check(patient(), "active"), ["|true|"]);
    assert_eq!(check(patient(), "phone"), ["phone|+255|"]);
    assert_eq!(check(patient(), "telecom"), ["phone|+255|", "email|a@b|"]);
    assert_eq!(check(patient(), "_tag"), ["http://t|x|"]);
    assert_eq!(check(patient(), "deceased"), ["|true|"]);
    assert_eq!(check(json!({"resourceType": "Patient"}), "deceased"), ["|false|"]);
    assert_eq!(check(json!({"resourceType": "Patient", "deceasedBoolean": false}), "deceased"), ["|false|"]);
    let observation = json!({"resourceType": "Observation", "code": {"coding": [{"system": "l", "code": "1", "display": "One"}], "text": "Uno"}});
    assert_eq!(check(observation, "code"), ["l|1|one", "||uno"]);
}

#[test]
fn strings_and_uris() {
    assert_eq!(check(patient(), "name"), ["nunez/Núñez", "ana/Ana", "maria/María"]);
    assert_eq!(check(patient(), "family"), ["nunez/Núñez"]);
    assert_eq!(check(patient(), "address"), ["1 road/1 Road", "dodoma/Dodoma"]);
    assert_eq!(check(patient(), "_profile"), ["http://p|1", "http://p"]);
}

#[test]
fn dates_in_the_tenants_zone() {
    // May 1980 in Nairobi begins at 21:00 UTC on 30 April.
    assert_eq!(check(patient(), "birthdate"), ["325976400000..328654800000"]);
    assert_eq!(check(patient(), "death-date"), ["1577836800000..1577836801000"]);
    let encounter = json!({"resourceType": "Encounter", "period": {"start": "2020-01-01T00:00:00Z"}});
    assert_eq!(check(encounter, "date"), ["1577836800000..253402300800000"]);
}

#[test]
fn references() {
    assert_eq!(
        check(patient(), "general-practitioner"),
        ["Practitioner/1  ", "/ http://x.org/fhir/Practitioner/2 ", "/  s|v"]
    );
    assert_eq!(
        check(patient(), "organization"),
        ["/ #o "],
        "what is contained is there, and no other resource"
    );
    let observation = json!({"resourceType": "Observation", "subject": {"reference": "Group/1"}});
    assert_eq!(check(observation.clone(), "subject"), ["Group/1  "]);
    assert!(check(observation, "patient").is_empty());
    let response = json!({"resourceType": "QuestionnaireResponse", "questionnaire": "http://q|3"});
    assert_eq!(check(response, "questionnaire"), ["/ http://q ", "/ http://q|3 "]);
}

#[test]
fn quantities_numbers_and_composites() {
    let observation = json!({
        "resourceType": "Observation",
        "code": {"coding": [{"system": "l", "code": "bp"}]},
        "valueQuantity": {"value": 5.40, "unit": "milligram", "system": "http://unitsofmeasure.org", "code": "mg"},
        "component": [{"code": {"coding": [{"system": "l", "code": "c"}]}, "valueQuantity": {"value": 3, "comparator": "<"}}]
    });
    assert_eq!(
        check(observation.clone(), "value-quantity"),
        ["5.4..5.4 |milligram", "5.4..5.4 http://unitsofmeasure.org|mg"]
    );
    assert_eq!(
        check(observation.clone(), "code-value-quantity"),
        ["l|bp[0..0]$|milligram[5.4..5.4]", "l|bp[0..0]$http://unitsofmeasure.org|mg[5.4..5.4]"]
    );
    let component = check(observation, "component-code-value-quantity");
    assert_eq!(component.len(), 1);
    assert!(component[0].starts_with("l|c[0..0]$|[-1797"), "{}", component[0]);
    let risk = json!({"resourceType": "RiskAssessment", "prediction": [{"probabilityDecimal": 0.25}]});
    assert_eq!(check(risk, "probability"), ["0.25..0.25"]);
}

#[test]
fn anything_at_all_is_read_without_a_panic() {
    for odd in [json!(null), json!([]), json!({"name": 5, "birthDate": {}, "telecom": [[[]]], "meta": "x"})] {
        rows("Patient", &odd, &TimeZone::UTC);
    }
}
