//! `mjumbe metadata pull`: what DHIS2 says of what the mappings name, kept so that `check` works offline.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;

use clap::{Args, Subcommand};
use serde_json::{Map, Value, json};

use super::failure::Failure;
use super::mappings::Whose;
use super::{block_on, stores};
use crate::config::Config;
use crate::dhis2;
use crate::dhis2::client::Client;
use crate::dhis2::metadata::Metadata;
use crate::dhis2::metadata::document::{self, Document};
use crate::dhis2::metadata::pull::pull;
use crate::dhis2::metadata::scope::Scope;
use crate::dhis2::metadata::stored::StoredDocuments;
use crate::mapping::program::Program;
use crate::server;

#[derive(Debug, Args)]
pub struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Read the metadata that the mappings name into the store, or into a file.
    Pull(Pull),
}

#[derive(Debug, Args)]
pub struct Pull {
    /// The instance, by its name in the configuration; all of the tenant where it is not given.
    instance: Option<String>,
    /// Write it to this file instead of the store; `mjumbe check --metadata FILE` reads it.
    #[arg(long, value_name = "FILE")]
    to: Option<PathBuf>,
    #[command(flatten)]
    whose: Whose,
}

pub fn run(config: &Config, arguments: &Arguments) -> Result<ExitCode, Failure> {
    let Command::Pull(pull) = &arguments.command;
    block_on(pull_all(config, pull))
}

async fn pull_all(config: &Config, arguments: &Pull) -> Result<ExitCode, Failure> {
    let tenant = stores::tenant(config, &arguments.whose.tenant)?;
    let wanted = |name: &String| arguments.instance.as_ref().is_none_or(|one| one == name);
    let names: Vec<String> =
        config.instances_of(tenant).map(|(name, _)| name.clone()).filter(|name| wanted(name)).collect();
    if names.is_empty() {
        return Err(unknown(config, tenant, arguments.instance.as_deref()));
    }
    let loaded = super::mappings::load(config, tenant, None)?;
    if !loaded.diagnostics.is_empty() {
        note!(
            "{} mistakes in mapping files, of which nothing is pulled: mjumbe check",
            loaded.diagnostics.len()
        );
    }
    let registry = server::mappings::registry();
    let mut file = Map::new();
    for name in names {
        let scope = server::metadata::named_at(&loaded.programs, &registry, &name);
        let metadata = match &arguments.to {
            Some(_) => {
                let documents = into_file(config, tenant, &name, &scope).await?;
                let metadata = snapshot(&documents);
                file.insert(name.clone(), documents);
                metadata
            }
            None => into_store(config, tenant, &name, &scope).await?,
        };
        out!("dhis2.{name}: {}", counted(&metadata));
    }
    if let Some(path) = &arguments.to {
        let text =
            serde_json::to_string(&file).map_err(|error| Failure::because("cannot write JSON", error))?;
        let failed = |error| Failure::because(&format!("cannot write {}", path.display()), error);
        std::fs::write(path, text).map_err(failed)?;
        note!("written to {}. Next: mjumbe check --metadata {}", path.display(), path.display());
    }
    Ok(ExitCode::SUCCESS)
}

fn unknown(config: &Config, tenant: &str, named: Option<&str>) -> Failure {
    let known: Vec<&str> = config.instances_of(tenant).map(|(name, _)| name.as_str()).collect();
    match named {
        Some(name) if !known.is_empty() => Failure::new(format!("no [dhis2.{name}] is configured"))
            .hint(format!("there are: {}", known.join(", "))),
        _ => {
            Failure::new("no DHIS2 instance is configured").hint("add a section [dhis2.NAME] to mjumbe.toml")
        }
    }
}

async fn into_store(config: &Config, tenant: &str, name: &str, scope: &Scope) -> Result<Metadata, Failure> {
    let store = stores::open(config).await?;
    let Some((_, settings)) = config.instances_of(tenant).find(|(known, _)| *known == name) else {
        return Err(unknown(config, tenant, Some(name)));
    };
    let connected =
        dhis2::connect(name, settings, &store, tenant).map_err(|it| Failure::new(it.to_string()))?;
    connected.mirror.load().await.map_err(refused)?;
    connected.mirror.want(scope);
    let snapshot = connected.mirror.refresh().await.map_err(refused)?;
    Ok(snapshot.metadata.clone())
}

async fn into_file(config: &Config, tenant: &str, name: &str, scope: &Scope) -> Result<Value, Failure> {
    let Some((_, settings)) = config.instances_of(tenant).find(|(known, _)| *known == name) else {
        return Err(unknown(config, tenant, Some(name)));
    };
    let client = Client::new(name, settings).map_err(|error| Failure::new(error.to_string()))?;
    let documents = pull(&client, scope).await.map_err(refused)?;
    let shown = |one: &Document| json!({ "kind": one.kind, "uid": one.uid, "body": one.body });
    Ok(documents.iter().map(shown).collect())
}

fn refused(failure: crate::delivery::destination::Failure) -> Failure {
    Failure::new(format!("{} [{}]", failure.reason.message, failure.reason.code)).hint(failure.reason.hint)
}

fn snapshot(documents: &Value) -> Metadata {
    let all = documents.as_array().map_or(&[][..], Vec::as_slice).iter();
    document::snapshot(
        all.filter_map(|one| Some((one["kind"].as_str()?, one["uid"].as_str()?, &one["body"]))),
    )
}

fn counted(metadata: &Metadata) -> String {
    let version = metadata.system.version.map(|version| version.to_string()).unwrap_or_default();
    format!(
        "DHIS2 {version}, {} data sets, {} programs, {} data elements, {} option sets, {} organisation units",
        metadata.data_sets.len(),
        metadata.programs.len(),
        metadata.elements.len(),
        metadata.option_sets.len(),
        metadata.units.len()
    )
}

/// The metadata of each instance of a tenant, as DHIS2 has it now; nothing is kept.
pub async fn live(
    config: &Config,
    tenant: &str,
    programs: &[Arc<Program>],
) -> Result<BTreeMap<String, Metadata>, Failure> {
    let registry = server::mappings::registry();
    let mut found = BTreeMap::new();
    for (name, _) in config.instances_of(tenant) {
        let scope = server::metadata::named_at(programs, &registry, name);
        let documents = into_file(config, tenant, name, &scope).await?;
        found.insert(name.clone(), snapshot(&documents));
    }
    Ok(found)
}

/// The metadata of each instance of a tenant, from a file that `pull --to` wrote.
pub fn from_file(path: &Path) -> Result<BTreeMap<String, Metadata>, Failure> {
    let failed = |error| Failure::because(&format!("cannot read {}", path.display()), error);
    let text = std::fs::read_to_string(path).map_err(failed)?;
    let file: Map<String, Value> = serde_json::from_str(&text)
        .map_err(|error| Failure::because(&format!("{} is no metadata file", path.display()), error))?;
    Ok(file.iter().map(|(name, documents)| (name.clone(), snapshot(documents))).collect())
}

/// The metadata of each instance of a tenant, as far as the store holds it. A store that is not there yet is
/// not made.
pub async fn from_store(config: &Config, tenant: &str) -> Result<BTreeMap<String, Metadata>, Failure> {
    let mut found = BTreeMap::new();
    if config.instances_of(tenant).next().is_none() || !stores::is_there(config) {
        return Ok(found);
    }
    let documents = StoredDocuments::new(stores::open(config).await?, tenant);
    for (name, _) in config.instances_of(tenant) {
        found.insert(name.clone(), documents.of_instance(name).await.map_err(Failure::new)?);
    }
    Ok(found)
}
