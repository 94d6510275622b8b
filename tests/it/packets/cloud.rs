//! A tenant with networks: objects by manifests as users write them, and guests that can be asked.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::ops::Deref;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use futures::future::try_join_all;
use kilonova::api::server::{Placement, Server, ServerNetwork, ServerSpec, ServerState};
use kilonova::api::value::Reference;
use testbed::guest_console::Running;
use testbed::{Seen, Testbed, wait_for};

use crate::shared::{GuestOnNode, Project, SOON};

/// How long guests of one test may take to be up, all together.
const BOOT: Duration = Duration::from_mins(5);

/// The network outside that every test may use; made once, and stays.
pub const OUTSIDE: &str = "
apiVersion: v1
kind: Namespace
metadata: {name: public}
---
apiVersion: kilonova.dev/v1alpha1
kind: Network
metadata: {name: internet, namespace: public}
spec: {provider: {physicalNetwork: public}, external: true, sharedWith: ['*']}
---
apiVersion: kilonova.dev/v1alpha1
kind: Subnet
metadata: {name: internet-v4, namespace: public}
spec: {network: internet, cidr: 192.0.2.0/24, gateway: 192.0.2.1, dhcp: false, pools: [{start: 192.0.2.100, end: 192.0.2.199}]}
";

/// A project with networks.
pub struct Tenant(Project<'static>);

impl Deref for Tenant {
    type Target = Project<'static>;

    fn deref(&self) -> &Self::Target {
        &self.0
    }
}

/// A guest with a network, and how it is called.
#[derive(Clone, Debug)]
pub struct Guest {
    /// Its server's name.
    pub name: String,
    /// Where it is.
    pub on: GuestOnNode,
    /// Its addresses as its server tells them, in the order of its NICs.
    pub addresses: Vec<IpAddr>,
    /// Its NICs' MAC addresses, the same.
    pub macs: Vec<String>,
}

impl Guest {
    /// Its first address of IPv4.
    pub fn v4(&self) -> IpAddr {
        self.addresses
            .iter()
            .copied()
            .find(IpAddr::is_ipv4)
            .expect("the test's networks have IPv4")
    }

    /// Its first address of IPv6.
    pub fn v6(&self) -> IpAddr {
        self.addresses
            .iter()
            .copied()
            .find(IpAddr::is_ipv6)
            .expect("the test's network has IPv6")
    }

    /// Runs a command in it that must succeed, and returns what it said.
    pub async fn run(&self, command: &str) -> Result<String> {
        let output = self.on.exec(command, SOON).await;
        let output = output.with_context(|| format!("in guest {}: {command}", self.name))?;
        let said = output.success();
        said.with_context(|| format!("in guest {}: {command}", self.name))
    }

    /// Starts a command in it that goes on, for ten minutes at most.
    pub async fn start(&self, command: &str) -> Result<Running> {
        let running = self.on.spawn(command, SOON * 10).await;
        running.with_context(|| format!("in guest {}: {command}", self.name))
    }

    /// Starts a server in it, and waits until it serves.
    pub async fn serve(&self, command: &str) -> Result<Running> {
        let server = self.start(command).await?;
        server.wait_says("serving").await?;
        Ok(server)
    }

    /// Starts to write down for so many seconds what arrives at its first NIC, as far as it has this word.
    pub async fn capture(&self, seconds: u32, word: &str) -> Result<Running> {
        let running = self
            .start(&format!("nettool capture eth0 {seconds} {word}"))
            .await?;
        running.wait_says("capturing").await?;
        Ok(running)
    }

    /// Runs a command in it, and returns whether it succeeded.
    pub async fn try_run(&self, command: &str) -> Result<bool> {
        let output = self.on.exec(command, SOON).await;
        let output = output.with_context(|| format!("in guest {}: {command}", self.name))?;
        Ok(output.code == 0)
    }

    /// Waits until a command in it succeeds; how long that took, and what it said.
    pub async fn until(&self, command: &str, deadline: Duration) -> Result<(Duration, String)> {
        let began = Instant::now();
        let what = format!("guest {} to succeed with {command:?}", self.name);
        let said = wait_for(&what, deadline, async || {
            let output = self.on.exec(command, SOON).await?;
            Ok(if output.code == 0 {
                Seen::Wanted(output.stdout)
            } else {
                Seen::NotYet(format!("{output:?}"))
            })
        })
        .await?;
        Ok((began.elapsed(), said))
    }

    /// Waits until a command in it fails; how long that took.
    pub async fn until_not(&self, command: &str, deadline: Duration) -> Result<Duration> {
        let began = Instant::now();
        let what = format!("guest {} to fail with {command:?}", self.name);
        wait_for(&what, deadline, async || {
            let output = self.on.exec(command, SOON).await?;
            Ok(if output.code == 0 {
                Seen::NotYet(output.stdout)
            } else {
                Seen::Wanted(())
            })
        })
        .await?;
        Ok(began.elapsed())
    }
}

impl Tenant {
    /// A project on a testbed, and the network outside.
    pub async fn on(testbed: &'static Testbed) -> Result<Self> {
        let cluster = testbed.cluster().await?;
        cluster
            .kubectl(&["apply", "--server-side", "-f", "-"], OUTSIDE)
            .await?;
        Ok(Self(Project::on(testbed).await?))
    }

    /// Applies manifests in the project; the group and version go without saying.
    pub async fn apply(&self, manifests: &str) -> Result<String> {
        let whole = manifests
            .trim()
            .split("\n---\n")
            .map(|one| format!("apiVersion: kilonova.dev/v1alpha1\n{one}"))
            .collect::<Vec<_>>()
            .join("\n---\n");
        let cluster = self.testbed.cluster().await?;
        let words = ["apply", "-n", &self.name, "--server-side", "-f", "-"];
        cluster.kubectl(&words, &whole).await
    }

    /// Runs kubectl in the project.
    pub async fn kubectl(&self, words: &[&str]) -> Result<String> {
        let cluster = self.testbed.cluster().await?;
        let words = [&["-n", &self.name], words].concat();
        cluster.kubectl(&words, "").await
    }

    /// Waits until an object, `kind/name`, is Ready.
    pub async fn ready(&self, object: &str) -> Result<()> {
        let words = ["wait", object, "--for=condition=Ready", "--timeout=60s"];
        match self.kubectl(&words).await {
            Ok(_) => Ok(()),
            Err(error) => {
                let status = self.kubectl(&["get", object, "-o", "yaml"]).await;
                Err(error.context(format!("{status:?}")))
            }
        }
    }

    /// A network with a subnet of IPv4, and one of IPv6 if `v6` is given, and a router that joins them with the outside.
    pub async fn network(&self, name: &str, v4: &str, v6: Option<&str>) -> Result<()> {
        let subnet = |family: &str, cidr: &str| {
            format!(
                "\n---\nkind: Subnet\nmetadata: {{name: {name}-{family}}}\nspec: {{network: {name}, cidr: '{cidr}', dns: [192.0.2.1]}}"
            )
        };
        let interface = |family: &str| format!("{{subnet: {name}-{family}}}");
        let whole = format!("kind: Network\nmetadata: {{name: {name}}}\nspec: {{}}");
        let mut manifests = vec![whole + &subnet("v4", v4)];
        let mut interfaces = vec![interface("v4")];
        if let Some(v6) = v6 {
            manifests.push(subnet("v6", v6).replace("dns: [192.0.2.1]", "dns: []"));
            interfaces.push(interface("v6"));
        }
        let interfaces = interfaces.join(", ");
        manifests.push(format!(
            "\n---\nkind: Router\nmetadata: {{name: {name}}}\nspec: {{externalGateway: {{network: public/internet}}, interfaces: [{interfaces}]}}"
        ));
        let manifests = manifests.concat();
        self.apply(&manifests).await?;
        self.ready(&format!("router/{name}")).await
    }

    /// Asks for a server with NICs on these networks, on this node.
    pub async fn plug(
        &self,
        name: &str,
        node: &str,
        networks: &[&str],
        change: impl FnOnce(&mut ServerSpec),
    ) -> Result<Server> {
        self.make(name, |spec| {
            let node_selector = [("kubernetes.io/hostname".to_owned(), node.to_owned())].into();
            spec.placement = Some(Placement { node_selector });
            spec.networks = networks.iter().map(|name| on(name)).collect();
            change(spec);
        })
        .await
    }

    /// Waits until a server is Ready and its guest uses all its addresses.
    pub async fn guest(&self, name: &str) -> Result<Guest> {
        let server = self.wait(name, "to be Ready and up", BOOT, |server| {
            crate::shared::condition_of(server, "Ready").is_some_and(|ready| ready.status == "True")
                && server.status.as_ref().and_then(|status| status.state)
                    == Some(ServerState::Active)
        });
        let server = server.await?;
        let on = GuestOnNode::of(self.testbed, &server)?;
        on.wait_up(1).await?;
        let told = &server.status.as_ref().context("it has a status")?.addresses;
        let mut macs: Vec<String> = told.iter().map(|one| one.mac.to_string()).collect();
        macs.dedup();
        let guest = Guest {
            name: name.to_owned(),
            on,
            addresses: told.iter().map(|one| one.ip).collect(),
            macs,
        };
        ensure!(
            !guest.addresses.is_empty(),
            "{name} has no address: {server:?}"
        );
        for address in &guest.addresses {
            let has = format!("ip addr | grep -F ' {address}/' | grep -v tentative");
            guest.until(&has, SOON).await?;
        }
        Ok(guest)
    }

    /// The guests of these servers, by name.
    pub async fn guests(&self, names: &[&str]) -> Result<BTreeMap<String, Guest>> {
        let guests = names.iter().map(async |name| {
            let guest = self.guest(name).await?;
            anyhow::Ok(((*name).to_owned(), guest))
        });
        Ok(try_join_all(guests).await?.into_iter().collect())
    }
}

/// How many frames a capture has seen, and which.
pub async fn captured(capture: Running) -> Result<(usize, String)> {
    let said = capture.finish().await?.success()?;
    let last = said.trim_end().rsplit('\n').next().unwrap_or_default();
    let count = last
        .strip_suffix(" frames")
        .and_then(|count| count.parse().ok());
    let count = count.with_context(|| format!("a capture ended so: {said}"))?;
    Ok((count, said))
}

/// A NIC on a network.
pub fn on(network: &str) -> ServerNetwork {
    ServerNetwork {
        network: Some(Reference::new(network)),
        port: None,
        name: None,
        addresses: Vec::new(),
        security_groups: None,
    }
}
