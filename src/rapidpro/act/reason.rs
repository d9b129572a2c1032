//! Why an act is refused: one table, each row with its code, words and what to do. What RapidPro itself
//! says is read by [`crate::rapidpro::client::fault`] first.

use crate::delivery::destination::{Reason, UNPROVABLE};
use crate::rapidpro::client::fault::{Fault, Problem};

/// What stands in the way of an act.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Trouble {
    /// It may have happened, and nothing proves whether.
    Unknown,
    ContactMissing,
    ContactNotActive,
    ContactUnreachable,
    FlowMissing,
    FlowArchived,
    FlowAmbiguous,
    StartFailed,
    ParamsRefused,
    TextRefused,
    Unreadable,
}

type Row = (Trouble, &'static str, &'static str, &'static str);

/// Trouble, code, message, hint; the comment names a recording, where RapidPro shows it.
const TABLE: &[Row] = &[
    (
        Trouble::Unknown,
        UNPROVABLE,
        "the request may have had its effect, and RapidPro shows no proof of either",
        "look at the contact in RapidPro: if it did not happen, `mjumbe deliveries retry --force` does it, else cancel it",
    ),
    // flow_starts_post_contact_unknown, messages_post_unknown_contact, messages_post_urn_new
    (
        Trouble::ContactMissing,
        "rapidpro-contact-missing",
        "there is no such contact in RapidPro",
        "make the contact first (`rapidpro.contact`, with `needs`), or correct the address; then retry",
    ),
    // contacts_get_blocked, messages_post_blocked_contact, flow_starts_post_blocked_contact
    (
        Trouble::ContactNotActive,
        "contact-not-active",
        "the contact is blocked, archived or has opted out: nothing is sent to them",
        "retry when the person is active in RapidPro again, or cancel it",
    ),
    // messages_post_no_phone_contact
    (
        Trouble::ContactUnreachable,
        "rapidpro-contact-unreachable",
        "RapidPro took the message and failed it: the contact has no address that a channel can reach",
        "give the contact an address of a connected channel; then retry",
    ),
    // flow_starts_post_flow_unknown
    (
        Trouble::FlowMissing,
        "rapidpro-flow-missing",
        "there is no such flow in RapidPro",
        "correct `flow` in the mapping (a flow that was imported again has another uuid), then retry",
    ),
    // flow_starts_post_archived_flow: 201, and then failed
    (
        Trouble::FlowArchived,
        "rapidpro-flow-archived",
        "the flow is archived: RapidPro would take the start and do nothing",
        "restore the flow in RapidPro, or name another one in the mapping; then retry",
    ),
    (
        Trouble::FlowAmbiguous,
        "rapidpro-flow-ambiguous",
        "several flows have this name",
        "name the flow by its uuid: `mjumbe flows list` shows it",
    ),
    // flow_starts_get_archived_flow_after
    (
        Trouble::StartFailed,
        "rapidpro-start-failed",
        "RapidPro took the start and failed it",
        "look at the flow in RapidPro; then retry",
    ),
    // flow_starts_post_params_not_object
    (
        Trouble::ParamsRefused,
        "rapidpro-params-refused",
        "RapidPro refused the parameters of the start",
        "at most 10,000 characters in all: name fewer or shorter `params`",
    ),
    // messages_post_too_long, broadcasts_post_bad_language
    (
        Trouble::TextRefused,
        "rapidpro-text-refused",
        "RapidPro refused the text",
        "before version 26 a message has at most 640 characters: shorten it in the mapping",
    ),
    (
        Trouble::Unreadable,
        "rapidpro-act-unreadable",
        "this delivery is of another release of Mjumbe",
        "the next version of its source is mapped anew; or `mjumbe deliveries cancel` this one",
    ),
];

impl Trouble {
    pub fn reason(self) -> Reason {
        let row = TABLE.iter().find(|row| row.0 == self);
        row.map_or_else(
            || Reason::new("rapidpro-refused", "RapidPro would not do it", "see the exchange"),
            |(_, code, message, hint)| Reason::new(code, *message, *hint),
        )
    }
}

/// What RapidPro's refusal of an act's POST means.
pub(super) fn refusal(fault: &Fault) -> Reason {
    let complaint = fault.fields.first();
    let trouble = complaint.and_then(|complaint| match (complaint.field.as_str(), complaint.problem) {
        ("contact" | "contacts", Problem::NoSuchObject) => Some(Trouble::ContactMissing),
        ("flow", Problem::NoSuchObject) => Some(Trouble::FlowMissing),
        ("params" | "extra", _) => Some(Trouble::ParamsRefused),
        ("text", _) => Some(Trouble::TextRefused),
        _ => None,
    });
    trouble.map_or_else(|| fault.reason(), Trouble::reason)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rapidpro::act::recorded;
    use crate::rapidpro::client::fault::{self, Effect};

    #[test]
    fn recorded_refusals_have_their_cause() {
        for (name, code) in [
            ("flow_starts_post_contact_unknown", "rapidpro-contact-missing"),
            ("messages_post_unknown_contact", "rapidpro-contact-missing"),
            ("messages_post_urn_new", "rapidpro-contact-missing"),
            ("flow_starts_post_flow_unknown", "rapidpro-flow-missing"),
            ("flow_starts_post_params_not_object", "rapidpro-params-refused"),
            ("messages_post_too_long", "rapidpro-text-refused"),
        ] {
            let recording = recorded(name);
            let fault = fault::read(400, None, recording["body"].to_string().as_bytes(), Effect::Write);
            let reason = refusal(&fault);
            assert_eq!((reason.code.as_str(), fault.is_permanent()), (code, true), "{name}");
            assert!(!reason.message.contains("788"), "{name}: {}", reason.message);
        }
        let down = recorded("mailroom_down_messages_post");
        let text = down["body"].as_str().unwrap();
        let fault = fault::read(500, None, text.as_bytes(), Effect::Write);
        assert!(fault.unclear && !fault.is_permanent());
    }

    #[test]
    fn every_trouble_has_one_row() {
        let all = [
            Trouble::Unknown,
            Trouble::ContactMissing,
            Trouble::ContactNotActive,
            Trouble::ContactUnreachable,
            Trouble::FlowMissing,
            Trouble::FlowArchived,
            Trouble::FlowAmbiguous,
            Trouble::StartFailed,
            Trouble::ParamsRefused,
            Trouble::TextRefused,
            Trouble::Unreadable,
        ];
        for trouble in all {
            assert_eq!(TABLE.iter().filter(|row| row.0 == trouble).count(), 1, "{trouble:?}");
        }
        assert_eq!(TABLE.len(), all.len());
    }
}
