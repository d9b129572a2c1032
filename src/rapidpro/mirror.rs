//! What came from RapidPro, as documents and resources to be written.
//!
//! **Pure.** Documents are kept verbatim under `WORKSPACE/UUID`: `rapidpro.run`, `rapidpro.contact`,
//! `rapidpro.flow`. A run and its QuestionnaireResponse are written together, and their changes are
//! mapped in the order of their contact; so are a flow and its Questionnaire.
//!
//! Index of a contact: `uuid` (its system is the workspace's `…/contact`), `urn`, `group` (uuid and name),
//! `status`, and `fields.KEY` for each value. Of a run: `uuid`, `flow`, `contact`. Of a flow: `uuid`,
//! `name`.

use serde_json::{Value, json};

use crate::fhir::index::{self, IndexRow, IndexValue, ParameterKey};
use crate::fhir::resource::Resource;
use crate::store::write::{Origin, Precondition, Put};

/// Kinds of documents.
pub const RUN: &str = "rapidpro.run";
pub const CONTACT: &str = "rapidpro.contact";
pub const FLOW: &str = "rapidpro.flow";

/// Whose documents these are.
#[derive(Debug, Clone)]
pub struct Workspace {
    /// The name in the configuration.
    pub name: String,
    /// The workspace's address, without a slash at its end.
    pub url: String,
    /// The tenant's zone, for dates without one.
    pub zone: jiff::tz::TimeZone,
}

impl Workspace {
    /// The id of a document: `WORKSPACE/UUID`.
    pub fn id(&self, uuid: &str) -> String {
        format!("{}/{uuid}", self.name)
    }

    fn put(&self, kind: &str, uuid: &str, body: Option<String>, index: Vec<IndexRow>) -> Put {
        let id = self.id(uuid);
        Put {
            subject: format!("{kind}/{id}"),
            kind: kind.to_owned(),
            id,
            body,
            index,
            precondition: Precondition::None,
            origin: Origin::RapidPro(self.name.clone()),
        }
    }

    /// A run, verbatim.
    pub fn run(&self, names: &super::run::Names, run: &Value) -> Put {
        let index = vec![
            token(RUN, "uuid", &format!("{}/run", self.url), &names.uuid),
            token(RUN, "flow", "", &names.flow),
            token(RUN, "contact", "", &names.contact),
        ];
        let put = self.put(RUN, &names.uuid, Some(run.to_string()), index);
        Put { subject: self.subject(&names.contact), ..put }
    }

    /// A run's QuestionnaireResponse, under the run's uuid.
    ///
    /// # Errors
    /// How many things are not R4; nothing is written then.
    pub fn response(&self, names: &super::run::Names, response: Value) -> Result<Put, usize> {
        let index = index::rows("QuestionnaireResponse", &response, &self.zone);
        let mut whole = response;
        if let Some(fields) = whole.as_object_mut() {
            fields.insert("id".to_owned(), json!(names.uuid));
        }
        let resource = Resource::from_value(whole).map_err(|outcome| outcome.issues.len())?;
        Ok(Put {
            kind: "QuestionnaireResponse".to_owned(),
            id: names.uuid.clone(),
            body: Some(resource.strip()),
            index,
            subject: self.subject(&names.contact),
            precondition: Precondition::None,
            origin: Origin::RapidPro(self.name.clone()),
        })
    }

    /// A contact, verbatim; nothing where it has no uuid.
    pub fn contact(&self, contact: &Value) -> Option<Put> {
        let uuid = contact.get("uuid")?.as_str()?;
        let mut index = vec![token(CONTACT, "uuid", &format!("{}/contact", self.url), uuid)];
        let list =
            |key: &str| contact.get(key).and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
        index.extend(list("urns").iter().filter_map(Value::as_str).map(|urn| token(CONTACT, "urn", "", urn)));
        for group in list("groups") {
            let names = ["uuid", "name"].into_iter().filter_map(|key| group.get(key)?.as_str());
            index.extend(names.map(|name| token(CONTACT, "group", "", name)));
        }
        if let Some(status) = contact.get("status").and_then(Value::as_str) {
            index.push(token(CONTACT, "status", "", status));
        }
        for (key, value) in contact.get("fields").and_then(Value::as_object).into_iter().flatten() {
            if let Some(value) = value.as_str() {
                index.push(token(CONTACT, &format!("fields.{key}"), "", value));
            }
        }
        Some(self.put(CONTACT, uuid, Some(contact.to_string()), index))
    }

    /// A contact that was deleted there.
    pub fn contact_deleted(&self, uuid: &str) -> Put {
        self.put(CONTACT, uuid, None, Vec::new())
    }

    /// A flow: its row of `flows.json` with its definition.
    pub fn flow(&self, row: &Value, definition: Option<&Value>) -> Option<Put> {
        let uuid = row.get("uuid")?.as_str()?;
        let mut index = vec![token(FLOW, "uuid", &format!("{}/flow", self.url), uuid)];
        if let Some(name) = row.get("name").and_then(Value::as_str) {
            index.push(token(FLOW, "name", "", name));
        }
        let mut body = row.clone();
        if let Some(fields) = body.as_object_mut() {
            // How many runs are where changes with every answer.
            fields.remove("runs");
            fields.insert("definition".to_owned(), definition.cloned().unwrap_or(Value::Null));
        }
        Some(self.put(FLOW, uuid, Some(body.to_string()), index))
    }

    /// A flow's Questionnaire, under the flow's uuid.
    ///
    /// # Errors
    /// How many things are not R4; nothing is written then.
    pub fn questionnaire(&self, uuid: &str, questionnaire: Value) -> Result<Put, usize> {
        let index = index::rows("Questionnaire", &questionnaire, &self.zone);
        let mut whole = questionnaire;
        if let Some(fields) = whole.as_object_mut() {
            fields.insert("id".to_owned(), json!(uuid));
        }
        let resource = Resource::from_value(whole).map_err(|outcome| outcome.issues.len())?;
        Ok(Put {
            kind: "Questionnaire".to_owned(),
            subject: format!("Questionnaire/{uuid}"),
            id: uuid.to_owned(),
            body: Some(resource.strip()),
            index,
            precondition: Precondition::None,
            origin: Origin::RapidPro(self.name.clone()),
        })
    }

    fn subject(&self, contact: &str) -> String {
        format!("{CONTACT}/{}", self.id(contact))
    }
}

/// Is this contact the same as the one that is stored? RapidPro touches `modified_on`, `last_seen_on` and
/// `flow` with every message; those alone make no new version.
pub fn same_contact(stored: &Value, contact: &Value) -> bool {
    let lasting = |contact: &Value| {
        let mut contact = contact.clone();
        if let Some(fields) = contact.as_object_mut() {
            for key in ["modified_on", "last_seen_on", "flow"] {
                fields.remove(key);
            }
        }
        contact
    };
    lasting(stored) == lasting(contact)
}

fn token(kind: &str, parameter: &str, system: &str, code: &str) -> IndexRow {
    IndexRow {
        parameter: ParameterKey::new(kind, parameter),
        value: IndexValue::Token {
            system: system.to_owned(),
            code: code.chars().take(index::MAX_TEXT).collect(),
            text: String::new(),
        },
    }
}
