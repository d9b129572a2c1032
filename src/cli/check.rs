//! `mjumbe check`: everything that is wrong with the mapping files.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;

use super::failure::Failure;
use super::mappings::Whose;
use super::stores;
use crate::config::Config;
use crate::server::mappings;

#[derive(Debug, Args)]
pub struct Arguments {
    /// A folder of mapping files, or one file; the configured folder where it is not given.
    folder: Option<PathBuf>,
    #[command(flatten)]
    whose: Whose,
    /// Print a JSON array of everything that is wrong.
    #[arg(long)]
    json: bool,
}

pub fn run(config: &Config, arguments: &Arguments) -> Result<ExitCode, Failure> {
    let tenant = stores::tenant(config, &arguments.whose.tenant)?;
    let folder = &arguments.folder.clone().unwrap_or_else(|| mappings::folder(config, tenant));
    let loaded = super::mappings::load(config, tenant, Some(folder))?;
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
        note!("{files} mapping files, nothing wrong. Next: mjumbe test");
        return Ok(ExitCode::SUCCESS);
    }
    note!("{} mistakes in {files} mapping files", loaded.diagnostics.len());
    Ok(ExitCode::FAILURE)
}
