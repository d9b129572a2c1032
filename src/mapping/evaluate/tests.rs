//! Whole mappings: look-ups, climbing, entries, holding, absence, and totality.

use super::*;
use crate::mapping::lookup::Source;
use crate::mapping::output::Withdraw;
use crate::mapping::probe;
use serde_json::json;

fn head(rest: &str) -> String {
    format!("mapping: m\nfrom: {{ resource: Basic }}\n{rest}")
}

fn basic(mut fields: Value) -> Value {
    fields["resourceType"] = json!("Basic");
    fields
}

fn codes(evaluation: &Evaluation) -> Vec<&str> {
    evaluation.issues.iter().map(|issue| issue.code.as_str()).collect()
}

#[test]
fn asks_for_all_that_it_can_and_for_the_rest_in_the_next_round() {
    let text = head(
        "with:\n  a: { contact: $.resource.who }\n  b: { orgUnit: $.a.unit }\n  c: { reference: $.resource.subject, follow: true }\nto: [{ probe.state: { value: $.b.name } }]",
    );
    let program = probe::load(&text).unwrap();
    let resource =
        basic(json!({"who": {"reference": "Practitioner/1", "display": "A"}, "subject": "Patient/2"}));
    let (zone, keys, registry) = (jiff::tz::TimeZone::UTC, BTreeMap::new(), probe::registry());
    let mut answers = Answers::default();
    let step = |answers: &Answers| {
        let change = Change { kind: "Basic", id: "1", resource: &resource, previous: None, recorded_ms: 5 };
        evaluate(
            &program,
            &Input {
                tenant: "default",
                zone: &zone,
                country: None,
                change,
                answers,
                pseudonym_keys: &keys,
                registry: &registry,
                tracing: Tracing::Off,
            },
        )
    };
    let Step::Needs(first) = step(&answers) else { panic!("questions") };
    let names: Vec<(&str, bool)> = first.iter().map(|one| (one.name.as_str(), one.follow)).collect();
    assert_eq!(names, [("a", false), ("c", true)]);
    assert_eq!(first[0].query, Query::Contact { reference: json!({"reference": "Practitioner/1"}) });
    let found = |value: Value| Answer::Found {
        value,
        sources: vec![Source { kind: "k".to_owned(), id: "i".to_owned(), version: 3 }],
    };
    answers.insert(first[0].clone(), found(json!({"unit": "U1"})));
    answers.insert(first[1].clone(), Answer::Absent);
    let Step::Needs(second) = step(&answers) else { panic!("questions") };
    assert_eq!(second[0].query, Query::OrgUnit { value: "U1".to_owned(), by: "uid".to_owned() });
    answers.insert(second[0].clone(), found(json!({"name": "Bo"})));
    let Step::Done(done) = step(&answers) else { panic!("done") };
    assert_eq!(done.outputs[0].body, json!({"value": "Bo"}));
    assert_eq!(done.outputs[0].authored_ms, 5);
    let reads: Vec<(&str, usize)> =
        done.reads.iter().map(|read| (read.name.as_str(), read.sources.len())).collect();
    assert_eq!(reads, [("a", 1), ("b", 1), ("c", 0)]);
    assert!(done.trace.notes.is_empty());
}

#[test]
fn climbs_until_the_condition_holds() {
    let text = head(
        "with:\n  f: { reference: $.resource.at, up: partOf, until: { path: $.item.level, is: facility } }\nto: [{ probe.state: { value: $.f.id } }]",
    );
    let run = |resource: Value| {
        probe::run(&text, &basic(resource), &|query| {
            let Query::Reference { reference } = query else { return None };
            match reference["reference"].as_str()? {
                "Location/a" => {
                    Some(json!({"id": "a", "level": "ward", "partOf": {"reference": "Location/b"}}))
                }
                "Location/b" => {
                    Some(json!({"id": "b", "level": "facility", "partOf": {"reference": "Location/c"}}))
                }
                "Location/x" => Some(json!({"id": "x", "partOf": {"reference": "Location/x"}})),
                "Location/top" => Some(json!({"id": "top"})),
                "Location/orphan" => Some(json!({"id": "orphan", "partOf": {"reference": "Location/gone"}})),
                _ => None,
            }
        })
    };
    let found = run(json!({"at": {"reference": "Location/a"}}));
    assert_eq!(found.outputs[0].body, json!({"value": "b"}));
    let names: Vec<&str> = found.reads.iter().map(|read| read.name.as_str()).collect();
    assert_eq!(names, ["f", "f#1"]);
    assert_eq!(run(json!({"at": "Location/top"})).outputs[0].body, json!({"value": null}));
    assert_eq!(run(json!({"at": "Location/orphan"})).outputs[0].body, json!({"value": null}));
    let circle = run(json!({"at": "Location/x"}));
    assert_eq!(
        (circle.outputs[0].body.clone(), codes(&circle)),
        (json!({"value": null}), vec!["climb-too-high"])
    );
}

