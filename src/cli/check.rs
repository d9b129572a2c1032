//! `mjumbe check`: everything that is wrong with the mapping files.

use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

use clap::Args;

use super::failure::Failure;
use super::mappings::Whose;
use super::{block_on, metadata, stores};
use crate::config::Config;
use crate::mapping::program::Program;
use crate::rapidpro::client::Client;
use crate::rapidpro::fit::{self, Workspace};
use crate::server::{self, mappings};

#[derive(Debug, Args)]
pub struct Arguments {
    /// A folder of mapping files, or one file; the configured folder where it is not given.
    folder: Option<PathBuf>,
    #[command(flatten)]
    whose: Whose,
    /// Hold the files against this metadata (`mjumbe metadata pull --to FILE`) instead of the store's.
    #[arg(long, value_name = "FILE")]
    metadata: Option<PathBuf>,
    /// Hold the files against what DHIS2 and RapidPro have now: objects, types, options, assignments; flows, results,
    /// categories, contact fields, groups.
    #[arg(long, conflicts_with = "metadata")]
    live: bool,
    /// Print a JSON array of everything that is wrong.
    #[arg(long)]
    json: bool,
}

pub fn run(config: &Config, arguments: &Arguments) -> Result<ExitCode, Failure> {
    let tenant = stores::tenant(config, &arguments.whose.tenant)?;
    let folder = &arguments.folder.clone().unwrap_or_else(|| mappings::folder(config, tenant));
    let mut loaded = super::mappings::load(config, tenant, Some(folder))?;
    let instances = match &arguments.metadata {
        Some(path) => metadata::from_file(path)?,
        None if arguments.live => block_on(metadata::live(config, tenant, &loaded.programs))?,
        None => block_on(metadata::from_store(config, tenant))?,
    };
    let workspaces = match arguments.live {
        true => block_on(workspaces(config, tenant, &loaded.programs))?,
        false => Vec::new(),
    };
    let text = |file: &str| std::fs::read_to_string(file).unwrap_or_default();
    let registry = mappings::registry();
    let faults = server::metadata::faults(&loaded.programs, &registry, &instances, &text);
    loaded.diagnostics.extend(faults);
    loaded.diagnostics.extend(fit::faults(&loaded.programs, &workspaces, &text));
    if arguments.json {
        let text = serde_json::to_string(&loaded.diagnostics);
        out!("{}", text.map_err(|error| Failure::because("cannot write JSON", error))?);
    } else {
        for told in &loaded.diagnostics {
            out!("{told}\n");
        }
    }
    let files = mappings::files(folder).map_err(|error| Failure::new(error.to_string()))?.len();
    if files == 0 {
        return Err(Failure::new(format!("there are no mapping files in {}", folder.display()))
            .hint("a mapping file is NAME.yaml; name its folder, or set `mappings` in the configuration"));
    }
    if loaded.diagnostics.is_empty() {
        let mirrored = instances.values().filter(|metadata| metadata.is_loaded()).count();
        match mirrored + workspaces.len() {
            _ if arguments.live => {
                note!(
                    "{files} mapping files, nothing wrong, also by what DHIS2 and RapidPro have. Next: mjumbe test"
                )
            }
            0 => note!("{files} mapping files, nothing wrong. Next: mjumbe test"),
            _ => note!("{files} mapping files, nothing wrong, also by DHIS2's metadata. Next: mjumbe test"),
        }
        return Ok(ExitCode::SUCCESS);
    }
    note!("{} mistakes in {files} mapping files", loaded.diagnostics.len());
    Ok(ExitCode::FAILURE)
}

/// What each workspace of the tenant has now.
async fn workspaces(
    config: &Config,
    tenant: &str,
    programs: &[Arc<Program>],
) -> Result<Vec<Workspace>, Failure> {
    let mut found = Vec::new();
    for (name, settings) in config.workspaces_of(tenant) {
        let client = Client::new(name, settings).map_err(|error| Failure::new(error.to_string()))?;
        let read = Workspace::read(&client, programs).await;
        found.push(read.map_err(|error| {
            let hint = error.hint();
            Failure::new(format!("rapidpro.{name}: {error}")).hint(hint)
        })?);
    }
    Ok(found)
}
