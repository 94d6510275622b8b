//! Where a server listens, written as Open vSwitch writes it (ovsdb(7), "Active Database Connection").

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

/// `unix:PATH`, `tcp:HOST:PORT` or `ssl:HOST:PORT`, with IPv6 addresses in brackets.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Endpoint {
    /// A socket of this machine.
    Unix(PathBuf),
    /// In the clear: for tests, and for networks that somebody else protects.
    Tcp {
        /// A name or an address, without brackets.
        host: String,
        /// 6641 is the northbound database's.
        port: u16,
    },
    /// By TLS, with certificates on both sides.
    Ssl {
        /// A name or an address, without brackets.
        host: String,
        /// 6641 is the northbound database's.
        port: u16,
    },
}

/// The text names no endpoint.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is no endpoint of a database: unix:PATH, tcp:HOST:PORT and ssl:HOST:PORT are")]
pub struct NotEndpoint(String);

impl FromStr for Endpoint {
    type Err = NotEndpoint;

    fn from_str(text: &str) -> Result<Self, NotEndpoint> {
        let wrong = || NotEndpoint(text.to_owned());
        let (kind, rest) = text.split_once(':').ok_or_else(wrong)?;
        if kind == "unix" && !rest.is_empty() {
            return Ok(Self::Unix(rest.into()));
        }
        let (host, port) = rest.rsplit_once(':').ok_or_else(wrong)?;
        let bare = host
            .strip_prefix('[')
            .and_then(|host| host.strip_suffix(']'));
        if host.is_empty() || bare.is_none() && host.contains(':') {
            return Err(wrong());
        }
        let host = bare.unwrap_or(host).to_owned();
        let port = port.parse().map_err(|_| wrong())?;
        match kind {
            "tcp" => Ok(Self::Tcp { host, port }),
            "ssl" => Ok(Self::Ssl { host, port }),
            _ => Err(wrong()),
        }
    }
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (kind, host, port) = match self {
            Self::Unix(path) => return write!(f, "unix:{}", path.display()),
            Self::Tcp { host, port } => ("tcp", host, port),
            Self::Ssl { host, port } => ("ssl", host, port),
        };
        if host.contains(':') {
            write!(f, "{kind}:[{host}]:{port}")
        } else {
            write!(f, "{kind}:{host}:{port}")
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn endpoints_are_read_and_written() {
        for text in [
            "unix:/run/ovn/ovnnb_db.sock",
            "tcp:127.0.0.1:6641",
            "ssl:[fd00::1]:6641",
            "ssl:ovn-central-0.ovn:6641",
        ] {
            assert_eq!(text.parse::<Endpoint>().unwrap().to_string(), text);
        }
        for text in [
            "",
            "unix:",
            "tcp:6641",
            "tcp::6641",
            "tcp:fd00::1:6641",
            "tcp:a:66410",
            "http:a:80",
            "ptcp:6641",
        ] {
            assert!(text.parse::<Endpoint>().is_err(), "{text}");
        }
    }
}
