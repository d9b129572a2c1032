//! The server as a process of its own, that can be killed.

use std::fs::File;
use std::process::Stdio;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use tokio::process::{Child as Process, Command};
use tokio::sync::Mutex;

use super::super::failure::Failure;
use super::house::House;

const START: Duration = Duration::from_secs(60);
const STOP: Duration = Duration::from_secs(20);

/// The running server.
pub struct Child {
    process: Mutex<Process>,
    config: std::path::PathBuf,
    log: std::path::PathBuf,
    ready_url: String,
    expected: AtomicU32,
    allowed: AtomicU32,
    kills: AtomicU32,
}

impl Child {
    /// Starts `serve` and waits until it is ready.
    ///
    /// # Errors
    /// When it does not start within a minute; its own words are in the log.
    pub async fn start(house: &House) -> Result<Self, Failure> {
        let (config, log, ready_url) = (house.config_path(), house.log_path(), house.ready_url());
        let process = Mutex::new(spawn(&config, &log)?);
        let [expected, allowed, kills] = [AtomicU32::new(0), AtomicU32::new(0), AtomicU32::new(0)];
        let child = Self { process, config, log, ready_url, expected, allowed, kills };
        child.wait_until_ready().await.map_err(|failure| failure.hint(house.log_hint()))?;
        Ok(child)
    }

    async fn wait_until_ready(&self) -> Result<(), Failure> {
        let client = reqwest::Client::new();
        let deadline = Instant::now() + START;
        while Instant::now() < deadline {
            if let Ok(Some(status)) = self.process.lock().await.try_wait() {
                return Err(Failure::new(format!("the server ended at once: {status}")));
            }
            let asked = client.get(&self.ready_url).timeout(Duration::from_secs(2)).send().await;
            if asked.is_ok_and(|answer| answer.status().is_success()) {
                return Ok(());
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        Err(Failure::new("the server was not ready within a minute"))
    }

    /// So many kills are to come until the end of the story.
    pub fn expect_kills(&self, times: u32) {
        self.expected.store(times, Ordering::Relaxed);
    }

    /// A chapter of the story, from 1 to 5, begins: its share of the kills may happen.
    pub fn allow_kills(&self, chapter: u32) {
        let share = self.expected.load(Ordering::Relaxed) * chapter.min(5) / 5;
        self.allowed.store(share, Ordering::Relaxed);
    }

    /// Whether one more kill may happen now.
    pub fn may_be_killed(&self) -> bool {
        self.kills() < self.allowed.load(Ordering::Relaxed)
    }

    pub fn kills(&self) -> u32 {
        self.kills.load(Ordering::Relaxed)
    }

    pub fn is_troubled(&self) -> bool {
        self.kills() < self.expected.load(Ordering::Relaxed)
    }

    /// SIGKILL, and a new process on the same store and address.
    pub async fn kill_and_restart(&self) {
        let mut process = self.process.lock().await;
        if let Err(error) = process.kill().await {
            tracing::warn!(%error, "the server could not be killed");
        }
        for _ in 0..20 {
            match spawn(&self.config, &self.log) {
                Ok(started) => {
                    *process = started;
                    break;
                }
                Err(_) => tokio::time::sleep(Duration::from_millis(100)).await,
            }
        }
        drop(process);
        // A server that is killed before it serves would prove nothing.
        if self.wait_until_ready().await.is_err() {
            note!("the server did not come back after it was killed");
        }
        self.kills.fetch_add(1, Ordering::Relaxed);
    }

    /// SIGTERM: drains and ends.
    pub async fn stop(&self) {
        let mut process = self.process.lock().await;
        if let Some(id) = process.id() {
            let _ = Command::new("kill").arg("-TERM").arg(id.to_string()).status().await;
        }
        if tokio::time::timeout(STOP, process.wait()).await.is_err() {
            let _ = process.kill().await;
        }
    }
}

fn spawn(config: &std::path::Path, log: &std::path::Path) -> Result<Process, Failure> {
    let own =
        std::env::current_exe().map_err(|error| Failure::because("this program was not found", error))?;
    let log = File::options().create(true).append(true).open(log);
    let log = log.map_err(|error| Failure::because("the server's log", error))?;
    let mut command = Command::new(own);
    command.arg("--config").arg(config).arg("serve");
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(log).kill_on_drop(true);
    command.spawn().map_err(|error| Failure::because("the server did not start", error))
}
