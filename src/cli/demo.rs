//! `mjumbe demo`: the story on loopback.

use std::process::ExitCode;

use clap::Args;

use super::failure::Failure;

#[derive(Debug, Args)]
pub struct Arguments {
    /// Exit after the table at the end: 0 only if nothing was lost or doubled.
    #[arg(long)]
    once: bool,
    /// Print one JSON object on stdout instead of the story.
    #[arg(long)]
    json: bool,
    /// Another number tells another story.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Kill (SIGKILL) and restart the server N times during the story.
    #[arg(long, default_value_t = 0, value_name = "N")]
    kill: u32,
}

pub fn run(arguments: Arguments) -> Result<ExitCode, Failure> {
    Err(Failure::new(format!("the demo is not part of this build ({arguments:?})")))
}
