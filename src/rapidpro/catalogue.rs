//! A workspace's flows for a person who writes a mapping: from RapidPro itself, or from what was polled.
//!
//! **Never** writes anything. Rows of `flows.json` and definitions come in, [`Listed`]s go out.

use serde_json::Value;

use super::client::Client;
use super::client::fault::Fault;
use super::flow::{Flow, FlowError, Giver, Kind, Node, Question};
use super::mirror;
use crate::fhir::query::Query;
use crate::store::search::{COUNT_MAX, Page, TotalWanted};
use crate::store::{self, Store};

/// Pages of 250 flows.
const PAGES_MAX: usize = 40;

/// One flow of a workspace.
#[derive(Debug, Clone)]
pub struct Listed {
    pub uuid: String,
    pub name: String,
    pub archived: bool,
    /// Names of its results.
    pub results: Vec<String>,
    /// As stored; `None` where it was not asked for.
    definition: Option<Value>,
}

/// Why a flow cannot be shown.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("{} [{}]", .0.message, .0.code)]
    RapidPro(Fault),
    #[error("{0}")]
    Store(#[from] store::Error),
    #[error("the token may not read the flow's definition, or RapidPro has none [no-definition]")]
    NoDefinition,
    #[error("{0}")]
    Definition(#[from] FlowError),
}

impl Error {
    pub fn hint(&self) -> String {
        match self {
            Self::RapidPro(fault) => fault.hint.to_owned(),
            Self::Store(error) => error.hint().to_owned(),
            Self::NoDefinition => "use a token of an administrator or editor".to_owned(),
            Self::Definition(_) => "open the flow in RapidPro's editor and save it".to_owned(),
        }
    }
}

/// The flows that RapidPro has now, by name.
///
/// # Errors
/// [`Error::RapidPro`]
pub async fn live(client: &Client) -> Result<Vec<Listed>, Error> {
    let (mut listed, mut query) = (Vec::new(), String::new());
    for _ in 0..PAGES_MAX {
        let page = client.page("flows", &query).await.map_err(Error::RapidPro)?;
        listed.extend(page.results.iter().filter_map(Listed::of));
        match page.next {
            Some(next) => query = next,
            None => break,
        }
    }
    Ok(by_name(listed))
}

/// Keys of the workspace's contact fields.
///
/// # Errors
/// [`Error::RapidPro`]
pub async fn field_keys(client: &Client) -> Result<Vec<String>, Error> {
    let page = client.page("fields", "").await.map_err(Error::RapidPro)?;
    let key = |row: &Value| row.get("key").and_then(Value::as_str).map(str::to_owned);
    Ok(page.results.iter().filter_map(key).collect())
}

/// The flows that were polled, by name.
///
/// # Errors
/// [`Error::Store`]
pub async fn stored(store: &Store, tenant: &str, workspace: &str) -> Result<Vec<Listed>, Error> {
    let query = Query { kind: mirror::FLOW.to_owned(), ..Query::default() };
    let mut page = Page { count: COUNT_MAX, total: TotalWanted::None, ..Page::default() };
    let (mut listed, prefix) = (Vec::new(), format!("{workspace}/"));
    loop {
        let found = store.search(tenant, &query, &page).await?;
        for entry in found.entries.iter().filter(|entry| entry.id.starts_with(&prefix)) {
            let row: Option<Value> = entry.body.as_deref().and_then(|body| serde_json::from_str(body).ok());
            listed.extend(row.as_ref().and_then(Listed::of));
        }
        match found.next {
            Some(token) => page.token = Some(token),
            None => return Ok(by_name(listed)),
        }
    }
}

fn by_name(mut listed: Vec<Listed>) -> Vec<Listed> {
    listed.sort_by_key(|flow| (flow.archived, flow.name.to_lowercase()));
    listed
}

impl Listed {
    pub(super) fn of(row: &Value) -> Option<Self> {
        let text = |value: &Value, key: &str| value.get(key).and_then(Value::as_str).map(str::to_owned);
        let results = row.get("results").and_then(Value::as_array).into_iter().flatten();
        Some(Self {
            uuid: text(row, "uuid")?,
            name: text(row, "name")?,
            archived: row.get("archived") == Some(&Value::Bool(true)),
            results: results.filter_map(|result| text(result, "key")).collect(),
            definition: row.get("definition").filter(|definition| !definition.is_null()).cloned(),
        })
    }

    /// Whether a person means this flow: its name, in any case, or its uuid.
    pub fn is(&self, named: &str) -> bool {
        self.uuid == named || self.name.to_lowercase() == named.trim().to_lowercase()
    }

    /// Its definition: the stored one, else RapidPro's.
    ///
    /// # Errors
    /// [`Error`]
    pub async fn definition(&self, client: &Client) -> Result<Value, Error> {
        if let Some(definition) = &self.definition {
            return Ok(definition.clone());
        }
        let query = [("flow", self.uuid.as_str()), ("dependencies", "none")];
        let answer = client.get("definitions", &query).await.map_err(Error::RapidPro)?;
        let flows = answer.get("flows").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
        let own = flows.iter().find(|flow| flow.get("uuid").and_then(Value::as_str) == Some(&self.uuid));
        own.cloned().ok_or(Error::NoDefinition)
    }
}

/// A result for a person.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Shown {
    /// In mappings: `$.answers.KEY`.
    pub key: String,
    pub name: String,
    /// `number`, `yes/no`, `choice`; `none` where it is a service's outcome and no answer.
    #[serde(rename = "type")]
    pub kind: &'static str,
    /// Of a choice: what `$.answers.KEY` may be.
    pub categories: Vec<String>,
}

/// Results of a flow, in its order.
pub fn results(flow: &Flow) -> Vec<Shown> {
    let shown = flow.questions.iter().map(|question| {
        let node = main_node(question);
        Shown {
            key: question.key.clone(),
            name: question.name.clone(),
            kind: node.map_or("none", word),
            categories: node.map(categories).unwrap_or_default(),
        }
    });
    shown.collect()
}

/// The node that asks for a result; of several the first that a person answers.
pub fn main_node(question: &Question) -> Option<&Node> {
    let answers = |giver: Giver| question.nodes.iter().find(|node| node.giver == giver);
    answers(Giver::Wait).or_else(|| answers(Giver::Split)).or_else(|| answers(Giver::Set))
}

fn word(node: &Node) -> &'static str {
    match node.kind {
        Kind::Choice => "choice",
        Kind::Boolean => "yes/no",
        Kind::Number => "number",
        Kind::Date => "date",
        Kind::Time => "time",
        Kind::Phone => "phone",
        Kind::Location => "location",
        Kind::Text => "text",
    }
}

/// The categories that are answers by themselves.
pub fn categories(node: &Node) -> Vec<String> {
    match node.kind {
        Kind::Choice | Kind::Boolean => node.options.iter().map(|option| option.name.clone()).collect(),
        _ => Vec::new(),
    }
}