#[test]
fn finds_contained_resources_itself() {
    let text =
        head("with: { p: { reference: $.resource.subject } }\nto: [{ probe.state: { value: $.p.name } }]");
    let resource = basic(json!({"subject": {"reference": "#x"}, "contained": [{"id": "x", "name": "N"}]}));
    let evaluation = probe::run(&text, &resource, &|_| panic!("nothing is asked"));
    assert_eq!(evaluation.outputs[0].body, json!({"value": "N"}));
    let dangling = basic(json!({"subject": {"reference": "#y"}}));
    assert_eq!(probe::run(&text, &dangling, &|_| None).outputs[0].body, json!({"value": null}));
}

#[test]
fn what_is_put_into_a_search_cannot_change_it() {
    let text = head(
        "with: { p: { search: 'Patient?identifier=urn:card|{$.resource.card}' } }\nto: [{ probe.state: { value: $.p.id } }]",
    );
    let asked = std::cell::RefCell::new(String::new());
    let resource = basic(json!({"card": "1,2|x&_id=9 $é"}));
    probe::run(&text, &resource, &|query| {
        if let Query::Search { query, .. } = query {
            *asked.borrow_mut() = query.clone();
        }
        None
    });
    assert_eq!(asked.into_inner(), r"Patient?identifier=urn:card|1%5C%2C2%5C%7Cx%26_id%3D9%20%5C%24%C3%A9");
}

#[test]
fn required_but_absent_holds_the_evaluation_and_says_for_what() {
    let text = head(
        "with:\n  c: { contact: $.resource.who }\n  u: { orgUnit: $.c.unit }\nto:\n  - probe.state: { value: { path: $.u.id, required: true } }",
    );
    let held = probe::run(&text, &basic(json!({"who": "Practitioner/1"})), &|_| None);
    assert!(held.outputs.is_empty());
    let waits = held.held.unwrap();
    assert_eq!(waits.field, "to[0].value");
    assert_eq!(waits.lookups, ["c"]);
    assert_eq!(waits.waits_for, "`$.u.id` found nothing: the contact of Practitioner/1 (look-up `c`)");
    assert_eq!(waits.place, "m.yaml:7:27");
    let released = probe::run(&text, &basic(json!({"who": "Practitioner/1"})), &|query| match query {
        Query::Contact { .. } => Some(json!({"unit": "U"})),
        _ => Some(json!({"id": "U"})),
    });
    assert_eq!((released.held, released.outputs.len()), (None, 1));
}

#[test]
fn each_makes_one_output_an_item_with_a_key_of_its_own() {
    let text = head(
        "to:\n  - probe.state:\n      each: $.resource.rows\n      key: $.item.k\n      when: $.item.k\n      value: { template: '{$.item.k}-{$.index}' }",
    );
    let rows = json!([{"k": "a"}, {"k": "b"}, {"k": "a"}, {}, {"k": "c"}]);
    let evaluation = probe::run(&text, &basic(json!({"rows": rows})), &|_| None);
    let made: Vec<(&str, &Value)> =
        evaluation.outputs.iter().map(|output| (output.key.as_str(), &output.body["value"])).collect();
    assert_eq!(made, [("a", &json!("a-0")), ("b", &json!("b-1")), ("c", &json!("c-4"))]);
    assert_eq!(codes(&evaluation), ["key-doubled", "key-absent"]);
    let many: Vec<Value> = (0..1_001).map(|n| json!({"k": n})).collect();
    let many = basic(json!({"rows": many}));
    for path in ["$.resource.rows", "$.resource.rows[*]"] {
        let refused = probe::run(&text.replace("$.resource.rows", path), &many, &|_| None);
        assert_eq!((refused.outputs.len(), codes(&refused)), (0, vec!["each-too-many"]), "{path}");
    }
}

