//! What a delivery asks of a contact, place by place, and what became of each.

use serde_json::{Map, Value, json};

use crate::delivery::destination::{Outgoing, Reason, Settled, Verdict};
use crate::rapidpro::client::fault::{Fault, FieldFault, Problem};

/// A place of a contact.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Place {
    Urns,
    Name,
    Language,
    Status,
    Field(String),
    Group(String),
}

impl Place {
    fn read(text: &str) -> Option<Self> {
        Some(match text.split_once('/') {
            None => match text {
                "urns" => Self::Urns,
                "name" => Self::Name,
                "language" => Self::Language,
                "status" => Self::Status,
                _ => return None,
            },
            Some(("field", key)) => Self::Field(key.to_owned()),
            Some(("group", group)) => Self::Group(group.to_owned()),
            Some(_) => return None,
        })
    }
}

/// One thing asked.
#[derive(Debug, Clone)]
pub(super) struct Item {
    pub place: Place,
    /// Nothing: take it back.
    pub wanted: Option<Value>,
    pub sent: Option<Value>,
    /// The part of the delivery; none for what was accepted before and is sent again to a contact that
    /// had to be made again.
    part: Option<usize>,
    pub verdict: Option<Verdict>,
}

/// All that is asked of one contact.
#[derive(Debug)]
pub(super) struct Asked {
    pub items: Vec<Item>,
    parts: usize,
}

impl Asked {
    pub fn read(outgoing: &Outgoing) -> Self {
        let prefix = format!("{}/", outgoing.lane);
        let mut items = Vec::new();
        for (index, part) in outgoing.parts.iter().enumerate() {
            let place = part.slot.strip_prefix(&prefix).and_then(Place::read);
            let verdict = place.is_none().then(|| Verdict::Refused(unknown_slot()));
            items.push(Item {
                place: place.unwrap_or(Place::Name),
                wanted: part.wanted.clone(),
                sent: part.sent.clone(),
                part: Some(index),
                verdict,
            });
        }
        Self { items, parts: outgoing.parts.len() }
    }

    /// Everything is taken back.
    pub fn only_withdraws(&self) -> bool {
        self.items.iter().all(|item| item.wanted.is_none())
    }

    /// The contact is another one than before: what was accepted for the old one is asked again.
    pub fn renew(&mut self, body: &Value) {
        let text = |key: &str| body.get(key).cloned();
        self.again(Place::Urns, text("urns"));
        self.again(Place::Name, text("name"));
        self.again(Place::Language, text("language"));
        self.again(Place::Status, text("status"));
        for (key, value) in body.get("fields").and_then(Value::as_object).into_iter().flatten() {
            self.again(Place::Field(key.clone()), Some(value.clone()));
        }
        let groups = body.get("groups").and_then(Value::as_array).into_iter().flatten();
        for group in groups.filter_map(Value::as_str) {
            self.again(Place::Group(group.to_owned()), Some(json!(true)));
        }
    }

    fn again(&mut self, place: Place, wanted: Option<Value>) {
        let known = self.items.iter().any(|item| item.place == place);
        if !known && wanted.is_some() {
            self.items.push(Item { place, wanted, sent: None, part: None, verdict: None });
        }
    }

    /// What is not decided yet.
    pub fn open(&mut self) -> impl Iterator<Item = &mut Item> {
        self.items.iter_mut().filter(|item| item.verdict.is_none())
    }

    pub fn wanted_urns(&self) -> Option<&Item> {
        self.items.iter().find(|item| item.place == Place::Urns && item.verdict.is_none())
    }

    pub fn wanted_groups(&self) -> Vec<&str> {
        let open = self.items.iter().filter(|item| item.verdict.is_none() && item.wanted.is_some());
        open.filter_map(|item| match &item.place {
            Place::Group(group) => Some(group.as_str()),
            _ => None,
        })
        .collect()
    }

