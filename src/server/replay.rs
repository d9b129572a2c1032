//! Replays as a person asks for them: which stored resources, what would change, and asking.

use std::sync::Arc;

use jiff::tz::TimeZone;

use super::app;
use super::reload::{self, Files};
use super::start;
use crate::config::Config;
use crate::delivery::evaluation::{Memory, Surrounded};
use crate::delivery::evaluator::Evaluator;
use crate::delivery::lookup::Surroundings;
use crate::delivery::record::Acts;
use crate::delivery::replay::{self, Effect};
use crate::fhir::outcome::Outcome;
use crate::fhir::parameters::custom::Custom;
use crate::fhir::query::{Filter, Match, Parameter, Prefix, Query};
use crate::fhir::search::{self, Context, Handling};
use crate::fhir::structure::tolerated::NOTHING;
use crate::mapping::program::Program;
use crate::store::Store;
use crate::store::changes::{self, Replay};
use crate::store::db::AsConflict;
use crate::store::search::{Page, Total, TotalWanted};

/// Resources of one page, and of one transaction.
const PAGE: u32 = 500;
/// Sources that a preview names.
const EXAMPLES: usize = 20;
/// Runs of one transaction before its conflict is reported.
const RUNS_MAX: u32 = 8;

/// Why nothing was replayed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("the search is refused: {reason} [replay-search]")]
    Search { reason: String },
    #[error("`{text}` is no day [replay-date]\n  hint: write it as 2026-01-31")]
    Date { text: String },
    #[error("documents of kind {kind} are not searched [replay-search]\n  hint: use --since and --until")]
    Documents { kind: String },
    #[error(
        "the mapping `{name}` is not among the files that can be used [replay-mapping]\n  hint: mjumbe check"
    )]
    Mapping { name: String },
    #[error(transparent)]
    Start(#[from] start::Error),
    #[error("{} [{}]\n  hint: {}", .0, .0.code(), .0.hint())]
    Store(#[from] crate::store::Error),
}

/// Which resources, and how.
#[derive(Debug, Clone, Default)]
pub struct Choice {
    /// A FHIR search without its type.
    pub search: Option<String>,
    /// Days in the tenant's zone: written on `since` or later, and before `until`.
    pub since: Option<String>,
    pub until: Option<String>,
    pub replay: Replay,
}

/// What a preview found.
#[derive(Debug, Clone, Default)]
pub struct Previewed {
    /// Resources that were chosen.
    pub resources: u64,
    pub evaluated: u64,
    pub effect: Effect,
    /// `Type/id` of some of those that would change.
    pub examples: Vec<(String, Effect)>,
}

/// How far a request is.
#[derive(Debug, Clone, Copy)]
pub struct Progress {
    pub requested: u64,
}

/// One mapping of one tenant, to be replayed.
pub struct Desk<'a> {
    store: &'a Store,
    around: Surroundings,
    evaluator: Arc<dyn Evaluator>,
    /// What the mapping takes.
    kind: String,
}

impl<'a> Desk<'a> {
    /// Loads the mapping as `serve` does.
    ///
    /// # Errors
    /// [`Error::Mapping`] where it is not there; the store's.
    pub async fn open(
        config: &Config,
        store: &'a Store,
        (tenant, program): (&str, &Program),
        zone: TimeZone,
    ) -> Result<Self, Error> {
        let url = config.server.public_url.clone();
        let url = url.unwrap_or_else(|| format!("http://{}", config.server.listen));
        let base = app::base(url.trim_end_matches('/'), tenant);
        let files = Files::of(config, store, tenant, zone.clone()).await?;
        let found = files.load()?.into_iter().find(|evaluator| evaluator.name() == program.name);
        let evaluator = found.ok_or_else(|| Error::Mapping { name: program.name.clone() })?;
        let around = reload::surroundings(config, (tenant, &base), zone);
        Ok(Self { store, around, evaluator, kind: program.from.kind.clone() })
    }

