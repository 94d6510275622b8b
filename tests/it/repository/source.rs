//! The source files of `src/`, as the other checks look at them: which of them are tests, and what is left of a file
//! without its tests and comments.
//!
//! Knows Rust by its habits only: `rustfmt` puts each item on lines of its own, and a file's tests come last.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use super::root;

/// One file of `src/`.
pub struct Source {
    /// From the repository's root on, such as `src/node/disks.rs`.
    pub path: String,
    /// Everything in it.
    pub text: String,
    /// Whether it is part of builds for tests only.
    pub is_test: bool,
}

impl Source {
    /// All of them, by path.
    pub fn all() -> Vec<Self> {
        let mut files = BTreeMap::new();
        collect(&root().join("src"), &mut files);
        let tests: BTreeSet<PathBuf> = files
            .iter()
            .flat_map(|(path, text)| test_files(path, text))
            .collect();
        let is_test = |path: &Path| tests.iter().any(|test| path.starts_with(test));
        files
            .into_iter()
            .map(|(path, text)| Self {
                is_test: is_test(&path) || is_test(&path.with_extension("")),
                path: path
                    .strip_prefix(root())
                    .unwrap_or(&path)
                    .display()
                    .to_string(),
                text,
            })
            .collect()
    }

    /// Its lines, without the tests at its end.
    pub fn untested(&self) -> Vec<&str> {
        let lines: Vec<&str> = self.text.lines().collect();
        let begins_tests = |pair: &[&str]| {
            pair[0] == "#[cfg(test)]" && pair[1].starts_with("mod ") && pair[1].ends_with('{')
        };
        let end = lines.windows(2).position(begins_tests);
        lines[..end.unwrap_or(lines.len())].to_vec()
    }

    /// What of it is neither test nor comment, with line numbers. A test file has nothing.
    pub fn code(&self) -> Vec<(usize, &str)> {
        if self.is_test {
            return Vec::new();
        }
        let numbered = self.untested().into_iter().enumerate();
        numbered
            .filter(|(_, line)| !line.trim_start().starts_with("//"))
            .map(|(index, line)| (index + 1, line))
            .collect()
    }

    /// The folder in `src/` that it lies in, such as `node`; for a file of `src/` itself, its name.
    pub fn room(&self) -> &str {
        let inner = self.path.strip_prefix("src/").unwrap_or(&self.path);
        inner.split(['/', '.']).next().unwrap_or(inner)
    }
}

/// Whether a line holds the words, and not only as a part of longer ones.
pub fn mentions(line: &str, words: &str) -> bool {
    let is_part = |c: char| c.is_alphanumeric() || c == '_';
    line.match_indices(words).any(|(at, _)| {
        let before = line[..at].chars().next_back();
        let after = line[at + words.len()..].chars().next();
        let begins = !words.starts_with(is_part) || !before.is_some_and(is_part);
        let ends = !words.ends_with(is_part) || !after.is_some_and(is_part);
        begins && ends
    })
}

fn collect(folder: &Path, files: &mut BTreeMap<PathBuf, String>) {
    for entry in fs::read_dir(folder).expect("src/ can be listed") {
        let path = entry.expect("src/ can be listed").path();
        if path.is_dir() {
            collect(&path, files);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            let text = fs::read_to_string(&path).expect("sources are text");
            files.insert(path, text);
        }
    }
}

/// The files and folders that a file names as modules for tests.
fn test_files(path: &Path, text: &str) -> Vec<PathBuf> {
    let parent = path.parent().unwrap_or(path);
    let is_root = ["mod", "lib", "main"]
        .iter()
        .any(|stem| path.file_stem().is_some_and(|of| of == *stem));
    let home = if is_root {
        parent.to_owned()
    } else {
        path.with_extension("")
    };
    let mut found = Vec::new();
    let mut for_tests = false;
    let mut elsewhere = None;
    for line in text.lines().map(str::trim) {
        let module = line.trim_start_matches("pub ").strip_prefix("mod ");
        if line == "#[cfg(test)]" {
            for_tests = true;
        } else if let Some(file) = line.strip_prefix("#[path = \"") {
            elsewhere = file.strip_suffix("\"]");
        } else {
            if let Some(name) = module.and_then(|module| module.strip_suffix(';'))
                && for_tests
            {
                found.push(elsewhere.map_or_else(|| home.join(name), |file| parent.join(file)));
                found.push(home.join(name).with_extension("rs"));
            }
            for_tests = false;
            elsewhere = None;
        }
    }
    found
}

#[test]
fn words_are_found_whole() {
    for (line, words, expected) in [
        ("use std::fs;", "std::fs", true),
        ("use std::fsync;", "std::fs", false),
        ("operand", "rand", false),
        ("rand::random()", "rand", true),
        ("unsafe_code", "unsafe", false),
        ("fs::read(path)", "fs::", true),
        ("offs::read(path)", "fs::", false),
    ] {
        assert_eq!(mentions(line, words), expected, "{words:?} in {line:?}");
    }
}

#[test]
fn tests_are_told_from_the_rest() {
    let all = Source::all();
    let test = |path: &str| {
        all.iter()
            .find(|source| source.path == path)
            .map(|source| source.is_test)
    };
    assert_eq!(test("src/node/fake.rs"), Some(true));
    assert_eq!(test("src/compute/plan/scheduler/tests.rs"), Some(true));
    assert_eq!(test("src/compute/plan/scheduler/mod.rs"), Some(false));
    let values = all.iter().find(|source| source.path == "src/api/value.rs");
    let values = values.expect("value types are there");
    assert!(values.untested().len() < values.text.lines().count());
    assert!(
        values
            .code()
            .iter()
            .all(|(_, line)| !line.contains("#[test]"))
    );
}
