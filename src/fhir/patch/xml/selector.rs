//! Selectors: the part of XPath by which RFC 5261 names what is changed.
//! <https://www.rfc-editor.org/rfc/rfc5261#section-4.1>
//!
//! Location paths of child steps, with positions and comparisons in brackets, an attribute at the end. Names without
//! a prefix are in the namespace that the patch declares as its default (section 4.2.2). A comparison may also go down
//! to an attribute (`f:identifier[f:system/@value='x']`), because that is where FHIR keeps its values. Everything else
//! of XPath is refused when the patch is read: nothing here loops, computes or calls.

use super::super::{Deadline, Visits, malformed};
use super::parse::Scope;
use super::tree::{Content, DOCUMENT, Id, Space, Tree};
use crate::fhir::outcome::Outcome;

/// The characters of a selector, and its steps.
const MAX_LENGTH: usize = 2_000;
const MAX_STEPS: usize = 64;

/// A selector that can be read.
#[derive(Debug, Clone, PartialEq)]
pub struct Selector {
    steps: Vec<Step>,
    attribute: Option<String>,
}

/// What a selector selects, as far as its text tells.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    Element,
    Attribute,
    Text,
    Comment,
}

#[derive(Debug, Clone, PartialEq)]
struct Step {
    test: Test,
    predicates: Vec<Predicate>,
}

#[derive(Debug, Clone, PartialEq)]
enum Test {
    Any,
    Name { space: Space, name: String },
    Text,
    Comment,
}

#[derive(Debug, Clone, PartialEq)]
enum Predicate {
    /// From 1.
    Position(usize),
    /// The text (or the attribute) of what is below by this path; of the node itself where there is none.
    Equals { path: Vec<Test>, attribute: Option<String>, value: String },
}

impl Selector {
    /// # Errors
    /// 400: not a selector of RFC 5261.
    pub fn read(text: &str, scope: &Scope) -> Result<Self, Outcome> {
        if text.chars().count() > MAX_LENGTH {
            return Err(malformed("its `sel` is longer than 2,000 characters"));
        }
        let mut reading = Reading { rest: text.trim(), scope };
        let selector = reading.selector()?;
        match reading.rest {
            "" => Ok(selector),
            _ => Err(unread()),
        }
    }

    pub fn kind(&self) -> Kind {
        match (&self.attribute, self.steps.last().map(|step| &step.test)) {
            (Some(_), _) => Kind::Attribute,
            (None, Some(Test::Text)) => Kind::Text,
            (None, Some(Test::Comment)) => Kind::Comment,
            (None, _) => Kind::Element,
        }
    }

    /// The attribute at its end.
    pub fn attribute(&self) -> Option<&str> {
        self.attribute.as_deref()
    }

    /// The name of the last element, where it has one.
    pub fn last_name(&self) -> Option<&str> {
        match &self.steps.last()?.test {
            Test::Name { name, .. } => Some(name),
            _ => None,
        }
    }

    /// Whether a name in it has no namespace: nothing of FHIR is found by it.
    pub fn lacks_namespace(&self) -> bool {
        self.steps.iter().any(|step| matches!(step.test, Test::Name { space: Space::None, .. }))
    }

    /// All that it selects; for an attribute, the elements that have it.
    ///
    /// # Errors
    /// 422: the time is over.
    pub fn select(&self, tree: &Tree, deadline: Deadline) -> Result<Vec<Id>, Outcome> {
        deadline.check()?;
        let (mut found, mut visits) = (vec![DOCUMENT], Visits::until(deadline));
        for step in &self.steps {
            let mut next = Vec::new();
            for id in found {
                visits.one()?;
                next.extend(step.below(tree, id, &mut visits)?);
            }
            found = next;
        }
        if let Some(name) = &self.attribute {
            found.retain(|id| tree.attribute(*id, name).is_some());
        }
        Ok(found)
    }
}

impl Step {
    fn below(&self, tree: &Tree, id: Id, visits: &mut Visits) -> Result<Vec<Id>, Outcome> {
        let mut found = self.test.below(tree, id, visits)?;
        for predicate in &self.predicates {
            match predicate {
                Predicate::Position(position) => {
                    found = found.into_iter().skip(position.saturating_sub(1)).take(1).collect();
                }
                Predicate::Equals { path, attribute, value } => {
                    let mut equal = Vec::new();
                    for id in found {
                        if equals(tree, id, (path, attribute.as_deref()), value, visits)? {
                            equal.push(id);
                        }
                    }
                    found = equal;
                }
            }
        }
        Ok(found)
    }
}

