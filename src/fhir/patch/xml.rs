//! XML Patch (RFC 5261): a document whose operations name nodes of the resource's XML by selectors.
//! <https://www.rfc-editor.org/rfc/rfc5261>
//!
//! The resource is written as XML, changed as a tree, and read again, so what a patch makes is R4's XML or is refused.
//! A selector must select exactly one node. **Never** adds a namespace declaration or a processing instruction, which
//! no resource has. What `ws` asks for is done in narratives; between FHIR's elements there is no white space here.

mod parse;
mod selector;
mod tree;

use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::Value;

use super::{Deadline, Reader, conditional_in, malformed};
use crate::fhir::outcome::{IssueType, Outcome};
use crate::fhir::xml::{self, Layout};
use parse::{Document, Scope};
use selector::{Kind, Selector};
use tree::{Content, DOCUMENT, Id, Space, Tree};

/// An XML Patch.
#[derive(Debug, Clone, PartialEq)]
pub struct Operations {
    /// The document, which holds what is added.
    diff: Arc<Tree>,
    operations: Vec<Operation>,
}

#[derive(Debug, Clone, PartialEq)]
struct Operation {
    selector: Selector,
    act: Act,
}

#[derive(Debug, Clone, PartialEq)]
enum Act {
    Add {
        place: Place,
        nodes: Vec<Id>,
    },
    AddAttribute {
        name: String,
        value: String,
    },
    /// An element or a comment.
    ReplaceNode(Id),
    /// Of an attribute or a text.
    ReplaceText(String),
    Remove {
        blanks: Blanks,
    },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    Before,
    After,
    First,
    Last,
}

/// The white space that goes with what is removed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Blanks {
    Stay,
    Before,
    After,
    Both,
}

impl Operations {
    /// # Errors
    /// 400: not an XML Patch, with which operation is wrong. 422: too many operations, or too large.
    pub(super) fn read(text: &[u8], reader: &mut Reader) -> Result<Self, Outcome> {
        let text = std::str::from_utf8(text)
            .map_err(|_| Outcome::error(IssueType::Invalid, "not-utf8", "the body is not UTF-8"))?;
        let text = text.strip_prefix('\u{feff}').unwrap_or(text);
        // XML's line ends are one character. <https://www.w3.org/TR/xml/#sec-line-ends>
        let text = text.replace("\r\n", "\n").replace('\r', "\n");
        let Document { tree, scopes } = parse::parse(&text)?;
        let root = tree.children(DOCUMENT).iter().find(|id| tree.element(**id).is_some());
        let Some(root) = root.filter(|id| tree.element(**id).is_some_and(|root| root.name == "diff")) else {
            return Err(malformed("an XML Patch is a <diff> with operations"));
        };
        let (mut operations, none) = (Vec::new(), Scope::default());
        for id in tree.children(*root) {
            match tree.content(*id) {
                Content::Element(_) => {}
                Content::Text(text) if !text.trim().is_empty() => {
                    return Err(malformed("there is text between the operations of the patch"));
                }
                _ => continue,
            }
            reader.count(1)?;
            let read = operation(&tree, *id, scopes.get(id).map_or(&none, |scope| scope));
            operations.push(read.map_err(|outcome| numbered(operations.len(), outcome))?);
        }
        Ok(Self { diff: Arc::new(tree), operations })
    }

    /// # Errors
    /// 422: an operation does not fit, or the time is over, or what is made is not R4's XML.
    pub(super) fn apply(&self, current: &Value, deadline: Deadline) -> Result<Value, Outcome> {
        let unfit = |outcome: Outcome| outcome.status(422);
        let text = xml::write(current, Layout::Compact)
            .map_err(|outcome| unfit(outcome).hint("this resource can be changed by a JSON Patch"))?;
        deadline.check()?;
        let mut tree = parse::parse(&text).map_err(unfit)?.tree;
        for (index, operation) in self.operations.iter().enumerate() {
            deadline.check()?;
            self.step(operation, &mut tree, deadline).map_err(|outcome| numbered(index, outcome))?;
        }
        deadline.check()?;
        xml::read(tree.write().as_bytes()).map_err(|outcome| unfit(without_lines(outcome)))
    }

