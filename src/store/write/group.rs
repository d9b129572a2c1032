//! One write group: many plans, one transaction, one durable commit.
//!
//! The tenant's clock row is locked first and until the commit, so groups of a tenant follow each other,
//! in this process and in others: commit numbers and milliseconds rise in the order in which they become
//! visible.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::{Duration, Instant};

use super::stage::{Key, Stage};
use super::{Further, Matches, Plan, Put, Refusal, Seen, Written, flush, keep_pace, now_ms};
use crate::args;
use crate::store::db::{Connection, Db, Tx};
use crate::store::error::Error;
use crate::store::search;

/// What became of one plan.
pub(super) type Answer = Result<Vec<Written>, Refusal>;

/// Staged versions are flushed when there are this many, so that a group's memory is bounded.
const STAGED_MAX: usize = 4096;

/// The answers to one plan's questions have at most so many matches together, which are in memory.
const MATCHES_MAX: usize = 250_000;
/// What a plan asks further is read whole: so many resources, and bytes of them, some at a time.
const FURTHER_MAX: usize = 5_000;
const FURTHER_BYTES_MAX: usize = 64 * 1024 * 1024;
const LOADED_AT_ONCE: usize = 50;
/// After this long no further plan begins in a group: the tenant's readers of the newest wait for its commit.
const TIME_MAX: Duration = Duration::from_secs(1);

/// A group that ran, before its commit.
struct Ran {
    /// One for each plan that ran, in order; plans after them did not fit any more.
    answers: Vec<Answer>,
    /// A version by which an unclear commit is recognised afterwards.
    witness: Option<Witness>,
    /// Whether anything is to be committed.
    wrote: bool,
    at_ms: i64,
}

/// One of the group's versions.
#[derive(Debug, Clone, Copy)]
struct Witness {
    rid: i64,
    version: i64,
    commit_no: i64,
    at_ms: i64,
}

/// Runs plans in order and commits. Gives the answers of those that ran: at least one, the rest belongs
/// into another group.
///
/// # Errors
/// [`Error`] where nothing was written.
pub(super) async fn run(db: &Db, tenant: &str, plans: &mut [&mut dyn Plan]) -> Result<Vec<Answer>, Error> {
    let mut tx = db.begin_write().await?;
    let ran = run_in(&mut tx, tenant, plans).await?;
    if !ran.wrote {
        tx.rollback().await?;
        return Ok(ran.answers);
    }
    match tx.commit().await {
        Ok(()) => {}
        Err(error @ Error::Unavailable { .. }) => match ran.witness {
            Some(witness) if is_committed(db, tenant, witness).await? => {}
            _ => return Err(error),
        },
        Err(error) => return Err(error),
    }
    keep_pace(ran.at_ms).await;
    Ok(ran.answers)
}

async fn run_in(tx: &mut Tx, tenant: &str, plans: &mut [&mut dyn Plan]) -> Result<Ran, Error> {
    let mut stage = open(tx, tenant).await?;
    let mut prepared = prepare(&mut stage, tx, tenant, plans).await?;
    let mut ran = Ran { answers: Vec::new(), witness: None, wrote: false, at_ms: stage.at_ms };
    let begun = Instant::now();
    for (plan, ready) in plans.iter_mut().zip(prepared.iter_mut()) {
        if begun.elapsed() > TIME_MAX && !ran.answers.is_empty() {
            break;
        }
        let puts = match ready.take() {
            Some(puts) => puts,
            None => ask(&mut stage, tx, tenant, *plan).await?,
        };
        let answer = match puts {
            Ok(puts) if !stage.fits(puts.len()) && !ran.answers.is_empty() => break,
            Ok(puts) => stage_plan(&mut stage, tx, tenant, (*plan, puts)).await?,
            Err(refusal) => Err(refusal),
        };
        ran.answers.push(answer);
        ran.note(&stage);
        if stage.versions.len() >= STAGED_MAX {
            flush::flush(&mut stage, tx, tenant).await?;
        }
    }
    flush::flush(&mut stage, tx, tenant).await?;
    Ok(ran)
}

