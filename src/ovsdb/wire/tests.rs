//! Peers of all kinds, played by this test at the other end of a pipe. Time passes at once.

use std::sync::mpsc;
use std::time::Duration;

use super::*;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream};
use tokio::task::JoinHandle;
use tokio::time::{self, Instant};

const TIMEOUT: Duration = Duration::from_secs(20);
const LIMITS: Limits = Limits {
    message_bytes_max: 1000,
    message_timeout: Duration::from_mins(1),
    probe_interval: Duration::from_secs(5),
    write_timeout: Duration::from_secs(30),
    queue_max: 2,
};

struct Heard(mpsc::Sender<String>);

impl Listener for Heard {
    fn notified(&mut self, notification: Notification) -> Result<(), String> {
        if notification.method == "senseless" {
            return Err("it is senseless".to_owned());
        }
        self.0.send(notification.method).unwrap();
        Ok(())
    }
}

/// The other end, which does what the test says.
struct Peer {
    stream: DuplexStream,
    framer: frame::Framer,
}

impl Peer {
    async fn next(&mut self) -> Value {
        let mut byte = [0];
        loop {
            assert_eq!(
                self.stream.read(&mut byte).await.unwrap(),
                1,
                "the client has gone"
            );
            if let Some(message) = self.framer.take(&mut byte.as_slice()).unwrap() {
                return serde_json::from_slice(&message).unwrap();
            }
        }
    }

    async fn say(&mut self, message: &Value) {
        self.stream
            .write_all(message.to_string().as_bytes())
            .await
            .unwrap();
    }

    async fn answer(&mut self, id: &Value, result: &str) {
        self.say(&json!({"id": id, "result": result, "error": null}))
            .await;
    }
}

fn start() -> (Connection, Peer, mpsc::Receiver<String>) {
    let (ours, theirs) = tokio::io::duplex(256);
    let (sender, heard) = mpsc::channel();
    let connection = Connection::start(Box::new(ours), LIMITS, Heard(sender));
    let peer = Peer {
        stream: theirs,
        framer: frame::Framer::new(100_000),
    };
    (connection, peer, heard)
}

async fn ask(connection: &Connection, what: &str) -> Result<String, RequestError> {
    let params = [what];
    let result = connection.request("ask", &params, TIMEOUT).await?;
    Ok(serde_json::from_str(result.get()).unwrap())
}

fn asking(connection: &Connection, what: &str) -> JoinHandle<Result<String, RequestError>> {
    let (connection, what) = (connection.clone(), what.to_owned());
    tokio::spawn(async move { ask(&connection, &what).await })
}

