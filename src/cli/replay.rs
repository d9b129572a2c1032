//! `mjumbe replay`: a mapping applied to what is stored already, after a preview.

use std::process::ExitCode;

use clap::Args;
use serde_json::{Value, json};

use super::failure::Failure;
use super::mappings::{self, Whose, surroundings_of};
use super::{block_on, stores};
use crate::config::Config;
use crate::delivery::replay::Effect;
use crate::server::replay::{Choice, Desk, Progress};
use crate::store::changes::Replay;
use crate::telemetry::logs;

#[derive(Debug, Args)]
pub struct Arguments {
    /// The mapping's name.
    mapping: String,
    #[command(flatten)]
    whose: Whose,
    /// Only resources that match, as in a FHIR search: "authored=ge2026-01-01&status=completed".
    #[arg(long, value_name = "QUERY")]
    search: Option<String>,
    /// Only what was written on this day or later (e.g. 2026-01-31).
    #[arg(long, value_name = "DATE")]
    since: Option<String>,
    /// Only what was written before this day.
    #[arg(long, value_name = "DATE")]
    until: Option<String>,
    /// Look everything up anew, also what was found before: a health worker's reports go to where she works
    /// now.
    #[arg(long)]
    fresh: bool,
    /// Make acts (messages, flow starts, posts) too that did not happen yet. Those that did never happen twice.
    #[arg(long)]
    acts: bool,
    /// Do it. Without this, only say what would change.
    #[arg(long)]
    yes: bool,
    /// Evaluate at most N resources for the preview.
    #[arg(long, value_name = "N", default_value_t = 1_000)]
    preview: u32,
    /// Print one JSON object.
    #[arg(long)]
    json: bool,
}

pub fn run(config: &Config, arguments: &Arguments) -> Result<ExitCode, Failure> {
    let tenant = stores::tenant(config, &arguments.whose.tenant)?;
    logs::init(&config.log).map_err(|error| Failure::new(error.to_string()))?;
    // Tells a name that is not there with its neighbours.
    let program = mappings::one(config, tenant, &arguments.mapping)?;
    let (zone, _) = surroundings_of(config, tenant)?;
    block_on(async {
        let store = stores::open(config).await?;
        let opened = Desk::open(config, &store, (tenant, program.as_ref()), zone).await;
        let desk = opened.map_err(|error| Failure::new(error.to_string()))?;
        let choice = Choice {
            search: arguments.search.clone(),
            since: arguments.since.clone(),
            until: arguments.until.clone(),
            replay: Replay { fresh: arguments.fresh, acts: arguments.acts },
        };
        let done = if arguments.yes {
            request(&desk, &choice, arguments.json).await
        } else {
            preview(&desk, &choice, arguments).await
        };
        store.close().await;
        done
    })
}

async fn preview(desk: &Desk<'_>, choice: &Choice, arguments: &Arguments) -> Result<ExitCode, Failure> {
    let bar = super::output::spinner("evaluating");
    let previewed = desk.preview(choice, arguments.preview, |done| bar.set_position(done)).await;
    bar.finish_and_clear();
    let previewed = previewed.map_err(|error| Failure::new(error.to_string()))?;
    if arguments.json {
        let mut whole = as_json(&previewed.effect);
        whole["resources"] = json!(previewed.resources);
        whole["evaluated"] = json!(previewed.evaluated);
        whole["requested"] = json!(0);
        out!("{whole}");
        return Ok(ExitCode::SUCCESS);
    }
    tell(&previewed.effect, previewed.resources, previewed.evaluated);
    for (source, effect) in &previewed.examples {
        out!("  {source}: {}", in_words(effect));
    }
    if previewed.effect.is_nothing() && previewed.evaluated == previewed.resources {
        note!("Nothing would change");
    } else {
        note!("Nothing was changed. Next: the same with --yes");
    }
    Ok(ExitCode::SUCCESS)
}

async fn request(desk: &Desk<'_>, choice: &Choice, json: bool) -> Result<ExitCode, Failure> {
    let bar = super::output::spinner("asking");
    let requested = desk.request(choice, |Progress { requested }| bar.set_position(requested)).await;
    bar.finish_and_clear();
    let requested = requested.map_err(|error| Failure::new(error.to_string()))?;
    let waiting = desk.waiting().await.map_err(|error| Failure::new(error.to_string()))?;
    if json {
        out!("{}", json!({ "requested": requested, "waiting": waiting }));
    } else {
        out!("{requested} resources are mapped again; {waiting} wait now");
        note!(
            "Next: a running `mjumbe serve` that has loaded the mapping works them off; `mjumbe deliveries list` shows what comes of it"
        );
    }
    Ok(ExitCode::SUCCESS)
}

fn tell(effect: &Effect, resources: u64, evaluated: u64) {
    if evaluated < resources {
        out!("{evaluated} of {resources} resources were evaluated (--preview N evaluates more):");
    } else {
        out!("{resources} resources, {} of which the mapping takes:", effect.taken);
    }
    let lines = [
        (effect.new, "deliveries would be new"),
        (effect.acts, "  of them acts: messages, flow starts, posts"),
        (effect.changed, "would change"),
        (effect.withdrawn, "would be withdrawn"),
        (effect.same, "stay as they are"),
        (effect.cells, "contributions to aggregate cells would change"),
        (effect.acts_withheld, "acts are not made (--acts makes them)"),
        (effect.held, "resources wait for something they need"),
        (effect.with_errors, "resources leave a value out because of an error (`mjumbe explain` says which)"),
    ];
    for (number, words) in lines.into_iter().filter(|(number, _)| *number > 0) {
        out!("{number:>8} {words}");
    }
}

fn in_words(effect: &Effect) -> String {
    let parts = [
        (effect.new, "new"),
        (effect.changed, "changed"),
        (effect.withdrawn, "withdrawn"),
        (effect.cells, "contributions changed"),
    ];
    let told = parts.into_iter().filter(|(number, _)| *number > 0);
    told.map(|(number, word)| format!("{number} {word}")).collect::<Vec<_>>().join(", ")
}

fn as_json(effect: &Effect) -> Value {
    json!({
        "taken": effect.taken,
        "new": effect.new,
        "acts": effect.acts,
        "changed": effect.changed,
        "same": effect.same,
        "withdrawn": effect.withdrawn,
        "contributions": effect.cells,
        "actsWithheld": effect.acts_withheld,
        "held": effect.held,
        "withErrors": effect.with_errors,
    })
}
