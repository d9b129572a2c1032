//! The JSON Schema of mapping files takes what the loader takes, and refuses what it refuses.

use std::collections::BTreeMap;

use mjumbe::mapping::program::{self, Settings};
use mjumbe::mapping::schema::schema;
use mjumbe::mapping::source;
use serde_json::{Value, json};

use super::mapping_shipped::{registry, shipped_texts};

/// As much of JSON Schema as the schema uses.
fn check(root: &Value, schema: &Value, value: &Value) -> Result<(), String> {
    if let Some(reference) = schema.get("$ref").and_then(Value::as_str) {
        let target =
            root.pointer(reference.trim_start_matches('#')).ok_or_else(|| format!("dangling {reference}"))?;
        check(root, target, value)?;
    }
    for (word, rule) in schema.as_object().ok_or("a schema is an object")? {
        let holds = match word.as_str() {
            "type" => {
                let kinds: Vec<&Value> =
                    rule.as_array().map_or_else(|| vec![rule], |all| all.iter().collect());
                kinds.iter().any(|kind| is_type(kind.as_str().unwrap(), value))
            }
            "enum" => rule.as_array().unwrap().contains(value),
            "const" => rule == value,
            "pattern" => value
                .as_str()
                .is_none_or(|text| regex::Regex::new(rule.as_str().unwrap()).unwrap().is_match(text)),
            "required" => {
                let object = value.as_object();
                object.is_none_or(|object| {
                    rule.as_array().unwrap().iter().all(|key| object.contains_key(key.as_str().unwrap()))
                })
            }
            "anyOf" => rule.as_array().unwrap().iter().any(|one| check(root, one, value).is_ok()),
            "oneOf" => {
                rule.as_array().unwrap().iter().filter(|one| check(root, one, value).is_ok()).count() == 1
            }
            "items" => {
                for item in value.as_array().into_iter().flatten() {
                    check(root, rule, item)?;
                }
                true
            }
            "properties" | "additionalProperties" => {
                members(root, schema, value)?;
                true
            }
            "minItems" => value.as_array().is_none_or(|all| all.len() as u64 >= rule.as_u64().unwrap()),
            "maxItems" => value.as_array().is_none_or(|all| all.len() as u64 <= rule.as_u64().unwrap()),
            "minProperties" => value.as_object().is_none_or(|all| all.len() as u64 >= rule.as_u64().unwrap()),
            "maxProperties" => value.as_object().is_none_or(|all| all.len() as u64 <= rule.as_u64().unwrap()),
            "minLength" => value.as_str().is_none_or(|text| text.len() as u64 >= rule.as_u64().unwrap()),
            "maxLength" => value.as_str().is_none_or(|text| text.len() as u64 <= rule.as_u64().unwrap()),
            "dependentRequired" => value.as_object().is_none_or(|object| {
                rule.as_object().unwrap().iter().filter(|(key, _)| object.contains_key(*key)).all(
                    |(_, needs)| {
                        needs.as_array().unwrap().iter().all(|key| object.contains_key(key.as_str().unwrap()))
                    },
                )
            }),
            "minimum" => value.as_i64().is_none_or(|number| number >= rule.as_i64().unwrap()),
            "maximum" => value.as_i64().is_none_or(|number| number <= rule.as_i64().unwrap()),
            "propertyNames" => {
                for key in value.as_object().into_iter().flat_map(|object| object.keys()) {
                    check(root, rule, &json!(key))?;
                }
                true
            }
            "description" | "title" | "$schema" | "$id" | "$defs" | "$ref" => true,
            other => return Err(format!("the schema uses `{other}`, which this check does not know")),
        };
        if !holds {
            return Err(format!("{word}: {rule} does not hold of {value}"));
        }
    }
    Ok(())
}

fn members(root: &Value, schema: &Value, value: &Value) -> Result<(), String> {
    let known = schema.get("properties").and_then(Value::as_object);
    for (key, member) in value.as_object().into_iter().flatten() {
        match (known.and_then(|known| known.get(key)), schema.get("additionalProperties")) {
            (Some(rule), _) => check(root, rule, member)?,
            (None, Some(Value::Bool(false))) => return Err(format!("unknown key {key}")),
            (None, Some(rule)) if rule.is_object() => check(root, rule, member)?,
            _ => {}
        }
    }
    Ok(())
}

