//! Flows as stored with their Questionnaires, and when to read their definitions again.
//!
//! A definition is read when a flow appears or its `modified_on` moves, and when a run names a node that
//! the stored one does not know (it was edited a moment ago). The first list of a process also writes the
//! Questionnaires of the flows that did not change: an earlier release may have read them otherwise, and an
//! equal one makes no version.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;
use std::time::{Duration, Instant};

use serde_json::Value;

use super::{PollError, Poller};
use crate::rapidpro::client::Client;
use crate::rapidpro::client::fault::{Fault, Kind};
use crate::rapidpro::flow::Flow;
use crate::rapidpro::flow::questionnaire::{Status, questionnaire};
use crate::rapidpro::mirror;
use crate::store::write::{Fixed, Put};

/// Definitions kept in memory; the store has them all.
const KEPT_MAX: usize = 500;
/// Definitions asked for at once.
const AT_ONCE: usize = 10;
const PAGES_MAX: usize = 400;
/// The list of flows is read so often.
const LIST_EVERY: Duration = Duration::from_secs(300);
/// A flow whose run names an unknown node is looked at so often.
const SUSPECT_EVERY: Duration = Duration::from_secs(60);

#[derive(Debug, Default)]
pub struct Flows {
    /// `None`: known not to be readable.
    known: HashMap<String, Option<Arc<Flow>>>,
    listed: Option<Instant>,
    /// The Questionnaires of unchanged flows were written once by this process.
    refreshed: bool,
    suspected: HashMap<String, Instant>,
}

impl Flows {
    pub fn get(&self, uuid: &str) -> Option<Arc<Flow>> {
        self.known.get(uuid).cloned().flatten()
    }

    fn keep(&mut self, uuid: &str, flow: Option<Arc<Flow>>) {
        if self.known.len() >= KEPT_MAX && !self.known.contains_key(uuid) {
            self.known.clear();
        }
        self.known.insert(uuid.to_owned(), flow);
    }

    fn list_is_due(&mut self) -> bool {
        let due = self.listed.is_none_or(|listed| listed.elapsed() >= LIST_EVERY);
        if due {
            self.listed = Some(Instant::now());
        }
        due
    }

    fn may_suspect(&mut self, uuid: &str) -> bool {
        let may = self.suspected.get(uuid).is_none_or(|at| at.elapsed() >= SUSPECT_EVERY);
        if may {
            if self.suspected.len() >= KEPT_MAX {
                self.suspected.clear();
            }
            self.suspected.insert(uuid.to_owned(), Instant::now());
        }
        may
    }
}

impl Poller {
    /// Reads the list of flows where it is due, and the definitions of those that changed.
    pub(super) async fn poll_flows(&mut self) -> Result<usize, PollError> {
        if !self.flows.list_is_due() {
            return Ok(0);
        }
        let mut query = String::new();
        let mut changed = 0;
        for _ in 0..PAGES_MAX {
            let page = self.client.page("flows", &query).await?;
            changed += self.take_flows(&page.results).await?;
            match page.next {
                Some(next) => query = next,
                None => {
                    self.flows.refreshed = true;
                    break;
                }
            }
        }
        Ok(changed)
    }

    /// Reads flows that runs name and that are not known, or whose definition does not know a node.
    pub(super) async fn know_flows(&mut self, runs: &[&Value]) -> Result<(), PollError> {
        let wanted: BTreeSet<String> =
            runs.iter().filter_map(|run| flow_of(run)).map(str::to_owned).collect();
        let unknown: Vec<String> =
            wanted.iter().filter(|uuid| !self.flows.known.contains_key(*uuid)).cloned().collect();
        self.recall(&unknown).await?;
        let mut ask: BTreeSet<String> =
            unknown.into_iter().filter(|uuid| self.flows.get(uuid).is_none()).collect();
        for run in runs {
            let Some(uuid) = flow_of(run) else { continue };
            let flow = self.flows.get(uuid);
            if flow.is_none_or(|flow| !knows(&flow, run)) && self.flows.may_suspect(uuid) {
                ask.insert(uuid.to_owned());
            }
        }
        for uuid in ask {
            self.ask(&uuid).await?;
        }
        Ok(())
    }

    /// One flow, whatever the list said.
    async fn ask(&mut self, uuid: &str) -> Result<(), PollError> {
        let answer = self.client.get("flows", &[("uuid", uuid)]).await?;
        let rows = answer.get("results").and_then(Value::as_array).cloned().unwrap_or_default();
        if rows.is_empty() {
            self.flows.keep(uuid, None);
            return Ok(());
        }
        self.read_definitions(&rows).await.map(drop)
    }

