//! Session tokens: proofs that whoever shows one asked for it here, as the guest that it was given to.
//!
//! A token is when it ends and a code over that and the guest (HMAC), with a key that is made at the start and known to
//! nobody: there is nothing to keep, and a restart ends all of them. Clients ask for another one then.

use std::time::Instant;

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use ring::{hmac, rand::SystemRandom};

/// How many bytes say when a token ends.
const END: usize = size_of::<u64>();

/// The machine gave no random numbers.
#[derive(Debug, thiserror::Error)]
#[error("failed to make a key for session tokens: this machine gives no random numbers")]
pub struct NoKey;

/// Gives and checks tokens.
#[derive(Debug)]
pub struct Tokens {
    key: hmac::Key,
    /// What ends are counted from: no token outlives the process, and its clock never goes back.
    began: Instant,
}

impl Tokens {
    /// With a key of its own.
    pub fn new() -> Result<Self, NoKey> {
        let random = SystemRandom::new();
        let key = hmac::Key::generate(hmac::HMAC_SHA256, &random).map_err(|_| NoKey)?;
        Ok(Self {
            key,
            began: Instant::now(),
        })
    }

    /// A token of the server with this UID, for so many seconds from now.
    pub fn give(&self, server_uid: &str, seconds: u32) -> String {
        self.give_at(self.now(), server_uid, seconds)
    }

    /// Whether it is a token of this server that holds now.
    pub fn holds(&self, server_uid: &str, token: &[u8]) -> bool {
        self.holds_at(self.now(), server_uid, token)
    }

    fn now(&self) -> u64 {
        self.began.elapsed().as_secs()
    }

    fn give_at(&self, now: u64, server_uid: &str, seconds: u32) -> String {
        let end = (now + u64::from(seconds)).to_be_bytes();
        let code = hmac::sign(&self.key, &signed(end, server_uid));
        URL_SAFE_NO_PAD.encode([&end[..], code.as_ref()].concat())
    }

    fn holds_at(&self, now: u64, server_uid: &str, token: &[u8]) -> bool {
        let Ok(bytes) = URL_SAFE_NO_PAD.decode(token) else {
            return false;
        };
        let Some((end, code)) = bytes.split_first_chunk::<END>() else {
            return false;
        };
        let is_ours = hmac::verify(&self.key, &signed(*end, server_uid), code).is_ok();
        is_ours && now < u64::from_be_bytes(*end)
    }
}

fn signed(end: [u8; END], server_uid: &str) -> Vec<u8> {
    [&end[..], server_uid.as_bytes()].concat()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_holds_for_its_guest_until_it_ends() {
        let tokens = Tokens::new().unwrap();
        let token = tokens.give_at(100, "a", 60);
        assert!(tokens.holds_at(100, "a", token.as_bytes()));
        assert!(tokens.holds_at(159, "a", token.as_bytes()));
        assert!(!tokens.holds_at(160, "a", token.as_bytes()));
        assert!(!tokens.holds_at(100, "b", token.as_bytes()));
        let others = Tokens::new().unwrap();
        assert!(!others.holds_at(100, "a", token.as_bytes()));
    }

    #[test]
    fn what_was_changed_is_no_token() {
        let tokens = Tokens::new().unwrap();
        let token = tokens.give_at(100, "a", 60);
        for place in 0..token.len() {
            let mut forged = token.clone().into_bytes();
            forged[place] = if forged[place] == b'A' { b'B' } else { b'A' };
            assert!(!tokens.holds_at(100, "a", &forged), "{place}");
        }
        for junk in [&b""[..], b"AAAA", b"\xff", b"AAAAAAAAAAA"] {
            assert!(!tokens.holds_at(100, "a", junk));
        }
    }
}
