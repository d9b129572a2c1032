//! `$validate`: what would be said of a resource if it were written, and advice. Writes nothing.
//! <https://hl7.org/fhir/R4/resource-operation-validate.html>
//!
//! The answer is 200 with an OperationOutcome whatever is found; only what cannot be read is refused.

use serde_json::Value;

use super::super::super::answer::Answer;
use super::super::call::{Call, Stop};
use super::super::read;
use super::arguments::bad;
use super::{Arguments, Place, answered};
use crate::fhir::outcome::{Issue, IssueType, Outcome, Severity};
use crate::fhir::resource::Resource;
use crate::fhir::structure;

/// What the caller has in mind.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Mode {
    Any,
    Create,
    Update,
    Delete,
}

/// `POST Type/$validate`, `POST Type/id/$validate`
pub async fn validate(call: &Call, place: &Place, arguments: &Arguments) -> Result<Answer, Stop> {
    let mode = match arguments.text("mode")?.as_deref() {
        // `profile` asks for what any call does: to validate against profiles.
        None | Some("profile") => Mode::Any,
        Some("create") => Mode::Create,
        Some("update") => Mode::Update,
        Some("delete") => Mode::Delete,
        Some(_) => return Err(bad("mode", "is create, update, delete or profile").into()),
    };
    let profiles = arguments.texts("profile");
    let issues = match (arguments.resource("resource"), place.id()) {
        (_, Some(_)) if mode == Mode::Delete => deletable(call, place).await?,
        (Some(resource), _) => judge(call, place, mode, resource, &profiles),
        (None, Some(_)) => judge(call, place, Mode::Any, &stored(call, place).await?, &profiles),
        (None, None) => return Err(nothing_given().into()),
    };
    let outcome = Outcome::of(issues).unwrap_or_else(|| Outcome::information("no-issues", "no issues"));
    Ok(answered(call, &outcome.to_value()))
}

fn nothing_given() -> Outcome {
    let text = "there is nothing to validate";
    Outcome::error(IssueType::Required, "parameter-missing", text)
        .hint("send the resource as the body, or as the parameter `resource` of Parameters")
}

/// Everything that is wrong, then advice.
fn judge(call: &Call, place: &Place, mode: Mode, resource: &Value, profiles: &[String]) -> Vec<Issue> {
    let mut issues = at_its_place(place, mode, resource);
    issues.extend(structure::advise(resource));
    if issues.iter().all(|issue| issue.severity != Severity::Error) {
        issues
            .extend(Resource::from_value(resource.clone()).err().into_iter().flat_map(|found| found.issues));
        issues.extend(call.app.profiles.advise(resource, profiles));
    }
    issues
}

/// Its type is the path's, and its id is what the interaction wants.
fn at_its_place(place: &Place, mode: Mode, resource: &Value) -> Vec<Issue> {
    let kind = resource.get("resourceType").and_then(Value::as_str).unwrap_or_default();
    let mut issues = Vec::new();
    if kind != place.kind() {
        let text = format!("the resource is not a {}", place.kind());
        issues.push(Issue::error(IssueType::Invalid, "type-mismatch", text).at("resourceType"));
    }
    let id = resource.get("id").and_then(Value::as_str);
    let at = format!("{}.id", place.kind());
    match (mode, place.id(), id) {
        (Mode::Create, Some(_), _) => {
            let text = "what is created has no id in the url yet";
            issues.push(Issue::error(IssueType::BusinessRule, "id-given", text).at(at));
        }
        (Mode::Update, _, None) => {
            let text = "a resource that is PUT has the id of the url";
            issues.push(Issue::error(IssueType::Required, "id-missing", text).at(at));
        }
        (Mode::Update | Mode::Any, Some(wanted), Some(id)) if wanted != id => {
            let text = "the resource's id is not the one in the url";
            issues.push(Issue::error(IssueType::Value, "id-mismatch", text).at(at));
        }
        _ => {}
    }
    issues
}

/// Nothing forbids a delete here; one of what is not there does nothing.
async fn deletable(call: &Call, place: &Place) -> Result<Vec<Issue>, Stop> {
    let (kind, id) = (place.kind(), place.id().unwrap_or_default());
    let found = call.app.store.read(&call.tenant, kind, id).await?;
    if found.is_some_and(|stored| read::version_of(&stored).is_some()) {
        return Ok(Vec::new());
    }
    let issue = Issue::error(IssueType::NotFound, "not-found", "there is nothing to delete");
    Ok(vec![issue.severity(Severity::Warning).at(kind)])
}

/// The current version.
async fn stored(call: &Call, place: &Place) -> Result<Value, Stop> {
    let (kind, id) = (place.kind(), place.id().unwrap_or_default());
    let stored = read::current(call, kind, id).await?;
    let Some(version) = read::version_of(&stored) else {
        return Err(super::super::render::gone_outcome(kind, id).into());
    };
    Ok(serde_json::from_str(&version.text()).unwrap_or_default())
}
