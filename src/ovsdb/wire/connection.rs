//! One connection: requests out, answers and notifications in, and an eye on whether the peer lives.
//!
//! One task owns the stream. It ends, with a reason, at the first thing that is wrong; everything that waits for the peer has
//! a deadline, and everything that is kept for it has a limit.

use std::sync::Arc;
use std::time::Duration;

use serde::Serialize;
use serde_json::value::RawValue;
use tokio::io::{AsyncReadExt, AsyncWriteExt, ReadHalf, WriteHalf};
use tokio::sync::{Notify, mpsc, oneshot, watch};
use tokio::time::{self, Instant};

use super::ended::{Ended, Outcome, RequestError};
use super::frame::Framer;
use super::message::{self, Incoming, Notification};
use super::pending::Pending;
use super::stream::Stream;

/// How much is read at once.
const CHUNK_BYTES: usize = 64 * 1024;

/// How much a peer may ask of this side.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// How long one message of the peer's may be. A whole database comes in one: 512 MiB are about a million rows.
    pub message_bytes_max: usize,
    /// How long a message may take from its first byte to its last.
    pub message_timeout: Duration,
    /// After how long a silence the peer is asked for an echo, and how long it has for that.
    pub probe_interval: Duration,
    /// How long the peer may take to accept one message.
    pub write_timeout: Duration,
    /// How many messages may wait to be written; who wants to send more waits, too.
    pub queue_max: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            message_bytes_max: 512 << 20,
            message_timeout: Duration::from_mins(1),
            // What Open vSwitch's own programs wait.
            probe_interval: Duration::from_secs(5),
            write_timeout: Duration::from_secs(30),
            queue_max: 64,
        }
    }
}

/// Takes notifications, in the order in which the peer sent them, on the connection's own task.
pub trait Listener: Send + 'static {
    /// Takes one. Must not wait: the connection reads no further meanwhile, which is how a peer is slowed down.
    ///
    /// An error says why the peer makes no sense, and ends the connection.
    fn notified(&mut self, notification: Notification) -> Result<(), String>;
}

/// A handle of a connection, which ends when its last handle is dropped.
#[derive(Clone)]
pub struct Connection {
    queue: mpsc::Sender<Frame>,
    pending: Arc<Pending>,
    closing: Arc<Notify>,
    ended: watch::Receiver<Option<Ended>>,
}

impl std::fmt::Debug for Connection {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Connection")
            .field("ended", &self.ended.borrow())
            .finish_non_exhaustive()
    }
}

/// What waits to be written.
struct Frame {
    /// Of a request: it is written only if it is still wanted.
    id: Option<u64>,
    bytes: Vec<u8>,
}

impl Connection {
    /// Takes over a stream.
    pub fn start(stream: Box<dyn Stream>, limits: Limits, listener: impl Listener) -> Self {
        let (queue, queued) = mpsc::channel(limits.queue_max.max(1));
        let (end, ended) = watch::channel(None);
        let pending = Arc::new(Pending::default());
        let (read, write) = tokio::io::split(stream);
        let reader = Reader {
            stream: read,
            queue: queue.downgrade(),
            pending: Arc::clone(&pending),
            listener,
            limits,
        };
        let writer = Writer {
            stream: write,
            queued,
            pending: Arc::clone(&pending),
            limits,
        };
        let requests = Arc::clone(&pending);
        let closing = Arc::new(Notify::new());
        let close = Arc::clone(&closing);
        tokio::spawn(async move {
            let reason = tokio::select! {
                () = close.notified() => Ended::GivenUp,
                reason = reader.run() => reason,
                reason = writer.run() => reason,
            };
            // Whoever sees the reason finds no request under way any more.
            requests.end(&reason);
            end.send_replace(Some(reason));
        });
        Self {
            queue,
            pending,
            closing,
            ended,
        }
    }

    /// Asks the peer for something and waits for its answer.
    ///
    /// Safe to cancel: a request that is dropped before it was sent is never sent; the answer to one that was sent is thrown
    /// away.
    pub async fn request(
        &self,
        method: &str,
        params: &impl Serialize,
        timeout: Duration,
    ) -> Result<Box<RawValue>, RequestError> {
        self.request_then(method, params, timeout, |result| result)
            .await
    }

