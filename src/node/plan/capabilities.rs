//! What a host has and offers, read from libvirt's capabilities.
//!
//! Pure: text in, facts out. It must never ask the host itself: what libvirt says counts, since libvirt will run the
//! guests.

use std::collections::BTreeSet;

use quick_xml::DeError;
use serde::{Deserialize, de::DeserializeOwned};
use thiserror::Error;

use crate::api::{
    flavor::Machine,
    hypervisor::{HostCpu, NumaNode, Offers, VirtType},
    value::Size,
};

pub use offers::offers;

mod offers;

/// What a host has and offers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HostFacts {
    /// The host itself.
    pub host: Host,
    /// How guests run: the type that was asked for, else the best that works.
    pub virt_type: VirtType,
    /// What guests of that type can have.
    pub offers: Offers,
    /// libvirt's version.
    pub libvirt_version: String,
    /// QEMU's version.
    pub qemu_version: String,
}

/// What a host has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Host {
    /// Its architecture, by libvirt's name.
    pub architecture: String,
    /// Its processors.
    pub cpu: HostCpu,
    /// Its NUMA nodes; at least one.
    pub numa: Vec<NumaNode>,
    /// Its threads that are online.
    pub vcpus: u32,
    /// Its memory.
    pub memory: Size,
    /// How guests of its own architecture can run, the fastest first. `Kvm` is there only if `/dev/kvm` works.
    pub virt_types: Vec<VirtType>,
    /// The boards that such guests can have.
    pub machines: Vec<Machine>,
    /// Who QEMU runs as, where libvirt says it.
    pub qemu_user: Option<QemuUser>,
}

/// Who QEMU runs as.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct QemuUser {
    /// The user.
    pub uid: u32,
    /// Its first group; it may be in others.
    pub gid: u32,
}

/// libvirt answers, and cannot run guests as they shall run.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum Unfit {
    /// It can run none at all.
    #[error("it can run no guests of its own architecture, {architecture}")]
    NoQemu {
        /// The host's architecture.
        architecture: String,
    },
    /// It can run others.
    #[error("it cannot run guests of type {}", wanted.as_str())]
    NotOffered {
        /// How they shall run.
        wanted: VirtType,
        /// Who QEMU runs as.
        qemu_user: Option<QemuUser>,
    },
}

impl Host {
    /// How guests run: as `wanted`, else the best that works.
    pub fn virt_type(&self, wanted: Option<VirtType>) -> Result<VirtType, Unfit> {
        let Some(best) = self.virt_types.first() else {
            return Err(Unfit::NoQemu {
                architecture: self.architecture.clone(),
            });
        };
        match wanted {
            None => Ok(*best),
            Some(wanted) if self.virt_types.contains(&wanted) => Ok(wanted),
            Some(wanted) => Err(Unfit::NotOffered {
                wanted,
                qemu_user: self.qemu_user,
            }),
        }
    }
}

/// Capabilities that cannot be read.
#[derive(Debug, Error)]
#[error("could not read libvirt's {what}")]
pub struct CapabilitiesError {
    what: &'static str,
    #[source]
    source: DeError,
}

/// Reads what `virConnectGetCapabilities` returns.
pub fn host(xml: &str) -> Result<Host, CapabilitiesError> {
    let read: HostXml = parse("capabilities", xml)?;
    let numa: Vec<NumaNode> = read.numa().collect();
    Ok(Host {
        cpu: read.cpu(),
        vcpus: numa
            .iter()
            .map(|node| u32::try_from(node.cpus.len()).unwrap_or(u32::MAX))
            .fold(0, u32::saturating_add),
        memory: Size::bytes(numa.iter().map(|node| node.memory.as_bytes()).sum()),
        numa,
        virt_types: read.virt_types(),
        machines: read.machines(),
        qemu_user: read.qemu_user(),
        architecture: read.host.cpu.arch,
    })
}

/// libvirt's numbers for versions: major × 1,000,000 + minor × 1,000 + release.
pub fn version(number: u32) -> String {
    format!(
        "{}.{}.{}",
        number / 1_000_000,
        number / 1_000 % 1_000,
        number % 1_000
    )
}

fn parse<T: DeserializeOwned>(what: &'static str, xml: &str) -> Result<T, CapabilitiesError> {
    quick_xml::de::from_str(xml).map_err(|source| CapabilitiesError { what, source })
}

/// `<capabilities>`: only what is read here.
#[derive(Deserialize)]
struct HostXml {
    host: HostElement,
    #[serde(default)]
    guest: Vec<GuestElement>,
}

#[derive(Deserialize)]
struct HostElement {
    cpu: CpuElement,
    topology: Cells,
    #[serde(default)]
    secmodel: Vec<SecurityModel>,
}

/// How libvirt keeps guests apart: one of the models, `dac`, is by user and group.
#[derive(Deserialize)]
struct SecurityModel {
    model: String,
    #[serde(default)]
    baselabel: Vec<String>,
}

