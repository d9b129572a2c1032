//! Opting out and in again: a tag of the person's resource, as emNutt has it.

use axum::http::StatusCode;
use serde_json::{Value, json};

use super::super::answer::{self, Answer};
use super::inner::Inner;
use super::{plain, requests};
use crate::fhir::outcome::{IssueType, Outcome};

const SYSTEM: &str = "http://mhero.org/codesystem";
const CODE: &str = "optedout";
/// People of one request.
const PEOPLE_MAX: usize = 1_000;

/// Which way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Direction {
    Out,
    In,
}

/// `?globalid=ID&entitytype=TYPE`, or a list of such objects: 200 with the answer to each, as those to a batch's
/// entries; so is what is not there.
pub async fn set(
    inner: &Inner<'_>,
    direction: Direction,
    (query, body): (&[(String, String)], &Value),
) -> Result<Answer, Outcome> {
    let people = people(query, body).ok_or_else(|| {
        let text = "name `globalid` and `entitytype`, or a list of at most 1,000 of them";
        Outcome::error(IssueType::Structure, "person", text)
    })?;
    let mut entries = Vec::new();
    for (kind, id) in people {
        let status = requests::change(inner, (&kind, &id), |person| tag(person, direction)).await?;
        entries.push(match status.as_u16() {
            200 => json!({ "response": { "status": "200 OK", "location": format!("{kind}/{id}") } }),
            404 | 410 => json!({ "response": { "status": "404 Not Found" } }),
            _ => return Ok(plain(status, "")),
        });
    }
    Ok(answer::plain_json(StatusCode::OK, &Value::Array(entries)))
}

fn people(query: &[(String, String)], body: &Value) -> Option<Vec<(String, String)>> {
    let named = |of: &dyn Fn(&str) -> Option<String>| Some((of("entitytype")?, of("globalid")?));
    let of = |key: &str| query.iter().find(|(name, _)| name == key).map(|(_, value)| value.clone());
    let Some(items) = body.as_array() else { return Some(vec![named(&of)?]) };
    let item = |item: &Value| named(&|key| Some(item.get(key)?.as_str()?.to_owned()));
    let listed: Vec<_> =
        (items.len() <= PEOPLE_MAX).then(|| items.iter().map(item).collect::<Option<_>>())??;
    Some(named(&of).into_iter().chain(listed).collect())
}

fn tag(person: &mut Value, direction: Direction) {
    let Some(person) = person.as_object_mut() else { return };
    let meta = person.entry("meta").or_insert_with(|| json!({}));
    let Some(meta) = meta.as_object_mut() else { return };
    let tags = meta.entry("tag").or_insert_with(|| json!([]));
    if let Some(tags) = tags.as_array_mut() {
        tags.retain(|tag| tag.get("system") != Some(&json!(SYSTEM)) || tag.get("code") != Some(&json!(CODE)));
        if direction == Direction::Out {
            tags.push(json!({ "system": SYSTEM, "code": CODE, "display": "Opted Out" }));
        }
        if tags.is_empty() {
            meta.shift_remove("tag");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_person_has_the_tag_once_or_not() {
        let mut person = json!({ "resourceType": "Practitioner", "meta": { "tag": [{ "code": "other" }] } });
        tag(&mut person, Direction::Out);
        tag(&mut person, Direction::Out);
        assert_eq!(person["meta"]["tag"].as_array().unwrap().len(), 2);
        tag(&mut person, Direction::In);
        assert_eq!(person["meta"]["tag"], json!([{ "code": "other" }]));
        let mut bare = json!({});
        tag(&mut bare, Direction::In);
        assert_eq!(bare, json!({ "meta": {} }));
    }

    #[test]
    fn people_are_named_in_the_query_or_in_a_list() {
        let query = [("globalid".to_owned(), "1".to_owned()), ("entitytype".to_owned(), "Person".to_owned())];
        let one = ("Person".to_owned(), "1".to_owned());
        assert_eq!(people(&query, &Value::Null), Some(vec![one.clone()]));
        let list =
            json!([{ "globalid": "1", "entitytype": "Person" }, { "globalid": "1", "entitytype": "Person" }]);
        assert_eq!(people(&[], &list), Some(vec![one.clone(), one.clone()]));
        assert_eq!(people(&query, &list), Some(vec![one.clone(), one.clone(), one]));
        assert_eq!(people(&[], &json!([])), Some(Vec::new()));
        assert_eq!(people(&[], &json!([{ "globalid": "1" }])), None);
        assert_eq!(people(&[], &json!({})), None);
    }
}
