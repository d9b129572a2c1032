//! What a transaction or batch asks for, in the order in which it is done.
//!
//! A [`Plan`] is made of a Bundle (or of one interaction), gives the searches that only the store can
//! answer, and, given the answers, the [`Action`]s: DELETE, POST, PUT, GET, with ids assigned, references
//! rewritten and conditional references resolved. **Never** writes; the server runs the actions inside one
//! write group. Nothing here reads a clock or makes up an id: both are passed in.
//! <https://hl7.org/fhir/R4/http.html#transaction>

mod read;
mod settle;
mod shell;
// What a condition matches beside the transaction's own writes.
mod sight;

use jiff::tz::TimeZone;
use serde_json::Value;

use crate::fhir::outcome::{Issue, IssueType, Outcome};
use crate::fhir::parameters::custom::Custom;
use crate::fhir::patch::{Deadline, Patch};
use crate::fhir::query::Query;
use crate::fhir::resource::Resource;
use crate::fhir::search::Context;
use crate::fhir::structure;
use crate::fhir::structure::tolerated::Tolerated;
pub use read::names_operation;

/// A Bundle may have this many entries.
pub const MAX_ENTRIES: usize = 10_000;
/// And this many that call an operation: each may cost what a request of its own costs.
pub const MAX_CALLS: usize = 100;

/// So many versions a list in `If-Match` may have.
pub const MAX_TAGS: usize = 8;

/// `Bundle.type`, as far as it can be posted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// All or nothing.
    Transaction,
    /// Each entry for itself.
    Batch,
    /// A history, told again: all or nothing, the oldest first.
    History,
}

/// One entry of a plan.
#[derive(Debug, Clone, PartialEq)]
pub struct Entry {
    /// Its place in the Bundle: answers come in that order.
    pub index: usize,
    /// FHIRPath of the entry (`Bundle.entry[3]`); empty for an interaction on its own.
    pub path: String,
    pub full_url: Option<String>,
    pub operation: Operation,
}