    fn step(&self, operation: &Operation, tree: &mut Tree, deadline: Deadline) -> Result<(), Outcome> {
        let found = operation.selector.select(tree, deadline)?;
        let id = match found.as_slice() {
            [id] => *id,
            [] => return Err(nothing(&operation.selector)),
            many => {
                return Err(misplaced(format!("its `sel` selects {} places: it must be one", many.len())));
            }
        };
        let outermost = tree.parent(id) == DOCUMENT;
        match &operation.act {
            Act::Add { place: Place::Before | Place::After, .. } | Act::Remove { .. }
                if outermost && operation.selector.attribute().is_none() =>
            {
                Err(misplaced("the resource is one element, which stays"))
            }
            Act::Add { place, nodes } => add(tree, id, *place, (&self.diff, nodes)),
            Act::AddAttribute { name, .. } if tree.attribute(id, name).is_some() => {
                Err(misplaced("the element has this attribute already"))
            }
            Act::AddAttribute { name, value } => {
                tree.set_attribute(id, name, value);
                Ok(())
            }
            Act::ReplaceNode(node) => {
                let (parent, index) = stands(tree, id);
                tree.graft(parent, index, &self.diff, &[*node])?;
                tree.remove(id);
                Ok(())
            }
            Act::ReplaceText(text) => {
                match operation.selector.attribute() {
                    Some(name) => tree.set_attribute(id, name, text),
                    None if text.is_empty() => tree.remove(id),
                    None => tree.set_text(id, text),
                }
                Ok(())
            }
            Act::Remove { blanks } => {
                remove(tree, id, &operation.selector, *blanks);
                Ok(())
            }
        }
    }

    pub(super) fn conditional(&self) -> BTreeMap<String, String> {
        let mut out = BTreeMap::new();
        for (index, Operation { selector, act }) in self.operations.iter().enumerate() {
            let mut see = |value: &str| {
                let value = Value::String(value.to_owned());
                conditional_in("reference", &value, &format!("patch[{index}]"), &mut out);
            };
            let of_reference = selector.last_name() == Some("reference");
            match act {
                Act::Add { nodes, .. } => references(&self.diff, nodes, &mut see),
                Act::ReplaceNode(node) => references(&self.diff, &[*node], &mut see),
                Act::AddAttribute { value: text, .. } | Act::ReplaceText(text) if of_reference => see(text),
                Act::AddAttribute { .. } | Act::ReplaceText(_) | Act::Remove { .. } => {}
            }
        }
        out
    }
}

/// The values of all `<reference>` in these nodes.
fn references(tree: &Tree, nodes: &[Id], see: &mut impl FnMut(&str)) {
    let mut open = nodes.to_vec();
    while let Some(id) = open.pop() {
        if tree.element(id).is_some_and(|element| element.name == "reference") {
            tree.attribute(id, "value").into_iter().for_each(&mut *see);
        }
        open.extend(tree.children(id));
    }
}

fn operation(diff: &Tree, id: Id, scope: &Scope) -> Result<Operation, Outcome> {
    let name = diff.element(id).map_or("", |element| element.name.as_str());
    if !matches!(name, "add" | "replace" | "remove") {
        return Err(malformed("it is none of RFC 5261").hint("add, replace or remove"));
    }
    let selector = diff.attribute(id, "sel").ok_or_else(|| malformed("it has no `sel`"))?;
    let selector = Selector::read(selector, scope)?;
    let act = match name {
        "add" => added(diff, id, &selector),
        "replace" => replaced(diff, id, &selector),
        _ => removed(diff, id),
    };
    Ok(Operation { selector, act: act? })
}

fn added(diff: &Tree, id: Id, selector: &Selector) -> Result<Act, Outcome> {
    if selector.kind() == Kind::Attribute {
        return Err(malformed("nothing is added to an attribute: its `sel` selects the element"));
    }
    let place = match diff.attribute(id, "pos") {
        None => Place::Last,
        Some("before") => Place::Before,
        Some("after") => Place::After,
        Some("prepend") => Place::First,
        Some(_) => return Err(malformed("its `pos` is none of RFC 5261").hint("before, after or prepend")),
    };
    if let Some(kind) = diff.attribute(id, "type") {
        let Some(mut name) = kind.strip_prefix('@') else {
            return Err(malformed("only attributes are added by `type`").hint("type=\"@value\""));
        };
        let name_of = selector::attribute(&mut name)?;
        if !name.is_empty() || selector.kind() != Kind::Element || diff.attribute(id, "pos").is_some() {
            return Err(malformed("an attribute is added to an element, without `pos`"));
        }
        return Ok(Act::AddAttribute { name: name_of, value: text_of(diff, id)? });
    }
    if selector.kind() != Kind::Element && matches!(place, Place::First | Place::Last) {
        return Err(malformed("something is added before or after a text, not in it").hint("say it by `pos`"));
    }
    let nodes = diff.children(id).to_vec();
    fitting(diff, &nodes)?;
    Ok(Act::Add { place, nodes })
}

