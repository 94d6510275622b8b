//! NICs of domains, which come and go while the guest runs. Blocking.

use crate::node::plan::domain::Datapath;
use std::collections::BTreeSet;

use virt::domain::Domain;
use virt_sys as sys;

use crate::{
    api::guest::Nic,
    node::{
        driver::{DomainId, PortId},
        plan::domain::{alias, interface, ports},
    },
};

use super::{
    error::CallError,
    link::Link,
    raw,
    verbs::{present, state},
};

/// What QEMU says of a device that the guest was asked to let go of a moment ago.
const UNDER_WAY: &str = "already in the process of unplug";

/// Our NICs in the domain's definition.
pub(super) fn defined(domain: &Domain) -> Result<BTreeSet<PortId>, CallError> {
    read(domain, sys::VIR_DOMAIN_XML_INACTIVE)
}

/// Our NICs in what runs.
pub(super) fn plugged(domain: &Domain) -> Result<BTreeSet<PortId>, CallError> {
    read(domain, 0)
}

fn read(domain: &Domain, flags: sys::virDomainXMLFlags) -> Result<BTreeSet<PortId>, CallError> {
    let xml = domain.get_xml_desc(flags)?;
    let ports = ports(&xml).map_err(CallError::Unreadable)?;
    // Aliases that name no port are somebody else's.
    Ok(ports.iter().filter_map(|port| port.parse().ok()).collect())
}

pub(super) fn plug(
    link: &Link,
    id: DomainId,
    nic: &Nic,
    datapath: Datapath,
) -> Result<(), CallError> {
    let domain = present(link, id)?;
    let port: Option<PortId> = nic.port.parse().ok();
    let has = |nics: BTreeSet<PortId>| port.is_some_and(|port| nics.contains(&port));
    let xml = interface(nic, datapath).map_err(|error| CallError::Unwritten(error.to_string()))?;
    if state(&domain)?.is_active() && !has(plugged(&domain)?) {
        match domain.attach_device_flags(&xml, sys::VIR_DOMAIN_AFFECT_LIVE) {
            Ok(_) => {}
            Err(_) if has(plugged(&domain)?) => {}
            Err(error) => return Err(error.into()),
        }
    }
    if has(defined(&domain)?) {
        return Ok(());
    }
    match domain.attach_device_flags(&xml, sys::VIR_DOMAIN_AFFECT_CONFIG) {
        Ok(_) => Ok(()),
        Err(_) if has(defined(&domain)?) => Ok(()),
        Err(error) => Err(error.into()),
    }
}

pub(super) fn unplug(link: &Link, id: DomainId, port: PortId) -> Result<(), CallError> {
    let domain = present(link, id)?;
    let alias = alias(&port.to_string());
    if state(&domain)?.is_active() && plugged(&domain)?.contains(&port) {
        return match raw::detach(&domain, &alias, sys::VIR_DOMAIN_AFFECT_LIVE) {
            Err(error) if error.to_string().contains(UNDER_WAY) => Ok(()),
            Err(_) if !plugged(&domain)?.contains(&port) => Ok(()),
            other => other,
        };
    }
    if !defined(&domain)?.contains(&port) {
        return Ok(());
    }
    match raw::detach(&domain, &alias, sys::VIR_DOMAIN_AFFECT_CONFIG) {
        Err(_) if !defined(&domain)?.contains(&port) => Ok(()),
        other => other,
    }
}
