//! `mjumbe test`: the authors' tests beside the mapping files.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::Args;

use super::failure::Failure;
use super::mappings::{Whose, surroundings_of, told};
use super::stores;
use crate::config::Config;
use crate::mapping::program::Program;
use crate::mapping::testing::{self, Setting};
use crate::server::mappings;

#[derive(Debug, Args)]
pub struct Arguments {
    /// A folder of mapping files; the configured one where it is not given.
    folder: Option<PathBuf>,
    #[command(flatten)]
    whose: Whose,
}

pub fn run(config: &Config, arguments: &Arguments) -> Result<ExitCode, Failure> {
    let tenant = stores::tenant(config, &arguments.whose.tenant)?;
    let loaded = super::mappings::load(config, tenant, arguments.folder.as_deref())?;
    if !loaded.diagnostics.is_empty() {
        return Err(Failure::new(told(&loaded.diagnostics)));
    }
    let (mut passed, mut failed) = (0, 0);
    for program in &loaded.programs {
        match one((config, tenant), program)? {
            None => note!("{}: no tests", program.file),
            Some(result) => {
                passed += result.passed;
                failed += result.failed.len();
                result.failed.iter().for_each(|text| out!("{text}"));
            }
        }
    }
    note!("{passed} passed, {failed} failed");
    Ok(if failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

struct Results {
    passed: usize,
    failed: Vec<String>,
}

/// `NAME.test.yaml` beside `NAME.yaml`; `None` where there is none.
fn one((config, tenant): (&Config, &str), program: &Program) -> Result<Option<Results>, Failure> {
    let path = Path::new(&program.file).with_extension("test.yaml");
    if !path.exists() {
        return Ok(None);
    }
    let file = path.display().to_string();
    let text = mappings::read(&path).map_err(|error| Failure::new(error.to_string()))?;
    let tests = testing::read(&file, &text).map_err(|diagnostics| Failure::new(told(&diagnostics)))?;
    let (registry, (zone, country)) = (mappings::registry(), surroundings_of(config, tenant)?);
    let keys = fixed_keys(config, tenant);
    let setting =
        Setting { registry: &registry, zone: &zone, country: country.as_deref(), pseudonym_keys: &keys };
    let mut results = Results { passed: 0, failed: Vec::new() };
    for test in &tests {
        match testing::run(program, test, &setting) {
            Ok(_) => results.passed += 1,
            Err(failed) => {
                let place = test.place.within(&file);
                let differences = failed.differences.join("\n  ");
                results.failed.push(format!("FAILED {place}: {}\n  {differences}", failed.test));
            }
        }
    }
    Ok(Some(results))
}

/// The same whatever the destinations are called, so that expected pseudonyms can be written down.
fn fixed_keys(config: &Config, tenant: &str) -> BTreeMap<String, Vec<u8>> {
    let configured = mappings::destinations(config, tenant).into_iter();
    let keys = configured.map(|(system, name)| (mappings::full_name(&system, &name), system.into_bytes()));
    let own_names =
        ["rapidpro", "dhis2"].map(|system| (mappings::full_name(system, system), system.as_bytes().to_vec()));
    own_names.into_iter().chain(keys).collect()
}
