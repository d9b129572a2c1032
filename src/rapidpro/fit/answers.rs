//! What mappings ask of flows: that the flow is there, has the results that are looked at, and that these have the
//! categories that `map` and comparisons name.

use serde_json::Value;

use super::{Listed, Shown, Workspace};
use crate::mapping::diagnostic::{Diagnostic, Place};
use crate::mapping::expression::{Expression, Operation, Operator, Source};
use crate::mapping::program::Program;
use crate::mapping::program::walk::{self, Look};
use crate::mapping::source::{self, Node};
use crate::mapping::steps::text_of;

pub(super) fn faults(program: &Program, workspaces: &[Workspace], text: &str) -> Vec<Diagnostic> {
    let Some(wanted) = &program.from.flow else { return Vec::new() };
    // The file was loaded, so it parses.
    let root = source::parse(text).ok();
    let place = root.as_ref().and_then(|root| root.get("from")?.get("flow")).map(|node| node.place);
    let place = place.unwrap_or(program.from.place);
    let all = || workspaces.iter().flat_map(|one| one.flows.iter().map(move |flow| (one, flow)));
    let mut found = all().filter(|(_, flow)| flow.is(wanted)).collect::<Vec<_>>();
    found.sort_by_key(|(_, flow)| flow.archived);
    match found.first() {
        None => vec![unknown_flow(place, wanted, all().map(|(_, flow)| flow))],
        Some((_, flow)) if flow.archived => {
            let message = format!("the flow `{wanted}` is archived: nobody answers it");
            let told = Diagnostic::new("flow-archived", place, message).offending(wanted);
            vec![told.hint("activate it in RapidPro, or name another")]
        }
        Some((workspace, flow)) => {
            let shown = workspace.results.get(&flow.uuid).and_then(Option::as_deref);
            results(program, flow, shown, root.as_ref())
        }
    }
}

pub(super) fn unknown_flow<'a>(
    place: Place,
    wanted: &str,
    flows: impl Iterator<Item = &'a Listed>,
) -> Diagnostic {
    let names: Vec<&str> = flows.filter(|flow| !flow.archived).map(|flow| flow.name.as_str()).collect();
    let message = format!("there is no flow `{wanted}` in RapidPro");
    Diagnostic::new("flow-unknown", place, message).offending(wanted).meant(names.iter().copied())
}

fn results(
    program: &Program,
    flow: &Listed,
    shown: Option<&[Shown]>,
    root: Option<&Node>,
) -> Vec<Diagnostic> {
    let known: Vec<&str> = match shown {
        Some(shown) => shown.iter().map(|one| one.key.as_str()).collect(),
        None => flow.results.iter().map(String::as_str).collect(),
    };
    let mut told = Vec::new();
    for look in walk::looks(program) {
        let names = look.path.names();
        let (true, Some(key)) = (look.path.root == "answers", names.first()) else { continue };
        if !known.contains(key) {
            let message = format!("the flow `{}` has no result `{key}`", flow.name);
            let one = Diagnostic::new("flow-result-unknown", look.place, message).offending(*key);
            told.push(one.meant(known.iter().copied()));
        } else if let Some(result) = shown.and_then(|all| all.iter().find(|one| one.key == **key)) {
            categories(&mut told, &look, result, root);
        }
    }
    told
}

/// Of a choice: `map` must have each category and no other; so must comparisons.
fn categories(told: &mut Vec<Diagnostic>, look: &Look<'_>, result: &Shown, root: Option<&Node>) {
    let Some(value) = look.value.filter(|value| result.kind == "choice" && begins_here(value)) else {
        return;
    };
    for comparison in look.comparisons.iter().filter(|_| value.steps.is_empty()) {
        let constants: Vec<&Expression> = match &comparison.operator {
            Operator::Is(one) => vec![one],
            Operator::In(all) => all.iter().collect(),
            _ => Vec::new(),
        };
        for one in constants {
            let Source::Constant(constant) = &one.source else { continue };
            told.extend(unknown_category(one.place, constant, result));
        }
    }
    // Other steps change what `map` sees.
    let first = value.steps.iter().find(|step| !matches!(step.operation, Operation::When(_)));
    let Some((step, Operation::Map(pairs))) = first.map(|step| (step, &step.operation)) else { return };
    let node = root.and_then(|root| root.below(step.place));
    for (key, _) in pairs {
        let place = node.and_then(|node| node.place_of(key)).unwrap_or(step.place);
        told.extend(unknown_category(place, &Value::String(key.clone()), result));
    }
    let missing = result.categories.iter().filter(|name| !pairs.iter().any(|(key, _)| key == *name));
    if value.otherwise.is_none() {
        told.extend(missing.map(|name| {
            let message =
                format!("`map` has nothing for the category `{name}` of the result `{}`", result.key);
            Diagnostic::new("flow-category-unmapped", step.place, message)
                .hint("add it to `map`, with null if it means nothing; or give `otherwise`")
        }));
    }
}

/// The only path of its VALUE: another one may be no answer.
fn begins_here(value: &Expression) -> bool {
    matches!(&value.source, Source::Path(paths) if paths.len() == 1)
}

fn unknown_category(place: Place, constant: &Value, result: &Shown) -> Option<Diagnostic> {
    let text = text_of(constant)?;
    if result.categories.contains(&text) {
        return None;
    }
    let message = format!("the result `{}` has no category `{text}`", result.key);
    let told = Diagnostic::new("flow-category-unknown", place, message).offending(&text);
    Some(told.meant(result.categories.iter().map(String::as_str)))
}
