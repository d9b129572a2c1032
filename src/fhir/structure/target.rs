//! What a Reference may name: the types of its element. <https://hl7.org/fhir/R4/references.html>
//!
//! Judges by what the reference says (its text, its `type`) and by what is contained; **never** looks up.

use serde_json::{Map, Value};

use super::{Step, Walk, primitive};
use crate::fhir::elements::table;
use crate::fhir::outcome::{Issue, IssueType};
use crate::fhir::reference::{Literal, parse};

impl<'a> Walk<'a> {
    /// `targets`: the types that are allowed here; empty: any.
    pub(super) fn target(&mut self, targets: &'static [&'static str], reference: &'a Map<String, Value>) {
        let text = reference.get("reference").and_then(Value::as_str);
        let (named, place) = match text.map(parse) {
            Some(Literal::Relative { kind, .. } | Literal::Absolute { kind, .. }) => {
                (Some(kind), "reference")
            }
            Some(Literal::Conditional { kind, .. }) => (Some(kind), "reference"),
            Some(Literal::Other(text)) if !primitive::is_absolute(text) => {
                return self.inside(Step::Name("reference"), |walk| {
                    walk.report(
                        Issue::error(IssueType::Value, "bad-reference", "this names no resource of R4")
                            .hint("written Patient/1, #contained, or an absolute url"),
                    );
                });
            }
            Some(Literal::Contained(id)) => match self.inside_of(id) {
                Ok(kind) => (kind, "reference"),
                Err(()) => return self.missing_contained(),
            },
            _ => (None, "type"),
        };
        let said = reference.get("type").and_then(Value::as_str).and_then(|kind| table().kind(kind));
        let Some(kind) = named.or(said) else { return };
        if !targets.is_empty() && !targets.contains(&kind) {
            let issue = Issue::error(
                IssueType::Value,
                "wrong-target",
                format!("a reference to {kind} is not allowed here"),
            );
            let issue = match targets.len() {
                ..=12 => issue.hint(format!("one of {}", targets.join(", "))),
                many => issue.hint(format!("one of {many} types")),
            };
            self.inside(Step::Name(place), |walk| walk.report(issue));
        }
    }

    /// The type of the contained resource of this id; `#` alone is the container.
    fn inside_of(&self, id: &str) -> Result<Option<&'static str>, ()> {
        let frame = match self.frames.last() {
            Some(frame) if frame.contained => self.frames.iter().rev().nth(1),
            frame => frame,
        };
        let Some(container) = frame.map(|frame| frame.resource) else { return Ok(None) };
        if id.is_empty() {
            return Ok(kind(container));
        }
        let contained = container.get("contained").and_then(Value::as_array);
        let mut all = contained.map_or(&[][..], Vec::as_slice).iter();
        let found = all.find(|inner| inner.get("id").and_then(Value::as_str) == Some(id)).ok_or(())?;
        Ok(kind(found))
    }

    /// `ref-1`
    fn missing_contained(&mut self) {
        let text = "a reference that begins with # names a contained resource";
        self.inside(Step::Name("reference"), |walk| walk.fault(IssueType::Invariant, "ref-1", text));
    }
}

fn kind(resource: &Value) -> Option<&'static str> {
    resource.get("resourceType").and_then(Value::as_str).and_then(|kind| table().kind(kind))
}
