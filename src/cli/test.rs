//! `mjumbe test`: the authors' tests beside the mapping files.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::Args;

use super::failure::Failure;
use super::mappings::Whose;
use super::stores;
use crate::config::Config;
use crate::server::mappings;

mod report;
mod results;
mod watch;

use results::Results;

#[derive(Debug, Args)]
pub struct Arguments {
    /// A folder of mapping files, or one file; the configured folder where it is not given.
    folder: Option<PathBuf>,
    #[command(flatten)]
    whose: Whose,
    /// Run again whenever a mapping, a test or a table is saved; Ctrl-C ends it.
    #[arg(long)]
    watch: bool,
    /// Tell which rules no test reaches.
    #[arg(long)]
    coverage: bool,
    /// Fail if less than this percentage of the rules is reached.
    #[arg(long, value_name = "PERCENT", requires = "coverage", value_parser = clap::value_parser!(u8).range(0..=100))]
    coverage_min: Option<u8>,
    /// Print one JSON object: passed, failed, coverage.
    #[arg(long, conflicts_with = "watch")]
    json: bool,
}

pub fn run(config: &Config, arguments: &Arguments) -> Result<ExitCode, Failure> {
    let tenant = stores::tenant(config, &arguments.whose.tenant)?;
    let folder = arguments.folder.clone().unwrap_or_else(|| mappings::folder(config, tenant));
    if arguments.watch {
        return super::block_on(watch::run(config, arguments, &folder));
    }
    let results = results::of(config, tenant, &folder)?;
    report::tell(&results, arguments)?;
    Ok(if is_good(&results, arguments) { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// One run of `--watch`: what is wrong is told and does not end it.
fn once(config: &Config, arguments: &Arguments, folder: &Path) {
    let told = results::of(config, &arguments.whose.tenant, folder)
        .and_then(|results| report::tell(&results, arguments));
    if let Err(failure) = told {
        let _ = failure.report();
    }
}

fn is_good(results: &Results, arguments: &Arguments) -> bool {
    let enough = arguments.coverage_min.is_none_or(|least| {
        let (reached, rules) = results.coverage();
        reached * 100 >= rules * usize::from(least)
    });
    results.failed.is_empty() && enough
}
