//! What rows are called. Databases make them; this client only carries them.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error};

/// Where the hyphens are: 8-4-4-4-12 digits.
const HYPHENS: [usize; 4] = [8, 13, 18, 23];
const LENGTH: usize = 36;

/// A UUID, as RFC 4122 writes it. The default is the one of zeros, which names no row.
#[derive(Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Uuid(u128);

/// The text is not a UUID.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not a UUID: 32 hexadecimal digits in groups of 8-4-4-4-12 are")]
pub struct NotUuid(String);

impl Uuid {
    /// Whether it is the one of zeros.
    pub fn is_nil(self) -> bool {
        self.0 == 0
    }
}

impl From<u128> for Uuid {
    fn from(number: u128) -> Self {
        Self(number)
    }
}

impl FromStr for Uuid {
    type Err = NotUuid;

    fn from_str(text: &str) -> Result<Self, NotUuid> {
        // An answer quotes a part only: it may come from a peer that sends anything.
        let wrong = || NotUuid(text.chars().take(LENGTH).collect());
        if text.len() != LENGTH {
            return Err(wrong());
        }
        let mut number = 0_u128;
        for (at, byte) in text.bytes().enumerate() {
            if HYPHENS.contains(&at) {
                if byte != b'-' {
                    return Err(wrong());
                }
                continue;
            }
            let digit = char::from(byte).to_digit(16).ok_or_else(wrong)?;
            number = number << 4 | u128::from(digit);
        }
        Ok(Self(number))
    }
}

impl fmt::Display for Uuid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let n = self.0;
        write!(
            f,
            "{:08x}-{:04x}-{:04x}-{:04x}-{:012x}",
            n >> 96,
            n >> 80 & 0xffff,
            n >> 64 & 0xffff,
            n >> 48 & 0xffff,
            n & 0xffff_ffff_ffff
        )
    }
}

impl fmt::Debug for Uuid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl Serialize for Uuid {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Uuid {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
        text.parse().map_err(D::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn what_is_written_is_read(number: u128) {
            let text = Uuid(number).to_string();
            prop_assert_eq!(text.len(), LENGTH);
            prop_assert_eq!(text.parse(), Ok(Uuid(number)));
            prop_assert_eq!(text.to_uppercase().parse(), Ok(Uuid(number)));
        }

        #[test]
        fn no_text_is_too_strange(text: String) {
            prop_assert!(text.parse::<Uuid>().is_err());
        }
    }

    #[test]
    fn digits_and_hyphens_have_their_places() {
        let right = "36bef046-7da7-43a5-905a-c17899216fcb";
        assert_eq!(right.parse::<Uuid>().unwrap().to_string(), right);
        for wrong in [
            "36bef0467-da7-43a5-905a-c17899216fcb",
            "36bef046-7da7-43a5-905a-c17899216fc",
            "36bef046-7da7-43a5-905a-c17899216fcg",
            "36bef046-7da7-43a5-905a-c17899216-cb",
            "+6bef046-7da7-43a5-905a-c17899216fcb",
            "",
        ] {
            assert!(wrong.parse::<Uuid>().is_err(), "{wrong}");
        }
    }
}
