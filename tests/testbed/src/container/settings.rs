//! How the programs of an image run: the last stage of a `Containerfile`, and the part of an image's configuration that
//! follows from it.
//!
//! Pure. The `Containerfile` is the one source of both kinds of build, so an instruction that would be lost here is an error.

use std::collections::BTreeMap;

use anyhow::{Context, Result, bail, ensure};
use serde::Serialize;

/// How an image runs when nobody says otherwise; written as the specification of images asks.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Settings {
    /// User and group, by number.
    pub user: String,
    /// `NAME=VALUE`.
    pub env: Vec<String>,
    /// The program and its first arguments.
    pub entrypoint: Vec<String>,
    /// What the image says about itself.
    pub labels: BTreeMap<String, String>,
}

/// The one step by which the image gets its files; what it copies, `.ci/image-root` has made.
const COPY: &str = "--from=build /image/ /";

impl Settings {
    /// Reads the last stage of a `Containerfile`.
    pub fn of_containerfile(text: &str) -> Result<Self> {
        let mut settings = Self::default();
        let mut base = None;
        let mut copies = Vec::new();
        for line in instructions(text) {
            let (word, rest) = line.split_once(' ').unwrap_or((&line, ""));
            let rest = rest.trim();
            // What earlier stages do stays there.
            if word == "FROM" {
                base = Some(rest.to_owned());
                settings = Self::default();
                copies.clear();
                continue;
            }
            if base.as_deref() != Some("scratch") {
                continue;
            }
            match word {
                "COPY" => copies.push(rest.to_owned()),
                "USER" => rest.clone_into(&mut settings.user),
                "ENV" => {
                    let pairs = pairs(rest).with_context(|| line.clone())?;
                    let lines = pairs.iter().map(|(name, value)| format!("{name}={value}"));
                    settings.env.extend(lines);
                }
                "LABEL" => settings
                    .labels
                    .extend(pairs(rest).with_context(|| line.clone())?),
                "ENTRYPOINT" => {
                    settings.entrypoint = serde_json::from_str(rest)
                        .with_context(|| format!("{line}: write the words as a JSON list"))?;
                }
                _ => bail!("{line}: `devstack image` cannot do this; teach it, or leave it out"),
            }
        }
        ensure!(
            base.as_deref() == Some("scratch"),
            "the last stage does not begin with `FROM scratch`"
        );
        ensure!(
            copies == [COPY],
            "the last stage copies {copies:?}, and `devstack image` does only {COPY:?}"
        );
        Ok(settings)
    }
}

/// The instructions, each on one line.
fn instructions(text: &str) -> Vec<String> {
    let mut all = Vec::new();
    let mut open = String::new();
    for line in text.lines().map(str::trim) {
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        match line.strip_suffix('\\') {
            Some(part) => open += part,
            None => all.push(std::mem::take(&mut open) + line),
        }
    }
    all
}

/// `NAME="VALUE"`, one after the other. The quotes are asked for: without them there are more rules than are worth it.
fn pairs(text: &str) -> Result<Vec<(String, String)>> {
    let mut pairs = Vec::new();
    let mut rest = text.trim();
    while !rest.is_empty() {
        let (name, after) = rest.split_once("=\"").context("write NAME=\"VALUE\"")?;
        let (value, after) = after.split_once('"').context("a quote is not closed")?;
        ensure!(
            !name.contains([' ', '"']) && !value.contains(['\\', '$']),
            "write NAME=\"VALUE\", without escapes and variables"
        );
        pairs.push((name.to_owned(), value.to_owned()));
        rest = after.trim_start();
    }
    Ok(pairs)
}

#[cfg(test)]
mod tests {
    use super::*;

    const STAGES: &str = "\
FROM rust:1 AS build
RUN make \\
    # a remark
    && install
USER 1

FROM scratch
COPY --from=build /image/ /
ENV PATH=\"/bin\" LANG=\"C\"
USER 2:3
ENTRYPOINT [\"/bin/x\", \"run\"]
LABEL a.b=\"one two\" \\
      c=\"\"
";

    #[test]
    fn only_the_last_stage_counts() {
        let expected = Settings {
            user: "2:3".to_owned(),
            env: vec!["PATH=/bin".to_owned(), "LANG=C".to_owned()],
            entrypoint: vec!["/bin/x".to_owned(), "run".to_owned()],
            labels: [("a.b", "one two"), ("c", "")]
                .map(|(name, value)| (name.to_owned(), value.to_owned()))
                .into(),
        };
        assert_eq!(Settings::of_containerfile(STAGES).unwrap(), expected);
    }

    #[test]
    fn what_would_be_lost_is_refused() {
        for (old, new, complaint) in [
            ("USER 2:3", "VOLUME /data", "VOLUME /data"),
            ("USER 2:3", "COPY x /", "copies"),
            ("COPY --from=build /image/ /\n", "", "copies []"),
            ("FROM scratch", "FROM debian", "FROM scratch"),
            ("[\"/bin/x\", \"run\"]", "/bin/x run", "JSON list"),
            ("a.b=\"one two\"", "a.b=one", "NAME=\"VALUE\""),
            ("\"one two\"", "\"$VERSION\"", "variables"),
            ("c=\"\"", "c=\"", "not closed"),
        ] {
            let text = STAGES.replace(old, new);
            assert_ne!(text, STAGES, "{old} is there");
            let error = Settings::of_containerfile(&text).unwrap_err();
            let error = format!("{error:#}");
            assert!(
                error.contains(complaint),
                "{error} does not say {complaint}"
            );
        }
    }
}
