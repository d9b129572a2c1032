//! What loaded mappings need of a workspace. Pure.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use serde_json::Value;

use crate::mapping::expression::{Expression, Operation, Type};
use crate::mapping::program::{Destination, Entry, FieldContent, LookupKind, Program, walk};

/// The type of a contact field, in RapidPro's words.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum FieldType {
    Text,
    Number,
    Datetime,
}

impl FieldType {
    pub fn word(self) -> &'static str {
        match self {
            Self::Text => "text",
            Self::Number => "number",
            Self::Datetime => "datetime",
        }
    }
}

/// What the mappings of one workspace need.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Needs {
    /// By key. A field that is only read is a text.
    pub fields: BTreeMap<String, FieldType>,
    /// By name.
    pub groups: BTreeSet<String>,
    /// Names or uuids of flows that answers come from.
    pub answers_of: BTreeSet<String>,
    /// Names or uuids of flows that are started.
    pub started: BTreeSet<String>,
}

impl Needs {
    /// Of the tenant's mappings, as far as they are about this workspace.
    pub fn of(programs: &[Arc<Program>], workspace: &str) -> Self {
        let mut needs = Self::default();
        for program in programs {
            needs.answers_of.extend(program.from.flow.clone());
            needs.looked_up(program);
            for entry in program.to.iter().filter(|entry| is_for(entry, workspace)) {
                needs.entry(entry);
            }
        }
        needs
    }

    /// `$.NAME.fields.KEY`, where NAME is a contact that was looked up.
    fn looked_up(&mut self, program: &Program) {
        let is_contact = |name: &str| {
            program.with.iter().any(|one| one.name == name && matches!(one.what, LookupKind::Contact { .. }))
        };
        let document = program.from.kind == crate::rapidpro::mirror::CONTACT;
        for path in walk::paths(program) {
            let of_contact = is_contact(&path.root) || (document && path.root == "document");
            if let (true, ["fields", key, ..]) = (of_contact, path.names().as_slice()) {
                self.fields.entry((*key).to_owned()).or_insert(FieldType::Text);
            }
        }
    }

    fn entry(&mut self, entry: &Entry) {
        for field in &entry.fields {
            match (field.name.as_str(), &field.content) {
                ("fields", FieldContent::Map(pairs)) => {
                    for (key, value) in pairs {
                        let kind = type_of(value);
                        let known = self.fields.entry(key.clone()).or_insert(kind);
                        *known = kind.max(*known);
                    }
                }
                ("groups", FieldContent::List(values)) => {
                    let texts = values.iter().flat_map(walk::constants).filter_map(text);
                    self.groups.extend(texts.filter(|name| uuid::Uuid::parse_str(name).is_err()));
                }
                ("flow", FieldContent::Value(value)) => {
                    self.started.extend(walk::constants(value).into_iter().filter_map(text));
                }
                ("flow", FieldContent::Literal(Value::String(name))) => {
                    self.started.insert(name.clone());
                }
                _ => {}
            }
        }
    }
}

fn is_for(entry: &Entry, workspace: &str) -> bool {
    let here = match &entry.destination {
        Destination::Fixed(name) => name == workspace,
        Destination::Computed { among, .. } => among.iter().any(|name| name == workspace),
    };
    here && entry.kind.starts_with("rapidpro.")
}

fn text(value: Value) -> Option<String> {
    value.as_str().map(str::to_owned)
}

/// The type that a field needs to read its values back. RapidPro's dates have a time of day; a text keeps what was
/// written, and so does the field of an age or of a mapped word.
fn type_of(value: &Expression) -> FieldType {
    let last = value.steps.iter().rev().find_map(|step| match &step.operation {
        Operation::Type(kind) => Some(kind),
        _ => None,
    });
    let rewritten = value.steps.iter().any(|step| {
        matches!(
            step.operation,
            Operation::Map(_) | Operation::Bands(_) | Operation::Lookup { .. } | Operation::Write(_)
        )
    });
    match last {
        Some(Type::Integer | Type::Number) if !rewritten => FieldType::Number,
        Some(Type::Date(_) | Type::DateTime(_)) if !rewritten => FieldType::Datetime,
        _ => FieldType::Text,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mapping::program::{Settings, load};
    use crate::mapping::table::Tables;
    use crate::mapping::target::Registry;
    use crate::rapidpro::contact;

    fn needs(text: &str) -> Needs {
        let registry = Registry::default().with(Arc::new(contact::target::Contact));
        let settings = Settings { registry: &registry, destinations: None, tables: &Tables::new() };
        Needs::of(&[Arc::new(load("m.yaml", text, &settings).unwrap())], "rapidpro")
    }

    #[test]
    fn what_is_written_and_what_is_looked_at_is_needed() {
        let found = needs(
            "mapping: m\nfrom: { resource: QuestionnaireResponse, flow: Registration }\n\
             with:\n  who: { contact: $.resource.source }\n  unit: { orgUnit: $.who.fields.village_id }\n\
             to:\n  - rapidpro.contact:\n      urns: [{ path: $.answers.phone, type: phone }]\n      fields:\n\
             \x20       weight: { path: $.answers.weight, type: number }\n\
             \x20       band: { path: $.answers.age, type: integer, bands: { 0: small, 5: big } }\n\
             \x20       due: { path: $.answers.due, type: date }\n\
             \x20     groups: [Mothers, { path: $.answers.sex, map: { F: Women, M: Men } }]\n",
        );
        let fields: Vec<_> = found.fields.iter().map(|(key, kind)| (key.as_str(), kind.word())).collect();
        let wanted = [("band", "text"), ("due", "datetime"), ("village_id", "text"), ("weight", "number")];
        assert_eq!(fields, wanted);
        assert_eq!(found.groups, ["Men", "Mothers", "Women"].map(str::to_owned).into());
        assert_eq!(found.answers_of, ["Registration".to_owned()].into());
    }

    #[test]
    fn another_workspaces_groups_are_not_needed_here() {
        let registry = Registry::default().with(Arc::new(contact::target::Contact));
        let destinations = [("rapidpro".to_owned(), "a".to_owned()), ("rapidpro".to_owned(), "b".to_owned())];
        let settings =
            Settings { registry: &registry, destinations: Some(&destinations), tables: &Tables::new() };
        let text = "mapping: m\nfrom: { resource: Patient }\nto:\n\
                    - rapidpro.contact: { destination: b, urns: ['tel:+250788123456'], groups: [Patients] }\n";
        let program = Arc::new(load("m.yaml", text, &settings).unwrap());
        assert!(Needs::of(&[Arc::clone(&program)], "a").groups.is_empty());
        assert_eq!(Needs::of(&[program], "b").groups.len(), 1);
    }
}
