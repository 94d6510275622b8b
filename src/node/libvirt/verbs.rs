//! What each verb does on one link. Blocking.
//!
//! A verb first looks whether its goal is reached already, then acts, and when that fails looks once more: a guest
//! may have ended, or another call may have done the work, in between.

use std::collections::BTreeSet;

use tracing::warn;
use virt::{domain::Domain, error::ErrorNumber};
use virt_sys as sys;

use crate::node::{
    driver::{DomainId, DomainInfo, DomainState, Leftovers, PauseReason},
    plan::domain::{MARK_NAMESPACE, Mark, uuid},
};

use super::{error::CallError, link::Link, nics, raw, words};

/// What libvirt keeps beside a definition and the guest can do without.
const UNDEFINE: sys::virDomainUndefineFlagsValues = sys::VIR_DOMAIN_UNDEFINE_MANAGED_SAVE
    | sys::VIR_DOMAIN_UNDEFINE_SNAPSHOTS_METADATA
    | sys::VIR_DOMAIN_UNDEFINE_CHECKPOINTS_METADATA;

/// How often a domain that changes while it is looked at is looked at again.
const LOOKS_MAX: u32 = 3;

pub(super) fn list(link: &Link) -> Result<Vec<DomainInfo>, CallError> {
    let mut ours = Vec::new();
    for domain in link.connect().list_all_domains(0)? {
        match info(&domain) {
            Ok(info) if info.is_ours() => ours.push(info),
            Ok(_) => {}
            // Gone since the list was made.
            Err(error) if error.is_absent() => {}
            Err(error) => return Err(error),
        }
    }
    Ok(ours)
}

pub(super) fn find(link: &Link, id: DomainId) -> Result<Option<DomainInfo>, CallError> {
    let Some(domain) = lookup(link, id)? else {
        return Ok(None);
    };
    match info(&domain) {
        Ok(info) => Ok(Some(info)),
        Err(error) if error.is_absent() => Ok(None),
        Err(error) => Err(error),
    }
}

pub(super) fn define(link: &Link, id: DomainId, xml: &str) -> Result<(), CallError> {
    if xml.contains('\0') {
        return Err(CallError::NulInDefinition);
    }
    if uuid(xml).as_deref() != Some(&id.to_string()) {
        return Err(CallError::OtherDefinition);
    }
    ours(link, id)?;
    Domain::define_xml(link.connect(), xml)?;
    Ok(())
}

pub(super) fn undefine(link: &Link, id: DomainId, leftovers: Leftovers) -> Result<(), CallError> {
    let Some(domain) = ours(link, id)? else {
        return Ok(());
    };
    // libvirt would let a running domain go on without a definition, and forget it when it ends.
    let state = state(&domain)?;
    if state.is_active() {
        return Err(wrong(state, "off"));
    }
    let flags = match leftovers {
        Leftovers::Remove => sys::VIR_DOMAIN_UNDEFINE_NVRAM | sys::VIR_DOMAIN_UNDEFINE_TPM,
        Leftovers::Keep => sys::VIR_DOMAIN_UNDEFINE_KEEP_NVRAM | sys::VIR_DOMAIN_UNDEFINE_KEEP_TPM,
    };
    match domain.undefine_flags(UNDEFINE | flags) {
        Ok(()) => Ok(()),
        Err(_) if lookup(link, id)?.is_none() => Ok(()),
        Err(error) => Err(error.into()),
    }
}

pub(super) fn start(link: &Link, id: DomainId) -> Result<(), CallError> {
    let domain = present(link, id)?;
    if state(&domain)?.is_active() {
        return Ok(());
    }
    match domain.create() {
        Ok(_) => Ok(()),
        Err(_) if state(&domain)?.is_active() => Ok(()),
        Err(error) => Err(error.into()),
    }
}

pub(super) fn ask_shutdown(link: &Link, id: DomainId) -> Result<(), CallError> {
    let domain = present(link, id)?;
    let is_ending = |state| match state {
        DomainState::ShuttingDown | DomainState::Shutoff(_) => true,
        DomainState::Running | DomainState::Paused(_) => false,
    };
    if is_ending(state(&domain)?) {
        return Ok(());
    }
    match domain.shutdown_flags(sys::VIR_DOMAIN_SHUTDOWN_ACPI_POWER_BTN) {
        Ok(_) => Ok(()),
        Err(_) if is_ending(state(&domain)?) => Ok(()),
        Err(error) => Err(error.into()),
    }
}

pub(super) fn destroy(link: &Link, id: DomainId) -> Result<(), CallError> {
    let Some(domain) = ours(link, id)? else {
        return Ok(());
    };
    let is_off = || match state(&domain) {
        Ok(state) => Ok(!state.is_active()),
        // It had no definition, so nothing of it is left.
        Err(error) if error.is_absent() => Ok(true),
        Err(error) => Err(error),
    };
    if is_off()? {
        return Ok(());
    }
    match domain.destroy() {
        Ok(()) => Ok(()),
        Err(_) if is_off()? => Ok(()),
        Err(error) => Err(error.into()),
    }
}

pub(super) fn pause(link: &Link, id: DomainId) -> Result<(), CallError> {
    let domain = active(link, id)?;
    if state(&domain)? == DomainState::Paused(PauseReason::User) {
        return Ok(());
    }
    domain.suspend()?;
    Ok(())
}

pub(super) fn resume(link: &Link, id: DomainId) -> Result<(), CallError> {
    let domain = active(link, id)?;
    if state(&domain)? == DomainState::Running {
        return Ok(());
    }
    match domain.resume() {
        Ok(_) => Ok(()),
        Err(_) if state(&domain)? == DomainState::Running => Ok(()),
        Err(error) => Err(error.into()),
    }
}

