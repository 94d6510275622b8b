//! From an endpoint to a server that will do and has told everything: the steps, each with its deadline.

use std::sync::Arc;
use std::time::Duration;

use serde::de::DeserializeOwned;
use serde_json::value::RawValue;

use super::Settings;
use super::standing::{Database, SERVER, Seen, Unfit, named};
use crate::ovsdb::monitor::{Download, Method, Monitors, Update};
use crate::ovsdb::replica::{Replica, View};
use crate::ovsdb::schema::Schema;
use crate::ovsdb::wire::{
    ConnectError, Connection, Endpoint, Listener, Notification, RequestError, connect,
};

/// For an answer that a server has at hand.
const SHORT_TIMEOUT: Duration = Duration::from_secs(10);
/// For a whole database.
const DOWNLOAD_TIMEOUT: Duration = Duration::from_mins(2);
/// What the two monitors are called.
const SERVER_ID: &str = "server";
const DATA_ID: &str = "data";

/// A server cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum AttachError {
    /// There is no connection.
    #[error(transparent)]
    Connect(ConnectError),
    /// A request has failed.
    #[error("{method} failed")]
    Request {
        method: &'static str,
        #[source]
        source: RequestError,
    },
    /// What it tells makes no sense.
    #[error("the answer to {method} makes no sense: {reason}")]
    Senseless {
        method: &'static str,
        reason: String,
    },
    /// It will not do, as it says itself.
    #[error(transparent)]
    Unfit(#[from] Unfit),
}

/// A server that is being used.
#[derive(Debug)]
pub struct Attached {
    pub connection: Closing,
    pub schema: Arc<Schema>,
    /// What it says of itself; none, if it is so old that it says nothing.
    server: Option<Replica>,
}

/// Hands each notification to the replica that it is for.
struct Router {
    server: Replica,
    data: Replica,
}

impl Listener for Router {
    fn notified(&mut self, notification: Notification) -> Result<(), String> {
        if notification.method == "monitor_canceled" {
            return Err("the database was removed or converted, and is told of no more".to_owned());
        }
        let update = Update::read(&notification);
        let update = update.map_err(|error| format!("{error}: {}", source(&error)))?;
        match update {
            Some(update) if update.id == SERVER_ID => self.server.update(update),
            Some(update) if update.id == DATA_ID => self.data.update(update),
            Some(update) => Err(format!(
                "it tells of monitor {:?}, which nobody asked for",
                update.id
            )),
            // Locks, and whatever newer servers have to say.
            None => Ok(()),
        }
    }
}

fn source(error: &dyn std::error::Error) -> String {
    error.source().map(ToString::to_string).unwrap_or_default()
}

/// A connection that is closed with this, whoever else has a handle of it.
#[derive(Debug)]
pub struct Closing(pub Connection);

impl Closing {
    /// Closes it, and waits until it tells no more.
    pub async fn end(self) {
        self.0.close();
        self.0.ended().await;
    }
}

impl Drop for Closing {
    fn drop(&mut self) {
        self.0.close();
    }
}

/// Connects, and makes the replica the server's.
pub async fn attach(
    endpoint: &Endpoint,
    settings: &Settings,
    data: &Replica,
    seen: &mut Seen,
) -> Result<Attached, AttachError> {
    let Settings { tls, limits, .. } = settings;
    let stream = connect(endpoint, tls.as_ref())
        .await
        .map_err(AttachError::Connect)?;
    let server = Replica::default();
    let router = Router {
        server: server.clone(),
        data: data.clone(),
    };
    let connection = Connection::start(stream, *limits, router);
    let closing = Closing(connection.clone());
    match listen(&connection, settings, server, data, seen).await {
        Ok((schema, server)) => Ok(Attached {
            connection: closing,
            schema,
            server,
        }),
        Err(error) => {
            // Two connections must never feed the replica: the next one begins when this one has ended.
            closing.end().await;
            Err(error)
        }
    }
}

