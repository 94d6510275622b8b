//! Looks at the cluster from outside, for `kilonova check`. Reads only; what it means is for [`plan::check`](super::plan::check).

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::{Api, Client, ResourceExt, api::ListParams};

use crate::{
    api::{
        self, flavor::Flavor, guest::Guest, hypervisor::Hypervisor, image::Image, server::Server,
    },
    cluster::{
        Error, Failure, Result,
        election::standing,
        read,
        request::in_time,
        telemetry,
        writer::{Object, subject},
    },
};

use super::plan::check::{self, Finding};

/// How many objects one answer has.
const PAGE: u32 = 500;

/// Whether the cluster knows the kinds as this program, which is of this version, does.
pub async fn kinds(client: &Client, version: &str) -> Finding {
    let look = async {
        let mut kinds = Vec::new();
        // They are JSON, which a test makes sure of.
        for wanted in api::crds().unwrap_or_default() {
            let found: Option<CustomResourceDefinition> =
                read(client, None, &wanted.name_any()).await?;
            kinds.push((wanted, found));
        }
        Ok(check::kinds(&kinds, version))
    };
    look.await.unwrap_or_else(|error| unseen("kinds", &error))
}

/// Whether an operator leads by this Lease.
pub async fn leader(client: &Client, namespace: &str, lease: &str) -> Finding {
    match standing(client, namespace, lease).await {
        Ok(standing) => check::leader(&standing, namespace, lease),
        Err(error) => unseen("leader", &error),
    }
}

/// Whether servers can run anywhere.
pub async fn hypervisors(client: &Client) -> Finding {
    match all::<Hypervisor>(client).await {
        Ok(hypervisors) => check::hypervisors(&hypervisors),
        Err(error) => unseen("hypervisors", &error),
    }
}

/// Whether the kinds could go without a loss.
pub async fn unused(client: &Client) -> Finding {
    let named = async {
        let mut objects = names::<Server>(client).await?;
        objects.extend(names::<Guest>(client).await?);
        objects.extend(names::<Image>(client).await?);
        objects.extend(names::<Flavor>(client).await?);
        Ok(objects)
    };
    match named.await {
        Ok(objects) => check::unused(&objects),
        Err(error) => unseen("objects", &error),
    }
}

/// How each object of a kind is called; of a kind that is not served there can be none.
async fn names<K: Object>(client: &Client) -> Result<Vec<String>> {
    match all::<K>(client).await {
        Ok(objects) => Ok(objects.iter().map(subject).collect()),
        Err(error) if error.failure() == Failure::NotFound => Ok(Vec::new()),
        Err(error) => Err(error),
    }
}

fn unseen(subject: &'static str, error: &Error) -> Finding {
    let message = match error.answer() {
        Some(answer) => format!("{error}: {answer}"),
        None => telemetry::chain(error),
    };
    Finding::bad(subject, message)
}

async fn all<K: Object>(client: &Client) -> Result<Vec<K>> {
    let api = Api::<K>::all(client.clone());
    let mut params = ListParams::default().limit(PAGE);
    let mut objects = Vec::new();
    loop {
        let page = in_time("list", K::plural(&()), api.list(&params)).await?;
        objects.extend(page.items);
        match page.metadata.continue_.filter(|token| !token.is_empty()) {
            Some(token) => params = params.continue_token(&token),
            None => return Ok(objects),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use crate::{
        cluster::mock::{Answer, MockServer, list},
        compute::plan::check::Verdict,
    };

    use super::*;

    const KINDS: [&str; 4] = ["servers", "guests", "images", "flavors"];

    fn path(kind: &str) -> String {
        format!("/apis/kilonova.dev/v1alpha1/{kind}")
    }

    /// A cluster that has nothing but what is said of one kind.
    fn cluster(kind: &str, answer: Answer) -> MockServer {
        let server = MockServer::new();
        for other in KINDS.iter().filter(|other| **other != kind) {
            server.on("GET", &path(other), Answer::Json(200, list::<Value>(&[])));
        }
        server.on("GET", &path(kind), answer);
        server
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_not_served_is_not_there_and_what_is_not_seen_is_not_gone() {
        let cases = [
            (
                Answer::Failure(404, "NotFound"),
                Verdict::Good,
                "nothing is lost",
            ),
            (
                Answer::Failure(403, "Forbidden"),
                Verdict::Bad,
                "failed to list images: the mock says Forbidden",
            ),
            (Answer::Unreachable, Verdict::Bad, "failed to list images: "),
            (Answer::Silent, Verdict::Bad, "did not answer within 20 s"),
        ];
        for (answer, verdict, words) in cases {
            let server = cluster("images", answer);
            let finding = unused(&server.client()).await;
            assert_eq!(finding.verdict, verdict, "{finding:?}");
            assert!(finding.message.contains(words), "{finding:?}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn every_page_is_read() {
        let flavor = |name: &str| {
            json!({
                "apiVersion": "kilonova.dev/v1alpha1",
                "kind": "Flavor",
                "metadata": { "name": name },
                "spec": { "vcpus": 1, "memory": "1Gi", "disk": "1Gi" },
            })
        };
        let answer = Answer::by(move |asked| {
            let first = !asked.query.contains("continue=more");
            let mut page = list(&[flavor(if first { "one" } else { "two" })]);
            if first {
                page["metadata"]["continue"] = json!("more");
            }
            Answer::Json(200, page)
        });
        let finding = unused(&cluster("flavors", answer).client()).await;
        assert_eq!(finding.details, ["Flavor one", "Flavor two"]);
    }
}
