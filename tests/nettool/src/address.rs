//! Addresses as people write them, and the guest's own name.

use std::net::{IpAddr, Ipv6Addr, SocketAddr, SocketAddrV6};
use std::str::FromStr;

use anyhow::{Context, Result};
use nix::net::if_::if_nametoindex;

/// An address without a port; a link-local one may name its card, as in `fe80::1%eth0`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Address {
    ip: IpAddr,
    scope: u32,
}

impl Address {
    /// With a port.
    pub fn port(self, port: u16) -> SocketAddr {
        match self.ip {
            IpAddr::V4(ip) => SocketAddr::new(ip.into(), port),
            IpAddr::V6(ip) => SocketAddrV6::new(ip, port, 0, self.scope).into(),
        }
    }
}

impl From<IpAddr> for Address {
    fn from(ip: IpAddr) -> Self {
        Self { ip, scope: 0 }
    }
}

impl FromStr for Address {
    type Err = anyhow::Error;

    fn from_str(text: &str) -> Result<Self> {
        let text = text.trim_start_matches('[').trim_end_matches(']');
        let Some((ip, card)) = text.split_once('%') else {
            return Ok(Self::from(text.parse::<IpAddr>()?));
        };
        let ip = ip.parse::<Ipv6Addr>()?.into();
        let scope =
            if_nametoindex(card).with_context(|| format!("no network card is called {card}"))?;
        Ok(Self { ip, scope })
    }
}

/// What this guest is called.
pub fn host_name() -> Result<String> {
    let name = std::fs::read_to_string("/proc/sys/kernel/hostname");
    Ok(name
        .context("failed to read the host name")?
        .trim()
        .to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_with_and_without_a_card() {
        for (text, expected) in [
            ("10.0.0.1", "10.0.0.1:80"),
            ("fd00::1", "[fd00::1]:80"),
            ("[fd00::1]", "[fd00::1]:80"),
        ] {
            let address: Address = text.parse().unwrap();
            assert_eq!(address.port(80).to_string(), expected);
        }
        let local: Address = "fe80::1%lo".parse().unwrap();
        assert!(matches!(local.port(1), SocketAddr::V6(address) if address.scope_id() > 0));
        for nonsense in ["", "10.0.0", "web", "fe80::1%none", "10.0.0.1%lo"] {
            assert!(nonsense.parse::<Address>().is_err(), "{nonsense}");
        }
    }
}