fn is_type(kind: &str, value: &Value) -> bool {
    match kind {
        "object" => value.is_object(),
        "array" => value.is_array(),
        "string" => value.is_string(),
        "boolean" => value.is_boolean(),
        "null" => value.is_null(),
        "integer" => value.as_i64().is_some(),
        _ => value.is_number(),
    }
}

fn judge(text: &str) -> Result<(), String> {
    let schema = schema(&registry());
    check(&schema, &schema, &source::parse(text).unwrap().to_json())
}

fn load(text: &str) -> Result<(), String> {
    let (registry, tables) = (registry(), BTreeMap::from([("t.csv".to_owned(), "code,uid\n".to_owned())]));
    let settings = Settings { registry: &registry, destinations: None, tables: &tables };
    program::load("m.yaml", text, &settings).map(|_| ()).map_err(|told| told[0].to_string())
}

#[test]
fn the_schema_takes_the_shipped_mappings() {
    for (name, text) in shipped_texts() {
        judge(&text).unwrap_or_else(|fault| panic!("{name}: {fault}"));
    }
}

#[test]
fn the_schema_takes_what_the_loader_takes() {
    let text = "
mapping: everything
description: Every key once
from: { resource: QuestionnaireResponse, flow: f, status: [completed], where: { none: [$.resource.x] } }
with:
  a: { reference: $.resource.subject, up: partOf, until: { path: $.item.id, is: x }, follow: true }
  b: { search: 'Patient?identifier={$.answers.card}', many: 10 }
  c: { contact: $.resource.source }
  d: { orgUnit: { path: $.c.fields.u, type: text }, by: code }
to:
  - rapidpro.contact:
      id: one
      destination: d1
      when: [$.a, { any: [true, { path: $.answers.n, above: 3, in: [4, $.answers.m], matches: x }] }]
      each: $.b
      key: $.item.id
      withdraw: delete
      urns: [{ path: $.item.phone, type: phone, country: RW }, { const: ['mailto:a@b', 'tel:+1'] }]
      name: { pseudonym: $.item.id }
      fields: { k: { path: [$.a.x, $.c.y], map: { 1: 2 }, otherwise: 3 }, w: { link: $.item.id } }
  - dhis2.report:
      needs: [one]
      dataSet: VEM58nY22sO
      orgUnit: { lookup: { table: t.csv, key: code, take: uid }, path: $.d.code, required: true }
      period: { type: Monthly, at: { path: $.a.d, type: date, format: '%Y', plus: P6W, write: '%d' }, shift: -1 }
      complete: true
      values:
        - when: $.a
          dataElement: FTRrcoaog83
          categoryOptionCombo: { options: [a, { age: { from: $.a.birthDate, at: $.resource.authored }, bands: { 0: a } }] }
          value: { path: $.answers.x, split: ' ', sum: true, times: 2, unit: { from: g, to: kg }, default: 0 }
";
    load(text).unwrap_or_else(|told| panic!("{told}"));
    judge(text).unwrap();
}

#[test]
fn the_schema_refuses_what_the_loader_refuses() {
    let to = |entry: &str| format!("mapping: m\nfrom: {{ resource: Basic }}\nto: [{{ {entry} }}]");
    for text in [
        to("rapidpro.contact: { ursn: [a] }"),
        to("rapidpro.contact: { name: { path: $.resource.a, tpye: text } }"),
        to("rapidpro.contact: { withdraw: never }"),
        to("rapidpro.nothing: { name: a }"),
        to("dhis2.report: { dataSet: VEM58nY22sO }"),
        "mapping: m\nfrom: { resource: Basic }\nto: []".to_owned(),
        "mapping: m\nfrom: { resource: Nothing }\nto: [{ rapidpro.contact: { name: a } }]".to_owned(),
        "mapping: M\nfrom: { resource: Basic }\nto: [{ rapidpro.contact: { name: a } }]".to_owned(),
    ] {
        assert!(judge(&text).is_err(), "the schema takes {text}");
        assert!(load(&text).is_err(), "the loader takes {text}");
    }
}
