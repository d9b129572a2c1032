//! Who asks, and for which path.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use jiff::civil::Date;
use jiff::{Timestamp, ToSpan};
use serde_json::{Value, json};

use super::super::faults::{Because, Effect};
use super::super::http::{Answer, Request};
use super::super::time::millis;
use super::country::DataSet;
use super::importer_new::Stop;
use super::incoming::DataValueSet;
use super::periods::{self, Period};
use super::state::{CellKey, Clash, User, World};
use super::summary::{Summary, coded, message, shown, tomcat_page};
use super::{Version, completion, importer_new, importer_old, metadata, reading, tokens, tracker};

const STRATEGIES: &[&str] = &[
    "CREATE",
    "UPDATE",
    "CREATE_AND_UPDATE",
    "DELETE",
    "SYNC",
    "NEW_AND_UPDATES",
    "NEW",
    "UPDATES",
    "DELETES",
];

/// One import: who, how, and what happens around it.
pub(super) struct Case<'a> {
    pub request: &'a Request,
    pub user: &'a User,
    pub strategy: String,
    pub dry_run: bool,
    pub clash: &'a Clash,
}

/// Answers one request.
pub(super) fn answer(world: &mut World, request: &Request, clash: &Clash) -> Answer {
    if request.path == "/api/ping" {
        return Answer::empty(200);
    }
    let user = match authenticate(world, request) {
        Ok(user) => user,
        Err(answer) => return answer,
    };
    let Some(path) = unversioned(world.version, &request.path) else {
        return tomcat_page(world.version, 404);
    };
    let parts: Vec<&str> = path.split('/').filter(|part| !part.is_empty()).collect();
    let method = request.method.as_str();
    match (method, parts.as_slice()) {
        ("GET", ["system", "info"]) => shown(&system_info(world, request, &user)),
        ("GET", ["system", "ping"]) => Answer::text(200, "application/json;charset=UTF-8", "pong"),
        ("GET", ["system", "id"]) => shown(&system_id(request)),
        ("GET", ["me"]) => shown(&me(world, request, &user)),
        ("GET", ["periodTypes"]) => shown(&period_types()),
        ("POST", ["dataValueSets"]) => import(world, request, &user, clash),
        ("GET", ["dataValueSets" | "dataValueSets.json"]) => reading::values(world, request, &user),
        (_, ["dataValueSets"]) => not_supported(world.version, method),
        ("POST", ["completeDataSetRegistrations"]) => completion::post(world, request, &user),
        ("GET", ["completeDataSetRegistrations"]) => completion::get(world, request),
        ("DELETE", ["completeDataSetRegistrations"]) => completion::delete(world, request),
        ("POST", ["dataEntry", "dataSetCompletion"]) => completion::data_entry(world, request, &user),
        (_, ["tracker", rest @ ..]) if !rest.is_empty() => tracker::read(world, request, &user, rest),
        ("GET", ["apiToken" | "apiTokens"]) => tokens::list(world, request, &user),
        ("GET", ["apiToken" | "apiTokens", id]) => tokens::one(world, request, &user, id),
        ("GET", ["metadata"]) => metadata::selective(world, request),
        ("GET", ["identifiableObjects", id]) => metadata::single(world, request, "IdentifiableObject", id),
        ("GET", [collection]) => metadata::list(world, request, collection),
        ("GET", [collection, "gist"]) => metadata::gist(world, request, collection),
        ("GET", [collection, id]) => metadata::one(world, request, collection, id),
        _ => tomcat_page(world.version, 404),
    }
}

/// `/api/…` or `/api/NN/…` where NN is no newer than the server.
pub(super) fn unversioned(version: Version, path: &str) -> Option<&str> {
    let rest = path.strip_prefix("/api/")?;
    let (first, after) = rest.split_once('/').unwrap_or((rest, ""));
    match first.parse::<u32>() {
        Ok(number) => {
            let newest = if version == Version::V2_40 { 40 } else { 43 };
            (28..=newest).contains(&number).then_some(after)
        }
        Err(_) => Some(rest),
    }
}

