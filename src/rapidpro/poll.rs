//! Polls a workspace: what it holds comes into the store.
//!
//! **Invariants:** each page is committed with its cursor before the next is asked for, so memory holds
//! one page; a cursor never passes what may still be committed over there; nothing is believed from
//! webhooks, they only wake this task.
//!
//! RapidPro stamps `modified_on` when its transaction *begins*, so a change may become visible after
//! later ones were seen. Lists are therefore read ascending and with an overlap of five minutes, and what
//! is stored already is skipped. Pages are read in ascending order because in descending order a row that
//! changes meanwhile jumps to a page already read.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use super::client::Client;
use super::client::fault::{Fault, Kind};
use super::mirror::Workspace;
use super::webhook::Hint;
use crate::store::{self, Store};

// Flows as stored, and when to read their definitions again.
mod flows;
// When to poll: intervals, hints, waits.
mod pace;
// What one round reads and writes.
mod round;

pub use round::Round;

use flows::Flows;
use pace::Pace;

const DEFAULT_INTERVAL: Duration = Duration::from_secs(30);

/// What a poller needs.
#[derive(Debug, Clone)]
pub struct Settings {
    pub tenant: String,
    /// The tenant's zone.
    pub zone: jiff::tz::TimeZone,
    /// Between rounds without hints; 30 s where it is not given.
    pub interval: Option<Duration>,
}

/// Why a round ended early.
#[derive(Debug, thiserror::Error)]
pub enum PollError {
    #[error("RapidPro: {0}")]
    RapidPro(#[from] Fault),
    #[error("the store could not be read: {0}")]
    Read(#[from] store::Error),
    #[error("the store could not be written: {0}")]
    Write(#[from] store::write::Refusal),
}

impl PollError {
    /// Stable, kebab-case.
    pub fn code(&self) -> &'static str {
        match self {
            Self::RapidPro(fault) => fault.code,
            Self::Read(_) => "store-read-failed",
            Self::Write(_) => "store-write-failed",
        }
    }
}

/// Wakes a poller. Cheap to clone.
#[derive(Debug, Clone, Default)]
pub struct Hints {
    woken: Arc<Notify>,
}

impl Hints {
    /// Something happened there: poll at once, and again after 2 s and 10 s, because RapidPro calls before
    /// it commits. Any number of hints at once cause one poll.
    pub fn accept(&self, hint: &Hint) {
        tracing::debug!(
            flow = hint.flow.map(tracing::field::display),
            run = hint.run.map(tracing::field::display),
            "a webhook of RapidPro wakes the poller"
        );
        self.woken.notify_one();
    }
}

/// The one task that polls a workspace.
pub struct Poller {
    client: Arc<Client>,
    store: Store,
    settings: Settings,
    workspace: Workspace,
    flows: Flows,
    woken: Arc<Notify>,
}

impl Poller {
    pub fn new(client: Arc<Client>, store: Store, settings: Settings) -> Self {
        let workspace = Workspace {
            name: client.name().to_owned(),
            url: client.url().to_owned(),
            zone: settings.zone.clone(),
        };
        Self { client, store, settings, workspace, flows: Flows::default(), woken: Arc::new(Notify::new()) }
    }

    /// Is woken by these hints, also where an earlier poller was before.
    #[must_use]
    pub fn woken_by(mut self, hints: &Hints) -> Self {
        self.woken = hints.woken.clone();
        self
    }

    /// For the webhook handler.
    pub fn hints(&self) -> Hints {
        Hints { woken: self.woken.clone() }
    }

    /// Polls until `shutdown`; the page that is under way is committed.
    pub async fn run(mut self, shutdown: CancellationToken) {
        let mut pace = Pace::new(self.settings.interval.unwrap_or(DEFAULT_INTERVAL), Instant::now());
        loop {
            let whole = tokio::select! {
                biased;
                () = shutdown.cancelled() => return,
                whole = pace.next(&self.woken) => whole,
            };
            let outcome = self.round(whole, &shutdown).await;
            self.tell(&outcome, &mut pace);
        }
    }

    /// One round, to its end.
    ///
    /// # Errors
    /// [`PollError`]; what was committed stays.
    pub async fn poll(&mut self) -> Result<Round, PollError> {
        self.round(pace::Extent::Whole, &CancellationToken::new()).await
    }

    /// Logs a failure once, not each time that it goes on.
    fn tell(&self, outcome: &Result<Round, PollError>, pace: &mut Pace) {
        let workspace = self.workspace.name.as_str();
        match outcome {
            Ok(round) => {
                if pace.recovered() {
                    tracing::info!(workspace, "polling RapidPro goes on");
                }
                if round.written > 0 {
                    let Round { runs, contacts, flows, written } = round;
                    tracing::info!(workspace, runs, contacts, flows, written, "read from RapidPro");
                }
            }
            Err(error) => {
                let (code, wait) = (error.code(), pace.failed(retry_after(error)));
                if pace.failures() == 1 {
                    tracing::warn!(
                        workspace,
                        code,
                        wait_s = wait.as_secs(),
                        "polling RapidPro failed: {error}"
                    );
                }
            }
        }
    }
}

fn retry_after(error: &PollError) -> Option<Duration> {
    match error {
        PollError::RapidPro(fault) if fault.kind == Kind::Throttled => fault.retry_after,
        _ => None,
    }
}
