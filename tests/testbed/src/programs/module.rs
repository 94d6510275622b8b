//! The Go modules that the testbed builds programs from: one folder of `gomod/` each, pinned with its `go.sum`.
//!
//! Each is a module of its own, so that the requirements of one do not move another's.

use std::path::{Path, PathBuf};

use crate::layout;

/// A Go module that requires the programs it is named after.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Module {
    /// Name and version; a folder of the cache.
    pub key: &'static str,
    pub go_mod: &'static str,
    pub go_sum: &'static str,
    /// For the linker: what the programs call themselves.
    pub ldflags: &'static str,
    /// Build tags, separated by commas: what is left out, or in.
    pub tags: &'static str,
    /// Whether it calls C.
    pub cgo: bool,
    /// The main package, where the module itself has it instead of what it requires.
    pub main: Option<&'static str>,
}

impl Module {
    /// Where its programs are, once built.
    pub fn folder(&self) -> PathBuf {
        Path::new(layout::CACHE).join("bin").join(self.key)
    }
}

macro_rules! module {
    ($folder:literal, $version:literal) => {
        Module {
            key: concat!($folder, "-v", $version),
            go_mod: include_str!(concat!("../../gomod/", $folder, "/go.mod")),
            go_sum: include_str!(concat!("../../gomod/", $folder, "/go.sum")),
            ldflags: "-s -w",
            tags: "",
            cgo: false,
            main: None,
        }
    };
}

pub(super) static ETCD: Module = module!("etcd", "3.7.3");

pub(super) static KUBERNETES: Module = Module {
    ldflags: "-s -w -X k8s.io/component-base/version.gitVersion=v1.36.3",
    ..module!("kubernetes", "1.36.3")
};

pub(super) static CONTAINERD: Module = Module {
    // Snapshotters that nodes do not use, and that want C libraries.
    tags: "no_btrfs,no_devmapper,no_zfs",
    ..module!("containerd", "2.4.2")
};

pub(super) static RUNC: Module = Module {
    ldflags: "-s -w -X main.version=1.5.2",
    tags: "seccomp",
    cgo: true,
    ..module!("runc", "1.5.2")
};

/// Its own main package has plugins for every cloud, and takes ten times as long to build.
pub(super) static COREDNS: Module = Module {
    main: Some(include_str!("../../gomod/coredns/main.go")),
    ..module!("coredns", "1.12.4")
};

pub(super) static CNI: Module = module!("cni", "1.9.1");

pub(super) static HELM_3: Module = Module {
    ldflags: "-s -w -X helm.sh/helm/v3/internal/version.version=v3.22.0",
    ..module!("helm3", "3.22.0")
};

pub(super) static HELM_4: Module = Module {
    ldflags: "-s -w -X helm.sh/helm/v4/internal/version.version=v4.3.1",
    ..module!("helm4", "4.3.1")
};

pub(super) static HELM_UNITTEST: Module = module!("helm-unittest", "1.1.2");

pub(super) static KUBE_SCORE: Module = module!("kube-score", "1.20.0");
