//! Who looked at people's data, when and why. Rows are only ever added.

use super::Store;
use super::db::Row;
use super::error::Error;
use super::write::now_ms;
use crate::args;

/// One row of `audit`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    pub at_ms: i64,
    /// Who: the account of the operating system, or a token's name.
    pub actor: String,
    /// Stable, kebab-case: `trace-reveal`.
    pub action: String,
    /// About whom, without a phone number or a name.
    pub subject: String,
    pub reason: String,
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

    /// The last looks, newest first.
    ///
    /// # Errors
    /// [`Error`]
    pub async fn audits(&self, tenant: &str, limit: i64) -> Result<Vec<Entry>, Error> {
        let rows = self
            .db()
            .read()
            .await?
            .all(
                "select at_ms, actor, action, subject, reason from audit where tenant = $1
                 order by at_ms desc, id desc limit $2",
                args![tenant, limit],
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
