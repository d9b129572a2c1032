//! Loading mapping files as `serve` does.

use std::path::Path;
use std::sync::Arc;

use super::failure::Failure;
use crate::config::Config;
use crate::config::problem::did_you_mean;
use crate::mapping::diagnostic::Diagnostic;
use crate::mapping::program::Program;
use crate::server::mappings::{self, Loaded};

/// The files of a folder, held against the configured destinations where there are any.
pub fn load(config: &Config, folder: &Path) -> Result<Loaded, Failure> {
    let destinations = mappings::destinations(config);
    let destinations = (!destinations.is_empty()).then_some(destinations.as_slice());
    let loaded = mappings::load(folder, &mappings::registry(), destinations);
    loaded.map_err(|error| Failure::new(error.to_string()))
}

/// Zone and default country of the tenant `default`.
pub fn surroundings_of(config: &Config) -> Result<(jiff::tz::TimeZone, Option<String>), Failure> {
    let name = config.tenant.get("default").map_or("UTC", |tenant| tenant.timezone.as_str());
    let zone = jiff::tz::TimeZone::get(name).map_err(|error| Failure::new(error.to_string()))?;
    Ok((zone, config.rapidpro.values().find_map(|workspace| workspace.country.clone())))
}

/// Everything that is wrong, one after the other.
pub fn told(diagnostics: &[Diagnostic]) -> String {
    diagnostics.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n\n")
}

/// One mapping by its name, or by the path of its file.
pub fn one(config: &Config, named: &str) -> Result<Arc<Program>, Failure> {
    let path = Path::new(named);
    let is_file = path.extension().is_some_and(|extension| extension == "yaml");
    let folder = match path.parent() {
        Some(folder) if is_file && !folder.as_os_str().is_empty() => folder.to_owned(),
        _ if is_file => ".".into(),
        _ => config.mappings.clone(),
    };
    let loaded = load(config, &folder)?;
    let fits = |program: &&Arc<Program>| {
        if is_file { Path::new(&program.file).file_name() == path.file_name() } else { program.name == named }
    };
    if let Some(program) = loaded.programs.iter().find(fits) {
        return Ok(Arc::clone(program));
    }
    let stem = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
    let about = |file: &str| Path::new(file).file_stem().is_some_and(|name| name.to_string_lossy() == stem);
    let wrong: Vec<String> =
        loaded.diagnostics.iter().filter(|told| about(&told.file)).map(ToString::to_string).collect();
    if !wrong.is_empty() {
        return Err(Failure::new(format!("{named} cannot be used\n{}", wrong.join("\n\n"))));
    }
    let failure =
        Failure::new(format!("no mapping is named `{named}` in {} [unknown-mapping]", folder.display()));
    let names = || loaded.programs.iter().map(|program| program.name.as_str());
    Err(match did_you_mean(named, names()) {
        Some(meant) => failure.hint(format!("did you mean `{meant}`?")),
        None => failure.hint(format!("there are: {}", names().collect::<Vec<_>>().join(", "))),
    })
}
