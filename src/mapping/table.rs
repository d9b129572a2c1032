//! CSV tables beside a mapping file, for `lookup`. Read by the caller, checked here.

use std::collections::{BTreeMap, BTreeSet, HashMap};

/// Largest table, in bytes.
pub const MAX_BYTES: usize = 16 * 1024 * 1024;

/// A table: a header line and rows of text.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Table {
    pub columns: Vec<String>,
    rows: Vec<Vec<String>>,
    /// For each column that is a key: text to row.
    keys: HashMap<usize, HashMap<String, usize>>,
}

/// The files beside a mapping, by the name that `table:` gives: `facilities.csv`.
pub type Tables = BTreeMap<String, String>;

impl Table {
    /// Reads CSV text (RFC 4180) with a header line.
    ///
    /// # Errors
    /// What is wrong with it, in words.
    pub fn read(text: &str) -> Result<Self, String> {
        if text.len() > MAX_BYTES {
            return Err(format!("the table has {} bytes; at most {MAX_BYTES} are read", text.len()));
        }
        let text = text.strip_prefix('\u{feff}').unwrap_or(text);
        let mut reader = csv::ReaderBuilder::new().trim(csv::Trim::All).from_reader(text.as_bytes());
        let columns =
            reader.headers().map_err(|error| error.to_string())?.iter().map(str::to_owned).collect();
        let mut rows = Vec::new();
        for record in reader.records() {
            let record = record.map_err(|error| error.to_string())?;
            rows.push(record.iter().map(str::to_owned).collect());
        }
        Ok(Self { columns, rows, keys: HashMap::new() })
    }

    /// The number of a column.
    pub fn column(&self, name: &str) -> Option<usize> {
        self.columns.iter().position(|column| column == name)
    }

    /// Makes a column searchable.
    ///
    /// # Errors
    /// A text that stands in the column twice, with its rows (the header is row 1).
    pub fn index(&mut self, column: usize) -> Result<(), (String, usize, usize)> {
        let mut index = HashMap::new();
        for (number, row) in self.rows.iter().enumerate() {
            let Some(text) = row.get(column).filter(|text| !text.is_empty()) else { continue };
            if let Some(first) = index.insert(text.clone(), number) {
                return Err((text.clone(), first + 2, number + 2));
            }
        }
        self.keys.insert(column, index);
        Ok(())
    }

    /// The cell of the row whose key column holds `text`; an empty cell is nothing.
    pub fn find(&self, key: usize, text: &str, take: usize) -> Option<&str> {
        let row = self.keys.get(&key)?.get(text)?;
        self.rows.get(*row)?.get(take).map(String::as_str).filter(|cell| !cell.is_empty())
    }
}

impl Table {
    /// Every cell of a column that holds something, without repetition.
    pub fn cells(&self, column: usize) -> BTreeSet<&str> {
        let cells = self.rows.iter().filter_map(|row| row.get(column));
        cells.map(String::as_str).filter(|cell| !cell.is_empty()).collect()
    }
}

/// Whether a name in `table:` stays beside the mapping: no directories, nothing hidden.
pub fn is_plain_name(name: &str) -> bool {
    !name.is_empty()
        && name.len() <= 200
        && !name.starts_with('.')
        && name.ends_with(".csv")
        && name.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_by_key_and_knows_doubled_keys() {
        let mut table = Table::read("\u{feff}code, uid\nA,1\n\"B, b\",2\nC,\n").unwrap();
        table.index(0).unwrap();
        assert_eq!(table.find(0, "B, b", 1), Some("2"));
        assert_eq!(table.find(0, "C", 1), None);
        assert_eq!(table.find(0, "D", 1), None);
        let mut doubled = Table::read("code,uid\nA,1\nA,2\n").unwrap();
        assert_eq!(doubled.index(0), Err(("A".to_owned(), 2, 3)));
        assert!(Table::read("a,b\n1\n").is_err());
    }

    #[test]
    fn names_stay_beside_the_mapping() {
        assert!(is_plain_name("facilities.csv"));
        for name in ["../a.csv", "/etc/a.csv", "a/b.csv", ".a.csv", "a.txt", "", "a\\b.csv", "..csv/"] {
            assert!(!is_plain_name(name), "{name}");
        }
    }
}
