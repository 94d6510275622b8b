//! One exchange of the process's own token for that of the account that it works as, and what to tell people when
//! there is none.

use std::time::Duration;

use http::HeaderValue;
use k8s_openapi::api::{
    authentication::v1::{BoundObjectReference, TokenRequest, TokenRequestSpec},
    core::v1::ServiceAccount,
};
use kube::{
    Api, Client,
    api::{ObjectMeta, PostParams},
};
use tokio::time::Instant;

use crate::cluster::{
    request::{self, in_time},
    telemetry,
};

/// How long a token shall live, in seconds. The API server may grant less, or more.
const LIFE_S: i64 = 3600;

/// How much of its life has passed when the next one is asked for, in percent: what kubelets do.
const RENEW_AFTER_PERCENT: u32 = 80;

/// Whom to work as.
#[derive(Clone, Debug)]
pub struct Account {
    /// Where the `ServiceAccount` is.
    pub namespace: String,
    /// What it is called.
    pub name: String,
    /// The node that the process runs on: its tokens end with that `Node` object.
    pub node: String,
    /// What to look at while there is no such account.
    pub advice: String,
}

/// A token that was granted.
pub(super) struct Granted {
    /// The value of the header `Authorization`.
    pub(super) header: HeaderValue,
    /// When to ask for the next one.
    pub(super) renew_at: Instant,
    /// When it ends.
    pub(super) ends_at: Instant,
}

/// Asks for tokens, as the process's own account.
pub(super) struct Exchange {
    pub(super) client: Client,
    pub(super) account: Account,
}

impl Exchange {
    /// A new token; or why there is none, and what to do.
    pub(super) async fn ask(&self) -> Result<Granted, String> {
        let node = BoundObjectReference {
            api_version: Some("v1".to_owned()),
            kind: Some("Node".to_owned()),
            name: Some(self.account.node.clone()),
            uid: None,
        };
        // Its life is counted from before it was granted, by the clock that counts it: two clocks are never compared.
        let asked_at = Instant::now();
        let answer = self.request(node).await;
        let answer = answer.map_err(|error| self.explain(&error))?;
        granted(answer, asked_at).ok_or_else(|| {
            "the API server's answer to a request for a token has none: this is a fault of the API server, or of \
             whatever is before it"
                .to_owned()
        })
    }

    async fn request(&self, bound: BoundObjectReference) -> request::Result<TokenRequest> {
        let Account {
            namespace, name, ..
        } = &self.account;
        let accounts = Api::<ServiceAccount>::namespaced(self.client.clone(), namespace);
        let wanted = TokenRequest {
            metadata: ObjectMeta::default(),
            spec: TokenRequestSpec {
                audiences: Vec::new(),
                bound_object_ref: Some(bound),
                expiration_seconds: Some(LIFE_S),
            },
            status: None,
        };
        let params = PostParams::default();
        let answer = accounts.create_token_request(name, &params, &wanted);
        let subject = format!("ServiceAccount {namespace}/{name}");
        in_time("get a token of", subject, answer).await
    }

    /// What is wrong, what to do, and what the API server said.
    fn explain(&self, error: &request::Error) -> String {
        let Account {
            namespace,
            name,
            node,
            advice,
        } = &self.account;
        let of_node = error
            .status()
            .and_then(|status| status.details.as_ref())
            .is_some_and(|details| details.kind == "nodes");
        let why = match code(error) {
            Some(404) if of_node => format!(
                "there is no node {node} in the cluster: the name must be that of the node that this runs on"
            ),
            // Without the namespace there is no right in it either, so that "forbidden" is what is said at first.
            Some(403 | 404) => format!(
                "the operator has not made the account {name} in namespace {namespace} yet: {advice}"
            ),
            Some(401) => {
                "the API server does not know the account that this runs as: its pod may be on the way out, or its \
                 token is not mounted"
                    .to_owned()
            }
            Some(400) => {
                "the API server gives no tokens that end with a node: its feature ServiceAccountTokenNodeBinding must be on"
                    .to_owned()
            }
            Some(422) => format!(
                "the API server gives this no token of node {node}: only a pod that runs on that node may have one"
            ),
            _ => "the API server gives no token, and is asked again".to_owned(),
        };
        // Of its own answers only the words: the rest of them is for programs.
        let said = error.status().map_or_else(
            || telemetry::chain(error),
            |status| format!("the API server says: {}", status.message),
        );
        format!("{why} ({said})")
    }
}

fn code(error: &request::Error) -> Option<u16> {
    error.status().map(|status| status.code)
}

fn granted(answer: TokenRequest, asked_at: Instant) -> Option<Granted> {
    let token = answer.status?.token;
    let mut header = HeaderValue::try_from(format!("Bearer {token}")).ok()?;
    header.set_sensitive(true);
    let life_s = answer.spec.expiration_seconds.unwrap_or(LIFE_S);
    let life = Duration::from_secs(u64::try_from(life_s).unwrap_or_default());
    Some(Granted {
        header,
        renew_at: asked_at + life * RENEW_AFTER_PERCENT / 100,
        ends_at: asked_at + life,
    })
}
