//! Rows of deliveries, their parts and the places they want.
//!
//! **Never** decides: who wins a place and what goes out is decided by the `delivery` room, inside
//! transactions that are opened here. Rows come from the mapper, and are settled by the sender.

mod board;
// What other acts did.
mod evidence;
// Deliveries as a person looks at them.
pub mod list;
mod row;
// What the sender reads and writes.
pub mod sending;

pub use board::{
    contributions_at, contributions_of, deliveries, deliveries_of_source, ensure_deliveries, lock_slots,
    parts_at, parts_of, replace_contributions, slots, write_deliveries, write_parts, write_slots,
};
pub use row::DeliveryRow;

/// Where a delivery stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Status {
    /// Something of it must go out.
    Waiting,
    /// Claimed by a sender until its lease ends.
    Sending,
    /// The far side accepted all that is wanted.
    Settled,
    /// A person must look at it.
    Dead,
    /// A person gave it up.
    Cancelled,
}

impl Status {
    /// As it is stored and printed.
    pub fn text(self) -> &'static str {
        match self {
            Self::Waiting => "waiting",
            Self::Sending => "sending",
            Self::Settled => "settled",
            Self::Dead => "dead",
            Self::Cancelled => "cancelled",
        }
    }

    /// `None` for a word that is no status.
    pub fn parse(text: &str) -> Option<Self> {
        let all = [Self::Waiting, Self::Sending, Self::Settled, Self::Dead, Self::Cancelled];
        all.into_iter().find(|status| status.text() == text)
    }
}

/// Where one part stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum PartStatus {
    Waiting,
    Settled,
    /// Another delivery's part has the place.
    Superseded,
    Dead,
    Cancelled,
}

impl PartStatus {
    /// As it is stored and printed.
    pub fn text(self) -> &'static str {
        match self {
            Self::Waiting => "waiting",
            Self::Settled => "settled",
            Self::Superseded => "superseded",
            Self::Dead => "dead",
            Self::Cancelled => "cancelled",
        }
    }

    /// `None` for a word that is no status.
    pub fn parse(text: &str) -> Option<Self> {
        let all = [Self::Waiting, Self::Settled, Self::Superseded, Self::Dead, Self::Cancelled];
        all.into_iter().find(|status| status.text() == text)
    }
}

/// Why something is dead or waits: code, message, hint. Empty: nothing to tell.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Cause {
    pub code: String,
    pub message: String,
    pub hint: String,
}

/// A place on the far side: the destination's key (`dhis2.national`) and the slot's name.
pub type Place = (String, String);

/// One row of `part`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PartRow {
    pub destination: String,
    pub slot: String,
    pub delivery_id: String,
    /// Canonical JSON; `None`: to be removed there.
    pub wanted: Option<String>,
    pub authored_ms: i64,
    /// Goes out only after the other parts of its delivery.
    pub last: bool,
    /// A counted cell that is computed when it is claimed.
    pub dirty: bool,
    pub status: PartStatus,
    /// Id of the delivery that has the place.
    pub superseded_by: String,
    pub cause: Cause,
}

/// One row of `slot`.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct SlotRow {
    pub destination: String,
    pub slot: String,
    /// What the far side accepted last, as canonical JSON; `None`: nothing that we know of.
    pub sent: Option<String>,
    /// Id of the delivery that sent it.
    pub sent_by: String,
    /// Something was sent, and no answer proved what became of it.
    pub in_doubt: bool,
    /// What the destination noted about the place; empty: nothing.
    pub remote: String,
}

impl PartRow {
    pub fn place(&self) -> Place {
        (self.destination.clone(), self.slot.clone())
    }
}

impl SlotRow {
    pub fn place(&self) -> Place {
        (self.destination.clone(), self.slot.clone())
    }
}

/// One row of `contribution`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct ContributionRow {
    pub delivery_id: String,
    pub slot: String,
    pub rid: i64,
    pub output_key: String,
    /// Tells apart contributions of one output to one cell.
    pub ordinal: i64,
    pub mapping: String,
    pub target_id: String,
    /// Canonical JSON object that the computed amount is added to.
    pub cell: String,
    pub aggregate: String,
    pub amount: String,
    pub distinct_key: String,
    pub authored_ms: i64,
}
