//! FHIRPath Patch: a `Parameters` whose operations name elements by FHIRPath.
//! <https://hl7.org/fhir/R4/fhirpatch.html>
//!
//! Paths are compiled when the patch is read; what they select is asked of the resource as the operations before
//! left it. A path must select elements, not compute values.

mod content;
mod tree;

use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::Value;

use super::{Budget, Deadline, Reader, conditional_in, malformed, too_costly};
use crate::fhir::outcome::{IssueType, Outcome};
use crate::fhir::path::{self, PathError, Program, Subject};
use content::Content;

/// A FHIRPath Patch may have this many operations.
const MAX_OPERATIONS: usize = 1_000;

/// A FHIRPath Patch.
#[derive(Debug, Clone, PartialEq)]
pub struct Operations(Vec<Operation>);

/// A compiled path.
#[derive(Clone)]
pub(super) struct Selection(Arc<dyn Program>);

impl std::fmt::Debug for Selection {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Selection")
    }
}

impl PartialEq for Selection {
    fn eq(&self, other: &Self) -> bool {
        self.0.text() == other.0.text()
    }
}

/// A list by its parent, because it may not be there yet.
#[derive(Debug, Clone, PartialEq)]
struct List {
    parent: Selection,
    name: String,
}

#[derive(Debug, Clone, PartialEq)]
enum Operation {
    Add { at: Selection, name: String, content: Content },
    Insert { list: List, index: usize, content: Content },
    Delete { at: Selection },
    Replace { at: Selection, content: Content },
    Move { list: List, from: usize, to: usize },
}

impl Operations {
    /// Reads the patch from the `Parameters`.
    ///
    /// # Errors
    /// 400: not a FHIRPath Patch, with the place in it; 422: too many operations.
    pub(super) fn read(parameters: &Value, reader: &mut Reader) -> Result<Self, Outcome> {
        let items = parameters.get("parameter").and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
        if items.len() > MAX_OPERATIONS {
            return Err(too_costly("a FHIRPath Patch has at most 1,000 operations"));
        }
        reader.count(items.len())?;
        let read = |(index, item)| operation(item, reader).map_err(|outcome| outcome.at(place(index)));
        items.iter().enumerate().map(read).collect::<Result<_, _>>().map(Self)
    }

    /// # Errors
    /// 422: an operation does not fit, or the time is over.
    pub(super) fn apply(&self, current: &Value, deadline: Deadline) -> Result<Value, Outcome> {
        let mut next = current.clone();
        let mut budget = Budget::default();
        for (index, operation) in self.0.iter().enumerate() {
            let step = deadline.check().and_then(|()| step(operation, &mut next, &mut budget));
            step.map_err(|outcome| outcome.at(place(index)))?;
        }
        Ok(next)
    }

    pub(super) fn conditional(&self) -> BTreeMap<String, String> {
        let mut out = BTreeMap::new();
        for (index, operation) in self.0.iter().enumerate() {
            let (name, content) = match operation {
                Operation::Add { name, content, .. } => (name.as_str(), content),
                Operation::Insert { list, content, .. } => (list.name.as_str(), content),
                Operation::Replace { at, content } => {
                    (at.0.text().rsplit('.').next().unwrap_or_default(), content)
                }
                Operation::Delete { .. } | Operation::Move { .. } => continue,
            };
            content.visit(name, &mut |key, value| conditional_in(key, value, &place(index), &mut out));
        }
        out
    }
}

/// Where an operation is in the patch.
fn place(index: usize) -> String {
    format!("Parameters.parameter[{index}]")
}

