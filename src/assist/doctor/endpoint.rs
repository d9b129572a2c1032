//! Another FHIR server or an HTTP endpoint: does it answer, and as what.

use serde_json::Value;

use super::way::{Way, ask};
use super::{Finding, Findings};
use crate::config::Endpoint;
use crate::outbound::answer::Broken;

/// What `[fhir.NAME]` says of itself: its CapabilityStatement needs no credentials.
pub(super) async fn fhir(name: &str, settings: &Endpoint) -> Vec<Finding> {
    let mut findings = Findings::about(format!("fhir.{name}"));
    match ask(&way(settings, "/metadata")).await {
        Err(broken) => unanswered(broken, &mut findings),
        Ok(answer) => {
            let statement: Value = serde_json::from_slice(&answer.body).unwrap_or_default();
            let text = |key: &str| statement.get(key).and_then(Value::as_str).unwrap_or_default();
            match (text("resourceType"), text("fhirVersion")) {
                ("CapabilityStatement", version) if version.starts_with("4.0") => {
                    findings.ok("version", format!("it speaks FHIR {version}"));
                }
                ("CapabilityStatement", version) => {
                    let hint = "Mjumbe sends FHIR R4 (4.0.1)";
                    findings.fail("version", format!("it speaks FHIR {version}"), hint);
                }
                _ => {
                    let message =
                        format!("/metadata is no CapabilityStatement in JSON (status {})", answer.status);
                    findings.warn(
                        "version",
                        message,
                        "the url must be the FHIR base, e.g. https://host/fhir",
                    );
                }
            }
        }
    }
    findings.found
}

/// Whether anybody answers at `[http.NAME]`; what it would do with a post cannot be tried.
pub(super) async fn http(name: &str, settings: &Endpoint) -> Vec<Finding> {
    let mut findings = Findings::about(format!("http.{name}"));
    match ask(&way(settings, "")).await {
        Err(broken) => unanswered(broken, &mut findings),
        Ok(answer) => {
            findings.ok("url", format!("it answers (status {} to a GET without credentials)", answer.status))
        }
    }
    findings.found
}

fn way<'a>(settings: &'a Endpoint, path: &'a str) -> Way<'a> {
    Way {
        url: &settings.url,
        suffix: "",
        path,
        ca_file: settings.ca_file.as_deref(),
        proxy: settings.proxy.as_deref(),
    }
}

fn unanswered(broken: Broken, findings: &mut Findings) {
    let message = match broken {
        Broken::Unreachable => "no connection could be made",
        Broken::Timeout => "it did not answer in time",
        Broken::Lost => "the connection broke before its answer was complete",
        Broken::TooLarge => "its answer is too large",
    };
    findings.fail(
        "url",
        message,
        "open the address from this machine; check `url`, the firewall and `proxy`",
    );
}
