//! `:below` and `:above` of a reference between resources of one type: `Location?partof:below=district`.
//! <https://hl7.org/fhir/R4/search.html#reference>
//!
//! The whole branch is looked up by the database, from what is named down or up; one that leads back to itself
//! ends, because nothing is visited twice.

use crate::fhir::index::ParameterKey;
use crate::fhir::query::Way;
use crate::store::db::Engine;
use crate::store::index::pair_key;
use crate::store::search::sql::Sql;

/// Writes that `x`, a row of `index_reference`, refers to this resource or to one below or above it.
pub(super) fn within(sql: &mut Sql, (kind, id): (&str, &str), way: Way, by: ParameterKey) {
    sql.compare("x.kind =", pair_key(kind).as_ref());
    sql.push(" and x.id in (with recursive branch (id) as (select cast(").bind(pair_key(id).as_ref());
    sql.push(match sql.engine {
        Engine::Sqlite => " as text) union select ",
        // As the columns are collated.
        Engine::Postgres => " as text) collate \"C\" union select ",
    });
    // Written as cross joins, which SQLite makes in this order: from what was found last.
    match way {
        Way::Below => {
            sql.push(
                "n.id from branch cross join index_reference y cross join resource n where y.tenant = $1",
            );
            sql.compare(" and y.parameter =", by.0).compare(" and y.kind =", pair_key(kind).as_ref());
            sql.push(" and y.id = branch.id and n.tenant = $1 and n.rid = y.rid");
        }
        Way::Above => {
            sql.push(
                "y.id from branch cross join resource n cross join index_reference y where n.tenant = $1",
            );
            sql.compare(" and n.kind =", kind).push(" and n.id = branch.id and y.tenant = $1");
            sql.compare(" and y.rid = n.rid and y.parameter =", by.0);
            sql.compare(" and y.kind =", pair_key(kind).as_ref());
        }
    }
    sql.push(") select id from branch)");
}
