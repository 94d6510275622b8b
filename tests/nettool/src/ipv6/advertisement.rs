//! What a router advertisement says beyond addresses and routes (RFC 4861, RFC 8106). Pure.

use std::net::Ipv6Addr;

const ROUTER_ADVERTISEMENT: u8 = 134;
const HEADER_BYTES: usize = 16;
const MANAGED: u8 = 0x80;
const OTHER: u8 = 0x40;
const NAME_SERVERS: u8 = 25;

/// See the module.
#[derive(Debug, PartialEq, Eq)]
pub struct Advertisement {
    /// Addresses are to be had by `DHCPv6`.
    pub managed: bool,
    /// Other settings are to be had by `DHCPv6`.
    pub other: bool,
    /// Name servers.
    pub dns: Vec<Ipv6Addr>,
}

impl Advertisement {
    /// Of an `ICMPv6` message; nothing if it is another one, or broken.
    pub fn parse(message: &[u8]) -> Option<Self> {
        let header = message.first_chunk::<HEADER_BYTES>()?;
        if header[0] != ROUTER_ADVERTISEMENT {
            return None;
        }
        let mut rest = &message[HEADER_BYTES..];
        let mut dns = Vec::new();
        while let [kind, eights, ..] = *rest {
            let (option, after) = rest.split_at_checked(usize::from(eights) * 8)?;
            if option.is_empty() {
                return None;
            }
            if kind == NAME_SERVERS {
                let servers = option.get(8..)?.as_chunks::<16>().0;
                dns.extend(servers.iter().map(|server| Ipv6Addr::from(*server)));
            }
            rest = after;
        }
        Some(Self {
            managed: header[5] & MANAGED != 0,
            other: header[5] & OTHER != 0,
            dns,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn flags_and_name_servers() {
        let server: Ipv6Addr = "fd00::53".parse().unwrap();
        let header = [&[134, 0, 0, 0, 64, MANAGED, 7, 8][..], &[0; 8]].concat();
        let link = [1, 1, 0x52, 0x54, 0, 0, 0, 1];
        let servers = [&[25, 3, 0, 0, 0, 0, 0, 9][..], &server.octets()].concat();
        let whole = [header.clone(), link.to_vec(), servers].concat();
        let expected = Advertisement {
            managed: true,
            other: false,
            dns: vec![server],
        };
        assert_eq!(Advertisement::parse(&whole), Some(expected));
        let bare = Advertisement::parse(&header).unwrap();
        assert!(bare.dns.is_empty());
    }

    #[test]
    fn what_is_broken_or_another_message_says_nothing() {
        let header = [&[134, 0, 0, 0, 64, OTHER, 7, 8][..], &[0; 8]].concat();
        let endless = [&header[..], &[25, 0]].concat();
        let cut = [&header[..], &[25, 3, 0, 0]].concat();
        let mut solicitation = header.clone();
        solicitation[0] = 133;
        for message in [&endless, &cut, &solicitation, &Vec::new()] {
            assert_eq!(Advertisement::parse(message), None, "{message:?}");
        }
    }
}