impl Test {
    fn below(&self, tree: &Tree, id: Id, visits: &mut Visits) -> Result<Vec<Id>, Outcome> {
        let mut found = Vec::new();
        for child in tree.children(id) {
            visits.one()?;
            if self.fits(tree, *child) {
                found.push(*child);
            }
        }
        Ok(found)
    }

    fn fits(&self, tree: &Tree, id: Id) -> bool {
        match (self, tree.content(id)) {
            (Self::Any, Content::Element(_))
            | (Self::Text, Content::Text(_))
            | (Self::Comment, Content::Comment(_)) => true,
            (Self::Name { space, name }, Content::Element(element)) => {
                element.space == *space && *space != Space::Other && element.name == *name
            }
            _ => false,
        }
    }
}

/// Whether anything below by the path has this text: XPath compares a set of nodes like that.
fn equals(
    tree: &Tree,
    id: Id,
    (path, attribute): (&[Test], Option<&str>),
    value: &str,
    visits: &mut Visits,
) -> Result<bool, Outcome> {
    visits.one()?;
    let mut found = vec![id];
    for test in path {
        let mut next = Vec::new();
        for id in found {
            next.extend(test.below(tree, id, visits)?);
        }
        found = next;
    }
    for id in found {
        visits.one()?;
        let is_equal = match attribute {
            Some(name) => tree.attribute(id, name) == Some(value),
            None => tree.text_is(id, value, visits)?,
        };
        if is_equal {
            return Ok(true);
        }
    }
    Ok(false)
}

fn unread() -> Outcome {
    malformed("its `sel` is no selector of RFC 5261").hint(
        "written /f:Patient/f:name[2]/f:given or f:Patient/f:identifier[f:system/@value='x']/f:value/@value, \
         with the prefix declared in the patch",
    )
}

struct Reading<'a> {
    rest: &'a str,
    scope: &'a Scope,
}

impl<'a> Reading<'a> {
    fn selector(&mut self) -> Result<Selector, Outcome> {
        self.eat("/");
        let (mut steps, mut attribute) = (Vec::new(), None);
        loop {
            if self.eat("@") {
                attribute = Some(self.attribute()?);
                break;
            }
            let step = self.step()?;
            let leaf = matches!(step.test, Test::Text | Test::Comment);
            steps.push(step);
            if leaf || !self.eat("/") {
                break;
            }
        }
        if steps.is_empty() || steps.len() > MAX_STEPS {
            return Err(unread());
        }
        Ok(Selector { steps, attribute })
    }

    fn eat(&mut self, text: &str) -> bool {
        match self.rest.strip_prefix(text) {
            Some(rest) => {
                self.rest = rest;
                true
            }
            None => false,
        }
    }

    fn blanks(&mut self) {
        self.rest = self.rest.trim_start();
    }

    fn step(&mut self) -> Result<Step, Outcome> {
        let (test, mut predicates) = (self.test()?, Vec::new());
        while self.eat("[") {
            if predicates.len() >= MAX_STEPS {
                return Err(unread());
            }
            predicates.push(self.predicate(&test)?);
            self.blanks();
            if !self.eat("]") {
                return Err(unread());
            }
        }
        Ok(Step { test, predicates })
    }

    fn test(&mut self) -> Result<Test, Outcome> {
        for (text, test) in [("*", Test::Any), ("text()", Test::Text), ("comment()", Test::Comment)] {
            if self.eat(text) {
                return Ok(test);
            }
        }
        let first = self.name()?;
        let (prefix, name) = match self.eat(":") {
            true => (Some(first), self.name()?),
            false => (None, first),
        };
        let undeclared = || malformed("its `sel` has a prefix that the patch does not declare");
        let space = self.scope.space(prefix).ok_or_else(undeclared)?;
        Ok(Test::Name { space, name: name.to_owned() })
    }

