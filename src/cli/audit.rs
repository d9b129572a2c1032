//! `mjumbe audit`: who looked at people's data, when and why.

use std::process::ExitCode;

use clap::Args;
use serde_json::{Value, json};

use super::failure::Failure;
use super::mappings::Whose;
use super::stores::shown as time;
use super::{block_on, stores};
use crate::config::Config;

#[derive(Debug, Args)]
pub struct Arguments {
    #[command(flatten)]
    whose: Whose,
    /// The last N.
    #[arg(long, value_name = "N", default_value_t = 100)]
    last: u32,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

pub fn run(config: &Config, arguments: &Arguments) -> Result<ExitCode, Failure> {
    let tenant = stores::tenant(config, &arguments.whose.tenant)?;
    let entries = block_on(async {
        let store = stores::open(config).await?;
        let entries = store.audits(tenant, i64::from(arguments.last)).await;
        store.close().await;
        Ok(entries?)
    })?;
    if arguments.json {
        let told = entries.iter().map(|one| {
            json!({ "at": time(one.at_ms), "actor": one.actor, "action": one.action,
                "subject": one.subject, "reason": one.reason })
        });
        out!("{}", told.collect::<Value>());
        return Ok(ExitCode::SUCCESS);
    }
    for one in &entries {
        out!("{}  {}  {}  {}  {}", time(one.at_ms), one.actor, one.action, one.subject, one.reason);
    }
    if entries.is_empty() {
        note!("Nobody has looked at people's data.");
    }
    Ok(ExitCode::SUCCESS)
}