/// What one entry asks for.
#[derive(Debug, Clone, PartialEq)]
pub enum Operation {
    /// `POST Patient`. `id` is the one assigned; `if_none_exist` a query string.
    Create { resource: Resource, id: String, if_none_exist: Option<String> },
    /// `PUT Patient/1`
    Update { resource: Resource, id: String, condition: Condition },
    /// `PUT Patient?identifier=x`. `id` is used where nothing matches and the resource has none.
    UpdateMatch { resource: Resource, id: String, query: String, condition: Condition },
    /// `PATCH Patient/1`
    Patch { kind: &'static str, id: String, patch: Patch, condition: Condition },
    /// `PATCH Patient?identifier=x`: exactly one.
    PatchMatch { kind: &'static str, query: String, patch: Patch, condition: Condition },
    /// `DELETE Patient/1`
    Delete { kind: &'static str, id: String, condition: Condition },
    /// `DELETE Patient?identifier=x`: at most one.
    DeleteMatch { kind: &'static str, query: String },
    /// `GET` or `HEAD`: the server's router answers it after the commit. `url` is relative to the base.
    Read {
        url: String,
        /// The one that is read, where it is one.
        of: Option<Instance>,
        head: bool,
        if_none_match: Option<String>,
        if_modified_since: Option<String>,
    },
    /// `GET Patient/1/$everything`, `POST Patient/$match`: the server's table of operations knows what it is.
    Call(Invocation),
}

/// A call of an operation.
#[derive(Debug, Clone, PartialEq)]
pub struct Invocation {
    pub method: By,
    /// Relative to the base, or absolute under it.
    pub url: String,
    /// What the operation is called with, unchecked: it is the operation's business.
    pub body: Option<Value>,
}

/// The methods by which operations are called.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum By {
    Get,
    Head,
    Post,
}

/// `Patient/1`, `Patient/1/_history/3`
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Instance {
    pub kind: &'static str,
    pub id: String,
    pub version: Option<i64>,
}

/// What must be so, or nothing is done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Condition {
    None,
    /// `If-Match: W/"3"`
    Version(i64),
    /// `If-Match: W/"3", W/"4"`: one of them; 0 is none.
    OneOf([i64; MAX_TAGS]),
    /// `If-Match: *`: whatever its version, it is there.
    Exists,
    /// `If-None-Match: *`
    Absent,
}

impl Condition {
    /// Reads an `If-Match`: a version, several, or any. <https://www.rfc-editor.org/rfc/rfc9110#section-13.1.1>
    ///
    /// # Errors
    /// 400: not versions of this server, or too many.
    pub fn if_match(text: &str) -> Result<Self, Outcome> {
        if text.trim() == "*" {
            return Ok(Self::Exists);
        }
        let versions = text.split(',').map(version).collect::<Result<Vec<_>, _>>()?;
        if let [one] = versions.as_slice() {
            return Ok(Self::Version(*one));
        }
        let mut tags = [0; MAX_TAGS];
        if versions.len() > MAX_TAGS {
            let text = format!("a list of versions has at most {MAX_TAGS}");
            return Err(Outcome::error(IssueType::TooCostly, "bad-etag", text));
        }
        tags.iter_mut().zip(versions).for_each(|(tag, version)| *tag = version);
        Ok(Self::OneOf(tags))
    }

    /// Whether what is at this version may be changed.
    fn admits(self, current: i64) -> bool {
        match self {
            Self::None | Self::Exists => true,
            Self::Version(wanted) => wanted == current,
            Self::OneOf(tags) => tags.contains(&current),
            Self::Absent => false,
        }
    }

    /// Whether there must be one.
    fn asks_for_one(self) -> bool {
        matches!(self, Self::Version(_) | Self::OneOf(_) | Self::Exists)
    }
}

/// A search that only the store can answer. Two matches tell one from several, and each that the plan itself writes
/// may be none any more.
#[derive(Debug, Clone, PartialEq)]
pub struct Question {
    pub query: Query,
    pub limit: u32,
}

/// A match: kind, id, current version.
pub type Matched = (String, String, i64);

/// A resource as it is when the plan is written.
#[derive(Debug, Clone, PartialEq)]
pub struct Current {
    pub version: i64,
    /// Milliseconds since 1970 UTC.
    pub updated_ms: i64,
    /// As clients read it; `None`: deleted.
    pub body: Option<Value>,
}

/// What the store answered.
#[derive(Clone, Copy)]
pub struct Answers<'a> {
    /// To [`Plan::questions`], in order.
    pub matches: &'a [Vec<Matched>],
    /// What a resource of [`Plan::reads`] (kind, id) is now; `None`: there never was one.
    pub current: &'a dyn Fn(&str, &str) -> Option<Current>,
    /// The tenant's own search parameters: a conditional reference may name what the same plan writes by them.
    pub custom: &'a Custom,
    /// Until when patches may be applied.
    pub deadline: Deadline,
}

/// What is to be done for one entry, now that all is known.
#[derive(Debug, Clone, PartialEq)]
pub struct Action {
    /// [`Entry::index`]
    pub index: usize,
    pub path: String,
    pub effect: Effect,
}

impl Action {
    /// Whether it writes a version.
    pub fn writes(&self) -> bool {
        matches!(self.effect, Effect::Put { .. } | Effect::Delete { .. })
    }
}

/// The thing to do. Bodies have their references rewritten.
#[derive(Debug, Clone, PartialEq)]
pub enum Effect {
    /// Write a version. `Condition::Absent` of a create: its assigned id is new.
    Put {
        resource: Resource,
        id: String,
        condition: Condition,
        method: Method,
    },
    Delete {
        kind: &'static str,
        id: String,
        condition: Condition,
    },
    /// A conditional create found this one: nothing is written, the answer is 200.
    Exists {
        kind: String,
        id: String,
        version: i64,
        /// Milliseconds since 1970 UTC.
        updated_ms: i64,
    },
    /// A conditional delete found nothing: the answer is 204.
    Nothing,
    Read {
        url: String,
        head: bool,
        if_none_match: Option<String>,
        if_modified_since: Option<String>,
    },
    Call(Invocation),
}

/// How a version came about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Method {
    Post,
    Put,
    /// From the version before.
    Patch,
}

/// A checked transaction, one entry of a batch, or one interaction.
#[derive(Debug, Clone)]
pub struct Plan {
    entries: Vec<Entry>,
    /// Which entry each question belongs to, or which conditional reference.
    asked: Vec<Asked>,
    questions: Vec<Question>,
    /// This server's base, without a slash at its end.
    base: String,
    zone: TimeZone,
    order: Order,
    /// What the client may break in what a patch makes.
    tolerated: Tolerated,
}

/// In which order the entries are done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Order {
    /// There is one.
    Alone,
    /// By R4's rules for transactions; each resource once.
    Rules,
    /// From the last to the first.
    AsTold,
}

#[derive(Debug, Clone, PartialEq)]
enum Asked {
    /// An entry's own condition, by its position in `entries`.
    Entry(usize),
    /// A conditional reference and the FHIRPath where it stands.
    Reference { text: String, path: String },
}

/// Whether a posted Bundle is a transaction or a batch.
///
/// # Errors
/// 400: not a Bundle, or of a type that cannot be posted to the base.
pub fn mode(bundle: &Value) -> Result<Mode, Outcome> {
    if bundle.get("resourceType").and_then(Value::as_str) != Some("Bundle") {
        let text = "what is posted to the base is a Bundle";
        return Err(Outcome::error(IssueType::Invalid, "not-a-bundle", text).at("resourceType"));
    }
    match bundle.get("type").and_then(Value::as_str) {
        Some("transaction") => Ok(Mode::Transaction),
        Some("batch") => Ok(Mode::Batch),
        Some("history") => Ok(Mode::History),
        _ => Err(Outcome::error(
            IssueType::Value,
            "bundle-type",
            "a posted Bundle is a transaction, a batch or a history",
        )
        .at("Bundle.type")),
    }
}

