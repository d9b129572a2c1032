use serde_json::json;

use super::*;
use crate::dhis2::form::{FormKind, Question, Stage};
use crate::mapping::testing::{self, Setting};
use crate::rapidpro::flow::example::{ANSWERED, CONTACT};
use crate::server::mappings;

fn result(key: &str, kind: &'static str, categories: &[&str]) -> Shown {
    let categories = categories.iter().map(|name| (*name).to_owned()).collect();
    Shown { key: key.to_owned(), name: key.replace('_', " "), kind, categories }
}

fn question(uid: &str, name: &str, value_type: &str) -> Question {
    Question {
        uid: uid.to_owned(),
        name: name.to_owned(),
        value_type: value_type.to_owned(),
        ..Question::default()
    }
}

fn report() -> Form {
    let deaths = |uid: &str, name: &str| Question {
        combo: Some((uid.to_owned(), name.to_owned())),
        ..question("P3jJH5Tu5VC", "Deaths", "INTEGER_ZERO_OR_POSITIVE")
    };
    let questions = vec![
        question("FTRrcoaog83", "Fever cases", "INTEGER_ZERO_OR_POSITIVE"),
        deaths("S34ULMcHMca", "Female"),
        deaths("wHBMVthqIX4", "Male"),
        question("MjStockOut1", "Stock-out of medicines", "BOOLEAN"),
        question("MjRemarks01", "Remarks\nand more", "LONG_TEXT"),
    ];
    let kind =
        FormKind::DataSet { period_type: "Monthly".to_owned(), questions, attribute_combos: Vec::new() };
    Form { uid: "VEM58nY22sO".to_owned(), name: "Monthly: village report".to_owned(), kind }
}

fn example() -> Value {
    json!({
        "resourceType": "QuestionnaireResponse", "id": "1", "status": "completed", "authored": ANSWERED,
        "_questionnaire": { "extension": [{ "url": "http://hl7.org/fhir/StructureDefinition/display",
            "valueString": "Monthly village report" }] },
        "questionnaire": "https://rapidpro.example/flow/1|1",
        "source": { "identifier": { "system": "https://rapidpro.example/contact", "value": CONTACT } },
        "item": [
            { "linkId": "fever_cases", "answer": [{ "valueInteger": 3 }] },
            { "linkId": "deaths_female", "answer": [{ "valueInteger": 4 }] },
            { "linkId": "deaths_male", "answer": [{ "valueInteger": 5 }] },
            { "linkId": "stock_out", "answer": [{ "valueBoolean": true }] },
        ],
    })
}

fn proposed(results: &[Shown], form: &Form) -> Proposal {
    let example = example();
    let ask = Ask {
        name: "monthly-village-report",
        flow: "Monthly village report",
        results,
        example: &example,
        form,
        unit_field: UNIT_FIELD,
        destination: None,
        zone: "Africa/Kigali",
    };
    propose(&ask, &mappings::registry(), None).unwrap()
}

fn results() -> Vec<Shown> {
    vec![
        result("fever_cases", "number", &[]),
        result("deaths_female", "number", &[]),
        result("deaths_male", "number", &[]),
        result("stock_out", "yes/no", &["Yes", "No"]),
        result("nickname", "text", &[]),
        result("webhook", "none", &[]),
    ]
}

#[test]
fn a_report_is_guessed_and_the_rest_is_said() {
    let proposal = proposed(&results(), &report());
    assert_eq!((proposal.guessed, proposal.asked), (4, 5));
    let has = |line: &str| assert!(proposal.mapping.contains(line), "{line}\n{}", proposal.mapping);
    has("        - { dataElement: FTRrcoaog83, value: { path: $.answers.fever_cases, type: integer } }\n");
    has(
        "          categoryOptionCombo: wHBMVthqIX4 # Male\n          value: { path: $.answers.deaths_male, type: integer }\n",
    );
    has("        - { dataElement: MjStockOut1, value: $.answers.stock_out }\n");
    has("        # Remarks and more (LONG_TEXT): no answer is called alike. Name one for RESULT:\n");
    has("        # - { dataElement: MjRemarks01, value: $.answers.RESULT }\n");
    has("# $.answers.nickname (text)\n");
    assert!(!proposal.mapping.contains("webhook"), "{}", proposal.mapping);
}

