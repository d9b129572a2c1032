//! From a Bundle's JSON to entries, and from entries to a plan with its questions.

use std::collections::{BTreeMap, HashMap, HashSet};

use serde_json::{Value, json};

use super::shell::{self, Names};
use super::{
    Asked, By, Condition, Entry, Instance, Invocation, MAX_CALLS, MAX_ENTRIES, Operation, Order, Plan,
    Question,
};
use crate::fhir::elements::table;
use crate::fhir::outcome::{Issue, IssueType, Outcome};
use crate::fhir::patch::{Patch, Reader};
use crate::fhir::query::Query;
use crate::fhir::reference::rewrite;
use crate::fhir::resource::Resource;
use crate::fhir::search::{self, Context, Handling};
use crate::fhir::structure::primitive::is_id;

type NewId<'a> = &'a mut dyn FnMut() -> String;

/// Reads all entries; what is wrong with one is in its place.
pub fn entries(
    mut bundle: Value,
    context: &Context<'_>,
    new_id: NewId<'_>,
) -> Result<Vec<Result<Entry, Outcome>>, Outcome> {
    let mut names = Names::of(&bundle);
    let entries = shell::taken(&mut bundle)?;
    if entries.len() > MAX_ENTRIES {
        return Err(Outcome::error(
            IssueType::TooCostly,
            "too-many-entries",
            "a Bundle has at most 10,000 entries",
        ));
    }
    if entries.iter().filter(|entry| called(entry).is_some()).count() > MAX_CALLS {
        let text = format!("a Bundle calls at most {MAX_CALLS} operations");
        return Err(Outcome::error(IssueType::TooCostly, "too-costly", text).at("Bundle.entry"));
    }
    let mut reader = Reader::default();
    let read = entries.into_iter().enumerate().map(|(index, mut shell)| {
        let path = format!("Bundle.entry[{index}]");
        // Checked apart, with its own faults.
        let resource = shell.as_object_mut().and_then(|entry| entry.remove("resource"));
        shell::check(&shell, &path)?;
        names.add((&shell, resource.as_ref()), context.base, &path)?;
        entry((index, path), (&shell, resource), context, (&mut *new_id, &mut reader))
    });
    Ok(read.collect())
}

/// Makes an entry of a history one that does the same: a version is put under its own id.
pub fn repeat(entry: &mut Value) {
    let text = |key: &str| entry.get("resource")?.get(key)?.as_str();
    let (Some(kind), Some(id)) = (text("resourceType"), text("id")) else { return };
    let request = json!({ "method": "PUT", "url": format!("{kind}/{id}") });
    if let Some(entry) = entry.as_object_mut().filter(|entry| entry.contains_key("request")) {
        entry.insert("request".to_owned(), request);
    }
}

