//! As much of `OpenFlow` 1.3 as it takes to keep a bridge's ports from sending router advertisements.
//!
//! OVN's controller owns the bridge. It never touches flows that it has not made, except when it connects: then it removes
//! them all. So ours bear a cookie, are counted, and are put back when they are not all there.
//!
//! Must never touch a flow without that cookie, but for one bit that ours have in passing.

use std::collections::BTreeSet;
use std::io::{self, ErrorKind};
use std::path::Path;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;
use tokio::time::timeout;

const VERSION: u8 = 4;
const HELLO: u8 = 0;
const ERROR: u8 = 1;
const ECHO_REQUEST: u8 = 2;
const ECHO_REPLY: u8 = 3;
const FLOW_MOD: u8 = 14;
const MULTIPART_REQUEST: u8 = 18;
const MULTIPART_REPLY: u8 = 19;
const BARRIER_REQUEST: u8 = 20;
const BARRIER_REPLY: u8 = 21;
/// A multipart request for how many flows there are.
const AGGREGATE: u16 = 2;
const ADD: u8 = 0;
const DELETE: u8 = 3;

/// "kilonova", in ASCII: what our flows are known by.
const COOKIE: u64 = 0x6b69_6c6f_6e6f_7661;
/// The same, of flows while others of ours are removed.
const PASSING_COOKIE: u64 = COOKIE ^ 1;
/// Where frames come in. OVN's flows there have priorities of a few hundred.
const TABLE: u8 = 0;
const PRIORITY: u16 = 60_000;
const ANY: u32 = 0xffff_ffff;

const HEADER_BYTES: usize = 8;
/// Longer messages than a switch has for us.
const MESSAGE_BYTES_MAX: usize = 65_535;
/// How long all of it may take: the switch is on this host.
const TIME_MAX: Duration = Duration::from_secs(5);

/// Sees to it that no router advertisement passes that comes in at one of these ports, and that nothing is left of others.
/// Returns whether anything had to be done.
pub async fn guard(bridge: &Path, ports: &BTreeSet<u32>, known: bool) -> io::Result<bool> {
    let work = async {
        let mut bridge = Bridge::connect(bridge).await?;
        if known && bridge.count().await? == ports.len() {
            return Ok(false);
        }
        // Under another cookie first, so that there is no moment in which those that stay are not there.
        for (cookie, other) in [(PASSING_COOKIE, COOKIE), (COOKIE, PASSING_COOKIE)] {
            for port in ports {
                bridge.send(&flow_mod(ADD, cookie, Some(*port))).await?;
            }
            bridge.send(&flow_mod(DELETE, other, None)).await?;
        }
        bridge.barrier().await?;
        Ok(true)
    };
    timeout(TIME_MAX, work)
        .await
        .unwrap_or_else(|_| Err(ErrorKind::TimedOut.into()))
}

/// A connection to a bridge.
struct Bridge(UnixStream);

impl Bridge {
    async fn connect(socket: &Path) -> io::Result<Self> {
        let mut bridge = Self(UnixStream::connect(socket).await?);
        bridge.send(&message(HELLO, &[])).await?;
        bridge.wait(HELLO).await?;
        Ok(bridge)
    }

    async fn send(&mut self, message: &[u8]) -> io::Result<()> {
        self.0.write_all(message).await
    }

    /// How many flows are ours.
    async fn count(&mut self) -> io::Result<usize> {
        self.send(&count_request()).await?;
        let reply = self.wait(MULTIPART_REPLY).await?;
        // The multipart's own header, and the counts of packets and bytes, go before.
        let count = reply.get(24..28).and_then(|bytes| bytes.try_into().ok());
        let count = count.map(u32::from_be_bytes);
        let count = count.and_then(|count| usize::try_from(count).ok());
        count.ok_or_else(|| ErrorKind::InvalidData.into())
    }

    /// Waits until everything before is done.
    async fn barrier(&mut self) -> io::Result<()> {
        self.send(&message(BARRIER_REQUEST, &[])).await?;
        self.wait(BARRIER_REPLY).await.map(drop)
    }

