//! Whom a flow start or a broadcast is for.

use serde_json::{Value, json};

use super::super::http::Answer;
use super::gate::{Call, invalid};
use super::state::World;
use super::{contact_body, contacts};

/// Contacts and groups by uuid, URNs in their normal form.
#[derive(Debug, Clone, Default)]
pub(super) struct Recipients {
    pub contacts: Vec<String>,
    pub groups: Vec<String>,
    pub urns: Vec<String>,
}

impl Recipients {
    /// Reads them from a body, or says what is wrong.
    pub fn read(world: &World, call: &Call) -> Result<Self, Answer> {
        let list = |key: &str| call.body.get(key).and_then(Value::as_array).cloned().unwrap_or_default();
        for key in ["contacts", "groups", "urns"] {
            if list(key).len() > 100 {
                return Err(invalid(key, "Ensure this field has no more than 100 elements."));
            }
        }
        let missing = |key: &str, reference: &str| invalid(key, &format!("No such object: {reference}"));
        let mut found = Self::default();
        for reference in list("contacts").iter().filter_map(Value::as_str) {
            let contact = contacts::find(world, reference).and_then(|at| world.contacts.get(at));
            let contact = contact.ok_or_else(|| missing("contacts", reference))?;
            found.contacts.push(contact.uuid.clone());
        }
        for reference in list("groups").iter().filter_map(Value::as_str) {
            let group = world.group(reference).ok_or_else(|| missing("groups", reference))?;
            found.groups.push(group.uuid.clone());
        }
        found.urns = contact_body::urn_list(&Value::Array(list("urns")), &world.country)
            .map_err(|error| Answer::json(400, &json!({ "urns": error })))?;
        Ok(found)
    }

    pub fn is_empty(&self) -> bool {
        self.contacts.is_empty() && self.groups.is_empty() && self.urns.is_empty()
    }

    /// `{uuid, name}` of each contact as it is called now.
    pub fn show_contacts(&self, world: &World) -> Vec<Value> {
        let named = |uuid: &String| {
            let contact = world.contact_at(uuid).and_then(|at| world.contacts.get(at))?;
            Some(json!({ "uuid": contact.uuid, "name": contact.name }))
        };
        self.contacts.iter().filter_map(named).collect()
    }

    /// `{uuid, name}` of each group.
    pub fn show_groups(&self, world: &World) -> Vec<Value> {
        let named = |uuid: &String| {
            let group = world.groups.iter().find(|group| group.uuid == *uuid)?;
            Some(json!({ "uuid": group.uuid, "name": group.name }))
        };
        self.groups.iter().filter_map(named).collect()
    }

    /// The contacts whom mailroom finds: whoever is named, whoever owns a URN (made where nobody does),
    /// and the active members of the groups. Each once.
    pub fn resolve(&self, world: &mut World) -> Vec<String> {
        let mut found: Vec<String> = Vec::new();
        let living = |world: &World, uuid: &String| {
            world.contact_at(uuid).and_then(|at| world.contacts.get(at)).is_some_and(|one| !one.deleted)
        };
        found.extend(self.contacts.iter().filter(|uuid| living(world, uuid)).cloned());
        for urn in &self.urns {
            let at = world.owner_of(urn).unwrap_or_else(|| {
                let at = world.new_contact();
                if let Some(contact) = world.contacts.get_mut(at) {
                    contact.urns.push(urn.clone());
                }
                at
            });
            found.extend(world.contacts.get(at).map(|contact| contact.uuid.clone()));
        }
        let members = world.contacts.iter().filter(|contact| {
            !contact.deleted
                && contact.status == "active"
                && contact.groups.iter().any(|group| self.groups.contains(group))
        });
        found.extend(members.map(|contact| contact.uuid.clone()));
        let mut seen = std::collections::BTreeSet::new();
        found.retain(|uuid| seen.insert(uuid.clone()));
        found
    }
}
