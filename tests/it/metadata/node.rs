//! A node with Open vSwitch, the service on it, and guests that are namespaces.

use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use kilonova::api::guest::Guest as GuestObject;
use kube::api::{Api, DeleteParams, Patch, PatchParams};
use serde_json::json;
use testbed::{Node, Seen, Testbed, unique_name, wait_for};
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::process::Child;

const SOON: Duration = Duration::from_mins(1);
const NAMESPACE: &str = "kilonova-node-n1";
const KUBECONFIG: &str = "/run/devstack/metadata.kubeconfig";
const PID: &str = "/run/devstack/metadata.pid";
const LOG: &str = "/var/log/metadata.log";

/// A guest: a namespace of this name on the node, and the only one on its network.
#[derive(Clone, Copy, Debug)]
pub struct Guest {
    pub name: &'static str,
    pub uid: &'static str,
    network: &'static str,
    mac: &'static str,
}

pub static RED: Guest = Guest {
    name: "red",
    uid: "4ba4e3ee-7ed1-4bd8-a8b0-000000000001",
    network: "11111111-1111-4111-8111-111111111111",
    mac: "02:00:00:00:00:01",
};

pub static BLUE: Guest = Guest {
    name: "blue",
    uid: "4ba4e3ee-7ed1-4bd8-a8b0-000000000002",
    network: "22222222-2222-4222-8222-222222222222",
    mac: "02:00:00:00:00:02",
};

impl Guest {
    /// The service's device on its network.
    pub fn device(&self) -> String {
        kilonova::metadata::plan::ports::device(self.network)
    }

    fn seed(&self) -> serde_json::Value {
        let meta_data = json!({
            "instance-id": self.uid, "local-hostname": self.name, "public-keys": ["ssh-ed25519 AAAA"],
        });
        json!({
            "apiVersion": "v1", "kind": "Secret", "immutable": true, "type": "kilonova.dev/seed",
            "metadata": {"name": self.uid, "namespace": NAMESPACE},
            "stringData": {"meta-data": meta_data.to_string(), "user-data": format!("#!user data of {}", self.name)},
        })
    }

    fn object(&self) -> serde_json::Value {
        json!({
            "apiVersion": "kilonova.dev/v1alpha1", "kind": "Guest",
            "metadata": {"name": self.uid, "namespace": NAMESPACE},
            "spec": {
                "server": {"namespace": format!("project-{}", self.name), "name": self.name, "uid": self.uid},
                "epoch": 1, "power": "Running", "restartPolicy": "Always", "shutdownGraceSeconds": 60,
                "vcpus": 1, "memoryMib": 128, "machine": "Q35", "firmware": "Bios", "secureBoot": false, "tpm": false,
                "rootDisk": {"size": "1Gi", "image": {
                    "name": "shop/tiny", "url": "http://images/tiny", "sha256": "0".repeat(64), "format": "Qcow2",
                }},
                "seedSecret": self.uid,
                "nics": [{
                    "port": self.uid, "name": self.name, "network": self.network, "mac": self.mac, "mtu": 1442,
                    "addresses": ["10.0.0.5", "2001:db8::5"],
                }],
            },
        })
    }
}

pub struct Bed {
    testbed: Testbed,
    pub node: Node,
}

