//! `mjumbe schema`: the JSON Schema of mapping files, or of their tests.

use std::process::ExitCode;

use clap::Args;

use super::failure::Failure;
use crate::mapping::{schema, testing};
use crate::server::mappings;

#[derive(Debug, Args)]
pub struct Arguments {
    /// Of test files (NAME.test.yaml) instead.
    #[arg(long)]
    test: bool,
}

pub fn run(arguments: &Arguments) -> Result<ExitCode, Failure> {
    let registry = mappings::registry();
    let schema = if arguments.test { testing::schema::schema(&registry) } else { schema::schema(&registry) };
    let text = serde_json::to_string_pretty(&schema);
    out!("{}", text.map_err(|error| Failure::because("cannot write JSON", error))?);
    Ok(ExitCode::SUCCESS)
}
