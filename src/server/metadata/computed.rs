//! What an entry names in DHIS2 by values that are computed, as far as the file says what they may be: the cells of
//! a table, the words of a `map`, bands, a `default`.

use std::collections::BTreeSet;

use crate::mapping::expression::Operation;
use crate::mapping::program::{Entry, NamedThere, names_of, value_at, walk};
use crate::mapping::steps::text_of;
use crate::mapping::target::{Named, Registry};

/// What is to be judged of a name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum About {
    /// The name itself, and the value beside it.
    Name,
    /// Only the value beside it: the name was judged already.
    Value,
}

/// All that an entry names, by constants and by what its computed values may be.
pub(super) fn names(entry: &Entry, registry: &Registry) -> Vec<(NamedThere, About)> {
    let constants = names_of(entry, registry);
    let values: Vec<NamedThere> = constants.iter().flat_map(|there| values(entry, there)).collect();
    let units = units(entry, &constants);
    let named = constants.into_iter().chain(units).map(|there| (there, About::Name));
    named.chain(values.into_iter().map(|there| (there, About::Value))).collect()
}

/// An element or attribute with each value that the computed `value` beside it may have.
fn values(entry: &Entry, there: &NamedThere) -> Vec<NamedThere> {
    let has_value = matches!(there.named.kind, "dataElement" | "trackedEntityAttribute");
    let item = there.named.field.rsplit_once('.').map(|(item, _)| format!("{item}.value"));
    let Some(field) = item.filter(|_| has_value && there.named.value.is_none()) else { return Vec::new() };
    let Some(value) = value_at(entry, &field) else { return Vec::new() };
    let texts = walk::constants(value).into_iter().filter_map(|constant| text_of(&constant));
    let with = |text| NamedThere {
        named: Named { value: Some((field.clone(), text)), ..there.named.clone() },
        value_place: value.place,
        ..there.clone()
    };
    texts.map(with).collect()
}

/// The organisation units that a computed `orgUnit` may be.
fn units(entry: &Entry, constants: &[NamedThere]) -> Vec<NamedThere> {
    let Some(value) = value_at(entry, "orgUnit") else { return Vec::new() };
    let Some(first) = constants.first().filter(|_| constants.iter().all(|one| one.named.field != "orgUnit"))
    else {
        return Vec::new();
    };
    let mut units: BTreeSet<String> = walk::constants(value).iter().filter_map(text_of).collect();
    for step in &value.steps {
        if let Operation::Lookup { table, take, .. } = &step.operation {
            units.extend(table.cells(*take).into_iter().map(str::to_owned));
        }
    }
    let around = constants.iter().filter(|one| ["dataSet", "program"].contains(&one.named.field.as_str()));
    let within: Vec<(&'static str, String)> =
        around.map(|one| (one.named.kind, one.named.name.clone())).collect();
    let unit = |name| NamedThere {
        named: Named {
            kind: "orgUnit",
            name,
            field: "orgUnit".to_owned(),
            within: within.clone(),
            value: None,
        },
        place: value.place,
        ..first.clone()
    };
    units.into_iter().map(unit).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mapping::program::{Settings, load};
    use crate::mapping::table::Tables;
    use crate::server::mappings::registry;

    #[test]
    fn computed_units_and_values_are_named_too() {
        let text = "mapping: m\nfrom: { resource: Basic }\nto:\n  - dhis2.report:\n      dataSet: VEM58nY22sO\n\
            \x20     orgUnit: { path: $.resource.code.text, lookup: { table: f.csv, key: code, take: uid } }\n\
            \x20     period: { type: Monthly, at: $.resource.created }\n      values:\n        - dataElement: FTRrcoaog83\n\
            \x20         value: { path: $.resource.id, map: { a: X, b: Y }, otherwise: Z }\n";
        let table = "code,uid\nA,ImspTQPwCqd\nB,O6uvpzGd5pu\n".to_owned();
        let tables = Tables::from([("f.csv".to_owned(), table)]);
        let registry = registry();
        let settings = Settings { registry: &registry, destinations: None, tables: &tables };
        let program = load("m.yaml", text, &settings).unwrap_or_else(|told| panic!("{}", told[0]));
        let all = names(&program.to[0], &registry);
        let units: Vec<&NamedThere> =
            all.iter().map(|(there, _)| there).filter(|one| one.named.kind == "orgUnit").collect();
        let known: Vec<&str> = units.iter().map(|one| one.named.name.as_str()).collect();
        assert_eq!(known, ["ImspTQPwCqd", "O6uvpzGd5pu"]);
        assert_eq!(units[0].named.within, [("dataSet", "VEM58nY22sO".to_owned())]);
        assert_eq!(units[0].place.line, 6);
        let values: Vec<&str> = all
            .iter()
            .filter(|(_, about)| *about == About::Value)
            .filter_map(|(there, _)| there.named.value.as_ref().map(|(_, text)| text.as_str()))
            .collect();
        assert_eq!(values, ["X", "Y", "Z"]);
    }
}
