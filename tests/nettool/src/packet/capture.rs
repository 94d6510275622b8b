//! `nettool capture`: what comes in at a card, one line for each frame, and how many there were.

use std::io::{self, Write};
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};

use super::describe::describe;
use super::socket::Socket;
use crate::arguments::Arguments;

/// Captures for as long as the words say. `capturing` comes first, so that a test knows when to send.
pub fn run(words: Vec<String>) -> Result<()> {
    let mut arguments = Arguments::new(words, &[]);
    let card: String = arguments.next("the network card")?;
    let seconds = arguments.next("the number of seconds")?;
    let filter = arguments.rest();
    let socket = Socket::open(&card)?;
    // Frames for somebody else count, too: they should not have come here.
    promiscuous(&card, "on")?;
    let captured = capture(&socket, Duration::from_secs(seconds), &filter);
    promiscuous(&card, "off")?;
    writeln!(io::stdout(), "{} frames", captured?)?;
    Ok(())
}

fn capture(socket: &Socket, span: Duration, filter: &[String]) -> Result<usize> {
    let mut out = io::stdout();
    writeln!(out, "capturing")?;
    let (began, mut count) = (Instant::now(), 0);
    while began.elapsed() < span {
        let Some(frame) = socket.receive()? else {
            continue;
        };
        let line = describe(&frame);
        if matches(&line, filter) {
            count += 1;
            writeln!(out, "{line}")?;
        }
    }
    Ok(count)
}

/// Whether all words of the filter are words of the line.
fn matches(line: &str, filter: &[String]) -> bool {
    filter
        .iter()
        .all(|wanted| line.split(' ').any(|word| word == wanted))
}

fn promiscuous(card: &str, switch: &str) -> Result<()> {
    let status = Command::new("ip")
        .args(["link", "set", "dev", card, "promisc", switch])
        .status()
        .context("failed to start ip")?;
    ensure!(
        status.success(),
        "failed to make {card} promiscuous or not: {status}"
    );
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_filter_is_a_set_of_whole_words() {
        let line = "a > b 42 bytes arp reply 10.0.0.1 is-at a to 10.0.0.12";
        let matches = |filter: &str| {
            let words: Vec<String> = filter.split_whitespace().map(str::to_owned).collect();
            matches(line, &words)
        };
        for filter in ["", "arp", "10.0.0.12 arp"] {
            assert!(matches(filter), "{filter}");
        }
        for filter in ["10.0.0", "arp request"] {
            assert!(!matches(filter), "{filter}");
        }
    }
}
