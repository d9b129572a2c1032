//! Maps changes: each committed change, in the order of its partition, through every mapping that takes it.
//!
//! The work of one change is one transaction: the cursor moves (which proves that the partition is still
//! ours), what was read is remembered, what waits is listed, deliveries are recorded, and whoever waited
//! for this change is asked for again. A change that cannot be evaluated is held and does not stop its
//! partition.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, PoisonError, RwLock};

use futures::StreamExt;
use tokio_util::sync::CancellationToken;
use tracing::{Instrument, debug, info, warn};

use super::board::Moment;
use super::evaluation::{self, Memory, Outcome, Prepared, Subjected, Surrounded};
use super::evaluator::Evaluator;
use super::here::{self, HERE, Storing};
use super::lookup::Surroundings;
use super::record::{Acts, States, Wish, record};
use super::signal::{POLL, Signals, now_ms};
use super::transaction::transaction;
use super::watch;
use crate::store::changes::{self, ChangeRow, Holder, Lease, Replay, RevisitRow};
use crate::store::db::{Connection, Db, Engine, Tx};
use crate::store::error::Error;
use crate::store::read::{self, Stored};
use crate::store::reads;
use crate::store::write::Origin;
use crate::store::write::within::Pace;
use crate::telemetry::trace_id;

/// How long partitions are held without renewing.
const HOLD_MS: i64 = 10_000;
/// Changes of each partition, and revisits of all, that one round takes.
const CHANGES_MAX: i64 = 20;
const REVISITS_MAX: i64 = 500;
/// Partitions worked on at once where the database allows it.
const AT_ONCE: usize = 4;

/// The fence of a partition that another process has taken: none has it.
const LOST: i64 = -1;

/// A mapping that is loaded, and the commit after which it acts.
#[derive(Clone)]
pub struct Loaded {
    pub evaluator: Arc<dyn Evaluator>,
    pub active_from: i64,
}

/// Maps the changes of one tenant. Cheap to clone.
#[derive(Clone)]
pub struct Mapper {
    inner: Arc<Inner>,
}

struct Inner {
    db: Db,
    owner: String,
    around: Surroundings,
    /// Replaced as a whole, between two rounds.
    mappings: RwLock<Arc<Vec<Loaded>>>,
    signals: Signals,
    leases: tokio::sync::Mutex<Leases>,
}

#[derive(Debug, Default)]
struct Leases {
    until_ms: i64,
    held: BTreeMap<i64, Lease>,
}

impl Mapper {
    /// Remembers that these mappings are loaded: one that is new acts on changes from now on.
    ///
    /// # Errors
    /// The database's.
    pub async fn start(
        db: Db,
        owner: &str,
        around: Surroundings,
        evaluators: Vec<Arc<dyn Evaluator>>,
        signals: Signals,
    ) -> Result<Self, Error> {
        let mappings = transaction!(db, |tx| activate(tx, &around.tenant, &evaluators))?;
        let mappings = RwLock::new(Arc::new(mappings));
        let owner = owner.to_owned();
        let leases = tokio::sync::Mutex::default();
        Ok(Self { inner: Arc::new(Inner { db, owner, around, mappings, signals, leases }) })
    }

    /// Replaces the mappings of several tenants, all or none. No change is mapped while that happens, so that
    /// none is passed over between the activation of a new mapping and its first use.
    ///
    /// # Errors
    /// The database's: then every mapper goes on as before.
    pub async fn replace(replacements: &[(Self, Vec<Arc<dyn Evaluator>>)]) -> Result<(), Error> {
        let Some((first, _)) = replacements.first() else { return Ok(()) };
        let mut rounds = Vec::with_capacity(replacements.len());
        for (mapper, _) in replacements {
            rounds.push(mapper.inner.leases.lock().await);
        }
        let activated = transaction!(first.inner.db, |tx| activate_all(tx, replacements))?;
        for ((mapper, _), mappings) in replacements.iter().zip(activated) {
            *mapper.inner.mappings.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(mappings);
        }
        Ok(())
    }

