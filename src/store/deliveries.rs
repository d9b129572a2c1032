//! Rows of deliveries, their parts and the places they want.
//!
//! **Never** decides: who wins a place and what goes out is decided by the `delivery` room, inside
//! transactions that are opened here. Rows come from the mapper, and are settled by the sender.

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

/// One row of `part`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PartRow {
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
    pub slot: String,
    /// What the far side accepted last, as canonical JSON; `None`: nothing that we know of.
    pub sent: Option<String>,
    /// Id of the delivery that sent it.
    pub sent_by: String,
    /// Something was sent, and no answer proved what became of it.
    pub in_doubt: bool,
}
