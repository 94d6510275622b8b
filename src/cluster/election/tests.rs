//! Elections by an API server that keeps one Lease, in a time that passes at once.

use std::sync::{Arc, Mutex};

use serde_json::Value;
use tokio::time::timeout;

use super::*;
use crate::cluster::mock::{Answer, Asked, MockServer};

const LEASES: &str = "/apis/coordination.k8s.io/v1/namespaces/system/leases";
const PATH: &str = "/apis/coordination.k8s.io/v1/namespaces/system/leases/l";

/// A server with one Lease, as strict about versions as the real one.
#[derive(Clone, Default)]
struct Server {
    mock: MockServer,
    kept: Arc<Mutex<Kept>>,
}

#[derive(Default)]
struct Kept {
    lease: Option<Value>,
    version: u64,
    down: bool,
}

impl Server {
    fn start() -> Self {
        let server = Self::default();
        for (verb, path) in [("GET", PATH), ("POST", LEASES), ("PATCH", PATH)] {
            let kept = Arc::clone(&server.kept);
            let answer = Answer::by(move |asked| kept.lock().unwrap().answer(asked));
            server.mock.on(verb, path, answer);
        }
        server
    }

    fn join(&self, identity: &str) -> Election {
        Election::new(self.mock.client(), "system", "l", identity)
    }

    fn holder(&self) -> Option<String> {
        let kept = self.kept.lock().unwrap();
        let holder = &kept.lease.as_ref()?["spec"]["holderIdentity"];
        holder.as_str().map(str::to_owned)
    }

    fn down(&self, down: bool) {
        self.kept.lock().unwrap().down = down;
    }

    fn lose_lease(&self) {
        self.kept.lock().unwrap().lease = None;
    }
}

impl Kept {
    fn answer(&mut self, asked: &Asked) -> Answer {
        if self.down {
            return Answer::Silent;
        }
        let read = asked.body["metadata"]["resourceVersion"].as_str();
        match (&*asked.verb, &mut self.lease) {
            ("POST", None) => self.lease = Some(asked.body.clone()),
            ("POST", Some(_)) => return Answer::Failure(409, "AlreadyExists"),
            (_, None) => return Answer::Failure(404, "NotFound"),
            ("GET", Some(lease)) => return Answer::ok(lease),
            (_, Some(_)) if read != Some(&self.version.to_string()) => {
                return Answer::Failure(409, "Conflict");
            }
            (_, Some(lease)) => lease["spec"] = asked.body["spec"].clone(),
        }
        self.version += 1;
        let lease = self.lease.as_mut().unwrap();
        lease["metadata"] = json!({ "name": "l", "resourceVersion": self.version.to_string() });
        Answer::ok(lease)
    }
}

/// How long something took, which must end within a minute.
async fn took<T>(what: impl Future<Output = T>) -> (T, Duration) {
    let began = Instant::now();
    let result = timeout(Duration::from_mins(1), what).await.unwrap();
    (result, began.elapsed())
}

#[tokio::test(start_paused = true)]
async fn the_first_leads_at_once_and_goes_on_leading() {
    let server = Server::start();
    let mut first = server.join("first");
    let ((), waited) = took(first.turn()).await;
    assert!(waited < EVERY, "{waited:?}");
    let mut second = server.join("second");
    let led = tokio::select! {
        lost = first.lead() => Some(format!("{lost:?}")),
        () = second.turn() => Some("the second leads".to_owned()),
        () = time::sleep(Duration::from_mins(10)) => None,
    };
    assert_eq!(led, None);
    assert_eq!(server.holder().as_deref(), Some("first"));
}

#[tokio::test(start_paused = true)]
async fn a_leader_that_dies_has_a_successor_within_15_seconds() {
    let server = Server::start();
    let mut first = server.join("first");
    first.turn().await;
    let mut second = server.join("second");
    tokio::select! {
        _ = first.lead() => panic!("the first lost"),
        () = second.turn() => panic!("the second leads"),
        () = time::sleep(Duration::from_secs(31)) => {}
    }
    drop(first);
    let ((), waited) = took(second.turn()).await;
    assert!(waited + EVERY >= LEASE, "{waited:?}");
    assert!(waited < Duration::from_secs(15), "{waited:?}");
}

#[tokio::test(start_paused = true)]
async fn a_leader_that_reaches_nobody_ends_before_its_lease_does() {
    let server = Server::start();
    let mut first = server.join("first");
    first.turn().await;
    server.down(true);
    let (lost, led) = took(first.lead()).await;
    assert_eq!(lost, Lost::NotRenewed);
    assert!(led <= RENEWED_MAX, "{led:?}");
    // It may lead again, as anybody may.
    server.down(false);
    let ((), _) = took(first.turn()).await;
}

#[tokio::test(start_paused = true)]
async fn a_short_outage_costs_nobody_the_lead() {
    let server = Server::start();
    let mut first = server.join("first");
    first.turn().await;
    let outage = async {
        time::sleep(Duration::from_secs(5)).await;
        server.down(true);
        time::sleep(Duration::from_secs(3)).await;
        server.down(false);
        time::sleep(Duration::from_mins(1)).await;
    };
    tokio::select! {
        lost = first.lead() => panic!("{lost}"),
        () = outage => {}
    }
}

#[tokio::test(start_paused = true)]
async fn a_lease_that_is_deleted_is_made_again_by_its_leader() {
    let server = Server::start();
    let mut first = server.join("first");
    first.turn().await;
    let mut second = server.join("second");
    let deletion = async {
        time::sleep(Duration::from_secs(5)).await;
        server.lose_lease();
        time::sleep(Duration::from_secs(30)).await;
    };
    tokio::select! {
        lost = first.lead() => panic!("{lost}"),
        () = second.turn() => panic!("the second leads"),
        () = deletion => {}
    }
    assert_eq!(server.holder().as_deref(), Some("first"));
}

#[tokio::test(start_paused = true)]
async fn who_leaves_in_order_is_followed_at_once() {
    let server = Server::start();
    let mut first = server.join("first");
    first.turn().await;
    let mut second = server.join("second");
    let leaving = async {
        time::sleep(EVERY).await;
        first.leave().await;
    };
    let (((), ()), waited) = took(Box::pin(async { tokio::join!(second.turn(), leaving) })).await;
    assert!(waited <= EVERY * 2, "{waited:?}");
    // Who does not lead leaves everything as it is.
    server.join("first").leave().await;
    assert_eq!(server.holder().as_deref(), Some("second"));
}

#[tokio::test(start_paused = true)]
async fn of_two_that_try_at_once_one_leads() {
    let server = Server::start();
    let mut first = server.join("first");
    let mut second = server.join("second");
    let lost = async {
        tokio::select! {
            () = first.turn() => tokio::select! {
                lost = first.lead() => panic!("{lost}"),
                () = second.turn() => panic!("both lead"),
                () = time::sleep(Duration::from_secs(30)) => {}
            },
            () = second.turn() => tokio::select! {
                lost = second.lead() => panic!("{lost}"),
                () = first.turn() => panic!("both lead"),
                () = time::sleep(Duration::from_secs(30)) => {}
            },
        }
    };
    took(lost).await;
}

#[tokio::test(start_paused = true)]
async fn a_lease_that_another_took_ends_the_lead() {
    let server = Server::start();
    let mut first = server.join("first");
    first.turn().await;
    server.kept.lock().unwrap().lease.as_mut().unwrap()["spec"]["holderIdentity"] = json!("thief");
    let (lost, led) = took(first.lead()).await;
    assert_eq!(lost, Lost::Taken("thief".to_owned()));
    assert!(led <= EVERY, "{led:?}");
}
