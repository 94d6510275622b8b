//! Files stay small, and say what they are for before anything else.

use super::none;
use super::source::Source;

/// What one sitting reads. Tests are not counted.
const LINES_MAX: usize = 400;

/// Files that are longer, by path, and why.
const LONGER: &[(&str, &str)] = &[];

#[test]
fn files_are_short() {
    let mut faults = Vec::new();
    for source in Source::all().iter().filter(|source| !source.is_test) {
        let lines = source.untested().len();
        let excused = LONGER.iter().any(|(path, _)| *path == source.path);
        if lines > LINES_MAX && !excused {
            faults.push(format!("{} has {lines} lines", source.path));
        }
        if lines <= LINES_MAX && excused {
            faults.push(format!("{} is short: remove it from LONGER", source.path));
        }
    }
    none(&faults, "split it by device, kind or step");
}

#[test]
fn files_open_with_what_they_are_for() {
    let all = Source::all();
    let silent: Vec<String> = all
        .iter()
        .filter(|source| !source.is_test && !opens_with_words(&source.text))
        .map(|source| source.path.clone())
        .collect();
    none(
        &silent,
        "open it with `//!`: what is it for, what must it never do?",
    );
}

/// Attributes of the whole file may come first; words from another file are words, too.
fn opens_with_words(text: &str) -> bool {
    let mut in_attribute = false;
    for line in text.lines() {
        if in_attribute {
            in_attribute = line != ")]";
        } else if line.starts_with("#![doc = ") || line.starts_with("//! ") {
            return true;
        } else if line.starts_with("#![") {
            in_attribute = !line.ends_with(']');
        } else {
            return false;
        }
    }
    false
}

#[test]
fn attributes_may_come_first() {
    assert!(opens_with_words("//! Words.\n"));
    assert!(opens_with_words(
        "#![allow(\n    unsafe_code\n)]\n//! Words.\n"
    ));
    assert!(!opens_with_words("use std::fs;\n//! Too late.\n"));
    assert!(!opens_with_words(""));
}
