//! Every step: what it gives, and what it says when it fails.

use crate::mapping::probe::{self, holds};
use serde_json::{Value, json};

/// The document that the expressions below look at.
fn document() -> Value {
    serde_json::from_str(
        r#"{
        "a": "x", "n": 12, "d": 1.50, "t": true, "f": false, "empty": null, "list": [3, 1, 2], "one": ["only"],
        "words": "anna, ben ,,cleo", "object": {"k": 1}, "born": "1980-02-29", "year": "1980", "month": "1980-06",
        "when": "2024-05-31T23:30:00Z", "local": "2024-01-31T10:00:00", "date": "2024-01-31", "huge": 123456789012345678901234567890,
        "tel": "0788 123 456", "german": "31.12.2023", "codes": ["F", "M", "Z"], "dates": ["2024-03-01", "2024-01-01"]
        }"#,
    )
    .unwrap()
}

#[track_caller]
fn gives(expression: &str, expected: Value) {
    let (value, issues) = probe::value(expression, &document());
    assert_eq!((value, issues), (expected, Vec::<String>::new()), "{expression}");
}

#[track_caller]
fn fails(expression: &str, code: &str) {
    let (value, issues) = probe::value(expression, &document());
    assert_eq!((value, issues), (Value::Null, vec![code.to_owned()]), "{expression}");
}

/// Digits as written.
fn number(text: &str) -> Value {
    serde_json::from_str(text).unwrap()
}

#[test]
fn sources() {
    gives("$.resource.a", json!("x"));
    gives("$$.resource.a", json!("$.resource.a"));
    gives("{ path: $.resource.n }", json!(12));
    gives("{ path: [$.resource.empty, $.resource.nothing, $.resource.d] }", number("1.50"));
    gives("{ const: 007 }", json!("007"));
    gives("{ const: false }", json!(false));
    gives("{ path: $.resource.f }", json!(false));
    gives("{ template: 'Dear {$.resource.a}: {{{$.resource.n}}}' }", json!("Dear x: {12}"));
    gives("{ template: 'Dear {$.resource.nobody}' }", Value::Null);
    gives("{ link: $.resource.a }", json!({"$link": {"resource": "x"}}));
    gives("{ list: [$.resource.a, $.resource.empty, b], join: '+' }", json!("x+b"));
    gives("$.resource.nothing", Value::Null);
    fails("$.resource.object", "not-a-scalar");
    fails("$.resource.list", "several-values");
    fails("{ template: '{$.resource.list}' }", "several-values");
    fails("{ template: '{$.resource.object}' }", "not-a-scalar");
}

#[test]
fn a_pseudonym_is_stable_and_depends_on_the_key() {
    let (first, _) = probe::value("{ pseudonym: $.resource.a }", &document());
    assert_eq!(first, json!("117eca332f7e13ccb8e4574e4f33daa2"));
    let (other, _) = probe::value("{ pseudonym: $.resource.n }", &document());
    assert_ne!(first, other);
}

#[test]
fn ages_are_completed_units() {
    let age =
        |from: &str, at: &str, unit: &str| format!("{{ age: {{ from: {from}, at: {at}, in: {unit} }} }}");
    gives(&age("$.resource.born", "'2024-02-28'", "years"), json!(43));
    gives(&age("$.resource.born", "'2024-02-29'", "years"), json!(44));
    gives(&age("$.resource.born", "'1980-04-28'", "months"), json!(1));
    gives(&age("$.resource.born", "'1980-03-14'", "weeks"), json!(2));
    gives(&age("$.resource.born", "'1980-03-01'", "days"), json!(1));
    // 31 May 23:30 UTC is 1 June in Kigali.
    gives(&age("'2023-06-01'", "$.resource.when", "years"), json!(1));
    gives(&age("$.resource.year", "'2024-12-31'", "years"), json!(44));
    fails(&age("$.resource.year", "'2024-06-30'", "years"), "age-uncertain");
    // The age is 43 or 44: enough for a band, not for a number.
    let banded = |bound: u8| {
        format!(
            "{{ age: {{ from: $.resource.year, at: '2024-06-30', in: years }}, bands: {{ 0: child, {bound}: adult }} }}"
        )
    };
    gives(&banded(15), json!("adult"));
    fails(&banded(44), "age-uncertain");
    gives(&age("$.resource.month", "'2024-06-30'", "years"), json!(44));
    fails(&age("$.resource.born", "'1980-02-28'", "years"), "age-negative");
    fails(&age("$.resource.a", "'1980-02-28'", "years"), "not-a-date");
    gives(&age("$.resource.nothing", "'1980-02-28'", "years"), Value::Null);
}

