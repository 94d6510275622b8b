//! How an election stands, for somebody who looks at it from outside and takes no part.

use k8s_openapi::api::coordination::v1::{Lease, LeaseSpec};
use kube::Client;
use tokio::time::{self, Instant};

use crate::cluster::request::{self, Result};

use super::{ANSWER_MAX, EVERY, LEASE};

/// How an election stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Standing {
    /// There is no Lease: nobody has ever taken part.
    NoLease,
    /// Nobody holds it.
    Nobody,
    /// This one holds it and was seen to renew it.
    Leads(String),
    /// This one holds it, and was not seen to renew it for as long as a Lease lasts.
    Silent(String),
}

/// Looks until it is sure, which is at once, or when the Lease is renewed, or after a Lease's time.
pub async fn standing(client: &Client, namespace: &str, name: &str) -> Result<Standing> {
    let read = || async {
        let get = kube::Api::<Lease>::namespaced(client.clone(), namespace);
        let subject = format!("Lease {namespace}/{name}");
        request::within(ANSWER_MAX, "read", subject, get.get_opt(name)).await
    };
    // A change is counted by our own clock: the times in the Lease are another's.
    let end = Instant::now() + LEASE + EVERY;
    let Some(mut last) = read().await?.and_then(|lease| lease.spec) else {
        return Ok(Standing::NoLease);
    };
    loop {
        if Instant::now() >= end {
            return Ok(holder(&last).map_or(Standing::Nobody, Standing::Silent));
        }
        time::sleep(EVERY / 2).await;
        let Some(now) = read().await?.and_then(|lease| lease.spec) else {
            return Ok(Standing::NoLease);
        };
        if now != last
            && let Some(holder) = holder(&now)
        {
            return Ok(Standing::Leads(holder));
        }
        last = now;
    }
}

fn holder(lease: &LeaseSpec) -> Option<String> {
    let holder = lease.holder_identity.clone();
    holder.filter(|holder| !holder.is_empty())
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;
    use k8s_openapi::apimachinery::pkg::apis::meta::v1::MicroTime;

    use crate::cluster::mock::{Answer, MockServer};

    use super::*;

    const PATH: &str = "/apis/coordination.k8s.io/v1/namespaces/home/leases/it";

    fn lease(holder: &str, renewed: i64) -> Answer {
        Answer::ok(Lease {
            spec: Some(LeaseSpec {
                holder_identity: Some(holder.to_owned()),
                renew_time: Some(MicroTime(Timestamp::from_second(renewed).unwrap())),
                ..LeaseSpec::default()
            }),
            ..Lease::default()
        })
    }

    #[tokio::test(start_paused = true)]
    async fn who_renews_leads_whatever_the_clocks_say() {
        let gone = || Answer::Failure(404, "NotFound");
        let cases = [
            (vec![gone()], Standing::NoLease),
            (vec![lease("a", 9)], Standing::Silent("a".to_owned())),
            (vec![lease("", 9)], Standing::Nobody),
            (
                vec![lease("a", 9), lease("a", 9), lease("a", 1)],
                Standing::Leads("a".to_owned()),
            ),
            (
                vec![lease("", 9), lease("b", 9)],
                Standing::Leads("b".to_owned()),
            ),
            (vec![lease("a", 9), lease("", 9)], Standing::Nobody),
            (vec![lease("a", 9), gone()], Standing::NoLease),
        ];
        for (answers, expected) in cases {
            let server = MockServer::new();
            for answer in answers {
                server.on("GET", PATH, answer);
            }
            let found = standing(&server.client(), "home", "it").await.unwrap();
            assert_eq!(found, expected);
        }
    }
}
