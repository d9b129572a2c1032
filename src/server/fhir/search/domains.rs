//! The domains of identifiers that a client of IHE's PDQm asks for, if this server knows them all.
//! <https://profiles.ihe.net/ITI/PDQm/ITI-78.html> (Expected Actions, case 4)

use super::super::super::answer;
use super::super::call::{Call, Stop};
use crate::fhir::client::Profile;
use crate::fhir::outcome::{Issue, IssueType, Outcome, Severity};
use crate::fhir::pdqm::Domains;
use crate::fhir::query::Query;
use crate::store::search::{Page, TotalWanted};

/// Each one is looked up.
const DOMAINS_MAX: usize = 50;

/// What the answer is trimmed to; `None`: to nothing, as for every client without the profile.
///
/// # Errors
/// 404 where nobody here has an identifier of a domain; 400 for too many of them.
pub async fn wanted(call: &Call, queries: &[Query]) -> Result<Option<Domains>, Stop> {
    if call.principal.profile != Some(Profile::Pdqm) {
        return Ok(None);
    }
    let Some(domains) = Domains::of(queries) else { return Ok(None) };
    if domains.names().len() > DOMAINS_MAX {
        let text = format!("a search names at most {DOMAINS_MAX} domains of identifiers");
        return Err(Outcome::error(IssueType::TooCostly, "too-costly", text).into());
    }
    let page = Page { count: 1, total: TotalWanted::None, ..Page::default() };
    for domain in domains.names() {
        let holders = [Domains::holders(domain)];
        if call.app.store.search_across(&call.tenant, &holders, &page).await?.entries.is_empty() {
            return Err(unknown(domain).into());
        }
    }
    Ok(Some(domains))
}

/// In IHE's own words, severity included.
fn unknown(domain: &str) -> Outcome {
    let issue = Issue::error(IssueType::NotFound, "unknown-domain", "targetSystem not found");
    let hint = format!("targetSystem not found: no Patient has an identifier of {}", answer::plain(domain));
    issue.severity(Severity::Warning).hint(hint).into()
}
