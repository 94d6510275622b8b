//! etcd, kube-apiserver, kube-controller-manager and, where nodes run pods, kube-scheduler: on this machine itself,
//! reachable from the nodes at the bridge's address.
//!
//! All but the API server listen on loopback only. Nothing here is a trick of the testbed: client
//! certificates, RBAC and the default admission plugins are on, as in any cluster.

mod pki;

use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result};
use serde_json::json;
use tokio::net::TcpStream;

pub use pki::{Pki, Subject, kubeconfig};

use crate::command::{command, run};
use crate::layout::Layout;
use crate::part::{Part, Spec};
use crate::programs::Binaries;
use crate::progress::Progress;
use crate::record::write_file;
use crate::slot::Slot;

/// Each testbed has addresses of its own, so all of them use the same ports.
pub(crate) const API_PORT: u16 = 6443;
const ETCD_PORT: u16 = 2379;
const ETCD_PEER_PORT: u16 = 2380;
const CONTROLLER_MANAGER_PORT: u16 = 10257;
const SCHEDULER_PORT: u16 = 10259;
/// Where services have their addresses: inside a cluster only, so that all testbeds have the same.
pub(crate) const SERVICE_NETWORK: &str = "10.96.0.0/16";
/// Two seconds on an idle machine; a CI machine that builds something else meanwhile is far slower.
const READY_DEADLINE: Duration = Duration::from_mins(2);
const AUDIT_POLICY: &str = include_str!("audit-policy.yaml");

const ETCD: &str = "etcd";
const APISERVER: &str = "kube-apiserver";
const CONTROLLER_MANAGER: &str = "kube-controller-manager";
const SCHEDULER: &str = "kube-scheduler";

/// Where the API server is.
pub(crate) fn server_url(slot: Slot) -> String {
    format!("https://{}:{API_PORT}", slot.host_address())
}

/// Makes the control plane run and answer.
pub async fn ensure(
    layout: &Layout,
    slot: Slot,
    binaries: &Binaries,
    pods: bool,
    progress: &Progress,
) -> Result<()> {
    let step = progress.step("control plane");
    let pki = Pki::ensure(layout, slot)?;
    write_file(
        &layout.root().join("audit-policy.yaml"),
        AUDIT_POLICY.as_bytes(),
    )?;
    write_kubeconfigs(layout, slot, &pki)?;
    step.message("etcd");
    let etcd = Part::new(layout, ETCD);
    etcd.ensure(etcd_spec(layout, slot, binaries.path(ETCD)?))
        .await?;
    etcd.wait_ready(READY_DEADLINE, async || {
        answers((slot.loopback(), ETCD_PORT)).await
    })
    .await?;
    step.message("kube-apiserver");
    let apiserver = Part::new(layout, APISERVER);
    apiserver
        .ensure(apiserver_spec(
            layout,
            slot,
            &pki,
            binaries.path(APISERVER)?,
        ))
        .await?;
    let kubectl = binaries.path("kubectl")?;
    apiserver
        .wait_ready(READY_DEADLINE, async || ready(layout, kubectl).await)
        .await?;
    step.message(CONTROLLER_MANAGER);
    let binary = binaries.path(CONTROLLER_MANAGER)?;
    let spec = controller_manager_spec(layout, slot, &pki, binary, pods);
    ensure_on_loopback(layout, slot, spec, CONTROLLER_MANAGER_PORT).await?;
    if pods {
        step.message(SCHEDULER);
        let spec = scheduler_spec(layout, slot, binaries.path(SCHEDULER)?);
        ensure_on_loopback(layout, slot, spec, SCHEDULER_PORT).await?;
    }
    step.done();
    Ok(())
}

async fn ensure_on_loopback(layout: &Layout, slot: Slot, spec: Spec, at: u16) -> Result<()> {
    let part = Part::new(layout, &spec.name);
    part.ensure(spec).await?;
    let address = (slot.loopback(), at);
    part.wait_ready(READY_DEADLINE, async || answers(address).await)
        .await
}

async fn answers(address: (Ipv4Addr, u16)) -> Result<()> {
    TcpStream::connect(address)
        .await
        .map(drop)
        .with_context(|| format!("no answer at {address:?}"))
}

async fn ready(layout: &Layout, kubectl: &Path) -> Result<()> {
    let mut get = command([kubectl]);
    get.arg("--kubeconfig")
        .arg(layout.kubeconfig("admin"))
        .args(["get", "--raw", "/readyz"]);
    run(&mut get).await.map(drop)
}

fn write_kubeconfigs(layout: &Layout, slot: Slot, pki: &Pki) -> Result<()> {
    for who in ["admin", "controller-manager", "scheduler", "proxy"] {
        write_kubeconfig(layout, slot, pki, who)?;
    }
    Ok(())
}