#[derive(Deserialize)]
struct CpuElement {
    arch: String,
    #[serde(default)]
    model: String,
    #[serde(default)]
    vendor: String,
    #[serde(default)]
    topology: CpuTopology,
    #[serde(default)]
    feature: Vec<Named>,
}

#[derive(Deserialize)]
struct Named {
    #[serde(rename = "@name")]
    name: String,
}

#[derive(Deserialize)]
struct CpuTopology {
    #[serde(rename = "@sockets")]
    sockets: u32,
    #[serde(rename = "@dies", default = "one")]
    dies: u32,
    #[serde(rename = "@cores")]
    cores: u32,
    #[serde(rename = "@threads")]
    threads: u32,
}

const fn one() -> u32 {
    1
}

impl Default for CpuTopology {
    fn default() -> Self {
        Self {
            sockets: 1,
            dies: 1,
            cores: 1,
            threads: 1,
        }
    }
}

#[derive(Deserialize)]
struct Cells {
    cells: CellList,
}

#[derive(Deserialize)]
struct CellList {
    cell: Vec<Cell>,
}

#[derive(Deserialize)]
struct Cell {
    #[serde(rename = "@id")]
    id: u32,
    memory: Kib,
    cpus: Threads,
}

/// libvirt writes a cell's memory in KiB.
#[derive(Deserialize)]
struct Kib {
    #[serde(rename = "$text")]
    kib: u64,
}

#[derive(Deserialize)]
struct Threads {
    #[serde(default)]
    cpu: Vec<Thread>,
}

#[derive(Deserialize)]
struct Thread {
    #[serde(rename = "@id")]
    id: u32,
    #[serde(rename = "@socket_id")]
    socket: Option<u32>,
}

#[derive(Deserialize)]
struct GuestElement {
    os_type: String,
    arch: GuestArch,
}

#[derive(Deserialize)]
struct GuestArch {
    #[serde(rename = "@name")]
    name: String,
    #[serde(default)]
    machine: Vec<MachineElement>,
    #[serde(default)]
    domain: Vec<DomainType>,
}

#[derive(Deserialize)]
struct MachineElement {
    #[serde(rename = "$text")]
    name: String,
}

#[derive(Deserialize)]
struct DomainType {
    #[serde(rename = "@type")]
    name: String,
}

impl HostXml {
    fn numa(&self) -> impl Iterator<Item = NumaNode> {
        self.host.topology.cells.cell.iter().map(|cell| NumaNode {
            id: cell.id,
            memory: Size::bytes(cell.memory.kib.saturating_mul(1024)),
            cpus: cell.cpus.cpu.iter().map(|thread| thread.id).collect(),
        })
    }

    fn cpu(&self) -> HostCpu {
        let cpu = &self.host.cpu;
        HostCpu {
            model: cpu.model.clone(),
            vendor: cpu.vendor.clone(),
            sockets: self.sockets(),
            cores: cpu.topology.dies.saturating_mul(cpu.topology.cores),
            threads: cpu.topology.threads,
            features: cpu
                .feature
                .iter()
                .map(|feature| feature.name.clone())
                .collect(),
        }
    }

    /// libvirt's own number of sockets is for one NUMA node, so the threads' sockets are counted instead.
    fn sockets(&self) -> u32 {
        let sockets: BTreeSet<u32> = self
            .host
            .topology
            .cells
            .cell
            .iter()
            .flat_map(|cell| &cell.cpus.cpu)
            .filter_map(|thread| thread.socket)
            .collect();
        match u32::try_from(sockets.len()) {
            Ok(0) | Err(_) => self.host.cpu.topology.sockets,
            Ok(count) => count,
        }
    }

    /// Guests of the host's own architecture.
    fn native(&self) -> Option<&GuestArch> {
        self.guest
            .iter()
            .find(|guest| guest.os_type == "hvm" && guest.arch.name == self.host.cpu.arch)
            .map(|guest| &guest.arch)
    }

    fn virt_types(&self) -> Vec<VirtType> {
        [VirtType::Kvm, VirtType::Qemu]
            .into_iter()
            .filter(|wanted| {
                self.native()
                    .is_some_and(|arch| arch.domain.iter().any(|ty| ty.name == wanted.as_str()))
            })
            .collect()
    }

    /// libvirt writes `+64055:+64055`, the same for each type of guests.
    fn qemu_user(&self) -> Option<QemuUser> {
        let models = &self.host.secmodel;
        let dac = models.iter().find(|model| model.model == "dac")?;
        let (uid, gid) = dac.baselabel.first()?.split_once(':')?;
        let number = |text: &str| text.strip_prefix('+').unwrap_or(text).parse().ok();
        Some(QemuUser {
            uid: number(uid)?,
            gid: number(gid)?,
        })
    }

