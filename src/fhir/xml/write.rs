//! From a resource as JSON to XML text.

use serde_json::{Map, Value};

use super::narrative;
use super::{FHIR, Layout, Place, is_character};
use crate::fhir::elements::{Content, Key, Node, Primitive, table};
use crate::fhir::outcome::{IssueType, Outcome};

/// Writes a resource whose structure was checked as XML, its elements in R4's order.
///
/// # Errors
/// 406 with the FHIRPath of what XML cannot hold (a control character, a narrative that is not well-formed),
/// or of what R4 does not know.
pub fn write(resource: &Value, layout: Layout) -> Result<String, Outcome> {
    let head = "<?xml version=\"1.0\" encoding=\"UTF-8\"?>";
    let mut writing = Writing { out: head.to_owned(), layout, depth: 0, place: Place::default() };
    if layout == Layout::Compact {
        writing.out.push('\n');
    }
    writing.resource(resource)?;
    if layout == Layout::Pretty {
        writing.out.push('\n');
    }
    Ok(writing.out)
}

struct Writing<'a> {
    out: String,
    layout: Layout,
    /// Of elements, for the indentation.
    depth: usize,
    place: Place<'a>,
}

impl<'a> Writing<'a> {
    fn refused(&self, text: &str) -> Outcome {
        let outcome =
            Outcome::error(IssueType::NotSupported, "no-xml", format!("no XML can be given: {text}"));
        let outcome = outcome.status(406).hint("ask for application/fhir+json");
        match self.place.path() {
            path if path.is_empty() => outcome,
            path => outcome.at(path),
        }
    }

    fn line(&mut self) {
        if self.layout == Layout::Pretty {
            self.out.push('\n');
            self.out.extend(std::iter::repeat_n("  ", self.depth));
        }
    }

    fn resource(&mut self, resource: &'a Value) -> Result<(), Outcome> {
        let object = resource.as_object();
        let node = object
            .and_then(|object| object.get("resourceType")?.as_str())
            .and_then(|kind| table().kind(kind))
            .and_then(|kind| table().node(kind));
        let (Some(object), Some(node)) = (object, node) else {
            return Err(self.refused("this is no resource"));
        };
        let outermost = self.place.depth() == 0;
        self.line();
        self.out.push('<');
        self.out.push_str(node.name);
        if outermost {
            self.place.push(node.name);
            self.out.push_str(" xmlns=\"");
            self.out.push_str(FHIR);
            self.out.push('"');
        }
        self.body(node.name, |writing| writing.children(node, object, &["resourceType"]))
    }

    /// What stands between `<name …` and the end of that element.
    fn body(
        &mut self,
        name: &str,
        children: impl FnOnce(&mut Self) -> Result<(), Outcome>,
    ) -> Result<(), Outcome> {
        self.out.push('>');
        let start = self.out.len();
        self.depth += 1;
        children(self)?;
        self.depth -= 1;
        if self.out.len() == start {
            self.out.pop();
            self.out.push_str("/>");
            return Ok(());
        }
        self.line();
        self.out.push_str("</");
        self.out.push_str(name);
        self.out.push('>');
        Ok(())
    }

    /// The members of an object in R4's order, without those that are attributes.
    fn children(
        &mut self,
        node: &'static Node,
        object: &'a Map<String, Value>,
        attributes: &[&str],
    ) -> Result<(), Outcome> {
        let mut members: Vec<(&'static Key, &'a str)> = Vec::with_capacity(object.len());
        for name in object.keys().filter(|name| !attributes.contains(&name.as_str())) {
            let base = name.strip_prefix('_').unwrap_or(name);
            let Some(key) = node.keys.get(base) else {
                self.place.push(name);
                return Err(self.refused("R4 has no such element"));
            };
            if base.len() == name.len() || !object.contains_key(base) {
                members.push((key, base));
            }
        }
        members.sort_by_key(|(key, _)| key.element);
        for (key, name) in members {
            self.place.push(name);
            self.member(key, name, object)?;
            self.place.pop();
        }
        Ok(())
    }

