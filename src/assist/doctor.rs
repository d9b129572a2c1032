//! `mjumbe doctor`: examines everything that a report passes through, and says what to do about each failure.
//!
//! **Never** prints a secret, a name or a number, and changes nothing in RapidPro or DHIS2. Systems are examined
//! side by side, each within 25 seconds. The configuration comes in, [`Finding`]s go out, in an order that does
//! not depend on who answered first.

// How far the clocks are apart.
mod clock;
// One DHIS2 instance.
mod dhis2;
// Another FHIR server or an HTTP endpoint.
mod endpoint;
// Mapping files.
mod mappings;
// One RapidPro workspace.
mod rapidpro;
// The database and its disk.
mod store;
// Asking another machine without credentials.
mod way;
// Whether RapidPro can call us.
mod webhook;

use std::time::Duration;

use futures::future::{BoxFuture, join_all};
use serde::Serialize;

use crate::config::Config;
use crate::config::problem::Problem;
use crate::mapping::program::NamedThere;

/// How long one system is examined.
const LIMIT: Duration = Duration::from_secs(25);

/// How it stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Level {
    Ok,
    /// Reports arrive, but not as well as they could; or it could not be examined.
    Warning,
    /// Reports do not arrive.
    Failed,
}

impl Level {
    pub fn word(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Warning => "warning",
            Self::Failed => "failed",
        }
    }
}

/// One thing that was examined.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// What it is about: `store`, `rapidpro.country`.
    pub about: String,
    /// Stable, kebab-case: `token`, `version`.
    pub check: &'static str,
    pub level: Level,
    /// What was found, for a person.
    pub message: String,
    /// What to do; empty where nothing is to be done.
    pub hint: String,
}

/// The findings about one thing, while they are collected.
struct Findings {
    about: String,
    found: Vec<Finding>,
}

impl Findings {
    fn about(about: impl Into<String>) -> Self {
        Self { about: about.into(), found: Vec::new() }
    }

    fn ok(&mut self, check: &'static str, message: impl Into<String>) {
        self.add(Level::Ok, check, message, "");
    }

    fn warn(&mut self, check: &'static str, message: impl Into<String>, hint: impl Into<String>) {
        self.add(Level::Warning, check, message, hint);
    }

    fn fail(&mut self, check: &'static str, message: impl Into<String>, hint: impl Into<String>) {
        self.add(Level::Failed, check, message, hint);
    }

    fn add(
        &mut self,
        level: Level,
        check: &'static str,
        message: impl Into<String>,
        hint: impl Into<String>,
    ) {
        let about = self.about.clone();
        self.found.push(Finding { about, check, level, message: message.into(), hint: hint.into() });
    }
}

/// A configuration that does not fit, as findings: nothing else can be examined then.
pub fn misconfigured(problems: &[Problem]) -> Vec<Finding> {
    let mut findings = Findings::about("config");
    for problem in problems {
        let place = if problem.key.is_empty() { String::new() } else { format!("{}: ", problem.key) };
        findings.fail(problem.code, format!("{place}{}", problem.message), &problem.hint);
    }
    findings.found
}

/// Examines everything.
pub async fn examine(config: &Config) -> Vec<Finding> {
    let mut first = configuration(config);
    let (mappings, named) = mappings::examine(config);
    let mut examinations: Vec<(String, BoxFuture<'_, Vec<Finding>>)> =
        vec![("store".to_owned(), Box::pin(store::examine(config)))];
    for (name, settings) in &config.rapidpro {
        let about = format!("rapidpro.{name}");
        examinations.push((about, Box::pin(rapidpro::examine(name, settings))));
    }
    for (name, settings) in &config.dhis2 {
        let tenant = settings.tenant.as_deref().unwrap_or("default");
        let own: Vec<NamedThere> = named.of(tenant, name);
        examinations.push((format!("dhis2.{name}"), Box::pin(dhis2::examine(name, settings, own))));
    }
    for (name, settings) in &config.fhir {
        examinations.push((format!("fhir.{name}"), Box::pin(endpoint::fhir(name, settings))));
    }
    for (name, settings) in &config.http {
        examinations.push((format!("http.{name}"), Box::pin(endpoint::http(name, settings))));
    }
    if !config.rapidpro.is_empty() {
        examinations.push(("webhook".to_owned(), Box::pin(webhook::examine(config))));
    }
    let examined = join_all(examinations.into_iter().map(|(about, work)| in_time(about, work))).await;
    first.extend(mappings);
    first.extend(examined.into_iter().flatten());
    first
}

async fn in_time(about: String, work: BoxFuture<'_, Vec<Finding>>) -> Vec<Finding> {
    match tokio::time::timeout(LIMIT, work).await {
        Ok(found) => found,
        Err(_) => {
            let mut findings = Findings::about(about);
            let message = format!("gave no complete answer within {} seconds", LIMIT.as_secs());
            findings.fail("time", message, "it is very slow or half down: look at its own log");
            findings.found
        }
    }
}

/// What the configuration leaves out although it is complete.
fn configuration(config: &Config) -> Vec<Finding> {
    let mut findings = Findings::about("config");
    let counted = |count: usize, word: &str| match count {
        1 => format!("1 {word}"),
        count => format!("{count} {word}s"),
    };
    let systems = format!(
        "{}, {}, {}",
        counted(config.tenant.len(), "tenant"),
        counted(config.rapidpro.len(), "RapidPro workspace"),
        counted(config.dhis2.len(), "DHIS2 instance"),
    );
    findings.ok("settings", systems);
    let outside = [config.fhir.len(), config.http.len(), config.rapidpro.len(), config.dhis2.len()];
    if outside.iter().sum::<usize>() == 0 {
        let hint = "add [rapidpro.NAME] and [dhis2.NAME] to mjumbe.toml";
        findings.warn("destinations", "neither RapidPro nor DHIS2 is configured: nothing is sent", hint);
    }
    for (name, tenant) in &config.tenant {
        let sends = config.workspaces_of(name).next().is_some() || config.instances_of(name).next().is_some();
        if tenant.timezone == "UTC" && sends {
            let hint =
                format!("set tenant.{name}.timezone, e.g. Africa/Kigali, unless your reports are in UTC");
            findings.warn("timezone", format!("the periods of `{name}` are computed in UTC"), hint);
        }
    }
    findings.found
}
