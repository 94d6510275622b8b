//! `nettool http`: one request of HTTP/1.1, and all of the answer.

use std::io::{self, Read, Write};
use std::net::TcpStream;

use anyhow::{Context, Result, ensure};

use crate::address::Address;
use crate::arguments::Arguments;
use crate::dns;
use crate::streams::timeout;

/// Prints the status's number, each header, an empty line and the body.
pub fn run(words: Vec<String>) -> Result<()> {
    let mut arguments = Arguments::new(words, &["timeout-ms", "body"]);
    let url: String = arguments.next("the URL")?;
    let url = Url::parse(&url)?;
    let timeout = timeout(&arguments)?;
    let address = match url.host.parse::<Address>() {
        Ok(address) => address,
        Err(_) => dns::address_of(url.host, timeout)?.into(),
    };
    let address = address.port(url.port);
    let body: String = arguments.get_or("body", String::new())?;
    let mut words = arguments.rest();
    let method = if words.first().is_some_and(|word| !word.contains(':')) {
        words.remove(0)
    } else {
        "GET".to_owned()
    };
    let request = request(&method, &url, &words, &body);
    let stream = TcpStream::connect_timeout(&address, timeout);
    let mut stream = stream.with_context(|| format!("failed to connect to {address}"))?;
    stream.set_read_timeout(Some(timeout))?;
    stream.write_all(request.as_bytes())?;
    let mut answer = Vec::new();
    stream
        .read_to_end(&mut answer)
        .with_context(|| format!("{address} did not answer to the end"))?;
    let answer = Answer::parse(&answer).context("the answer is not of HTTP")?;
    ensure!(answer.whole, "the answer's body is cut off");
    writeln!(io::stdout(), "{}\n{}\n", answer.status, answer.headers)?;
    io::stdout().write_all(&answer.body)?;
    Ok(())
}

#[derive(Debug, PartialEq, Eq)]
struct Url<'a> {
    host: &'a str,
    port: u16,
    authority: &'a str,
    path: &'a str,
}

impl<'a> Url<'a> {
    fn parse(url: &'a str) -> Result<Self> {
        let rest = url
            .strip_prefix("http://")
            .context("a URL begins with http://")?;
        let (authority, path) = match rest.find('/') {
            Some(at) => rest.split_at(at),
            None => (rest, "/"),
        };
        let (host, port) = match authority.rsplit_once(':') {
            Some((host, port)) if !port.ends_with(']') => {
                (host, port.parse().context("the port is no number")?)
            }
            _ => (authority, 80),
        };
        ensure!(!host.is_empty(), "the URL has no host");
        Ok(Self {
            host,
            port,
            authority,
            path,
        })
    }
}

fn request(method: &str, url: &Url<'_>, headers: &[String], body: &str) -> String {
    let mut request = format!("{method} {} HTTP/1.1\r\n", url.path);
    let names_host = |header: &String| header.to_ascii_lowercase().starts_with("host:");
    if !headers.iter().any(names_host) {
        request += &["Host: ", url.authority, "\r\n"].concat();
    }
    for header in headers {
        request += &[header, "\r\n"].concat();
    }
    if !body.is_empty() || method == "PUT" || method == "POST" {
        request += &["Content-Length: ", &body.len().to_string(), "\r\n"].concat();
    }
    request + "Connection: close\r\n\r\n" + body
}

#[derive(Debug, PartialEq, Eq)]
struct Answer {
    status: u16,
    headers: String,
    body: Vec<u8>,
    whole: bool,
}

