//! What known clients send that is not R4, made R4 before it is checked.
//!
//! A client has a [`Profile`] because its token (or the configuration, for a JSON Web Token) says so; without one
//! nothing is changed. Every change is a [`Repair`], which the server tells the client and the audit. Where nothing can
//! be changed without losing what the client reads back, the rule is relaxed for it ([`tolerated()`]): the
//! resource stays as sent, and that is told in the same way.
//! **Never** does I/O, and never invents what a person would have to say: a value is moved, wrapped, or set to what
//! the client's own documentation means by leaving it out. What is still not R4 afterwards is refused as ever.

mod cht;
mod commcare;
// What is there and says nothing.
mod empty;
mod ihris;
mod opensrp;
mod shape;

use serde_json::Value;

use crate::fhir::bundle;
use crate::fhir::client::Profile;
use crate::fhir::outcome::{Issue, IssueType, Severity};
use crate::fhir::structure::tolerated::{self, Rule, Tolerated};

/// The rules that the client may break, because what it sends has to stay as it is.
pub fn tolerated(profile: Profile) -> Tolerated {
    match profile {
        // Its app contains what it made beside a form's answers, and refers to none of it.
        Profile::OpenSrp => &[Rule::ContainedUsed],
        // Its tasks are ids like `person:person_add`, and mHero's messages have extensions like `sender`: both are read
        // back.
        Profile::Ihris => &[Rule::ExtensionId, Rule::ExtensionUrl],
        Profile::Cht | Profile::CommCare | Profile::OpenMrs | Profile::Pdqm => tolerated::NOTHING,
    }
}

/// One thing that was made R4, or let through.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Repair {
    /// Stable, kebab-case: `class-as-text`.
    pub code: &'static str,
    /// What was done, for a person; nothing of the resource's content.
    pub text: &'static str,
    /// FHIRPath: `Encounter.class`, in a bundle `Bundle.entry[3].resource.class`.
    pub place: String,
    /// The entry of a bundle that it is about.
    pub entry: Option<usize>,
}

impl Repair {
    fn new(code: &'static str, text: &'static str, place: impl Into<String>) -> Self {
        Self { code, text, place: place.into(), entry: None }
    }

    /// As the client is told.
    pub fn issue(&self) -> Issue {
        let issue = Issue::error(IssueType::Structure, self.code, self.text).severity(Severity::Warning);
        issue.at(self.place.clone()).hint("accepted because of the client's profile; mend it at its source")
    }

    /// Whether a POST was taken as an update, which it is only where there was something to update.
    pub fn is_upsert(&self) -> bool {
        self.code == POST_AS_UPDATE
    }

    fn in_entry(mut self, index: usize) -> Self {
        let rest = self.place.find(['.', '[']).map_or("", |at| &self.place[at..]);
        self.place = format!("Bundle.entry[{index}].resource{rest}");
        self.entry = Some(index);
        self
    }
}

/// Repairs one resource that is posted or put.
pub fn resource(profile: Profile, resource: &mut Value) -> Vec<Repair> {
    let mut repairs = Vec::new();
    let own = match profile {
        Profile::Ihris => ihris::repair,
        Profile::Cht => cht::repair,
        Profile::OpenSrp => opensrp::repair,
        // They send R4, as far as one resource goes.
        Profile::CommCare | Profile::OpenMrs | Profile::Pdqm => return repairs,
    };
    empty::leave_out(resource, &mut repairs);
    own(resource, &mut repairs);
    shape::numbers(resource, &mut repairs);
    shape::contacts(resource, &mut repairs);
    repairs.extend(tolerated::breaches(resource, self::tolerated(profile)).into_iter().map(let_through));
    repairs
}

/// What stays as it was sent is told too.
fn let_through((rule, place): (Rule, String)) -> Repair {
    let (code, text) = match rule {
        Rule::ContainedUsed => {
            ("contained-unused", "a contained resource that nothing refers to was let through")
        }
        Rule::ExtensionId => ("id-as-text", "a `valueId` that is no R4 id was let through"),
        Rule::ExtensionUrl => ("relative-url", "an extension whose url is not absolute was let through"),
    };
    Repair::new(code, text, place)
}