#[test]
fn step_1_when() {
    gives("{ path: $.resource.a, when: $.resource.t }", json!("x"));
    gives("{ path: $.resource.a, when: $.resource.f }", Value::Null);
    gives("{ path: $.resource.a, when: $.resource.f, default: none }", json!("none"));
}

#[test]
fn steps_2_and_3_several_values() {
    gives("{ path: $.resource.words, split: ',', at: 1 }", json!("ben"));
    gives("{ path: $.resource.words, split: ',', at: -1 }", json!("cleo"));
    gives("{ path: $.resource.words, split: ',', at: 9 }", Value::Null);
    gives("{ path: $.resource.words, split: ',', count: true }", json!(3));
    gives("{ path: $.resource.list, first: true }", json!(3));
    gives("{ path: $.resource.list, last: true }", json!(2));
    gives("{ path: $.resource.list, sum: true }", json!(6));
    gives("{ path: $.resource.list, min: true }", json!(1));
    gives("{ path: $.resource.list, max: true }", json!(3));
    gives("{ path: $.resource.dates, min: true }", json!("2024-01-01"));
    gives("{ path: $.resource.list, join: ', ' }", json!("3, 1, 2"));
    gives("{ path: $.resource.n, first: true }", json!(12));
    gives("{ path: $.resource.one }", json!("only"));
    gives("{ list: [0.1, 0.2], sum: true }", number("0.3"));
    gives("{ path: $.resource.nothing, count: true, default: 0 }", json!(0));
    fails("{ path: $.resource.words, split: ',', sum: true }", "not-a-number");
    fails("{ path: $.resource.words, split: ',', max: true }", "not-comparable");
    fails("{ path: $.resource.object, split: ',' }", "not-a-scalar");
}

#[test]
fn steps_on_each_of_several_values() {
    let map = "{ path: $.resource.codes, map: { F: female, M: male } }";
    assert_eq!(
        probe::values(map, &document()),
        (json!(["female", "male"]), vec!["map-unmatched".to_owned()])
    );
}

#[test]
fn step_4_match() {
    gives("{ path: $.resource.words, match: 'b(e)n' }", json!("e"));
    gives("{ path: $.resource.words, match: 'be.' }", json!("ben"));
    fails("{ path: $.resource.words, match: 'z+' }", "match-unmatched");
}

