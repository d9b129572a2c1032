//! The country as the metadata API shows it: one JSON object an object.
//!
//! References are `{"id"}`; a reader that is asked for more of them looks the object up.

use serde_json::{Value, json};

use super::program_objects::COLLECTIONS;
use super::{Country, DEFAULT_COMBO, DataElement, DataSet, OptionCombo, Unit};

const UPDATED: &str = "2026-01-15T08:00:00.000";

impl Country {
    /// The objects of a collection, such as `dataElements`; `None` where there is no such collection.
    pub fn collection(&self, name: &str) -> Option<Vec<Value>> {
        Some(match name {
            "organisationUnits" => self.units.iter().map(|unit| self.show_unit(unit)).collect(),
            "dataElements" => self.elements.iter().map(show_element).collect(),
            "dataSets" => self.data_sets.iter().map(show_set).collect(),
            "categoryOptionCombos" => self.option_combos.iter().map(show_option_combo).collect(),
            "categoryCombos" => self.show_combos(),
            "categories" => self.show_categories(),
            "categoryOptions" => self.show_category_options(),
            "optionSets" => self.show_option_sets(),
            "organisationUnitLevels" => levels(),
            name => return self.program_collection(name),
        })
    }

    /// Any object by uid.
    pub fn object(&self, id: &str) -> Option<Value> {
        if let Some(unit) = self.unit(id) {
            return Some(self.show_unit(unit));
        }
        if let Some(element) = self.element(id) {
            return Some(show_element(element));
        }
        if let Some(combo) = self.option_combo(id) {
            return Some(show_option_combo(combo));
        }
        if let Some(set) = self.data_set(id) {
            return Some(show_set(set));
        }
        let rest = ["categoryCombos", "categories", "categoryOptions", "optionSets"];
        rest.iter()
            .chain(COLLECTIONS)
            .find_map(|name| self.collection(name)?.into_iter().find(|object| object["id"] == id))
    }

    fn show_unit(&self, unit: &Unit) -> Value {
        let mut ancestors: Vec<&str> = unit.path.split('/').filter(|id| !id.is_empty()).collect();
        ancestors.pop();
        let parent = ancestors.last().map(|id| json!({ "id": id }));
        let children: Vec<Value> = self
            .units
            .iter()
            .filter(|child| {
                child.level == unit.level + 1 && child.path.starts_with(&format!("{}/", unit.path))
            })
            .map(|child| reference(&child.id))
            .collect();
        let ancestors: Vec<Value> = ancestors.into_iter().map(reference).collect();
        let mut shown = base(&unit.id, &unit.name, Some(&unit.code));
        merge(
            &mut shown,
            json!({ "shortName": unit.name, "level": unit.level, "path": unit.path,
            "openingDate": format!("{}T00:00:00.000", unit.opened), "leaf": children.is_empty(),
            "ancestors": ancestors, "children": children, "attributeValues": [] }),
        );
        if let Some(parent) = parent {
            merge(&mut shown, json!({ "parent": parent }));
        }
        if let Some(closed) = unit.closed {
            merge(&mut shown, json!({ "closedDate": format!("{closed}T00:00:00.000") }));
        }
        shown
    }

    fn show_combos(&self) -> Vec<Value> {
        let of = |combo: &super::Combo| {
            let combos: Vec<Value> = self
                .option_combos
                .iter()
                .filter(|own| own.combo == combo.id)
                .map(|own| reference(&own.id))
                .collect();
            let categories: Vec<Value> = combo.categories.iter().map(|id| reference(id)).collect();
            let mut shown = base(&combo.id, &combo.name, None);
            merge(
                &mut shown,
                json!({ "dataDimensionType": "DISAGGREGATION", "skipTotal": false,
                "isDefault": combo.id == DEFAULT_COMBO, "categories": categories, "categoryOptionCombos": combos }),
            );
            shown
        };
        self.combos.iter().map(of).collect()
    }

