//! Does a resource keep to a profile? Walks the tree of rules over the resource.

use std::time::Instant;

use serde_json::{Map, Value};

use super::read::{Discriminator, Node};
use super::{Profile, Registry};
use crate::fhir::elements::table;
use crate::fhir::outcome::{Issue, IssueType};
use crate::fhir::path::{Focus, Subject};
use crate::fhir::structure::{MAX_DEPTH, MAX_ISSUES};

/// A value in the resource.
struct At<'a> {
    value: &'a Value,
    /// The type by the element table, where it is known.
    kind: Option<&'static str>,
    /// `Patient.name[0]`
    place: String,
    /// `/name/0`
    pointer: String,
}

/// A resource that is checked.
pub(super) struct Checker<'a> {
    registry: &'a Registry,
    subject: Subject<'a>,
    depth: usize,
    deadline: Instant,
    pub issues: Vec<Issue>,
}

impl<'a> Checker<'a> {
    pub(super) fn new(registry: &'a Registry, resource: &'a Value, deadline: Instant) -> Self {
        Self { registry, subject: Subject::new(resource), depth: 0, deadline, issues: Vec::new() }
    }

    /// Whether there is no time left: the rest of the profile is not looked at.
    pub(super) fn is_over(&self) -> bool {
        Instant::now() >= self.deadline
    }

    /// By one profile.
    pub(super) fn resource(&mut self, profile: &'a Profile) {
        let resource = self.subject.resource();
        let kind = resource.get("resourceType").and_then(Value::as_str).and_then(|kind| table().kind(kind));
        let at =
            At { value: resource, kind, place: kind.unwrap_or_default().to_owned(), pointer: String::new() };
        if kind != Some(profile.kind) {
            let text = format!("the claimed profile is on {}", profile.kind);
            return self.report(IssueType::Invalid, "profile-type", text, &at.place);
        }
        self.element(&profile.tree, &at);
    }

    fn report(&mut self, kind: IssueType, code: &'static str, text: impl Into<String>, place: &str) {
        if self.issues.len() < MAX_ISSUES {
            self.issues.push(Issue::error(kind, code, text).at(place));
        }
    }

    /// One value by one node, and what is in it.
    fn element(&mut self, node: &'a Node, at: &At<'a>) {
        if self.depth > MAX_DEPTH || self.issues.len() >= MAX_ISSUES || self.is_over() {
            return;
        }
        self.depth += 1;
        self.value(node, at);
        for rule in &node.rules {
            let focus = Focus { pointer: &at.pointer, kind: at.kind };
            if rule.program.truth(&self.subject, &focus) == Ok(Some(false)) && self.issues.len() < MAX_ISSUES
            {
                let text = format!("{}: {}", rule.key, rule.human);
                let issue = Issue::error(IssueType::Invariant, "profile-invariant", text).at(&at.place);
                self.issues.push(issue.severity(rule.severity));
            }
        }
        if !node.profiles.is_empty() {
            let registry = self.registry;
            let known: Vec<&Profile> =
                node.profiles.iter().filter_map(|url| registry.profiles.get(url)).collect();
            if let [profile] = known.as_slice()
                && at.kind == Some(profile.kind)
            {
                self.element(&profile.tree, at);
            }
        }
        for child in &node.children {
            let found = children(at, &child.name);
            self.several(child, &found, at);
        }
        self.depth -= 1;
    }

    fn value(&mut self, node: &Node, at: &At) {
        let differs = "this is not the value that the profile fixes";
        if node.fixed.as_ref().is_some_and(|fixed| fixed != at.value)
            || node.pattern.as_ref().is_some_and(|pattern| !fits(pattern, at.value))
        {
            self.report(IssueType::Value, "profile-value", differs, &at.place);
        }
        if let Some(kind) = at.kind
            && node.name.ends_with("[x]")
            && !node.types.is_empty()
            && !node.types.iter().any(|one| one == kind)
        {
            let text = format!("the profile allows {} here", node.types.join(", "));
            self.report(IssueType::Structure, "profile-type", text, &at.place);
        }
        if let Some(codes) = &node.binding
            && !bound(at.value, |system, code| {
                codes.iter().any(|(s, c)| c == code && system.is_none_or(|system| s == system))
            })
        {
            let text = "this is not of the value set that the profile requires";
            self.report(IssueType::CodeInvalid, "profile-binding", text, &at.place);
        }
    }

