//! A request, read: whose, which interaction, what is wished.

use std::sync::Arc;

use axum::body::{Body, Bytes, HttpBody};
use axum::extract::Request;
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderValue, Method, header};

use super::super::answer::{self, Answer};
use super::super::app::{App, Tenant};
use super::super::authorise::{self, Caller};
use super::super::format::{self, Dress, Instead};
use super::super::interaction::{Interaction, NoInteraction};
use super::super::shield::Label;
use super::super::wishes::{Handling, Layout, Wishes};
use super::super::{apart, body};
use super::lenient::{self, Repairs};
use super::{Segments, dispatch};
use crate::auth::{Denied, Principal};
use crate::fhir::elements;
use crate::fhir::lenient::tolerated as tolerated_of;
use crate::fhir::outcome::{IssueType, Outcome};
use crate::fhir::parameters::custom::Custom;
use crate::fhir::patch::Allowance;
use crate::fhir::search::{self, Context};
use crate::fhir::structure::tolerated::{NOTHING, Tolerated};
use crate::store::{self, write::Refusal};

/// More parameters than this in one query or form are refused.
const PARAMETERS_MAX: usize = 1000;

/// One interaction that was asked for, by someone who may.
pub struct Call {
    pub app: Arc<App>,
    /// The tenant's name; it is in [`App::tenants`].
    pub tenant: String,
    /// `https://fhir.example.org/fhir`
    pub base: String,
    pub principal: Principal,
    pub wishes: Wishes,
    pub method: Method,
    pub headers: HeaderMap,
    /// The tenant's own search parameters.
    pub custom: Arc<Custom>,
    /// The parameters of the URL, in order.
    pub query: Vec<(String, String)>,
    /// The body, whatever its type; empty where the interaction takes none.
    pub body: Bytes,
    /// What was repaired in it.
    pub repairs: Repairs,
    /// What its patches have left.
    pub patching: Arc<Allowance>,
}

/// Why a call is not answered as asked.
pub enum Stop {
    Outcome(Box<Outcome>),
    NoInteraction(NoInteraction),
}

impl Stop {
    /// As an OperationOutcome, e.g. of one entry of a batch.
    pub fn outcome(self) -> Outcome {
        match self {
            Self::Outcome(outcome) => *outcome,
            Self::NoInteraction(reason) => answer::outcome_of_no_interaction(&reason),
        }
    }
}

impl From<Outcome> for Stop {
    fn from(outcome: Outcome) -> Self {
        Self::Outcome(Box::new(outcome))
    }
}

impl From<store::Error> for Stop {
    fn from(error: store::Error) -> Self {
        answer::of_store(&error).into()
    }
}

impl From<Refusal> for Stop {
    fn from(refusal: Refusal) -> Self {
        answer::of_refusal(refusal).into()
    }
}

impl From<Denied> for Stop {
    fn from(denied: Denied) -> Self {
        answer::denied(&denied).into()
    }
}

/// Answers any request at or below a tenant's base.
pub async fn answer(app: &Arc<App>, segments: &Segments, request: Request) -> Answer {
    let (parts, body) = request.into_parts();
    let path = segments.get("path").map_or("", String::as_str);
    let interaction = Interaction::parse(&parts.method, path, is_type);
    let label = interaction.as_ref().map_or("none", Interaction::label);
    let instead = match &interaction {
        Ok(interaction) if interaction.writes() => Instead::Nothing,
        _ => Instead::Refusal,
    };
    let tenant = segments.get("tenant").map_or("default", String::as_str).to_owned();
    let mut dress = Dress::of(&parts.headers, parts.uri.query().unwrap_or_default().as_bytes());
    let answered = match call(app, tenant, interaction, (parts, body), &mut dress).await {
        Ok(answer) => answer,
        Err(Stop::Outcome(outcome)) => answer::refusal(&outcome),
        Err(Stop::NoInteraction(reason)) => answer::no_interaction(&reason),
    };
    // What needs nothing waits for no place.
    let large = answered.body().size_hint().lower() >= apart::LARGE as u64;
    let large = large && !format::is_dressed(&answered, dress);
    let dressing = format::dressed(answered, dress, instead);
    let mut answered = if large {
        app.dressing.run(dressing).await.unwrap_or_else(|outcome| answer::refusal(&outcome))
    } else {
        dressing.await
    };
    answered.extensions_mut().insert(Label(label));
    answered
}

