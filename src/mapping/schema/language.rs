//! The parts of the schema that are the same for every target: `from`, `with`, VALUE, COND.

use serde_json::{Map, Value, json};

use crate::mapping::output::Nature;
use crate::mapping::program::{MAX_LOOKUPS, VALUE_KEYS};
use crate::mapping::schedule::MAX_TIMES;

fn reference(name: &str) -> Value {
    json!({ "$ref": format!("#/$defs/{name}") })
}

/// A definition with its sentence.
fn described(name: &str, text: &str) -> Value {
    json!({ "$ref": format!("#/$defs/{name}"), "description": text })
}

pub(super) fn definitions() -> Value {
    json!({
        "path": {
            "description": "JSONPath (RFC 9535) that begins with a name: $.resource, $.answers, a look-up.",
            "type": "string", "pattern": "^\\$[.\\[]"
        },
        "scalar": { "type": ["string", "number", "boolean"] },
        "constant": { "type": ["string", "number", "boolean", "null"] },
        "duration": { "description": "ISO 8601: P6W, -P1D, PT36H.", "type": "string", "pattern": "^[+-]?P" },
        "from": from(),
        "with": with(),
        "value": {
            "description": "A path, a constant, or one source and any of the steps, which run in a fixed order.",
            "anyOf": [reference("scalar"), { "type": "object", "additionalProperties": false, "properties": value() }]
        },
        "outline": outline(),
        "condition": condition()
    })
}

/// JSON in which an object with `$value` alone stands for a value.
fn outline() -> Value {
    json!({
        "description": "JSON; { $value: VALUE } stands for a value. What is absent vanishes, and what becomes empty.",
        "anyOf": [
            reference("scalar"),
            { "type": "array", "items": reference("outline") },
            {
                "type": "object", "additionalProperties": false, "required": ["$value"],
                "properties": { "$value": reference("value") }
            },
            {
                "type": "object", "not": { "required": ["$value"] }, "additionalProperties": reference("outline")
            }
        ]
    })
}

fn from() -> Value {
    json!({
        "description": "Which changes the mapping takes.",
        "type": "object", "additionalProperties": false,
        "oneOf": [{ "required": ["resource"] }, { "required": ["document"] }],
        "properties": {
            "resource": {
                "description": "A type of FHIR R4.", "enum": crate::fhir::elements::table().kinds()
            },
            "document": { "description": "A kind of document: rapidpro.run.", "type": "string" },
            "flow": { "description": "A RapidPro flow, by name or uuid.", "type": "string" },
            "questionnaire": { "description": "A Questionnaire's canonical URL.", "type": "string" },
            "status": {
                "description": "One of these.",
                "anyOf": [{ "type": "string" }, { "type": "array", "items": { "type": "string" } }]
            },
            "where": described("condition", "Only changes of which this holds.")
        }
    })
}

fn with() -> Value {
    let lookup = json!({
        "type": "object", "additionalProperties": false,
        "oneOf": [
            { "required": ["reference"] }, { "required": ["search"] },
            { "required": ["contact"] }, { "required": ["orgUnit"] }
        ],
        "properties": {
            "reference": described("value", "The resource that a reference names."),
            "up": { "description": "The element to climb by: partOf.", "type": "string" },
            "until": described("condition", "Where to stop climbing; $.item is what was reached."),
            "search": { "description": "A FHIR search with paths in braces.", "type": "string", "pattern": "^[A-Z][A-Za-z]+\\?" },
            "many": { "description": "A list of at most so many.", "type": "integer", "minimum": 1, "maximum": 1000 },
            "contact": described("value", "The RapidPro contact linked to a reference."),
            "orgUnit": described("value", "A DHIS2 organisation unit."),
            "by": { "description": "uid, code, name or an attribute.", "type": "string" },
            "follow": { "description": "Evaluate again when what was found changes.", "type": "boolean" }
        }
    });
    json!({
        "description": "Look-ups in order; each may use the ones before.",
        "type": "object", "maxProperties": MAX_LOOKUPS,
        "propertyNames": { "pattern": "^[A-Za-z][A-Za-z0-9_]{0,59}$" },
        "additionalProperties": lookup
    })
}

/// The properties of a VALUE object.
pub(super) fn value() -> Map<String, Value> {
    VALUE_KEYS.iter().map(|key| ((*key).to_owned(), step(key))).collect()
}

