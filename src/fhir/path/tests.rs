use serde_json::{Value, json};

use super::*;

fn observation() -> Value {
    serde_json::from_str(
        r##"{"resourceType":"Observation","status":"final","code":{"coding":[{"system":"http://loinc.org","code":"8867-4"}]},
        "contained":[{"resourceType":"Patient","id":"p","birthDate":"1990"}],
        "subject":{"reference":"#p"},"effectiveDateTime":"2020-02","performer":[{"reference":"Practitioner/1"}],
        "valueQuantity":{"value":5.40,"unit":"mg","comparator":"<"},
        "component":[{"code":{"text":"a"},"valueInteger":3},{"code":{"text":"b"},"valueString":"x"},
        {"code":{"text":"c"},"valueDateTime":"2020-01-01T10:00:00.120+02:00"}]}"##,
    )
    .unwrap()
}

fn values(expression: &str, resource: &Value) -> Vec<(String, Option<&'static str>)> {
    let program = engine().compile(expression).unwrap();
    let found = program.values(&Subject::new(resource)).unwrap();
    found.into_iter().map(|found| (found.value.to_string(), found.kind)).collect()
}

fn one(expression: &str, resource: &Value) -> (String, Option<&'static str>) {
    let mut found = values(expression, resource);
    assert_eq!(found.len(), 1, "{expression}: {found:?}");
    found.remove(0)
}