    /// <https://www.w3.org/TR/xml-names/#NT-NCName>, as far as names of FHIR and XHTML need it.
    fn name(&mut self) -> Result<&'a str, Outcome> {
        let fits = |c: char| c.is_alphanumeric() || matches!(c, '_' | '-' | '.');
        let end = self.rest.find(|c: char| !fits(c)).unwrap_or(self.rest.len());
        let (name, rest) = self.rest.split_at(end);
        if !name.starts_with(|c: char| c.is_alphabetic() || c == '_') {
            return Err(unread());
        }
        self.rest = rest;
        Ok(name)
    }

    fn attribute(&mut self) -> Result<String, Outcome> {
        attribute(&mut self.rest)
    }

    fn predicate(&mut self, of: &Test) -> Result<Predicate, Outcome> {
        self.blanks();
        if self.rest.starts_with(|c: char| c.is_ascii_digit()) {
            let end = self.rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(self.rest.len());
            let (digits, rest) = self.rest.split_at(end);
            self.rest = rest;
            return match digits.parse() {
                Ok(0) | Err(_) => Err(malformed("its `sel` has a position that is none: they count from 1")),
                Ok(position) => Ok(Predicate::Position(position)),
            };
        }
        if matches!(of, Test::Text | Test::Comment) {
            return Err(unread());
        }
        let (path, attribute) = self.operand()?;
        self.blanks();
        if !self.eat("=") {
            return Err(unread());
        }
        self.blanks();
        Ok(Predicate::Equals { path, attribute, value: self.literal()? })
    }

    /// What is compared: `.`, `@value`, `f:use`, `f:system/@value`.
    fn operand(&mut self) -> Result<(Vec<Test>, Option<String>), Outcome> {
        if self.eat(".") {
            return Ok((Vec::new(), None));
        }
        let mut path = Vec::new();
        loop {
            if self.eat("@") {
                return Ok((path, Some(self.attribute()?)));
            }
            path.push(self.test()?);
            if path.len() > MAX_STEPS {
                return Err(unread());
            }
            if !self.eat("/") {
                return Ok((path, None));
            }
        }
    }

    fn literal(&mut self) -> Result<String, Outcome> {
        let quote = self.rest.chars().next().filter(|c| matches!(c, '\'' | '"')).ok_or_else(unread)?;
        let inner = self.rest.get(1..).unwrap_or_default();
        let (value, rest) = inner.split_once(quote).ok_or_else(unread)?;
        self.rest = rest;
        Ok(value.to_owned())
    }
}

/// An attribute's name at the front of a text. FHIR's have no namespace; XHTML's may have XML's own.
///
/// # Errors
/// 400: it has another prefix, or none follows.
pub fn attribute(text: &mut &str) -> Result<String, Outcome> {
    let fits = |c: char| c.is_alphanumeric() || matches!(c, '_' | '-' | '.' | ':');
    let end = text.find(|c: char| !fits(c)).unwrap_or(text.len());
    let (name, rest) = text.split_at(end);
    let local = name.strip_prefix("xml:").unwrap_or(name);
    if local.contains(':') || !local.starts_with(|c: char| c.is_alphabetic() || c == '_') || local == "xmlns"
    {
        return Err(malformed("an attribute is named without a prefix, or with `xml:`"));
    }
    *text = rest;
    Ok(name.to_owned())
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::super::tree::Element;
    use super::*;

    fn element(tree: &mut Tree, parent: Id) -> Id {
        let (name, attributes) = ("a".to_owned(), vec![("value".to_owned(), "y".to_owned())]);
        let element = Element { space: Space::Fhir, name, attributes, source: None };
        tree.append(parent, Content::Element(element)).unwrap()
    }

    #[test]
    fn the_time_is_looked_at_within_a_comparison() {
        let mut tree = Tree::new();
        let root = element(&mut tree, DOCUMENT);
        for _ in 0..5_000 {
            element(&mut tree, root);
        }
        let path = [Test::Any];
        for attribute in [Some("value"), None] {
            let compare = |time| {
                let mut visits = Visits::until(Deadline::within(time));
                equals(&tree, root, (&path, attribute), "x", &mut visits)
            };
            assert_eq!(compare(Duration::from_secs(60)).ok(), Some(false));
            assert_eq!(compare(Duration::ZERO).unwrap_err().status, 422);
        }
        let mut visits = Visits::until(Deadline::within(Duration::ZERO));
        assert!(tree.text_is(root, "", &mut visits).is_err(), "all text of a large element");
    }
}