    /// What would change. Evaluates at most `most` of the chosen resources.
    ///
    /// # Errors
    /// [`Error`]
    pub async fn preview(
        &self,
        choice: &Choice,
        most: u32,
        progress: impl Fn(u64),
    ) -> Result<Previewed, Error> {
        let query = self.query(choice)?;
        let memory = if choice.replay.fresh { Memory::Forgotten } else { Memory::Kept };
        let acts = if choice.replay.acts { Acts::Made } else { Acts::Withheld };
        let surrounded = Surrounded { around: &self.around, evaluator: self.evaluator.as_ref(), memory };
        let mut previewed = Previewed::default();
        let mut page = Page { count: PAGE.min(most.max(1)), total: TotalWanted::Accurate, ..Page::default() };
        loop {
            let found = self.store.search(&self.around.tenant, &query, &page).await?;
            if let Total::Exact(total) = found.total {
                previewed.resources = u64::try_from(total).unwrap_or_default();
            }
            let mut connection = self.store.db().read().await?;
            for stored in &found.entries {
                if previewed.evaluated >= u64::from(most) {
                    return Ok(previewed);
                }
                let effect = replay::preview(&mut connection, &surrounded, stored, acts).await?;
                previewed.evaluated += 1;
                previewed.effect += effect;
                if !effect.is_nothing() && previewed.examples.len() < EXAMPLES {
                    previewed.examples.push((format!("{}/{}", stored.kind, stored.id), effect));
                }
                progress(previewed.evaluated);
            }
            match found.next {
                Some(next) => page.token = Some(next),
                None => return Ok(previewed),
            }
        }
    }

    /// Asks for all chosen resources to be mapped again. Gives how many.
    ///
    /// # Errors
    /// [`Error`]; what was asked for before it stays asked for.
    pub async fn request(&self, choice: &Choice, progress: impl Fn(Progress)) -> Result<u64, Error> {
        let query = self.query(choice)?;
        let mut requested = 0;
        let mut page = Page { count: PAGE, total: TotalWanted::None, ..Page::default() };
        loop {
            let found = self.store.search(&self.around.tenant, &query, &page).await?;
            let rids: Vec<i64> = found.entries.iter().map(|stored| stored.rid).collect();
            self.ask(&rids, choice.replay).await?;
            requested += u64::try_from(rids.len()).unwrap_or_default();
            progress(Progress { requested });
            match found.next {
                Some(next) => page.token = Some(next),
                None => return Ok(requested),
            }
        }
    }

    /// How many replays of the mapping are not worked off yet.
    ///
    /// # Errors
    /// The store's.
    pub async fn waiting(&self) -> Result<i64, Error> {
        let mut connection = self.store.db().read().await?;
        Ok(changes::replays_waiting(&mut connection, &self.around.tenant, self.evaluator.name()).await?)
    }

    async fn ask(&self, rids: &[i64], replay: Replay) -> Result<(), Error> {
        let mut run = 1;
        loop {
            match self.attempt(rids, replay).await {
                Err(error) if run < RUNS_MAX && error.is_conflict() => run += 1,
                done => return Ok(done?),
            }
        }
    }

    async fn attempt(&self, rids: &[i64], replay: Replay) -> Result<(), crate::store::Error> {
        let mut tx = self.store.db().begin_write().await?;
        let chosen = (self.evaluator.name(), rids);
        changes::request_replays(&mut tx, &self.around.tenant, chosen, replay).await?;
        tx.commit().await
    }

    fn query(&self, choice: &Choice) -> Result<Query, Error> {
        let mut query = match choice.search.as_deref() {
            Some(_) if self.kind.contains('.') => return Err(Error::Documents { kind: self.kind.clone() }),
            Some(text) => self.searched(text)?,
            None => Query { kind: self.kind.clone(), ..Query::default() },
        };
        let bounds = [(&choice.since, Prefix::Ge), (&choice.until, Prefix::Lt)];
        for (text, prefix) in bounds.into_iter().filter_map(|(text, prefix)| Some((text.as_deref()?, prefix)))
        {
            let at = self.day(text)?;
            let written = Match::Date { prefix, low: at, high: at + 1 };
            query.filters.push(Filter { parameter: Parameter::LastUpdated, any: vec![written], not: false });
        }
        Ok(query)
    }

    fn searched(&self, text: &str) -> Result<Query, Error> {
        let pairs: Vec<(String, String)> =
            url::form_urlencoded::parse(text.trim_start_matches('?').as_bytes()).into_owned().collect();
        let context = Context {
            base: &self.around.base,
            zone: &self.around.zone,
            now: jiff::Timestamp::now(),
            handling: Handling::Strict,
            custom: Custom::none(),
            tolerated: NOTHING,
        };
        let parsed = search::parse(&self.kind, &pairs, &context);
        parsed.map(|search| search.query).map_err(|outcome| Error::Search { reason: told(&outcome) })
    }

    /// Midnight in the tenant's zone, in milliseconds.
    fn day(&self, text: &str) -> Result<i64, Error> {
        let wrong = || Error::Date { text: text.to_owned() };
        let day: jiff::civil::Date = text.parse().map_err(|_| wrong())?;
        let begin = day.to_zoned(self.around.zone.clone()).map_err(|_| wrong())?;
        Ok(begin.timestamp().as_millisecond())
    }
}

fn told(outcome: &Outcome) -> String {
    let issues = outcome.issues.iter().map(|issue| issue.text.clone());
    issues.collect::<Vec<_>>().join("; ")
}