#[test]
fn selections_keep_digits_and_know_their_types() {
    let resource = observation();
    let (quantity, kind) = one("Observation.value", &resource);
    assert_eq!(quantity, r#"{"value":5.40,"unit":"mg","comparator":"<"}"#);
    assert_eq!(kind, Some("Quantity"));
    assert_eq!(one("Observation.value.ofType(Quantity).value", &resource), ("5.40".into(), Some("decimal")));
    assert_eq!(one("(Observation.value as Quantity).unit", &resource), ("\"mg\"".into(), Some("string")));
    assert_eq!(one("Observation.effective", &resource), ("\"2020-02\"".into(), Some("dateTime")));
    assert_eq!(
        one("Observation.component[2].value", &resource),
        ("\"2020-01-01T10:00:00.120+02:00\"".into(), Some("dateTime"))
    );
    assert_eq!(one("component.where(code.text = 'b').value", &resource), ("\"x\"".into(), Some("string")));
    assert_eq!(values("component.value.ofType(integer) | status", &resource).len(), 2);
    assert_eq!(values("Patient.name", &resource), []);
    assert_eq!(one("contained.birthDate", &resource), ("\"1990\"".into(), Some("date")));
}

#[test]
fn what_is_computed_has_values_too() {
    let resource = observation();
    assert_eq!(one("component.count()", &resource).0, "3");
    assert_eq!(one("status.upper()", &resource).0, "\"FINAL\"");
    assert_eq!(one("subject.resolve().birthDate", &resource).0, "\"1990\"");
    assert_eq!(one("performer.reference.substring(13)", &resource).0, "\"1\"");
    assert_eq!(one("1.10 + 2", &resource).0, "3.1");
    assert_eq!(values("{}", &resource), []);
    // The parser reads `not` at the beginning of a name as an operator.
    let noted = json!({"resourceType": "Observation", "note": [{"text": "it isn't"}], "status": "final"});
    assert_eq!(one("note.text", &noted).0, "\"it isn't\"");
    assert_eq!(one("note.where(text = 'it isn\\'t').count()", &noted).0, "1");
    assert_eq!(one("(status = 'note').not()", &noted).0, "true");
    assert_eq!(one("Observation.note.text", &noted).0, "\"it isn't\"");
}

#[test]
fn places_are_json_pointers() {
    let resource = observation();
    let places = |expression: &str| {
        let program = engine().compile(expression).unwrap();
        let places = program.places(&Subject::new(&resource)).unwrap();
        places.map(|places| places.into_iter().map(|place| place.pointer).collect::<Vec<_>>())
    };
    assert_eq!(places("Observation.value"), Some(vec!["/valueQuantity".into()]));
    assert_eq!(places("Observation.component.value").unwrap().len(), 3);
    assert_eq!(places("Observation.component[1]"), Some(vec!["/component/1".into()]));
    assert_eq!(
        places("Observation.component.where(code.text = 'c').code.text"),
        Some(vec!["/component/2/code/text".into()])
    );
    assert_eq!(places("Observation.code.coding.first().code"), Some(vec!["/code/coding/0/code".into()]));
    assert_eq!(places("Observation"), Some(vec![String::new()]));
    assert_eq!(places("Observation.component.count()"), None);
}

#[test]
fn truth_is_asked_at_a_place() {
    let resource = observation();
    let subject = Subject::new(&resource);
    let truth = |expression: &str, pointer: &str, kind: &str| {
        let focus = Focus { pointer, kind: Some(kind) };
        engine().compile(expression).unwrap().truth(&subject, &focus).unwrap()
    };
    let component = "Observation.component";
    assert_eq!(truth("value is integer", "/component/0", component), Some(true));
    assert_eq!(truth("value is string", "/component/0", component), Some(false));
    assert_eq!(truth("value is dateTime", "/component/2", component), Some(true));
    assert_eq!(truth("%resource.status = 'final'", "/component/0", component), Some(true));
    assert_eq!(truth("$this is BackboneElement", "/component/0", component), Some(true));
    assert_eq!(truth("nothing", "/component/0", component), None);
    assert_eq!(truth("$this is dateTime", "/effectiveDateTime", "dateTime"), Some(true));
    assert!(engine().compile("subject.resolve() is Patient").unwrap().holds(&subject).unwrap());
    assert!(engine().compile("value is Quantity and value.value > 5").unwrap().holds(&subject).unwrap());
    assert!(!engine().compile("component.empty()").unwrap().holds(&subject).unwrap());
    assert_eq!(
        engine().compile("component.single().exists()").unwrap().holds(&subject),
        Err(PathError::Evaluation)
    );
}

#[test]
fn what_a_client_writes_is_bounded() {
    let refused = [
        "(".repeat(60) + "1" + &")".repeat(60),
        "a.".repeat(1_500) + "b",
        "a.".repeat(150) + "b",
        "-".repeat(300) + "1",
        "(1|2|3).aggregate($total + $this)".into(),
        "repeat($this + 1)".into(),
        "descendants().select(%resource.descendants())".into(),
        "descendants().descendants().descendants()".into(),
        "'a'".to_owned() + &".select($this & $this)".repeat(20),
        "'a'".to_owned() + &".replace('a', 'aaaaaaaaaa')".repeat(20),
        "'a'.trace('x')".into(),
        "code.memberOf('http://x')".into(),
        "%terminologies.expand('http://x')".into(),
    ];
    for expression in refused {
        let result = engine().compile(&expression).map(|_| ());
        assert!(matches!(result, Err(PathError::Refused(_))), "{expression}: {result:?}");
    }
    for expression in ["", "  ", "a b", "name.where(", "'open", "\u{0}", "$$", "a..b", "1 +", "é["] {
        assert!(engine().compile(expression).is_err(), "{expression}");
    }
}

#[test]
fn a_long_evaluation_is_ended() {
    let names: Vec<Value> = (0..3_000).map(|n| json!({ "family": format!("f{n}") })).collect();
    let resource = json!({ "resourceType": "Patient", "name": names });
    let program = engine()
        .compile("name.where(family = %resource.name.where(family = %resource.name.last().family).family)")
        .unwrap();
    let began = std::time::Instant::now();
    let result = program.values(&Subject::new(&resource));
    assert_eq!(result, Err(PathError::TooLong));
    assert!(began.elapsed() < MAX_TIME * 20, "{:?}", began.elapsed());
}

#[test]
fn odd_resources_make_errors_at_most() {
    for resource in [json!(null), json!([]), json!("x"), json!({}), json!({"resourceType": 3})] {
        for expression in ["Patient.name", "name", "$this", "1/0", "name.first().given[0]", "children()"] {
            let program = engine().compile(expression).unwrap();
            let subject = Subject::new(&resource);
            let _ = (program.values(&subject), program.places(&subject), program.holds(&subject));
        }
    }
}

/// Expressions as deep as they may be are evaluated where requests are: a worker of tokio has 2 MB of stack,
/// of which a part is used already.
#[test]
fn the_deepest_expressions_fit_on_a_worker() {
    let chain = |unit: &str, joint: &str, times: usize| vec![unit; times].join(joint);
    let nested = |open: &str, inner: &str, close: &str| {
        let deep = |levels: usize| open.repeat(levels) + inner + &close.repeat(levels);
        let levels = (1..=MAX_DEPTH).take_while(|levels| engine().compile(&deep(*levels)).is_ok()).count();
        assert!(levels > 5, "{open}: {levels}");
        deep(levels)
    };
    let deepest = [
        chain("extension", ".", 95),
        chain("true", " and ", 95),
        chain("extension.exists().not()", " or ", 90),
        chain("1", " + ", 95),
        chain("extension", " | ", 95),
        "extension".to_owned() + &".where($this.exists())".repeat(90),
        "extension".to_owned() + &".select($this)".repeat(90),
        "extension".to_owned() + &"[0].extension".repeat(45),
        nested("(", "true", ")"),
        nested("(extension | ", "extension", ")"),
        nested("extension.where(", "true", ")"),
        nested("extension.all(", "true", ")"),
        nested("extension.select(", "$this", ")"),
        nested("iif(true, ", "1", ")"),
        nested("(true implies (", "true", "))"),
        nested("(extension as Extension).where(", "true", ")"),
        nested("- (", "1", ")"),
    ];
    let mut extension = json!({ "url": "u", "valueBoolean": true });
    for _ in 0..60 {
        extension = json!({ "url": "u", "extension": [extension] });
    }
    let resource = json!({ "resourceType": "Patient", "extension": [extension] });
    let programs: Vec<_> = deepest.iter().map(|text| engine().compile(text).unwrap()).collect();
    let work = move || {
        for program in programs {
            let subject = Subject::new(&resource);
            let _ = (program.values(&subject), program.places(&subject), program.holds(&subject));
        }
    };
    let worker = std::thread::Builder::new().stack_size(3 << 19).spawn(work);
    worker.unwrap().join().unwrap();
}
