//! Whether RapidPro can call us. It need not: polling finds everything, only later.

use std::net::IpAddr;
use std::time::Duration;

use reqwest::header::HeaderMap;
use url::{Host, Url};

use super::{Finding, Findings};
use crate::config::Config;
use crate::outbound::answer::{self, Broken};
use crate::outbound::{self, Patience, Route};

const PATIENCE: Duration = Duration::from_secs(10);
const POLLING: &str = "polling works all the same, every poll_interval_s (30 s)";

pub(super) async fn examine(config: &Config) -> Vec<Finding> {
    let mut findings = Findings::about("webhook");
    for (name, workspace) in &config.rapidpro {
        if workspace.webhook_secret.is_none() {
            let hint = format!("set rapidpro.{name}.webhook_secret_file (16 characters or more); {POLLING}");
            findings.warn("secret", format!("`{name}` has no webhook secret: it cannot call"), hint);
        }
    }
    let Some(public) = config.server.public_url.as_deref() else {
        let hint = format!("set server.public_url to the address that RapidPro reaches; {POLLING}");
        findings.warn(
            "public-url",
            "server.public_url is not set: RapidPro does not know where to call",
            hint,
        );
        return findings.found;
    };
    let Ok(url) = Url::parse(public) else { return findings.found };
    address(&url, &mut findings).await;
    reach(&url, &mut findings).await;
    findings.found
}

/// Mailroom refuses loopback and private ranges: `MAILROOM_DISALLOWED_NETWORKS`.
async fn address(url: &Url, findings: &mut Findings) {
    if let Some(private) = resolve(url).await.into_iter().find(is_private) {
        let message = format!("server.public_url is {private}, which no RapidPro elsewhere can reach");
        let hint = format!(
            "a self-hosted RapidPro refuses private addresses too, unless mailroom's \
             MAILROOM_DISALLOWED_NETWORKS is changed; {POLLING}"
        );
        findings.warn("private-address", message, hint);
    }
    if url.scheme() == "http" {
        let hint = "put a proxy with TLS in front and write https://";
        findings.warn(
            "plain-http",
            "server.public_url is plain http: the webhook's secret can be read",
            hint,
        );
    }
}

async fn resolve(url: &Url) -> Vec<IpAddr> {
    match url.host() {
        Some(Host::Ipv4(ip)) => vec![ip.into()],
        Some(Host::Ipv6(ip)) => vec![ip.into()],
        Some(Host::Domain(name)) => {
            let port = url.port_or_known_default().unwrap_or(443);
            let looked_up = tokio::time::timeout(PATIENCE, tokio::net::lookup_host((name, port))).await;
            looked_up.ok().and_then(Result::ok).into_iter().flatten().map(|address| address.ip()).collect()
        }
        None => Vec::new(),
    }
}

fn is_private(ip: &IpAddr) -> bool {
    match ip {
        IpAddr::V4(ip) => ip.is_loopback() || ip.is_private() || ip.is_link_local() || ip.is_unspecified(),
        IpAddr::V6(ip) => ip.is_loopback() || ip.is_unique_local() || ip.is_unicast_link_local(),
    }
}

/// From this machine, which may be let through where RapidPro is not.
async fn reach(url: &Url, findings: &mut Findings) {
    let patience = Patience { silence: Some(PATIENCE), total: Some(PATIENCE) };
    let route = Route { base: url, ca_file: None, proxy: None, patience };
    let Ok(client) = outbound::client(&route, HeaderMap::new()) else { return };
    let health = format!("{}/health", url.as_str().trim_end_matches('/'));
    match answer::ask(client.get(health)).await {
        Ok(answer) if answer.status == 200 && answer.text().contains("alive") => {
            findings.ok("public-url", "Mjumbe answers at server.public_url");
        }
        Ok(answer) => {
            let message = format!("something else answers at server.public_url (status {})", answer.status);
            findings.warn("public-url", message, "let the proxy pass everything on to server.listen");
        }
        Err(Broken::Unreachable) => {
            let message = "nobody answers at server.public_url";
            findings.warn(
                "public-url",
                message,
                "start `mjumbe serve`, then ask again; else look at the proxy",
            );
        }
        Err(_) => {
            findings.warn("public-url", "server.public_url does not answer in time", "look at the proxy");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn private_ranges_are_known() {
        for text in ["127.0.0.1", "10.1.2.3", "192.168.1.1", "172.16.0.1", "169.254.0.1", "::1", "fd00::1"] {
            assert!(is_private(&text.parse().unwrap()), "{text}");
        }
        assert!(!is_private(&"41.186.0.1".parse().unwrap()));
    }
}
