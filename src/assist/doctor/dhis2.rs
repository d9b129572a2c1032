//! One DHIS2 instance: version, account, authorities, units, what the mappings name, and the token's age.

use std::collections::BTreeSet;

use serde_json::Value;

use super::way::Way;
use super::{Finding, Findings, clock};
use crate::config::Dhis2;
use crate::delivery::destination::{Failure, FailureKind};
use crate::dhis2::client::{Client, Request};
use crate::dhis2::metadata::pull::get;
use crate::dhis2::version::Version;
use crate::mapping::program::NamedThere;

/// The newest that was tried.
const NEWEST_MINOR: u16 = 43;
const SUPPORTED: &str = "2.38 to 2.43";
/// A token that ends sooner is told.
const SOON_DAYS: i64 = 10;

pub(super) async fn examine(name: &str, settings: &Dhis2, named: Vec<NamedThere>) -> Vec<Finding> {
    let mut findings = Findings::about(format!("dhis2.{name}"));
    let client = match Client::new(name, settings) {
        Ok(client) => client,
        Err(error) => {
            findings.fail("settings", error.to_string(), "correct it in mjumbe.toml");
            return findings.found;
        }
    };
    let info = match get(&client, "system/info", Vec::new()).await {
        Ok(info) => info,
        Err(failure) => {
            unanswered(&failure, &mut findings);
            return findings.found;
        }
    };
    let told_at = jiff::Timestamp::now();
    version(&info, &mut findings);
    let fields = "id,username,authorities,organisationUnits[id,name],dataSets,programs";
    let (me, token) = tokio::join!(
        get(&client, "me", vec![("fields", fields.to_owned())]),
        token(&client, settings.token.is_some()),
    );
    match me {
        Ok(me) => account(&me, &named, &mut findings),
        Err(failure) => unanswered(&failure, &mut findings),
    }
    findings
        .found
        .extend(token.into_iter().map(|finding| Finding { about: findings.about.clone(), ..finding }));
    time(&info, told_at, settings, &mut findings).await;
    findings.found
}

fn unanswered(failure: &Failure, findings: &mut Findings) {
    let reason = &failure.reason;
    let hint = match failure.kind {
        FailureKind::Unauthorised => {
            "make a personal access token (Profile, Personal access tokens) and put it where mjumbe.toml says; \
             DHIS2 answers the same while its database is down, and four refusals may lock the account"
        }
        _ if reason.code == "dhis2-unreachable" => {
            "open the address from this machine; check `url`, the firewall and `proxy`"
        }
        _ => reason.hint.as_str(),
    };
    findings.fail("account", format!("{} [{}]", reason.message, reason.code), hint);
}

fn version(info: &Value, findings: &mut Findings) {
    let text = info.get("version").and_then(Value::as_str).unwrap_or_default();
    match Version::parse(text) {
        Some(version) if !version.is_supported() => {
            let hint = format!("Mjumbe speaks to {SUPPORTED}: upgrade DHIS2");
            findings.fail("version", format!("DHIS2 {text} is too old"), hint);
        }
        Some(version) if version.minor > NEWEST_MINOR => {
            let hint = "look at the first deliveries closely, and at Mjumbe's changelog for a newer release";
            findings.warn(
                "version",
                format!("DHIS2 {text} is newer than what was tried ({SUPPORTED})"),
                hint,
            );
        }
        Some(_) => findings.ok("version", format!("DHIS2 {text} is supported")),
        None => {
            let hint = "the url must be the one of a DHIS2 instance, without /api";
            findings.fail("version", "it does not say which DHIS2 it is", hint);
        }
    }
    let calendar = info.get("calendar").and_then(Value::as_str).unwrap_or_default();
    if !matches!(calendar, "" | "iso8601" | "gregorian") {
        let hint = "only the ISO calendar is supported: periods of another one are not computed";
        findings.fail("calendar", format!("DHIS2's calendar is {calendar}"), hint);
    }
}

