//! Collects what an entry of a mapping names by constants.
//!
//! Pure. From the constants of an entry to [`Named`]s for `check` and `metadata pull`.

use serde_json::Value;

use crate::mapping::target::Named;

/// The names found so far in one entry's constants.
pub(crate) struct Naming<'a> {
    literals: &'a Value,
    found: Vec<Named>,
}

type Within<'a> = &'a [(&'static str, String)];

impl<'a> Naming<'a> {
    pub fn of(literals: &'a Value) -> Self {
        Self { literals, found: Vec::new() }
    }

    /// How many items a list has.
    pub fn len(&self, list: &str) -> usize {
        self.at(list).and_then(Value::as_array).map_or(0, Vec::len)
    }

    /// Takes the constant at a path; gives it.
    pub fn name(&mut self, kind: &'static str, path: &str, within: Within<'_>) -> Option<String> {
        let name = self.constant(path)?;
        self.found.push(Named {
            kind,
            name: name.clone(),
            field: path.to_owned(),
            within: within.to_vec(),
            value: None,
        });
        Some(name)
    }

    /// Takes the constant at `item.field`, with the constant value at `item.value` beside it.
    pub fn valued(
        &mut self,
        kind: &'static str,
        (item, field, value): (&str, &str, &str),
        within: Within<'_>,
    ) -> Option<String> {
        let name = self.name(kind, &format!("{item}.{field}"), within)?;
        let path = format!("{item}.{value}");
        let constant = self.constant(&path);
        if let Some(last) = self.found.last_mut() {
            last.value = constant.map(|text| (path, text));
        }
        Some(name)
    }

    pub fn finish(self) -> Vec<Named> {
        self.found
    }

    fn constant(&self, path: &str) -> Option<String> {
        match self.at(path)? {
            Value::String(text) if !text.trim().is_empty() => Some(text.trim().to_owned()),
            Value::Number(number) => Some(number.to_string()),
            Value::Bool(flag) => Some(flag.to_string()),
            _ => None,
        }
    }

    fn at(&self, path: &str) -> Option<&'a Value> {
        let mut value = self.literals;
        for step in path.split(['.', '[', ']']).filter(|step| !step.is_empty()) {
            value = match value {
                Value::Array(items) => items.get(step.parse::<usize>().ok()?)?,
                other => other.get(step)?,
            };
        }
        Some(value)
    }
}
