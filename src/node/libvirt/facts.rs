//! What the host has and offers, asked of libvirt. Reading the answers is `plan::capabilities`' job. Blocking.

use crate::{
    api::hypervisor::VirtType,
    node::plan::capabilities::{self, HostFacts},
};

use super::{error::CallError, link::Link};

pub(super) fn host(link: &Link, wanted: Option<VirtType>) -> Result<HostFacts, CallError> {
    let connect = link.connect();
    let host = capabilities::host(&connect.get_capabilities()?).map_err(CallError::Nonsense)?;
    let virt_type = host.virt_type(wanted)?;
    let offers = connect.get_domain_capabilities(
        None,
        Some(&host.architecture),
        // Offers differ between boards, and the first is the one that servers get by default.
        host.machines.first().map(|machine| machine.as_qemu()),
        Some(virt_type.as_str()),
        0,
    )?;
    Ok(HostFacts {
        virt_type,
        offers: capabilities::offers(&offers, &host.machines).map_err(CallError::Nonsense)?,
        libvirt_version: capabilities::version(connect.get_lib_version()?),
        qemu_version: capabilities::version(connect.get_hyp_version()?),
        host,
    })
}
