//! Servers of images as the world has them: slow, endless, wrong. One answer each, on an address that nodes reach.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result};
use sha2::{Digest, Sha256};
use testbed::Testbed;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinHandle;

/// What a server answers.
#[derive(Clone, Debug)]
pub enum Page {
    /// This file.
    File(Arc<Vec<u8>>),
    /// This file, a little at a time until it is [`Web::release`]d.
    Slow(Arc<Vec<u8>>),
    /// This status and no file.
    Status(&'static str),
    /// Bytes for ever, and no word about how many.
    Endless,
}

/// Small enough to leave room in a first answer, fast enough not to count as stalled.
const TRICKLE_BYTES: usize = 32 << 10;
const TRICKLE_EVERY: Duration = Duration::from_millis(500);
const BACKLOG: u32 = 64;

/// A server, until it is dropped.
#[derive(Debug)]
pub struct Web {
    address: SocketAddr,
    release: watch::Sender<bool>,
    task: JoinHandle<()>,
}

impl Web {
    /// Starts one that nodes of the testbed reach.
    pub fn serve(testbed: &Testbed, page: Page) -> Result<Self> {
        Self::serve_on(Self::reserve(testbed)?, page)
    }

    /// An address that nodes of the testbed reach, where nobody listens, nor can before [`Web::serve_on`].
    pub fn reserve(testbed: &Testbed) -> Result<TcpSocket> {
        let socket = TcpSocket::new_v4()?;
        socket.bind((testbed.host_address(), 0).into())?;
        Ok(socket)
    }

    /// Starts one at a reserved address.
    pub fn serve_on(reserved: TcpSocket, page: Page) -> Result<Self> {
        let listener = reserved.listen(BACKLOG)?;
        let address = listener.local_addr()?;
        let (release, released) = watch::channel(false);
        let task = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                // A client that goes away is no failure.
                tokio::spawn(answer(stream, page.clone(), released.clone()));
            }
        });
        Ok(Self {
            address,
            release,
            task,
        })
    }

    /// The address of the file.
    pub fn url(&self) -> String {
        format!("http://{}/image", self.address)
    }

    /// Lets slow answers come to their end.
    pub fn release(&self) {
        self.release.send_replace(true);
    }
}

impl Drop for Web {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn answer(
    mut stream: TcpStream,
    page: Page,
    mut released: watch::Receiver<bool>,
) -> Result<()> {
    read_request(&mut stream).await?;
    let head = |status: &str, length: Option<usize>| {
        let length = length.map(|length| format!("content-length: {length}\r\n"));
        let length = length.unwrap_or_default();
        format!("HTTP/1.1 {status}\r\n{length}connection: close\r\n\r\n")
    };
    match page {
        Page::Status(status) => {
            let head = head(status, Some(0));
            stream.write_all(head.as_bytes()).await?;
        }
        Page::File(bytes) => {
            let head = head("200 OK", Some(bytes.len()));
            stream.write_all(head.as_bytes()).await?;
            stream.write_all(&bytes).await?;
        }
        Page::Slow(bytes) => {
            let head = head("200 OK", Some(bytes.len()));
            stream.write_all(head.as_bytes()).await?;
            let mut chunks = bytes.chunks(TRICKLE_BYTES);
            while !*released.borrow() {
                let Some(chunk) = chunks.next() else { break };
                stream.write_all(chunk).await?;
                let wait = released.wait_for(|released| *released);
                let _ = tokio::time::timeout(TRICKLE_EVERY, wait).await;
            }
            for chunk in chunks {
                stream.write_all(chunk).await?;
            }
        }
        Page::Endless => {
            let head = head("200 OK", None);
            stream.write_all(head.as_bytes()).await?;
            let chunk = vec![b'x'; TRICKLE_BYTES];
            loop {
                stream.write_all(&chunk).await?;
            }
        }
    }
    stream.shutdown().await?;
    Ok(())
}

async fn read_request(stream: &mut TcpStream) -> Result<()> {
    let mut request = Vec::new();
    while !request.ends_with(b"\r\n\r\n") {
        let byte = stream.read_u8().await.context("no request came")?;
        request.push(byte);
    }
    Ok(())
}

/// The digest of a file, as images declare it.
pub fn sha256(bytes: &[u8]) -> String {
    let digest = Sha256::digest(bytes);
    digest
        .iter()
        .fold(String::new(), |text, byte| text + &format!("{byte:02x}"))
}

/// Asks a page by HTTP: its status and its text.
pub async fn page_of(address: SocketAddr, path: &str) -> Result<(u16, String)> {
    let mut stream = TcpStream::connect(address).await?;
    let request = format!("GET {path} HTTP/1.1\r\nhost: {address}\r\nconnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await?;
    let (head, body) = answer.split_once("\r\n\r\n").context("no head")?;
    let status = head
        .split(' ')
        .nth(1)
        .and_then(|status| status.parse().ok());
    Ok((status.context("no status")?, body.to_owned()))
}
