//! Metadata as documents of the store: kinds, ids (`DESTINATION/UID`), search index, and the way back to a
//! snapshot.
//!
//! A document's body is DHIS2's own JSON of the object without `id`, which is the last part of the
//! document's id; organisation units get their `ancestors`, nearest last, so that a mapping can use them.

use serde_json::{Value, json};

use super::Metadata;
use crate::fhir::index::{IndexRow, IndexValue, ParameterKey};
use crate::store::write::{Origin, Precondition, Put};

/// Kind, list name in DHIS2's answers.
pub const KINDS: [(&str, &str); 8] = [
    ("dhis2.system", "system"),
    ("dhis2.categoryCombo", "categoryCombos"),
    ("dhis2.optionSet", "optionSets"),
    ("dhis2.dataSet", "dataSets"),
    ("dhis2.program", "programs"),
    ("dhis2.trackedEntityType", "trackedEntityTypes"),
    ("dhis2.relationshipType", "relationshipTypes"),
    ("dhis2.organisationUnit", "organisationUnits"),
];

/// The id of the one `dhis2.system` document.
pub const SYSTEM: &str = "system";

/// One object of an instance.
#[derive(Debug, Clone, PartialEq)]
pub struct Document {
    pub kind: &'static str,
    pub uid: String,
    /// Without `id`.
    pub body: Value,
}

impl Document {
    /// From an object of a list; `None` where it has no id.
    pub fn of(kind: &'static str, mut object: Value) -> Option<Self> {
        let uid = object.as_object_mut()?.remove("id")?.as_str()?.to_owned();
        if kind == "dhis2.organisationUnit" {
            let ancestors = ancestors(&object, &uid);
            object["uid"] = json!(uid);
            object["ancestors"] = ancestors;
        }
        Some(Self { kind, uid, body: object })
    }

    /// What is written for it.
    pub fn put(&self, destination: &str) -> Put {
        write(destination, self.kind, &self.uid, Some((self.body.to_string(), self.index(destination))))
    }

    /// Look-ups by uid, code, name and attribute find it: tokens whose system is the destination.
    fn index(&self, destination: &str) -> Vec<IndexRow> {
        let mut rows = vec![self.token(destination, "uid", &self.uid)];
        for name in ["code", "name"] {
            if let Some(text) = self.body.get(name).and_then(Value::as_str) {
                rows.push(self.token(destination, name, text));
            }
        }
        let attributes = self.body.get("attributeValues").and_then(Value::as_array);
        for value in attributes.into_iter().flatten() {
            if let (Some(attribute), Some(text)) =
                (value["attribute"]["id"].as_str(), value["value"].as_str())
            {
                rows.push(self.token(destination, attribute, text));
            }
        }
        rows
    }

    fn token(&self, destination: &str, parameter: &str, text: &str) -> IndexRow {
        IndexRow {
            parameter: ParameterKey::new(self.kind, parameter),
            value: IndexValue::Token {
                system: destination.to_owned(),
                code: text.chars().take(400).collect(),
                text: String::new(),
            },
        }
    }
}

/// The deletion of an object that is no longer there.
pub fn deletion(destination: &str, kind: &str, uid: &str) -> Put {
    write(destination, kind, uid, None)
}

fn write(destination: &str, kind: &str, uid: &str, content: Option<(String, Vec<IndexRow>)>) -> Put {
    let id = format!("{destination}/{uid}");
    let (body, index) = content.map_or((None, Vec::new()), |(body, index)| (Some(body), index));
    Put {
        kind: kind.to_owned(),
        subject: format!("{kind}/{id}"),
        id,
        body,
        index,
        precondition: Precondition::None,
        origin: Origin::Dhis2(destination.to_owned()),
    }
}

/// `/root/…/self` without itself.
fn ancestors(unit: &Value, uid: &str) -> Value {
    let path = unit.get("path").and_then(Value::as_str).unwrap_or_default();
    path.split('/').filter(|part| !part.is_empty() && *part != uid).collect()
}

/// A snapshot from documents.
pub fn snapshot<'a>(documents: impl Iterator<Item = (&'a str, &'a str, &'a Value)>) -> Metadata {
    let mut metadata = Metadata::default();
    for (kind, uid, body) in documents {
        metadata.take(kind, uid, body);
    }
    metadata
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_unit_is_found_by_uid_code_name_and_attribute() {
        let document = Document::of(
            "dhis2.organisationUnit",
            json!({
                "id": "YuQRtpLP10I", "code": "OU_539", "name": "Badjia",
                "path": "/ImspTQPwCqd/O6uvpzGd5pu/YuQRtpLP10I",
                "attributeValues": [{ "attribute": { "id": "MjAttribut1" }, "value": "rp" }]
            }),
        )
        .unwrap();
        assert_eq!(document.body["ancestors"], json!(["ImspTQPwCqd", "O6uvpzGd5pu"]));
        let put = document.put("national");
        assert_eq!(put.id, "national/YuQRtpLP10I");
        let parameters: Vec<ParameterKey> = put.index.iter().map(|row| row.parameter).collect();
        let wanted = ["uid", "code", "name", "MjAttribut1"];
        assert_eq!(parameters, wanted.map(|name| ParameterKey::new("dhis2.organisationUnit", name)));
        assert!(Document::of("dhis2.dataSet", json!({ "name": "x" })).is_none());
    }
}
