//! Values of attributes and data elements.

use super::super::super::country::programs::Attribute;
use super::super::super::values::{self, Wrong};
use super::super::is_old;
use super::super::state::Kind;
use super::Case;

/// Longest value of an attribute.
const LONGEST: usize = 1200;

impl<'a> Case<'a> {
    /// One attribute of a tracked entity or an enrolment.
    pub(super) fn attribute_value(&mut self, id: &'a str, value: Option<&'a str>, mandatory: bool) {
        let Some(attribute) = self.world.country.attribute(id) else {
            self.refuse("E1006", &[id]);
            return;
        };
        let Some(value) = value else {
            if mandatory {
                self.refuse("E1076", &["TrackedEntityAttribute", id]);
            }
            return;
        };
        if value.chars().count() > LONGEST {
            self.refuse("E1077", &[id, &LONGEST.to_string()]);
            return;
        }
        let kind = attribute.value_type.as_str();
        match values::typed_for_tracker(kind, value) {
            Err(Wrong::Type(key, _)) if is_old(self.version()) => self.old_type_error(id, kind, (key, value)),
            Err(_) => {
                let words = format!("Value type is {kind} but the value `{value}` is not.");
                self.refuse("E1007", &[kind, &words]);
            }
            Ok(()) => self.option(attribute.option_set.as_deref(), value, (id, "TrackedEntityAttribute")),
        }
        if attribute.unique && self.is_taken(attribute, value) {
            self.refuse("E1064", &[value, id]);
        }
    }

    /// 2.40 says a wrong date twice.
    fn old_type_error(&mut self, id: &str, kind: &str, (key, value): (&str, &str)) {
        if matches!(kind, "DATE" | "DATETIME") {
            self.refuse("E1007", &["", &format!("Invalid format: \"{value}\"")]);
            self.refuse("E1085", &[id, key]);
        } else {
            self.refuse("E1007", &[kind, key]);
        }
    }

    /// One value of an event.
    pub(super) fn data_value(&mut self, id: &'a str, value: &'a str) {
        let Some(element) = self.world.country.element(id) else { return };
        let kind = element.value_type.as_str();
        match values::typed_for_tracker(kind, value) {
            Err(Wrong::Type(key, _)) if is_old(self.version()) => self.refuse("E1302", &[id, key]),
            Err(_) => {
                let words = format!("Value type is {kind} but the value `{value}` is not.");
                self.refuse("E1302", &[kind, &words]);
            }
            Ok(()) => self.option(element.option_set.as_deref(), value, (id, "DataElement")),
        }
    }

    fn option(&mut self, set: Option<&str>, value: &str, (id, owner): (&str, &str)) {
        let Some(set) = set.and_then(|set| self.world.country.option_sets.iter().find(|own| own.id == set))
        else {
            return;
        };
        if set.options.iter().any(|(_, code, _)| code == value) {
            return;
        }
        if is_old(self.version()) {
            let codes: Vec<&str> = set.options.iter().map(|(_, code, _)| code.as_str()).collect();
            self.refuse("E1125", &[value, id, owner, &codes.join(",")]);
        } else {
            self.refuse("E1125", &[value, &set.id]);
        }
    }

    /// Whether another tracked entity, stored or of the same payload, has the value. Case sensitive.
    fn is_taken(&self, attribute: &Attribute, value: &str) -> bool {
        let own = match self.item.kind {
            Kind::Enrollment => self.item.text("trackedEntity").unwrap_or(""),
            _ => self.item.uid.as_str(),
        };
        if self.world.tracker.owner_of(&attribute.id, value).is_some_and(|owner| owner != own) {
            return true;
        }
        self.import.payload.items.iter().any(|other| {
            let owner = match other.kind {
                Kind::Enrollment => other.text("trackedEntity").unwrap_or(""),
                _ => other.uid.as_str(),
            };
            let same = (attribute.id.as_str(), Some(value));
            owner != own && other.values("attributes", "attribute").any(|pair| pair == same)
        })
    }
}
