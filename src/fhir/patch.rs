//! Patches: changes of a resource that name what changes.
//!
//! A patch comes from a request's body, or from an entry of a Bundle (`Binary` or `Parameters`). Given the
//! current resource it makes the next one, which is checked like any resource that comes in. Pure; **never**
//! changes a part of it: a patch is applied whole or refused. <https://hl7.org/fhir/R4/http.html#patch>

// RFC 6902.
mod json;
// FHIRPath Patch.
mod parameters;
// RFC 5261.
mod xml;

use std::collections::{BTreeMap, HashMap};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;

use crate::fhir::outcome::{IssueType, Outcome};
use crate::fhir::reference::{self, Literal};
use crate::fhir::resource::{self, Resource};
use crate::fhir::structure::tolerated::Tolerated;

/// The media type of a JSON Patch.
pub const JSON_PATCH: &str = "application/json-patch+json";
/// The media type of an XML Patch.
pub const XML_PATCH: &str = "application/xml-patch+xml";
/// The patches of one request may have this many operations together.
pub const MAX_OPERATIONS: usize = 10_000;
/// The patches of one request may take this long together, and for each of them this much longer: OpenSRP sends
/// hundreds at once, and does not send again what is refused. All that the patches of one plan get is bounded too.
const MAX_TIME: Duration = Duration::from_secs(1);
const EACH: Duration = Duration::from_millis(20);
const MAX_EXTRA: Duration = Duration::from_secs(15);
/// The elements and characters that one patch may copy within a resource.
const MAX_COPIED: usize = 8 * 1024 * 1024;
/// How deep a patched resource may be, before its structure is checked.
const MAX_DEPTH: usize = 200;

/// A patch that can be read; whether it can be applied depends on the resource.
#[derive(Debug, Clone, PartialEq)]
pub enum Patch {
    /// RFC 6902.
    Json(json::Operations),
    /// R4's own, in a `Parameters`.
    Path(parameters::Operations),
    /// RFC 5261.
    Xml(xml::Operations),
}

impl Patch {
    /// Reads the text of a JSON Patch.
    ///
    /// # Errors
    /// 400 with what is malformed.
    pub fn json(text: &[u8]) -> Result<Self, Outcome> {
        json::Operations::read(&resource::json(text)?, &mut Reader::default()).map(Self::Json)
    }

    /// Reads the text of an XML Patch.
    ///
    /// # Errors
    /// 400 with what is malformed; 422: it is too large, or holds what is in no resource.
    pub fn xml(text: &[u8]) -> Result<Self, Outcome> {
        xml::Operations::read(text, &mut Reader::default()).map(Self::Xml)
    }

    /// Reads a patch whose media type does not say of which kind it is: a `Parameters`, or the array of a JSON Patch.
    ///
    /// # Errors
    /// 400 with what is malformed.
    pub fn of_value(value: &Value) -> Result<Self, Outcome> {
        let mut reader = Reader::default();
        if value.is_array() {
            return json::Operations::read(value, &mut reader).map(Self::Json);
        }
        if value.get("resourceType").and_then(Value::as_str) != Some("Parameters") {
            return Err(malformed("a patch is a Parameters (FHIRPath Patch), or a JSON Patch")
                .hint(format!("send {JSON_PATCH}, or a Parameters as application/fhir+json")));
        }
        let parameters = Resource::from_value(value.clone())?;
        parameters::Operations::read(parameters.body(), &mut reader).map(Self::Path)
    }

    /// Reads a patch from the resource of a Bundle's entry: `Binary` with a JSON Patch or an XML Patch in
    /// `data`, or a `Parameters`.
    ///
    /// # Errors
    /// 400 with what is malformed, seen from that resource; 422: too many operations.
    pub fn of_resource(resource: &Resource, reader: &mut Reader) -> Result<Self, Outcome> {
        match resource.kind() {
            "Binary" => binary(resource.body(), reader),
            "Parameters" => parameters::Operations::read(resource.body(), reader).map(Self::Path),
            _ => Err(malformed("the resource of a PATCH is a Binary or a Parameters").at(resource.kind())),
        }
    }

