//! XML as a tree that can be changed: the resource that is patched, and the patch itself.
//!
//! Nodes stand in one list and know each other by number, so that nothing here recurses, however deep a document is.
//! **Never** holds more nodes than its bound. A narrative that nothing touched is written letter by letter as it came.

use super::super::{Visits, too_costly};
use crate::fhir::outcome::Outcome;

/// The nodes of one document, those that were removed included.
const MAX_NODES: usize = 500_000;

/// A node's number.
pub type Id = usize;

/// Above the outermost element.
pub const DOCUMENT: Id = 0;

/// A namespace, as far as it matters.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Space {
    None,
    Fhir,
    Xhtml,
    Other,
}

#[derive(Debug, Clone, PartialEq)]
pub enum Content {
    Document,
    Element(Element),
    Text(String),
    Comment(String),
}

#[derive(Debug, Clone, PartialEq)]
pub struct Element {
    pub space: Space,
    pub name: String,
    pub attributes: Vec<(String, String)>,
    /// All of its text, tags included, as long as nothing in it was changed.
    pub source: Option<String>,
}

#[derive(Debug, Clone, PartialEq)]
struct Node {
    parent: Id,
    content: Content,
    children: Vec<Id>,
}

#[derive(Debug, Clone, PartialEq)]
pub struct Tree {
    nodes: Vec<Node>,
}

impl Tree {
    pub fn new() -> Self {
        Self { nodes: vec![Node { parent: DOCUMENT, content: Content::Document, children: Vec::new() }] }
    }

    pub fn content(&self, id: Id) -> &Content {
        self.nodes.get(id).map_or(&Content::Document, |node| &node.content)
    }

    pub fn children(&self, id: Id) -> &[Id] {
        self.nodes.get(id).map_or(&[], |node| &node.children)
    }

    pub fn parent(&self, id: Id) -> Id {
        self.nodes.get(id).map_or(DOCUMENT, |node| node.parent)
    }

    pub fn element(&self, id: Id) -> Option<&Element> {
        match self.content(id) {
            Content::Element(element) => Some(element),
            _ => None,
        }
    }

    fn element_mut(&mut self, id: Id) -> Option<&mut Element> {
        match self.nodes.get_mut(id).map(|node| &mut node.content) {
            Some(Content::Element(element)) => Some(element),
            _ => None,
        }
    }

