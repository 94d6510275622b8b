//! A socket of one network card that gives and takes whole frames.

use std::os::fd::{AsRawFd, OwnedFd};
use std::time::Duration;

use anyhow::{Context, Result};
use nix::errno::Errno;
use nix::ifaddrs::getifaddrs;
use nix::sys::socket::{
    AddressFamily, LinkAddr, MsgFlags, SockFlag, SockProtocol, SockType, bind, recvfrom, send,
    setsockopt, socket, sockopt,
};
use nix::sys::time::TimeVal;

use super::frame::Mac;

/// The largest frame: a card may put several of a stream into one.
const FRAME_BYTES_MAX: usize = 65_600;
/// What Linux calls a frame that this guest has sent itself: `PACKET_OUTGOING`.
const OUTGOING: u8 = 4;
/// How long a look waits at most, so that the caller can see that its time is up.
const LOOK: Duration = Duration::from_millis(50);

/// See the module.
pub struct Socket {
    descriptor: OwnedFd,
    card: LinkAddr,
    pub mac: Mac,
}

impl Socket {
    /// Opens the card of this name.
    pub fn open(name: &str) -> Result<Self> {
        let card = getifaddrs()
            .context("failed to list network cards")?
            .filter(|entry| entry.interface_name == name)
            .find_map(|entry| entry.address?.as_link_addr().copied());
        let card = card.with_context(|| format!("no network card is called {name}"))?;
        let descriptor = socket(
            AddressFamily::Packet,
            SockType::Raw,
            SockFlag::SOCK_CLOEXEC,
            SockProtocol::EthAll,
        )
        .context("failed to open a packet socket (only root may)")?;
        let look = TimeVal::new(0, i64::from(LOOK.subsec_micros()));
        setsockopt(&descriptor, sockopt::ReceiveTimeout, &look)?;
        // The card's own address names no protocol, so the socket keeps its own: all of them.
        bind(descriptor.as_raw_fd(), &card).with_context(|| format!("failed to bind to {name}"))?;
        let mac = Mac(card.addr().unwrap_or_default());
        Ok(Self {
            descriptor,
            card,
            mac,
        })
    }

    /// Sends a frame as it is.
    pub fn send(&self, frame: &[u8]) -> Result<()> {
        let sent = send(self.descriptor.as_raw_fd(), frame, MsgFlags::empty());
        sent.map(drop)
            .with_context(|| format!("failed to send a frame of {} bytes", frame.len()))
    }

    /// The next frame that came in; nothing if none came for a moment, or it was one of this guest's own.
    pub fn receive(&self) -> Result<Option<Vec<u8>>> {
        let mut frame = vec![0; FRAME_BYTES_MAX];
        match recvfrom::<LinkAddr>(self.descriptor.as_raw_fd(), &mut frame) {
            Ok((length, from)) => {
                frame.truncate(length);
                let came_in = from.is_some_and(|from| {
                    from.ifindex() == self.card.ifindex() && from.as_ref().sll_pkttype != OUTGOING
                });
                Ok(came_in.then_some(frame))
            }
            Err(Errno::EAGAIN | Errno::EINTR) => Ok(None),
            Err(error) => Err(error).context("failed to receive"),
        }
    }
}