    /// The next version of a resource, in which some rules may be broken.
    ///
    /// # Errors
    /// 422: an operation does not fit the resource, or what it makes is not R4 or another resource; or the time is
    /// over.
    pub fn apply(
        &self,
        current: &Value,
        deadline: Deadline,
        tolerated: Tolerated,
    ) -> Result<Resource, Outcome> {
        let next = match self {
            Self::Json(operations) => operations.apply(current, deadline)?,
            Self::Path(operations) => operations.apply(current, deadline)?,
            Self::Xml(operations) => operations.apply(current, deadline)?,
        };
        deadline.check()?;
        for key in ["resourceType", "id"] {
            if next.get(key) != current.get(key) {
                let kind = current.get("resourceType").and_then(Value::as_str).unwrap_or("Resource");
                let text = "a patch changes neither the id nor the type of a resource";
                return Err(Outcome::error(IssueType::BusinessRule, "patch-identity", text)
                    .at(format!("{kind}.{key}")));
            }
        }
        Resource::tolerating(next, tolerated).map_err(|outcome| outcome.status(422))
    }

    /// The conditional references (`Patient?identifier=x`) in what the patch writes, each with where.
    pub fn conditional(&self) -> BTreeMap<String, String> {
        match self {
            Self::Json(operations) => operations.conditional(),
            Self::Path(operations) => operations.conditional(),
            Self::Xml(operations) => operations.conditional(),
        }
    }
}

/// `Binary{contentType: application/json-patch+json, data}`, as HAPI takes it and OpenSRP sends it; or an XML Patch.
fn binary(body: &Value, reader: &mut Reader) -> Result<Patch, Outcome> {
    let text = |key: &str| body.get(key).and_then(Value::as_str).unwrap_or_default();
    let media = text("contentType").split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    if ![JSON_PATCH, XML_PATCH].contains(&media.as_str()) {
        return Err(malformed("the Binary of a PATCH holds a JSON Patch or an XML Patch")
            .at("Binary.contentType")
            .hint(format!("its contentType is {JSON_PATCH} or {XML_PATCH}")));
    }
    let data: String = text("data").chars().filter(|c| !c.is_ascii_whitespace()).collect();
    let bytes = STANDARD.decode(data).map_err(|_| malformed("this is not base64").at("Binary.data"))?;
    let read = match media.as_str() {
        XML_PATCH => xml::Operations::read(&bytes, reader).map(Patch::Xml),
        _ => resource::json(&bytes).and_then(|value| json::Operations::read(&value, reader)).map(Patch::Json),
    };
    read.map_err(|mut outcome| {
        outcome.issues.iter_mut().for_each(|issue| issue.expression.clear());
        outcome.at("Binary.data")
    })
}

/// Reads the patches of one request: their operations are counted together, and each path is compiled once.
#[derive(Debug, Default)]
pub struct Reader {
    operations: usize,
    paths: HashMap<String, parameters::Selection>,
}

impl Reader {
    /// # Errors
    /// 422: with these there are too many.
    fn count(&mut self, operations: usize) -> Result<(), Outcome> {
        self.operations = self.operations.saturating_add(operations);
        if self.operations <= MAX_OPERATIONS {
            return Ok(());
        }
        Err(too_costly("the patches of a request have at most 10,000 operations together"))
    }
}

/// The time that the patches of one request have left, whatever plans they are in.
#[derive(Debug)]
pub struct Allowance(Mutex<Duration>);

impl Default for Allowance {
    fn default() -> Self {
        Self(Mutex::new(MAX_TIME))
    }
}

impl Allowance {
    /// For a plan with so many patches that is worked out now.
    pub fn begin(&self, patches: usize) -> Deadline {
        let left = *self.0.lock().unwrap_or_else(PoisonError::into_inner);
        Deadline::within(left + extra(patches))
    }

