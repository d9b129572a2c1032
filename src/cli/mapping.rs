//! `mjumbe mapping new`: a first mapping from what RapidPro and DHIS2 say of themselves.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{Args, Subcommand};

use super::failure::Failure;
use super::flows::{self, From};
use super::{block_on, setup, stores};
use crate::assist::proposal::{self, Ask, Proposal};
use crate::config::{Config, Dhis2};
use crate::dhis2::client::Client;
use crate::dhis2::form::{self, Form, What as Asked};
use crate::rapidpro::catalogue;
use crate::rapidpro::flow::example;
use crate::server::mappings;
use crate::{dhis2, rapidpro};

#[derive(Debug, Args)]
pub struct Arguments {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, Subcommand)]
enum What {
    /// Write a first mapping, and its test, of a flow's answers to a data set or a program.
    New(New),
}

#[derive(Debug, Args)]
struct New {
    /// Name or uuid of the flow.
    #[arg(long, value_name = "FLOW")]
    flow: String,
    /// Uid, code or name of the data set.
    #[arg(long, value_name = "DATA-SET", required_unless_present = "program", conflicts_with = "program")]
    data_set: Option<String>,
    /// Uid, code or name of the program.
    #[arg(long, value_name = "PROGRAM")]
    program: Option<String>,
    /// The mapping's name; made of the flow's where it is not given.
    #[arg(long, value_name = "NAME")]
    name: Option<String>,
    /// The DHIS2 instance as the configuration names it; may be left out where there is one.
    #[arg(long, value_name = "NAME")]
    instance: Option<String>,
    /// Key of the contact field that holds the uid of the organisation unit.
    #[arg(long, value_name = "KEY")]
    unit_field: Option<String>,
    #[command(flatten)]
    from: From,
}

pub fn run(config: &Config, arguments: &Arguments) -> Result<ExitCode, Failure> {
    let What::New(new) = &arguments.what;
    let tenant = stores::tenant(config, &new.from.whose.tenant)?;
    let proposal = block_on(propose(config, tenant, new))?;
    let folder = mappings::folder(config, tenant);
    let name = name_of(new);
    let files = [(format!("{name}.yaml"), &proposal.mapping), (format!("{name}.test.yaml"), &proposal.test)];
    let files = files.map(|(file, text)| (folder.join(file), text));
    if let Some((file, _)) = files.iter().find(|(file, _)| file.exists()) {
        let text = format!("{} is there already: nothing was written [file-exists]", file.display());
        return Err(Failure::new(text).hint("give another --name, or move that file away"));
    }
    for (file, text) in &files {
        write(&folder, file, text)?;
        out!("wrote {}", file.display());
    }
    told(&proposal, &name, &new.flow);
    Ok(ExitCode::SUCCESS)
}

fn told(proposal: &Proposal, name: &str, flow: &str) {
    let Proposal { guessed, asked, .. } = proposal;
    out!("{guessed} of {asked} values were guessed; read them, and fill in what stands behind #.");
    out!("\nNext:");
    out!("  mjumbe check");
    out!("  mjumbe test");
    out!("  mjumbe flows show \"{flow}\" --example > answer.json");
    out!("  mjumbe run answer.json --mapping {name}");
    out!("  mjumbe setup rapidpro");
}

fn name_of(new: &New) -> String {
    new.name.clone().unwrap_or_else(|| proposal::name_of(&new.flow))
}

fn write(folder: &Path, file: &PathBuf, text: &str) -> Result<(), Failure> {
    let failed = |error: std::io::Error| Failure::new(format!("cannot write {}: {error}", file.display()));
    std::fs::create_dir_all(folder).map_err(failed)?;
    let mut opened = std::fs::OpenOptions::new().write(true).create_new(true).open(file).map_err(failed)?;
    opened.write_all(text.as_bytes()).map_err(failed)
}

async fn propose(config: &Config, tenant: &str, new: &New) -> Result<Proposal, Failure> {
    let (instance, settings) = instance(config, tenant, new.instance.as_deref())?;
    let (found, form) =
        tokio::join!(flows::read(config, &new.from, &new.flow), form(instance, settings, new));
    let (found, form) = (found?, form?);
    let example = example::response(&found.flow, &found.definition, (&found.url, example::CONTACT))
        .map_err(|error| Failure::new(error.to_string()))?;
    let unit_field = match &new.unit_field {
        Some(key) => key.clone(),
        None => unit_field(config, tenant, new).await,
    };
    let destinations = mappings::destinations(config, tenant);
    let several = config.instances_of(tenant).count() > 1;
    let name = name_of(new);
    let ask = Ask {
        name: &name,
        flow: &found.flow.name,
        results: &catalogue::results(&found.flow),
        example: &example,
        form: &form,
        unit_field: &unit_field,
        destination: several.then_some(instance),
        zone: config.tenant.get(tenant).map_or("UTC", |tenant| tenant.timezone.as_str()),
    };
    proposal::propose(&ask, &mappings::registry(), Some(&destinations))
        .map_err(|error| Failure::new(error.to_string()))
}

async fn form(name: &str, settings: &Dhis2, new: &New) -> Result<Form, Failure> {
    let client = Client::new(name, settings).map_err(|error| Failure::new(error.to_string()))?;
    let (what, named) = match (&new.data_set, &new.program) {
        (Some(named), _) => (Asked::DataSet, named),
        (None, Some(named)) => (Asked::Program, named),
        (None, None) => return Err(Failure::new("name a data set or a program")),
    };
    let read: Result<Form, form::Error> = dhis2::form::read(&client, what, named).await;
    read.map_err(|error| {
        let hint = error.hint();
        Failure::new(error.to_string()).hint(hint)
    })
}

/// One that the workspace has, else the one that `mjumbe setup rapidpro` will make.
async fn unit_field(config: &Config, tenant: &str, new: &New) -> String {
    let keys = field_keys(config, tenant, new).await.unwrap_or_default();
    let found = proposal::unit_field(keys.iter().map(String::as_str));
    found.unwrap_or(proposal::UNIT_FIELD).to_owned()
}

async fn field_keys(config: &Config, tenant: &str, new: &New) -> Option<Vec<String>> {
    let (name, settings) = setup::workspace(config, tenant, new.from.workspace.as_deref()).ok()?;
    let client = rapidpro::client::Client::new(name, settings).ok()?;
    rapidpro::catalogue::field_keys(&client).await.ok()
}

fn instance<'a>(
    config: &'a Config,
    tenant: &str,
    named: Option<&str>,
) -> Result<(&'a str, &'a Dhis2), Failure> {
    let all: Vec<(&String, &Dhis2)> = config.instances_of(tenant).collect();
    let found = match named {
        Some(wanted) => all.iter().find(|(name, _)| name.as_str() == wanted),
        None => all.first().filter(|_| all.len() == 1),
    };
    if let Some((name, settings)) = found {
        return Ok((name, settings));
    }
    let names = all.iter().map(|(name, _)| name.as_str()).collect::<Vec<_>>().join(", ");
    Err(match all.is_empty() {
        true => Failure::new("no DHIS2 instance is configured [no-instance]")
            .hint("add [dhis2.NAME] to mjumbe.toml"),
        false => Failure::new("which DHIS2 instance is meant? [which-instance]")
            .hint(format!("--instance with one of: {names}")),
    })
}