    /// The values of one element: how many, each one, and which slices they belong to.
    fn several(&mut self, node: &'a Node, found: &[At<'a>], parent: &At<'a>) {
        let place = format!("{}.{}", parent.place, node.name.trim_end_matches("[x]"));
        self.count(node, found.len(), &place, "");
        found.iter().for_each(|at| self.element(node, at));
        if node.slices.is_empty() {
            return;
        }
        let mut counts = vec![0usize; node.slices.len()];
        for at in found {
            if self.is_over() {
                return;
            }
            let slice = node.slices.iter().position(|slice| self.belongs(node, slice, at));
            match slice.and_then(|at| Some((node.slices.get(at)?, counts.get_mut(at)?))) {
                Some((slice, count)) => {
                    *count += 1;
                    self.element(slice, at);
                }
                None if node.closed => {
                    let text = "this belongs to no slice, and the profile allows no others";
                    self.report(IssueType::Structure, "profile-slice", text, &at.place);
                }
                None => {}
            }
        }
        for (slice, count) in node.slices.iter().zip(counts) {
            self.count(slice, count, &place, &format!(" of the slice {}", slice.name));
        }
    }

    fn count(&mut self, node: &Node, count: usize, place: &str, what: &str) {
        if count < node.min {
            let text = format!("the profile asks for at least {}{what} here", node.min);
            self.report(IssueType::Required, "profile-cardinality", text, place);
        }
        if let Some(max) = node.max.filter(|max| count > *max) {
            let text = format!("the profile allows at most {max}{what} here");
            self.report(IssueType::Structure, "profile-cardinality", text, place);
        }
    }

    fn belongs(&self, node: &Node, slice: &Node, at: &At<'a>) -> bool {
        if !slice.profiles.is_empty() && at.kind == Some("Extension") {
            let url = at.value.get("url").and_then(Value::as_str);
            return url.is_some_and(|url| slice.profiles.iter().any(|profile| profile == url));
        }
        let by = |one: &Discriminator| match one {
            Discriminator::Type => at.kind.is_some_and(|kind| slice.types.iter().any(|one| one == kind)),
            Discriminator::Value(path) => {
                let mut node = Some(slice);
                let mut values = vec![At { pointer: String::new(), place: String::new(), ..*at }];
                for step in path {
                    let next = |node: &'_ Node| node.children.iter().position(|child| child.name == *step);
                    // A fixed object may be given as a whole, above the discriminating element.
                    let Some(position) = node.and_then(next) else {
                        return node.is_some_and(|node| node.fixed.is_some() || node.pattern.is_some())
                            && values.iter().any(|at| node.is_some_and(|node| told_apart(node, at.value)));
                    };
                    node = node.and_then(|node| node.children.get(position));
                    values = values.iter().flat_map(|at| children(at, step)).collect();
                }
                node.is_some_and(|node| values.iter().any(|at| told_apart(node, at.value)))
            }
        };
        // Extensions are told apart by their url without being asked.
        let extension = at.kind == Some("Extension") && node.discriminators.is_empty();
        if extension {
            return by(&Discriminator::Value(vec!["url".to_owned()]));
        }
        !node.discriminators.is_empty() && node.discriminators.iter().all(by)
    }
}

fn told_apart(node: &Node, value: &Value) -> bool {
    match (&node.fixed, &node.pattern, &node.binding) {
        (Some(fixed), _, _) => fixed == value,
        (None, Some(pattern), _) => fits(pattern, value),
        (None, None, Some(codes)) => bound(value, |system, code| {
            codes.iter().any(|(s, c)| c == code && system.is_none_or(|system| s == system))
        }),
        _ => false,
    }
}

/// `value[x]` is whichever of its types is there.
fn children<'a>(parent: &At<'a>, name: &str) -> Vec<At<'a>> {
    let Some(object) = parent.value.as_object() else { return Vec::new() };
    let node = parent.kind.and_then(|kind| table().node(kind));
    let bare = name.strip_suffix("[x]");
    let mut found = Vec::new();
    for (key, value) in object {
        let row = node.and_then(|node| node.keys.get(key.as_str()));
        let choice = || {
            let element = node.zip(row).and_then(|(node, row)| node.elements.get(row.element));
            element.is_some_and(|element| element.choice && Some(element.name) == bare)
        };
        if key != name && !choice() {
            continue;
        }
        let kind = |value: &Value| resource_kind(value).or(row.map(|row| row.kind));
        let (place, pointer) = (format!("{}.{key}", parent.place), format!("{}/{key}", parent.pointer));
        match value {
            Value::Array(items) => {
                found.extend(items.iter().enumerate().filter(|(_, item)| !item.is_null()).map(
                    |(index, item)| At {
                        value: item,
                        kind: kind(item),
                        place: format!("{place}[{index}]"),
                        pointer: format!("{pointer}/{index}"),
                    },
                ));
            }
            value => found.push(At { value, kind: kind(value), place, pointer }),
        }
    }
    found
}

fn resource_kind(value: &Value) -> Option<&'static str> {
    value.get("resourceType").and_then(Value::as_str).and_then(|kind| table().kind(kind))
}

/// Everything of the pattern is in the value. <https://hl7.org/fhir/R4/elementdefinition-definitions.html#ElementDefinition.pattern_x_>
fn fits(pattern: &Value, value: &Value) -> bool {
    match (pattern, value) {
        (Value::Object(pattern), Value::Object(value)) => {
            pattern.iter().all(|(key, wanted)| value.get(key).is_some_and(|there| fits(wanted, there)))
        }
        (Value::Array(pattern), Value::Array(value)) => {
            pattern.iter().all(|wanted| value.iter().any(|there| fits(wanted, there)))
        }
        _ => pattern == value,
    }
}

/// Has a code, Coding, CodeableConcept or Quantity one that `is_known`? A concept without codings has none.
fn bound(value: &Value, is_known: impl Fn(Option<&str>, &str) -> bool) -> bool {
    let coding = |coding: &Map<String, Value>| {
        let text = |name: &str| coding.get(name).and_then(Value::as_str);
        text("code").is_some_and(|code| is_known(Some(text("system").unwrap_or_default()), code))
    };
    match value {
        Value::String(code) => is_known(None, code),
        Value::Object(object) => match object.get("coding").and_then(Value::as_array) {
            Some(codings) => codings.iter().filter_map(Value::as_object).any(coding),
            None => coding(object),
        },
        _ => false,
    }
}
