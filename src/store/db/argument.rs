//! Bound values: one list of arguments for both engines.

/// One bound value, the value of `$N`.
#[derive(Debug, Clone, PartialEq)]
pub enum Argument {
    Int(Option<i64>),
    Text(Option<String>),
    Bytes(Option<Vec<u8>>),
    Float(Option<f64>),
    Bool(Option<bool>),
    /// Rows: written `table($N)` in the statement, see [`Table`].
    Table(Table),
}

/// Many rows bound at once: `unnest` on PostgreSQL, `json_each` on SQLite.
///
/// In the statement, `table($2) as r` stands for it; its columns are `r.NAME`. All columns must be
/// equally long.
///
/// ```
/// use mjumbe::store::db::Table;
/// let rows = Table::new().ints("rid", vec![1, 2]).texts("code", vec!["a".into(), "b".into()]);
/// assert_eq!(rows.len(), 2);
/// ```
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Table {
    pub(super) columns: Vec<(&'static str, Column)>,
}

/// One column of a [`Table`].
#[derive(Debug, Clone, PartialEq)]
pub enum Column {
    Ints(Vec<Option<i64>>),
    Texts(Vec<Option<String>>),
    Floats(Vec<Option<f64>>),
    Bools(Vec<Option<bool>>),
    Bytes(Vec<Option<Vec<u8>>>),
}

impl Table {
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a column that may hold nulls.
    #[must_use]
    pub fn column(mut self, name: &'static str, column: Column) -> Self {
        debug_assert!(self.columns.is_empty() || self.len() == column.len(), "uneven columns");
        self.columns.push((name, column));
        self
    }

    #[must_use]
    pub fn ints(self, name: &'static str, values: Vec<i64>) -> Self {
        self.column(name, Column::Ints(values.into_iter().map(Some).collect()))
    }

    #[must_use]
    pub fn texts(self, name: &'static str, values: Vec<String>) -> Self {
        self.column(name, Column::Texts(values.into_iter().map(Some).collect()))
    }

    #[must_use]
    pub fn floats(self, name: &'static str, values: Vec<f64>) -> Self {
        self.column(name, Column::Floats(values.into_iter().map(Some).collect()))
    }

    #[must_use]
    pub fn bools(self, name: &'static str, values: Vec<bool>) -> Self {
        self.column(name, Column::Bools(values.into_iter().map(Some).collect()))
    }

    #[must_use]
    pub fn bytes(self, name: &'static str, values: Vec<Vec<u8>>) -> Self {
        self.column(name, Column::Bytes(values.into_iter().map(Some).collect()))
    }

    /// How many rows.
    pub fn len(&self) -> usize {
        self.columns.first().map_or(0, |(_, column)| column.len())
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

impl Column {
    /// How many rows.
    pub fn len(&self) -> usize {
        match self {
            Self::Ints(values) => values.len(),
            Self::Texts(values) => values.len(),
            Self::Floats(values) => values.len(),
            Self::Bools(values) => values.len(),
            Self::Bytes(values) => values.len(),
        }
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    pub(super) fn postgres_type(&self) -> &'static str {
        match self {
            Self::Ints(_) => "bigint",
            Self::Texts(_) => "text",
            Self::Floats(_) => "double precision",
            Self::Bools(_) => "boolean",
            Self::Bytes(_) => "bytea",
        }
    }

    /// One cell as JSON, for `json_each`. Bytes are hexadecimal; an infinity overflows back into itself.
    pub(super) fn write_json(&self, row: usize, json: &mut String) {
        let written = match self {
            Self::Ints(values) => cell(values, row).map(i64::to_string),
            Self::Texts(values) => {
                cell(values, row).map(|text| serde_json::Value::from(clean(text)).to_string())
            }
            Self::Floats(values) => cell(values, row).and_then(|float| json_float(*float)),
            Self::Bools(values) => cell(values, row).map(bool::to_string),
            Self::Bytes(values) => cell(values, row).map(|bytes| format!("\"{}\"", hex::encode(bytes))),
        };
        json.push_str(written.as_deref().unwrap_or("null"));
    }
}

fn cell<T>(values: &[Option<T>], row: usize) -> Option<&T> {
    values.get(row).and_then(Option::as_ref)
}

fn json_float(float: f64) -> Option<String> {
    match float {
        f if f.is_nan() => None,
        f if f == f64::INFINITY => Some("9e999".to_owned()),
        f if f == f64::NEG_INFINITY => Some("-9e999".to_owned()),
        f => Some(format!("{f:e}")),
    }
}

/// PostgreSQL's text cannot hold U+0000: it is stored and looked for as U+FFFD on both engines, so that
/// hostile input neither fails a whole write group nor matches differently.
pub(super) fn clean(text: &str) -> std::borrow::Cow<'_, str> {
    if text.contains('\0') { text.replace('\0', "\u{fffd}").into() } else { text.into() }
}

impl From<i64> for Argument {
    fn from(value: i64) -> Self {
        Self::Int(Some(value))
    }
}

impl From<i32> for Argument {
    fn from(value: i32) -> Self {
        Self::Int(Some(value.into()))
    }
}

impl From<u32> for Argument {
    fn from(value: u32) -> Self {
        Self::Int(Some(value.into()))
    }
}

impl From<Option<i64>> for Argument {
    fn from(value: Option<i64>) -> Self {
        Self::Int(value)
    }
}

impl From<&str> for Argument {
    fn from(value: &str) -> Self {
        Self::Text(Some(value.to_owned()))
    }
}

impl From<String> for Argument {
    fn from(value: String) -> Self {
        Self::Text(Some(value))
    }
}

impl From<&String> for Argument {
    fn from(value: &String) -> Self {
        Self::Text(Some(value.clone()))
    }
}

impl From<Option<String>> for Argument {
    fn from(value: Option<String>) -> Self {
        Self::Text(value)
    }
}

impl From<Option<&str>> for Argument {
    fn from(value: Option<&str>) -> Self {
        Self::Text(value.map(str::to_owned))
    }
}

impl From<Vec<u8>> for Argument {
    fn from(value: Vec<u8>) -> Self {
        Self::Bytes(Some(value))
    }
}

impl From<Option<Vec<u8>>> for Argument {
    fn from(value: Option<Vec<u8>>) -> Self {
        Self::Bytes(value)
    }
}

impl From<f64> for Argument {
    fn from(value: f64) -> Self {
        Self::Float(Some(value))
    }
}

impl From<Option<f64>> for Argument {
    fn from(value: Option<f64>) -> Self {
        Self::Float(value)
    }
}

impl From<bool> for Argument {
    fn from(value: bool) -> Self {
        Self::Bool(Some(value))
    }
}

impl From<Table> for Argument {
    fn from(value: Table) -> Self {
        Self::Table(value)
    }
}

/// One column named `value`: `in (select value from table($2) as wanted)`.
impl From<Vec<i64>> for Argument {
    fn from(values: Vec<i64>) -> Self {
        Self::Table(Table::new().ints("value", values))
    }
}

/// One column named `value`: `in (select value from table($2) as wanted)`.
impl From<Vec<String>> for Argument {
    fn from(values: Vec<String>) -> Self {
        Self::Table(Table::new().texts("value", values))
    }
}
