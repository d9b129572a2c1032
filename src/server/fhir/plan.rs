//! A bundle's plan (or one interaction's) as the store writes it.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use super::call::{Call, Stop};
use super::put::Writer;
use super::render::Version;
use super::{concepts, merge};
use crate::auth::Principal;
use crate::auth::scope::Permission;
use crate::fhir::bundle::{self, Action, Effect, Operation};
use crate::fhir::outcome::{Issue, Outcome};
use crate::fhir::patch::{Allowance, Deadline};
use crate::server::answer;
use crate::server::app::App;
use crate::server::parameters;
use crate::store::write::{
    self, Further, Matches, Precondition, Put, Question, Refusal, Seen, Standing, Written,
};
use crate::telemetry::trace_id;

/// What became of one action.
pub struct Done {
    pub action: Action,
    /// For a put or a delete.
    pub written: Option<Written>,
    /// As stored, for a put.
    pub stored: Option<String>,
    /// What there is to say of it.
    pub notes: Vec<Issue>,
}

/// An action, before its plan is written.
#[derive(Clone)]
pub struct Planned {
    pub action: Action,
    pub stored: Option<String>,
    pub notes: Vec<Issue>,
}

/// What a plan is about to write.
#[derive(Clone)]
pub struct Draft {
    pub planned: Vec<Planned>,
    /// Those of the actions that write, in order; after them those that follow from them.
    pub puts: Vec<Put>,
}

/// Writes a plan, whole or not at all, and tells what became of each action, in the order of R4's rules.
///
/// # Errors
/// 403 where the caller may not do all of it; else why nothing was written.
pub async fn write(call: &Call, mut plan: bundle::Plan) -> Result<Vec<Done>, Stop> {
    allowed(call, &plan)?;
    concepts::look_up(call, plan.queries()).await?;
    let settled: Arc<Mutex<Vec<Planned>>> = Arc::default();
    let plan = WritePlan::new(call, plan, Arc::clone(&settled))?;
    let written = call.app.store.write(&call.tenant, Box::new(plan)).await?;
    if !written.is_empty() {
        call.app.signals.changes.give();
        written.iter().for_each(|one| trace(call, one));
        learn(call, &written).await;
    }
    let planned = std::mem::take(&mut *settled.lock().unwrap_or_else(PoisonError::into_inner));
    let mut written = written.into_iter();
    let done = planned.into_iter().map(|Planned { action, stored, notes }| {
        let written = if action.writes() { written.next() } else { None };
        let kept = written.as_ref().and_then(|written| written.kept.clone());
        Done { action, written, stored: kept.or(stored), notes }
    });
    Ok(done.collect())
}

/// The body that the answer may show. That of a patch is more than what the client sent: it needs to be allowed to
/// read.
pub fn shown<'a>(call: &Call, method: bundle::Method, done: &'a Done) -> Option<&'a str> {
    let may = |written: &Written| call.principal.require(Permission::Read, &written.kind).is_ok();
    let hidden = method == bundle::Method::Patch && !done.written.as_ref().is_some_and(may);
    done.stored.as_deref().filter(|_| !hidden)
}

/// What a SearchParameter defines is known here at once. Where the store does not answer, it is learnt later.
async fn learn(call: &Call, written: &[Written]) {
    if written.iter().any(|one| one.kind == parameters::KIND)
        && let Err(error) = call.app.own.refresh(&call.tenant).await
    {
        tracing::warn!(%error, "search parameters could not be read again");
    }
}

/// The beginning of the trace that mapping and delivery go on with; one line a version is much for a client
/// that posts thousands, and what is mapped says so at the default level.
fn trace(call: &Call, written: &Written) {
    let trace = trace_id(&call.tenant, &written.kind, &written.id);
    tracing::debug!(trace, version = written.version, kind = written.kind, "a version is committed");
}

