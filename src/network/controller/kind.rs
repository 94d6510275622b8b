//! What the reconciler needs to know of a kind.

use std::{fmt::Debug, sync::Arc, time::Duration};

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use kube::core::object::HasStatus;
use serde::{Serialize, de::DeserializeOwned};

use crate::{
    cluster::{Cache, writer::Object},
    network::plan::{
        Seen, ledger::Demand, patience::Crowd, standing::News, survey::Findings, topology::Uid,
    },
};

use super::Caches;

/// A kind of this room.
pub trait Kind:
    Object + HasStatus<Status: Serialize + PartialEq + Send + Sync> + Send + Sync + 'static
where
    Self: kube::Resource<DynamicType = ()> + Clone + Debug + DeserializeOwned,
{
    /// The name in logs and metrics.
    const NAME: &'static str;
    /// What is found of one.
    type Finding: PartialEq + Clone + Send + Sync;

    /// Its copy.
    fn cache(caches: &Caches) -> &Arc<Cache<Self>>;
    /// What was found of its objects.
    fn findings(findings: &Findings) -> &std::collections::BTreeMap<Uid, Self::Finding>;
    /// What was found of any object.
    fn seen(finding: &Self::Finding) -> &Seen;
    /// What is lacking: each is given as a whole, or not.
    fn demands(_finding: &Self::Finding) -> Vec<Demand> {
        Vec::new()
    }
    /// The UID of the object whose rows in OVN it is.
    fn row(finding: &Self::Finding) -> &str {
        &Self::seen(finding).origin.uid
    }
    /// Whether its project wants the group that ports have which name none.
    fn wants_default(_finding: &Self::Finding) -> bool {
        false
    }
    /// Whether the object has to be kept, from now on, for as long as others use it.
    fn is_to_be_held(_finding: &Self::Finding) -> bool {
        true
    }
    /// The network, and the subnet, whose addresses must not be given away when the object goes.
    fn place(&self) -> Option<(Uid, Option<Uid>)> {
        None
    }
    /// How it stands.
    fn standing(&self, finding: &Self::Finding, news: &News<'_>) -> Self::Status;
    /// For how long the object may go on saying `before`, if that is good enough in place of `after`; `crowd` says whether
    /// many wait with it.
    fn patience(
        _before: Option<&Self::Status>,
        _after: &Self::Status,
        _crowd: Crowd,
    ) -> Option<Duration> {
        None
    }
    /// The conditions of a status.
    fn conditions(status: &Self::Status) -> &[Condition];
}