    fn machines(&self) -> Vec<Machine> {
        [Machine::Q35, Machine::Pc]
            .into_iter()
            .filter(|wanted| {
                self.native()
                    .is_some_and(|arch| arch.machine.iter().any(|it| it.name == wanted.as_qemu()))
            })
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOST: &str = include_str!("../../../tests/golden/capabilities/host.xml");
    const QEMU: &str = include_str!("../../../tests/golden/capabilities/domain-qemu.xml");
    const KVM: &str = include_str!("../../../tests/golden/capabilities/domain-kvm.xml");

    #[test]
    fn a_hosts_capabilities_are_read() {
        let host = host(HOST).unwrap();
        assert_eq!(host.architecture, "x86_64");
        assert_eq!(host.vcpus, 2);
        assert_eq!(host.memory, Size::bytes(8_874_188 * 1024));
        assert_eq!(
            host.numa,
            [NumaNode {
                id: 0,
                memory: host.memory,
                cpus: vec![0, 1],
            }]
        );
        assert_eq!(host.virt_types, [VirtType::Kvm, VirtType::Qemu]);
        assert_eq!(host.machines, [Machine::Q35, Machine::Pc]);
        let (uid, gid) = (64055, 64055);
        assert_eq!(host.qemu_user, Some(QemuUser { uid, gid }));
        let cpu = &host.cpu;
        assert_eq!(
            (cpu.model.as_str(), cpu.vendor.as_str()),
            ("Broadwell", "Intel")
        );
        assert_eq!((cpu.sockets, cpu.cores, cpu.threads), (1, 2, 1));
        assert!(cpu.features.iter().any(|feature| feature == "avx512f"));
    }

    #[test]
    fn sockets_are_counted_over_all_numa_nodes() {
        let two = HOST
            .replace("</cells>", r"<cell id='1'><memory unit='KiB'>1024</memory><cpus num='1'><cpu id='2' socket_id='1' die_id='0' core_id='0' siblings='2'/></cpus></cell></cells>");
        let host = host(&two).unwrap();
        assert_eq!(host.cpu.sockets, 2);
        assert_eq!(host.vcpus, 3);
        assert_eq!(host.memory, Size::bytes(8_875_212 * 1024));
    }

    #[test]
    fn a_host_without_kvm_offers_emulation_only() {
        let host = host(&HOST.replace("<domain type='kvm'/>", "")).unwrap();
        assert_eq!(host.virt_types, [VirtType::Qemu]);
        assert_eq!(host.virt_type(None), Ok(VirtType::Qemu));
        assert_eq!(host.virt_type(Some(VirtType::Qemu)), Ok(VirtType::Qemu));
        let refused = Unfit::NotOffered {
            wanted: VirtType::Kvm,
            qemu_user: host.qemu_user,
        };
        assert_eq!(host.virt_type(Some(VirtType::Kvm)), Err(refused));
    }

    #[test]
    fn a_host_with_both_is_asked_for_the_faster_unless_told_otherwise() {
        let host = host(HOST).unwrap();
        assert_eq!(host.virt_type(None), Ok(VirtType::Kvm));
        assert_eq!(host.virt_type(Some(VirtType::Qemu)), Ok(VirtType::Qemu));
    }

    #[test]
    fn a_host_without_qemu_says_so_whatever_is_wanted() {
        let bare = HOST.split_inclusive("</host>").next().unwrap();
        let host = host(&format!("{bare}</capabilities>")).unwrap();
        for wanted in [None, Some(VirtType::Kvm), Some(VirtType::Qemu)] {
            let architecture = "x86_64".to_owned();
            assert_eq!(host.virt_type(wanted), Err(Unfit::NoQemu { architecture }));
        }
    }

    #[test]
    fn who_qemu_runs_as_is_told_by_one_of_the_security_models() {
        let label = |label: &str| {
            let text = HOST.replace("+64055:+64055", label);
            host(&text).unwrap().qemu_user
        };
        let (uid, gid) = (0, 107);
        assert_eq!(label("0:+107"), Some(QemuUser { uid, gid }));
        assert_eq!(label("system_u:object_r"), None);
        let none = HOST.replace("<model>dac</model>", "<model>apparmor</model>");
        assert_eq!(host(&none).unwrap().qemu_user, None);
    }

    #[test]
    fn what_guests_can_have_depends_on_how_they_run() {
        let emulated = offers(QEMU, &[Machine::Q35]).unwrap();
        assert_eq!(emulated.machines, [Machine::Q35]);
        assert!(emulated.uefi && emulated.secure_boot && emulated.tpm);
        assert!(emulated.cpu_models.contains(&"Nehalem".to_owned()));
        assert!(!emulated.cpu_models.contains(&"Skylake-Server".to_owned()));
        assert!(emulated.cpu_models.is_sorted());
        let hardware = offers(KVM, &[Machine::Q35]).unwrap();
        assert_ne!(hardware.cpu_models, emulated.cpu_models);
    }

    #[test]
    fn what_is_not_listed_is_not_offered() {
        let bare = offers(
            "<domainCapabilities><os supported='yes'/><cpu/><devices/></domainCapabilities>",
            &[],
        )
        .unwrap();
        assert_eq!(bare, Offers::default());
        assert!(offers("<domainCapabilities/>", &[]).is_err());
    }

    #[test]
    fn versions_are_numbers() {
        assert_eq!(version(9_000_000), "9.0.0");
        assert_eq!(version(7_002_022), "7.2.22");
    }
}
