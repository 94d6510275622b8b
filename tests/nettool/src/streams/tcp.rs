//! `nettool tcp-serve` and `tcp-get`.

use std::io::{self, BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::thread;

use anyhow::{Context, Result, ensure};

use crate::address::{Address, host_name};
use crate::arguments::Arguments;

/// Greets each connection with a line, and echoes what it is sent, until it is ended.
pub fn serve(words: Vec<String>) -> Result<()> {
    let mut arguments = Arguments::new(words, &[]);
    let address: Address = arguments.next("the address")?;
    let address = address.port(arguments.next("the port")?);
    let text = arguments.next_or_none("the text")?;
    arguments.end()?;
    let text = text.map_or_else(host_name, Ok)?;
    let listener = TcpListener::bind(address);
    let listener = listener.with_context(|| format!("failed to listen at {address}"))?;
    writeln!(io::stdout(), "serving")?;
    // One that was reset while it waited is the client's loss.
    for stream in listener.incoming().flatten() {
        let text = text.clone();
        thread::spawn(move || greet_and_echo(stream, &text));
    }
    Ok(())
}

fn greet_and_echo(mut stream: TcpStream, text: &str) -> io::Result<u64> {
    stream.write_all(format!("{text}\n").as_bytes())?;
    io::copy(&mut stream.try_clone()?, &mut stream)
}

/// Prints what a server greets with.
pub fn get(words: Vec<String>) -> Result<()> {
    let mut arguments = Arguments::new(words, &["timeout-ms"]);
    let mut stream = connect(&mut arguments)?;
    arguments.end()?;
    write!(io::stdout(), "{}", greeting(&mut stream)?)?;
    Ok(())
}

/// A connection to the address and port that come next, with the deadline for each step of it.
pub(super) fn connect(arguments: &mut Arguments) -> Result<BufReader<TcpStream>> {
    let address: Address = arguments.next("the address")?;
    let address = address.port(arguments.next("the port")?);
    let timeout = super::timeout(arguments)?;
    let stream = TcpStream::connect_timeout(&address, timeout);
    let stream = stream.with_context(|| format!("failed to connect to {address}"))?;
    stream.set_read_timeout(Some(timeout))?;
    stream.set_write_timeout(Some(timeout))?;
    Ok(BufReader::new(stream))
}

/// The first line that a server sends.
pub(super) fn greeting(stream: &mut BufReader<TcpStream>) -> Result<String> {
    let mut line = String::new();
    stream
        .read_line(&mut line)
        .context("the server accepted the connection and said nothing")?;
    ensure!(
        !line.is_empty(),
        "the server closed the connection and said nothing"
    );
    Ok(line)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Read;

    #[test]
    fn greets_and_echoes() {
        let listener = TcpListener::bind("[::1]:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let server = thread::spawn(move || greet_and_echo(listener.accept().unwrap().0, "web-1"));
        let words = ["::1".to_owned(), port.to_string()];
        let mut stream = connect(&mut Arguments::new(words, &[])).unwrap();
        assert_eq!(greeting(&mut stream).unwrap(), "web-1\n");
        stream.get_mut().write_all(b"same").unwrap();
        stream
            .get_ref()
            .shutdown(std::net::Shutdown::Write)
            .unwrap();
        let mut echoed = String::new();
        stream.read_to_string(&mut echoed).unwrap();
        assert_eq!(echoed, "same");
        assert_eq!(server.join().unwrap().unwrap(), 4);
    }
}
