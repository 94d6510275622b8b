//! `nettool tcp-bulk`: many bytes there and back, all of them checked, and the size of the segments that carried them.

use std::io::{self, BufReader, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::thread;
use std::time::Instant;

use anyhow::{Context, Result, anyhow, ensure};
use nix::sys::socket::{getsockopt, sockopt};

use super::tcp::{connect, greeting};
use crate::arguments::Arguments;

/// What one write takes: more than any segment.
const BLOCK_BYTES: usize = 64 * 1024;

/// Sends to a `tcp-serve`, and prints what became of it as `name=value` words.
pub fn run(words: Vec<String>) -> Result<()> {
    let mut arguments = Arguments::new(words, &["timeout-ms"]);
    let mut stream = connect(&mut arguments)?;
    let bytes = arguments.next("the number of bytes")?;
    arguments.end()?;
    greeting(&mut stream)?;
    let began = Instant::now();
    there_and_back(&mut stream, bytes)?;
    let seconds = began.elapsed().as_secs_f64();
    // Before it is closed: a closed connection has forgotten its segments.
    let socket = stream.get_ref();
    let segment = getsockopt(socket, sockopt::TcpMaxSeg).context("failed to read the MSS")?;
    let path = path_mtu(socket)?;
    end(&mut stream)?;
    writeln!(
        io::stdout(),
        "bytes={bytes} seconds={seconds:.2} mss={segment} path-mtu={path} intact",
    )?;
    Ok(())
}

fn there_and_back(stream: &mut BufReader<TcpStream>, bytes: u64) -> Result<()> {
    let mut sender = stream.get_ref().try_clone()?;
    let sending = thread::spawn(move || {
        let mut sent = 0;
        while sent < bytes {
            let block = block_at(sent, bytes);
            sender.write_all(&block)?;
            sent += block.len() as u64;
        }
        io::Result::Ok(())
    });
    let mut received = 0;
    while received < bytes {
        let expected = block_at(received, bytes);
        let mut found = vec![0; expected.len()];
        stream
            .read_exact(&mut found)
            .with_context(|| format!("failed after {received} of {bytes} bytes"))?;
        let wrong = expected
            .iter()
            .zip(&found)
            .position(|(expected, found)| expected != found);
        ensure!(
            wrong.is_none(),
            "what came back is not what was sent, {wrong:?} bytes after {received}"
        );
        received += expected.len() as u64;
    }
    let sent = sending
        .join()
        .map_err(|_| anyhow!("the sender has panicked"))?;
    sent.context("failed to send")
}

/// Says that no more is sent, and sees that no more comes.
fn end(stream: &mut BufReader<TcpStream>) -> Result<()> {
    stream.get_ref().shutdown(Shutdown::Write)?;
    let extra = stream.read(&mut [0; 1]).context("the end did not come")?;
    ensure!(extra == 0, "more came back than was sent");
    Ok(())
}

/// The bytes from this place on. They follow from their places, so that none can be lost, doubled or moved unseen.
fn block_at(place: u64, end: u64) -> Vec<u8> {
    let block_end = end.min(place + BLOCK_BYTES as u64);
    (place..block_end)
        .map(|place| {
            let [a, b, c, d, ..] = place.to_le_bytes();
            a ^ b.wrapping_mul(31) ^ c.wrapping_mul(57) ^ d.wrapping_mul(91)
        })
        .collect()
}

/// What the kernel knows of the path. It tells by the version of the socket, and IPv6 is not in our library.
fn path_mtu(stream: &TcpStream) -> Result<String> {
    if stream.peer_addr()?.is_ipv6() {
        return Ok("unknown".to_owned());
    }
    let mtu = getsockopt(stream, sockopt::IpMtu).context("failed to read the path's MTU")?;
    Ok(mtu.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::TcpListener;

    /// A server that does something to the stream of bytes.
    fn through(change: fn(Vec<u8>) -> Vec<u8>, bytes: u64) -> Result<()> {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let server = thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            let mut all = vec![0; usize::try_from(bytes).unwrap()];
            stream.read_exact(&mut all).unwrap();
            stream.write_all(&change(all)).unwrap();
        });
        let mut stream = BufReader::new(TcpStream::connect(address).unwrap());
        let result = there_and_back(&mut stream, bytes).and_then(|()| end(&mut stream));
        server.join().unwrap();
        result
    }

    #[test]
    fn every_change_is_seen() {
        let bytes = BLOCK_BYTES as u64 + 5000;
        assert!(through(|all| all, bytes).is_ok());
        let flipped = |mut all: Vec<u8>| {
            all[70_000] ^= 1;
            all
        };
        assert!(through(flipped, bytes).is_err());
        let lost = |mut all: Vec<u8>| {
            all.remove(300);
            all
        };
        assert!(through(lost, bytes).is_err());
        let more = |mut all: Vec<u8>| {
            all.push(0);
            all
        };
        assert!(through(more, bytes).is_err());
    }

    #[test]
    fn the_path_of_a_connection_has_an_mtu() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let stream = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        assert!(path_mtu(&stream).unwrap().parse::<u32>().unwrap() > 1000);
    }
}
