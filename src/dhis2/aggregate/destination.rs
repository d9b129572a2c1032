//! A configured DHIS2 instance as the delivery engine sees it.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use jiff::Timestamp;
use tokio::sync::Mutex;

use super::check::{self, Content, Resolved};
use super::completion;
use super::sending::{Item, Sending, VALUES_MAX, probe};
use crate::delivery::destination::{
    Destination, Failure, Family, Limits, Outgoing, Reason, Sent, Settled, Verdict,
};
use crate::delivery::hold::Leave;
use crate::dhis2::answer::RowNames;
use crate::dhis2::client::{Client, IMPORT_TIMEOUT};
use crate::dhis2::metadata::Metadata;
use crate::dhis2::metadata::mirror::{Mirror, Snapshot};
use crate::dhis2::metadata::scope::Scope;
use crate::dhis2::tracker::{self, notes::Notes, uid::Namespace};
use crate::dhis2::version::Version;

/// Reports in one batch.
const DELIVERIES_MAX: usize = 200;
/// Longer than the longest batch: an import, its read-back and its completions.
const LEASE: Duration = Duration::from_secs(900);
/// Transient failures are retried so long.
const HORIZON: Duration = Duration::from_secs(7 * 86_400);
const PAUSE: Duration = Duration::from_secs(1);

/// One `[dhis2.NAME]`.
pub struct Instance {
    client: Arc<Client>,
    mirror: Arc<Mirror>,
    tracking: Tracking,
    budget_per_hour: Option<u32>,
    pause: Duration,
    now: fn() -> Timestamp,
    /// One import at a time: two that use a period for the first time lose values.
    importing: Mutex<()>,
}

/// What events and tracked entities need.
pub struct Tracking {
    /// Whose UIDs are derived.
    pub space: Namespace,
    pub notes: Arc<dyn Notes>,
}

impl Instance {
    pub fn new(
        client: Arc<Client>,
        mirror: Arc<Mirror>,
        tracking: Tracking,
        budget_per_hour: Option<u32>,
    ) -> Self {
        let importing = Mutex::new(());
        Self { client, mirror, tracking, budget_per_hour, pause: PAUSE, now: Timestamp::now, importing }
    }

    /// Another clock and a shorter pause, for tests.
    #[must_use]
    pub fn with_clock(mut self, now: fn() -> Timestamp, pause: Duration) -> Self {
        self.now = now;
        self.pause = pause;
        self
    }

    pub fn mirror(&self) -> &Arc<Mirror> {
        &self.mirror
    }

    /// Events and tracked entities, with the metadata of the programs that they name.
    async fn track(&self, batch: &[Outgoing], leave: &Leave) -> Sent {
        let snapshot = match self.tracked(batch).await {
            Ok(snapshot) => snapshot,
            Err(failure) => return Sent { result: Err(failure), exchanges: Vec::new() },
        };
        let with = tracker::sending::Sender {
            client: &self.client,
            metadata: &snapshot.metadata,
            space: &self.tracking.space,
            notes: self.tracking.notes.as_ref(),
            today: snapshot.metadata.system.today((self.now)()),
            leave,
            pause: self.pause,
        };
        tracker::sending::send(with, batch).await
    }

    async fn tracked(&self, batch: &[Outgoing]) -> Result<Arc<Snapshot>, Failure> {
        let scope = scope_of(batch);
        let snapshot = self.mirror.current();
        let today = snapshot.metadata.system.today((self.now)());
        let fits = |one: &Outgoing| tracker::sending::refused(one, &snapshot.metadata, today).is_empty();
        if snapshot.metadata.is_loaded()
            && (batch.iter().all(fits) || (snapshot.is_fresh() && snapshot.was_read_for(&scope)))
        {
            return Ok(snapshot);
        }
        self.mirror.want(&scope);
        let loaded = snapshot.metadata.is_loaded();
        self.mirror
            .refresh()
            .await
            .map_err(|failure| if loaded { Failure { unclear: false, ..failure } } else { failure })
    }

    /// Resolves every part; parts that must not be sent get their verdict at once.
    fn items(&self, batch: &[Outgoing], metadata: &Metadata) -> Vec<Item> {
        let today = metadata.system.today((self.now)());
        let mut items = Vec::new();
        for (delivery, outgoing) in batch.iter().enumerate() {
            for (part, one) in outgoing.parts.iter().enumerate() {
                let item = Item { delivery, part, attempt: outgoing.attempt, resolved: None, verdict: None };
                items.push(match check::resolve(&one.slot, one.wanted.as_ref(), metadata, today) {
                    Ok(resolved) => Item { resolved: Some(resolved), ..item },
                    Err(reason) => Item { verdict: Some(Verdict::Refused(reason)), ..item },
                });
            }
        }
        items
    }

