//! The token that a client's requests carry, which changes while the client lives. Must never be written anywhere.

use std::{
    sync::{Arc, PoisonError, RwLock},
    task::{Context, Poll},
};

use futures::future::{BoxFuture, FutureExt};
use http::{HeaderValue, Request, Response, StatusCode, header::AUTHORIZATION};
use kube::client::Body;
use tokio::sync::Notify;
use tower::{Layer, Service};

/// A token in use. Clones are the same one.
#[derive(Clone)]
pub(super) struct Token(Arc<Inner>);

struct Inner {
    current: RwLock<Current>,
    refusals: Notify,
}

struct Current {
    header: HeaderValue,
    refused: bool,
}

impl Token {
    pub(super) fn new(header: HeaderValue) -> Self {
        let current = RwLock::new(Current {
            header,
            refused: false,
        });
        Self(Arc::new(Inner {
            current,
            refusals: Notify::new(),
        }))
    }

    /// From now on requests carry this one. What is under way goes on with the old one, watches above all.
    pub(super) fn replace(&self, header: HeaderValue) {
        let mut current = self
            .0
            .current
            .write()
            .unwrap_or_else(PoisonError::into_inner);
        *current = Current {
            header,
            refused: false,
        };
    }

    /// Whether the API server would not have what requests carry now.
    pub(super) fn is_refused(&self) -> bool {
        let current = self
            .0
            .current
            .read()
            .unwrap_or_else(PoisonError::into_inner);
        current.refused
    }

    /// Returns once the API server will not have it.
    pub(super) async fn refused(&self) {
        while !self.is_refused() {
            self.0.refusals.notified().await;
        }
    }

    fn header(&self) -> HeaderValue {
        let current = self
            .0
            .current
            .read()
            .unwrap_or_else(PoisonError::into_inner);
        current.header.clone()
    }

    /// An answer to an older one says nothing of the one in use.
    fn note_refusal(&self, sent: &HeaderValue) {
        let mut current = self
            .0
            .current
            .write()
            .unwrap_or_else(PoisonError::into_inner);
        if current.header == *sent {
            current.refused = true;
            self.0.refusals.notify_one();
        }
    }
}

impl<S> Layer<S> for Token {
    type Service = Carrying<S>;

    fn layer(&self, inner: S) -> Carrying<S> {
        Carrying {
            inner,
            token: self.clone(),
        }
    }
}

/// Sends every request with the token of that moment, and takes note when it is refused.
pub(super) struct Carrying<S> {
    inner: S,
    token: Token,
}

impl<S, B> Service<Request<Body>> for Carrying<S>
where
    S: Service<Request<Body>, Response = Response<B>>,
    S::Future: Send + 'static,
{
    type Response = Response<B>;
    type Error = S::Error;
    type Future = BoxFuture<'static, Result<Response<B>, S::Error>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, mut request: Request<Body>) -> Self::Future {
        let (token, header) = (self.token.clone(), self.token.header());
        request.headers_mut().insert(AUTHORIZATION, header.clone());
        let answer = self.inner.call(request);
        async move {
            let answer = answer.await?;
            if answer.status() == StatusCode::UNAUTHORIZED {
                token.note_refusal(&header);
            }
            Ok(answer)
        }
        .boxed()
    }
}
