use super::*;
use crate::store::testing::each_store;

#[tokio::test]
async fn every_type_comes_back_from_a_bound_table() {
    each_store(|store| async move {
        let rows = Table::new()
            .column("a", Column::Ints(vec![Some(i64::MIN), None]))
            .column("b", Column::Texts(vec![Some("\"é\\ \u{1f600}".into()), None]))
            .column("c", Column::Bytes(vec![Some(vec![0, 255]), None]))
            .column("d", Column::Floats(vec![Some(f64::INFINITY), Some(0.1 + 0.2)]))
            .column("e", Column::Bools(vec![Some(true), Some(false)]));
        let mut connection = store.db().read().await.unwrap();
        let sql = "select r.a, r.b, r.c, r.d, r.e, $1 as f from table($2) as r where 1 = $3 order by r.a nulls last";
        let found = connection.all(sql, args!["x", rows, 1]).await.unwrap();
        assert_eq!(found.len(), 2);
        assert_eq!(found[0].int("a").unwrap(), i64::MIN);
        assert_eq!(found[0].text("b").unwrap(), "\"é\\ \u{1f600}");
        assert_eq!(found[0].bytes("c").unwrap(), [0, 255]);
        assert_eq!(found[0].float("d").unwrap(), f64::INFINITY);
        assert!(found[0].bool("e").unwrap());
        assert_eq!(found[1].opt_int("a").unwrap(), None);
        assert_eq!(found[1].opt_bytes("c").unwrap(), None);
        assert_eq!(found[1].float("d").unwrap(), 0.1 + 0.2);
        assert_eq!(found[1].text("f").unwrap(), "x");
        assert!(matches!(found[1].int("a"), Err(Error::Column { .. })));
    })
    .await;
}

#[tokio::test]
async fn a_part_is_undone_and_a_dropped_transaction_leaves_nothing() {
    each_store(|store| async move {
        let insert = "insert into cursor (tenant, name, value, updated_ms) values ('t', $1, 'v', 0)";
        let mut tx = store.db().begin_write().await.unwrap();
        tx.execute(insert, args!["kept"]).await.unwrap();
        tx.savepoint("part").await.unwrap();
        let error = tx.execute(insert, args!["kept"]).await.unwrap_err();
        assert!(matches!(&error, Error::Statement { .. }) && !error.to_string().contains("kept"), "{error}");
        tx.undo("part").await.unwrap();
        tx.execute(insert, args!["also"]).await.unwrap();
        tx.commit().await.unwrap();
        let mut dropped = store.db().begin_write().await.unwrap();
        dropped.execute(insert, args!["gone"]).await.unwrap();
        drop(dropped);
        let mut connection = store.db().read().await.unwrap();
        let rows = connection.all("select name from cursor order by name", args![]).await.unwrap();
        let names: Vec<_> = rows.iter().map(|row| row.text("name").unwrap()).collect();
        assert_eq!(names, ["also", "kept"]);
    })
    .await;
}

/// SQLite ends a transaction by itself when the disk is full; the connection must not be stuck for it.
#[tokio::test]
async fn writes_go_on_after_the_disk_was_full() {
    let folder = tempfile::tempdir().unwrap();
    let url = format!("sqlite://{}", folder.path().join("m.db").display());
    let store = crate::store::Store::open(&url, 2).await.unwrap();
    let write = async |bytes: usize| {
        let mut tx = store.db().begin_write().await?;
        tx.execute("pragma max_page_count = 200", args![]).await?;
        let insert = "insert into setting (tenant, name, value) values ('t', $1, $2)";
        tx.execute(insert, args![format!("{bytes}"), vec![7u8; bytes]]).await?;
        tx.commit().await
    };
    for _ in 0..3 {
        let full = write(4_000_000).await.unwrap_err();
        assert!(full.is_transient(), "{full}");
    }
    write(10).await.unwrap();
}

#[tokio::test]
async fn concurrent_transactions_all_count() {
    each_store(|store| async move {
        let insert = "insert into setting (tenant, name, value) values ('t', 'n', $1)";
        let mut tx = store.db().begin_write().await.unwrap();
        tx.execute(insert, args![b"0".to_vec()]).await.unwrap();
        tx.commit().await.unwrap();
        let db = store.db();
        let adders = (0..20).map(|_| {
            db.transaction(|tx| {
                Box::pin(async move {
                    tx.execute("update setting set name = name where tenant = 't'", args![]).await?;
                    let row = tx.one("select value from setting where tenant = 't'", args![]).await?;
                    let count: u32 = String::from_utf8(row.bytes("value")?).unwrap().parse().unwrap();
                    let next = (count + 1).to_string().into_bytes();
                    tx.execute("update setting set value = $1 where tenant = 't'", args![next]).await
                })
            })
        });
        for added in futures::future::join_all(adders).await {
            added.unwrap();
        }
        let mut connection = store.db().read().await.unwrap();
        let row = connection.one("select value from setting", args![]).await.unwrap();
        assert_eq!(row.bytes("value").unwrap(), b"20");
    })
    .await;
}

#[test]
fn the_pgbouncer_option_is_ours() {
    let (url, pooled) = without_pgbouncer("postgres://a@b/c?pgbouncer=true&sslmode=require").unwrap();
    assert!(pooled);
    assert_eq!(url.as_str(), "postgres://a@b/c?sslmode=require");
    assert!(!without_pgbouncer("postgres://a@b/c").unwrap().1);
}

#[tokio::test]
async fn a_missing_folder_is_explained() {
    let error = Db::open("sqlite:///nowhere/at/all/x.db", 1).await.unwrap_err();
    assert_eq!(error.code(), "store-open");
    assert!(error.to_string().contains("/nowhere/at/all/x.db"), "{error}");
    assert!(error.hint().contains("folder"));
}

#[tokio::test]
async fn an_absent_server_is_explained_without_its_password() {
    let error = Db::open("postgres://u:hushhush@127.0.0.1:1/x", 1).await.unwrap_err();
    assert_eq!(error.code(), "store-open");
    assert!(!format!("{error:?}").contains("hushhush"));
}

/// Counts to `$1`, one by one.
const COUNTING: &str =
    "with recursive n (i) as (select cast(1 as bigint) union all select i + 1 from n where i < $1)
    select count(*) as n from n";

#[tokio::test]
async fn what_takes_too_long_is_given_up_and_the_next_reader_has_no_limit() {
    each_store(|store| async move {
        let before = Instant::now();
        {
            let mut limited = store.db().read_within(Duration::from_millis(50)).await.unwrap();
            let error = limited.all(COUNTING, args![1_000_000_000]).await.unwrap_err();
            assert_eq!(error, Error::TooLong);
        }
        assert!(before.elapsed() < Duration::from_secs(30), "{:?}", before.elapsed());
        for _ in 0..3 {
            let (from, mut count) = (Instant::now(), 1_000_000);
            let mut free = store.db().read().await.unwrap();
            while from.elapsed() < Duration::from_millis(60) {
                free.one(COUNTING, args![count]).await.unwrap();
                count *= 2;
            }
        }
    })
    .await;
}
