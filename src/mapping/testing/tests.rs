use std::collections::BTreeMap;

use super::coverage::Coverage;
use super::*;
use crate::mapping::probe;

const MAPPING: &str = "\
mapping: m
from: { resource: Basic, where: { none: [{ path: $.resource.old, is: true }] } }
with:
  contact: { contact: $.resource.author }
to:
  - probe.state:
      id: first
      value: { path: $.resource.sex, map: { f: F, m: M }, otherwise: U }
      map:
        a: { path: $.resource.n, default: 0 }
        b: { link: $.resource.author }
        c: { path: $.resource.age, bands: { 0: child, 15: adult } }
  - probe.state:
      id: second
      when: $.contact
      value: { path: $.resource.needed, required: true }
";

fn tests(text: &str) -> (Vec<String>, Coverage) {
    let program = probe::load(MAPPING).unwrap_or_else(|told| panic!("{}", told[0]));
    let keys = BTreeMap::new();
    let setting =
        Setting { registry: &probe::registry(), zone: &TimeZone::UTC, country: None, pseudonym_keys: &keys };
    let mut coverage = Coverage::of(&program, MAPPING);
    let mut told = Vec::new();
    for test in read("m.test.yaml", text).unwrap_or_else(|told| panic!("{}", told[0])) {
        let tested = run(&program, &test, &setting);
        coverage.add(&tested.evaluation);
        told.extend(tested.failed.map(|failed| failed.to_string()));
    }
    (told, coverage)
}

fn one(given: &str, expect: &str) -> String {
    let text = format!("tests: [{{ name: t, given: {{ {given} }}, expect: {{ {expect} }} }}]");
    tests(&text).0.join("\n")
}

const GIRL: &str = "change: { resourceType: Basic, sex: f, n: 3, author: { reference: Practitioner/p } }";

#[test]
fn only_what_is_named_is_compared_and_what_must_be_absent_is() {
    assert_eq!(one(GIRL, "absent: [second]"), "");
    assert_eq!(
        one(GIRL, "outputs: [{ target: probe.state, has: { map: { a: 3 } }, without: [$.map.c] }]"),
        ""
    );
    insta::assert_snapshot!(one(GIRL, "absent: [first]"), @r#"
    t
      outputs[0]
        - expected nothing
        + got      "first"
    "#);
    insta::assert_snapshot!(one(GIRL, "outputs: [{ target: probe.state, without: ['$.map[?@==3]'] }]"), @"
    t
      outputs[0].without $.map[?@==3]
        - expected nothing
        + got      3
    ");
    assert!(one(GIRL, "outputs: []").contains("outputs[0]\n"), "an output that was not expected is told");
}

#[test]
fn links_find_contacts_and_stand_for_remote_ids() {
    let given =
        format!("{GIRL}, contacts: [{{ uuid: c-1 }}], links: [{{ resource: Practitioner/p, id: c-1 }}]");
    assert_eq!(one(&given, "held: { field: 'to[1].value', waitsFor: $.resource.needed }"), "");
    let told = one(&given, "held: { field: 'to[0].value', waitsFor: rain }");
    assert!(told.contains("held.field") && told.contains("held.waitsFor"), "{told}");
    let away = format!("{GIRL}, links: [{{ resource: Practitioner/p, id: c-1, destination: probe.probe }}]");
    assert_eq!(one(&away, "outputs: [{ target: probe.state, has: { map: { b: c-1 } } }]"), "");
    let other = format!("{GIRL}, links: [{{ resource: Practitioner/p, id: c-1, destination: other }}]");
    assert!(
        one(&other, "outputs: [{ target: probe.state, has: { map: { b: c-1 } } }]").contains("has.map.b")
    );
}

#[test]
fn issues_are_compared_by_code_and_place() {
    let given = "change: { resourceType: Basic, age: old }";
    assert_eq!(one(given, "absent: [second], issues: [{ code: not-a-number, place: 12 }]"), "");
    assert_eq!(one(given, "absent: [second], issues: [{ code: not-a-number, place: '12:36' }]"), "");
    let told = one(given, "absent: [second], issues: [{ code: not-a-number, place: 3 }]");
    assert!(
        told.contains("\"not-a-number at 3\"") && told.contains("not-a-number at m.yaml:12:36"),
        "{told}"
    );
}

#[test]
fn a_time_that_is_none_is_told() {
    let told = one(GIRL, "outputs: [{ target: probe.state, due: soon, reason: r, occurrence: 2 }]");
    assert!(told.contains(".due") && told.contains(".reason") && told.contains(".occurrence"), "{told}");
}

#[test]
fn every_mistake_in_a_test_file_is_told() {
    let text = "tests:\n- name: a\n  given: { change: {}, links: [{ id: x }] }\n  expect: { outputs: [{ target: t, \
                without: [x] }], isues: [] }\n";
    let codes: Vec<String> =
        read("m.test.yaml", text).unwrap_err().into_iter().map(|told| told.code).collect();
    assert_eq!(codes, ["missing-key", "unknown-key", "bad-path"]);
}

#[test]
fn coverage_names_what_no_test_reaches() {
    let (_, coverage) = tests(&format!("tests: [{{ name: t, given: {{ {GIRL} }}, expect: {{}} }}]"));
    let missed: Vec<String> = coverage
        .missed()
        .into_iter()
        .map(|one| format!("{}: {}", one.place.within(&one.file), one.what))
        .collect();
    insta::assert_snapshot!(missed.join("\n"), @"
    m.yaml:2:42: `from.where.none[0]` never holds
    m.yaml:2:42: `from.where.none[0]` never has a value
    m.yaml:4:3: the look-up `contact` never finds anything
    m.yaml:8:51: the entry `m` of `map` of `to[0].value` is never taken
    m.yaml:8:70: the branch `otherwise` of `to[0].value` is never taken
    m.yaml:10:43: the branch `default` of `to[0].map.a` is never taken
    m.yaml:12:12: `to[0].map.c` never has a value
    m.yaml:12:45: the band from 0 of `to[0].map.c` is never taken
    m.yaml:12:55: the band from 15 of `to[0].map.c` is never taken
    m.yaml:13:5: `to[1]` (second) never makes an output
    m.yaml:15:13: `to[1].when` never holds
    m.yaml:16:14: `to[1].value` never has a value
    ");
    assert_eq!(coverage.reached() + missed.len(), coverage.rules());
}

#[test]
fn tests_can_reach_everything() {
    let text = "tests:
- { name: old, given: { change: { resourceType: Basic, old: true } }, expect: { matched: false } }
- { name: child, given: { change: { resourceType: Basic, old: false, sex: f, n: 1, age: 3, author: { reference: P/1 } },
    contacts: [{ uuid: c, of: [P/1] }] }, expect: {} }
- { name: adult, given: { change: { resourceType: Basic, sex: m, age: 15, needed: x, author: { reference: P/1 } },
    contacts: [{ uuid: c, of: [P/1] }] }, expect: {} }
- { name: other, given: { change: { resourceType: Basic, sex: x } }, expect: {} }
";
    let (_, coverage) = tests(text);
    assert_eq!(coverage.missed(), []);
}
