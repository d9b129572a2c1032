//! Loading mapping files as `serve` does.

use std::path::Path;
use std::sync::Arc;

use clap::Args;

use super::failure::Failure;
use crate::config::Config;
use crate::config::problem::did_you_mean;
use crate::mapping::diagnostic::Diagnostic;
use crate::mapping::program::Program;
use crate::server::mappings::{self, Loaded};

/// Whose mappings and destinations a command is about; the default is the tenant `default`.
#[derive(Debug, Args)]
pub struct Whose {
    /// The tenant whose mappings and destinations are meant.
    #[arg(long, default_value = "default", value_name = "NAME")]
    pub tenant: String,
}

/// The files of a folder, held against the tenant's destinations where there are any; the tenant's own folder
/// where none is named.
pub fn load(config: &Config, tenant: &str, folder: Option<&Path>) -> Result<Loaded, Failure> {
    let destinations = mappings::destinations(config, tenant);
    let destinations = mappings::is_any_outside(&destinations).then_some(destinations.as_slice());
    let folder = folder.map_or_else(|| mappings::folder(config, tenant), Path::to_owned);
    let loaded = mappings::load(&folder, &mappings::registry(), destinations);
    loaded.map_err(|error| Failure::new(error.to_string()))
}

/// Zone and default country of a tenant, as `serve` takes them.
pub fn surroundings_of(
    config: &Config,
    tenant: &str,
) -> Result<(jiff::tz::TimeZone, Option<String>), Failure> {
    let name = config.tenant.get(tenant).map_or("UTC", |tenant| tenant.timezone.as_str());
    let zone = jiff::tz::TimeZone::get(name).map_err(|error| Failure::new(error.to_string()))?;
    Ok((zone, config.workspaces_of(tenant).find_map(|(_, workspace)| workspace.country.clone())))
}

/// Everything that is wrong, one after the other.
pub fn told(diagnostics: &[Diagnostic]) -> String {
    diagnostics.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n\n")
}

/// One mapping by its name, or by the path of its file.
pub fn one(config: &Config, tenant: &str, named: &str) -> Result<Arc<Program>, Failure> {
    let path = Path::new(named);
    let is_file = path.extension().is_some_and(|extension| extension == "yaml");
    let folder = match path.parent() {
        Some(folder) if is_file && !folder.as_os_str().is_empty() => folder.to_owned(),
        _ if is_file => ".".into(),
        _ => mappings::folder(config, tenant),
    };
    let loaded = load(config, tenant, Some(&folder))?;
    let fits = |program: &&Arc<Program>| {
        if is_file { Path::new(&program.file).file_name() == path.file_name() } else { program.name == named }
    };
    if let Some(program) = loaded.programs.iter().find(fits) {
        return Ok(Arc::clone(program));
    }
    let stem = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
    let about = |file: &str| Path::new(file).file_stem().is_some_and(|name| name.to_string_lossy() == stem);
    let (wrong, others): (Vec<&Diagnostic>, Vec<&Diagnostic>) =
        loaded.diagnostics.iter().partition(|told| about(&told.file));
    if !wrong.is_empty() {
        return Err(Failure::new(format!("{named} cannot be used\n{}", listed(&wrong))));
    }
    Err(unknown(named, &folder, (&loaded.programs, &others)))
}

/// A file with a mistake has no name, so the one that is meant may be among those.
fn unknown(named: &str, folder: &Path, (programs, wrong): (&[Arc<Program>], &[&Diagnostic])) -> Failure {
    let mut text = format!("no mapping is named `{named}` in {} [unknown-mapping]", folder.display());
    if !wrong.is_empty() {
        text.push_str(&format!("\nit may be in a file that cannot be used:\n{}", listed(wrong)));
    }
    let failure = Failure::new(text);
    let names = || programs.iter().map(|program| program.name.as_str());
    match did_you_mean(named, names()) {
        Some(meant) => failure.hint(format!("did you mean `{meant}`?")),
        None if !programs.is_empty() => {
            failure.hint(format!("there are: {}", names().collect::<Vec<_>>().join(", ")))
        }
        None if wrong.is_empty() => failure.hint("there are no mapping files"),
        None => failure.hint("mend it, or say which file is meant: --mapping FILE.yaml"),
    }
}

fn listed(diagnostics: &[&Diagnostic]) -> String {
    diagnostics.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n\n")
}
