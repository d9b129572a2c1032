//! A provider's published keys: fetched when they are first needed, again when they are no longer fresh or a token names
//! one that is not known, and kept for a bounded time while the provider does not answer.

use std::sync::{PoisonError, RwLock};
use std::time::{Duration, Instant};

use reqwest::header::CACHE_CONTROL;
use serde_json::Value;
use tokio::sync::Mutex;
use url::Url;

use super::signature::{Header, Key};
use crate::outbound::answer::{self, Answer};

/// How long keys are fresh where the provider does not say, at least, and at most.
const FRESH: Duration = Duration::from_secs(300);
const FRESH_MIN: Duration = Duration::from_secs(60);
const FRESH_MAX: Duration = Duration::from_secs(86_400);
/// A provider has a handful of keys.
const KEYS_MAX: usize = 100;
const BODY_MAX: usize = 1024 * 1024;

/// How often is asked, and how long is remembered.
#[derive(Debug, Clone, Copy)]
pub struct Pace {
    /// Between two requests, whatever tokens say.
    pub pause: Duration,
    /// After the last good answer known keys count for so long.
    pub stale: Duration,
}

/// The provider cannot be asked, and nothing is remembered of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Unavailable;

/// One provider's keys.
pub struct Keys {
    issuer: String,
    client: reqwest::Client,
    url: Url,
    pace: Pace,
    known: RwLock<Known>,
    /// Held by whoever fetches; when it last was tried.
    fetching: Mutex<Option<Instant>>,
}

#[derive(Default)]
struct Known {
    keys: Vec<Key>,
    /// When they were read, and for how long they are fresh.
    read: Option<(Instant, Duration)>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Age {
    Fresh,
    /// To be read again; good until then.
    Stale,
    Gone,
}

impl Known {
    fn age(&self, now: Instant, pace: Pace) -> Age {
        match self.read {
            Some((at, fresh)) if now.saturating_duration_since(at) < fresh => Age::Fresh,
            Some((at, _)) if now.saturating_duration_since(at) < pace.stale => Age::Stale,
            _ => Age::Gone,
        }
    }
}

impl Keys {
    pub fn new(issuer: &str, (client, url): (reqwest::Client, Url), pace: Pace) -> Self {
        let (known, fetching) = (RwLock::default(), Mutex::default());
        Self { issuer: issuer.to_owned(), client, url, pace, known, fetching }
    }

    /// The keys that may have made a signature with this header; none where nobody has such a key.
    ///
    /// # Errors
    /// [`Unavailable`] where no keys are known.
    pub async fn matching(&self, header: &Header) -> Result<Vec<Key>, Unavailable> {
        match self.look(header) {
            (Age::Fresh, found) if !found.is_empty() => return Ok(found),
            (Age::Stale, found) if !found.is_empty() => {
                // One asks, nobody else waits.
                if let Ok(mut tried) = self.fetching.try_lock() {
                    self.fetch(&mut tried).await;
                }
            }
            _ => {
                let mut tried = self.fetching.lock().await;
                // Whoever held the lock may have fetched it.
                let (age, found) = self.look(header);
                if age != Age::Fresh || found.is_empty() {
                    self.fetch(&mut tried).await;
                }
            }
        }
        match self.look(header) {
            (Age::Gone, _) => Err(Unavailable),
            (_, found) => Ok(found),
        }
    }

    fn look(&self, header: &Header) -> (Age, Vec<Key>) {
        let known = self.known.read().unwrap_or_else(PoisonError::into_inner);
        let found = known.keys.iter().filter(|key| key.fits(header)).cloned().collect();
        (known.age(Instant::now(), self.pace), found)
    }

