//! Commands inside a guest, over its serial console: the test's end of [`nettool::protocol`].
//!
//! Requests are written to the pty that QEMU has opened for the console, and replies are read from the file into which
//! the console is logged. Whatever the pty itself gives is thrown away: QEMU holds the guest's output back while somebody
//! has the pty open and nobody reads. Several commands of several tests may run in one guest at once. Never writes
//! before a guest has said that it is up, if its caller waits for that: firmware and boot loaders read the console, too.

use std::fs::File;
use std::io::{self, ErrorKind, Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::mpsc::{Receiver, Sender, TryRecvError, channel};
use std::sync::{Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result, bail};
use nettool::protocol::{End, Request, Transcript, Verb, WAKE};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::OFlags;
use rustix::io::retry_on_intr;

use crate::wait::{Seen, wait_for};

/// How long a guest may take to say that it has begun, and to say what it was asked for again: many share few cores.
const PATIENCE: Duration = Duration::from_secs(30);
/// After so much silence a request counts as lost. QEMU looks once a second whether somebody has opened the pty.
const LOST: Duration = Duration::from_secs(3);
/// How often a quiet command is asked whether it has ended: its last reply may have been torn.
const QUIET: Duration = Duration::from_secs(10);
/// As a shell says it of a command that a signal has ended.
const SIGNALLED: i32 = 128;
const SIGKILL: i32 = 9;
/// How long a new request may wait for the thread that has the pty.
const LOOK: Timespec = Timespec {
    tv_sec: 0,
    tv_nsec: 20_000_000,
};

/// A guest's serial console as this machine sees it.
#[derive(Clone, Debug)]
pub struct GuestConsole {
    /// The pty of its QEMU.
    pub pty: PathBuf,
    /// What it prints; when libvirt has moved an older part away, that is beside it.
    pub log: PathBuf,
}

/// How a command in a guest ended, and what it said.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Output {
    /// Its exit code; of one that was ended by a signal, 128 and the signal's number.
    pub code: i32,
    /// Its standard output.
    pub stdout: String,
    /// Its standard error.
    pub stderr: String,
}

/// A command that runs in a guest. Dropped, it runs on until its deadline.
#[derive(Debug)]
pub struct Running {
    console: GuestConsole,
    line: Line,
    id: String,
    command: String,
    ends_by: Instant,
    asked: Mutex<Instant>,
}

impl Output {
    /// Its standard output, if it has succeeded.
    pub fn success(self) -> Result<String> {
        if self.code == 0 {
            return Ok(self.stdout);
        }
        bail!(
            "a command in the guest ended with {}; it said {:?} and {:?}",
            self.code,
            self.stdout,
            self.stderr
        )
    }
}

impl GuestConsole {
    /// Runs a command in the guest's shell to its end. One that is not done by the deadline is ended, and an error.
    pub async fn exec(&self, command: &str, deadline: Duration) -> Result<Output> {
        self.spawn(command, deadline).await?.finish().await
    }

    /// Starts a command that goes on: a server, a capture. The guest has started it when this returns.
    pub async fn spawn(&self, command: &str, deadline: Duration) -> Result<Running> {
        let line = Line::open(&self.pty)?;
        let id = unique_id();
        let now = Instant::now();
        let running = Running {
            console: self.clone(),
            line,
            id,
            command: command.to_owned(),
            ends_by: now + deadline,
            asked: Mutex::new(now),
        };
        let deadline_s = deadline.as_millis().div_ceil(1000).try_into()?;
        let request = Verb::Run {
            deadline_s,
            command: command.to_owned(),
        };
        running.ask(request.clone())?;
        running
            .wait("to begin", PATIENCE, LOST, Some(request), |transcript| {
                transcript.next > 0
            })
            .await?;
        Ok(running)
    }

    /// Everything that the log still has.
    fn text(&self) -> String {
        let mut older = self.log.clone().into_os_string();
        older.push(".0"); // virtlogd's name for it
        let parts = [Path::new(&older), &self.log].map(|path| std::fs::read(path).ok());
        let bytes: Vec<u8> = parts.into_iter().flatten().flatten().collect();
        String::from_utf8_lossy(&bytes).into_owned()
    }
}

impl Running {
    /// What it has said on its standard output so far.
    pub fn stdout(&self) -> String {
        String::from_utf8_lossy(&self.transcript().out).into_owned()
    }

    /// Waits until it says something: that a server serves, that a capture has begun.
    pub async fn wait_says(&self, text: &str) -> Result<()> {
        let says = |transcript: &Transcript| {
            let out = String::from_utf8_lossy(&transcript.out);
            out.contains(text) || transcript.end.is_some()
        };
        let what = format!("to say {text:?}");
        let transcript = self.wait(&what, PATIENCE, LOST, None, says).await?;
        if String::from_utf8_lossy(&transcript.out).contains(text) {
            return Ok(());
        }
        bail!(
            "`{}` in the guest ended without saying {text:?}: {transcript:?}",
            self.command
        )
    }

    /// Waits for its own end. That it had to be ended by its deadline is an error.
    pub async fn finish(self) -> Result<Output> {
        let left = self.ends_by.saturating_duration_since(Instant::now());
        let ended = |transcript: &Transcript| transcript.end.is_some();
        let transcript = self
            .wait("to end", left + PATIENCE, QUIET, None, ended)
            .await?;
        self.output(transcript)
    }