#[test]
fn step_5_type() {
    gives("{ path: $.resource.n, type: text }", json!("12"));
    gives("{ path: $.resource.d, type: text }", json!("1.50"));
    gives("{ const: '3.0', type: integer }", json!(3));
    gives("{ const: ' 42 ', type: integer }", json!(42));
    gives("{ const: '1e3', type: number }", json!(1000));
    gives("{ const: 'TRUE', type: boolean }", json!(true));
    gives("{ path: $.resource.when, type: date }", json!("2024-06-01"));
    gives("{ path: $.resource.when, type: dateTime }", json!("2024-06-01T01:30:00+02:00"));
    gives("{ path: $.resource.local, type: dateTime }", json!("2024-01-31T10:00:00+02:00"));
    gives("{ path: $.resource.date, type: dateTime }", json!("2024-01-31T00:00:00+02:00"));
    gives("{ path: $.resource.german, type: date, format: '%d.%m.%Y' }", json!("2023-12-31"));
    gives("{ path: $.resource.tel, type: phone }", json!("+250788123456"));
    gives("{ const: 'tel:+254712345678', type: phone }", json!("+254712345678"));
    gives("{ const: '0712345678', type: phone, country: ke }", json!("+254712345678"));
    fails("{ path: $.resource.d, type: integer }", "not-an-integer");
    fails("{ path: $.resource.a, type: number }", "not-a-number");
    fails("{ path: $.resource.huge, type: number }", "number-range");
    fails("{ path: $.resource.n, type: boolean }", "not-a-boolean");
    fails("{ path: $.resource.year, type: date }", "date-incomplete");
    fails("{ path: $.resource.german, type: date }", "not-a-date");
    fails("{ path: $.resource.german, type: date, format: '%Y/%m' }", "not-a-date");
    fails("{ const: '12345', type: phone }", "phone-invalid");
    fails("{ path: $.resource.a, type: phone }", "phone-invalid");
}

#[test]
fn step_6_arithmetic() {
    gives("{ path: $.resource.n, unit: { from: g, to: kg } }", number("0.012"));
    gives("{ const: 1, unit: { from: '[lb_av]', to: kg } }", number("0.45359237"));
    gives("{ const: 37, unit: { from: Cel, to: '[degF]' } }", number("98.6"));
    gives("{ path: $.resource.d, times: 2 }", json!(3));
    gives("{ path: $.resource.date, plus: P1M }", json!("2024-02-29"));
    gives("{ path: $.resource.date, plus: -P1D }", json!("2024-01-30"));
    gives("{ path: $.resource.when, plus: P6W }", json!("2024-07-13T01:30:00+02:00"));
    fails("{ path: $.resource.a, times: 2 }", "not-a-number");
    fails("{ const: '79228162514264337593543950335', times: 10 }", "number-range");
    fails("{ path: $.resource.date, plus: PT2H }", "plus-needs-time");
    fails("{ path: $.resource.a, plus: P1D }", "not-a-date");
    fails("{ const: '9999-12-31', plus: P1D }", "date-range");
}

#[test]
fn steps_7_to_9_words() {
    let bands = "bands: { 0: under-5, 5: 5-14, 15: adult }";
    for (age, band) in [("0", "under-5"), ("4.9", "under-5"), ("5", "5-14"), ("15", "adult"), ("99", "adult")]
    {
        gives(&format!("{{ const: {age}, {bands} }}"), json!(band));
    }
    fails(&format!("{{ const: -1, {bands} }}"), "band-unmatched");
    fails(&format!("{{ path: $.resource.a, {bands} }}"), "not-a-number");
    let synonyms = "synonyms: { 'yes': [y, oui, sim, 1] }";
    gives(&format!("{{ const: ' OUI ', {synonyms} }}"), json!("yes"));
    gives(&format!("{{ const: YES, {synonyms} }}"), json!("yes"));
    gives(&format!("{{ const: 1, {synonyms} }}"), json!("yes"));
    gives(&format!("{{ const: never, {synonyms} }}"), json!("never"));
    gives(&format!("{{ const: Y, {synonyms}, map: {{ 'yes': true }} }}"), json!(true));
    gives("{ path: $.resource.n, map: { 12: dozen } }", json!("dozen"));
    gives("{ path: $.resource.t, map: { true: 'on' } }", json!("on"));
    gives("{ path: $.resource.a, map: { x: null } }", Value::Null);
    gives("{ path: $.resource.a, map: { y: z }, otherwise: w }", json!("w"));
    gives("{ path: $.resource.nothing, map: { y: z }, otherwise: w }", Value::Null);
    fails("{ path: $.resource.a, map: { X: y } }", "map-unmatched");
}

