//! Imports go one way: a room may use only the rooms that this table lets it use.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

/// Room → the rooms it may import. ARCHITECTURE.md draws the same picture.
const ALLOWED: &[(&str, &[&str])] = &[
    ("fhir", &[]),
    ("config", &[]),
    ("telemetry", &["config"]),
    ("mapping", &["fhir"]),
    ("store", &["fhir"]),
    ("auth", &["config", "fhir", "outbound", "store"]),
    ("delivery", &["fhir", "mapping", "store", "telemetry"]),
    ("endpoint", &["config", "delivery", "outbound"]),
    ("fhir_out", &["delivery", "endpoint", "fhir", "mapping", "outbound", "store"]),
    ("http_out", &["config", "delivery", "endpoint", "mapping", "outbound"]),
    ("outbound", &[]),
    ("rapidpro", &["config", "delivery", "fhir", "mapping", "outbound", "store", "telemetry"]),
    ("dhis2", &["config", "delivery", "fhir", "mapping", "outbound", "store", "telemetry"]),
    ("sandbox", &[]),
    ("inquiry", &["delivery", "fhir", "rapidpro", "store"]),
    (
        "server",
        &[
            "auth",
            "config",
            "delivery",
            "dhis2",
            "endpoint",
            "fhir",
            "fhir_out",
            "http_out",
            "mapping",
            "rapidpro",
            "store",
            "telemetry",
        ],
    ),
    ("assist", &["config", "delivery", "dhis2", "mapping", "outbound", "rapidpro", "server", "store"]),
    (
        "cli",
        &[
            "assist",
            "auth",
            "config",
            "delivery",
            "dhis2",
            "endpoint",
            "fhir",
            "fhir_out",
            "http_out",
            "inquiry",
            "mapping",
            "rapidpro",
            "sandbox",
            "server",
            "store",
            "telemetry",
        ],
    ),
];

#[test]
fn rooms_import_one_way() {
    let mut faults = Vec::new();
    for (room, allowed) in ALLOWED {
        let allowed: BTreeSet<&str> = allowed.iter().copied().chain([*room]).collect();
        for file in files_of(room) {
            let text = std::fs::read_to_string(&file).unwrap();
            for (number, line) in text.lines().enumerate() {
                for imported in rooms_named_in(line) {
                    if !allowed.contains(imported.as_str()) {
                        faults.push(format!(
                            "{}:{}: {room} must not use {imported}",
                            file.display(),
                            number + 1
                        ));
                    }
                }
            }
        }
    }
    assert!(faults.is_empty(), "imports against the direction:\n{}", faults.join("\n"));
}

#[test]
fn every_room_is_in_the_table() {
    let lib = std::fs::read_to_string(source().join("lib.rs")).unwrap();
    let rooms: BTreeSet<&str> =
        lib.lines().filter_map(|line| line.strip_prefix("pub mod ")?.strip_suffix(';')).collect();
    let table: BTreeSet<&str> = ALLOWED.iter().map(|(room, _)| *room).collect();
    assert_eq!(rooms, table);
}

fn source() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("src")
}

/// `src/ROOM.rs` and everything under `src/ROOM/`.
fn files_of(room: &str) -> Vec<PathBuf> {
    let mut files = vec![source().join(format!("{room}.rs"))];
    let mut folders = vec![source().join(room)];
    while let Some(folder) = folders.pop() {
        let Ok(entries) = std::fs::read_dir(&folder) else { continue };
        for entry in entries {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                files.push(path);
            }
        }
    }
    files
}

/// The rooms that a line of code names: `crate::store::…`, `use crate::{fhir, store::Db}`.
fn rooms_named_in(line: &str) -> Vec<String> {
    let code = line.split("//").next().unwrap_or("");
    let mut rooms = Vec::new();
    for (at, _) in code.match_indices("crate::") {
        let rest = &code[at + "crate::".len()..];
        match rest.strip_prefix('{') {
            Some(list) => {
                rooms.extend(list.split([',', '}']).filter_map(|item| first_word(item.trim())));
            }
            None => rooms.extend(first_word(rest)),
        }
    }
    rooms.retain(|name| ALLOWED.iter().any(|(room, _)| room == name));
    rooms
}

fn first_word(text: &str) -> Option<String> {
    let word: String = text.chars().take_while(|c| c.is_ascii_alphanumeric() || *c == '_').collect();
    (!word.is_empty()).then_some(word)
}
