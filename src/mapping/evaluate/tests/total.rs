//! Totality: no data and no mapping makes the engine panic.

use super::*;
use proptest::prelude::*;

fn json_value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        "-?[0-9]{1,40}(\\.[0-9]{1,40})?([eE][+-]?[0-9]{1,5})?"
            .prop_map(|text| serde_json::from_str(&text).unwrap_or_default()),
        "[0-9]{4}-[0-9]{2}(-[0-9]{2}(T[0-9:.Z+-]{0,14})?)?".prop_map(Value::from),
        "\\+?[0-9 ]{0,20}".prop_map(Value::from),
        ".{0,12}".prop_map(Value::from),
        Just(json!("#a")),
        Just(json!({"reference": "#a"})),
    ];
    leaf.prop_recursive(4, 24, 4, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::vec(
                ("[a-e]|linkId|item|answer|valueInteger|reference|contained|id", inner),
                0..4
            )
            .prop_map(|entries| Value::Object(entries.into_iter().collect())),
        ]
    })
}

fn path() -> impl Strategy<Value = String> {
    let step = prop_oneof![
        "\\.[a-e]",
        "\\[-?[0-9]{1,2}\\]",
        Just("[*]".to_owned()),
        Just("..a".to_owned()),
        Just("[?@.a==1]".to_owned()),
        Just("[?@.a < $.resource.b]".to_owned()),
        Just("[?length(@.a)>1]".to_owned()),
        Just("[-3:9:2]".to_owned()),
        Just("[?match(@.a, '.*')]".to_owned()),
    ];
    let root = prop_oneof![Just("resource"), Just("answers"), Just("groups"), Just("look"), Just("item")];
    (root, prop::collection::vec(step, 0..4)).prop_map(|(root, steps)| format!("$.{root}{}", steps.concat()))
}

fn step() -> impl Strategy<Value = String> {
    let words = [
        "first: true",
        "sum: true",
        "max: true",
        "count: true",
        "at: -2",
        "join: ', '",
        "split: ' '",
        "match: '[0-9]+'",
        "type: text",
        "type: integer",
        "type: number",
        "type: boolean",
        "type: date",
        "type: dateTime",
        "type: phone",
        "type: {type: date}",
        "unit: { from: g, to: kg }",
        "unit: { from: Cel, to: K }",
        "times: 1e20",
        "times: -0.1",
        "plus: P9999Y",
        "plus: -PT1H",
        "bands: { 0: a, 5: b }",
        "synonyms: { a: [b, c] }",
        "map: { a: b, 1: 2 }",
        "otherwise: x",
        "lookup: { table: facilities.csv, key: code, take: uid }",
        "write: '%Y-%m %H'",
        "default: 0",
        "required: true",
        "when: $.resource.a",
        "nonsense: 3",
        "default: { path: $.resource.b, type: date }",
    ];
    prop::sample::select(words.to_vec()).prop_map(str::to_owned)
}

fn expression() -> impl Strategy<Value = String> {
    let source = prop_oneof![
        path().prop_map(|path| format!("path: \"{path}\"")),
        path().prop_map(|path| format!("template: \"x{{{path}}}\"")),
        path().prop_map(|path| format!("pseudonym: \"{path}\"")),
        path().prop_map(|path| format!("link: \"{path}\"")),
        (path(), path())
            .prop_map(|(from, at)| format!("age: {{ from: \"{from}\", at: \"{at}\", in: weeks }}")),
        (path(), path()).prop_map(|(a, b)| format!("list: [\"{a}\", \"{b}\"]")),
    ];
    (source, prop::collection::vec(step(), 0..4)).prop_map(|(source, steps)| {
        let mut parts = vec![source];
        for step in steps {
            let key = step.split(':').next().unwrap_or_default().to_owned();
            if !parts.iter().any(|part| part.starts_with(&format!("{key}:"))) {
                parts.push(step);
            }
        }
        format!("{{ {} }}", parts.join(", "))
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 150, failure_persistence: None, ..ProptestConfig::default() })]

    /// Whatever the data and whatever a mapping is made of: told at load, or evaluated to the end.
    #[test]
    fn evaluation_never_panics(resource in json_value(), looked in json_value(), a in expression(), b in expression(), c in expression()) {
        let text = format!(
            "mapping: m\nfrom: {{ resource: Basic }}\nwith:\n  look: {{ reference: {a}, up: a, until: {{ path: $.item.b, above: 2 }} }}\nto:\n- probe.state:\n    each: $.resource\n    key: {c}\n    value: {b}\n    values: {a}\n    when: {{ any: [{{ path: $.resource.a, atLeast: 1 }}, {{ path: $.resource.b, is: $.item.a }}, true] }}\n    cells: [{{ element: {c}, combo: {{ options: [{b}] }} }}]\n"
        );
        let mut resource = resource;
        if let Some(object) = resource.as_object_mut() {
            object.insert("resourceType".to_owned(), json!("Basic"));
        }
        // Pseudonyms and `$.item` are refused in `with`: then nothing of the file runs.
        if probe::load(&text).is_ok() {
            probe::run(&text, &resource, &|_| Some(looked.clone()));
        }
        let entry = format!("mapping: m\nfrom: {{ resource: Basic }}\nto:\n- probe.state:\n    each: $.resource\n    key: {c}\n    value: {b}\n");
        if probe::load(&entry).is_ok() {
            probe::run(&entry, &resource, &|_| None);
        }
    }

    #[test]
    fn loading_never_panics(text in "(mapping|from|with|to|[a-z]{1,3}|\\$\\.resource|[-:{}\\[\\],'\"*&#|>\n ]){0,60}") {
        let _ = probe::load(&text);
    }

    #[test]
    fn a_path_never_panics(path in "\\$[a-z.\\[\\]?@()'\"*:<>=!&|0-9, -]{0,40}", resource in json_value()) {
        if let Ok(path) = crate::mapping::path::Path::compile(&path) {
            let mut scope = crate::mapping::path::Scope::default();
            scope.bind("a", &resource);
            path.find(&scope);
        }
    }
}
