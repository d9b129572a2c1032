//! Where logs go and what is let through.

use tracing::level_filters::LevelFilter;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{Layer, fmt};

use crate::config::Log;

/// Logs cannot be set up.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("logs are set up already: {0}")]
    Twice(#[from] tracing_subscriber::util::TryInitError),
}

/// Writes logs to stderr from now on, for the whole process.
///
/// # Errors
/// When a subscriber is set already.
pub fn init(log: &Log) -> Result<(), Error> {
    let layer = fmt::layer().with_writer(std::io::stderr);
    let layer = if log.format == "json" {
        layer.json().flatten_event(true).with_current_span(true).with_span_list(false).boxed()
    } else {
        layer.with_ansi(colours()).with_target(false).boxed()
    };
    tracing_subscriber::registry().with(layer.with_filter(filter(&log.level))).try_init()?;
    Ok(())
}

/// `info`, or `info,mjumbe::delivery=debug`. Everything outside Mjumbe stays at `warn`, whatever is
/// asked for: at lower levels libraries log headers, rows and bodies. Directives that cannot be read
/// were refused by the configuration, and are skipped here.
pub fn filter(level: &str) -> Targets {
    let mut targets = Targets::new().with_default(LevelFilter::WARN).with_target("mjumbe", LevelFilter::INFO);
    for directive in level.split(',') {
        let (target, level) = directive.split_once('=').unwrap_or(("mjumbe", directive));
        let ours = target == "mjumbe" || target.starts_with("mjumbe::");
        if let (true, Ok(level)) = (ours, level.trim().parse::<LevelFilter>()) {
            targets = targets.with_target(target, level);
        }
    }
    // A slow statement is logged by sqlx with its text; ours holds no values, but says nothing new.
    targets.with_target("sqlx::query", LevelFilter::OFF)
}

/// <https://no-color.org>; and a file or a pipe gets none.
fn colours() -> bool {
    use std::io::IsTerminal;
    std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty()) && std::io::stderr().is_terminal()
}

#[cfg(test)]
mod tests {
    use super::*;
    use tracing::Level;

    #[test]
    fn libraries_stay_at_warn() {
        let filter = filter("trace,hyper=trace,mjumbe::server=error");
        assert!(filter.would_enable("mjumbe::store", &Level::TRACE));
        assert!(!filter.would_enable("mjumbe::server", &Level::WARN));
        for library in ["hyper::proto", "sqlx::query", "reqwest::connect", "h2", "rustls"] {
            assert!(!filter.would_enable(library, &Level::INFO), "{library}");
        }
    }
}
