//! From a request's `Authorization` to a [`Principal`].

use axum::http::{HeaderMap, header};

use super::answer;
use super::app::App;
use crate::auth::credentials::Credentials;
use crate::auth::jwt::Verdict;
use crate::auth::{Denied, Principal, token};
use crate::fhir::outcome::{IssueType, Outcome};

/// Who calls, in one tenant.
///
/// # Errors
/// 401 where nobody has these credentials there; 503 or 500 where the store cannot tell.
pub async fn principal(app: &App, tenant: &str, headers: &HeaderMap) -> Result<Principal, Outcome> {
    if app.auth_disabled {
        return Ok(Principal::anyone());
    }
    let header = headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok());
    let Some(credentials) = header.and_then(Credentials::parse) else {
        return Err(answer::denied(&Denied::Unknown));
    };
    if let Some(verdict) = app.issuers.recognise(tenant, &credentials).await {
        return of_verdict(verdict);
    }
    let found = token::recognise(&app.store, tenant, &credentials).await;
    let principal = found.map_err(|error| answer::of_store(&error))?;
    principal.ok_or_else(|| {
        tracing::warn!("credentials were refused");
        answer::denied(&Denied::Unknown)
    })
}

fn of_verdict(verdict: Verdict) -> Result<Principal, Outcome> {
    match verdict {
        Verdict::Known(principal) => Ok(*principal),
        Verdict::Expired => Err(answer::denied(&Denied::Expired)),
        Verdict::Unknown => {
            tracing::warn!("a token of an identity provider was refused");
            Err(answer::denied(&Denied::Unknown))
        }
        // Not 401: the client would ask for another token, or log its user out.
        Verdict::Unavailable => {
            let text = "the identity provider's keys cannot be read now";
            Err(Outcome::error(IssueType::Throttled, "keys-unavailable", text).status(503))
        }
    }
}
