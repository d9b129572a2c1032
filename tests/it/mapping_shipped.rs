//! The mappings that are shipped load with the real targets and pass their own tests.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use mjumbe::mapping::program::{self, Program, Settings};
use mjumbe::mapping::target::Registry;
use mjumbe::mapping::testing::coverage::Coverage;
use mjumbe::mapping::testing::{self, Setting};
use mjumbe::mapping::{overlap, source};

fn directory() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("mappings")
}

pub fn registry() -> Registry {
    mjumbe::server::mappings::registry()
}

/// Names and texts of the mapping files.
pub fn shipped_texts() -> Vec<(String, String)> {
    let mut names: Vec<String> = std::fs::read_dir(directory())
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .filter(|name| name.ends_with(".yaml") && !name.ends_with(".test.yaml"))
        .collect();
    names.sort();
    let text = |name: String| (name.clone(), std::fs::read_to_string(directory().join(name)).unwrap());
    names.into_iter().map(text).collect()
}

/// Name of the file, program, text of its tests.
fn shipped() -> Vec<(Program, String)> {
    let registry = registry();
    let tables = BTreeMap::new();
    let settings = Settings { registry: &registry, destinations: None, tables: &tables };
    let load = |(name, text): &(String, String)| {
        let program = program::load(name, text, &settings).unwrap_or_else(|told| {
            panic!("{}", told.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n"))
        });
        let tests = directory().join(name.replace(".yaml", ".test.yaml"));
        (program, std::fs::read_to_string(tests).unwrap())
    };
    shipped_texts().iter().map(load).collect()
}

#[test]
fn shipped_mappings_pass_their_own_tests_which_reach_every_rule() {
    // The files say their own zone and country: they pass wherever they are run.
    let zone = jiff::tz::TimeZone::get("Pacific/Kiritimati").unwrap();
    let registry = registry();
    let keys = BTreeMap::from([("rapidpro.rapidpro".to_owned(), b"rapidpro".to_vec())]);
    let setting = Setting { registry: &registry, zone: &zone, country: None, pseudonym_keys: &keys };
    let mut failures = Vec::new();
    let mut count = 0;
    for (program, text) in shipped() {
        let file = program.file.replace(".yaml", ".test.yaml");
        let tests = testing::read(&file, &text).unwrap_or_else(|told| {
            panic!("{}", told.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n"))
        });
        let mapping = std::fs::read_to_string(directory().join(&program.file)).unwrap();
        let mut coverage = Coverage::of(&program, &mapping);
        for test in tests {
            count += 1;
            let tested = testing::run(&program, &test, &setting);
            coverage.add(&tested.evaluation);
            if let Some(failed) = tested.failed {
                failures.push(format!("{file}: {failed}"));
            }
        }
        let missed = coverage.missed().into_iter();
        failures.extend(missed.map(|one| format!("{}: {}", one.place.within(&one.file), one.what)));
    }
    assert!(failures.is_empty(), "{}", failures.join("\n"));
    assert!(count >= 15, "only {count} tests were found");
}

#[test]
fn shipped_mappings_do_not_overlap_and_carry_their_files_names() {
    let programs: Vec<Program> = shipped().into_iter().map(|(program, _)| program).collect();
    assert_eq!(overlap::check(&programs, &registry()), []);
    for program in &programs {
        assert_eq!(format!("{}.yaml", program.name), program.file);
    }
    let mut copy = programs.iter().find(|program| program.name == "village-monthly-report").unwrap().clone();
    copy.name = "copy".to_owned();
    copy.file = "copy.yaml".to_owned();
    let told = overlap::check(&[programs.as_slice(), &[copy]].concat(), &registry());
    assert_eq!(told.len(), 5, "{told:?}");
    assert!(told.iter().all(|one| one.code == "cell-doubled"));
}

/// The example of the design, without the message that is not built yet.
#[test]
fn the_design_s_example_files_a_report() {
    let text = r#"
mapping: example
from:
  resource: QuestionnaireResponse
  flow: Monthly village report           # name or uuid; or questionnaire: <canonical>
  status: [completed]
with:
  contact: { contact: $.resource.source }
  unit: { orgUnit: $.contact.fields.dhis2_organisation_unit_id }
to:
  - dhis2.report:
      dataSet: VEM58nY22sO
      orgUnit: $.unit.id
      period: { type: Monthly, at: $.resource.authored, shift: -1 }
      complete: true
      values:
        - { dataElement: FTRrcoaog83, value: $.answers.fever_cases }
        - dataElement: P3jJH5Tu5VC
          categoryOptionCombo: { path: $.answers.sex, map: { Female: S34ULMcHMca, Male: wHBMVthqIX4 } }
          value: { path: $.answers.deaths, default: 0 }
"#;
    let tests = r#"
tests:
  - name: one death
    given:
      change: { resourceType: QuestionnaireResponse, questionnaire: "https://r.example/flow/Monthly village report",
        status: completed, authored: "2026-03-02", source: { reference: Practitioner/p1 },
        item: [{ linkId: fever_cases, answer: [{ valueInteger: 7 }] }, { linkId: deaths, answer: [{ valueInteger: 1 }] },
          { linkId: sex, answer: [{ valueCoding: { code: Male } }] }] }
      contacts: [{ uuid: c, of: [Practitioner/p1], fields: { dhis2_organisation_unit_id: U } }]
      units: [{ id: U }]
    expect:
      issues: []
      outputs:
        - target: dhis2.report
          body: { dataSet: VEM58nY22sO, period: "202602", orgUnit: U, completeDate: "2026-03-02", dataValues: [
            { dataElement: FTRrcoaog83, value: "7" },
            { dataElement: P3jJH5Tu5VC, categoryOptionCombo: wHBMVthqIX4, value: "1" }] }
"#;
    let (registry, tables, keys) = (registry(), BTreeMap::new(), BTreeMap::new());
    let settings = Settings { registry: &registry, destinations: None, tables: &tables };
    let program = program::load("example.yaml", text, &settings).unwrap_or_else(|told| panic!("{}", told[0]));
    let zone = jiff::tz::TimeZone::UTC;
    let setting = Setting { registry: &registry, zone: &zone, country: None, pseudonym_keys: &keys };
    for test in testing::read("example.test.yaml", tests).unwrap() {
        assert_eq!(testing::run(&program, &test, &setting).failed, None);
    }
}

#[test]
fn test_files_are_yaml_with_places() {
    let told =
        testing::read("m.test.yaml", "tests:\n- name: a\n  given: {chnge: {}}\n  expect: {}\n").unwrap_err();
    assert_eq!(told[0].did_you_mean.as_deref(), Some("change"));
    assert_eq!((told[0].place.line, told[0].place.column), (3, 11));
    assert!(source::parse("a: 1").is_ok());
}
