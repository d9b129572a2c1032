//! The elements of XML text, one after another, each with its namespace and attributes.
//!
//! Namespaces are resolved here rather than by the parser, so that their number can be bounded.

use std::borrow::Cow;

use quick_xml::Reader;
use quick_xml::escape::unescape;
use quick_xml::events::attributes::Attributes;
use quick_xml::events::{BytesDecl, Event};
use quick_xml::name::QName;

use super::super::narrative::Fault;
use super::super::{FHIR, SCHEMA_INSTANCE, XHTML, is_character};

/// Attributes of one element, and namespaces in scope, at most.
const MAX_ATTRIBUTES: usize = 32;
const MAX_NAMESPACES: usize = 128;

pub enum Token<'a> {
    Start(Start<'a>),
    End,
    Eof,
}

/// The start of an element.
pub struct Start<'a> {
    /// Without its prefix.
    pub name: &'a str,
    pub prefix: Option<&'a str>,
    pub space: Space,
    /// Whether it declares its own namespace.
    pub declares: bool,
    attributes: Vec<(&'a str, String)>,
    at: usize,
}

impl Start<'_> {
    /// Those that are neither namespaces nor schema locations.
    pub fn attributes(&self) -> impl Iterator<Item = (&str, &str)> {
        self.attributes.iter().map(|(name, value)| (*name, value.as_str()))
    }
}

/// A namespace, as far as it matters.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Space {
    Fhir,
    Xhtml,
    SchemaInstance,
    Other,
}

/// `xmlns:prefix="…"`, or `xmlns="…"` where the prefix is `None`.
struct Binding<'a> {
    depth: usize,
    prefix: Option<&'a str>,
    space: Space,
}

pub struct Tokens<'a> {
    reader: Reader<&'a [u8]>,
    source: &'a str,
    bindings: Vec<Binding<'a>>,
    depth: usize,
    /// Where the last token began.
    at: usize,
}

fn fault(code: &'static str, text: &'static str) -> Fault {
    Fault { code, text }
}

impl<'a> Tokens<'a> {
    pub fn of(source: &'a str) -> Self {
        let mut reader = Reader::from_str(source);
        reader.config_mut().expand_empty_elements = true;
        Self { reader, source, bindings: Vec::new(), depth: 0, at: 0 }
    }

    /// Line and column of the last token, from 1.
    pub fn position(&self) -> (usize, usize) {
        let before = self.source.get(..self.at).unwrap_or(self.source);
        let line = before.matches('\n').count() + 1;
        let column = before.rsplit('\n').next().map_or(0, |last| last.chars().count()) + 1;
        (line, column)
    }

    fn offset(&self) -> usize {
        usize::try_from(self.reader.buffer_position()).unwrap_or(usize::MAX)
    }

    fn broken(&mut self) -> Fault {
        self.at = usize::try_from(self.reader.error_position()).unwrap_or(usize::MAX);
        fault("not-xml", "the body is not XML")
    }

