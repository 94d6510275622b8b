//! The command lines of the `kilonova` binary, all of them. Pure.

use std::net::SocketAddr;
use std::path::Path;

/// Prints all CRDs as one YAML stream.
pub(super) const CRDS: [&str; 1] = ["crds"];
pub(super) const OPERATOR_PORT: u16 = 8080;
pub(super) const AGENT_PORT: u16 = 8081;
pub(super) const METADATA_PORT: u16 = 8082;

/// Where a part of a node finds who it is: in the node, whose `/run` is empty after each boot, so that credentials do not
/// outlive one.
pub(super) fn kubeconfig(part: &str) -> String {
    format!("/run/devstack/{part}.kubeconfig")
}

pub(super) fn operator(binary: &Path, listen: SocketAddr) -> Vec<String> {
    let listen = listen.to_string();
    words(
        binary,
        &["operator", "--listen", &listen, "--log-format", "json"],
    )
}

pub(super) fn agent(binary: &Path, node: &str, listen: SocketAddr) -> Vec<String> {
    let listen = listen.to_string();
    let flags = [
        ("--node-name", node),
        ("--state-dir", "/var/lib/kilonova"),
        ("--libvirt-uri", "qemu:///system"),
        // Hardware virtualisation is missing or broken where the tests run.
        ("--virt-type", "qemu"),
        ("--listen", &listen),
        ("--log-format", "json"),
    ];
    with_flags(binary, "agent", &flags)
}

pub(super) fn metadata(binary: &Path, node: &str, listen: SocketAddr) -> Vec<String> {
    let listen = listen.to_string();
    let flags = [
        ("--node-name", node),
        ("--listen", &listen),
        ("--log-format", "json"),
    ];
    with_flags(binary, "metadata", &flags)
}

fn with_flags(binary: &Path, role: &str, flags: &[(&str, &str)]) -> Vec<String> {
    let mut all = words(binary, &[role]);
    all.extend(
        flags
            .iter()
            .flat_map(|(flag, value)| [(*flag).to_owned(), (*value).to_owned()]),
    );
    all
}

fn words(binary: &Path, rest: &[&str]) -> Vec<String> {
    std::iter::once(binary.display().to_string())
        .chain(rest.iter().map(|&word| word.to_owned()))
        .collect()
}
