//! `nettool forge`: frames that a well-behaved guest would not send.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::time::Duration;
use std::{io, thread};

use anyhow::{Context, Result, bail};
use std::io::Write;

use super::frame::{ARP, ArpClaim, Mac, arp, ethernet, icmp, udp};
use super::socket::Socket;
use crate::arguments::Arguments;

/// What can be given as `name=value`.
const NAMES: &[&str] = &[
    "source-mac",
    "destination-mac",
    "source",
    "to",
    "claim",
    "claim-mac",
    "prefix",
    "dns",
    "offer",
    "client-mac",
    "xid",
    "bytes",
    "count",
    "interval-ms",
];
const ALL_NODES: Ipv6Addr = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 1);
const ARP_REPLY: u16 = 2;
const INFINITE: [u8; 4] = [0xff; 4];

/// Sends what the words describe, and says how many frames that were.
pub fn run(words: Vec<String>) -> Result<()> {
    let mut arguments = Arguments::new(words, NAMES);
    let card: String = arguments.next("the network card")?;
    let kind: String = arguments.next("the kind of forgery")?;
    arguments.end()?;
    let socket = Socket::open(&card)?;
    let frame = forged(&kind, &arguments, socket.mac)?;
    let count: u32 = arguments.get_or("count", 1)?;
    let interval = Duration::from_millis(arguments.get_or("interval-ms", 100)?);
    for number in 0..count {
        if number > 0 {
            thread::sleep(interval);
        }
        socket.send(&frame)?;
    }
    writeln!(io::stdout(), "sent {count} frames of {} bytes", frame.len())?;
    Ok(())
}

/// The frame. `own` is the card's hardware address, which is used where none is given.
fn forged(kind: &str, arguments: &Arguments, own: Mac) -> Result<Vec<u8>> {
    let source_mac = arguments.get_or("source-mac", own)?;
    let (group, ethertype, packet) = match kind {
        "hex" => return bytes(&arguments.need::<String>("bytes")?),
        "echo" => packet_to(arguments, |to| {
            let kind = if to.is_ipv4() { 8 } else { 128 };
            let message = [&[kind, 0, 0, 0, 0x4b, 0x4e, 0, 1][..], b"forged"].concat();
            icmp(arguments.need("source").ok()?, to, message)
        })?,
        "arp-reply" => {
            let to = arguments.need("to")?;
            forged_arp(arguments, source_mac, to)?
        }
        "arp-gratuitous" => {
            let claim = arguments.need("claim")?;
            forged_arp(arguments, source_mac, claim)?
        }
        "neighbour-advertisement" => neighbour_advertisement(arguments, source_mac)?,
        "router-advertisement" => router_advertisement(arguments, source_mac)?,
        "dhcp-offer" => dhcp_offer(arguments)?,
        "dhcpv6-advertise" => dhcpv6_advertise(arguments, source_mac)?,
        _ => bail!(
            "no forgery is called {kind}; there are hex, echo, arp-reply, arp-gratuitous, neighbour-advertisement, \
             router-advertisement, dhcp-offer and dhcpv6-advertise"
        ),
    };
    let destination_mac = arguments.get_or("destination-mac", group)?;
    Ok(ethernet(source_mac, destination_mac, ethertype, &packet))
}

type Packet = (Mac, u16, Vec<u8>);

fn packet_to(
    arguments: &Arguments,
    packet: impl FnOnce(IpAddr) -> Option<(u16, Vec<u8>)>,
) -> Result<Packet> {
    let to = arguments.need("to")?;
    arguments.need::<IpAddr>("source")?;
    let (ethertype, packet) = packet(to).context("source and to are of two IP versions")?;
    Ok((Mac::of_group(to), ethertype, packet))
}

fn in_ipv6(to: Ipv6Addr, packet: Option<(u16, Vec<u8>)>) -> Result<Packet> {
    let (ethertype, packet) = packet.context("the packet is too large")?;
    Ok((Mac::of_group(to.into()), ethertype, packet))
}

/// Says that an address is at this card, or at another one.
fn forged_arp(arguments: &Arguments, source: Mac, to: Ipv4Addr) -> Result<Packet> {
    let claim = ArpClaim {
        operation: ARP_REPLY,
        sender: (
            arguments.get_or("claim-mac", source)?,
            arguments.need("claim")?,
        ),
        target: (Mac::BROADCAST, to),
    };
    Ok((Mac::BROADCAST, ARP, arp(&claim)))
}

