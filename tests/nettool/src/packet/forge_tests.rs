//! Each forgery, in the words that a capture has for it.

use super::*;
use crate::packet::describe::describe;

const OWN: &str = "52:54:00:00:00:01";

fn frame(kind: &str, words: &str) -> Result<Vec<u8>> {
    let words = words.split_whitespace().map(str::to_owned);
    forged(kind, &Arguments::new(words, NAMES), OWN.parse().unwrap())
}

#[test]
fn each_forgery_says_what_it_claims() {
    for (kind, words, expected) in [
        (
            "echo",
            "source=10.0.0.9 to=10.0.0.2 destination-mac=52:54:00:00:00:02",
            "52:54:00:00:00:01 > 52:54:00:00:00:02 48 bytes ipv4 10.0.0.9 > 10.0.0.2 icmp echo-request",
        ),
        (
            "echo",
            "source=fd00::9 to=fd00::2 source-mac=52:54:00:00:00:99",
            "52:54:00:00:00:99 > ff:ff:ff:ff:ff:ff 68 bytes ipv6 fd00::9 > fd00::2 icmpv6 echo-request",
        ),
        (
            "arp-reply",
            "claim=10.0.0.1 to=10.0.0.2",
            "52:54:00:00:00:01 > ff:ff:ff:ff:ff:ff 42 bytes arp reply 10.0.0.1 is-at 52:54:00:00:00:01 to 10.0.0.2",
        ),
        (
            "arp-gratuitous",
            "claim=10.0.0.1 claim-mac=52:54:00:00:00:77",
            "52:54:00:00:00:01 > ff:ff:ff:ff:ff:ff 42 bytes arp reply 10.0.0.1 is-at 52:54:00:00:00:77 to 10.0.0.1",
        ),
        (
            "neighbour-advertisement",
            "claim=fd00::1",
            "52:54:00:00:00:01 > 33:33:00:00:00:01 86 bytes ipv6 fd00::1 > ff02::1 icmpv6 neighbour-advertisement \
             fd00::1",
        ),
        (
            "router-advertisement",
            "prefix=fd00:bad::",
            "52:54:00:00:00:01 > 33:33:00:00:00:01 110 bytes ipv6 fe80::5054:ff:fe00:1 > ff02::1 icmpv6 \
             router-advertisement",
        ),
        (
            "dhcp-offer",
            "source=10.0.0.66 offer=10.0.0.77",
            "52:54:00:00:00:01 > ff:ff:ff:ff:ff:ff 310 bytes ipv4 10.0.0.66 > 255.255.255.255 udp 67 > 68 dhcp offer",
        ),
        (
            "dhcpv6-advertise",
            "offer=fd00::77 to=fe80::2",
            "52:54:00:00:00:01 > ff:ff:ff:ff:ff:ff 138 bytes ipv6 fe80::5054:ff:fe00:1 > fe80::2 udp 547 > 546 dhcpv6 \
             advertise",
        ),
        (
            "hex",
            "bytes=ffffffffffff:525400000001:88b5:00",
            "52:54:00:00:00:01 > ff:ff:ff:ff:ff:ff 15 bytes ethertype 0x88b5",
        ),
    ] {
        assert_eq!(describe(&frame(kind, words).unwrap()), expected);
    }
}

#[test]
fn what_is_missing_or_wrong_is_named() {
    for (kind, words, part) in [
        ("dance", "", "dance"),
        ("hex", "bytes=abc", "even"),
        ("hex", "bytes=xy", "hexadecimal"),
        ("echo", "source=10.0.0.9", "to="),
        ("echo", "source=10.0.0.9 to=fd00::1", "two IP versions"),
        ("echo", "source=10.0.0.300 to=10.0.0.1", "10.0.0.300"),
        ("arp-reply", "to=10.0.0.1", "claim="),
    ] {
        let error = format!("{:#}", frame(kind, words).unwrap_err());
        assert!(error.contains(part), "{kind} {words}: {error}");
    }
}

#[test]
fn no_cut_frame_breaks_the_description() {
    for (kind, words) in [
        ("echo", "source=fd00::9 to=fd00::2"),
        ("arp-gratuitous", "claim=10.0.0.1"),
        ("dhcp-offer", "source=10.0.0.66 offer=10.0.0.77"),
    ] {
        let whole = frame(kind, words).unwrap();
        for length in 0..whole.len() {
            assert!(!describe(&whole[..length]).is_empty());
        }
    }
}