    /// The metadata to judge by: read anew where a part names what it does not know.
    async fn metadata(&self, batch: &[Outgoing]) -> Result<Arc<Snapshot>, Failure> {
        let snapshot = self.mirror.current();
        let doubtful = || self.items(batch, &snapshot.metadata).iter().any(|item| item.verdict.is_some());
        if snapshot.metadata.is_loaded() && (snapshot.is_fresh() || !doubtful()) {
            return Ok(snapshot);
        }
        match self.mirror.refresh().await {
            Ok(fresh) => Ok(fresh),
            Err(failure) if !snapshot.metadata.is_loaded() => Err(failure),
            Err(failure) => Err(Failure { unclear: false, ..failure }),
        }
    }
}

#[async_trait]
impl Destination for Instance {
    fn identifier_system(&self, target: &str) -> Option<String> {
        (target == "dhis2.tracker").then(|| format!("{}/tracked-entity", self.client.url()))
    }

    fn system(&self) -> &str {
        "dhis2"
    }

    fn name(&self) -> &str {
        self.client.name()
    }

    fn limits(&self) -> Limits {
        Limits {
            batch_deliveries: DELIVERIES_MAX,
            batch_parts: VALUES_MAX,
            concurrency: 1,
            budget_per_hour: self.budget_per_hour,
            lease: LEASE,
            longest_request: IMPORT_TIMEOUT,
            horizon: HORIZON,
        }
    }

    fn family(&self, target: &str) -> Family {
        if is_tracker(target) {
            let (deliveries, parts) = (tracker::sending::DELIVERIES_MAX, tracker::sending::PARTS_MAX);
            return Family { name: "tracker", deliveries, parts };
        }
        Family { name: "aggregate", deliveries: DELIVERIES_MAX, parts: VALUES_MAX }
    }

    /// Metadata that is old is not held against a delivery: `send` reads it anew first.
    fn check(&self, delivery: &Outgoing) -> Vec<(usize, Reason)> {
        let snapshot = self.mirror.current();
        if !snapshot.metadata.is_loaded() || !snapshot.is_fresh() {
            return Vec::new();
        }
        if is_tracker(&delivery.target) {
            let known = snapshot.was_read_for(&scope_of(std::slice::from_ref(delivery)));
            let today = snapshot.metadata.system.today((self.now)());
            let refused = || tracker::sending::refused(delivery, &snapshot.metadata, today);
            return if known { refused() } else { Vec::new() };
        }
        let mut items = self.items(std::slice::from_ref(delivery), &snapshot.metadata);
        double(&mut items);
        let refused = |item: Item| match item.verdict {
            Some(Verdict::Refused(reason)) => Some((item.part, reason)),
            _ => None,
        };
        items.into_iter().filter_map(refused).collect()
    }

    async fn send(&self, batch: &[Outgoing], leave: &Leave) -> Sent {
        let _one_at_a_time = self.importing.lock().await;
        if batch.first().is_some_and(|outgoing| is_tracker(&outgoing.target)) {
            return self.track(batch, leave).await;
        }
        let snapshot = match self.metadata(batch).await {
            Ok(snapshot) => snapshot,
            Err(failure) => return Sent { result: Err(failure), exchanges: Vec::new() },
        };
        let metadata = &snapshot.metadata;
        let mut items = self.items(batch, metadata);
        let followers = double(&mut items);
        let mut sending = Sending {
            client: &self.client,
            version: metadata.system.version.unwrap_or(Version::OLDEST),
            items,
            exchanges: Vec::new(),
            leave,
            pause: self.pause,
            stopped: None,
            unproven: false,
            requests: 0,
        };
        for (data_set, items) in groups(&sending) {
            sending.import(&data_set, &items).await;
        }
        withhold(&mut sending);
        completion::complete(&mut sending, metadata).await;
        settled(batch, sending, &followers)
    }

    async fn probe(&self) -> Result<(), Failure> {
        probe(&self.client, &mut Vec::new()).await
    }
}

fn is_tracker(target: &str) -> bool {
    matches!(target, "dhis2.event" | "dhis2.tracker")
}

fn scope_of(batch: &[Outgoing]) -> Scope {
    let mut scope = Scope::default();
    batch.iter().flat_map(|one| &one.parts).for_each(|part| tracker::check::needs(part, &mut scope));
    scope
}

/// Open values by data set.
fn groups(sending: &Sending<'_>) -> BTreeMap<String, Vec<usize>> {
    let mut groups: BTreeMap<String, Vec<usize>> = BTreeMap::new();
    for at in sending.open(|content| matches!(content, Content::Set { .. } | Content::Delete)) {
        if let Some(resolved) = sending.items.get(at).and_then(|item| item.resolved.as_ref()) {
            groups.entry(resolved.names.data_set.clone()).or_default().push(at);
        }
    }
    groups
}