    fn loaded(&self) -> Arc<Vec<Loaded>> {
        Arc::clone(&self.inner.mappings.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Maps until it is cancelled; then gives its partitions back.
    pub async fn run(&self, cancel: CancellationToken) {
        let span = tracing::info_span!("mapper", tenant = %self.inner.around.tenant);
        self.work(cancel).instrument(span).await;
    }

    async fn work(&self, cancel: CancellationToken) {
        let mut listener = self.inner.signals.changes.listen();
        while !cancel.is_cancelled() {
            match self.round().await {
                Ok(0) => {}
                Ok(_) => continue,
                Err(error) => {
                    warn!(code = error.code(), "changes could not be mapped now; trying again");
                    self.inner.leases.lock().await.until_ms = 0;
                    tokio::time::sleep(POLL).await;
                }
            }
            tokio::select! {
                () = cancel.cancelled() => {}
                () = listener.heard() => {}
                () = tokio::time::sleep(POLL) => {}
            }
        }
        let (tenant, owner) = (&self.inner.around.tenant, &self.inner.owner);
        let released = transaction!(self.inner.db, |tx| changes::release_partitions(tx, tenant, owner));
        if let Err(error) = released {
            warn!(code = error.code(), "partitions were not given back; their leases run out by themselves");
        }
    }

    /// Takes what waits, once. Gives how many changes and revisits were worked on.
    ///
    /// # Errors
    /// The database's. What was not worked on stays.
    pub async fn round(&self) -> Result<usize, Error> {
        let mut leases = self.inner.leases.lock().await;
        self.hold(&mut leases).await?;
        let (mapped, moved) = self.map_changes(&leases).await?;
        for lease in moved {
            if lease.fence == LOST {
                leases.held.remove(&lease.partition);
                leases.until_ms = 0;
            } else {
                leases.held.insert(lease.partition, lease);
            }
        }
        let revisited = self.revisit(&leases).await?;
        if mapped + revisited > 0 {
            debug!(changes = mapped, revisits = revisited, "mapped");
        }
        Ok(mapped + revisited)
    }

    /// Takes or renews partitions when half of their lease is over.
    async fn hold(&self, leases: &mut Leases) -> Result<(), Error> {
        let now = now_ms();
        if leases.until_ms - now > HOLD_MS / 2 {
            return Ok(());
        }
        let (tenant, owner) = (self.inner.around.tenant.as_str(), self.inner.owner.as_str());
        let holder = Holder { tenant, owner, now_ms: now, until_ms: now + HOLD_MS };
        let held = transaction!(self.inner.db, |tx| changes::take_partitions(tx, holder))?;
        leases.held = held.into_iter().map(|lease| (lease.partition, lease)).collect();
        leases.until_ms = now + HOLD_MS;
        Ok(())
    }

    fn at_once(&self) -> usize {
        match self.inner.db.engine() {
            Engine::Sqlite => 1,
            Engine::Postgres => AT_ONCE,
        }
    }

    async fn map_changes(&self, leases: &Leases) -> Result<(usize, Vec<Lease>), Error> {
        let held: Vec<Lease> = leases.held.values().cloned().collect();
        let pending = {
            let mut db = self.inner.db.read().await?;
            changes::pending(&mut db, &self.inner.around.tenant, &held, CHANGES_MAX).await?
        };
        let amount = pending.len();
        let mut by_partition: BTreeMap<i64, Vec<ChangeRow>> = BTreeMap::new();
        for change in pending {
            by_partition.entry(change.partition).or_default().push(change);
        }
        let work = by_partition.into_iter().filter_map(|(partition, rows)| {
            let lease = leases.held.get(&partition)?.clone();
            Some(self.map_partition(lease, rows))
        });
        let done: Vec<Result<Lease, Error>> =
            futures::stream::iter(work).buffer_unordered(self.at_once()).collect().await;
        let moved = done.into_iter().collect::<Result<Vec<_>, _>>()?;
        Ok((amount, moved))
    }

    /// The changes of one partition, in order. Changes that concern nobody only move the cursor, together.
    async fn map_partition(&self, mut lease: Lease, rows: Vec<ChangeRow>) -> Result<Lease, Error> {
        let mut passed = lease.position;
        for row in rows {
            let mapped = self.prepare(&row).await?;
            if mapped.is_nothing() {
                passed = row.position;
                continue;
            }
            let done = transaction!(self.inner.db, |tx| self.write(tx, &lease, &row, &mapped))?;
            let Done::Written(pace) = done else { return Ok(lost(lease)) };
            self.stored(pace).await;
            lease.position = row.position;
            passed = row.position;
            self.inner.signals.deliveries.give();
        }
        if passed > lease.position {
            let holder = (self.inner.around.tenant.as_str(), self.inner.owner.as_str());
            if !transaction!(self.inner.db, |tx| changes::advance(tx, holder, &lease, passed))? {
                return Ok(lost(lease));
            }
            lease.position = passed;
        }
        Ok(lease)
    }

    /// Reads and evaluates, before the transaction.
    async fn prepare(&self, row: &ChangeRow) -> Result<Mapped, Error> {
        let tenant = self.inner.around.tenant.as_str();
        let mut db = self.inner.db.read().await?;
        let Some(stored) = read::versions(&mut db, tenant, &[(row.rid, row.version)]).await?.pop() else {
            return Ok(Mapped::default());
        };
        let watched = self.waited_for(&mut db, &stored).await?;
        let mut prepared = Vec::new();
        for loaded in self.loaded().iter().filter(|loaded| concerns(loaded, &stored, row.position)) {
            let surrounded = self.surrounded(loaded, Memory::Kept);
            let one = evaluation::prepare(&mut db, &surrounded, &stored).await?;
            if let Some(one) = one {
                let trace = trace_id(&self.inner.around.tenant, &stored.kind, &stored.id);
                let (mapping, outputs) = (loaded.evaluator.name(), one.outputs.len());
                info!(trace, mapping, version = stored.version, outputs, "a change is mapped");
                prepared.push((loaded.clone(), one));
            }
        }
        Ok(Mapped { stored: Some(stored), prepared, watched })
    }

    /// The keys of a change, where anybody waits for one of them. Whoever begins to wait from now on evaluates
    /// once more after it has said so.
    async fn waited_for(&self, db: &mut Connection, stored: &Stored) -> Result<Vec<String>, Error> {
        let tenant = self.inner.around.tenant.as_str();
        // The index is read only where it can matter.
        if !changes::is_any_watched(db, tenant).await? {
            return Ok(Vec::new());
        }
        let indexed = changes::indexed(db, tenant, stored.rid).await?;
        let keys = watch::of_change(&stored.kind, &stored.id, &indexed);
        Ok(if changes::is_watched(db, tenant, &keys).await? { keys } else { Vec::new() })
    }

    /// Everything that one change causes.
    async fn write(
        &self,
        tx: &mut Tx,
        lease: &Lease,
        row: &ChangeRow,
        mapped: &Mapped,
    ) -> Result<Done, Error> {
        let tenant = self.inner.around.tenant.as_str();
        let holder = (tenant, self.inner.owner.as_str());
        if !changes::advance(tx, holder, lease, row.position).await? {
            return Ok(Done::Lost);
        }
        let Some(stored) = &mapped.stored else { return Ok(Done::Written(None)) };
        let mut storing = Vec::new();
        for (loaded, prepared) in &mapped.prepared {
            let (partition, order_no) = (row.partition, row.position);
            let written = Written { partition, order_no, confirm: true, acts: Acts::Made };
            if self.write_evaluation(tx, (loaded, stored), prepared, written).await? {
                storing.push((loaded.evaluator.name().to_owned(), stored.rid));
            }
        }
        if !mapped.watched.is_empty() {
            changes::request_watchers(tx, tenant, &mapped.watched).await?;
        }
        Ok(Done::Written(self.store_here(tx, &storing, row.position).await?))
    }

    /// What mappings store in Mjumbe itself comes last: it locks the clock.
    async fn store_here(
        &self,
        tx: &mut Tx,
        sources: &[(String, i64)],
        order_no: i64,
    ) -> Result<Option<Pace>, Error> {
        if sources.is_empty() {
            return Ok(None);
        }
        let around = &self.inner.around;
        let moment = Moment { now_ms: now_ms(), order_no };
        here::store(tx, &Storing { tenant: &around.tenant, zone: &around.zone, moment }, sources).await
    }

    /// After the commit: what was stored here is a change to be mapped.
    async fn stored(&self, pace: Option<Pace>) {
        if let Some(pace) = pace {
            pace.keep().await;
            self.inner.signals.changes.give();
        }
    }

    /// One evaluation: what it read, what it waits for, what it wants. True: something is to be stored here.
    async fn write_evaluation(
        &self,
        tx: &mut Tx,
        (loaded, stored): (&Loaded, &Stored),
        prepared: &Prepared,
        written: Written,
    ) -> Result<bool, Error> {
        let tenant = self.inner.around.tenant.as_str();
        let mapping = loaded.evaluator.name();
        let now = now_ms();
        let source = format!("{}/{}", stored.kind, stored.id);
        let key = (mapping, stored.rid, written.partition);
        reads::replace_reads(tx, tenant, key, (&prepared.reads, &prepared.watched)).await?;
        if written.confirm && !prepared.watched.is_empty() {
            changes::request_revisit(tx, tenant, (written.partition, mapping, stored.rid)).await?;
        }
        let acts_withheld = withheld(tx, (tenant, key), prepared, written.acts).await?;
        let subjected = Subjected { mapping, source: &source, stored, now_ms: now, acts_withheld };
        reads::write_evaluation(tx, tenant, &prepared.row(&subjected, loaded.evaluator.version())).await?;
        let held = prepared.held(&subjected);
        match &held {
            Some(held) => reads::write_held(tx, tenant, held).await?,
            None => reads::remove_held(tx, tenant, mapping, stored.rid).await?,
        }
        let outputs = match &prepared.outcome {
            // A defect says nothing about what is wanted.
            Outcome::Failed(_) | Outcome::Circling => return Ok(false),
            Outcome::Held(_) => &[],
            Outcome::Done | Outcome::Unmatched => prepared.outputs.as_slice(),
        };
        let wish = Wish {
            tenant,
            mapping,
            mapping_version: loaded.evaluator.version(),
            rid: stored.rid,
            source: &source,
            source_version: stored.version,
            hops: stored.origin.hops() + 1,
            outputs,
            states: if held.is_some() { States::Stay } else { States::AreReplaced },
            acts: written.acts,
            moment: Moment { now_ms: now, order_no: written.order_no },
        };
        Ok(record(tx, &wish).await?.contains(HERE))
    }

    /// Evaluations that are asked for again.
    async fn revisit(&self, leases: &Leases) -> Result<usize, Error> {
        let names: Vec<String> =
            self.loaded().iter().map(|loaded| loaded.evaluator.name().to_owned()).collect();
        let partitions: Vec<i64> = leases.held.keys().copied().collect();
        let rows = {
            let mut db = self.inner.db.read().await?;
            changes::revisits(&mut db, &self.inner.around.tenant, (partitions, names), REVISITS_MAX).await?
        };
        let amount = rows.len();
        let mut by_partition: BTreeMap<i64, Vec<RevisitRow>> = BTreeMap::new();
        for row in rows {
            by_partition.entry(row.partition).or_default().push(row);
        }
        let work = by_partition.into_iter().filter_map(|(partition, rows)| {
            let lease = leases.held.get(&partition)?;
            Some(self.revisit_partition(lease, rows))
        });
        let done: Vec<Result<(), Error>> =
            futures::stream::iter(work).buffer_unordered(self.at_once()).collect().await;
        done.into_iter().collect::<Result<Vec<()>, _>>()?;
        Ok(amount)
    }

    async fn revisit_partition(&self, lease: &Lease, rows: Vec<RevisitRow>) -> Result<(), Error> {
        let mappings = self.loaded();
        for row in rows {
            let loaded = mappings.iter().find(|loaded| loaded.evaluator.name() == row.mapping);
            let Some(loaded) = loaded else { continue };
            self.revisit_one(lease, &row, loaded).await?;
        }
        Ok(())
    }

    /// Evaluates once more. Where everything was read as before, nothing is written but that it was done.
    async fn revisit_one(&self, lease: &Lease, row: &RevisitRow, loaded: &Loaded) -> Result<(), Error> {
        let tenant = self.inner.around.tenant.as_str();
        let mut db = self.inner.db.read().await?;
        let commit = changes::commit_no(&mut db, tenant).await?;
        let again = match row.replay {
            None => self.read_again(&mut db, row, loaded).await?,
            Some(replay) => self.replay(&mut db, (row.rid, replay), loaded).await?,
        };
        drop(db);
        let order_no = (commit << 16) | 0xffff;
        let work = transaction!(self.inner.db, |tx| async {
            if !changes::holds(tx, (tenant, &self.inner.owner), lease).await? {
                return Ok(Done::Lost);
            }
            changes::finish_revisit(tx, tenant, row).await?;
            if let Some(Again { stored, prepared, acts }) = &again {
                let written = Written { partition: row.partition, order_no, confirm: true, acts: *acts };
                if self.write_evaluation(tx, (loaded, stored), prepared, written).await? {
                    let source = (loaded.evaluator.name().to_owned(), stored.rid);
                    return Ok(Done::Written(self.store_here(tx, &[source], order_no).await?));
                }
            }
            Ok::<Done, Error>(Done::Written(None))
        });
        if let Done::Written(pace) = work? {
            self.stored(pace).await;
            if again.is_some() {
                self.inner.signals.deliveries.give();
            }
        }
        Ok(())
    }

    /// Because a look-up may read another thing now. `None`: it does not.
    async fn read_again(
        &self,
        db: &mut Connection,
        row: &RevisitRow,
        loaded: &Loaded,
    ) -> Result<Option<Again>, Error> {
        let tenant = self.inner.around.tenant.as_str();
        let before = reads::evaluation(db, tenant, &row.mapping, row.rid).await?;
        let Some(before) = before.filter(|before| before.outcome != "unmatched") else { return Ok(None) };
        let stored = read::versions(db, tenant, &[(row.rid, before.version)]).await?.pop();
        let Some(stored) = stored else { return Ok(None) };
        let prepared = evaluation::prepare(db, &self.surrounded(loaded, Memory::Kept), &stored).await?;
        let known = reads::reads(db, tenant, &row.mapping, row.rid).await?;
        let acts = if before.acts_withheld { Acts::Withheld } else { Acts::Made };
        let differing = prepared.filter(|prepared| prepared.differs(&known, &before));
        Ok(differing.map(|prepared| Again { stored, prepared, acts }))
    }

    /// Because a person asked: the current version, whether the mapping took it before or not.
    async fn replay(
        &self,
        db: &mut Connection,
        (rid, replay): (i64, Replay),
        loaded: &Loaded,
    ) -> Result<Option<Again>, Error> {
        let Some(stored) = read::current(db, &self.inner.around.tenant, &[rid]).await?.pop() else {
            return Ok(None);
        };
        let memory = if replay.fresh { Memory::Forgotten } else { Memory::Kept };
        let prepared = evaluation::prepare(db, &self.surrounded(loaded, memory), &stored).await?;
        let acts = if replay.acts { Acts::Made } else { Acts::Withheld };
        Ok(prepared.map(|prepared| Again { stored, prepared, acts }))
    }

    fn surrounded<'a>(&'a self, loaded: &'a Loaded, memory: Memory) -> Surrounded<'a> {
        Surrounded { around: &self.inner.around, evaluator: loaded.evaluator.as_ref(), memory }
    }
}

/// An evaluation that is made again.
struct Again {
    stored: Stored,
    prepared: Prepared,
    acts: Acts,
}

/// Where an evaluation is written.
#[derive(Debug, Clone, Copy)]
struct Written {
    partition: i64,
    order_no: i64,
    /// Evaluate once more after the commit, where something may have appeared meanwhile.
    confirm: bool,
    acts: Acts,
}

/// What one change causes.
#[derive(Default)]
struct Mapped {
    stored: Option<Stored>,
    prepared: Vec<(Loaded, Prepared)>,
    /// Keys of the change that somebody waits for.
    watched: Vec<String>,
}

/// What became of a transaction.
enum Done {
    /// With the write group in it, if there was one.
    Written(Option<Pace>),
    /// The partition is no longer ours: nothing was written.
    Lost,
}

impl Mapped {
    fn is_nothing(&self) -> bool {
        self.prepared.is_empty() && self.watched.is_empty()
    }
}

/// A partition that another process took: nothing more is done with it until it is taken anew.
fn lost(lease: Lease) -> Lease {
    warn!(partition = lease.partition, "a partition was taken over by another process");
    Lease { fence: LOST, ..lease }
}

/// Remembers that these mappings are loaded.
async fn activate(
    tx: &mut Tx,
    tenant: &str,
    evaluators: &[Arc<dyn Evaluator>],
) -> Result<Vec<Loaded>, Error> {
    let mut mappings = Vec::with_capacity(evaluators.len());
    for evaluator in evaluators {
        let names = (evaluator.name(), evaluator.version());
        let active_from = changes::activate(tx, tenant, names, now_ms()).await?;
        mappings.push(Loaded { evaluator: Arc::clone(evaluator), active_from });
    }
    let names = evaluators.iter().map(|evaluator| evaluator.name().to_owned()).collect();
    changes::loaded(tx, tenant, names, now_ms()).await?;
    Ok(mappings)
}

async fn activate_all(
    tx: &mut Tx,
    replacements: &[(Mapper, Vec<Arc<dyn Evaluator>>)],
) -> Result<Vec<Vec<Loaded>>, Error> {
    let mut activated = Vec::with_capacity(replacements.len());
    for (mapper, evaluators) in replacements {
        activated.push(activate(tx, &mapper.inner.around.tenant, evaluators).await?);
    }
    Ok(activated)
}

/// Whether what this evaluation makes later, when it is no longer held, comes without its acts. A replay without
/// acts that finds a source held which waits for its acts leaves them to it.
async fn withheld(
    tx: &mut Tx,
    (tenant, (mapping, rid, _)): (&str, (&str, i64, i64)),
    prepared: &Prepared,
    acts: Acts,
) -> Result<bool, Error> {
    if acts == Acts::Made || matches!(prepared.outcome, Outcome::Done | Outcome::Unmatched) {
        return Ok(acts == Acts::Withheld);
    }
    let earlier = reads::evaluation(tx, tenant, mapping, rid).await?;
    Ok(earlier.filter(|earlier| earlier.outcome == "held").is_none_or(|earlier| earlier.acts_withheld))
}

/// Whether a mapping takes a change at all. None acts on what it wrote itself.
fn concerns(loaded: &Loaded, stored: &Stored, position: i64) -> bool {
    let own = matches!(&stored.origin, Origin::Mapping { name, .. } if name == loaded.evaluator.name());
    !own && (position >> 16) > loaded.active_from && loaded.evaluator.takes(&stored.kind)
}

/// For tests and tools: names of mappings that are loaded, with their activation.
impl Mapper {
    pub fn mappings(&self) -> BTreeSet<(String, i64)> {
        let of = |loaded: &Loaded| (loaded.evaluator.name().to_owned(), loaded.active_from);
        self.loaded().iter().map(of).collect()
    }
}
