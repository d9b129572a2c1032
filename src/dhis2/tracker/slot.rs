//! The place of a part, as text:
//! `te|IDENTITY|MAPPING`, `en|IDENTITY|PROGRAM|KEY|MAPPING`, `ev|IDENTITY|PROGRAM|ENROLMENT-KEY|STAGE|KEY`,
//! `rel|IDENTITY|TYPE|OTHER` and, of an event program, `event|PROGRAM|STAGE|OWNER`.
//!
//! Made of names, so that it is stable; read back when the part is sent, so that a withdrawn part needs
//! nothing else. A tracked entity and an enrolment carry the mapping, because each mapping names only some
//! of their attributes and must not empty those of another; their UID does not depend on it.

use std::fmt;

use crate::delivery::identity::digest;

#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Slot {
    Entity {
        identity: String,
        mapping: String,
    },
    Enrollment {
        identity: String,
        program: String,
        key: String,
        mapping: String,
    },
    Event {
        identity: String,
        program: String,
        enrollment: String,
        stage: String,
        key: String,
    },
    Relationship {
        identity: String,
        kind: String,
        other: String,
    },
    /// Of an event program; `owner` names the delivery.
    Single {
        program: String,
        stage: String,
        owner: String,
    },
}

impl Slot {
    /// Reads what [`Display`](std::fmt::Display) wrote.
    pub fn parse(text: &str) -> Option<Self> {
        let fields: Option<Vec<String>> = text.split('|').map(decode).collect();
        let mut fields = fields?.into_iter();
        let kind = fields.next()?;
        let mut next = || fields.next();
        let slot = match kind.as_str() {
            "te" => Self::Entity { identity: next()?, mapping: next()? },
            "en" => Self::Enrollment { identity: next()?, program: next()?, key: next()?, mapping: next()? },
            "ev" => Self::Event {
                identity: next()?,
                program: next()?,
                enrollment: next()?,
                stage: next()?,
                key: next()?,
            },
            "rel" => Self::Relationship { identity: next()?, kind: next()?, other: next()? },
            "event" => Self::Single { program: next()?, stage: next()?, owner: next()? },
            _ => return None,
        };
        next().is_none().then_some(slot)
    }

    /// What the object's UID is derived from: the place without the mapping.
    pub fn name(&self) -> String {
        match self {
            Self::Entity { identity, .. } => joined("te", &[identity]),
            Self::Enrollment { identity, program, key, .. } => joined("en", &[identity, program, key]),
            Self::Event { .. } | Self::Relationship { .. } | Self::Single { .. } => self.to_string(),
        }
    }

    /// What DHIS2 calls the kind of object.
    pub fn kind(&self) -> Kind {
        match self {
            Self::Entity { .. } => Kind::Entity,
            Self::Enrollment { .. } => Kind::Enrollment,
            Self::Event { .. } | Self::Single { .. } => Kind::Event,
            Self::Relationship { .. } => Kind::Relationship,
        }
    }
}

/// A kind of tracker object.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    Entity,
    Enrollment,
    Event,
    Relationship,
}

impl Kind {
    /// In order of dependence.
    pub const ALL: [Self; 4] = [Self::Entity, Self::Enrollment, Self::Event, Self::Relationship];

    /// The list of a request's body.
    pub fn list(self) -> &'static str {
        match self {
            Self::Entity => "trackedEntities",
            Self::Enrollment => "enrollments",
            Self::Event => "events",
            Self::Relationship => "relationships",
        }
    }

    /// The member that holds an object's UID.
    pub fn member(self) -> &'static str {
        match self {
            Self::Entity => "trackedEntity",
            Self::Enrollment => "enrollment",
            Self::Event => "event",
            Self::Relationship => "relationship",
        }
    }

    /// `trackerType` in a report.
    pub fn tracker_type(self) -> &'static str {
        match self {
            Self::Entity => "TRACKED_ENTITY",
            Self::Enrollment => "ENROLLMENT",
            Self::Event => "EVENT",
            Self::Relationship => "RELATIONSHIP",
        }
    }

    /// For a person.
    pub fn word(self) -> &'static str {
        match self {
            Self::Entity => "tracked entity",
            Self::Enrollment => "enrolment",
            Self::Event => "event",
            Self::Relationship => "relationship",
        }
    }
}

/// A name that would be too long for a place is hashed.
pub(super) fn short(text: &str) -> String {
    const LONGEST: usize = 80;
    if text.chars().count() <= LONGEST { text.to_owned() } else { digest(&["long", text]) }
}

fn joined(kind: &str, fields: &[&str]) -> String {
    let fields: Vec<String> = fields.iter().map(|field| encode(field)).collect();
    format!("{kind}|{}", fields.join("|"))
}

impl fmt::Display for Slot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&match self {
            Self::Entity { identity, mapping } => joined("te", &[identity, mapping]),
            Self::Enrollment { identity, program, key, mapping } => {
                joined("en", &[identity, program, key, mapping])
            }
            Self::Event { identity, program, enrollment, stage, key } => {
                joined("ev", &[identity, program, enrollment, stage, key])
            }
            Self::Relationship { identity, kind, other } => joined("rel", &[identity, kind, other]),
            Self::Single { program, stage, owner } => joined("event", &[program, stage, owner]),
        })
    }
}

fn encode(text: &str) -> String {
    text.replace('%', "%25").replace('|', "%7C")
}

fn decode(text: &str) -> Option<String> {
    percent_encoding::percent_decode_str(text).decode_utf8().ok().map(|text| text.into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_uid_of_a_tracked_entity_does_not_depend_on_the_mapping() {
        let slot =
            |mapping: &str| Slot::Entity { identity: "Patient/1".to_owned(), mapping: mapping.to_owned() };
        assert_eq!(slot("a").to_string(), "te|Patient/1|a");
        assert_ne!(slot("a").to_string(), slot("b").to_string());
        assert_eq!(slot("a").name(), slot("b").name());
        assert_eq!(Slot::parse("te|a|b|c"), None);
        assert_eq!(Slot::parse("xx|a|b"), None);
    }

    proptest! {
        #[test]
        fn reads_back_what_it_wrote(names in proptest::collection::vec(".{0,8}", 5)) {
            let [a, b, c, d, e] = <[String; 5]>::try_from(names).unwrap();
            for slot in [
                Slot::Event {
                    identity: a.clone(), program: b.clone(), enrollment: c.clone(), stage: d.clone(), key: e,
                },
                Slot::Enrollment { identity: a.clone(), program: b.clone(), key: c.clone(), mapping: d },
                Slot::Single { program: a, stage: b, owner: c },
            ] {
                prop_assert_eq!(Slot::parse(&slot.to_string()), Some(slot));
            }
        }
    }
}
