//! Write transactions that are run again after a conflict.
//!
//! As [`crate::store::db::Db::transaction`], for work that borrows from its surroundings.

use std::time::Duration;

/// How often a transaction is run before its conflict is reported.
pub(super) const RUNS_MAX: u32 = 8;

/// Waits a little longer each time, with jitter so that rivals do not meet again.
pub(super) async fn pause(run: u32) {
    let ceiling = 5u64 << run.min(6);
    tokio::time::sleep(Duration::from_millis(rand::random_range(1..=ceiling))).await;
}

/// `transaction!(db, |tx| work(tx, …))`: begins, works, commits; again after a conflict.
macro_rules! transaction {
    ($db:expr, |$tx:ident| $work:expr) => {{
        let mut run = 1;
        loop {
            let attempt = async {
                let mut begun = $db.begin_write().await?;
                let done = {
                    let $tx = &mut begun;
                    $work
                }
                .await?;
                begun.commit().await?;
                Ok::<_, $crate::store::error::Error>(done)
            }
            .await;
            match attempt {
                Err(error)
                    if run < $crate::delivery::transaction::RUNS_MAX
                        && $crate::store::db::AsConflict::is_conflict(&error) =>
                {
                    $crate::delivery::transaction::pause(run).await;
                    run += 1;
                }
                other => break other,
            }
        }
    }};
}
pub(super) use transaction;
