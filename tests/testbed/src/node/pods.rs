//! What a node needs to run pods: containerd with runc, a pod network of bridges and routes, kube-proxy for services,
//! and a kubelet that registers it.
//!
//! Pods reach each other, the nodes and this machine by routes, without translation. Nothing of it
//! reaches beyond this machine, and nothing that a kubelet would set for the whole machine can be set from a node. What is
//! set for the whole machine, if it is less, is how many processes may watch files.

use std::time::Duration;

use anyhow::{Context, Result};

use crate::command::run_line;
use crate::container::{self, Archive};
use crate::control_plane::{self, Pki, Subject};
use crate::part::Spec;
use crate::programs::{Binaries, Needed};
use crate::progress::Progress;
use crate::record::write_file;

use super::Node;

const CONTAINERD_TOML: &str = include_str!("pods/containerd.toml");
const KUBELET_YAML: &str = include_str!("pods/kubelet.yaml");
const PROXY_YAML: &str = include_str!("pods/proxy.yaml");
const NETWORK_CONFLIST: &str = include_str!("pods/network.conflist");

/// Folders that a node has its own of.
pub(super) const LASTING: [&str; 5] = [
    "etc/kubernetes",
    "var/lib/cni",
    "var/lib/containerd",
    "var/lib/kubelet",
    // Of volumes: see `crate::addons`.
    "var/lib/volumes",
];

/// How many processes may watch files at least, on the whole machine: all nodes' programs are one user's, and each of a
/// node's watches some. Linux has 128 by itself, which a few nodes use up; then kube-proxy ends.
const WATCHERS_MIN: u32 = 4096;
const WATCHERS: &str = "/proc/sys/fs/inotify/max_user_instances";

const READY_DEADLINE: Duration = Duration::from_mins(1);
/// Where containerd listens, and the namespace that a kubelet's containers are in.
const CTR: [&str; 4] = [
    "--address",
    "/run/containerd/containerd.sock",
    "--namespace",
    "k8s.io",
];

impl Node {
    /// Makes the node run pods, and gives it container images. Its kubelet registers it some time later.
    pub async fn ensure_pods(
        &self,
        binaries: &Binaries,
        nodes: u8,
        images: &[&Archive],
    ) -> Result<()> {
        let context = |what: &str| format!("failed to make {what} of node {} run", self.name);
        self.write_configuration(binaries)?;
        Self::ensure_watchers()?;
        self.ensure_routes(nodes).await?;
        self.ensure_containerd(binaries)
            .await
            .with_context(|| context("containerd"))?;
        for image in images {
            self.import(binaries, image).await?;
        }
        self.ensure_kubelet(binaries)
            .await
            .with_context(|| context("the kubelet"))
    }

    /// Gives the node's containerd a container image, unless it has it.
    async fn import(&self, binaries: &Binaries, image: &Archive) -> Result<()> {
        let context = || {
            let (node, reference) = (&self.name, &image.reference);
            format!("failed to give node {node} the container image {reference}")
        };
        let list = self.ctr(binaries, &["images", "list", "--quiet"]).await;
        let has_it = list
            .with_context(context)?
            .lines()
            .any(|line| line == image.reference.to_string());
        if has_it {
            return Ok(());
        }
        let path = image.path.display().to_string();
        self.ctr(binaries, &["images", "import", "--local", &path])
            .await
            .map(drop)
            .with_context(context)
    }

    /// Gives a container image that the node has another name.
    pub async fn tag_image(&self, image: &str, other: &str) -> Result<()> {
        let binaries = Binaries::ensure(Needed::Pods, &Progress::silent()).await?;
        self.ctr(&binaries, &["images", "tag", "--force", image, other])
            .await
            .map(drop)
    }

    async fn ctr(&self, binaries: &Binaries, words: &[&str]) -> Result<String> {
        let ctr = binaries.path("ctr")?.display().to_string();
        let all = std::iter::once(ctr.as_str()).chain(CTR);
        self.exec(all.chain(words.iter().copied())).await
    }

    fn write_configuration(&self, binaries: &Binaries) -> Result<()> {
        let pki = Pki::ensure(&self.layout, self.slot)?;
        let (user, client) = (
            format!("system:node:{}", self.name),
            format!("kubelet-{}", self.name),
        );
        pki.issue(
            &client,
            Subject::Client {
                user: &user,
                group: Some("system:nodes"),
            },
        )?;
        let server = format!("kubelet-server-{}", self.name);
        pki.issue(
            &server,
            Subject::Server {
                name: &user,
                names: &[&self.name],
                addresses: &[self.address().into()],
            },
        )?;
        let kubeconfig = control_plane::write_kubeconfig(&self.layout, self.slot, &pki, &client)?;
        let folder = self.root().join("etc/kubernetes");
        for (from, to) in [
            (pki.ca_certificate(), "ca.crt"),
            (pki.certificate(&server), "kubelet.crt"),
            (pki.key(&server), "kubelet.key"),
            (kubeconfig, "kubelet.kubeconfig"),
            (self.layout.kubeconfig("proxy"), "proxy.kubeconfig"),
        ] {
            let content = std::fs::read(&from)
                .with_context(|| format!("failed to read {}", from.display()))?;
            write_file(&folder.join(to), &content)?;
        }
        for (template, to) in [
            (CONTAINERD_TOML, "containerd.toml"),
            (KUBELET_YAML, "kubelet.yaml"),
            (PROXY_YAML, "proxy.yaml"),
            (NETWORK_CONFLIST, "cni/10-pods.conflist"),
        ] {
            let text = template
                .replace("@ADDRESS@", &self.address().to_string())
                .replace("@CNI@", &binaries.folder("bridge")?.display().to_string())
                .replace("@DNS@", &self.slot.host_address().to_string())
                .replace("@NODE@", &self.name)
                .replace("@PAUSE@", container::PAUSE)
                .replace("@PODS@", &self.slot.node_pods(self.number).to_string())
                .replace("@RUNC@", &binaries.path("runc")?.display().to_string());
            write_file(&folder.join(to), text.as_bytes())?;
        }
        Ok(())
    }

