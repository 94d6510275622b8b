//! One request to the API server: how long it may take, and what kind of failure it had.
//!
//! No request waits for ever: whoever waits holds up a guest, and does not notice that it leads no longer. Nothing is
//! tried again in here either, since whoever asked knows better whether it still wants to.

use std::time::Duration;

use kube::{
    Client, Config,
    api::GetParams,
    client::ClientBuilder,
    core::{Request, Status},
};
use tokio::time;
use tower::layer::layer_fn;

use super::{metrics::RequestMetrics, writer::Object};

/// How long an answer may take. The API server itself gives up on most requests after a minute; one that has not
/// answered by then will hardly do any good.
pub const ANSWER_MAX: Duration = Duration::from_secs(20);

/// How long a connection may take to come about. Even a far API server answers a handshake within a second.
const CONNECT_MAX: Duration = Duration::from_secs(10);

/// How long a connection with something under way may be silent. Above what a watch is silent for
/// ([`super::cache`]), so that only dead connections end.
const SILENCE_MAX: Duration = Duration::from_secs(75);

/// What Kubernetes calls it that a namespace takes nothing new because it is being deleted.
const ENDING: &str = "NamespaceTerminating";

/// A request to the API server that failed.
#[derive(Debug, thiserror::Error)]
#[error("failed to {operation} {subject}")]
pub struct Error {
    operation: &'static str,
    subject: String,
    #[source]
    cause: Cause,
}

#[derive(Debug, thiserror::Error)]
enum Cause {
    #[error(transparent)]
    Failed(Box<kube::Error>),
    #[error("the API server did not answer within {} s", .0.as_secs())]
    Silent(Duration),
}

/// What kind of failure a request had.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Failure {
    /// Somebody else was faster: read again and try again at once.
    Conflict,
    /// The object is not there.
    NotFound,
    /// The API server will not have it; trying again would not help.
    Refused,
    /// The namespace is on its way out and takes nothing new: nobody is to blame, and nothing is to be done.
    Ending,
    /// The API server was not reached, or not able: try again later.
    Unreachable,
}

/// The result of a request to the API server.
pub type Result<T> = std::result::Result<T, Error>;

impl Error {
    /// Names the request that failed.
    pub fn new(operation: &'static str, subject: impl Into<String>, source: kube::Error) -> Self {
        Self {
            operation,
            subject: subject.into(),
            cause: Cause::Failed(Box::new(source)),
        }
    }

    /// What the API server said, if it did.
    pub fn status(&self) -> Option<&Status> {
        let Cause::Failed(error) = &self.cause else {
            return None;
        };
        match &**error {
            kube::Error::Api(status) => Some(status),
            _ => None,
        }
    }

    /// Whether the object to be made was there: unlike other conflicts, which a quota can have too.
    pub fn already_exists(&self) -> bool {
        matches!(&self.cause, Cause::Failed(error)
            if matches!(&**error, kube::Error::Api(status) if status.is_already_exists()))
    }

    /// What the API server said when it refused, in its own words.
    pub fn answer(&self) -> Option<&str> {
        match &self.cause {
            Cause::Failed(error) => match &**error {
                kube::Error::Api(status) => Some(&status.message),
                _ => None,
            },
            Cause::Silent(_) => None,
        }
    }

    /// What kind of failure this was.
    pub fn failure(&self) -> Failure {
        let Cause::Failed(error) = &self.cause else {
            return Failure::Unreachable;
        };
        match &**error {
            kube::Error::Api(status) if status.is_conflict() || status.is_already_exists() => {
                Failure::Conflict
            }
            kube::Error::Api(status) if status.is_not_found() => Failure::NotFound,
            kube::Error::Api(status) if is_ending(status) => Failure::Ending,
            // Not asked too often, and not with a token that has just ended: the next one is on its way.
            kube::Error::Api(status)
                if (400..500).contains(&status.code) && !matches!(status.code, 401 | 429) =>
            {
                Failure::Refused
            }
            _ => Failure::Unreachable,
        }
    }
}

/// Whether the namespace that something was to be made in is being deleted.
fn is_ending(status: &Status) -> bool {
    let causes = status.details.iter().flat_map(|details| &details.causes);
    causes.into_iter().any(|cause| cause.reason == ENDING)
}

/// A client that gives up: on connections that do not come about, and on those that have died without a word. Each of
/// its requests is counted.
pub fn client(config: Config, metrics: &RequestMetrics) -> kube::Result<Client> {
    let counted = layer_fn(|service| metrics.count(service));
    Ok(ClientBuilder::try_from(limited(config))?
        .with_layer(&counted)
        .build())
}

