//! The far side, as the delivery engine sees it: it sends a batch and says what became of each part.
//!
//! **An answer is evidence, not proof**: an implementation reads its system's answers through one
//! table, and where an answer proves nothing it says so ([`Failure::unclear`]) or reads back itself.

use std::collections::BTreeMap;
use std::time::Duration;

use async_trait::async_trait;
use serde_json::Value;

use super::hold::Leave;

/// What the engine must respect when it sends to this destination.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Deliveries in one batch; the engine takes at most one of each lane.
    pub batch_deliveries: usize,
    /// Parts in one batch.
    pub batch_parts: usize,
    /// Batches under way at once.
    pub concurrency: usize,
    /// Requests an hour, or no limit.
    pub budget_per_hour: Option<u32>,
    /// How long one `send` may take before its lease is lost; nothing is sent after half of it.
    pub lease: Duration,
    /// The longest time from a look at [`Leave`] to the end of the request that follows, whatever its end: what
    /// was begun before a hold ended is over so much later.
    pub longest_request: Duration,
    /// How long transient failures are retried before a person is asked.
    pub horizon: Duration,
}

/// Targets that travel in the same requests.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Family {
    pub name: &'static str,
    /// Deliveries in one batch.
    pub deliveries: usize,
    /// Parts in one batch.
    pub parts: usize,
}

/// One delivery's difference: what to send now.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Outgoing {
    /// The delivery's id: stable, derived from its key.
    pub id: String,
    /// The target's kind: `dhis2.report`.
    pub target: String,
    pub lane: String,
    /// The target's own document ([`crate::mapping::output::Output::body`]).
    pub body: Value,
    /// Only the parts whose `wanted` differs from what was accepted before. A part that is `last` comes
    /// alone, once the others were accepted.
    pub parts: Vec<OutgoingPart>,
    /// `Type/id` of the resource to link, and the remote id that is already linked to it.
    pub link: Option<String>,
    /// Of state: the remote id that is linked to `link`. Of an act: what the far side called it when it
    /// took it.
    pub remote: Option<String>,
    /// The remote id of each resource that a `{ "$link": { "resource": "Patient/1" } }` in the body or in
    /// a part names. All are known when a delivery goes out.
    pub links: BTreeMap<String, String>,
    /// Earlier attempts of this difference. When the last one ended without proof, `unclear` is set:
    /// look at the far side before anything is created.
    pub attempt: u32,
    pub unclear: bool,
    /// When the first request went out whose effect is not known to be nothing, in milliseconds: how far
    /// back to look. 0: none did.
    pub begun_ms: i64,
    /// Of an act that has begun: its source withdrew or changed it since. When a look-up proves that nothing
    /// happened it is not sent, but answered with [`Settled::superseded`].
    pub superseded: bool,
}

#[derive(Debug, Clone, PartialEq, Default)]
pub struct OutgoingPart {
    pub slot: String,
    /// `None`: withdraw it there.
    pub wanted: Option<Value>,
    /// What the destination accepted last.
    pub sent: Option<Value>,
    /// What the destination noted about this place last ([`Settled::notes`]); empty: nothing.
    pub note: String,
}

/// What became of one part.
#[derive(Debug, Clone, PartialEq)]
pub enum Verdict {
    Accepted,
    /// Will not be accepted as it is: a person must look at it.
    Refused(Reason),
    /// Not now: try this part again later, as a [`Failure`] of kind transient. Of an act it also says that
    /// **nothing took effect** by this attempt.
    Later(Reason),
    /// The request may have taken effect: nothing proves it or the contrary. An act is looked up before it is
    /// sent again ([`UNPROVABLE`] says that this cannot be found out); state is sent again with
    /// [`Outgoing::unclear`].
    Unclear(Reason),
}

/// The code of a [`Verdict::Refused`] for an act of which nobody can say whether it happened: a dead letter
/// that is never sent again by itself.
pub const UNPROVABLE: &str = "unknown";

/// The code of a [`Verdict::Later`] for an act that no request has brought about, and whose source wants
/// something else by now: what is wanted now counts.
pub const SUPERSEDED: &str = "act-superseded";

/// Why, in words for a person. Holds no names, phone numbers or tokens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reason {
    /// Stable, kebab-case; dead letters are grouped by it: `dhis2-unit-not-assigned`.
    pub code: String,
    pub message: String,
    pub hint: String,
}