    fn show_categories(&self) -> Vec<Value> {
        let of = |category: &super::Category| {
            let options: Vec<Value> = category.options.iter().map(|(id, ..)| reference(id)).collect();
            let mut shown = base(&category.id, &category.name, None);
            merge(&mut shown, json!({ "dataDimensionType": "DISAGGREGATION", "categoryOptions": options }));
            shown
        };
        self.categories.iter().map(of).collect()
    }

    fn show_category_options(&self) -> Vec<Value> {
        let options = self.categories.iter().flat_map(|category| &category.options);
        options.map(|(id, code, name)| base(id, name, Some(code))).collect()
    }

    fn show_option_sets(&self) -> Vec<Value> {
        let of = |set: &super::OptionSet| {
            let options: Vec<Value> = set
                .options
                .iter()
                .enumerate()
                .map(|(at, (id, code, name))| json!({ "code": code, "name": name, "sortOrder": at + 1, "id": id }))
                .collect();
            let mut shown = base(&set.id, &set.name, Some(&set.code));
            merge(&mut shown, json!({ "valueType": "TEXT", "version": 1, "options": options }));
            shown
        };
        self.option_sets.iter().map(of).collect()
    }
}

fn show_element(element: &DataElement) -> Value {
    let code = element.name.to_uppercase().replace([' ', '-'], "_");
    let mut shown = base(&element.id, &element.name, Some(&code));
    merge(
        &mut shown,
        json!({ "shortName": element.name, "aggregationType": "SUM", "domainType": element.domain,
        "valueType": element.value_type, "zeroIsSignificant": element.zero_is_significant,
        "optionSetValue": element.option_set.is_some(), "categoryCombo": reference(&element.combo) }),
    );
    if let Some(set) = &element.option_set {
        merge(&mut shown, json!({ "optionSet": reference(set) }));
    }
    shown
}

fn show_set(set: &DataSet) -> Value {
    let elements: Vec<Value> = set
        .elements
        .iter()
        .map(|id| json!({ "dataElement": reference(id), "dataSet": reference(&set.id) }))
        .collect();
    let units: Vec<Value> = set.units.iter().map(|id| reference(id)).collect();
    let mut shown = base(&set.id, &set.name, Some(&set.code));
    merge(
        &mut shown,
        json!({ "shortName": set.name, "periodType": set.period_type, "dataInputPeriods": [],
        "dataSetElements": elements, "compulsoryDataElementOperands": [], "categoryCombo": reference(&set.combo),
        "expiryDays": set.expiry_days, "timelyDays": 15.0, "openFuturePeriods": set.open_future_periods,
        "compulsoryFieldsCompleteOnly": false, "version": 1, "organisationUnits": units }),
    );
    shown
}

fn show_option_combo(combo: &OptionCombo) -> Value {
    let options: Vec<Value> = combo.options.iter().map(|id| reference(id)).collect();
    let mut shown = base(&combo.id, &combo.name, combo.code.as_deref());
    merge(
        &mut shown,
        json!({ "ignoreApproval": false, "categoryCombo": reference(&combo.combo),
        "categoryOptions": options }),
    );
    shown
}

fn levels() -> Vec<Value> {
    let names = ["National", "District", "Facility", "Village"];
    let level = |(at, name): (usize, &&str)| {
        let mut shown = base(&format!("MjOuLevel0{}", at + 1), name, None);
        merge(&mut shown, json!({ "level": at + 1 }));
        shown
    };
    names.iter().enumerate().map(level).collect()
}

pub(super) fn base(id: &str, name: &str, code: Option<&str>) -> Value {
    let mut shown = json!({});
    if let Some(code) = code {
        merge(&mut shown, json!({ "code": code }));
    }
    merge(
        &mut shown,
        json!({ "name": name, "created": UPDATED, "lastUpdated": UPDATED, "displayName": name, "id": id }),
    );
    shown
}

pub(super) fn reference(id: &str) -> Value {
    json!({ "id": id })
}

pub(super) fn merge(into: &mut Value, from: Value) {
    if let (Value::Object(into), Value::Object(from)) = (into, from) {
        into.extend(from);
    }
}
