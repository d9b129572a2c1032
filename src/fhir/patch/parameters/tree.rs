//! Changing the JSON of a resource at a place, with the siblings (`_given`) of primitives.

use serde_json::{Map, Value};

use super::super::Budget;
use super::content::{Content, Json};
use super::unfit;
use crate::fhir::elements::{Content as Kind, Node, table};
use crate::fhir::outcome::Outcome;

/// Adds an element to the one at `at`: appended where it repeats, new where it does not.
pub(super) fn add(
    root: &mut Value,
    at: &str,
    (name, content): (&str, &Content),
    budget: &mut Budget,
) -> Result<(), Outcome> {
    let node = node_at(root, at).ok_or_else(|| unfit("nothing can be added to this element"))?;
    let key = content.key(node, name)?;
    let json = ready(node, &key, content, (at, budget))?;
    let object = object_at(root, at)?;
    if is_list(node, &key) {
        let length = length(object, &key);
        list_insert(object, &key, length, json);
        return Ok(());
    }
    let taken = |other: &&String| same_element(node, other, &key);
    if object.keys().any(|other| taken(&other)) {
        return Err(unfit("the element is there already and does not repeat").hint("replace it"));
    }
    set(object, &key, json);
    Ok(())
}

/// Inserts into the list `name` of the element at `at`.
pub(super) fn insert(
    root: &mut Value,
    (at, name): (&str, &str),
    (index, content): (usize, &Content),
    budget: &mut Budget,
) -> Result<(), Outcome> {
    let node = list_node(root, at, name)?;
    let json = ready(node, name, content, (at, budget))?;
    let object = object_at(root, at)?;
    if index > length(object, name) {
        return Err(unfit("the list is shorter than the index"));
    }
    list_insert(object, name, index, json);
    Ok(())
}

/// Moves an item within the list `name` of the element at `at`.
pub(super) fn shift(
    root: &mut Value,
    (at, name): (&str, &str),
    (from, to): (usize, usize),
) -> Result<(), Outcome> {
    list_node(root, at, name)?;
    let object = object_at(root, at)?;
    if from.max(to) >= length(object, name) {
        return Err(unfit("the list is shorter than the index"));
    }
    let json = list_remove(object, name, from);
    list_insert(object, name, to, json);
    Ok(())
}

/// Removes the element at `at`, and what holds nothing else.
pub(super) fn delete(root: &mut Value, at: &str) -> Result<(), Outcome> {
    let spot = Spot::of(at)?;
    let object = object_at(root, spot.parent)?;
    match spot.index {
        Some(index) => drop(list_remove(object, spot.key, index)),
        None => set(object, spot.key, Json { value: None, sibling: None }),
    }
    if !object.is_empty() || spot.parent.is_empty() {
        return Ok(());
    }
    delete(root, spot.parent)
}

/// Puts something else where the element at `at` is.
pub(super) fn replace(
    root: &mut Value,
    at: &str,
    content: &Content,
    budget: &mut Budget,
) -> Result<(), Outcome> {
    let spot = Spot::of(at)?;
    let node = node_at(root, spot.parent).ok_or_else(|| unfit("this element has no type"))?;
    let choice = node.keys.get(spot.key).and_then(|key| node.elements.get(key.element)).filter(|e| e.choice);
    let key = match choice {
        Some(element) => content.key(node, element.name)?,
        None => spot.key.to_owned(),
    };
    let json = ready(node, &key, content, (at, budget))?;
    let object = object_at(root, spot.parent)?;
    match spot.index {
        Some(index) => {
            list_remove(object, &key, index);
            list_insert(object, &key, index, json);
        }
        None => {
            if key != spot.key {
                set(object, spot.key, Json { value: None, sibling: None });
            }
            set(object, &key, json);
        }
    }
    Ok(())
}

/// A JSON pointer, taken apart: `/name/0/given/1` is item 1 of `given` of `/name/0`.
struct Spot<'a> {
    parent: &'a str,
    key: &'a str,
    index: Option<usize>,
}

impl<'a> Spot<'a> {
    fn of(pointer: &'a str) -> Result<Self, Outcome> {
        let whole = || unfit("a patch does not replace or delete the whole resource");
        let (parent, last) = pointer.rsplit_once('/').ok_or_else(whole)?;
        let Ok(index) = last.parse::<usize>() else { return Ok(Self { parent, key: last, index: None }) };
        let (parent, key) = parent.rsplit_once('/').ok_or_else(whole)?;
        Ok(Self { parent, key, index: Some(index) })
    }
}

