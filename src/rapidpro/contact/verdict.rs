//! What RapidPro's answer to a contact shows, and why something is refused.
//!
//! **Pure.** 200 and 201 prove nothing about URNs and values: they are compared with what was sent.

use serde_json::Value;

use super::asked::{Asked, Place, urn_owned};
use super::shown::Shown;
use super::upsert::texts;
use crate::delivery::destination::{Reason, Verdict};
use crate::rapidpro::client::fault::{Fault, Problem};

pub(super) fn decide(asked: &mut Asked, place: &Place, verdict: &Verdict) {
    for item in asked.open().filter(|item| item.place == *place) {
        item.verdict = Some(verdict.clone());
    }
}

/// What RapidPro's answer shows of what was sent: 200 and 201 prove nothing about URNs and values.
pub(super) fn compare(asked: &mut Asked, after: &Shown) {
    for item in asked.open() {
        let verdict = match (&item.place, &item.wanted) {
            (Place::Group(_) | Place::Status, _) => continue,
            (Place::Urns, Some(wanted)) => {
                let missing = texts(wanted).iter().any(|urn| !after.urns.contains(urn));
                if missing { Verdict::Refused(urn_owned()) } else { Verdict::Accepted }
            }
            (Place::Field(key), Some(wanted)) if after.field(key).is_none() => {
                Verdict::Refused(unread(key, wanted))
            }
            _ => Verdict::Accepted,
        };
        item.verdict = Some(verdict);
    }
}

/// A refusal that names no place: all that was in the body.
pub(super) fn refuse_body(asked: &mut Asked, fault: &Fault) {
    for item in asked.open().filter(|item| !matches!(item.place, Place::Group(_) | Place::Status)) {
        item.verdict = Some(Verdict::Refused(fault.reason()));
    }
}

fn unread(key: &str, wanted: &Value) -> Reason {
    let digits = wanted.as_str().is_some_and(|text| text.starts_with(|c: char| c.is_ascii_digit()));
    let hint = if digits {
        "a number field takes digits and a point, a datetime field YYYY-MM-DD, a district its full path; `type` and `write` make them"
    } else {
        "see the field's type in RapidPro: number, datetime and location fields keep only what they can read"
    };
    Reason::new(
        "rapidpro-field-not-read",
        format!(
            "RapidPro took the value of `{key}` but could not read it as the field's type: the field is empty"
        ),
        hint,
    )
}

pub(super) fn shared(other: &str) -> Reason {
    Reason::new(
        "rapidpro-contact-shared",
        format!("the contact with this address is linked to {other}"),
        "RapidPro has one contact for one phone: give this one another address, or leave it out with `when`",
    )
}

pub(super) fn nobody() -> Reason {
    Reason::new(
        "rapidpro-contact-not-found",
        "`find` names no contact, and there are no URNs to make one with",
        "give `urns` too, or wait until the contact exists and retry",
    )
}

pub(super) fn is_taken(fault: &Fault) -> bool {
    fault.fields.iter().any(|complaint| complaint.problem == Problem::UrnTaken)
}
