//! Search parameters of tenants' own: knows them, and keeps their values.
//!
//! Definitions are read from SearchParameter resources as they are written, values by walking each type in
//! the order of its versions (`store::parameters` has the invariant). A process that wrote a definition knows it
//! at once, the others within a second; writers of this process index by what is known here, and whatever was
//! written without knowing is passed by the walk, which never ends: it waits for new versions.
//! **Never** holds a writer up for longer than one small step.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::Duration;

use jiff::tz::TimeZone;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use crate::fhir::elements::table;
use crate::fhir::index::expression;
use crate::fhir::outcome::{IssueType, Outcome};
use crate::fhir::parameters::SearchType;
use crate::fhir::parameters::custom::{self, Custom, Definition};
use crate::fhir::resource::Resource;
use crate::store::db::Engine;
use crate::store::parameters::{Defined, Reached, State, Step};
use crate::store::read::Stored;
use crate::store::{self, Store};

/// The resource type that defines search parameters.
pub const KIND: &str = "SearchParameter";
/// How soon a process learns what another one did.
const POLL: Duration = Duration::from_secs(1);
/// Where several processes serve, a changed parameter is walked only when all of them know that it is
/// `building`.
const GRACE_MS: i64 = 2_500;
/// Resources of one step.
const STEP: u32 = 100;

/// The search parameters of all tenants' own. Cheap to clone.
#[derive(Clone)]
pub struct OwnParameters {
    inner: Arc<Inner>,
}

struct Inner {
    store: Store,
    tenants: BTreeMap<String, Tenant>,
}

struct Tenant {
    zone: TimeZone,
    known: RwLock<Arc<Custom>>,
    /// What `known` was made of.
    rows: Mutex<Vec<Defined>>,
    /// How far definitions were read.
    read: tokio::sync::Mutex<Reached>,
    wake: Notify,
}

impl OwnParameters {
    /// For these tenants and their zones. Nothing is known before the first refresh.
    pub fn new(store: Store, tenants: impl IntoIterator<Item = (String, TimeZone)>) -> Self {
        let tenant = |zone| Tenant {
            zone,
            known: RwLock::default(),
            rows: Mutex::default(),
            read: tokio::sync::Mutex::default(),
            wake: Notify::new(),
        };
        let tenants = tenants.into_iter().map(|(name, zone)| (name, tenant(zone))).collect();
        Self { inner: Arc::new(Inner { store, tenants }) }
    }