    fn member(
        &mut self,
        key: &'static Key,
        name: &'a str,
        object: &'a Map<String, Value>,
    ) -> Result<(), Outcome> {
        let (value, extra) = (object.get(name), object.get(&format!("_{name}")));
        let arrays = (value.and_then(Value::as_array), extra.and_then(Value::as_array));
        if let (None, None) = arrays {
            return self.single(key, name, (value, extra));
        }
        let (values, extras) = arrays;
        let count = values.map_or(0, Vec::len).max(extras.map_or(0, Vec::len));
        for index in 0..count {
            self.place.push_index(index);
            let at = |items: Option<&'a Vec<Value>>| {
                items.and_then(|items| items.get(index)).filter(|item| !item.is_null())
            };
            self.single(key, name, (at(values), at(extras)))?;
            self.place.pop();
        }
        Ok(())
    }

    fn single(
        &mut self,
        key: &'static Key,
        name: &'a str,
        (value, extra): (Option<&'a Value>, Option<&'a Value>),
    ) -> Result<(), Outcome> {
        self.line();
        match (key.content, value) {
            (Content::Primitive(Primitive::Xhtml), Some(Value::String(text))) => {
                let text = narrative::to_xml(text).map_err(|fault| self.refused(fault.text))?;
                self.out.push_str(&text);
                Ok(())
            }
            (Content::Primitive(Primitive::Xhtml), _) => Err(self.refused("a narrative is text")),
            (Content::Primitive(_), _) => self.primitive(name, value, extra),
            (Content::Resource, Some(resource)) => {
                self.open(name);
                self.body(name, |writing| writing.resource(resource))
            }
            (Content::Complex(index), Some(Value::Object(object))) => {
                let Some(node) = table().at(index) else {
                    return Err(self.refused("R4 has no such element"));
                };
                let attributes: &[&'a str] = if node.name == "Extension" { &["id", "url"] } else { &["id"] };
                self.open(name);
                for attribute in attributes {
                    self.attribute(attribute, object.get(*attribute))?;
                }
                self.body(name, |writing| writing.children(node, object, attributes))
            }
            _ => Err(self.refused("this element is an object")),
        }
    }

    fn primitive(
        &mut self,
        name: &str,
        value: Option<&'a Value>,
        extra: Option<&'a Value>,
    ) -> Result<(), Outcome> {
        let extra = match extra {
            None => None,
            Some(Value::Object(extra)) => Some(extra),
            Some(_) => return Err(self.refused("_field is an object")),
        };
        self.open(name);
        self.attribute("id", extra.and_then(|extra| extra.get("id")))?;
        self.attribute("value", value)?;
        let (Some(extra), Some(node)) = (extra, table().node("Element")) else {
            self.out.push_str("/>");
            return Ok(());
        };
        self.body(name, |writing| writing.children(node, extra, &["id"]))
    }

    fn open(&mut self, name: &str) {
        self.out.push('<');
        self.out.push_str(name);
    }

    fn attribute(&mut self, name: &str, value: Option<&Value>) -> Result<(), Outcome> {
        let text = match value {
            None => return Ok(()),
            Some(Value::String(text)) => std::borrow::Cow::Borrowed(text.as_str()),
            Some(value @ (Value::Number(_) | Value::Bool(_))) => value.to_string().into(),
            Some(_) => return Err(self.refused("a primitive is no object")),
        };
        self.out.push(' ');
        self.out.push_str(name);
        self.out.push_str("=\"");
        for c in text.chars() {
            match c {
                '&' => self.out.push_str("&amp;"),
                '<' => self.out.push_str("&lt;"),
                '>' => self.out.push_str("&gt;"),
                '"' => self.out.push_str("&quot;"),
                // Unescaped they would be read as spaces. <https://www.w3.org/TR/xml/#AVNormalize>
                '\t' => self.out.push_str("&#9;"),
                '\n' => self.out.push_str("&#10;"),
                '\r' => self.out.push_str("&#13;"),
                c if is_character(c) => self.out.push(c),
                _ => return Err(self.refused("XML has no such character")),
            }
        }
        self.out.push('"');
        Ok(())
    }
}
