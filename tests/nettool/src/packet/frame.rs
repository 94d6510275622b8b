//! Frames from their parts, with every length and checksum right: a switch must drop a forgery for what it claims, not
//! for being broken. Pure.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::str::FromStr;

pub const IPV4: u16 = 0x0800;
pub const ARP: u16 = 0x0806;
pub const IPV6: u16 = 0x86dd;

pub const ICMP: u8 = 1;
pub const UDP: u8 = 17;
pub const ICMPV6: u8 = 58;

/// Messages of neighbour discovery must not have passed a router.
const HOPS: u8 = 255;

/// A hardware address.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Mac(pub [u8; 6]);

impl Mac {
    pub const BROADCAST: Self = Self([0xff; 6]);

    /// Where a frame for an address goes when nobody says otherwise: a group's own address, or everybody.
    pub fn of_group(address: IpAddr) -> Self {
        match address {
            IpAddr::V6(group) if group.is_multicast() => {
                let [.., a, b, c, d] = group.octets();
                Self([0x33, 0x33, a, b, c, d])
            }
            _ => Self::BROADCAST,
        }
    }

    /// The link-local address that a card with this hardware address gives itself.
    pub fn link_local(self) -> Ipv6Addr {
        let mut octets = [0xfe, 0x80, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xfe, 0, 0, 0];
        octets[8..11].copy_from_slice(&self.0[..3]);
        octets[13..].copy_from_slice(&self.0[3..]);
        octets[8] ^= 2;
        Ipv6Addr::from(octets)
    }
}

impl fmt::Display for Mac {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let bytes = self.0.map(|byte| format!("{byte:02x}"));
        f.write_str(&bytes.join(":"))
    }
}

impl FromStr for Mac {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let bytes: Result<Vec<u8>, _> = text
            .split(':')
            .map(|byte| u8::from_str_radix(byte, 16))
            .collect();
        let bytes = bytes.ok().and_then(|bytes| bytes.try_into().ok());
        bytes
            .map(Self)
            .ok_or("not six hexadecimal bytes with colons")
    }
}

/// A frame.
pub fn ethernet(source: Mac, destination: Mac, ethertype: u16, payload: &[u8]) -> Vec<u8> {
    [
        &destination.0[..],
        &source.0,
        &ethertype.to_be_bytes(),
        payload,
    ]
    .concat()
}

/// What an ARP packet claims, and to whom.
pub struct ArpClaim {
    pub operation: u16,
    pub sender: (Mac, Ipv4Addr),
    pub target: (Mac, Ipv4Addr),
}

/// An ARP packet.
pub fn arp(claim: &ArpClaim) -> Vec<u8> {
    let (sender, target) = (claim.sender, claim.target);
    [
        &[0, 1, 8, 0, 6, 4][..],
        &claim.operation.to_be_bytes(),
        &sender.0.0,
        &sender.1.octets(),
        &target.0.0,
        &target.1.octets(),
    ]
    .concat()
}

/// An IP packet of either version, and its ethertype. Addresses of two versions make none.
pub fn ip(
    source: IpAddr,
    destination: IpAddr,
    protocol: u8,
    payload: &[u8],
) -> Option<(u16, Vec<u8>)> {
    let length = u16::try_from(payload.len()).ok()?;
    match (source, destination) {
        (IpAddr::V4(source), IpAddr::V4(destination)) => {
            let total = length.checked_add(20)?.to_be_bytes();
            let mut header = [
                &[0x45, 0, total[0], total[1], 0, 1, 0, 0, 64, protocol, 0, 0][..],
                &source.octets(),
                &destination.octets(),
            ]
            .concat();
            let sum = checksum(&header).to_be_bytes();
            header[10..12].copy_from_slice(&sum);
            Some((IPV4, [header, payload.to_vec()].concat()))
        }
        (IpAddr::V6(source), IpAddr::V6(destination)) => {
            let [high, low] = length.to_be_bytes();
            let packet = [
                &[0x60, 0, 0, 0, high, low, protocol, HOPS][..],
                &source.octets(),
                &destination.octets(),
                payload,
            ]
            .concat();
            Some((IPV6, packet))
        }
        _ => None,
    }
}

