use crate::mapping::probe::{load, mistakes};

fn first(text: &str) -> (String, u32, u32, String) {
    mistakes(text).remove(0)
}

fn at(code: &str, line: u32, column: u32, offending: &str) -> (String, u32, u32, String) {
    (code.to_owned(), line, column, offending.to_owned())
}

/// A mapping with this entry body (indented by six) below `probe.state:`.
fn entry(body: &str) -> String {
    format!("mapping: m\nfrom: {{ resource: Basic }}\nto:\n  - probe.state:\n      {body}\n")
}

#[test]
fn all_mistakes_are_told_in_one_go_in_the_order_of_the_file() {
    let text = "\
mapping: My Mapping
from: { resource: Pateint, statuss: x }
with:
  a: { orgUnit: $.resource.x, bye: code }
  item: { contact: $.resource.x }
to:
  - probe.state:
      valeu: 1
      period: { type: Monhtly, shift: one }
      map: { a: $.b.c, b: { path: $.a.x, typ: text } }
  - probe.sate: { value: 1 }
";
    assert_eq!(
        mistakes(text),
        [
            at("bad-name", 1, 10, "My Mapping"),
            at("unknown-resource", 2, 19, "Pateint"),
            at("unknown-key", 2, 28, "statuss"),
            at("unknown-key", 4, 31, "bye"),
            at("bad-name", 5, 3, "item"),
            at("unknown-key", 8, 7, "valeu"),
            at("unknown-word", 9, 23, "Monhtly"),
            at("not-an-integer", 9, 39, "one"),
            at("unknown-name", 10, 17, "b"),
            at("unknown-key", 10, 42, "typ"),
            at("unknown-target", 11, 5, "probe.sate"),
        ]
    );
}

#[test]
fn says_what_was_meant() {
    let meant = |text: &str| load(text).unwrap_err().remove(0).did_you_mean.unwrap_or_default();
    assert_eq!(meant(&entry("valeu: 1")), "value");
    assert_eq!(meant(&entry("value: { path: $.resorce.x }")), "resource");
    assert_eq!(
        meant("mapping: m\nfrom: { resource: Pateint }\nto: [{ probe.state: { value: 1 } }]"),
        "Patient"
    );
    let target =
        load("mapping: m\nfrom: { resource: Basic }\nto: [{ rapidpro.start: { value: 1 } }]").unwrap_err();
    assert_eq!(target[0].hint.as_deref(), Some("there are: probe.state, probe.act, probe.count"));
}

