//! Tracked entities.

use super::{Action, Case};

impl<'a> Case<'a> {
    pub(super) fn entity(&mut self) {
        let item = self.item;
        let kind = item.text("trackedEntityType");
        match kind {
            None => self.refuse("E1121", &["trackedEntityType"]),
            Some(kind) => self.entity_type(kind),
        }
        self.unit("E1121", "E1049");
        if !self.problems.is_empty() {
            return;
        }
        self.geometry("NONE");
        let uses = kind.and_then(|kind| self.world.country.entity_type(kind));
        let uses = uses.map_or(&[][..], |kind| kind.attributes.as_slice());
        let mandatory = |id: &str| uses.iter().any(|one| one.mandatory && one.attribute == id);
        for (id, value) in item.values("attributes", "attribute") {
            self.attribute_value(id, value, mandatory(id));
        }
        if self.action == Action::Create {
            for one in uses.iter().filter(|one| one.mandatory) {
                if !item.values("attributes", "attribute").any(|(id, _)| id == one.attribute) {
                    self.refuse("E1090", &[&one.attribute, kind.unwrap_or(""), &item.uid]);
                }
            }
        }
    }

    fn entity_type(&mut self, kind: &'a str) {
        let Some(known) = self.world.country.entity_type(kind) else {
            self.refuse("E1005", &[kind]);
            return;
        };
        if !self.user().may("ALL") && known.closed_to.contains(&self.user().name) {
            let user = self.user().id.clone();
            self.refuse("E1001", &[&user, kind]);
        }
        let stored = self.world.tracker.entities.get(&self.item.uid);
        if stored.is_some_and(|stored| stored.entity_type != kind) {
            self.refuse("E1126", &["trackedEntityType"]);
        }
    }
}
