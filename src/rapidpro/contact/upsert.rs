//! Finds, makes and changes one contact.
//!
//! **Invariants:** a contact is made only after nobody was found by URN, one at a time within this
//! process; after an unclear answer it is looked for again at once. URNs are changed only after the owner
//! of each new one was looked up, because RapidPro 9.0 takes them silently from whoever has them. Groups
//! go through `contact_actions`, which touches no other group, whereas `groups` in a contact's body
//! replaces them all, and refuses smart groups that the contact is in.

use serde_json::{Map, Value, json};

use super::asked::{Asked, Place, urn_owned};
use super::owners::Owners;
use super::shown::Shown;
use super::verdict::{compare, decide, is_taken, nobody, refuse_body, shared};
use crate::delivery::destination::{Exchange, Outgoing, Reason, Settled, Verdict};
use crate::delivery::hold::Leave;
use crate::rapidpro::client::fault::{self, Fault, Kind};
use crate::rapidpro::client::{Call, Client, Method};

/// A refused POST loses at least one part a time.
const POSTS_MAX: usize = 8;

/// One delivery on its way.
pub(super) struct Upsert<'a> {
    pub client: &'a Client,
    pub owners: &'a Owners,
    pub leave: &'a Leave,
    pub exchanges: &'a mut Vec<Exchange>,
}

/// Who the contact is.
enum Found {
    /// Linked, and not looked at.
    Known(String),
    Shown(Shown),
    Nobody,
    /// Another resource's contact.
    Foreign(Reason),
}

