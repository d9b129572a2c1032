//! `mjumbe diff`: what another version of a mapping would change, over the last stored resources. Sends and writes
//! nothing. People's data is masked; `mjumbe run TYPE/ID` shows one resource's outputs as they are.

use std::process::ExitCode;
use std::sync::Arc;

use clap::Args;
use serde_json::{Value, json};

use super::evaluation::{self, Subject};
use super::failure::Failure;
use super::mappings::{self, Whose};
use super::{block_on, stores};
use crate::config::Config;
use crate::inquiry::mask::masked;
use crate::mapping::compare::{self, Difference, Fate, Part};
use crate::mapping::evaluate::{Evaluation, Tracing};
use crate::mapping::program::Program;
use crate::store::Store;
use crate::telemetry::logs;

/// More resources than anybody reads about.
const LAST_MAX: u32 = 100_000;

#[derive(Debug, Args)]
pub struct Arguments {
    /// The old version: a mapping's name as it is loaded, or a file.
    old: String,
    /// The new version: a file, or a mapping's name.
    new: String,
    #[command(flatten)]
    whose: Whose,
    /// So many of the last stored resources that the mapping is about.
    #[arg(long, value_name = "N", default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..=i64::from(LAST_MAX)))]
    last: u32,
    /// Print one JSON object.
    #[arg(long)]
    json: bool,
}

pub fn run(config: &Config, arguments: &Arguments) -> Result<ExitCode, Failure> {
    let tenant = stores::tenant(config, &arguments.whose.tenant)?;
    logs::init(&config.log).map_err(|error| Failure::new(error.to_string()))?;
    let old = mappings::one(config, tenant, &arguments.old)?;
    let new = mappings::one(config, tenant, &arguments.new)?;
    if !stores::is_there(config) {
        return Err(Failure::new("there is no store yet, and so nothing to compare with")
            .hint("`mjumbe serve` makes it; `mjumbe test` and `mjumbe run FILE` work without"));
    }
    block_on(async {
        let store = stores::open(config).await?;
        let told = Comparing { config, tenant, store: &store, old, new }.all(arguments).await;
        store.close().await;
        let summary = told?;
        if arguments.json {
            out!("{}", summary.json());
        } else {
            summary.tell();
        }
        Ok(ExitCode::SUCCESS)
    })
}

/// Two versions of a mapping.
struct Comparing<'a> {
    config: &'a Config,
    tenant: &'a str,
    store: &'a Store,
    old: Arc<Program>,
    new: Arc<Program>,
}

impl Comparing<'_> {
    async fn all(&self, arguments: &Arguments) -> Result<Summary, Failure> {
        let mut summary = Summary::default();
        let mut kinds = vec![self.new.from.kind.as_str()];
        kinds.extend(Some(self.old.from.kind.as_str()).filter(|kind| *kind != self.new.from.kind));
        for kind in kinds {
            let last = evaluation::last(self.store, (self.tenant, kind), arguments.last as usize).await?;
            for subject in &last {
                let old = self.evaluate(&self.old, subject).await?;
                let new = self.evaluate(&self.new, subject).await?;
                summary.add(&format!("{}/{}", subject.kind, subject.id), &old, &new, arguments.json);
            }
        }
        Ok(summary)
    }

    async fn evaluate(&self, program: &Program, subject: &Subject) -> Result<Evaluation, Failure> {
        let from = (Some(self.store), Tracing::Off);
        evaluation::evaluate((self.config, self.tenant), program, subject, from).await
    }
}

/// What differs, over all resources.
#[derive(Debug, Default)]
struct Summary {
    resources: usize,
    differing: usize,
    new: usize,
    gone: usize,
    changed: usize,
    parts: usize,
    /// Taken, held and with issues: with the old version, with the new one.
    taken: [usize; 2],
    held: [usize; 2],
    issues: [usize; 2],
    /// As JSON, where it is asked for.
    sources: Vec<Value>,
}

impl Summary {
    fn add(&mut self, source: &str, old: &Evaluation, new: &Evaluation, json: bool) {
        self.resources += 1;
        for (index, evaluation) in [old, new].into_iter().enumerate() {
            let count = |counts: &mut [usize; 2], holds: bool| {
                if let Some(count) = counts.get_mut(index) {
                    *count += usize::from(holds);
                }
            };
            count(&mut self.taken, evaluation.matched);
            count(&mut self.held, evaluation.held.is_some());
            count(&mut self.issues, !evaluation.issues.is_empty());
        }
        let differences = compare::compare(old, new);
        if differences.is_empty() {
            return;
        }
        self.differing += 1;
        for one in &differences {
            match one.fate {
                Fate::New => self.new += 1,
                Fate::Gone => self.gone += 1,
                Fate::Changed => self.changed += 1,
            }
            self.parts += one.parts.len();
        }
        let shown: Vec<Difference> = differences.into_iter().map(without_people).collect();
        if json {
            self.sources.push(json!({ "source": source, "deliveries": shown }));
        } else {
            tell(source, &shown);
        }
    }

