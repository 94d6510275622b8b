#![allow(
    unsafe_code,
    reason = "the `virt` crate has no call for non-maskable interrupts, nor for devices by their alias"
)]
//! The calls that `virt` lacks.

use std::ffi::CString;

use virt::{domain::Domain, error::Error as VirtError};
use virt_sys as sys;

use super::error::CallError;

/// Sends a non-maskable interrupt. Blocking.
pub(super) fn inject_nmi(domain: &Domain) -> Result<(), VirtError> {
    // SAFETY: a `Domain` holds a valid pointer as long as it lives; 0 is the only flag that there is.
    if unsafe { sys::virDomainInjectNMI(domain.as_ptr(), 0) } < 0 {
        return Err(VirtError::last_error());
    }
    Ok(())
}

/// Takes the device of this alias out of what runs or of the definition. Of what runs it is only asked for. Blocking.
pub(super) fn detach(
    domain: &Domain,
    alias: &str,
    from: sys::virDomainModificationImpact,
) -> Result<(), CallError> {
    let alias = CString::new(alias).map_err(|_| CallError::NulInDefinition)?;
    // SAFETY: a `Domain` holds a valid pointer as long as it lives, and the alias is a C string that outlives the call.
    if unsafe { sys::virDomainDetachDeviceAlias(domain.as_ptr(), alias.as_ptr(), from) } < 0 {
        return Err(VirtError::last_error().into());
    }
    Ok(())
}
