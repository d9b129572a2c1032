//! From a request's `Authorization`, or the address that it comes from, to a [`Principal`].

use axum::http::{Extensions, HeaderMap, HeaderValue, header};

use super::answer;
use super::app::App;
use super::listen::Peer;
use crate::auth::credentials::Credentials;
use crate::auth::jwt::Verdict;
use crate::auth::{Denied, Principal, token};
use crate::fhir::outcome::{IssueType, Outcome};

/// What a request says of who calls.
#[derive(Clone, Copy)]
pub struct Caller<'a> {
    headers: &'a HeaderMap,
    peer: Option<Peer>,
}

impl<'a> Caller<'a> {
    pub fn of(headers: &'a HeaderMap, extensions: &Extensions) -> Self {
        Self { headers, peer: extensions.get::<Peer>().copied() }
    }
}

/// Who calls, in one tenant.
///
/// # Errors
/// 401 where nobody has these credentials there; 503 or 500 where the store cannot tell.
pub async fn principal(app: &App, tenant: &str, caller: Caller<'_>) -> Result<Principal, Outcome> {
    if app.auth_disabled {
        return Ok(Principal::anyone());
    }
    let header = brought(caller.headers);
    if let Some(Peer(address)) = caller.peer.filter(|_| header.is_none())
        && let Some(principal) = app.gateways.recognise(tenant, address)
    {
        return Ok(principal);
    }
    let Some(credentials) = header.and_then(|value| value.to_str().ok()).and_then(Credentials::parse) else {
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

/// The first `Authorization` that says anything, whether it can be read or not: OpenSRP's gateway sends an empty one.
pub fn brought(headers: &HeaderMap) -> Option<&HeaderValue> {
    headers.get_all(header::AUTHORIZATION).iter().find(|value| !value.as_bytes().trim_ascii().is_empty())
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn credentials_are_whatever_is_not_blank() {
        let of = |values: &[&'static [u8]]| {
            let mut headers = HeaderMap::new();
            for value in values {
                headers.append(header::AUTHORIZATION, HeaderValue::from_bytes(value).unwrap());
            }
            brought(&headers).map(|value| value.as_bytes().to_vec())
        };
        for silent in [&[][..], &[&b""[..]][..], &[&b" \t"[..], b""][..]] {
            assert_eq!(of(silent), None, "{silent:?}");
        }
        assert_eq!(of(&[b"", b"Bearer x"]), Some(b"Bearer x".to_vec()));
        assert_eq!(of(&[b"Bearer \xe9"]), Some(b"Bearer \xe9".to_vec()));
    }
}
