//! FHIR's XML: resources as XML text, and back. <https://hl7.org/fhir/R4/xml.html>
//!
//! Everything inside Mjumbe is JSON; XML exists at one border of the server only. Both directions follow the
//! element table, so that every R4 type is read and written by the same two functions: which elements
//! repeat, which are primitives, and in which order they stand, comes from there.
//! **Never** resolves an entity, a DTD or anything outside the text, and never judges a resource beyond what
//! its form in XML demands: that is [`crate::fhir::structure`]'s work.

mod entities;
mod narrative;
mod read;
mod write;

pub(super) use narrative::Fault;
pub use narrative::{attribute_text, narrative_fault};
pub use read::read;
pub(super) use read::tokens::attributes;
pub use write::write;

/// How text is laid out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Layout {
    Compact,
    Pretty,
}

/// The namespace of all elements but a narrative's.
pub(super) const FHIR: &str = "http://hl7.org/fhir";
/// The namespace of a narrative's `div` and what is in it.
pub(super) const XHTML: &str = "http://www.w3.org/1999/xhtml";
/// `xsi:schemaLocation`, which is allowed and means nothing here.
const SCHEMA_INSTANCE: &str = "http://www.w3.org/2001/XMLSchema-instance";

/// Where a walk is, as a FHIRPath.
#[derive(Debug, Default)]
struct Place<'a> {
    steps: Vec<Step<'a>>,
}

#[derive(Debug, Clone, Copy)]
enum Step<'a> {
    Name(&'a str),
    Index(usize),
}

impl<'a> Place<'a> {
    fn push(&mut self, name: &'a str) {
        self.steps.push(Step::Name(name));
    }

    fn push_index(&mut self, index: usize) {
        self.steps.push(Step::Index(index));
    }

    fn pop(&mut self) {
        self.steps.pop();
    }

    fn depth(&self) -> usize {
        self.steps.len()
    }

    /// `Patient.name[0].family`; empty before the first element.
    fn path(&self) -> String {
        let mut out = String::new();
        for step in &self.steps {
            match step {
                Step::Name(name) if out.is_empty() => out.push_str(name),
                Step::Name(name) => {
                    out.push('.');
                    out.push_str(name);
                }
                Step::Index(index) => out.push_str(&format!("[{index}]")),
            }
        }
        out
    }
}

/// What XML 1.0 can hold at all. <https://www.w3.org/TR/xml/#charsets>
pub(super) fn is_character(c: char) -> bool {
    matches!(c, '\t' | '\n' | '\r' | '\u{20}'..='\u{d7ff}' | '\u{e000}'..='\u{fffd}' | '\u{10000}'..)
}

#[cfg(test)]
mod tests;
