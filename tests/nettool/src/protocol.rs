//! Commands over a serial console, as lines of text: how a test has the tiny guest run something.
//!
//! The test writes requests to the console's pty and reads replies from the console's log, where they stand among
//! everything else that the guest and its kernel say. Each line ends with a checksum of all before it, so that what
//! another line tore in two is seen and asked for again:
//!
//! ```text
//! runner                                       wakes the runner; one that is awake passes it over
//! exec ID run DEADLINE_S COMMAND CHECKSUM      runs `sh -c COMMAND`; an ID that it knows is not run again
//! exec ID again NUMBER CHECKSUM                repeats the replies from this number on
//! exec ID end CHECKSUM                         ends the command and all its children
//!
//! kilonova-tiny: exec ID 0 begun CHECKSUM      it runs
//! kilonova-tiny: exec ID N out TEXT CHECKSUM   a piece of standard output; `err`: of standard error
//! kilonova-tiny: exec ID N end HOW CHECKSUM    the last reply: an exit code, `signal-N`, `deadline` or `ended`
//! kilonova-tiny: exec ID 0 unknown CHECKSUM    asked about a command that this boot has not seen
//! ```
//!
//! COMMAND and TEXT are in base64. Replies of one ID are numbered without gaps. Numbers, IDs and deadlines live as long
//! as the guest's boot. Pure; `runner.rs` is the guest's end, and the testbed's `guest_console.rs` the test's.

use std::collections::BTreeMap;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

/// What wakes the runner; it says nothing to it.
pub const WAKE: &str = "runner";
/// What a request begins with.
const REQUEST: &str = "exec ";
/// What a reply begins with. A prompt or a kernel message may stand before it.
const REPLY: &str = "kilonova-tiny: exec ";

/// What a test wants of the guest.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request {
    /// Which command: a word that no other command of this boot has.
    pub id: String,
    /// What of it.
    pub verb: Verb,
}

/// See [`Request`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verb {
    /// Run it.
    Run {
        /// How long it may take.
        deadline_s: u64,
        /// For the guest's shell.
        command: String,
    },
    /// Repeat what it said, from this reply on.
    Again {
        /// The number of the first reply to repeat.
        from: u32,
    },
    /// End it.
    End,
}

/// What the guest says of a command.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reply {
    /// The command.
    pub id: String,
    /// Counted from 0 for each command.
    pub number: u32,
    /// What happened.
    pub event: Event,
}

/// See [`Reply`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// It runs.
    Begun,
    /// Bytes of its standard output.
    Out(Vec<u8>),
    /// Bytes of its standard error.
    Err(Vec<u8>),
    /// It is over.
    End(End),
    /// Nobody knows it: the guest has booted since.
    Unknown,
}

/// How a command ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// By itself.
    Code(i32),
    /// By a signal that nobody here asked for.
    Signal(i32),
    /// By its deadline.
    Deadline,
    /// Because the test asked for it.
    Ended,
}

impl Request {
    /// The request as a line, without its end.
    pub fn to_line(&self) -> String {
        let rest = match &self.verb {
            Verb::Run {
                deadline_s,
                command,
            } => format!("run {deadline_s} {}", STANDARD.encode(command)),
            Verb::Again { from } => format!("again {from}"),
            Verb::End => "end".to_owned(),
        };
        sealed(&format!("{REQUEST}{} {rest}", self.id))
    }

    /// What a line says; nothing if it is torn, or no request.
    pub fn parse(line: &str) -> Option<Self> {
        let start = line.find(REQUEST)?;
        let text = unsealed(line.get(start..)?)?;
        let words: Vec<&str> = text.strip_prefix(REQUEST)?.split(' ').collect();
        let (id, verb) = match words[..] {
            [id, "run", deadline, command] => {
                let command = String::from_utf8(STANDARD.decode(command).ok()?).ok()?;
                let deadline_s = deadline.parse().ok()?;
                (
                    id,
                    Verb::Run {
                        deadline_s,
                        command,
                    },
                )
            }
            [id, "again", from] => (
                id,
                Verb::Again {
                    from: from.parse().ok()?,
                },
            ),
            [id, "end"] => (id, Verb::End),
            _ => return None,
        };
        Some(Self {
            id: id.to_owned(),
            verb,
        })
    }
}