/// The test beside it passes, and fails as soon as the mapping does something else.
#[test]
fn its_test_passes_and_can_fail() {
    let mut form = report();
    if let FormKind::DataSet { questions, .. } = &mut form.kind {
        questions.truncate(4);
    }
    let proposal = proposed(&results(), &form);
    assert_eq!((proposal.guessed, proposal.asked), (4, 4));
    let registry = mappings::registry();
    let tests = testing::read("t.test.yaml", &proposal.test)
        .unwrap_or_else(|told| panic!("{told:?}\n{}", proposal.test));
    let zone = jiff::tz::TimeZone::UTC;
    let keys = std::collections::BTreeMap::new();
    let setting = Setting { registry: &registry, zone: &zone, country: None, pseudonym_keys: &keys };
    let run = |text: &str| {
        let settings = Settings { registry: &registry, destinations: None, tables: &Tables::new() };
        let program = program::load("m.yaml", text, &settings).unwrap();
        testing::run(&program, &tests[0], &setting).failed.is_none()
    };
    assert!(run(&proposal.mapping), "{}", proposal.test);
    assert!(proposal.test.contains("period: \"202602\""), "{}", proposal.test);
    assert!(!run(&proposal.mapping.replace("shift: -1", "shift: 0")));
}

/// Nothing is alike: the file still loads, sends no value, and does not say that it is complete.
#[test]
fn without_a_guess_nothing_is_sent() {
    let proposal = proposed(&[result("nickname", "text", &[])], &report());
    assert_eq!(proposal.guessed, 0);
    assert!(proposal.mapping.contains("complete: false"), "{}", proposal.mapping);
    assert!(proposal.mapping.contains("values: []"), "{}", proposal.mapping);
}

#[test]
fn names_are_made_of_flows() {
    assert_eq!(name_of("Monthly village report"), "monthly-village-report");
    assert_eq!(name_of("Naissances & décès (v2)"), "naissances-deces-v2");
    assert_eq!(name_of("報告"), "flow");
}

#[test]
fn the_field_of_the_unit_is_recognised() {
    assert_eq!(unit_field(["age", "facility_uid", "village"].into_iter()), Some("facility_uid"));
    assert_eq!(unit_field(["dhis2_organisation_unit_id"].into_iter()), Some(UNIT_FIELD));
    assert_eq!(unit_field(["village", "unit"].into_iter()), None);
}

#[test]
fn programs_are_written_as_far_as_their_targets_are_known() {
    let stage = |uid: &str, repeatable: bool| Stage {
        uid: uid.to_owned(),
        name: format!("Stage {uid}"),
        is_repeatable: repeatable,
        questions: vec![question("MjFever0001", "Fever cases", "INTEGER")],
    };
    let events = FormKind::Events { stage: stage("MjCaseStag1", false) };
    let child = Question { is_unique: true, ..question("MjChildNo01", "Nickname", "TEXT") };
    let tracker = FormKind::Tracker {
        entity_type: "MjChildType".to_owned(),
        attributes: vec![child],
        stages: vec![stage("MjBirthStg1", false), stage("MjDoseStag1", true)],
    };
    for (kind, target) in [(events, "dhis2.event"), (tracker, "dhis2.tracker")] {
        if mappings::registry().get(target).is_none() {
            continue;
        }
        let form = Form { uid: "MjProgram01".to_owned(), name: "Program".to_owned(), kind };
        let proposal = proposed(&results(), &form);
        assert!(proposal.guessed > 0, "{}", proposal.mapping);
    }
}
