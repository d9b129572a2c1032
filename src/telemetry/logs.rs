//! Where logs go and what is let through.

use tracing::Subscriber;
use tracing::level_filters::LevelFilter;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::fmt::{self, MakeWriter};
use tracing_subscriber::layer::{Layer, SubscriberExt};
use tracing_subscriber::util::SubscriberInitExt;

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
    subscriber(log, std::io::stderr).try_init()?;
    Ok(())
}

/// The filter stands before everything and not before the one layer: a filter of a layer keeps the answer
/// to a mere question (`log_enabled!`, which sqlx asks of statements) and drops the next event for it.
fn subscriber<W>(log: &Log, writer: W) -> impl Subscriber + Send + Sync
where
    W: for<'writer> MakeWriter<'writer> + Send + Sync + 'static,
{
    let layer = fmt::layer().with_writer(writer);
    let layer = if log.format == "json" {
        layer.json().flatten_event(true).with_current_span(true).with_span_list(false).boxed()
    } else {
        layer.with_ansi(colours()).with_target(false).boxed()
    };
    tracing_subscriber::registry().with(filter(&log.level)).with(layer)
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
    use std::io;
    use std::sync::{Arc, Mutex};

    use super::*;
    use tracing::Level;

    #[derive(Clone, Default)]
    struct Kept(Arc<Mutex<Vec<u8>>>);

    impl io::Write for Kept {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn a_question_about_another_target_does_not_swallow_the_next_line() {
        let kept = Kept::default();
        let writer = kept.clone();
        tracing::subscriber::with_default(subscriber(&Log::default(), move || writer.clone()), || {
            for round in 0..3 {
                let question = tracing::debug_span!(target: "sqlx::query", "asked as the crate `log` asks");
                let metadata = question.metadata().unwrap();
                assert!(!tracing::dispatcher::get_default(|dispatch| dispatch.enabled(metadata)));
                tracing::info!(target: "mjumbe::store", round, "a line");
            }
        });
        let text = String::from_utf8(kept.0.lock().unwrap().clone()).unwrap();
        assert_eq!(text.matches("a line").count(), 3, "{text}");
    }

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
