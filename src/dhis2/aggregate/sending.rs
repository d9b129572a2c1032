//! One batch on its way: what is decided about each part, and the requests that decide it.
//!
//! Values first, one import at a time, at most [`VALUES_MAX`] of one data set in a request. A group that is
//! refused goes again without its culprits; where nobody is named it is halved. What an answer leaves open
//! is read back before anything is said about it.

use std::collections::VecDeque;
use std::time::Duration;

use super::check::{Content, Resolved};
use super::readback::read_back;
use super::request;
use crate::delivery::destination::{Exchange, Failure, FailureKind, Reason, Verdict};
use crate::delivery::hold::Leave;
use crate::dhis2::answer::{Meaning, Parsed, Response, RowNames, RowVerdict, classify, table, trace};
use crate::dhis2::client::{Client, Request};
use crate::dhis2::version::{Generation, Version};

/// The classic importer keeps chunks of about 2,149 rows when it breaks off; 1,000 changed values take 2 s.
pub const VALUES_MAX: usize = 1_000;
/// Requests of one batch, so that halving ends.
const REQUESTS_MAX: usize = 60;
/// Imports that collide are sent so often before they wait for another batch.
const REPEATS: u32 = 2;
/// From this attempt on a culprit is looked for in the batch, if DHIS2 otherwise answers.
const SUSPECT_FROM: u32 = 4;

/// A part of the batch.
pub(super) struct Item {
    /// Delivery and part, as positions in the batch.
    pub delivery: usize,
    pub part: usize,
    pub attempt: u32,
    pub resolved: Option<Resolved>,
    pub verdict: Option<Verdict>,
}

/// A batch on its way.
pub(super) struct Sending<'a> {
    pub client: &'a Client,
    pub version: Version,
    pub items: Vec<Item>,
    pub exchanges: Vec<Exchange>,
    pub leave: &'a Leave,
    /// Between an import that collided, or refused credentials, and its repetition.
    pub pause: Duration,
    /// Why nothing more is sent.
    pub stopped: Option<Failure>,
    /// The answer to a request was lost, and not all of it was there when it was read back: DHIS2 may store
    /// it yet.
    pub unproven: bool,
    pub requests: usize,
}

/// Items (positions) that travel in one request, and how often they did.
struct Chunk {
    items: Vec<usize>,
    repeats: u32,
}