#[tokio::test(start_paused = true)]
async fn answers_find_their_requests_in_any_order() {
    let (connection, mut peer, _) = start();
    let asked = ["a", "b"].map(|what| asking(&connection, what));
    let (first, second) = (peer.next().await, peer.next().await);
    for request in [second, first] {
        let what = request["params"][0].as_str().unwrap().to_uppercase();
        peer.answer(&request["id"], &what).await;
    }
    let [a, b] = asked;
    assert_eq!(
        (a.await.unwrap().unwrap(), b.await.unwrap().unwrap()),
        ("A".into(), "B".into())
    );
    assert_eq!(connection.under_way(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_refusal_is_told_in_the_servers_words_and_nothing_was_done() {
    let (connection, mut peer, _) = start();
    let asked = asking(&connection, "a");
    let id = &peer.next().await["id"];
    let error = json!({"error": "unknown database", "details": "there is no db"});
    peer.say(&json!({"id": id, "result": null, "error": error}))
        .await;
    let error = asked.await.unwrap().unwrap_err();
    assert_eq!(
        error.to_string(),
        "the server refuses it: unknown database (there is no db)"
    );
    assert_eq!(
        (error.refusal(), error.outcome()),
        (Some("unknown database"), Outcome::NotDone)
    );
}

#[tokio::test(start_paused = true)]
async fn the_server_may_ask_too() {
    let (connection, mut peer, heard) = start();
    peer.say(&json!({"method": "echo", "params": ["x"], "id": "echo"}))
        .await;
    assert_eq!(
        peer.next().await,
        json!({"id": "echo", "result": ["x"], "error": null})
    );
    peer.say(&json!({"method": "sing", "params": [], "id": 1}))
        .await;
    assert_eq!(peer.next().await["error"], json!("unknown method"));
    peer.say(&json!({"method": "update3", "params": [], "id": null}))
        .await;
    peer.say(&json!({"method": "echo", "params": [], "id": 2}))
        .await;
    peer.next().await;
    assert_eq!(heard.try_recv().unwrap(), "update3");
    drop(connection);
}

#[tokio::test(start_paused = true)]
async fn who_does_not_wait_any_more_leaves_nothing_behind() {
    let (connection, mut peer, _) = start();
    let asked = asking(&connection, "a");
    let id = peer.next().await["id"].clone();
    assert_eq!(connection.under_way(), 1);
    asked.abort();
    let _ = asked.await;
    assert_eq!(connection.under_way(), 0);
    // The answer that comes all the same is nobody's, and harms nobody.
    peer.answer(&id, "late").await;
    let asked = asking(&connection, "b");
    let id = peer.next().await["id"].clone();
    peer.answer(&id, "in time").await;
    assert_eq!(asked.await.unwrap().unwrap(), "in time");
}

#[tokio::test(start_paused = true)]
async fn what_was_not_sent_yet_is_never_sent_once_it_is_dropped() {
    let (connection, mut peer, _) = start();
    // Longer than the pipe: it is under way until the peer reads.
    let long = asking(&connection, &"x".repeat(500));
    time::sleep(Duration::from_millis(1)).await;
    let waiting = asking(&connection, "dropped");
    time::sleep(Duration::from_millis(1)).await;
    waiting.abort();
    let _ = waiting.await;
    let wanted = asking(&connection, "wanted");
    assert_eq!(peer.next().await["params"][0].as_str().unwrap().len(), 500);
    assert_eq!(peer.next().await["params"][0], "wanted");
    drop((long, wanted));
}

#[tokio::test(start_paused = true)]
async fn no_answer_is_an_error_that_says_that_nobody_knows() {
    let (connection, mut peer, _) = start();
    let asked = asking(&connection, "a");
    peer.next().await;
    let begun = Instant::now();
    let answering = async {
        loop {
            let echo = peer.next().await;
            assert_eq!(echo["method"], "echo");
            peer.say(&json!({"id": echo["id"], "result": [], "error": null}))
                .await;
        }
    };
    let error = tokio::select! {
        asked = asked => asked.unwrap().unwrap_err(),
        () = answering => unreachable!("it answers for ever"),
    };
    assert_eq!(error.outcome(), Outcome::Unknown);
    assert!(begun.elapsed() <= TIMEOUT, "{error}");
    assert_eq!(connection.under_way(), 0);
}

/// What the peer does to end a connection, and what is said about it.
async fn ended_by(bytes: &[u8], then_closes: bool) -> (Ended, Duration) {
    let (connection, mut peer, _heard) = start();
    let asked = asking(&connection, "a");
    peer.next().await;
    let begun = Instant::now();
    // The client may have hung up before it has heard everything.
    let _ = peer.stream.write_all(bytes).await;
    if then_closes {
        let _ = peer.stream.shutdown().await;
    }
    let ended = connection.ended().await;
    let elapsed = begun.elapsed();
    let error = asked.await.unwrap().unwrap_err();
    assert_eq!(error.outcome(), Outcome::Unknown);
    assert!(
        ask(&connection, "b")
            .await
            .is_err_and(|error| error.outcome() == Outcome::NotDone)
    );
    (ended, elapsed)
}

#[tokio::test(start_paused = true)]
async fn whatever_a_peer_does_the_connection_ends_and_says_why() {
    let silence = 2 * LIMITS.probe_interval;
    let huge = [b"{\"".to_vec(), vec![b'a'; 2000]].concat();
    let deep = [b'['; 500];
    for (bytes, closes, says, within) in [
        (
            &b""[..],
            true,
            "the peer closed the connection",
            Duration::ZERO,
        ),
        (
            b"{\"id\"",
            true,
            "closed the connection in the midst",
            Duration::ZERO,
        ),
        (
            b"HTTP/1.1 400 Bad Request\r\n\r\n",
            false,
            "begins with byte 0x48",
            Duration::ZERO,
        ),
        (
            b"\x15\x03\x03\x00\x02\x02\x50",
            false,
            "begins with byte 0x15",
            Duration::ZERO,
        ),
        (b"{]", false, "is not JSON", Duration::ZERO),
        (b"{\"id\": \xff}", false, "is not JSON", Duration::ZERO),
        (
            b"{\"id\": 77, \"result\": 1}",
            false,
            "answers request 77",
            Duration::ZERO,
        ),
        (
            b"{\"hello\": 1}",
            false,
            "neither a request nor an answer",
            Duration::ZERO,
        ),
        (
            b"{\"method\": \"senseless\", \"params\": []}",
            false,
            "it is senseless",
            Duration::ZERO,
        ),
        (&huge, false, "longer than 1000 bytes", Duration::ZERO),
        (
            &[&b"{\"a\":"[..], &deep].concat(),
            false,
            "nested more than",
            Duration::ZERO,
        ),
        (b"", false, "said nothing for 10 s", silence),
        (b"{\"id\"", false, "said nothing for 10 s", silence),
    ] {
        // What the client does not read any more does not fit into the pipe.
        let ending = time::timeout(2 * silence, ended_by(bytes, closes));
        let Ok((ended, elapsed)) = ending.await else {
            panic!("it hangs on {:?}", String::from_utf8_lossy(bytes));
        };
        assert!(
            ended.to_string().contains(says),
            "{ended} after {:?}",
            String::from_utf8_lossy(bytes)
        );
        assert!(elapsed <= within, "{ended} after {elapsed:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_message_that_trickles_in_ends_the_connection() {
    let (connection, mut peer, _heard) = start();
    let begun = Instant::now();
    let trickling = async {
        while peer.stream.write_all(b"{").await.is_ok() {
            peer.stream.write_all(b"\"a\":").await.unwrap();
            time::sleep(Duration::from_secs(4)).await;
        }
    };
    let ((), ended) = tokio::join!(trickling, connection.ended());
    assert!(matches!(ended, Ended::Trickling(_)), "{ended}");
    assert!(begun.elapsed() < LIMITS.message_timeout + Duration::from_secs(10));
}

#[tokio::test(start_paused = true)]
async fn a_peer_that_does_not_read_ends_the_connection() {
    let (connection, mut peer, _heard) = start();
    let asked: Vec<_> = (0..20)
        .map(|_| asking(&connection, &"x".repeat(500)))
        .collect();
    let chatter = json!({"method": "update", "params": []}).to_string();
    let chatting = async {
        while peer.stream.write_all(chatter.as_bytes()).await.is_ok() {
            time::sleep(Duration::from_secs(1)).await;
        }
    };
    let ((), ended) = tokio::join!(chatting, connection.ended());
    assert!(matches!(ended, Ended::NotReading(_)), "{ended}");
    let mut unknown = 0;
    for asked in asked {
        let outcome = asked.await.unwrap().unwrap_err().outcome();
        unknown += usize::from(outcome == Outcome::Unknown);
    }
    assert_eq!(unknown, 1, "the one that was being written");
    assert_eq!(connection.under_way(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_peer_that_asks_without_listening_is_not_waited_for() {
    let (connection, mut peer, _heard) = start();
    let echo = json!({"method": "echo", "params": ["x".repeat(100)], "id": 1}).to_string();
    let flooding = async { while peer.stream.write_all(echo.as_bytes()).await.is_ok() {} };
    let ((), ended) = tokio::join!(flooding, connection.ended());
    assert!(matches!(ended, Ended::NotReading(_)), "{ended}");
}

#[tokio::test(start_paused = true)]
async fn a_connection_ends_with_its_last_handle() {
    let (connection, mut peer, _heard) = start();
    let other = connection.clone();
    drop(connection);
    peer.say(&json!({"method": "echo", "params": [], "id": 1}))
        .await;
    peer.next().await;
    drop(other);
    let mut rest = Vec::new();
    assert_eq!(peer.stream.read_to_end(&mut rest).await.unwrap(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_connection_can_be_closed_by_whoever_has_a_handle() {
    let (connection, mut peer, _heard) = start();
    let asked = asking(&connection, "a");
    peer.next().await;
    connection.close();
    assert!(matches!(connection.ended().await, Ended::GivenUp));
    assert!(asked.await.unwrap().is_err());
}
