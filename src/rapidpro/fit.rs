//! Holds mappings against what a workspace has: flows and their results and categories, contact fields, groups.
//!
//! Reads lists and definitions, writes nothing. What does not fit is told with its place in the mapping file, for
//! `mjumbe check --live`.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::Value;

use super::catalogue::{self, Error, Listed, Shown};
use super::client::Client;
use super::flow::Flow;
use super::setup::list;
use crate::mapping::diagnostic::Diagnostic;
use crate::mapping::program::Program;

// What mappings ask of flows.
mod answers;
// What mappings ask of contacts.
mod contacts;

/// What a workspace has.
#[derive(Debug, Default)]
pub struct Workspace {
    /// As the configuration names it.
    pub name: String,
    pub flows: Vec<Listed>,
    /// By uuid, of the flows that mappings name; `None` where the definition cannot be read.
    pub results: BTreeMap<String, Option<Vec<Shown>>>,
    /// Keys of contact fields.
    pub fields: Vec<String>,
    /// Names and uuids of groups.
    pub groups: Vec<(String, String)>,
}

impl Workspace {
    /// Reads what these mappings ask for.
    ///
    /// # Errors
    /// [`Error`]: RapidPro did not give a list.
    pub async fn read(client: &Client, programs: &[Arc<Program>]) -> Result<Self, Error> {
        let flows = catalogue::live(client).await?;
        let text = |row: &Value, key: &str| row.get(key).and_then(Value::as_str).map(str::to_owned);
        let fields = list(client, "fields").await.map_err(Error::RapidPro)?;
        let groups = list(client, "groups").await.map_err(Error::RapidPro)?;
        let named = |flow: &&Listed| {
            let mut flows = programs.iter().filter_map(|program| program.from.flow.as_deref());
            flows.any(|wanted| flow.is(wanted))
        };
        let mut results = BTreeMap::new();
        for flow in flows.iter().filter(named) {
            let definition = match flow.definition(client).await {
                Ok(definition) => Some(definition),
                Err(Error::NoDefinition) => None,
                Err(error) => return Err(error),
            };
            let read = definition.and_then(|definition| Flow::read(&definition).ok());
            results.insert(flow.uuid.clone(), read.map(|flow| catalogue::results(&flow)));
        }
        Ok(Self {
            name: client.name().to_owned(),
            fields: fields.iter().filter_map(|row| text(row, "key")).collect(),
            groups: groups.iter().filter_map(|row| Some((text(row, "name")?, text(row, "uuid")?))).collect(),
            flows,
            results,
        })
    }
}

/// Everything that does not fit, in the order of the files. `text` gives a file's text by its name.
pub fn faults(
    programs: &[Arc<Program>],
    workspaces: &[Workspace],
    text: &dyn Fn(&str) -> String,
) -> Vec<Diagnostic> {
    let mut told = Vec::new();
    if workspaces.is_empty() {
        return told;
    }
    for program in programs {
        let text = text(&program.file);
        let mut own = answers::faults(program, workspaces, &text);
        own.extend(contacts::faults(program, workspaces));
        own.sort_by_key(|one| one.place);
        own.dedup();
        told.extend(own.into_iter().map(|one| one.within(&program.file, &text)));
    }
    told
}

#[cfg(test)]
mod tests;
