//! Keeps the workers running: one that fails is started again, with back-off, and `/ready` says so
//! meanwhile.

use std::collections::BTreeMap;
use std::fmt::Display;
use std::panic::AssertUnwindSafe;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use futures::FutureExt;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// How long a worker that failed waits before it runs again, at first and at most.
const PAUSES: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(60));

/// Which workers run; read by `/ready`. Cheap to clone.
#[derive(Debug, Clone, Default)]
pub struct Readiness(Arc<Mutex<BTreeMap<String, bool>>>);

impl Readiness {
    /// Every worker's name and whether it runs now.
    pub fn workers(&self) -> BTreeMap<String, bool> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn set(&self, name: &str, runs: bool) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(name.to_owned(), runs);
    }
}

/// Owner of all workers. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Supervisor {
    pub readiness: Readiness,
    stop: CancellationToken,
    tasks: TaskTracker,
    pauses: (Duration, Duration),
}

impl Supervisor {
    /// Workers end when `stop` is cancelled.
    pub fn new(stop: CancellationToken) -> Self {
        Self { readiness: Readiness::default(), stop, tasks: TaskTracker::new(), pauses: PAUSES }
    }

    /// Runs `work` until it is told to stop; again after it failed, panicked or ended too early.
    ///
    /// `work` is given the token to watch, and finishes or releases what it has begun when it is cancelled.
    pub fn keep<W, F, E>(&self, name: impl Into<String>, work: W)
    where
        W: Fn(CancellationToken) -> F + Send + 'static,
        F: Future<Output = Result<(), E>> + Send + 'static,
        E: Display + Send + 'static,
    {
        let (name, stop, readiness) = (name.into(), self.stop.clone(), self.readiness.clone());
        readiness.set(&name, true);
        let pauses = self.pauses;
        self.tasks.spawn(async move {
            let mut pause = pauses.0;
            while !stop.is_cancelled() {
                let started = Instant::now();
                readiness.set(&name, true);
                let ended = AssertUnwindSafe(work(stop.clone())).catch_unwind().await;
                if stop.is_cancelled() {
                    break;
                }
                readiness.set(&name, false);
                report(&name, &ended.map_err(drop));
                if started.elapsed() > pauses.1 {
                    pause = pauses.0;
                }
                tokio::select! {
                    () = stop.cancelled() => break,
                    () = tokio::time::sleep(pause) => pause = (pause * 2).min(pauses.1),
                }
            }
        });
    }

    /// Waits until every worker has ended, for at most `limit` (after the token was cancelled).
    pub async fn drained(&self, limit: Duration) {
        self.tasks.close();
        if tokio::time::timeout(limit, self.tasks.wait()).await.is_err() {
            tracing::warn!(
                running = self.tasks.len(),
                "workers were cut off because they did not end in time"
            );
        }
    }
}

fn report<E: Display>(name: &str, ended: &Result<Result<(), E>, ()>) {
    metrics::counter!("mjumbe_task_restarts_total", "task" => name.to_owned()).increment(1);
    match ended {
        Ok(Ok(())) => tracing::error!(worker = name, "a worker ended early and is started again"),
        Ok(Err(error)) => tracing::error!(worker = name, %error, "a worker failed and is started again"),
        Err(()) => tracing::error!(worker = name, "a worker panicked and is started again"),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU32, Ordering};

    use super::*;

    #[tokio::test]
    async fn a_worker_that_fails_is_started_again_and_told_of_meanwhile() {
        let stop = CancellationToken::new();
        let pause = Duration::from_millis(200);
        let supervisor = Supervisor { pauses: (pause, pause), ..Supervisor::new(stop.clone()) };
        let runs = Arc::new(AtomicU32::new(0));
        let counted = Arc::clone(&runs);
        supervisor.keep("failing", move |stop| {
            let run = counted.fetch_add(1, Ordering::SeqCst);
            async move {
                assert!(run != 1, "the second run panics");
                if run == 0 {
                    return Err("the first fails");
                }
                stop.cancelled().await;
                Ok(())
            }
        });
        tokio::time::sleep(Duration::from_millis(50)).await;
        assert!(!supervisor.readiness.workers()["failing"]);
        tokio::time::sleep(Duration::from_millis(800)).await;
        assert_eq!(runs.load(Ordering::SeqCst), 3);
        assert!(supervisor.readiness.workers()["failing"]);
        stop.cancel();
        supervisor.drained(Duration::from_secs(1)).await;
    }
}