fn entry(
    (index, path): (usize, String),
    (shell, resource): (&Value, Option<Value>),
    context: &Context<'_>,
    with: (NewId<'_>, &mut Reader),
) -> Result<Entry, Outcome> {
    let request = shell.get("request").unwrap_or(&Value::Null);
    let text = |key: &str| request.get(key).and_then(Value::as_str);
    let full_url = shell.get("fullUrl").and_then(Value::as_str).map(str::to_owned);
    if let Some((method, url)) = called(shell) {
        let operation = Operation::Call(Invocation { method, url: url.to_owned(), body: resource });
        return Ok(Entry { index, path, full_url, operation });
    }
    let resource = resource
        .map(|value| {
            Resource::tolerating(value, context.tolerated)
                .map_err(|outcome| outcome.within(&format!("{path}.resource")))
        })
        .transpose()?;
    let url = text("url").unwrap_or_default();
    let target = target(url, context.base).ok_or_else(|| {
        let outcome = refused(&path, "bad-url", "this url names no resource type of R4");
        outcome.hint("written Patient, Patient/1 or Patient?identifier=x")
    })?;
    let request = Request { path: &path, url, target, text: &text };
    let operation = operation(&request, resource, with)?;
    Ok(Entry { index, path, full_url, operation })
}

/// How an entry calls an operation, and its url.
fn called(shell: &Value) -> Option<(By, &str)> {
    let request = shell.get("request")?;
    let url = request.get("url")?.as_str().filter(|url| names_operation(url))?;
    let method = match request.get("method")?.as_str()? {
        "GET" => By::Get,
        "HEAD" => By::Head,
        "POST" => By::Post,
        _ => return None,
    };
    Some((method, url))
}

/// Whether a url's last step is `$NAME`: an operation at that place.
pub fn names_operation(url: &str) -> bool {
    let path = url.split_once('?').map_or(url, |(path, _)| path);
    path.trim_end_matches('/').rsplit('/').next().is_some_and(|last| last.starts_with('$'))
}

fn operation(
    request: &Request<'_>,
    resource: Option<Resource>,
    (new_id, reader): (NewId<'_>, &mut Reader),
) -> Result<Operation, Outcome> {
    match (request.text)("method").unwrap_or_default() {
        "POST" if request.is_search() => search(request, resource),
        "POST" => create(request, resource, new_id()),
        "PUT" => update(request, resource, new_id()),
        "PATCH" => patch(request, resource, reader),
        "DELETE" => delete(request),
        "GET" => Ok(read(request, request.url.to_owned(), false)),
        "HEAD" => Ok(read(request, request.url.to_owned(), true)),
        _ => {
            let text = "this method is not supported in a Bundle";
            let issue = Issue::error(IssueType::NotSupported, "not-supported", text);
            Err(issue.at(format!("{}.request.method", request.path)).into())
        }
    }
}

fn refused(path: &str, code: &'static str, text: &str) -> Outcome {
    Outcome::error(IssueType::Value, code, text).at(format!("{path}.request.url"))
}

/// A request's url, taken apart.
struct Target<'a> {
    kind: Option<&'static str>,
    id: Option<&'a str>,
    query: Option<&'a str>,
}

struct Request<'a> {
    path: &'a str,
    url: &'a str,
    target: Target<'a>,
    text: &'a dyn Fn(&str) -> Option<&'a str>,
}

/// `Patient`, `Patient/1`, `Patient?q`, also absolute under our base; for a GET anything deeper too.
fn target<'a>(url: &'a str, base: &str) -> Option<Target<'a>> {
    let relative = url.strip_prefix(base.trim_end_matches('/')).unwrap_or(url).trim_start_matches('/');
    let (path, query) = match relative.split_once('?') {
        Some((path, query)) => (path, Some(query)),
        None => (relative, None),
    };
    let mut parts = path.trim_end_matches('/').splitn(2, '/');
    let name = parts.next().unwrap_or_default();
    let kind = table().kind(name);
    // `metadata`, `_history`: the router knows.
    if kind.is_none() && name.starts_with(|c: char| c.is_ascii_uppercase()) {
        return None;
    }
    Some(Target { kind, id: parts.next(), query })
}

impl<'a> Request<'a> {
    /// `_search` at the end, of whatever.
    fn is_search(&self) -> bool {
        let path = self.url.split_once('?').map_or(self.url, |(path, _)| path);
        path.trim_end_matches('/').rsplit('/').next() == Some("_search")
    }

    fn kind(&self) -> Result<&'static str, Outcome> {
        self.target.kind.ok_or_else(|| refused(self.path, "bad-url", "this url names no resource type of R4"))
    }

    fn resource(&self, resource: Option<Resource>) -> Result<Resource, Outcome> {
        let at = format!("{}.resource", self.path);
        let resource = resource.ok_or_else(|| {
            Outcome::error(IssueType::Required, "required-element", "POST and PUT need a resource").at(&*at)
        })?;
        if resource.kind() != self.kind()? {
            let text = format!("the resource is a {}, the url names {}", resource.kind(), self.kind()?);
            return Err(Outcome::error(IssueType::Value, "type-mismatch", text).at(at));
        }
        Ok(resource)
    }

    fn id(&self) -> Result<Option<&'a str>, Outcome> {
        match self.target.id {
            Some(id) if !is_id(id) => {
                Err(refused(self.path, "bad-id", "an id is 1 to 64 letters, digits, '-' and '.'"))
            }
            id => Ok(id),
        }
    }

    fn condition(&self) -> Result<Condition, Outcome> {
        if let Some(etag) = (self.text)("ifMatch") {
            let at = format!("{}.request.ifMatch", self.path);
            return Condition::if_match(etag).map_err(|outcome| outcome.at(at));
        }
        match (self.text)("ifNoneMatch") {
            None => Ok(Condition::None),
            Some(text) if text.trim() == "*" => Ok(Condition::Absent),
            Some(_) => {
                Err(Outcome::error(IssueType::NotSupported, "not-supported", "on a write, ifNoneMatch is *")
                    .at(format!("{}.request.ifNoneMatch", self.path)))
            }
        }
    }
}

