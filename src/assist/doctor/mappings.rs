//! Mapping files: do they load, for each tenant.

use std::sync::Arc;

use super::{Finding, Findings};
use crate::config::Config;
use crate::mapping::program::{self, NamedThere, Program};
use crate::server::mappings;

/// What mappings name on the far side, by tenant.
#[derive(Default)]
pub(super) struct ByTenant {
    all: Vec<(String, NamedThere)>,
}

impl ByTenant {
    /// What a tenant's mappings name at one DHIS2 instance.
    pub fn of(&self, tenant: &str, instance: &str) -> Vec<NamedThere> {
        let own = self.all.iter().filter(|(name, there)| {
            let here = there.destination.as_deref().is_none_or(|destination| destination == instance);
            name == tenant && there.system == "dhis2" && here
        });
        own.map(|(_, there)| there.clone()).collect()
    }
}

pub(super) fn examine(config: &Config) -> (Vec<Finding>, ByTenant) {
    let mut findings = Findings::about("mappings");
    let mut named = ByTenant::default();
    for tenant in config.tenant.keys() {
        let folder = mappings::folder(config, tenant);
        let destinations = mappings::destinations(config, tenant);
        let registry = mappings::registry();
        let destinations = mappings::is_any_outside(&destinations).then_some(destinations.as_slice());
        match mappings::load(&folder, &registry, destinations) {
            Err(error) => findings.fail("folder", error.to_string(), "see `mappings` in the configuration"),
            Ok(loaded) if !loaded.diagnostics.is_empty() => {
                let message =
                    format!("{} mistakes in the mapping files of `{tenant}`", loaded.diagnostics.len());
                findings.fail("mistakes", message, "`mjumbe check` shows each with its line");
            }
            Ok(loaded) => {
                counted(&mut findings, tenant, &loaded.programs);
                let there = loaded.programs.iter().flat_map(|program| program::names(program, &registry));
                named.all.extend(there.map(|there| (tenant.clone(), there)));
            }
        }
    }
    (findings.found, named)
}

fn counted(findings: &mut Findings, tenant: &str, programs: &[Arc<Program>]) {
    let names: Vec<&str> = programs.iter().map(|program| program.name.as_str()).collect();
    match names.len() {
        0 => {
            let hint = "`mjumbe mapping new` writes one; until then nothing is sent";
            findings.warn("files", format!("`{tenant}` has no mapping files"), hint);
        }
        count => findings.ok("files", format!("{count} of `{tenant}` load: {}", names.join(", "))),
    }
}
