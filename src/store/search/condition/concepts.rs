//! `:in`, `:not-in`, `:below` and `:above` of tokens: all codes are bound at once, however many there are.

use crate::fhir::query::{Concepts, Held};
use crate::store::db::{Engine, Table};
use crate::store::error::Error;
use crate::store::index::pair_key;
use crate::store::search::condition::lead::Role;
use crate::store::search::sql::Sql;

/// Writes that `x`, a row of `index_token`, holds one of the codes.
///
/// Where candidates are known, their own few rows are compared with the list. SQLite would look for each code of it
/// instead, for each candidate; a `+` takes the column out of its choice of an index.
pub(super) fn one_of(sql: &mut Sql, concepts: &Concepts, role: Role) {
    let Some(codes) = &concepts.codes else {
        sql.fail(Error::Unresolved);
        sql.push("false");
        return;
    };
    let (systems, codes): (Vec<String>, Vec<String>) = codes
        .pairs()
        .iter()
        .map(|(system, code)| (pair_key(system).into_owned(), pair_key(code).into_owned()))
        .unzip();
    let is_bare = role == Role::Leads || sql.engine == Engine::Postgres;
    match concepts.held {
        Held::Codings => {
            sql.push(if is_bare { "(x.code, x.system)" } else { "(+x.code, +x.system)" });
            sql.push(" in (select w.code, w.system from table(");
            sql.bind(Table::new().texts("code", codes).texts("system", systems));
        }
        Held::Codes => {
            sql.push(if is_bare { "x.code" } else { "+x.code" });
            sql.push(" in (select w.code from table(").bind(Table::new().texts("code", codes));
        }
    }
    sql.push(") as w)");
}
