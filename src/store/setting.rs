//! Things that a tenant keeps: today the key that seals its page tokens.

use super::Store;
use super::db::Connection;
use super::error::Error;
use crate::args;

const PAGE_KEY: &str = "page-key";

/// The tenant's key for page tokens; made at its first search, the same in every process.
impl Store {
    /// A random key of 32 bytes that the tenant keeps under `name`, made when it is first asked for: the
    /// same in every process.
    ///
    /// # Errors
    /// [`Error`]
    pub async fn tenant_key(&self, tenant: &str, name: &str) -> Result<Vec<u8>, Error> {
        match get(&mut self.db().read().await?, tenant, name).await? {
            Some(key) => Ok(key),
            None => make(self, tenant, name).await,
        }
    }
}

pub(super) async fn page_key(store: &Store, tenant: &str) -> Result<Vec<u8>, Error> {
    if let Some(key) = store.remembered_page_key(tenant) {
        return Ok(key);
    }
    let key = store.tenant_key(tenant, PAGE_KEY).await?;
    store.remember_page_key(tenant, &key);
    Ok(key)
}

/// Another process may be quicker: the first key stays.
async fn make(store: &Store, tenant: &str, name: &str) -> Result<Vec<u8>, Error> {
    let fresh: [u8; 32] = rand::random();
    store
        .db()
        .transaction(|tx| {
            let (tenant, name) = (tenant.to_owned(), name.to_owned());
            Box::pin(async move {
                tx.execute(
                    "insert into setting (tenant, name, value) values ($1, $2, $3)
                     on conflict (tenant, name) do nothing",
                    args![tenant.as_str(), name.as_str(), fresh.to_vec()],
                )
                .await?;
                get(tx, &tenant, &name).await
            })
        })
        .await?
        .ok_or_else(|| Error::Column { column: "setting.value".to_owned() })
}

async fn get(connection: &mut Connection, tenant: &str, name: &str) -> Result<Option<Vec<u8>>, Error> {
    connection
        .optional("select value from setting where tenant = $1 and name = $2", args![tenant, name])
        .await?
        .map(|row| row.bytes("value"))
        .transpose()
}
