//! `mjumbe audit`: who looked at people's data, or sent what was repaired; when and why.

use std::process::ExitCode;

use clap::Args;
use serde_json::{Value, json};

use super::failure::Failure;
use super::mappings::Whose;
use super::stores::shown as time;
use super::{block_on, stores};
use crate::config::Config;
use crate::store::audit::{ACTIONS, Wanted};

#[derive(Debug, Args)]
pub struct Arguments {
    /// Only this one's: an account of this machine, or a token's name. Everybody's where it is left out.
    #[arg(value_name = "USER")]
    user: Option<String>,
    /// Only this: trace-reveal (looks at people's data), lenient-repair (requests that a client's profile repaired).
    #[arg(long, value_parser = ACTIONS, hide_possible_values = true)]
    action: Option<String>,
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
    let (actor, action) = (arguments.user.as_deref(), arguments.action.as_deref());
    let wanted = Wanted { actor, action, last: arguments.last };
    let entries = block_on(async {
        let store = stores::open(config).await?;
        let entries = store.audits(tenant, &wanted).await;
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
        note!("Nothing of this kind is kept: no looks at people's data, no repaired requests.");
    }
    Ok(ExitCode::SUCCESS)
}
