//! `fhir.resource` in mapping files.
//!
//! **Pure.** One part: the whole resource, at the slot `Type/id`. The id is the file's, else derived from names
//! (tenant, mapping, target id, source, key), so that the same source always makes the same resource.

use serde_json::{Value, json};

use super::{HERE, outline, repeats};
use crate::delivery::identity::digest;
use crate::fhir::outcome::Outcome;
use crate::fhir::resource::Resource;
use crate::mapping::output::{Issue, Nature, Output, Part, Withdraw};
use crate::mapping::target::{Complaint, Evaluated, Field, Kind, Shape, Target};

/// The target's name, and the kind of its links.
pub const KIND: &str = "fhir.resource";
/// The key of a value that is known only on sending.
const LINK_KEY: &str = "$link";

/// The target.
#[derive(Debug, Clone, Copy, Default)]
pub struct MadeResource;

impl Target for MadeResource {
    fn kind(&self) -> &'static str {
        KIND
    }

    fn doc(&self) -> &'static str {
        "A FHIR resource: stored here, or with `destination` sent to another FHIR server."
    }

    fn nature(&self) -> Nature {
        Nature::State
    }

    fn shape(&self) -> Shape {
        let doc = "The resource as JSON; `{ $value: VALUE }` stands for a value. Without `id` it gets one that stays.";
        Shape { fields: vec![Field { name: "resource", doc, required: true, kind: Kind::Outline }] }
    }

    fn home(&self) -> Option<&'static str> {
        Some(HERE)
    }

    fn writes_back(&self) -> bool {
        true
    }

    fn withdraw(&self) -> Withdraw {
        Withdraw::Keep
    }

    fn check(&self, literals: &Value) -> Vec<Complaint> {
        literals.get("resource").map(|resource| outline::check("resource", resource)).unwrap_or_default()
    }

    fn build(&self, entry: &Evaluated<'_>) -> Result<(Output, Vec<Issue>), Vec<Issue>> {
        let refused = |code: &str, message: &str, hint: &str| {
            vec![Issue::error(code, message, entry.context.place).with_hint(hint)]
        };
        let mut resource = entry.fields.get("resource").cloned().unwrap_or_default();
        repeats::fit(&mut resource);
        let is_here = entry.destination == HERE;
        if is_here && has_link(&resource) {
            let hint = "`link` is the id at a destination: give one, or use a reference";
            return Err(refused("link-here", "a resource that is stored here has a `link` in it", hint));
        }
        let Some(object) = resource.as_object_mut() else {
            return Err(refused("resource-empty", "the resource has nothing in it", "see `resource`"));
        };
        let id = match object.get("id").and_then(Value::as_str) {
            Some(given) => given.to_owned(),
            None => {
                let id = id_of(entry);
                object.insert("id".to_owned(), Value::from(id.as_str()));
                id
            }
        };
        let kind = match Resource::from_value(without_links(&resource)) {
            Ok(checked) => checked.kind(),
            Err(outcome) => return Err(issues(&outcome, entry.context.place)),
        };
        let place = format!("{kind}/{id}");
        Ok((output(entry, place, resource), Vec::new()))
    }

    fn preview(&self, output: &Output) -> Value {
        output.parts.first().map(|part| part.wanted.clone()).unwrap_or_default()
    }
}

fn output(entry: &Evaluated<'_>, place: String, resource: Value) -> Output {
    // Of a resource that is stored here the place is all that there is to know.
    let linked = entry.key.is_empty() && entry.destination != HERE && !is_document(entry.context.source);
    Output {
        target: KIND.to_owned(),
        target_id: entry.target_id.to_owned(),
        destination: entry.destination.to_owned(),
        nature: Nature::State,
        key: entry.key.to_owned(),
        lane: place.clone(),
        body: json!({ "resource": place }),
        parts: vec![Part { slot: place, wanted: resource, last: false }],
        contributions: Vec::new(),
        withdraw: entry.withdraw,
        needs: entry.needs.to_vec(),
        authored_ms: entry.context.authored_ms,
        link: linked.then(|| entry.context.source.to_owned()),
        write_back: false,
        act: None,
    }
}

/// Document kinds have a dot.
fn is_document(source: &str) -> bool {
    source.split('/').next().unwrap_or_default().contains('.')
}

/// Letters first: some servers take an id of digits for one of their own.
fn id_of(entry: &Evaluated<'_>) -> String {
    let context = entry.context;
    let names = ["resource", context.tenant, context.mapping, entry.target_id, context.source, entry.key];
    format!("mjumbe-{}", digest(&names))
}

/// What R4 says against it, each with its FHIRPath.
fn issues(outcome: &Outcome, place: &str) -> Vec<Issue> {
    let one = |issue: &crate::fhir::outcome::Issue| {
        let at = issue.expression.first().map(|path| format!("{path}: ")).unwrap_or_default();
        let made = Issue::error("resource-invalid", format!("{at}{}", issue.text), place);
        match &issue.hint {
            Some(hint) => made.with_hint(hint.clone()),
            None => made,
        }
    };
    outcome.issues.iter().map(one).collect()
}

fn is_link(value: &Value) -> bool {
    value.as_object().is_some_and(|object| object.len() == 1 && object.contains_key(LINK_KEY))
}

fn has_link(value: &Value) -> bool {
    match value {
        link if is_link(link) => true,
        Value::Array(items) => items.iter().any(has_link),
        Value::Object(members) => members.values().any(has_link),
        _ => false,
    }
}

/// As it will be once links are known: each is a text, and a reference names something.
fn without_links(value: &Value) -> Value {
    match value {
        link if is_link(link) => Value::from("link"),
        Value::Array(items) => Value::Array(items.iter().map(without_links).collect()),
        Value::Object(members) => {
            let member = |(name, one): (&String, &Value)| match one {
                link if name == "reference" && is_link(link) => (name.clone(), "urn:mjumbe:link".into()),
                other => (name.clone(), without_links(other)),
            };
            Value::Object(members.iter().map(member).collect())
        }
        other => other.clone(),
    }
}
