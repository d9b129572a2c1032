//! `mjumbe run`: what a mapping would send for one resource. Sends nothing.

use std::process::ExitCode;

use clap::Args;
use serde_json::{Value, json};

use super::block_on;
use super::evaluation::{self, Evaluated};
use super::failure::Failure;
use super::mappings::Whose;
use super::stores;
use crate::config::Config;
use crate::mapping::evaluate::Tracing;
use crate::mapping::output::{Issue, Output, Severity};
use crate::server::mappings;

#[derive(Debug, Args)]
pub struct Arguments {
    /// A file with the resource as JSON, or Type/id of a stored one.
    file: String,
    /// The mapping's name, or its file.
    #[arg(long, short)]
    mapping: String,
    #[command(flatten)]
    whose: Whose,
    /// Print one JSON object: outputs, issues, read.
    #[arg(long)]
    json: bool,
}

pub fn run(config: &Config, arguments: &Arguments) -> Result<ExitCode, Failure> {
    let (tenant, file, mapping) = (&arguments.whose.tenant, &arguments.file, &arguments.mapping);
    let done = block_on(evaluation::of(config, (tenant, file), mapping, Tracing::Off))?;
    if arguments.json {
        out!("{}", as_json(&done));
    } else {
        tell(&done, mapping);
    }
    Ok(ExitCode::SUCCESS)
}

/// `{"outputs": …, "issues": …, "read": …}`, and what it is held for.
fn as_json(done: &Evaluated) -> Value {
    let outputs: Vec<Value> = done.evaluation.outputs.iter().map(output).collect();
    let read: Vec<Value> = done
        .evaluation
        .reads
        .iter()
        .map(|read| {
            json!({ "name": read.name, "query": read.query, "follow": read.follow, "sources": read.sources })
        })
        .collect();
    let mut whole = json!({
        "matched": done.evaluation.matched,
        "outputs": outputs,
        "issues": done.evaluation.issues,
        "read": read,
    });
    if let Some(held) = &done.evaluation.held {
        let (field, waits_for, place) = (&held.field, &held.waits_for, &held.place);
        whole["held"] = json!({ "field": field, "waitsFor": waits_for, "place": place });
    }
    whole
}

fn output(output: &Output) -> Value {
    let mut told = json!({
        "target": output.target,
        "id": output.target_id,
        "destination": output.destination,
        "key": output.key,
        "body": body(output),
    });
    if let Some(act) = &output.act {
        told["reason"] = json!(act.reason);
        told["occurrence"] = json!(act.occurrence);
        told["notBefore"] = json!(act.not_before_ms.map(stores::shown));
    }
    told
}

/// What the destination would be sent for this output alone.
fn body(output: &Output) -> Value {
    mappings::registry().get(&output.target).map_or(Value::Null, |target| target.preview(output))
}

fn tell(done: &Evaluated, mapping: &str) {
    let evaluation = &done.evaluation;
    if !evaluation.matched {
        out!("{mapping} does not take {}", done.source);
        note!("Next: mjumbe explain says why");
        return;
    }
    if let Some(held) = &evaluation.held {
        out!("held: {} is required and absent ({})", held.field, held.place);
        out!("  waits for {}", held.waits_for);
    }
    for output in &evaluation.outputs {
        let key = if output.key.is_empty() { String::new() } else { format!(" [{}]", output.key) };
        let due = match output.act.as_ref().map(|act| act.not_before_ms) {
            None => String::new(),
            Some(None) => ", at once".to_owned(),
            Some(Some(due)) => format!(", not before {}", stores::shown(due)),
        };
        out!("{} → {}{key}{due}", output.target_id, output.destination);
        out!("{:#}\n", body(output));
    }
    evaluation.issues.iter().for_each(tell_issue);
    let (outputs, issues) = (evaluation.outputs.len(), evaluation.issues.len());
    note!("{outputs} outputs, {issues} issues, {} look-ups; nothing was sent", evaluation.reads.len());
    note!("Next: mjumbe explain says where each value came from");
}

fn tell_issue(issue: &Issue) {
    let severity = match issue.severity {
        Severity::Held => "held",
        Severity::Error => "error",
        Severity::Warning => "warning",
    };
    out!("{severity}[{}]: {}\n  --> {}", issue.code, issue.message, issue.place);
    if let Some(hint) = &issue.hint {
        out!("  hint: {hint}");
    }
}
