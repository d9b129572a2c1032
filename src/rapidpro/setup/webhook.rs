//! The node that an author puts behind a flow's last question. Pure.

use serde::Serialize;

/// The global that holds the webhook's secret, so that no flow does.
pub const GLOBAL: &str = "mjumbe_webhook_secret";
/// Whom and what the call is about, with the run, and nothing that was answered.
const BODY: &str = "@(json(object(\"run\", object(\"uuid\", run.uuid), \"flow\", object(\"uuid\", run.flow.uuid), \
                    \"contact\", object(\"uuid\", contact.uuid))))";

/// A *Call Webhook* node.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Node {
    pub method: &'static str,
    pub url: String,
    /// (name, value)
    pub header: (&'static str, String),
    pub body: &'static str,
    /// For a resthook, which sends no header of one's choice.
    pub resthook: String,
}

/// For the workspace `[rapidpro.NAME]`; `public_url` without a slash at its end.
pub fn node(public_url: &str, workspace: &str) -> Node {
    let url = format!("{}/rapidpro/{workspace}/webhook", public_url.trim_end_matches('/'));
    Node {
        method: "POST",
        header: ("Authorization", format!("Bearer @globals.{GLOBAL}")),
        body: BODY,
        resthook: format!("{url}?key=WEBHOOK-SECRET"),
        url,
    }
}
