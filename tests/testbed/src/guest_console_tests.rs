//! A guest that is a function: it reads the other end of a pty, and writes the log.

use std::os::fd::OwnedFd;

use nettool::protocol::{Event, Reply};

use super::*;

const SOON: Duration = Duration::from_secs(20);

/// A console whose guest answers each request with lines.
fn guest(
    answers: impl Fn(Request, usize) -> Vec<String> + Send + 'static,
) -> (GuestConsole, tempfile::TempDir) {
    use std::io::BufRead;
    let folder = tempfile::tempdir().unwrap();
    let pair = open_pty();
    let console = GuestConsole {
        pty: pair.1,
        log: folder.path().join("console.log"),
    };
    let log = console.log.clone();
    std::thread::spawn(move || {
        let mut file = File::options().append(true).create(true).open(log).unwrap();
        let lines = io::BufReader::new(File::from(pair.0)).lines();
        let requests = lines
            .map_while(Result::ok)
            .filter_map(|line| Request::parse(&line));
        for (count, request) in requests.enumerate() {
            for line in answers(request, count) {
                file.write_all(format!("{line}\r\n").as_bytes()).unwrap();
            }
        }
    });
    (console, folder)
}

/// The end that QEMU has of a pty, and the path of the other one.
fn open_pty() -> (OwnedFd, PathBuf) {
    use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
    let end = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).unwrap();
    grantpt(&end).unwrap();
    unlockpt(&end).unwrap();
    let name = ptsname(&end, Vec::new()).unwrap();
    (end, PathBuf::from(name.into_string().unwrap()))
}

fn reply(id: &str, number: u32, event: Event) -> String {
    let id = id.to_owned();
    Reply { id, number, event }.to_line()
}

#[tokio::test]
async fn what_a_command_says_comes_back() {
    let (console, _folder) = guest(|request, _| match request.verb {
        Verb::Run { command, .. } => vec![
            reply(&request.id, 0, Event::Begun),
            "kilonova-tiny: tick 5".to_owned(),
            reply(&request.id, 1, Event::Out(command.into_bytes())),
            reply(&request.id, 2, Event::End(End::Code(3))),
        ],
        _ => Vec::new(),
    });
    let output = console.exec("echo \"ü\"", SOON).await.unwrap();
    assert_eq!((output.code, &*output.stdout), (3, "echo \"ü\""));
    assert!(output.success().is_err());
}

#[tokio::test]
async fn a_request_that_got_lost_is_sent_again() {
    let (console, _folder) = guest(|request, count| match request.verb {
        Verb::Run { .. } if count > 0 => vec![
            reply(&request.id, 0, Event::Begun),
            reply(&request.id, 1, Event::End(End::Code(0))),
        ],
        _ => Vec::new(),
    });
    assert_eq!(console.exec("true", SOON).await.unwrap().code, 0);
}

#[tokio::test]
async fn a_torn_reply_is_asked_for() {
    let (console, _folder) = guest(|request, _| {
        let out = reply(&request.id, 1, Event::Out(b"whole".to_vec()));
        match request.verb {
            Verb::Run { .. } => vec![
                reply(&request.id, 0, Event::Begun),
                out.replacen("out", "o[   7.1] kernel\r\nut", 1),
                reply(&request.id, 2, Event::End(End::Code(0))),
            ],
            Verb::Again { from: 1 } => vec![out],
            _ => Vec::new(),
        }
    });
    assert_eq!(console.exec("x", SOON).await.unwrap().stdout, "whole");
}

#[tokio::test]
async fn what_goes_on_is_heard_and_ended() {
    let (console, _folder) = guest(|request, _| match request.verb {
        Verb::Run { .. } => vec![
            reply(&request.id, 0, Event::Begun),
            reply(&request.id, 1, Event::Out(b"serving\n".to_vec())),
        ],
        Verb::End => vec![reply(&request.id, 2, Event::End(End::Ended))],
        Verb::Again { .. } => Vec::new(),
    });
    let server = console.spawn("serve", SOON).await.unwrap();
    server.wait_says("serving").await.unwrap();
    assert_eq!(server.stdout(), "serving\n");
    assert_eq!(server.stop().await.unwrap().code, SIGNALLED + SIGKILL);
}

#[tokio::test]
async fn an_end_by_deadline_or_boot_is_an_error() {
    for (event, word) in [
        (Event::End(End::Deadline), "deadline"),
        (Event::Unknown, "booted"),
    ] {
        let (console, _folder) = guest(move |request, _| {
            vec![
                reply(&request.id, 0, Event::Begun),
                reply(&request.id, 1, event.clone()),
            ]
        });
        let error = format!("{:#}", console.exec("x", SOON).await.unwrap_err());
        assert!(error.contains(word), "{error}");
    }
}
