//! What the store's disk gives: durable commits a second, one after the other. For `mjumbe doctor`.

use std::time::{Duration, Instant};

use super::Store;
use super::error::Error;
use crate::args;

/// The row that is written; of no other use.
const NAME: &str = "commit-rate";

impl Store {
    /// Commits one small row again and again for `time`; gives commits a second. Each is as durable as those of
    /// write groups.
    ///
    /// # Errors
    /// [`Error`]
    pub async fn commits_per_second(&self, time: Duration) -> Result<f64, Error> {
        let begun = Instant::now();
        let mut commits = 0_u32;
        while begun.elapsed() < time {
            let mut tx = self.db().begin_write().await?;
            tx.execute(
                "insert into setting (tenant, name, value) values ($1, $2, $3)
                 on conflict (tenant, name) do update set value = excluded.value",
                args!["default", NAME, commits.to_be_bytes().to_vec()],
            )
            .await?;
            tx.commit().await?;
            commits += 1;
        }
        Ok(f64::from(commits) / begun.elapsed().as_secs_f64())
    }
}
