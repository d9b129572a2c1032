//! What one round reads and writes.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;
use tokio_util::sync::CancellationToken;

use super::pace::Extent;
use super::{PollError, Poller};
use crate::rapidpro::client::{encode, utc};
use crate::rapidpro::mirror::{self, same_contact};
use crate::rapidpro::run::{self, Origin};
use crate::store::read::Stored;
use crate::store::write::{Effect, Fixed, Precondition, Put, Refusal};
use crate::telemetry::trace_id;

/// A change may become visible so long after its `modified_on`: mailroom's transactions are short, and
/// this is far longer.
const OVERLAP: jiff::SignedDuration = jiff::SignedDuration::from_mins(5);
/// Reading what is older than that is catching up: the cursor moves with every page.
const CATCHING_UP: jiff::SignedDuration = jiff::SignedDuration::from_mins(60);
/// Pages of one list in one round: 5 million rows.
const PAGES_MAX: usize = 20_000;
/// Another process may have written the same page: it is compared again.
const TRIES: usize = 5;

/// What a round did.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Round {
    /// Runs, contacts and flows that were new or changed.
    pub runs: usize,
    pub contacts: usize,
    pub flows: usize,
    /// Versions that were written.
    pub written: usize,
}

/// A list that is read by `modified_on`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum List {
    Contacts,
    DeletedContacts,
    Runs,
}

impl List {
    fn endpoint(self) -> &'static str {
        match self {
            Self::Contacts | Self::DeletedContacts => "contacts",
            Self::Runs => "runs",
        }
    }

    fn cursor(self) -> &'static str {
        match self {
            Self::Contacts => "contacts",
            Self::DeletedContacts => "contacts-deleted",
            Self::Runs => "runs",
        }
    }

    fn query(self) -> &'static [(&'static str, &'static str)] {
        match self {
            Self::Contacts => &[("reverse", "true")],
            Self::DeletedContacts => &[("reverse", "true"), ("deleted", "true")],
            Self::Runs => &[("reverse", "true"), ("paths", "false")],
        }
    }
}

impl Poller {
    pub(super) async fn round(
        &mut self,
        extent: Extent,
        shutdown: &CancellationToken,
    ) -> Result<Round, PollError> {
        let mut round = Round::default();
        let mut mirrors = Ok(());
        if extent == Extent::Whole {
            // Contacts first, so that a run's contact is there when the run is mapped. RapidPro counts
            // requests for contacts apart: when those are used up, runs still come in.
            mirrors = self.read_mirrors(&mut round, shutdown).await;
        }
        self.read_list(List::Runs, &mut round, shutdown).await?;
        mirrors.map(|()| round)
    }

    async fn read_mirrors(
        &mut self,
        round: &mut Round,
        shutdown: &CancellationToken,
    ) -> Result<(), PollError> {
        round.flows = self.poll_flows().await?;
        self.read_list(List::Contacts, round, shutdown).await?;
        self.read_list(List::DeletedContacts, round, shutdown).await
    }

    async fn read_list(
        &mut self,
        list: List,
        round: &mut Round,
        shutdown: &CancellationToken,
    ) -> Result<(), PollError> {
        let started = jiff::Timestamp::now();
        let name = format!("rapidpro.{}.{}", self.workspace.name, list.cursor());
        let stored = self.store.cursor(&self.settings.tenant, &name).await?;
        let mut watermark: Option<jiff::Timestamp> = stored.and_then(|text| text.parse().ok());
        let mut query = first_query(list, watermark);
        for _ in 0..PAGES_MAX {
            let page = self.client.page(list.endpoint(), &query).await?;
            let newest = page.results.iter().filter_map(modified).max();
            watermark = watermark.max(newest);
            // While catching up every page may move the cursor: what is so old is committed. Close to
            // now, only the last page does.
            let settled = page.next.is_none()
                || watermark.is_some_and(|mark| started.duration_since(mark) > CATCHING_UP);
            let cursor = watermark.filter(|_| settled).map(|mark| (name.clone(), utc(mark)));
            self.take_page(list, &page.results, cursor, round, shutdown).await?;
            match page.next {
                Some(next) if !shutdown.is_cancelled() => query = next,
                _ => break,
            }
        }
        Ok(())
    }

