//! Links: this resource is that contact, tracked entity or event over there. Written when a delivery
//! settles, read in both directions and in bulk.

use super::Store;
use super::db::{Connection, Row, Table};
use super::error::Error;
use crate::args;

/// One remembered pair.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Link {
    /// A destination's name.
    pub destination: String,
    /// A resource's type.
    pub kind: String,
    pub id: String,
    /// What it is over there: `rapidpro.contact`, `dhis2.tracker`.
    pub remote_kind: String,
    pub remote_id: String,
    pub updated_ms: i64,
}

const COLUMNS: &str = "l.destination, l.kind, l.id, l.remote_kind, l.remote_id, l.updated_ms";

/// Remembers pairs; a resource's earlier link of the same remote kind at the destination is replaced.
///
/// # Errors
/// [`Error`]
pub async fn put(tx: &mut Connection, tenant: &str, links: &[Link]) -> Result<(), Error> {
    if links.is_empty() {
        return Ok(());
    }
    let texts = |of: fn(&Link) -> &String| links.iter().map(|link| of(link).clone()).collect();
    let rows = Table::new()
        .texts("destination", texts(|link| &link.destination))
        .texts("kind", texts(|link| &link.kind))
        .texts("id", texts(|link| &link.id))
        .texts("remote_kind", texts(|link| &link.remote_kind))
        .texts("remote_id", texts(|link| &link.remote_id))
        .ints("updated_ms", links.iter().map(|link| link.updated_ms).collect());
    tx.execute(
        "insert into link (tenant, destination, kind, id, remote_kind, remote_id, updated_ms)
         select $1, r.destination, r.kind, r.id, r.remote_kind, r.remote_id, r.updated_ms
         from table($2) as r where true
         on conflict (tenant, destination, kind, id, remote_kind) do update set
             remote_id = excluded.remote_id, updated_ms = excluded.updated_ms",
        args![tenant, rows],
    )
    .await
    .map(drop)
}

/// What these resources (kind, id) are at a destination.
///
/// # Errors
/// [`Error`]
pub async fn of(
    connection: &mut Connection,
    tenant: &str,
    destination: &str,
    resources: &[(String, String)],
) -> Result<Vec<Link>, Error> {
    let (kinds, ids): (Vec<_>, Vec<_>) = resources.iter().cloned().unzip();
    let rows = connection
        .all(
            format!(
                "select {COLUMNS} from table($3) as w
                 join link l on l.tenant = $1 and l.destination = $2 and l.kind = w.kind and l.id = w.id
                 order by l.kind, l.id, l.remote_kind"
            ),
            args![tenant, destination, Table::new().texts("kind", kinds).texts("id", ids)],
        )
        .await?;
    rows.iter().map(link).collect()
}

/// Which resources these remote objects are.
///
/// # Errors
/// [`Error`]
pub async fn to(
    connection: &mut Connection,
    tenant: &str,
    (destination, remote_kind): (&str, &str),
    remote_ids: &[String],
) -> Result<Vec<Link>, Error> {
    let rows = connection
        .all(
            format!(
                "select {COLUMNS} from table($4) as w
                 join link l on l.tenant = $1 and l.destination = $2
                     and l.remote_kind = $3 and l.remote_id = w.value
                 order by l.kind, l.id"
            ),
            args![tenant, destination, remote_kind, remote_ids.to_vec()],
        )
        .await?;
    rows.iter().map(link).collect()
}

fn link(row: &Row) -> Result<Link, Error> {
    Ok(Link {
        destination: row.text("destination")?,
        kind: row.text("kind")?,
        id: row.text("id")?,
        remote_kind: row.text("remote_kind")?,
        remote_id: row.text("remote_id")?,
        updated_ms: row.int("updated_ms")?,
    })
}

impl Store {
    /// [`put`] in a transaction of its own.
    ///
    /// # Errors
    /// [`Error`]
    pub async fn put_links(&self, tenant: &str, links: &[Link]) -> Result<(), Error> {
        self.db()
            .transaction(|tx| {
                let (tenant, links) = (tenant.to_owned(), links.to_vec());
                Box::pin(async move { put(tx, &tenant, &links).await })
            })
            .await
    }

    /// [`of`] on a connection of the pool.
    ///
    /// # Errors
    /// [`Error`]
    pub async fn links_of(
        &self,
        tenant: &str,
        destination: &str,
        resources: &[(String, String)],
    ) -> Result<Vec<Link>, Error> {
        of(&mut self.db().read().await?, tenant, destination, resources).await
    }

    /// [`to`] on a connection of the pool.
    ///
    /// # Errors
    /// [`Error`]
    pub async fn links_to(
        &self,
        tenant: &str,
        (destination, remote_kind): (&str, &str),
        remote_ids: &[String],
    ) -> Result<Vec<Link>, Error> {
        to(&mut self.db().read().await?, tenant, (destination, remote_kind), remote_ids).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::testing::each_store;

    #[tokio::test]
    async fn links_are_found_from_both_ends() {
        each_store(|store| async move {
            let link = |id: &str, remote: &str| Link {
                destination: "rwanda".into(),
                kind: "Patient".into(),
                id: id.into(),
                remote_kind: "rapidpro.contact".into(),
                remote_id: remote.into(),
                updated_ms: 5,
            };
            store.put_links("t", &[link("a", "1"), link("b", "2"), link("c", "2")]).await.unwrap();
            store.put_links("t", &[link("a", "3")]).await.unwrap();
            let ids = ["a", "b", "x"].map(|id| ("Patient".to_owned(), id.to_owned()));
            let found = store.links_of("t", "rwanda", &ids).await.unwrap();
            assert_eq!(found, [link("a", "3"), link("b", "2")]);
            let at = ("rwanda", "rapidpro.contact");
            let found = store.links_to("t", at, &["2".into(), "1".into()]).await.unwrap();
            assert_eq!(found, [link("b", "2"), link("c", "2")]);
            assert!(store.links_of("other", "rwanda", &ids).await.unwrap().is_empty());
            assert!(store.links_of("t", "kenya", &ids).await.unwrap().is_empty());
        })
        .await;
    }
}
