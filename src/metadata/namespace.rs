//! The network namespace that the service listens in, and what of its rights the process keeps.
//!
//! A namespace belongs to a thread, and a socket to the namespace of the thread that made it. One thread makes a new
//! namespace for itself, when the process has one thread else and before there is a runtime, and from then on makes sockets
//! for those who ask; it never ends before the process does. Capabilities belong to threads, too: each keeps what it needs,
//! and those that come later have them from the first.

use std::{
    fs::File,
    io,
    net::{SocketAddr, SocketAddrV4, TcpListener},
    os::fd::{AsRawFd, RawFd},
    sync::mpsc,
    thread,
};

use nix::sched::{CloneFlags, unshare};
use rtnetlink::{Handle, packet_route::RouteNetlinkMessage, proto};
use rustix::thread::{
    CapabilitySet, CapabilitySets, capabilities, set_capabilities, set_no_new_privs,
};
use socket2::{Domain, Protocol, Socket, Type};
use tokio::{runtime, sync::oneshot};

use crate::api::metadata::{ADDRESS, PORT};

/// How many connections may wait to be accepted on one network.
const BACKLOG: i32 = 128;

/// Who needs what, once there is a namespace: all but its thread set up devices.
const KEPT: CapabilitySet = CapabilitySet::NET_ADMIN;
/// Its thread listens on a port below 1024, and before Linux 5.7 binding to a device took another one.
const KEPT_WITHIN: CapabilitySet = CapabilitySet::NET_ADMIN
    .union(CapabilitySet::NET_BIND_SERVICE)
    .union(CapabilitySet::NET_RAW);

/// There is no namespace to work in.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The kernel said no.
    #[error(
        "failed to make a network namespace: the process must begin as root with CAP_SYS_ADMIN, CAP_NET_ADMIN and \
         CAP_NET_BIND_SERVICE"
    )]
    Unshare(#[source] io::Error),
    /// Rights could not be given up.
    #[error("failed to give up the capabilities that are needed at the start only")]
    Drop(#[source] io::Error),
    /// The thread has died.
    #[error(
        "the thread of the network namespace has ended: this is a fault of this program, please report it"
    )]
    Ended,
}

type Connection = proto::Connection<RouteNetlinkMessage>;

/// What the thread is asked for.
enum Request {
    Netlink {
        runtime: runtime::Handle,
        answer: oneshot::Sender<io::Result<(Connection, Handle)>>,
    },
    Listen {
        device: String,
        answer: oneshot::Sender<io::Result<TcpListener>>,
    },
}

/// The namespace, for as long as the process lives.
#[derive(Debug)]
pub struct Namespace {
    requests: mpsc::Sender<Request>,
    /// Names it to the kernel.
    file: File,
}

impl Namespace {
    /// Makes the namespace, and gives up for good what only that takes. To be called before there is any other thread.
    pub fn make() -> Result<Self, Error> {
        let (requests, asked) = mpsc::channel();
        let (sender, beginning) = mpsc::channel();
        thread::Builder::new()
            .name("namespace".to_owned())
            .spawn(move || {
                let began = begin();
                let is_well = began.is_ok();
                if sender.send(began).is_ok() && is_well {
                    serve(&asked);
                }
            })
            .map_err(Error::Unshare)?;
        let file = beginning.recv().map_err(|_| Error::Ended)??;
        keep_only(KEPT).map_err(Error::Drop)?;
        Ok(Self { requests, file })
    }

    /// A way to set up what is in the namespace.
    pub(super) async fn netlink(&self) -> Result<io::Result<Handle>, Error> {
        let runtime = runtime::Handle::current();
        let answer = self.ask(|answer| Request::Netlink { runtime, answer });
        Ok(answer.await?.map(|(connection, handle)| {
            tokio::spawn(connection);
            handle
        }))
    }

    /// A listener at the service's address that hears what comes by the device, and nothing else.
    pub(super) async fn listen(&self, device: &str) -> Result<io::Result<TcpListener>, Error> {
        let device = device.to_owned();
        self.ask(|answer| Request::Listen { device, answer }).await
    }

    /// What the kernel calls it, for as long as this is there.
    pub(super) fn raw(&self) -> RawFd {
        self.file.as_raw_fd()
    }

    async fn ask<T>(
        &self,
        request: impl FnOnce(oneshot::Sender<T>) -> Request,
    ) -> Result<T, Error> {
        let (answer, answered) = oneshot::channel();
        self.requests
            .send(request(answer))
            .map_err(|_| Error::Ended)?;
        answered.await.map_err(|_| Error::Ended)
    }
}

/// Puts this thread into a new namespace, and returns what names it.
fn begin() -> Result<File, Error> {
    unshare(CloneFlags::CLONE_NEWNET).map_err(|error| Error::Unshare(error.into()))?;
    let file = File::open("/proc/thread-self/ns/net").map_err(Error::Unshare)?;
    keep_only(KEPT_WITHIN).map_err(Error::Drop)?;
    Ok(file)
}

/// Makes what is asked for, until nobody can ask any more. Nobody is waited for: whoever asked may have gone.
fn serve(asked: &mpsc::Receiver<Request>) {
    for request in asked {
        match request {
            Request::Netlink { runtime, answer } => {
                let _runtime = runtime.enter();
                let made = rtnetlink::new_connection();
                drop(answer.send(made.map(|(connection, handle, _)| (connection, handle))));
            }
            Request::Listen { device, answer } => drop(answer.send(listener(&device))),
        }
    }
}

fn listener(device: &str) -> io::Result<TcpListener> {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, Some(Protocol::TCP))?;
    socket.set_reuse_address(true)?;
    socket.bind_device(Some(device.as_bytes()))?;
    socket.bind(&SocketAddr::V4(SocketAddrV4::new(ADDRESS, PORT)).into())?;
    socket.listen(BACKLOG)?;
    socket.set_nonblocking(true)?;
    Ok(socket.into())
}

/// Lets this thread, and those that it makes, have these capabilities at most, of those that it has, for good: no
/// program that it could start would get others either.
fn keep_only(kept: CapabilitySet) -> io::Result<()> {
    set_no_new_privs(true)?;
    let has = capabilities(None)?;
    let kept = has.permitted & kept;
    set_capabilities(
        None,
        CapabilitySets {
            effective: kept,
            permitted: kept,
            inheritable: CapabilitySet::empty(),
        },
    )?;
    Ok(())
}
