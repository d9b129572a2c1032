//! Tracker: `POST /api/tracker` with its jobs, and `GET /api/tracker/…`.
//!
//! An import checks its payload against what is stored, takes its time, and commits: two that overlap do
//! not see each other, so that a unique attribute can be stored twice and the same new uid clashes at the
//! commit, as on a real server.

use std::time::Duration;

use serde_json::Value;

use self::incoming::Payload;
use self::options::Options;
use self::report::Report;
use super::super::faults::Effect;
use super::super::http::{Answer, Request};
use super::gate;
use super::state::{User, World};
use super::summary::{self, message, shown};
use super::{Dhis2, Version};

// What is refused, object by object.
mod check;
// Stores what was checked.
mod commit;
// The payload as one list of each kind of object.
mod incoming;
// Asynchronous imports.
mod jobs;
// The parameters of an import.
mod options;
// Error codes and their words in each generation.
mod problem;
// Lists and single objects.
mod reading;
// The import report.
mod report;
// Tracked entities, enrolments, events, relationships.
mod state;

pub use state::Kind;
pub(super) use state::Tracker;

/// Whether a request is an import.
pub(super) fn is_import(request: &Request) -> bool {
    let path = request.path.trim_end_matches('/');
    request.method == "POST" && path.starts_with("/api/") && path.ends_with("/tracker")
}

/// `POST /api/tracker`: checks, waits, commits; or gives it to a job.
pub(super) async fn import(dhis2: &Dhis2, request: &Request) -> Answer {
    let begun = begin(&dhis2.world(), request);
    let (user, options, payload) = match begun {
        Ok(begun) => begun,
        Err(answer) => return answer,
    };
    let import = Import { user, options, payload, effects: request.effects.clone(), number: request.number };
    if import.options.asynchronous {
        let job = dhis2.world().tracker.jobs.begin(&import.user.name, &import.user.id);
        let (own, id) = (dhis2.clone(), job.clone());
        tokio::spawn(async move {
            let outcome = run(&own, &import).await;
            own.world().tracker.jobs.finish(&id, outcome);
        });
        return jobs::added(dhis2.version(), &request.base, &job);
    }
    match run(dhis2, &import).await {
        Outcome::Report(report) => {
            let status = if report.is_error() { 409 } else { 200 };
            Answer::json(status, &report.show(import.options.report_mode()))
        }
        Outcome::Crash(text) => message(500, &text),
    }
}

/// One import under way.
#[derive(Debug)]
struct Import {
    user: User,
    options: Options,
    payload: Payload,
    effects: Vec<Effect>,
    /// The number of its request.
    number: u64,
}

/// How an import ends.
#[derive(Debug)]
enum Outcome {
    Report(Report),
    /// 500: nothing of it is stored.
    Crash(String),
}

fn begin(world: &World, request: &Request) -> Result<(User, Options, Payload), Answer> {
    let user = gate::authenticate(world, request)?;
    if gate::unversioned(world.version, &request.path) != Some("tracker") {
        return Err(summary::tomcat_page(world.version, 404));
    }
    let options = Options::read(world.version, request)?;
    let payload = Payload::read(world, request, &options)?;
    Ok((user, options, payload))
}

async fn run(dhis2: &Dhis2, import: &Import) -> Outcome {
    let checked = check::check(&dhis2.world(), import);
    let takes = dhis2.shared.options.import_ms;
    if takes > 0 {
        tokio::time::sleep(Duration::from_millis(takes)).await;
    }
    commit::commit(&mut dhis2.world(), import, checked)
}

/// `GET /api/tracker/…`
pub(super) fn read(world: &World, request: &Request, user: &User, parts: &[&str]) -> Answer {
    match parts {
        ["jobs", id] => shown(&world.tracker.jobs.notifications(id, world.version)),
        ["jobs", id, "report"] => world.tracker.jobs.report(id, request.parameter("reportMode")),
        _ => reading::read(world, request, user, parts),
    }
}

/// A text of an object; `None` where it is absent, null or empty.
fn text<'a>(body: &'a serde_json::Map<String, Value>, key: &str) -> Option<&'a str> {
    body.get(key).and_then(Value::as_str).filter(|text| !text.is_empty())
}

/// Which generation speaks.
const fn is_old(version: Version) -> bool {
    matches!(version, Version::V2_40)
}
