//! JSONPath (RFC 9535): compiled when the file is loaded, evaluated against a [`Scope`].
//!
//! Names, indices, `*` and filters that compare with texts become steps of our own (`walk`); any other path
//! goes to jsonpath-rust, parsed once. What the RFC's compliance suite shows to be wrong in jsonpath-rust is refused here, at load, so
//! that no mapping depends on it: filters in filters, ill-typed function calls, several selectors after
//! `..`.

mod check;
mod walk;

use jsonpath_rust::parser::model::{JpQuery, Segment, Selector};
use jsonpath_rust::parser::parse_json_path;
use jsonpath_rust::query::js_path_process;
use serde_json::{Map, Value};

use walk::Step as Known;

/// Longest path, in bytes.
const MAX_LENGTH: usize = 600;
/// Most values that one path may give. A path finds one more at most, so that whoever uses the values can tell
/// that there are too many.
pub const MAX_FOUND: usize = 1_000;

/// A compiled path. It begins with a name: `$.resource…`, `$.answers…`.
#[derive(Debug, Clone, PartialEq)]
pub struct Path {
    /// As written.
    pub text: String,
    /// The name after `$`.
    pub root: String,
    steps: Steps,
}

#[derive(Debug, Clone, PartialEq)]
enum Steps {
    /// Walked here.
    Known(Vec<Known>),
    /// Relative to the root's value.
    Query(JpQuery),
    /// A filter looks back at `$`: the whole document is put together for it.
    Whole(JpQuery),
}

/// Why a text is no path that can be used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    pub message: String,
    pub hint: Option<String>,
}

impl Refusal {
    fn new(message: impl Into<String>) -> Self {
        Self { message: message.into(), hint: None }
    }

    fn hint(mut self, hint: &str) -> Self {
        self.hint = Some(hint.to_owned());
        self
    }
}

/// The names that an expression sees: `$.NAME`.
#[derive(Debug, Clone, Default)]
pub struct Scope<'a> {
    names: Vec<(&'a str, std::borrow::Cow<'a, Value>)>,
}

impl<'a> Scope<'a> {
    /// Adds a name that borrows its value.
    pub fn bind(&mut self, name: &'a str, value: &'a Value) {
        self.names.push((name, std::borrow::Cow::Borrowed(value)));
    }

    /// Adds a name that owns its value.
    pub fn bind_owned(&mut self, name: &'a str, value: Value) {
        self.names.push((name, std::borrow::Cow::Owned(value)));
    }

    /// Adds another name for what `known` is bound to, if it is.
    pub fn bind_again(&mut self, name: &'a str, known: &str) {
        let found = self.names.iter().rev().find(|(one, _)| *one == known);
        if let Some(value) = found.map(|(_, value)| value.clone()) {
            self.names.push((name, value));
        }
    }

    /// The latest binding of a name.
    pub fn get(&self, name: &str) -> Option<&Value> {
        self.names.iter().rev().find(|(known, _)| *known == name).map(|(_, value)| value.as_ref())
    }

    /// How many bindings there are, for [`Scope::truncate`].
    pub fn len(&self) -> usize {
        self.names.len()
    }

    pub fn is_empty(&self) -> bool {
        self.names.is_empty()
    }

    /// Forgets the bindings made since there were `length`.
    pub fn truncate(&mut self, length: usize) {
        self.names.truncate(length);
    }

    fn whole(&self) -> Value {
        let entries = self.names.iter().map(|(name, value)| ((*name).to_owned(), value.as_ref().clone()));
        Value::Object(entries.collect::<Map<_, _>>())
    }
}

/// What a path found.
#[derive(Debug, Clone, PartialEq)]
pub enum Found {
    Nothing,
    One(Value),
    /// Several nodes, or one that is a list.
    Several(Vec<Value>),
}

