//! Lines there and back, and logs in which they are torn, repeated and mixed.

use super::*;

fn request(verb: Verb) -> Request {
    Request {
        id: "a1".to_owned(),
        verb,
    }
}

fn reply(number: u32, event: Event) -> Reply {
    Reply {
        id: "a1".to_owned(),
        number,
        event,
    }
}

fn log(replies: &[Reply]) -> String {
    replies
        .iter()
        .map(|reply| reply.to_line() + "\r\n")
        .collect()
}

#[test]
fn requests_survive_the_line() {
    let command = "echo \"a  b\"; printf 'ü\\n' | cat".to_owned();
    let run = Verb::Run {
        deadline_s: 9,
        command,
    };
    for verb in [run, Verb::Again { from: 3 }, Verb::End] {
        let request = request(verb);
        let line = request.to_line();
        assert_eq!(Request::parse(&line), Some(request.clone()), "{line}");
        // What was typed before, a bit of a line that came too early for instance.
        assert_eq!(Request::parse(&format!("bs{line}")), Some(request));
    }
}

#[test]
fn replies_survive_the_line() {
    for event in [
        Event::Begun,
        Event::Out(vec![0, 255, b'\n']),
        Event::Err(Vec::new()),
        Event::End(End::Code(127)),
        Event::End(End::Signal(9)),
        Event::End(End::Deadline),
        Event::End(End::Ended),
        Event::Unknown,
    ] {
        let reply = reply(7, event);
        let line = format!("[    3.07] words {}", reply.to_line());
        assert_eq!(Reply::parse(&line), Some(reply), "{line}");
    }
}

#[test]
fn a_line_that_misses_or_changes_one_byte_says_nothing() {
    let whole = reply(2, Event::Out(b"hello".to_vec())).to_line();
    assert!(Reply::parse(&whole).is_some());
    for at in 0..whole.len() {
        let mut torn = whole.clone();
        torn.remove(at);
        assert_eq!(Reply::parse(&torn), None, "{torn}");
        let changed = [&whole[..at], "#", &whole[at + 1..]].concat();
        assert_eq!(Reply::parse(&changed), None, "{changed}");
    }
    for line in ["", "exec", "exec a1", "runner"] {
        assert_eq!(Request::parse(line), None);
    }
    assert_eq!(Request::parse(&sealed("exec a1 dance")), None);
}

#[test]
fn a_transcript_is_put_together_in_order() {
    let replies = [
        reply(0, Event::Begun),
        reply(1, Event::Out(b"one ".to_vec())),
        reply(2, Event::Err(b"oh".to_vec())),
        reply(3, Event::Out(b"two".to_vec())),
        reply(4, Event::End(End::Code(1))),
    ];
    let other = Reply {
        id: "a12".to_owned(),
        ..reply(1, Event::Out(b"not mine".to_vec()))
    };
    let expected = Transcript {
        out: b"one two".to_vec(),
        err: b"oh".to_vec(),
        end: Some(End::Code(1)),
        next: 5,
        ..Transcript::default()
    };
    let text = log(&replies);
    let mixed = format!(
        "kilonova-tiny: tick 3\r\n{}{text}{text}",
        other.to_line() + "\r\n"
    );
    assert_eq!(Transcript::of("a1", &mixed), expected);
    assert_eq!(Transcript::of("a2", &mixed), Transcript::default());
}

#[test]
fn a_gap_is_seen_and_what_follows_it_waits() {
    let replies = [
        reply(0, Event::Begun),
        reply(1, Event::Out(b"one".to_vec())),
        reply(2, Event::End(End::Code(0))),
    ];
    let torn = log(&replies).replacen(" 1 out ", " 1 o[  9.1] kernel\r\nut ", 1);
    let found = Transcript::of("a1", &torn);
    assert_eq!((found.next, found.torn, found.end), (1, true, None));
    let repaired = torn + &log(&replies[1..]);
    let found = Transcript::of("a1", &repaired);
    assert_eq!(
        (found.next, found.torn, found.end),
        (3, false, Some(End::Code(0)))
    );
    assert_eq!(found.out, b"one");
}

#[test]
fn a_line_counts_when_it_has_ended() {
    let mut text = log(&[reply(0, Event::Begun)]);
    text.truncate(text.len() - 2);
    assert_eq!(Transcript::of("a1", &text).next, 0);
}

#[test]
fn a_command_of_an_earlier_boot_is_unknown() {
    let text = log(&[reply(0, Event::Begun), reply(0, Event::Unknown)]);
    let found = Transcript::of("a1", &text);
    assert!(found.unknown);
    assert_eq!(found.next, 1);
}