#[test]
fn more_values_than_a_path_may_give_are_told() {
    let many = |count: i32| basic(json!({"rows": (0..count).collect::<Vec<_>>()}));
    for path in ["$.resource.rows", "$.resource.rows[*]", "$.resource.rows[?@>=0]"] {
        let value = format!("{{ path: '{path}', count: true }}");
        let text = head(&format!("to: [{{ probe.state: {{ value: {value} }} }}]"));
        let fits = probe::run(&text, &many(1_000), &|_| None);
        assert_eq!(codes(&fits), Vec::<&str>::new(), "{path}");
        let cut = probe::run(&text, &many(1_001), &|_| None);
        assert_eq!(codes(&cut), ["too-many-values"], "{path}");
    }
}

#[test]
fn fields_come_in_the_shape_that_the_target_declares() {
    let text = head(
        "to:
  - probe.state:
      values: $.resource.list
      list: [$.resource.a, $.resource.none, $.resource.list]
      map: { a: $.resource.a, b: $.resource.none }
      word: fixed
      flag: true
      period: { type: Monthly, at: $.resource.none, shift: -1 }
      cells:
        - { when: $.resource.none, element: gone }
        - { element: e1, combo: { options: [x, $.resource.a] }, value: 0 }
        - { element: e2, combo: { options: [x, $.resource.none] }, value: $.resource.none }
        - { element: e3, combo: $.resource.a }
",
    );
    let evaluation = probe::run(&text, &basic(json!({"a": "A", "list": [1, 2]})), &|_| None);
    assert_eq!(
        evaluation.outputs[0].body,
        json!({
            "values": [1, 2], "list": ["A", 1, 2], "map": {"a": "A"}, "word": "fixed", "flag": true,
            "period": {"type": "Monthly", "at": null, "shift": -1},
            "cells": [
                {"element": "e1", "combo": {"options": ["x", "A"]}, "value": 0},
                {"element": "e2", "combo": null, "value": null},
                {"element": "e3", "combo": "A"}
            ]
        })
    );
    assert_eq!(codes(&evaluation), Vec::<&str>::new());
}

#[test]
fn from_takes_what_it_says() {
    let mapping = |from: &str| {
        format!(
            "mapping: m\nfrom: {{ resource: QuestionnaireResponse, {from} }}\nto: [{{ probe.state: {{ value: 1 }} }}]"
        )
    };
    let response = json!({
        "resourceType": "QuestionnaireResponse", "status": "completed",
        "questionnaire": "https://rapidpro.example/flow/0b1c|7",
        "_questionnaire": {"extension": [{"url": "http://hl7.org/fhir/StructureDefinition/display", "valueString": "Monthly"}]},
        "item": [{"linkId": "n", "answer": [{"valueInteger": 3}]}]
    });
    let takes = |from: &str| probe::run(&mapping(from), &response, &|_| None).matched;
    assert!(takes("flow: Monthly"));
    assert!(takes("flow: 0b1c"));
    assert!(!takes("flow: Weekly"));
    assert!(takes("questionnaire: https://rapidpro.example/flow/0b1c"));
    assert!(takes("questionnaire: 'https://rapidpro.example/flow/0b1c|7'"));
    assert!(!takes("questionnaire: 'https://rapidpro.example/flow/0b1c|8'"));
    assert!(takes("status: [completed, amended]"));
    assert!(!takes("status: in-progress"));
    assert!(takes("where: { path: $.answers.n, above: 2 }"));
    assert!(!takes("where: { path: $.answers.n, above: 3 }"));
    let other = probe::run(&mapping("status: completed"), &basic(json!({})), &|_| None);
    assert_eq!((other.matched, other.outputs.len()), (false, 0));
}

#[test]
fn what_the_entry_says_reaches_the_output() {
    let text = head(
        "to:\n  - probe.state: { id: one, destination: d1, withdraw: delete, value: 1 }\n  - probe.state: { id: two, needs: [one], destination: $.resource.d, value: 1 }",
    );
    let evaluation = probe::run(&text, &basic(json!({"d": "d2"})), &|_| None);
    let [one, two] = evaluation.outputs.as_slice() else { panic!("two outputs") };
    assert_eq!(
        (one.target_id.as_str(), one.destination.as_str(), one.withdraw),
        ("one", "d1", Withdraw::Delete)
    );
    assert_eq!(
        (two.needs.as_slice(), two.destination.as_str(), two.withdraw),
        (["one".to_owned()].as_slice(), "d2", Withdraw::Keep)
    );
    let nowhere = probe::run(&text, &basic(json!({})), &|_| None);
    assert_eq!((nowhere.outputs.len(), codes(&nowhere)), (1, vec!["destination-unknown"]));
}

mod total;
