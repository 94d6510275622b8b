//! What a part is, and the words that start it where it belongs. Starts nothing itself.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use anyhow::Result;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::command::{command, run};

/// What a part is: everything that, when it changes, makes a restart necessary.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Spec {
    /// Its name; for a node's part `<node>/<program>`.
    pub name: String,
    /// Program and arguments.
    pub argv: Vec<String>,
    /// Its whole environment, apart from PATH, HOME and LANG.
    pub env: BTreeMap<String, String>,
    /// Where it runs.
    pub place: Place,
    /// Which build of the program it is; a rebuilt program is another one.
    pub build: String,
}

/// Where a part runs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Place {
    /// In this machine's own namespaces.
    Host,
    /// In control groups of this machine, in its own namespaces or none.
    Groups(Vec<PathBuf>),
    /// In a node's namespaces.
    Node {
        /// The node's first process, as this machine counts.
        init: i32,
        /// The node's control groups.
        groups: Vec<PathBuf>,
    },
}

impl Spec {
    /// A part of this machine.
    pub fn host<S: Into<String>>(name: &str, argv: impl IntoIterator<Item = S>) -> Self {
        let argv: Vec<String> = argv.into_iter().map(Into::into).collect();
        let build = argv.first().map(|program| build_of(Path::new(program)));
        Self {
            name: name.to_owned(),
            argv,
            env: BTreeMap::new(),
            place: Place::Host,
            build: build.unwrap_or_default(),
        }
    }

    /// The same part elsewhere.
    #[must_use]
    pub fn at(self, place: Place) -> Self {
        Self { place, ..self }
    }

    /// The same part, which has read a configuration: another one makes it another part.
    #[must_use]
    pub fn configured_by(mut self, configuration: &[u8]) -> Self {
        let digest = Sha256::digest(configuration);
        self.build
            .extend(digest.iter().map(|byte| format!("{byte:02x}")));
        self
    }

    /// The same part with one more variable in its environment.
    #[must_use]
    pub fn env(mut self, name: &str, value: impl Into<String>) -> Self {
        self.env.insert(name.to_owned(), value.into());
        self
    }
}

/// Size and time of a program's file, for one that can be rebuilt under the same name; empty when found by PATH.
fn build_of(program: &Path) -> String {
    let modified = |file: std::fs::Metadata| {
        let time = file.modified().ok()?;
        let age = time.duration_since(std::time::UNIX_EPOCH).ok()?;
        Some(format!("{}-{}", file.len(), age.as_nanos()))
    };
    std::fs::metadata(program)
        .ok()
        .and_then(modified)
        .unwrap_or_default()
}

/// The words that start a part in a new session, as an orphan: nobody has to reap it, and it ends with nobody.
pub(super) fn launcher_words(spec: &Spec, pid_file: &Path) -> Vec<String> {
    let own = |words: &[&str]| {
        words
            .iter()
            .map(|&word| word.to_owned())
            .collect::<Vec<_>>()
    };
    let join = |groups: &[PathBuf]| {
        let procs = groups.iter().map(|group| group.join("cgroup.procs"));
        let procs: Vec<String> = procs.map(|procs| procs.display().to_string()).collect();
        let join = r#"for procs in $0; do echo 0 > "$procs" || exit; done; exec "$@""#;
        own(&["sh", "-c", join, &procs.join(" ")])
    };
    let mut words = match &spec.place {
        Place::Host => Vec::new(),
        Place::Groups(groups) => join(groups),
        Place::Node { init, groups } => {
            let mut words = join(groups);
            words.extend(own(&[
                "nsenter",
                "--all",
                "--target",
                &init.to_string(),
                "--",
            ]));
            words
        }
    };
    let pid_file = pid_file.display().to_string();
    let session = [
        "setsid",
        "--fork",
        "sh",
        "-c",
        r#"echo $$ > "$0" && exec "$@""#,
        &pid_file,
    ];
    words.extend(own(&session));
    words.extend(spec.argv.iter().cloned());
    words
}

/// Runs a command in the namespaces of a node whose first process is `init`.
pub(crate) async fn run_in(init: i32, words: &[String]) -> Result<String> {
    run(&mut in_namespaces(init, words)).await
}

/// A command in the namespaces of a node whose first process is `init`.
pub(crate) fn in_namespaces(init: i32, words: &[String]) -> tokio::process::Command {
    let init = init.to_string();
    let enter = ["nsenter", "--all", "--target", &init, "--"];
    command(
        enter
            .into_iter()
            .map(str::to_owned)
            .chain(words.iter().cloned()),
    )
}
