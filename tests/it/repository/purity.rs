//! Rooms named `plan` decide, and do nothing else: what they see is what they were given, so that the same input makes
//! the same decision on every machine, at every time.

use super::none;
use super::source::{Source, mentions};

/// Words that have no place in a pure room, and what is wrong with them.
const FORBIDDEN: &[(&str, &str)] = &[
    ("async", "waits"),
    ("await", "waits"),
    ("tokio", "waits"),
    ("futures", "waits"),
    ("thread::", "runs beside itself"),
    ("Mutex", "shares state"),
    ("RwLock", "shares state"),
    ("static mut", "shares state"),
    ("OnceLock", "shares state"),
    ("LazyLock", "shares state"),
    ("Atomic", "shares state"),
    ("kube::Client", "talks to the API server"),
    ("Client", "talks to the API server"),
    ("Api", "talks to the API server"),
    ("reqwest", "talks to the network"),
    ("TcpStream", "talks to the network"),
    ("TcpListener", "talks to the network"),
    ("UdpSocket", "talks to the network"),
    ("UnixStream", "talks to the network"),
    ("ToSocketAddrs", "talks to the network"),
    ("Session", "talks to a database"),
    ("os::fd", "touches files"),
    ("fs", "touches files"),
    ("File", "touches files"),
    ("process", "runs programs"),
    ("Command", "runs programs"),
    ("env", "reads the environment"),
    ("Instant", "reads a clock"),
    ("SystemTime", "reads a clock"),
    ("now()", "reads a clock"),
    ("sleep", "waits"),
    ("rand", "throws dice"),
    ("random", "throws dice"),
    ("new_v4", "throws dice"),
    ("RandomState", "throws dice"),
    ("HashMap", "has no order: use BTreeMap"),
    ("HashSet", "has no order: use BTreeSet"),
    ("tracing", "logs"),
    ("println", "prints"),
    ("eprintln", "prints"),
    ("dbg", "prints"),
    ("unsafe", "is none of its business"),
];

/// Lines that hold such a word and are pure all the same: the file, a part of the line, and why.
const ALLOWED: &[(&str, &str, &str)] = &[(
    "src/node/plan/host/mod.rs",
    "env!(\"CARGO_PKG_VERSION\")",
    "the compiler's environment, which is the same for ever",
)];

#[test]
fn plans_are_pure() {
    let mut faults = Vec::new();
    let plans = || {
        Source::all()
            .into_iter()
            .filter(|source| is_plan(&source.path))
    };
    assert!(plans().count() > 20, "the rooms are found");
    for source in plans() {
        for (number, line) in source.code() {
            let code = without_texts(line);
            let allowed = ALLOWED
                .iter()
                .any(|(path, part, _)| source.path == *path && line.contains(part));
            for (word, why) in FORBIDDEN {
                if mentions(&code, word) && !allowed {
                    faults.push(format!("{}:{number}: `{word}` {why}", source.path));
                }
            }
        }
    }
    none(
        &faults,
        "give it to the plan as an argument, or do it in the room's controller",
    );
}

#[test]
fn exceptions_are_still_needed() {
    let all = Source::all();
    let stands = |path: &str, part: &str| {
        let source = all.iter().find(|source| source.path == path);
        source.is_some_and(|source| source.code().iter().any(|(_, line)| line.contains(part)))
    };
    let stale: Vec<String> = ALLOWED
        .iter()
        .filter(|(path, part, _)| !stands(path, part))
        .map(|(path, part, _)| format!("{path}: {part:?}"))
        .collect();
    none(
        &stale,
        "nothing is allowed here any more: remove it from ALLOWED",
    );
}

fn is_plan(path: &str) -> bool {
    path.contains("/plan/") || path.ends_with("/plan.rs")
}

/// The line without what stands between quotes, and without a comment at its end.
fn without_texts(line: &str) -> String {
    let code = line.split(" // ").next().unwrap_or(line);
    let mut parts = code.split('"').step_by(2);
    let first = parts.next().unwrap_or_default().to_owned();
    parts.fold(first, |code, part| code + "\"\"" + part)
}

#[test]
fn texts_are_no_code() {
    assert_eq!(
        without_texts(r#"device: "/dev/urandom", // rand"#),
        r#"device: "","#
    );
    assert!(mentions(&without_texts("use std::{fs, env};"), "fs"));
    assert!(mentions("let now = Timestamp::now();", "now()"));
}
