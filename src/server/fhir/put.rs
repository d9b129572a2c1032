//! From a checked resource to what the store writes.

use std::sync::Arc;

use serde_json::Value;

use super::call::Call;
use crate::fhir::index::{self, expression};
use crate::fhir::parameters::custom::Custom;
use crate::fhir::resource::{self, Resource};
use crate::fhir::subject::subject;
use crate::store::write::{Origin, Precondition, Put};

/// What one client's writes have in common.
pub struct Writer {
    origin: Origin,
    zone: jiff::tz::TimeZone,
    custom: Arc<Custom>,
}

impl Writer {
    pub fn of(call: &Call) -> Self {
        Self {
            origin: Origin::Client(call.principal.name.clone()),
            zone: call.zone(),
            custom: Arc::clone(&call.custom),
        }
    }

    /// The tenant's own search parameters, by which is indexed.
    pub fn custom(&self) -> &Custom {
        &self.custom
    }

    /// A new version of a resource.
    pub fn put(&self, resource: &Resource, id: &str, precondition: Precondition) -> Put {
        self.put_body((resource.kind(), id), resource.body(), precondition)
    }

    /// The same of a body that was checked before.
    pub fn put_body(&self, (kind, id): (&str, &str), body: &Value, precondition: Precondition) -> Put {
        let mut index = index::rows(kind, body, &self.zone);
        index.extend(expression::rows_for_write(self.custom.kind(kind), body, &self.zone));
        Put {
            kind: kind.to_owned(),
            id: id.to_owned(),
            body: Some(resource::strip(body)),
            index,
            subject: subject(kind, id, body),
            precondition,
            origin: self.origin.clone(),
        }
    }

    /// The end of a resource.
    pub fn delete(&self, kind: &str, id: &str, precondition: Precondition) -> Put {
        Put {
            kind: kind.to_owned(),
            id: id.to_owned(),
            body: None,
            index: Vec::new(),
            subject: format!("{kind}/{id}"),
            precondition,
            origin: self.origin.clone(),
        }
    }
}
