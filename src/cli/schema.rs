//! `mjumbe schema`: the JSON Schema of mapping files.

use std::process::ExitCode;

use super::failure::Failure;
use crate::mapping::schema;
use crate::server::mappings;

pub fn run() -> Result<ExitCode, Failure> {
    let schema = schema::schema(&mappings::registry());
    let text = serde_json::to_string_pretty(&schema);
    out!("{}", text.map_err(|error| Failure::because("cannot write JSON", error))?);
    Ok(ExitCode::SUCCESS)
}
