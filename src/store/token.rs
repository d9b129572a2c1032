//! Tokens as they are kept: a name, scopes and a hash. **Never** the token itself.

use super::Store;
use super::db::Row;
use super::error::Error;
use super::write::now_ms;
use crate::args;

/// How coarse [`Token::last_used_ms`] is: an hour.
const LAST_USED_STEP_MS: i64 = 3_600_000;

/// A token without its secret.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Token {
    /// Unique among the tenant's living tokens.
    pub name: String,
    /// `system/*.cruds`
    pub scope: String,
    /// The client's ways; empty: none.
    pub profile: String,
    /// Types parted by spaces: a repeated POST is an update by identifier.
    pub upserts: String,
    pub created_ms: i64,
    /// To the hour; `None`: never used.
    pub last_used_ms: Option<i64>,
    pub revoked_ms: Option<i64>,
}

/// What is kept of a new token besides its hash.
#[derive(Debug, Clone, Copy)]
pub struct NewToken<'a> {
    pub name: &'a str,
    pub scope: &'a str,
    pub profile: &'a str,
    pub upserts: &'a str,
}

const COLUMNS: &str = "name, scope, profile, upserts, created_ms, last_used_ms, revoked_ms";

impl Store {
    /// Keeps a new token by the SHA-256 of its text, in hexadecimal.
    ///
    /// # Errors
    /// [`Error::Taken`] where a living token has the name.
    pub async fn create_token(&self, tenant: &str, new: NewToken<'_>, hash: &str) -> Result<(), Error> {
        let NewToken { name, scope, profile, upserts } = new;
        let inserted = self
            .db()
            .transaction(|tx| {
                let arguments = args![tenant, hash, name, scope, profile, upserts, now_ms()];
                Box::pin(async move {
                    tx.execute(
                        "insert into token (tenant, hash, name, scope, profile, upserts, created_ms)
                         values ($1, $2, $3, $4, $5, $6, $7) on conflict do nothing",
                        arguments,
                    )
                    .await
                })
            })
            .await?;
        if inserted == 0 { Err(Error::Taken) } else { Ok(()) }
    }

    /// All tokens of a tenant, the revoked ones too, oldest first.
    ///
    /// # Errors
    /// [`Error`]
    pub async fn tokens(&self, tenant: &str) -> Result<Vec<Token>, Error> {
        let rows = self
            .db()
            .read()
            .await?
            .all(
                format!("select {COLUMNS} from token where tenant = $1 order by created_ms, name"),
                args![tenant],
            )
            .await?;
        rows.iter().map(token).collect()
    }

    /// Ends a token; `false` where no living token has the name.
    ///
    /// # Errors
    /// [`Error`]
    pub async fn revoke_token(&self, tenant: &str, name: &str) -> Result<bool, Error> {
        let revoked = self
            .db()
            .transaction(|tx| {
                let arguments = args![tenant, name, now_ms()];
                Box::pin(async move {
                    tx.execute(
                        "update token set revoked_ms = $3
                         where tenant = $1 and name = $2 and revoked_ms is null",
                        arguments,
                    )
                    .await
                })
            })
            .await?;
        Ok(revoked > 0)
    }

    /// The living token with this hash.
    ///
    /// # Errors
    /// [`Error`]
    pub async fn token(&self, tenant: &str, hash: &str) -> Result<Option<Token>, Error> {
        let row = self
            .db()
            .read()
            .await?
            .optional(
                format!("select {COLUMNS} from token where tenant = $1 and hash = $2 and revoked_ms is null"),
                args![tenant, hash],
            )
            .await?;
        row.as_ref().map(token).transpose()
    }

    /// Notes that a token was used. Writes at most once an hour a token, so it may be called for every
    /// request whose [`Token::is_unnoted`].
    ///
    /// # Errors
    /// [`Error`]
    pub async fn token_used(&self, tenant: &str, hash: &str) -> Result<(), Error> {
        self.db()
            .transaction(|tx| {
                let arguments = args![tenant, hash, now_ms(), LAST_USED_STEP_MS];
                Box::pin(async move {
                    tx.execute(
                        "update token set last_used_ms = $3 where tenant = $1 and hash = $2
                         and (last_used_ms is null or last_used_ms + $4 <= $3)",
                        arguments,
                    )
                    .await
                    .map(drop)
                })
            })
            .await
    }
}

impl Token {
    /// Whether [`Store::token_used`] would write.
    pub fn is_unnoted(&self) -> bool {
        self.last_used_ms.is_none_or(|last| last + LAST_USED_STEP_MS <= now_ms())
    }
}

fn token(row: &Row) -> Result<Token, Error> {
    Ok(Token {
        name: row.text("name")?,
        scope: row.text("scope")?,
        profile: row.text("profile")?,
        upserts: row.text("upserts")?,
        created_ms: row.int("created_ms")?,
        last_used_ms: row.opt_int("last_used_ms")?,
        revoked_ms: row.opt_int("revoked_ms")?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::testing::each_store;

    fn new(scope: &str) -> NewToken<'_> {
        NewToken { name: "openmrs", scope, profile: "openmrs", upserts: "Patient" }
    }

    #[tokio::test]
    async fn a_token_is_made_used_and_revoked() {
        each_store(|store| async move {
            store.create_token("t", new("system/*.cruds"), "h1").await.unwrap();
            let twice = store.create_token("t", new("system/*.r"), "h2").await;
            assert_eq!(twice, Err(Error::Taken));
            assert_eq!(store.token("t", "h2").await.unwrap(), None);
            assert_eq!(store.token("other", "h1").await.unwrap(), None);
            let fresh = store.token("t", "h1").await.unwrap().unwrap();
            assert!(fresh.is_unnoted() && fresh.scope == "system/*.cruds");
            assert_eq!((&*fresh.profile, &*fresh.upserts), ("openmrs", "Patient"));
            store.token_used("t", "h1").await.unwrap();
            assert!(!store.token("t", "h1").await.unwrap().unwrap().is_unnoted());
            assert!(store.revoke_token("t", "openmrs").await.unwrap());
            assert!(!store.revoke_token("t", "openmrs").await.unwrap());
            assert_eq!(store.token("t", "h1").await.unwrap(), None);
            store.create_token("t", new("system/*.r"), "h3").await.unwrap();
            let all = store.tokens("t").await.unwrap();
            assert_eq!(all.len(), 2);
            assert!(all.iter().filter(|token| token.revoked_ms.is_none()).count() == 1);
        })
        .await;
    }
}
