//! Answers guests: takes their connections, tells by them who asks, and has the plan answer.
//!
//! A guest may be hostile or slow. Each has a few connections, each connection a time in which it ends, and each request a
//! size; a guest that uses up what it has is in nobody's way. Nothing that a request says tells whose it is.

use std::{
    collections::BTreeMap,
    convert::Infallible,
    net::{IpAddr, Ipv4Addr},
    os::fd::{AsFd as _, OwnedFd},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use http::{
    HeaderMap, HeaderValue, Request, Response, StatusCode,
    header::{CONNECTION, CONTENT_LENGTH, CONTENT_TYPE, SERVER},
};
use http_body_util::Full;
use hyper::{
    body::{Bytes, Incoming},
    server::conn::http1,
    service::service_fn,
};
use hyper_util::rt::{TokioIo, TokioTimer};
use socket2::SockRef;
use tokio::{
    net::{TcpListener, TcpStream},
    sync::watch,
    task::JoinSet,
    time,
};
use tracing::{debug, warn};

use super::{
    metrics::MetadataMetrics,
    plan::{
        answer::{self, Answer, Asked, Credential, Method, Outcome, Verdict},
        instance::Instance,
        residents::{Resident, Residents},
        tree::Form,
    },
    seeds::Seeds,
    token::Tokens,
};

/// How many connections a guest may have at once. Those of nobody share as many on each network.
const CONNECTIONS_MAX: usize = 8;

/// How long the head of a request may take, and all of a connection.
const HEAD_MAX: Duration = Duration::from_secs(5);
const CONNECTION_MAX: Duration = Duration::from_mins(1);

/// How large the head of a request may be. hyper asks for 8 KiB at least.
const HEAD_BYTES_MAX: usize = 8 << 10;
const HEADERS_MAX: usize = 64;

/// How long to wait when the process has no room for another connection.
const PAUSE: Duration = Duration::from_millis(100);

const TOKEN: &str = "x-aws-ec2-metadata-token";
const TOKEN_LIFE: &str = "x-aws-ec2-metadata-token-ttl-seconds";
const FORWARDED: [&str; 2] = ["x-forwarded-for", "forwarded"];

/// What all connections share.
pub struct Desk {
    /// Who may ask.
    pub residents: watch::Receiver<Arc<Residents>>,
    /// Their seeds.
    pub seeds: Seeds,
    /// Session tokens.
    pub tokens: Tokens,
    /// What is counted.
    pub metrics: MetadataMetrics,
    seats: Mutex<BTreeMap<Seat, usize>>,
}

/// Whose connections are counted together: those from one address of a network, or from all that are nobody's.
type Seat = (String, Option<Ipv4Addr>);

impl Desk {
    /// A desk at which nobody is yet.
    pub fn new(
        residents: watch::Receiver<Arc<Residents>>,
        seeds: Seeds,
        tokens: Tokens,
        metrics: MetadataMetrics,
    ) -> Self {
        Self {
            residents,
            seeds,
            tokens,
            metrics,
            seats: Mutex::default(),
        }
    }

    /// A seat for a connection, unless there are too many from there.
    fn sit(self: &Arc<Self>, visitor: &Visitor) -> Option<Seated> {
        let known = self.find(visitor).is_some();
        let seat = (visitor.network.clone(), known.then_some(visitor.address));
        let mut seats = self.seats.lock().unwrap_or_else(PoisonError::into_inner);
        let taken = seats.entry(seat.clone()).or_default();
        if *taken == CONNECTIONS_MAX {
            self.metrics.surplus.inc();
            return None;
        }
        *taken += 1;
        self.metrics.connections.inc();
        let desk = Arc::clone(self);
        Some(Seated { desk, seat })
    }

    fn find(&self, visitor: &Visitor) -> Option<Resident> {
        let residents = self.residents.borrow();
        residents.find(&visitor.network, visitor.address).cloned()
    }

    async fn answer(&self, visitor: &Visitor, request: &Request<Incoming>) -> Reply {
        // Asked anew for each request: an address may be another guest's by now.
        let Some(resident) = self.find(visitor) else {
            return Reply::plain(Answer::to_nobody());
        };
        let spec = &resident.guest.spec;
        let uid = &*spec.server.uid;
        let asked = self.read(uid, request);
        match answer::judge(&asked, spec.metadata_tokens) {
            Verdict::Answer(answer) => Reply::plain(answer),
            Verdict::GiveToken(seconds) => Reply::Token {
                token: self.tokens.give(uid, seconds),
                seconds,
            },
            Verdict::Look => Reply::plain(match self.seeds.get(&spec.seed_secret).await {
                Some(seed) => answer::look(asked.path, &Instance::of(&resident.guest, &seed)),
                None => Answer::not_now(),
            }),
        }
    }

    fn read<'a>(&self, uid: &str, request: &'a Request<Incoming>) -> Asked<'a> {
        let headers = request.headers();
        let credential = match headers.get(TOKEN) {
            None => Credential::None,
            Some(token) if self.tokens.holds(uid, token.as_bytes()) => Credential::Valid,
            Some(_) => Credential::Invalid,
        };
        Asked {
            method: match *request.method() {
                http::Method::GET => Method::Get,
                http::Method::HEAD => Method::Head,
                http::Method::PUT => Method::Put,
                _ => Method::Other,
            },
            path: request.uri().path(),
            is_forwarded: FORWARDED.iter().any(|name| headers.contains_key(*name)),
            credential,
            token_life: headers.get(TOKEN_LIFE).and_then(|life| life.to_str().ok()),
        }
    }
}

