//! Looks at the host, for its report: what is there, and who may use it. Opens no device and changes nothing.

use std::{
    fs,
    io::{self, ErrorKind},
    os::unix::fs::{FileTypeExt, MetadataExt},
    path::{Path, PathBuf},
    time::Duration,
};

use rustix::fs::{Access, StatVfsMountFlags};
use tokio::{net::UnixStream, time::timeout};

use crate::{
    api::value::Size,
    cluster::telemetry,
    node::{
        driver::DriverError,
        plan::{
            capabilities::{HostFacts, Unfit},
            host::{self, Device, Folder, Libvirt, Socket, SocketState, Storage},
        },
    },
};

use super::Site;

/// How long a socket may take to take a connection: one that does at all does at once.
const CONNECT_TIME_MAX: Duration = Duration::from_secs(1);

const PERMISSIONS: u32 = 0o777;

/// The device of KVM.
pub(super) fn kvm(site: &Site) -> Device {
    match fs::metadata(site.host_dev.join("kvm")) {
        Ok(found) if found.file_type().is_char_device() => Device::There {
            mode: found.mode() & PERMISSIONS,
            uid: found.uid(),
            gid: found.gid(),
        },
        Ok(_) => Device::Hidden("it is no device".to_owned()),
        Err(error) if error.kind() != ErrorKind::NotFound => Device::Hidden(error.to_string()),
        // A folder of devices that is not there says nothing of the host.
        Err(_) => match fs::metadata(&site.host_dev) {
            Ok(_) => Device::Absent,
            Err(error) => Device::Hidden(format!("{}: {error}", site.host_dev.display())),
        },
    }
}

/// Where guests are kept, and why the agent cannot work there if it knows already.
pub(super) fn storage(site: &Site, failure: Option<&str>) -> Storage {
    Storage {
        path: site.state_dir.clone(),
        folder: folder(&site.state_dir).map_err(|error| error.to_string()),
        has_qemu_img: on_path("qemu-img"),
        failure: failure.map(str::to_owned),
    }
}

fn folder(path: &Path) -> io::Result<Folder> {
    let found = fs::metadata(path)?;
    if !found.is_dir() {
        return Err(io::Error::from(ErrorKind::NotADirectory));
    }
    let system = rustix::fs::statvfs(path)?;
    Ok(Folder {
        size: Size::bytes(system.f_blocks.saturating_mul(system.f_frsize)),
        read_only: system.f_flag.contains(StatVfsMountFlags::RDONLY),
        writable: rustix::fs::access(path, Access::WRITE_OK | Access::EXEC_OK).is_ok(),
        mode: found.mode() & PERMISSIONS,
        uid: found.uid(),
        gid: found.gid(),
    })
}

fn on_path(program: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path)
        .any(|folder| rustix::fs::access(folder.join(program), Access::EXEC_OK).is_ok())
}

/// What libvirt said; where it said nothing, what its sockets tell of it.
pub(super) async fn libvirt(site: &Site, said: Result<HostFacts, DriverError>) -> Libvirt {
    let error = match said {
        Ok(facts) => return Libvirt::Answers(Box::new(facts)),
        Err(error) => error,
    };
    if let Some(unfit) = error.cause::<Unfit>() {
        return Libvirt::Unfit(unfit.clone());
    }
    let why = telemetry::chain(&error);
    let mut sockets = Vec::new();
    for path in host::sockets(&site.libvirt_uri) {
        sockets.push(socket(path).await);
    }
    Libvirt::Silent { why, sockets }
}

/// Whether the path's folder was removed and is only still seen because it is mounted, or open.
fn is_in_nothing(path: &Path) -> bool {
    let folder = path.parent().map(fs::metadata);
    folder.is_some_and(|found| found.is_ok_and(|found| found.nlink() == 0))
}

/// What comes of connecting to a socket.
pub(super) async fn socket(path: PathBuf) -> Socket {
    let state = match timeout(CONNECT_TIME_MAX, UnixStream::connect(&path)).await {
        Ok(Err(error)) => match error.kind() {
            ErrorKind::NotFound if is_in_nothing(&path) => SocketState::Removed,
            ErrorKind::NotFound | ErrorKind::NotADirectory => SocketState::Absent,
            ErrorKind::PermissionDenied => SocketState::Forbidden,
            ErrorKind::ConnectionRefused => SocketState::Dead,
            _ => SocketState::Listens,
        },
        Ok(Ok(_)) | Err(_) => SocketState::Listens,
    };
    Socket { path, state }
}
