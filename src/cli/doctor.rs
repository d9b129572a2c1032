//! `mjumbe doctor`: everything that a report passes through, examined.

use std::process::ExitCode;

use clap::Args;

use super::block_on;
use super::failure::Failure;
use crate::assist::doctor::{self, Finding, Level};
use crate::config::Config;
use crate::config::problem;

#[derive(Debug, Args)]
pub struct Arguments {
    /// Print a JSON array of what was found.
    #[arg(long)]
    json: bool,
}

pub fn run(config: Result<Config, problem::Error>, arguments: &Arguments) -> Result<ExitCode, Failure> {
    let findings = match config {
        Ok(config) => block_on(async { Ok(doctor::examine(&config).await) })?,
        Err(error) => doctor::misconfigured(&error.problems),
    };
    if arguments.json {
        let text = serde_json::to_string_pretty(&findings);
        out!("{}", text.map_err(|error| Failure::because("cannot write JSON", error))?);
    } else {
        show(&findings);
    }
    let failed = findings.iter().any(|found| found.level == Level::Failed);
    Ok(if failed { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

fn show(findings: &[Finding]) {
    let width = findings.iter().map(|found| found.about.chars().count()).max().unwrap_or_default();
    for found in findings {
        out!("{:<7}  {:<width$}  {}", found.level.word(), found.about, found.message);
        if !found.hint.is_empty() {
            out!("{:7}  {:width$}  hint: {}", "", "", found.hint);
        }
    }
    let count = |level: Level| findings.iter().filter(|found| found.level == level).count();
    note!(
        "{} ok, {} to be looked at, {} failed",
        count(Level::Ok),
        count(Level::Warning),
        count(Level::Failed)
    );
}
