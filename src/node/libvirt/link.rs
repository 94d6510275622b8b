//! One connection to libvirtd.

use virt::connect::Connect;
use virt_sys as sys;

use super::error::CallError;

/// libvirtd is asked for a sign of life this often, and given up after so many questions without an answer: a
/// daemon that hangs is noticed after 5 s × (5 + 1) = 30 s, which is as long as it may take over one job.
const KEEPALIVE_INTERVAL_S: i32 = 5;
const KEEPALIVE_COUNT: u32 = 5;

/// A connection that is closed when dropped. `virt` leaves closing to its users.
#[derive(Debug)]
pub(super) struct Link(Connect);

impl Link {
    /// Connects. Blocking.
    pub(super) fn open(uri: &str) -> Result<Self, CallError> {
        let link = Self(Connect::open(Some(uri))?);
        link.0
            .set_keep_alive(KEEPALIVE_INTERVAL_S, KEEPALIVE_COUNT)?;
        Ok(link)
    }

    pub(super) fn connect(&self) -> &Connect {
        &self.0
    }

    /// Whether the connection is still open, as far as this side knows. Does not ask the other side.
    pub(super) fn is_alive(&self) -> bool {
        self.0.is_alive().unwrap_or(false)
    }

    pub(super) fn as_ptr(&self) -> sys::virConnectPtr {
        self.0.as_ptr()
    }
}

impl Drop for Link {
    fn drop(&mut self) {
        if let Err(error) = self.0.close() {
            tracing::debug!(%error, "could not close a connection to libvirt");
        }
    }
}