fn create(request: &Request<'_>, resource: Option<Resource>, id: String) -> Result<Operation, Outcome> {
    if request.target.id.is_some() || request.target.query.is_some() {
        return Err(
            refused(request.path, "bad-url", "POST goes to a type").hint("POST Patient, or PUT Patient/1")
        );
    }
    let resource = request.resource(resource)?;
    let if_none_exist = (request.text)("ifNoneExist").map(|query| bare_query(query).to_owned());
    Ok(Operation::Create { resource, id, if_none_exist })
}

/// `Patient?identifier=x`, `?identifier=x` and `identifier=x` are the same.
fn bare_query(text: &str) -> &str {
    text.split_once('?').map_or(text, |(_, query)| query)
}

fn update(request: &Request<'_>, resource: Option<Resource>, new_id: String) -> Result<Operation, Outcome> {
    let resource = request.resource(resource)?;
    let condition = request.condition()?;
    match (request.id()?, request.target.query) {
        (Some(id), None) => {
            check_id(&resource, id, request.path)?;
            Ok(Operation::Update { id: id.to_owned(), resource, condition })
        }
        (None, Some(query)) => {
            let id = resource.id().map_or(new_id, str::to_owned);
            Ok(Operation::UpdateMatch { resource, id, query: query.to_owned(), condition })
        }
        _ => Err(refused(request.path, "bad-url", "PUT goes to an id or to a search")
            .hint("PUT Patient/1 or Patient?identifier=x")),
    }
}

/// The id in the url and in the resource are the same. <https://hl7.org/fhir/R4/http.html#update>
fn check_id(resource: &Resource, id: &str, path: &str) -> Result<(), Outcome> {
    match resource.id() {
        Some(own) if own == id => Ok(()),
        Some(_) => Err(Outcome::error(
            IssueType::Value,
            "id-mismatch",
            "the resource's id is not the one in the url",
        )
        .at(format!("{path}.resource.id"))),
        None => Err(Outcome::error(
            IssueType::Required,
            "id-missing",
            "a resource that is PUT has the id of the url",
        )
        .at(format!("{path}.resource.id"))),
    }
}

fn patch(
    request: &Request<'_>,
    resource: Option<Resource>,
    reader: &mut Reader,
) -> Result<Operation, Outcome> {
    let (kind, condition) = (request.kind()?, request.condition()?);
    let at = format!("{}.resource", request.path);
    let resource = resource.ok_or_else(|| {
        Outcome::error(
            IssueType::Required,
            "required-element",
            "a PATCH needs a resource that holds the patch",
        )
        .at(&*at)
        .hint("a Parameters (FHIRPath Patch), or a Binary with a JSON Patch")
    })?;
    let patch = Patch::of_resource(&resource, reader).map_err(|outcome| outcome.within(&at))?;
    match (request.id()?, request.target.query) {
        (Some(id), None) => Ok(Operation::Patch { kind, id: id.to_owned(), patch, condition }),
        (None, Some(query)) => Ok(Operation::PatchMatch { kind, query: query.to_owned(), patch, condition }),
        _ => Err(refused(request.path, "bad-url", "PATCH goes to an id or to a search")
            .hint("PATCH Patient/1 or Patient?identifier=x")),
    }
}

fn delete(request: &Request<'_>) -> Result<Operation, Outcome> {
    let kind = request.kind()?;
    match (request.id()?, request.target.query) {
        (Some(id), None) => {
            Ok(Operation::Delete { kind, id: id.to_owned(), condition: request.condition()? })
        }
        (None, Some(query)) => Ok(Operation::DeleteMatch { kind, query: query.to_owned() }),
        _ => {
            Err(refused(request.path, "bad-url", "DELETE goes to an id or to a search")
                .hint("DELETE Patient/1"))
        }
    }
}

