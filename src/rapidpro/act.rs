//! Acts: `rapidpro.start` and `rapidpro.message`, what happens to a person once.
//!
//! **Never** sends what may have been sent before without having looked for it, never believes that it did
//! not happen without having read everything that could show it, and never writes to somebody who opted
//! out. Acts come from mapping files ([`start`], [`message`]) as one part each, whose `wanted` is the whole
//! request; the delivery engine says when, and whether an earlier request is unaccounted for.
//!
//! **Which endpoint proves what.** A flow start carries the delivery's id in its `params`, which
//! `flow_starts.json` shows: found or not is certain. A message goes through `messages.json` (from 8.1.35
//! on): it answers with the message's own id and status, takes the text literally, never makes a contact,
//! and its rows can be read again by contact. A broadcast shows no message, evaluates its text as a
//! template and answers before anything is sent; it is the way only where `messages.json` takes no POST
//! (7.4, 8.0). Neither carries a key of ours, so a message is found by contact, text and time, and only
//! where no other act could be meant.

// Who an act is about: in a mapping file, and in a stored wish.
mod addressee;
// What a look-up proves.
mod evidence;
// The flows that can be started.
pub(super) mod flows;
// `rapidpro.message` in mapping files.
pub mod message;
// Sends messages.
pub(super) mod messaging;
// What other deliveries did.
pub mod others;
// Why an act is refused.
mod reason;
// The person as RapidPro knows them now.
mod recipient;
// Requests while they may begin.
mod session;
// `rapidpro.start` in mapping files.
pub mod start;
// Starts flows.
pub(super) mod starting;

pub use start::DELIVERY_PARAM;

use std::sync::Arc;

use self::flows::Flows;
use self::messaging::Messages;
use self::others::Others;
use self::session::Session;
use super::client::Client;
use crate::delivery::destination::{Outgoing, Reason, Sent, Settled, Verdict};
use crate::delivery::hold::Leave;

/// Sends the acts of a workspace.
pub(super) struct Acts {
    client: Arc<Client>,
    others: Arc<dyn Others>,
    flows: Flows,
    messages: Messages,
}

impl Acts {
    pub fn new(client: Arc<Client>, others: Arc<dyn Others>, languages: Vec<String>) -> Self {
        Self { client, others, flows: Flows::default(), messages: Messages::new(languages) }
    }

    /// Sends one act; the engine gives one at a time, and what it gives beside is left for later.
    pub async fn send(&self, batch: &[Outgoing], leave: &Leave) -> Sent {
        let mut sent = Sent { result: Ok(Vec::new()), exchanges: Vec::new() };
        let Some((outgoing, rest)) = batch.split_first() else { return sent };
        let mut session = Session { client: &self.client, leave, exchanges: &mut sent.exchanges };
        let settled = match outgoing.target.as_str() {
            "rapidpro.start" => starting::send(&mut session, &self.flows, outgoing).await,
            _ => self.messages.send(&mut session, self.others.as_ref(), outgoing).await,
        };
        sent.result = match settled {
            Ok(settled) => Ok(std::iter::once(settled).chain(rest.iter().map(later)).collect()),
            Err(fault) if fault.is_permanent() => {
                let refused = starting::refused_because(fault.reason());
                Ok(std::iter::once(refused).chain(rest.iter().map(later)).collect())
            }
            Err(fault) => Err(self.client.judged(&fault).await),
        };
        sent
    }
}

fn later(outgoing: &Outgoing) -> Settled {
    let reason = Reason::new("rapidpro-not-sent", "it was not sent yet", "it is sent by itself");
    Settled {
        parts: outgoing.parts.iter().map(|_| Verdict::Later(reason.clone())).collect(),
        remote: None,
        notes: Vec::new(),
    }
}

/// A recorded exchange, for the tests of this room.
#[cfg(test)]
fn recorded(name: &str) -> serde_json::Value {
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/rapidpro");
    let text = std::fs::read_to_string(folder.join(name).with_extension("json")).unwrap();
    serde_json::from_str(&text).unwrap()
}
