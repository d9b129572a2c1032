//! From XML text to a resource as JSON.

pub(super) mod tokens;

use serde_json::{Map, Number, Value};

use super::Place;
use super::narrative;
use crate::fhir::elements::{Content, Key, Node, Primitive, table};
use crate::fhir::outcome::{IssueType, Outcome, did_you_mean};
use crate::fhir::structure::{MAX_DEPTH, MAX_ELEMENTS};
use tokens::{Space, Start, Token, Tokens};

/// Reads one resource of XML text into the JSON that says the same.
///
/// The order of elements is not asked for: what stands in another order than R4's is read all the same.
///
/// # Errors
/// 400, with line and column, and with the FHIRPath as far as it is known.
pub fn read(text: &[u8]) -> Result<Value, Outcome> {
    let Ok(text) = std::str::from_utf8(text) else {
        return Err(Outcome::error(IssueType::Invalid, "not-utf8", "the body is not UTF-8"));
    };
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    // XML's line ends are one character. <https://www.w3.org/TR/xml/#sec-line-ends>
    let text = match text.contains('\r') {
        true => std::borrow::Cow::Owned(text.replace("\r\n", "\n").replace('\r', "\n")),
        false => std::borrow::Cow::Borrowed(text),
    };
    let mut reading = Reading { tokens: Tokens::of(&text), place: Place::default(), elements: 0 };
    let resource = match reading.next()? {
        Token::Start(start) => reading.resource(&start)?,
        Token::End | Token::Eof => return Err(reading.refused("not-xml", "the body holds no element")),
    };
    match reading.next()? {
        Token::Eof => Ok(resource),
        _ => Err(reading.refused("not-xml", "the body goes on after its resource")),
    }
}

struct Reading<'a> {
    tokens: Tokens<'a>,
    place: Place<'a>,
    elements: usize,
}

/// Whose children are read: an element's id is an attribute, a resource's is an element.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Holder {
    Resource,
    Element,
}

/// A primitive's value, and its id and extensions.
type Pair = (Option<Value>, Option<Value>);

