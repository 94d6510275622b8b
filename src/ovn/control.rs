//! Asks a program of Open vSwitch what people ask it by `ovs-appctl`: JSON-RPC over its control socket.

use std::{path::Path, time::Duration};

use crate::ovsdb::wire::{
    ConnectError, Connection, Endpoint, Limits, Listener, Notification, RequestError, connect,
};

const ANSWER_MAX: Duration = Duration::from_secs(10);

/// It does not answer, or says no.
#[derive(Debug, thiserror::Error)]
pub enum ControlError {
    /// It does not listen.
    #[error("it does not listen")]
    Connect(#[source] ConnectError),
    /// It says no.
    #[error("it does not do {0}")]
    Request(String, #[source] RequestError),
    /// Its answer is no text.
    #[error("its answer to {0} makes no sense")]
    Answer(String, #[source] serde_json::Error),
}

/// Such programs announce nothing.
struct Deaf;

impl Listener for Deaf {
    fn notified(&mut self, _: Notification) -> Result<(), String> {
        Ok(())
    }
}

/// Asks once.
pub async fn ask(socket: &Path, command: &str, arguments: &[&str]) -> Result<String, ControlError> {
    let endpoint = Endpoint::Unix(socket.to_owned());
    let stream = connect(&endpoint, None).await;
    let stream = stream.map_err(ControlError::Connect)?;
    let connection = Connection::start(stream, Limits::default(), Deaf);
    let answer = connection.request(command, &arguments, ANSWER_MAX).await;
    let answer = answer.map_err(|error| ControlError::Request(command.to_owned(), error))?;
    serde_json::from_str(answer.get())
        .map_err(|error| ControlError::Answer(command.to_owned(), error))
}
