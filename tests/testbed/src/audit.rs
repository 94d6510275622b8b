//! Reads what the API server wrote down about requests (see `control_plane/audit-policy.yaml`).

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use jiff::Timestamp;
use serde::Deserialize;

/// A request: one that meant to change something, or one of Kilonova's own accounts.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Request {
    /// Such as `get`, `watch` or `patch`.
    pub verb: String,
    /// Who asked.
    pub user: User,
    /// With which program.
    #[serde(default)]
    pub user_agent: String,
    /// For what; `None` for what is no resource.
    #[serde(default)]
    pub object_ref: Option<ObjectRef>,
    /// How it ended.
    #[serde(default)]
    pub response_status: ResponseStatus,
    /// When the request came.
    pub request_received_timestamp: Timestamp,
}

impl Request {
    /// Whether it meant to change something.
    pub fn is_write(&self) -> bool {
        !matches!(self.verb.as_str(), "get" | "list" | "watch")
    }
}

/// A user, as the API server knows it.
#[derive(Clone, Debug, Deserialize)]
pub struct User {
    /// Such as `system:serviceaccount:kilonova-system:operator`.
    pub username: String,
}

/// The object of a request.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ObjectRef {
    /// Such as `servers`.
    pub resource: String,
    /// Such as `status`; empty for the object itself.
    pub subresource: String,
    /// Empty for what belongs to no namespace.
    pub namespace: String,
    /// Empty where the server makes the name up.
    pub name: String,
    /// Empty for Kubernetes' oldest kinds.
    pub api_group: String,
}

/// The end of a request.
#[derive(Clone, Debug, Default, Deserialize)]
pub struct ResponseStatus {
    /// The HTTP status.
    #[serde(default)]
    pub code: u16,
}

/// Reads all requests, oldest first: those of the file before, too, which the API server puts beside it when it is
/// full. A line that it is still writing is left for the next time.
pub fn read(path: &Path) -> Result<Vec<Request>> {
    let mut requests = Vec::new();
    for file in files(path)? {
        let text = std::fs::read_to_string(&file)
            .with_context(|| format!("failed to read the audit log {}", file.display()))?;
        let complete = text
            .rsplit_once('\n')
            .map_or("", |(complete, _rest)| complete);
        for line in complete.lines() {
            let request = serde_json::from_str(line);
            requests.push(request.with_context(|| format!("not an audit event: {line}"))?);
        }
    }
    Ok(requests)
}

/// Those that are full have the time in their names, `audit-2026-11-22T13-00-00.000.log`, and so come first.
fn files(path: &Path) -> Result<Vec<PathBuf>> {
    let context = || format!("failed to look for the audit log {}", path.display());
    let folder = path.parent().with_context(context)?;
    let prefix = path.file_stem().with_context(context)?.to_string_lossy();
    let full = format!("{prefix}-");
    let mut files = Vec::new();
    for entry in std::fs::read_dir(folder).with_context(context)? {
        let entry = entry.with_context(context)?;
        if entry.file_name().to_string_lossy().starts_with(&full) {
            files.push(entry.path());
        }
    }
    files.sort();
    files.push(path.to_owned());
    Ok(files)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(verb: &str) -> String {
        format!(
            r#"{{"verb":"{verb}","user":{{"username":"u"}},"requestReceivedTimestamp":"2026-11-22T13:00:00Z"}}"#
        )
    }

    #[test]
    fn a_full_file_is_read_before_the_new_one_and_half_a_line_not_at_all() {
        let folder = tempfile::tempdir().unwrap();
        for (name, text) in [
            ("audit.log", format!("{}\n{{\"verb\":\"up", line("patch"))),
            (
                "audit-2026-11-22T13-00-00.000.log",
                format!("{}\n", line("create")),
            ),
            ("etcd.log", "no JSON\n".to_owned()),
        ] {
            std::fs::write(folder.path().join(name), text).unwrap();
        }
        let requests = read(&folder.path().join("audit.log")).unwrap();
        let verbs: Vec<&str> = requests.iter().map(|found| found.verb.as_str()).collect();
        assert_eq!(verbs, ["create", "patch"]);
    }
}
