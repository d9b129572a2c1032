//! Work that takes long, on a thread of its own.
//!
//! Checking a Bundle of megabytes takes seconds without a pause. On a thread that serves connections, nobody else would
//! be answered meanwhile, be it only to `/health`. **Never** waits for others when whoever asked has gone
//! away; what the processor has begun comes to its end.

use std::future::Future;
use std::sync::Arc;

use tokio::runtime::Handle;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_util::sync::CancellationToken;
use tracing::Instrument;

use crate::fhir::outcome::{IssueType, Outcome};

/// Bodies from this size on, in bytes, are worked on apart.
pub const LARGE: usize = 256 * 1024;

/// So many at once for each processor; more wait.
const AT_ONCE: usize = 4;

/// The places for such work. A place is taken for as long as its thread works: whoever leaves does not free it.
pub struct Apart(Arc<Semaphore>);

impl Default for Apart {
    fn default() -> Self {
        let processors = std::thread::available_parallelism().map_or(1, usize::from);
        Self::of(processors * AT_ONCE)
    }
}

impl Apart {
    /// So many places.
    pub fn of(places: usize) -> Self {
        Self(Arc::new(Semaphore::new(places)))
    }

    /// Does the work, which may wait for others. Where it panics, so does this.
    ///
    /// # Errors
    /// 503 where the process is ending.
    pub async fn run<T, F>(&self, work: F) -> Result<T, Outcome>
    where
        T: Send + 'static,
        F: Future<Output = T> + Send + 'static,
    {
        let place = self.place().await?;
        let (runtime, wanted) = (Handle::current(), CancellationToken::new());
        let _wanting = wanted.clone().drop_guard();
        let work = work.instrument(tracing::Span::current());
        let work = move || runtime.block_on(async move { wanted.run_until_cancelled(work).await });
        on_a_thread(place, work).await?.ok_or_else(ending)
    }

    /// Does work for the processor alone. Where it panics, so does this.
    ///
    /// # Errors
    /// 503 where the process is ending.
    pub async fn compute<T, F>(&self, work: F) -> Result<T, Outcome>
    where
        T: Send + 'static,
        F: FnOnce() -> T + Send + 'static,
    {
        let place = self.place().await?;
        let span = tracing::Span::current();
        on_a_thread(place, move || span.in_scope(work)).await
    }

    async fn place(&self) -> Result<OwnedSemaphorePermit, Outcome> {
        Arc::clone(&self.0).acquire_owned().await.map_err(|_| ending())
    }
}

async fn on_a_thread<T, F>(place: OwnedSemaphorePermit, work: F) -> Result<T, Outcome>
where
    T: Send + 'static,
    F: FnOnce() -> T + Send + 'static,
{
    let thread = tokio::task::spawn_blocking(move || {
        let _place = place;
        work()
    });
    thread.await.map_err(|error| match error.try_into_panic() {
        Ok(panic) => std::panic::resume_unwind(panic),
        Err(_) => ending(),
    })
}

fn ending() -> Outcome {
    Outcome::error(IssueType::Timeout, "ending", "the server is ending").status(503)
}

#[cfg(test)]
mod tests {
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

    #[tokio::test]
    #[should_panic(expected = "a defect")]
    async fn a_panic_of_the_processors_work_comes_through() {
        let _ = Apart::default().compute(|| panic!("a defect")).await;
    }

    #[tokio::test]
    async fn a_place_is_taken_until_its_thread_is_done() {
        let apart = Arc::new(Apart::of(1));
        for alone in [true, false] {
            let (told, heard) = std::sync::mpsc::channel::<()>();
            let (begun, begins) = oneshot::channel();
            let leaver = Arc::clone(&apart);
            let work = move || {
                begun.send(()).unwrap();
                heard.recv().unwrap();
            };
            let left = tokio::spawn(async move {
                let done =
                    if alone { leaver.compute(work).await } else { leaver.run(async { work() }).await };
                done.map_err(|_| ())
            });
            begins.await.unwrap();
            left.abort();
            assert!(left.await.is_err());
            let next = tokio::time::timeout(Duration::from_millis(20), apart.compute(|| ()));
            assert!(next.await.is_err(), "alone: {alone}");
            told.send(()).unwrap();
            assert!(apart.compute(|| ()).await.is_ok());
        }
    }
}
