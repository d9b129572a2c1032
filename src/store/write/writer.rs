//! The writer task of a tenant: takes whatever waits, writes it as one group, answers after the commit.
//!
//! **Invariant:** nothing that a plan or a caller does ends the task: a panic is caught, a caller that
//! went away is skipped, a group that fails is run again one plan at a time.

use tokio::sync::{mpsc, oneshot};

use super::group::{self, Answer};
use super::{Plan, Refusal};
use crate::store::db::{self, Db};
use crate::store::error::Error;

/// Plans that may wait; more are refused with [`Refusal::Busy`].
const QUEUE_MAX: usize = 2048;
/// Plans of one group.
const GROUP_MAX: usize = 256;
/// How often a group is run in all while it conflicts with others.
const CONFLICT_RUNS_MAX: u32 = 8;
/// The same while the database does not answer; each run has waited for it already.
const UNAVAILABLE_RUNS_MAX: u32 = 2;

/// One plan and where its answer goes.
struct Job {
    plan: Box<dyn Plan>,
    reply: oneshot::Sender<Answer>,
}

/// The way to a tenant's writer. Cheap to clone; the task ends when the last one is dropped.
#[derive(Clone)]
pub(in crate::store) struct Writer {
    queue: mpsc::Sender<Job>,
}

impl std::fmt::Debug for Writer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Writer")
    }
}

impl Writer {
    pub(in crate::store) fn start(db: Db, tenant: String) -> Self {
        let (queue, jobs) = mpsc::channel(QUEUE_MAX);
        tokio::spawn(serve(db, tenant, jobs));
        Self { queue }
    }

    /// Whether the task is gone (its runtime was shut down).
    pub(in crate::store) fn is_closed(&self) -> bool {
        self.queue.is_closed()
    }

    /// Waits until the plan is durable, or refused.
    pub(in crate::store) async fn write(&self, plan: Box<dyn Plan>) -> Answer {
        let (reply, answer) = oneshot::channel();
        self.queue.try_send(Job { plan, reply }).map_err(|_| Refusal::Busy)?;
        answer.await.unwrap_or(Err(Refusal::Store))
    }
}

async fn serve(db: Db, tenant: String, mut queue: mpsc::Receiver<Job>) {
    let mut waiting: Vec<Job> = Vec::new();
    loop {
        if waiting.is_empty() {
            let Some(job) = queue.recv().await else { return };
            waiting.push(job);
        }
        while waiting.len() < GROUP_MAX
            && let Ok(job) = queue.try_recv()
        {
            waiting.push(job);
        }
        waiting.retain(|job| !job.reply.is_closed());
        if !waiting.is_empty() {
            waiting = serve_group(&db, &tenant, waiting).await;
        }
    }
}

/// Writes and answers; gives back the jobs that did not fit.
async fn serve_group(db: &Db, tenant: &str, mut jobs: Vec<Job>) -> Vec<Job> {
    match run(db, tenant, &mut jobs).await {
        Ok(answers) => {
            let rest = jobs.split_off(answers.len().min(jobs.len()));
            jobs.into_iter().zip(answers).for_each(|(job, answer)| reply(job, answer));
            rest
        }
        Err(error) if jobs.len() == 1 || error.is_transient() => {
            tracing::error!(code = error.code(), %error, plans = jobs.len(), "a write group failed");
            let refusal = if error.is_transient() { Refusal::Unavailable } else { Refusal::Store };
            jobs.into_iter().for_each(|job| reply(job, Err(refusal.clone())));
            Vec::new()
        }
        Err(error) => {
            tracing::warn!(code = error.code(), %error, "a write group is run again one plan at a time");
            for job in jobs {
                Box::pin(serve_group(db, tenant, vec![job])).await;
            }
            Vec::new()
        }
    }
}

/// Runs the group, again after conflicts.
async fn run(db: &Db, tenant: &str, jobs: &mut [Job]) -> Result<Vec<Answer>, Error> {
    let mut plans: Vec<&mut dyn Plan> = jobs.iter_mut().map(|job| &mut *job.plan as &mut dyn Plan).collect();
    let mut runs = 1;
    loop {
        match group::run(db, tenant, &mut plans).await {
            Err(error) if runs < runs_max(&error) => {
                tracing::debug!(code = error.code(), runs, "a write group is run again");
                db::pause(runs).await;
                runs += 1;
            }
            done => return done,
        }
    }
}

fn runs_max(error: &Error) -> u32 {
    match error {
        Error::Conflict { .. } => CONFLICT_RUNS_MAX,
        Error::Unavailable { .. } => UNAVAILABLE_RUNS_MAX,
        _ => 0,
    }
}

fn reply(job: Job, answer: Answer) {
    // A caller that no longer listens does not hear it; what was written stays written.
    drop(job.reply.send(answer));
}
