//! A frame in one line of words, which tests look for. Pure; whatever comes over the wire, it never fails.

use std::fmt::Write;
use std::net::{Ipv4Addr, Ipv6Addr};

use super::frame::{ARP, ICMP, ICMPV6, IPV4, IPV6, Mac, UDP};

const TCP: u8 = 6;
/// The smallest headers.
const ETHERNET_BYTES: usize = 14;
const IPV6_BYTES: usize = 40;

/// `SOURCE > DESTINATION LENGTH bytes`, and what is inside as far as it is understood.
pub fn describe(frame: &[u8]) -> String {
    let (Some(destination), Some(source), Some(ethertype)) =
        (array(frame, 0), array(frame, 6), word(frame, 12))
    else {
        return format!("{} bytes, too short for a frame", frame.len());
    };
    let (source, destination) = (Mac(source), Mac(destination));
    let mut text = format!("{source} > {destination} {} bytes ", frame.len());
    let inner = frame.get(ETHERNET_BYTES..).unwrap_or_default();
    let understood = match ethertype {
        ARP => arp(inner),
        IPV4 => ipv4(inner),
        IPV6 => ipv6(inner),
        _ => None,
    };
    match understood {
        Some(words) => text += &words,
        None => drop(write!(text, "ethertype 0x{ethertype:04x}")),
    }
    text
}

fn arp(packet: &[u8]) -> Option<String> {
    let (sender, target) = (array(packet, 14)?, array(packet, 24)?);
    let (sender, target) = (Ipv4Addr::from(sender), Ipv4Addr::from(target));
    Some(match word(packet, 6)? {
        1 => format!("arp request who-has {target} tell {sender}"),
        2 => format!(
            "arp reply {sender} is-at {} to {target}",
            Mac(array(packet, 8)?)
        ),
        other => format!("arp operation-{other} {sender} {target}"),
    })
}

fn ipv4(packet: &[u8]) -> Option<String> {
    let (source, destination) = (array(packet, 12)?, array(packet, 16)?);
    let (source, destination) = (Ipv4Addr::from(source), Ipv4Addr::from(destination));
    let header = usize::from(packet.first()? & 0x0f) * 4;
    let later_fragment = word(packet, 6)? & 0x1fff != 0;
    let inner = if later_fragment {
        "fragment".to_owned()
    } else {
        transport(*packet.get(9)?, packet.get(header..)?)
    };
    Some(format!("ipv4 {source} > {destination} {inner}"))
}

fn ipv6(packet: &[u8]) -> Option<String> {
    let (source, destination) = (array(packet, 8)?, array(packet, 24)?);
    let (source, destination) = (Ipv6Addr::from(source), Ipv6Addr::from(destination));
    let (mut protocol, mut inner) = (*packet.get(6)?, packet.get(IPV6_BYTES..)?);
    if protocol == 0 {
        // Options for routers, as reports of multicast listeners have them.
        protocol = *inner.first()?;
        inner = inner.get((usize::from(*inner.get(1)?) + 1) * 8..)?;
    }
    let inner = transport(protocol, inner);
    Some(format!("ipv6 {source} > {destination} {inner}"))
}

fn transport(protocol: u8, inner: &[u8]) -> String {
    let words = match protocol {
        ICMP => inner.first().map(|kind| match kind {
            0 => "icmp echo-reply".to_owned(),
            3 => "icmp unreachable".to_owned(),
            8 => "icmp echo-request".to_owned(),
            11 => "icmp time-exceeded".to_owned(),
            kind => format!("icmp type-{kind}"),
        }),
        ICMPV6 => icmpv6(inner),
        UDP => udp(inner),
        TCP => tcp(inner),
        _ => None,
    };
    words.unwrap_or_else(|| format!("protocol-{protocol}"))
}

fn icmpv6(message: &[u8]) -> Option<String> {
    let target = || array(message, 8).map(Ipv6Addr::from);
    Some(match message.first()? {
        1 => "icmpv6 unreachable".to_owned(),
        2 => "icmpv6 too-big".to_owned(),
        3 => "icmpv6 time-exceeded".to_owned(),
        128 => "icmpv6 echo-request".to_owned(),
        129 => "icmpv6 echo-reply".to_owned(),
        133 => "icmpv6 router-solicitation".to_owned(),
        134 => "icmpv6 router-advertisement".to_owned(),
        135 => format!("icmpv6 neighbour-solicitation {}", target()?),
        136 => format!("icmpv6 neighbour-advertisement {}", target()?),
        143 => "icmpv6 listener-report".to_owned(),
        kind => format!("icmpv6 type-{kind}"),
    })
}

fn udp(datagram: &[u8]) -> Option<String> {
    let (source, destination) = (word(datagram, 0)?, word(datagram, 2)?);
    let mut text = format!("udp {source} > {destination}");
    match (source, destination) {
        // Past the fixed fields and the magic number, the first option is the type, as all write it.
        (67 | 68, 67 | 68) if datagram.get(248..250) == Some(&[53, 1]) => {
            let kind = match datagram.get(250) {
                Some(1) => "discover",
                Some(2) => "offer",
                Some(3) => "request",
                Some(5) => "ack",
                Some(6) => "nak",
                _ => "other",
            };
            text = format!("{text} dhcp {kind}");
        }
        (546 | 547, 546 | 547) => {
            let kind = match datagram.get(8) {
                Some(1) => "solicit",
                Some(2) => "advertise",
                Some(3) => "request",
                Some(7) => "reply",
                _ => "other",
            };
            text = format!("{text} dhcpv6 {kind}");
        }
        _ => {}
    }
    Some(text)
}

fn tcp(segment: &[u8]) -> Option<String> {
    let names = [
        (0x02, "syn"),
        (0x10, "ack"),
        (0x01, "fin"),
        (0x04, "rst"),
        (0x08, "psh"),
    ];
    let flags = *segment.get(13)?;
    let set: Vec<&str> = names
        .iter()
        .filter(|(bit, _)| flags & bit != 0)
        .map(|(_, name)| *name)
        .collect();
    let (source, destination) = (word(segment, 0)?, word(segment, 2)?);
    Some(format!("tcp {source} > {destination} {}", set.join("-")))
}

fn array<const N: usize>(bytes: &[u8], at: usize) -> Option<[u8; N]> {
    bytes.get(at..)?.first_chunk().copied()
}

fn word(bytes: &[u8], at: usize) -> Option<u16> {
    array(bytes, at).map(u16::from_be_bytes)
}
