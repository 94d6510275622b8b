//! `nettool runner`: runs what a test asks for over the serial console, several commands at once.
//!
//! Standard input and output are the console, which `console.sh` has made raw. Each reply goes out in one short write, so
//! that lines of several writers do not mix; what the kernel tears all the same is asked for again (see
//! [`nettool::protocol`]). Ends when somebody presses Enter: a person, who wants a shell.

use std::collections::HashMap;
use std::io::{self, BufRead, Read, Write};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::Result;
use nettool::protocol::{End, Event, Reply, Request, Verb, WAKE};
use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;

/// In base64 and with its frame still one write that the terminal does not divide.
const PIECE_BYTES: usize = 600;
/// The console's log is rotated at 1 MiB; a command that says more than this is cut short.
const OUTPUT_BYTES_MAX: usize = 192 * 1024;
/// The replies of so many ended commands are kept for those who ask again.
const KEPT: usize = 16;
/// How long output may stay open once the command is gone: somebody else may hold it.
const OUTPUT_GRACE: Duration = Duration::from_secs(1);
/// As the shell says it of a command that cannot be started.
const CANNOT_START: i32 = 126;

/// Serves the console until a person takes it.
pub fn run() -> Result<()> {
    let mut commands = Commands::default();
    for line in io::stdin().lock().split(b'\n') {
        let line = line?;
        let line = String::from_utf8_lossy(&line);
        match line.trim_end_matches('\r') {
            "" => return Ok(()),
            WAKE => {}
            line => {
                // A torn request is sent again by whoever misses the reply.
                if let Some(request) = Request::parse(line) {
                    commands.serve(request);
                }
            }
        }
    }
    Ok(())
}

/// Every command of this boot.
#[derive(Default)]
struct Commands {
    known: HashMap<String, Known>,
    order: Vec<String>,
}

struct Known {
    said: Arc<Mutex<Said>>,
    notices: Sender<Notice>,
}

/// The replies of one command, as lines.
#[derive(Default)]
struct Said {
    lines: Vec<String>,
    ended: bool,
}

/// What the thread that has a command is told.
enum Notice {
    Out(Vec<u8>),
    Err(Vec<u8>),
    Closed,
    Exited(io::Result<ExitStatus>),
    EndIt,
}

impl Commands {
    fn serve(&mut self, request: Request) {
        let id = request.id;
        match (request.verb, self.known.get(&id)) {
            (
                Verb::Run {
                    deadline_s,
                    command,
                },
                None,
            ) => self.begin(id, command, Duration::from_secs(deadline_s)),
            // The reply was torn, or the request came twice.
            (Verb::Run { .. }, Some(known)) => repeat(&known.said, 0),
            (Verb::Again { from }, Some(known)) => repeat(&known.said, from as usize),
            (Verb::End, Some(known)) => drop(known.notices.send(Notice::EndIt)),
            (Verb::Again { .. } | Verb::End, None) => say(&Reply {
                id,
                number: 0,
                event: Event::Unknown,
            }),
        }
    }

    fn begin(&mut self, id: String, command: String, deadline: Duration) {
        let (notices, inbox) = channel();
        let said = Arc::default();
        let running = Running {
            id: id.clone(),
            said: Arc::clone(&said),
            shown_bytes: 0,
        };
        let to_thread = notices.clone();
        thread::spawn(move || running.run(&command, deadline, &to_thread, &inbox));
        self.order.push(id.clone());
        self.known.insert(id, Known { said, notices });
        self.forget_old();
    }

    /// What ended long ago stays known, and what it said goes.
    fn forget_old(&self) {
        let old = self.order.len().checked_sub(KEPT + 1);
        let old = old.and_then(|old| self.known.get(self.order.get(old)?));
        if let Some(mut old) = old.map(|old| lock(&old.said))
            && old.ended
        {
            old.lines.clear();
        }
    }
}

/// One command while it runs, with the thread that has it.
struct Running {
    id: String,
    said: Arc<Mutex<Said>>,
    shown_bytes: usize,
}

impl Running {
    fn run(
        mut self,
        command: &str,
        deadline: Duration,
        notices: &Sender<Notice>,
        inbox: &Receiver<Notice>,
    ) {
        self.say(Event::Begun);
        let end = match start(command) {
            Ok(child) => self.follow(child, Instant::now() + deadline, notices, inbox),
            Err(error) => {
                self.say(Event::Err(format!("{error}\n").into_bytes()));
                End::Code(CANNOT_START)
            }
        };
        self.say(Event::End(end));
    }

