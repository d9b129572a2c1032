//! Rules of R4 that a client may break because its profile says so (`fhir::lenient`): what it sends is stored as it
//! was sent, and each breach is told like a repair. **Never** holds for a client without a profile.

use serde_json::Value;

use super::due::Time;
use super::{MAX_ISSUES, Walk, Wanted, walked};

/// A rule that may be broken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rule {
    /// `dom-3`: what is contained is referred to. <https://hl7.org/fhir/R4/domainresource.html#invs>
    ContainedUsed,
    /// An Extension's `valueId` is an id of R4. <https://hl7.org/fhir/R4/datatypes.html#id>
    ExtensionId,
    /// The url of an Extension that is in no other one is absolute. <https://hl7.org/fhir/R4/extensibility.html#Extension>
    ExtensionUrl,
}

/// What one client may break.
pub type Tolerated = &'static [Rule];

/// Of everybody without a profile.
pub const NOTHING: Tolerated = &[];

/// The FHIRPaths where a resource breaks rules that are tolerated, up to [`MAX_ISSUES`].
pub fn breaches(resource: &Value, tolerated: Tolerated) -> Vec<(Rule, String)> {
    if tolerated.is_empty() {
        return Vec::new();
    }
    walked(resource, (Wanted::Structure, tolerated), Time::USUAL).breaches
}

impl Walk<'_> {
    /// Whether this rule may be broken here, which is noted.
    pub(super) fn tolerates(&mut self, rule: Rule) -> bool {
        let tolerated = self.tolerated.contains(&rule);
        if tolerated && self.breaches.len() < MAX_ISSUES {
            let place = self.place();
            self.breaches.push((rule, place));
        }
        tolerated
    }
}
