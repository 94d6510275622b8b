#![allow(
    unsafe_code,
    reason = "the `virt` crate has no call for non-maskable interrupts"
)]
//! The one verb that `virt` lacks.

use virt::{domain::Domain, error::Error as VirtError};
use virt_sys as sys;

/// Sends a non-maskable interrupt. Blocking.
pub(super) fn inject(domain: &Domain) -> Result<(), VirtError> {
    // SAFETY: a `Domain` holds a valid pointer as long as it lives; 0 is the only flag that there is.
    if unsafe { sys::virDomainInjectNMI(domain.as_ptr(), 0) } < 0 {
        return Err(VirtError::last_error());
    }
    Ok(())
}