/// Every entry's own permission, and that to search for each condition and conditional reference.
fn allowed(call: &Call, plan: &bundle::Plan) -> Result<(), Outcome> {
    for entry in plan.entries() {
        let (permission, kind) = match &entry.operation {
            Operation::Create { resource, .. } => (Permission::Create, resource.kind()),
            Operation::Update { resource, .. } | Operation::UpdateMatch { resource, .. } => {
                (Permission::Update, resource.kind())
            }
            Operation::Patch { kind, .. } | Operation::PatchMatch { kind, .. } => (Permission::Update, *kind),
            Operation::Delete { kind, .. } | Operation::DeleteMatch { kind, .. } => {
                (Permission::Delete, *kind)
            }
            // Asked when it is read or called, by the router's own rule.
            Operation::Read { .. } | Operation::Call(_) => continue,
        };
        let asked = call.principal.require(permission, kind);
        // Of hundreds of entries, the one that may not.
        asked.map_err(|denied| match answer::denied(&denied) {
            outcome if entry.path.is_empty() => outcome,
            outcome => outcome.at(&entry.path),
        })?;
    }
    plan.questions()
        .iter()
        .flat_map(|question| question.query.kinds())
        .try_for_each(|kind| call.principal.require(Permission::Search, kind))
        .map_err(|denied| answer::denied(&denied))
}

/// The plan that runs inside the write group.
struct WritePlan {
    app: Arc<App>,
    tenant: String,
    plan: bundle::Plan,
    principal: Principal,
    writer: Writer,
    patching: Arc<Allowance>,
    /// Worked out before the group is locked, where the plan asks nothing.
    ready: Option<Draft>,
    /// Whether a Patient may be merged.
    merges: bool,
    /// Worked out to ask further.
    asked: Mutex<Option<Draft>>,
    /// Told to the handler; set again if the group is run again.
    settled: Arc<Mutex<Vec<Planned>>>,
}

impl WritePlan {
    fn new(call: &Call, plan: bundle::Plan, settled: Arc<Mutex<Vec<Planned>>>) -> Result<Self, Stop> {
        let (app, tenant) = (Arc::clone(&call.app), call.tenant.clone());
        let merges = plan.entries().iter().any(|entry| merge::may_be(&entry.operation));
        let (principal, writer) = (call.principal.clone(), Writer::of(call));
        let (ready, asked, patching) = (None, Mutex::default(), Arc::clone(&call.patching));
        let mut made = Self { app, tenant, plan, principal, writer, patching, ready, merges, asked, settled };
        if made.plan.asks_nothing() {
            made.ready = Some(made.settle(&Seen::default())?);
        }
        Ok(made)
    }

    fn settle(&self, seen: &Seen<'_>) -> Result<Draft, Refusal> {
        let (begun, patches) = (Instant::now(), self.plan.patches());
        let settled = self.settle_until(seen, self.patching.begin(patches));
        if patches > 0 {
            self.patching.spend(patches, begun.elapsed());
        }
        settled
    }

    fn settle_until(&self, seen: &Seen<'_>, deadline: Deadline) -> Result<Draft, Refusal> {
        let current = |kind: &str, id: &str| {
            let standing = seen.standing.get(&(kind.to_owned(), id.to_owned()))?;
            Some(current(id, standing))
        };
        let custom = self.writer.custom();
        let answers = bundle::Answers { matches: seen.answers, current: &current, custom, deadline };
        let refused = |outcome| Refusal::Plan(Box::new(outcome));
        let actions = self.plan.settle(&answers).map_err(refused)?;
        let mut puts = Vec::new();
        let mut planned = Vec::with_capacity(actions.len());
        for action in actions {
            self.conform(&action, deadline).map_err(refused)?;
            let put = self.put(&action.effect);
            let stored = put.as_ref().and_then(|put| put.body.clone());
            planned.push(Planned { action, stored, notes: Vec::new() });
            puts.extend(put);
        }
        Ok(Draft { planned, puts })
    }

    fn draft(&self, seen: &Seen<'_>) -> Result<Draft, Refusal> {
        match &self.ready {
            Some(ready) => Ok(ready.clone()),
            None => self.settle(seen),
        }
    }