impl<'a> Reading<'a> {
    fn next(&mut self) -> Result<Token<'a>, Outcome> {
        self.tokens.next().map_err(|fault| self.refused(fault.code, fault.text))
    }

    fn refused(&self, code: &'static str, text: &str) -> Outcome {
        let kind = if code == "too-deep" || code == "too-many-elements" {
            IssueType::TooCostly
        } else {
            IssueType::Structure
        };
        let (line, column) = self.tokens.position();
        let outcome = Outcome::error(kind, code, format!("{text} (line {line}, column {column})"));
        match self.place.path() {
            path if path.is_empty() => outcome,
            path => outcome.at(path),
        }
    }

    fn resource(&mut self, start: &Start<'a>) -> Result<Value, Outcome> {
        let Some(node) = table().kind(start.name).and_then(|kind| table().node(kind)) else {
            let outcome = self.refused("unknown-type", "R4 has no resource type of this name");
            return Err(match did_you_mean(start.name, table().kinds().iter().copied()) {
                Some(close) => outcome.hint(format!("did you mean {close}?")),
                None => outcome,
            });
        };
        self.fhir(start)?;
        if self.place.depth() == 0 {
            self.place.push(node.name);
        }
        self.attributes(start, &[])?;
        let mut object = Map::new();
        object.insert("resourceType".to_owned(), node.name.into());
        self.children(node, Holder::Resource, &mut object)?;
        Ok(Value::Object(object))
    }

    /// The elements up to the end of their parent.
    fn children(
        &mut self,
        node: &'static Node,
        holder: Holder,
        object: &mut Map<String, Value>,
    ) -> Result<(), Outcome> {
        loop {
            match self.next()? {
                Token::Start(start) => {
                    self.place.push(start.name);
                    self.within_limits()?;
                    self.member(node, holder, &start, object)?;
                    self.place.pop();
                }
                Token::End => break,
                Token::Eof => return Err(self.refused("not-xml", "the body ends too early")),
            }
        }
        // Of a repeated primitive, an array without any value (or any id and extension) is left out.
        object.retain(|_, value| !value.as_array().is_some_and(|items| items.iter().all(Value::is_null)));
        Ok(())
    }

    fn within_limits(&mut self) -> Result<(), Outcome> {
        self.elements += 1;
        if self.place.depth() > 2 * MAX_DEPTH {
            return Err(self.refused("too-deep", "elements are nested too deep"));
        }
        if self.elements > MAX_ELEMENTS {
            return Err(self.refused("too-many-elements", "the resource has too many elements"));
        }
        Ok(())
    }

    fn member(
        &mut self,
        node: &'static Node,
        holder: Holder,
        start: &Start<'a>,
        object: &mut Map<String, Value>,
    ) -> Result<(), Outcome> {
        // In XML, an element's id and an extension's url are attributes.
        let attribute = (holder == Holder::Element && start.name == "id")
            || (node.name == "Extension" && start.name == "url");
        let Some(key) = node.keys.get(start.name).filter(|_| !attribute) else {
            return Err(self.unknown(node, start.name));
        };
        let many = node.elements.get(key.element).is_some_and(|element| element.many);
        let sibling = format!("_{}", start.name);
        let taken = object.contains_key(start.name) || object.contains_key(&sibling);
        if taken && !many {
            return Err(self.refused("not-repeatable", "this element does not repeat"));
        }
        if many {
            let count = object.get(start.name).and_then(Value::as_array).map_or(0, Vec::len);
            self.place.push_index(count);
        }
        let (value, extra) = self.content(key, start)?;
        if many {
            self.place.pop();
            push(object, start.name, value);
            if matches!(key.content, Content::Primitive(_)) {
                push(object, &sibling, extra);
            }
        } else {
            object.extend(value.map(|value| (start.name.to_owned(), value)));
            object.extend(extra.map(|extra| (sibling, extra)));
        }
        Ok(())
    }

    fn unknown(&self, node: &'static Node, name: &str) -> Outcome {
        let text = format!("{} has no such element in R4's XML", node.name);
        let outcome = self.refused("unknown-element", &text);
        match did_you_mean(name, node.keys.keys().copied()) {
            Some(close) if close == name => outcome.hint(format!("{name} is an attribute here")),
            Some(close) => outcome.hint(format!("did you mean {close}?")),
            None => outcome,
        }
    }

    fn content(&mut self, key: &'static Key, start: &Start<'a>) -> Result<Pair, Outcome> {
        if let Content::Primitive(Primitive::Xhtml) = key.content {
            return Ok((Some(self.narrative(start)?.into()), None));
        }
        self.fhir(start)?;
        match key.content {
            Content::Primitive(kind) => self.primitive(kind, start),
            Content::Complex(index) => {
                let Some(node) = table().at(index) else {
                    return Err(self.refused("unknown-element", "R4 has no such element"));
                };
                let names: &[&str] = if node.name == "Extension" { &["id", "url"] } else { &["id"] };
                let mut object = self.attributes(start, names)?;
                self.children(node, Holder::Element, &mut object)?;
                Ok((Some(Value::Object(object)), None))
            }
            Content::Resource => {
                self.attributes(start, &[])?;
                Ok((Some(self.inner()?), None))
            }
        }
    }

    /// The one resource inside `contained`, `resource` or `outcome`.
    fn inner(&mut self) -> Result<Value, Outcome> {
        let Token::Start(start) = self.next()? else {
            return Err(self.refused("no-resource", "here one resource is expected"));
        };
        let resource = self.resource(&start)?;
        match self.next()? {
            Token::End => Ok(resource),
            _ => Err(self.refused("several-resources", "here one resource is expected, not several")),
        }
    }

    fn primitive(&mut self, kind: Primitive, start: &Start<'a>) -> Result<Pair, Outcome> {
        let mut extra = self.attributes(start, &["id", "value"])?;
        let value = match extra.shift_remove("value") {
            Some(Value::String(text)) => Some(self.value(kind, text)?),
            _ => None,
        };
        let Some(node) = table().node("Element") else {
            return Err(self.refused("unknown-element", "R4 has no such element"));
        };
        self.children(node, Holder::Element, &mut extra)?;
        if value.is_none() && extra.is_empty() {
            return Err(self.refused("no-value", "an element has a value or children"));
        }
        Ok((value, (!extra.is_empty()).then_some(Value::Object(extra))))
    }

    fn value(&self, kind: Primitive, text: String) -> Result<Value, Outcome> {
        let word = text.trim();
        match kind {
            Primitive::Boolean => match word {
                "true" => Ok(true.into()),
                "false" => Ok(false.into()),
                _ => Err(self.refused("bad-value", "a boolean is true or false")),
            },
            Primitive::Decimal | Primitive::Integer | Primitive::PositiveInt | Primitive::UnsignedInt => {
                let number = serde_json::from_str::<Number>(word);
                number.map(Value::Number).map_err(|_| self.refused("bad-value", "this is not a number"))
            }
            _ => Ok(Value::String(text)),
        }
    }

    fn narrative(&mut self, start: &Start<'a>) -> Result<String, Outcome> {
        if start.space != Space::Xhtml {
            let outcome = self.refused("wrong-namespace", "a narrative is XHTML");
            return Err(outcome.hint("<div xmlns=\"http://www.w3.org/1999/xhtml\">"));
        }
        let text = self.tokens.skip(start).map_err(|fault| self.refused(fault.code, fault.text))?;
        let as_it_is = start.prefix.is_none() && start.declares;
        let text =
            if as_it_is { narrative::checked(text) } else { narrative::unprefixed(text, start.prefix) };
        text.map_err(|fault| self.refused(fault.code, fault.text))
    }

    fn fhir(&self, start: &Start<'a>) -> Result<(), Outcome> {
        if start.space == Space::Fhir {
            return Ok(());
        }
        let outcome = self.refused("wrong-namespace", "this element is not in FHIR's namespace");
        Err(outcome.hint("xmlns=\"http://hl7.org/fhir\" on the outermost element"))
    }

    /// The attributes of these names; others are refused.
    fn attributes(&self, start: &Start<'a>, names: &[&str]) -> Result<Map<String, Value>, Outcome> {
        let mut out = Map::new();
        for (name, value) in start.attributes() {
            if !names.contains(&name) {
                return Err(self.refused("unknown-attribute", "this element has no such attribute in R4"));
            }
            out.insert(name.to_owned(), value.into());
        }
        Ok(out)
    }
}

fn push(object: &mut Map<String, Value>, name: &str, value: Option<Value>) {
    let items = object.entry(name).or_insert_with(|| Value::Array(Vec::new()));
    if let Value::Array(items) = items {
        items.push(value.unwrap_or(Value::Null));
    }
}
