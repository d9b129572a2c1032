//! One snapshot of an instance's metadata.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use jiff::civil::Date;
use serde_json::Value;

use super::program::{Attribute, Program, RelationshipType, TrackedEntityType};
use crate::dhis2::period::Kind;
use crate::dhis2::value::ValueType;
use crate::dhis2::version::Version;

/// What an instance has. Empty (`version` is none) until it was read once.
#[derive(Debug, Clone, Default)]
pub struct Metadata {
    pub system: System,
    pub data_sets: HashMap<String, DataSet>,
    pub elements: HashMap<String, DataElement>,
    /// Option codes by option set.
    pub option_sets: HashMap<String, BTreeSet<String>>,
    pub combos: HashMap<String, CategoryCombo>,
    pub units: HashMap<String, OrganisationUnit>,
    pub programs: HashMap<String, Program>,
    pub types: HashMap<String, TrackedEntityType>,
    pub attributes: HashMap<String, Attribute>,
    pub relationship_types: HashMap<String, RelationshipType>,
}

#[derive(Debug, Clone, Default)]
pub struct System {
    pub version: Option<Version>,
    /// `iso8601`, or a calendar whose periods this program cannot compute.
    pub calendar: String,
    /// IANA name; what "today" means when periods open and close.
    pub zone: String,
    /// The account holds ALL or F_EDIT_EXPIRED: 2.43 lets it write to any period.
    pub may_edit_expired: bool,
}

#[derive(Debug, Clone)]
pub struct DataSet {
    pub name: String,
    /// `None`: a period type that this program does not know.
    pub period_type: Option<Kind>,
    pub period_type_name: String,
    pub open_future_periods: i32,
    /// Where there are any, no other period is taken.
    pub input_periods: BTreeSet<String>,
    /// Category combo of attribute option combos.
    pub combo: String,
    /// Data elements, with the category combo that the set gives them.
    pub elements: BTreeMap<String, Option<String>>,
    pub units: HashSet<String>,
}

#[derive(Debug, Clone)]
pub struct DataElement {
    pub name: String,
    pub value_type: ValueType,
    pub option_set: Option<String>,
    pub zero_is_significant: bool,
    pub combo: String,
}

#[derive(Debug, Clone)]
pub struct CategoryCombo {
    pub name: String,
    pub is_default: bool,
    pub option_combos: Vec<OptionCombo>,
}

#[derive(Debug, Clone)]
pub struct OptionCombo {
    pub uid: String,
    pub code: String,
    pub name: String,
    pub options: Vec<CategoryOption>,
}

#[derive(Debug, Clone)]
pub struct CategoryOption {
    pub uid: String,
    pub code: String,
    pub name: String,
}

#[derive(Debug, Clone)]
pub struct OrganisationUnit {
    pub name: String,
    pub opened: Option<Date>,
    pub closed: Option<Date>,
}

impl Metadata {
    pub fn is_loaded(&self) -> bool {
        self.system.version.is_some()
    }

    /// The category combo of a data element in a data set.
    pub fn combo_of(&self, set: &DataSet, element: &str) -> Option<&CategoryCombo> {
        let own = set.elements.get(element)?.as_ref();
        self.combos.get(own.or(self.elements.get(element).map(|element| &element.combo))?)
    }

    /// Takes one document in: see [`super::document::KINDS`].
    pub(super) fn take(&mut self, kind: &str, uid: &str, json: &Value) {
        match kind {
            "dhis2.system" => self.system = System::of(json),
            "dhis2.dataSet" => self.take_data_set(uid, json),
            "dhis2.program" => self.take_program(uid, json),
            "dhis2.trackedEntityType" => self.take_type(uid, json),
            "dhis2.relationshipType" => {
                self.relationship_types.insert(uid.to_owned(), RelationshipType::of(json));
            }
            "dhis2.optionSet" => {
                let codes = each(json, "options").map(|option| text(option, "code")).collect();
                self.option_sets.insert(uid.to_owned(), codes);
            }
            "dhis2.categoryCombo" => {
                self.combos.insert(uid.to_owned(), CategoryCombo::of(json));
            }
            "dhis2.organisationUnit" => {
                self.units.insert(uid.to_owned(), OrganisationUnit::of(json));
            }
            _ => {}
        }
    }

