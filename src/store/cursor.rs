//! How far a poller has read. A cursor is moved by the plan that stores what was read
//! ([`crate::store::write::Plan::cursors`]), so that both happen or neither.

use super::Store;
use super::error::Error;
use crate::args;

impl Store {
    /// Where the poller stands; `None` before its first time.
    ///
    /// # Errors
    /// [`Error`]
    pub async fn cursor(&self, tenant: &str, name: &str) -> Result<Option<String>, Error> {
        self.db()
            .read()
            .await?
            .optional("select value from cursor where tenant = $1 and name = $2", args![tenant, name])
            .await?
            .map(|row| row.text("value"))
            .transpose()
    }
}
