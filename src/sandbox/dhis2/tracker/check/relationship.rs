//! Relationships.

use serde_json::Value;

use super::super::incoming::Item;
use super::super::state::Kind;
use super::Case;

/// The object at one end.
pub(in super::super) fn end<'a>(item: &'a Item, key: &str) -> Option<(Kind, &'a str)> {
    let end = item.body.get(key)?.as_object()?;
    [Kind::Entity, Kind::Enrollment, Kind::Event].into_iter().find_map(|kind| {
        let named = end.get(kind.key())?;
        // Both `{"trackedEntity": "uid"}` and `{"trackedEntity": {"trackedEntity": "uid"}}`.
        let uid = named.as_str().or_else(|| named.get(kind.key()).and_then(Value::as_str))?;
        Some((kind, uid))
    })
}

impl Case<'_> {
    pub(super) fn relationship(&mut self) {
        let item = self.item;
        match item.text("relationshipType") {
            None => self.refuse("E1124", &["relationshipType"]),
            Some(kind) if self.world.country.relationship_type(kind).is_none() => {
                self.refuse("E4009", &[kind]);
            }
            Some(_) => {}
        }
        for key in ["from", "to"] {
            match end(item, key) {
                None => self.refuse("E1124", &[key]),
                Some((kind, uid))
                    if !self.world.tracker.holds(kind, uid)
                        && self.import.payload.names(kind, uid).is_none() =>
                {
                    self.refuse("E4012", &[kind.key(), uid]);
                }
                Some(_) => {}
            }
        }
        let (Some(from), Some(to)) = (end(item, "from"), end(item, "to")) else { return };
        if from == to {
            self.refuse("E4000", &[&item.uid]);
        }
        let same = self.world.tracker.relationships.iter().any(|(uid, own)| {
            *uid != item.uid
                && !own.common.deleted
                && Some(own.relationship_type.as_str()) == item.text("relationshipType")
                && (own.from.0, own.from.1.as_str()) == from
                && (own.to.0, own.to.1.as_str()) == to
        });
        if same {
            self.refuse("E4018", &[&item.uid, from.0.name(), from.1, to.0.name(), to.1]);
        }
    }
}