impl Reason {
    pub fn new(code: &str, message: impl Into<String>, hint: impl Into<String>) -> Self {
        Self { code: code.to_owned(), message: message.into(), hint: hint.into() }
    }
}

/// What became of one delivery.
#[derive(Debug, Clone, PartialEq)]
pub struct Settled {
    /// Same order as [`Outgoing::parts`].
    pub parts: Vec<Verdict>,
    /// The remote object's id, to be linked with [`Outgoing::link`]; of an act what the far side calls it.
    pub remote: Option<String>,
    /// What to remember about each part's place until the next sending, whatever the verdict: the UID of the
    /// object there, its generation. Same order as `parts`; `None`, or a list that is too short: as before.
    pub notes: Vec<Option<String>>,
}

impl Settled {
    /// A look-up proved that nothing happened, and nothing was sent: see [`Outgoing::superseded`].
    pub fn superseded() -> Self {
        let reason = Reason::new(
            SUPERSEDED,
            "nothing happened yet, and its source has changed since",
            "nothing is to be done: what the source says now counts",
        );
        Self { parts: vec![Verdict::Later(reason)], remote: None, notes: Vec::new() }
    }
}

/// The whole batch did not go through.
#[derive(Debug, Clone, PartialEq)]
pub struct Failure {
    pub kind: FailureKind,
    pub reason: Reason,
    /// The request may have taken effect although it failed.
    pub unclear: bool,
    /// What the far side asked for (`Retry-After`).
    pub retry_after: Option<Duration>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FailureKind {
    /// The far side is down, slow, or busy: back off, count towards the circuit breaker.
    Unavailable,
    /// Too many requests: wait, do not count.
    Throttled,
    /// Credentials were refused twice and a probe agrees: open the circuit, tell a person.
    Unauthorised,
    /// The far side refuses this batch as a whole: halve it until the culprit is alone, which is then
    /// dead with this reason.
    Rejected,
    /// Something of this batch collided with another request: send it again as it is, soon.
    Collision,
}

/// The time to send was over before a request could begin: nothing was sent, which says nothing about the far
/// side.
pub fn not_begun() -> Failure {
    Failure {
        kind: FailureKind::Collision,
        reason: Reason::new(
            "lease-half-over",
            "half the lease was over, or another process had the destination, before it could be sent",
            "nothing was sent; it is tried again",
        ),
        unclear: false,
        retry_after: None,
    }
}

/// One HTTP exchange, kept for `deliveries show`. Without credentials.
#[derive(Debug, Clone, PartialEq)]
pub struct Exchange {
    pub method: String,
    pub path: String,
    pub status: Option<u16>,
    pub request: String,
    pub response: String,
    pub elapsed_ms: u64,
}

/// What `send` gives back.
#[derive(Debug)]
pub struct Sent {
    /// One for each outgoing delivery in order, or why the batch failed.
    pub result: Result<Vec<Settled>, Failure>,
    pub exchanges: Vec<Exchange>,
}

/// A configured RapidPro workspace or DHIS2 instance.
#[async_trait]
pub trait Destination: Send + Sync {
    /// The first word of its targets: `dhis2` of `dhis2.report`. With the name it is the destination's
    /// key in the store: `dhis2.NAME`.
    fn system(&self) -> &str;
    /// The name in the configuration: `rapidpro.NAME` is `NAME`.
    fn name(&self) -> &str;
    fn limits(&self) -> Limits;
    /// What travels together: a batch holds targets of one family only.
    fn family(&self, target: &str) -> Family {
        let _ = target;
        let limits = self.limits();
        Family { name: "all", deliveries: limits.batch_deliveries, parts: limits.batch_parts }
    }
    /// The system of the identifiers by which this far side knows what a target makes of a resource:
    /// `https://rapidpro.example.org/contact`. `None`: it has none, and nothing is written back.
    fn identifier_system(&self, target: &str) -> Option<String> {
        let _ = target;
        None
    }
    /// Which of these cannot be sent because they are wrong, judged against mirrored metadata without
    /// the network: (index of the part, why). An empty answer lets the delivery go out.
    fn check(&self, delivery: &Outgoing) -> Vec<(usize, Reason)>;
    /// Sends one batch. Asks before each request whether one may begin still ([`Leave::is_over`]).
    async fn send(&self, batch: &[Outgoing], leave: &Leave) -> Sent;
    /// A cheap request that tells whether the far side answers; used by the circuit breaker.
    async fn probe(&self) -> Result<(), Failure>;
}
