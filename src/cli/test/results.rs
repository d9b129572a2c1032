//! Runs every test of a folder.

use std::collections::BTreeMap;
use std::path::Path;

use crate::cli::failure::Failure;
use crate::cli::mappings::{load, surroundings_of, told};
use crate::config::Config;
use crate::mapping::program::Program;
use crate::mapping::testing::coverage::Coverage;
use crate::mapping::testing::{self, Failed, Setting};
use crate::server::mappings;

/// What came of all tests.
#[derive(Debug, Default)]
pub struct Results {
    pub passed: usize,
    /// With the test file.
    pub failed: Vec<(String, Failed)>,
    /// Mappings without tests.
    pub untested: Vec<String>,
    /// One a mapping, with its file.
    pub coverages: Vec<(String, Coverage)>,
}

impl Results {
    /// Reached rules, and all.
    pub fn coverage(&self) -> (usize, usize) {
        let all = self.coverages.iter().map(|(_, one)| (one.reached(), one.rules()));
        all.fold((0, 0), |sum, one| (sum.0 + one.0, sum.1 + one.1))
    }
}

/// Runs the tests beside every mapping of a folder.
pub fn of(config: &Config, tenant: &str, folder: &Path) -> Result<Results, Failure> {
    let loaded = load(config, tenant, Some(folder))?;
    if !loaded.diagnostics.is_empty() {
        return Err(Failure::new(told(&loaded.diagnostics)));
    }
    let mut results = Results::default();
    for program in &loaded.programs {
        one((config, tenant), program, &mut results)?;
    }
    Ok(results)
}

/// `NAME.test.yaml` beside `NAME.yaml`.
fn one((config, tenant): (&Config, &str), program: &Program, results: &mut Results) -> Result<(), Failure> {
    let unreadable = |error: mappings::Error| Failure::new(error.to_string());
    let mut coverage = Coverage::of(program, &mappings::read(Path::new(&program.file)).map_err(unreadable)?);
    let path = Path::new(&program.file).with_extension("test.yaml");
    let file = path.display().to_string();
    let tests = if path.exists() {
        let text = mappings::read(&path).map_err(unreadable)?;
        testing::read(&file, &text).map_err(|diagnostics| Failure::new(told(&diagnostics)))?
    } else {
        results.untested.push(program.file.clone());
        Vec::new()
    };
    let (registry, (zone, country)) = (mappings::registry(), surroundings_of(config, tenant)?);
    let keys = fixed_keys(config, tenant);
    let setting =
        Setting { registry: &registry, zone: &zone, country: country.as_deref(), pseudonym_keys: &keys };
    for test in &tests {
        let tested = testing::run(program, test, &setting);
        coverage.add(&tested.evaluation);
        match tested.failed {
            None => results.passed += 1,
            Some(failed) => results.failed.push((file.clone(), failed)),
        }
    }
    results.coverages.push((program.file.clone(), coverage));
    Ok(())
}

/// The same whatever the destinations are called, so that expected pseudonyms can be written down.
fn fixed_keys(config: &Config, tenant: &str) -> BTreeMap<String, Vec<u8>> {
    let configured = mappings::destinations(config, tenant).into_iter();
    let keys = configured.map(|(system, name)| (mappings::full_name(&system, &name), system.into_bytes()));
    let registry = mappings::registry();
    let systems = registry.iter().filter_map(|target| target.kind().split('.').next());
    let own_names = systems.map(|system| (mappings::full_name(system, system), system.as_bytes().to_vec()));
    own_names.chain(keys).collect()
}
