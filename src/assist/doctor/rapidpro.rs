//! One RapidPro workspace: token, role, and what the role may not do.
//!
//! The API does not tell a token's role, so each thing that Mjumbe needs is tried by a request that changes
//! nothing: reads, and an empty body where something would be written, which RapidPro refuses with 403 for the
//! role before it refuses it with 400 for what it lacks.

use serde_json::{Value, json};

use super::way::Way;
use super::{Finding, Findings, clock};
use crate::config::RapidPro;
use crate::rapidpro::client::fault::{Fault, Kind};
use crate::rapidpro::client::{Call, Client, Method};

/// Nobody's: lists come back empty, so that nobody's data travels.
const NOBODY: Filter = &[("uuid", "00000000-0000-4000-8000-000000000000")];
/// A filter of a list.
type Filter = &'static [(&'static str, &'static str)];
/// What is read, and what it is needed for.
const READS: [(&str, Filter, &str); 4] = [
    ("contacts", NOBODY, "contacts are not mirrored: mappings find nobody"),
    ("flows", NOBODY, "flows are not known"),
    ("definitions", &[("dependencies", "none")], "answers have no types"),
    ("runs", NOBODY, "no answers come in"),
];
/// What is written, and what it is needed for. `{}` is refused with 400 where the role may write.
const WRITES: [(&str, &str); 3] = [
    ("contact_actions", "groups and status of contacts cannot be changed"),
    ("flow_starts", "`rapidpro.start` cannot start flows"),
    ("broadcasts", "`rapidpro.message` cannot send to new numbers"),
];

pub(super) async fn examine(name: &str, settings: &RapidPro) -> Vec<Finding> {
    let mut findings = Findings::about(format!("rapidpro.{name}"));
    let client = match Client::new(name, settings) {
        Ok(client) => client,
        Err(error) => {
            findings.fail("settings", error.to_string(), "correct it in mjumbe.toml");
            return findings.found;
        }
    };
    let way = Way {
        url: &settings.url,
        suffix: "/api/v2",
        path: "/api/v2/",
        ca_file: settings.ca_file.as_deref(),
        proxy: settings.proxy.as_deref(),
    };
    if token(&client, &mut findings).await {
        role(&client, &mut findings).await;
    }
    if let Some(ahead) = clock::by_header(&way).await {
        clock::tell(ahead, "its Date header", &mut findings);
    }
    findings.found
}

/// Whether the token is known at all.
async fn token(client: &Client, findings: &mut Findings) -> bool {
    match client.get("workspace", &[]).await {
        Ok(workspace) => {
            about_workspace(&workspace, findings);
            true
        }
        // The role may not read the workspace: the token is known.
        Err(fault) if fault.kind == Kind::Forbidden => {
            findings.ok("token", "RapidPro knows the token");
            true
        }
        Err(fault) => {
            findings.fail("token", format!("{} [{}]", fault.message, fault.code), remedy(&fault));
            false
        }
    }
}

fn about_workspace(workspace: &Value, findings: &mut Findings) {
    let text = |key: &str| workspace.get(key).and_then(Value::as_str).unwrap_or_default();
    findings.ok(
        "token",
        format!("RapidPro knows the token: workspace \"{}\", {}", text("name"), text("timezone")),
    );
    if workspace.get("anon") == Some(&json!(true)) {
        let hint = "mappings that find contacts by phone number cannot work here; find them by uuid";
        findings.warn("anonymous", "the workspace hides phone numbers", hint);
    }
}

/// What to do where RapidPro does not answer as it should.
fn remedy(fault: &Fault) -> String {
    match fault.kind {
        Kind::Unauthenticated => {
            "make an API token as administrator or editor (Settings, API Tokens), and put it where \
             mjumbe.toml says"
                .to_owned()
        }
        _ if fault.code == "rapidpro-unreachable" => {
            "open the address from this machine; check `url`, the firewall and `proxy`".to_owned()
        }
        _ => fault.hint.to_owned(),
    }
}

async fn role(client: &Client, findings: &mut Findings) {
    let mut refused = Vec::new();
    for (endpoint, query, without) in READS {
        match client.get(endpoint, query).await {
            Err(fault) if fault.kind == Kind::Forbidden => refused.push((endpoint, without)),
            // 400 for a filter that it does not know as a uuid is an answer of somebody who may read.
            Err(fault) if fault.kind != Kind::Refused => {
                findings.warn(
                    "role",
                    format!("{endpoint} could not be tried: {}", fault.message),
                    fault.hint,
                );
            }
            _ => {}
        }
    }
    for (endpoint, without) in WRITES {
        let call = Call { method: Method::Post, endpoint, query: &[], body: Some(&json!({})) };
        if let (Err(fault), _) = client.exchange(&call).await {
            match fault.kind {
                Kind::Forbidden => refused.push((endpoint, without)),
                Kind::Suspended => {
                    let hint = "ask whoever runs RapidPro; reading goes on";
                    findings.fail("suspended", "the workspace is suspended: nothing can be sent", hint);
                    break;
                }
                _ => {}
            }
        }
    }
    if refused.is_empty() {
        return findings.ok("role", "the token's role may read runs and definitions, and write contacts");
    }
    for (endpoint, without) in refused {
        let message = format!("the token's role may not use {endpoint}: {without}");
        findings.fail(
            "role",
            message,
            "use a token of an administrator or editor; a surveyor's is not enough",
        );
    }
}
