//! For tests of every room: a fresh store on each engine.
//!
//! **Never** used by the product. It panics where a test must stop.
#![allow(clippy::missing_panics_doc, clippy::unwrap_used, clippy::expect_used, missing_docs)]

use std::future::Future;

use sqlx::{AssertSqlSafe, Connection as _, PgConnection};
use uuid::Uuid;

use super::Store;

/// Runs `test` on a fresh SQLite store, and on a fresh PostgreSQL database where
/// `MJUMBE_TEST_POSTGRES` names a server.
pub async fn each_store<F, T>(test: F)
where
    F: Fn(Store) -> T,
    T: Future<Output = ()>,
{
    each_database(|url| {
        let test = &test;
        async move {
            let store = Store::open(&url, 6).await.unwrap();
            test(store.clone()).await;
            store.close().await;
        }
    })
    .await;
}

/// The same with the url of an empty database, for tests that open it themselves or several times.
pub async fn each_database<F, T>(test: F)
where
    F: Fn(String) -> T,
    T: Future<Output = ()>,
{
    let folder = Folder::new();
    test(format!("sqlite://{}", folder.0.join("mjumbe.db").display())).await;
    drop(folder);
    let Some(server) = std::env::var("MJUMBE_TEST_POSTGRES").ok().filter(|server| !server.is_empty()) else {
        eprintln!("skipped: PostgreSQL (MJUMBE_TEST_POSTGRES is not set)");
        return;
    };
    let name = format!("mjumbe_test_{}", Uuid::new_v4().simple());
    administer(&server, format!("create database {name}")).await;
    let mut url = url::Url::parse(&server).unwrap();
    url.set_path(&name);
    test(url.to_string()).await;
    administer(&server, format!("drop database {name} with (force)")).await;
}

async fn administer(server: &str, sql: String) {
    let mut connection = PgConnection::connect(server).await.unwrap();
    sqlx::raw_sql(AssertSqlSafe(sql)).execute(&mut connection).await.unwrap();
    connection.close().await.unwrap();
}

/// A folder that goes with the test.
struct Folder(std::path::PathBuf);

impl Folder {
    fn new() -> Self {
        let path = std::env::temp_dir().join(format!("mjumbe-test-{}", Uuid::new_v4().simple()));
        std::fs::create_dir_all(&path).unwrap();
        Self(path)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        // What is left in the temporary folder harms nobody.
        let _ = std::fs::remove_dir_all(&self.0);
    }
}
