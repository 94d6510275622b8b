//! What pods find in any cluster, and that is no part of Kubernetes itself: names of services and pods, and volumes.
//!
//! `CoreDNS` runs on this machine, as the control plane does, and listens at the bridge's address. Volumes are folders of the
//! nodes, one on each, for whoever asks the default class for one.

use std::time::Duration;

use anyhow::{Context, Result};
use serde_json::{Value, json};

use crate::cluster::Cluster;
use crate::command::{command, run};
use crate::layout::Layout;
use crate::node::node_name;
use crate::part::{Part, Spec};
use crate::programs::Binaries;
use crate::record::{Record, write_file};

const COREDNS: &str = "coredns";
const READY_PORT: u16 = 8181;
const READY_DEADLINE: Duration = Duration::from_mins(1);
const CLASS: &str = "local";
/// On a node, where volumes are.
const VOLUMES: &str = "/var/lib/volumes";

/// Makes all of it be there. Nodes need not run yet.
pub async fn ensure(
    layout: &Layout,
    record: &Record,
    binaries: &Binaries,
    cluster: &Cluster,
) -> Result<()> {
    tokio::try_join!(
        ensure_names(layout, record, binaries),
        ensure_volumes(layout, record, cluster)
    )
    .map(drop)
}

async fn ensure_names(layout: &Layout, record: &Record, binaries: &Binaries) -> Result<()> {
    let address = record.slot.host_address();
    let corefile = format!(
        "cluster.local in-addr.arpa {{\n  bind {address}\n  errors\n  ready {address}:{READY_PORT}\n  \
         kubernetes cluster.local in-addr.arpa {{\n    kubeconfig {}\n    ttl 5\n  }}\n}}\n",
        layout.kubeconfig("admin").display()
    );
    let path = layout.root().join("Corefile");
    write_file(&path, corefile.as_bytes())?;
    let words = [
        binaries.path(COREDNS)?.display().to_string(),
        "-conf".to_owned(),
        path.display().to_string(),
    ];
    let spec = Spec::host(COREDNS, words).configured_by(corefile.as_bytes());
    let part = Part::new(layout, COREDNS);
    part.ensure(spec).await?;
    let url = format!("http://{address}:{READY_PORT}/ready");
    part.wait_ready(READY_DEADLINE, async || {
        let words = ["curl", "--silent", "--show-error", "--fail", &url];
        run(&mut command(words)).await.map(drop)
    })
    .await
}

async fn ensure_volumes(layout: &Layout, record: &Record, cluster: &Cluster) -> Result<()> {
    let mut objects = vec![json!({
        "apiVersion": "storage.k8s.io/v1",
        "kind": "StorageClass",
        "metadata": {
            "name": CLASS,
            "annotations": {"storageclass.kubernetes.io/is-default-class": "true"},
        },
        "provisioner": "kubernetes.io/no-provisioner",
        "volumeBindingMode": "WaitForFirstConsumer",
    })];
    for number in 1..=record.nodes {
        let node = node_name(number);
        let folder = format!("{VOLUMES}/0");
        let made = layout.node_root(&node).join(folder.trim_start_matches('/'));
        std::fs::create_dir_all(&made)
            .with_context(|| format!("failed to make {}", made.display()))?;
        objects.push(volume(&node, &folder));
    }
    let all = json!({"apiVersion": "v1", "kind": "List", "items": objects});
    let applied = cluster.apply(&all.to_string()).await; // JSON is YAML
    applied.map(drop).context("failed to make volumes")
}

fn volume(node: &str, folder: &str) -> Value {
    json!({
        "apiVersion": "v1",
        "kind": "PersistentVolume",
        "metadata": {"name": format!("{node}-0")},
        "spec": {
            "capacity": {"storage": "10Gi"},
            "accessModes": ["ReadWriteOnce"],
            "persistentVolumeReclaimPolicy": "Retain",
            "storageClassName": CLASS,
            "local": {"path": folder},
            "nodeAffinity": {"required": {"nodeSelectorTerms": [{"matchExpressions": [
                {"key": "kubernetes.io/hostname", "operator": "In", "values": [node]},
            ]}]}},
        },
    })
}
