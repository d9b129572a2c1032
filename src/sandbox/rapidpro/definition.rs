//! A flow definition by hand: the monthly village report.
//!
//! Five questions, each asked again until the answer is understood; the last one waits only so long.
//! Where a webhook is wanted, a node behind the last question calls it, as the flow editor builds it.

use serde_json::{Value, json};
use uuid::Uuid;

use super::engine::WebhookShape;

/// The name of the flow.
pub const MONTHLY_REPORT: &str = "Monthly village report";

/// A webhook at the end of the flow.
#[derive(Debug, Clone)]
pub struct Webhook {
    pub url: String,
    /// Sent as `Authorization: Bearer …`.
    pub secret: String,
    pub shape: WebhookShape,
}

/// A deterministic uuid for a part of the flow.
fn id(of: &str) -> String {
    Uuid::new_v5(&Uuid::NAMESPACE_URL, format!("monthly-village-report/{of}").as_bytes()).to_string()
}

/// The whole definition, spec 13.2.
pub fn monthly_report(webhook: Option<&Webhook>) -> Value {
    let questions = [
        ("fever_cases", "Fever cases", "How many people had fever last month?"),
        ("malaria_positive", "Malaria positive", "How many of them had a positive rapid test?"),
        ("deaths_female", "Deaths female", "How many women and girls died?"),
        ("deaths_male", "Deaths male", "How many men and boys died?"),
    ];
    let mut nodes = Vec::new();
    for (at, (key, name, text)) in questions.iter().enumerate() {
        let next = questions.get(at + 1).map_or("stock_out", |(key, ..)| key);
        nodes.extend(number_question(key, name, text, &id(&format!("{next}/ask"))));
    }
    let after = webhook.map(|_| id("webhook"));
    nodes.extend(choice_question(after.as_deref()));
    if let Some(webhook) = webhook {
        nodes.push(webhook_node(webhook));
    }
    nodes.push(say("bye", "Thank you.", None));
    json!({ "_ui": { "nodes": {}, "stickies": {} }, "expire_after_minutes": 10080, "language": "eng",
        "localization": {}, "metadata": {}, "name": MONTHLY_REPORT, "nodes": nodes, "spec_version": "13.2.0",
        "type": "messaging", "uuid": id("flow"), "revision": 1 })
}

fn say(key: &str, text: &str, to: Option<&str>) -> Value {
    json!({ "uuid": id(&format!("{key}/ask")),
        "actions": [{ "type": "send_msg", "uuid": id(&format!("{key}/message")), "text": text,
            "attachments": [], "quick_replies": [] }],
        "exits": [{ "uuid": id(&format!("{key}/asked")), "destination_uuid": to }] })
}

fn number_question(key: &str, name: &str, text: &str, next: &str) -> [Value; 2] {
    let (wait, number, other) =
        (id(&format!("{key}/wait")), id(&format!("{key}/number")), id(&format!("{key}/other")));
    let (right, again) = (id(&format!("{key}/right")), id(&format!("{key}/again")));
    let node = json!({ "uuid": wait, "actions": [],
        "router": { "type": "switch", "operand": "@input.text", "result_name": name, "wait": { "type": "msg" },
            "cases": [{ "uuid": id(&format!("{key}/case")), "type": "has_number", "arguments": [],
                "category_uuid": number }],
            "categories": [{ "uuid": number, "name": "Has Number", "exit_uuid": right },
                { "uuid": other, "name": "Other", "exit_uuid": again }],
            "default_category_uuid": other },
        "exits": [{ "uuid": right, "destination_uuid": next },
            { "uuid": again, "destination_uuid": id(&format!("{key}/ask")) }] });
    [say(key, text, Some(&wait)), node]
}

fn choice_question(after: Option<&str>) -> [Value; 2] {
    let part = |name: &str| id(&format!("stock_out/{name}"));
    let next = after.map_or_else(|| id("bye/ask"), str::to_owned);
    let category = |name: &str, part_name: &str, exit: &str| json!({ "uuid": part(part_name), "name": name, "exit_uuid": part(exit) });
    let case = |word: &str, to: &str| {
        json!({ "uuid": part(&format!("{to}/case")), "type": "has_any_word", "arguments": [word],
            "category_uuid": part(to) })
    };
    let node = json!({ "uuid": part("wait"), "actions": [],
        "router": { "type": "switch", "operand": "@input.text", "result_name": "Stock out",
            "wait": { "type": "msg", "timeout": { "seconds": 600, "category_uuid": part("silent") } },
            "cases": [case("yes y oui yego", "yes"), case("no n non oya", "no")],
            "categories": [category("Yes", "yes", "right"), category("No", "no", "right"),
                category("Other", "other", "again"), category("No Response", "silent", "right")],
            "default_category_uuid": part("other") },
        "exits": [{ "uuid": part("right"), "destination_uuid": next },
            { "uuid": part("again"), "destination_uuid": id("stock_out/ask") }] });
    [say("stock_out", "Was any medicine out of stock?", Some(&part("wait"))), node]
}

fn webhook_node(webhook: &Webhook) -> Value {
    let part = |name: &str| id(&format!("webhook/{name}"));
    let action = match webhook.shape {
        WebhookShape::EditorDefault => {
            json!({ "type": "call_webhook", "uuid": part("call"), "method": "POST",
            "url": webhook.url,
            "headers": { "Content-Type": "application/json", "Authorization": format!("Bearer {}", webhook.secret) },
            "body": "@(json(object(\"contact\", object(\"uuid\", contact.uuid, \"name\", contact.name, \"urn\", contact.urn), \"flow\", object(\"uuid\", run.flow.uuid, \"name\", run.flow.name), \"results\", foreach_value(results, extract_object, \"value\", \"category\"))))",
            "result_name": "Webhook" })
        }
        WebhookShape::Resthook => json!({ "type": "call_resthook", "uuid": part("call"),
            "resthook": "monthly-report", "result_name": "Webhook" }),
    };
    let category = |name: &str, part_name: &str| json!({ "uuid": part(part_name), "name": name, "exit_uuid": part("exit") });
    json!({ "uuid": id("webhook"), "actions": [action],
        "router": { "type": "switch", "operand": "@results.webhook.category",
            "cases": [{ "uuid": part("case"), "type": "has_only_text", "arguments": ["Success"],
                "category_uuid": part("success") }],
            "categories": [category("Success", "success"), category("Failure", "failure")],
            "default_category_uuid": part("failure") },
        "exits": [{ "uuid": part("exit"), "destination_uuid": id("bye/ask") }] })
}
