//! Builds flow definitions as the flow editor does: a question is a message, then a node that waits.
//!
//! Every question is asked again until the answer is understood. Uuids are made of names, so that a flow
//! is the same wherever it is built.

use serde_json::{Value, json};
use uuid::Uuid;

use super::super::engine::WebhookShape;
use super::Webhook;

/// What an answer may be.
#[derive(Debug, Clone, Copy)]
pub(super) enum Kind {
    Number,
    /// A day; what reads back has the local time of the answer.
    Date,
    /// Anything.
    Text,
    /// Key, category and the words that mean it; with `waits_s` the question gives up after so long.
    Choice {
        options: &'static [(&'static str, &'static str, &'static str)],
        waits_s: Option<u32>,
    },
}

/// A question.
#[derive(Debug, Clone, Copy)]
pub(super) struct Question {
    pub key: &'static str,
    /// The result's name.
    pub name: &'static str,
    pub text: &'static str,
    pub kind: Kind,
}

/// A flow of questions, one after the other.
#[derive(Debug, Clone, Copy)]
pub(super) struct Form {
    /// What the uuids are made of.
    pub slug: &'static str,
    pub name: &'static str,
    pub questions: &'static [Question],
    pub bye: &'static str,
}

impl Form {
    /// The whole definition, spec 13.2.
    pub fn definition(&self, webhook: Option<&Webhook>) -> Value {
        let end = self.id(if webhook.is_some() { "webhook" } else { "bye/ask" });
        let mut nodes = Vec::new();
        for (at, question) in self.questions.iter().enumerate() {
            let next = self.questions.get(at + 1).map(|next| self.part(next.key, "ask"));
            nodes.extend(self.question(question, next.as_deref().unwrap_or(&end)));
        }
        nodes.extend(webhook.map(|webhook| self.webhook(webhook)));
        nodes.push(self.say("bye", self.bye, None));
        json!({ "_ui": { "nodes": {}, "stickies": {} }, "expire_after_minutes": 10080, "language": "eng",
            "localization": {}, "metadata": {}, "name": self.name, "nodes": nodes, "spec_version": "13.2.0",
            "type": "messaging", "uuid": self.id("flow"), "revision": 1 })
    }

    /// A deterministic uuid for a part of the flow.
    fn id(&self, of: &str) -> String {
        Uuid::new_v5(&Uuid::NAMESPACE_URL, format!("{}/{of}", self.slug).as_bytes()).to_string()
    }

    fn part(&self, key: &str, part: &str) -> String {
        self.id(&format!("{key}/{part}"))
    }

    fn say(&self, key: &str, text: &str, to: Option<&str>) -> Value {
        json!({ "uuid": self.part(key, "ask"),
            "actions": [{ "type": "send_msg", "uuid": self.part(key, "message"), "text": text,
                "attachments": [], "quick_replies": [] }],
            "exits": [{ "uuid": self.part(key, "asked"), "destination_uuid": to }] })
    }

    fn question(&self, question: &Question, next: &str) -> [Value; 2] {
        let part = |name: &str| self.part(question.key, name);
        let case = |part_name: &str, test: &str, arguments: Value, to: &str| json!({ "uuid": part(part_name), "type": test, "arguments": arguments, "category_uuid": part(to) });
        let category = |name: &str, own: &str, exit: &str| json!({ "uuid": part(own), "name": name, "exit_uuid": part(exit) });
        let mut wait = json!({ "type": "msg" });
        let (cases, mut categories, default) = match question.kind {
            Kind::Number => (
                vec![case("case", "has_number", json!([]), "number")],
                vec![category("Has Number", "number", "right")],
                "other",
            ),
            Kind::Date => (
                vec![case("case", "has_date", json!([]), "date")],
                vec![category("Has Date", "date", "right")],
                "other",
            ),
            Kind::Text => (Vec::new(), vec![category("All Responses", "all", "right")], "all"),
            Kind::Choice { options, waits_s } => {
                if let Some(seconds) = waits_s {
                    wait["timeout"] = json!({ "seconds": seconds, "category_uuid": part("silent") });
                }
                let cases = options
                    .iter()
                    .map(|(key, _, words)| case(&format!("{key}/case"), "has_any_word", json!([words]), key));
                let known = options.iter().map(|(key, name, _)| category(name, key, "right"));
                (cases.collect(), known.collect(), "other")
            }
        };
        if default == "other" {
            categories.push(category("Other", "other", "again"));
        }
        if wait["timeout"].is_object() {
            categories.push(category("No Response", "silent", "right"));
        }
        let mut exits = vec![json!({ "uuid": part("right"), "destination_uuid": next })];
        if default == "other" {
            exits.push(json!({ "uuid": part("again"), "destination_uuid": part("ask") }));
        }
        let node = json!({ "uuid": part("wait"), "actions": [],
            "router": { "type": "switch", "operand": "@input.text", "result_name": question.name, "wait": wait,
                "cases": cases, "categories": categories, "default_category_uuid": part(default) },
            "exits": exits });
        [self.say(question.key, question.text, Some(&part("wait"))), node]
    }

    fn webhook(&self, webhook: &Webhook) -> Value {
        let part = |name: &str| self.part("webhook", name);
        let action = match webhook.shape {
            WebhookShape::EditorDefault => {
                json!({ "type": "call_webhook", "uuid": part("call"), "method": "POST",
                "url": webhook.url,
                "headers": { "Content-Type": "application/json",
                    "Authorization": format!("Bearer {}", webhook.secret) },
                "body": "@(json(object(\"contact\", object(\"uuid\", contact.uuid, \"name\", contact.name, \"urn\", contact.urn), \"flow\", object(\"uuid\", run.flow.uuid, \"name\", run.flow.name), \"results\", foreach_value(results, extract_object, \"value\", \"category\"))))",
                "result_name": "Webhook" })
            }
            WebhookShape::Resthook => json!({ "type": "call_resthook", "uuid": part("call"),
                "resthook": self.slug, "result_name": "Webhook" }),
        };
        let category =
            |name: &str, own: &str| json!({ "uuid": part(own), "name": name, "exit_uuid": part("exit") });
        json!({ "uuid": self.id("webhook"), "actions": [action],
            "router": { "type": "switch", "operand": "@results.webhook.category",
                "cases": [{ "uuid": part("case"), "type": "has_only_text", "arguments": ["Success"],
                    "category_uuid": part("success") }],
                "categories": [category("Success", "success"), category("Failure", "failure")],
                "default_category_uuid": part("failure") },
            "exits": [{ "uuid": part("exit"), "destination_uuid": self.id("bye/ask") }] })
    }
}