impl Upsert<'_> {
    /// # Errors
    /// [`Fault`] where nothing of the delivery was decided.
    pub async fn run(&mut self, outgoing: &Outgoing) -> Result<Settled, Fault> {
        let mut asked = Asked::read(outgoing);
        let done = self.attempts(outgoing, &mut asked).await;
        done.map_err(|fault| with_doubt(fault, &asked))
    }

    async fn attempts(&mut self, outgoing: &Outgoing, asked: &mut Asked) -> Result<Settled, Fault> {
        match self.attempt(outgoing, asked, outgoing.remote.as_deref()).await {
            // The linked contact was deleted: the link is made again.
            Err(gone) if gone.kind == Kind::Gone && outgoing.remote.is_some() => {
                if asked.only_withdraws() {
                    asked.decide(&Verdict::Accepted);
                    return Ok(asked.settled(None));
                }
                asked.renew(&outgoing.body);
                self.attempt(outgoing, asked, None).await
            }
            other => other,
        }
    }

    async fn attempt(
        &mut self,
        outgoing: &Outgoing,
        asked: &mut Asked,
        remote: Option<&str>,
    ) -> Result<Settled, Fault> {
        let made_before = self.owners.made();
        let found = self.find(outgoing, asked, remote).await?;
        let uuid = match found {
            Found::Known(uuid) => self.change(asked, &uuid, None).await?,
            Found::Shown(shown) => {
                let uuid = shown.uuid.clone();
                self.owners.claim(&uuid, outgoing.link.as_deref());
                self.change(asked, &uuid, Some(shown)).await?
            }
            Found::Foreign(reason) => {
                asked.decide(&Verdict::Refused(reason));
                return Ok(asked.settled(None));
            }
            Found::Nobody if asked.only_withdraws() => {
                asked.decide(&Verdict::Accepted);
                return Ok(asked.settled(None));
            }
            Found::Nobody => match self.make(outgoing, asked, made_before).await? {
                Some(uuid) => uuid,
                None => return Ok(asked.settled(None)),
            },
        };
        Ok(asked.settled(Some(uuid)))
    }

    async fn find(
        &mut self,
        outgoing: &Outgoing,
        asked: &Asked,
        remote: Option<&str>,
    ) -> Result<Found, Fault> {
        if let Some(uuid) = remote {
            if asked.wanted_urns().is_none() {
                return Ok(Found::Known(uuid.to_owned()));
            }
            return match self.shown(&[("uuid", uuid)]).await? {
                Some(shown) => Ok(Found::Shown(shown)),
                None => Err(gone()),
            };
        }
        let mut candidates = candidates(&outgoing.body);
        if let Some(resource) = outgoing.body.pointer("/find/$link/resource").and_then(Value::as_str)
            && let Some(contact) = self.owners.contact(resource).await?
        {
            candidates.insert(0, ("uuid", contact));
        }
        for (key, value) in candidates {
            let Some(shown) = self.shown(&[(key, &value)]).await? else { continue };
            // What has no link of its own (an answered flow) changes whose contact it is.
            let other = match &outgoing.link {
                Some(link) => self.owners.foreign(&shown.uuid, Some(link)).await?,
                None => None,
            };
            return Ok(other.map_or(Found::Shown(shown), |other| Found::Foreign(shared(&other))));
        }
        Ok(Found::Nobody)
    }

    /// Makes the contact; nothing where RapidPro refused what it needs.
    async fn make(
        &mut self,
        outgoing: &Outgoing,
        asked: &mut Asked,
        made_before: u64,
    ) -> Result<Option<String>, Fault> {
        let _one_at_a_time = self.owners.making().await;
        // Another delivery may have made it while this one looked and waited.
        if self.owners.made() != made_before
            && let Some(uuid) = self.adopt(outgoing, asked).await?
        {
            return Ok(uuid);
        }
        let urns = outgoing.body.get("urns").cloned().unwrap_or(Value::Null);
        let blank = asked.wanted_urns().is_none() || urns.as_array().is_none_or(Vec::is_empty);
        if blank {
            asked.decide(&Verdict::Refused(nobody()));
            return Ok(None);
        }
        let (uuid, shown) = match self.create(asked, &urns).await {
            Ok(Some(made)) => made,
            Ok(None) => return Ok(None),
            // Made after all, or by somebody else at the same moment: both show in a look-up.
            Err(fault) if fault.unclear || is_taken(&fault) => {
                return self.adopt(outgoing, asked).await?.ok_or(fault);
            }
            Err(fault) => return Err(fault),
        };
        self.owners.claim(&uuid, outgoing.link.as_deref());
        compare(asked, &shown);
        for item in asked.open().filter(|item| matches!(item.place, Place::Group(_))) {
            item.verdict = Some(Verdict::Accepted);
        }
        self.act(asked, &uuid, false).await?;
        Ok(Some(uuid))
    }

    /// Looks again, and goes on with who is there now: nothing where still nobody is, `None` inside where
    /// it is another resource's.
    async fn adopt(
        &mut self,
        outgoing: &Outgoing,
        asked: &mut Asked,
    ) -> Result<Option<Option<String>>, Fault> {
        match self.find(outgoing, asked, None).await? {
            Found::Shown(shown) => {
                let uuid = shown.uuid.clone();
                self.owners.claim(&uuid, outgoing.link.as_deref());
                self.change(asked, &uuid, Some(shown)).await.map(|uuid| Some(Some(uuid)))
            }
            Found::Foreign(reason) => {
                asked.decide(&Verdict::Refused(reason));
                Ok(Some(None))
            }
            Found::Known(_) | Found::Nobody => Ok(None),
        }
    }

    async fn create(&mut self, asked: &mut Asked, urns: &Value) -> Result<Option<(String, Shown)>, Fault> {
        for _ in 0..POSTS_MAX {
            if asked.wanted_urns().is_none() {
                // Without an address the contact is not made; the rest waits for the URNs.
                let reason = Reason::new(
                    "rapidpro-contact-without-address",
                    "the contact was not made, because its URNs were refused",
                    "see the reason of the part `urns`",
                );
                asked.decide(&Verdict::Refused(reason));
                return Ok(None);
            }
            let mut body = asked.body();
            body.insert("urns".to_owned(), urns.clone());
            body.retain(|_, value| !value.is_null());
            let groups = asked.wanted_groups();
            if !groups.is_empty() {
                body.insert("groups".to_owned(), json!(groups));
            }
            self.owners.will_make();
            match self.post("contacts", &[], &Value::Object(body)).await {
                Ok(answer) => {
                    let shown = Shown::read(&answer).ok_or_else(unreadable)?;
                    return Ok(Some((shown.uuid.clone(), shown)));
                }
                Err(fault) if is_taken(&fault) => return Err(fault),
                Err(fault) if fault.kind == Kind::Refused && asked.blame(&fault) => {}
                Err(fault) if fault.kind == Kind::Refused => {
                    asked.decide(&Verdict::Refused(fault.reason()));
                    return Ok(None);
                }
                Err(fault) => return Err(fault),
            }
        }
        Ok(None)
    }

    /// Changes an existing contact and gives back its uuid.
    async fn change(&mut self, asked: &mut Asked, uuid: &str, shown: Option<Shown>) -> Result<String, Fault> {
        let activates = asked.items.iter().any(|item| {
            item.place == Place::Status && item.wanted.as_ref().is_some_and(|wanted| wanted == "active")
        });
        if activates {
            self.status(asked, uuid, "unblock").await?;
        }
        for _ in 0..POSTS_MAX {
            let mut body = asked.body();
            self.urns(asked, shown.as_ref(), &mut body).await?;
            if body.is_empty() {
                break;
            }
            match self.post("contacts", &[("uuid", uuid)], &Value::Object(body)).await {
                Ok(answer) => {
                    let after = Shown::read(&answer).ok_or_else(unreadable)?;
                    compare(asked, &after);
                    break;
                }
                Err(fault) if fault.kind == Kind::Refused => {
                    if !asked.blame(&fault) {
                        refuse_body(asked, &fault);
                    }
                }
                Err(fault) => return Err(fault),
            }
        }
        let knows_active = shown.is_none_or(|shown| shown.active);
        self.act(asked, uuid, !knows_active && !activates).await?;
        Ok(uuid.to_owned())
    }

    /// Puts the URNs into a body: ours first, then those that others gave; those that we gave before and
    /// no longer want are left out.
    async fn urns(
        &mut self,
        asked: &mut Asked,
        shown: Option<&Shown>,
        body: &mut Map<String, Value>,
    ) -> Result<(), Fault> {
        let Some(item) = asked.wanted_urns() else { return Ok(()) };
        let (Some(wanted), Some(shown)) = (item.wanted.as_ref().map(texts), shown) else {
            // Taken back: the address stays. It may have been there before us, and the contact's
            // messages hang on it.
            decide(asked, &Place::Urns, &Verdict::Accepted);
            return Ok(());
        };
        let before = item.sent.as_ref().map(texts).unwrap_or_default();
        let kept = shown.urns.iter().filter(|urn| !wanted.contains(urn) && !before.contains(urn));
        let list: Vec<String> = wanted.iter().chain(kept).cloned().collect();
        if list == shown.urns {
            decide(asked, &Place::Urns, &Verdict::Accepted);
            return Ok(());
        }
        for urn in wanted.iter().filter(|urn| !shown.urns.contains(urn)) {
            if let Some(reason) = self.owned(urn, &shown.uuid).await? {
                decide(asked, &Place::Urns, &Verdict::Refused(reason));
                return Ok(());
            }
        }
        body.insert("urns".to_owned(), json!(list));
        Ok(())
    }

    /// Why this URN cannot be had. A contact that RapidPro made of an incoming message, and that nobody
    /// named or linked, gives it away.
    async fn owned(&mut self, urn: &str, uuid: &str) -> Result<Option<Reason>, Fault> {
        let owner = match self.shown(&[("urn", urn)]).await {
            Ok(owner) => owner,
            Err(fault) if fault.kind == Kind::Refused => return Ok(Some(fault.reason())),
            Err(fault) => return Err(fault),
        };
        let Some(owner) = owner.filter(|owner| owner.uuid != uuid) else { return Ok(None) };
        let linked = self.owners.foreign(&owner.uuid, None).await?.is_some();
        Ok((linked || !owner.stub).then(urn_owned))
    }

    async fn shown(&mut self, query: &[(&str, &str)]) -> Result<Option<Shown>, Fault> {
        let call = Call { method: Method::Get, endpoint: "contacts", query, body: None };
        let answer = self.exchange(&call).await?;
        let results = answer.get("results").and_then(Value::as_array).ok_or_else(unreadable)?;
        Ok(results.first().and_then(Shown::read))
    }

    pub(super) async fn post(
        &mut self,
        endpoint: &str,
        query: &[(&str, &str)],
        body: &Value,
    ) -> Result<Value, Fault> {
        self.exchange(&Call { method: Method::Post, endpoint, query, body: Some(body) }).await
    }

    async fn exchange(&mut self, call: &Call<'_>) -> Result<Value, Fault> {
        if self.leave.is_over() {
            return Err(fault::out_of_time());
        }
        let (result, exchange) = self.client.exchange(call).await;
        self.exchanges.push(exchange);
        result
    }
}

