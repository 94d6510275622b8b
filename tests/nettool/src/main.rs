//! `nettool`: what tests run inside the tiny guest. One static program; see each subcommand's module.
//!
//! Says what it finds on standard output and what went wrong on standard error, with exit code 1. Never changes the
//! guest's addresses or routes by itself: that is for the guest's scripts.

use std::io::Write;
use std::process::ExitCode;

use anyhow::{Result, bail};

mod address;
mod arguments;
mod dns;
mod http;
mod ipv6;
mod packet;
mod runner;
mod streams;

const USAGE: &str = "\
nettool forge CARD KIND [NAME=VALUE…] [count=N] [interval-ms=N]   sends frames; KIND without more lists what it needs
    echo source=IP to=IP | arp-reply claim=IP to=IP | arp-gratuitous claim=IP | neighbour-advertisement claim=IP6
    router-advertisement prefix=IP6 [dns=IP6] | dhcp-offer source=IP offer=IP | dhcpv6-advertise offer=IP6 | hex bytes=HEX
    each also with source-mac=MAC and destination-mac=MAC
nettool capture CARD SECONDS [WORD…]            frames that came in, in words; only those with all these words
nettool tcp-serve ADDRESS PORT [TEXT]           greets with TEXT (else its host name), then echoes
nettool tcp-get ADDRESS PORT [timeout-ms=N]     what a server greets with
nettool tcp-bulk ADDRESS PORT BYTES [timeout-ms=N]   sends bytes to tcp-serve, checks what comes back
nettool udp-serve ADDRESS PORT [TEXT]           answers each datagram with TEXT (else its host name)
nettool udp-get ADDRESS PORT [timeout-ms=N] [bytes=N]   what a server answers to one datagram
nettool http URL [METHOD] [NAME:VALUE…] [body=TEXT] [timeout-ms=N]   status, headers, body
nettool resolve NAME SERVER [A|AAAA|PTR] [timeout-ms=N]   the addresses of a name
nettool ipv6 CARD SCRIPT                        the guest's own: router advertisements and DHCPv6
nettool runner                                  the guest's own: commands over the serial console
";

fn main() -> ExitCode {
    match run(std::env::args().skip(1).collect()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let _ = writeln!(std::io::stderr(), "nettool: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(mut words: Vec<String>) -> Result<()> {
    let rest = words.split_off(words.len().min(1));
    match words.first().map_or("", String::as_str) {
        "forge" => packet::forge::run(rest),
        "capture" => packet::capture::run(rest),
        "tcp-serve" => streams::tcp::serve(rest),
        "tcp-get" => streams::tcp::get(rest),
        "tcp-bulk" => streams::bulk::run(rest),
        "udp-serve" => streams::udp::serve(rest),
        "udp-get" => streams::udp::get(rest),
        "http" => http::run(rest),
        "resolve" => dns::run(rest),
        "ipv6" => ipv6::run(rest),
        "runner" => runner::run(),
        _ => bail!("what to do?\n{USAGE}"),
    }
}
