//! Addresses of networks: prefixes and Ethernet addresses, each in the one form that equal ones share.

use std::{
    fmt,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    str::FromStr,
};

use ipnet::IpNet;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

/// An IP prefix without host bits, such as `10.0.0.0/24` or `2001:db8::/64` (RFC 4632, RFC 4291).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Cidr(IpNet);

/// Why a text is no [`Cidr`].
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum CidrError {
    /// Not an address, a slash and a length.
    #[error("{0:?} is not a prefix: write an address, a slash and a length, such as 10.0.0.0/24")]
    Malformed(String),
    /// Bits after the prefix are set.
    #[error("{0:?} has bits behind its prefix: {1} may be meant")]
    HostBits(String, IpNet),
}

impl Cidr {
    /// The prefix of this length that holds `address`; none, if the address has not so many bits.
    pub fn containing(address: IpAddr, length: u8) -> Option<Self> {
        IpNet::new(address, length)
            .ok()
            .map(|net| Self(net.trunc()))
    }

    /// As a type with arithmetic.
    pub fn net(&self) -> IpNet {
        self.0
    }

    /// Whether it is of IPv6.
    pub fn is_ipv6(&self) -> bool {
        self.0.addr().is_ipv6()
    }

    /// Whether the address is in it.
    pub fn contains(&self, address: IpAddr) -> bool {
        self.0.contains(&address)
    }

    /// Whether some address is in both.
    pub fn overlaps(&self, other: &Self) -> bool {
        self.0.contains(&other.0) || other.0.contains(&self.0)
    }
}

impl FromStr for Cidr {
    type Err = CidrError;

    fn from_str(text: &str) -> Result<Self, CidrError> {
        let net: IpNet = text
            .parse()
            .map_err(|_| CidrError::Malformed(text.to_owned()))?;
        if net == net.trunc() {
            Ok(Self(net))
        } else {
            Err(CidrError::HostBits(text.to_owned(), net.trunc()))
        }
    }
}

impl fmt::Display for Cidr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl Serialize for Cidr {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Cidr {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        parsed(deserializer)
    }
}

/// An Ethernet address of one interface: not of a group, and not all zeros.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Mac([u8; 6]);

/// Why a text is no [`Mac`].
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error(
    "{0:?} is not the MAC address of an interface: write six pairs of hexadecimal digits with colons, the first one even, such as 02:00:5e:10:00:01"
)]
pub struct MacError(String);

impl Mac {
    /// An address of our own making (IEEE 802: locally administered) that follows from `seed` alone; 40 bits of it are
    /// free, so two of a network hardly ever agree, and whoever gives them out must look.
    pub fn of(seed: &str) -> Self {
        let digest = super::value::Sha256::of(seed);
        let bits = u64::from_str_radix(&digest.as_str()[..10], 16).unwrap_or_default();
        let bytes = bits.to_be_bytes();
        Self([0x02, bytes[3], bytes[4], bytes[5], bytes[6], bytes[7]])
    }

    /// Its bytes.
    pub fn bytes(&self) -> [u8; 6] {
        self.0
    }

    /// The interface identifier that IPv6 makes of it (RFC 4291, appendix A), in the prefix.
    pub fn slaac(&self, prefix: Ipv6Addr) -> Ipv6Addr {
        let mut host = [0; 8];
        host[..3].copy_from_slice(&self.0[..3]);
        host[3..5].copy_from_slice(&[0xff, 0xfe]);
        host[5..].copy_from_slice(&self.0[3..]);
        // Whether an address is of somebody's own making is said the other way round.
        host[0] ^= 2;
        let host = u64::from_be_bytes(host);
        let network = u128::from(prefix) & !u128::from(u64::MAX);
        (network | u128::from(host)).into()
    }
}

impl FromStr for Mac {
    type Err = MacError;

