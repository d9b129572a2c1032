//! Wakes workers of this process at once; they also look once a second, so a lost signal costs a second.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;

/// How often a worker looks without being woken.
pub const POLL: Duration = Duration::from_secs(1);

/// Something happened that another worker may be waiting for. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Signal {
    count: Arc<watch::Sender<u64>>,
}

/// The waiting side. A signal that was given between two waits is not lost.
#[derive(Debug)]
pub struct Listener {
    count: watch::Receiver<u64>,
}

impl Default for Signal {
    fn default() -> Self {
        Self { count: Arc::new(watch::channel(0).0) }
    }
}

impl Signal {
    /// Wakes all listeners.
    pub fn give(&self) {
        self.count.send_modify(|count| *count = count.wrapping_add(1));
    }

    pub fn listen(&self) -> Listener {
        Listener { count: self.count.subscribe() }
    }
}

impl Listener {
    /// Returns when a signal is given; never, once all who could give one are gone.
    pub async fn heard(&mut self) {
        if self.count.changed().await.is_err() {
            std::future::pending::<()>().await;
        }
    }
}

/// The signals of one process.
#[derive(Debug, Clone, Default)]
pub struct Signals {
    /// Something was written to the store: the mapper has changes to map.
    pub changes: Signal,
    /// A delivery was recorded or revived: senders have something to send.
    pub deliveries: Signal,
}

/// Milliseconds since 1970 UTC.
pub fn now_ms() -> i64 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_signal_between_two_waits_is_heard() {
        let signal = Signal::default();
        let mut listener = signal.listen();
        signal.give();
        tokio::time::timeout(Duration::from_secs(5), listener.heard()).await.unwrap();
        let again = tokio::time::timeout(Duration::from_millis(10), listener.heard()).await;
        assert!(again.is_err(), "one signal is heard once");
    }
}
