//! etcd, kube-apiserver and kube-controller-manager, on this machine itself, reachable from the nodes at the
//! bridge's address.
//!
//! etcd and the controller manager listen on loopback only. Nothing here is a trick of the testbed: client
//! certificates, RBAC and the default admission plugins are on, as in any cluster.

mod pki;

use std::net::Ipv4Addr;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result};
use serde_json::json;
use tokio::net::TcpStream;

pub use pki::{Pki, kubeconfig};

use crate::command::{command, run};
use crate::kubernetes::Binaries;
use crate::layout::Layout;
use crate::part::{Part, Spec};
use crate::progress::Progress;
use crate::record::write_file;
use crate::slot::Slot;

/// Each testbed has addresses of its own, so all of them use the same ports.
pub(crate) const API_PORT: u16 = 6443;
const ETCD_PORT: u16 = 2379;
const ETCD_PEER_PORT: u16 = 2380;
const CONTROLLER_MANAGER_PORT: u16 = 10257;
const SERVICE_NETWORK: &str = "10.96.0.0/16";
/// Two seconds on an idle machine; a CI machine that builds something else meanwhile is far slower.
const READY_DEADLINE: Duration = Duration::from_mins(2);
const AUDIT_POLICY: &str = include_str!("audit-policy.yaml");

const ETCD: &str = "etcd";
const APISERVER: &str = "kube-apiserver";
const CONTROLLER_MANAGER: &str = "kube-controller-manager";

/// Makes the control plane run and answer.
pub async fn ensure(
    layout: &Layout,
    slot: Slot,
    binaries: &Binaries,
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
    step.message("kube-controller-manager");
    let controller_manager = Part::new(layout, CONTROLLER_MANAGER);
    let spec = controller_manager_spec(layout, slot, &pki, binaries.path(CONTROLLER_MANAGER)?);
    controller_manager.ensure(spec).await?;
    let port = (slot.loopback(), CONTROLLER_MANAGER_PORT);
    controller_manager
        .wait_ready(READY_DEADLINE, async || answers(port).await)
        .await?;
    step.done();
    Ok(())
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
    for who in ["admin", "controller-manager"] {
        let user = json!({
            "client-certificate-data": pki::base64_of(&pki.certificate(who))?,
            "client-key-data": pki::base64_of(&pki.key(who))?,
        });
        let config = kubeconfig(slot, &pki.ca_certificate(), &user)?;
        write_file(&layout.kubeconfig(who), &config)
            .with_context(|| format!("failed to write the kubeconfig of {who}"))?;
    }
    Ok(())
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
            "audit-policy-file",
            show(&layout.root().join("audit-policy.yaml")),
        ),
        ("audit-log-path", show(&layout.audit_log())),
        ("audit-log-maxsize", "256".to_owned()), // MiB
        ("audit-log-maxbackup", "1".to_owned()),
    ];
    spec(APISERVER, binary, &flags)
}

fn controller_manager_spec(layout: &Layout, slot: Slot, pki: &Pki, binary: &Path) -> Spec {
    let kubeconfig = show(&layout.kubeconfig("controller-manager"));
    let flags = [
        ("kubeconfig", kubeconfig.clone()),
        ("authentication-kubeconfig", kubeconfig.clone()),
        ("authorization-kubeconfig", kubeconfig),
        ("bind-address", slot.loopback().to_string()),
        ("secure-port", CONTROLLER_MANAGER_PORT.to_string()),
        ("cert-dir", show(&layout.root().join("controller-manager"))),
        (
            "service-account-private-key-file",
            show(&pki.service_account_key()),
        ),
        ("root-ca-file", show(&pki.ca_certificate())),
        ("use-service-account-credentials", "true".to_owned()),
        ("leader-elect", "false".to_owned()),
        // Nodes have no kubelet yet, so nobody would renew their heartbeats and each would be tainted.
        ("controllers", "*,-node-lifecycle-controller".to_owned()),
    ];
    spec(CONTROLLER_MANAGER, binary, &flags)
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
