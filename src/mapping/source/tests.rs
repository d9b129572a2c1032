use super::*;
use serde_json::json;

fn json_of(text: &str) -> Value {
    parse(text).unwrap().to_json()
}

fn code_of(text: &str) -> String {
    parse(text).unwrap_err()[0].code.clone()
}

#[test]
fn only_true_and_false_are_booleans_and_leading_zeros_are_text() {
    let tree =
        json_of("{a: yes, b: no, c: on, d: true, e: 007, f: 7, g: '7', h: 1.50, i: 0x1F, j: ~, k: +1}");
    let expected = json!({
        "a": "yes", "b": "no", "c": "on", "d": true, "e": "007", "f": 7, "g": "7",
        "h": serde_json::from_str::<Value>("1.50").unwrap(), "i": "0x1F", "j": null, "k": "+1"
    });
    assert_eq!(tree, expected);
}

#[test]
fn keys_are_text_as_written() {
    assert_eq!(
        json_of("{0: a, 05: b, no: c, true: d}"),
        json!({"0": "a", "05": "b", "no": "c", "true": "d"})
    );
}

#[test]
fn every_node_knows_its_place() {
    let tree = parse("a: 1\nb:\n  - x\n  - { c: y }\n").unwrap();
    let Content::List(items) = &tree.get("b").unwrap().content else { panic!("a list") };
    assert_eq!(items[0].place, Place { line: 3, column: 5 });
    assert_eq!(items[1].get("c").unwrap().place, Place { line: 4, column: 10 });
}

#[test]
fn a_key_given_twice_is_an_error_each_time() {
    let told = parse("a: 1\nb: {c: 1, c: 2}\na: 2\n").unwrap_err();
    let places: Vec<_> = told.iter().map(|one| (one.place.line, one.place.column)).collect();
    assert_eq!(places, [(2, 11), (3, 1)]);
}

#[test]
fn aliases_are_expanded_but_a_billion_laughs_are_refused() {
    assert_eq!(json_of("{a: &x [1, 2], b: *x}"), json!({"a": [1, 2], "b": [1, 2]}));
    let mut text = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n".to_owned();
    for n in 1..10 {
        let aliases = vec![format!("*a{}", n - 1); 10].join(", ");
        text.push_str(&format!("a{n}: &a{n} [{aliases}]\n"));
    }
    assert_eq!(code_of(&text), "file-too-large");
}

#[test]
fn a_path_with_brackets_in_braces_gets_its_hint() {
    let told = parse("a: { path: [$.resource.name[0].text] }").unwrap_err();
    assert_eq!(told[0].code, "yaml-syntax");
    assert!(told[0].hint.as_deref().unwrap_or_default().contains("needs quotes"));
}

#[test]
fn refuses_what_has_no_meaning() {
    assert_eq!(code_of("a: !!str 1"), "yaml-tag");
    assert_eq!(code_of("a: &x { b: *x }"), "yaml-alias");
    assert_eq!(code_of("<<: {a: 1}"), "yaml-merge");
    assert_eq!(code_of("a: [1"), "yaml-syntax");
    assert_eq!(code_of(""), "file-empty");
    assert_eq!(code_of("a: 1\n---\nb: 1\n"), "yaml-several");
    assert_eq!(code_of(&format!("{}{}", "[".repeat(60), "]".repeat(60))), "yaml-too-deep");
    assert_eq!(code_of(&"x".repeat(MAX_BYTES + 1)), "file-too-large");
}
