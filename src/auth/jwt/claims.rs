//! From the claims of a token whose signature is verified to a [`Principal`].

use std::collections::{BTreeMap, HashMap};
use std::sync::LazyLock;

use serde_json::Value;
use sha2::{Digest, Sha256};

use super::Verdict;
use crate::auth::Principal;
use crate::auth::scope::{Permission, Scopes};
use crate::fhir::client::Profile;
use crate::fhir::elements;

/// More roles, or words of a scope, than this are not read.
const WORDS_MAX: usize = 5_000;
/// A `sub` up to this length is kept as it is.
const SUBJECT_MAX: usize = 100;

/// What a token of one provider must say.
pub struct Expected<'a> {
    /// The section of the configuration.
    pub name: &'a str,
    pub issuer: &'a str,
    pub audience: &'a [String],
    pub leeway_s: i64,
    pub profiles: &'a BTreeMap<String, Profile>,
}

/// Judges claims at a moment, in seconds since 1970 UTC.
pub fn read(claims: &Value, expected: &Expected<'_>, now_s: i64) -> Verdict {
    let (text, time) = (|name: &str| claims.get(name)?.as_str(), |name: &str| seconds(claims.get(name)?));
    if text("iss") != Some(expected.issuer) || !is_for(claims, expected.audience) || !is_access(text("typ")) {
        return Verdict::Unknown;
    }
    let Some(subject) = text("sub").filter(|subject| !subject.is_empty()) else { return Verdict::Unknown };
    let early = match claims.get("nbf") {
        None => false,
        Some(_) => time("nbf").is_none_or(|from| from > now_s.saturating_add(expected.leeway_s)),
    };
    let Some(until) = time("exp").filter(|_| !early) else { return Verdict::Unknown };
    if until.saturating_add(expected.leeway_s) <= now_s {
        return Verdict::Expired;
    }
    let client = text("azp").or_else(|| text("client_id"));
    let profile = client.and_then(|client| expected.profiles.get(client)).copied();
    let upserts = profile.map_or(&[][..], Profile::upserts).iter().map(|kind| (*kind).to_owned()).collect();
    let name = format!("{}/{}", expected.name, pseudonym(subject));
    Verdict::Known(Box::new(Principal { name, scopes: scopes(claims), profile, upserts }))
}

/// Whole seconds; a fraction is cut off.
fn seconds(value: &Value) -> Option<i64> {
    let number = value.as_number()?.as_str();
    number.split('.').next()?.parse().ok()
}

/// `aud` is a text or a list. <https://www.rfc-editor.org/rfc/rfc7519#section-4.1.3>
fn is_for(claims: &Value, audience: &[String]) -> bool {
    let named = |value: &Value| value.as_str().is_some_and(|one| audience.iter().any(|own| own == one));
    match claims.get("aud") {
        Some(Value::Array(items)) => items.iter().any(named),
        Some(one) => named(one),
        None => false,
    }
}

/// Keycloak's ID and refresh tokens say so; they open nothing here.
fn is_access(kind: Option<&str>) -> bool {
    kind.is_none_or(|kind| kind.eq_ignore_ascii_case("bearer"))
}

/// The subject where it looks like an id, else a hash: it goes into the origin of versions.
fn pseudonym(subject: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
    let letters = subject.chars().any(|c| c.is_ascii_alphabetic());
    if subject.len() <= SUBJECT_MAX && letters && subject.chars().all(plain) {
        return subject.to_owned();
    }
    hex::encode(&Sha256::digest(subject.as_bytes())[..16])
}

/// What roles (`GET_PATIENT`, `MANAGE_PATIENT`) and SMART's scopes (`system/Patient.rs`) allow; what is neither is
/// somebody else's.
fn scopes(claims: &Value) -> Scopes {
    let mut scopes = Scopes::nothing();
    let roles = claims.pointer("/realm_access/roles").and_then(Value::as_array);
    for role in roles.into_iter().flatten().filter_map(Value::as_str).take(WORDS_MAX) {
        if let Some((kind, permissions)) = of_role(role) {
            scopes.add(kind, permissions);
        }
    }
    let words = claims.get("scope").and_then(Value::as_str).unwrap_or_default();
    for word in words.split_whitespace().take(WORDS_MAX) {
        if let Ok(own) = Scopes::parse(word, |kind| elements::table().kind(kind).is_some()) {
            scopes.extend(own);
        }
    }
    scopes
}