fn not_supported(version: Version, method: &str) -> Answer {
    let verb = if version == Version::V2_40 { "not supported" } else { "is not supported" };
    message(405, &format!("Request method '{method}' {verb}"))
}

pub(super) fn authenticate(world: &World, request: &Request) -> Result<User, Answer> {
    let header = request.header("authorization");
    let (scheme, rest) = header.split_once(' ').unwrap_or((header, ""));
    match scheme {
        "Basic" => basic(world, rest),
        "ApiToken" => token(world, rest.trim()),
        "Bearer" if world.version == Version::V2_40 => {
            let body = json!({ "error": "invalid_token", "error_description": "Invalid access token" });
            Err(Answer::json(401, &body)
                .with("WWW-Authenticate", "Bearer realm=\"oauth\", error=\"invalid_token\""))
        }
        _ if request.header("x-requested-with") == "XMLHttpRequest" => Err(message(401, "Unauthorized")),
        _ => {
            let page = match world.version {
                Version::V2_40 => "/dhis-web-commons/security/login.action",
                Version::V2_43 => "/login/",
            };
            Err(Answer::empty(302).with("Location", format!("{}{page}", request.base)))
        }
    }
}

fn basic(world: &World, encoded: &str) -> Result<User, Answer> {
    let pair = STANDARD
        .decode(encoded.trim())
        .ok()
        .and_then(|pair| String::from_utf8(pair).ok())
        .unwrap_or_default();
    let (name, password) = pair.split_once(':').unwrap_or(("", ""));
    let found =
        world.users.iter().find(|user| user.name == name && user.password == password && !name.is_empty());
    match found {
        Some(user) if user.disabled => Err(message(401, "Account disabled")),
        Some(user) => Ok(user.clone()),
        None => Err(message(401, "Unauthorized")),
    }
}

fn token(world: &World, token: &str) -> Result<User, Answer> {
    let owned = |user: &&User| user.tokens.iter().any(|own| own.text == token);
    let owner = world.users.iter().find(owned);
    let lives =
        |user: &&User| user.tokens.iter().any(|own| own.text == token && own.expire > Timestamp::now());
    if let Some(user) = owner.filter(lives) {
        return Ok(user.clone());
    }
    let answer = match world.version {
        Version::V2_40 => Answer::empty(401),
        Version::V2_43 if owner.is_some() => {
            message(401, "Failed to authenticate API token, token has expired.")
        }
        Version::V2_43 if token.starts_with("d2p_") && token.len() == 54 => {
            message(401, "Failed to authenticate API token, token is not valid.")
        }
        Version::V2_43 => message(400, "Checksum validation failed"),
    };
    Err(answer.with("WWW-Authenticate", "ApiToken"))
}