fn read(request: &Request<'_>, url: String, head: bool) -> Operation {
    let text = |key: &str| (request.text)(key).map(str::to_owned);
    let (if_none_match, if_modified_since) = (text("ifNoneMatch"), text("ifModifiedSince"));
    let of = request.target.kind.zip(request.target.id).and_then(|(kind, rest)| {
        let (id, version) =
            rest.split_once("/_history/").map_or((rest, None), |(id, version)| (id, Some(version)));
        let version = version.map(|version| version.parse().unwrap_or(i64::MAX));
        is_id(id).then(|| Instance { kind, id: id.to_owned(), version })
    });
    Operation::Read { url, of, head, if_none_match, if_modified_since }
}

/// `POST Patient/_search`: its form is in the url, in a Parameters or in a Binary.
fn search(request: &Request<'_>, resource: Option<Resource>) -> Result<Operation, Outcome> {
    let at = |outcome: Outcome| outcome.at(format!("{}.resource", request.path));
    let form = match &resource {
        None => String::new(),
        Some(resource) => form(resource).map_err(at)?,
    };
    let between = match (request.target.query, form.is_empty()) {
        (_, true) => "",
        (None, false) => "?",
        (Some(_), false) => "&",
    };
    Ok(read(request, format!("{}{between}{form}", request.url), false))
}

fn form(resource: &Resource) -> Result<String, Outcome> {
    let text = |value: &Value| match value {
        Value::String(text) => Some(text.clone()),
        Value::Bool(_) | Value::Number(_) => Some(value.to_string()),
        _ => None,
    };
    let body = resource.body();
    let pairs = match resource.kind() {
        "Parameters" => {
            let parameters = body.get("parameter").and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
            let pair = |parameter: &Value| {
                let mut values = parameter.as_object()?.iter().filter(|(key, _)| key.starts_with("value"));
                Some((text(parameter.get("name")?)?, text(values.next()?.1)?))
            };
            parameters.iter().map(pair).collect::<Option<Vec<_>>>()
        }
        "Binary" => {
            let data = body.get("data").and_then(Value::as_str).unwrap_or_default();
            let data = base64::Engine::decode(&base64::engine::general_purpose::STANDARD, data).ok();
            data.map(|data| url::form_urlencoded::parse(&data).into_owned().collect())
        }
        _ => None,
    };
    let text = "the parameters of a search are primitive values of a Parameters, or a form in a Binary";
    let pairs = pairs.ok_or_else(|| Outcome::error(IssueType::Value, "bad-form", text))?;
    Ok(url::form_urlencoded::Serializer::new(String::new()).extend_pairs(pairs).finish())
}

impl Plan {
    /// A plan with its questions.
    pub(super) fn of(mut entries: Vec<Entry>, context: &Context<'_>) -> Result<Self, Outcome> {
        entries.iter().try_for_each(check_own_id)?;
        let (mut asked, mut questions, mut texts) = (Vec::new(), Vec::new(), BTreeMap::new());
        let mut conditions = HashSet::new();
        for (position, entry) in entries.iter_mut().enumerate() {
            if let Some(resource) = entry.operation.resource_mut() {
                rewrite::localise(resource.body_mut(), context.base);
                for (text, place) in rewrite::conditional(resource.body()) {
                    texts.entry(text).or_insert_with(|| inside(&entry.path, &place));
                }
            }
            if let Operation::Patch { patch, .. } | Operation::PatchMatch { patch, .. } = &entry.operation {
                for (text, place) in patch.conditional() {
                    texts.entry(text).or_insert_with(|| in_patch(&entry.path, &place));
                }
            }
            let Some((kind, query)) = entry.operation.condition_query() else { continue };
            let place = format!("{}.request", entry.path);
            // What is deleted is gone before others look for it.
            let deletes = matches!(entry.operation, Operation::DeleteMatch { .. });
            if !conditions.insert((deletes, kind, query.to_owned())) {
                return Err(duplicate("two entries have the same condition").at(place));
            }
            questions
                .push(Question { query: parse(kind, query, context).map_err(|o| o.at(place))?, limit: 2 });
            asked.push(Asked::Entry(position));
        }
        for (text, path) in texts {
            let (kind, query) = text.split_once('?').unwrap_or_default();
            let query = parse(kind, query, context).and_then(flat).map_err(|o| o.at(path.clone()))?;
            questions.push(Question { query, limit: 2 });
            asked.push(Asked::Reference { text, path });
        }
        let mut unmatched: HashMap<&str, u32> = HashMap::new();
        for kind in entries.iter().filter_map(|entry| entry.operation.may_unmatch()) {
            *unmatched.entry(kind).or_default() += 1;
        }
        for question in &mut questions {
            question.limit += unmatched.get(question.query.kind.as_str()).copied().unwrap_or_default();
        }
        let base = context.base.trim_end_matches('/').to_owned();
        let (zone, tolerated) = (context.zone.clone(), context.tolerated);
        Ok(Self { entries, asked, questions, base, zone, order: Order::Alone, tolerated })
    }
}

