//! The database: does it open, is its schema this release's, how fast is its disk.

use std::time::Duration;

use secrecy::ExposeSecret;

use super::{Finding, Findings};
use crate::config::Config;
use crate::store::db::Engine;
use crate::store::{Error, Store};

/// How long commits are counted.
const MEASURED: Duration = Duration::from_secs(1);
/// A write group holds up to 256 writes, so that a country's traffic passes at this rate; below it one notices.
const SLOW_PER_SECOND: f64 = 20.0;

pub(super) async fn examine(config: &Config) -> Vec<Finding> {
    let mut findings = Findings::about("store");
    match Store::open(config.store.url.expose_secret(), config.store.connections).await {
        Ok(store) => {
            if let Err(error) = opened(&store, &mut findings).await {
                failed(&error, &mut findings);
            }
            store.close().await;
        }
        Err(error) => failed(&error, &mut findings),
    }
    findings.found
}

fn failed(error: &Error, findings: &mut Findings) {
    findings.fail("open", error.to_string(), error.hint());
}

async fn opened(store: &Store, findings: &mut Findings) -> Result<(), Error> {
    let engine = match store.db().engine() {
        Engine::Sqlite => "SQLite",
        Engine::Postgres => "PostgreSQL",
    };
    findings.ok("open", format!("{engine} opens, with the schema of this release"));
    let rate = store.commits_per_second(MEASURED).await?;
    let told = format!("{rate:.0} durable commits a second");
    if rate < SLOW_PER_SECOND {
        let hint = "this disk is slow to make writes durable: use a local SSD, not a network folder";
        findings.warn("commit-rate", told, hint);
    } else {
        findings.ok("commit-rate", told);
    }
    Ok(())
}
