//! From XML text to a tree, with the namespaces that hold at each operation of a patch.
//!
//! **Never** resolves an entity, a DTD or anything outside the text.

use std::collections::HashMap;
use std::sync::Arc;

use quick_xml::Reader;
use quick_xml::events::{BytesRef, Event};

use super::tree::{Content, DOCUMENT, Element, Id, Space, Tree};
use crate::fhir::outcome::{IssueType, Outcome};
use crate::fhir::xml::{FHIR, Fault, XHTML, attributes, is_character};

/// Namespaces in scope, at most.
const MAX_NAMESPACES: usize = 64;

/// A document, and the namespaces of the children of its outermost element.
pub struct Document {
    pub tree: Tree,
    pub scopes: HashMap<Id, Arc<Scope>>,
}

/// The namespaces that are declared somewhere.
#[derive(Debug, Clone, Default)]
pub struct Scope(Vec<(Option<String>, Space)>);

impl Scope {
    /// That of names with this prefix, or with none; `None` where the prefix is not declared.
    pub fn space(&self, prefix: Option<&str>) -> Option<Space> {
        let bound = self.0.iter().rev().find(|(known, _)| known.as_deref() == prefix);
        match (bound, prefix) {
            (Some((_, space)), _) => Some(*space),
            (None, None) => Some(Space::None),
            (None, Some(_)) => None,
        }
    }
}

/// Reads a document.
///
/// # Errors
/// 400 with line and column: not XML; 422: too many elements.
pub fn parse(text: &str) -> Result<Document, Outcome> {
    let mut reader = Reader::from_str(text);
    reader.config_mut().check_comments = true;
    let document = Document { tree: Tree::new(), scopes: HashMap::new() };
    let mut parsing = Parsing { text, document, open: Vec::new(), pending: String::new(), at: 0 };
    if !text.chars().all(is_character) {
        return Err(parsing.refused(BROKEN));
    }
    loop {
        parsing.at = offset(&reader);
        let Ok(event) = reader.read_event() else { return Err(parsing.refused(BROKEN)) };
        if !parsing.take(event, offset(&reader))? {
            return Ok(parsing.document);
        }
    }
}

fn offset(reader: &Reader<&[u8]>) -> usize {
    usize::try_from(reader.buffer_position()).unwrap_or(usize::MAX)
}

const BROKEN: Fault = Fault { code: "not-xml", text: "this is not XML" };
const ENTITY: Fault =
    Fault { code: "unknown-entity", text: "an entity is not known: XML's five and numbers are read" };
const DOCTYPE: Fault = Fault { code: "doctype", text: "a document type or entity is not read here" };

/// An element whose end was not read yet.
struct Open {
    id: Id,
    scope: Arc<Scope>,
    /// Where the text of a narrative begins that can stand alone.
    source: Option<usize>,
}

struct Parsing<'a> {
    text: &'a str,
    document: Document,
    open: Vec<Open>,
    /// Text that is not yet a node.
    pending: String,
    /// Where the last event began.
    at: usize,
}