/// Repairs the resources and requests of a transaction or batch. `upserts` as in [`is_upserted`].
pub fn bundle(profile: Profile, upserts: &[String], bundle: &mut Value) -> Vec<Repair> {
    let mut repairs = Vec::new();
    let entries = bundle.get_mut("entry").and_then(Value::as_array_mut);
    for (index, entry) in entries.into_iter().flatten().enumerate() {
        let mut own = Vec::new();
        if let Some(resource) = entry.get_mut("resource") {
            own = self::resource(profile, resource);
        }
        if profile == Profile::CommCare {
            own.extend(commcare::repair(entry));
        }
        own.extend(upsert_entry(upserts, entry));
        repairs.extend(own.into_iter().map(|repair| repair.in_entry(index)));
    }
    repairs
}

/// Whether a POST of `kind` is an update of the one with the same identifier.
pub fn is_upserted(upserts: &[String], kind: &str) -> bool {
    upserts.iter().any(|own| own == kind)
}

/// The search for the resource that has the same identifier: the official one, else the first with a value.
/// Without a system it is one without a system.
pub fn by_identifier(resource: &Value) -> Option<String> {
    let identifiers = resource.get("identifier")?.as_array()?;
    let text = |identifier: &Value, key: &str| Some(identifier.get(key)?.as_str()?.to_owned());
    let official = |identifier: &&Value| identifier.get("use").and_then(Value::as_str) == Some("official");
    let valued = |identifier: &&Value| text(identifier, "value").is_some_and(|value| !value.is_empty());
    let usable = || identifiers.iter().filter(valued);
    let identifier = usable().find(official).or_else(|| usable().next())?;
    let system = text(identifier, "system").unwrap_or_default();
    let token = format!("{}|{}", escaped(&system), escaped(&text(identifier, "value")?));
    Some(url::form_urlencoded::Serializer::new(String::new()).append_pair("identifier", &token).finish())
}

/// A value in a search parameter. <https://hl7.org/fhir/R4/search.html#escaping>
fn escaped(value: &str) -> String {
    let mut out = String::with_capacity(value.len());
    for c in value.chars() {
        if matches!(c, '\\' | ',' | '$' | '|') {
            out.push('\\');
        }
        out.push(c);
    }
    out
}

/// A POST of such a type becomes a conditional PUT.
fn upsert_entry(upserts: &[String], entry: &mut Value) -> Option<Repair> {
    let kind = entry.get("resource")?.get("resourceType")?.as_str()?.to_owned();
    let request = entry.get("request")?;
    let posted = request.get("method")?.as_str()? == "POST" && request.get("ifNoneExist").is_none();
    let called = request.get("url").and_then(Value::as_str).is_some_and(bundle::names_operation);
    if !posted || called || !is_upserted(upserts, &kind) {
        return None;
    }
    let query = by_identifier(entry.get("resource")?)?;
    // The id of what is posted is not looked at; one of what is put would have to be the match's.
    entry.get_mut("resource")?.as_object_mut()?.shift_remove("id");
    let request = entry.get_mut("request")?.as_object_mut()?;
    request.insert("method".to_owned(), "PUT".into());
    request.insert("url".to_owned(), format!("{kind}?{query}").into());
    Some(upserted(&kind))
}

/// The code of such a repair.
const POST_AS_UPDATE: &str = "post-as-update";

/// A POST was taken as an update of the one with the same identifier.
pub fn upserted(kind: &str) -> Repair {
    let text = "the post was an update by identifier";
    Repair::new(POST_AS_UPDATE, text, format!("{kind}.identifier"))
}

/// The types that [`Profile::Cht`] refers to by their identifier where R4 has the id.
pub const REFERRED_BY_IDENTIFIER: [&str; 3] = ["Organization", "Patient", "Practitioner"];

/// The references of a resource from CHT whose id may be an identifier: (type, id).
pub fn doubtful(profile: Profile, resource: &Value) -> Vec<(String, String)> {
    if profile == Profile::Cht { cht::doubtful(resource) } else { Vec::new() }
}

/// Makes each of these references, whose id nobody has, one by identifier: `Patient/x` is `Patient?identifier=x`.
pub fn refer_by_identifier(resource: &mut Value, absent: &[(String, String)]) -> Vec<Repair> {
    cht::refer_by_identifier(resource, absent)
}

#[cfg(test)]
mod tests;
