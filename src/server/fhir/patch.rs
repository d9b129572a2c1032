//! Patch, by id and by search. <https://hl7.org/fhir/R4/http.html#patch>
//!
//! A patch is applied inside the write group, to the version that is current there: nobody's change is lost, and
//! nothing needs to be tried again.

use axum::http::{HeaderName, header};

use super::super::answer::{self, Answer};
use super::call::{Call, Stop};
use super::{render, write};
use crate::fhir::bundle::Operation;
use crate::fhir::outcome::{IssueType, Outcome};
use crate::fhir::patch::{JSON_PATCH, Patch, XML_PATCH};
use crate::fhir::resource;

/// The media types of patches. <https://www.rfc-editor.org/rfc/rfc5789#section-3.1>
pub const ACCEPT_PATCH: [&str; 4] = [JSON_PATCH, XML_PATCH, "application/fhir+json", "application/fhir+xml"];

/// `PATCH Type/id`
pub async fn patch(call: &Call, kind: &str, id: &str) -> Result<Answer, Stop> {
    write::check_id(id)?;
    let patch = match body_of(call) {
        Ok(patch) => patch,
        Err(outcome) => return unread(outcome),
    };
    let (kind, condition) = (write::known(kind)?, write::condition(call)?);
    write::one(call, Operation::Patch { kind, id: id.to_owned(), patch, condition }).await
}

/// `PATCH Type?query`: exactly one match.
pub async fn patch_match(call: &Call, kind: &str) -> Result<Answer, Stop> {
    let patch = match body_of(call) {
        Ok(patch) => patch,
        Err(outcome) => return unread(outcome),
    };
    let (kind, condition) = (write::known(kind)?, write::condition(call)?);
    write::one(call, Operation::PatchMatch { kind, query: call.condition(), patch, condition }).await
}

fn body_of(call: &Call) -> Result<Patch, Outcome> {
    let media = call.header(header::CONTENT_TYPE.as_str()).unwrap_or_default();
    let media = media.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    match media.as_str() {
        JSON_PATCH => Patch::json(&call.body),
        XML_PATCH => Patch::xml(&call.body),
        "application/merge-patch+json" => {
            let text = "patches of this kind are not read here";
            Err(Outcome::error(IssueType::NotSupported, "unsupported-media-type", text)
                .status(415)
                .hint(format!("send {}", ACCEPT_PATCH.join(" or "))))
        }
        _ => Patch::of_value(&resource::json(call.json()?)?),
    }
}

/// A refused media type is answered with those that are read.
fn unread(outcome: Outcome) -> Result<Answer, Stop> {
    if outcome.status != 415 {
        return Err(outcome.into());
    }
    let mut answer = answer::refusal(&outcome);
    let name = HeaderName::from_static("accept-patch");
    render::set(answer.headers_mut(), name, &ACCEPT_PATCH.join(", "));
    Ok(answer)
}
