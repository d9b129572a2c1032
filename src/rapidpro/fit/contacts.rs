//! What mappings ask of contacts: fields that are read or written, groups, flows that are started.

use serde_json::Value;

use super::Workspace;
use super::answers::unknown_flow;
use crate::mapping::diagnostic::{Diagnostic, Place};
use crate::mapping::expression::Expression;
use crate::mapping::program::walk;
use crate::mapping::program::{Destination, Entry, FieldContent, LookupKind, Program};

const MAKE: &str = "`mjumbe setup rapidpro` makes what mappings need";

pub(super) fn faults(program: &Program, workspaces: &[Workspace]) -> Vec<Diagnostic> {
    let mut told = read(program, workspaces);
    for entry in program.to.iter().filter(|entry| entry.kind.starts_with("rapidpro.")) {
        let Destination::Fixed(name) = &entry.destination else { continue };
        if let Some(workspace) = workspaces.iter().find(|one| one.name == *name) {
            told.extend(written(entry, workspace));
        }
    }
    told
}

/// `$.NAME.fields.KEY`, where NAME is a contact that was looked up: in any workspace.
fn read(program: &Program, workspaces: &[Workspace]) -> Vec<Diagnostic> {
    let is_contact = |name: &str| {
        program.with.iter().any(|one| one.name == name && matches!(one.what, LookupKind::Contact { .. }))
    };
    let document = program.from.kind == crate::rapidpro::mirror::CONTACT;
    let known: Vec<&str> = workspaces.iter().flat_map(|one| &one.fields).map(String::as_str).collect();
    let mut told = Vec::new();
    for look in walk::looks(program) {
        let of_contact = is_contact(&look.path.root) || (document && look.path.root == "document");
        if let (true, ["fields", key, ..]) = (of_contact, look.path.names().as_slice()) {
            told.extend(field(look.place, key, &known));
        }
    }
    told
}

fn field(place: Place, key: &str, known: &[&str]) -> Option<Diagnostic> {
    if known.contains(&key) {
        return None;
    }
    let message = format!("there is no contact field `{key}` in RapidPro");
    let mut told = Diagnostic::new("contact-field-unknown", place, message).offending(key).hint(MAKE);
    told = told.meant(known.iter().copied());
    Some(told)
}

fn written(entry: &Entry, workspace: &Workspace) -> Vec<Diagnostic> {
    let known: Vec<&str> = workspace.fields.iter().map(String::as_str).collect();
    let mut told = Vec::new();
    for named in &entry.fields {
        match (named.name.as_str(), &named.content) {
            ("fields", FieldContent::Map(pairs)) if entry.kind == "rapidpro.contact" => {
                told.extend(pairs.iter().filter_map(|(key, value)| field(value.place, key, &known)));
            }
            ("groups", FieldContent::List(values)) => {
                told.extend(values.iter().flat_map(|value| groups(value, workspace)));
            }
            ("flow", FieldContent::Value(value)) => told.extend(started(value, workspace)),
            _ => {}
        }
    }
    told
}

fn groups(value: &Expression, workspace: &Workspace) -> Vec<Diagnostic> {
    let is_there = |wanted: &str| {
        workspace.groups.iter().any(|(name, uuid)| name.eq_ignore_ascii_case(wanted) || uuid == wanted)
    };
    let missing = constants(value).into_iter().filter(|name| !is_there(name));
    let told = missing.map(|name| {
        let message = format!("there is no group `{name}` in RapidPro");
        let told = Diagnostic::new("group-unknown", value.place, message).offending(&name).hint(MAKE);
        told.meant(workspace.groups.iter().map(|(name, _)| name.as_str()))
    });
    told.collect()
}

fn started(value: &Expression, workspace: &Workspace) -> Vec<Diagnostic> {
    let told = constants(value).into_iter().filter_map(|wanted| {
        let found = workspace.flows.iter().filter(|flow| flow.is(&wanted)).min_by_key(|flow| flow.archived);
        match found {
            None => Some(unknown_flow(value.place, &wanted, workspace.flows.iter())),
            Some(flow) if flow.archived => {
                let message = format!("the flow `{wanted}` is archived and cannot be started");
                Some(Diagnostic::new("flow-archived", value.place, message).offending(&wanted))
            }
            Some(_) => None,
        }
    });
    told.collect()
}

fn constants(value: &Expression) -> Vec<String> {
    let texts = walk::constants(value).into_iter();
    texts
        .filter_map(|constant| match constant {
            Value::String(text) => Some(text),
            _ => None,
        })
        .collect()
}
