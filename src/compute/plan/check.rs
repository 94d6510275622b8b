//! Whether Kilonova works, as somebody sees it who asks the API server: the kinds, the leader, the hypervisors, and
//! whether anything would be lost with them.
//!
//! Each finding says what is wrong, with what, and what to do, in words that help at three in the morning.

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::{
    CustomResourceDefinition, CustomResourceDefinitionVersion,
};
use kube::ResourceExt;
use serde::Serialize;

use crate::{
    api::{condition, hypervisor::Hypervisor},
    cluster::election::Standing,
};

mod fields;

/// How much of a list a finding tells.
const DETAILS_MAX: usize = 10;

/// What one look has found.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// What was looked at.
    pub subject: &'static str,
    /// How bad it is.
    pub verdict: Verdict,
    /// What was found, and what to do about it.
    pub message: String,
    /// With which objects, and why.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub details: Vec<String>,
}

/// How bad it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Verdict {
    /// All is well.
    Good,
    /// Somebody should look, but Kilonova works.
    Warning,
    /// Something does not work.
    Bad,
}

impl Finding {
    /// All is well.
    pub fn good(subject: &'static str, message: impl Into<String>) -> Self {
        Self::new(subject, Verdict::Good, message, Vec::new())
    }

    /// Something does not work.
    pub fn bad(subject: &'static str, message: impl Into<String>) -> Self {
        Self::new(subject, Verdict::Bad, message, Vec::new())
    }

    fn new(
        subject: &'static str,
        verdict: Verdict,
        message: impl Into<String>,
        mut details: Vec<String>,
    ) -> Self {
        let more = details.len().saturating_sub(DETAILS_MAX);
        details.truncate(DETAILS_MAX);
        if more > 0 {
            details.push(format!("and {more} more"));
        }
        Self {
            subject,
            verdict,
            message: message.into(),
            details,
        }
    }
}

/// Whether the cluster knows the kinds as this program does: each as it should be, with how it is there.
pub fn kinds(
    kinds: &[(CustomResourceDefinition, Option<CustomResourceDefinition>)],
    version: &str,
) -> Finding {
    let subject = "kinds";
    let found = |(wanted, found): &(_, Option<_>)| kind(wanted, found.as_ref());
    let troubles: Vec<_> = kinds.iter().filter_map(found).collect();
    let worst = troubles.iter().map(|(verdict, _)| *verdict).max();
    let all = kinds.len();
    let details = troubles.into_iter().map(|(_, words)| words).collect();
    let message = match worst {
        None | Some(Verdict::Good) => {
            return Finding::good(
                subject,
                format!("all {all} are served as version {version} knows them"),
            );
        }
        Some(Verdict::Warning) => format!(
            "the cluster knows more than version {version} does, which leaves alone what it does not know: upgrade \
             what is older"
        ),
        Some(Verdict::Bad) => format!(
            "the cluster does not know them as version {version} does: upgrade the release with crds.enabled=true, or \
             run `kilonova crds | kubectl apply --server-side -f -`"
        ),
    };
    Finding::new(subject, worst.unwrap_or(Verdict::Bad), message, details)
}

/// What is wrong with one kind.
fn kind(
    wanted: &CustomResourceDefinition,
    found: Option<&CustomResourceDefinition>,
) -> Option<(Verdict, String)> {
    let name = wanted.name_any();
    let Some(found) = found else {
        return Some((Verdict::Bad, format!("{name} is not there")));
    };
    let conditions = found
        .status
        .iter()
        .flat_map(|status| status.conditions.iter().flatten());
    let mut refused = conditions.filter(|condition| {
        let expected = matches!(&*condition.type_, "Established" | "NamesAccepted");
        expected && condition.status != "True"
    });
    if let Some(refused) = refused.next() {
        let why = refused
            .message
            .as_deref()
            .unwrap_or("the API server does not say why");
        return Some((
            Verdict::Bad,
            format!("{name} is not {}: {why}", refused.type_),
        ));
    }
    for version in &wanted.spec.versions {
        let served =
            |there: &&CustomResourceDefinitionVersion| there.name == version.name && there.served;
        let Some(there) = found.spec.versions.iter().find(served) else {
            return Some((
                Verdict::Bad,
                format!("{name} is not served as {}", version.name),
            ));
        };
        let told = |fields: &[String]| fields.join(", ");
        let missing = fields::beyond(version, there);
        if !missing.is_empty() {
            return Some((
                Verdict::Bad,
                format!("{name} is of an older version, without {}", told(&missing)),
            ));
        }
        let newer = fields::beyond(there, version);
        if !newer.is_empty() {
            return Some((
                Verdict::Warning,
                format!("{name} is of a newer version, with {}", told(&newer)),
            ));
        }
    }
    None
}