    pub fn attribute(&self, id: Id, name: &str) -> Option<&str> {
        let attributes = &self.element(id)?.attributes;
        attributes.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    /// Whether all text in a node, one after another, is this one: XPath's string-value.
    ///
    /// # Errors
    /// 422: the time is over.
    pub(in super::super) fn text_is(
        &self,
        id: Id,
        mut text: &str,
        visits: &mut Visits,
    ) -> Result<bool, Outcome> {
        let mut open = vec![id];
        while let Some(id) = open.pop() {
            visits.one()?;
            match self.content(id) {
                Content::Text(part) => match text.strip_prefix(part.as_str()) {
                    Some(rest) => text = rest,
                    None => return Ok(false),
                },
                Content::Comment(_) => {}
                Content::Document | Content::Element(_) => open.extend(self.children(id).iter().rev()),
            }
        }
        Ok(text.is_empty())
    }

    /// All text in a node.
    pub fn text_in(&self, id: Id) -> String {
        let (mut out, mut open) = (String::new(), vec![id]);
        while let Some(id) = open.pop() {
            match self.content(id) {
                Content::Text(text) => out.push_str(text),
                Content::Comment(_) => {}
                Content::Document | Content::Element(_) => open.extend(self.children(id).iter().rev()),
            }
        }
        out
    }

    /// Puts a node behind the last child.
    ///
    /// # Errors
    /// 422: there are too many nodes.
    pub fn append(&mut self, parent: Id, content: Content) -> Result<Id, Outcome> {
        let id = self.make(parent, content)?;
        if let Some(node) = self.nodes.get_mut(parent) {
            node.children.push(id);
        }
        Ok(id)
    }

    fn make(&mut self, parent: Id, content: Content) -> Result<Id, Outcome> {
        if self.nodes.len() >= MAX_NODES {
            return Err(too_costly("an XML Patch, or the resource that it changes, has too many elements"));
        }
        self.nodes.push(Node { parent, content, children: Vec::new() });
        Ok(self.nodes.len() - 1)
    }

    /// Copies nodes of another tree to place `index` among the children of `parent`.
    ///
    /// # Errors
    /// 422: there are too many nodes.
    pub fn graft(&mut self, parent: Id, index: usize, from: &Self, roots: &[Id]) -> Result<(), Outcome> {
        self.touch(parent);
        let mut copies = Vec::with_capacity(roots.len());
        for root in roots {
            let copy = self.make(parent, from.copied(*root))?;
            copies.push(copy);
            let mut open = vec![(*root, copy)];
            while let Some((original, copy)) = open.pop() {
                for child in from.children(original) {
                    open.push((*child, self.append(copy, from.copied(*child))?));
                }
            }
        }
        if let Some(node) = self.nodes.get_mut(parent) {
            let at = index.min(node.children.len());
            node.children.splice(at..at, copies);
        }
        self.join_texts(parent);
        Ok(())
    }

    /// Without its source, which may need namespaces from around it.
    fn copied(&self, id: Id) -> Content {
        match self.content(id) {
            Content::Element(Element { space, name, attributes, .. }) => Content::Element(Element {
                space: *space,
                name: name.clone(),
                attributes: attributes.clone(),
                source: None,
            }),
            other => other.clone(),
        }
    }

    /// Takes a node from its parent.
    pub fn remove(&mut self, id: Id) {
        let parent = self.parent(id);
        self.touch(parent);
        if let Some(node) = self.nodes.get_mut(parent) {
            node.children.retain(|child| *child != id);
        }
        self.join_texts(parent);
    }

    pub fn set_attribute(&mut self, id: Id, name: &str, value: &str) {
        self.touch(id);
        let Some(element) = self.element_mut(id) else { return };
        match element.attributes.iter_mut().find(|(known, _)| known == name) {
            Some((_, old)) => value.clone_into(old),
            None => element.attributes.push((name.to_owned(), value.to_owned())),
        }
    }

    pub fn remove_attribute(&mut self, id: Id, name: &str) {
        self.touch(id);
        if let Some(element) = self.element_mut(id) {
            element.attributes.retain(|(known, _)| known != name);
        }
    }

    /// Of an element that nothing has changed yet.
    pub fn keep_source(&mut self, id: Id, source: Option<String>) {
        if let Some(element) = self.element_mut(id) {
            element.source = source;
        }
    }

    /// Of a text, or of a comment.
    pub fn set_text(&mut self, id: Id, text: &str) {
        self.touch(id);
        let content = self.nodes.get_mut(id).map(|node| &mut node.content);
        if let Some(Content::Text(old) | Content::Comment(old)) = content {
            text.clone_into(old);
        }
    }

    /// What holds a changed node is no longer as it came.
    fn touch(&mut self, mut id: Id) {
        loop {
            if let Some(element) = self.element_mut(id) {
                element.source = None;
            }
            match id {
                DOCUMENT => return,
                _ => id = self.parent(id),
            }
        }
    }

    /// Texts that stand side by side are one.
    fn join_texts(&mut self, parent: Id) {
        let children = match self.nodes.get_mut(parent) {
            Some(node) => std::mem::take(&mut node.children),
            None => return,
        };
        let mut joined: Vec<Id> = Vec::with_capacity(children.len());
        for child in children {
            let text = match self.content(child) {
                Content::Text(text) => Some(text.clone()),
                _ => None,
            };
            let last = joined.last().and_then(|last| self.nodes.get_mut(*last)).map(|node| &mut node.content);
            match (last, text) {
                (Some(Content::Text(before)), Some(text)) => before.push_str(&text),
                _ => joined.push(child),
            }
        }
        if let Some(node) = self.nodes.get_mut(parent) {
            node.children = joined;
        }
    }

    /// The document as text.
    pub fn write(&self) -> String {
        let mut out = String::new();
        let mut open = vec![(DOCUMENT, 0usize)];
        while let Some((id, next)) = open.pop() {
            if next == 0 && !self.begin(id, &mut out) {
                continue;
            }
            match self.children(id).get(next) {
                Some(child) => open.extend([(id, next + 1), (*child, 0)]),
                None => {
                    if let Some(element) = self.element(id) {
                        out.extend(["</", &element.name, ">"]);
                    }
                }
            }
        }
        out
    }

    /// What stands before a node's children; tells whether its children and its end are still to be written.
    fn begin(&self, id: Id, out: &mut String) -> bool {
        let element = match self.content(id) {
            Content::Document => return true,
            Content::Text(text) => {
                escape_text(text, out);
                return false;
            }
            Content::Comment(text) => {
                out.extend(["<!--", text, "-->"]);
                return false;
            }
            Content::Element(element) => element,
        };
        if let Some(source) = &element.source {
            out.push_str(source);
            return false;
        }
        out.extend(["<", &element.name]);
        let outside = self.element(self.parent(id)).map_or(Space::None, |parent| parent.space);
        if element.space != outside {
            out.extend([" xmlns=\"", uri(element.space), "\""]);
        }
        for (name, value) in &element.attributes {
            out.extend([" ", name, "=\""]);
            escape_attribute(value, out);
            out.push('"');
        }
        let holds_something = !self.children(id).is_empty();
        out.push_str(if holds_something { ">" } else { "/>" });
        holds_something
    }
}

fn uri(space: Space) -> &'static str {
    match space {
        Space::Fhir => crate::fhir::xml::FHIR,
        Space::Xhtml => crate::fhir::xml::XHTML,
        Space::None => "",
        // What is neither is refused by whoever reads it.
        Space::Other => "urn:other",
    }
}

fn escape_text(text: &str, out: &mut String) {
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '\r' => out.push_str("&#13;"),
            c => out.push(c),
        }
    }
}

fn escape_attribute(text: &str, out: &mut String) {
    for c in text.chars() {
        match c {
            '"' => out.push_str("&quot;"),
            // Unescaped they would be read as spaces. <https://www.w3.org/TR/xml/#AVNormalize>
            '\t' => out.push_str("&#9;"),
            '\n' => out.push_str("&#10;"),
            c => escape_text(c.encode_utf8(&mut [0; 4]), out),
        }
    }
}