impl Sending<'_> {
    /// Sends the values of one data set.
    pub async fn import(&mut self, data_set: &str, items: &[usize]) {
        let mut chunks: VecDeque<Chunk> =
            items.chunks(VALUES_MAX).map(|items| Chunk { items: items.to_vec(), repeats: 0 }).collect();
        while let Some(chunk) = chunks.pop_front() {
            if !self.may_send() {
                return;
            }
            let next = self.import_chunk(data_set, chunk).await;
            for chunk in next.into_iter().rev() {
                chunks.push_front(chunk);
            }
        }
    }

    /// Whether another request may begin.
    pub fn may_send(&self) -> bool {
        self.stopped.is_none() && self.requests < REQUESTS_MAX && !self.leave.is_over()
    }

    async fn import_chunk(&mut self, data_set: &str, chunk: Chunk) -> Vec<Chunk> {
        let names: Vec<RowNames> = self.rows(&chunk.items).iter().map(|row| row.names.clone()).collect();
        let body = request::data_value_set(data_set, &self.rows(&chunk.items));
        let query = request::import_query(self.version);
        let response = self.send(Request::post("dataValueSets", query, &body)).await;
        let response = match response {
            Ok(response) => response,
            Err(failure) => return self.failed(chunk, &failure).await,
        };
        let parsed = Parsed::of(&response);
        let row = classify(&parsed, self.version.generation());
        match (row.meaning, &parsed.summary) {
            (Meaning::Stored, _) => {
                self.accept(&chunk.items);
                Vec::new()
            }
            (Meaning::RowByRow | Meaning::GroupRefused, Some(summary)) => {
                let verdicts = trace(summary, row.meaning, &names);
                self.traced(chunk, verdicts, row).await
            }
            _ => {
                let failure = failure_of(row, &response);
                self.failed(chunk, &failure).await
            }
        }
    }

    /// Gives each row its verdict; what is open goes again.
    async fn traced(&mut self, chunk: Chunk, verdicts: Vec<RowVerdict>, row: &table::Row) -> Vec<Chunk> {
        let (mut again, mut spoiled, mut unknown) = (Vec::new(), Vec::new(), Vec::new());
        let mut why = row.reason();
        for (at, verdict) in chunk.items.iter().copied().zip(verdicts) {
            match verdict {
                RowVerdict::Stored => self.decide(at, Verdict::Accepted),
                RowVerdict::Refused(reason) => self.decide(at, Verdict::Refused(reason)),
                RowVerdict::Spoiled => spoiled.push(at),
                RowVerdict::Unknown => unknown.push(at),
                RowVerdict::Collided(reason) => {
                    why = reason;
                    again.push(at);
                }
            }
        }
        let mut next = Vec::new();
        if !unknown.is_empty() {
            match self.missing(&unknown).await {
                Some(missing) if chunk.items.len() == 1 => again.extend(missing),
                // Before 2.39.2 and 2.40.1 conflicts carry no index: who is alone is named.
                Some(missing) => next.extend(apart(&missing)),
                None => self.later(&unknown, &row.reason()),
            }
        }
        if spoiled.len() == chunk.items.len() {
            next.extend(self.halves(spoiled, Verdict::Refused(row.reason())));
        } else if !spoiled.is_empty() {
            next.push(Chunk { items: spoiled, repeats: chunk.repeats });
        }
        if !again.is_empty() {
            next.extend(self.once_more(Chunk { items: again, repeats: chunk.repeats }, &why).await);
        }
        next
    }

    /// The request failed as a whole. After an answer that was lost DHIS2 may still be importing: what is not
    /// there yet may be sent again, but that it is not there proves nothing.
    async fn failed(&mut self, chunk: Chunk, failure: &Failure) -> Vec<Chunk> {
        let mut items = chunk.items;
        if failure.unclear {
            match self.missing(&items).await {
                Some(missing) => items = missing,
                None => {
                    self.stopped = Some(failure.clone());
                    return Vec::new();
                }
            }
        }
        if items.is_empty() {
            return Vec::new();
        }
        self.unproven |= failure.unclear;
        let chunk = Chunk { items, repeats: chunk.repeats };
        match failure.kind {
            FailureKind::Rejected => self.halves(chunk.items, Verdict::Refused(failure.reason.clone())),
            FailureKind::Collision => self.once_more(chunk, &failure.reason).await,
            FailureKind::Unauthorised if chunk.repeats == 0 && self.probe_again().await => {
                vec![Chunk { repeats: 1, ..chunk }]
            }
            FailureKind::Unavailable if self.is_suspect(&chunk.items) && self.probe_again().await => {
                self.halves(chunk.items, Verdict::Later(failure.reason.clone()))
            }
            _ => {
                self.stopped.get_or_insert_with(|| failure.clone());
                Vec::new()
            }
        }
    }

    /// Sends the same again after a pause, a few times; then each waits for another batch, unless it has
    /// come back too often: then the culprit is looked for.
    async fn once_more(&mut self, chunk: Chunk, reason: &Reason) -> Vec<Chunk> {
        if chunk.repeats < REPEATS {
            tokio::time::sleep(self.pause).await;
            return vec![Chunk { repeats: chunk.repeats + 1, ..chunk }];
        }
        if self.is_suspect(&chunk.items) {
            return self.halves(chunk.items, Verdict::Later(reason.clone()));
        }
        self.later(&chunk.items, reason);
        Vec::new()
    }

    /// Two halves, until the culprit is alone: refused where DHIS2 refuses it, and left for later where the
    /// fault may pass, so that the others need not wait for it. Only the horizon ends that.
    fn halves(&mut self, items: Vec<usize>, alone: Verdict) -> Vec<Chunk> {
        if let [culprit] = items.as_slice() {
            self.decide(*culprit, alone);
            return Vec::new();
        }
        apart(&items)
    }

    /// Which of these DHIS2 does not hold as they were sent; the others are accepted.
    async fn missing(&mut self, items: &[usize]) -> Option<Vec<usize>> {
        if self.leave.is_over() {
            return None;
        }
        let rows: Vec<Resolved> = self.rows(items).into_iter().cloned().collect();
        let rows: Vec<&Resolved> = rows.iter().collect();
        let there = read_back(self.client, &rows, self.version.generation(), &mut self.exchanges).await?;
        let mut missing = Vec::new();
        for (at, there) in items.iter().zip(there) {
            if there {
                self.decide(*at, Verdict::Accepted);
            } else {
                missing.push(*at);
            }
        }
        Some(missing)
    }

    fn rows(&self, items: &[usize]) -> Vec<&Resolved> {
        items.iter().filter_map(|at| self.items.get(*at)?.resolved.as_ref()).collect()
    }

    /// Refused credentials, or a failure, are believed only if a cheap request fares alike.
    async fn probe_again(&mut self) -> bool {
        tokio::time::sleep(self.pause).await;
        if self.leave.is_over() {
            return false;
        }
        match probe(self.client, &mut self.exchanges).await {
            Ok(()) => true,
            Err(failure) => {
                self.stopped = Some(failure);
                false
            }
        }
    }

    fn is_suspect(&self, items: &[usize]) -> bool {
        items.iter().all(|at| self.items.get(*at).is_some_and(|item| item.attempt >= SUSPECT_FROM))
    }

    /// One request, with its exchange kept.
    pub async fn send(&mut self, request: Request<'_>) -> Result<Response, Failure> {
        self.requests += 1;
        let (response, exchange) = self.client.send(request).await;
        self.exchanges.push(exchange);
        response
    }

    pub fn accept(&mut self, items: &[usize]) {
        for at in items {
            self.decide(*at, Verdict::Accepted);
        }
    }

    pub fn later(&mut self, items: &[usize], reason: &Reason) {
        for at in items {
            self.decide(*at, Verdict::Later(reason.clone()));
        }
    }

    pub fn decide(&mut self, at: usize, verdict: Verdict) {
        if let Some(item) = self.items.get_mut(at) {
            item.verdict = Some(verdict);
        }
    }

    /// Positions of undecided items that `fits`.
    pub fn open(&self, fits: impl Fn(&Content) -> bool) -> Vec<usize> {
        let open = |item: &Item| {
            item.verdict.is_none() && item.resolved.as_ref().is_some_and(|resolved| fits(&resolved.content))
        };
        self.items.iter().enumerate().filter(|(_, item)| open(item)).map(|(at, _)| at).collect()
    }
}

