//! A stream of bytes to an endpoint, by whichever transport.

use std::io;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpStream, UnixStream};
use tokio::time;

use super::endpoint::Endpoint;
use super::tls::{Tls, TlsError};

/// Until there is a connection, TLS included: two lost packets of a handshake are repeated within it (1 s and 3 s).
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// Bytes in both directions.
pub trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> Stream for T {}

/// There is no connection to an endpoint.
#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    /// What the operating system, or the TLS of either side, says.
    #[error("failed to connect")]
    Io(#[source] io::Error),
    /// Nobody answers.
    #[error("no connection within {} s", CONNECT_TIMEOUT.as_secs())]
    Slow,
    /// TLS cannot be set up.
    #[error(transparent)]
    Tls(TlsError),
    /// An endpoint of kind `ssl`, and no certificates.
    #[error("it needs TLS, and no certificates are configured")]
    NoTls,
}

/// Connects.
pub async fn connect(
    endpoint: &Endpoint,
    tls: Option<&Tls>,
) -> Result<Box<dyn Stream>, ConnectError> {
    let connecting = reach(endpoint, tls);
    time::timeout(CONNECT_TIMEOUT, connecting)
        .await
        .unwrap_or(Err(ConnectError::Slow))
}

async fn reach(endpoint: &Endpoint, tls: Option<&Tls>) -> Result<Box<dyn Stream>, ConnectError> {
    match endpoint {
        Endpoint::Unix(path) => {
            let stream = UnixStream::connect(path).await.map_err(ConnectError::Io)?;
            Ok(Box::new(stream))
        }
        Endpoint::Tcp { host, port } => Ok(Box::new(tcp(host, *port).await?)),
        Endpoint::Ssl { host, port } => {
            let tls = tls.ok_or(ConnectError::NoTls)?;
            let (connector, server) = tls.connector(host).map_err(ConnectError::Tls)?;
            let stream = tcp(host, *port).await?;
            let stream = connector.connect(server, stream).await;
            Ok(Box::new(stream.map_err(ConnectError::Io)?))
        }
    }
}

async fn tcp(host: &str, port: u16) -> Result<TcpStream, ConnectError> {
    let stream = TcpStream::connect((host, port))
        .await
        .map_err(ConnectError::Io)?;
    // Requests are small and somebody waits for each.
    stream.set_nodelay(true).map_err(ConnectError::Io)?;
    Ok(stream)
}
