//! Clients with ways of their own: which ones are known.
//!
//! A token (or the configuration, for a JSON Web Token) names the [`Profile`] of its client; without one a client
//! speaks R4. What a profile means is said by whoever follows it: [`lenient`](super::lenient) repairs what is not R4,
//! [`pdqm`](super::pdqm) shows what a profile of IHE asks for. **Never** guesses a profile from a request.

/// The systems and roles whose ways are known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Profile {
    OpenSrp,
    Ihris,
    Cht,
    CommCare,
    OpenMrs,
    /// A Patient Demographics Consumer of IHE.
    Pdqm,
}

impl Profile {
    /// In the order in which they are told.
    pub const ALL: [Self; 6] =
        [Self::OpenSrp, Self::Ihris, Self::Cht, Self::CommCare, Self::OpenMrs, Self::Pdqm];

    /// As it is written in a command or configuration, and kept.
    pub fn name(self) -> &'static str {
        match self {
            Self::OpenSrp => "opensrp",
            Self::Ihris => "ihris",
            Self::Cht => "cht",
            Self::CommCare => "commcare",
            Self::OpenMrs => "openmrs",
            Self::Pdqm => "pdqm",
        }
    }

    /// Reads [`Profile::name`].
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|profile| profile.name() == name)
    }

    /// The types whose repeated POST is an update of the one with the same identifier, where nobody says otherwise.
    ///
    /// CHT sends a whole Patient or Practitioner again at each edit. Not its Encounters: they carry the patient's
    /// identifier.
    pub fn upserts(self) -> &'static [&'static str] {
        match self {
            Self::Cht => &["Patient", "Practitioner"],
            Self::OpenSrp | Self::Ihris | Self::CommCare | Self::OpenMrs | Self::Pdqm => &[],
        }
    }

    /// Whether the client can do with an OperationOutcome among the entries of a searchset. OpenSRP's app stores every
    /// entry as it comes, and fails on one without id and `lastUpdated`.
    pub fn takes_outcome_entries(self) -> bool {
        self != Self::OpenSrp
    }
}
