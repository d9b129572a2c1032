//! What does not fit together in `[auth.jwt.NAME]`.

use super::check::{destination_url, name_fits, positive, proxy, tenant_exists};
use super::problem::{Problem, did_you_mean};
use super::{Config, JwtIssuer};

/// As [`crate::fhir::client::Profile`] has them; a test of the room `auth` compares.
pub const PROFILES: [&str; 6] = ["opensrp", "ihris", "cht", "commcare", "openmrs", "pdqm"];
/// Clocks that differ by more are wrong.
const LEEWAY_MAX_S: u64 = 300;
/// Whoever withdraws a key must not wait for longer.
const KEYS_PAUSE_MAX_S: u64 = 3_600;
const KEYS_STALE_MAX_S: u64 = 30 * 86_400;

pub(super) fn problems(config: &Config, found: &mut Vec<Problem>) {
    for (name, issuer) in &config.auth.jwt {
        one(config, name, issuer, found);
    }
    let mut seen = std::collections::BTreeSet::new();
    for (name, issuer) in &config.auth.jwt {
        let tenant = issuer.tenant.as_deref().unwrap_or("default");
        if !seen.insert((tenant, issuer.issuer.as_str())) {
            let hint = "one section an issuer and tenant; name all its audiences there";
            let message = "is the issuer of another section of this tenant";
            found.push(Problem::new("contradiction", format!("auth.jwt.{name}.issuer"), message, hint));
        }
    }
}

fn one(config: &Config, name: &str, issuer: &JwtIssuer, found: &mut Vec<Problem>) {
    let key = |field: &str| format!("auth.jwt.{name}.{field}");
    name_fits(&format!("auth.jwt.{name}"), name, found);
    destination_url(&key("jwks_url"), &issuer.jwks_url, issuer.dangerous_accept_http, found);
    tenant_exists(&key("tenant"), config, issuer.tenant.as_deref(), found);
    proxy(&key("proxy"), issuer.proxy.as_deref(), found);
    if issuer.issuer.is_empty() {
        let hint = "the `iss` of its tokens, e.g. https://sso.example.org/realms/health";
        found.push(Problem::new("missing-key", key("issuer"), "is empty", hint));
    }
    if issuer.audience.is_empty() || issuer.audience.iter().any(String::is_empty) {
        let hint = "name what its tokens for this server have in `aud`; add an audience mapper in Keycloak";
        found.push(Problem::new("missing-key", key("audience"), "names nothing", hint));
    }
    for (client, profile) in &issuer.profiles {
        profile_exists(&key(&format!("profiles.{client}")), profile, found);
    }
    if issuer.leeway_s.is_some_and(|leeway| leeway > LEEWAY_MAX_S) {
        let hint = "at most 300: set the clocks instead";
        found.push(Problem::new("invalid-value", key("leeway_s"), "is too much", hint));
    }
    for (field, value, most) in [
        ("keys_pause_s", issuer.keys_pause_s, KEYS_PAUSE_MAX_S),
        ("keys_stale_s", issuer.keys_stale_s, KEYS_STALE_MAX_S),
    ] {
        value.into_iter().for_each(|value| positive(&key(field), value, found));
        if value.is_some_and(|value| value > most) {
            let hint = format!("at most {most}: withdrawn keys must not count for long");
            found.push(Problem::new("invalid-value", key(field), "is too much", hint));
        }
    }
}

pub(super) fn profile_exists(key: &str, profile: &str, found: &mut Vec<Problem>) {
    if PROFILES.contains(&profile) {
        return;
    }
    let hint = match did_you_mean(profile, PROFILES) {
        Some(meant) => format!("did you mean `{meant}`?"),
        None => format!("one of {}", PROFILES.join(", ")),
    };
    let message = format!("`{profile}` is not a profile");
    found.push(Problem::new("invalid-value", key, message, hint));
}
