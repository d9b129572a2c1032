//! Writes: plans go in, versions come out.
//!
//! Whatever waits is committed as one **write group** (ARCHITECTURE.md, "Write groups"). A [`Plan`] is
//! what one client asked for: it first asks the questions that only the group's own transaction can
//! answer (conditional creates and references), then says, purely, what is to be written.

mod flush;
mod group;
mod stage;
// Inside another transaction.
pub mod within;
mod writer;

use std::collections::{BTreeMap, HashMap};
use std::time::{SystemTime, UNIX_EPOCH};

use crate::fhir::index::{IndexRow, ParameterKey};
pub use stage::{PARTITIONS, partition};
pub(super) use writer::Writer;

/// One new version of a resource or document.
#[derive(Debug, Clone)]
pub struct Put {
    /// An R4 type (`Patient`), or a document kind with a dot (`rapidpro.run`, `dhis2.organisationUnit`).
    pub kind: String,
    pub id: String,
    /// JSON without `id`, `meta.versionId` and `meta.lastUpdated`, which are spliced in on the way out.
    /// `None` deletes.
    pub body: Option<String>,
    pub index: Vec<IndexRow>,
    /// Changes of one subject are mapped in order: `Patient/1`, or the resource itself.
    pub subject: String,
    pub precondition: Precondition,
    pub origin: Origin,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Precondition {
    None,
    /// `If-Match: W/"3"`.
    Version(i64),
    /// `If-Match: W/"3", W/"4"`.
    OneOf(Vec<i64>),
    /// `If-Match: *`: it is there, at whatever version.
    Living,
    /// A create: fails where the id exists and is not deleted.
    Absent,
}

/// Who wrote a version. A mapping does not act on what it wrote itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Origin {
    /// A client, by its token's name.
    Client(String),
    /// A poll or webhook of this RapidPro workspace.
    RapidPro(String),
    /// A pull from this DHIS2 instance.
    Dhis2(String),
    /// Mjumbe itself, because of a mapping.
    Mapping {
        name: String,
        /// How many mappings stand between what came in and this version.
        hops: i64,
    },
}

impl Origin {
    /// As it is stored: `client:openmrs`.
    pub fn text(&self) -> String {
        match self {
            Self::Client(name) => format!("client:{name}"),
            Self::RapidPro(name) => format!("rapidpro:{name}"),
            Self::Dhis2(name) => format!("dhis2:{name}"),
            Self::Mapping { name, hops } => format!("mjumbe:{name}:{hops}"),
        }
    }

    /// Reads what [`Origin::text`] wrote; `None` for anything else.
    pub fn parse(text: &str) -> Option<Self> {
        let (who, name) = text.split_once(':')?;
        let name = name.to_owned();
        match who {
            "client" => Some(Self::Client(name)),
            "rapidpro" => Some(Self::RapidPro(name)),
            "dhis2" => Some(Self::Dhis2(name)),
            "mjumbe" => {
                let (name, hops) = name.rsplit_once(':')?;
                Some(Self::Mapping { name: name.to_owned(), hops: hops.parse().ok()? })
            }
            _ => None,
        }
    }

    /// How many mappings stand between what came in and a version of this origin.
    pub fn hops(&self) -> i64 {
        match self {
            Self::Mapping { hops, .. } => *hops,
            _ => 0,
        }
    }
}

/// What became of one [`Put`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Written {
    pub kind: String,
    pub id: String,
    pub version: i64,
    /// Milliseconds since 1970 UTC; the group's own, see "Nobody misses anything".
    pub updated_ms: i64,
    pub effect: Effect,
    /// The body that is stored, where it is not the put's: what Mjumbe had written into the resource stays.
    pub kept: Option<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Effect {
    /// There was none, or it was deleted.
    Created,
    Updated,
    /// The body was equal to the current version, or what was to be deleted is not there (version 0 if it
    /// never was): no new version.
    Unchanged,
    Deleted,
}

/// A search that only the group's transaction can answer.
#[derive(Debug, Clone)]
pub struct Question {
    pub query: crate::fhir::query::Query,
    /// At most this many matches are wanted (2 tells one from several).
    pub limit: u32,
}

/// What can only be asked when a plan's first answers are known.
#[derive(Debug, Clone)]
pub enum Further {
    Matching(Question),
    /// What refers to this resource (kind, id) in one of these parameters.
    Referring {
        target: (String, String),
        parameters: Vec<ParameterKey>,
        limit: u32,
    },
}

/// What matched a [`Question`], as (kind, id) pairs, with the current version of each.
pub type Matches = Vec<(String, String, i64)>;

