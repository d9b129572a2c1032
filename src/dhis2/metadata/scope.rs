//! What of an instance is worth mirroring besides data sets and organisation units: the programs, tracked
//! entity types and relationship types that mappings name.
//!
//! A country's instance has hundreds of programs, and each names thousands of organisation units.

use std::collections::BTreeSet;

use crate::mapping::target::Named;

/// Uids of what is mirrored only because somebody names it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Scope {
    pub programs: BTreeSet<String>,
    pub types: BTreeSet<String>,
    pub relationship_types: BTreeSet<String>,
}

impl Scope {
    /// What these names need.
    pub fn of<'a>(names: impl IntoIterator<Item = &'a Named>) -> Self {
        let mut scope = Self::default();
        for named in names {
            scope.add(named.kind, &named.name);
        }
        scope
    }

    /// Adds one object; a kind that is mirrored anyway changes nothing.
    pub fn add(&mut self, kind: &str, uid: &str) {
        let set = match kind {
            "program" => &mut self.programs,
            "trackedEntityType" => &mut self.types,
            "relationshipType" => &mut self.relationship_types,
            _ => return,
        };
        if crate::dhis2::value::is_uid(uid) {
            set.insert(uid.to_owned());
        }
    }

    /// Takes another scope in. True: there was something new.
    pub fn merge(&mut self, other: &Self) -> bool {
        let before = self.len();
        self.programs.extend(other.programs.iter().cloned());
        self.types.extend(other.types.iter().cloned());
        self.relationship_types.extend(other.relationship_types.iter().cloned());
        self.len() > before
    }

    fn len(&self) -> usize {
        self.programs.len() + self.types.len() + self.relationship_types.len()
    }
}
