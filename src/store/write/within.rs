//! A write group inside somebody else's transaction: what a mapping stores is committed with its being mapped.
//!
//! The clock row is locked from [`Group::open`] until the transaction ends, so it is opened last: whoever holds
//! it must not wait for anything else.

use super::stage::{Key, Stage};
use super::{Put, Refusal, Standing, Written, flush, group, keep_pace};
use crate::store::db::Tx;
use crate::store::error::Error;

/// An open write group. Nothing is written before [`Group::close`].
pub struct Group<'a> {
    tx: &'a mut Tx,
    tenant: &'a str,
    stage: Stage,
}

impl<'a> Group<'a> {
    /// Locks the tenant's clock.
    ///
    /// # Errors
    /// [`Error`]
    pub async fn open(tx: &'a mut Tx, tenant: &'a str) -> Result<Self, Error> {
        let stage = group::open(tx, tenant).await?;
        Ok(Self { tx, tenant, stage })
    }

    /// Reads what these resources (kind, id) are now; to be called before they are asked for or written.
    ///
    /// # Errors
    /// [`Error`]
    pub async fn load(&mut self, keys: Vec<(String, String)>) -> Result<(), Error> {
        flush::load(&mut self.stage, self.tx, self.tenant, keys.into_iter()).await
    }

    /// A resource that was loaded; `None`: there never was one.
    pub fn standing(&self, kind: &str, id: &str) -> Option<Standing> {
        let key: Key = (kind.to_owned(), id.to_owned());
        self.stage.standing(&key)
    }

    /// Stages these puts, all or none. What they write was loaded.
    ///
    /// # Errors
    /// [`Refusal`]
    pub fn stage(&mut self, puts: Vec<Put>) -> Result<Vec<Written>, Refusal> {
        if !self.stage.fits(puts.len()) {
            return Err(Refusal::TooMany { puts: puts.len() });
        }
        self.stage.plan(puts)
    }

    /// Writes what was staged. Commit at once, then wait for [`Pace`].
    ///
    /// # Errors
    /// [`Error`]
    pub async fn close(mut self) -> Result<Pace, Error> {
        flush::flush(&mut self.stage, self.tx, self.tenant).await?;
        Ok(Pace { at_ms: self.stage.at_ms })
    }
}

/// The millisecond of a group, which must not run ahead of the wall clock.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pace {
    at_ms: i64,
}

impl Pace {
    /// Waits, after the commit, until the wall clock is there.
    pub async fn keep(self) {
        keep_pace(self.at_ms).await;
    }
}
