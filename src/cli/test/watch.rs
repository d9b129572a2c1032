//! `mjumbe test --watch`: the tests again whenever a mapping, a test or a table is saved.
//!
//! Editors save in several steps (a new file, a rename), so that changes are gathered until it is quiet.
//! Nothing on the terminal is cleared. Ctrl-C ends it.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use notify::{Event, EventKind, RecursiveMode, Watcher};
use tokio::sync::mpsc;

use super::{Arguments, once};
use crate::cli::failure::Failure;
use crate::config::Config;

/// So long must it be quiet.
const QUIET: Duration = Duration::from_millis(150);
/// Changes that wait; what is more changes nothing, because everything is run again.
const WAITING_MAX: usize = 256;
/// Files that are named as changed.
const NAMED_MAX: usize = 5;

pub async fn run(config: &Config, arguments: &Arguments, folder: &Path) -> Result<ExitCode, Failure> {
    let watched = if folder.is_file() { folder.parent().unwrap_or(folder) } else { folder };
    let watched = if watched.as_os_str().is_empty() { Path::new(".") } else { watched };
    let (sender, mut changes) = mpsc::channel(WAITING_MAX);
    let mut watcher = notify::recommended_watcher(move |event| tell(&sender, event))
        .map_err(|error| Failure::because("cannot watch files", error))?;
    watcher.watch(watched, RecursiveMode::NonRecursive).map_err(|error| {
        Failure::because(&format!("cannot watch {}", watched.display()), error)
            .hint("name a folder of mapping files that exists")
    })?;
    once(config, arguments, folder);
    note!("watching {}; Ctrl-C ends it", watched.display());
    loop {
        let changed = tokio::select! {
            changed = gather(&mut changes) => changed,
            interrupted = tokio::signal::ctrl_c() => {
                interrupted.map_err(|error| Failure::because("cannot wait for Ctrl-C", error))?;
                return Ok(ExitCode::SUCCESS);
            }
        };
        let Some(changed) = changed else { return Err(Failure::new("the files can no longer be watched")) };
        out!("\nchanged: {}", named(&changed));
        once(config, arguments, folder);
    }
}

/// Called by the watcher's own thread. What does not fit waits already.
fn tell(sender: &mpsc::Sender<PathBuf>, event: notify::Result<Event>) {
    let Ok(event) = event else { return };
    if matches!(event.kind, EventKind::Access(_)) {
        return;
    }
    for path in event.paths.into_iter().filter(|path| is_ours(path)) {
        let _ = sender.try_send(path);
    }
}

/// A mapping, a test or a table; not what an editor leaves beside it.
fn is_ours(path: &Path) -> bool {
    let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
    !name.starts_with('.') && (name.ends_with(".yaml") || name.ends_with(".csv"))
}

/// The files that changed, once it is quiet; nothing when there is nobody left to tell.
async fn gather(changes: &mut mpsc::Receiver<PathBuf>) -> Option<BTreeSet<PathBuf>> {
    let mut changed = BTreeSet::from([changes.recv().await?]);
    for _ in 0..WAITING_MAX {
        match tokio::time::timeout(QUIET, changes.recv()).await {
            Ok(Some(path)) => changed.insert(path),
            Ok(None) | Err(_) => break,
        };
    }
    Some(changed)
}

fn named(changed: &BTreeSet<PathBuf>) -> String {
    let names = changed.iter().filter_map(|path| path.file_name()).map(|name| name.to_string_lossy());
    let shown: Vec<_> = names.take(NAMED_MAX).collect();
    let more = changed.len().saturating_sub(shown.len());
    let rest = if more == 0 { String::new() } else { format!(" and {more} more") };
    format!("{}{rest}", shown.join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn what_is_saved_together_is_one_change() {
        let (sender, mut changes) = mpsc::channel(WAITING_MAX);
        for name in ["a.yaml", "a.yaml", "b.csv", ".a.yaml.swp", "notes.txt"] {
            let mut event = Event::new(EventKind::Any);
            event.paths.push(PathBuf::from(name));
            tell(&sender, Ok(event));
        }
        let changed = gather(&mut changes).await.unwrap();
        assert_eq!(named(&changed), "a.yaml, b.csv");
        drop(sender);
        assert_eq!(gather(&mut changes).await, None);
    }
}
