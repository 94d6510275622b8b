//! A server for tests that behaves as badly as it is told to. It writes bytes by hand, since no HTTP library would
//! lie about lengths or hang.

use std::{
    collections::BTreeMap,
    future::pending,
    sync::{Arc, Mutex},
};

use tokio::{
    io::{AsyncBufReadExt, AsyncWriteExt, BufReader},
    net::{TcpListener, TcpStream},
    sync::Semaphore,
};

/// What an address of the server does.
#[derive(Clone)]
pub enum Behavior {
    /// Sends the file.
    File(Vec<u8>),
    /// Sends the file without saying how long it is.
    Unannounced(Vec<u8>),
    /// Sends half of the file and the rest once the gate is open.
    Gated(Vec<u8>, Arc<Semaphore>),
    /// Promises the file and hangs up in the middle.
    Truncated(Vec<u8>),
    /// Sends half of the file and then nothing more.
    Stalling(Vec<u8>),
    /// One byte after the other, as fast as it can; never enough of them.
    Trickling,
    /// Zeros without end.
    Endless,
    /// Promises this much and sends nothing of it.
    Promising(u64),
    /// Accepts and says nothing.
    Silent,
    /// Only a status.
    Status(u16),
    /// Leads somewhere else.
    Redirect(&'static str),
    /// One behavior after the other; the last one stays.
    Sequence(Vec<Behavior>),
}

/// A server on 127.0.0.1. It ends with the test's runtime.
pub struct Server {
    pub address: String,
    requests: Arc<Mutex<BTreeMap<String, usize>>>,
}

impl Server {
    pub async fn start(paths: Vec<(&'static str, Behavior)>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = format!("http://{}", listener.local_addr().unwrap());
        let requests = Arc::default();
        let counted = Arc::clone(&requests);
        tokio::spawn(async move {
            let paths: BTreeMap<_, _> = paths.into_iter().collect();
            loop {
                let (connection, _) = listener.accept().await.unwrap();
                tokio::spawn(serve(connection, paths.clone(), Arc::clone(&counted)));
            }
        });
        Self { address, requests }
    }

    pub fn requests(&self, path: &str) -> usize {
        self.requests
            .lock()
            .unwrap()
            .get(path)
            .copied()
            .unwrap_or(0)
    }
}

async fn serve(
    mut connection: TcpStream,
    paths: BTreeMap<&'static str, Behavior>,
    counted: Arc<Mutex<BTreeMap<String, usize>>>,
) {
    let mut lines = BufReader::new(&mut connection).lines();
    let request = lines.next_line().await.unwrap().unwrap_or_default();
    while lines
        .next_line()
        .await
        .unwrap()
        .is_some_and(|line| !line.is_empty())
    {}
    let path = request.split(' ').nth(1).unwrap_or_default();
    let path = path.split('?').next().unwrap_or_default().to_owned();
    let before = {
        let mut counted = counted.lock().unwrap();
        let count = counted.entry(path.clone()).or_insert(0);
        *count += 1;
        *count - 1
    };
    let behavior = match paths.get(path.as_str()).cloned() {
        Some(Behavior::Sequence(steps)) => steps[before.min(steps.len() - 1)].clone(),
        Some(behavior) => behavior,
        None => Behavior::Status(404),
    };
    // The client hangs up when it has seen enough.
    let _ = behave(&mut connection, behavior).await;
}

async fn behave(to: &mut TcpStream, behavior: Behavior) -> std::io::Result<()> {
    match behavior {
        Behavior::File(file) => {
            head(to, 200, Some(file.len() as u64)).await?;
            to.write_all(&file).await
        }
        Behavior::Unannounced(file) => {
            head(to, 200, None).await?;
            to.write_all(&file).await
        }
        Behavior::Gated(file, gate) => {
            let (first, second) = file.split_at(file.len() / 2);
            head(to, 200, Some(file.len() as u64)).await?;
            to.write_all(first).await?;
            gate.acquire().await.unwrap().forget();
            to.write_all(second).await
        }
        Behavior::Truncated(file) => {
            head(to, 200, Some(file.len() as u64)).await?;
            to.write_all(&file[..file.len() / 2]).await
        }
        Behavior::Stalling(file) => {
            head(to, 200, Some(file.len() as u64)).await?;
            to.write_all(&file[..file.len() / 2]).await?;
            pending().await
        }
        Behavior::Trickling => {
            head(to, 200, None).await?;
            for _ in 0..100 {
                to.write_all(b"x").await?;
            }
            pending().await
        }
        Behavior::Endless => {
            head(to, 200, None).await?;
            let zeros = vec![0; 65_536];
            loop {
                to.write_all(&zeros).await?;
            }
        }
        Behavior::Promising(bytes) => {
            head(to, 200, Some(bytes)).await?;
            pending().await
        }
        Behavior::Silent => pending().await,
        Behavior::Status(status) => head(to, status, Some(0)).await,
        Behavior::Redirect(location) => {
            let head =
                format!("HTTP/1.1 302 Found\r\nlocation: {location}\r\ncontent-length: 0\r\n\r\n");
            to.write_all(head.as_bytes()).await
        }
        Behavior::Sequence(_) => unreachable!("a sequence of sequences"),
    }
}

async fn head(to: &mut TcpStream, status: u16, length: Option<u64>) -> std::io::Result<()> {
    let length = length.map(|length| format!("content-length: {length}\r\n"));
    let length = length.unwrap_or_default();
    let head = format!("HTTP/1.1 {status} As Told\r\nconnection: close\r\n{length}\r\n");
    to.write_all(head.as_bytes()).await
}
