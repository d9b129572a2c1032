//! What other acts of a destination did, for one whose outcome is not known.

use crate::args;
use crate::store::Store;
use crate::store::error::Error;

/// Most acts without proof that are compared.
const OPEN_MAX: i64 = 1_000;

impl Store {
    /// Which of these remote ids are those of acts other than `delivery`; `at` is (tenant, `SYSTEM.NAME`).
    ///
    /// # Errors
    /// [`Error`]
    pub async fn recorded_remotes(
        &self,
        (tenant, destination): (&str, &str),
        delivery: &str,
        remotes: &[String],
    ) -> Result<Vec<String>, Error> {
        let mut connection = self.db().read().await?;
        let rows = connection
            .all(
                "select d.remote from table($4) as w
                 join delivery d on d.tenant = $1 and d.destination = $2 and d.remote = w.value
                 where d.remote <> '' and d.id <> $3",
                args![tenant, destination, delivery, remotes.to_vec()],
            )
            .await?;
        rows.iter().map(|row| row.text("remote")).collect()
    }

    /// Acts of this target other than `delivery` that went out and of which nobody knows what became: lane
    /// and what they want.
    ///
    /// # Errors
    /// [`Error`]; also where there are more than 1,000.
    pub async fn open_acts(
        &self,
        (tenant, destination): (&str, &str),
        target: &str,
        delivery: &str,
    ) -> Result<Vec<(String, String)>, Error> {
        let mut connection = self.db().read().await?;
        let rows = connection
            .all(
                "select d.lane, coalesce(p.wanted, '') as wanted from delivery d
                 join part p on p.tenant = d.tenant and p.delivery_id = d.id
                 where d.tenant = $1 and d.destination = $2 and d.begun_ms > 0 and d.remote = ''
                     and d.target = $3 and d.id <> $4
                 limit $5",
                args![tenant, destination, target, delivery, OPEN_MAX + 1],
            )
            .await?;
        if i64::try_from(rows.len()).unwrap_or(i64::MAX) > OPEN_MAX {
            let reason = format!("more than {OPEN_MAX} acts without proof: too many to compare");
            return Err(Error::Unavailable { reason });
        }
        rows.iter().map(|row| Ok((row.text("lane")?, row.text("wanted")?))).collect()
    }
}

#[cfg(test)]
mod tests {
    use crate::store::db::plans::{analyze, full_scans};
    use crate::store::db::{Db, Engine};
    use crate::store::deliveries::row::COLUMNS;
    use crate::store::testing::each_store;

    /// PostgreSQL's planner takes any index of an empty table.
    async fn fill(db: &Db) {
        if db.engine() == Engine::Sqlite {
            return;
        }
        let value = |column: &str| match column {
            "id" => "'d' || i",
            "destination" => "'rapidpro.' || (i % 5)",
            "begun_ms" => "1",
            "remote" => "case when i % 100 = 0 then '' else 'message/' || i end",
            // Both a number and a text, whatever the column is.
            _ => "'0'",
        };
        let values: Vec<&str> = COLUMNS.split(", ").map(|column| value(column.trim())).collect();
        let mut tx = db.begin_write().await.unwrap();
        let sql = format!(
            "insert into delivery (tenant, {COLUMNS}) select 'default', {} from generate_series(1, 5000) as i",
            values.join(", ")
        );
        tx.script(sql).await.unwrap();
        tx.script(
            "insert into part (tenant, destination, slot, delivery_id, authored_ms, last, dirty, status,
                 superseded_by, cause, message, hint)
             select tenant, destination, 'act|' || id, id, 0, 0, 0, 'waiting', '', '', '', '' from delivery",
        )
        .await
        .unwrap();
        tx.commit().await.unwrap();
    }

    #[tokio::test]
    async fn neither_reads_a_whole_table() {
        each_store(|store| async move {
            fill(store.db()).await;
            analyze(store.db()).await;
            let faults = full_scans(store.db(), async {
                let remotes = ["message/1".to_owned()];
                let recorded = store.recorded_remotes(("default", "rapidpro.north"), "d", &remotes).await;
                assert_eq!(recorded.unwrap(), Vec::<String>::new());
                let open = store.open_acts(("default", "rapidpro.north"), "rapidpro.message", "d").await;
                assert_eq!(open.unwrap(), Vec::new());
            })
            .await;
            assert!(faults.is_empty(), "{faults:#?}");
        })
        .await;
    }

    #[tokio::test]
    async fn too_many_to_compare_is_an_error_and_no_part_of_them() {
        each_store(|store| async move {
            let all: Vec<String> = COLUMNS
                .split(", ")
                .map(|column| match column.trim() {
                    "id" => "'d' || i".to_owned(),
                    "destination" => "'rapidpro.north'".to_owned(),
                    "target" => "'rapidpro.message'".to_owned(),
                    "begun_ms" => "1".to_owned(),
                    "remote" => "''".to_owned(),
                    _ => "'0'".to_owned(),
                })
                .collect();
            let mut tx = store.db().begin_write().await.unwrap();
            let numbers = "with recursive n(i) as (select 1 union all select i + 1 from n where i < 1001)";
            tx.script(format!(
                "insert into delivery (tenant, {COLUMNS}) {numbers} select 'default', {} from n",
                all.join(", ")
            ))
            .await
            .unwrap();
            tx.script(
                "insert into part (tenant, destination, slot, delivery_id, authored_ms, last, dirty, status,
                     superseded_by, cause, message, hint)
                 select tenant, destination, 'act|' || id, id, 0, 0, 0, 'waiting', '', '', '', '' from delivery",
            )
            .await
            .unwrap();
            tx.commit().await.unwrap();
            let open = async |delivery: &str| {
                store.open_acts(("default", "rapidpro.north"), "rapidpro.message", delivery).await
            };
            assert_eq!(open("d1").await.unwrap().len(), 1_000);
            assert_eq!(open("another").await.unwrap_err().code(), "store-unavailable");
        })
        .await;
    }
}
