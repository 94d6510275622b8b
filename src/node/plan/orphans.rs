//! Which domains and folders nobody stands for.

use std::collections::{BTreeMap, BTreeSet};

use crate::node::driver::DomainInfo;

/// What has no `Guest`, by UID: its domain, if it has one.
///
/// Another cluster may have an agent at the same libvirt: what is made for another `Hypervisor` is none of ours, nor is
/// the folder that goes with it.
pub fn orphans(
    domains: Vec<DomainInfo>,
    folders: Vec<String>,
    wanted: &BTreeSet<String>,
    hypervisor: &str,
) -> BTreeMap<String, Option<DomainInfo>> {
    let mut all: BTreeMap<String, Option<DomainInfo>> =
        folders.into_iter().map(|uid| (uid, None)).collect();
    for domain in domains {
        all.insert(domain.id.to_string(), Some(domain));
    }
    all.retain(|uid, domain| {
        let ours = domain
            .as_ref()
            .is_none_or(|domain| domain.was_made_for(hypervisor));
        ours && !wanted.contains(uid)
    });
    all
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::node::{
        driver::DomainState,
        plan::fixtures::{HYPERVISOR, UID, domain},
    };

    fn found(domains: Vec<DomainInfo>, folders: &[&str], wanted: &[&str]) -> Vec<(String, bool)> {
        let folders = folders.iter().map(|&uid| uid.to_owned()).collect();
        let wanted = wanted.iter().map(|&uid| uid.to_owned()).collect();
        orphans(domains, folders, &wanted, HYPERVISOR)
            .into_iter()
            .map(|(uid, domain)| (uid, domain.is_some()))
            .collect()
    }

    #[test]
    fn who_has_a_guest_is_no_orphan() {
        let runs = || domain(DomainState::Running);
        assert_eq!(found(vec![runs()], &[UID], &[UID]), []);
        assert_eq!(found(vec![runs()], &[UID], &[]), [(UID.to_owned(), true)]);
        assert_eq!(found(vec![], &[UID], &[]), [(UID.to_owned(), false)]);
    }

    #[test]
    fn what_was_made_for_another_cluster_is_left_to_it() {
        for other in [None, Some("another".to_owned())] {
            let mut theirs = domain(DomainState::Running);
            for mark in [&mut theirs.mark, &mut theirs.running_mark] {
                mark.as_mut().unwrap().hypervisor.clone_from(&other);
            }
            assert_eq!(found(vec![theirs], &[UID], &[]), []);
        }
    }
}
