//! `nettool resolve`: asks a name server one question, without a resolver's retries and search lists.

use std::io::{self, Write};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};

use crate::address::Address;
use crate::arguments::Arguments;
use crate::streams::{timeout, udp};

const PORT: u16 = 53;
const ID: [u8; 2] = [0x4b, 0x4e];
const HEADER_BYTES: usize = 12;
/// Names may point back into the message; one that does so for ever is refused.
const POINTERS_MAX: usize = 16;
const INTERNET: u16 = 1;

/// Prints each answer in a line of its own; that there is none is an error.
pub fn run(words: Vec<String>) -> Result<()> {
    let mut arguments = Arguments::new(words, &["timeout-ms"]);
    let name: String = arguments.next("the name")?;
    let server: Address = arguments.next("the server's address")?;
    let kind: Option<String> = arguments.next_or_none("the kind")?;
    arguments.end()?;
    let kind = kind.as_deref().unwrap_or("A");
    for answer in ask(&name, server.port(PORT), kind, timeout(&arguments)?)? {
        writeln!(io::stdout(), "{answer}")?;
    }
    Ok(())
}

/// The IPv4 address of a name, from the first server of `resolv.conf`.
pub fn address_of(name: &str, timeout: Duration) -> Result<IpAddr> {
    let file = std::fs::read_to_string("/etc/resolv.conf").context("this guest has no resolver")?;
    let server = file
        .lines()
        .find_map(|line| line.strip_prefix("nameserver "));
    let server: Address = server.context("no name server is known")?.parse()?;
    let answers = ask(name, server.port(PORT), "A", timeout)?;
    let mut addresses = answers.iter().filter_map(|answer| answer.parse().ok());
    addresses
        .next()
        .with_context(|| format!("{name} has no address"))
}

fn ask(name: &str, server: SocketAddr, kind: &str, timeout: Duration) -> Result<Vec<String>> {
    let kind = match kind {
        "A" => 1,
        "CNAME" => 5,
        "PTR" => 12,
        "AAAA" => 28,
        _ => bail!("no kind of record is called {kind}; there are A, AAAA, CNAME and PTR"),
    };
    let answer = udp::ask(server, &question(name, kind)?, timeout)?;
    answers(&answer)
        .context("the server's answer is broken")?
        .with_context(|| format!("{server} about {name}"))
}

fn question(name: &str, kind: u16) -> Result<Vec<u8>> {
    let mut message = [&ID[..], &[1, 0, 0, 1, 0, 0, 0, 0, 0, 0]].concat();
    for label in name.trim_end_matches('.').split('.') {
        let length = u8::try_from(label.len())
            .ok()
            .filter(|length| (1..64).contains(length));
        message.push(length.with_context(|| format!("{name} is no name"))?);
        message.extend(label.as_bytes());
    }
    message.push(0);
    message.extend([kind, INTERNET].map(u16::to_be_bytes).concat());
    Ok(message)
}

/// The answers in words, or why there are none; nothing if the message is broken.
fn answers(message: &[u8]) -> Option<Result<Vec<String>>> {
    let count = word(message, 6)?;
    if !message.starts_with(&ID) || message.get(2)? & 0x80 == 0 {
        return None;
    }
    match message.get(3)? & 0x0f {
        0 => {}
        2 => return Some(Err(anyhow::anyhow!("SERVFAIL"))),
        3 => return Some(Err(anyhow::anyhow!("NXDOMAIN"))),
        5 => return Some(Err(anyhow::anyhow!("REFUSED"))),
        code => return Some(Err(anyhow::anyhow!("error {code}"))),
    }
    let mut at = name(message, HEADER_BYTES)?.1 + 4;
    let mut found = Vec::new();
    for _ in 0..count {
        at = name(message, at)?.1;
        let (kind, length) = (word(message, at)?, usize::from(word(message, at + 8)?));
        let data_at = at + 10;
        let data = message.get(data_at..data_at + length)?;
        match kind {
            1 => found.push(Ipv4Addr::from(*data.first_chunk::<4>()?).to_string()),
            28 => found.push(Ipv6Addr::from(*data.first_chunk::<16>()?).to_string()),
            5 | 12 => found.push(name(message, data_at)?.0),
            _ => {}
        }
        at = data_at + length;
    }
    Some(check(found))
}

fn check(found: Vec<String>) -> Result<Vec<String>> {
    ensure!(
        !found.is_empty(),
        "the name exists, and has no record of this kind"
    );
    Ok(found)
}

/// The name at a place, and the place after it.
fn name(message: &[u8], mut at: usize) -> Option<(String, usize)> {
    let (mut labels, mut end) = (Vec::new(), None);
    let mut pointers = 0;
    loop {
        let length = *message.get(at)?;
        if length & 0xc0 == 0xc0 {
            pointers += 1;
            if pointers > POINTERS_MAX {
                return None;
            }
            end = end.or(Some(at + 2));
            at = usize::from(word(message, at)? & 0x3fff);
        } else if length == 0 {
            return Some((labels.join("."), end.unwrap_or(at + 1)));
        } else {
            let label = message.get(at + 1..at + 1 + usize::from(length))?;
            labels.push(String::from_utf8_lossy(label).into_owned());
            at += 1 + usize::from(length);
        }
    }
}

fn word(message: &[u8], at: usize) -> Option<u16> {
    message
        .get(at..)?
        .first_chunk()
        .map(|bytes| u16::from_be_bytes(*bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn response(code: u8, records: &[u8], count: u8) -> Vec<u8> {
        let mut message = question("db.net-1", 1).unwrap();
        message[2..8].copy_from_slice(&[0x81, 0x80 | code, 0, 1, 0, count]);
        message.extend(records);
        message
    }

    #[test]
    fn a_question_is_as_the_standard_says() {
        let expected = b"KN\x01\0\0\x01\0\0\0\0\0\0\x02db\x05net-1\0\0\x1c\0\x01";
        assert_eq!(question("db.net-1.", 28).unwrap(), expected);
        assert!(question("a..b", 1).is_err());
        assert!(question(&"x".repeat(64), 1).is_err());
    }

    #[test]
    fn answers_of_all_kinds() {
        let records = [
            &b"\xc0\x0c\0\x05\0\x01\0\0\0\x3c\0\x04\x01x\xc0\x0f"[..],
            b"\xc0\x0c\0\x01\0\x01\0\0\0\x3c\0\x04\x0a\0\0\x07",
        ]
        .concat();
        let found = answers(&response(0, &records, 2)).unwrap().unwrap();
        assert_eq!(found, ["x.net-1", "10.0.0.7"]);
        let whole = response(0, &records, 2);
        for length in 0..whole.len() {
            assert!(answers(&whole[..length]).is_none(), "cut at {length}");
        }
    }

    #[test]
    fn no_answer_says_why() {
        for (code, word) in [(3, "NXDOMAIN"), (0, "no record"), (2, "SERVFAIL")] {
            let error = answers(&response(code, &[], 0)).unwrap().unwrap_err();
            assert!(error.to_string().contains(word), "{error}");
        }
        let circle = response(0, b"\xc0\x18", 1);
        assert!(answers(&circle).is_none());
    }
}