/// As OpenSRP's gateway reads roles: the method, and the type in capitals. A search is a GET.
fn of_role(role: &str) -> Option<(&'static str, &'static [Permission])> {
    static KINDS: LazyLock<HashMap<String, &'static str>> = LazyLock::new(|| {
        elements::table().kinds().iter().map(|kind| (kind.to_ascii_uppercase(), *kind)).collect()
    });
    let (method, kind) = role.split_once('_')?;
    let permissions: &[Permission] = match method {
        "GET" => &[Permission::Read, Permission::Search],
        "POST" => &[Permission::Create],
        "PUT" | "PATCH" => &[Permission::Update],
        "DELETE" => &[Permission::Delete],
        "MANAGE" => &Permission::ALL,
        _ => return None,
    };
    Some((KINDS.get(kind)?, permissions))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    const NOW: i64 = 1_800_000_000;

    fn judged(change: impl FnOnce(&mut Value)) -> Verdict {
        let mut claims = json!({
            "iss": "https://sso/realms/r", "aud": ["account", "mjumbe"], "sub": "5f0c9e6c-6b1a", "typ": "Bearer",
            "exp": NOW + 300, "nbf": NOW, "azp": "android",
            "realm_access": { "roles": ["GET_PATIENT", "PUT_QUESTIONNAIRERESPONSE", "MANAGE_TASK", "ANDROID_CLIENT"] },
            "scope": "openid system/Observation.c email system/Foo.r patient/*.r",
        });
        change(&mut claims);
        let (audience, profiles) =
            (["mjumbe".to_owned()], BTreeMap::from([("android".to_owned(), Profile::OpenSrp)]));
        let expected = Expected {
            name: "keycloak",
            issuer: "https://sso/realms/r",
            audience: &audience,
            leeway_s: 60,
            profiles: &profiles,
        };
        read(&claims, &expected, NOW)
    }

    #[test]
    fn roles_and_scopes_are_what_one_may() {
        let Verdict::Known(principal) = judged(|_| ()) else { panic!("refused") };
        assert_eq!((&*principal.name, principal.profile), ("keycloak/5f0c9e6c-6b1a", Some(Profile::OpenSrp)));
        let may = |permission, kind| principal.scopes.allow(permission, kind);
        assert!(may(Permission::Read, "Patient") && may(Permission::Search, "Patient"));
        assert!(!may(Permission::Update, "Patient") && !may(Permission::Create, "Patient"));
        assert!(
            may(Permission::Update, "QuestionnaireResponse")
                && !may(Permission::Read, "QuestionnaireResponse")
        );
        assert!(Permission::ALL.iter().all(|each| may(*each, "Task")));
        assert!(may(Permission::Create, "Observation") && !may(Permission::Read, "Observation"));
    }

    #[test]
    fn what_is_wrong_opens_nothing() {
        let wrong: [(&str, Value); 12] = [
            ("iss", json!("https://other")),
            ("iss", json!(["https://sso/realms/r"])),
            ("aud", json!("account")),
            ("aud", json!([])),
            ("aud", Value::Null),
            ("sub", json!("")),
            ("sub", json!(7)),
            ("typ", json!("ID")),
            ("typ", json!("Refresh")),
            ("exp", json!("soon")),
            ("exp", Value::Null),
            ("nbf", json!(NOW + 61)),
        ];
        for (name, value) in wrong {
            assert_eq!(judged(|claims| claims[name] = value.clone()), Verdict::Unknown, "{name} {value}");
        }
        assert_eq!(judged(|claims| claims["exp"] = json!(NOW - 60)), Verdict::Expired);
        assert!(matches!(judged(|claims| claims["exp"] = json!(NOW - 59)), Verdict::Known(_)));
        assert!(matches!(judged(|claims| claims["exp"] = json!(1_800_000_300.5)), Verdict::Known(_)));
    }

    #[test]
    fn a_subject_that_is_no_id_is_not_kept() {
        for subject in ["Amina Okello", "+256700000001", "256700000001", "a@b.org"] {
            let Verdict::Known(principal) = judged(|claims| claims["sub"] = subject.into()) else { panic!() };
            assert!(
                !principal.name.contains(subject) && principal.name.starts_with("keycloak/"),
                "{subject}"
            );
        }
    }

    #[test]
    fn without_roles_nothing_is_allowed() {
        let bare = |claims: &mut Value| {
            claims.as_object_mut().unwrap().shift_remove("scope");
            claims["realm_access"] = json!({ "roles": "GET_PATIENT" });
        };
        let Verdict::Known(principal) = judged(bare) else { panic!("refused") };
        assert!(!principal.scopes.allow(Permission::Read, "Patient"));
    }
}
