//! Peers that are no servers, or bad ones: a session says what is wrong with them and goes on to one that is good. What each
//! of them does to a connection, and what happens to requests, is tested beside the connection itself.

use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use kilonova::ovsdb::{Limits, Session};
use tempfile::tempdir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{UnixListener, UnixStream};
use tokio::time;

use super::server::Server;
use super::{SOON, settings, wait_ready};

/// What a peer does with whoever connects.
#[derive(Clone, Copy, Debug)]
enum Does {
    CloseAtOnce,
    /// It says that it will say no more, and goes on listening.
    HalfClose,
    SayNothing,
    SayGarbage,
    /// A message that never ends, as fast as it can.
    SayMuch,
    /// A byte of an answer now and then.
    SayItSlowly,
    /// An answer to every question, and each is wrong.
    AnswerNonsense,
}

async fn play(does: Does, mut stream: UnixStream) -> std::io::Result<()> {
    let mut asked = [0; 4096];
    match does {
        Does::CloseAtOnce => return Ok(()),
        Does::HalfClose => stream.shutdown().await?,
        Does::SayNothing => {}
        Does::SayGarbage => {
            stream
                .write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n")
                .await?;
        }
        Does::SayMuch => {
            stream.write_all(b"{\"result\": \"").await?;
            loop {
                stream.write_all(&[b'a'; 4096]).await?;
            }
        }
        Does::SayItSlowly => loop {
            stream.write_all(b"{\"a\":").await?;
            time::sleep(Duration::from_millis(5)).await;
        },
        Does::AnswerNonsense => {
            for id in 0.. {
                if stream.read(&mut asked).await? == 0 {
                    break;
                }
                let answer = format!("{{\"id\": {id}, \"result\": 7, \"error\": null}}");
                stream.write_all(answer.as_bytes()).await?;
            }
        }
    }
    while stream.read(&mut asked).await? > 0 {}
    Ok(())
}

#[tokio::test]
async fn a_session_goes_on_to_a_server_that_is_good() -> Result<()> {
    let folder = tempdir()?;
    let server = Server::standalone(&folder).await?;
    for (does, says) in [
        (Does::CloseAtOnce, "the connection ended: "),
        (Does::HalfClose, "the peer closed the connection"),
        (Does::SayNothing, "said nothing"),
        (Does::SayGarbage, "does not speak JSON-RPC"),
        (Does::SayMuch, "longer than 1048576 bytes"),
        (Does::SayItSlowly, "nested more than"),
        (
            Does::AnswerNonsense,
            "the answer to list_dbs makes no sense",
        ),
    ] {
        let path = folder.path().join(format!("{does:?}"));
        let listener = UnixListener::bind(&path)?;
        let playing = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                // Whoever is played here ends with the connection.
                let _ = play(does, stream).await;
            }
        });
        let mut settings = settings(vec![kilonova::ovsdb::Endpoint::Unix(path)]);
        settings.limits = Limits {
            message_bytes_max: 1 << 20,
            probe_interval: Duration::from_millis(300),
            ..Limits::default()
        };
        let alone = Session::start(settings.clone());
        let mut readiness = alone.readiness();
        let said = readiness.wait_for(|readiness| format!("{readiness:?}").contains(says));
        let said = time::timeout(SOON, said).await;
        said.with_context(|| format!("{does:?}: {:?}", *alone.readiness().borrow()))??;

        settings.endpoints.push(server.endpoint());
        let begun = Instant::now();
        wait_ready(&Session::start(settings)).await?;
        assert!(begun.elapsed() < Duration::from_secs(20), "{does:?}");
        playing.abort();
    }
    Ok(())
}
