//! What all parts of the loader share: the mistakes so far, the names in sight, the tables.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::Settings;
use crate::mapping::diagnostic::{Diagnostic, Place};
use crate::mapping::path::Path;
use crate::mapping::source::{Content, Key, Node};
use crate::mapping::steps;
use crate::mapping::table::{self, Table};
use regex::Regex;
use serde_json::Value;

/// Names that `with` cannot take.
pub(super) const RESERVED: [&str; 7] =
    ["resource", "document", "previous", "answers", "groups", "item", "index"];

pub(super) struct Reader<'a> {
    pub(super) settings: &'a Settings<'a>,
    told: Vec<Diagnostic>,
    /// What `$.NAME` may name here.
    pub(super) names: Vec<String>,
    /// The roots of the paths compiled since it was last cleared.
    pub(super) roots: Vec<String>,
    /// Pseudonyms need a destination: only entries of `to` have one.
    pub(super) has_destination: bool,
    tables: BTreeMap<String, Table>,
    pub(super) used_tables: BTreeMap<String, String>,
}

impl<'a> Reader<'a> {
    pub(super) fn new(settings: &'a Settings<'a>) -> Self {
        let names = ["resource", "document", "previous", "answers", "groups"].map(str::to_owned).to_vec();
        Self {
            settings,
            told: Vec::new(),
            names,
            roots: Vec::new(),
            has_destination: false,
            tables: BTreeMap::new(),
            used_tables: BTreeMap::new(),
        }
    }

    pub(super) fn finish(self) -> (Vec<Diagnostic>, BTreeMap<String, String>) {
        (self.told, self.used_tables)
    }

    pub(super) fn tell(&mut self, diagnostic: Diagnostic) {
        if self.told.len() < 200 {
            self.told.push(diagnostic);
        }
    }

