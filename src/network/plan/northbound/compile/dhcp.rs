//! What guests are told by DHCP. OVN answers on the guest's own node; no packet of it leaves that.

use std::net::IpAddr;

use crate::api::address::Mac;
use crate::api::metadata;
use crate::api::subnet::Ipv6Mode;
use crate::network::plan::northbound::desired::Builder;
use crate::network::plan::northbound::tables::Kind;
use crate::network::plan::topology::{Subnet, Switch};
use crate::ovsdb::northbound::{DhcpOptions, Texts};

use super::{dns, key};

/// Half a day: guests keep their addresses for life, and ask again now and then to learn of new routes.
const LEASE_SECONDS: &str = "43200";

/// Who answers where there is no router. Guests renew by broadcast then, since nobody has this address.
const NOBODY: &str = "169.254.169.254";

/// One row for each subnet whose guests are told something.
pub fn rows(switch: &Switch, builder: &mut Builder) {
    for (uid, subnet) in &switch.subnets {
        builder.mention(&subnet.origin);
        let options = match (subnet.dhcp, subnet.cidr.is_ipv6(), subnet.ipv6_mode) {
            (false, _, _) | (true, true, Ipv6Mode::Slaac) => continue,
            (true, false, _) => version_4(switch, subnet),
            (true, true, mode) => version_6(subnet, mode),
        };
        let row = DhcpOptions {
            cidr: subnet.cidr.to_string(),
            options,
            ..DhcpOptions::default()
        };
        builder.add(
            Kind::DhcpOptions,
            key::dhcp(uid),
            &subnet.origin,
            None,
            &row,
        );
    }
}

/// The server's own address is the router's, and its MAC address is nobody else's.
fn version_4(switch: &Switch, subnet: &Subnet) -> Texts {
    let server = subnet
        .gateway
        .map_or(NOBODY.to_owned(), |ip| ip.to_string());
    let mut options = Texts::from([
        ("server_id".to_owned(), server),
        ("server_mac".to_owned(), server_mac(subnet).to_string()),
        ("lease_time".to_owned(), LEASE_SECONDS.to_owned()),
        ("mtu".to_owned(), switch.mtu.to_string()),
        (
            "domain_name".to_owned(),
            quoted(&dns::domain(&subnet.origin.namespace)),
        ),
    ]);
    if let Some(gateway) = subnet.gateway {
        options.insert("router".to_owned(), gateway.to_string());
    }
    // Questions for names of the network are answered on their way, whomever they are asked. So there must be somebody
    // to ask.
    let servers = match subnet.dns.as_slice() {
        [] => subnet.gateway.into_iter().collect(),
        servers => servers.to_vec(),
    };
    if let Some(servers) = list(servers.iter().filter(|ip| ip.is_ipv4())) {
        options.insert("dns_server".to_owned(), servers);
    }
    options.insert("classless_static_route".to_owned(), routes(subnet));
    options
}

/// The metadata service is on the guest's own link, which is what a next hop of 0.0.0.0 says. A guest that is told routes
/// ignores the way out that it is told beside them (RFC 3442), so they include it.
fn routes(subnet: &Subnet) -> String {
    let metadata = format!("{}/32,0.0.0.0", metadata::ADDRESS);
    let told = subnet.routes.iter().map(|(to, by)| format!("{to},{by}"));
    let out = subnet.gateway.map(|by| format!("0.0.0.0/0,{by}"));
    let routes: Vec<String> = std::iter::once(metadata).chain(told).chain(out).collect();
    format!("{{{}}}", routes.join(", "))
}

fn version_6(subnet: &Subnet, mode: Ipv6Mode) -> Texts {
    let mut options = Texts::from([
        ("server_id".to_owned(), server_mac(subnet).to_string()),
        (
            "domain_search".to_owned(),
            quoted(&dns::domain(&subnet.origin.namespace)),
        ),
    ]);
    if let Some(servers) = list(subnet.dns.iter().filter(|ip| ip.is_ipv6())) {
        options.insert("dns_server".to_owned(), servers);
    }
    if mode == Ipv6Mode::DhcpStateless {
        options.insert("dhcpv6_stateless".to_owned(), "true".to_owned());
    }
    options
}

fn server_mac(subnet: &Subnet) -> Mac {
    Mac::of(&format!("dhcp {}", subnet.origin.uid))
}

fn list<'a>(addresses: impl Iterator<Item = &'a IpAddr>) -> Option<String> {
    let words: Vec<String> = addresses.map(IpAddr::to_string).collect();
    (!words.is_empty()).then(|| format!("{{{}}}", words.join(", ")))
}

/// OVN reads these values as expressions, in which a text has quotes.
fn quoted(text: &str) -> String {
    format!("\"{text}\"")
}