/// A cell or completion that two parts name is sent once: what is set wins over what is deleted, and of two
/// that set it differently the first. Gives for each part that is not sent the one that speaks for it.
fn double(items: &mut [Item]) -> HashMap<usize, usize> {
    let mut first: HashMap<(bool, RowNames), usize> = HashMap::new();
    let mut followers = HashMap::new();
    for at in 0..items.len() {
        let Some(resolved) = items.get(at).and_then(|item| item.resolved.clone()) else { continue };
        // A cell has no data set of its own.
        let is_cell = !resolved.names.element.is_empty();
        let names = RowNames {
            data_set: if is_cell { String::new() } else { resolved.names.data_set.clone() },
            ..resolved.names.clone()
        };
        let Some(known) = first.get(&(is_cell, names.clone())).copied() else {
            first.insert((is_cell, names), at);
            continue;
        };
        let speaker = items.get(known).and_then(|item| item.resolved.clone());
        let Some(speaker) = speaker else { continue };
        if removes(&speaker.content) && !removes(&resolved.content) {
            first.insert((is_cell, names), at);
            follow(items, &mut followers, (known, at));
        } else if removes(&resolved.content) || resolved.content == speaker.content {
            follow(items, &mut followers, (at, known));
        } else if let Some(item) = items.get_mut(at) {
            item.verdict = Some(Verdict::Refused(doubled(&resolved)));
            item.resolved = None;
        }
    }
    followers
}

fn removes(content: &Content) -> bool {
    matches!(content, Content::Delete | Content::Uncomplete)
}

fn follow(items: &mut [Item], followers: &mut HashMap<usize, usize>, (follower, speaker): (usize, usize)) {
    if let Some(item) = items.get_mut(follower) {
        item.resolved = None;
    }
    for known in followers.values_mut().filter(|known| **known == follower) {
        *known = speaker;
    }
    followers.insert(follower, speaker);
}

fn doubled(resolved: &Resolved) -> Reason {
    Reason::new(
        "dhis2-cell-doubled",
        format!(
            "another part wants another value for this cell of the data element {}",
            resolved.names.element
        ),
        "two names of one combination (a uid and a code) may be in use: name each cell in one way",
    )
}

/// A report whose values were not all accepted is not complete.
fn withhold(sending: &mut Sending<'_>) {
    for at in sending.open(|content| matches!(content, Content::Complete { .. })) {
        let Some(delivery) = sending.items.get(at).map(|item| item.delivery) else { continue };
        let others = |item: &&Item| item.delivery == delivery && item.verdict.is_some();
        let refused =
            sending.items.iter().filter(others).any(|item| matches!(item.verdict, Some(Verdict::Refused(_))));
        let waiting = sending.items.iter().any(|item| {
            item.delivery == delivery
                && match &item.verdict {
                    Some(Verdict::Later(_)) => true,
                    None => item
                        .resolved
                        .as_ref()
                        .is_some_and(|it| matches!(it.content, Content::Set { .. } | Content::Delete)),
                    Some(_) => false,
                }
        });
        let reason = Reason::new(
            "dhis2-not-complete",
            "the data set is not registered as complete: a value of the report is not accepted",
            "it is registered once every value is; see the reasons of the values",
        );
        if refused {
            sending.decide(at, Verdict::Refused(reason));
        } else if waiting {
            sending.decide(at, Verdict::Later(reason));
        }
    }
}

/// One answer for each delivery. If nothing at all was decided, the batch failed.
fn settled(batch: &[Outgoing], sending: Sending<'_>, followers: &HashMap<usize, usize>) -> Sent {
    let Sending { items, exchanges, stopped, unproven, .. } = sending;
    let tried = items.iter().any(|item| item.resolved.is_some() && item.verdict.is_some());
    if let Some(failure) = &stopped
        && !tried
        && items.iter().all(|item| !matches!(item.verdict, Some(Verdict::Refused(_))))
    {
        let unclear = failure.unclear || unproven;
        return Sent { result: Err(Failure { unclear, ..failure.clone() }), exchanges };
    }
    let rest = stopped.map_or_else(out_of_time, |failure: Failure| failure.reason);
    let mut result: Vec<Settled> =
        batch.iter().map(|_| Settled { parts: Vec::new(), remote: None, notes: Vec::new() }).collect();
    for (at, item) in items.iter().enumerate() {
        let speaker = followers.get(&at).and_then(|speaker| items.get(*speaker)).unwrap_or(item);
        let verdict = speaker.verdict.clone().unwrap_or_else(|| Verdict::Later(rest.clone()));
        if let Some(settled) = result.get_mut(item.delivery) {
            settled.parts.push(verdict);
        }
    }
    Sent { result: Ok(result), exchanges }
}

fn out_of_time() -> Reason {
    Reason::new(
        "dhis2-out-of-time",
        "there was no time left to send this in its batch",
        "it is sent with the next one",
    )
}