/// In two requests; one that is alone in one.
fn apart(items: &[usize]) -> Vec<Chunk> {
    let (left, right) = items.split_at(items.len() / 2);
    let chunk = |half: &[usize]| Chunk { items: half.to_vec(), repeats: 0 };
    [left, right].into_iter().filter(|half| !half.is_empty()).map(chunk).collect()
}

/// A cheap request that needs credentials and the database.
///
/// # Errors
/// [`Failure`].
pub(in crate::dhis2) async fn probe(client: &Client, exchanges: &mut Vec<Exchange>) -> Result<(), Failure> {
    let (response, exchange) = client.send(Request::get("system/info", Vec::new())).await;
    exchanges.push(exchange);
    let response = response?;
    let answers = serde_json::from_str::<serde_json::Value>(&response.body)
        .is_ok_and(|info| info.get("version").is_some());
    if response.status == 200 && answers {
        return Ok(());
    }
    let row = classify(&Parsed::of(&response), Generation::Classic);
    Err(Failure { unclear: false, ..failure_of(row, &response) })
}

pub(super) fn failure_of(row: &table::Row, response: &Response) -> Failure {
    let (kind, unclear) = match row.meaning {
        Meaning::Failed { kind, unclear } => (kind, unclear),
        _ => (FailureKind::Unavailable, true),
    };
    Failure { kind, reason: row.reason(), unclear, retry_after: response.retry_after }
}
