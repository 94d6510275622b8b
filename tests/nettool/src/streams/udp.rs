//! `nettool udp-serve` and `udp-get`.

use std::io::{self, Write};
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};

use anyhow::{Context, Result};

use crate::address::{Address, host_name};
use crate::arguments::Arguments;

const DATAGRAM_BYTES_MAX: usize = 65_536;

/// Answers each datagram with a text and the number of bytes that came, until it is ended.
pub fn serve(words: Vec<String>) -> Result<()> {
    let mut arguments = Arguments::new(words, &[]);
    let address: Address = arguments.next("the address")?;
    let address = address.port(arguments.next("the port")?);
    let text = arguments.next_or_none("the text")?;
    arguments.end()?;
    let text = text.map_or_else(host_name, Ok)?;
    let socket = UdpSocket::bind(address);
    let socket = socket.with_context(|| format!("failed to listen at {address}"))?;
    writeln!(io::stdout(), "serving")?;
    let mut datagram = vec![0; DATAGRAM_BYTES_MAX];
    loop {
        answer(&socket, &mut datagram, &text);
    }
}

fn answer(socket: &UdpSocket, datagram: &mut [u8], text: &str) {
    // An error here is an answer that did not arrive, told to the next who asks.
    if let Ok((length, from)) = socket.recv_from(datagram) {
        let _ = socket.send_to(format!("{text} {length} bytes\n").as_bytes(), from);
    }
}

/// Prints what a server answers to a datagram of some size.
pub fn get(words: Vec<String>) -> Result<()> {
    let mut arguments = Arguments::new(words, &["timeout-ms", "bytes"]);
    let address: Address = arguments.next("the address")?;
    let address = address.port(arguments.next("the port")?);
    arguments.end()?;
    let datagram = vec![b'x'; arguments.get_or("bytes", 1)?];
    let answer = ask(address, &datagram, super::timeout(&arguments)?)?;
    io::stdout().write_all(&answer)?;
    Ok(())
}

/// The answer to a datagram.
pub fn ask(address: SocketAddr, datagram: &[u8], timeout: std::time::Duration) -> Result<Vec<u8>> {
    let any = if address.is_ipv4() {
        SocketAddr::from((Ipv4Addr::UNSPECIFIED, 0))
    } else {
        SocketAddr::from((Ipv6Addr::UNSPECIFIED, 0))
    };
    let socket = UdpSocket::bind(any).context("failed to open a socket")?;
    socket.set_read_timeout(Some(timeout))?;
    let context = || format!("failed to reach {address}");
    socket.connect(address).with_context(context)?;
    socket.send(datagram).with_context(context)?;
    let mut answer = vec![0; DATAGRAM_BYTES_MAX];
    let length = socket
        .recv(&mut answer)
        .with_context(|| format!("no answer from {address}"))?;
    answer.truncate(length);
    Ok(answer)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn asked_and_answered() {
        let server = UdpSocket::bind("127.0.0.1:0").unwrap();
        let address = server.local_addr().unwrap();
        std::thread::spawn(move || answer(&server, &mut [0; 9], "web-1"));
        let answer = ask(address, b"xxx", Duration::from_secs(5)).unwrap();
        assert_eq!(answer, b"web-1 3 bytes\n");
    }

    #[test]
    fn silence_is_an_error() {
        let deaf = UdpSocket::bind("127.0.0.1:0").unwrap();
        let error = ask(deaf.local_addr().unwrap(), b"x", Duration::from_millis(50)).unwrap_err();
        assert!(error.to_string().contains("no answer"), "{error}");
    }
}
