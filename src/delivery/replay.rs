//! What a replay would change, without changing anything.
//!
//! A replay itself is a row of `revisit` ([`crate::store::changes::request_replays`]), which the mapper works
//! off in the order of its subject, beside the changes that come in.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::AddAssign;

use super::board::Moment;
use super::evaluation::{self, Outcome, Prepared, Surrounded};
use super::record::{Acts, States, Wanted, Wish, changed_cells};
use crate::mapping::output::{Nature, Output, Severity};
use crate::store::db::Connection;
use crate::store::deliveries::{self, DeliveryRow, PartRow};
use crate::store::error::Error;
use crate::store::read::Stored;

/// What would become of the deliveries of some sources.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Effect {
    /// Sources that the mapping takes.
    pub taken: u64,
    /// Deliveries that are not there yet.
    pub new: u64,
    /// Of those: acts.
    pub acts: u64,
    /// Deliveries that want something else than now.
    pub changed: u64,
    pub same: u64,
    /// Deliveries that are wanted no more.
    pub withdrawn: u64,
    /// Aggregate cells that get another sum.
    pub cells: u64,
    /// Acts that are not made, because acts were not asked for.
    pub acts_withheld: u64,
    /// Sources that wait for something.
    pub held: u64,
    /// Sources of which a value is left out because of an error.
    pub with_errors: u64,
}

impl Effect {
    /// Whether anything would be another thing than now.
    pub fn is_nothing(&self) -> bool {
        self.new + self.changed + self.withdrawn + self.cells == 0
    }
}

impl AddAssign for Effect {
    fn add_assign(&mut self, other: Self) {
        self.taken += other.taken;
        self.new += other.new;
        self.acts += other.acts;
        self.changed += other.changed;
        self.same += other.same;
        self.withdrawn += other.withdrawn;
        self.cells += other.cells;
        self.acts_withheld += other.acts_withheld;
        self.held += other.held;
        self.with_errors += other.with_errors;
    }
}

/// What mapping one stored version again would do now.
///
/// # Errors
/// The database's.
pub async fn preview(
    db: &mut Connection,
    surrounded: &Surrounded<'_>,
    stored: &Stored,
    acts: Acts,
) -> Result<Effect, Error> {
    let Some(prepared) = evaluation::prepare(db, surrounded, stored).await? else {
        return Ok(Effect::default());
    };
    let (tenant, mapping) = (surrounded.around.tenant.as_str(), surrounded.evaluator.name());
    let known = deliveries::deliveries_of_source(db, tenant, mapping, stored.rid).await?;
    let ids: Vec<String> = known.iter().map(|row| row.id.clone()).collect();
    let parts = deliveries::parts_of(db, tenant, &ids).await?;
    let contributed = deliveries::contributions_of(db, tenant, mapping, stored.rid).await?;
    let stays = !matches!(prepared.outcome, Outcome::Done | Outcome::Unmatched);
    let outputs: &[Output] = if stays { &[] } else { &prepared.outputs };
    let source = format!("{}/{}", stored.kind, stored.id);
    let wish = Wish {
        tenant,
        mapping,
        mapping_version: surrounded.evaluator.version(),
        rid: stored.rid,
        source: &source,
        source_version: stored.version,
        hops: stored.origin.hops() + 1,
        outputs,
        states: if stays { States::Stay } else { States::AreReplaced },
        acts,
        moment: Moment { now_ms: 0, order_no: 0 },
    };
    let wanted = Wanted::of(&wish, &ids);
    let mut effect = of_source(&prepared, outputs, &wanted);
    if !stays {
        compare(&mut effect, &wanted, (&known, &parts));
    }
    if !matches!(prepared.outcome, Outcome::Failed(_)) {
        effect.cells = count(changed_cells(&contributed, &wanted.contributions).len());
    }
    Ok(effect)
}

fn of_source(prepared: &Prepared, outputs: &[Output], wanted: &Wanted) -> Effect {
    let acts = outputs.iter().filter(|output| output.nature == Nature::Act).count();
    let made = wanted.acts.len();
    let is_error = prepared.issues.iter().any(|issue| issue.severity == Severity::Error);
    Effect {
        taken: u64::from(prepared.outcome != Outcome::Unmatched),
        acts_withheld: count(acts.saturating_sub(made)),
        held: u64::from(matches!(prepared.outcome, Outcome::Held(_) | Outcome::Failed(_))),
        with_errors: u64::from(is_error),
        ..Effect::default()
    }
}

/// Deliveries with one part at each place: what each wants.
type Wishes<'a> = BTreeMap<&'a str, BTreeSet<(&'a str, Option<&'a str>)>>;

fn wishes<'a>(parts: &'a [PartRow]) -> Wishes<'a> {
    let mut wishes = Wishes::new();
    for part in parts {
        wishes.entry(&part.delivery_id).or_default().insert((&part.slot, part.wanted.as_deref()));
    }
    wishes
}

fn compare(effect: &mut Effect, wanted: &Wanted, (known, parts): (&[DeliveryRow], &[PartRow])) {
    let (before, after) = (wishes(parts), wishes(&wanted.parts));
    let there = |id: &str| known.iter().find(|known| known.id == id);
    for wish in wanted.acts.values() {
        match there(&wish.row.id) {
            None => {
                effect.new += 1;
                effect.acts += 1;
            }
            Some(_) => effect.same += 1,
        }
    }
    for row in wanted.states.values() {
        match there(&row.id) {
            None => effect.new += 1,
            Some(there) if there.withdrawn || before.get(row.id.as_str()) != after.get(row.id.as_str()) => {
                effect.changed += 1;
            }
            Some(_) => effect.same += 1,
        }
    }
    let gone = known.iter().filter(|row| !row.withdrawn && !wanted.wants(&row.id));
    effect.withdrawn = count(gone.count());
}

fn count(number: usize) -> u64 {
    u64::try_from(number).unwrap_or(u64::MAX)
}