fn step(key: &str) -> Value {
    let flag = |text: &str| json!({ "description": text, "const": true });
    let text = |text: &str| json!({ "description": text, "type": "string" });
    match key {
        "path" => json!({
            "description": "The first path that finds something.",
            "anyOf": [reference("path"), { "type": "array", "minItems": 1, "items": reference("path") }]
        }),
        "const" => json!({
            "description": "A constant.",
            "anyOf": [reference("scalar"), { "type": "array", "items": reference("scalar") }]
        }),
        "list" => json!({ "description": "Several values.", "type": "array", "items": reference("value") }),
        "template" => text("Text with paths in braces; absent if a part is absent."),
        "link" => described("path", "The remote id of that resource, resolved on sending."),
        "pseudonym" => described("path", "A keyed hash, another one for each destination."),
        "age" => json!({
            "description": "Completed units between two dates.",
            "type": "object", "additionalProperties": false, "required": ["from", "at"],
            "properties": {
                "from": reference("value"), "at": reference("value"),
                "in": { "enum": ["years", "months", "weeks", "days"] }
            }
        }),
        "when" => described("condition", "Absent unless this holds."),
        "split" => text("Text to list, at this separator."),
        "at" => json!({ "description": "The value at this position, from 0.", "type": "integer" }),
        "first" | "last" | "count" | "sum" | "min" | "max" => flag("Several values become one."),
        "join" => text("Several values as one text, with this between them."),
        "match" => text("Regular expression: group 1, or all of it."),
        "type" => json!({
            "description": "Reads the value as this type.",
            "enum": ["text", "integer", "number", "boolean", "date", "dateTime", "phone"]
        }),
        "format" => text("How the date is written: strptime."),
        "country" => text("Country of numbers without a country code: RW."),
        "unit" => json!({
            "description": "UCUM units.", "type": "object", "additionalProperties": false, "required": ["from", "to"],
            "properties": { "from": { "type": "string" }, "to": { "type": "string" } }
        }),
        "times" => json!({ "description": "Multiplies.", "type": ["number", "string"] }),
        "plus" => described("duration", "Adds to a date, by the calendar."),
        "bands" => json!({
            "description": "Lower bounds, ascending.", "type": "object", "minProperties": 1,
            "additionalProperties": reference("scalar")
        }),
        "synonyms" => json!({
            "description": "Many spellings, one value; case does not matter.", "type": "object",
            "additionalProperties": {
                "anyOf": [reference("scalar"), { "type": "array", "items": reference("scalar") }]
            }
        }),
        "map" => json!({
            "description": "One value for another.", "type": "object", "additionalProperties": reference("constant")
        }),
        "otherwise" => described("value", "Instead of what `map` or `lookup` does not have."),
        "lookup" => json!({
            "description": "A CSV table beside the mapping.",
            "type": "object", "additionalProperties": false, "required": ["table", "key", "take"],
            "properties": {
                "table": { "type": "string" }, "key": { "type": "string" }, "take": { "type": "string" }
            }
        }),
        "write" => text("Date to text: strftime."),
        "default" => described("value", "Instead of what is absent."),
        _ => json!({ "description": "Absent: the evaluation is held.", "type": "boolean" }),
    }
}

fn condition() -> Value {
    let mut compared = value();
    for name in ["is", "above", "atLeast", "below", "atMost"] {
        compared.insert(name.to_owned(), reference("value"));
    }
    compared.insert(
        "in".to_owned(),
        json!({ "anyOf": [{ "type": "array", "items": reference("value") }, reference("value")] }),
    );
    compared.insert("matches".to_owned(), json!({ "type": "string" }));
    let list = json!({ "type": "array", "items": reference("condition") });
    json!({
        "description": "A path, a VALUE with comparisons, all, any or none of a list; a list means all.",
        "anyOf": [
            reference("path"),
            { "type": "boolean" },
            list,
            { "type": "object", "additionalProperties": false, "properties": compared },
            {
                "type": "object", "additionalProperties": false, "minProperties": 1,
                "properties": { "all": list, "any": list, "none": list }
            }
        ]
    })
}

/// Keys that every entry of `to` takes.
pub(super) fn generic(nature: Nature) -> Vec<(&'static str, Value)> {
    let mut keys = vec![
        ("id", json!({ "description": "Required when the kind repeats; permanent.", "type": "string" })),
        ("destination", described("value", "Required when several fit.")),
        ("when", described("condition", "Only if this holds.")),
        ("each", described("path", "Once for each item; at most 1,000.")),
        ("key", described("value", "Tells the items apart.")),
        (
            "needs",
            json!({ "description": "Ids of entries that must be settled first.", "type": "array", "items": { "type": "string" } }),
        ),
        (
            "withdraw",
            json!({ "description": "When the source no longer wants it.", "enum": ["delete", "keep"] }),
        ),
    ];
    if nature == Nature::Act {
        keys.push((
            "reason",
            json!({
                "description": "Why it happens: permanent, tells the acts of one source apart.",
                "type": "string", "minLength": 1, "maxLength": 100
            }),
        ));
        keys.push(("after", after()));
        keys.push(("consent", described("condition", "It happens only if this holds.")));
    }
    if nature == Nature::State {
        keys.push((
            "writeBack",
            json!({ "description": "The remote id becomes an identifier of the resource.", "type": "boolean" }),
        ));
    }
    keys
}

fn after() -> Value {
    let duration = |text: &str| described("duration", text);
    json!({
        "description": "When the act is due.", "type": "object", "additionalProperties": false,
        "properties": {
            "at": described("value", "A date or time; the event time of the source where it is not given."),
            "plus": duration("So much later, by the calendar; -P1D is the day before."),
            "every": duration("How far apart the occurrences of a series are."),
            "times": {
                "description": "How many occurrences a series has.",
                "type": "integer", "minimum": 1, "maximum": MAX_TIMES
            },
            "hours": {
                "description": "Only within these hours of the day; what is outside moves to the next opening.",
                "type": "string", "pattern": "^\\d\\d:\\d\\d-\\d\\d:\\d\\d$"
            }
        },
        "dependentRequired": { "every": ["times"], "times": ["every"] }
    })
}
