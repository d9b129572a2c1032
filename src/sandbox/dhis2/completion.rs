//! Completion of data sets.
//!
//! Little is checked, as on the real servers. On 2.43 a registration fails for a period that the server
//! has never stored, and takes the others of its request with it.

use serde_json::{Map, Value, json};

use super::super::http::{Answer, Request};
use super::Version;
use super::country::DEFAULT_OPTION_COMBO;
use super::gate::today;
use super::periods;
use super::reading::Scope;
use super::state::{Completion, CompletionKey, User, World};
use super::summary::{Conflict, Status, Summary, message, shown, tomcat_page};

const DONE: &str = "Import process complete.";

/// `POST /api/completeDataSetRegistrations`.
pub(super) fn post(world: &mut World, request: &Request, user: &User) -> Answer {
    let body: Value = match serde_json::from_slice(&request.body) {
        Ok(body) => body,
        Err(error) => {
            return Summary::failed(format!("The import process failed: {error}"))
                .answer(world.version, request);
        }
    };
    let items = body["completeDataSetRegistrations"].as_array().cloned().unwrap_or_default();
    let mut summary = Summary { description: Some(DONE.to_owned()), ..Summary::default() };
    let mut accepted: Vec<(CompletionKey, Completion)> = Vec::new();
    for item in &items {
        match check(world, user, item) {
            Ok((key, _)) if accepted.iter().any(|(own, _)| *own == key) => summary.ignored += 1,
            Ok(one) => accepted.push(one),
            Err(Refused::Item(object, text)) => {
                summary.ignored += 1;
                summary.conflicts.push(Conflict { object, value: text, ..Conflict::default() });
            }
            Err(Refused::Request(text)) => {
                return Summary::failed(text).answer(world.version, request);
            }
        }
    }
    let strategy = request.parameter("importStrategy").unwrap_or("CREATE_AND_UPDATE");
    let new = |(key, _): &(CompletionKey, Completion)| !world.known_periods.contains(&key.1);
    if world.version == Version::V2_43 && strategy != "DELETE" && accepted.iter().any(new) {
        let text = "The import process failed: Failed to flush BatchHandler".to_owned();
        return Summary::failed(text).answer(world.version, request);
    }
    for one in accepted {
        apply(world, request, strategy, &mut summary, one);
    }
    if summary.imported + summary.updated + summary.deleted == 0 {
        summary.status = Status::Error;
    }
    summary.answer(world.version, request)
}

enum Refused {
    /// One registration: object and text.
    Item(Option<String>, String),
    /// All of them.
    Request(String),
}

fn check(world: &World, user: &User, item: &Value) -> Result<(CompletionKey, Completion), Refused> {
    let text = |key: &str| item[key].as_str().map(str::to_owned);
    let refuse = |object: Option<String>, text: &str| Err(Refused::Item(object, text.to_owned()));
    let Some(set) = text("dataSet").filter(|id| world.country.data_set(id).is_some()) else {
        return refuse(text("dataSet"), "Data set not found or not accessible");
    };
    let iso = text("period").unwrap_or_default();
    let Some(period) = periods::parse(&iso) else {
        if world.version == Version::V2_43 {
            let text = format!(
                "The import process failed: java.lang.IllegalArgumentException: Invalid Period `{iso}`"
            );
            return Err(Refused::Request(text));
        }
        return refuse(Some(iso), "Period not valid");
    };
    let Some(unit) = text("organisationUnit").filter(|id| world.country.unit(id).is_some()) else {
        return refuse(text("organisationUnit"), "Organisation unit not found or not accessible");
    };
    if !world.in_hierarchy(user, &unit) {
        let text = format!("Organisation unit is not in hierarchy of user: {}", user.name);
        return Err(Refused::Item(Some(unit), text));
    }
    // An unknown attribute option combo is taken for the default one.
    let combo = text("attributeOptionCombo").filter(|id| world.country.option_combo(id).is_some());
    let completion = Completion {
        date: text("date")
            .and_then(|date| date.get(..10).map(str::to_owned))
            .unwrap_or_else(|| today().to_string()),
        stored_by: text("storedBy").unwrap_or_else(|| user.name.clone()),
        completed: item["completed"].as_bool().unwrap_or(true),
        writes: Vec::new(),
    };
    Ok(((set, period.iso, unit, combo.unwrap_or_else(|| DEFAULT_OPTION_COMBO.to_owned())), completion))
}

