//! `rapidpro.contact` in mapping files.
//!
//! **Pure.** One part for the URNs, the name, the language, the status, and each field and group, so that
//! only what changed is sent and each is accepted or refused on its own.

use serde_json::{Map, Value, json};

use super::words::{
    LANGUAGE_HINT, bad_group, bad_key, complaint, find_text, flat, hashed, is_language, scalar,
};
use crate::mapping::output::{Issue, Nature, Output, Part, Severity, Withdraw};
use crate::mapping::target::{Complaint, Evaluated, Field, Kind, Shape, Target};
use crate::rapidpro::urn::{self, UrnError};

/// RapidPro's own limit.
const NAME_CHARACTERS: usize = 64;
/// Longer values are cut without a word by RapidPro.
const FIELD_CHARACTERS: usize = 640;

/// R4's resources with a `telecom`: those that can be a contact, and are linked with it.
const ADDRESSED: &[&str] = &[
    "CareTeam",
    "HealthcareService",
    "Location",
    "Organization",
    "OrganizationAffiliation",
    "Patient",
    "Person",
    "Practitioner",
    "PractitionerRole",
    "RelatedPerson",
];

const STATUSES: &[&str] = &["active", "blocked"];

/// The target.
#[derive(Debug, Clone, Copy, Default)]
pub struct Contact;

impl Target for Contact {
    fn kind(&self) -> &'static str {
        "rapidpro.contact"
    }

    fn doc(&self) -> &'static str {
        "A contact in RapidPro, made or changed; only what is named here is ever sent."
    }

    fn nature(&self) -> Nature {
        Nature::State
    }

    fn writes_back(&self) -> bool {
        true
    }

    fn withdraw(&self) -> Withdraw {
        Withdraw::Keep
    }

    fn shape(&self) -> Shape {
        let field = |name, doc, kind| Field { name, doc, required: false, kind };
        Shape {
            fields: vec![
                field(
                    "find",
                    "URN, phone number or uuid of an existing contact; without it the link, then the owner of `urns`.",
                    Kind::Value,
                ),
                field(
                    "urns",
                    "Addresses: phone numbers, or `scheme:path`. URNs that others gave stay.",
                    Kind::List,
                ),
                field("name", "At most 64 characters; a longer one is cut.", Kind::Value),
                field("language", "ISO 639-3, three letters.", Kind::Value),
                field("fields", "Contact fields by key; they must exist in RapidPro.", Kind::Map),
                field(
                    "groups",
                    "Names or uuids of existing groups; only those given here are ever removed.",
                    Kind::List,
                ),
                field("status", "`active` or `blocked`.", Kind::Value),
            ],
        }
    }

    fn check(&self, literals: &Value) -> Vec<Complaint> {
        let mut complaints = Vec::new();
        for key in literals.get("fields").and_then(Value::as_object).into_iter().flatten().map(|(key, _)| key)
        {
            complaints.extend(bad_key(key));
        }
        if let Some(status) = literals.get("status").and_then(Value::as_str)
            && !STATUSES.contains(&status)
        {
            complaints.push(complaint("status", format!("`{status}` is neither active nor blocked"), None));
        }
        if let Some(language) = literals.get("language").and_then(Value::as_str)
            && !is_language(language)
        {
            complaints.push(complaint(
                "language",
                format!("`{language}` is not three letters"),
                Some(LANGUAGE_HINT),
            ));
        }
        let groups = literals.get("groups").and_then(Value::as_array).into_iter().flatten();
        for (index, group) in groups.enumerate().filter_map(|(index, group)| Some((index, group.as_str()?))) {
            if let Some(problem) = bad_group(group) {
                complaints.push(complaint(&format!("groups[{index}]"), problem.to_owned(), None));
            }
        }
        complaints
    }

    fn build(&self, entry: &Evaluated<'_>) -> Result<(Output, Vec<Issue>), Vec<Issue>> {
        let mut draft = Draft { entry, body: Map::new(), parts: Vec::new(), issues: Vec::new() };
        let Some(identity) = draft.identity() else {
            return Err(draft.issues);
        };
        let lane = format!("contact/{identity}");
        draft.fill(&lane);
        let Draft { body, parts, issues, .. } = draft;
        let output = Output {
            target: self.kind().to_owned(),
            target_id: entry.target_id.to_owned(),
            destination: entry.destination.to_owned(),
            nature: Nature::State,
            key: entry.key.to_owned(),
            lane,
            body: Value::Object(body),
            parts,
            contributions: Vec::new(),
            withdraw: entry.withdraw,
            needs: entry.needs.to_vec(),
            authored_ms: entry.context.authored_ms,
            link: link_of(entry),
            write_back: false,
            act: None,
        };
        Ok((output, issues))
    }

    fn preview(&self, output: &Output) -> Value {
        let mut body = output.body.as_object().cloned().unwrap_or_default();
        body.remove("find");
        body.remove("status");
        Value::Object(body)
    }
}

