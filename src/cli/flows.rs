//! `mjumbe flows list|show`: what there is to map.

use std::process::ExitCode;

use clap::{Args, Subcommand};
use serde_json::json;

use super::failure::Failure;
use super::mappings::Whose;
use super::{block_on, setup, stores};
use crate::config::Config;
use crate::config::problem::did_you_mean;
use crate::rapidpro::catalogue::{self, Listed};
use crate::rapidpro::client::Client;
use crate::rapidpro::flow::{Flow, example};

#[derive(Debug, Args)]
pub struct Arguments {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, Subcommand)]
enum What {
    /// List the workspace's flows.
    List {
        #[command(flatten)]
        from: From,
        /// Print a JSON array.
        #[arg(long)]
        json: bool,
    },
    /// Show a flow's results: keys, types, categories.
    Show {
        /// Name or uuid.
        flow: String,
        #[command(flatten)]
        from: From,
        /// Print JSON.
        #[arg(long)]
        json: bool,
        /// Print a sample QuestionnaireResponse for `mjumbe run`.
        #[arg(long)]
        example: bool,
        /// Uuid of the contact who gives the sample answers.
        #[arg(long, value_name = "UUID", default_value = example::CONTACT, requires = "example")]
        contact: uuid::Uuid,
    },
}

/// Which flows are meant.
#[derive(Debug, Args)]
pub struct From {
    /// The workspace as the configuration names it; may be left out where there is one.
    #[arg(long, value_name = "NAME")]
    pub workspace: Option<String>,
    /// What was polled into the store, instead of asking RapidPro.
    #[arg(long)]
    pub stored: bool,
    #[command(flatten)]
    pub whose: Whose,
}

pub fn run(config: &Config, arguments: Arguments) -> Result<ExitCode, Failure> {
    block_on(async {
        match arguments.what {
            What::List { from, json } => list(config, &from, json).await,
            What::Show { flow, from, json, example, contact } => {
                let found = read(config, &from, &flow).await?;
                match (example, json) {
                    (true, _) => sample(&found, contact)?,
                    (false, true) => out!("{}", found.json()),
                    (false, false) => found.show(),
                }
                Ok(ExitCode::SUCCESS)
            }
        }
    })
}

/// A flow with its definition.
pub struct Found {
    pub definition: serde_json::Value,
    pub flow: Flow,
    /// The workspace's address.
    pub url: String,
}

/// The flow that a person names.
pub async fn read(config: &Config, from: &From, named: &str) -> Result<Found, Failure> {
    let (client, all) = flows(config, from).await?;
    let Some(listed) = all.iter().find(|flow| flow.is(named)) else {
        return Err(unknown(named, &all));
    };
    let definition = listed.definition(&client).await.map_err(told)?;
    let flow = Flow::read(&definition).map_err(catalogue::Error::from).map_err(told)?;
    Ok(Found { definition, flow, url: client.url().to_owned() })
}

async fn flows(config: &Config, from: &From) -> Result<(Client, Vec<Listed>), Failure> {
    let tenant = stores::tenant(config, &from.whose.tenant)?;
    let (name, settings) = setup::workspace(config, tenant, from.workspace.as_deref())?;
    let client = Client::new(name, settings).map_err(|error| Failure::new(error.to_string()))?;
    if !from.stored {
        let listed = catalogue::live(&client).await.map_err(told)?;
        return Ok((client, listed));
    }
    let store = stores::open(config).await?;
    let listed = catalogue::stored(&store, tenant, name).await;
    store.close().await;
    Ok((client, listed.map_err(told)?))
}

fn told(error: catalogue::Error) -> Failure {
    let hint = error.hint();
    Failure::new(error.to_string()).hint(hint)
}

fn unknown(named: &str, all: &[Listed]) -> Failure {
    let failure = Failure::new(format!("no flow is named `{named}` [unknown-flow]"));
    match did_you_mean(named, all.iter().map(|flow| flow.name.as_str())) {
        Some(meant) => failure.hint(format!("did you mean `{meant}`?")),
        None => failure.hint("`mjumbe flows list` shows those that there are"),
    }
}

async fn list(config: &Config, from: &From, as_json: bool) -> Result<ExitCode, Failure> {
    let (_, all) = flows(config, from).await?;
    if as_json {
        let rows: Vec<_> = all
            .iter()
            .map(|flow| {
                json!({ "uuid": flow.uuid, "name": flow.name, "archived": flow.archived, "results": flow.results })
            })
            .collect();
        out!("{}", serde_json::Value::Array(rows));
        return Ok(ExitCode::SUCCESS);
    }
    let mut table = table(["NAME", "RESULTS", "UUID"]);
    for flow in &all {
        let archived = if flow.archived { " (archived)" } else { "" };
        table.add_row([
            format!("{}{archived}", flow.name),
            flow.results.len().to_string(),
            flow.uuid.clone(),
        ]);
    }
    out!("{}", trimmed(&table));
    note!("Next: mjumbe flows show \"NAME\"");
    Ok(ExitCode::SUCCESS)
}

impl Found {
    fn json(&self) -> serde_json::Value {
        json!({ "uuid": self.flow.uuid, "name": self.flow.name, "revision": self.flow.revision,
            "language": self.flow.language, "results": catalogue::results(&self.flow) })
    }

    fn show(&self) {
        let flow = &self.flow;
        let revision = flow.revision.map(|number| format!(", revision {number}")).unwrap_or_default();
        out!("{} ({}{revision}, language {})\n", flow.name, flow.uuid, flow.language);
        let mut table = table(["IN MAPPINGS", "TYPE", "RESULT", "CATEGORIES"]);
        for result in catalogue::results(flow) {
            let path = match result.kind {
                "none" => String::new(),
                _ => format!("$.answers.{}", result.key),
            };
            let kind = if result.kind == "none" { "no answer" } else { result.kind };
            table.add_row([path, kind.to_owned(), result.name, result.categories.join(", ")]);
        }
        out!("{}", trimmed(&table));
        note!("Next: mjumbe mapping new --flow \"{}\" --data-set DATA-SET", flow.name);
    }
}

fn sample(found: &Found, contact: uuid::Uuid) -> Result<(), Failure> {
    let contact = contact.hyphenated().to_string();
    let response = example::response(&found.flow, &found.definition, (&found.url, &contact))
        .map_err(|error| Failure::new(error.to_string()))?;
    let text = serde_json::to_string_pretty(&response);
    out!("{}", text.map_err(|error| Failure::because("cannot write JSON", error))?);
    Ok(())
}

fn table<const N: usize>(header: [&str; N]) -> comfy_table::Table {
    let mut table = comfy_table::Table::new();
    table.load_style(comfy_table::presets::NOTHING).set_header(header);
    table
}

/// Without the blanks that surround each line.
fn trimmed(table: &comfy_table::Table) -> String {
    let line = |line: String| line.strip_prefix(' ').unwrap_or(&line).trim_end().to_owned();
    table.lines().map(line).collect::<Vec<_>>().join("\n")
}
