//! Compartments: what belongs to a patient, an encounter, a practitioner …
//! <https://hl7.org/fhir/R4/compartmentdefinition.html>
//!
//! The table `tables/compartments.txt` is written by `tools/r4-tables.py` from the official definitions. A
//! resource belongs to a compartment where one of the named reference parameters leads to the resource that
//! the compartment is named after; that one belongs to it too. **Never** reads anything but the table.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use crate::fhir::elements;
use crate::fhir::index::ParameterKey;
use crate::fhir::query::{Filter, Match, Parameter};

static TABLE: LazyLock<BTreeMap<&'static str, Vec<Member>>> = LazyLock::new(read_all);

/// A type that can belong to a compartment.
#[derive(Debug, Clone)]
pub struct Member {
    pub kind: &'static str,
    /// The reference parameters that put it there.
    pub codes: Vec<&'static str>,
}

/// The types that can belong to a compartment, by name; empty where there is no such compartment.
pub fn members(compartment: &str) -> &'static [Member] {
    TABLE.get(compartment).map_or(&[], Vec::as_slice)
}

/// Whether R4 has this compartment.
pub fn exists(compartment: &str) -> bool {
    TABLE.contains_key(compartment)
}

/// What holds for those of `kind` that refer into the compartment `Patient/1`; `None` where the type cannot
/// belong to it. The resource `Patient/1` itself is left to [`itself`].
pub fn filter(compartment: &str, id: &str, kind: &str) -> Option<Filter> {
    let member = members(compartment).iter().find(|member| member.kind == kind)?;
    let keys: Vec<ParameterKey> = member.codes.iter().map(|code| ParameterKey::new(kind, code)).collect();
    let into = Match::Reference { kind: compartment.to_owned(), id: id.to_owned() };
    Some(Filter { parameter: Parameter::Any(keys), any: vec![into], not: false })
}

/// What holds for the resource that a compartment is named after.
pub fn itself(id: &str) -> Filter {
    Filter { parameter: Parameter::Id, any: vec![Match::Id(id.to_owned())], not: false }
}

fn read_all() -> BTreeMap<&'static str, Vec<Member>> {
    let mut all: BTreeMap<&'static str, Vec<Member>> = BTreeMap::new();
    let mut current = "";
    for line in include_str!("tables/compartments.txt").lines().filter(|line| !line.starts_with('#')) {
        if let Some(name) = line.strip_prefix("= ") {
            current = name;
            continue;
        }
        let mut words = line.split(' ');
        let kind = words.next().and_then(|kind| elements::table().kind(kind));
        if let Some(kind) = kind {
            all.entry(current).or_default().push(Member { kind, codes: words.collect() });
        }
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fhir::parameters::{self, SearchType};

    #[test]
    fn every_line_of_the_table_names_reference_parameters() {
        let lines = include_str!("tables/compartments.txt").lines();
        let written = lines.filter(|line| !line.starts_with(['#', '='])).count();
        let mut read = 0;
        for compartment in ["Device", "Encounter", "Patient", "Practitioner", "RelatedPerson"] {
            for member in members(compartment) {
                read += 1;
                assert!(!member.codes.is_empty(), "{compartment} {}", member.kind);
                for code in &member.codes {
                    let parameter = parameters::find(member.kind, code).unwrap();
                    assert_eq!(parameter.search_type, SearchType::Reference, "{} {code}", member.kind);
                }
            }
        }
        assert_eq!((read, TABLE.len()), (written, 5));
        assert!(exists("Patient") && !exists("Location"));
    }

    #[test]
    fn a_member_refers_by_any_of_its_parameters() {
        let filter = filter("Patient", "1", "Observation").unwrap();
        assert_eq!(filter.parameter.keys().len(), 2);
        assert!(super::filter("Patient", "1", "Location").is_none());
    }
}
