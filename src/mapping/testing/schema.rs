//! The JSON Schema (2020-12) of test files, from the same keys that the reader knows.

use serde_json::{Map, Value, json};

use super::MAX_TESTS;
use crate::mapping::target::Registry;

pub(super) const FILE_KEYS: [&str; 3] = ["tests", "zone", "country"];
pub(super) const TEST_KEYS: [&str; 3] = ["name", "given", "expect"];
pub(super) const GIVEN_KEYS: [&str; 9] =
    ["change", "previous", "kind", "id", "recorded", "resources", "contacts", "units", "links"];
pub(super) const LINK_KEYS: [&str; 3] = ["resource", "id", "destination"];
pub(super) const EXPECT_KEYS: [&str; 5] = ["matched", "outputs", "absent", "issues", "held"];
pub(super) const ISSUE_KEYS: [&str; 2] = ["code", "place"];
pub(super) const HELD_KEYS: [&str; 2] = ["field", "waitsFor"];
pub(super) const OUTPUT_KEYS: [&str; 10] =
    ["target", "id", "destination", "key", "body", "has", "without", "reason", "due", "occurrence"];

/// The schema of a test file of mappings that may use these targets.
pub fn schema(registry: &Registry) -> Value {
    let targets: Vec<&str> = registry.iter().map(|target| target.kind()).collect();
    json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "$id": "https://mjumbe.org/schema/mapping-test.json",
        "title": "Mjumbe mapping test",
        "description": "Given these resources, expect exactly these outputs.",
        "type": "object", "additionalProperties": false, "required": ["tests"],
        "properties": {
            "zone": text("Time zone of the tests; the tenant's where it is left out."),
            "country": text("Country of phone numbers, two letters."),
            "tests": {
                "description": "Each is run on its own.",
                "type": "array", "maxItems": MAX_TESTS,
                "items": object(&TEST_KEYS, &TEST_KEYS, &targets)
            }
        }
    })
}

fn object(keys: &[&str], required: &[&str], targets: &[&str]) -> Value {
    let properties: Map<String, Value> =
        keys.iter().map(|key| ((*key).to_owned(), member(key, targets))).collect();
    json!({
        "type": "object", "additionalProperties": false, "required": required, "properties": properties
    })
}

fn text(description: &str) -> Value {
    json!({ "description": description, "type": "string" })
}

fn list(description: &str, items: &Value) -> Value {
    json!({ "description": description, "type": "array", "items": items })
}

/// Every key means one thing wherever it stands.
fn member(key: &str, targets: &[&str]) -> Value {
    let any = json!({ "type": "object" });
    match key {
        "name" => text("What is tested, in words."),
        "given" => object(&GIVEN_KEYS, &["change"], targets),
        "expect" => object(&EXPECT_KEYS, &[], targets),
        "change" => json!({ "description": "The resource or document that changed.", "type": "object" }),
        "previous" => json!({ "description": "$.previous", "type": "object" }),
        "kind" => text("Of a document: rapidpro.run."),
        "recorded" => text("When the change was recorded, RFC 3339."),
        "resources" => list("What references and searches find.", &any),
        "contacts" => list(
            "Mirrored contacts: uuid, fields, groups …; `of` names the resources linked with each.",
            &any,
        ),
        "units" => list("Mirrored organisation units: id, code, name, path.", &any),
        "links" => {
            list("Which remote object a resource is.", &object(&LINK_KEYS, &["resource", "id"], targets))
        }
        "resource" => text("Type/id"),
        "matched" => json!({ "description": "false: `from` does not take the change.", "type": "boolean" }),
        "outputs" => list(
            "Exactly these, in order; none where left out, unless `absent` is given.",
            &object(&OUTPUT_KEYS, &["target"], targets),
        ),
        "absent" => list("Ids of entries of `to` that must give nothing.", &json!({ "type": "string" })),
        "issues" => issues(targets),
        "held" => json!({
            "description": "The field that is waited for.",
            "anyOf": [{ "type": "string" }, object(&HELD_KEYS, &["field"], targets)]
        }),
        "target" => json!({ "description": "The kind of target.", "enum": targets }),
        "body" => json!({ "description": "What the destination would be sent, whole.", "type": "object" }),
        "has" => json!({
            "description": "Of the body these fields; of a list, members that have these.", "type": "object"
        }),
        "without" => list("Paths in the body that must find nothing.", &json!({ "type": "string" })),
        "due" => text("Of an act: when, or at-once."),
        "occurrence" => {
            json!({ "description": "Of an act: which one of a series.", "type": "integer", "minimum": 1 })
        }
        "reason" => text("Of an act: why."),
        "place" => json!({
            "description": "Line, or line:column, in the mapping file.", "type": ["string", "integer"]
        }),
        "waitsFor" => text("A part of the words that say what is waited for."),
        _ => json!({ "type": ["string", "integer"] }),
    }
}

fn issues(targets: &[&str]) -> Value {
    json!({
        "description": "Exactly these, in any order.", "type": "array",
        "items": { "anyOf": [{ "type": "string" }, object(&ISSUE_KEYS, &["code"], targets)] }
    })
}
