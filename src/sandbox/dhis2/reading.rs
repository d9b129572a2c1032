//! Reading data values.

use jiff::civil::Date;
use serde_json::{Map, Value, json};

use super::super::http::{Answer, Request};
use super::Version;
use super::gate::may_write_set;
use super::periods;
use super::state::{Cell, CellKey, User, World};
use super::summary::{coded, shown};

const NO_SET: &str = "At least one data element, data set or data element group must be specified";
const NO_UNIT: &str = "At least one organisation unit or organisation unit group must be specified";
const NO_PERIOD: &str =
    "At least one period, start/end dates, last updated or last updated duration must be specified";

/// Which periods and organisation units a request is about.
pub(super) struct Scope {
    pub sets: Vec<String>,
    periods: Vec<String>,
    range: Option<(Date, Date)>,
    any_period: bool,
    units: Vec<String>,
    children: bool,
}

impl Scope {
    /// Reads the query, or says what is missing.
    pub fn of(world: &World, request: &Request) -> Result<Self, Answer> {
        let all = |name: &str| request.parameters(name).map(str::to_owned).collect::<Vec<_>>();
        let date = |name: &str| request.parameter(name).and_then(|text| text.get(..10)?.parse::<Date>().ok());
        let range = date("startDate").zip(date("endDate"));
        let durations = ["lastUpdated", "lastUpdatedDuration", "created", "createdDuration"];
        // 2.43 wants a period or a range beside these.
        let any_period =
            world.version == Version::V2_40 && durations.iter().any(|name| request.parameter(name).is_some());
        let scope = Self {
            sets: all("dataSet"),
            periods: all("period"),
            range,
            any_period,
            units: all("orgUnit"),
            children: request.flag("children"),
        };
        if scope.units.is_empty() {
            return Err(coded(409, NO_UNIT, "E2006"));
        }
        if scope.periods.is_empty() && scope.range.is_none() && !scope.any_period {
            return Err(coded(409, NO_PERIOD, "E2002"));
        }
        Ok(scope)
    }

    pub fn holds(&self, world: &World, period: &str, unit: &str) -> bool {
        let in_range = || {
            let Some((start, end)) = self.range else { return self.any_period };
            periods::parse(period).is_some_and(|period| period.start >= start && period.end <= end)
        };
        let period_fits = self.periods.iter().any(|own| own == period) || in_range();
        let below = || {
            let path = world.country.unit(unit).map(|unit| unit.path.clone()).unwrap_or_default();
            path.split('/').any(|part| self.units.iter().any(|own| own == part))
        };
        period_fits && (self.units.iter().any(|own| own == unit) || (self.children && below()))
    }
}

/// `GET /api/dataValueSets`.
pub(super) fn values(world: &World, request: &Request, user: &User) -> Answer {
    let elements: Vec<&str> = request.parameters("dataElement").collect();
    let mut scope = match Scope::of(world, request) {
        Ok(scope) => scope,
        Err(answer) => return answer,
    };
    if let Some(answer) = refuse(world, user, &mut scope, &elements) {
        return answer;
    }
    let in_sets = |element: &str| {
        let sets = world.country.data_sets.iter().filter(|set| scope.sets.contains(&set.id));
        elements.contains(&element) || sets.clone().any(|set| set.elements.iter().any(|own| own == element))
    };
    let with_deleted = request.flag("includeDeleted");
    let limit = request.parameter("limit").and_then(|text| text.parse().ok()).unwrap_or(usize::MAX);
    let rows: Vec<(&CellKey, &Cell)> = world
        .cells
        .iter()
        .filter(|(key, cell)| (with_deleted || !cell.deleted) && in_sets(&key.data_element))
        .filter(|(key, _)| scope.holds(world, &key.period, &key.org_unit))
        .take(limit)
        .collect();
    match world.version {
        Version::V2_40 => shown(&show_old(&scope, &rows, with_deleted)),
        Version::V2_43 => shown(&show_new(&scope, &rows)),
    }
}