impl Path {
    /// Compiles a path.
    ///
    /// # Errors
    /// What is wrong with it, or what jsonpath-rust is known to get wrong.
    pub fn compile(text: &str) -> Result<Self, Refusal> {
        if text.len() > MAX_LENGTH {
            return Err(Refusal::new(format!("the path is longer than {MAX_LENGTH} bytes")));
        }
        let query = parse_json_path(text).map_err(|_| {
            Refusal::new(format!("`{text}` is not a JSONPath (RFC 9535)"))
                .hint("names with other signs than letters, digits and `_` are written ['like-this']")
        })?;
        check::check(&query)?;
        let mut segments = query.segments.iter();
        let Some(Segment::Selector(Selector::Name(root))) = segments.next() else {
            return Err(Refusal::new(format!("`{text}` does not begin with a name"))
                .hint("paths begin with what they look at: $.resource, $.answers, or a name from `with`"));
        };
        let rest: Vec<Segment> = segments.cloned().collect();
        let steps = match walk::steps(&rest) {
            Some(known) => Steps::Known(known),
            None if check::looks_back(&query) => Steps::Whole(query.clone()),
            None => Steps::Query(JpQuery::new(rest)),
        };
        Ok(Self { text: text.to_owned(), root: root.clone(), steps })
    }

    /// The names after the root, as far as the path goes by names alone: `fields`, `village` of
    /// `$.contact.fields.village`.
    pub fn names(&self) -> Vec<&str> {
        let Steps::Known(steps) = &self.steps else { return Vec::new() };
        if !walk::is_singular(steps) {
            return Vec::new();
        }
        let names = steps.iter().map_while(|step| match step {
            Known::Name(name) => Some(name.as_str()),
            _ => None,
        });
        names.collect()
    }

    /// Whether its syntax allows at most one node.
    pub fn is_singular(&self) -> bool {
        matches!(&self.steps, Steps::Known(steps) if walk::is_singular(steps))
    }

    /// The nodes it selects, without null; at most one more than [`MAX_FOUND`].
    pub fn nodes(&self, scope: &Scope<'_>) -> Vec<Value> {
        match &self.steps {
            Steps::Known(steps) => self.walk(steps, scope).into_iter().cloned().collect(),
            Steps::Query(query) => scope.get(&self.root).map(|root| select(query, root)).unwrap_or_default(),
            Steps::Whole(query) => select(query, &scope.whole()),
        }
    }

    fn walk<'s>(&self, steps: &[Known], scope: &'s Scope<'_>) -> Vec<&'s Value> {
        let mut found = Vec::new();
        if let Some(root) = scope.get(&self.root) {
            walk::nodes(steps, root, &mut |node| {
                found.push(node);
                found.len() <= MAX_FOUND
            });
        }
        found
    }

    /// Whether it finds something other than null and false; a list is its elements.
    pub fn holds(&self, scope: &Scope<'_>) -> bool {
        fn is_something(value: &Value) -> bool {
            match value {
                Value::Null | Value::Bool(false) => false,
                Value::Array(items) => {
                    items.iter().any(|item| !matches!(item, Value::Null | Value::Bool(false)))
                }
                _ => true,
            }
        }
        match &self.steps {
            Steps::Known(steps) => scope.get(&self.root).is_some_and(|root| {
                // Visiting ends where something is found.
                !walk::nodes(steps, root, &mut |node| !is_something(node))
            }),
            _ => self.nodes(scope).iter().any(is_something),
        }
    }

    /// What it finds: null is nothing, a list is its elements; at most one more than [`MAX_FOUND`].
    pub fn find(&self, scope: &Scope<'_>) -> Found {
        let mut values = Vec::new();
        let mut list = false;
        for node in self.nodes(scope) {
            match node {
                Value::Array(items) => {
                    list = true;
                    values.extend(items.into_iter().filter(|item| !item.is_null()));
                }
                other => values.push(other),
            }
        }
        values.truncate(MAX_FOUND + 1);
        match values.len() {
            0 => Found::Nothing,
            1 if !list => values.pop().map_or(Found::Nothing, Found::One),
            _ => Found::Several(values),
        }
    }
}

/// RFC 9535 section 2.3.3: a negative index counts from the end.
fn element(items: &[Value], index: i64) -> Option<&Value> {
    let position = if index < 0 {
        items.len().checked_sub(usize::try_from(index.unsigned_abs()).ok()?)?
    } else {
        usize::try_from(index).ok()?
    };
    items.get(position)
}

fn select(query: &JpQuery, root: &Value) -> Vec<Value> {
    let found = js_path_process(query, root).unwrap_or_default();
    found.into_iter().map(|node| node.val().clone()).filter(|v| !v.is_null()).take(MAX_FOUND + 1).collect()
}

#[cfg(test)]
mod tests;
