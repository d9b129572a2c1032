//! `_field`: id and extensions of a primitive. <https://hl7.org/fhir/R4/json.html#primitive>

use serde_json::{Map, Value};

use super::{Step, Walk};
use crate::fhir::elements::{Content, Node, table};
use crate::fhir::outcome::IssueType;

impl<'a> Walk<'a> {
    /// `_field`: id and extensions of a primitive.
    pub(super) fn sibling(
        &mut self,
        node: &'static Node,
        base: &'a str,
        name: &'a str,
        object: &'a Map<String, Value>,
    ) {
        let (Some(key), Some(value)) = (node.keys.get(base), object.get(name)) else { return };
        let many = node.elements.get(key.element).is_some_and(|element| element.many);
        if !matches!(key.content, Content::Primitive(_)) {
            return self.unknown(node, name);
        }
        self.path.push(Step::Name(base));
        match value {
            Value::Array(items) if many => {
                let values = object.get(base).and_then(Value::as_array);
                if values.is_some_and(|values| values.len() != items.len()) {
                    self.fault(
                        IssueType::Structure,
                        "unequal-arrays",
                        "a field and its _field have equally many items",
                    );
                }
                for (index, item) in items.iter().enumerate() {
                    let valued =
                        values.and_then(|values| values.get(index)).is_some_and(|value| !value.is_null());
                    if !(item.is_null() && valued) {
                        self.inside(Step::Index(index), |walk| walk.sibling_item(item, valued));
                    }
                }
            }
            Value::Object(_) if !many => self.sibling_item(value, object.contains_key(base)),
            _ => self.fault(
                IssueType::Structure,
                "bad-sibling",
                "_field is an object, or an array where the field is one",
            ),
        }
        self.path.pop();
    }

    fn sibling_item(&mut self, value: &'a Value, valued: bool) {
        let (Some(object), Some(node)) = (value.as_object(), table().node("Element")) else {
            return self.fault(
                IssueType::Structure,
                "bad-sibling",
                "_field holds objects with id and extension",
            );
        };
        for (name, value) in object {
            match node.keys.get(name.as_str()) {
                Some(key) => {
                    self.inside(Step::Name(name), |walk| walk.member(node, key, name, value, object))
                }
                None => self.unknown(node, name),
            }
        }
        if object.is_empty() || (!valued && !object.contains_key("extension")) {
            self.fault(IssueType::Invariant, "ele-1", "an element has a value or children");
        }
    }
}
