//! Reads what the API server wrote down about requests (see `control_plane/audit-policy.yaml`).

use std::path::Path;

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

/// Reads all requests, oldest first. A line that the API server is still writing is left for the next time.
pub fn read(path: &Path) -> Result<Vec<Request>> {
    let text = std::fs::read_to_string(path)
        .with_context(|| format!("failed to read the audit log {}", path.display()))?;
    let complete = text
        .rsplit_once('\n')
        .map_or("", |(complete, _rest)| complete);
    complete
        .lines()
        .map(|line| {
            serde_json::from_str(line).with_context(|| format!("not an audit event: {line}"))
        })
        .collect()
}