    async fn take_page(
        &mut self,
        list: List,
        rows: &[Value],
        cursor: Option<(String, String)>,
        round: &mut Round,
        shutdown: &CancellationToken,
    ) -> Result<(), PollError> {
        let mut refused = None;
        for _ in 0..TRIES {
            let puts = match list {
                List::Contacts => self.contacts(rows, round).await?,
                List::DeletedContacts => self.deleted(rows).await?,
                List::Runs => self.runs(rows, round, shutdown).await?,
            };
            let cursors: BTreeMap<String, String> = cursor.clone().into_iter().collect();
            if puts.is_empty() && cursors.is_empty() {
                return Ok(());
            }
            match self.store.write(&self.settings.tenant, Box::new(Fixed { puts, cursors })).await {
                Ok(written) => {
                    for new in written.iter().filter(|written| written.effect != Effect::Unchanged) {
                        round.written += 1;
                        let trace = trace_id(&self.settings.tenant, &new.kind, &new.id);
                        tracing::info!(
                            trace,
                            kind = new.kind,
                            version = new.version,
                            "a version is committed"
                        );
                    }
                    return Ok(());
                }
                Err(
                    refusal @ (Refusal::VersionConflict { .. }
                    | Refusal::Missing { .. }
                    | Refusal::Exists { .. }),
                ) => {
                    refused = Some(refusal);
                }
                Err(refusal) => return Err(refusal.into()),
            }
        }
        refused.map_or(Ok(()), |refusal| Err(refusal.into()))
    }

    async fn contacts(&self, rows: &[Value], round: &mut Round) -> Result<Vec<Put>, PollError> {
        let stored = self.stored(mirror::CONTACT, &uuids(rows)).await?;
        let mut rows: Vec<&Value> = rows.iter().collect();
        keep_last(&mut rows);
        let mut puts = Vec::new();
        for row in rows {
            let Some(uuid) = row.get("uuid").and_then(Value::as_str) else { continue };
            let known = stored.get(uuid);
            let same =
                known.and_then(body).is_some_and(|known| same_contact(&known, row) || newer(&known, row));
            if !same && let Some(put) = self.workspace.contact(row) {
                puts.push(Put { precondition: precondition(known), ..put });
            }
        }
        round.contacts += puts.len();
        Ok(puts)
    }

    async fn deleted(&self, rows: &[Value]) -> Result<Vec<Put>, PollError> {
        let stored = self.stored(mirror::CONTACT, &uuids(rows)).await?;
        let there = stored.iter().filter(|(_, known)| !known.deleted());
        Ok(there.map(|(uuid, _)| self.workspace.contact_deleted(uuid)).collect())
    }

    async fn runs(
        &mut self,
        rows: &[Value],
        round: &mut Round,
        shutdown: &CancellationToken,
    ) -> Result<Vec<Put>, PollError> {
        let stored = self.stored(mirror::RUN, &uuids(rows)).await?;
        let known = |row: &Value| row.get("uuid").and_then(Value::as_str).and_then(|uuid| stored.get(uuid));
        let changed = |row: &&Value| {
            known(row).and_then(body).is_none_or(|known| known != **row && !newer(&known, row))
        };
        // Sorted by change: a run that is twice on a page counts as it is at last.
        let mut rows: Vec<&Value> = rows.iter().filter(changed).collect();
        keep_last(&mut rows);
        if rows.is_empty() {
            return Ok(Vec::new());
        }
        self.know_flows(&rows).await?;
        self.know_contacts(&rows, round, shutdown).await?;
        let links = self.links(&rows).await?;
        let mut puts = Vec::new();
        for row in &rows {
            puts.extend(self.run_puts(row, &links, known(row)));
        }
        round.runs += rows.len();
        Ok(puts)
    }

    /// The run, and its response where it can be read.
    fn run_puts(&self, row: &Value, links: &BTreeMap<String, String>, known: Option<&Stored>) -> Vec<Put> {
        let names = match run::names(row) {
            Ok(names) => names,
            Err(error) => {
                tracing::warn!(workspace = self.workspace.name, "a run cannot be read: {error}");
                return Vec::new();
            }
        };
        let run = names.uuid.clone();
        let document = Put { precondition: precondition(known), ..self.workspace.run(&names, row) };
        let flow = self.flows.get(&names.flow);
        let origin = Origin { url: &self.workspace.url, link: links.get(&names.contact).map(String::as_str) };
        let reading = match run::read(row, flow.as_deref(), origin) {
            Ok(reading) => reading,
            Err(error) => {
                tracing::warn!(run, "a run cannot be read: {error}");
                return vec![document];
            }
        };
        if !reading.untyped.is_empty() {
            let answers = reading.untyped.len();
            tracing::warn!(run, answers, "answers have no types: the flow's definition does not know them");
        }
        if !reading.unreadable.is_empty() {
            let answers = reading.unreadable.len();
            tracing::warn!(
                run,
                answers,
                "answers do not fit the type that the flow asked for; they are left out"
            );
        }
        match self.workspace.response(&names, reading.response) {
            Ok(response) => vec![document, response],
            Err(issues) => {
                tracing::error!(
                    run,
                    issues,
                    "a run does not make an R4 QuestionnaireResponse; only the run is kept"
                );
                vec![document]
            }
        }
    }

