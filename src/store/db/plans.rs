//! For tests: which statements would read a whole table or index.
//!
//! Statements that run inside [`full_scans`] are noted and explained afterwards. **Never** part of the
//! product.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::future::Future;

use super::{Argument, Db, Engine, Row};
use crate::args;

type Noted = BTreeMap<String, Vec<Argument>>;

tokio::task_local! {
    static NOTED: RefCell<Noted>;
}

pub(super) fn note(sql: &str, arguments: &[Argument]) {
    // Outside of a scope nobody wants to know.
    let _ = NOTED.try_with(|noted| noted.borrow_mut().insert(sql.to_owned(), arguments.to_vec()));
}

/// Runs `work` and gives every statement of it, with its plan, that reads a table or an index from end to
/// end. Statements without a table are fine.
pub async fn full_scans(db: &Db, work: impl Future<Output = ()>) -> Vec<String> {
    let noted = NOTED
        .scope(RefCell::default(), async {
            work.await;
            NOTED.with(RefCell::take)
        })
        .await;
    assert!(!noted.is_empty(), "no statement ran");
    let mut faults = Vec::new();
    for (sql, arguments) in noted {
        let plan = explain(db, &sql, arguments).await;
        let scans = match db.engine() {
            Engine::Sqlite => sqlite_scans(&plan),
            Engine::Postgres => postgres_scans(&plan),
        };
        if scans {
            faults.push(format!("{sql}\n    {}", plan.join("\n    ")));
        }
    }
    faults
}

/// Gathers statistics on PostgreSQL, as it does by itself in a used database. SQLite has those that its
/// migrations give it.
pub async fn analyze(db: &Db) {
    if db.engine() == Engine::Sqlite {
        return;
    }
    let mut tx = db.begin_write().await.unwrap();
    tx.script("analyze").await.unwrap();
    tx.commit().await.unwrap();
}

async fn explain(db: &Db, sql: &str, arguments: Vec<Argument>) -> Vec<String> {
    let mut tx = db.begin_write().await.unwrap();
    let (command, column) = match db.engine() {
        Engine::Sqlite => ("explain query plan", "detail"),
        Engine::Postgres => {
            // Small tables would be scanned; whether an index could serve is what is asked.
            tx.execute("set local enable_seqscan = off", args![]).await.unwrap();
            ("explain", "QUERY PLAN")
        }
    };
    let rows =
        tx.all(format!("{command} {sql}"), arguments).await.unwrap_or_else(|error| panic!("{error}: {sql}"));
    let plan = rows.iter().map(|row: &Row| row.text(column).unwrap()).collect();
    tx.rollback().await.unwrap();
    plan
}

/// `SCAN x` but for what the statement itself made (bound rows, a subquery that is run once), and a search
/// by the tenant alone or past it.
fn sqlite_scans(plan: &[String]) -> bool {
    let made: Vec<&str> = plan
        .iter()
        .filter_map(|line| line.strip_prefix("CO-ROUTINE ").or_else(|| line.strip_prefix("MATERIALIZE ")))
        .collect();
    // A recursion takes one row after another from what it has found.
    let is_queue = |at: usize| at > 0 && plan.get(at - 1).is_some_and(|line| line == "RECURSIVE STEP");
    plan.iter().enumerate().filter(|(at, _)| !is_queue(*at)).any(|(_, line)| {
        match line.strip_prefix("SCAN ") {
            Some(scanned) => {
                let table = scanned.split(' ').next().unwrap_or_default();
                let bound = table == "json_each" || scanned.contains("VIRTUAL TABLE");
                !(bound || table.starts_with('(') || table == "CONSTANT" || made.contains(&table))
            }
            None => (line.ends_with("(tenant=?)") && !of_few_rows(line)) || line.contains("ANY("),
        }
    })
}

/// The tables that have few rows a tenant whatever it stores: its clock, 64 partitions, its processes.
fn of_few_rows(line: &str) -> bool {
    ["clock", "mapper_partition", "mapper_worker"].iter().any(|table| line.contains(table))
}

/// A scan of a table, or of an index without a condition or by the tenant alone.
fn postgres_scans(plan: &[String]) -> bool {
    plan.iter().enumerate().any(|(at, line)| {
        let index = line.contains("Index Scan") || line.contains("Index Only Scan");
        let condition = plan.get(at + 1).filter(|next| next.contains("Index Cond"));
        let alone = condition.is_none_or(|condition| !condition.contains(" AND "));
        line.contains("Seq Scan on") || (index && alone && !of_few_rows(line))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::testing::each_store;

    #[tokio::test]
    async fn a_full_scan_is_noticed() {
        each_store(|store| async move {
            let scanning = [
                "select 1 as one from version where tenant = $1 and updated_ms = 5",
                "select 1 as one from resource where id = $1",
                "select count(*) as n from resource where tenant = $1",
            ];
            let faults = full_scans(store.db(), async {
                let mut connection = store.db().read().await.unwrap();
                for sql in scanning {
                    connection.all(sql, args!["t"]).await.unwrap();
                }
                let good = "select 1 as one from resource where tenant = $1 and kind = 'a' and id = 'b'";
                connection.all(good, args!["t"]).await.unwrap();
            })
            .await;
            assert_eq!(faults.len(), scanning.len(), "{faults:#?}");
        })
        .await;
    }
}
