//! References by canonical url, for `_include` and `_revinclude`.
//!
//! Gives texts and resources as the index has them. **Never** decides which version a canonical means: the caller reads that.

use super::super::Store;
use super::super::db::Connection;
use super::super::error::Error;
use super::super::read::{Stored, current};
use crate::args;
use crate::fhir::index::ParameterKey;
use crate::store::index::single_key;

impl Store {
    /// The urls that these resources hold in `parameters`, each with the number of its resource: `url`, and
    /// `url|version` too where that is written. Very long ones are left out.
    ///
    /// # Errors
    /// [`Error`]
    pub async fn canonicals_of(
        &self,
        tenant: &str,
        rids: &[i64],
        parameters: &[ParameterKey],
    ) -> Result<Vec<(i64, String)>, Error> {
        let parameters: Vec<i64> = parameters.iter().map(|parameter| parameter.0).collect();
        let mut connection = self.db().read().await?;
        let rows = connection
            .all(
                "select x.rid, x.url from table($2) as w
                 join index_reference x on x.tenant = $1 and x.rid = w.value
                 where x.parameter in (select value from table($3) as p) and x.url <> ''",
                args![tenant, rids.to_vec(), parameters],
            )
            .await?;
        rows.iter().map(|row| Ok((row.int("rid")?, row.text("url")?))).collect()
    }

    /// What has one of these urls in one of `parameters` (the `url` of a type): at most `limit`.
    ///
    /// # Errors
    /// [`Error`]
    pub async fn by_url(
        &self,
        tenant: &str,
        urls: &[String],
        parameters: &[ParameterKey],
        limit: u32,
    ) -> Result<Vec<Stored>, Error> {
        // Written as cross joins, which SQLite makes in this order.
        let statement =
            "select distinct x.rid from table($2) as w cross join table($3) as p cross join index_uri x
             where x.tenant = $1 and x.parameter = p.value and x.uri = w.value
             order by x.rid limit $4";
        named(&mut self.db().read().await?, statement, (tenant, urls, parameters), limit).await
    }

    /// What refers to one of these urls in one of `parameters`: at most `limit`.
    ///
    /// # Errors
    /// [`Error`]
    pub async fn referring_to_url(
        &self,
        tenant: &str,
        urls: &[String],
        parameters: &[ParameterKey],
        limit: u32,
    ) -> Result<Vec<Stored>, Error> {
        let statement =
            "select distinct x.rid from table($2) as w cross join table($3) as p cross join index_reference x
             where x.tenant = $1 and x.parameter = p.value and x.url = w.value and x.url <> ''
             order by x.rid limit $4";
        named(&mut self.db().read().await?, statement, (tenant, urls, parameters), limit).await
    }
}

async fn named(
    connection: &mut Connection,
    statement: &'static str,
    (tenant, urls, parameters): (&str, &[String], &[ParameterKey]),
    limit: u32,
) -> Result<Vec<Stored>, Error> {
    let urls: Vec<String> = urls.iter().map(|url| single_key(url).into_owned()).collect();
    let parameters: Vec<i64> = parameters.iter().map(|parameter| parameter.0).collect();
    let rows = connection.all(statement, args![tenant, urls, parameters, limit]).await?;
    let rids: Vec<i64> = rows.iter().map(|row| row.int("rid")).collect::<Result<_, _>>()?;
    let mut found = current(connection, tenant, &rids).await?;
    found.sort_by_key(|stored| stored.rid);
    Ok(found)
}