    fn asked(&self) -> MutexGuard<'_, Option<Draft>> {
        self.asked.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What is written keeps to the profiles that it claims, and a SearchParameter defines what can be searched
    /// by: 422.
    fn conform(&self, action: &Action, deadline: Deadline) -> Result<(), Outcome> {
        let Effect::Put { resource, id, method, .. } = &action.effect else { return Ok(()) };
        let is_patched = *method == bundle::Method::Patch;
        let checked = || {
            if is_patched {
                deadline.check()?;
            }
            if let Some(outcome) = Outcome::of(self.app.profiles.check(resource.body())) {
                return Err(outcome.status(422));
            }
            if resource.kind() == parameters::KIND {
                self.app.own.check(&self.tenant, resource, id)?;
            }
            Ok(())
        };
        checked().map_err(|outcome| match action.path.as_str() {
            "" => outcome,
            // Its places are in what is patched, not in the Bundle.
            path if is_patched => outcome.at(format!("{path}.resource")),
            path => outcome.within(&format!("{path}.resource")),
        })
    }

    fn put(&self, effect: &Effect) -> Option<Put> {
        match effect {
            Effect::Put { resource, id, condition, .. } => {
                Some(self.writer.put(resource, id, precondition(*condition)))
            }
            Effect::Delete { kind, id, condition } => {
                Some(self.writer.delete(kind, id, precondition(*condition)))
            }
            Effect::Exists { .. } | Effect::Nothing | Effect::Read { .. } | Effect::Call(_) => None,
        }
    }
}

/// A resource as clients read it, for what is patched.
fn current(id: &str, standing: &Standing) -> bundle::Current {
    let Standing { version, updated_ms, body, .. } = standing;
    let version_of =
        |stored: &String| Version { id, version: *version, updated_ms: *updated_ms, stored }.text();
    // What is stored is valid JSON; null is patched as little as it would be read.
    let body = body.as_ref().map(version_of).map(|text| serde_json::from_str(&text).unwrap_or_default());
    bundle::Current { version: *version, updated_ms: *updated_ms, body }
}

fn precondition(condition: bundle::Condition) -> Precondition {
    match condition {
        bundle::Condition::None => Precondition::None,
        bundle::Condition::Version(version) => Precondition::Version(version),
        bundle::Condition::OneOf(tags) => {
            Precondition::OneOf(tags.into_iter().filter(|version| *version > 0).collect())
        }
        bundle::Condition::Exists => Precondition::Living,
        bundle::Condition::Absent => Precondition::Absent,
    }
}

impl write::Plan for WritePlan {
    fn questions(&self) -> Vec<Question> {
        let questions = self.plan.questions().iter();
        questions.map(|asked| Question { query: asked.query.clone(), limit: asked.limit }).collect()
    }

    fn reads(&self, answers: &[Matches]) -> Vec<(String, String)> {
        self.plan.reads(answers)
    }

    fn asks_further(&self) -> bool {
        self.merges
    }

    fn further(&self, seen: &Seen<'_>) -> Result<Vec<Further>, Refusal> {
        let draft = self.draft(seen)?;
        let further = merge::further(&draft.planned, &self.writer);
        let further = further.map_err(|outcome| Refusal::Plan(Box::new(outcome)))?;
        *self.asked() = Some(draft);
        Ok(further)
    }

    fn puts(&self, seen: &Seen<'_>) -> Result<Vec<Put>, Refusal> {
        let asked = self.asked().take();
        let mut draft = match asked {
            Some(draft) => draft,
            None => self.draft(seen)?,
        };
        if self.merges {
            merge::apply(&mut draft, seen, (&self.principal, &self.writer))
                .map_err(|outcome| Refusal::Plan(Box::new(outcome)))?;
        }
        *self.settled.lock().unwrap_or_else(PoisonError::into_inner) = draft.planned;
        Ok(draft.puts)
    }
}
