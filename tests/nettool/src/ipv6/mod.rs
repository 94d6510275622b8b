//! `nettool ipv6`: what the kernel leaves to others when a router advertises itself: name servers and `DHCPv6`.
//!
//! Addresses and routes of the advertisement are the kernel's. What is found is handed to a script as words of its
//! environment (`event interface`, with `dns` and `ip`), as busybox's DHCP client does. An address of `DHCPv6` is kept
//! for the whole boot and not renewed: guests of tests do not live that long.

mod advertisement;
mod dhcp;

use std::io::{self, Write};
use std::net::Ipv6Addr;
use std::os::fd::{AsRawFd, OwnedFd};
use std::process::Command;

use anyhow::{Context, Result, ensure};
use nix::errno::Errno;
use nix::ifaddrs::getifaddrs;
use nix::sys::socket::{
    AddressFamily, MsgFlags, SockFlag, SockProtocol, SockType, SockaddrIn6, recv, setsockopt,
    socket, sockopt,
};

use self::advertisement::Advertisement;
use crate::arguments::Arguments;
use crate::packet::frame::Mac;

const MESSAGE_BYTES_MAX: usize = 9000;

/// Listens at a card for as long as that is there.
pub fn run(words: Vec<String>) -> Result<()> {
    let mut arguments = Arguments::new(words, &[]);
    let card: String = arguments.next("the network card")?;
    let script: String = arguments.next("the script")?;
    arguments.end()?;
    let socket = listen(&card)?;
    let mut known = Known::default();
    let mut message = vec![0; MESSAGE_BYTES_MAX];
    loop {
        let length = match recv(socket.as_raw_fd(), &mut message, MsgFlags::empty()) {
            Ok(length) => length,
            Err(Errno::EINTR) => continue,
            Err(error) => return Err(error).with_context(|| format!("failed to hear {card}")),
        };
        if let Some(advertisement) = Advertisement::parse(&message[..length]) {
            // The next advertisement is another chance; the log is the script's to keep.
            if let Err(error) = known.learn(&card, &script, &advertisement) {
                writeln!(io::stderr(), "{card}: {error:#}")?;
            }
        }
    }
}

/// What the script was told.
#[derive(Default)]
struct Known {
    advertised: Vec<Ipv6Addr>,
    has_address: bool,
    has_information: bool,
}

impl Known {
    fn learn(&mut self, card: &str, script: &str, advertisement: &Advertisement) -> Result<()> {
        if self.advertised != advertisement.dns {
            self.advertised.clone_from(&advertisement.dns);
            tell(script, "rdnss", card, &advertisement.dns, None)?;
        }
        // A server that does not answer is asked again at the next advertisement.
        if advertisement.managed && !self.has_address {
            if let Some(lease) = dhcp::lease(card)? {
                tell(script, "bound6", card, &lease.dns, lease.address)?;
                self.has_address = true;
            }
        } else if advertisement.other
            && !advertisement.managed
            && !self.has_information
            && let Some(lease) = dhcp::information(card)?
        {
            tell(script, "bound6", card, &lease.dns, None)?;
            self.has_information = true;
        }
        Ok(())
    }
}

fn listen(card: &str) -> Result<OwnedFd> {
    let socket = socket(
        AddressFamily::Inet6,
        SockType::Raw,
        SockFlag::SOCK_CLOEXEC,
        SockProtocol::IcmpV6,
    )
    .context("failed to open an ICMPv6 socket (only root may)")?;
    setsockopt(&socket, sockopt::BindToDevice, &card.into())
        .with_context(|| format!("no network card is called {card}"))?;
    Ok(socket)
}

fn tell(
    script: &str,
    event: &str,
    card: &str,
    dns: &[Ipv6Addr],
    address: Option<Ipv6Addr>,
) -> Result<()> {
    let dns: Vec<String> = dns.iter().map(Ipv6Addr::to_string).collect();
    let status = Command::new(script)
        .arg(event)
        .env("interface", card)
        .env("dns", dns.join(" "))
        .env(
            "ip",
            address
                .map(|address| address.to_string())
                .unwrap_or_default(),
        )
        .status()
        .with_context(|| format!("failed to start {script}"))?;
    ensure!(status.success(), "{script} {event} failed: {status}");
    Ok(())
}

/// The hardware address and the link-local address of a card.
fn addresses(card: &str) -> Result<(Mac, Ipv6Addr)> {
    let (mut mac, mut local) = (None, None);
    for entry in getifaddrs().context("failed to list network cards")? {
        let Some(address) = entry.address.filter(|_| entry.interface_name == card) else {
            continue;
        };
        if let Some(link) = address.as_link_addr() {
            mac = link.addr().map(Mac);
        }
        if let Some(ip) = address.as_sockaddr_in6().map(SockaddrIn6::ip) {
            local = local.or(Some(ip).filter(Ipv6Addr::is_unicast_link_local));
        }
    }
    let both = mac.zip(local);
    both.with_context(|| format!("{card} has no link-local address"))
}
