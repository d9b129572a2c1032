//! `near`: the band of latitudes by its index, then the distance exactly.

use crate::fhir::index::ParameterKey;
use crate::fhir::index::position::Around;
use crate::store::search::sql::Sql;

/// Writes that `x`, a row of `index_number` with a place's `z`, is of a place that is near enough.
pub(super) fn within(sql: &mut Sql, around: &Around, [x, y]: [ParameterKey; 2]) {
    sql.compare("x.low >=", around.low).compare(" and x.low <=", around.high);
    sql.push(" and exists (select 1 from index_number p join index_number q on q.tenant = p.tenant and q.rid = p.rid");
    sql.push(" where p.tenant = $1 and p.rid = x.rid").compare(" and p.parameter =", x.0);
    sql.compare(" and q.parameter =", y.0).push(" and ");
    for (at, (column, value)) in
        [("p.low", around.at.x), ("q.low", around.at.y), ("x.low", around.at.z)].into_iter().enumerate()
    {
        sql.push(if at == 0 { "" } else { " + " });
        sql.compare(&format!("({column} -"), value).compare(&format!(") * ({column} -"), value).push(")");
    }
    sql.compare(" <=", around.chord).push(")");
}
