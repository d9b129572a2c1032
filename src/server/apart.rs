//! Work that takes long, on a thread of its own.
//!
//! Checking a Bundle of megabytes takes seconds without a pause. On a thread that serves connections, nobody else would
//! be answered meanwhile, be it only to `/health`. **Never** goes on when whoever asked has gone away.

use std::future::Future;

use tokio::runtime::Handle;
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use tracing::Instrument;

use crate::fhir::outcome::{IssueType, Outcome};

/// Bodies from this size on, in bytes, are worked on apart.
pub const LARGE: usize = 256 * 1024;

/// So many at once for each processor; more wait.
const AT_ONCE: usize = 4;

/// The places for such work.
pub struct Apart(Semaphore);

impl Default for Apart {
    fn default() -> Self {
        let processors = std::thread::available_parallelism().map_or(1, usize::from);
        Self(Semaphore::new(processors * AT_ONCE))
    }
}

impl Apart {
    /// Does the work. Where it panics, so does this.
    ///
    /// # Errors
    /// 503 where the process is ending.
    pub async fn run<T, F>(&self, work: F) -> Result<T, Outcome>
    where
        T: Send + 'static,
        F: Future<Output = T> + Send + 'static,
    {
        let _permit = self.0.acquire().await.map_err(|_| ending())?;
        let (runtime, wanted) = (Handle::current(), CancellationToken::new());
        let _wanting = wanted.clone().drop_guard();
        let work = work.instrument(tracing::Span::current());
        let thread = tokio::task::spawn_blocking(move || {
            runtime.block_on(async move { wanted.run_until_cancelled(work).await })
        });
        match thread.await {
            Ok(done) => done.ok_or_else(ending),
            Err(error) => match error.try_into_panic() {
                Ok(panic) => std::panic::resume_unwind(panic),
                Err(_) => Err(ending()),
            },
        }
    }
}

fn ending() -> Outcome {
    Outcome::error(IssueType::Timeout, "ending", "the server is ending").status(503)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::time::Duration;

    use tokio::sync::oneshot;

    use super::*;

    #[tokio::test]
    async fn others_go_on_while_somebody_works() {
        let apart = Apart::default();
        let (told, heard) = std::sync::mpsc::channel();
        // The only thread of this runtime tells the work to end: it would never come to that if it did the work.
        let work = apart.run(async move { heard.recv().unwrap() });
        let other = async {
            tokio::time::sleep(Duration::from_millis(5)).await;
            told.send(7).unwrap();
        };
        let (done, ()) = tokio::join!(work, other);
        assert_eq!(done.ok(), Some(7));
    }

    #[tokio::test]
    async fn what_nobody_waits_for_ends() {
        let apart = Arc::new(Apart::default());
        let (ended, seen) = oneshot::channel::<()>();
        let work = {
            let apart = Arc::clone(&apart);
            tokio::spawn(async move {
                let never = async move {
                    let _ended = ended;
                    std::future::pending::<()>().await;
                };
                apart.run(never).await.map_err(|_| ())
            })
        };
        tokio::time::sleep(Duration::from_millis(5)).await;
        work.abort();
        let gone = tokio::time::timeout(Duration::from_secs(20), seen).await;
        assert!(gone.unwrap().is_err());
    }

    #[tokio::test]
    #[should_panic(expected = "a defect")]
    async fn a_panic_comes_through() {
        let _ = Apart::default().run(async { panic!("a defect") }).await;
    }
}
