//! One mapping applied to one resource, for `run` and `explain`: look-ups are answered from the store, where
//! there is one. Sends nothing and writes nothing.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use secrecy::ExposeSecret;
use serde_json::Value;

use super::failure::Failure;
use super::mappings::{self as files, surroundings_of};
use super::stores;
use crate::config::Config;
use crate::delivery::lookup::{Surroundings, look_up, value_of};
use crate::fhir;
use crate::fhir::query::{Parameter, Sort, SortBy};
use crate::mapping::evaluate::{Answers, Change, Evaluation, Input, Step, Tracing};
use crate::mapping::lookup::{Answer, Query};
use crate::mapping::program::Program;
use crate::server::{app, mappings};
use crate::store::Store;
use crate::store::search::{COUNT_MAX, Page, TotalWanted};
use crate::telemetry::logs;

/// More rounds than eight look-ups that climb sixteen levels need.
const ROUNDS_MAX: usize = 256;

/// What one mapping makes of one resource.
pub struct Evaluated {
    pub program: Arc<Program>,
    pub evaluation: Evaluation,
    /// `Type/id`, or the file.
    pub source: String,
}

/// The resource or document that a mapping is applied to.
pub struct Subject {
    pub kind: String,
    pub id: String,
    pub body: Value,
    pub recorded_ms: i64,
}

/// The last `count` stored resources of a kind, latest first.
pub async fn last(
    store: &Store,
    (tenant, kind): (&str, &str),
    count: usize,
) -> Result<Vec<Subject>, Failure> {
    let latest = Sort { parameter: Parameter::LastUpdated, by: SortBy::LastUpdated, descending: true };
    let query = fhir::query::Query { kind: kind.to_owned(), sort: vec![latest], ..Default::default() };
    let mut page = Page { count: COUNT_MAX, total: TotalWanted::None, ..Page::default() };
    let mut subjects = Vec::new();
    while subjects.len() < count {
        let found = store.search(tenant, &query, &page).await?;
        for stored in found.entries {
            let Some(body) = value_of(&stored) else { continue };
            subjects.push(Subject { kind: stored.kind, id: stored.id, body, recorded_ms: stored.updated_ms });
        }
        match found.next {
            Some(token) => page.token = Some(token),
            None => break,
        }
    }
    subjects.truncate(count);
    Ok(subjects)
}

/// Applies a tenant's `mapping` to `file`: JSON in a file, or `Type/id` of a stored resource.
pub async fn of(
    config: &Config,
    (tenant, file): (&str, &str),
    mapping: &str,
    tracing: Tracing,
) -> Result<Evaluated, Failure> {
    let tenant = stores::tenant(config, tenant)?;
    logs::init(&config.log).map_err(|error| Failure::new(error.to_string()))?;
    let program = files::one(config, tenant, mapping)?;
    let store = existing(config).await?;
    let subject = match std::fs::read_to_string(file) {
        Ok(text) => from_file(file, &text, &program)?,
        Err(error) => from_store(store.as_ref(), (tenant, file), &error).await?,
    };
    let source = format!("{}/{}", subject.kind, subject.id);
    let evaluation = evaluate((config, tenant), &program, &subject, (store.as_ref(), tracing)).await?;
    if let Some(store) = store {
        store.close().await;
    }
    Ok(Evaluated { program, evaluation, source })
}

/// The configured store, unless it is a SQLite file that is not there: a dry run makes none.
async fn existing(config: &Config) -> Result<Option<Store>, Failure> {
    let url = config.store.url.expose_secret();
    let file = url.strip_prefix("sqlite:").map(|rest| rest.trim_start_matches("//"));
    let missing = file.is_some_and(|file| !Path::new(file.split('?').next().unwrap_or_default()).exists());
    if missing {
        note!("note: there is no store yet: every look-up finds nothing");
        return Ok(None);
    }
    stores::open(config).await.map(Some)
}

