//! Brings a database to this release's schema: forward only, all or nothing, whoever else is starting.
//!
//! All missing migrations run in one transaction (both engines can roll back schema changes), begun by
//! taking SQLite's write lock or locking the table `migration` on PostgreSQL, so several processes may
//! start at once, and one that is killed midway leaves nothing. Not sqlx's own runner: it takes advisory
//! locks, which a pooler or a distributed PostgreSQL does not carry.

use sha2::{Digest, Sha256};

use super::db::{AsConflict, Db, Engine, Tx};
use super::error::Error;
use crate::args;

/// Number, name, text for SQLite, text for PostgreSQL. Never edit one that was released: add the next.
type Migration = (i64, &'static str, &'static str, &'static str);

macro_rules! migration {
    ($number:literal, $name:literal) => {
        (
            $number,
            $name,
            include_str!(concat!("../../migrations/sqlite/", $name, ".sql")),
            include_str!(concat!("../../migrations/postgres/", $name, ".sql")),
        )
    };
}

const MIGRATIONS: &[Migration] = &[
    migration!(1, "0001_store"),
    migration!(2, "0002_delivery"),
    migration!(3, "0003_planner"),
    migration!(4, "0004_previous"),
    migration!(5, "0005_acts"),
    migration!(6, "0006_hops"),
    migration!(7, "0007_audit"),
    migration!(8, "0008_replay"),
    migration!(9, "0009_evidence"),
    migration!(10, "0010_waits"),
    migration!(11, "0011_hours"),
    migration!(12, "0012_clients"),
    migration!(13, "0013_parameters"),
    migration!(14, "0014_history"),
];

/// Runs what is missing.
///
/// # Errors
/// [`Error::Migration`] where the database was made by a later release or a migration was edited since.
pub(super) async fn run(db: &Db) -> Result<(), Error> {
    let mut tries = 0;
    loop {
        let error = match attempt(db).await {
            Ok(()) => return Ok(()),
            Err(error) => error,
        };
        tries += 1;
        if tries >= 8 || !(error.is_conflict() || is_created_twice(&error)) {
            return Err(error);
        }
        super::db::pause(tries).await;
    }
}

async fn attempt(db: &Db) -> Result<(), Error> {
    let mut tx = db.begin_write().await?;
    tx.script(
        "create table if not exists migration (
             number bigint not null primary key, name text not null, checksum text not null,
             applied_ms bigint not null)",
    )
    .await?;
    if tx.engine() == Engine::Postgres {
        tx.script("lock table migration in exclusive mode").await?;
    }
    let applied = tx.all("select number, name, checksum from migration order by number", args![]).await?;
    if let Some(last) = applied.last()
        && last.int("number")? > MIGRATIONS.last().map_or(0, |migration| migration.0)
    {
        return Err(too_new(&last.text("name")?));
    }
    for migration in MIGRATIONS {
        let before = applied.iter().find(|row| row.int("number").is_ok_and(|number| number == migration.0));
        match before {
            Some(row) => unedited(migration, tx.engine(), &row.text("checksum")?)?,
            None => apply(&mut tx, migration).await?,
        }
    }
    tx.commit().await
}

async fn apply(tx: &mut Tx, migration: &Migration) -> Result<(), Error> {
    let (number, name, ..) = *migration;
    let engine = tx.engine();
    tracing::info!(migration = name, "the database's schema is brought up to date");
    tx.script(text(migration, engine)).await?;
    tx.execute(
        "insert into migration (number, name, checksum, applied_ms) values ($1, $2, $3, $4)",
        args![number, name, checksum(migration, engine), super::write::now_ms()],
    )
    .await
    .map(drop)
}

fn text(migration: &Migration, engine: Engine) -> &'static str {
    match engine {
        Engine::Sqlite => migration.2,
        Engine::Postgres => migration.3,
    }
}

fn checksum(migration: &Migration, engine: Engine) -> String {
    hex::encode(Sha256::digest(text(migration, engine).as_bytes()))
}

fn unedited(migration: &Migration, engine: Engine, stored: &str) -> Result<(), Error> {
    if checksum(migration, engine) == stored {
        return Ok(());
    }
    Err(Error::Migration {
        reason: format!("migration {} is not the one that this database was made with", migration.1),
        hint: "start the release that made this database, or restore a backup".to_owned(),
    })
}

fn too_new(name: &str) -> Error {
    Error::Migration {
        reason: format!("it was brought to {name} by a later release"),
        hint: "start that release or a later one".to_owned(),
    }
}

/// Two processes that create the table `migration` at once: the loser begins again.
fn is_created_twice(error: &Error) -> bool {
    matches!(error, Error::Statement { code, .. } if matches!(code.as_str(), "23505" | "42P07"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::testing::each_database;

    #[tokio::test]
    async fn eight_processes_may_start_at_once() {
        each_database(|url| async move {
            let openings = (0..8).map(|_| async {
                let db = Db::open(&url, 2).await.unwrap();
                run(&db).await.unwrap();
                db
            });
            let opened = futures::future::join_all(openings).await;
            let mut connection = opened[0].read().await.unwrap();
            let count = connection.one("select count(*) as n from migration", args![]).await.unwrap();
            assert_eq!(count.int("n").unwrap(), i64::try_from(MIGRATIONS.len()).unwrap());
        })
        .await;
    }

    #[tokio::test]
    async fn a_later_or_edited_database_is_refused() {
        each_database(|url| async move {
            let db = Db::open(&url, 2).await.unwrap();
            run(&db).await.unwrap();
            set(&db, "update migration set checksum = 'x' where number = 1").await;
            assert_eq!(run(&db).await.unwrap_err().code(), "store-migration");
            set(&db, "insert into migration values (9999, '9999_later', '', 0)").await;
            assert!(run(&db).await.unwrap_err().to_string().contains("9999_later"));
        })
        .await;
    }

    async fn set(db: &Db, sql: &'static str) {
        let mut tx = db.begin_write().await.unwrap();
        tx.execute(sql, args![]).await.unwrap();
        tx.commit().await.unwrap();
    }
}