fn account(me: &Value, named: &[NamedThere], findings: &mut Findings) {
    let strings = |key: &str| -> BTreeSet<&str> {
        let list = me.get(key).and_then(Value::as_array);
        list.into_iter()
            .flatten()
            .filter_map(|item| item.as_str().or_else(|| item.get("id")?.as_str()))
            .collect()
    };
    let username = me.get("username").and_then(Value::as_str).unwrap_or_default();
    findings.ok("account", format!("DHIS2 knows the account `{username}`"));
    let authorities = strings("authorities");
    authorities_of(&authorities, named, findings);
    let units = me.get("organisationUnits").and_then(Value::as_array).map_or(0, Vec::len);
    if units == 0 {
        let hint = "in DHIS2's Users app, give it a data capture organisation unit above all that report";
        findings.fail("units", "the account may write for no organisation unit", hint);
    } else {
        findings.ok("units", format!("it may write for {units} organisation unit(s) and all below"));
    }
    if !authorities.contains("ALL") {
        for (key, kind, word) in [("dataSets", "dataSet", "data set"), ("programs", "program", "program")] {
            if me.get(key).is_some() {
                access(&strings(key), (kind, word), named, findings);
            }
        }
    }
}

fn authorities_of(authorities: &BTreeSet<&str>, named: &[NamedThere], findings: &mut Findings) {
    if authorities.contains("ALL") {
        let hint = "make an account of its own: a stolen token of this one may do everything";
        return findings.warn("authorities", "the account is a superuser (ALL)", hint);
    }
    let aggregate = named.iter().any(|there| there.named.kind == "dataSet");
    if authorities.contains("F_DATAVALUE_ADD") {
        findings.ok("authorities", "it may add data values (F_DATAVALUE_ADD)");
    } else if aggregate {
        let hint = "give its user role the authority \"Add/Update Data Value\" (F_DATAVALUE_ADD)";
        findings.fail("authorities", "the account may not add data values", hint);
    } else {
        let hint = "needed as soon as a mapping has `dhis2.report` or `dhis2.count`: F_DATAVALUE_ADD";
        findings.warn("authorities", "the account may not add data values", hint);
    }
}

/// Those that mappings name and that the account may not write. Codes cannot be compared with uids.
fn access(may: &BTreeSet<&str>, (kind, word): (&str, &str), named: &[NamedThere], findings: &mut Findings) {
    let uids: BTreeSet<&str> = named
        .iter()
        .filter(|there| there.named.kind == kind && crate::dhis2::value::is_uid(&there.named.name))
        .map(|there| there.named.name.as_str())
        .collect();
    for uid in &uids {
        if !may.contains(uid) {
            let message = format!("a mapping names the {word} {uid}, which the account may not write or see");
            findings.fail(
                "access",
                message,
                format!("share the {word} with the account: metadata read, data write"),
            );
        }
    }
    if !uids.is_empty() && uids.iter().all(|uid| may.contains(uid)) {
        findings.ok("access", format!("it may write every {word} that the mappings name ({})", uids.len()));
    }
}

/// When the token ends, as far as DHIS2 says: it lists the account's tokens, not which of them was sent.
async fn token(client: &Client, is_token: bool) -> Vec<Finding> {
    let mut findings = Findings::about("");
    if !is_token {
        let hint = "a personal access token costs DHIS2 less, and is told apart from a database that is down";
        findings.warn("token", "a user name and password are used", hint);
        return findings.found;
    }
    let query = vec![("fields", "id,created,expire,type".to_owned()), ("paging", "false".to_owned())];
    let (answered, _) = client.send(Request::get("apiToken", query)).await;
    let listed = answered.ok().filter(|answer| answer.status == 200);
    let listed: Option<Value> = listed.and_then(|answer| serde_json::from_str(&answer.body).ok());
    let tokens = listed.as_ref().and_then(|list| list.get("apiToken").or_else(|| list.get("apiTokens")));
    let ends: Vec<i64> = tokens
        .and_then(Value::as_array)
        .into_iter()
        .flatten()
        .filter_map(|token| token.get("expire")?.as_i64())
        .collect();
    let now = jiff::Timestamp::now().as_millisecond();
    match ends.iter().filter(|end| **end > now).min() {
        None => findings.warn(
            "token",
            "DHIS2 does not say when the token ends",
            "a token lives 30 days unless it was made for longer: note the day, and make the next one before it",
        ),
        Some(end) => ending((end - now) / 86_400_000, ends.len(), &mut findings),
    }
    findings.found
}