    /// Ends it, with all that it has started, and returns what it has said.
    pub async fn stop(self) -> Result<Output> {
        self.ask(Verb::End)?;
        let ended = |transcript: &Transcript| transcript.end.is_some();
        let transcript = self
            .wait("to be ended", PATIENCE, LOST, Some(Verb::End), ended)
            .await?;
        self.output(transcript)
    }

    fn output(&self, transcript: Transcript) -> Result<Output> {
        let [stdout, stderr] = [transcript.out, transcript.err]
            .map(|bytes| String::from_utf8_lossy(&bytes).into_owned());
        let code = match transcript.end {
            Some(End::Code(code)) => code,
            Some(End::Signal(signal)) => SIGNALLED + signal,
            Some(End::Ended) => SIGNALLED + SIGKILL,
            Some(End::Deadline) | None => bail!(
                "`{}` in the guest was not done by its deadline; it said {stdout:?} and {stderr:?}",
                self.command
            ),
        };
        Ok(Output {
            code,
            stdout,
            stderr,
        })
    }

    fn transcript(&self) -> Transcript {
        Transcript::of(&self.id, &self.console.text())
    }

    /// Waits until the log shows something. While it does not, `lost` is asked again after so much silence, or else for
    /// the replies that are missing.
    async fn wait(
        &self,
        what: &str,
        deadline: Duration,
        silence: Duration,
        lost: Option<Verb>,
        shows: impl Fn(&Transcript) -> bool,
    ) -> Result<Transcript> {
        let what = format!("`{}` in the guest {what}", self.command);
        wait_for(&what, deadline, async || {
            let transcript = self.transcript();
            if transcript.unknown {
                bail!("the guest knows nothing of it: has it booted since?");
            }
            if shows(&transcript) {
                return Ok(Seen::Wanted(transcript));
            }
            let is_over = Instant::now() > self.ends_by;
            let silence = if transcript.torn || is_over {
                LOST
            } else {
                silence
            };
            if self.asked().elapsed() > silence {
                let again = Verb::Again {
                    from: transcript.next,
                };
                self.ask(lost.clone().unwrap_or(again))?;
            }
            Ok(Seen::NotYet(format!("{transcript:?}")))
        })
        .await
    }

    fn asked(&self) -> std::sync::MutexGuard<'_, Instant> {
        self.asked.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn ask(&self, verb: Verb) -> Result<()> {
        let id = self.id.clone();
        let request = Request { id, verb }.to_line();
        *self.asked() = Instant::now();
        // Awake or not: only the guest knows.
        self.line.send(format!("{WAKE}\n{request}\n"))
    }
}

/// A pty held open, with a thread that writes to it and throws away what comes out of it. A thread rather than a task:
/// the guest must not stand still while a test's runtime does.
#[derive(Debug)]
struct Line {
    outgoing: Sender<Vec<u8>>,
    path: PathBuf,
}

impl Line {
    fn open(path: &Path) -> Result<Self> {
        let flags = OFlags::NOCTTY | OFlags::NONBLOCK;
        let pty = File::options()
            .read(true)
            .write(true)
            .custom_flags(flags.bits().cast_signed())
            .open(path)
            .with_context(|| format!("failed to open the console {}", path.display()))?;
        let (outgoing, requests) = channel();
        thread::spawn(move || serve(&pty, &requests));
        let path = path.to_owned();
        Ok(Self { outgoing, path })
    }

    fn send(&self, text: String) -> Result<()> {
        let sent = self.outgoing.send(text.into_bytes());
        let gone = || {
            format!(
                "the console {} is gone: is the guest off?",
                self.path.display()
            )
        };
        sent.ok().with_context(gone)
    }
}

/// Until nobody wants anything any more, or the guest is off. An error ends it: the next who sends is told.
fn serve(mut pty: &File, requests: &Receiver<Vec<u8>>) -> Option<()> {
    let mut pending = Vec::new();
    let mut incoming = [0; 4096];
    loop {
        match requests.try_recv() {
            Ok(request) => pending.extend(request),
            Err(TryRecvError::Empty) => {}
            Err(TryRecvError::Disconnected) => return Some(()),
        }
        let mut wanted = PollFlags::IN;
        wanted.set(PollFlags::OUT, !pending.is_empty());
        let mut events = [PollFd::new(pty, wanted)];
        // A signal that comes meanwhile is nobody's end: whoever starts processes is told of theirs by one.
        retry_on_intr(|| poll(&mut events, Some(&LOOK))).ok()?;
        let seen = events[0].revents();
        if seen.contains(PollFlags::OUT) {
            let written = or_nothing(pty.write(&pending))?;
            pending.drain(..written);
        }
        if seen.intersects(PollFlags::IN | PollFlags::HUP | PollFlags::ERR) {
            let read = or_nothing(pty.read(&mut incoming))?;
            if read == 0 && seen.contains(PollFlags::HUP) {
                return None;
            }
        }
    }
}

/// What cannot be done just now is done later.
fn or_nothing(result: io::Result<usize>) -> Option<usize> {
    match result {
        Ok(bytes) => Some(bytes),
        Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted) => {
            Some(0)
        }
        Err(_) => None,
    }
}

/// A word that no other command has, of whichever process of tests.
fn unique_id() -> String {
    static COUNTER: AtomicU32 = AtomicU32::new(0);
    let count = COUNTER.fetch_add(1, Ordering::Relaxed);
    let since = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    format!("{:x}.{:x}.{count:x}", std::process::id(), since.as_millis())
}

#[cfg(test)]
#[path = "guest_console_tests.rs"]
mod tests;