/// Plans a transaction. `new_id` gives ids for what is created.
///
/// # Errors
/// Everything that is wrong with it, seen from the Bundle; nothing of it may be done.
pub fn transaction(
    bundle: Value,
    context: &Context<'_>,
    new_id: &mut dyn FnMut() -> String,
) -> Result<Plan, Outcome> {
    let (entries, faults): (Vec<_>, Vec<_>) =
        read::entries(bundle, context, new_id)?.into_iter().partition(Result::is_ok);
    let faults: Vec<Outcome> = faults.into_iter().filter_map(Result::err).collect();
    if let Some(status) = faults.first().map(|fault| fault.status) {
        let issues = faults.into_iter().flat_map(|fault| fault.issues).take(structure::MAX_ISSUES).collect();
        return Err(Outcome { status, issues });
    }
    let mut plan = Plan::of(entries.into_iter().filter_map(Result::ok).collect(), context)?;
    plan.order = Order::Rules;
    Ok(plan)
}

/// Plans a history of this or another server: each resource goes through the versions that it names, the oldest first,
/// under its own id. The list is newest first. <https://hl7.org/fhir/R4/http.html#history>
///
/// # Errors
/// As [`transaction`].
pub fn history(
    mut bundle: Value,
    context: &Context<'_>,
    new_id: &mut dyn FnMut() -> String,
) -> Result<Plan, Outcome> {
    let entries = bundle.get_mut("entry").and_then(Value::as_array_mut);
    entries.into_iter().flatten().for_each(read::repeat);
    let mut plan = transaction(bundle, context, new_id)?;
    plan.order = Order::AsTold;
    Ok(plan)
}

/// Plans each entry of a batch for itself, in the Bundle's order.
///
/// # Errors
/// The Bundle itself is broken. What is wrong with an entry is in its own place.
pub fn batch(
    bundle: Value,
    context: &Context<'_>,
    new_id: &mut dyn FnMut() -> String,
) -> Result<Vec<Result<Plan, Outcome>>, Outcome> {
    let entries = read::entries(bundle, context, new_id)?;
    Ok(entries.into_iter().map(|entry| Plan::of(vec![entry?], context)).collect())
}

/// Plans one interaction.
///
/// # Errors
/// Its condition, or a conditional reference in it, cannot be searched.
pub fn single(operation: Operation, context: &Context<'_>) -> Result<Plan, Outcome> {
    let entry = Entry { index: 0, path: String::new(), full_url: None, operation };
    Plan::of(vec![entry], context)
}

/// `W/"3"`, `"3"` or `3`.
///
/// # Errors
/// 400: not a version of this server.
pub fn version(etag: &str) -> Result<i64, Outcome> {
    let bare = etag.trim();
    let bare = bare.strip_prefix("W/").unwrap_or(bare).trim_matches('"');
    bare.parse().ok().filter(|version| *version > 0).ok_or_else(|| {
        Issue::error(IssueType::Value, "bad-etag", "this is no version").hint("written W/\"3\"").into()
    })
}

impl Plan {
    /// The searches to be answered, in order, before [`Plan::settle`].
    pub fn questions(&self) -> &[Question] {
        &self.questions
    }

    /// Their queries, for what is to be looked up in them before they are asked.
    pub fn queries(&mut self) -> impl Iterator<Item = &mut Query> {
        self.questions.iter_mut().map(|question| &mut question.query)
    }

    /// The resources (kind, id) that [`Plan::settle`] needs as they are now: what is patched, what a conditional
    /// create finds, and what is read. Known once the questions are answered.
    pub fn reads(&self, matches: &[Vec<Matched>]) -> Vec<(String, String)> {
        let by_id = self.entries.iter().filter_map(|entry| match &entry.operation {
            Operation::Patch { kind, id, .. } => Some(((*kind).to_owned(), id.clone())),
            Operation::Read { of: Some(Instance { kind, id, .. }), .. } if self.order != Order::Alone => {
                Some(((*kind).to_owned(), id.clone()))
            }
            _ => None,
        });
        let by_match = self.asked.iter().zip(matches).flat_map(|(asked, found)| {
            let Asked::Entry(position) = asked else { return &[][..] };
            match self.entries.get(*position).map(|entry| &entry.operation) {
                Some(Operation::PatchMatch { .. } | Operation::Create { .. }) => found,
                _ => &[],
            }
        });
        by_id.chain(by_match.map(|(kind, id, _)| (kind.clone(), id.clone()))).collect()
    }

    /// Whether the plan can be settled without the store.
    pub fn asks_nothing(&self) -> bool {
        self.questions.is_empty() && self.reads(&[]).is_empty()
    }

    /// How many of its entries are patches.
    pub fn patches(&self) -> usize {
        let is_patch = |entry: &&Entry| {
            matches!(entry.operation, Operation::Patch { .. } | Operation::PatchMatch { .. })
        };
        self.entries.iter().filter(is_patch).count()
    }

    /// The entries, in the Bundle's order.
    pub fn entries(&self) -> &[Entry] {
        &self.entries
    }
}

#[cfg(test)]
mod tests;
