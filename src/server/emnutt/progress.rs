//! How far a request is, worked out from what is stored: the CommunicationRequest and the Communications based on it.

use axum::http::{Method, StatusCode};
use serde_json::{Value, json};

use super::super::answer::{self, Answer};
use super::inner::{Asked, Inner};
use crate::fhir::outcome::{IssueType, Outcome};

/// Requests that one question may name.
const REQUESTS_MAX: usize = 1_000;
/// The id of an answer to a cancellation: it says all there is to say.
const CANCELLED: &str = "cancelled-";
/// Told with each request that nothing came of yet.
const NOT_SENT: &str = "stored; messages are not sent by this server yet";

/// `?requestIDs={"childrenReqIDs":["…"]}`, as a list in the same order.
pub async fn get(inner: &Inner<'_>, query: &[(String, String)]) -> Result<Answer, Outcome> {
    let named = query.iter().find(|(name, _)| name == "requestIDs").map(|(_, value)| value.as_str());
    let named: Option<Value> = named.and_then(|text| serde_json::from_str(text).ok());
    let ids = named.as_ref().and_then(|named| named.get("childrenReqIDs")?.as_array());
    let Some(ids) = ids.filter(|ids| ids.len() <= REQUESTS_MAX) else {
        let text = "`requestIDs` is {\"childrenReqIDs\": [...]} with at most 1,000 ids";
        return Err(Outcome::error(IssueType::Structure, "request-ids", text));
    };
    let mut all = Vec::with_capacity(ids.len());
    for id in ids {
        all.push(one(inner, id.as_str().unwrap_or_default()).await?);
    }
    Ok(answer::plain_json(StatusCode::OK, &Value::Array(all)))
}

/// The id that tells how a cancellation went.
pub fn cancelled(count: usize, failed: usize) -> String {
    format!("{CANCELLED}{count}-{failed}")
}

async fn one(inner: &Inner<'_>, id: &str) -> Result<Value, Outcome> {
    if let Some((_, failed)) = id.strip_prefix(CANCELLED).and_then(|rest| rest.split_once('-')) {
        let error = (failed != "0").then_some("Some errors occured while canceling schedule");
        return Ok(shown(id, (0, 0, 0), error));
    }
    if !crate::fhir::structure::primitive::is_id(id) {
        return Ok(shown(id, (0, 0, 0), Some("this is no request")));
    }
    let request = inner.read("CommunicationRequest", id).await?;
    if request.status != StatusCode::OK {
        return Ok(shown(id, (0, 0, 0), Some("this request is not known")));
    }
    let total = request.body.get("recipient").and_then(Value::as_array).map_or(0, Vec::len);
    let sent = count(inner, id, "completed").await?;
    let failed = count(inner, id, "stopped,not-done").await?;
    let over = matches!(request.body.get("status").and_then(Value::as_str), Some("completed" | "revoked"));
    let error = if over || sent + failed >= total as u64 && total > 0 { None } else { Some(NOT_SENT) };
    Ok(shown(id, (total as u64, sent, failed), error))
}

async fn count(inner: &Inner<'_>, id: &str, status: &str) -> Result<u64, Outcome> {
    let path = format!("Communication?based-on=CommunicationRequest/{id}&status={status}&_summary=count");
    let came = inner.ask(&Asked { method: Method::GET, path: &path, body: None, if_match: None }).await?;
    Ok(came.body.get("total").and_then(Value::as_u64).unwrap_or(0))
}

/// What iHRIS' dialogue reads: it closes when every `status` is `done`, and shows `error` beside it.
fn shown(id: &str, (total, sent, failed): (u64, u64, u64), error: Option<&str>) -> Value {
    json!({
        "id": id, "totalRecords": total, "processedRecords": sent + failed, "step": 1, "totalSteps": 1,
        "status": "done", "error": error, "percent": null,
        "sendStatus": { id: { id: { "success": sent, "failed": failed, "ignored": 0 } } },
    })
}