impl Bed {
    /// A node with a switch and two guests that the cluster knows of.
    pub async fn make(name: &str) -> Result<Self> {
        let testbed = Testbed::builder(unique_name(name))
            .nodes(1)
            .guarded()
            .up()
            .await?;
        let binary = std::path::Path::new(env!("CARGO_BIN_EXE_kilonova"));
        testbed.apply_crds(binary).await?;
        let node = testbed.node("n1")?;
        let bed = Self { testbed, node };
        std::fs::copy(bed.testbed.kubeconfig(), bed.node.path_of(KUBECONFIG))?;
        bed.switch().await?;
        let cluster = bed.testbed.cluster().await?;
        let namespace =
            json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE}});
        cluster.apply(&namespace.to_string()).await?;
        for guest in [&RED, &BLUE] {
            cluster.apply(&guest.seed().to_string()).await?;
            cluster.apply(&guest.object().to_string()).await?;
            bed.plug(guest).await?;
        }
        Ok(bed)
    }

    /// Runs a command on the node.
    pub async fn run(&self, line: &str) -> Result<String> {
        // The one quoted word that there may be is the last.
        match line.split_once('\'') {
            None => self.node.exec(line.split_whitespace()).await,
            Some((before, quoted)) => {
                let quoted = quoted.trim_end_matches('\'');
                let words = before.split_whitespace().chain([quoted]);
                self.node.exec(words).await
            }
        }
    }

    /// Runs a command in a guest.
    pub async fn within(&self, guest: &Guest, line: &str) -> Result<String> {
        let words: Vec<&str> = line.split_whitespace().collect();
        self.within_words(guest, &words).await
    }

    /// The same with words that have spaces in them.
    pub async fn within_words(&self, guest: &Guest, words: &[&str]) -> Result<String> {
        let enter = ["ip", "netns", "exec", guest.name];
        self.node.exec(enter.iter().chain(words).copied()).await
    }

    /// Starts a command in a guest and waits for its first line.
    pub async fn start(&self, guest: &Guest, words: &[&str]) -> Result<Child> {
        let enter = ["ip", "netns", "exec", guest.name];
        let mut command = self.node.command(enter.iter().chain(words).copied())?;
        let mut child = command.stdout(Stdio::piped()).kill_on_drop(true).spawn()?;
        let output = child.stdout.take().context("it was piped")?;
        let line = BufReader::new(output).lines().next_line().await?;
        ensure!(line.is_some(), "{words:?} ended without a word");
        Ok(child)
    }

    /// What a guest is told at a path.
    pub async fn get(&self, guest: &Guest, path: &str) -> Result<String> {
        self.curl(guest, "", path).await
    }

    /// The same with more options.
    pub async fn curl(&self, guest: &Guest, options: &str, path: &str) -> Result<String> {
        let line = format!(
            "curl --silent --show-error --fail --max-time 5 {options} http://169.254.169.254{path}"
        );
        self.within(guest, &line).await
    }

    /// The status of HTTP that it gets.
    pub async fn status(&self, guest: &Guest, path: &str) -> Result<String> {
        self.status_with(guest, "", path).await
    }

    /// The same with more options.
    pub async fn status_with(&self, guest: &Guest, options: &str, path: &str) -> Result<String> {
        let line = format!(
            "curl --silent --max-time 5 --output /dev/null --write-out %{{http_code}} {options} http://169.254.169.254{path}"
        );
        self.within(guest, &line).await
    }

    /// Makes the service run, and flows that let each guest reach it.
    pub async fn serve(&self) -> Result<()> {
        let binary = env!("CARGO_BIN_EXE_kilonova");
        let start = format!(
            "setsid sh -c 'echo $$ >{PID}; exec {binary} metadata --node-name n1' >>{LOG} 2>&1 </dev/null &"
        );
        let start = [
            "env".to_owned(),
            format!("KUBECONFIG={KUBECONFIG}"),
            "sh".to_owned(),
            "-c".to_owned(),
            start,
        ];
        self.node.exec(start).await?;
        let ready = wait_for("the service to be ready", SOON, async || {
            let asked = self.run("curl --silent --show-error --max-time 2 --write-out |%{http_code} http://127.0.0.1:8082/readyz");
            Ok(match asked.await {
                Ok(said) if said.ends_with("|200") => Seen::Wanted(()),
                Ok(said) => Seen::NotYet(said),
                Err(error) => Seen::NotYet(format!("{error:#}")),
            })
        });
        ready.await.with_context(|| self.log())?;
        self.flow(&RED).await?;
        self.flow(&BLUE).await
    }

    /// The process, as the node counts.
    pub async fn pid(&self) -> Result<String> {
        Ok(self.run(&format!("cat {PID}")).await?.trim().to_owned())
    }

    /// Signals the service and waits until it has ended.
    pub async fn kill(&self, signal: &str) -> Result<()> {
        let pid = self.pid().await?;
        self.run(&format!("kill -{signal} {pid}")).await?;
        wait_for("the service to end", SOON, async || {
            let is_there = self.run(&format!("test -e /proc/{pid}")).await.is_ok();
            Ok(Seen::when(!is_there, "it is there"))
        })
        .await
    }

    /// Lets a server's owner ask for tokens, as the operator would pass it on.
    pub async fn require_tokens(&self, guest: &Guest) -> Result<()> {
        let patch = json!({"spec": {"metadataTokens": "Required"}});
        let guests = self.guests().await?;
        let patch = Patch::Merge(&patch);
        guests
            .patch(guest.uid, &PatchParams::default(), &patch)
            .await?;
        Ok(())
    }

    /// Removes a guest from the cluster.
    pub async fn forget(&self, guest: &Guest) -> Result<()> {
        self.guests()
            .await?
            .delete(guest.uid, &DeleteParams::default())
            .await?;
        Ok(())
    }

    /// Asks as red from a NIC of red's network that is not red's.
    pub async fn thief(&self) -> Result<Result<String>> {
        let thief = Guest {
            name: "thief",
            mac: "02:00:00:00:00:66",
            ..RED
        };
        self.plug(&thief).await?;
        let (port, device) = ("v-thief", RED.device());
        for flow in [
            format!("priority=9,in_port={port},actions=output:{device}"),
            // Worse than a switch: every answer is seen by both.
            format!("priority=9,in_port={device},actions=output:v-red,output:{port}"),
        ] {
            self.node
                .exec(["ovs-ofctl", "add-flow", "br-int", &flow])
                .await?;
        }
        Ok(self.get(&thief, "/latest/user-data").await)
    }

    /// Ends the switch's daemon and starts another.
    pub async fn restart_switch(&self) -> Result<()> {
        self.run("ovs-appctl --target ovs-vswitchd exit").await?;
        wait_for("ovs-vswitchd to end", SOON, async || {
            let is_there = self
                .run("test -e /run/openvswitch/ovs-vswitchd.pid")
                .await
                .is_ok();
            Ok(Seen::when(!is_there, "it is there"))
        })
        .await?;
        self.run("ovs-vswitchd --detach --pidfile --log-file")
            .await
            .map(drop)
    }

    /// What the service says of itself.
    pub fn log(&self) -> String {
        let log = std::fs::read_to_string(self.node.path_of(LOG)).unwrap_or_default();
        format!("the service's log:\n{log}")
    }

    async fn guests(&self) -> Result<Api<GuestObject>> {
        Ok(Api::namespaced(self.testbed.client().await?, NAMESPACE))
    }

    /// A switch of the test's own, without OVN, which would put its flows in place of the test's.
    async fn switch(&self) -> Result<()> {
        for part in ["ovn-controller", "ovs-vswitchd", "ovsdb-server"] {
            let part = self.testbed.part(&format!("{}/{part}", self.node.name()))?;
            part.kill9().await?;
        }
        for line in [
            "mkdir -p /run/openvswitch /var/log/openvswitch",
            "ovsdb-tool create /run/openvswitch/conf.db /usr/share/openvswitch/vswitch.ovsschema",
            "ovsdb-server --detach --pidfile --log-file --remote=punix:/run/openvswitch/db.sock /run/openvswitch/conf.db",
            "ovs-vsctl --no-wait init",
            "ovs-vswitchd --detach --pidfile --log-file",
            "ovs-vsctl --timeout=20 add-br br-int -- set bridge br-int datapath_type=netdev fail_mode=secure",
        ] {
            self.run(line).await?;
        }
        Ok(())
    }

    /// Makes a guest's namespace and plugs it in.
    async fn plug(&self, guest: &Guest) -> Result<()> {
        let Guest { name, mac, .. } = guest;
        for line in [
            format!("ip netns add {name}"),
            format!("ip link add v-{name} type veth peer name eth0 address {mac} netns {name}"),
            format!("ip link set v-{name} up"),
            format!("ovs-vsctl --timeout=20 add-port br-int v-{name}"),
            format!("ip -netns {name} address add 10.0.0.5/24 dev eth0"),
            format!("ip -netns {name} link set eth0 up"),
            format!("ip -netns {name} route add 169.254.169.254/32 dev eth0"),
            // The switch's userspace datapath takes no packets whose checksums are left to hardware.
            format!("ip netns exec {name} ethtool --offload eth0 tx off"),
        ] {
            self.run(&line).await?;
        }
        Ok(())
    }

    /// What OVN does for ports of type localport: a network's guest and its service, and nobody else.
    pub async fn flow(&self, guest: &Guest) -> Result<()> {
        let (port, device) = (format!("v-{}", guest.name), guest.device());
        let number = self
            .run(&format!("ovs-vsctl get interface {device} ofport"))
            .await?;
        ensure!(
            number.trim().parse::<u16>().is_ok(),
            "{device} has no port yet: {number}"
        );
        for (from, to) in [(&port, &device), (&device, &port)] {
            let flow = format!("in_port={from},actions=output:{to}");
            self.node
                .exec(["ovs-ofctl", "add-flow", "br-int", &flow])
                .await?;
        }
        Ok(())
    }
}