/// A UDP datagram with its checksum.
pub fn udp(
    source: (IpAddr, u16),
    destination: (IpAddr, u16),
    payload: &[u8],
) -> Option<(u16, Vec<u8>)> {
    let length = u16::try_from(payload.len() + 8).ok()?;
    let mut datagram = [source.1, destination.1, length, 0]
        .map(u16::to_be_bytes)
        .concat();
    datagram.extend(payload);
    let sum = sum_with_addresses(source.0, destination.0, UDP, &datagram);
    datagram[6..8].copy_from_slice(&if sum == 0 { 0xffff } else { sum }.to_be_bytes());
    ip(source.0, destination.0, UDP, &datagram)
}

/// An ICMP message of the version that the addresses have; `message` has room for the checksum.
pub fn icmp(source: IpAddr, destination: IpAddr, mut message: Vec<u8>) -> Option<(u16, Vec<u8>)> {
    let (protocol, sum) = match source {
        IpAddr::V4(_) => (ICMP, checksum(&message)),
        IpAddr::V6(_) => (
            ICMPV6,
            sum_with_addresses(source, destination, ICMPV6, &message),
        ),
    };
    message.get_mut(2..4)?.copy_from_slice(&sum.to_be_bytes());
    ip(source, destination, protocol, &message)
}

fn octets(address: IpAddr) -> Vec<u8> {
    match address {
        IpAddr::V4(address) => address.octets().to_vec(),
        IpAddr::V6(address) => address.octets().to_vec(),
    }
}

fn sum_with_addresses(source: IpAddr, destination: IpAddr, protocol: u8, payload: &[u8]) -> u16 {
    let mut all = [octets(source), octets(destination), vec![0, protocol]].concat();
    // As a sum of 16-bit words, the length may stand anywhere; one of 16 bits serves both versions.
    all.extend(
        u16::try_from(payload.len())
            .unwrap_or_default()
            .to_be_bytes(),
    );
    all.extend(payload);
    checksum(&all)
}

/// The Internet checksum, RFC 1071.
pub fn checksum(bytes: &[u8]) -> u16 {
    let mut sum = 0_u64;
    for pair in bytes.chunks(2) {
        let low = pair.get(1).copied().unwrap_or_default();
        sum += u64::from(u16::from_be_bytes([pair[0], low]));
    }
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    !u16::try_from(sum).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_ipv4_header_as_in_textbooks() {
        let header = [
            0x45, 0, 0, 0x73, 0, 0, 0x40, 0, 0x40, 0x11, 0, 0, 0xc0, 0xa8, 0, 1, 0xc0, 0xa8, 0,
            0xc7,
        ];
        assert_eq!(checksum(&header), 0xb861);
    }

    #[test]
    fn what_is_sent_sums_up_to_nothing() {
        for (source, destination) in [("10.0.0.1", "10.0.0.2"), ("fe80::1", "ff02::1")] {
            let (source, destination) = (source.parse().unwrap(), destination.parse().unwrap());
            let (_, packet) = udp((source, 5), (destination, 6), b"odd").unwrap();
            let header = if source.is_ipv4() { 20 } else { 40 };
            if source.is_ipv4() {
                assert_eq!(checksum(&packet[..header]), 0);
            }
            assert_eq!(
                sum_with_addresses(source, destination, UDP, &packet[header..]),
                0
            );
        }
        let mixed = ip(
            "10.0.0.1".parse().unwrap(),
            "::1".parse().unwrap(),
            UDP,
            &[],
        );
        assert_eq!(mixed, None);
    }

    #[test]
    fn hardware_addresses() {
        let mac: Mac = "52:54:00:12:34:56".parse().unwrap();
        assert_eq!(mac.to_string(), "52:54:00:12:34:56");
        assert_eq!(mac.link_local().to_string(), "fe80::5054:ff:fe12:3456");
        let group = Mac::of_group("ff02::1:2".parse().unwrap());
        assert_eq!(group.to_string(), "33:33:00:01:00:02");
        for nonsense in ["", "52:54", "52:54:00:12:34:5g", "52:54:00:12:34:56:78"] {
            assert!(nonsense.parse::<Mac>().is_err(), "{nonsense}");
        }
    }
}