    /// The body of a contact POST for what is open: name, language and fields; groups and URNs are the
    /// caller's.
    pub fn body(&self) -> Map<String, Value> {
        let mut body = Map::new();
        let mut fields = Map::new();
        for item in self.items.iter().filter(|item| item.verdict.is_none()) {
            let wanted = item.wanted.clone().unwrap_or(Value::Null);
            match &item.place {
                Place::Name => drop(body.insert("name".to_owned(), wanted)),
                Place::Language => drop(body.insert("language".to_owned(), wanted)),
                Place::Field(key) => drop(fields.insert(key.clone(), wanted)),
                Place::Urns | Place::Status | Place::Group(_) => {}
            }
        }
        if !fields.is_empty() {
            body.insert("fields".to_owned(), Value::Object(fields));
        }
        body
    }

    /// Refuses what RapidPro complains about. False where no complaint names anything that is open.
    pub fn blame(&mut self, fault: &Fault) -> bool {
        let mut blamed = false;
        for item in self.open() {
            if let Some(complaint) = fault.fields.iter().find(|complaint| names(complaint, &item.place)) {
                item.verdict = Some(Verdict::Refused(refusal(complaint, &item.place)));
                blamed = true;
            }
        }
        blamed
    }

    /// Decides all that is open.
    pub fn decide(&mut self, verdict: &Verdict) {
        for item in self.open() {
            item.verdict = Some(verdict.clone());
        }
    }

    pub fn settled(&self, remote: Option<String>) -> Settled {
        let later = || {
            Verdict::Later(Reason::new(
                "rapidpro-not-decided",
                "this part was not sent",
                "it is tried again by itself",
            ))
        };
        let mut parts: Vec<Verdict> = (0..self.parts).map(|_| later()).collect();
        for item in &self.items {
            if let (Some(slot), Some(verdict)) =
                (item.part.and_then(|part| parts.get_mut(part)), &item.verdict)
            {
                *slot = verdict.clone();
            }
        }
        Settled { parts, remote, notes: Vec::new() }
    }
}

fn names(complaint: &FieldFault, place: &Place) -> bool {
    let subject = complaint.subject.as_deref().or(complaint.place.as_deref());
    match (complaint.field.as_str(), place) {
        ("urns", Place::Urns) | ("name", Place::Name) | ("language", Place::Language) => true,
        ("fields", Place::Field(key)) => subject.is_none_or(|subject| subject == key),
        ("groups" | "group", Place::Group(group)) => {
            complaint.subject.as_deref().is_none_or(|subject| subject.to_lowercase() == group.to_lowercase())
        }
        _ => false,
    }
}

fn refusal(complaint: &FieldFault, place: &Place) -> Reason {
    match (complaint.problem, place) {
        (Problem::UrnTaken, _) => urn_owned(),
        (Problem::UrnInvalid, _) => Reason::new(
            "rapidpro-urn-invalid",
            "RapidPro does not accept one of the URNs",
            "phone numbers need a country code and a length that exists; WhatsApp and Telegram ids hold digits only",
        ),
        (Problem::UnknownField, Place::Field(key)) => Reason::new(
            "rapidpro-field-missing",
            format!("RapidPro has no contact field `{key}`"),
            "make the field in RapidPro, or correct its key in the mapping; then retry",
        ),
        (Problem::NoSuchObject, Place::Group(group)) => Reason::new(
            "rapidpro-group-missing",
            format!("RapidPro has no group `{group}`"),
            "make the group in RapidPro, or correct its name in the mapping; then retry",
        ),
        (Problem::ContactNotActive, _) => not_active(),
        _ => Reason::new(
            "rapidpro-invalid",
            format!("RapidPro refused `{}`", complaint.field),
            "see the exchange with `mjumbe deliveries show`",
        ),
    }
}

pub(super) fn not_active() -> Reason {
    Reason::new(
        "rapidpro-contact-not-active",
        "the contact is blocked or has opted out, and cannot be added to groups",
        "unblock it in RapidPro, or let the mapping give `status: active`; then retry",
    )
}

pub(super) fn urn_owned() -> Reason {
    Reason::new(
        "rapidpro-urn-owned",
        "another contact has this URN, and taking it would leave that contact without an address",
        "if both are one person, delete the other contact in RapidPro and retry; if they share a phone, one of the two must do without it",
    )
}

fn unknown_slot() -> Reason {
    Reason::new(
        "rapidpro-part-unknown",
        "this part is of another release of Mjumbe",
        "the next version of its source is mapped anew; or `mjumbe deliveries cancel` this one",
    )
}