    fn from_str(text: &str) -> Result<Self, MacError> {
        let wrong = || MacError(text.to_owned());
        let mut bytes = [0; 6];
        let mut pairs = text.split(':');
        for byte in &mut bytes {
            let pair = pairs.next().filter(|pair| pair.len() == 2);
            *byte = pair
                .and_then(|pair| u8::from_str_radix(pair, 16).ok())
                .ok_or_else(wrong)?;
        }
        let is_group = bytes[0] & 1 == 1;
        if pairs.next().is_some() || is_group || bytes == [0; 6] || text.contains('+') {
            return Err(wrong());
        }
        Ok(Self(bytes))
    }
}

impl fmt::Display for Mac {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let pairs = self.0.map(|byte| format!("{byte:02x}"));
        f.write_str(&pairs.join(":"))
    }
}

impl Serialize for Mac {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Mac {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        parsed(deserializer)
    }
}

fn parsed<'de, D, T>(deserializer: D) -> Result<T, D::Error>
where
    D: Deserializer<'de>,
    T: FromStr<Err: fmt::Display>,
{
    let text = String::deserialize(deserializer)?;
    text.parse().map_err(de::Error::custom)
}

/// How many bits an address of this family has.
pub fn bits(address: IpAddr) -> u8 {
    match address {
        IpAddr::V4(_) => u8::try_from(Ipv4Addr::BITS).unwrap_or(32),
        IpAddr::V6(_) => u8::try_from(Ipv6Addr::BITS).unwrap_or(128),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_prefix_has_no_host_bits() {
        let cidr: Cidr = "10.0.0.0/24".parse().unwrap();
        assert_eq!(cidr.to_string(), "10.0.0.0/24");
        assert_eq!(
            "10.0.0.5/24".parse::<Cidr>().unwrap_err().to_string(),
            "\"10.0.0.5/24\" has bits behind its prefix: 10.0.0.0/24 may be meant"
        );
        for wrong in ["10.0.0.0/33", "10.0.0.0", "10.0.0/24", "::/129", ""] {
            assert_eq!(
                wrong.parse::<Cidr>(),
                Err(CidrError::Malformed(wrong.to_owned()))
            );
        }
    }

    #[test]
    fn prefixes_overlap_when_one_holds_the_other() {
        let cidr = |text: &str| text.parse::<Cidr>().unwrap();
        assert!(cidr("10.0.0.0/16").overlaps(&cidr("10.0.3.0/24")));
        assert!(cidr("10.0.3.0/24").overlaps(&cidr("10.0.0.0/16")));
        assert!(!cidr("10.0.0.0/24").overlaps(&cidr("10.0.1.0/24")));
        assert!(!cidr("0.0.0.0/0").overlaps(&cidr("::/0")));
    }

    #[test]
    fn an_ethernet_address_is_of_one_interface() {
        let mac: Mac = "02:AB:00:00:00:01".parse().unwrap();
        assert_eq!(mac.to_string(), "02:ab:00:00:00:01");
        for wrong in [
            "00:00:00:00:00:00",
            "ff:ff:ff:ff:ff:ff",
            "01:00:5e:00:00:01",
            "02:00:00:00:00",
            "02:00:00:00:00:00:01",
            "02:00:00:00:00:0g",
            "02:00:00:00:00:+1",
            "2:0:0:0:0:1",
        ] {
            assert_eq!(wrong.parse::<Mac>(), Err(MacError(wrong.to_owned())));
        }
    }

    #[test]
    fn an_address_of_our_own_is_always_the_same_and_locally_administered() {
        let mac = Mac::of("a");
        assert_eq!(mac, Mac::of("a"));
        assert_ne!(mac, Mac::of("b"));
        assert_eq!(mac.bytes()[0], 2);
        assert_eq!(mac.to_string().parse(), Ok(mac));
    }

    #[test]
    fn slaac_is_as_rfc_4291_says() {
        let mac: Mac = "34:56:78:9a:bc:de".parse().unwrap();
        let address = mac.slaac("2001:db8::".parse().unwrap());
        assert_eq!(address.to_string(), "2001:db8::3656:78ff:fe9a:bcde");
    }
}