fn apply(
    world: &mut World,
    request: &Request,
    strategy: &str,
    summary: &mut Summary,
    (key, completion): (CompletionKey, Completion),
) {
    let known = world.completions.contains_key(&key);
    match (strategy, known) {
        ("DELETE", true) => {
            summary.deleted += 1;
            if !request.flag("dryRun") {
                world.completions.remove(&key);
            }
            return;
        }
        ("DELETE" | "UPDATE", false) | ("CREATE", true) => {
            summary.ignored += 1;
            return;
        }
        (_, true) => summary.updated += 1,
        (_, false) => summary.imported += 1,
    }
    if !request.flag("dryRun") {
        world.complete(key, completion, request.number);
    }
}

/// `GET /api/completeDataSetRegistrations`.
pub(super) fn get(world: &World, request: &Request) -> Answer {
    if request.parameter("dataSet").is_none() && world.version == Version::V2_40 {
        return tomcat_page(world.version, 400);
    }
    let scope = match Scope::of(world, request) {
        Ok(scope) => scope,
        Err(answer) => return answer,
    };
    let rows: Vec<Value> = world
        .completions
        .iter()
        .filter(|((set, period, unit, _), _)| scope.sets.contains(set) && scope.holds(world, period, unit))
        .map(|((set, period, unit, combo), completion)| {
            json!({ "period": period, "dataSet": set, "organisationUnit": unit, "attributeOptionCombo": combo,
                "date": completion.date, "storedBy": completion.stored_by, "completed": completion.completed })
        })
        .collect();
    let mut answer = Map::new();
    if !rows.is_empty() {
        answer.insert("completeDataSetRegistrations".to_owned(), rows.into());
    }
    shown(&answer.into())
}

/// `DELETE /api/completeDataSetRegistrations?ds=&pe=&ou=`.
pub(super) fn delete(world: &mut World, request: &Request) -> Answer {
    let text = |name: &str| request.parameter(name).unwrap_or("").to_owned();
    let (set, period, unit) = (text("ds"), text("pe"), text("ou"));
    if world.country.data_set(&set).is_none() {
        return message(409, &format!("Illegal data set identifier in this list: [{set}]"));
    }
    world.completions.retain(|key, _| (&key.0, &key.1, &key.2) != (&set, &period, &unit));
    Answer::empty(204)
}

/// `POST /api/dataEntry/dataSetCompletion`: works for new periods too, and answers nothing.
pub(super) fn data_entry(world: &mut World, request: &Request, user: &User) -> Answer {
    let body: Value = serde_json::from_slice(&request.body).unwrap_or(Value::Null);
    let text = |key: &str| body[key].as_str().unwrap_or("").to_owned();
    let (set, unit) = (text("dataSet"), text("orgUnit"));
    if world.country.data_set(&set).is_none() {
        return message(409, &format!("Illegal data set identifier: `{set}`"));
    }
    if world.country.unit(&unit).is_none() {
        return message(409, &format!("Illegal organisation unit identifier: `{unit}`"));
    }
    let Some(period) = periods::parse(&text("period")) else {
        return message(409, &format!("Illegal period identifier: `{}`", text("period")));
    };
    let combo = body["attributeOptionCombo"].as_str().unwrap_or(DEFAULT_OPTION_COMBO).to_owned();
    let completion = Completion {
        date: today().to_string(),
        stored_by: user.name.clone(),
        completed: body["completed"].as_bool().unwrap_or(true),
        writes: Vec::new(),
    };
    world.complete((set, period.iso, unit, combo), completion, request.number);
    Answer::empty(200)
}
