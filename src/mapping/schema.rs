//! The JSON Schema (2020-12) of mapping files: editors complete and underline with it. Generated from the
//! language's own keys and the targets' shapes, so that it cannot say something else than the loader.

use serde_json::{Map, Value, json};

use super::target::{Field, Kind, Registry, Shape, Target};

mod language;

/// The schema of a mapping file that may use these targets.
pub fn schema(registry: &Registry) -> Value {
    let entries: Vec<Value> = registry.iter().map(|target| entry(target.as_ref())).collect();
    json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "$id": "https://mjumbe.org/schema/mapping.json",
        "title": "Mjumbe mapping",
        "description": "What becomes of a change: a resource or document that came in.",
        "type": "object",
        "additionalProperties": false,
        "required": ["mapping", "from", "to"],
        "properties": {
            "mapping": {
                "description": "Permanent name: deliveries carry it.",
                "type": "string", "pattern": "^[a-z0-9-]{1,100}$"
            },
            "description": { "description": "One sentence for people.", "type": "string" },
            "from": { "$ref": "#/$defs/from" },
            "with": { "$ref": "#/$defs/with" },
            "to": {
                "description": "What is made of the change, one entry a target.",
                "type": "array", "minItems": 1, "maxItems": super::program::MAX_ENTRIES,
                "items": { "anyOf": entries }
            }
        },
        "$defs": language::definitions()
    })
}

fn entry(target: &dyn Target) -> Value {
    let shape = target.shape();
    let mut body = object(&shape);
    if let Some(properties) = body.get_mut("properties").and_then(Value::as_object_mut) {
        for (name, schema) in language::generic(target.nature()) {
            properties.entry(name).or_insert(schema);
        }
    }
    body.insert("description".to_owned(), json!(target.doc()));
    json!({
        "type": "object",
        "additionalProperties": false,
        "required": [target.kind()],
        "properties": { target.kind(): body }
    })
}

fn object(shape: &Shape) -> Map<String, Value> {
    let properties: Map<String, Value> =
        shape.fields.iter().map(|field| (field.name.to_owned(), field_schema(field))).collect();
    let required: Vec<&str> =
        shape.fields.iter().filter(|field| field.required).map(|field| field.name).collect();
    let mut object = Map::new();
    object.insert("type".to_owned(), json!("object"));
    object.insert("additionalProperties".to_owned(), json!(false));
    object.insert("required".to_owned(), json!(required));
    object.insert("properties".to_owned(), Value::Object(properties));
    object
}

fn field_schema(field: &Field) -> Value {
    let mut schema = kind(&field.kind);
    schema.insert("description".to_owned(), json!(field.doc));
    Value::Object(schema)
}

fn kind(kind: &Kind) -> Map<String, Value> {
    let value = json!({ "$ref": "#/$defs/value" });
    let schema = match kind {
        Kind::Value | Kind::Values | Kind::Anything => value,
        Kind::List => json!({ "anyOf": [{ "type": "array", "items": value }, value] }),
        Kind::Map => json!({ "type": "object", "additionalProperties": value }),
        Kind::Word([]) => json!({ "type": "string" }),
        Kind::Word(words) => json!({ "enum": words }),
        Kind::Integer => json!({ "type": "integer" }),
        Kind::Flag => json!({ "type": "boolean" }),
        Kind::Object(shape) => Value::Object(object(shape)),
        Kind::Objects(shape) => {
            let mut item = object(shape);
            if let Some(properties) = item.get_mut("properties").and_then(Value::as_object_mut) {
                properties.entry("when").or_insert_with(|| json!({ "$ref": "#/$defs/condition" }));
            }
            json!({ "type": "array", "items": item })
        }
        Kind::ValueOrLanguages => json!({ "anyOf": [value, {
            "type": "object", "minProperties": 1, "propertyNames": { "pattern": "^[a-z]{3}$" },
            "additionalProperties": value
        }] }),
        Kind::Outline => json!({ "$ref": "#/$defs/outline" }),
        Kind::ValueOr(shape) => json!({ "anyOf": [value, object(shape)] }),
    };
    match schema {
        Value::Object(map) => map,
        _ => Map::new(),
    }
}
