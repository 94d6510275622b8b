//! JSON-RPC 1.0 over a stream of bytes (RFC 7047, section 4): frames, messages, endpoints, and one connection.
//!
//! Knows nothing of databases. A connection never reconnects: see `session`.

mod connection;
mod ended;
mod endpoint;
mod frame;
mod message;
mod pending;
mod stream;
mod tls;

pub use connection::{Connection, Limits, Listener};
pub use ended::{Ended, Outcome, RequestError};
pub use endpoint::{Endpoint, NotEndpoint};
pub use message::Notification;
pub use stream::{ConnectError, Stream, connect};
pub use tls::{Tls, TlsError};

#[cfg(test)]
mod tests;