fn replaced(diff: &Tree, id: Id, selector: &Selector) -> Result<Act, Outcome> {
    if matches!(selector.kind(), Kind::Attribute | Kind::Text) {
        return text_of(diff, id).map(Act::ReplaceText);
    }
    let is_blank = |id: &Id| matches!(diff.content(*id), Content::Text(text) if text.trim().is_empty());
    let nodes: Vec<Id> = diff.children(id).iter().copied().filter(|id| !is_blank(id)).collect();
    let fits = |id: Id| match diff.content(id) {
        Content::Element(_) => selector.kind() == Kind::Element,
        Content::Comment(_) => selector.kind() == Kind::Comment,
        Content::Document | Content::Text(_) => false,
    };
    match nodes.as_slice() {
        [node] if fits(*node) => {
            fitting(diff, &nodes)?;
            Ok(Act::ReplaceNode(*node))
        }
        _ => Err(malformed("it holds one node of the kind that it replaces")),
    }
}

fn removed(diff: &Tree, id: Id) -> Result<Act, Outcome> {
    if !text_of(diff, id)?.trim().is_empty() {
        return Err(malformed("a `remove` is empty"));
    }
    let blanks = match diff.attribute(id, "ws") {
        None => Blanks::Stay,
        Some("before") => Blanks::Before,
        Some("after") => Blanks::After,
        Some("both") => Blanks::Both,
        Some(_) => return Err(malformed("its `ws` is none of RFC 5261").hint("before, after or both")),
    };
    Ok(Act::Remove { blanks })
}

/// The text of an operation that holds no elements.
fn text_of(diff: &Tree, id: Id) -> Result<String, Outcome> {
    if diff.children(id).iter().any(|id| diff.element(*id).is_some()) {
        return Err(malformed("it holds text, not elements"));
    }
    Ok(diff.text_in(id))
}

/// What is added is FHIR's or XHTML's: anything else is in no resource.
fn fitting(diff: &Tree, nodes: &[Id]) -> Result<(), Outcome> {
    let mut open = nodes.to_vec();
    while let Some(id) = open.pop() {
        if diff.element(id).is_some_and(|element| !matches!(element.space, Space::Fhir | Space::Xhtml)) {
            let text = "it holds an element that is not in FHIR's namespace";
            return Err(Outcome::error(IssueType::Structure, "wrong-namespace", text)
                .status(422)
                .hint("xmlns=\"http://hl7.org/fhir\" on that element, or on the patch"));
        }
        open.extend(diff.children(id));
    }
    Ok(())
}

/// A node's parent, and its place among the children.
fn stands(tree: &Tree, id: Id) -> (Id, usize) {
    let parent = tree.parent(id);
    (parent, tree.children(parent).iter().position(|child| *child == id).unwrap_or_default())
}

fn add(tree: &mut Tree, id: Id, place: Place, (diff, nodes): (&Tree, &[Id])) -> Result<(), Outcome> {
    let (parent, index) = match place {
        Place::First => (id, 0),
        Place::Last => (id, tree.children(id).len()),
        Place::Before => stands(tree, id),
        Place::After => {
            let (parent, index) = stands(tree, id);
            (parent, index + 1)
        }
    };
    tree.graft(parent, index, diff, nodes)
}

fn remove(tree: &mut Tree, id: Id, selector: &Selector, blanks: Blanks) {
    if let Some(name) = selector.attribute() {
        tree.remove_attribute(id, name);
        return;
    }
    let (parent, index) = stands(tree, id);
    let blank = |index: Option<usize>| {
        let id = index.and_then(|index| tree.children(parent).get(index)).copied()?;
        matches!(tree.content(id), Content::Text(text) if text.trim().is_empty()).then_some(id)
    };
    let before = blank(index.checked_sub(1)).filter(|_| matches!(blanks, Blanks::Before | Blanks::Both));
    let after = blank(index.checked_add(1)).filter(|_| matches!(blanks, Blanks::After | Blanks::Both));
    // Texts are joined only when the last of them goes.
    for id in before.into_iter().chain(after).chain([id]) {
        tree.remove(id);
    }
}

fn misplaced(text: impl Into<String>) -> Outcome {
    Outcome::error(IssueType::Processing, "patch-path", text)
}

fn nothing(selector: &Selector) -> Outcome {
    let outcome = misplaced("its `sel` selects nothing in the resource");
    if selector.lacks_namespace() {
        return outcome.hint("declare xmlns=\"http://hl7.org/fhir\" on the patch, or a prefix for it");
    }
    outcome.hint("a selector begins with the resource (/f:Patient/f:name) and counts from 1")
}

/// Says which operation of the patch it is, from 0.
fn numbered(index: usize, mut outcome: Outcome) -> Outcome {
    for issue in &mut outcome.issues {
        issue.text = format!("operation {index} of the patch: {}", issue.text);
    }
    outcome
}

/// Without lines of a text that the client never saw.
fn without_lines(mut outcome: Outcome) -> Outcome {
    for issue in &mut outcome.issues {
        if let Some(at) = issue.text.rfind(" (line ") {
            issue.text.truncate(at);
        }
    }
    outcome
}

#[cfg(test)]
mod tests;
