//! A gate between a client and a server: it can be shut, which cuts all connections, and it can make a server older.

use std::path::{Path, PathBuf};

use anyhow::Result;
use kilonova::ovsdb::Endpoint;
use tokio::io::{AsyncReadExt, AsyncWriteExt, copy};
use tokio::net::{UnixListener, UnixStream};
use tokio::task::{JoinHandle, JoinSet};

/// A gate, which is shut when it is dropped.
pub struct Gate {
    path: PathBuf,
    target: PathBuf,
    /// What a client says and what the server hears instead, of one length.
    instead: Option<(&'static str, &'static str)>,
    task: Option<JoinHandle<()>>,
}

impl Gate {
    /// A gate to the server at `target`, open.
    pub fn new(path: PathBuf, target: PathBuf) -> Result<Self> {
        Self::with(path, target, None)
    }

    /// A gate behind which a method goes by another name, so that the server does not know it.
    pub fn without(
        path: PathBuf,
        target: PathBuf,
        method: (&'static str, &'static str),
    ) -> Result<Self> {
        Self::with(path, target, Some(method))
    }

    fn with(
        path: PathBuf,
        target: PathBuf,
        instead: Option<(&'static str, &'static str)>,
    ) -> Result<Self> {
        let mut gate = Self {
            path,
            target,
            instead,
            task: None,
        };
        gate.open()?;
        Ok(gate)
    }

    /// Lets clients through.
    pub fn open(&mut self) -> Result<()> {
        let listener = UnixListener::bind(&self.path)?;
        let (target, instead) = (self.target.clone(), self.instead);
        self.task = Some(tokio::spawn(async move {
            let mut through = JoinSet::new();
            while let Ok((client, _)) = listener.accept().await {
                through.spawn(pass(client, target.clone(), instead));
            }
        }));
        Ok(())
    }

    /// Cuts all connections, and lets nobody through.
    pub async fn shut(&mut self) {
        if let Some(task) = self.task.take() {
            task.abort();
            let _ = task.await;
        }
        let _ = std::fs::remove_file(&self.path);
    }

    pub fn endpoint(&self) -> Endpoint {
        Endpoint::Unix(self.path.clone())
    }
}

impl Drop for Gate {
    fn drop(&mut self) {
        if let Some(task) = self.task.take() {
            task.abort();
        }
    }
}

async fn pass(client: UnixStream, target: impl AsRef<Path>, instead: Option<(&str, &str)>) {
    let Ok(server) = UnixStream::connect(target).await else {
        return;
    };
    let (mut from_client, mut to_client) = client.into_split();
    let (mut from_server, mut to_server) = server.into_split();
    let forth = async {
        let mut chunk = vec![0; 64 * 1024];
        // A client's request is small, and comes in one piece.
        while let Ok(count @ 1..) = from_client.read(&mut chunk).await {
            let mut text = String::from_utf8_lossy(&chunk[..count]).into_owned();
            if let Some((said, heard)) = instead {
                text = text.replace(said, heard);
            }
            if to_server.write_all(text.as_bytes()).await.is_err() {
                return;
            }
        }
    };
    tokio::select! {
        () = forth => {}
        _ = copy(&mut from_server, &mut to_client) => {}
    }
}