fn import(world: &mut World, request: &Request, user: &User, clash: &Clash) -> Answer {
    if !user.may("F_DATAVALUE_ADD") {
        return message(403, "Access is denied");
    }
    if let Some(answer) = wrong_content_type(world.version, request) {
        return answer;
    }
    let strategy = request.parameter("importStrategy").or_else(|| request.parameter("strategy"));
    let strategy = strategy.unwrap_or("CREATE_AND_UPDATE");
    if !STRATEGIES.contains(&strategy) {
        let text = format!(
            "Value '{strategy}' is not valid for parameter importStrategy. Valid values are: [{}]",
            STRATEGIES.join(", ")
        );
        return message(400, &text);
    }
    let mut set = match read_body(world.version, request) {
        Ok(set) => set,
        Err(answer) => return answer,
    };
    let nothing = request.effects.contains(&Effect::StoreNothing);
    let part = request.effects.iter().find_map(|effect| match effect {
        Effect::StoreRows { rows, status } => Some((*rows, *status)),
        _ => None,
    });
    if nothing {
        let ignored = set.rows.len();
        let summary = Summary { ignored, complete: Some("false".to_owned()), ..Summary::default() };
        return summary.answer(world.version, request);
    }
    if let Some((rows, _)) = part {
        set.rows.truncate(rows);
    }
    let dry_run = request.flag("dryRun");
    let case = Case { request, user, strategy: strategy.to_owned(), dry_run, clash };
    let outcome = match world.version {
        Version::V2_40 => Ok(importer_old::import(world, &case, set)),
        Version::V2_43 => importer_new::import(world, &case, set),
    };
    match (part, outcome) {
        (Some((_, 500)), _) => message(500, "Unable to rollback against JDBC Connection"),
        (Some(_), _) => Summary::failed("The import process failed: Failed to flush BatchHandler".to_owned())
            .answer(world.version, request),
        (None, Ok(summary)) => summary.answer(world.version, request),
        (None, Err(Stop::Summary(summary))) => summary.answer(world.version, request),
        (None, Err(Stop::Crash(text))) => message(500, &text),
    }
}

pub(super) fn wrong_content_type(version: Version, request: &Request) -> Option<Answer> {
    let content_type = request.header("content-type").split(';').next().unwrap_or("").trim();
    if content_type == "application/json" {
        return None;
    }
    Some(message(
        415,
        &match version {
            Version::V2_40 => format!("Content type '{content_type}' not supported"),
            Version::V2_43 => format!("Content-Type '{content_type}' is not supported"),
        },
    ))
}

fn read_body(version: Version, request: &Request) -> Result<DataValueSet, Answer> {
    let failed = |text: String| Summary::failed(text).answer(version, request);
    if request.body.is_empty() && version == Version::V2_43 {
        let text = "Unexpected character at position 0,\n\n^ expected a JSON value but found EOI";
        return Err(message(400, text));
    }
    match serde_json::from_slice::<Value>(&request.body) {
        Ok(Value::Object(body)) => Ok(DataValueSet::read(&body)),
        Ok(_) if version == Version::V2_43 => Ok(DataValueSet::default()),
        Ok(_) => Err(failed(
            "The import process failed: com.fasterxml.jackson.databind.exc.MismatchedInputException: Cannot deserialize value of type `org.hisp.dhis.dxf2.datavalueset.DataValueSet` from Array value (token `JsonToken.START_ARRAY`)".to_owned(),
        )),
        Err(_) if version == Version::V2_43 => {
            let length = request.body.len();
            Err(message(500, &format!("Index {length} out of bounds for length {length}")))
        }
        Err(error) => Err(failed(format!(
            "The import process failed: com.fasterxml.jackson.databind.JsonMappingException: {error}"
        ))),
    }
}

/// Whether a data set exists and the user may write it.
pub(super) fn may_write_set(world: &World, user: &User, id: &str) -> bool {
    world.country.data_set(id).is_some_and(|set| user.may("ALL") || !set.closed_to.contains(&user.name))
}

/// The fault that refuses a cell.
pub(super) fn refused_by_fault(request: &Request, data_set: &str, key: &CellKey) -> Option<Because> {
    let fits = |wanted: &Option<String>, own: &str| wanted.as_deref().is_none_or(|wanted| wanted == own);
    request.effects.iter().find_map(|effect| match effect {
        Effect::RefuseCells(cells)
            if fits(&cells.data_set, data_set)
                && fits(&cells.period, &key.period)
                && fits(&cells.org_unit, &key.org_unit)
                && fits(&cells.data_element, &key.data_element) =>
        {
            Some(cells.because)
        }
        _ => None,
    })
}

/// Today in the server's time zone, UTC.
pub(super) fn today() -> Date {
    Timestamp::now().to_zoned(jiff::tz::TimeZone::UTC).date()
}