    pub fn next(&mut self) -> Result<Token<'a>, Fault> {
        loop {
            self.at = self.offset();
            let event = match self.reader.read_event() {
                Ok(event) => event,
                Err(_) => return Err(self.broken()),
            };
            match event {
                Event::Start(tag) => {
                    let length = tag.len();
                    let name = tag.name().0.len();
                    return self.start(name, length).map(Token::Start);
                }
                Event::End(_) => {
                    self.leave();
                    return Ok(Token::End);
                }
                Event::Eof if self.depth == 0 => return Ok(Token::Eof),
                Event::Eof => return Err(fault("not-xml", "the body ends too early")),
                Event::Text(text) if text.iter().all(u8::is_ascii_whitespace) => {}
                Event::Text(_) | Event::CData(_) | Event::GeneralRef(_) | Event::Empty(_) => {
                    return Err(fault("text-between", "there is text between elements"));
                }
                Event::DocType(_) => {
                    return Err(fault("doctype", "a document type or entity is not read here"));
                }
                Event::Decl(declaration) => is_utf8(&declaration)?,
                Event::Comment(_) | Event::PI(_) => {}
            }
        }
    }

    fn start(&mut self, name: usize, length: usize) -> Result<Start<'a>, Fault> {
        self.depth += 1;
        let begin = self.at + 1;
        let source: &'a str = self.source;
        let full = source.get(begin..begin + name).unwrap_or_default();
        let content = source.get(begin..begin + length).unwrap_or_default();
        let mut attributes = Vec::new();
        for (key, value) in self::attributes(content, name)? {
            match key.strip_prefix("xmlns") {
                Some("") => self.bind(None, &value)?,
                Some(prefix) if prefix.starts_with(':') => self.bind(prefix.get(1..), &value)?,
                _ => attributes.push((key, value)),
            }
        }
        attributes.retain(|(key, _)| match key.split_once(':') {
            Some((prefix, _)) => self.space(Some(prefix)) != Space::SchemaInstance,
            None => true,
        });
        let (prefix, name) = match full.split_once(':') {
            Some((prefix, name)) => (Some(prefix), name),
            None => (None, full),
        };
        let space = self.space(prefix);
        let declares = self
            .bindings
            .iter()
            .rev()
            .take_while(|binding| binding.depth == self.depth)
            .any(|binding| binding.prefix == prefix);
        Ok(Start { name, prefix, space, declares, attributes, at: self.at })
    }

    fn bind(&mut self, prefix: Option<&'a str>, uri: &str) -> Result<(), Fault> {
        if self.bindings.len() >= MAX_NAMESPACES {
            return Err(fault("too-many-namespaces", "too many namespaces are declared"));
        }
        let space = match uri {
            FHIR => Space::Fhir,
            XHTML => Space::Xhtml,
            SCHEMA_INSTANCE => Space::SchemaInstance,
            _ => Space::Other,
        };
        self.bindings.push(Binding { depth: self.depth, prefix, space });
        Ok(())
    }

    fn space(&self, prefix: Option<&str>) -> Space {
        let bound = self.bindings.iter().rev().find(|binding| binding.prefix == prefix);
        bound.map_or(Space::Other, |binding| binding.space)
    }

    fn leave(&mut self) {
        self.bindings.retain(|binding| binding.depth < self.depth);
        self.depth -= usize::from(self.depth > 0);
    }

    /// Goes past the end of an element and gives all of its text, tags included.
    pub fn skip(&mut self, start: &Start<'a>) -> Result<&'a str, Fault> {
        let name_end = start.prefix.map_or(0, |prefix| prefix.len() + 1) + start.name.len();
        let name = self.source.get(start.at + 1..start.at + 1 + name_end).unwrap_or_default();
        if self.reader.read_to_end(QName(name.as_bytes())).is_err() {
            return Err(self.broken());
        }
        self.leave();
        Ok(self.source.get(start.at..self.offset()).unwrap_or_default())
    }
}

fn is_utf8(declaration: &BytesDecl<'_>) -> Result<(), Fault> {
    match declaration.encoding() {
        None => Ok(()),
        Some(Ok(name)) if name.eq_ignore_ascii_case(b"utf-8") || name.eq_ignore_ascii_case(b"us-ascii") => {
            Ok(())
        }
        Some(_) => Err(fault("not-utf8", "the body says that it is not UTF-8")),
    }
}

/// The attributes in the content of a tag, unescaped; its name has `name` bytes.
pub fn attributes(content: &str, name: usize) -> Result<Vec<(&str, String)>, Fault> {
    let mut out: Vec<(&str, String)> = Vec::new();
    let mut attributes = Attributes::new(content, name);
    for attribute in attributes.with_checks(false) {
        let broken = || fault("not-xml", "an attribute is not well-formed");
        let attribute = attribute.map_err(|_| broken())?;
        let key = std::str::from_utf8(attribute.key.0).map_err(|_| broken())?;
        let raw = match attribute.value {
            Cow::Borrowed(raw) => raw,
            Cow::Owned(_) => return Err(broken()),
        };
        let value = value(std::str::from_utf8(raw).map_err(|_| broken())?)?;
        if out.len() >= MAX_ATTRIBUTES || out.iter().any(|(known, _)| *known == key) {
            return Err(fault("not-xml", "an element has an attribute twice, or too many of them"));
        }
        out.push((key, value));
    }
    Ok(out)
}

/// An attribute's value. <https://www.w3.org/TR/xml/#AVNormalize>
fn value(raw: &str) -> Result<String, Fault> {
    if raw.contains('<') {
        return Err(fault("not-xml", "an attribute holds `<`: write &lt;"));
    }
    let normal = raw.replace(['\n', '\t'], " ");
    let value = unescape(&normal)
        .map_err(|_| fault("unknown-entity", "an entity is not known: XML's five and numbers are read"))?;
    if value.chars().all(is_character) {
        return Ok(value.into_owned());
    }
    Err(fault("not-xml", "XML has no such character"))
}