impl Parsing<'_> {
    fn refused(&self, fault: Fault) -> Outcome {
        let before = self.text.get(..self.at).unwrap_or(self.text);
        let line = before.matches('\n').count() + 1;
        let column = before.rsplit('\n').next().map_or(0, |last| last.chars().count()) + 1;
        let text = format!("{} (line {line}, column {column})", fault.text);
        Outcome::error(IssueType::Structure, fault.code, text)
    }

    /// Tells whether the document goes on.
    fn take(&mut self, event: Event<'_>, end: usize) -> Result<bool, Outcome> {
        match event {
            Event::Start(tag) => self.start(tag.name().0.len(), tag.len())?,
            Event::Empty(tag) => {
                self.start(tag.name().0.len(), tag.len())?;
                self.end(end)?;
            }
            Event::End(_) => self.end(end)?,
            Event::Text(text) => {
                let text = text.decode().map_err(|_| self.refused(BROKEN))?;
                self.pending.push_str(&text);
            }
            Event::CData(text) => {
                let text = text.decode().map_err(|_| self.refused(BROKEN))?;
                self.pending.push_str(&text);
            }
            Event::GeneralRef(entity) => {
                let character = character(&entity).ok_or_else(|| self.refused(ENTITY))?;
                self.pending.push(character);
            }
            Event::Comment(text) => {
                let text = text.decode().map_err(|_| self.refused(BROKEN))?.into_owned();
                self.settle_text()?;
                self.document.tree.append(self.holder(), Content::Comment(text))?;
            }
            Event::PI(_) | Event::Decl(_) => {}
            Event::DocType(_) => return Err(self.refused(DOCTYPE)),
            Event::Eof => return self.finish(),
        }
        Ok(true)
    }

    /// One element, and nothing open.
    fn finish(&mut self) -> Result<bool, Outcome> {
        self.settle_text()?;
        let tree = &self.document.tree;
        let count = tree.children(DOCUMENT).iter().filter(|id| tree.element(**id).is_some()).count();
        if count != 1 || !self.open.is_empty() {
            return Err(self.refused(BROKEN));
        }
        Ok(false)
    }

    fn holder(&self) -> Id {
        self.open.last().map_or(DOCUMENT, |open| open.id)
    }

    fn settle_text(&mut self) -> Result<(), Outcome> {
        if self.pending.is_empty() {
            return Ok(());
        }
        let text = std::mem::take(&mut self.pending);
        if !self.open.is_empty() {
            self.document.tree.append(self.holder(), Content::Text(text))?;
        } else if !text.trim().is_empty() {
            return Err(self.refused(BROKEN));
        }
        Ok(())
    }

    fn start(&mut self, name: usize, length: usize) -> Result<(), Outcome> {
        self.settle_text()?;
        let begin = self.at + 1;
        let full = self.text.get(begin..begin + name).unwrap_or_default();
        let content = self.text.get(begin..begin + length).unwrap_or_default();
        let all = attributes(content, name).map_err(|fault| self.refused(fault))?;
        let (declared, plain): (Vec<_>, Vec<_>) =
            all.into_iter().partition(|(key, _)| *key == "xmlns" || key.starts_with("xmlns:"));
        let declares_default = declared.iter().any(|(key, _)| *key == "xmlns");
        let scope = self.scope(&declared)?;
        let (prefix, name) = match full.split_once(':') {
            Some((prefix, name)) => (Some(prefix), name),
            None => (None, full),
        };
        let unbound = Fault { code: "not-xml", text: "a prefix is not declared" };
        let space = scope.space(prefix).ok_or_else(|| self.refused(unbound))?;
        let attributes = plain.into_iter().map(|(key, value)| (key.to_owned(), value)).collect();
        let element = Element { space, name: name.to_owned(), attributes, source: None };
        let id = self.document.tree.append(self.holder(), Content::Element(element))?;
        if self.open.len() == 1 {
            self.document.scopes.insert(id, Arc::clone(&scope));
        }
        let inside =
            self.document.tree.element(self.holder()).is_some_and(|outer| outer.space == Space::Xhtml);
        let alone = space == Space::Xhtml && prefix.is_none() && declares_default && !inside;
        self.open.push(Open { id, scope, source: alone.then_some(self.at) });
        Ok(())
    }

    fn scope(&self, declared: &[(&str, String)]) -> Result<Arc<Scope>, Outcome> {
        let outside = self.open.last().map(|open| Arc::clone(&open.scope)).unwrap_or_default();
        if declared.is_empty() {
            return Ok(outside);
        }
        let mut scope = (*outside).clone();
        for (key, uri) in declared {
            let space = match uri.as_str() {
                "" => Space::None,
                FHIR => Space::Fhir,
                XHTML => Space::Xhtml,
                _ => Space::Other,
            };
            scope.0.push((key.strip_prefix("xmlns:").map(str::to_owned), space));
        }
        if scope.0.len() > MAX_NAMESPACES {
            let fault = Fault { code: "too-many-namespaces", text: "too many namespaces are declared" };
            return Err(self.refused(fault));
        }
        Ok(Arc::new(scope))
    }

    fn end(&mut self, end: usize) -> Result<(), Outcome> {
        self.settle_text()?;
        let Some(Open { id, source, .. }) = self.open.pop() else { return Err(self.refused(BROKEN)) };
        let source = source.and_then(|begin| self.text.get(begin..end)).map(str::to_owned);
        self.document.tree.keep_source(id, source);
        Ok(())
    }
}

fn character(entity: &BytesRef<'_>) -> Option<char> {
    match entity.resolve_char_ref() {
        Ok(Some(c)) => is_character(c).then_some(c),
        Ok(None) => match &**entity {
            b"amp" => Some('&'),
            b"lt" => Some('<'),
            b"gt" => Some('>'),
            b"quot" => Some('"'),
            b"apos" => Some('\''),
            _ => None,
        },
        Err(_) => None,
    }
}