impl Ran {
    fn note(&mut self, stage: &Stage) {
        self.wrote |= !stage.versions.is_empty() || !stage.cursors.is_empty();
        if self.witness.is_none() {
            self.witness = stage.versions.first().map(|version| Witness {
                rid: version.rid,
                version: version.version,
                commit_no: stage.commit_no,
                at_ms: stage.at_ms,
            });
        }
    }
}

/// Locks the clock row and takes the group's numbers from it.
pub(super) async fn open(tx: &mut Connection, tenant: &str) -> Result<Stage, Error> {
    let tick = "update clock set
                    commit_no = commit_no + 1,
                    at_ms = case when at_ms + 1 > $2 then at_ms + 1 else $2 end
                where tenant = $1 returning commit_no, at_ms, next_rid";
    let row = match tx.optional(tick, args![tenant, now_ms()]).await? {
        Some(row) => row,
        None => {
            tx.execute(
                "insert into clock (tenant, commit_no, at_ms, next_rid) values ($1, 0, 0, 1)
                 on conflict (tenant) do nothing",
                args![tenant],
            )
            .await?;
            tx.one(tick, args![tenant, now_ms()]).await?
        }
    };
    Ok(Stage {
        commit_no: row.int("commit_no")?,
        at_ms: row.int("at_ms")?,
        next_rid: row.int("next_rid")?,
        ordinals: 0,
        known: std::collections::HashMap::new(),
        versions: Vec::new(),
        cursors: std::collections::BTreeMap::new(),
    })
}

/// The puts of plans that ask nothing, and the current states of all that they write, read at once.
async fn prepare(
    stage: &mut Stage,
    tx: &mut Connection,
    tenant: &str,
    plans: &mut [&mut dyn Plan],
) -> Result<Vec<Option<Result<Vec<Put>, Refusal>>>, Error> {
    let mut prepared = Vec::with_capacity(plans.len());
    for plan in plans.iter_mut() {
        prepared.push(guarded(|| {
            let alone = plan.questions().is_empty() && plan.reads(&[]).is_empty() && !plan.asks_further();
            alone.then(|| plan.puts(&Seen::default()))
        }));
    }
    let prepared: Vec<_> =
        prepared.into_iter().map(|ready| ready.unwrap_or_else(|gone| Some(Err(gone)))).collect();
    let keys: Vec<Key> = prepared.iter().flatten().flatten().flatten().map(key).collect();
    flush::load(stage, tx, tenant, keys.into_iter()).await?;
    Ok(prepared)
}

/// Answers what a plan asks from what is stored and staged so far.
async fn ask(
    stage: &mut Stage,
    tx: &mut Connection,
    tenant: &str,
    plan: &mut dyn Plan,
) -> Result<Result<Vec<Put>, Refusal>, Error> {
    let questions = match guarded(|| plan.questions()) {
        Ok(questions) => questions,
        Err(refusal) => return Ok(Err(refusal)),
    };
    if !questions.is_empty() {
        flush::flush(stage, tx, tenant).await?;
    }
    let mut answers: Vec<Matches> = Vec::with_capacity(questions.len());
    let mut matches = 0;
    for question in questions {
        let found = search::matches(tx, tenant, &question.query, question.limit).await?;
        matches += found.len();
        if matches > MATCHES_MAX {
            return Ok(Err(Refusal::TooManyMatches));
        }
        answers.push(found);
    }
    let reads = match guarded(|| plan.reads(&answers)) {
        Ok(reads) => reads,
        Err(refusal) => return Ok(Err(refusal)),
    };
    flush::load(stage, tx, tenant, reads.iter().cloned()).await?;
    let standing = reads.into_iter().filter_map(|key| stage.standing(&key).map(|found| (key, found)));
    let mut seen = Seen { answers: &answers, further: &[], standing: standing.collect() };
    let mut found = Vec::new();
    if plan.asks_further() {
        let further = match guarded(|| plan.further(&seen)).and_then(|further| further) {
            Ok(further) => further,
            Err(refusal) => return Ok(Err(refusal)),
        };
        found = match ask_further(stage, tx, tenant, further).await? {
            Ok(found) => found,
            Err(refusal) => return Ok(Err(refusal)),
        };
        let keys = found.iter().flatten().map(|(kind, id, _)| (kind.clone(), id.clone()));
        seen.standing.extend(keys.filter_map(|key| stage.standing(&key).map(|now| (key, now))));
    }
    seen.further = &found;
    Ok(guarded(|| plan.puts(&seen)).and_then(|puts| puts))
}

