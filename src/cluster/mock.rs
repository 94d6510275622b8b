//! An API server for tests, without a network: it answers as it is told to, and remembers what it was asked.
//!
//! Must never be part of a build that runs. What it was not told to answer it refuses loudly, so that a test cannot
//! pass because of a request that it did not expect.

use std::{
    collections::{HashMap, VecDeque},
    convert::Infallible,
    io,
    sync::{Arc, Mutex},
};

use axum::body::Body as Answering;
use futures::stream;
use http::{Method, Request, Response, header::AUTHORIZATION};
use kube::{Client, client::Body};
use serde_json::{Value, json};
use tokio::sync::{Notify, mpsc};

/// How a request is answered.
#[derive(Clone)]
pub(crate) enum Answer {
    /// With this status and document.
    Json(u16, Value),
    /// With a failure of this code and reason, as Kubernetes writes it.
    Failure(u16, &'static str),
    /// With what the test sends, one line each, for as long as it may send more: a watch.
    Feed(Arc<tokio::sync::Mutex<mpsc::UnboundedReceiver<Value>>>),
    /// Not at all: the connection breaks.
    Unreachable,
    /// Never.
    Silent,
    /// As this says.
    By(Arc<dyn Fn(&Asked) -> Answer + Send + Sync>),
}

impl Answer {
    /// With status 200 and this document.
    pub(crate) fn ok(document: impl serde::Serialize) -> Self {
        Self::Json(200, serde_json::to_value(document).unwrap())
    }

    /// A watch, and the way to send events into it. It ends when the sender is dropped.
    pub(crate) fn feed() -> (mpsc::UnboundedSender<Value>, Self) {
        let (sender, receiver) = mpsc::unbounded_channel();
        let feed = Self::Feed(Arc::new(tokio::sync::Mutex::new(receiver)));
        (sender, feed)
    }

    /// As `answer` says, which sees the request.
    pub(crate) fn by(answer: impl Fn(&Asked) -> Answer + Send + Sync + 'static) -> Self {
        Self::By(Arc::new(answer))
    }
}

/// A request that was made.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Asked {
    /// `GET`, `PATCH` and so on, and `WATCH` for a GET that watches.
    pub(crate) verb: String,
    /// The path, without the query.
    pub(crate) path: String,
    /// The query, still encoded; empty without one.
    pub(crate) query: String,
    /// The document; null without one.
    pub(crate) body: Value,
    /// The header `Authorization`; empty without one.
    pub(crate) authorization: String,
}

/// The server. Clones are the same server.
#[derive(Clone, Default)]
pub(crate) struct MockServer(Arc<Inner>);

#[derive(Default)]
struct Inner {
    answers: Mutex<HashMap<(String, String), VecDeque<Answer>>>,
    asked: Mutex<Vec<Asked>>,
    news: Notify,
}

impl MockServer {
    pub(crate) fn new() -> Self {
        Self::default()
    }

    /// A client of this server. Needs a runtime.
    pub(crate) fn client(&self) -> Client {
        let server = self.clone();
        Client::new(
            tower::service_fn(move |request| {
                let server = server.clone();
                async move { server.serve(request).await }
            }),
            "default",
        )
    }

    /// From now on such a request is answered so. Told twice, the first is answered the first way, and so on; the
    /// last answer stays.
    pub(crate) fn on(&self, verb: &str, path: &str, answer: Answer) -> &Self {
        let key = (verb.to_owned(), path.to_owned());
        let mut answers = self.0.answers.lock().unwrap();
        answers.entry(key).or_default().push_back(answer);
        self
    }

    /// Everything that was asked so far, in order.
    pub(crate) fn asked(&self) -> Vec<Asked> {
        self.0.asked.lock().unwrap().clone()
    }

    /// Returns once a request fits; the first that does. Needs an end of its own in the test.
    pub(crate) async fn until_asked(&self, fits: impl Fn(&Asked) -> bool) -> Asked {
        loop {
            let news = self.0.news.notified();
            if let Some(asked) = self.asked().into_iter().find(|asked| fits(asked)) {
                return asked;
            }
            news.await;
        }
    }