fn refuse(world: &World, user: &User, scope: &mut Scope, elements: &[&str]) -> Option<Answer> {
    let old = world.version == Version::V2_40;
    if old {
        scope.sets.retain(|id| may_write_set(world, user, id));
    }
    if scope.sets.is_empty() && elements.is_empty() {
        return Some(coded(409, NO_SET, "E2001"));
    }
    if let Some(id) =
        scope.sets.iter().find(|id| world.country.data_set(id).is_some() && !may_write_set(world, user, id))
    {
        let text = format!("User is not allowed to read data for data set(s): `[{id}]`");
        return Some(coded(409, &text, "E2010"));
    }
    let outside =
        scope.units.iter().find(|id| world.country.unit(id).is_some() && !world.in_hierarchy(user, id))?;
    Some(coded(409, &format!("User is not allowed to view org unit(s): `[{outside}]`"), "E2012"))
}

fn moment(at: jiff::Timestamp, old: bool) -> String {
    let format = if old { "%Y-%m-%dT%H:%M:%S.000+0000" } else { "%Y-%m-%dT%H:%M:%S%.3f+0000" };
    at.strftime(format).to_string()
}

fn show_old(scope: &Scope, rows: &[(&CellKey, &Cell)], with_deleted: bool) -> Value {
    let show = |(key, cell): &(&CellKey, &Cell)| {
        let mut row = json!({ "dataElement": key.data_element, "period": key.period, "orgUnit": key.org_unit,
            "categoryOptionCombo": key.option_combo, "attributeOptionCombo": key.attribute_combo,
            "value": cell.value, "storedBy": cell.stored_by, "created": moment(cell.created, true),
            "lastUpdated": moment(cell.updated, true), "comment": cell.comment, "followup": cell.follow_up });
        if with_deleted && cell.deleted {
            row["deleted"] = true.into();
        }
        row
    };
    let values: Vec<Value> = rows.iter().map(show).collect();
    // One set, period and unit are named once more in the header.
    match (scope.sets.as_slice(), scope.periods.as_slice(), scope.units.as_slice()) {
        ([set], [period], [unit]) if !scope.children => json!({ "dataSet": set, "completeDate": null,
            "period": period, "orgUnit": unit, "dataValues": values }),
        _ => json!({ "dataValues": values }),
    }
}

fn show_new(scope: &Scope, rows: &[(&CellKey, &Cell)]) -> Value {
    let common = |asked: &[String]| match asked {
        [one] => Some(one.clone()),
        _ => None,
    };
    let period = common(&scope.periods);
    let unit = common(&scope.units).filter(|_| !scope.children);
    let mut shown = Map::new();
    let header = [("dataSet", common(&scope.sets)), ("period", period.clone()), ("orgUnit", unit.clone())];
    for (key, value) in header {
        if let Some(value) = value {
            shown.insert(key.to_owned(), value.into());
        }
    }
    let show = |(key, cell): &(&CellKey, &Cell)| {
        let mut row = Map::new();
        let mut put = |name: &str, value: Value| row.insert(name.to_owned(), value);
        put("dataElement", key.data_element.clone().into());
        if period.is_none() {
            put("period", key.period.clone().into());
        }
        if unit.is_none() {
            put("orgUnit", key.org_unit.clone().into());
        }
        put("categoryOptionCombo", key.option_combo.clone().into());
        put("attributeOptionCombo", key.attribute_combo.clone().into());
        put("value", cell.value.clone().into());
        put("storedBy", cell.stored_by.clone().into());
        put("created", moment(cell.created, false).into());
        put("lastUpdated", moment(cell.updated, false).into());
        if let Some(comment) = &cell.comment {
            put("comment", comment.clone().into());
        }
        if cell.follow_up {
            put("followup", true.into());
        }
        if cell.deleted {
            put("deleted", true.into());
        }
        Value::Object(row)
    };
    shown.insert("dataValues".to_owned(), rows.iter().map(show).collect());
    shown.into()
}