/// Whether this is one of R4's resource types.
pub fn is_type(kind: &str) -> bool {
    elements::table().kind(kind).is_some()
}

/// First who calls, then what is asked for: a stranger does not learn what there is.
async fn call(
    app: &Arc<App>,
    tenant: String,
    interaction: Result<Interaction, NoInteraction>,
    (parts, body): (Parts, Body),
    dress: &mut Dress,
) -> Result<Answer, Stop> {
    let public = interaction.as_ref().is_ok_and(Interaction::is_public);
    // An unknown tenant has no tokens: 401, as for any other stranger.
    let known = authorise::principal(app, &tenant, Caller::of(&parts.headers, &parts.extensions)).await;
    let stranger = known.is_err();
    let principal = match known {
        Err(_) if public => Principal::anyone(),
        known => known?,
    };
    let interaction = interaction.map_err(Stop::NoInteraction)?;
    if !(app.tenants.contains_key(&tenant) || public && may_be_a_tenant(&tenant)) {
        return Err(Stop::NoInteraction(NoInteraction::NotFound));
    }
    if let Some((permission, kind)) = interaction.permission() {
        principal.require(permission, kind)?;
    }
    body::decodable(&parts.headers)?;
    let query = parameters(parts.uri.query().unwrap_or_default().as_bytes())?;
    let takes_body = matches!(parts.method, Method::POST | Method::PUT | Method::PATCH);
    let body = if takes_body { body::read(body, app.body_limit).await? } else { Bytes::new() };
    let wishes = if is_form(&parts.headers) {
        // A form may say `_format` as the URL may.
        let all: Vec<_> = query.iter().cloned().chain(parameters(&body)?).collect();
        *dress = Dress::of_pairs(&parts.headers, &all);
        Wishes::parse(&parts.headers, &all)?
    } else {
        Wishes::parse(&parts.headers, &query)?
    };
    // What a tenant has of its own, and whether there is one, is not public.
    let custom = if stranger { Arc::default() } else { app.own.of(&tenant) };
    let read = Read { app: Arc::clone(app), tenant, principal, wishes, custom, parts, query };
    if body.len() < apart::LARGE {
        return carry_out(read, interaction, body).await;
    }
    app.apart.run(carry_out(read, interaction, body)).await?
}

/// A request whose body is not looked at yet.
struct Read {
    app: Arc<App>,
    tenant: String,
    principal: Principal,
    wishes: Wishes,
    custom: Arc<Custom>,
    parts: Parts,
    query: Vec<(String, String)>,
}

/// Reads the body, repairs it where its client is known for that, and does what is asked.
async fn carry_out(read: Read, interaction: Interaction, body: Bytes) -> Result<Answer, Stop> {
    let Read { app, tenant, principal, wishes, custom, parts, query } = read;
    let body = format::as_json(&parts.headers, body)?;
    let mut request = lenient::Request { interaction, query, body };
    let repairs = lenient::repair((&app, &tenant), (&principal, &parts.headers), &mut request).await?;
    let lenient::Request { interaction, query, body } = request;
    let (client, profile, named, told) =
        (principal.name.clone(), principal.profile, tenant.clone(), repairs.clone());
    let base = app.base(&tenant);
    let (method, headers) = (parts.method, parts.headers);
    let shared = Arc::clone(&app);
    let patching = Arc::default();
    let call = Call {
        app: shared,
        tenant,
        base,
        principal,
        wishes,
        method,
        headers,
        custom,
        query,
        body,
        repairs,
        patching,
    };
    told.told((&app, &named), (&client, profile), dispatch(call, interaction).await).await
}

/// By its name. Whoever asks for another learns nothing by being told that there is none.
fn may_be_a_tenant(name: &str) -> bool {
    let fits = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    name.len() <= 63 && name.bytes().all(fits)
}

fn is_form(headers: &HeaderMap) -> bool {
    let media = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok());
    let name = media.and_then(|media| media.split(';').next()).unwrap_or_default().trim();
    name.eq_ignore_ascii_case("application/x-www-form-urlencoded")
}