    /// Asks the provider, unless it was asked just before.
    async fn fetch(&self, tried: &mut Option<Instant>) {
        let now = Instant::now();
        if tried.is_some_and(|at| now.saturating_duration_since(at) < self.pace.pause) {
            return;
        }
        *tried = Some(now);
        let read = match answer::ask(self.client.get(self.url.clone())).await {
            Ok(answer) if answer.status == 200 => keys(&answer.body).map(|keys| (keys, fresh(&answer))),
            _ => None,
        };
        let result = if read.is_some() { "read" } else { "failed" };
        metrics::counter!("mjumbe_auth_jwks_total", "issuer" => self.issuer.clone(), "result" => result)
            .increment(1);
        match read {
            Some((keys, fresh)) => {
                let read = Some((Instant::now(), fresh));
                *self.known.write().unwrap_or_else(PoisonError::into_inner) = Known { keys, read };
            }
            None => {
                tracing::warn!(issuer = self.issuer, "the keys of an identity provider could not be read")
            }
        }
    }
}

/// `None`: not a set of keys, or without one that is taken.
fn keys(body: &[u8]) -> Option<Vec<Key>> {
    if body.len() > BODY_MAX {
        return None;
    }
    let set: Value = serde_json::from_slice(body).ok()?;
    let keys: Vec<Key> = set.get("keys")?.as_array()?.iter().filter_map(Key::parse).take(KEYS_MAX).collect();
    (!keys.is_empty()).then_some(keys)
}

/// What `Cache-Control` says, within reason. <https://www.rfc-editor.org/rfc/rfc9111#section-5.2.2>
fn fresh(answer: &Answer) -> Duration {
    let Some(said) = answer.header(CACHE_CONTROL.as_str()) else { return FRESH };
    let mut directives = said.split(',').map(|directive| directive.trim().to_ascii_lowercase());
    let mut age = None;
    if directives.clone().any(|directive| matches!(directive.as_str(), "no-store" | "no-cache")) {
        return FRESH_MIN;
    }
    if let Some(text) = directives.find_map(|directive| directive.strip_prefix("max-age=").map(str::to_owned))
    {
        age = text.trim_matches('"').parse().ok().map(Duration::from_secs);
    }
    age.unwrap_or(FRESH).clamp(FRESH_MIN, FRESH_MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fresh_by(said: &str) -> u64 {
        let mut headers = reqwest::header::HeaderMap::new();
        headers.insert(CACHE_CONTROL, said.parse().unwrap());
        fresh(&Answer { status: 200, headers, body: Vec::new(), elapsed: Duration::ZERO }).as_secs()
    }

    #[test]
    fn freshness_is_what_the_provider_says_within_reason() {
        assert_eq!(fresh_by("public, max-age=3600"), 3600);
        assert_eq!(fresh_by("max-age=0"), 60);
        assert_eq!(fresh_by("max-age=99999999"), 86_400);
        assert_eq!(fresh_by("no-store, max-age=3600"), 60);
        assert_eq!(fresh_by("private"), 300);
        assert_eq!(fresh_by("max-age=soon"), 300);
    }

    #[test]
    fn keys_age() {
        let pace = Pace { pause: Duration::ZERO, stale: Duration::from_secs(100) };
        let now = Instant::now();
        let known = Known { keys: Vec::new(), read: Some((now, Duration::from_secs(60))) };
        let after = |s| known.age(now + Duration::from_secs(s), pace);
        assert_eq!(
            (after(59), after(60), after(99), after(100)),
            (Age::Fresh, Age::Stale, Age::Stale, Age::Gone)
        );
        assert_eq!(Known::default().age(now, pace), Age::Gone);
        let for_ever = Pace { pause: Duration::MAX, stale: Duration::MAX };
        assert_eq!(known.age(now + Duration::from_secs(60), for_ever), Age::Stale);
    }

    #[test]
    fn a_set_without_a_usable_key_is_none() {
        assert!(keys(br#"{"keys":[{"kty":"oct","k":"AA"}]}"#).is_none());
        assert!(keys(b"<html>").is_none() && keys(b"{}").is_none());
        assert!(
            keys(br#"{"keys":[{"kty":"RSA","n":"AQAB","e":"AQAB"},1]}"#).is_some_and(|keys| keys.len() == 1)
        );
    }
}