/// The newest period that takes values: 0 open future periods means the previous one.
pub(super) fn latest_open(set: &DataSet) -> Option<Period> {
    let current = periods::at(&set.period_type, today())?;
    periods::shift(&current, set.open_future_periods - 1)
}

/// Whether a period's expiry days are over; 0 days means never.
pub(super) fn is_expired(set: &DataSet, period: &Period) -> bool {
    if set.expiry_days <= 0.0 {
        return false;
    }
    #[expect(clippy::cast_possible_truncation, reason = "a number of days is small")]
    let days = set.expiry_days as i32;
    period.end.checked_add(days.days()).is_ok_and(|last| today() > last)
}

fn system_info(world: &World, request: &Request, user: &User) -> Value {
    let mut info = json!({ "contextPath": request.base, "calendar": "iso8601", "dateFormat": "yyyy-mm-dd",
        "serverDate": millis(Timestamp::now()), "serverTimeZoneId": "UTC",
        "serverTimeZoneDisplayName": "Coordinated Universal Time", "version": world.version.text(),
        "revision": "sandbox", "buildTime": "2026-11-21T04:30:26.000", "databaseInfo": { "spatialSupport": true },
        "encryption": false, "emailConfigured": false, "redisEnabled": false,
        "systemId": "4823d760-c836-43d2-8b7e-4f0b040ca7ec", "systemName": "DHIS 2",
        "instanceBaseUrl": request.base, "isMetadataVersionEnabled": false });
    if user.may("ALL") {
        info["readOnlyMode"] = "off".into();
        info["cpuCores"] = 2.into();
    }
    info
}

fn system_id(request: &Request) -> Value {
    let wanted =
        request.parameter("limit").and_then(|text| text.parse::<usize>().ok()).unwrap_or(1).min(10_000);
    let codes: Vec<String> =
        (0..wanted).map(|_| format!("S{}", &uuid::Uuid::new_v4().simple().to_string()[..10])).collect();
    json!({ "codes": codes })
}

fn me(world: &World, request: &Request, user: &User) -> Value {
    let units: Vec<Value> = user.units.iter().filter_map(|id| world.country.object(id)).collect();
    let sets: Vec<&str> = world
        .country
        .data_sets
        .iter()
        .filter(|set| may_write_set(world, user, &set.id))
        .map(|set| set.id.as_str())
        .collect();
    let programs: Vec<&str> = world
        .country
        .programs
        .iter()
        .filter(|program| user.may("ALL") || !program.closed_to.contains(&user.name))
        .map(|program| program.id.as_str())
        .collect();
    let all = json!({ "id": user.id, "username": user.name, "surname": user.name, "firstName": user.name,
        "userGroups": [], "teiSearchOrganisationUnits": units, "dataViewOrganisationUnits": units,
        "organisationUnits": units, "userRoles": [], "settings": { "keyUiLocale": "en" }, "programs": programs,
        "authorities": user.authorities, "dataSets": sets });
    metadata::fields_of(world, request, &all)
}

fn period_types() -> Value {
    let types = [
        ("Daily", "P1D", "yyyyMMdd", 1),
        ("Monthly", "P1M", "yyyyMM", 30),
        ("Quarterly", "P3M", "yyyyQn", 91),
        ("SixMonthly", "P6M", "yyyySn", 182),
        ("Weekly", "P7D", "yyyyWn", 7),
        ("Yearly", "P1Y", "yyyy", 365),
    ];
    let shown: Vec<Value> = types
        .iter()
        .map(|(name, duration, format, order)| {
            json!({ "name": name, "isoDuration": duration, "isoFormat": format, "frequencyOrder": order })
        })
        .collect();
    json!({ "periodTypes": shown })
}

/// An error of a query: 409 up to 2.42, 400 E1003 since 2.43.
pub(super) fn query_error(version: Version, text: &str) -> Answer {
    match version {
        Version::V2_40 => message(409, text),
        Version::V2_43 => coded(400, text, "E1003"),
    }
}