    /// Routes to the pods of all nodes, on this machine and on the node; and one for services, whose addresses are
    /// nobody's: what goes there is translated before it leaves.
    async fn ensure_routes(&self, nodes: u8) -> Result<()> {
        let own = self.slot.node_pods(self.number);
        let bridge = self.slot.bridge();
        run_line(&format!(
            "ip route replace {own} via {} dev {bridge}",
            self.address()
        ))
        .await?;
        let services = control_plane::SERVICE_NETWORK;
        let mut lines = vec![format!("ip route replace {services} dev eth0")];
        for number in (1..=nodes).filter(|&number| number != self.number) {
            let (pods, address) = (self.slot.node_pods(number), self.slot.node_address(number));
            lines.push(format!("ip route replace {pods} via {address}"));
        }
        for line in lines {
            self.exec(line.split_whitespace()).await?;
        }
        let forward = "echo 1 > /proc/sys/net/ipv4/ip_forward";
        self.exec(["sh", "-c", forward]).await.map(drop)
    }

    /// Raises what the machine has too little of, and lowers nothing.
    fn ensure_watchers() -> Result<()> {
        let now = std::fs::read_to_string(WATCHERS);
        let now = now.with_context(|| format!("failed to read {WATCHERS}"))?;
        let now: u32 = now.trim().parse().context("it says no number")?;
        if now < WATCHERS_MIN {
            std::fs::write(WATCHERS, WATCHERS_MIN.to_string())
                .with_context(|| format!("failed to raise {WATCHERS} from {now}"))?;
        }
        Ok(())
    }

    async fn ensure_containerd(&self, binaries: &Binaries) -> Result<()> {
        let part = self.part("containerd");
        let words = [
            binaries.path("containerd")?.display().to_string(),
            "--config".to_owned(),
            "/etc/kubernetes/containerd.toml".to_owned(),
        ];
        // containerd finds its shim by the PATH.
        let shim = binaries.folder("containerd-shim-runc-v2")?.display();
        let path = format!("{shim}:/usr/sbin:/usr/bin:/sbin:/bin");
        let spec = Spec::host(part.name(), words)
            .env("PATH", path)
            .configured_by(&self.configuration("containerd.toml")?)
            .at(self.place()?);
        part.ensure(spec).await?;
        part.wait_ready(READY_DEADLINE, async || {
            self.ctr(binaries, &["version"]).await.map(drop)
        })
        .await
    }

    /// Makes services reachable from the node, which must be registered.
    pub async fn ensure_services(&self, binaries: &Binaries) -> Result<()> {
        let part = self.part("kube-proxy");
        let words = [
            binaries.path("kube-proxy")?.display().to_string(),
            "--config=/etc/kubernetes/proxy.yaml".to_owned(),
        ];
        let spec = Spec::host(part.name(), words)
            .configured_by(&self.configuration("proxy.yaml")?)
            .at(self.place()?);
        part.ensure(spec).await?;
        part.wait_ready(READY_DEADLINE, async || self.healthy(10256).await)
            .await
    }

    async fn ensure_kubelet(&self, binaries: &Binaries) -> Result<()> {
        let part = self.part("kubelet");
        let words = [
            binaries.path("kubelet")?.display().to_string(),
            "--config=/etc/kubernetes/kubelet.yaml".to_owned(),
            "--kubeconfig=/etc/kubernetes/kubelet.kubeconfig".to_owned(),
            "--root-dir=/var/lib/kubelet".to_owned(),
            "--cert-dir=/var/lib/kubelet/pki".to_owned(),
            format!("--hostname-override={}", self.name),
            format!("--node-ip={}", self.address()),
        ];
        let spec = Spec::host(part.name(), words)
            .configured_by(&self.configuration("kubelet.yaml")?)
            .at(self.place()?);
        part.ensure(spec).await?;
        part.wait_ready(READY_DEADLINE, async || self.healthy(10248).await)
            .await
    }

    fn configuration(&self, file: &str) -> Result<Vec<u8>> {
        let path = self.root().join("etc/kubernetes").join(file);
        std::fs::read(&path).with_context(|| format!("failed to read {}", path.display()))
    }

    async fn healthy(&self, port: u16) -> Result<()> {
        let url = format!("http://127.0.0.1:{port}/healthz");
        self.exec(["curl", "--silent", "--show-error", "--fail", &url])
            .await
            .map(drop)
    }
}
