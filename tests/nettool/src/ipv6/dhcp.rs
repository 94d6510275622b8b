//! As much of `DHCPv6` (RFC 8415) as it takes to be given an address and name servers.

use std::net::{Ipv6Addr, SocketAddrV6, UdpSocket};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use nix::net::if_::if_nametoindex;

use super::addresses;
use crate::packet::frame::Mac;

const CLIENT_PORT: u16 = 546;
const SERVERS: Ipv6Addr = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 1, 2);
const SERVER_PORT: u16 = 547;
const TRIES: u8 = 4;
const PATIENCE: Duration = Duration::from_secs(1);

const SOLICIT: u8 = 1;
const ADVERTISE: u8 = 2;
const REQUEST: u8 = 3;
const REPLY: u8 = 7;
const INFORMATION_REQUEST: u8 = 11;

const CLIENT_ID: u16 = 1;
const SERVER_ID: u16 = 2;
const ASSOCIATION: u16 = 3;
const ADDRESS: u16 = 5;
const WISHES: u16 = 6;
const ELAPSED: u16 = 8;
const STATUS: u16 = 13;
const NAME_SERVERS: u16 = 23;

/// What a server gave.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Lease {
    pub address: Option<Ipv6Addr>,
    pub dns: Vec<Ipv6Addr>,
}

/// Asks for an address; nothing if no server gives one.
pub fn lease(card: &str) -> Result<Option<Lease>> {
    let client = Client::open(card)?;
    let Some(offer) = client.exchange(SOLICIT, &association(client.mac, &[]), ADVERTISE)? else {
        return Ok(None);
    };
    let (Some(server), Some(offered)) = (
        option(&offer, SERVER_ID),
        option(&offer, ASSOCIATION).and_then(|association| association.get(12..)),
    ) else {
        return Ok(None);
    };
    let wanted = [encoded(SERVER_ID, server), association(client.mac, offered)].concat();
    let reply = client.exchange(REQUEST, &wanted, REPLY)?;
    Ok(reply
        .map(|reply| read(&reply))
        .filter(|lease| lease.address.is_some()))
}

/// Asks for all but an address.
pub fn information(card: &str) -> Result<Option<Lease>> {
    let reply = Client::open(card)?.exchange(INFORMATION_REQUEST, &[], REPLY)?;
    Ok(reply.map(|reply| read(&reply)))
}

struct Client {
    socket: UdpSocket,
    mac: Mac,
    servers: SocketAddrV6,
}

impl Client {
    fn open(card: &str) -> Result<Self> {
        let (mac, local) = addresses(card)?;
        let scope = if_nametoindex(card).with_context(|| format!("{card} is gone"))?;
        let own = SocketAddrV6::new(local, CLIENT_PORT, 0, scope);
        let socket = UdpSocket::bind(own).with_context(|| format!("failed to bind to {own}"))?;
        socket.set_read_timeout(Some(PATIENCE))?;
        let servers = SocketAddrV6::new(SERVERS, SERVER_PORT, 0, scope);
        Ok(Self {
            socket,
            mac,
            servers,
        })
    }

    /// The options of the first answer of this kind.
    fn exchange(&self, kind: u8, options: &[u8], wanted: u8) -> Result<Option<Vec<u8>>> {
        let Mac([.., a, b]) = self.mac;
        let transaction = [kind, a, b];
        let message = [
            &[kind][..],
            &transaction,
            &encoded(CLIENT_ID, &identity(self.mac)),
            options,
            &encoded(WISHES, &NAME_SERVERS.to_be_bytes()),
            &encoded(ELAPSED, &[0, 0]),
        ]
        .concat();
        for _ in 0..TRIES {
            self.socket
                .send_to(&message, self.servers)
                .context("failed to ask for an IPv6 address")?;
            let asked = Instant::now();
            let mut answer = vec![0; super::MESSAGE_BYTES_MAX];
            while asked.elapsed() < PATIENCE {
                let Ok(length) = self.socket.recv(&mut answer) else {
                    break; // no answer in time
                };
                let expected = [&[wanted][..], &transaction].concat();
                if let Some(options) = answer[..length].strip_prefix(&expected[..]) {
                    return Ok(Some(options.to_vec()));
                }
            }
        }
        Ok(None)
    }
}

fn identity(mac: Mac) -> Vec<u8> {
    [&[0, 3, 0, 1][..], &mac.0].concat()
}

/// An association with no wish for times, and with what a server offered for it.
fn association(mac: Mac, offered: &[u8]) -> Vec<u8> {
    let Mac([_, _, number @ ..]) = mac;
    encoded(ASSOCIATION, &[&number[..], &[0; 8], offered].concat())
}

fn encoded(code: u16, data: &[u8]) -> Vec<u8> {
    let length = u16::try_from(data.len()).unwrap_or_default();
    [&code.to_be_bytes()[..], &length.to_be_bytes(), data].concat()
}

fn option(options: &[u8], wanted: u16) -> Option<&[u8]> {
    let mut rest = options;
    loop {
        let (head, after) = rest.split_first_chunk::<4>()?;
        let code = u16::from_be_bytes([head[0], head[1]]);
        let length = u16::from_be_bytes([head[2], head[3]]).into();
        let (data, after) = after.split_at_checked(length)?;
        if code == wanted {
            return Some(data);
        }
        rest = after;
    }
}

fn read(options: &[u8]) -> Lease {
    let refused =
        |options: &[u8]| option(options, STATUS).is_some_and(|status| !status.starts_with(&[0, 0]));
    let inner = option(options, ASSOCIATION).and_then(|association| association.get(12..));
    let inner = inner.filter(|inner| !refused(inner) && !refused(options));
    let address = inner
        .and_then(|inner| option(inner, ADDRESS)?.first_chunk::<16>().copied())
        .map(Ipv6Addr::from);
    let dns = option(options, NAME_SERVERS)
        .unwrap_or_default()
        .as_chunks::<16>()
        .0
        .iter()
        .map(|server| Ipv6Addr::from(*server))
        .collect();
    Lease { address, dns }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MAC: Mac = Mac([0x52, 0x54, 0, 0, 0, 1]);

    fn ip(text: &str) -> Ipv6Addr {
        text.parse().unwrap()
    }

    fn given(status: &[u8]) -> Vec<u8> {
        let address = [&ip("fd00::7").octets()[..], &[0; 8]].concat();
        let inner = [encoded(ADDRESS, &address), status.to_vec()].concat();
        [
            encoded(SERVER_ID, b"server"),
            association(MAC, &inner),
            encoded(NAME_SERVERS, &ip("fd00::53").octets()),
        ]
        .concat()
    }

    #[test]
    fn an_address_and_name_servers() {
        let expected = Lease {
            address: Some(ip("fd00::7")),
            dns: vec![ip("fd00::53")],
        };
        assert_eq!(read(&given(&[])), expected);
        assert_eq!(read(&given(&encoded(STATUS, &[0, 0]))), expected);
        assert_eq!(option(&given(&[]), SERVER_ID), Some(&b"server"[..]));
    }

    #[test]
    fn a_refusal_is_no_address() {
        assert_eq!(read(&given(&encoded(STATUS, &[0, 2]))).address, None);
        assert_eq!(read(&[]), Lease::default());
    }

    #[test]
    fn what_is_cut_is_read_as_far_as_it_goes() {
        let whole = given(&[]);
        for length in 0..whole.len() {
            assert!(read(&whole[..length]).dns.is_empty(), "cut at {length}");
        }
    }
}