#[test]
fn step_10_lookup() {
    let lookup = "lookup: { table: facilities.csv, key: code, take: uid }";
    gives(&format!("{{ const: A1, {lookup} }}"), json!("ImspTQPwCqd"));
    gives(&format!("{{ const: Z9, {lookup}, otherwise: none }}"), json!("none"));
    fails(&format!("{{ const: Z9, {lookup} }}"), "lookup-unmatched");
    fails(&format!("{{ const: B2, {lookup} }}"), "lookup-unmatched");
}

#[test]
fn steps_11_and_12() {
    gives("{ path: $.resource.date, write: '%d.%m.%Y' }", json!("31.01.2024"));
    gives("{ path: $.resource.when, write: '%Y%m%dT%H%M' }", json!("20240601T0130"));
    fails("{ path: $.resource.date, write: '%H:%M' }", "write");
    gives("{ path: $.resource.nothing, default: 0 }", json!(0));
    gives("{ path: $.resource.nothing, default: { path: $.resource.n, times: 2 } }", json!(24));
    let (value, issues) = probe::value("{ path: $.resource.a, type: number, default: 0 }", &document());
    assert_eq!((value, issues), (json!(0), vec!["not-a-number".to_owned()]));
    fails("{ path: $.resource.nothing, required: true }", "required-absent");
}

#[test]
fn steps_run_in_the_order_of_the_table() {
    gives("{ default: 0, times: 10, type: integer, at: 0, split: ' ', path: $.resource.nothing }", json!(0));
    gives(
        "{ write: '%Y', plus: P1Y, type: date, match: '\\d{4}-\\d\\d-\\d\\d', path: $.resource.local }",
        json!("2025"),
    );
}

#[test]
fn conditions() {
    let document = json!({"resourceType": "Basic", "a": "x", "n": 5, "f": false, "zero": 0, "list": [1, 2],
        "code": "10828004", "date": "2024-05-01"});
    let cases = [
        ("$.resource.a", true),
        ("$.resource.f", false),
        ("$.resource.zero", true),
        ("$.resource.nothing", false),
        ("true", true),
        ("false", false),
        ("{ path: $.resource.a, is: x }", true),
        ("{ path: $.resource.n, is: 5.0 }", true),
        ("{ path: $.resource.code, is: 10828004 }", true),
        ("{ path: $.resource.a, is: $.resource.a }", true),
        ("{ path: $.resource.a, in: [y, x] }", true),
        ("{ path: $.resource.a, in: [y] }", false),
        ("{ path: $.resource.n, above: 4, below: 6 }", true),
        ("{ path: $.resource.n, above: 5 }", false),
        ("{ path: $.resource.n, atLeast: 5, atMost: 5 }", true),
        ("{ path: $.resource.date, above: '2024-04-30' }", true),
        ("{ path: $.resource.a, matches: '^x$' }", true),
        ("{ path: $.resource.nothing, below: 6 }", false),
        ("{ path: $.resource.nothing, default: 1, below: 6 }", true),
        ("[$.resource.a, $.resource.n]", true),
        ("[$.resource.a, $.resource.f]", false),
        ("{ any: [$.resource.f, $.resource.a] }", true),
        ("{ any: [$.resource.f] }", false),
        ("{ none: [$.resource.f, $.resource.nothing] }", true),
        ("{ none: [$.resource.a] }", false),
        ("{ all: [$.resource.a], none: [$.resource.f] }", true),
        ("{ all: [] }", true),
        ("{ any: [] }", false),
        ("{ template: '{$.resource.a}' }", true),
    ];
    for (condition, expected) in cases {
        assert_eq!(holds(condition, &document), (expected, Vec::new()), "{condition}");
    }
    let several = holds("{ path: $.resource.list, is: 1 }", &document);
    assert_eq!(several, (false, vec!["several-values".to_owned()]));
    let uncomparable = holds("{ path: $.resource.a, above: 3 }", &document);
    assert_eq!(uncomparable, (false, vec!["not-comparable".to_owned()]));
}
