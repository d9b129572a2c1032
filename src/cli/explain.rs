//! `mjumbe explain`: where each value came from, and why one is missing.

use std::process::ExitCode;

use clap::Args;

use super::failure::Failure;
use super::mappings::Whose;
use super::{block_on, evaluation};
use crate::config::Config;
use crate::mapping::evaluate::Tracing;
use crate::mapping::explain::explain;

#[derive(Debug, Args)]
pub struct Arguments {
    /// A file with the resource as JSON, or Type/id of a stored one.
    file: String,
    /// The mapping's name, or its file.
    #[arg(long, short)]
    mapping: String,
    #[command(flatten)]
    whose: Whose,
    /// Only the rules that have this in their name, path, or value.
    #[arg(long)]
    value: Option<String>,
}

pub fn run(config: &Config, arguments: &Arguments) -> Result<ExitCode, Failure> {
    let (tenant, file, mapping) = (&arguments.whose.tenant, &arguments.file, &arguments.mapping);
    let done = block_on(evaluation::of(config, (tenant, file), mapping, Tracing::On))?;
    let text = explain(&done.program, &done.evaluation, arguments.value.as_deref());
    if text.trim().is_empty() {
        let what = arguments.value.as_deref().unwrap_or_default();
        return Err(Failure::new(format!("no rule of {mapping} has `{what}` in it"))
            .hint("leave --value out to see every rule"));
    }
    out!("{}", text.trim_end_matches('\n'));
    Ok(ExitCode::SUCCESS)
}