    /// A plan with so many patches has taken so long.
    pub fn spend(&self, patches: usize, time: Duration) {
        let mut left = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        *left = left.saturating_sub(time.saturating_sub(extra(patches)));
    }
}

fn extra(patches: usize) -> Duration {
    EACH.saturating_mul(u32::try_from(patches).unwrap_or(u32::MAX)).min(MAX_EXTRA)
}

/// Until when the patches of a plan may be applied: meanwhile the tenant's other writers wait.
#[derive(Debug, Clone, Copy)]
pub struct Deadline(Instant);

impl Deadline {
    /// For a request whose patches begin now.
    pub fn begin() -> Self {
        Self::within(MAX_TIME)
    }

    /// From now on.
    pub fn within(time: Duration) -> Self {
        Self(Instant::now() + time)
    }

    /// # Errors
    /// 422: it is over.
    pub fn check(self) -> Result<(), Outcome> {
        if Instant::now() < self.0 {
            return Ok(());
        }
        Err(too_costly("the patches of this request take too long")
            .hint("send fewer or smaller ones at once"))
    }
}

/// Looks at the time once in so many visits of a node: more often would take longer than the visits.
struct Visits {
    deadline: Deadline,
    count: usize,
}

impl Visits {
    const EACH: usize = 1024;

    const fn until(deadline: Deadline) -> Self {
        Self { deadline, count: 0 }
    }

    /// # Errors
    /// 422: the time is over.
    fn one(&mut self) -> Result<(), Outcome> {
        self.count += 1;
        if self.count < Self::EACH {
            return Ok(());
        }
        self.count = 0;
        self.deadline.check()
    }
}

/// 400
fn malformed(text: impl Into<String>) -> Outcome {
    Outcome::error(IssueType::Invalid, "patch-malformed", text)
}

/// What was copied so far.
#[derive(Default)]
struct Budget {
    used: usize,
}

impl Budget {
    /// Counts what is about to be put at `depth`.
    ///
    /// # Errors
    /// 422: too much, or too deep.
    fn take(&mut self, value: &Value, depth: usize) -> Result<(), Outcome> {
        self.used = self.used.saturating_add(size(value));
        if self.used > MAX_COPIED {
            return Err(too_costly("this patch copies too much"));
        }
        if depth + deep(value) > MAX_DEPTH {
            return Err(too_costly("this patch makes the resource too deep"));
        }
        Ok(())
    }
}

fn too_costly(text: &str) -> Outcome {
    Outcome::error(IssueType::TooCostly, "patch-too-large", text).status(422)
}

fn size(value: &Value) -> usize {
    match value {
        Value::String(text) => text.len(),
        Value::Array(items) => items.iter().map(size).sum::<usize>() + items.len(),
        Value::Object(object) => object.iter().map(|(key, item)| key.len() + size(item)).sum::<usize>() + 1,
        _ => 1,
    }
}

fn deep(value: &Value) -> usize {
    match value {
        Value::Array(items) => 1 + items.iter().map(deep).max().unwrap_or(0),
        Value::Object(object) => 1 + object.values().map(deep).max().unwrap_or(0),
        _ => 1,
    }
}

/// Adds the conditional references in a value that a patch writes under the name `key`.
fn conditional_in(key: &str, value: &Value, place: &str, out: &mut BTreeMap<String, String>) {
    match value {
        Value::String(text) if key == "reference" => {
            if let Literal::Conditional { .. } = reference::parse(text) {
                out.entry(text.clone()).or_insert_with(|| place.to_owned());
            }
        }
        Value::Array(items) => items.iter().for_each(|item| conditional_in(key, item, place, out)),
        Value::Object(object) => {
            object.iter().for_each(|(key, item)| conditional_in(key, item, place, out));
        }
        _ => {}
    }
}

#[cfg(test)]
mod tests;