#[test]
fn a_diagnostic_shows_the_line() {
    let told = load(&entry("value: { path: $.resource.n, unit: { from: g, to: m } }")).unwrap_err();
    insta::assert_snapshot!(told[0].to_string(), @"
    error[bad-unit]: `g` cannot be converted to `m`
      --> m.yaml:5:57
       |
     5 |       value: { path: $.resource.n, unit: { from: g, to: m } }
       |                                                         ^
    hint: units are UCUM's, case matters: kg, g, mmol/L, Cel, mm[Hg]
    ");
}

#[test]
fn values_are_checked_at_load() {
    let cases = [
        ("value: { path: '$.resource[' }", "bad-path"),
        ("value: { path: '$.resource[?@[?@.a]]' }", "bad-path"),
        ("value: $.item.x", "unknown-name"),
        ("value: [1, 2]", "not-a-value"),
        ("value:", "value-empty"),
        ("value: {}", "value-source"),
        ("value: { type: text }", "value-source"),
        ("value: { path: $.resource.a, const: 1 }", "value-source"),
        ("value: { path: $.resource.a, first: true, sum: true }", "two-reducers"),
        ("value: { path: $.resource.a, first: false }", "not-a-flag"),
        ("value: { path: $.resource.a, match: '(' }", "bad-pattern"),
        ("value: { path: $.resource.a, match: 'a{9999}{9999}' }", "bad-pattern"),
        ("value: { path: $.resource.a, type: tex }", "unknown-word"),
        ("value: { path: $.resource.a, type: text, format: '%Y' }", "key-not-here"),
        ("value: { path: $.resource.a, type: date, format: '%Q%&' }", "bad-format"),
        ("value: { path: $.resource.a, type: phone, country: XX }", "unknown-country"),
        ("value: { path: $.resource.a, unit: { from: kilo, to: g } }", "bad-unit"),
        ("value: { path: $.resource.a, times: many }", "not-a-number"),
        ("value: { path: $.resource.a, plus: 6 weeks }", "bad-duration"),
        ("value: { path: $.resource.a, bands: { 5: a, 0: b } }", "bands-order"),
        ("value: { path: $.resource.a, bands: { x: a } }", "not-a-number"),
        ("value: { path: $.resource.a, synonyms: { a: [x], b: [X] } }", "synonym-doubled"),
        ("value: { path: $.resource.a, map: { a: [1] } }", "not-a-scalar"),
        ("value: { path: $.resource.a, otherwise: 1 }", "key-not-here"),
        ("value: { path: $.resource.a, lookup: { table: facilities.csv } }", "missing-key"),
        ("value: { path: $.resource.a, lookup: { table: ../x.csv, key: a, take: b } }", "table-outside"),
        ("value: { path: $.resource.a, lookup: { table: other.csv, key: a, take: b } }", "table-missing"),
        (
            "value: { path: $.resource.a, lookup: { table: facilities.csv, key: cod, take: uid } }",
            "table-column",
        ),
        ("value: { path: $.resource.a, write: '%' }", "bad-format"),
        ("value: { link: $.resource.a, type: text }", "link-steps"),
        ("value: { template: 'a {$.resource.a' }", "bad-template"),
        ("value: { template: 'a }' }", "bad-template"),
        ("value: { age: { from: $.resource.a } }", "missing-key"),
        ("cells: [{ element: good }, { element: bad }]", "bad-field"),
        ("cells: { element: good }", "not-a-list"),
        ("flag: yes", "not-a-flag"),
        ("each: $.resource.a", "missing-key"),
        ("reason: x", "key-not-here"),
        ("needs: [other]", "unknown-need"),
        ("when: 5", "not-a-condition"),
        ("when: { path: $.resource.a, si: 5 }", "unknown-key"),
        ("when: { all: [], path: $.resource.a }", "unknown-key"),
        ("withdraw: never", "unknown-word"),
        ("writeBack: yes", "not-a-flag"),
    ];
    for (body, code) in cases {
        assert_eq!(first(&entry(body)).0, code, "{body}");
    }
    assert_eq!(first(&entry("cells: [{ element: good }, { element: bad }]")), at("bad-field", 5, 45, "bad"));
}

#[test]
fn nothing_waits_for_a_count_and_a_count_waits_for_nothing() {
    let head = "mapping: m\nfrom: { resource: Basic }\nto:\n";
    let two = |one: &str, other: &str| {
        format!("{head}  - {one}: {{ id: a, value: 1 }}\n  - {other}: {{ id: b, value: 1, needs: [a] }}\n")
    };
    assert_eq!(mistakes(&two("probe.count", "probe.state")), [at("need-of-count", 5, 5, "probe.state")]);
    assert_eq!(mistakes(&two("probe.state", "probe.count")), [at("need-of-count", 5, 5, "probe.count")]);
    assert!(load(&two("probe.state", "probe.state")).is_ok());
}

#[test]
fn the_head_is_checked() {
    let to = "to: [{ probe.state: { value: 1 } }]";
    let cases = [
        (format!("from: {{ resource: Basic }}\n{to}"), "missing-key"),
        (format!("mapping: m\n{to}"), "missing-key"),
        ("mapping: m\nfrom: { resource: Basic }".to_owned(), "missing-key"),
        (format!("mapping: m\nfrom: {{ }}\n{to}"), "from-kind"),
        (format!("mapping: m\nfrom: {{ resource: Basic, flow: x }}\n{to}"), "key-not-here"),
        (format!("mapping: m\nfrom: {{ document: run }}\n{to}"), "unknown-document"),
        ("- a".to_owned(), "not-an-object"),
        ("mapping: m\nfrom: { resource: Basic }\nto: []".to_owned(), "to-empty"),
    ];
    for (text, code) in cases {
        assert_eq!(first(&text).0, code, "{text}");
    }
    let document = format!("mapping: m\nfrom: {{ document: rapidpro.run, flow: f }}\n{to}");
    assert!(load(&document).unwrap().takes("rapidpro.run"));
}

#[test]
fn lookups_are_checked() {
    let with = |with: &str| {
        format!(
            "mapping: m\nfrom: {{ resource: Basic }}\nwith:\n{with}\nto: [{{ probe.state: {{ value: 1 }} }}]"
        )
    };
    let nine: String = (0..9).map(|n| format!("  l{n}: {{ contact: $.resource.a }}\n")).collect();
    let cases = [
        (nine.as_str(), "too-many-lookups"),
        ("  a: { contact: $.b.x }\n  b: { contact: $.resource.a }", "unknown-name"),
        ("  a: { contact: $.resource.a, orgUnit: $.resource.b }", "lookup-kind"),
        ("  a: { follow: true }", "lookup-kind"),
        ("  a: { contact: $.resource.a, many: 3 }", "key-not-here"),
        ("  a: { reference: $.resource.a, up: partOf }", "lookup-climb"),
        ("  a: { search: 'Pateint?x=1' }", "unknown-resource"),
        ("  a: { search: 'Patient?nosuch=1' }", "unknown-parameter"),
        ("  a: { search: 'Patient' }", "bad-search"),
        ("  a: { search: 'Patient?identifier=1', many: 5000 }", "out-of-range"),
        ("  a: { contact: { pseudonym: $.resource.a } }", "key-not-here"),
        ("  answers: { contact: $.resource.a }", "bad-name"),
    ];
    for (text, code) in cases {
        assert_eq!(first(&with(text)).0, code, "{text}");
    }
    let climb = with("  a: { reference: $.resource.a, up: partOf }");
    let hint = load(&climb).unwrap_err().remove(0).hint.unwrap();
    assert!(load(&climb.replace("up: partOf", &hint)).is_ok(), "what the hint says can be written: {hint}");
    let uses = load(&with("  a: { contact: $.resource.a }\n  b: { orgUnit: $.a.fields.u }")).unwrap();
    assert_eq!(uses.with[1].uses, [0]);
}

#[test]
fn a_kind_that_repeats_needs_ids() {
    let text = "\
mapping: m
from: { resource: Basic }
to:
  - probe.state: { value: 1 }
  - probe.state: { id: two, value: 1 }
  - probe.act: { id: two, value: 1, needs: [two] }
";
    assert_eq!(mistakes(text), [at("missing-key", 4, 5, "probe.state"), at("duplicate-id", 6, 5, "")]);
}

#[test]
fn another_text_is_another_version() {
    let one = load(&entry("value: 1")).unwrap();
    assert_eq!(one.version, load(&entry("value: 1")).unwrap().version);
    assert_ne!(one.version, load(&entry("value: 2")).unwrap().version);
    assert_eq!(one.version.len(), 16);
}