/// Answers what a plan asks when it has seen the first answers, and reads what is found.
async fn ask_further(
    stage: &mut Stage,
    tx: &mut Connection,
    tenant: &str,
    further: Vec<Further>,
) -> Result<Result<Vec<Matches>, Refusal>, Error> {
    if !further.is_empty() {
        flush::flush(stage, tx, tenant).await?;
    }
    let (mut found, mut matches) = (Vec::with_capacity(further.len()), 0);
    for asked in further {
        let answer: Matches = match asked {
            Further::Matching(question) => {
                search::matches(tx, tenant, &question.query, question.limit).await?
            }
            Further::Referring { target, parameters, limit } => {
                search::referring(tx, tenant, &target, &parameters, limit).await?
            }
        };
        matches += answer.len();
        if matches > FURTHER_MAX {
            return Ok(Err(Refusal::TooManyMatches));
        }
        found.push(answer);
    }
    let keys: Vec<Key> = found.iter().flatten().map(|(kind, id, _)| (kind.clone(), id.clone())).collect();
    let mut bytes = 0;
    for some in keys.chunks(LOADED_AT_ONCE) {
        flush::load(stage, tx, tenant, some.iter().cloned()).await?;
        let bodies = some.iter().filter_map(|key| stage.standing(key)?.body);
        bytes += bodies.map(|body| body.len()).sum::<usize>();
        if bytes > FURTHER_BYTES_MAX {
            return Ok(Err(Refusal::TooManyMatches));
        }
    }
    Ok(Ok(found))
}

async fn stage_plan(
    stage: &mut Stage,
    tx: &mut Connection,
    tenant: &str,
    (plan, puts): (&mut dyn Plan, Vec<Put>),
) -> Result<Answer, Error> {
    if !stage.fits(puts.len()) {
        return Ok(Err(Refusal::TooMany { puts: puts.len() }));
    }
    let keys: Vec<Key> = puts.iter().map(key).collect();
    flush::load(stage, tx, tenant, keys.into_iter()).await?;
    let cursors = match guarded(|| plan.cursors()) {
        Ok(cursors) => cursors,
        Err(refusal) => return Ok(Err(refusal)),
    };
    let answer = stage.plan(puts);
    if answer.is_ok() {
        stage.cursors.extend(cursors);
    }
    Ok(answer)
}

fn key(put: &Put) -> Key {
    (put.kind.clone(), put.id.clone())
}

/// A plan is other rooms' code: its panic refuses that plan and nothing else.
fn guarded<T>(call: impl FnOnce() -> T) -> Result<T, Refusal> {
    catch_unwind(AssertUnwindSafe(call)).map_err(|_| {
        tracing::error!("a write plan panicked; it was refused, and the writer goes on");
        Refusal::Store
    })
}

/// The connection broke during the commit: whether it took place is seen by one of its versions.
async fn is_committed(db: &Db, tenant: &str, witness: Witness) -> Result<bool, Error> {
    let mut connection = db.read().await?;
    let found = connection
        .optional(
            "select 1 as found from version
             where tenant = $1 and rid = $2 and version = $3 and commit_no = $4 and updated_ms = $5",
            args![tenant, witness.rid, witness.version, witness.commit_no, witness.at_ms],
        )
        .await?;
    Ok(found.is_some())
}
