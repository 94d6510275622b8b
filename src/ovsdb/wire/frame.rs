//! Where one message ends and the next begins: messages are JSON objects, one after the other, without delimiters.
//!
//! Looks at each byte once and keeps only what belongs to the message that is under way. It is no JSON parser: it counts
//! brackets outside of strings, which is enough to find the end of everything that is JSON, and ends what is not soon.

/// How deep brackets may be nested: what the JSON parser takes. OVSDB itself needs fewer than ten.
const DEPTH_MAX: u32 = 127;

/// The bytes are no messages.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FrameError {
    /// Something else than `{` between messages.
    #[error(
        "a message begins with byte {0:#04x} and not with a brace: the peer does not speak JSON-RPC"
    )]
    Garbage(u8),
    /// More than anybody may send.
    #[error("a message is longer than {0} bytes")]
    TooLong(usize),
    /// More brackets than a parser takes.
    #[error("a message is nested more than {DEPTH_MAX} deep")]
    TooDeep,
}

/// Cuts a stream into messages.
#[derive(Debug)]
pub struct Framer {
    message: Vec<u8>,
    bytes_max: usize,
    depth: u32,
    within: Within,
}

/// What the next byte is a part of.
#[derive(Clone, Copy, Debug)]
enum Within {
    Structure,
    String,
    /// After a backslash.
    Escape,
}

impl Framer {
    /// Takes messages of up to so many bytes.
    pub fn new(bytes_max: usize) -> Self {
        Self {
            message: Vec::new(),
            bytes_max,
            depth: 0,
            within: Within::Structure,
        }
    }

    /// Whether a message has begun and not ended.
    pub fn is_within(&self) -> bool {
        self.depth > 0
    }

    /// Takes bytes off the front until a message is complete, or none are left.
    pub fn take(&mut self, bytes: &mut &[u8]) -> Result<Option<Vec<u8>>, FrameError> {
        if !self.is_within() {
            *bytes = bytes.trim_ascii_start();
            match bytes.first() {
                None => return Ok(None),
                Some(b'{') => {}
                Some(other) => return Err(FrameError::Garbage(*other)),
            }
        }
        let end = self.scan(bytes)?;
        let taken = end.unwrap_or(bytes.len());
        if self.message.len() + taken > self.bytes_max {
            return Err(FrameError::TooLong(self.bytes_max));
        }
        self.message.extend_from_slice(&bytes[..taken]);
        *bytes = &bytes[taken..];
        Ok(end.map(|_| std::mem::take(&mut self.message)))
    }

    /// Where the message ends: after which byte.
    fn scan(&mut self, bytes: &[u8]) -> Result<Option<usize>, FrameError> {
        for (at, byte) in bytes.iter().enumerate() {
            match (self.within, byte) {
                (Within::String, b'\\') => self.within = Within::Escape,
                (Within::String, b'"') => self.within = Within::Structure,
                (Within::Escape, _) | (Within::Structure, b'"') => self.within = Within::String,
                (Within::Structure, b'{' | b'[') => {
                    self.depth += 1;
                    if self.depth > DEPTH_MAX {
                        return Err(FrameError::TooDeep);
                    }
                }
                (Within::Structure, b'}' | b']') => {
                    self.depth -= 1;
                    if self.depth == 0 {
                        return Ok(Some(at + 1));
                    }
                }
                (Within::String | Within::Structure, _) => {}
            }
        }
        Ok(None)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::{Value, json};

    fn frames(framer: &mut Framer, mut bytes: &[u8]) -> Result<Vec<Vec<u8>>, FrameError> {
        let mut found = Vec::new();
        while !bytes.is_empty() {
            found.extend(framer.take(&mut bytes)?);
        }
        Ok(found)
    }

    fn message() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            any::<String>().prop_map(Value::from),
            any::<i64>().prop_map(Value::from),
            "[\\\\\"{}\\[\\]]{0,8}".prop_map(Value::from),
        ];
        let tree = leaf.prop_recursive(4, 32, 4, |inner| {
            prop_oneof![
                proptest::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
                proptest::collection::btree_map(any::<String>(), inner, 0..4)
                    .prop_map(|map| Value::Object(map.into_iter().collect())),
            ]
        });
        tree.prop_map(|tree| json!({ "params": tree }))
    }

    proptest! {
        /// However the stream is cut into pieces, the messages are what was sent.
        #[test]
        fn messages_are_found_in_any_pieces(
            messages in proptest::collection::vec(message(), 1..5),
            pretty: bool,
            gap in "[ \n\t]{0,3}",
            piece in 1_usize..40,
        ) {
            let text = |message: &Value| if pretty {
                serde_json::to_string_pretty(message).unwrap()
            } else {
                message.to_string()
            };
            let texts: Vec<String> = messages.iter().map(text).collect();
            let stream = texts.join(&gap);
            let mut framer = Framer::new(1 << 20);
            let mut found = Vec::new();
            for bytes in stream.as_bytes().chunks(piece) {
                found.extend(frames(&mut framer, bytes).unwrap());
            }
            let found: Vec<_> = found.into_iter().map(|frame| String::from_utf8(frame).unwrap()).collect();
            prop_assert_eq!(found, texts);
            prop_assert!(!framer.is_within());
        }

        /// Whatever comes, no more is kept than may be, and nothing falls over.
        #[test]
        fn no_stream_is_too_strange(pieces: Vec<Vec<u8>>, begins_well: bool) {
            let mut framer = Framer::new(64);
            if begins_well {
                frames(&mut framer, b"{").unwrap();
            }
            for piece in pieces {
                if frames(&mut framer, &piece).is_err() {
                    return Ok(());
                }
                prop_assert!(framer.message.len() <= 64);
            }
        }
    }

    #[test]
    fn what_is_no_message_ends_the_stream() {
        let refused = |bytes: &[u8]| frames(&mut Framer::new(300), bytes).unwrap_err();
        assert_eq!(refused(b"HTTP/1.1 400"), FrameError::Garbage(b'H'));
        assert_eq!(refused(b"{} []"), FrameError::Garbage(b'['));
        assert_eq!(refused(b"{\"a\": 1}}"), FrameError::Garbage(b'}'));
        assert_eq!(refused(&[b'{'; 200]), FrameError::TooDeep);
        assert_eq!(
            refused(&[b"{\"", [b'a'; 300].as_slice()].concat()),
            FrameError::TooLong(300)
        );
    }
}