fn from_file(file: &str, text: &str, program: &Program) -> Result<Subject, Failure> {
    let body: Value = serde_json::from_str(text).map_err(|error| {
        Failure::new(format!("{file}:{}:{}: this is not JSON", error.line(), error.column()))
    })?;
    let named = |key: &str| body.get(key).and_then(Value::as_str).map(str::to_owned);
    let kind = named("resourceType").unwrap_or_else(|| program.from.kind.clone());
    let id = named("id").or_else(|| named("uuid")).unwrap_or_else(|| "example".to_owned());
    Ok(Subject { kind, id, body, recorded_ms: jiff::Timestamp::now().as_millisecond() })
}

async fn from_store(
    store: Option<&Store>,
    (tenant, name): (&str, &str),
    error: &std::io::Error,
) -> Result<Subject, Failure> {
    let unreadable = || {
        Failure::new(format!("cannot read {name}: {error}"))
            .hint("name a file with one resource as JSON, or Type/id of a stored resource")
    };
    let (Some(store), Some((kind, id))) = (store, name.split_once('/')) else { return Err(unreadable()) };
    let stored = store.read(tenant, kind, id).await?.ok_or_else(unreadable)?;
    let body = value_of(&stored).ok_or_else(|| Failure::new(format!("{name} was deleted")))?;
    Ok(Subject { kind: stored.kind, id: stored.id, body, recorded_ms: stored.updated_ms })
}

/// One mapping applied to one resource; without a store every look-up finds nothing.
pub async fn evaluate(
    (config, tenant): (&Config, &str),
    program: &Program,
    subject: &Subject,
    (store, tracing): (Option<&Store>, Tracing),
) -> Result<Evaluation, Failure> {
    let (registry, (zone, country)) = (mappings::registry(), surroundings_of(config, tenant)?);
    let pseudonym_keys = pseudonym_keys((config, tenant), store).await?;
    let around = surroundings((config, tenant), zone.clone());
    let (none, mut answers) = (Answers::default(), Answers::default());
    let input = Input {
        tenant,
        zone: &zone,
        country: country.as_deref(),
        change: Change {
            kind: &subject.kind,
            id: &subject.id,
            resource: &subject.body,
            previous: None,
            recorded_ms: subject.recorded_ms,
        },
        answers: &none,
        pseudonym_keys: &pseudonym_keys,
        registry: &registry,
        tracing,
    };
    let begun = program.begin(&input);
    for _ in 0..ROUNDS_MAX {
        match program.go_on(&begun, &Input { answers: &answers, ..input }) {
            Step::Done(evaluation) => return Ok(*evaluation),
            Step::Needs(questions) => {
                for question in questions {
                    let answer = answer(store, &around, &question.query).await?;
                    answers.insert(question, answer);
                }
            }
        }
    }
    Err(Failure::new("the mapping asks without end").hint("please report this with the mapping file"))
}

async fn answer(store: Option<&Store>, around: &Surroundings, query: &Query) -> Result<Answer, Failure> {
    let Some(store) = store else { return Ok(Answer::Absent) };
    let mut connection = store.db().read().await?;
    Ok(look_up(&mut connection, around, query).await?.answer)
}

fn surroundings((config, tenant): (&Config, &str), zone: jiff::tz::TimeZone) -> Surroundings {
    let public_url =
        config.server.public_url.clone().unwrap_or_else(|| format!("http://{}", config.server.listen));
    Surroundings {
        tenant: tenant.to_owned(),
        base: app::base(public_url.trim_end_matches('/'), tenant),
        zone,
        workspaces: config.workspaces_of(tenant).map(|(name, _)| name.clone()).collect(),
    }
}

/// The store's own keys, so that pseudonyms are those that would be sent; without a store made-up ones.
async fn pseudonym_keys(
    (config, tenant): (&Config, &str),
    store: Option<&Store>,
) -> Result<BTreeMap<String, Vec<u8>>, Failure> {
    let mut keys: BTreeMap<String, Vec<u8>> =
        ["rapidpro", "dhis2"].map(|name| (mappings::full_name(name, name), name.as_bytes().to_vec())).into();
    for (system, name) in mappings::destinations(config, tenant) {
        let full_name = mappings::full_name(&system, &name);
        let key = match store {
            Some(store) => store.tenant_key(tenant, &mappings::pseudonym_key_name(&system, &name)).await?,
            None => system.into_bytes(),
        };
        keys.insert(full_name, key);
    }
    Ok(keys)
}
