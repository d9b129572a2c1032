//! Who looked at people's data, or sent what was repaired: when and why. Rows are only ever added.

use super::Store;
use super::db::Row;
use super::error::Error;
use super::write::now_ms;
use crate::args;

/// A person looked at people's data.
pub const REVEAL: &str = "trace-reveal";
/// A client sent what its profile repaired.
pub const REPAIR: &str = "lenient-repair";
/// Every action that is kept.
pub const ACTIONS: [&str; 2] = [REVEAL, REPAIR];

/// One row of `audit`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    pub at_ms: i64,
    /// Who: the account of the operating system, or a token's name.
    pub actor: String,
    /// One of [`ACTIONS`].
    pub action: String,
    /// About whom, without a phone number or a name.
    pub subject: String,
    pub reason: String,
}

/// Which rows are asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Wanted<'a> {
    /// Whose; `None`: everybody's.
    pub actor: Option<&'a str>,
    /// Of which action; `None`: of all.
    pub action: Option<&'a str>,
    /// So many.
    pub last: u32,
}

impl Store {
    /// Remembers one look, durably, before anything is shown.
    ///
    /// # Errors
    /// [`Error`]: then nothing may be shown.
    pub async fn audit(
        &self,
        tenant: &str,
        (actor, action): (&str, &str),
        (subject, reason): (&str, &str),
    ) -> Result<(), Error> {
        let id = uuid::Uuid::now_v7().to_string();
        self.db()
            .transaction(|tx| {
                let arguments = args![tenant, now_ms(), id.as_str(), actor, action, subject, reason];
                Box::pin(async move {
                    tx.execute(
                        "insert into audit (tenant, at_ms, id, actor, action, subject, reason)
                         values ($1, $2, $3, $4, $5, $6, $7)",
                        arguments,
                    )
                    .await
                })
            })
            .await
            .map(drop)
    }

    /// The last rows, newest first.
    ///
    /// # Errors
    /// [`Error`]
    pub async fn audits(&self, tenant: &str, wanted: &Wanted<'_>) -> Result<Vec<Entry>, Error> {
        let Wanted { actor, action, last } = *wanted;
        // By the primary key, newest first: what is not wanted is passed over on the way.
        let rows = self
            .db()
            .read()
            .await?
            .all(
                "select at_ms, actor, action, subject, reason from audit where tenant = $1
                 and ($2 = '' or actor = $2) and ($3 = '' or action = $3)
                 order by at_ms desc, id desc limit $4",
                args![tenant, actor.unwrap_or(""), action.unwrap_or(""), i64::from(last)],
            )
            .await?;
        let read = |row: &Row| {
            Ok(Entry {
                at_ms: row.int("at_ms")?,
                actor: row.text("actor")?,
                action: row.text("action")?,
                subject: row.text("subject")?,
                reason: row.text("reason")?,
            })
        };
        rows.iter().map(read).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn rows_are_told_newest_first_by_whom_and_by_action() {
        crate::store::testing::each_store(|store| async move {
            for (actor, action) in [("uwase", REVEAL), ("cht", REPAIR), ("uwase", REPAIR), ("cht", REPAIR)] {
                store.audit("t", (actor, action), ("Patient 1", "why")).await.unwrap();
            }
            store.audit("other", ("uwase", REVEAL), ("Patient 2", "why")).await.unwrap();
            for (actor, action, last, expected) in [
                (None, None, 9, vec![("cht", REPAIR), ("uwase", REPAIR), ("cht", REPAIR), ("uwase", REVEAL)]),
                (None, None, 1, vec![("cht", REPAIR)]),
                (Some("uwase"), None, 9, vec![("uwase", REPAIR), ("uwase", REVEAL)]),
                (None, Some(REVEAL), 9, vec![("uwase", REVEAL)]),
                (Some("cht"), Some(REVEAL), 9, vec![]),
            ] {
                let found = store.audits("t", &Wanted { actor, action, last }).await.unwrap();
                let found: Vec<(&str, &str)> = found.iter().map(|one| (&*one.actor, &*one.action)).collect();
                assert_eq!(found, expected, "{actor:?} {action:?} {last}");
            }
        })
        .await;
    }
}