    /// Reads the changed contacts where a run names one that is not mirrored yet.
    async fn know_contacts(
        &mut self,
        runs: &[&Value],
        round: &mut Round,
        shutdown: &CancellationToken,
    ) -> Result<(), PollError> {
        let wanted = contacts_of(runs);
        let stored = self.stored(mirror::CONTACT, &wanted).await?;
        if wanted.iter().all(|uuid| stored.contains_key(uuid)) {
            return Ok(());
        }
        match Box::pin(self.read_list(List::Contacts, round, shutdown)).await {
            // The run comes in without its contact; a mapping that needs it waits for it.
            Err(PollError::RapidPro(fault)) => {
                tracing::warn!(code = fault.code, "a run came in before its contact: {fault}");
                Ok(())
            }
            other => other,
        }
    }

    /// Contact → the resource that a response may name as its source.
    async fn links(&self, runs: &[&Value]) -> Result<BTreeMap<String, String>, PollError> {
        let at = (self.workspace.name.as_str(), mirror::CONTACT);
        let found = self.store.links_to(&self.settings.tenant, at, &contacts_of(runs)).await?;
        let mut links = BTreeMap::new();
        // <http://hl7.org/fhir/R4/questionnaireresponse-definitions.html#QuestionnaireResponse.source>
        for kind in ["PractitionerRole", "RelatedPerson", "Patient", "Practitioner"] {
            for link in found.iter().filter(|link| link.kind == kind) {
                links.insert(link.remote_id.clone(), format!("{kind}/{}", link.id));
            }
        }
        Ok(links)
    }

    /// Current versions by uuid, deletions included.
    async fn stored(&self, kind: &str, uuids: &[String]) -> Result<BTreeMap<String, Stored>, PollError> {
        let wanted: Vec<(String, String)> =
            uuids.iter().map(|uuid| (kind.to_owned(), self.workspace.id(uuid))).collect();
        let found = self.store.many(&self.settings.tenant, &wanted).await?;
        let uuid = |stored: &Stored| stored.id.rsplit('/').next().unwrap_or_default().to_owned();
        Ok(found.into_iter().map(|stored| (uuid(&stored), stored)).collect())
    }

    pub(super) async fn documents(
        &self,
        kind: &str,
        uuids: &[String],
    ) -> Result<BTreeMap<String, Value>, PollError> {
        let stored = self.stored(kind, uuids).await?;
        Ok(stored.into_iter().filter_map(|(uuid, stored)| Some((uuid, body(&stored)?))).collect())
    }
}

fn first_query(list: List, watermark: Option<jiff::Timestamp>) -> String {
    let after = watermark.and_then(|mark| mark.checked_sub(OVERLAP).ok()).map(utc);
    let mut query = list.query().to_vec();
    if let Some(after) = &after {
        query.push(("after", after));
    }
    encode(&query)
}

fn modified(row: &Value) -> Option<jiff::Timestamp> {
    row.get("modified_on")?.as_str()?.parse().ok()
}

/// Another process was quicker and stored a later state.
fn newer(known: &Value, row: &Value) -> bool {
    modified(known) > modified(row)
}

fn body(stored: &Stored) -> Option<Value> {
    serde_json::from_str(stored.body.as_deref()?).ok()
}

/// What was compared must still be so when it is written.
fn precondition(known: Option<&Stored>) -> Precondition {
    match known {
        Some(known) if !known.deleted() => Precondition::Version(known.version),
        _ => Precondition::Absent,
    }
}

fn uuids(rows: &[Value]) -> Vec<String> {
    let all: BTreeSet<&str> = rows.iter().filter_map(|row| row.get("uuid")?.as_str()).collect();
    all.into_iter().map(str::to_owned).collect()
}

fn contacts_of(runs: &[&Value]) -> Vec<String> {
    let all: BTreeSet<&str> =
        runs.iter().filter_map(|run| run.get("contact")?.get("uuid")?.as_str()).collect();
    all.into_iter().map(str::to_owned).collect()
}

fn keep_last(rows: &mut Vec<&Value>) {
    let mut seen = BTreeSet::new();
    rows.reverse();
    rows.retain(|row| seen.insert(row.get("uuid").and_then(Value::as_str).unwrap_or_default().to_owned()));
    rows.reverse();
}