/// Who is at the other end, as far as the network tells.
#[derive(Clone, Debug)]
struct Visitor {
    network: String,
    address: Ipv4Addr,
}

/// A connection that is counted until this goes.
struct Seated {
    desk: Arc<Desk>,
    seat: Seat,
}

impl Drop for Seated {
    fn drop(&mut self) {
        let mut seats = self
            .desk
            .seats
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        if let Some(taken) = seats.get_mut(&self.seat) {
            *taken -= 1;
            if *taken == 0 {
                seats.remove(&self.seat);
            }
        }
        self.desk.metrics.connections.dec();
    }
}

/// Serves one network, until this is dropped.
pub async fn serve(desk: Arc<Desk>, network: String, listener: TcpListener) {
    let mut connections = JoinSet::new();
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            Some(_) = connections.join_next() => continue,
        };
        let (stream, peer) = match accepted {
            Ok(accepted) => accepted,
            Err(error) => {
                // The visitor has gone again, or there are no file descriptors left.
                debug!(network, "failed to accept a connection: {error}");
                time::sleep(PAUSE).await;
                continue;
            }
        };
        let IpAddr::V4(address) = peer.ip() else {
            continue;
        };
        let visitor = Visitor {
            network: network.clone(),
            address,
        };
        if let Some(seated) = desk.sit(&visitor) {
            connections.spawn(attend(seated, visitor, stream));
        }
    }
}

/// Answers all requests of one connection.
async fn attend(seated: Seated, visitor: Visitor, stream: TcpStream) {
    let desk = &seated.desk;
    // hyper has the stream, and this one is for what it has no words for.
    let socket = match stream.as_fd().try_clone_to_owned() {
        Ok(socket) => socket,
        Err(error) => {
            warn!("a connection of a guest is closed unanswered: {error}");
            return;
        }
    };
    let (visitor, socket) = (&visitor, &socket);
    let service = service_fn(async |request: Request<Incoming>| {
        let reply = desk.answer(visitor, &request).await;
        desk.metrics.count(reply.outcome());
        Ok::<_, Infallible>(reply.response(socket))
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_MAX)
        .max_buf_size(HEAD_BYTES_MAX)
        .max_headers(HEADERS_MAX)
        .serve_connection(TokioIo::new(stream), service);
    // What goes wrong with a connection is its guest's business.
    let _ = time::timeout(CONNECTION_MAX, connection).await;
}

enum Reply {
    Plain(Answer),
    Token { token: String, seconds: u32 },
}

impl Reply {
    fn plain(answer: Answer) -> Self {
        Self::Plain(answer)
    }

    fn outcome(&self) -> Outcome {
        match self {
            Self::Plain(answer) => answer.outcome,
            Self::Token { .. } => Outcome::Token,
        }
    }

    fn response(self, socket: &OwnedFd) -> Response<Full<Bytes>> {
        match self {
            Self::Plain(answer) => {
                let status = StatusCode::from_u16(answer.status);
                let form = match answer.form {
                    Form::Text => "text/plain",
                    Form::Json => "application/json",
                    Form::Bytes => "application/octet-stream",
                };
                let status = status.unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
                response(status, form, answer.body)
            }
            Self::Token { token, seconds } => given(&token, seconds, socket),
        }
    }
}

/// A token is not to leave its guest: packets with it pass no router, neither one that the guest has become by mistake
/// nor one of its containers' networks. They are the last ones of their connection, so that no other answer is lost.
fn given(token: &str, seconds: u32, socket: &OwnedFd) -> Response<Full<Bytes>> {
    if let Err(error) = SockRef::from(socket).set_ttl_v4(1) {
        warn!("a token is not given, since it could leave its guest: {error}");
        let words = b"no token can be given at the moment\n".to_vec();
        return response(StatusCode::SERVICE_UNAVAILABLE, "text/plain", words);
    }
    let mut response = response(StatusCode::OK, "text/plain", token.as_bytes().to_vec());
    let headers = response.headers_mut();
    headers.insert(TOKEN_LIFE, HeaderValue::from(seconds));
    headers.insert(CONNECTION, HeaderValue::from_static("close"));
    response
}

fn response(status: StatusCode, form: &'static str, body: Vec<u8>) -> Response<Full<Bytes>> {
    let mut headers = HeaderMap::new();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(form));
    headers.insert(SERVER, HeaderValue::from_static("kilonova"));
    headers.insert(CONTENT_LENGTH, HeaderValue::from(body.len()));
    let mut response = Response::new(Full::new(Bytes::from(body)));
    *response.status_mut() = status;
    *response.headers_mut() = headers;
    response
}
