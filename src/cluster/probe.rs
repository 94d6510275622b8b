//! The page for whoever watches the process: `/metrics`, `/healthz` (it answers) and `/readyz` (it can work).

use std::{net::SocketAddr, sync::Arc};

use axum::{Router, extract::State, http::StatusCode, routing::get};
use tokio::{net::TcpListener, sync::watch};

use super::metrics::Registry;

/// Why a part of the process is not ready, for `/readyz`; `None` when it is.
pub type Readiness = watch::Receiver<Option<String>>;

/// What the probe could not do.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The address is taken, or not ours.
    #[error(
        "cannot listen on {address} for metrics and probes: choose another address with --listen"
    )]
    Listen {
        /// The address.
        address: SocketAddr,
        /// Why.
        source: std::io::Error,
    },
    /// The server stopped.
    #[error("the server of metrics and probes stopped")]
    Serve(#[source] std::io::Error),
}

/// Serves the page for as long as the process lives. It is ready when every part of it is; the first that is not says
/// why.
pub async fn serve(
    address: SocketAddr,
    registry: Registry,
    readiness: Vec<Readiness>,
) -> Result<(), Error> {
    serve_more(address, registry, readiness, Router::new()).await
}

/// The same with more pages.
pub async fn serve_more(
    address: SocketAddr,
    registry: Registry,
    readiness: Vec<Readiness>,
    more: Router,
) -> Result<(), Error> {
    let listener = TcpListener::bind(address)
        .await
        .map_err(|source| Error::Listen { address, source })?;
    let router = Router::new()
        .route("/metrics", get(metrics_page))
        .with_state(Arc::new(registry))
        .route("/healthz", get(async || "ok"))
        .route("/readyz", get(ready).with_state(readiness.into()))
        .merge(more);
    axum::serve(listener, router).await.map_err(Error::Serve)
}

type Page = ([(&'static str, &'static str); 1], String);

async fn metrics_page(State(registry): State<Arc<Registry>>) -> Result<Page, StatusCode> {
    let page = registry
        .encode()
        .map_err(|_| StatusCode::INTERNAL_SERVER_ERROR)?;
    Ok((
        [(
            "content-type",
            "application/openmetrics-text; version=1.0.0; charset=utf-8",
        )],
        page,
    ))
}

async fn ready(State(readiness): State<Arc<[Readiness]>>) -> (StatusCode, String) {
    match readiness.iter().find_map(|part| part.borrow().clone()) {
        None => (StatusCode::OK, "ok".to_owned()),
        Some(reason) => (StatusCode::SERVICE_UNAVAILABLE, reason),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn it_is_ready_when_every_part_is() {
        let (one, first) = watch::channel(None);
        let (two, second) = watch::channel(Some("two waits".to_owned()));
        let parts: Arc<[Readiness]> = vec![first, second].into();
        let (code, why) = ready(State(Arc::clone(&parts))).await;
        assert_eq!((code.as_u16(), &*why), (503, "two waits"));
        two.send_replace(None);
        let (code, _) = ready(State(Arc::clone(&parts))).await;
        assert_eq!(code.as_u16(), 200);
        one.send_replace(Some("one waits".to_owned()));
        let (code, why) = ready(State(parts)).await;
        assert_eq!((code.as_u16(), &*why), (503, "one waits"));
    }
}
