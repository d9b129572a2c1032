//! First mappings of published flows: whatever they are called and ask, what is written loads, and its test passes.

use mjumbe::assist::proposal::{self, Ask, UNIT_FIELD};
use mjumbe::dhis2::form::{Form, FormKind, Question};
use mjumbe::mapping::program::{self, Settings};
use mjumbe::mapping::table::Tables;
use mjumbe::mapping::testing::{self, Setting};
use mjumbe::rapidpro::catalogue::{self, Shown};
use mjumbe::rapidpro::flow::{Flow, example};
use mjumbe::server::mappings;
use serde_json::Value;

/// A data set that asks for what the flow asks, under the flow's own names.
fn form(results: &[Shown]) -> Form {
    let questions = results.iter().enumerate().map(|(at, result)| Question {
        uid: format!("MjQuest{at:04}"),
        name: result.name.clone(),
        value_type: value_type(result.kind).to_owned(),
        options: (result.kind == "choice").then(|| {
            let option = |name: &String| (name.to_uppercase(), name.clone());
            result.categories.iter().map(option).collect()
        }),
        ..Question::default()
    });
    let kind = FormKind::DataSet {
        period_type: "Monthly".to_owned(),
        questions: questions.collect(),
        attribute_combos: vec![("MjAttrCombo".to_owned(), "Partner: \"A\"\n# B".to_owned())],
    };
    Form { uid: "MjPublished".to_owned(), name: "What\nthe flow: \"asks\" # all".to_owned(), kind }
}

fn value_type(kind: &str) -> &'static str {
    match kind {
        "number" => "NUMBER",
        "yes/no" => "BOOLEAN",
        "date" => "DATE",
        "time" => "TIME",
        "phone" => "PHONE_NUMBER",
        _ => "TEXT",
    }
}

fn check(definition: &Value) -> Option<usize> {
    let flow = Flow::read(definition).ok()?;
    let results = catalogue::results(&flow);
    let contact = example::CONTACT;
    let response = example::response(&flow, definition, ("https://rapidpro.example", contact))
        .unwrap_or_else(|error| panic!("{}: {error}", flow.name));
    let form = form(&results);
    let name = proposal::name_of(&flow.name);
    let ask = Ask {
        name: &name,
        flow: &flow.name,
        results: &results,
        example: &response,
        form: &form,
        unit_field: UNIT_FIELD,
        destination: None,
        zone: "Africa/Kigali",
    };
    let registry = mappings::registry();
    let written =
        proposal::propose(&ask, &registry, None).unwrap_or_else(|error| panic!("{}: {error}", flow.name));
    let settings = Settings { registry: &registry, destinations: None, tables: &Tables::new() };
    let program = program::load("m.yaml", &written.mapping, &settings).unwrap();
    let tests = testing::read("m.test.yaml", &written.test)
        .unwrap_or_else(|told| panic!("{}: {told:?}\n{}", flow.name, written.test));
    let keys = std::collections::BTreeMap::new();
    let zone = jiff::tz::TimeZone::UTC;
    let setting = Setting { registry: &registry, zone: &zone, country: None, pseudonym_keys: &keys };
    for test in &tests {
        let failed = testing::run(&program, test, &setting).failed;
        assert!(failed.is_none(), "{}: {failed:?}\n{}\n{}", flow.name, written.mapping, written.test);
    }
    println!("{}: {} of {} guessed", flow.name, written.guessed, written.asked);
    Some(written.guessed)
}

#[test]
fn whatever_a_flow_asks_what_is_written_loads_and_passes_its_test() {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../shared/fixtures/flows");
    let Ok(files) = std::fs::read_dir(folder) else {
        let required = std::env::var("MJUMBE_REQUIRE_SHARED").is_ok_and(|value| value == "1");
        assert!(!required, "{folder} is missing");
        eprintln!("skipped: {folder} is not there");
        return;
    };
    let (mut flows, mut guessed) = (0, 0);
    for file in files {
        let path = file.unwrap().path();
        if !path.to_string_lossy().ends_with(".v13_2.export.json") {
            continue;
        }
        let export: Value = serde_json::from_str(&std::fs::read_to_string(&path).unwrap()).unwrap();
        for definition in export["flows"].as_array().unwrap() {
            if let Some(found) = check(definition) {
                flows += 1;
                guessed += found;
            }
        }
    }
    assert!(flows >= 8 && guessed >= flows, "{guessed} values were guessed of {flows} flows");
}