fn ending(days: i64, count: usize, findings: &mut Findings) {
    let message = match count {
        1 => format!("the token ends in {days} days"),
        count => format!("of the account's {count} tokens the next one ends in {days} days"),
    };
    if days < SOON_DAYS {
        let hint = "make a new one now, put it where mjumbe.toml says, and restart";
        findings.warn("token", message, hint);
    } else {
        findings.ok("token", message);
    }
}

/// DHIS2 tells its own time without an offset, with its zone beside it; the header may be a proxy's. Where they do
/// not agree, the one that is further from ours is told.
async fn time(info: &Value, told_at: jiff::Timestamp, settings: &Dhis2, findings: &mut Findings) {
    let way = Way {
        url: &settings.url,
        suffix: "/api",
        path: "/api/ping",
        ca_file: settings.ca_file.as_deref(),
        proxy: settings.proxy.as_deref(),
    };
    let header = clock::by_header(&way).await.map(|ahead| (ahead, "its Date header"));
    let own = server_date(info, told_at).map(|ahead| (ahead, "its serverDate"));
    // Of two that are as far, the last.
    let apart = |(ahead, _): &(i64, &str)| ahead.unsigned_abs() / 5_000;
    if let Some((ahead, by)) = header.into_iter().chain(own).max_by_key(apart) {
        clock::tell(ahead, by, findings);
    }
}

/// Milliseconds that DHIS2's clock is ahead of ours.
fn server_date(info: &Value, now: jiff::Timestamp) -> Option<i64> {
    let text = info.get("serverDate")?.as_str()?;
    let at = match text.parse::<jiff::Timestamp>() {
        Ok(at) => at,
        Err(_) => {
            let zone = jiff::tz::TimeZone::get(info.get("serverTimeZoneId")?.as_str()?).ok()?;
            text.parse::<jiff::civil::DateTime>().ok()?.to_zoned(zone).ok()?.timestamp()
        }
    };
    Some(at.as_millisecond() - now.as_millisecond())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::assist::doctor::Level;
    use serde_json::json;

    #[test]
    fn the_time_that_dhis2_tells_is_in_its_own_zone() {
        let now = "2026-11-21T09:00:00Z".parse().unwrap();
        let info = json!({"serverDate": "2026-11-21T11:01:00.000", "serverTimeZoneId": "Africa/Kigali"});
        assert_eq!(server_date(&info, now), Some(60_000));
        let info = json!({"serverDate": "2026-11-21T09:00:01.000+0000"});
        assert_eq!(server_date(&info, now), Some(1_000));
    }

    #[test]
    fn versions_outside_the_range_are_told() {
        let level = |text: &str| {
            let mut findings = Findings::about("d");
            version(&json!({ "version": text }), &mut findings);
            findings.found[0].level
        };
        assert_eq!(level("2.37.9"), Level::Failed);
        assert_eq!(level("2.40.12"), Level::Ok);
        assert_eq!(level("2.43.1"), Level::Ok);
        assert_eq!(level("2.44.0"), Level::Warning);
        assert_eq!(level("apache"), Level::Failed);
    }

    #[test]
    fn an_account_without_units_or_authority_fails() {
        let mut findings = Findings::about("d");
        account(&json!({"username": "m", "authorities": [], "organisationUnits": []}), &[], &mut findings);
        let levels: Vec<_> = findings.found.iter().map(|found| (found.check, found.level)).collect();
        assert_eq!(
            levels,
            [("account", Level::Ok), ("authorities", Level::Warning), ("units", Level::Failed)]
        );
    }

    #[test]
    fn a_token_that_ends_soon_is_told() {
        let mut findings = Findings::about("d");
        ending(3, 1, &mut findings);
        ending(200, 2, &mut findings);
        assert_eq!(findings.found[0].level, Level::Warning);
        assert_eq!(findings.found[1].level, Level::Ok);
    }
}
