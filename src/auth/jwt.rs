//! JSON Web Tokens of identity providers, such as a realm of Keycloak: verified by the provider's published keys, and
//! turned into a [`Principal`] (roles and scopes into [`Scopes`](super::scope::Scopes), the client id into a profile).
//!
//! RS256, RS384, ES256 and ES384 only. **Never** believes a claim before the signature is verified, except `iss`, which
//! says whose keys are to be tried; **never** logs a token or a claim. Keys come through `outbound`.
//! <https://www.rfc-editor.org/rfc/rfc7519>, <https://www.rfc-editor.org/rfc/rfc8725>

// What a verified token says.
mod claims;
// The provider's keys, fetched and kept.
mod keys;
// The token's parts and its signature.
mod signature;

use std::collections::BTreeMap;
use std::time::Duration;

use url::Url;

use super::Principal;
use super::credentials::Credentials;
use crate::config::{Config, JwtIssuer};
use crate::fhir::client::Profile;
use crate::outbound::{self, AcceptsHttp, Patience, Route};
use keys::{Keys, Pace};
use signature::Token;

const LEEWAY_S: u64 = 60;
const KEYS_PAUSE_S: u64 = 10;
const KEYS_STALE_S: u64 = 86_400;
/// An identity provider that does not answer for so long is down.
const PATIENCE: Duration = Duration::from_secs(5);

/// Why issuers cannot be used.
#[derive(Debug, thiserror::Error)]
#[error("auth.jwt.{name}: {source}")]
pub struct Error {
    name: String,
    source: outbound::Error,
}

/// All identity providers, of every tenant.
pub struct Issuers(Vec<Issuer>);

/// One identity provider.
struct Issuer {
    name: String,
    tenant: String,
    issuer: String,
    audience: Vec<String>,
    leeway_s: i64,
    profiles: BTreeMap<String, Profile>,
    keys: Keys,
}

/// What became of a token.
#[derive(Debug, PartialEq, Eq)]
pub enum Verdict {
    Known(Box<Principal>),
    /// Verified, and over.
    Expired,
    /// Anything else that is wrong with it: which, nobody is told.
    Unknown,
    /// The provider's keys cannot be read now.
    Unavailable,
}

impl Issuers {
    /// The configured ones. Fetches nothing.
    ///
    /// # Errors
    /// [`Error`] names the section.
    pub fn new(config: &Config) -> Result<Self, Error> {
        let made = config.auth.jwt.iter().map(|(name, settings)| {
            Issuer::new(name, settings).map_err(|source| Error { name: name.clone(), source })
        });
        Ok(Self(made.collect::<Result<_, _>>()?))
    }

    /// Whose token this is; `None`: it is none that an identity provider of this tenant could have made.
    pub async fn recognise(&self, tenant: &str, credentials: &Credentials) -> Option<Verdict> {
        if !self.0.iter().any(|issuer| issuer.tenant == tenant) {
            return None;
        }
        let token = Token::parse(credentials.bearer()?)?;
        match self.responsible(tenant, token.unverified_issuer()?) {
            Some(issuer) => Some(issuer.judge(&token).await),
            None => Some(Verdict::Unknown),
        }
    }

    fn responsible(&self, tenant: &str, named: &str) -> Option<&Issuer> {
        self.0.iter().find(|issuer| issuer.tenant == tenant && issuer.issuer == named)
    }
}

impl Issuer {
    fn new(name: &str, settings: &JwtIssuer) -> Result<Self, outbound::Error> {
        let accepts_http = AcceptsHttp::from(settings.dangerous_accept_http);
        let url: Url = outbound::base(&settings.jwks_url, "", accepts_http)?;
        let patience = Patience { silence: None, total: Some(PATIENCE) };
        let (ca_file, proxy) = (settings.ca_file.as_deref(), settings.proxy.as_deref());
        let route = Route { base: &url, ca_file, proxy, patience };
        let client = outbound::client(&route, reqwest::header::HeaderMap::new())?;
        let profiles = settings.profiles.iter();
        let pace = Pace {
            pause: Duration::from_secs(settings.keys_pause_s.unwrap_or(KEYS_PAUSE_S)),
            stale: Duration::from_secs(settings.keys_stale_s.unwrap_or(KEYS_STALE_S)),
        };
        Ok(Self {
            name: name.to_owned(),
            tenant: settings.tenant.clone().unwrap_or_else(|| "default".to_owned()),
            issuer: settings.issuer.clone(),
            audience: settings.audience.clone(),
            leeway_s: i64::try_from(settings.leeway_s.unwrap_or(LEEWAY_S)).unwrap_or(0),
            profiles: profiles
                .filter_map(|(client, name)| Some((client.clone(), Profile::parse(name)?)))
                .collect(),
            keys: Keys::new(name, (client, url), pace),
        })
    }

    async fn judge(&self, token: &Token<'_>) -> Verdict {
        let Ok(keys) = self.keys.matching(&token.header).await else { return Verdict::Unavailable };
        if !keys.iter().any(|key| token.is_signed_by(key)) {
            return Verdict::Unknown;
        }
        let now_s = jiff::Timestamp::now().as_second();
        claims::read(&token.claims, &self.expected(), now_s)
    }

    fn expected(&self) -> claims::Expected<'_> {
        claims::Expected {
            name: &self.name,
            issuer: &self.issuer,
            audience: &self.audience,
            leeway_s: self.leeway_s,
            profiles: &self.profiles,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_configuration_knows_the_same_profiles() {
        let known = Profile::ALL.map(Profile::name);
        assert_eq!(known, crate::config::PROFILES);
    }
}
