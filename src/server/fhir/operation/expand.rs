//! `ValueSet/$expand` of what is stored or given. <https://hl7.org/fhir/R4/valueset-operation-expand.html>

use super::super::super::answer::Answer;
use super::super::call::{Call, Stop};
use super::super::terminology;
use super::arguments::bad;
use super::stored::{self, Named};
use super::{Arguments, Place, answered};
use crate::fhir::outcome::{IssueType, Outcome};
use crate::fhir::terminology::expand::{self, Wanted};

/// How a value set is named.
pub const VALUE_SET: Named =
    Named { kind: "ValueSet", resource: "valueSet", url: "url", version: "valueSetVersion" };

/// `GET ValueSet/$expand?url=…`, `GET ValueSet/id/$expand`, and by POST.
pub async fn expand(call: &Call, place: &Place, arguments: &Arguments) -> Result<Answer, Stop> {
    let set = stored::named(call, place, arguments, &VALUE_SET).await?;
    let set = set.ok_or_else(|| {
        let text = "the operation needs a value set: `url`, `valueSet`, or the id in the path";
        Outcome::error(IssueType::Required, "parameter-missing", text)
    })?;
    if set.get("resourceType").is_none_or(|kind| kind != "ValueSet") {
        return Err(bad("valueSet", "is a ValueSet").into());
    }
    let wanted = Wanted {
        filter: arguments.text("filter")?.filter(|text| !text.trim().is_empty()),
        offset: index(arguments.number("offset")?).unwrap_or(0),
        count: index(arguments.number("count")?),
        active_only: arguments.is_set("activeOnly")?,
        designations: arguments.is_set("includeDesignations")?,
        definition: arguments.is_set("includeDefinition")?,
    };
    let whole = terminology::whole(call, set).await?;
    let identifier = uuid::Uuid::new_v4().urn().to_string();
    let now = format!("{:.0}", jiff::Timestamp::now());
    let work = move || expand::expand(&whole.set, &whole.known, &wanted, (&identifier, &now));
    Ok(answered(call, &terminology::apart(work).await?))
}

fn index(number: Option<u32>) -> Option<usize> {
    number.and_then(|number| usize::try_from(number).ok())
}
