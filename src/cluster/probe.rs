//! The page for whoever watches the process: `/metrics`, `/healthz` (it answers) and `/readyz` (it can work).

use std::{net::SocketAddr, sync::Arc};

use axum::{Router, extract::State, http::StatusCode, routing::get};
use prometheus_client::registry::Registry;
use tokio::{net::TcpListener, sync::watch};

use super::metrics;

/// Why the process is not ready, for `/readyz`; `None` when it is.
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

/// Serves the page for as long as the process lives.
pub async fn serve(
    address: SocketAddr,
    registry: Registry,
    readiness: Readiness,
) -> Result<(), Error> {
    let listener = TcpListener::bind(address)
        .await
        .map_err(|source| Error::Listen { address, source })?;
    let router = Router::new()
        .route("/metrics", get(metrics_page))
        .with_state(Arc::new(registry))
        .route("/healthz", get(async || "ok"))
        .route("/readyz", get(ready).with_state(readiness));
    axum::serve(listener, router).await.map_err(Error::Serve)
}

type Page = ([(&'static str, &'static str); 1], String);

async fn metrics_page(State(registry): State<Arc<Registry>>) -> Result<Page, StatusCode> {
    let page = metrics::encode(&registry).map_err(|_| StatusCode::INTERNAL_SERVER_ERROR)?;
    Ok((
        [(
            "content-type",
            "application/openmetrics-text; version=1.0.0; charset=utf-8",
        )],
        page,
    ))
}

async fn ready(State(readiness): State<Readiness>) -> (StatusCode, String) {
    match readiness.borrow().clone() {
        None => (StatusCode::OK, "ok".to_owned()),
        Some(reason) => (StatusCode::SERVICE_UNAVAILABLE, reason),
    }
}