/// Whether an operator leads.
pub fn leader(standing: &Standing, namespace: &str, lease: &str) -> Finding {
    let subject = "leader";
    let look =
        format!("look at its pods: `kubectl get pods -n {namespace} -o wide`, and at their logs");
    match standing {
        Standing::Leads(holder) => Finding::good(
            subject,
            format!("{holder} leads, and renews the Lease {namespace}/{lease}"),
        ),
        Standing::Silent(holder) => Finding::bad(
            subject,
            format!(
                "{holder} holds the Lease {namespace}/{lease} and does not renew it, and nobody takes over: no operator reaches the API server; {look}"
            ),
        ),
        Standing::Nobody => Finding::bad(
            subject,
            format!("nobody holds the Lease {namespace}/{lease}: no operator runs; {look}"),
        ),
        Standing::NoLease => Finding::bad(
            subject,
            format!(
                "there is no Lease {namespace}/{lease}: no operator has ever led here; is {namespace} its namespace? If so, {look}"
            ),
        ),
    }
}

/// Whether servers can run anywhere. One host's trouble is a warning: hosts come and go.
pub fn hypervisors(hypervisors: &[Hypervisor]) -> Finding {
    let subject = "hypervisors";
    let all = hypervisors.len();
    if all == 0 {
        let message = "there is none yet: `kubectl label node NAME kilonova.dev/hypervisor=true` makes a node one";
        return Finding::new(subject, Verdict::Warning, message, Vec::new());
    }
    let troubles: Vec<_> = hypervisors.iter().filter_map(unready).collect();
    let ready = all - troubles.len();
    let message = format!("{ready} of {all} are Ready");
    match (troubles.len(), ready) {
        (0, _) => Finding::good(subject, message),
        (_, 0) => Finding::new(subject, Verdict::Bad, message, troubles),
        _ => Finding::new(subject, Verdict::Warning, message, troubles),
    }
}

fn unready(hypervisor: &Hypervisor) -> Option<String> {
    let name = hypervisor.name_any();
    let status = hypervisor.status.as_ref();
    let ready = status.and_then(|status| condition::find(&status.conditions, "Ready"));
    match ready {
        Some(ready) if ready.status == condition::Truth::True.as_str() => None,
        Some(ready) => Some(format!("{name}: {}", ready.message)),
        None => Some(format!("{name}: no operator has looked at it yet")),
    }
}

/// Whether the kinds could go: guests outlive their objects, and whatever a finalizer holds waits for an operator, which
/// goes with the same release. `objects` are all of which either is true.
pub fn unused(objects: &[String]) -> Finding {
    let subject = "objects";
    if objects.is_empty() {
        return Finding::good(
            subject,
            "no server, guest, image or flavor is there: nothing is lost with the kinds",
        );
    }
    let message = format!(
        "{} would be lost with the kinds, guests would run on without anybody who knows of them, and nobody would be \
         left to let go of the rest: delete servers, images and flavors first, or keep the kinds (crds.keep=true)",
        objects.len()
    );
    Finding::new(subject, Verdict::Bad, message, objects.to_vec())
}

#[cfg(test)]
mod tests;
