//! What mappings name in the DHIS2 instances of a tenant: what is worth mirroring, and what is wrong with it.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::dhis2::metadata::Metadata;
use crate::dhis2::metadata::judge::judge;
use crate::dhis2::metadata::scope::Scope;
use crate::mapping::diagnostic::Diagnostic;
use crate::mapping::program::{NamedThere, Program, names};
use crate::mapping::target::Registry;

// What is named by values that are computed.
mod computed;

use computed::About;

/// What the mappings name at one instance. A name whose destination is computed may be at any.
pub fn named_at(programs: &[Arc<Program>], registry: &Registry, instance: &str) -> Scope {
    let all: Vec<NamedThere> = programs.iter().flat_map(|program| names(program, registry)).collect();
    Scope::of(all.iter().filter(|there| is_at(there, instance)).map(|there| &there.named))
}

fn is_at(there: &NamedThere, instance: &str) -> bool {
    there.system == "dhis2" && there.destination.as_deref().is_none_or(|name| name == instance)
}

/// Everything that the mirrored metadata of the instances (by name) says against the mappings, in the order
/// of the files. `text` gives a file's text by its name.
pub fn faults(
    programs: &[Arc<Program>],
    registry: &Registry,
    instances: &BTreeMap<String, Metadata>,
    text: &dyn Fn(&str) -> String,
) -> Vec<Diagnostic> {
    let mut told = Vec::new();
    for program in programs {
        let text = text(&program.file);
        for (there, about) in program.to.iter().flat_map(|entry| computed::names(entry, registry)) {
            let at = instances.iter().filter(|(name, metadata)| is_at(&there, name) && metadata.is_loaded());
            for (_, metadata) in at {
                let found = of(&there, about, metadata).into_iter();
                told.extend(found.map(|one| one.within(&program.file, &text)));
            }
        }
    }
    told
}

fn of(there: &NamedThere, about: About, metadata: &Metadata) -> Vec<Diagnostic> {
    let as_told = |fault: crate::dhis2::metadata::judge::Fault| {
        let value = there.named.value.as_ref().filter(|_| fault.of_value);
        let (place, field, text) = match value {
            Some((field, text)) => (there.value_place, field, text),
            None => (there.place, &there.named.field, &there.named.name),
        };
        let mut one =
            Diagnostic::new(fault.code, place, format!("`{field}`: {}", fault.message)).offending(text);
        one.hint = fault.hint;
        one.did_you_mean = fault.did_you_mean;
        one
    };
    let faults = judge(&there.named, metadata).into_iter();
    faults.filter(|fault| about == About::Name || fault.of_value).map(as_told).collect()
}
