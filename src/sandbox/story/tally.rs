//! The table in the end: what was wanted of each target, and what became of it.

use std::collections::BTreeMap;

use serde::Serialize;

/// What became of everything of one kind.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Tally {
    pub wanted: usize,
    /// It is there, or it happened once.
    pub done: usize,
    /// On its way, or before its time.
    pub waiting: usize,
    /// The far side does not take it.
    pub refused: usize,
    /// Called off, and did not happen.
    pub cancelled: usize,
    pub lost: usize,
    /// Doubled, or there although nobody asked for it, or before its time.
    pub twice: usize,
    /// Given up because it cannot be told whether it happened.
    pub unknown: usize,
}

impl Tally {
    fn add(&mut self, other: &Self) {
        self.wanted += other.wanted;
        self.done += other.done;
        self.waiting += other.waiting;
        self.refused += other.refused;
        self.cancelled += other.cancelled;
        self.lost += other.lost;
        self.twice += other.twice;
        self.unknown += other.unknown;
    }
}

/// Where everything stands.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Report {
    /// Cells that people's answers and tests ask for.
    pub answered: usize,
    /// Cells that hold what was answered last.
    pub delivered: usize,
    /// Cells on their way.
    pub waiting: usize,
    /// Cells that DHIS2 refuses.
    pub refused: usize,
    /// Of every target: what is nowhere although it was asked for.
    pub lost: usize,
    /// Of every target: what is doubled, or there although nobody asked for it.
    pub twice: usize,
    /// Acts that may have happened or not.
    pub unknown: usize,
    /// Reason → how many.
    pub refused_because: BTreeMap<String, usize>,
    pub reports: usize,
    pub completions: usize,
    /// Completions on their way.
    pub completions_waiting: usize,
    pub contacts: usize,
    pub webhooks_sent: usize,
    pub webhooks_lost: usize,
    /// All that happens once, together.
    pub acts: Tally,
    /// Target → what became of it.
    pub targets: BTreeMap<String, Tally>,
    /// A few of the faults, in words.
    pub faults: Vec<String>,
}

impl Report {
    /// Nothing is missing, nothing is doubled, nothing is on its way.
    pub fn is_settled(&self) -> bool {
        let waiting: usize = self.targets.values().map(|tally| tally.waiting).sum();
        waiting + self.waiting + self.completions_waiting + self.lost + self.twice == 0
    }

    /// Adds the row of a target that is counted by itself.
    pub(super) fn keep(&mut self, target: &str, tally: Tally) {
        self.lost += tally.lost;
        self.twice += tally.twice;
        self.unknown += tally.unknown;
        if matches!(target, super::acts::STARTS | super::acts::MESSAGES) {
            self.acts.add(&tally);
        }
        self.targets.entry(target.to_owned()).or_default().add(&tally);
    }

    /// Adds to the row of a target whose totals are counted elsewhere.
    pub(super) fn note(&mut self, target: &str, tally: &Tally) {
        self.targets.entry(target.to_owned()).or_default().add(tally);
    }

    pub(super) fn fault(&mut self, text: String) {
        if self.faults.len() < 20 {
            self.faults.push(text);
        }
    }
}