    /// The body of the next message of a kind.
    async fn wait(&mut self, wanted: u8) -> io::Result<Vec<u8>> {
        loop {
            let mut header = [0; HEADER_BYTES];
            self.0.read_exact(&mut header).await?;
            let [_, kind, high, low, ..] = header;
            let length = usize::from(u16::from_be_bytes([high, low]));
            let Some(length) = length.checked_sub(HEADER_BYTES) else {
                return Err(ErrorKind::InvalidData.into());
            };
            let mut body = vec![0; length.min(MESSAGE_BYTES_MAX)];
            self.0.read_exact(&mut body).await?;
            match kind {
                ERROR => {
                    let why = format!("the switch refuses it: {:02x?}", body.get(..4));
                    return Err(io::Error::other(why));
                }
                ECHO_REQUEST => self.send(&message(ECHO_REPLY, &body)).await?,
                kind if kind == wanted => return Ok(body),
                _ => {}
            }
        }
    }
}

fn message(kind: u8, body: &[u8]) -> Vec<u8> {
    // Ours are of fixed and small sizes.
    let length = u16::try_from(HEADER_BYTES + body.len()).unwrap_or(u16::MAX);
    let mut message = vec![VERSION, kind];
    message.extend(length.to_be_bytes());
    message.extend([0, 0, 0, 1]);
    message.extend(body);
    message
}

/// Makes the flow of a port, or removes all of ours. A flow without instructions drops.
fn flow_mod(command: u8, cookie: u64, port: Option<u32>) -> Vec<u8> {
    let mut body = Vec::new();
    body.extend(cookie.to_be_bytes());
    // Of one that is made, the cookie is what it gets; of those that are removed, what they have.
    let mask = if command == DELETE { u64::MAX } else { 0 };
    body.extend(mask.to_be_bytes());
    body.extend([TABLE, command]);
    // It never ends by itself.
    body.extend([0; 4]);
    body.extend(PRIORITY.to_be_bytes());
    for anything in [ANY; 3] {
        body.extend(anything.to_be_bytes());
    }
    body.extend([0; 4]);
    body.extend(matching(port));
    message(FLOW_MOD, &body)
}

fn count_request() -> Vec<u8> {
    let mut body = Vec::new();
    body.extend(AGGREGATE.to_be_bytes());
    body.extend([0; 6]);
    body.extend([TABLE, 0, 0, 0]);
    for anything in [ANY; 2] {
        body.extend(anything.to_be_bytes());
    }
    body.extend([0; 4]);
    body.extend(COOKIE.to_be_bytes());
    body.extend(u64::MAX.to_be_bytes());
    body.extend(matching(None));
    message(MULTIPART_REQUEST, &body)
}

/// Router advertisements (`ICMPv6`'s type 134) from a port; without one, anything.
fn matching(port: Option<u32>) -> Vec<u8> {
    let mut fields = Vec::new();
    if let Some(port) = port {
        field(&mut fields, 0, &port.to_be_bytes());
        field(&mut fields, 5, &0x86dd_u16.to_be_bytes());
        field(&mut fields, 10, &[58]);
        field(&mut fields, 29, &[134]);
    }
    let length = 4 + fields.len();
    let mut whole = vec![0, 1];
    whole.extend(u16::try_from(length).unwrap_or(u16::MAX).to_be_bytes());
    whole.extend(fields);
    whole.resize(length.next_multiple_of(8), 0);
    whole
}

/// A field by its number among `OpenFlow`'s basic ones.
fn field(fields: &mut Vec<u8>, number: u8, value: &[u8]) {
    let length = u8::try_from(value.len()).unwrap_or(u8::MAX);
    fields.extend([0x80, 0x00, number << 1, length]);
    fields.extend(value);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_are_as_the_standard_has_them() {
        // Sizes of OpenFlow 1.3.5: 7.3.4.2, 7.3.5.3 and 7.2.3.
        assert_eq!(message(HELLO, &[]), [4, 0, 0, 8, 0, 0, 0, 1]);
        let add = flow_mod(ADD, COOKIE, Some(7));
        assert_eq!(add.len(), 80);
        assert_eq!(&add[..4], [4, 14, 0, 80]);
        let flow = [
            0, 1, 0, 28, 0x80, 0, 0, 4, 0, 0, 0, 7, 0x80, 0, 10, 2, 0x86, 0xdd, 0x80, 0, 20, 1, 58,
            0x80, 0, 58, 1, 134, 0, 0, 0, 0,
        ];
        assert_eq!(&add[48..], flow);
        assert_eq!(flow_mod(DELETE, COOKIE, None).len(), 56);
        assert_eq!(count_request().len(), 56);
    }
}
