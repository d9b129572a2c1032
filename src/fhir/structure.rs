//! Is this JSON an R4 resource? Every fault with its FHIRPath and a stable code.
//!
//! Walks the resource along the element table: unknown elements, cardinality, arrays, choices,
//! primitive formats, `_field` siblings, closed required bindings, the targets of references, contained
//! resources and the invariants that hold for every element (`ele-1`, `ext-1`, `dom-*`); where those are
//! kept, the invariants of each type. <https://hl7.org/fhir/R4/json.html>
//! **Never** changes the resource and never repeats its content in an issue.

// Required bindings to closed value sets.
mod binding;
mod contained;
// What the invariants of R4 ask for.
mod due;
// The HTML of narratives.
mod narrative;
// The formats of R4's primitive types.
pub mod primitive;
mod sibling;
// What a Reference may name.
mod target;
// What a client may break.
pub mod tolerated;

use std::time::Duration;

use serde_json::{Map, Value};

use crate::fhir::elements::{Content, Element, Key, Node, Primitive, table};
use due::{Due, Time};
use tolerated::{NOTHING, Rule, Tolerated};

use crate::fhir::outcome::{Issue, IssueType, did_you_mean};

/// Elements may be nested this deep.
pub const MAX_DEPTH: usize = 64;
/// A resource (or Bundle) may have this many elements.
pub const MAX_ELEMENTS: usize = 1_000_000;
/// Checking stops after this many faults.
pub const MAX_ISSUES: usize = 50;

/// All invariants in FHIRPath of one resource may take this long, without those of what it contains or bundles.
pub const MAX_TIME: Duration = Duration::from_secs(2);
/// Those of a resource with all that it contains or bundles may take [`MAX_TIME`], and this for each element that
/// has some: a large Bundle has more time than a small one, and one of few but costly resources has no more.
pub const TIME_PER_ELEMENT: Duration = Duration::from_millis(5);
/// And never longer than this: half of what a request may take.
pub const MAX_TIME_IN_ALL: Duration = Duration::from_secs(60);
/// The code of the issue where the time was not enough.
pub const TOO_COSTLY: &str = "rules-too-costly";

/// Checks a resource. Empty: it is an R4 resource as far as the tables say.
pub fn check(resource: &Value) -> Vec<Issue> {
    check_tolerating(resource, NOTHING)
}

/// The same for a client that may break some rules.
pub fn check_tolerating(resource: &Value, tolerated: Tolerated) -> Vec<Issue> {
    walked(resource, (Wanted::Errors, tolerated), Time::USUAL).issues
}

/// Checks a resource and gives advice: also the rules of severity `warning`.
pub fn advise(resource: &Value) -> Vec<Issue> {
    walked(resource, (Wanted::Advice, NOTHING), Time::USUAL).issues
}

/// Checks the shell of a transaction or batch, whose resources were taken out: without invariants, which a
/// single wrong entry of a batch would break for all.
pub fn check_shell(bundle: &Value) -> Vec<Issue> {
    walked(bundle, (Wanted::Structure, NOTHING), Time::USUAL).issues
}

/// Which invariants are looked at.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Wanted {
    Structure,
    Errors,
    Advice,
}

fn walked(resource: &Value, (wanted, tolerated): (Wanted, Tolerated), time: Time) -> Walk<'_> {
    let mut walk = Walk {
        path: Vec::new(),
        issues: Vec::new(),
        elements: 0,
        contained: false,
        wanted,
        tolerated,
        breaches: Vec::new(),
        frames: Vec::new(),
        resources: 0,
        due: Vec::new(),
    };
    walk.resource(resource);
    walk.settle(time);
    walk
}

/// One step of the path to where the walk is; turned into text only for a fault.
#[derive(Clone, Copy)]
enum Step<'a> {
    Name(&'a str),
    Index(usize),
}

struct Walk<'a> {
    path: Vec<Step<'a>>,
    issues: Vec<Issue>,
    elements: usize,
    contained: bool,
    wanted: Wanted,
    tolerated: Tolerated,
    /// What was tolerated, and where.
    breaches: Vec<(Rule, String)>,
    /// The resources that the walk is in, the outermost first.
    frames: Vec<Frame<'a>>,
    /// How many resources it has been in.
    resources: usize,
    /// Invariants to be evaluated once the structure is known to be right.
    due: Vec<Due<'a>>,
}

/// A resource that the walk is in.
#[derive(Clone, Copy)]
struct Frame<'a> {
    resource: &'a Value,
    /// The how manyth it is.
    number: usize,
    /// How many steps of the path lead to it.
    depth: usize,
    contained: bool,
}

