//! Changing references throughout a resource, along the element table.
//!
//! Transactions replace what names an entry: `Reference.reference`, elements of type uri and url, and links in
//! narratives, but **never** canonicals; nor elements of type oid and uuid, which cannot hold `Patient/1`.
//! <https://hl7.org/fhir/R4/http.html#trules>

use std::collections::{BTreeMap, HashMap};

use serde_json::{Map, Value};

use super::{Literal, parse};
use crate::fhir::elements::{Content, Node, Primitive, table};

/// Replaces each reference that is a key of `map` by its value. A fragment or version is kept.
pub fn replace(resource: &mut Value, map: &HashMap<String, String>) {
    visit(resource, &mut |place, text| match place {
        Place::Reference | Place::Link => {
            let found = map.get(text.as_str()).cloned().or_else(|| suffixed(text, map));
            if let Some(new) = found {
                *text = new;
            }
        }
        Place::Narrative => links(text, map),
    });
}

/// Lets literal references that are a key of `map` name its value instead; tells whether there was one. Those to a
/// version, links and narratives stay.
pub fn redirect(resource: &mut Value, map: &HashMap<String, String>) -> bool {
    let mut changed = false;
    visit(resource, &mut |place, text| {
        if let (Place::Reference, Some(new)) = (place, map.get(text.as_str())) {
            new.clone_into(text);
            changed = true;
        }
    });
    changed
}

/// Makes absolute references under `base` relative, so that they are found like all others.
pub fn localise(resource: &mut Value, base: &str) {
    let base = format!("{}/", base.trim_end_matches('/'));
    visit(resource, &mut |place, text| {
        if let (Place::Reference, Some(relative)) = (place, text.strip_prefix(&base))
            && matches!(parse(relative), Literal::Relative { .. } | Literal::Conditional { .. })
        {
            *text = relative.to_owned();
        }
    });
}

/// The conditional references of a resource (`Patient?identifier=x`), each with the FHIRPath of one place.
pub fn conditional(resource: &Value) -> BTreeMap<String, String> {
    let mut out = BTreeMap::new();
    find(resource, kind_of(resource).to_owned(), &mut |text, place| {
        if let Literal::Conditional { .. } = parse(text) {
            out.entry(text.to_owned()).or_insert(place);
        }
    });
    out
}

/// The FHIRPath of a reference to a `urn:uuid`, if there is one.
pub fn placeholder(resource: &Value) -> Option<String> {
    let mut out = None;
    find(resource, kind_of(resource).to_owned(), &mut |text, place| {
        if text.starts_with("urn:uuid:") {
            out.get_or_insert(place);
        }
    });
    out
}

fn kind_of(resource: &Value) -> &str {
    resource.get("resourceType").and_then(Value::as_str).unwrap_or_default()
}

/// Each text of a `reference`, with its FHIRPath.
fn find(value: &Value, path: String, found: &mut impl FnMut(&str, String)) {
    match value {
        Value::Object(object) => {
            for (key, item) in object {
                let inner = format!("{path}.{key}");
                match item.as_str() {
                    Some(text) if key == "reference" => found(text, inner),
                    _ => find(item, inner, found),
                }
            }
        }
        Value::Array(items) => {
            for (index, item) in items.iter().enumerate() {
                find(item, format!("{path}[{index}]"), found);
            }
        }
        _ => {}
    }
}

/// Where a text that may name a resource stands.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Place {
    /// `Reference.reference`
    Reference,
    /// An element of type uri or url.
    Link,
    /// A narrative's XHTML.
    Narrative,
}

fn visit(resource: &mut Value, change: &mut impl FnMut(Place, &mut String)) {
    let Some(object) = resource.as_object_mut() else { return };
    let kind = object.get("resourceType").and_then(Value::as_str).unwrap_or_default();
    if let Some(node) = table().node(kind) {
        visit_object(node, object, change);
    }
}

fn visit_object(
    node: &'static Node,
    object: &mut Map<String, Value>,
    change: &mut impl FnMut(Place, &mut String),
) {
    for (name, value) in object {
        if let Some(key) = node.keys.get(name.as_str()) {
            let place = place(node, name, key.content);
            visit_value(key.content, place, value, change);
        } else if let Some(element) = table().node("Element")
            && name.starts_with('_')
        {
            // Extensions of primitives may hold references.
            visit_siblings(element, value, change);
        }
    }
}

fn visit_siblings(element: &'static Node, value: &mut Value, change: &mut impl FnMut(Place, &mut String)) {
    match value {
        Value::Object(inner) => visit_object(element, inner, change),
        Value::Array(items) => {
            items
                .iter_mut()
                .filter_map(Value::as_object_mut)
                .for_each(|inner| visit_object(element, inner, change));
        }
        _ => {}
    }
}

fn place(node: &Node, name: &str, content: Content) -> Option<Place> {
    match content {
        Content::Primitive(_) if node.name == "Reference" && name == "reference" => Some(Place::Reference),
        Content::Primitive(Primitive::Uri | Primitive::Url) => Some(Place::Link),
        Content::Primitive(Primitive::Xhtml) => Some(Place::Narrative),
        _ => None,
    }
}

