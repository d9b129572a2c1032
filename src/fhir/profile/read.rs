//! From a StructureDefinition to a tree of rules.
//!
//! The differential is read where there is one, else the snapshot. What R4 itself asks for is the structure's
//! business and is left out here.

use std::sync::Arc;

use serde_json::Value;

use super::Profile;
use super::terms::{Codes, Terms};
use crate::fhir::elements::table;
use crate::fhir::invariants::rules;
use crate::fhir::outcome::Severity;
use crate::fhir::path::{Program, engine};
use crate::fhir::reference::split_canonical;

/// What is asked of one element.
#[derive(Default)]
pub(super) struct Node {
    /// As in the path: `identifier`, `value[x]`.
    pub name: String,
    pub min: usize,
    pub max: Option<usize>,
    pub fixed: Option<Value>,
    pub pattern: Option<Value>,
    /// Empty: any of the element's.
    pub types: Vec<String>,
    /// Profiles of the value, by url: one of them.
    pub profiles: Vec<String>,
    pub binding: Option<Codes>,
    pub rules: Vec<Rule>,
    pub children: Vec<Node>,
    pub discriminators: Vec<Discriminator>,
    pub closed: bool,
    pub slices: Vec<Node>,
}

/// An invariant of the profile.
pub(super) struct Rule {
    pub key: String,
    pub severity: Severity,
    pub human: String,
    pub program: Arc<dyn Program>,
}

/// How a slice is told from others.
pub(super) enum Discriminator {
    /// By the fixed or pattern value at this path.
    Value(Vec<String>),
    /// By the type of the element.
    Type,
}

/// A profile, and what of it is not enforced.
pub(super) struct Read {
    pub profile: Profile,
    pub told: Vec<String>,
}

pub(super) fn profile(body: &Value, terms: &Terms) -> Result<Read, String> {
    let text = |name: &str| body[name].as_str().unwrap_or_default();
    let kind = table().node(text("type")).map(|node| node.name);
    let Some(kind) = kind.filter(|_| text("kind") != "logical") else {
        return Err(format!("it is on `{}`, which is no type of R4", short(text("type"))));
    };
    let own = format!("http://hl7.org/fhir/StructureDefinition/{kind}");
    let base = body["baseDefinition"].as_str().map(|url| split_canonical(url).0).filter(|url| *url != own);
    let elements = ["/differential/element", "/snapshot/element"].iter();
    let mut elements = elements.filter_map(|at| body.pointer(at).and_then(Value::as_array));
    let mut reader = Reader { terms, told: Vec::new() };
    let mut tree = Node::default();
    for element in elements.next().map_or(&[][..], Vec::as_slice) {
        reader.element(element, &mut tree)?;
    }
    let profile = Profile { kind, base: base.map(str::to_owned), tree };
    Ok(Read { profile, told: reader.told })
}

struct Reader<'a> {
    terms: &'a Terms<'a>,
    told: Vec<String>,
}

impl Reader<'_> {
    fn element(&mut self, element: &Value, tree: &mut Node) -> Result<(), String> {
        let path = element["path"].as_str().unwrap_or_default();
        // `Patient.identifier:national.system`: the id names the slices, the path does not.
        let id = element["id"].as_str().filter(|id| id.contains(':')).unwrap_or(path);
        let mut node = tree;
        for step in id.split('.').skip(1) {
            let (name, slice) =
                step.split_once(':').map_or((step, None), |(name, slice)| (name, Some(slice)));
            let Some(next) = child(&mut node.children, name) else { return Ok(()) };
            node = next;
            if let Some(slice) = slice {
                let Some(next) = child(&mut node.slices, slice) else { return Ok(()) };
                node = next;
            }
        }
        self.fill(element, node, id)
    }

    fn fill(&mut self, element: &Value, node: &mut Node, id: &str) -> Result<(), String> {
        if let Some(min) = element["min"].as_u64() {
            node.min = usize::try_from(min).unwrap_or(usize::MAX);
        }
        match element["max"].as_str() {
            None | Some("*") => {}
            Some(max) => {
                node.max = Some(max.parse().map_err(|_| format!("{}: max is no number", short(id)))?);
            }
        }
        for (key, value) in element.as_object().into_iter().flatten() {
            if key.starts_with("fixed") {
                node.fixed = Some(value.clone());
            } else if key.starts_with("pattern") {
                node.pattern = Some(value.clone());
            } else if key.starts_with("minValue") || key.starts_with("maxValue") || key == "maxLength" {
                self.told.push(format!("{}: {key} is not enforced", short(id)));
            }
        }
        for kind in list(&element["type"]) {
            node.types.extend(kind["code"].as_str().map(str::to_owned));
            let profiles = list(&kind["profile"]).iter().filter_map(Value::as_str);
            node.profiles.extend(profiles.map(|url| split_canonical(url).0.to_owned()));
        }
        if !id.contains('.') {
            // The root's type is the resource itself.
            node.types.clear();
        }
        self.binding(&element["binding"], node, id);
        self.rules(&element["constraint"], node, id);
        self.slicing(&element["slicing"], node, id);
        Ok(())
    }

    fn binding(&mut self, binding: &Value, node: &mut Node, id: &str) {
        if binding["strength"] != "required" {
            return;
        }
        let url = split_canonical(binding["valueSet"].as_str().unwrap_or_default()).0;
        node.binding = self.terms.codes(url);
        if node.binding.is_none() {
            self.told
                .push(format!("{}: its value set is not here, or no plain list: not enforced", short(id)));
        }
    }

    fn rules(&mut self, constraints: &Value, node: &mut Node, id: &str) {
        for rule in list(constraints) {
            let key = rule["key"].as_str().unwrap_or_default();
            if rules().all().iter().any(|known| known.key == key) {
                continue;
            }
            let severity = if rule["severity"] == "error" { Severity::Error } else { Severity::Warning };
            match engine().compile(rule["expression"].as_str().unwrap_or_default()) {
                Ok(program) => node.rules.push(Rule {
                    key: key.to_owned(),
                    severity,
                    human: rule["human"].as_str().unwrap_or_default().to_owned(),
                    program,
                }),
                Err(error) => self.told.push(format!("{}: {}: {error}: not enforced", short(id), short(key))),
            }
        }
    }

    fn slicing(&mut self, slicing: &Value, node: &mut Node, id: &str) {
        node.closed |= slicing["rules"] == "closed";
        for discriminator in list(&slicing["discriminator"]) {
            let path = discriminator["path"].as_str().unwrap_or_default();
            match discriminator["type"].as_str() {
                Some("value" | "pattern") if !path.contains('(') => {
                    let steps = path.split('.').filter(|step| *step != "$this").map(str::to_owned);
                    node.discriminators.push(Discriminator::Value(steps.collect()));
                }
                Some("type") if path == "$this" => node.discriminators.push(Discriminator::Type),
                _ => self.told.push(format!("{}: slices by this discriminator are not enforced", short(id))),
            }
        }
    }
}

/// The node of this name, made where there is none; always there.
fn child<'a>(nodes: &'a mut Vec<Node>, name: &str) -> Option<&'a mut Node> {
    if nodes.iter().all(|node| node.name != name) {
        nodes.push(Node { name: name.to_owned(), ..Node::default() });
    }
    nodes.iter_mut().find(|node| node.name == name)
}

fn list(value: &Value) -> &[Value] {
    value.as_array().map_or(&[], Vec::as_slice)
}

/// A name from a file, kept to a line.
fn short(text: &str) -> String {
    text.chars().filter(|c| !c.is_control()).take(120).collect()
}
