//! `mjumbe setup rapidpro`: makes what the mappings need there, and shows the webhook node.

use std::process::ExitCode;

use clap::{Args, Subcommand};
use secrecy::ExposeSecret;
use serde_json::json;

use super::failure::Failure;
use super::mappings::{self, Whose};
use super::{block_on, stores};
use crate::config::{Config, RapidPro};
use crate::rapidpro::client::Client;
use crate::rapidpro::setup::{self, Mode, Needs, Outcome, Step, webhook};

#[derive(Debug, Args)]
pub struct Arguments {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, Subcommand)]
enum What {
    /// Make the contact fields, groups and globals that the mappings need, and show the webhook node.
    Rapidpro(Rapidpro),
}

#[derive(Debug, Args)]
struct Rapidpro {
    /// The workspace as the configuration names it; may be left out where there is one.
    name: Option<String>,
    /// Make nothing; show what would be made.
    #[arg(long)]
    dry_run: bool,
    /// Print JSON.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    whose: Whose,
}

pub fn run(config: &Config, arguments: &Arguments) -> Result<ExitCode, Failure> {
    let What::Rapidpro(arguments) = &arguments.what;
    let tenant = stores::tenant(config, &arguments.whose.tenant)?;
    let (name, settings) = workspace(config, tenant, arguments.name.as_deref())?;
    let loaded = mappings::load(config, tenant, None)?;
    if !loaded.diagnostics.is_empty() {
        return Err(Failure::new(mappings::told(&loaded.diagnostics)));
    }
    let needs = Needs::of(&loaded.programs, name);
    let mode = if arguments.dry_run { Mode::Look } else { Mode::Make };
    let secret = settings.webhook_secret.as_ref().map(|secret| secret.expose_secret().to_owned());
    let steps = block_on(async {
        let client = Client::new(name, settings).map_err(|error| Failure::new(error.to_string()))?;
        let applied = setup::apply(&client, &needs, secret.as_deref(), mode).await;
        applied.map_err(|fault| Failure::new(format!("{} [{}]", fault.message, fault.code)).hint(fault.hint))
    })?;
    let flows: Vec<&String> = needs.answers_of.iter().collect();
    let public = config.server.public_url.as_deref();
    let node = secret.map(|_| webhook::node(public.unwrap_or("https://YOUR-ADDRESS"), name));
    if arguments.json {
        out!("{}", json!({ "steps": steps, "flows": flows, "webhook": node }));
    } else {
        steps.iter().for_each(show);
        if steps.is_empty() {
            note!("the mappings need nothing in RapidPro");
        }
        paste(&flows, node.as_ref(), public.is_some());
    }
    let failed = steps.iter().any(|step| matches!(step.outcome, Outcome::Failed { .. }));
    Ok(if failed { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

fn show(step: &Step) {
    let detail = if step.detail.is_empty() { String::new() } else { format!(" ({})", step.detail) };
    let word = match &step.outcome {
        Outcome::There => "there",
        Outcome::Made => "made",
        Outcome::Missing => "missing",
        Outcome::Failed { .. } => "FAILED",
    };
    out!("{word:<8} {:<7} {}{detail}", step.kind, step.name);
    if let Outcome::Failed { reason, hint } = &step.outcome {
        out!("{:16} {reason}", "");
        out!("{:16} hint: {hint}", "");
    }
}

/// What an author puts behind the last question of each flow.
fn paste(flows: &[&String], node: Option<&webhook::Node>, is_public: bool) {
    let (Some(node), false) = (node, flows.is_empty()) else { return };
    for flow in flows {
        out!("\nIn the flow \"{flow}\", behind the last question, add a node Call Webhook:");
        out!("  method  {}", node.method);
        out!("  url     {}", node.url);
        out!("  header  {}: {}", node.header.0, node.header.1);
        out!("  body    {}", node.body);
    }
    out!("\nA resthook cannot send the header: subscribe it to {}", node.resthook);
    if !is_public {
        note!("note: server.public_url is not set; without the node everything is polled every 30 s");
    }
}

/// # Errors
/// No such workspace, or several and none is named.
pub fn workspace<'a>(
    config: &'a Config,
    tenant: &str,
    named: Option<&str>,
) -> Result<(&'a str, &'a RapidPro), Failure> {
    let all: Vec<(&String, &RapidPro)> = config.workspaces_of(tenant).collect();
    let names = all.iter().map(|(name, _)| name.as_str()).collect::<Vec<_>>().join(", ");
    let found = match named {
        Some(wanted) => all.iter().find(|(name, _)| name.as_str() == wanted),
        None => all.first().filter(|_| all.len() == 1),
    };
    if let Some((name, settings)) = found {
        return Ok((name, settings));
    }
    Err(match (named, all.is_empty()) {
        (_, true) => Failure::new("no RapidPro workspace is configured [no-workspace]")
            .hint("add [rapidpro.NAME] to mjumbe.toml"),
        (Some(wanted), _) => Failure::new(format!("no workspace is named `{wanted}` [unknown-workspace]"))
            .hint(format!("there are: {names}")),
        (None, _) => Failure::new("several RapidPro workspaces are configured [which-workspace]")
            .hint(format!("name one of: {names}")),
    })
}