/// The parameters of a query or of a form, in order, decoded.
///
/// # Errors
/// 400 for too many of them, and for what is not percent-encoded UTF-8: something else would be looked for.
pub fn parameters(query: &[u8]) -> Result<Vec<(String, String)>, Outcome> {
    if !is_encoded(query) {
        let text = "the parameters are not percent-encoded UTF-8";
        return Err(Outcome::error(IssueType::Invalid, "bad-encoding", text).hint("write a % itself as %25"));
    }
    let pairs: Vec<(String, String)> = url::form_urlencoded::parse(query)
        .into_owned()
        // OpenSRP sends `?&name=…`.
        .filter(|(name, _)| !name.is_empty())
        .take(PARAMETERS_MAX + 1)
        .collect();
    if pairs.len() <= PARAMETERS_MAX {
        return Ok(pairs);
    }
    let text = format!("more than {PARAMETERS_MAX} parameters");
    Err(Outcome::error(IssueType::TooCostly, "too-many-parameters", text))
}

/// Whether each `%` has two digits, and what is encoded is UTF-8.
fn is_encoded(query: &[u8]) -> bool {
    let mut after = query.split(|byte| *byte == b'%').skip(1);
    let digits = |text: &[u8]| text.get(..2).is_some_and(|two| two.iter().all(u8::is_ascii_hexdigit));
    after.all(digits) && percent_encoding::percent_decode(query).decode_utf8().is_ok()
}

impl Call {
    /// The same caller's call of an operation inside a bundle: with its own method, parameters and body (a
    /// resource), answered as JSON without indentation.
    pub fn within(&self, method: Method, query: Vec<(String, String)>, body: Bytes) -> Self {
        let mut headers = HeaderMap::new();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(answer::FHIR_JSON));
        Self {
            app: Arc::clone(&self.app),
            tenant: self.tenant.clone(),
            base: self.base.clone(),
            principal: self.principal.clone(),
            wishes: Wishes { layout: Layout::Compact, ..self.wishes },
            method,
            headers,
            custom: Arc::clone(&self.custom),
            query,
            body,
            repairs: Repairs::default(),
            patching: Arc::clone(&self.patching),
        }
    }

    /// The zone of dates that have none.
    pub fn zone(&self) -> jiff::tz::TimeZone {
        self.app
            .tenants
            .get(&self.tenant)
            .map_or(jiff::tz::TimeZone::UTC, |tenant: &Tenant| tenant.zone.clone())
    }

    /// The body as JSON text, whatever of JSON and XML came.
    ///
    /// # Errors
    /// 415 for another type; 400 where it is not UTF-8.
    pub fn json(&self) -> Result<&Bytes, Outcome> {
        format::sent(&self.headers)?;
        match std::str::from_utf8(&self.body) {
            Ok(_) => Ok(&self.body),
            Err(_) => Err(Outcome::error(IssueType::Invalid, "not-utf8", "the body is not UTF-8")),
        }
    }

    /// What searches and conditions are read against.
    pub fn context<'a>(&'a self, zone: &'a jiff::tz::TimeZone) -> Context<'a> {
        let handling = if self.is_strict() { search::Handling::Strict } else { search::Handling::Lenient };
        let now = jiff::Timestamp::now();
        Context { base: &self.base, zone, now, handling, custom: &self.custom, tolerated: self.tolerated() }
    }

    /// What the client may break.
    pub fn tolerated(&self) -> Tolerated {
        self.principal.profile.map_or(NOTHING, tolerated_of)
    }

    /// The parameters of a conditional update or delete, without those that shape the answer.
    pub fn condition(&self) -> String {
        let shaping = ["_format", "_pretty"];
        let pairs = self.query.iter().filter(|(name, _)| !shaping.contains(&name.as_str()));
        url::form_urlencoded::Serializer::new(String::new()).extend_pairs(pairs).finish()
    }

    pub fn is_strict(&self) -> bool {
        self.wishes.handling == Handling::Strict
    }

    /// A header as text.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).and_then(|value| value.to_str().ok())
    }
}
