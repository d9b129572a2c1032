//! Tracked entities as DHIS2 holds them: read by UID, or looked for by attributes.
//!
//! **Never** decides by one attribute that names many: candidates have a score, and the best must be ahead.

use std::collections::BTreeMap;

use serde_json::Value;

use super::answer;
use crate::delivery::destination::{Exchange, Failure, FailureKind, Reason};
use crate::dhis2::client::{Client, Request};
use crate::dhis2::version::Version;

/// Members of a tracked entity that are asked for.
const FIELDS: &str = "trackedEntity,trackedEntityType,orgUnit,attributes[attribute,value],\
    enrollments[enrollment,program,status,orgUnit,enrolledAt,occurredAt,followUp,geometry,\
    attributes[attribute,value],events[event,program,programStage,status,orgUnit,occurredAt,scheduledAt,\
    dataValues[dataElement,value]]],relationships[relationship,relationshipType,from,to]";
/// Candidates of one attribute. More than these tell nothing.
const CANDIDATES: usize = 50;

/// Asks an instance.
pub(super) struct Asking<'a> {
    pub client: &'a Client,
    pub version: Version,
    pub exchanges: &'a mut Vec<Exchange>,
}

/// One of `find`.
pub(super) struct Pair<'a> {
    pub attribute: &'a str,
    pub value: &'a str,
    pub weight: i64,
}

/// Who was found.
pub(super) enum Found {
    One(Box<Value>),
    Nobody,
    /// Several that are too much alike.
    Several(usize),
}

impl Asking<'_> {
    /// A tracked entity with its enrolments and events; `None`: it is not there. With `program` its
    /// attributes of that program are among them.
    ///
    /// # Errors
    /// [`Failure`], as the table of answers has it.
    pub async fn read(&mut self, uid: &str, program: Option<&str>) -> Result<Option<Value>, Failure> {
        let mut query = vec![("fields", FIELDS.to_owned())];
        query.extend(program.map(|program| ("program", program.to_owned())));
        self.one(&format!("tracker/trackedEntities/{uid}"), query).await
    }

    /// An event of an event program; `None`: it is not there.
    ///
    /// # Errors
    /// [`Failure`], as the table of answers has it.
    pub async fn event(&mut self, uid: &str) -> Result<Option<Value>, Failure> {
        let fields =
            "event,program,programStage,status,orgUnit,occurredAt,scheduledAt,dataValues[dataElement,value]";
        self.one(&format!("tracker/events/{uid}"), vec![("fields", fields.to_owned())]).await
    }

    async fn one(&mut self, path: &str, query: Vec<(&str, String)>) -> Result<Option<Value>, Failure> {
        let (response, exchange) = self.client.send(Request::get(path, query)).await;
        self.exchanges.push(exchange);
        let response = response?;
        let json: Value = serde_json::from_str(&response.body).unwrap_or(Value::Null);
        match response.status {
            200 if json.is_object() => Ok(Some(json)),
            // With DHIS2's own code, or it may be a wrong address.
            404 if json["errorCode"] == "E1005" || json["httpStatusCode"] == 404 => Ok(None),
            _ => Err(Failure { unclear: false, ..answer::failure(&response) }),
        }
    }

    /// Looks for a tracked entity of a type. Each attribute is asked for alone, so that one that is wrong in
    /// DHIS2 does not hide the others.
    ///
    /// # Errors
    /// [`Failure`]; `Rejected` where DHIS2 does not search by an attribute.
    pub async fn find(&mut self, kind: &str, pairs: &[Pair<'_>], margin: i64) -> Result<Found, Failure> {
        let mut scores: BTreeMap<String, (i64, Value)> = BTreeMap::new();
        for pair in pairs {
            for entity in self.search(kind, pair).await? {
                let Some(uid) = entity["trackedEntity"].as_str().map(str::to_owned) else { continue };
                scores.entry(uid).or_insert((0, entity)).0 += pair.weight;
            }
        }
        let mut ranked: Vec<(i64, Value)> =
            scores.into_values().filter(|(score, _)| *score >= margin).collect();
        ranked.sort_by_key(|(score, _)| std::cmp::Reverse(*score));
        let count = ranked.len();
        let mut ranked = ranked.into_iter();
        Ok(match (ranked.next(), ranked.next()) {
            (None, _) => Found::Nobody,
            (Some((best, _)), Some((next, _))) if best - next < margin => Found::Several(count),
            (Some((_, entity)), _) => Found::One(Box::new(entity)),
        })
    }

    async fn search(&mut self, kind: &str, pair: &Pair<'_>) -> Result<Vec<Value>, Failure> {
        let (mode, list) = match self.version.minor {
            ..=40 => ("ouMode", "instances"),
            _ => ("orgUnitMode", "trackedEntities"),
        };
        let query = vec![
            ("trackedEntityType", kind.to_owned()),
            (mode, "ACCESSIBLE".to_owned()),
            ("filter", format!("{}:eq:{}", pair.attribute, escaped(pair.value, self.version))),
            ("fields", FIELDS.to_owned()),
            ("pageSize", CANDIDATES.to_string()),
        ];
        let (response, exchange) = self.client.send(Request::get("tracker/trackedEntities", query)).await;
        self.exchanges.push(exchange);
        let response = response?;
        let json: Value = serde_json::from_str(&response.body).unwrap_or(Value::Null);
        match json.get(list).and_then(Value::as_array) {
            Some(found) if response.status == 200 => Ok(found.clone()),
            _ if matches!(response.status, 400 | 409) => Err(refused(pair.attribute)),
            _ => Err(Failure { unclear: false, ..answer::failure(&response) }),
        }
    }
}

fn refused(attribute: &str) -> Failure {
    Failure {
        kind: FailureKind::Rejected,
        reason: Reason::new(
            "dhis2-search-refused",
            format!("DHIS2 does not look for tracked entities by the attribute {attribute}"),
            "see that it exists, that it is searchable, and that the type is shared with the account",
        ),
        unclear: false,
        retry_after: None,
    }
}

/// `:`, `,` and `/` are escaped from 2.40 on; before, nothing is.
fn escaped(value: &str, version: Version) -> String {
    if version.minor < 40 {
        return value.to_owned();
    }
    value.chars().fold(String::new(), |mut out, c| {
        if matches!(c, ':' | ',' | '/') {
            out.push('/');
        }
        out.push(c);
        out
    })
}

/// The enrolments of a tracked entity.
pub(super) fn enrollments(entity: &Value) -> impl Iterator<Item = &Value> {
    entity["enrollments"].as_array().map_or(&[][..], Vec::as_slice).iter()
}

/// The events of an enrolment.
pub(super) fn events(enrollment: &Value) -> impl Iterator<Item = &Value> {
    enrollment["events"].as_array().map_or(&[][..], Vec::as_slice).iter()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn marks_of_a_filter_are_escaped_where_dhis2_knows_how() {
        assert_eq!(escaped("a:b,c/d", Version::new(40, 0)), "a/:b/,c//d");
        assert_eq!(escaped("a:b", Version::new(39, 0)), "a:b");
    }
}
