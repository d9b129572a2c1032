//! `mjumbe serve`: the program itself.

use std::process::ExitCode;

use clap::Args;
use tokio_util::sync::CancellationToken;

use super::failure::Failure;
use super::{block_on, stores};
use crate::config::Config;
use crate::server::reload::Reload;
use crate::{server, telemetry};

#[derive(Debug, Args)]
pub struct Arguments {}

pub fn run(config: Config, _arguments: Arguments) -> Result<ExitCode, Failure> {
    telemetry::logs::init(&config.log).map_err(|error| Failure::new(error.to_string()))?;
    block_on(serve(config))
}

async fn serve(config: Config) -> Result<ExitCode, Failure> {
    let stop = CancellationToken::new();
    stop_on_signal(stop.clone())?;
    let store = stores::open(&config).await?;
    let has_tokens = store.tokens("default").await?.iter().any(|token| token.revoked_ms.is_none());
    let running =
        server::start(&config, store, stop).await.map_err(|error| Failure::new(error.to_string()))?;
    out!("FHIR R4: {}/fhir", running.public_url);
    if config.server.dangerous_disable_auth {
        note!("warning: every request is accepted without a token (server.dangerous_disable_auth)");
    } else if !has_tokens {
        out!("There are no tokens yet: `mjumbe token create NAME` makes one.");
    }
    reload_on_signal(running.reload.clone())?;
    running.ended().await;
    note!("stopped");
    Ok(ExitCode::SUCCESS)
}

/// SIGTERM and SIGINT (Ctrl-C) drain; a second one ends at once.
fn stop_on_signal(stop: CancellationToken) -> Result<(), Failure> {
    use tokio::signal::unix::{SignalKind, signal};
    let failed = |error: std::io::Error| Failure::because("signals cannot be watched", error);
    let mut terminate = signal(SignalKind::terminate()).map_err(failed)?;
    let mut interrupt = signal(SignalKind::interrupt()).map_err(failed)?;
    tokio::spawn(async move {
        loop {
            tokio::select! {
                _ = terminate.recv() => {}
                _ = interrupt.recv() => {}
            }
            if stop.is_cancelled() {
                tracing::warn!("stopped at once, with requests under way");
                std::process::exit(1);
            }
            tracing::info!("stopping: what is under way finishes");
            stop.cancel();
        }
    });
    Ok(())
}

/// SIGHUP reads the mapping files again; one with a mistake leaves all of them as they were.
fn reload_on_signal(reload: Reload) -> Result<(), Failure> {
    use tokio::signal::unix::{SignalKind, signal};
    let failed = |error: std::io::Error| Failure::because("signals cannot be watched", error);
    let mut hangup = signal(SignalKind::hangup()).map_err(failed)?;
    tokio::spawn(async move {
        while hangup.recv().await.is_some() {
            match reload.reload().await {
                Ok(mappings) => tracing::info!(mappings, "the mapping files were read again"),
                Err(error) => {
                    tracing::error!("the mapping files were read again and none was taken: {error}");
                }
            }
        }
    });
    Ok(())
}