/// What was decided before the fault was asked for, and may have taken effect.
fn with_doubt(fault: Fault, asked: &Asked) -> Fault {
    let begun = asked.items.iter().any(|item| item.verdict.is_some());
    Fault { unclear: fault.unclear || begun, ..fault }
}

fn candidates(body: &Value) -> Vec<(&'static str, String)> {
    let find = body.get("find").and_then(Value::as_str);
    let urns = body.get("urns").map(texts).unwrap_or_default();
    let mut found: Vec<(&'static str, String)> = Vec::new();
    if let Some(find) = find {
        let key = if uuid::Uuid::parse_str(find).is_ok() { "uuid" } else { "urn" };
        found.push((key, find.to_owned()));
    }
    found.extend(urns.into_iter().map(|urn| ("urn", urn)));
    found
}

pub(super) fn texts(list: &Value) -> Vec<String> {
    list.as_array().into_iter().flatten().filter_map(Value::as_str).map(str::to_owned).collect()
}

fn gone() -> Fault {
    fault::gone("the linked contact does not exist any more")
}

fn unreadable() -> Fault {
    fault::silent("rapidpro-answer-unreadable", "the answer is not a contact", true)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::delivery::destination::OutgoingPart;

    /// The status was set, and then there was no time left for the rest: that the status is set is not
    /// forgotten.
    #[test]
    fn a_fault_after_the_first_request_is_unclear() {
        let part = |slot: &str, wanted: Value| OutgoingPart {
            slot: format!("her/{slot}"),
            wanted: Some(wanted),
            sent: None,
            note: String::new(),
        };
        let outgoing = Outgoing {
            id: "d".to_owned(),
            target: "rapidpro.contact".to_owned(),
            lane: "her".to_owned(),
            body: json!({}),
            parts: vec![part("status", json!("active")), part("name", json!("A"))],
            links: Default::default(),
            link: None,
            remote: Some("uuid".to_owned()),
            attempt: 0,
            unclear: false,
            begun_ms: 0,
            superseded: false,
        };
        let mut asked = Asked::read(&outgoing);
        assert!(!with_doubt(fault::out_of_time(), &asked).unclear, "nothing was asked yet");
        decide(&mut asked, &Place::Status, &Verdict::Accepted);
        assert!(with_doubt(fault::out_of_time(), &asked).unclear);
    }
}
