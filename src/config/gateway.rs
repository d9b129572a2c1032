//! What does not fit together in `[auth.gateway.NAME]`.

use std::net::IpAddr;

use ipnet::IpNet;

use super::check::{name_fits, tenant_exists};
use super::identity::profile_exists;
use super::problem::Problem;
use super::{Config, Gateway};

const HINT: &str = "an address such as 10.0.0.5, or a network such as 10.1.0.0/16";

/// `10.0.0.5` or `10.1.0.0/16`; `None` where it is neither. What is written as IPv4 within IPv6 is IPv4, as whoever
/// connects is seen.
pub fn network(text: &str) -> Option<IpNet> {
    let one = text.parse::<IpAddr>().map(|address| IpNet::from(address.to_canonical()));
    one.ok().or_else(|| canonical(text.parse().ok()?))
}

/// `::ffff:10.1.0.0/112` is `10.1.0.0/16`; `None` where it reaches beyond IPv4.
fn canonical(network: IpNet) -> Option<IpNet> {
    match (network.addr(), network.addr().to_canonical()) {
        (IpAddr::V6(_), address @ IpAddr::V4(_)) => {
            IpNet::new(address, network.prefix_len().checked_sub(96)?).ok()
        }
        _ => Some(network),
    }
}

pub(super) fn problems(config: &Config, found: &mut Vec<Problem>) {
    for (name, gateway) in &config.auth.gateway {
        one(config, name, gateway, found);
    }
}

fn one(config: &Config, name: &str, gateway: &Gateway, found: &mut Vec<Problem>) {
    let key = |field: &str| format!("auth.gateway.{name}.{field}");
    name_fits(&format!("auth.gateway.{name}"), name, found);
    tenant_exists(&key("tenant"), config, gateway.tenant.as_deref(), found);
    if gateway.addresses.is_empty() {
        found.push(Problem::new("missing-key", key("addresses"), "names nothing", HINT));
    }
    for text in &gateway.addresses {
        match network(text) {
            None => {
                let message = format!("`{text}` is not an address");
                found.push(Problem::new("invalid-value", key("addresses"), message, HINT));
            }
            Some(network) if network.prefix_len() == 0 => {
                let message = format!("`{text}` is everybody");
                let hint = "name the gateway's own addresses: whoever calls from them needs no token";
                found.push(Problem::new("contradiction", key("addresses"), message, hint));
            }
            Some(_) => {}
        }
    }
    if let Some(profile) = &gateway.profile {
        profile_exists(&key("profile"), profile, found);
    }
}

#[cfg(test)]
mod tests {
    use super::network;

    #[test]
    fn ipv4_within_ipv6_is_ipv4() {
        for (text, same) in [
            ("::ffff:10.0.0.5", "10.0.0.5/32"),
            ("::ffff:10.1.0.0/112", "10.1.0.0/16"),
            ("::ffff:0.0.0.0/96", "0.0.0.0/0"),
            ("fd00::/8", "fd00::/8"),
            ("10.1.0.0/16", "10.1.0.0/16"),
        ] {
            assert_eq!(network(text), same.parse().ok(), "{text}");
        }
        assert_eq!(network("::ffff:10.0.0.5/64"), None);
    }
}