    /// From the store, after a restart.
    async fn recall(&mut self, uuids: &[String]) -> Result<(), PollError> {
        for (uuid, document) in self.stored_flows(uuids).await? {
            let flow = document.get("definition").and_then(|definition| Flow::read(definition).ok());
            self.flows.keep(&uuid, flow.map(Arc::new));
        }
        Ok(())
    }

    async fn stored_flows(&self, uuids: &[String]) -> Result<BTreeMap<String, Value>, PollError> {
        self.documents(mirror::FLOW, uuids).await
    }

    async fn take_flows(&mut self, rows: &[Value]) -> Result<usize, PollError> {
        let uuids: Vec<String> = rows.iter().filter_map(uuid_of).map(str::to_owned).collect();
        let stored = self.stored_flows(&uuids).await?;
        let changed = |row: &&Value| {
            let known = uuid_of(row).and_then(|uuid| stored.get(uuid));
            known.is_none_or(|known| known.get("modified_on") != row.get("modified_on"))
        };
        let changed: Vec<Value> = rows.iter().filter(changed).cloned().collect();
        for rows in changed.chunks(AT_ONCE) {
            self.read_definitions(rows).await?;
        }
        if !self.flows.refreshed {
            let same = rows.iter().filter(|row| !changed.contains(row));
            let puts: Vec<Put> = same.filter_map(|row| self.questionnaire_again(row, &stored)).collect();
            if !puts.is_empty() {
                self.write_flows(puts).await?;
            }
        }
        Ok(changed.len())
    }

    /// The Questionnaire of a flow that is stored as it is.
    fn questionnaire_again(&self, row: &Value, stored: &BTreeMap<String, Value>) -> Option<Put> {
        let definition = stored.get(uuid_of(row)?)?.get("definition")?;
        self.questionnaire(row, &Flow::read(definition).ok()?)
    }

    fn questionnaire(&self, row: &Value, flow: &Flow) -> Option<Put> {
        let resource = questionnaire(flow, Status::of(row), &self.workspace.url);
        match self.workspace.questionnaire(&flow.uuid, resource) {
            Ok(put) => Some(put),
            Err(issues) => {
                tracing::error!(
                    flow = flow.uuid,
                    issues,
                    "a flow does not make an R4 Questionnaire; only the flow is kept"
                );
                None
            }
        }
    }

    async fn write_flows(&self, puts: Vec<Put>) -> Result<(), PollError> {
        self.store.write(&self.settings.tenant, Box::new(Fixed { puts, ..Fixed::default() })).await?;
        Ok(())
    }

    async fn read_definitions(&mut self, rows: &[Value]) -> Result<(), PollError> {
        let uuids: Vec<&str> = rows.iter().filter_map(uuid_of).collect();
        let definitions = definitions(&self.client, &uuids).await?;
        let mut puts: Vec<Put> = Vec::new();
        for row in rows {
            let Some(uuid) = uuid_of(row) else { continue };
            let definition = definitions.get(uuid);
            let flow = definition.and_then(|definition| match Flow::read(definition) {
                Ok(flow) => Some(Arc::new(flow)),
                Err(error) => {
                    tracing::warn!(flow = uuid, "the definition of a flow cannot be read: {error}");
                    None
                }
            });
            puts.extend(self.workspace.flow(row, definition));
            puts.extend(flow.as_deref().and_then(|flow| self.questionnaire(row, flow)));
            self.flows.keep(uuid, flow);
        }
        self.write_flows(puts).await
    }
}

/// The definitions of these flows, by uuid. A token that may not read them leaves flows without types.
async fn definitions(client: &Client, uuids: &[&str]) -> Result<BTreeMap<String, Value>, Fault> {
    let mut query: Vec<(&str, &str)> = vec![("dependencies", "none")];
    query.extend(uuids.iter().map(|uuid| ("flow", *uuid)));
    let answer = match client.get("definitions", &query).await {
        Ok(answer) => answer,
        Err(fault) if fault.kind == Kind::Forbidden => return Ok(BTreeMap::new()),
        Err(fault) => return Err(fault),
    };
    let flows = answer.get("flows").and_then(Value::as_array).cloned().unwrap_or_default();
    Ok(flows.into_iter().filter_map(|flow| Some((uuid_of(&flow)?.to_owned(), flow))).collect())
}

fn uuid_of(value: &Value) -> Option<&str> {
    value.get("uuid").and_then(Value::as_str)
}

fn flow_of(run: &Value) -> Option<&str> {
    run.get("flow").and_then(uuid_of)
}

fn knows(flow: &Flow, run: &Value) -> bool {
    run.get("values").and_then(Value::as_object).into_iter().flatten().all(|(key, value)| {
        let node = value.get("node").and_then(Value::as_str).unwrap_or_default();
        flow.knows(key, node)
    })
}