    fn json(&self) -> Value {
        let both = |counts: [usize; 2]| json!({ "old": counts[0], "new": counts[1] });
        json!({
            "resources": self.resources, "differing": self.differing, "new": self.new, "gone": self.gone,
            "changed": self.changed, "parts": self.parts, "taken": both(self.taken), "held": both(self.held),
            "withIssues": both(self.issues), "sources": self.sources,
        })
    }

    fn tell(&self) {
        let (new, gone, changed, parts) = (self.new, self.gone, self.changed, self.parts);
        out!("{} of {} resources differ", self.differing, self.resources);
        out!("  deliveries: {new} new, {gone} gone, {changed} changed; {parts} parts");
        let lines = [("taken", self.taken), ("held", self.held), ("with issues", self.issues)];
        for (what, [old, new]) in lines {
            out!("  {what}: {old} → {new}");
        }
        note!(
            "nothing was sent. Next: `mjumbe replay` says what older resources would change once it is loaded"
        );
    }
}

fn tell(source: &str, differences: &[Difference]) {
    out!("{source}");
    for one in differences {
        let fate = match one.fate {
            Fate::New => "only with the new version",
            Fate::Gone => "only with the old version",
            Fate::Changed => "changed",
        };
        out!("  {} → {}{}: {fate}", one.delivery.id, one.delivery.destination, which(one));
        for part in &one.parts {
            let shown =
                |value: &Option<Value>| value.as_ref().map_or_else(|| "nothing".to_owned(), Value::to_string);
            out!("    {}: {} → {}", part.slot, shown(&part.old), shown(&part.new));
        }
    }
    out!("");
}

/// `[KEY]`, and which act of a series.
fn which(one: &Difference) -> String {
    let key = if one.delivery.key.is_empty() { String::new() } else { format!(" [{}]", one.delivery.key) };
    let reason = one.delivery.reason.as_ref().map(|reason| format!(" ({reason}")).unwrap_or_default();
    let occurrence = one.delivery.occurrence.map(|number| format!(", {number})")).unwrap_or_default();
    format!("{key}{reason}{occurrence}")
}

/// Sums of a report are nobody's; all else may be a person's.
fn without_people(mut one: Difference) -> Difference {
    if matches!(one.target.as_str(), "dhis2.report" | "dhis2.count") {
        return one;
    }
    for part in one.parts.iter_mut().filter(|part| part.slot != "due") {
        let Part { old, new, .. } = part;
        // Masked texts look alike: a difference must still be seen.
        let differ = old != new;
        for value in [&mut *old, &mut *new].into_iter().flatten() {
            mask(value);
        }
        if differ && old == new {
            *new = Some(json!({ "masked": new.take(), "differs": true }));
        }
    }
    one
}

fn mask(value: &mut Value) {
    match value {
        Value::String(text) => *text = masked(text),
        Value::Number(_) => *value = Value::String("•••".to_owned()),
        Value::Array(items) => items.iter_mut().for_each(mask),
        Value::Object(fields) => fields.values_mut().for_each(mask),
        Value::Bool(_) | Value::Null => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn peoples_data_is_masked_and_a_difference_still_seen() {
        let delivery = compare::Identity {
            id: "rapidpro.contact".to_owned(),
            destination: "country".to_owned(),
            key: String::new(),
            reason: None,
            occurrence: None,
        };
        let part = Part {
            slot: "name".to_owned(),
            old: Some(json!({"name": "Grace Uwase", "urns": ["tel:+250788123456"]})),
            new: Some(json!({"name": "Aline Uwase", "urns": ["tel:+250788123456"]})),
        };
        let one = Difference {
            delivery,
            target: "rapidpro.contact".to_owned(),
            fate: Fate::Changed,
            parts: vec![part],
        };
        let shown = serde_json::to_string(&without_people(one.clone())).unwrap();
        assert!(!shown.contains("Uwase") && !shown.contains("788123"), "{shown}");
        assert!(shown.contains("differs"), "{shown}");
        let report = Difference { target: "dhis2.report".to_owned(), ..one };
        assert!(serde_json::to_string(&without_people(report)).unwrap().contains("Uwase"));
    }
}