/// R4 allows the ids `.` and `..`, which in a url mean another place (RFC 3986, 5.2.4).
fn check_own_id(entry: &Entry) -> Result<(), Outcome> {
    let (Operation::Update { resource, id, .. } | Operation::UpdateMatch { resource, id, .. }) =
        &entry.operation
    else {
        return Ok(());
    };
    if !matches!(id.as_str(), "." | "..") {
        return Ok(());
    }
    let place = format!("{}.id", resource.kind());
    let text = "this id means another place in a url, so that nobody could read the resource";
    Err(Outcome::error(IssueType::Value, "bad-id", text).at(inside(&entry.path, &place)))
}

/// The FHIRPath of a place in an entry's resource, seen from the Bundle.
pub(super) fn inside(entry: &str, place: &str) -> String {
    match (entry.is_empty(), place.split_once('.')) {
        (false, Some((_, rest))) => format!("{entry}.resource.{rest}"),
        _ => place.to_owned(),
    }
}

/// The same of a place in a patch.
fn in_patch(entry: &str, place: &str) -> String {
    if entry.is_empty() { place.to_owned() } else { format!("{entry}.resource") }
}

pub(super) fn duplicate(text: &str) -> Outcome {
    Outcome::error(
        IssueType::Duplicate,
        "duplicate-identity",
        format!("a resource may occur once in a transaction: {text}"),
    )
    .status(400)
}

/// A condition's query: strictly read, because a misspelt name would match anything.
fn parse(kind: &str, query: &str, context: &Context<'_>) -> Result<Query, Outcome> {
    let pairs: Vec<(String, String)> = url::form_urlencoded::parse(query.as_bytes())
        .map(|(name, value)| (name.into_owned(), value.into_owned()))
        .collect();
    let search = search::parse_open(kind, &pairs, &Context { handling: Handling::Strict, ..*context })?;
    if search.query.filters.is_empty() {
        let text = "a condition names at least one search parameter with a value";
        return Err(Outcome::error(IssueType::Invalid, "empty-condition", text));
    }
    Ok(search.query)
}

/// A conditional reference may mean what the same transaction writes, which is compared one by one.
fn flat(query: Query) -> Result<Query, Outcome> {
    if !query.is_nested() {
        return Ok(query);
    }
    let text = "a conditional reference has neither chains nor _has, nor a hierarchy, value set or place";
    Err(Outcome::error(IssueType::NotSupported, "not-supported", text))
}

impl Operation {
    /// The resource that is written.
    pub fn resource(&self) -> Option<&Resource> {
        match self {
            Self::Create { resource, .. }
            | Self::Update { resource, .. }
            | Self::UpdateMatch { resource, .. } => Some(resource),
            _ => None,
        }
    }

    fn resource_mut(&mut self) -> Option<&mut Resource> {
        match self {
            Self::Create { resource, .. }
            | Self::Update { resource, .. }
            | Self::UpdateMatch { resource, .. } => Some(resource),
            _ => None,
        }
    }

    /// The type of which a stored resource may not match any more when this is done.
    fn may_unmatch(&self) -> Option<&'static str> {
        match self {
            Self::Update { resource, .. } | Self::UpdateMatch { resource, .. } => Some(resource.kind()),
            Self::Patch { kind, .. }
            | Self::PatchMatch { kind, .. }
            | Self::Delete { kind, .. }
            | Self::DeleteMatch { kind, .. } => Some(kind),
            Self::Create { .. } | Self::Read { .. } | Self::Call(_) => None,
        }
    }

    fn condition_query(&self) -> Option<(&'static str, &str)> {
        match self {
            Self::Create { resource, if_none_exist: Some(query), .. }
            | Self::UpdateMatch { resource, query, .. } => Some((resource.kind(), query)),
            Self::PatchMatch { kind, query, .. } | Self::DeleteMatch { kind, query } => Some((kind, query)),
            _ => None,
        }
    }
}
