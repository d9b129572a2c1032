//! UIDs that we give to objects, and what is remembered about a place.
//!
//! A UID is derived from tenant, destination, place and generation, so that a retry updates instead of
//! doubling. DHIS2 never takes the UID of a deleted object again: a deletion raises the generation.

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::slot::Slot;

/// The note of a slot: which object is there, and how often one there was deleted.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Note {
    /// Empty: none that we know of.
    pub uid: String,
    pub generation: u32,
    /// It was there before us: it is not deleted when we no longer want it.
    pub found: bool,
    /// Values that a request of unknown outcome may have set, beyond those that are known to be sent.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub touched: Vec<String>,
}

impl Note {
    /// A note as it is stored; one that cannot be read is none.
    pub fn read(text: &str) -> Self {
        serde_json::from_str(text).unwrap_or_default()
    }

    pub fn text(&self) -> String {
        serde_json::to_string(self).unwrap_or_default()
    }
}

/// Whose UIDs: two tenants, or two instances, never derive the same.
#[derive(Debug, Clone)]
pub struct Namespace {
    tenant: String,
    destination: String,
}

const LETTERS: &[u8; 52] = b"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ";
const DIGITS: &[u8; 62] = b"0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ";

impl Namespace {
    pub fn new(tenant: &str, destination: &str) -> Self {
        Self { tenant: tenant.to_owned(), destination: destination.to_owned() }
    }

    /// The UID of an object: a letter, then ten letters and digits.
    pub fn uid(&self, slot: &Slot, generation: u32) -> String {
        let mut hash = Sha256::new();
        for name in ["uid", &self.tenant, &self.destination, &slot.name(), &generation.to_string()] {
            hash.update((name.len() as u64).to_be_bytes());
            hash.update(name.as_bytes());
        }
        let bytes = hash.finalize();
        let mut number = bytes.iter().take(16).fold(0_u128, |all, byte| (all << 8) | u128::from(*byte));
        let mut uid = String::with_capacity(11);
        uid.push(take(&mut number, LETTERS));
        (0..10).for_each(|_| uid.push(take(&mut number, DIGITS)));
        uid
    }
}

fn take(number: &mut u128, among: &[u8]) -> char {
    let size = among.len() as u128;
    let at = usize::try_from(*number % size).unwrap_or_default();
    *number /= size;
    char::from(among.get(at).copied().unwrap_or(b'a'))
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    fn slot(identity: &str) -> Slot {
        Slot::Entity { identity: identity.to_owned(), mapping: "m".to_owned() }
    }

    #[test]
    fn a_uid_is_stable_and_dhis2s() {
        let space = Namespace::new("default", "national");
        let uid = space.uid(&slot("Patient/1"), 0);
        assert_eq!(uid, space.uid(&slot("Patient/1"), 0));
        assert!(crate::dhis2::value::is_uid(&uid), "{uid}");
        assert_ne!(uid, space.uid(&slot("Patient/1"), 1));
        assert_ne!(uid, Namespace::new("default", "district").uid(&slot("Patient/1"), 0));
        assert_ne!(uid, Namespace::new("other", "national").uid(&slot("Patient/1"), 0));
    }

    #[test]
    fn ten_thousand_uids_are_ten_thousand() {
        let space = Namespace::new("t", "d");
        let uids: HashSet<String> = (0..10_000).map(|at| space.uid(&slot(&at.to_string()), 0)).collect();
        assert_eq!(uids.len(), 10_000);
        assert!(uids.iter().all(|uid| crate::dhis2::value::is_uid(uid)));
    }

    #[test]
    fn notes_are_read_back_and_rubbish_is_none() {
        let note = Note { uid: "a".to_owned(), generation: 2, found: true, touched: vec!["x".to_owned()] };
        assert_eq!(Note::read(&note.text()), note);
        assert_eq!(Note::read("}"), Note::default());
        assert_eq!(Note::read(""), Note::default());
    }
}