pub(super) fn suspend_to_disk(link: &Link, id: DomainId) -> Result<(), CallError> {
    let domain = present(link, id)?;
    let is_saved = || Ok::<_, CallError>(!state(&domain)?.is_active() && has_saved(&domain)?);
    if is_saved()? {
        return Ok(());
    }
    let before = state(&domain)?;
    if !before.is_active() {
        return Err(wrong(before, "running or paused"));
    }
    match domain.managed_save(0) {
        Ok(_) => Ok(()),
        Err(_) if is_saved()? => Ok(()),
        Err(error) => Err(error.into()),
    }
}

pub(super) fn discard_saved(link: &Link, id: DomainId) -> Result<(), CallError> {
    let Some(domain) = ours(link, id)? else {
        return Ok(());
    };
    if !has_saved(&domain)? {
        return Ok(());
    }
    match domain.managed_save_remove(0) {
        Ok(_) => Ok(()),
        Err(_) if !has_saved(&domain)? => Ok(()),
        Err(error) => Err(error.into()),
    }
}

pub(super) fn reset(link: &Link, id: DomainId) -> Result<(), CallError> {
    active(link, id)?.reset()?;
    Ok(())
}

pub(super) fn nmi(link: &Link, id: DomainId) -> Result<(), CallError> {
    raw::inject_nmi(&active(link, id)?)?;
    Ok(())
}

fn lookup(link: &Link, id: DomainId) -> Result<Option<Domain>, CallError> {
    match Domain::lookup_by_uuid_string(link.connect(), &id.to_string()) {
        Ok(domain) => Ok(Some(domain)),
        Err(error) if error.code() == ErrorNumber::NoDomain => Ok(None),
        Err(error) => Err(error.into()),
    }
}

/// The domain, if there is one; refused when it is somebody else's.
fn ours(link: &Link, id: DomainId) -> Result<Option<Domain>, CallError> {
    let Some(domain) = lookup(link, id)? else {
        return Ok(None);
    };
    match mark(&domain, sys::VIR_DOMAIN_AFFECT_CURRENT) {
        Ok(Some(_)) => Ok(Some(domain)),
        Ok(None) => Err(CallError::Foreign),
        Err(error) if error.is_absent() => Ok(None),
        Err(error) => Err(error),
    }
}

pub(super) fn present(link: &Link, id: DomainId) -> Result<Domain, CallError> {
    ours(link, id)?.ok_or(CallError::Absent)
}

fn active(link: &Link, id: DomainId) -> Result<Domain, CallError> {
    let domain = present(link, id)?;
    let state = state(&domain)?;
    if state.is_active() {
        Ok(domain)
    } else {
        Err(wrong(state, "running or paused"))
    }
}

pub(super) fn state(domain: &Domain) -> Result<DomainState, CallError> {
    let (state, reason) = domain.get_state()?;
    Ok(words::state(state, reason))
}

fn has_saved(domain: &Domain) -> Result<bool, CallError> {
    Ok(domain.has_managed_save(0)?)
}

fn wrong(state: DomainState, must: &'static str) -> CallError {
    let is = match state {
        DomainState::Running => "running",
        DomainState::Paused(_) => "paused",
        DomainState::ShuttingDown => "shutting down",
        DomainState::Shutoff(_) => "off",
    };
    CallError::WrongState { is, must }
}

/// Looks at a domain. Each fact is a call of its own, so one that starts or stops meanwhile is looked at again.
fn info(domain: &Domain) -> Result<DomainInfo, CallError> {
    let mut looks = 1;
    loop {
        let seen = look(domain)?;
        let is_consistent = state(domain)?.is_active() == seen.state.is_active();
        if is_consistent || looks == LOOKS_MAX {
            return Ok(seen);
        }
        looks += 1;
    }
}

fn look(domain: &Domain) -> Result<DomainInfo, CallError> {
    let mut uuid = [0; 16];
    uuid.copy_from_slice(domain.get_uuid()?.as_bytes());
    let state = state(domain)?;
    let mut seen = DomainInfo {
        id: DomainId::from(uuid),
        name: domain.get_name()?,
        state,
        has_managed_save: has_saved(domain)?,
        mark: mark(domain, sys::VIR_DOMAIN_AFFECT_CONFIG)?,
        running_mark: if state.is_active() {
            mark(domain, sys::VIR_DOMAIN_AFFECT_LIVE)?
        } else {
            None
        },
        defined_nics: BTreeSet::new(),
        plugged_nics: BTreeSet::new(),
    };
    // What is in the domains of others is none of our business.
    if seen.mark.is_some() {
        seen.defined_nics = nics::defined(domain)?;
    }
    if seen.running_mark.is_some() {
        seen.plugged_nics = nics::plugged(domain)?;
    }
    Ok(seen)
}

/// Our mark, on the definition or on what runs; `None` also when there is no definition, or nothing runs.
fn mark(
    domain: &Domain,
    which: sys::virDomainModificationImpact,
) -> Result<Option<Mark>, CallError> {
    let element = domain.get_metadata(
        sys::VIR_DOMAIN_METADATA_ELEMENT.cast_signed(),
        Some(MARK_NAMESPACE),
        which,
    );
    let xml = match element {
        Ok(xml) => xml,
        Err(error) => {
            return match error.code() {
                ErrorNumber::NoDomainMetadata | ErrorNumber::OperationInvalid => Ok(None),
                _ => Err(error.into()),
            };
        }
    };
    match Mark::from_xml(&xml) {
        Ok(mark) => Ok(Some(mark)),
        Err(error) => {
            let cause: &dyn std::error::Error = &error;
            warn!(
                domain = domain.get_name().unwrap_or_default(),
                cause, "a domain's mark is broken, so it is left alone"
            );
            Ok(None)
        }
    }
}
