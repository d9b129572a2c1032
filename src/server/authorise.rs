//! From a request's `Authorization` to a [`Principal`].

use axum::http::{HeaderMap, header};

use super::answer;
use super::app::App;
use crate::auth::credentials::Credentials;
use crate::auth::{Denied, Principal, token};
use crate::fhir::outcome::Outcome;

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
    let found = token::recognise(&app.store, tenant, &credentials).await;
    let principal = found.map_err(|error| answer::of_store(&error))?;
    principal.ok_or_else(|| {
        tracing::warn!("credentials were refused");
        answer::denied(&Denied::Unknown)
    })
}
