//! How long tenants wait for a server.

use std::time::Duration;

use crate::api::server::{Server, ServerStatus};

/// How long the server took from its making until its guest ran for the first time, if `after` is the first status to
/// say that it did.
///
/// Both times are written down, so an operator that was away in between measures the same. A server that was to stay
/// off, or was changed before it ran, took as long as its owner wished, and is not measured; nor is one whose guest has
/// been started again since, because the first start is forgotten by then.
pub fn build_time(
    server: &Server,
    before: &ServerStatus,
    after: &ServerStatus,
) -> Option<Duration> {
    let as_it_was_made = server.metadata.generation == Some(1);
    let first = before.started_at.is_none() && after.restarts.unwrap_or(0) == 0;
    if !as_it_was_made || !first {
        return None;
    }
    let made = server.metadata.creation_timestamp.as_ref()?;
    let started = after.started_at.as_ref()?;
    // The clocks of two machines: a node that is behind would have it run before it was made.
    let took = started.0.duration_since(made.0).try_into();
    Some(took.unwrap_or(Duration::ZERO))
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;
    use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

    use super::*;
    use crate::compute::plan::fixtures;

    fn at(second: i64) -> Time {
        Time(Timestamp::from_second(second).unwrap())
    }

    fn server(generation: i64) -> Server {
        let mut server = fixtures::server();
        server.metadata.generation = Some(generation);
        server.metadata.creation_timestamp = Some(at(100));
        server
    }

    fn status(started: Option<i64>, restarts: i64) -> ServerStatus {
        ServerStatus {
            started_at: started.map(at),
            restarts: Some(restarts),
            ..ServerStatus::default()
        }
    }

    #[test]
    fn it_is_measured_once_and_only_where_nobody_but_us_was_waited_for() {
        let cases = [
            // Generation; before; after; what it took.
            (1, status(None, 0), status(Some(142), 0), Some(42)),
            (1, status(None, 0), status(Some(99), 0), Some(0)),
            (1, status(None, 0), status(None, 0), None),
            (1, status(Some(142), 0), status(Some(142), 0), None),
            (1, status(Some(142), 0), status(Some(500), 1), None),
            (1, status(None, 0), status(Some(500), 1), None),
            (2, status(None, 0), status(Some(142), 0), None),
        ];
        for (number, (generation, before, after, took)) in cases.into_iter().enumerate() {
            let measured = build_time(&server(generation), &before, &after);
            assert_eq!(measured, took.map(Duration::from_secs), "case {number}");
        }
    }
}