/// Writes the kubeconfig of somebody who has a certificate, and returns where it is.
pub fn write_kubeconfig(layout: &Layout, slot: Slot, pki: &Pki, who: &str) -> Result<PathBuf> {
    let user = json!({
        "client-certificate-data": pki::base64_of(&pki.certificate(who))?,
        "client-key-data": pki::base64_of(&pki.key(who))?,
    });
    let config = kubeconfig(slot, &pki.ca_certificate(), &user)?;
    let path = layout.kubeconfig(who);
    write_file(&path, &config)
        .with_context(|| format!("failed to write the kubeconfig of {who}"))?;
    Ok(path)
}

fn etcd_spec(layout: &Layout, slot: Slot, binary: &Path) -> Spec {
    let address = slot.loopback();
    let client = format!("http://{address}:{ETCD_PORT}");
    let peer = format!("http://{address}:{ETCD_PEER_PORT}");
    Spec::host(
        ETCD,
        [
            binary.display().to_string(),
            format!("--data-dir={}", layout.etcd().display()),
            format!("--listen-client-urls={client}"),
            format!("--advertise-client-urls={client}"),
            format!("--listen-peer-urls={peer}"),
            format!("--initial-advertise-peer-urls={peer}"),
            format!("--initial-cluster=default={peer}"),
            // A killed etcd keeps everything; only a crash of the whole machine may cost the testbed its data.
            "--unsafe-no-fsync=true".to_owned(),
            "--log-level=warn".to_owned(),
        ],
    )
}

fn apiserver_spec(layout: &Layout, slot: Slot, pki: &Pki, binary: &Path) -> Spec {
    let flags = [
        (
            "etcd-servers",
            format!("http://{}:{ETCD_PORT}", slot.loopback()),
        ),
        ("bind-address", slot.host_address().to_string()),
        ("advertise-address", slot.host_address().to_string()),
        ("secure-port", API_PORT.to_string()),
        ("tls-cert-file", show(&pki.certificate("apiserver"))),
        ("tls-private-key-file", show(&pki.key("apiserver"))),
        ("client-ca-file", show(&pki.ca_certificate())),
        (
            "service-account-issuer",
            "https://kubernetes.default.svc.cluster.local".to_owned(),
        ),
        (
            "service-account-key-file",
            show(&pki.service_account_public_key()),
        ),
        (
            "service-account-signing-key-file",
            show(&pki.service_account_key()),
        ),
        ("service-cluster-ip-range", SERVICE_NETWORK.to_owned()),
        ("authorization-mode", "Node,RBAC".to_owned()),
        ("enable-admission-plugins", "NodeRestriction".to_owned()),
        ("allow-privileged", "true".to_owned()),
        (
            "kubelet-client-certificate",
            show(&pki.certificate("apiserver-kubelet")),
        ),
        ("kubelet-client-key", show(&pki.key("apiserver-kubelet"))),
        ("kubelet-certificate-authority", show(&pki.ca_certificate())),
        ("kubelet-preferred-address-types", "InternalIP".to_owned()),
        (
            "audit-policy-file",
            show(&layout.root().join("audit-policy.yaml")),
        ),
        ("audit-log-path", show(&layout.audit_log())),
        ("audit-log-maxsize", "256".to_owned()), // MiB
        ("audit-log-maxbackup", "1".to_owned()),
    ];
    spec(APISERVER, binary, &flags)
}

fn controller_manager_spec(
    layout: &Layout,
    slot: Slot,
    pki: &Pki,
    binary: &Path,
    pods: bool,
) -> Spec {
    let mut flags = behind_loopback(layout, slot, "controller-manager", CONTROLLER_MANAGER_PORT);
    flags.extend([
        (
            "service-account-private-key-file",
            show(&pki.service_account_key()),
        ),
        ("root-ca-file", show(&pki.ca_certificate())),
        ("use-service-account-credentials", "true".to_owned()),
    ]);
    if !pods {
        // Nodes without a kubelet have nobody who renews their heartbeats, and each would be tainted.
        flags.push(("controllers", "*,-node-lifecycle-controller".to_owned()));
    }
    spec(CONTROLLER_MANAGER, binary, &flags)
}

fn scheduler_spec(layout: &Layout, slot: Slot, binary: &Path) -> Spec {
    let flags = behind_loopback(layout, slot, "scheduler", SCHEDULER_PORT);
    spec(SCHEDULER, binary, &flags)
}

/// What the programs have in common that only work through the API server.
fn behind_loopback(
    layout: &Layout,
    slot: Slot,
    who: &str,
    port: u16,
) -> Vec<(&'static str, String)> {
    let kubeconfig = show(&layout.kubeconfig(who));
    vec![
        ("kubeconfig", kubeconfig.clone()),
        ("authentication-kubeconfig", kubeconfig.clone()),
        ("authorization-kubeconfig", kubeconfig),
        ("bind-address", slot.loopback().to_string()),
        ("secure-port", port.to_string()),
        ("cert-dir", show(&layout.root().join(who))),
        ("leader-elect", "false".to_owned()),
    ]
}

fn spec(name: &str, binary: &Path, flags: &[(&str, String)]) -> Spec {
    let flags = flags
        .iter()
        .map(|(flag, value)| format!("--{flag}={value}"));
    Spec::host(name, std::iter::once(show(binary)).chain(flags))
}

fn show(path: &Path) -> String {
    path.display().to_string()
}