fn neighbour_advertisement(arguments: &Arguments, source: Mac) -> Result<Packet> {
    let claim: Ipv6Addr = arguments.need("claim")?;
    let to = arguments.get_or("to", ALL_NODES)?;
    let claim_mac: Mac = arguments.get_or("claim-mac", source)?;
    let message = [
        &[136, 0, 0, 0, 0x20, 0, 0, 0][..], // 0x20: whoever knew another address forgets it
        &claim.octets(),
        &[2, 1],
        &claim_mac.0,
    ]
    .concat();
    let from = arguments.get_or("source", claim)?;
    in_ipv6(to, icmp(from.into(), to.into(), message))
}

/// Says that this guest is a router, and that a prefix and perhaps a name server are here.
fn router_advertisement(arguments: &Arguments, source: Mac) -> Result<Packet> {
    let prefix: Ipv6Addr = arguments.need("prefix")?;
    let from = arguments.get_or("source", source.link_local())?;
    let to = arguments.get_or("to", ALL_NODES)?;
    let name_server = arguments.get::<Ipv6Addr>("dns")?.map(|server| {
        let head = [&[25, 3, 0, 0][..], &INFINITE].concat();
        [&head[..], &server.octets()].concat()
    });
    let lifetime_s = 1800_u16.to_be_bytes();
    let message = [
        &[134, 0, 0, 0, 64, 0, lifetime_s[0], lifetime_s[1]][..],
        &[0; 8],
        &[3, 4, 64, 0xc0], // 0xc0: on this link, and good for addresses
        &INFINITE,
        &INFINITE,
        &[0; 4],
        &prefix.octets(),
        &[1, 1],
        &source.0,
        &name_server.unwrap_or_default(),
    ]
    .concat();
    in_ipv6(to, icmp(from.into(), to.into(), message))
}

/// Offers a guest an address, with this guest as its router.
fn dhcp_offer(arguments: &Arguments) -> Result<Packet> {
    let server: Ipv4Addr = arguments.need("source")?;
    let offer: Ipv4Addr = arguments.need("offer")?;
    let to = arguments.get_or("to", Ipv4Addr::BROADCAST)?;
    let client = arguments.get_or("client-mac", Mac::BROADCAST)?;
    let xid: u32 = arguments.get_or("xid", 0x4b4e_4b4e)?;
    let mut message = [
        &[2, 1, 6, 0][..],
        &xid.to_be_bytes(),
        &[0, 0, 0x80, 0, 0, 0, 0, 0],
        &offer.octets(),
        &server.octets(),
        &[0; 4],
        &client.0,
    ]
    .concat();
    message.resize(236, 0); // the rest of the hardware address, and two names
    message.extend([0x63, 0x82, 0x53, 0x63, 53, 1, 2, 54, 4]);
    message.extend(server.octets());
    message.extend([51, 4, 0, 0, 14, 16, 1, 4, 255, 255, 255, 0, 3, 4]);
    message.extend(server.octets());
    message.push(255);
    let packet = udp((server.into(), 67), (to.into(), 68), &message);
    let (ethertype, packet) = packet.context("the offer is too large")?;
    Ok((Mac::BROADCAST, ethertype, packet))
}

/// Offers a guest an address by `DHCPv6`.
fn dhcpv6_advertise(arguments: &Arguments, source: Mac) -> Result<Packet> {
    let offer: Ipv6Addr = arguments.need("offer")?;
    let from = arguments.get_or("source", source.link_local())?;
    let to = arguments.get_or("to", ALL_NODES)?;
    let client = arguments.get_or("client-mac", Mac::BROADCAST)?;
    let xid: u32 = arguments.get_or("xid", 0x4b_4e4b)?;
    let [_, xid @ ..] = xid.to_be_bytes();
    let message = [
        &[2][..],
        &xid,
        &[0, 1, 0, 10, 0, 3, 0, 1],
        &client.0,
        &[0, 2, 0, 10, 0, 3, 0, 1],
        &source.0,
        &[0, 3, 0, 40, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 5, 0, 24],
        &offer.octets(),
        &INFINITE,
        &INFINITE,
    ]
    .concat();
    in_ipv6(to, udp((from.into(), 547), (to.into(), 546), &message))
}

fn bytes(text: &str) -> Result<Vec<u8>> {
    let digits: Vec<u32> = text
        .chars()
        .filter(|c| !matches!(c, ':' | ' '))
        .map(|c| c.to_digit(16))
        .collect::<Option<_>>()
        .context("bytes= takes hexadecimal digits")?;
    let pairs = digits.chunks(2).map(|pair| match pair {
        [high, low] => u8::try_from(high * 16 + low).ok(),
        _ => None,
    });
    pairs
        .collect::<Option<_>>()
        .context("bytes= takes an even number of digits")
}

#[cfg(test)]
#[path = "forge_tests.rs"]
mod tests;
