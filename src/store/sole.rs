//! One process serves a SQLite file.
//!
//! Whoever serves takes over at once what a killed predecessor had claimed (partitions, destinations,
//! deliveries under way), which is right only while nobody else serves the same file. The operating system
//! holds the lock and drops it with the process, however that ends. Commands that write beside the server
//! need no lock. PostgreSQL needs none: there every process has a name of its own and leases run out.

use std::fs::{File, TryLockError};
use std::path::{Path, PathBuf};

use super::db::Db;
use super::{Error, Store};

/// The right to serve this store, as long as it lives.
#[derive(Debug)]
pub struct Sole {
    _locked: Option<File>,
}

impl Store {
    /// Claims this store for one server.
    ///
    /// # Errors
    /// [`Error::Open`] where another process serves the same SQLite file.
    pub fn serve_alone(&self) -> Result<Sole, Error> {
        let Db::Sqlite { writer, .. } = self.db() else { return Ok(Sole { _locked: None }) };
        let options = writer.connect_options();
        lock(options.get_filename()).map(|file| Sole { _locked: Some(file) })
    }
}

/// `mjumbe.db` → `mjumbe.db-serve`, whatever name of the file was used.
fn beside(database: &Path) -> std::io::Result<PathBuf> {
    let mut name = database.canonicalize()?.into_os_string();
    name.push("-serve");
    Ok(name.into())
}

fn lock(database: &Path) -> Result<File, Error> {
    let shown = database.display();
    let failed = |error: std::io::Error| Error::Open {
        reason: format!("{shown}-serve cannot be locked: {}", error.kind()),
        hint: "check that this user may write beside the database and that its disk has locks (some network \
               disks have none)"
            .to_owned(),
    };
    let file = beside(database).and_then(File::create).map_err(failed)?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(Error::Open {
            reason: format!("another `mjumbe serve` runs on {shown}"),
            hint: "stop it first, or give this one another file in [store] url; several servers need \
                   PostgreSQL"
                .to_owned(),
        }),
        Err(TryLockError::Error(error)) => Err(failed(error)),
    }
}

#[cfg(test)]
mod tests {
    use crate::store::testing::each_store;

    #[tokio::test]
    async fn a_sqlite_file_is_served_by_one_and_free_again_after_it() {
        each_store(|store| async move {
            let sqlite = store.db().engine() == crate::store::db::Engine::Sqlite;
            let first = store.serve_alone().unwrap();
            let second = store.serve_alone();
            assert_eq!(second.is_err(), sqlite);
            if let Err(error) = second {
                assert!(error.to_string().contains("another `mjumbe serve`"), "{error}");
            }
            drop(first);
            store.serve_alone().unwrap();
        })
        .await;
    }
}
