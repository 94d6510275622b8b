//! How long an object may keep news to itself, so that it shares a write with what comes next: a thousand ports that come
//! at once would else have their network say a thousand counts, and each of them two steps of a way that takes a moment.
//!
//! It never keeps back that something is wrong, nor, once OVN has it, the port of a server.

use std::time::Duration;

use crate::api::{condition, network::NetworkState, port::PortStatus};

/// For how long a count may be wrong: how many ports a network has, how many addresses of a subnet are left.
pub const COUNTS: Duration = Duration::from_secs(5);
/// For how long a step may go unmentioned that is usually followed by the next one.
const PASSING: Duration = Duration::from_secs(1);
/// For how long one of many keeps to itself what it was given.
const CROWDED: Duration = Duration::from_secs(3);

/// When so many were given something and have not said so, they come faster than they can say it.
const CROWD: usize = 32;

/// How many were given something of late and have not said so.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Crowd {
    /// Few.
    None,
    /// Many, and more come. Whoever says anything keeps the API server from making others.
    Growing,
    /// Many, all of which have come.
    Complete,
}

impl Crowd {
    /// That so many are, and whether somebody was among those who were looked at last that had come since the time before.
    pub fn of(unsaid: usize, grows: bool) -> Self {
        match (unsaid <= CROWD, grows) {
            (true, _) => Self::None,
            (false, true) => Self::Growing,
            (false, false) => Self::Complete,
        }
    }

    /// Whether nobody is to come any more, and somebody was before: those who waited for the others have their say.
    pub fn has_come_since(self, before: Self) -> bool {
        before == Self::Growing && self != Self::Growing
    }
}

/// For how long a port may go on saying `before`, if that is good enough in place of `after`.
///
/// A port that is written has its flows a moment later, if they come at all, and is not Ready before. Of many that come at
/// once, each says what it was given when OVN has it, and if nobody uses it, when all have come.
pub fn port(before: Option<&PortStatus>, after: &PortStatus, crowd: Crowd) -> Option<Duration> {
    let has_addresses = |status: &PortStatus| !status.addresses.is_empty();
    if !before.is_some_and(has_addresses) && has_addresses(after) {
        let comes = after.state == Some(NetworkState::Build) && waits(after);
        let is_idle = after.server.is_none() && is_well(after);
        return match crowd {
            Crowd::None => None,
            Crowd::Growing => (comes || is_idle).then_some(CROWDED),
            Crowd::Complete => comes.then_some(CROWDED),
        };
    }
    let before = before?;
    let mut same = before.clone();
    same.state = after.state;
    same.conditions.clone_from(&after.conditions);
    (same == *after && waits(before) && waits(after)).then_some(PASSING)
}

/// Whether it is Ready, or will be.
fn is_well(status: &PortStatus) -> bool {
    let ready = condition::find(&status.conditions, "Ready");
    waits(status) || ready.is_some_and(|ready| ready.status == "True")
}

fn waits(status: &PortStatus) -> bool {
    let ready = condition::find(&status.conditions, "Ready");
    ready.is_some_and(|ready| ready.status == "False" && ready.reason == "Pending")
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn status(ready: [&str; 2], state: &str, more: Value) -> PortStatus {
        let [truth, reason] = ready;
        let mut status = json!({
            "state": state,
            "conditions": [{
                "type": "Ready", "status": truth, "reason": reason, "message": "",
                "lastTransitionTime": "2026-01-01T00:00:00Z",
            }],
        });
        let Value::Object(more) = more else {
            panic!("{more} is no object");
        };
        status.as_object_mut().unwrap().extend(more);
        serde_json::from_value(status).unwrap()
    }

    #[test]
    fn a_crowd_is_many_and_grows_while_more_come() {
        let cases = [
            (0, true, Crowd::None),
            (CROWD, true, Crowd::None),
            (CROWD, false, Crowd::None),
            (CROWD + 1, true, Crowd::Growing),
            (CROWD + 1, false, Crowd::Complete),
        ];
        for (unsaid, grows, crowd) in cases {
            assert_eq!(Crowd::of(unsaid, grows), crowd, "{unsaid} {grows}");
        }
    }

    #[test]
    fn a_crowd_that_grows_no_more_has_come() {
        use Crowd::{Complete, Growing, None};
        let ends = [(Growing, Complete), (Growing, None)];
        for before in [None, Growing, Complete] {
            for after in [None, Growing, Complete] {
                let expected = ends.contains(&(before, after));
                assert_eq!(
                    after.has_come_since(before),
                    expected,
                    "{before:?} {after:?}"
                );
            }
        }
    }

    #[test]
    fn what_a_port_was_given_waits_for_its_row_and_if_no_server_has_it_for_the_others() {
        let given = json!({"addresses": [{"subnet": "v4", "ip": "10.0.0.2"}]});
        let with = |server: Value| {
            let mut given = given.clone();
            given["server"] = server;
            given
        };
        let [idle, used] = [Value::Null, json!("web")].map(with);
        let pending = ["False", "Pending"];
        let cases = [
            // What it says, by whom it is used, and how long it waits in no crowd, a growing one, and a complete one.
            (
                pending,
                "BUILD",
                &idle,
                [None, Some(CROWDED), Some(CROWDED)],
            ),
            (
                pending,
                "BUILD",
                &used,
                [None, Some(CROWDED), Some(CROWDED)],
            ),
            (
                ["True", "Ready"],
                "DOWN",
                &idle,
                [None, Some(CROWDED), None],
            ),
            (["True", "Ready"], "ACTIVE", &used, [None, None, None]),
            (pending, "DOWN", &used, [None, None, None]),
            (["False", "Refused"], "ERROR", &idle, [None, None, None]),
        ];
        for (ready, state, more, waits) in cases {
            let after = status(ready, state, more.clone());
            for (crowd, wait) in [Crowd::None, Crowd::Growing, Crowd::Complete]
                .into_iter()
                .zip(waits)
            {
                assert_eq!(
                    port(None, &after, crowd),
                    wait,
                    "{ready:?} {state} {crowd:?}"
                );
            }
        }
    }

    #[test]
    fn a_step_between_is_passed_over_and_nothing_else_is() {
        let given = json!({"addresses": [{"subnet": "v4", "ip": "10.0.0.2"}]});
        let before = status(["False", "Pending"], "BUILD", given.clone());
        let step = status(["False", "Pending"], "DOWN", given.clone());
        assert_eq!(port(Some(&before), &step, Crowd::None), Some(PASSING));
        let ready = status(["True", "Ready"], "ACTIVE", given.clone());
        assert_eq!(port(Some(&before), &ready, Crowd::Growing), None);
        assert_eq!(port(Some(&ready), &step, Crowd::Growing), None);
        let mut more = given;
        more["node"] = json!("n1");
        let placed = status(["False", "Pending"], "BUILD", more);
        assert_eq!(port(Some(&before), &placed, Crowd::Growing), None);
    }
}
