//! The command line: one file a command.
//!
//! **No logic of its own**: a command reads its arguments, calls a room and prints. What a person or a
//! program asked for goes to stdout, everything else (errors, progress, logs) to stderr. Exit codes: 0
//! done, 1 not done, 2 wrong usage, 78 wrong configuration (`sysexits.h`).

/// Printing; its macros are used by the commands below.
#[macro_use]
mod output;

// Who looked at people's data.
mod audit;
// Everything that is wrong with the mapping files.
mod check;
// What waits, what a person must look at.
mod deliveries;
// The story on loopback.
mod demo;
// What another version of a mapping would change.
mod diff;
// Everything that a report passes through, examined.
mod doctor;
// One mapping applied to one resource.
mod evaluation;
// Where each value came from.
mod explain;
// Waiting for Ctrl-C.
mod ended;
// Exit codes and errors for people.
pub mod failure;
// What there is to map.
mod flows;
// A folder to start from.
mod init;
// A first mapping.
mod mapping;
// Loading mapping files as `serve` does.
mod mappings;
// What DHIS2 says of what the mappings name.
mod metadata;
// A mapping applied to what is stored already.
mod replay;
// A dry run of one mapping.
mod run;
// The simulated systems alone.
mod sandbox;
// The JSON Schema of mapping files.
mod schema;
// The program itself.
mod serve;
// What mappings need in RapidPro.
mod setup;
// Opening the store that the configuration names.
mod stores;
// The authors' tests beside the mapping files.
mod test;
// Making, listing and revoking tokens.
mod token;
// Where a report is, and why.
mod trace;

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{Parser, Subcommand};

use crate::config::{self, Config};
use failure::Failure;

/// What is read where no file is named.
const CONFIGURATION: &str = "mjumbe.toml";

/// Mjumbe: a FHIR facade between FHIR systems, RapidPro and DHIS2 that loses nothing and sends nothing twice.
#[derive(Debug, Parser)]
#[command(name = "mjumbe", version, max_term_width = 100)]
struct CommandLine {
    /// The configuration file, else ./mjumbe.toml where there is one; every key can also come from the environment
    /// (MJUMBE__SECTION__KEY).
    #[arg(long, global = true, env = "MJUMBE_CONFIG", value_name = "FILE")]
    config: Option<PathBuf>,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Make a folder to start from: settings, a first mapping and its test.
    Init(init::Arguments),
    /// Examine settings, store, clocks, RapidPro, DHIS2 and mappings, and say what to do.
    Doctor(doctor::Arguments),
    /// List a workspace's flows, and show what they ask.
    Flows(flows::Arguments),
    /// Write a first mapping from what RapidPro and DHIS2 say of themselves.
    Mapping(mapping::Arguments),
    /// Make in RapidPro what the mappings need.
    Setup(setup::Arguments),
    /// Run the server: FHIR, webhooks, mappings, deliveries.
    Serve(serve::Arguments),
    /// Make, list and revoke the tokens that clients send.
    Token(token::Arguments),
    /// Tell everything that is wrong with the mapping files.
    Check(check::Arguments),
    /// Read the metadata of DHIS2 that the mappings name, so that `check` works offline.
    Metadata(metadata::Arguments),
    /// Run the tests beside the mapping files (NAME.test.yaml).
    Test(test::Arguments),
    /// Show what a mapping would send for one resource, and send nothing.
    Run(run::Arguments),
    /// Show where each value came from, and why one is missing.
    Explain(explain::Arguments),
    /// Show what another version of a mapping would change, over the last stored resources; send nothing.
    Diff(diff::Arguments),
    /// Print the JSON Schema of mapping files or of their tests, for completion in an editor.
    Schema(schema::Arguments),
    /// When somebody calls: show where a report is, and why.
    Trace(trace::Arguments),
    /// List who looked at people's data, and whose requests were repaired: when and why.
    Audit(audit::Arguments),
    /// Apply a new or changed mapping to what is stored already, after a preview.
    Replay(replay::Arguments),
    /// List, show, retry and cancel deliveries.
    Deliveries(deliveries::Arguments),
    /// See the whole job on this machine: a simulated RapidPro and DHIS2, and a story told as it happens.
    Demo(demo::Arguments),
    /// Run a simulated RapidPro and DHIS2 alone, with faults to choose from.
    Sandbox(sandbox::Arguments),
}

/// Parses the command line and runs one command.
pub fn main() -> ExitCode {
    // One TLS implementation for the whole process; an error means that it is set already.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let line = CommandLine::parse();
    match dispatch(line) {
        Ok(code) => output::failure().map_or(code, |failure| failure.report()),
        Err(failure) => failure.report(),
    }
}

fn dispatch(line: CommandLine) -> Result<ExitCode, Failure> {
    let config = || load(line.config.as_deref());
    match line.command {
        Command::Init(arguments) => init::run(arguments),
        Command::Doctor(arguments) => doctor::run(read(line.config.as_deref()), &arguments),
        Command::Flows(arguments) => flows::run(&config()?, arguments),
        Command::Mapping(arguments) => mapping::run(&config()?, &arguments),
        Command::Setup(arguments) => setup::run(&config()?, &arguments),
        Command::Serve(arguments) => serve::run(config()?, arguments),
        Command::Token(arguments) => token::run(&config()?, arguments),
        Command::Check(arguments) => check::run(&config()?, &arguments),
        Command::Metadata(arguments) => metadata::run(&config()?, &arguments),
        Command::Test(arguments) => test::run(&config()?, &arguments),
        Command::Run(arguments) => run::run(&config()?, &arguments),
        Command::Explain(arguments) => explain::run(&config()?, &arguments),
        Command::Diff(arguments) => diff::run(&config()?, &arguments),
        Command::Schema(arguments) => schema::run(&arguments),
        Command::Trace(arguments) => trace::run(&config()?, &arguments),
        Command::Audit(arguments) => audit::run(&config()?, &arguments),
        Command::Replay(arguments) => replay::run(&config()?, &arguments),
        Command::Deliveries(arguments) => deliveries::run(&config()?, arguments),
        Command::Demo(arguments) => demo::run(arguments),
        Command::Sandbox(arguments) => sandbox::run(arguments),
    }
}

fn load(file: Option<&Path>) -> Result<Config, Failure> {
    Ok(read(file)?)
}

fn read(file: Option<&Path>) -> Result<Config, config::problem::Error> {
    let variables = std::env::vars_os()
        .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)));
    let beside = Path::new(CONFIGURATION);
    let file = file.or_else(|| beside.is_file().then_some(beside));
    config::load(file, variables)
}

/// Runs one command's future to its end.
fn block_on<T>(future: impl Future<Output = Result<T, Failure>>) -> Result<T, Failure> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
    runtime.map_err(|error| Failure::new(format!("the runtime did not start: {error}")))?.block_on(future)
}