    fn take_data_set(&mut self, uid: &str, json: &Value) {
        let mut elements = BTreeMap::new();
        for member in each(json, "dataSetElements") {
            let element = &member["dataElement"];
            let id = text(element, "id");
            elements.insert(id.clone(), optional(&member["categoryCombo"], "id"));
            self.elements.insert(id, DataElement::of(element));
        }
        let name = text(json, "periodType");
        let set = DataSet {
            name: text(json, "name"),
            period_type: Kind::named(&name),
            period_type_name: name,
            open_future_periods: whole(json, "openFuturePeriods"),
            input_periods: each(json, "dataInputPeriods").map(|it| text(&it["period"], "id")).collect(),
            combo: text(&json["categoryCombo"], "id"),
            elements,
            units: each(json, "organisationUnits").map(|unit| text(unit, "id")).collect(),
        };
        self.data_sets.insert(uid.to_owned(), set);
    }
}

impl System {
    pub(super) fn of(json: &Value) -> Self {
        let authorities = each(json, "authorities").filter_map(Value::as_str);
        let mut authorities = authorities.filter(|name| matches!(*name, "ALL" | "F_EDIT_EXPIRED"));
        Self {
            version: json["version"].as_str().and_then(Version::parse),
            calendar: text(json, "calendar"),
            zone: text(json, "serverTimeZoneId"),
            may_edit_expired: authorities.next().is_some(),
        }
    }

    pub fn has_iso_calendar(&self) -> bool {
        matches!(self.calendar.as_str(), "" | "iso8601" | "gregorian")
    }

    /// Today, where the server is.
    pub fn today(&self, now: jiff::Timestamp) -> Date {
        let zone = jiff::tz::TimeZone::get(&self.zone).unwrap_or(jiff::tz::TimeZone::UTC);
        now.to_zoned(zone).date()
    }
}

impl DataElement {
    pub(super) fn of(json: &Value) -> Self {
        Self {
            name: text(json, "name"),
            value_type: ValueType::named(&text(json, "valueType")),
            option_set: optional(&json["optionSet"], "id"),
            zero_is_significant: json["zeroIsSignificant"] == Value::Bool(true),
            combo: text(&json["categoryCombo"], "id"),
        }
    }
}

impl CategoryCombo {
    fn of(json: &Value) -> Self {
        Self {
            name: text(json, "name"),
            is_default: json["isDefault"] == Value::Bool(true) || text(json, "name") == "default",
            option_combos: each(json, "categoryOptionCombos").map(OptionCombo::of).collect(),
        }
    }
}

impl OptionCombo {
    fn of(json: &Value) -> Self {
        let option = |option: &Value| CategoryOption {
            uid: text(option, "id"),
            code: text(option, "code"),
            name: text(option, "name"),
        };
        Self {
            uid: text(json, "id"),
            code: text(json, "code"),
            name: text(json, "name"),
            options: each(json, "categoryOptions").map(option).collect(),
        }
    }
}

impl OrganisationUnit {
    fn of(json: &Value) -> Self {
        let date = |name: &str| json[name].as_str().and_then(|text| text.get(..10)?.parse().ok());
        Self { name: text(json, "name"), opened: date("openingDate"), closed: date("closedDate") }
    }
}

pub(super) fn each<'a>(json: &'a Value, name: &str) -> impl Iterator<Item = &'a Value> {
    json.get(name).and_then(Value::as_array).map_or(&[][..], Vec::as_slice).iter()
}

pub(super) fn text(json: &Value, name: &str) -> String {
    optional(json, name).unwrap_or_default()
}

pub(super) fn optional(json: &Value, name: &str) -> Option<String> {
    json.get(name).and_then(Value::as_str).map(str::to_owned)
}

fn whole(json: &Value, name: &str) -> i32 {
    json.get(name).and_then(Value::as_i64).and_then(|number| i32::try_from(number).ok()).unwrap_or(0)
}