fn link_of(entry: &Evaluated<'_>) -> Option<String> {
    let (kind, _) = entry.context.source.split_once('/')?;
    // An entry with `each` makes several contacts of one resource: it cannot be linked with all.
    (entry.key.is_empty() && ADDRESSED.contains(&kind)).then(|| entry.context.source.to_owned())
}

struct Draft<'a> {
    entry: &'a Evaluated<'a>,
    body: Map<String, Value>,
    parts: Vec<Part>,
    issues: Vec<Issue>,
}

impl Draft<'_> {
    fn value(&self, name: &str) -> Option<&Value> {
        self.entry.fields.get(name).filter(|value| !value.is_null())
    }

    fn text(&self, name: &str) -> Option<String> {
        self.value(name).and_then(scalar)
    }

    fn issue(&mut self, severity: Severity, code: &str, message: impl Into<String>, hint: &str) {
        let issue = Issue::error(code, message, self.entry.context.place).with_hint(hint);
        self.issues.push(Issue { severity, ..issue });
    }

    /// What tells this contact from others before it has a uuid: the linked resource, else `find`, else the
    /// first of `urns`.
    fn identity(&mut self) -> Option<String> {
        let find = self.find();
        let urns = self.urns();
        let identity = link_of(self.entry)
            .or_else(|| find.as_ref().map(find_text))
            .or_else(|| urns.first().map(|urn| hashed(urn)));
        if let Some(find) = &find {
            self.body.insert("find".to_owned(), find.clone());
        }
        if !urns.is_empty() {
            self.body.insert("urns".to_owned(), json!(urns));
        }
        if identity.is_none() || (find.is_none() && urns.is_empty()) {
            let hint = "give `find` or `urns`; `when: …` leaves out those without a phone";
            let message = "nothing to find or make the contact by";
            self.issue(Severity::Error, "contact-without-address", message, hint);
            return None;
        }
        identity
    }

    fn find(&mut self) -> Option<Value> {
        if self.value("find").is_some_and(Value::is_object) {
            // A link to another resource's contact, resolved when it is sent.
            return self.value("find").cloned();
        }
        let Some(text) = self.text("find") else {
            // The change is a contact itself: `rapidpro.contact/WORKSPACE/UUID`.
            let own = self.entry.context.source.strip_prefix("rapidpro.contact/")?;
            let (workspace, uuid) = own.split_once('/')?;
            return (workspace == self.entry.destination).then(|| json!(uuid));
        };
        if let Ok(uuid) = uuid::Uuid::parse_str(&text) {
            return Some(json!(uuid.hyphenated().to_string()));
        }
        self.urn("find", &text).map(Value::String)
    }

    fn urns(&mut self) -> Vec<String> {
        let given = self.value("urns").cloned().unwrap_or(Value::Null);
        let texts: Vec<String> = flat(&given).into_iter().filter_map(scalar).collect();
        let mut urns: Vec<String> = Vec::new();
        for text in texts.iter().take(100) {
            // The same number twice in one body is answered with 500.
            if let Some(urn) = self.urn("urns", text)
                && !urns.contains(&urn)
            {
                urns.push(urn);
            }
        }
        urns
    }

    fn urn(&mut self, field: &str, text: &str) -> Option<String> {
        match urn::normalise(text, self.entry.context.country) {
            Ok(urn) => Some(urn),
            Err(error) => {
                let hint = match &error {
                    UrnError::Scheme { suggestion: Some(known), .. } => format!("did you mean `{known}:`?"),
                    _ => "phone numbers need a country code, or `country` in their workspace's section"
                        .to_owned(),
                };
                self.issue(Severity::Error, "contact-urn-invalid", format!("`{field}`: {error}"), &hint);
                None
            }
        }
    }

    fn fill(&mut self, lane: &str) {
        if let Some(urns) = self.body.get("urns").cloned() {
            self.part(lane, "urns", urns);
        }
        if let Some(name) = self.name() {
            self.add(lane, "name", json!(name));
        }
        if let Some(language) = self.word("language", is_language, LANGUAGE_HINT) {
            self.add(lane, "language", json!(language));
        }
        let known = |status: &str| STATUSES.contains(&status);
        if let Some(status) = self.word("status", known, "the statuses are active and blocked") {
            self.add(lane, "status", json!(status));
        }
        self.fields(lane);
        self.groups(lane);
    }

    fn add(&mut self, lane: &str, place: &str, wanted: Value) {
        self.body.insert(place.to_owned(), wanted.clone());
        self.part(lane, place, wanted);
    }

    fn part(&mut self, lane: &str, place: &str, wanted: Value) {
        self.parts.push(Part { slot: format!("{lane}/{place}"), wanted, last: false });
    }

    fn name(&mut self) -> Option<String> {
        let name = self.text("name")?;
        if name.chars().count() <= NAME_CHARACTERS {
            return Some(name);
        }
        let hint = "RapidPro keeps 64 characters";
        self.issue(
            Severity::Warning,
            "contact-name-cut",
            "the name has more than 64 characters and was cut",
            hint,
        );
        let cut: String = name.chars().take(NAME_CHARACTERS).collect();
        Some(cut.trim_end().to_owned())
    }

    fn word(&mut self, field: &str, fits: impl Fn(&str) -> bool, hint: &str) -> Option<String> {
        let word = self.text(field)?.to_lowercase();
        if fits(&word) {
            return Some(word);
        }
        let shown: String = word.chars().take(20).collect();
        self.issue(
            Severity::Error,
            &format!("contact-{field}-invalid"),
            format!("`{field}`: `{shown}` is not one"),
            hint,
        );
        None
    }

    fn fields(&mut self, lane: &str) {
        let given = self.value("fields").and_then(Value::as_object).cloned().unwrap_or_default();
        let mut kept = Map::new();
        for (key, value) in &given {
            let Some(text) = scalar(value) else { continue };
            if let Some(complaint) = bad_key(key) {
                self.issue(
                    Severity::Error,
                    "contact-field-invalid",
                    complaint.message,
                    "see the list of fields in RapidPro",
                );
            } else if text.chars().count() > FIELD_CHARACTERS {
                let message =
                    format!("`fields.{key}` has more than 640 characters, which RapidPro would cut");
                self.issue(
                    Severity::Error,
                    "contact-field-too-long",
                    message,
                    "`match` takes a part of a text",
                );
            } else {
                kept.insert(key.clone(), json!(text));
                self.part(lane, &format!("field/{key}"), json!(text));
            }
        }
        if !kept.is_empty() {
            self.body.insert("fields".to_owned(), Value::Object(kept));
        }
    }

    fn groups(&mut self, lane: &str) {
        let given = self.value("groups").cloned().unwrap_or(Value::Null);
        let mut kept: Vec<String> = Vec::new();
        for group in flat(&given).into_iter().filter_map(scalar) {
            if let Some(problem) = bad_group(&group) {
                self.issue(
                    Severity::Error,
                    "contact-group-invalid",
                    problem,
                    "see the list of groups in RapidPro",
                );
            } else if !kept.iter().any(|known| known.to_lowercase() == group.to_lowercase()) {
                self.part(lane, &format!("group/{group}"), json!(true));
                kept.push(group);
            }
        }
        if !kept.is_empty() {
            self.body.insert("groups".to_owned(), json!(kept));
        }
    }
}