/// Judges the server, and asks it to tell everything.
async fn listen(
    connection: &Connection,
    settings: &Settings,
    server: Replica,
    data: &Replica,
    seen: &mut Seen,
) -> Result<(Arc<Schema>, Option<Replica>), AttachError> {
    let Settings {
        database,
        member,
        monitors,
        ..
    } = settings;
    let databases: Vec<String> = ask(connection, "list_dbs", &[]).await?;
    let server = if databases.iter().any(|name| name == SERVER) {
        let schema: Schema = ask(connection, "get_schema", &[SERVER]).await?;
        let own = Monitors::new().matching::<Database>(&[named(database)]);
        server.prepare(&schema, &own);
        monitor(connection, &schema, &own, SERVER_ID, &server).await?;
        let standing = standing(&server.view());
        seen.judge(database, standing.as_ref(), *member)?;
        Some(server)
    } else {
        None
    };
    if !databases.contains(database) {
        return Err(Unfit::Lacking(database.clone()).into());
    }
    let schema: Schema = ask(connection, "get_schema", &[database]).await?;
    data.prepare(&schema, monitors);
    monitor(connection, &schema, monitors, DATA_ID, data).await?;
    Ok((Arc::new(schema), server))
}

impl Attached {
    /// Waits until the server is not to be used any more, and says why.
    pub async fn left(&self, settings: &Settings, seen: &mut Seen) -> String {
        let unfit = async {
            let Some(server) = &self.server else {
                return std::future::pending().await;
            };
            server
                .until(|view| {
                    let standing = standing(view);
                    seen.judge(&settings.database, standing.as_ref(), settings.member)
                        .err()
                })
                .await
        };
        tokio::select! {
            ended = self.connection.0.ended() => chain(&ended),
            unfit = unfit => unfit.to_string(),
        }
    }
}

/// What the server says of the one database that it was asked about.
fn standing(view: &View<'_>) -> Option<Database> {
    let mut rows = view.rows::<Database>();
    rows.next()?.ok().map(|(_, database)| database)
}

async fn ask<T: DeserializeOwned>(
    connection: &Connection,
    method: &'static str,
    params: &[&str],
) -> Result<T, AttachError> {
    let answer = connection.request(method, &params, SHORT_TIMEOUT).await;
    let answer = answer.map_err(|source| AttachError::Request { method, source })?;
    serde_json::from_str(answer.get()).map_err(|error| AttachError::Senseless {
        method,
        reason: error.to_string(),
    })
}

/// Asks to be told, in the newest way that the server knows. The replica has everything when this returns.
async fn monitor(
    connection: &Connection,
    schema: &Schema,
    monitors: &Monitors,
    id: &str,
    replica: &Replica,
) -> Result<(), AttachError> {
    for (tried, kind) in Method::ALL.into_iter().enumerate() {
        let method = kind.name();
        let params = monitors.params(kind, schema, id, replica.last());
        let told = replica.clone();
        let take = move |answer: Box<RawValue>| {
            let download = Download::read(kind, &answer);
            let download = download.map_err(|error| format!("{error}: {}", source(&error)))?;
            told.download(download)
        };
        match connection
            .request_then(method, &params, DOWNLOAD_TIMEOUT, take)
            .await
        {
            Ok(Ok(())) => return Ok(()),
            Ok(Err(reason)) => return Err(AttachError::Senseless { method, reason }),
            Err(error)
                if error.refusal() == Some("unknown method") && tried + 1 < Method::ALL.len() => {}
            Err(source) => return Err(AttachError::Request { method, source }),
        }
    }
    Ok(())
}

/// An error and what it comes from, for people.
pub fn chain(error: &dyn std::error::Error) -> String {
    let mut words = error.to_string();
    let mut source = error.source();
    while let Some(error) = source {
        words.push_str(": ");
        words.push_str(&error.to_string());
        source = error.source();
    }
    words
}