/// The same configuration, with the limits of every client of ours.
pub(super) fn limited(mut config: Config) -> Config {
    // It would try a refused request 15 times, for minutes, and tell nobody.
    config.default_retry = false;
    config.connect_timeout = Some(CONNECT_MAX);
    config.read_timeout = Some(SILENCE_MAX);
    // The silence counts from the request, not from the answer before it.
    config.reset_reader_on_write = true;
    config
}

/// Waits for the answer, but not for longer than [`ANSWER_MAX`].
pub async fn in_time<T>(
    operation: &'static str,
    subject: impl Into<String>,
    request: impl Future<Output = kube::Result<T>>,
) -> Result<T> {
    within(ANSWER_MAX, operation, subject, request).await
}

/// Waits for the answer, but not for longer than `limit`.
pub async fn within<T>(
    limit: Duration,
    operation: &'static str,
    subject: impl Into<String>,
    request: impl Future<Output = kube::Result<T>>,
) -> Result<T> {
    let cause = match time::timeout(limit, request).await {
        Ok(Ok(answer)) => return Ok(answer),
        Ok(Err(error)) => Cause::Failed(Box::new(error)),
        Err(_) => Cause::Silent(limit),
    };
    Err(Error {
        operation,
        subject: subject.into(),
        cause,
    })
}

/// Reads an object from the API server itself; `None` if it is not there.
pub async fn read<K: Object>(
    client: &Client,
    namespace: Option<&str>,
    name: &str,
) -> Result<Option<K>> {
    let kind = K::kind(&());
    let subject = match namespace {
        Some(namespace) => format!("{kind} {namespace}/{name}"),
        None => format!("{kind} {name}"),
    };
    let get = async {
        let request = Request::new(K::url_path(&(), namespace))
            .get(name, &GetParams::default())
            .map_err(kube::Error::BuildRequest)?;
        client.request(request).await
    };
    match in_time("read", subject, get).await {
        Err(error) if error.failure() == Failure::NotFound => Ok(None),
        other => other.map(Some),
    }
}

#[cfg(test)]
mod tests {
    use k8s_openapi::api::core::v1::Secret;
    use serde_json::json;

    use super::*;
    use crate::cluster::{
        mock::{Answer, MockServer},
        telemetry,
    };

    const SECRET: &str = "/api/v1/namespaces/shop/secrets/s";

    #[tokio::test]
    async fn a_namespace_that_ends_is_no_refusal() {
        // As an API server of 1.34 says it of an object that is to be made.
        let answer = |causes: serde_json::Value| {
            Answer::Json(
                403,
                json!({
                    "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure",
                    "message": "securitygroups.kilonova.dev \"default\" is forbidden: unable to create new content in \
                        namespace shop because it is being terminated",
                    "reason": "Forbidden", "code": 403,
                    "details": {"name": "default", "group": "kilonova.dev", "kind": "securitygroups", "causes": causes},
                }),
            )
        };
        let ending = json!([{
            "reason": "NamespaceTerminating", "message": "namespace shop is being terminated", "field": "metadata.namespace",
        }]);
        let server = MockServer::new();
        server
            .on("GET", SECRET, answer(ending))
            .on("GET", SECRET, answer(json!([])));
        let client = server.client();
        for expected in [Failure::Ending, Failure::Refused] {
            let error = read::<Secret>(&client, Some("shop"), "s").await;
            assert_eq!(error.unwrap_err().failure(), expected);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_read_is_there_or_absent_or_unknown() {
        let server = MockServer::new();
        server
            .on("GET", SECRET, Answer::ok(Secret::default()))
            .on("GET", SECRET, Answer::Failure(404, "NotFound"))
            .on("GET", SECRET, Answer::Failure(404, "NoSuchKind"))
            .on("GET", SECRET, Answer::Silent);
        let client = server.client();
        let mut answers = Vec::new();
        for _ in 0..4 {
            answers.push(read::<Secret>(&client, Some("shop"), "s").await);
        }
        let [Ok(Some(_)), Ok(None), Err(unserved), Err(error)] = &answers[..] else {
            panic!("{answers:?}")
        };
        // That the whole kind is not served says nothing of the object.
        assert_eq!(unserved.failure(), Failure::Refused);
        assert_eq!(error.failure(), Failure::Unreachable);
        assert_eq!(
            telemetry::chain(error),
            "failed to read Secret shop/s: the API server did not answer within 20 s"
        );
    }
}
