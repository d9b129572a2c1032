//! JSON Patch (RFC 6902), on the JSON of a resource as clients read it.
//!
//! The operations are json-patch's. Added to it: bounds, FHIRPaths in what is refused, and that a list that was
//! emptied goes, because R4 has no empty arrays. <https://www.rfc-editor.org/rfc/rfc6902>

use std::collections::BTreeMap;

use json_patch::jsonptr::{Pointer, PointerBuf};
use json_patch::{
    AddOperation, CopyOperation, MoveOperation, PatchErrorKind, PatchOperation, RemoveOperation,
    ReplaceOperation, TestOperation,
};
use serde_json::Value;

use super::{Budget, Deadline, Reader, conditional_in, malformed};
use crate::fhir::outcome::{IssueType, Outcome};

/// A JSON Patch.
#[derive(Debug, Clone, PartialEq)]
pub struct Operations(Vec<PatchOperation>);

impl Operations {
    /// # Errors
    /// 400: not a JSON Patch; with which operation is wrong. 422: too many operations.
    pub(super) fn read(value: &Value, reader: &mut Reader) -> Result<Self, Outcome> {
        let Some(items) = value.as_array() else {
            return Err(malformed("a JSON Patch is an array of operations"));
        };
        reader.count(items.len())?;
        items
            .iter()
            .enumerate()
            .map(|(index, item)| operation(index, item))
            .collect::<Result<_, _>>()
            .map(Self)
    }

    /// # Errors
    /// 422: an operation does not fit, or the time is over.
    pub(super) fn apply(&self, current: &Value, deadline: Deadline) -> Result<Value, Outcome> {
        let mut next = current.clone();
        let mut budget = Budget::default();
        for (index, operation) in self.0.iter().enumerate() {
            deadline.check()?;
            bounded(operation, &next, &mut budget)?;
            json_patch::patch_unsafe(&mut next, std::slice::from_ref(operation))
                .map_err(|error| refused(index, operation, &error.kind, current))?;
        }
        for operation in &self.0 {
            if let PatchOperation::Remove(RemoveOperation { path })
            | PatchOperation::Move(MoveOperation { from: path, .. }) = operation
            {
                deadline.check()?;
                drop_if_empty(&mut next, path);
            }
        }
        Ok(next)
    }

    pub(super) fn conditional(&self) -> BTreeMap<String, String> {
        let mut out = BTreeMap::new();
        for (index, operation) in self.0.iter().enumerate() {
            if let PatchOperation::Add(AddOperation { path, value })
            | PatchOperation::Replace(ReplaceOperation { path, value }) = operation
            {
                let key = path.last().map(|token| token.decoded().into_owned()).unwrap_or_default();
                conditional_in(&key, value, &format!("patch[{index}].value"), &mut out);
            }
        }
        out
    }
}

fn operation(index: usize, item: &Value) -> Result<PatchOperation, Outcome> {
    let wrong = |what: &str| malformed(format!("operation {index} {what}"));
    let text = |key: &str| item.get(key).and_then(Value::as_str);
    let pointer = |key: &str| -> Result<PointerBuf, Outcome> {
        let text = text(key).ok_or_else(|| wrong(&format!("has no `{key}`")))?;
        PointerBuf::parse(text).map_err(|_| {
            wrong(&format!("has a `{key}` that is no JSON Pointer")).hint("written /name/0/family")
        })
    };
    let value = || item.get("value").cloned().ok_or_else(|| wrong("has no `value`"));
    let path = pointer("path")?;
    Ok(match text("op").unwrap_or_default() {
        "add" => PatchOperation::Add(AddOperation { path, value: value()? }),
        "remove" => PatchOperation::Remove(RemoveOperation { path }),
        "replace" => PatchOperation::Replace(ReplaceOperation { path, value: value()? }),
        "move" => PatchOperation::Move(MoveOperation { from: pointer("from")?, path }),
        "copy" => PatchOperation::Copy(CopyOperation { from: pointer("from")?, path }),
        "test" => PatchOperation::Test(TestOperation { path, value: value()? }),
        _ => return Err(wrong("has no `op` of RFC 6902").hint("add, remove, replace, move, copy or test")),
    })
}

/// Copies could double a resource with each operation, and nest it without end.
fn bounded(operation: &PatchOperation, next: &Value, budget: &mut Budget) -> Result<(), Outcome> {
    let (path, value) = match operation {
        PatchOperation::Add(AddOperation { path, value })
        | PatchOperation::Replace(ReplaceOperation { path, value }) => (path, Some(value)),
        PatchOperation::Copy(CopyOperation { from, path })
        | PatchOperation::Move(MoveOperation { from, path }) => (path, next.pointer(from.as_str())),
        PatchOperation::Remove(_) | PatchOperation::Test(_) => return Ok(()),
    };
    match value {
        Some(value) => budget.take(value, path.count()),
        None => Ok(()),
    }
}

fn refused(index: usize, operation: &PatchOperation, kind: &PatchErrorKind, current: &Value) -> Outcome {
    let (code, what, path) = match (kind, operation) {
        (PatchErrorKind::TestFailed, _) => {
            ("patch-test-failed", "the resource has another value here", operation.path())
        }
        (PatchErrorKind::CannotMoveInsideItself, _) => {
            ("patch-path", "nothing can be moved into itself", operation.path())
        }
        (
            PatchErrorKind::InvalidFromPointer,
            PatchOperation::Move(MoveOperation { from, .. })
            | PatchOperation::Copy(CopyOperation { from, .. }),
        ) => ("patch-path", "the resource has nothing at `from`", from.as_ref()),
        _ => ("patch-path", "the resource has no such place", operation.path()),
    };
    let kind = current.get("resourceType").and_then(Value::as_str).unwrap_or("Resource");
    let outcome =
        Outcome::error(IssueType::Processing, code, format!("operation {index} of the patch: {what}"));
    match place(kind, path) {
        Some(place) => outcome.at(place),
        None => outcome,
    }
}

/// `/name/0/family` as `Patient.name[0].family`; `None` where the pointer holds anything but names and numbers.
fn place(kind: &str, path: &Pointer) -> Option<String> {
    let mut out = kind.to_owned();
    for token in path.tokens() {
        let text = token.decoded();
        if text.is_empty() || text.len() > 64 {
            return None;
        }
        if text.bytes().all(|b| b.is_ascii_digit()) {
            out.push_str(&format!("[{text}]"));
        } else if text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_') {
            out.push_str(&format!(".{text}"));
        } else if text != "-" {
            return None;
        }
    }
    Some(out)
}

/// Removes the list that lost its last item, and what holds nothing else.
fn drop_if_empty(next: &mut Value, removed: &Pointer) {
    let mut place = removed.parent();
    while let Some(list) = place.filter(|place| !place.is_root()) {
        let empty = match next.pointer(list.as_str()) {
            Some(Value::Array(items)) => items.is_empty(),
            Some(Value::Object(object)) => object.is_empty(),
            _ => false,
        };
        let Some((parent, last)) = list.split_back().filter(|_| empty) else { return };
        match next.pointer_mut(parent.as_str()) {
            Some(Value::Object(object)) => {
                object.shift_remove(last.decoded().as_ref());
            }
            Some(Value::Array(items)) => {
                let index = last.decoded().parse::<usize>().ok().filter(|index| *index < items.len());
                index.map(|index| items.remove(index));
            }
            _ => return,
        }
        place = Some(parent);
    }
}