    /// What a tenant has, as this process knows it.
    pub fn of(&self, tenant: &str) -> Arc<Custom> {
        let Some(tenant) = self.inner.tenants.get(tenant) else { return Arc::default() };
        Arc::clone(&tenant.known.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Whether this SearchParameter may be stored: what it defines compiles, and its codes are free.
    ///
    /// # Errors
    /// 422 with the element.
    pub fn check(&self, tenant: &str, resource: &Resource, id: &str) -> Result<(), Outcome> {
        let definitions = custom::definitions(resource.body())?;
        let known = self.of(tenant);
        for definition in &definitions {
            let taken = known.find(definition.kind, &definition.code).filter(|own| own.source != id);
            if taken.is_some() {
                let text =
                    format!("another SearchParameter defines {} on {}", definition.code, definition.kind);
                return Err(Outcome::error(IssueType::Duplicate, "code-taken", text)
                    .status(422)
                    .at("SearchParameter.code"));
            }
        }
        let of_others = |kind| known.kind(kind).iter().filter(|own| own.source != id).count();
        let all: usize = known.kinds().map(of_others).sum();
        if all + definitions.len() > custom::MAX {
            let text = format!(
                "a tenant has at most {} search parameters of its own, each counted once for every type",
                custom::MAX
            );
            return Err(Outcome::error(IssueType::TooCostly, "too-many-parameters", text).status(422));
        }
        Ok(())
    }

    /// Reads what was written since the last time, and wakes whoever keeps the values.
    ///
    /// # Errors
    /// The store's.
    pub async fn refresh(&self, name: &str) -> Result<(), store::Error> {
        self.read(name).await?;
        if let Some(tenant) = self.inner.tenants.get(name) {
            tenant.wake.notify_one();
        }
        Ok(())
    }

    async fn read(&self, name: &str) -> Result<(), store::Error> {
        let Some(tenant) = self.inner.tenants.get(name) else { return Ok(()) };
        let store = &self.inner.store;
        let mut read = tenant.read.lock().await;
        loop {
            let page = store.written_after(name, KIND, *read, STEP).await?;
            let Some(last) = page.last() else { break };
            let reached = (last.updated_ms, last.rid);
            let sources: Vec<(String, Vec<Definition>)> = page.iter().map(source).collect();
            let known: BTreeSet<String> = {
                let rows = tenant.rows.lock().unwrap_or_else(PoisonError::into_inner);
                rows.iter().map(|row| row.source.clone()).collect()
            };
            let telling: Vec<_> = sources
                .into_iter()
                .filter(|(id, definitions)| !definitions.is_empty() || known.contains(id))
                .collect();
            let changed = !telling.is_empty() && store.define_parameters(name, &telling).await?;
            let removed = changed && telling.iter().any(|(_, definitions)| definitions.is_empty());
            // Another resource may define what is free now: all are read again.
            *read = if removed { (0, 0) } else { reached };
            self.learn(name, tenant).await?;
        }
        self.learn(name, tenant).await
    }

    /// Takes over what the store has.
    async fn learn(&self, name: &str, tenant: &Tenant) -> Result<(), store::Error> {
        let rows = self.inner.store.own_parameters(name).await?;
        let mut known = tenant.rows.lock().unwrap_or_else(PoisonError::into_inner);
        let bare = |rows: &[Defined]| -> Vec<Defined> {
            rows.iter().map(|row| Defined { reached: (0, 0), ..row.clone() }).collect()
        };
        if bare(&known) != bare(&rows) {
            let custom = Custom::of(rows.iter().filter_map(definition));
            *tenant.known.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(custom);
        }
        *known = rows;
        Ok(())
    }

    /// Learns and walks until it is told to stop.
    ///
    /// # Errors
    /// The store's; the supervisor runs it again.
    pub async fn run(&self, name: &str, stop: CancellationToken) -> Result<(), store::Error> {
        let Some(tenant) = self.inner.tenants.get(name) else { return Ok(()) };
        let mut seen = None;
        while !stop.is_cancelled() {
            let commit = self.inner.store.last_commit(name).await?;
            if seen != Some(commit) {
                self.read(name).await?;
            } else {
                self.learn(name, tenant).await?;
            }
            let ended = self.walk(name, tenant, &stop).await?;
            seen = ended.then_some(commit);
            let woken = async {
                tokio::select! {
                    () = tenant.wake.notified() => {}
                    () = tokio::time::sleep(POLL) => {}
                }
            };
            if stop.run_until_cancelled(woken).await.is_none() {
                break;
            }
        }
        Ok(())
    }

    /// Walks every type to its end. False where something must wait.
    async fn walk(
        &self,
        name: &str,
        tenant: &Tenant,
        stop: &CancellationToken,
    ) -> Result<bool, store::Error> {
        let mut ended = true;
        for kind in self.behind(name, tenant).await? {
            while !stop.is_cancelled() {
                match self.step(name, tenant, &kind, stop).await? {
                    Walked::More => {}
                    Walked::End => break,
                    Walked::Later => {
                        ended = false;
                        break;
                    }
                }
            }
        }
        Ok(ended)
    }

    /// The types that have something to be walked: new versions, or a parameter that is not active.
    async fn behind(&self, name: &str, tenant: &Tenant) -> Result<Vec<String>, store::Error> {
        let mut kinds: BTreeMap<String, (Reached, bool)> = BTreeMap::new();
        {
            let rows = tenant.rows.lock().unwrap_or_else(PoisonError::into_inner);
            for row in rows.iter() {
                let (reached, open) = kinds.entry(row.kind.clone()).or_insert((row.reached, false));
                *reached = row.reached.min(*reached);
                *open |= row.state != State::Active;
            }
        }
        let last = self.inner.store.last_written(name, kinds.keys().cloned().collect()).await?;
        let is_behind = |kind: &String, (reached, open): &(Reached, bool)| {
            *open || last.get(kind).is_some_and(|last| last > reached)
        };
        kinds.retain(|kind, at| is_behind(kind, at));
        Ok(kinds.into_keys().collect())
    }

    async fn step(
        &self,
        name: &str,
        tenant: &Tenant,
        kind: &str,
        stop: &CancellationToken,
    ) -> Result<Walked, store::Error> {
        let store = &self.inner.store;
        let rows: Vec<Defined> = store.own_parameters(name).await?;
        let rows: Vec<Defined> = rows.into_iter().filter(|row| row.kind == kind).collect();
        let shared = store.db().engine() == Engine::Postgres;
        let now = jiff::Timestamp::now().as_millisecond();
        let fresh = |row: &Defined| {
            shared && row.state != State::Active && row.changed_ms.saturating_add(GRACE_MS) > now
        };
        let ready: Vec<Defined> = rows.iter().filter(|row| !fresh(row)).cloned().collect();
        let waiting = ready.len() < rows.len();
        let Some(from) = ready.iter().map(|row| row.reached).min() else {
            return Ok(if waiting { Walked::Later } else { Walked::End });
        };
        let page = store.written_after(name, kind, from, STEP).await?;
        let end = page.len() < usize::try_from(STEP).unwrap_or(usize::MAX);
        let to = page.last().map_or(from, |last| (last.updated_ms, last.rid));
        if page.is_empty() && ready.iter().all(|row| row.state == State::Active) {
            return Ok(if waiting { Walked::Later } else { Walked::End });
        }
        let of = ready.iter().map(|row| (row.code.clone(), row.changed_ms)).collect();
        let custom = Custom::of(ready.iter().filter_map(definition));
        let (zone, of_kind, told) = (tenant.zone.clone(), kind.to_owned(), stop.clone());
        let resources = tokio::task::spawn_blocking(move || {
            let all = page.iter().map(|stored| evaluated(&custom, (&of_kind, stored), &zone, &told));
            all.collect::<Option<Vec<_>>>()
        });
        // A panic inside would be a defect of the engine; the step is tried again by the supervisor.
        let resources = resources.await.map_err(|_| store::Error::Column { column: "body".to_owned() })?;
        let Some(resources) = resources else { return Ok(Walked::Later) };
        let step = Step { kind: kind.to_owned(), from, to, end, of, resources };
        store.index_parameters(name, &step).await?;
        if end {
            self.learn(name, tenant).await?;
            return Ok(if waiting { Walked::Later } else { Walked::End });
        }
        Ok(Walked::More)
    }
}

/// How a step of a walk ended.
enum Walked {
    More,
    End,
    /// Something is to be walked, but not yet.
    Later,
}

type Evaluated = (i64, i64, Vec<crate::fhir::index::IndexRow>);

/// `None`: it was told to stop.
fn evaluated(
    custom: &Custom,
    (kind, stored): (&str, &Stored),
    zone: &TimeZone,
    stop: &CancellationToken,
) -> Option<Evaluated> {
    let body = stored.body.as_deref().and_then(|body| serde_json::from_str(body).ok());
    let rows = match body {
        Some(body) => expression::rows(custom.kind(kind), &body, zone, &|| stop.is_cancelled())?,
        None => Vec::new(),
    };
    Some((stored.rid, stored.version, rows))
}

/// What a stored SearchParameter defines; nothing where it is deleted, or cannot be followed.
fn source(stored: &Stored) -> (String, Vec<Definition>) {
    let body = stored.body.as_deref().and_then(|body| serde_json::from_str(body).ok());
    let definitions = body.and_then(|body| custom::definitions(&body).ok()).unwrap_or_default();
    (stored.id.clone(), definitions)
}

fn definition(row: &Defined) -> Option<(Definition, String, custom::State)> {
    let state = match row.state {
        State::Building => custom::State::Building,
        State::Active => custom::State::Active,
        State::Removing => return None,
    };
    let targets = row.targets.split(',').filter_map(|target| table().kind(target)).collect();
    let definition = Definition {
        kind: table().kind(&row.kind)?,
        code: row.code.clone(),
        url: row.url.clone(),
        search_type: SearchType::named(&row.search_type)?.as_str(),
        targets,
        expression: row.expression.clone(),
    };
    Some((definition, row.source.clone(), state))
}