    /// The same, and looks at the result before anything that the peer sends after it is looked at.
    pub async fn request_then<T: Send + 'static>(
        &self,
        method: &str,
        params: &impl Serialize,
        timeout: Duration,
        then: impl FnOnce(Box<RawValue>) -> T + Send + 'static,
    ) -> Result<T, RequestError> {
        let failed = |(reason, outcome)| RequestError::Ended { reason, outcome };
        let (sender, receiver) = oneshot::channel();
        let ticket = self
            .pending
            .begin(move |end| {
                // Nobody receives it who does not wait any more.
                let _ = sender.send(end.map(|answer| answer.map(then)));
            })
            .map_err(|reason| failed((reason, Outcome::NotDone)))?;
        let bytes =
            message::request(ticket.id, method, params).map_err(RequestError::Unwritable)?;
        let exchange = async {
            let frame = Frame {
                id: Some(ticket.id),
                bytes,
            };
            // A queue that is closed belongs to a connection that ends: the receiver learns why.
            let _ = self.queue.send(frame).await;
            receiver.await
        };
        match time::timeout(timeout, exchange).await {
            Ok(Ok(Ok(Ok(result)))) => Ok(result),
            Ok(Ok(Ok(Err(error)))) => Err(RequestError::Refused(error)),
            Ok(Ok(Err(end))) => Err(failed(end)),
            Ok(Err(_)) => Err(failed((Ended::GivenUp, Outcome::Unknown))),
            Err(_) => Err(RequestError::Late {
                timeout,
                outcome: ticket.give_up(),
            }),
        }
    }

    /// Ends it, whoever else has a handle of it.
    pub fn close(&self) {
        self.closing.notify_one();
    }

    /// Waits until the connection has ended, and says why.
    pub async fn ended(&self) -> Ended {
        let mut ended = self.ended.clone();
        let reason = ended.wait_for(Option::is_some).await;
        // The task ends without a reason only when its runtime does.
        reason
            .ok()
            .and_then(|reason| reason.clone())
            .unwrap_or(Ended::GivenUp)
    }

    #[cfg(test)]
    pub(super) fn under_way(&self) -> usize {
        self.pending.len()
    }
}

struct Reader<L> {
    stream: ReadHalf<Box<dyn Stream>>,
    /// Weak, since a connection ends with its last handle.
    queue: mpsc::WeakSender<Frame>,
    pending: Arc<Pending>,
    listener: L,
    limits: Limits,
}

impl<L: Listener> Reader<L> {
    async fn run(mut self) -> Ended {
        match self.read().await {
            Ok(never) => match never {},
            Err(reason) => reason,
        }
    }

    async fn read(&mut self) -> Result<std::convert::Infallible, Ended> {
        let probe_interval = self.limits.probe_interval;
        let message_timeout = self.limits.message_timeout;
        let mut framer = Framer::new(self.limits.message_bytes_max);
        let mut chunk = vec![0; CHUNK_BYTES];
        let mut is_probed = false;
        let mut begun_at = None;
        loop {
            let read = time::timeout(probe_interval, self.stream.read(&mut chunk)).await;
            let Ok(read) = read else {
                if is_probed {
                    return Err(Ended::Silent(probe_interval * 2));
                }
                self.probe().await?;
                is_probed = true;
                continue;
            };
            is_probed = false;
            let mut bytes = match read.map_err(|error| Ended::Io(Arc::new(error)))? {
                0 if framer.is_within() => return Err(Ended::ClosedWithin),
                0 => return Err(Ended::Closed),
                count => &chunk[..count],
            };
            while !bytes.is_empty() {
                if let Some(message) = framer.take(&mut bytes).map_err(Ended::Frame)? {
                    begun_at = None;
                    self.take(&message).await?;
                }
            }
            if framer.is_within() {
                let begun_at = *begun_at.get_or_insert_with(Instant::now);
                if begun_at.elapsed() > message_timeout {
                    return Err(Ended::Trickling(message_timeout));
                }
            }
        }
    }

    async fn take(&mut self, message: &[u8]) -> Result<(), Ended> {
        let incoming = Incoming::parse(message).map_err(|error| Ended::Message(Arc::new(error)))?;
        match incoming {
            Incoming::Answer(id, answer) => self.pending.answer(id, answer),
            Incoming::Notification(notification) => self
                .listener
                .notified(notification)
                .map_err(Ended::Senseless),
            Incoming::Request { method, params, id } => {
                let answer = match method.as_str() {
                    "echo" => Ok(params.as_ref()),
                    _ => Err("unknown method"),
                };
                self.send(message::answer(&id, answer)).await
            }
        }
    }

    async fn probe(&mut self) -> Result<(), Ended> {
        let nothing: [u8; 0] = [];
        let echo = message::request(self.pending.number(), "echo", &nothing);
        self.send(echo).await
    }

    async fn send(&mut self, message: serde_json::Result<Vec<u8>>) -> Result<(), Ended> {
        let bytes = message.map_err(|error| Ended::Senseless(error.to_string()))?;
        let queue = self.queue.upgrade().ok_or(Ended::GivenUp)?;
        let sent = queue.send(Frame { id: None, bytes }).await;
        sent.map_err(|_| Ended::GivenUp)
    }
}

struct Writer {
    stream: WriteHalf<Box<dyn Stream>>,
    queued: mpsc::Receiver<Frame>,
    pending: Arc<Pending>,
    limits: Limits,
}

impl Writer {
    async fn run(mut self) -> Ended {
        while let Some(Frame { id, bytes }) = self.queued.recv().await {
            if id.is_some_and(|id| !self.pending.may_send(id)) {
                continue;
            }
            let timeout = self.limits.write_timeout;
            let written = time::timeout(timeout, async {
                self.stream.write_all(&bytes).await?;
                self.stream.flush().await
            });
            match written.await {
                Ok(Ok(())) => {}
                Ok(Err(error)) => return Ended::Io(Arc::new(error)),
                Err(_) => return Ended::NotReading(timeout),
            }
        }
        Ended::GivenUp
    }
}