fn operation(item: &Value, reader: &mut Reader) -> Result<Operation, Outcome> {
    if item.get("name").and_then(Value::as_str) != Some("operation") {
        return Err(malformed("the parameters of a FHIRPath Patch are named `operation`"));
    }
    let parts = item.get("part").and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
    let part = |name: &str| parts.iter().find(|part| part.get("name").and_then(Value::as_str) == Some(name));
    let text = |name: &str| {
        let value = part(name).and_then(|part| part.get("valueString").or_else(|| part.get("valueCode")));
        let text = value.and_then(Value::as_str);
        text.ok_or_else(|| malformed(format!("the operation has no part `{name}` that is text")))
    };
    let number = |name: &str| {
        let keys = ["valueInteger", "valueUnsignedInt", "valuePositiveInt"];
        let value = part(name).and_then(|part| keys.iter().find_map(|key| part.get(*key)));
        let number = value.and_then(Value::as_u64).and_then(|number| usize::try_from(number).ok());
        number.ok_or_else(|| malformed(format!("the operation has no part `{name}` that is a number from 0")))
    };
    let content = || {
        let value = part("value").ok_or_else(|| malformed("the operation has no part `value`"))?;
        Content::read(value).ok_or_else(|| malformed("the part `value` holds nothing"))
    };
    let path = text("path")?;
    Ok(match text("type")? {
        "add" => Operation::Add {
            at: selection(path, reader)?,
            name: text("name")?.to_owned(),
            content: content()?,
        },
        "insert" => {
            Operation::Insert { list: list(path, reader)?, index: number("index")?, content: content()? }
        }
        "delete" => Operation::Delete { at: selection(path, reader)? },
        "replace" => Operation::Replace { at: selection(path, reader)?, content: content()? },
        "move" => {
            Operation::Move { list: list(path, reader)?, from: number("source")?, to: number("destination")? }
        }
        _ => return Err(malformed("the operation is none of add, insert, delete, replace and move")),
    })
}

fn selection(path: &str, reader: &mut Reader) -> Result<Selection, Outcome> {
    if let Some(compiled) = reader.paths.get(path) {
        return Ok(compiled.clone());
    }
    let compiled = path::engine().compile(path).map(Selection).map_err(|error| {
        let kind =
            if matches!(error, PathError::Refused(_)) { IssueType::NotSupported } else { IssueType::Invalid };
        Outcome::error(kind, "patch-path", "the path is not FHIRPath, or uses what is not allowed here")
    })?;
    reader.paths.insert(path.to_owned(), compiled.clone());
    Ok(compiled)
}

/// `Patient.contact[0].telecom` as the list `telecom` of `Patient.contact[0]`.
fn list(path: &str, reader: &mut Reader) -> Result<List, Outcome> {
    let (parent, name) = path.trim().rsplit_once('.').unwrap_or(("$this", path.trim()));
    if name.is_empty() || !name.bytes().all(|b| b.is_ascii_alphanumeric()) {
        return Err(malformed("insert and move name a list").hint("written Patient.contact[0].telecom"));
    }
    Ok(List { parent: selection(parent, reader)?, name: name.to_owned() })
}

fn step(operation: &Operation, next: &mut Value, budget: &mut Budget) -> Result<(), Outcome> {
    match operation {
        Operation::Add { at, name, content } => {
            let at = exactly_one(at, next)?;
            tree::add(next, &at, (name, content), budget)
        }
        Operation::Insert { list, index, content } => {
            let at = exactly_one(&list.parent, next)?;
            tree::insert(next, (&at, &list.name), (*index, content), budget)
        }
        // What is not there need not be deleted.
        Operation::Delete { at } => match select(at, next)?.as_slice() {
            [] => Ok(()),
            [at] => tree::delete(next, at),
            _ => Err(several()),
        },
        Operation::Replace { at, content } => {
            let at = exactly_one(at, next)?;
            tree::replace(next, &at, content, budget)
        }
        Operation::Move { list, from, to } => {
            let at = exactly_one(&list.parent, next)?;
            tree::shift(next, (&at, &list.name), (*from, *to))
        }
    }
}

/// The JSON pointers of what a path selects.
fn select(at: &Selection, resource: &Value) -> Result<Vec<String>, Outcome> {
    match at.0.places(&Subject::new(resource)) {
        Ok(Some(places)) => Ok(places.into_iter().map(|place| place.pointer).collect()),
        Ok(None) => Err(Outcome::error(
            IssueType::NotSupported,
            "patch-path",
            "the path computes: that of a patch selects elements",
        )
        .status(422)
        .hint("names, [n], where(), first(), last(), ofType(), extension()")),
        Err(error @ (PathError::TooLong | PathError::TooMany)) => Err(too_costly(&error.to_string())),
        Err(error) => Err(unfit(&error.to_string())),
    }
}

fn exactly_one(at: &Selection, resource: &Value) -> Result<String, Outcome> {
    let mut found = select(at, resource)?.into_iter();
    match (found.next(), found.next()) {
        (Some(one), None) => Ok(one),
        (None, _) => Err(unfit("the path selects nothing in the resource")),
        _ => Err(several()),
    }
}

fn several() -> Outcome {
    unfit("the path selects several elements: a patch changes one").hint("add [n] or where()")
}

/// 422
fn unfit(text: &str) -> Outcome {
    Outcome::error(IssueType::Processing, "patch-path", text)
}

#[cfg(test)]
mod tests;