    async fn serve(&self, request: Request<Body>) -> Result<Response<Answering>, io::Error> {
        let asked = read(request).await;
        let mut answer = self.choose(&asked);
        self.0.asked.lock().unwrap().push(asked.clone());
        self.0.news.notify_waiters();
        while let Answer::By(decide) = answer {
            answer = decide(&asked);
        }
        match answer {
            Answer::Json(status, document) => {
                Ok(respond(status, Answering::from(document.to_string())))
            }
            Answer::Failure(code, reason) => {
                let status = json!({
                    "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure",
                    "code": code, "reason": reason, "message": format!("the mock says {reason}"),
                });
                Ok(respond(code, Answering::from(status.to_string())))
            }
            Answer::Feed(events) => {
                let lines = stream::unfold(events, |events| async {
                    let event = events.lock().await.recv().await?;
                    Some((Ok::<_, Infallible>(format!("{event}\n")), events))
                });
                Ok(respond(200, Answering::from_stream(lines)))
            }
            Answer::Unreachable => Err(io::Error::from(io::ErrorKind::ConnectionRefused)),
            Answer::Silent | Answer::By(_) => std::future::pending().await,
        }
    }

    fn choose(&self, asked: &Asked) -> Answer {
        let mut answers = self.0.answers.lock().unwrap();
        let key = (asked.verb.clone(), asked.path.clone());
        match answers.get_mut(&key) {
            Some(left) if left.len() > 1 => left.pop_front().unwrap(),
            Some(left) => left[0].clone(),
            None => Answer::Failure(501, "NotTold"),
        }
    }
}

async fn read(request: Request<Body>) -> Asked {
    let (parts, body) = request.into_parts();
    let body = axum::body::to_bytes(Answering::new(body), usize::MAX)
        .await
        .unwrap();
    let query = parts.uri.query().unwrap_or_default();
    let watches = parts.method == Method::GET && query.contains("watch=true");
    Asked {
        verb: if watches {
            "WATCH"
        } else {
            parts.method.as_str()
        }
        .to_owned(),
        path: parts.uri.path().to_owned(),
        query: query.to_owned(),
        body: serde_json::from_slice(&body).unwrap_or_default(),
        authorization: parts
            .headers
            .get(AUTHORIZATION)
            .map(|header| header.to_str().unwrap().to_owned())
            .unwrap_or_default(),
    }
}

fn respond(status: u16, body: Answering) -> Response<Answering> {
    let mut response = Response::new(body);
    *response.status_mut() = status.try_into().unwrap();
    response
}

/// What a list of these objects looks like.
pub(crate) fn list<K: serde::Serialize>(objects: &[K]) -> Value {
    json!({ "kind": "List", "apiVersion": "v1", "metadata": { "resourceVersion": "1" }, "items": objects })
}

/// What a watch says of an object: `ADDED`, `MODIFIED` or `DELETED`.
pub(crate) fn event(type_: &str, object: impl serde::Serialize) -> Value {
    json!({ "type": type_, "object": object })
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use k8s_openapi::api::core::v1::Node;
    use kube::Api;
    use tokio::time::timeout;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn it_answers_in_turn_and_refuses_what_it_was_not_told() {
        let server = MockServer::new();
        let nodes = Api::<Node>::all(server.client());
        server.on("GET", "/api/v1/nodes/a", Answer::Silent).on(
            "GET",
            "/api/v1/nodes/a",
            Answer::by(|_| Answer::ok(Node::default())),
        );
        let silence = timeout(Duration::from_mins(1), nodes.get("a")).await;
        assert!(silence.is_err());
        for _ in 0..2 {
            nodes.get("a").await.unwrap();
        }
        let refused = nodes.get("b").await.unwrap_err();
        assert!(matches!(refused, kube::Error::Api(status) if status.code == 501));
        assert_eq!(server.asked().len(), 4);
    }
}
