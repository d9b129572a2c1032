//! What an operation writes: a typed value, a resource, or the parts of an element that has no type of its own.

use serde_json::{Map, Value};

use super::{tree, unfit};
use crate::fhir::elements::{Node, table};
use crate::fhir::outcome::Outcome;

/// A part's content.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Content {
    /// `valueHumanName`: `suffix` is `HumanName`; `sibling` what `_value…` holds of a primitive.
    Typed {
        suffix: String,
        value: Option<Value>,
        sibling: Option<Value>,
    },
    Resource(Value),
    /// Of an element such as `Patient.contact`, by name.
    Parts(Vec<(String, Content)>),
}

/// As it stands in JSON.
pub(super) struct Json {
    /// `None`: a primitive that has extensions only.
    pub value: Option<Value>,
    pub sibling: Option<Value>,
}

impl Content {
    /// Of a part; its structure was checked with that of the `Parameters`.
    pub(super) fn read(part: &Value) -> Option<Self> {
        if let Some(parts) = part.get("part").and_then(Value::as_array) {
            let named =
                parts.iter().map(|inner| Some((inner.get("name")?.as_str()?.to_owned(), Self::read(inner)?)));
            return named.collect::<Option<_>>().map(Self::Parts);
        }
        if let Some(resource) = part.get("resource") {
            return Some(Self::Resource(resource.clone()));
        }
        let object = part.as_object()?;
        let suffix =
            object.keys().find_map(|key| key.trim_start_matches('_').strip_prefix("value"))?.to_owned();
        let value = object.get(&format!("value{suffix}")).cloned();
        let sibling = object.get(&format!("_value{suffix}")).cloned();
        Some(Self::Typed { suffix, value, sibling })
    }

    /// Every JSON value in it with the name under which it is written.
    pub(super) fn visit(&self, name: &str, see: &mut impl FnMut(&str, &Value)) {
        match self {
            Self::Typed { value: Some(value), .. } | Self::Resource(value) => see(name, value),
            Self::Typed { .. } => {}
            Self::Parts(parts) => {
                // One call a level: parts are as deep as the structure of `Parameters` may be.
                for (name, part) in parts {
                    part.visit_dyn(name, see);
                }
            }
        }
    }

    fn visit_dyn(&self, name: &str, mut see: &mut dyn FnMut(&str, &Value)) {
        self.visit(name, &mut see);
    }

    /// As it stands in the element of this R4 type.
    ///
    /// # Errors
    /// 422: the element has no such part.
    pub(super) fn json(&self, kind: Option<&str>) -> Result<Json, Outcome> {
        match self {
            Self::Typed { value, sibling, .. } => Ok(Json { value: value.clone(), sibling: sibling.clone() }),
            Self::Resource(resource) => Ok(Json { value: Some(resource.clone()), sibling: None }),
            Self::Parts(parts) => {
                let node = kind.and_then(|kind| table().node(kind));
                let node = node.ok_or_else(|| unfit("this element is not made of parts"))?;
                let mut object = Map::new();
                for (name, part) in parts {
                    part.put_into(node, name, &mut object)?;
                }
                Ok(Json { value: Some(Value::Object(object)), sibling: None })
            }
        }
    }

    fn put_into(&self, node: &Node, name: &str, object: &mut Map<String, Value>) -> Result<(), Outcome> {
        let key = self.key(node, name)?;
        let json = self.json(node.keys.get(key.as_str()).map(|key| key.kind))?;
        if tree::is_list(node, &key) {
            let at = object.get(&key).and_then(Value::as_array).map_or(0, Vec::len);
            tree::list_insert(object, &key, at, json);
        } else if object.contains_key(&key) {
            return Err(unfit("an element that does not repeat is there twice"));
        } else {
            tree::set(object, &key, json);
        }
        Ok(())
    }

    /// The JSON key of this content as the element `name`: `deceased` and a boolean is `deceasedBoolean`.
    ///
    /// # Errors
    /// 422: there is no such element, or not of this type.
    pub(super) fn key(&self, node: &Node, name: &str) -> Result<String, Outcome> {
        if node.keys.contains_key(name) {
            return Ok(name.to_owned());
        }
        let choice = node.elements.iter().any(|element| element.choice && element.name == name);
        let key = match self {
            Self::Typed { suffix, .. } if choice => format!("{name}{suffix}"),
            _ => return Err(unfit("the element has no part of this name")),
        };
        if node.keys.contains_key(key.as_str()) {
            return Ok(key);
        }
        Err(unfit("the element cannot be of this type"))
    }
}