impl Reply {
    /// The reply as a line, without its end.
    pub fn to_line(&self) -> String {
        let rest = match &self.event {
            Event::Begun => "begun".to_owned(),
            Event::Out(bytes) => format!("out {}", STANDARD.encode(bytes)),
            Event::Err(bytes) => format!("err {}", STANDARD.encode(bytes)),
            Event::End(End::Code(code)) => format!("end {code}"),
            Event::End(End::Signal(signal)) => format!("end signal-{signal}"),
            Event::End(End::Deadline) => "end deadline".to_owned(),
            Event::End(End::Ended) => "end ended".to_owned(),
            Event::Unknown => "unknown".to_owned(),
        };
        sealed(&format!("{REPLY}{} {} {rest}", self.id, self.number))
    }

    /// What a line says; nothing if it is torn, or no reply.
    pub fn parse(line: &str) -> Option<Self> {
        let text = unsealed(line.get(line.find(REPLY)?..)?)?;
        let words: Vec<&str> = text.strip_prefix(REPLY)?.split(' ').collect();
        let (id, number, event) = match words[..] {
            [id, number, "begun"] => (id, number, Event::Begun),
            [id, number, "out", bytes] => (id, number, Event::Out(STANDARD.decode(bytes).ok()?)),
            [id, number, "err", bytes] => (id, number, Event::Err(STANDARD.decode(bytes).ok()?)),
            [id, number, "end", how] => (id, number, Event::End(End::parse(how)?)),
            [id, number, "unknown"] => (id, number, Event::Unknown),
            _ => return None,
        };
        Some(Self {
            id: id.to_owned(),
            number: number.parse().ok()?,
            event,
        })
    }
}

impl End {
    fn parse(word: &str) -> Option<Self> {
        Some(match word {
            "deadline" => Self::Deadline,
            "ended" => Self::Ended,
            word => match word.strip_prefix("signal-") {
                Some(signal) => Self::Signal(signal.parse().ok()?),
                None => Self::Code(word.parse().ok()?),
            },
        })
    }
}

/// What is known of one command, put together from a console's log.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Transcript {
    /// Standard output, up to the first gap.
    pub out: Vec<u8>,
    /// Standard error, up to the first gap.
    pub err: Vec<u8>,
    /// How it ended, once that and all before it is known.
    pub end: Option<End>,
    /// The number of the first reply that is missing.
    pub next: u32,
    /// Replies after a gap are there, so this one was torn.
    pub torn: bool,
    /// The guest knows nothing of it.
    pub unknown: bool,
}

impl Transcript {
    /// All that a log says of a command. Lines that are still being written are passed over, repeated ones are the same.
    pub fn of(id: &str, log: &str) -> Self {
        let wanted = format!("{REPLY}{id} ");
        let mut replies = BTreeMap::new();
        let mut transcript = Self::default();
        for line in log
            .split_inclusive('\n')
            .filter(|line| line.contains(&wanted))
        {
            let Some(line) = line.strip_suffix('\n') else {
                break;
            };
            match Reply::parse(line.trim_end_matches('\r')) {
                Some(reply) if reply.id != id => {}
                Some(Reply {
                    event: Event::Unknown,
                    ..
                }) => transcript.unknown = true,
                Some(reply) => drop(replies.insert(reply.number, reply.event)),
                None => {}
            }
        }
        transcript.torn = replies
            .last_key_value()
            .is_some_and(|(last, _)| *last as usize >= replies.len());
        for (number, event) in replies {
            if number != transcript.next {
                break;
            }
            transcript.next += 1;
            match event {
                Event::Begun | Event::Unknown => {}
                Event::Out(bytes) => transcript.out.extend(bytes),
                Event::Err(bytes) => transcript.err.extend(bytes),
                Event::End(end) => transcript.end = Some(end),
            }
        }
        transcript
    }
}

fn sealed(text: &str) -> String {
    let checksum = crc32fast::hash(text.as_bytes());
    format!("{text} {checksum:08x}")
}

fn unsealed(line: &str) -> Option<&str> {
    let (text, checksum) = line.rsplit_once(' ')?;
    let expected = format!("{:08x}", crc32fast::hash(text.as_bytes()));
    (checksum == expected).then_some(text)
}

#[cfg(test)]
#[path = "protocol_tests.rs"]
mod tests;
