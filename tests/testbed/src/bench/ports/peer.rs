//! The same ports by hand: one `ovn-nbctl` for each, or for all of them, as a script has it that knows all names and
//! addresses beforehand.
//!
//! Each call does in one transaction what a Port of ours is in the northbound database: the port with its addresses, what it may
//! send and its DHCP options, its place in its switch, and its places in the group that lets nothing pass and in its
//! security group. It waits for nothing (`--no-wait` is how ovn-nbctl works by itself).

use std::ops::Range;

use anyhow::{Context, Result, ensure};

use super::cloud::Place;
use crate::ovn::Ovn;

/// What a script would have noted down of a project.
pub struct Noted {
    switch: String,
    dhcp: String,
    group: String,
    guard: String,
}

/// Looks up what the script needs, before anything is measured.
pub async fn note(ovn: &Ovn, places: &[Place]) -> Result<Vec<Noted>> {
    let mut noted = Vec::new();
    for place in places {
        let key = format!(r#"external_ids:"kilonova.dev/key"="dhcp/{}""#, place.subnet);
        let find = ["--bare", "--columns=_uuid", "find", "DHCP_Options", &key];
        let dhcp = ovn.nbctl(find).await?.trim().to_owned();
        ensure!(
            !dhcp.is_empty(),
            "OVN has no DHCP options of {}",
            place.subnet
        );
        noted.push(Noted {
            switch: place.network.clone(),
            dhcp,
            group: format!("pg_{}", place.group.replace('-', "_")),
            guard: format!("guard_{}", place.network.replace('-', "_")),
        });
    }
    Ok(noted)
}

/// The name of a port.
pub fn name(number: usize) -> String {
    format!("by-hand-{number}")
}

/// Makes ports, all of them in one call.
pub async fn make(ovn: &Ovn, noted: &[Noted], numbers: Range<usize>) -> Result<()> {
    let mut words = Vec::new();
    for number in numbers.clone() {
        let port = port(noted, number)?;
        words.extend(port.into_iter().skip(usize::from(words.is_empty())));
    }
    let made = ovn.nbctl(&words).await;
    made.map(drop)
        .with_context(|| format!("failed to make ports {numbers:?}"))
}

/// The words for a port, after those for another.
fn port(noted: &[Noted], number: usize) -> Result<Vec<String>> {
    let at = noted
        .get(number % noted.len())
        .context("there is no project")?;
    let [high, low] = u16::try_from(number)?.to_be_bytes();
    // Beyond all that the cloud has given out.
    let address = format!("0a:00:00:00:{high:02x}:{low:02x} 10.0.{}.{low}", 128 + high);
    let own = format!("@port{number}");
    let id = format!("--id={own}");
    let (name, port) = (format!("name={}", name(number)), own.as_str());
    let addresses = format!("addresses=\"{address}\"");
    let security = format!("port_security=\"{address}\"");
    let dhcp = format!("dhcpv4_options={}", at.dhcp);
    let mark = format!("external_ids:made-by=\"{}\"", self::name(number));
    let words: &[&[&str]] = &[
        &["--", &id, "create", "Logical_Switch_Port", &name],
        &[&addresses, &security, &dhcp, &mark],
        &["--", "add", "Logical_Switch", &at.switch, "ports", port],
        &["--", "add", "Port_Group", &at.guard, "ports", port],
        &["--", "add", "Port_Group", &at.group, "ports", port],
    ];
    let words = words.iter().copied().flatten();
    Ok(words.map(|word| (*word).to_owned()).collect())
}

/// Removes all of them at once.
pub async fn clear(ovn: &Ovn, count: usize) -> Result<()> {
    let words = (0..count).flat_map(|number| {
        let delete = ["--", "--if-exists", "lsp-del"].map(str::to_owned);
        delete.into_iter().chain([name(number)])
    });
    let words = words.skip(1);
    ovn.nbctl(words).await.map(drop)
}