fn ready(
    node: &Node,
    key: &str,
    content: &Content,
    (at, budget): (&str, &mut Budget),
) -> Result<Json, Outcome> {
    let json = content.json(node.keys.get(key).map(|key| key.kind))?;
    for value in [&json.value, &json.sibling].into_iter().flatten() {
        budget.take(value, at.matches('/').count())?;
    }
    Ok(json)
}

fn list_node(root: &Value, at: &str, name: &str) -> Result<&'static Node, Outcome> {
    let node = node_at(root, at).filter(|node| is_list(node, name));
    node.ok_or_else(|| unfit("the path does not name an element that repeats"))
}

/// The type of the element at a JSON pointer.
fn node_at(root: &Value, pointer: &str) -> Option<&'static Node> {
    let kind_of =
        |value: &Value| value.get("resourceType").and_then(Value::as_str).and_then(|kind| table().node(kind));
    let (mut value, mut node) = (root, kind_of(root)?);
    for token in pointer.split('/').skip(1) {
        if let Value::Array(items) = value {
            value = items.get(token.parse::<usize>().ok()?)?;
        } else {
            value = value.get(token)?;
            let key = node.keys.get(token)?;
            node = match key.content {
                Kind::Complex(index) => table().at(index)?,
                // Found below, at the resource itself.
                Kind::Resource => node,
                Kind::Primitive(_) => return None,
            };
        }
        node = kind_of(value).unwrap_or(node);
    }
    Some(node)
}

/// Whether an element repeats.
pub(super) fn is_list(node: &Node, key: &str) -> bool {
    let element = node.keys.get(key).and_then(|key| node.elements.get(key.element));
    element.is_some_and(|element| element.many)
}

/// Whether two keys (or their siblings) are one element, of which there is at most one.
fn same_element(node: &Node, one: &str, other: &str) -> bool {
    let element = |key: &str| node.keys.get(key.trim_start_matches('_')).map(|key| key.element);
    element(one).is_some() && element(one) == element(other)
}

fn object_at<'a>(root: &'a mut Value, pointer: &str) -> Result<&'a mut Map<String, Value>, Outcome> {
    let object = root.pointer_mut(pointer).and_then(Value::as_object_mut);
    object.ok_or_else(|| unfit("this element has no parts"))
}

/// How long a list is, items that have extensions only included.
fn length(object: &Map<String, Value>, key: &str) -> usize {
    let of = |key: &str| object.get(key).and_then(Value::as_array).map_or(0, Vec::len);
    of(key).max(of(&format!("_{key}")))
}

/// Sets an element that does not repeat; without a value and sibling, removes it.
pub(super) fn set(object: &mut Map<String, Value>, key: &str, json: Json) {
    let mut put = |key: &str, value: Option<Value>| match value {
        Some(value) => drop(object.insert(key.to_owned(), value)),
        None => drop(object.shift_remove(key)),
    };
    put(key, json.value);
    put(&format!("_{key}"), json.sibling);
}

/// Inserts an item, and its place among the siblings.
pub(super) fn list_insert(object: &mut Map<String, Value>, key: &str, index: usize, json: Json) {
    change(object, key, |values, siblings| {
        values.insert(index.min(values.len()), json.value.unwrap_or_default());
        siblings.insert(index.min(siblings.len()), json.sibling.unwrap_or_default());
    });
}

/// Takes an item out, with its sibling.
fn list_remove(object: &mut Map<String, Value>, key: &str, index: usize) -> Json {
    let mut taken = Json { value: None, sibling: None };
    change(object, key, |values, siblings| {
        if index < values.len() {
            taken = Json { value: known(values.remove(index)), sibling: known(siblings.remove(index)) };
        }
    });
    taken
}

fn known(value: Value) -> Option<Value> {
    Some(value).filter(|value| !value.is_null())
}

/// Both lists of a key, made equally long for the change. What holds nothing afterwards goes.
fn change(object: &mut Map<String, Value>, key: &str, alter: impl FnOnce(&mut Vec<Value>, &mut Vec<Value>)) {
    let sibling_key = format!("_{key}");
    let list = |value: Option<&mut Value>| match value {
        Some(Value::Array(items)) => std::mem::take(items),
        _ => Vec::new(),
    };
    let (mut values, mut siblings) = (list(object.get_mut(key)), list(object.get_mut(&sibling_key)));
    let longest = values.len().max(siblings.len());
    values.resize(longest, Value::Null);
    siblings.resize(longest, Value::Null);
    alter(&mut values, &mut siblings);
    for (key, items) in [(key, values), (sibling_key.as_str(), siblings)] {
        if items.iter().all(Value::is_null) {
            object.shift_remove(key);
        } else {
            object.insert(key.to_owned(), Value::Array(items));
        }
    }
}