    /// Shows what it says until it and its output have ended.
    fn follow(
        &mut self,
        mut child: Child,
        mut deadline: Instant,
        notices: &Sender<Notice>,
        inbox: &Receiver<Notice>,
    ) -> End {
        let group = child.id();
        let mut open = 0;
        if let Some(out) = child.stdout.take() {
            open += 1;
            read_all(out, notices.clone(), Notice::Out);
        }
        if let Some(err) = child.stderr.take() {
            open += 1;
            read_all(err, notices.clone(), Notice::Err);
        }
        let to_waiter = notices.clone();
        thread::spawn(move || to_waiter.send(Notice::Exited(child.wait())));
        let (mut ended_by_us, mut end) = (None, None);
        while open > 0 || end.is_none() {
            let left = deadline.saturating_duration_since(Instant::now());
            match inbox.recv_timeout(left) {
                Ok(Notice::Out(bytes)) => self.show(bytes, Event::Out),
                Ok(Notice::Err(bytes)) => self.show(bytes, Event::Err),
                Ok(Notice::Closed) => open -= 1,
                Ok(Notice::Exited(status)) => {
                    end = Some(ended_by_us.unwrap_or_else(|| end_of(&status)));
                    // Whatever it left in the background ends with it.
                    kill(group);
                    deadline = Instant::now() + OUTPUT_GRACE;
                }
                Ok(Notice::EndIt) => {
                    ended_by_us = ended_by_us.or(Some(End::Ended));
                    kill(group);
                }
                Err(RecvTimeoutError::Timeout) if end.is_some() => break,
                Err(RecvTimeoutError::Timeout) => {
                    ended_by_us = ended_by_us.or(Some(End::Deadline));
                    kill(group);
                    deadline = Instant::now() + OUTPUT_GRACE;
                }
                Err(RecvTimeoutError::Disconnected) => break,
            }
        }
        end.unwrap_or(End::Deadline)
    }

    fn show(&mut self, bytes: Vec<u8>, event: fn(Vec<u8>) -> Event) {
        if self.shown_bytes > OUTPUT_BYTES_MAX {
            return;
        }
        self.shown_bytes += bytes.len();
        self.say(event(bytes));
        if self.shown_bytes > OUTPUT_BYTES_MAX {
            self.say(Event::Err(
                b"\nnettool: more output is not shown\n".to_vec(),
            ));
        }
    }

    fn say(&self, event: Event) {
        let mut said = lock(&self.said);
        said.ended = matches!(event, Event::End(_));
        let reply = Reply {
            id: self.id.clone(),
            number: u32::try_from(said.lines.len()).unwrap_or(u32::MAX),
            event,
        };
        said.lines.push(reply.to_line());
        say(&reply);
    }
}

fn start(command: &str) -> io::Result<Child> {
    Command::new("/bin/sh")
        .args(["-c", command])
        .current_dir("/")
        .env("HOME", "/")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .process_group(0)
        .spawn()
}

fn read_all(
    mut from: impl Read + Send + 'static,
    notices: Sender<Notice>,
    notice: fn(Vec<u8>) -> Notice,
) {
    thread::spawn(move || {
        let mut piece = [0; PIECE_BYTES];
        while let Ok(length @ 1..) = from.read(&mut piece) {
            // Nobody listens any more once the command is over.
            let _ = notices.send(notice(piece[..length].to_vec()));
        }
        let _ = notices.send(Notice::Closed);
    });
}

fn end_of(status: &io::Result<ExitStatus>) -> End {
    let Ok(status) = status else {
        return End::Code(CANNOT_START);
    };
    match (status.code(), status.signal()) {
        (Some(code), _) => End::Code(code),
        (None, signal) => End::Signal(signal.unwrap_or_default()),
    }
}

fn kill(group: u32) {
    if let Ok(group) = i32::try_from(group) {
        // One that is empty already is what is wanted.
        let _ = killpg(Pid::from_raw(group), Signal::SIGKILL);
    }
}

fn repeat(said: &Mutex<Said>, from: usize) {
    for line in lock(said).lines.iter().skip(from) {
        write(line);
    }
}

fn say(reply: &Reply) {
    write(&reply.to_line());
}

/// A line in one write.
fn write(line: &str) {
    let mut console = io::stdout().lock();
    // Standard output keeps what has no line end yet, and this has one at its end only.
    let _ = console.write_all(format!("{line}\n").as_bytes());
}

/// A thread that died while it held the lock has left the lines whole.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