fn visit_value(
    content: Content,
    place: Option<Place>,
    value: &mut Value,
    change: &mut impl FnMut(Place, &mut String),
) {
    match (value, content) {
        (Value::Array(items), _) => {
            items.iter_mut().for_each(|item| visit_value(content, place, item, change))
        }
        (Value::String(text), Content::Primitive(_)) => {
            if let Some(place) = place {
                change(place, text);
            }
        }
        (value @ Value::Object(_), Content::Resource) => visit(value, change),
        (Value::Object(object), Content::Complex(index)) => {
            if let Some(node) = table().at(index) {
                visit_object(node, object, change);
            }
        }
        _ => {}
    }
}

/// `urn:uuid:a#part` and `KEY/_history/1`: the part in the map is replaced, the rest kept.
fn suffixed(text: &str, map: &HashMap<String, String>) -> Option<String> {
    let at = text.find("/_history/").or_else(|| text.rfind('#')).filter(|at| *at > 0)?;
    let (key, rest) = text.split_at_checked(at)?;
    map.get(key).map(|new| format!("{new}{rest}"))
}

/// Replaces the values of `href` and `src` attributes.
fn links(xhtml: &mut String, map: &HashMap<String, String>) {
    let mut out = String::with_capacity(xhtml.len());
    let mut rest = xhtml.as_str();
    while let Some((before, quote, value, after)) = next_link(rest) {
        out.push_str(before);
        out.push_str(map.get(value).map_or(value, String::as_str));
        out.push(quote);
        rest = after;
    }
    out.push_str(rest);
    *xhtml = out;
}

/// (text up to and including the quote, the quote, the attribute's value, what follows its closing quote)
fn next_link(text: &str) -> Option<(&str, char, &str, &str)> {
    let mut from = 0;
    loop {
        let rest = text.get(from..)?;
        let at =
            ["href=", "src="].iter().filter_map(|name| rest.find(name).map(|at| at + name.len())).min()?;
        from += at;
        if let Some(quote) = text.get(from..)?.chars().next().filter(|c| matches!(c, '"' | '\'')) {
            let (before, value) = text.split_at_checked(from + 1)?;
            let end = value.find(quote)?;
            return Some((before, quote, value.get(..end)?, value.get(end + 1..)?));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn map(pairs: &[(&str, &str)]) -> HashMap<String, String> {
        pairs.iter().map(|(from, to)| ((*from).to_owned(), (*to).to_owned())).collect()
    }

    #[test]
    fn references_links_and_narratives_are_rewritten_but_not_canonicals() {
        let mut resource = json!({
            "resourceType": "QuestionnaireResponse", "status": "completed",
            "questionnaire": "urn:uuid:a",
            "text": {"status": "generated", "div": "<div><a href=\"urn:uuid:a\">x</a><img src='urn:uuid:b'/></div>"},
            "contained": [{"resourceType": "Patient", "id": "c", "managingOrganization": {"reference": "urn:uuid:a"}}],
            "subject": {"reference": "urn:uuid:a", "display": "urn:uuid:a"},
            "_status": {"extension": [{"url": "http://e", "valueReference": {"reference": "urn:uuid:a#x"}}]},
            "item": [{"linkId": "1", "answer": [{"valueUri": "urn:uuid:a"}, {"valueString": "urn:uuid:a"}]}],
            "extension": [{"url": "http://e", "valueUuid": "urn:uuid:a"}]
        });
        replace(&mut resource, &map(&[("urn:uuid:a", "Patient/1"), ("urn:uuid:b", "Binary/2")]));
        assert_eq!(resource["questionnaire"], "urn:uuid:a");
        assert_eq!(resource["text"]["div"], "<div><a href=\"Patient/1\">x</a><img src='Binary/2'/></div>");
        assert_eq!(resource["contained"][0]["managingOrganization"]["reference"], "Patient/1");
        assert_eq!(resource["subject"]["reference"], "Patient/1");
        assert_eq!(resource["subject"]["display"], "urn:uuid:a");
        assert_eq!(resource["_status"]["extension"][0]["valueReference"]["reference"], "Patient/1#x");
        assert_eq!(resource["item"][0]["answer"][0]["valueUri"], "Patient/1");
        assert_eq!(resource["item"][0]["answer"][1]["valueString"], "urn:uuid:a");
        assert_eq!(resource["extension"][0]["valueUuid"], "urn:uuid:a");
    }

    #[test]
    fn broken_attributes_do_no_harm() {
        for text in ["<a href=", "<a href=x src=\"urn:uuid:a\">", "<a href=\"urn:uuid:a", "href=é src='"] {
            let mut xhtml = text.to_owned();
            links(&mut xhtml, &map(&[("urn:uuid:a", "Patient/1")]));
            let expected = text.replace("\"urn:uuid:a\"", "\"Patient/1\"");
            assert_eq!(xhtml, expected);
        }
    }

    #[test]
    fn conditional_references_are_found_with_their_place() {
        let resource =
            json!({"resourceType": "Observation", "subject": {"reference": "Patient?identifier=a|b"}});
        let found = conditional(&resource);
        assert_eq!(
            found.get("Patient?identifier=a|b").map(String::as_str),
            Some("Observation.subject.reference")
        );
    }

    #[test]
    fn references_under_our_base_become_relative() {
        let mut resource = json!({"resourceType": "Observation", "subject": {"reference": "http://us/fhir/Patient/1"}, "focus": [{"reference": "http://them/Patient/1"}]});
        localise(&mut resource, "http://us/fhir");
        assert_eq!(resource["subject"]["reference"], "Patient/1");
        assert_eq!(resource["focus"][0]["reference"], "http://them/Patient/1");
    }
}
