//! The acceptance table of the FHIR R4 server: each row is one or more tests named after it, over HTTP, on both stores.
//!
//! `cargo test --test it acceptance` runs them; `cargo test --test it the_table_is_whole -- --nocapture` prints the table as
//! a checklist with the tests of each row.

mod bundle_calls;
mod bundles;
mod cht;
mod commcare;
mod formats;
mod general;
mod histories;
mod ihe;
mod ihris;
mod ihris_parameters;
mod instance;
mod openmrs;
mod opensrp;
mod opensrp_login;
mod operations;
mod patches;
mod pixm;
mod search;
mod search_codes;
mod search_custom;
mod search_pages;
mod search_places;
mod search_truth;
mod search_values;
mod summary;

use std::collections::BTreeMap;

/// Rows that are not built, or not whole.
const NOT_YET: &[&str] = &[];

/// All rows, in the order of the table: <https://hl7.org/fhir/R4/http.html>, <https://hl7.org/fhir/R4/search.html>.
const ROWS: &[(&str, &str)] = &[
    ("G1", "CapabilityStatement, open to all"),
    ("G2", "metadata?mode=terminology"),
    ("G3", "JSON by its media types"),
    ("G4", "XML and _format; 406 for what is not offered"),
    ("G5", "415 for a body of another type"),
    ("G6", "fhirVersion in the media type"),
    ("G7", "_pretty"),
    ("G8", "UTF-8 and gzip, both ways"),
    ("G9", "Prefer: return"),
    ("G10", "Prefer: handling"),
    ("G11", "CORS"),
    ("G12", "an unknown type is 404"),
    ("G13", "a wrong method is 405 with Allow"),
    ("G14", "401 and 403"),
    ("G15", "HEAD"),
    ("G16", "OperationOutcome in detail"),
    ("R1", "read"),
    ("R2", "unknown, deleted, bad id"),
    ("R3", "conditional read"),
    ("R4", "_summary and _elements of a read"),
    ("V1", "vread"),
    ("C1", "create"),
    ("C2", "what cannot be created"),
    ("C3", "conditional create"),
    ("U1", "update"),
    ("U2", "update creates"),
    ("U3", "ids must agree"),
    ("U4", "If-Match"),
    ("U5", "conditional update"),
    ("U6", "a deleted id comes back"),
    ("U7", "an unchanged update is stable"),
    ("P1", "JSON Patch"),
    ("P2", "XML Patch"),
    ("P3", "FHIRPath Patch"),
    ("P4", "a patch of one version"),
    ("P5", "conditional patch"),
    ("P6", "a patch changes neither id nor type"),
    ("D1", "delete"),
    ("D2", "a delete that is refused"),
    ("D3", "conditional delete"),
    ("H1", "histories of instance, type and system"),
    ("H2", "_since, _at, _count, _list of a history"),
    ("S1", "GET, POST and both at once"),
    ("S2", "nothing matches"),
    ("S3", "the searchset"),
    ("S4", "a bad value is 400"),
    ("S5", "and, or, escapes"),
    ("S6", "number"),
    ("S7", "date"),
    ("S8", "string"),
    ("S9", "token"),
    ("S10", "reference"),
    ("S11", "quantity"),
    ("S12", "uri"),
    ("S13", "composite"),
    ("S14", ":missing"),
    ("S15", "parameters of every type"),
    ("S16", "chains"),
    ("S17", "_has"),
    ("S18", "_include and _revinclude"),
    ("S19", "_sort"),
    ("S20", "_count"),
    ("S21", "_total"),
    ("S22", "links and paging"),
    ("S23", "_summary and _elements of a search"),
    ("S24", "_contained"),
    ("S25", "compartments and searches across types"),
    ("S26", "SearchParameter resources"),
    ("B1", "batch"),
    ("T1", "all or nothing"),
    ("T2", "the order of processing"),
    ("T3", "one identity once"),
    ("T4", "references between entries"),
    ("T5", "conditional references"),
    ("T6", "conditions of an entry"),
    ("T7", "the response"),
    ("T8", "empty and history bundles"),
    ("T9", "patches in a bundle"),
    ("T10", "Prefer: return in a transaction"),
    ("O1", "$validate"),
    ("O2", "$everything"),
    ("O3", "$match, $meta, $expand, $lookup, $translate"),
    ("O5", "GET and POST of an operation"),
    ("O6", "an unknown operation"),
];

/// The tests of each row, by the prefix of their names: `g4_xml…` belongs to G4.
fn tests_by_row() -> BTreeMap<String, Vec<String>> {
    let sources = [
        ("bundles", include_str!("acceptance/bundles.rs")),
        ("formats", include_str!("acceptance/formats.rs")),
        ("general", include_str!("acceptance/general.rs")),
        ("histories", include_str!("acceptance/histories.rs")),
        ("instance", include_str!("acceptance/instance.rs")),
        ("operations", include_str!("acceptance/operations.rs")),
        ("opensrp", include_str!("acceptance/opensrp.rs")),
        ("patches", include_str!("acceptance/patches.rs")),
        ("search", include_str!("acceptance/search.rs")),
        ("summary", include_str!("acceptance/summary.rs")),
        ("search_codes", include_str!("acceptance/search_codes.rs")),
        ("search_custom", include_str!("acceptance/search_custom.rs")),
        ("search_pages", include_str!("acceptance/search_pages.rs")),
        ("search_values", include_str!("acceptance/search_values.rs")),
    ];
    let mut by_row: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for (module, source) in sources {
        for line in source.lines() {
            let Some(rest) = line.trim_start().strip_prefix("async fn ") else { continue };
            let name: String = rest.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect();
            let Some((row, _)) = name.split_once('_') else { continue };
            by_row.entry(row.to_uppercase()).or_default().push(format!("{module}::{name}"));
        }
    }
    by_row
}

#[test]
fn the_table_is_whole() {
    let tests = tests_by_row();
    for (row, says) in ROWS {
        let open = NOT_YET.contains(row);
        let named = tests.get(*row).map(|names| names.join(", ")).unwrap_or_default();
        println!("[{}] {row:<4} {says}  {named}", if open { ' ' } else { 'x' });
        assert!(open || !named.is_empty(), "no test is named after {row}");
    }
    for row in NOT_YET {
        assert!(ROWS.iter().any(|(known, _)| known == row), "{row} is no row");
    }
}