impl Answer {
    /// Of everything that came until the server closed the connection.
    fn parse(bytes: &[u8]) -> Option<Self> {
        let end = bytes.windows(4).position(|four| four == b"\r\n\r\n")?;
        let head = std::str::from_utf8(&bytes[..end]).ok()?;
        let body = &bytes[end + 4..];
        let (first, headers) = head.split_once("\r\n").unwrap_or((head, ""));
        let mut words = first.split(' ');
        words.next().filter(|word| word.starts_with("HTTP/1."))?;
        let status = words.next()?.parse().ok()?;
        let value_of = |wanted: &str| {
            headers.lines().find_map(|line| {
                let (name, value) = line.split_once(':')?;
                name.eq_ignore_ascii_case(wanted).then(|| value.trim())
            })
        };
        let length = value_of("content-length").and_then(|length| length.parse::<usize>().ok());
        let is_chunked = value_of("transfer-encoding")
            .is_some_and(|value| value.eq_ignore_ascii_case("chunked"));
        let (body, whole) = if is_chunked {
            unchunked(body)
        } else {
            let whole = length.is_none_or(|length| length <= body.len());
            (body.to_vec(), whole)
        };
        Some(Self {
            status,
            headers: headers.replace('\r', ""),
            body,
            whole,
        })
    }
}

/// A body without the sizes between its chunks, and whether the last chunk was there.
fn unchunked(mut rest: &[u8]) -> (Vec<u8>, bool) {
    let mut body = Vec::new();
    loop {
        let Some((chunk, after)) = chunk(rest) else {
            return (body, false);
        };
        if chunk.is_empty() {
            return (body, true);
        }
        body.extend(chunk);
        rest = after;
    }
}

fn chunk(rest: &[u8]) -> Option<(&[u8], &[u8])> {
    let line_end = rest.windows(2).position(|two| two == b"\r\n")?;
    let size = std::str::from_utf8(&rest[..line_end]).ok()?;
    let size = usize::from_str_radix(size.split(';').next()?.trim(), 16).ok()?;
    let (chunk, after) = rest.get(line_end + 2..)?.split_at_checked(size)?;
    Some((chunk, after.strip_prefix(b"\r\n")?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls() {
        for (url, expected) in [
            ("http://10.0.0.1", ("10.0.0.1", 80, "/")),
            ("http://web.net/a?b=c:d", ("web.net", 80, "/a?b=c:d")),
            ("http://[fd00::1]:8080/x", ("[fd00::1]", 8080, "/x")),
            ("http://[fd00::1]/x", ("[fd00::1]", 80, "/x")),
        ] {
            let found = Url::parse(url).unwrap();
            assert_eq!((found.host, found.port, found.path), expected);
        }
        for nonsense in ["https://a", "http://", "http://a:b/"] {
            assert!(Url::parse(nonsense).is_err(), "{nonsense}");
        }
    }

    #[test]
    fn a_request_of_a_session_token() {
        let url = Url::parse("http://169.254.169.254/latest/api/token").unwrap();
        let headers = ["X-aws-ec2-metadata-token-ttl-seconds: 60".to_owned()];
        let expected = "PUT /latest/api/token HTTP/1.1\r\nHost: 169.254.169.254\r\n\
                        X-aws-ec2-metadata-token-ttl-seconds: 60\r\nContent-Length: 0\r\nConnection: close\r\n\r\n";
        assert_eq!(request("PUT", &url, &headers, ""), expected);
        let other_host = request("GET", &url, &["host: x".to_owned()], "");
        assert!(!other_host.contains("169.254"), "{other_host}");
    }

    #[test]
    fn answers_whole_and_cut() {
        let parse = |text: &str| Answer::parse(text.as_bytes());
        let plain =
            parse("HTTP/1.1 404 Not Found\r\nContent-Length: 3\r\nA: b\r\n\r\nno\n").unwrap();
        assert_eq!(
            (plain.status, &*plain.body, plain.whole),
            (404, &b"no\n"[..], true)
        );
        assert_eq!(plain.headers, "Content-Length: 3\nA: b");
        let cut = parse("HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nno\n").unwrap();
        assert!(!cut.whole);
        let chunked = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2;x\r\nde\r\n0\r\n\r\n";
        let found = parse(chunked).unwrap();
        assert_eq!((&*found.body, found.whole), (&b"abcde"[..], true));
        let cut = parse(&chunked[..chunked.len() - 5]).unwrap();
        assert_eq!((&*cut.body, cut.whole), (&b"abcde"[..], false));
        for nonsense in ["", "SSH-2.0\r\n\r\n", "HTTP/1.1 x\r\n\r\n"] {
            assert_eq!(parse(nonsense), None);
        }
    }
}