    /// The entries of an object; told when it is none.
    pub(super) fn object<'n>(&mut self, node: &'n Node, what: &str) -> Option<&'n [(Key, Node)]> {
        if let Content::Map(entries) = &node.content {
            return Some(entries);
        }
        let message = format!("{what} must be an object, not {}", node.what());
        self.tell(Diagnostic::new("not-an-object", node.place, message).offending(node.excerpt()));
        None
    }

    /// As [`Reader::object`], and every key must be known.
    pub(super) fn known<'n>(
        &mut self,
        node: &'n Node,
        what: &str,
        keys: &[&str],
    ) -> Option<&'n [(Key, Node)]> {
        let entries = self.object(node, what)?;
        for (key, _) in entries {
            if !keys.contains(&key.text.as_str()) {
                self.unknown(key, what, keys);
            }
        }
        Some(entries)
    }

    pub(super) fn unknown(&mut self, key: &Key, what: &str, keys: &[&str]) {
        let message = format!("`{}` is not a key of {what}", key.text);
        let told = Diagnostic::new("unknown-key", key.place, message).offending(&key.text);
        self.tell(told.meant(keys.iter().copied()));
    }

    pub(super) fn list<'n>(&mut self, node: &'n Node, what: &str) -> Option<&'n [Node]> {
        if let Content::List(items) = &node.content {
            return Some(items);
        }
        let message = format!("{what} must be a list, not {}", node.what());
        self.tell(Diagnostic::new("not-a-list", node.place, message).offending(node.excerpt()));
        None
    }

    pub(super) fn missing(&mut self, place: Place, what: &str, key: &str) {
        let message = format!("{what} needs `{key}`");
        self.tell(Diagnostic::new("missing-key", place, message));
    }

    /// Text written in the file, not empty.
    pub(super) fn text<'n>(&mut self, node: &'n Node, what: &str) -> Option<&'n str> {
        let text = node.text().filter(|text| !text.is_empty());
        if text.is_none() {
            let message = format!("{what} must be a text, not {}", empty_or(node));
            self.tell(Diagnostic::new("not-a-text", node.place, message));
        }
        text
    }

    pub(super) fn flag(&mut self, node: &Node, what: &str) -> Option<bool> {
        let flag = node.to_json().as_bool();
        if flag.is_none() {
            let message = format!("{what} must be true or false");
            let told = Diagnostic::new("not-a-flag", node.place, message).offending(node.excerpt());
            self.tell(told.hint("in YAML 1.2 `yes` and `no` are texts"));
        }
        flag
    }

    pub(super) fn integer(&mut self, node: &Node, what: &str) -> Option<i64> {
        let number = node.to_json().as_i64();
        if number.is_none() {
            let message = format!("{what} must be a whole number");
            self.tell(Diagnostic::new("not-an-integer", node.place, message).offending(node.excerpt()));
        }
        number
    }

    /// One of a closed set of words.
    pub(super) fn word<'n>(&mut self, node: &'n Node, what: &str, words: &[&str]) -> Option<&'n str> {
        let text = self.text(node, what)?;
        if words.contains(&text) {
            return Some(text);
        }
        let message = format!("`{text}` is not one of the words for {what}");
        let told = Diagnostic::new("unknown-word", node.place, message).offending(text);
        self.tell(told.meant(words.iter().copied()));
        None
    }

    /// A constant: a text, number or boolean.
    pub(super) fn scalar(&mut self, node: &Node, what: &str) -> Option<Value> {
        match node.to_json() {
            Value::Array(_) | Value::Object(_) => {
                let message = format!("{what} must be a text, a number or a boolean, not {}", node.what());
                self.tell(Diagnostic::new("not-a-scalar", node.place, message));
                None
            }
            scalar => Some(scalar),
        }
    }

    pub(super) fn pattern(&mut self, node: &Node, what: &str) -> Option<Regex> {
        let text = self.text(node, what)?;
        steps::pattern(text)
            .map_err(|message| {
                let told = Diagnostic::new("bad-pattern", node.place, message).offending(text);
                self.tell(
                    told.hint(
                        "the syntax is that of https://docs.rs/regex: no look-around, no back-references",
                    ),
                );
            })
            .ok()
    }

    /// A JSONPath whose first name is in sight.
    pub(super) fn path(&mut self, node: &Node, what: &str) -> Option<Path> {
        let text = self.text(node, what)?;
        self.path_text(text, node.place)
    }

    pub(super) fn path_text(&mut self, text: &str, place: Place) -> Option<Path> {
        let path = match Path::compile(text) {
            Ok(path) => path,
            Err(refusal) => {
                let mut told = Diagnostic::new("bad-path", place, refusal.message).offending(text);
                told.hint = refusal.hint;
                self.tell(told);
                return None;
            }
        };
        if !self.names.contains(&path.root) {
            let message = format!("`$.{}` is not known here", path.root);
            let told = Diagnostic::new("unknown-name", place, message).offending(&path.root);
            let hint = match path.root.as_str() {
                "item" | "index" => Some("`$.item` and `$.index` exist where an entry has `each`"),
                _ => None,
            };
            let names = self.names.clone();
            let told = match hint {
                Some(hint) => told.hint(hint),
                None => told.meant(names.iter().map(String::as_str)),
            };
            self.tell(told);
            return None;
        }
        self.roots.push(path.root.clone());
        Some(path)
    }

    /// A table beside the mapping, with its key column made searchable: (table, key, take).
    pub(super) fn table(
        &mut self,
        name: &Node,
        key: &Node,
        take: &Node,
    ) -> Option<(Arc<Table>, usize, usize)> {
        let file = self.text(name, "`table`")?.to_owned();
        if !self.tables.contains_key(&file) {
            let table = self.read_table(&file, name.place)?;
            self.tables.insert(file.clone(), table);
        }
        let mut table = self.tables.get(&file)?.clone();
        let key_column = self.column(&table, key, &file);
        let take_column = self.column(&table, take, &file);
        let (key_column, take_column) = (key_column?, take_column?);
        if let Err((text, first, second)) = table.index(key_column) {
            let message =
                format!("`{text}` stands in rows {first} and {second} of {file}: the key must be unique");
            self.tell(Diagnostic::new("table-key-doubled", key.place, message));
            return None;
        }
        Some((Arc::new(table), key_column, take_column))
    }

    fn read_table(&mut self, file: &str, place: Place) -> Option<Table> {
        if !table::is_plain_name(file) {
            let message = format!("`{file}` is not the name of a CSV file beside the mapping");
            let told = Diagnostic::new("table-outside", place, message).offending(file);
            self.tell(told.hint("letters, digits, `-`, `_` and `.`, ending in .csv; no directories"));
            return None;
        }
        let Some(text) = self.settings.tables.get(file) else {
            let message = format!("there is no `{file}` beside the mapping");
            let told = Diagnostic::new("table-missing", place, message).offending(file);
            self.tell(told.meant(self.settings.tables.keys().map(String::as_str)));
            return None;
        };
        self.used_tables.insert(file.to_owned(), text.clone());
        Table::read(text)
            .map_err(|error| {
                self.tell(
                    Diagnostic::new("table-unreadable", place, format!("{file}: {error}")).offending(file),
                );
            })
            .ok()
    }

    fn column(&mut self, table: &Table, node: &Node, file: &str) -> Option<usize> {
        let name = self.text(node, "a column")?;
        let column = table.column(name);
        if column.is_none() {
            let message = format!("{file} has no column `{name}`");
            let told = Diagnostic::new("table-column", node.place, message).offending(name);
            self.tell(told.meant(table.columns.iter().map(String::as_str)));
        }
        column
    }
}

fn empty_or(node: &Node) -> &'static str {
    if node.text().is_some() { "empty" } else { node.what() }
}