/// What the group's transaction told a plan.
#[derive(Debug, Default)]
pub struct Seen<'a> {
    /// Of [`Plan::questions`], in order.
    pub answers: &'a [Matches],
    /// Of [`Plan::further`], in order.
    pub further: &'a [Matches],
    /// Of [`Plan::reads`], and of what was found by [`Plan::further`], by (kind, id), as far as there ever was such
    /// a resource.
    pub standing: HashMap<(String, String), Standing>,
}

/// What a resource is now, as the group sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Standing {
    pub version: i64,
    /// Milliseconds since 1970 UTC.
    pub updated_ms: i64,
    /// `None`: deleted.
    pub body: Option<String>,
    /// Who wrote it; `None` where that is not known any more.
    pub origin: Option<Origin>,
}

/// What one client wants written, atomically.
pub trait Plan: Send + Sync {
    /// What only the group's transaction can answer; empty for most plans. May be called again.
    fn questions(&self) -> Vec<Question>;
    /// Resources (kind, id) that [`Plan::puts`] needs as they are now, given the answers; none for most plans.
    fn reads(&self, _answers: &[Matches]) -> Vec<(String, String)> {
        Vec::new()
    }
    /// Whether [`Plan::further`] may ask anything. `false` for most plans.
    fn asks_further(&self) -> bool {
        false
    }
    /// What else [`Plan::puts`] needs, given what was seen.
    ///
    /// # Errors
    /// [`Refusal`]: nothing of this plan is written.
    fn further(&self, _seen: &Seen<'_>) -> Result<Vec<Further>, Refusal> {
        Ok(Vec::new())
    }
    /// What to write. Pure; may be called again if the group is run again.
    ///
    /// # Errors
    /// [`Refusal`]: nothing of this plan is written.
    fn puts(&self, seen: &Seen<'_>) -> Result<Vec<Put>, Refusal>;
    /// Pollers' cursors (name, value) that move with these puts, in the same commit.
    fn cursors(&self) -> BTreeMap<String, String> {
        BTreeMap::new()
    }
}

/// A plan that asks nothing: these puts and cursors.
#[derive(Debug, Clone, Default)]
pub struct Fixed {
    pub puts: Vec<Put>,
    pub cursors: BTreeMap<String, String>,
}

impl Plan for Fixed {
    fn questions(&self) -> Vec<Question> {
        Vec::new()
    }

    fn puts(&self, _: &Seen<'_>) -> Result<Vec<Put>, Refusal> {
        Ok(self.puts.clone())
    }

    fn cursors(&self) -> BTreeMap<String, String> {
        self.cursors.clone()
    }
}

/// Why a plan was not written. The server turns it into a status and an OperationOutcome.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// `If-Match` names another version than the current one.
    #[error("{kind}/{id} is at version {current}, not {wanted}")]
    VersionConflict { kind: String, id: String, current: i64, wanted: i64 },
    /// `If-Match` is about what is not there, or was deleted.
    #[error("{kind}/{id} does not exist, so that no version of it can be changed")]
    Missing { kind: String, id: String },
    #[error("{kind}/{id} exists already")]
    Exists { kind: String, id: String },
    #[error("{kind}/{id} does not exist")]
    NotFound { kind: String, id: String },
    /// A plan's own refusal, e.g. several matches of a conditional create.
    #[error("{0}")]
    Plan(Box<crate::fhir::outcome::Outcome>),
    /// More than 65,536 puts in one plan: answer 413.
    #[error("{puts} writes are too many for one transaction")]
    TooMany { puts: usize },
    /// More than 250,000 resources match what one plan asks.
    #[error("the conditions of one transaction match too many resources")]
    TooManyMatches,
    /// The queue is full: answer 503 with Retry-After.
    #[error("too many writes are waiting")]
    Busy,
    /// The database does not answer, or its connection broke while the plan was committed, so that it may
    /// have been written after all: answer 503 with Retry-After.
    #[error("the database does not answer")]
    Unavailable,
    /// The database refused the plan, or the plan panicked: a defect.
    #[error("the store failed")]
    Store,
}

/// More than a thousand groups a second would run ahead of the wall clock: wait for it.
async fn keep_pace(at_ms: i64) {
    if let Ok(ahead_ms) = u64::try_from(at_ms - now_ms())
        && ahead_ms > 2
    {
        tokio::time::sleep(std::time::Duration::from_millis(ahead_ms)).await;
    }
}

/// The wall clock in milliseconds since 1970 UTC.
pub(crate) fn now_ms() -> i64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .ok()
        .and_then(|since| i64::try_from(since.as_millis()).ok())
        .unwrap_or(0)
}

#[cfg(test)]
mod tests;
