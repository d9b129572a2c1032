//! Making, listing, revoking and recognising tokens.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use rand::TryRngCore;
use rand::rngs::OsRng;
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

use super::Principal;
use super::credentials::Credentials;
use super::scope::Scopes;
use crate::fhir::client::Profile;
use crate::store::Store;
use crate::store::token::NewToken;

/// So that a token found in a place where it does not belong says what it is.
const PREFIX: &str = "mjumbe_";

/// A name longer than this is refused.
const NAME_LENGTH_MAX: usize = 100;

/// Why a token was not made.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error(
        "`{0}` cannot be the name of a token [bad-name]\n  hint: 1 to 100 characters without `:` or spaces"
    )]
    Name(String),
    #[error(
        "a token named `{0}` exists already [name-taken]\n  hint: choose another name, or revoke it first"
    )]
    Taken(String),
    #[error("the operating system has no random numbers: {0}")]
    Random(#[from] rand::rand_core::OsError),
    #[error(transparent)]
    Store(crate::store::Error),
}

/// What a new token is for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Grant {
    pub scopes: Scopes,
    /// The ways of the client that will send it.
    pub profile: Option<Profile>,
    /// Types whose repeated POST is an update of the one with the same identifier.
    pub upserts: Vec<String>,
}

impl Grant {
    /// For a client with known ways, with the upserts that belong to them.
    pub fn to(profile: Profile, scopes: Scopes) -> Self {
        let upserts = profile.upserts().iter().map(|kind| (*kind).to_owned()).collect();
        Self { scopes, profile: Some(profile), upserts }
    }
}

impl From<&Scopes> for Grant {
    /// For a client that sends R4.
    fn from(scopes: &Scopes) -> Self {
        Self { scopes: scopes.clone(), profile: None, upserts: Vec::new() }
    }
}

/// Makes a token and gives its text, which is kept nowhere.
///
/// # Errors
/// [`Error`], told for a person.
pub async fn create(
    store: &Store,
    tenant: &str,
    name: &str,
    grant: impl Into<Grant>,
) -> Result<String, Error> {
    let grant = grant.into();
    let fits = |c: char| !c.is_whitespace() && !c.is_control() && c != ':';
    if name.is_empty() || name.len() > NAME_LENGTH_MAX || !name.chars().all(fits) {
        return Err(Error::Name(name.to_owned()));
    }
    let text = generate()?;
    let (scope, upserts) = (grant.scopes.to_string(), grant.upserts.join(" "));
    let profile = grant.profile.map_or("", Profile::name);
    let new = NewToken { name, scope: &scope, profile, upserts: &upserts };
    match store.create_token(tenant, new, &hash(&text)).await {
        Ok(()) => Ok(text),
        Err(crate::store::Error::Taken) => Err(Error::Taken(name.to_owned())),
        Err(error) => Err(Error::Store(error)),
    }
}

/// Whose credentials these are; `None` where nobody has them in this tenant.
///
/// # Errors
/// Where the store cannot tell.
pub async fn recognise(
    store: &Store,
    tenant: &str,
    credentials: &Credentials,
) -> Result<Option<Principal>, crate::store::Error> {
    let hash = hash(&credentials.token);
    let Some(kept) = store.token(tenant, &hash).await? else { return Ok(None) };
    if credentials.name.as_ref().is_some_and(|name| !equal(name, &kept.name)) {
        return Ok(None);
    }
    // Types were checked when the token was made.
    let Ok(scopes) = Scopes::parse(&kept.scope, |_| true) else { return Ok(None) };
    // Reads go on where nothing can be written (a full disk): only the hour of use is not noted.
    if kept.is_unnoted()
        && let Err(error) = store.token_used(tenant, &hash).await
    {
        tracing::warn!(code = error.code(), "the use of a token could not be noted");
    }
    let upserts = kept.upserts.split_whitespace().map(str::to_owned).collect();
    Ok(Some(Principal { name: kept.name, scopes, profile: Profile::parse(&kept.profile), upserts }))
}

/// 256 random bits as text.
fn generate() -> Result<String, rand::rand_core::OsError> {
    let mut bytes = [0u8; 32];
    OsRng.try_fill_bytes(&mut bytes)?;
    Ok(format!("{PREFIX}{}", URL_SAFE_NO_PAD.encode(bytes)))
}

/// SHA-256 in hexadecimal. A slow hash would add nothing: a token has 256 random bits.
fn hash(text: &str) -> String {
    hex::encode(Sha256::digest(text.as_bytes()))
}

/// Compares without telling by its duration where, or at what length, two texts differ.
pub fn equal(one: &str, other: &str) -> bool {
    hash(one).as_bytes().ct_eq(hash(other).as_bytes()).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_are_long_and_differ() {
        let (one, other) = (generate().unwrap(), generate().unwrap());
        assert!(one.starts_with(PREFIX) && one.len() > 45);
        assert!(equal(&one, &one) && !equal(&one, &other));
    }

    #[tokio::test]
    async fn a_token_is_recognised_by_itself_and_with_its_own_name_only() {
        crate::store::testing::each_store(|store| async move {
            let scopes = Scopes::everything();
            let text = create(&store, "default", "chw-app", &scopes).await.unwrap();
            let ask = async |header: &str, tenant: &str| {
                let credentials = Credentials::parse(header).unwrap();
                recognise(&store, tenant, &credentials).await.unwrap().map(|found| found.name)
            };
            let basic = |name: &str| {
                let pair = base64::engine::general_purpose::STANDARD.encode(format!("{name}:{text}"));
                format!("Basic {pair}")
            };
            let bearer = format!("Bearer {text}");
            assert_eq!(ask(&bearer, "default").await.as_deref(), Some("chw-app"));
            assert_eq!(ask(&basic("chw-app"), "default").await.as_deref(), Some("chw-app"));
            assert_eq!(ask(&basic("other"), "default").await, None);
            assert_eq!(ask(&bearer, "elsewhere").await, None);
            assert_eq!(ask("Bearer mjumbe_wrong", "default").await, None);
            let again = create(&store, "default", "chw-app", &scopes).await;
            assert!(matches!(again, Err(Error::Taken(_))));
            assert!(matches!(create(&store, "default", "a:b", &scopes).await, Err(Error::Name(_))));
        })
        .await;
    }
}