impl<'a> Walk<'a> {
    fn place(&self) -> String {
        let mut out = String::new();
        for step in &self.path {
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

    fn fault(&mut self, kind: IssueType, code: &'static str, text: impl Into<String>) {
        self.report(Issue::error(kind, code, text));
    }

    fn report(&mut self, issue: Issue) {
        if self.issues.len() < MAX_ISSUES {
            let place = self.place();
            self.issues.push(if place.is_empty() { issue } else { issue.at(place) });
        }
    }

    /// Runs `check` one step further down.
    fn inside(&mut self, step: Step<'a>, check: impl FnOnce(&mut Self)) {
        self.path.push(step);
        check(self);
        self.path.pop();
    }

    /// False, with a fault, where a limit is reached.
    fn within_limits(&mut self) -> bool {
        self.elements += 1;
        if self.path.len() > 2 * MAX_DEPTH {
            self.fault(IssueType::TooCostly, "too-deep", "elements are nested too deep");
        } else if self.elements == MAX_ELEMENTS {
            self.fault(IssueType::TooCostly, "too-many-elements", "the resource has too many elements");
        }
        self.path.len() <= 2 * MAX_DEPTH && self.elements < MAX_ELEMENTS && self.issues.len() < MAX_ISSUES
    }

    fn resource(&mut self, value: &'a Value) {
        let Some(object) = value.as_object() else {
            return self.fault(IssueType::Structure, "not-an-object", "a resource is a JSON object");
        };
        let Some(kind) = object.get("resourceType").and_then(Value::as_str) else {
            return self.fault(
                IssueType::Structure,
                "no-resource-type",
                "resourceType is missing or not a string",
            );
        };
        let Some(node) = table().kind(kind).and_then(|kind| table().node(kind)) else {
            let known = did_you_mean(kind, table().kinds().iter().copied());
            let issue =
                Issue::error(IssueType::Structure, "unknown-type", "R4 has no resource type of this name");
            return self.report(match known {
                Some(known) => issue.hint(format!("did you mean {known}?")),
                None => issue,
            });
        };
        if self.path.is_empty() {
            self.path.push(Step::Name(node.name));
        }
        self.resources += 1;
        let (number, depth) = (self.resources, self.path.len());
        self.frames.push(Frame { resource: value, number, depth, contained: self.contained });
        self.object(node, object, true);
        if object.contains_key("contained") {
            self.contained_rules(object);
        }
        self.rules_of_type(node, value);
        self.frames.pop();
    }

    fn contained_rules(&mut self, object: &'a Map<String, Value>) {
        if self.contained {
            return self.fault(IssueType::Invariant, "dom-2", "a contained resource contains no others");
        }
        for (index, text, code) in contained::faults(object) {
            self.path.extend([Step::Name("contained"), Step::Index(index)]);
            if code != "dom-3" || !self.tolerates(Rule::ContainedUsed) {
                self.fault(IssueType::Invariant, code, text);
            }
            self.path.truncate(self.path.len().saturating_sub(2));
        }
    }

    fn object(&mut self, node: &'static Node, object: &'a Map<String, Value>, is_resource: bool) {
        if !self.within_limits() {
            return;
        }
        for (name, value) in object {
            if is_resource && name == "resourceType" {
                continue;
            }
            match name.strip_prefix('_') {
                Some(base) if node.keys.contains_key(base) => self.sibling(node, base, name, object),
                _ => match node.keys.get(name.as_str()) {
                    Some(key) => {
                        self.inside(Step::Name(name), |walk| walk.member(node, key, name, value, object));
                        self.rules_of_element(node, key, name, value);
                    }
                    None => self.unknown(node, name),
                },
            }
        }
        self.counts(node, object);
        if !is_resource && !object.keys().any(|key| key != "id") {
            self.fault(IssueType::Invariant, "ele-1", "an element has a value or children");
        }
        if node.name == "Extension" {
            self.extension(object);
        }
    }

    fn unknown(&mut self, node: &'static Node, name: &'a str) {
        let close = did_you_mean(name, node.keys.keys().copied()).map(str::to_owned);
        let text = format!("{} has no such element in R4", node.name);
        let issue = Issue::error(IssueType::Structure, "unknown-element", text);
        let issue = match close {
            Some(close) => issue.hint(format!("did you mean {close}?")),
            None => issue,
        };
        // A name that is not a name would make the path unreadable (and may be data): name its parent.
        if !name.is_empty()
            && name.len() <= 64
            && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_')
        {
            self.inside(Step::Name(name), |walk| walk.report(issue));
        } else {
            self.report(issue);
        }
    }

    /// Required elements are there; a choice has one type.
    fn counts(&mut self, node: &'static Node, object: &'a Map<String, Value>) {
        let mut seen = vec![0usize; node.elements.len()];
        for name in object.keys() {
            let base = name.strip_prefix('_').unwrap_or(name);
            let doubled = base.len() < name.len() && object.contains_key(base);
            if let (false, Some(key)) = (doubled, node.keys.get(base))
                && let Some(count) = seen.get_mut(key.element)
            {
                *count += 1;
            }
        }
        for (element, count) in node.elements.iter().zip(seen) {
            if element.required && count == 0 {
                let text = format!("{} is required here", element_name(element));
                self.inside(Step::Name(element.name), |walk| {
                    walk.fault(IssueType::Required, "required-element", text);
                });
            } else if element.choice && count > 1 {
                self.inside(Step::Name(element.name), |walk| {
                    walk.fault(
                        IssueType::Structure,
                        "several-choices",
                        "of a choice [x], one type may be present",
                    );
                });
            }
        }
    }

    fn member(
        &mut self,
        node: &'static Node,
        key: &'static Key,
        name: &'a str,
        value: &'a Value,
        object: &'a Map<String, Value>,
    ) {
        let many = node.elements.get(key.element).is_some_and(|element| element.many);
        match value {
            Value::Array(items) if many && items.is_empty() => {
                self.fault(
                    IssueType::Structure,
                    "empty-array",
                    "an array is not empty; leave the element out",
                );
            }
            Value::Array(items) if many => {
                let sibling = match key.content {
                    Content::Primitive(_) => object.get(&format!("_{name}")).and_then(Value::as_array),
                    _ => None,
                };
                for (index, item) in items.iter().enumerate() {
                    let nothing =
                        item.is_null() && sibling.and_then(|s| s.get(index)).is_some_and(Value::is_object);
                    if !nothing {
                        self.inside(Step::Index(index), |walk| walk.single(key, item));
                    }
                }
            }
            Value::Array(_) => {
                self.fault(
                    IssueType::Structure,
                    "not-repeatable",
                    "this element does not repeat: no array here",
                );
            }
            _ if many => self.fault(
                IssueType::Structure,
                "array-expected",
                "this element repeats: an array, even for one",
            ),
            _ => self.single(key, value),
        }
    }

    fn single(&mut self, key: &'static Key, value: &'a Value) {
        if value.is_null() {
            return self.fault(
                IssueType::Structure,
                "null-value",
                "JSON null is not used in FHIR; leave the element out",
            );
        }
        match key.content {
            Content::Primitive(kind) => self.primitive(key, kind, value),
            Content::Resource => {
                let nested = matches!(self.path.iter().rev().nth(1), Some(Step::Name("contained")));
                let outer = std::mem::replace(&mut self.contained, nested);
                self.resource(value);
                self.contained = outer;
            }
            Content::Complex(index) => match (value.as_object(), table().at(index)) {
                (Some(object), Some(node)) => {
                    self.object(node, object, false);
                    self.bound(key, object);
                    self.rules_of_type(node, value);
                }
                _ => self.fault(
                    IssueType::Structure,
                    "object-expected",
                    format!("{} is a JSON object", key.kind),
                ),
            },
        }
    }

    fn primitive(&mut self, key: &'static Key, kind: Primitive, value: &'a Value) {
        if !self.within_limits() {
            return;
        }
        if let Some(text) = primitive::fault(kind, value) {
            if self.is_extension_id(value) && self.tolerates(Rule::ExtensionId) {
                return;
            }
            return self.fault(IssueType::Value, "bad-value", text);
        }
        if let (Some(codes), Some(code)) = (key.codes, value.as_str()) {
            self.code(codes, code);
        }
    }

    /// Whether this is an Extension's `valueId` with a text that could stand for an id.
    fn is_extension_id(&self, value: &Value) -> bool {
        let is_word = |text: &str| primitive::fault(Primitive::Uri, &text.into()).is_none();
        matches!(self.path.last(), Some(Step::Name("valueId"))) && value.as_str().is_some_and(is_word)
    }

    /// `ext-1`: a value or extensions, not both.
    fn extension(&mut self, object: &'a Map<String, Value>) {
        let valued = object.keys().any(|key| key.starts_with("value") || key.starts_with("_value"));
        if valued == object.contains_key("extension") {
            self.fault(IssueType::Invariant, "ext-1", "an extension has either a value or extensions");
        }
        let url = object.get("url").and_then(Value::as_str);
        if url.is_some_and(|url| !primitive::is_absolute(url)) && !self.is_within_extension() {
            let text = "the url of an extension is absolute, unless it is within another extension";
            self.inside(Step::Name("url"), |walk| {
                if !walk.tolerates(Rule::ExtensionUrl) {
                    walk.fault(IssueType::Value, "relative-url", text);
                }
            });
        }
    }

    /// Whether the extension at the end of the path is a part of another one.
    /// <https://hl7.org/fhir/R4/extensibility.html#Extension>
    fn is_within_extension(&self) -> bool {
        let names = self.path.iter().rev().filter_map(|step| match step {
            Step::Name(name) => Some(*name),
            Step::Index(_) => None,
        });
        names.take(2).filter(|name| matches!(*name, "extension" | "modifierExtension")).count() == 2
    }
}

fn element_name(element: &Element) -> String {
    let suffix = if element.choice { "[x]" } else { "" };
    format!("{}{suffix}", element.name)
}

#[cfg(test)]
mod tests;
