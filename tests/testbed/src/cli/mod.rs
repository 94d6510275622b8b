//! The command line: which subcommands there are and what each asks of the library.

mod bench;
mod image;
mod logs;
pub mod output;
mod status;
mod up;

use std::os::unix::process::CommandExt;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, Result};
use clap::{Args, Parser, Subcommand};
use testbed::{
    Pod, Progress, SYSTEM_NAMESPACE, Seen, Testbed, guardian, layout, outside, prepare, teardown,
    wait_for,
};

const REPLACED_DEADLINE: Duration = Duration::from_mins(1);

/// A whole Kilonova cloud on this machine: control plane, hypervisor nodes, operator and agents.
#[derive(Debug, Parser)]
#[command(name = "devstack", version)]
pub struct Arguments {
    /// Which testbed; several run side by side.
    #[arg(long, global = true, default_value = layout::DEFAULT_NAME, env = "DEVSTACK_NAME")]
    name: String,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Installs and builds what the others need (packages, Kubernetes, guest images, kilonova); runs nothing.
    Prepare(Profile),
    /// Makes Kilonova's container image, as an OCI archive; needs no container engine.
    Image(image::Image),
    /// Makes the testbed run. A second time it only repairs what does not run, or is not as it should be.
    Up(up::Up),
    /// Removes the testbed without a trace.
    Down {
        /// Remove every testbed of this machine.
        #[arg(long)]
        all: bool,
    },
    /// Shows what runs.
    Status {
        /// How to print it.
        #[arg(short, long, value_enum, default_value_t)]
        output: status::Format,
    },
    /// Prints the path of the administrator's kubeconfig.
    Kubeconfig {
        /// Print the kubeconfig itself.
        #[arg(long)]
        raw: bool,
    },
    /// Runs a command in a node, or outside, and passes its exit code on.
    Exec {
        /// The node, such as n1; or `outside`, which plays what lies beyond the cloud.
        node: String,
        /// The command and its arguments.
        #[arg(last = true, required = true)]
        words: Vec<String>,
    },
    /// Prints the log of a part; without a name, the names.
    Logs(logs::Logs),
    /// Measures Kilonova on this testbed.
    Bench(bench::Bench),
    /// Stops a part and starts it again with the same arguments. A node's name boots the whole node anew; a pod is
    /// deleted, so that another takes its place.
    Restart {
        /// The part, such as kube-apiserver, operator or n1/agent, or a node.
        who: String,
    },
    /// Kills a part (SIGKILL). A node's name takes its power away; what is killed in a pod is started by its kubelet.
    Kill {
        /// The part, such as etcd, operator or n1/agent, or a node.
        who: String,
    },
    /// Waits for the end of its standard input, then removes the testbed.
    #[command(name = guardian::COMMAND, hide = true)]
    Guard,
}

#[derive(Debug, Args)]
struct Profile {
    /// Build kilonova with optimisation.
    #[arg(long)]
    release: bool,
}

impl Arguments {
    /// Does what was asked for.
    pub async fn run(self) -> Result<ExitCode> {
        let Self { name, command } = self;
        match command {
            Command::Prepare(profile) => {
                prepare::prepare(profile.release, &Progress::new()).await?;
            }
            Command::Image(arguments) => arguments.run().await?,
            Command::Up(arguments) => arguments.run(&name).await?,
            Command::Down { all } => down(&name, all).await?,
            Command::Status { output } => status::print(&Testbed::open(&name)?, output).await?,
            Command::Kubeconfig { raw } => kubeconfig(&Testbed::open(&name)?, raw)?,
            Command::Exec { node, words } => exec(&Testbed::open(&name)?, &node, words)?,
            Command::Logs(arguments) => arguments.run(&Testbed::open(&name)?).await?,
            Command::Bench(arguments) => return arguments.run(&Testbed::open(&name)?).await,
            Command::Restart { who } => restart(&Testbed::open(&name)?, &who).await?,
            Command::Kill { who } => kill(&Testbed::open(&name)?, &who).await?,
            Command::Guard => guardian::guard(&name).await?,
        }
        Ok(ExitCode::SUCCESS)
    }
}

async fn down(name: &str, all: bool) -> Result<()> {
    let progress = Progress::new();
    let names = if all {
        layout::testbeds()?
    } else {
        vec![name.to_owned()]
    };
    for name in names {
        let step = progress.step(format!("removing testbed {name}"));
        teardown::down(&name).await?;
        step.done();
    }
    Ok(())
}

fn kubeconfig(testbed: &Testbed, raw: bool) -> Result<()> {
    let path = testbed.kubeconfig();
    if raw {
        output::line(std::fs::read_to_string(&path).with_context(|| path.display().to_string())?);
    } else {
        output::line(path.display());
    }
    Ok(())
}

/// Becomes the command, so that terminal, signals and exit code are the command's own.
fn exec(testbed: &Testbed, node: &str, words: Vec<String>) -> Result<()> {
    let mut command = match node {
        outside::NAME => testbed.outside().command(words)?,
        _ => testbed.node(node)?.command(words)?,
    };
    Err(command.as_std_mut().exec()).context("failed to enter the node")
}

async fn restart(testbed: &Testbed, who: &str) -> Result<()> {
    if who == outside::NAME {
        return testbed.outside().restart().await;
    }
    if let Ok(node) = testbed.node(who) {
        node.power_off().await?;
        return testbed.boot(who).await;
    }
    match testbed.pod(who).await? {
        Some(pod) => replace(testbed, &pod).await,
        None => testbed.part(who)?.restart().await,
    }
}

/// Deletes a pod and waits until another runs in its place.
async fn replace(testbed: &Testbed, pod: &Pod) -> Result<()> {
    let before = testbed.programs().await?.len();
    let cluster = testbed.cluster().await?;
    let pods = ["--namespace", SYSTEM_NAMESPACE, "pod", &pod.name];
    let delete = [&["delete", "--timeout=1m"][..], &pods].concat();
    let deleted = cluster.kubectl(&delete, "").await;
    deleted.with_context(|| {
        let (pod, node) = (&pod.name, &pod.node);
        format!("pod {pod} does not go; does node {node} run?")
    })?;
    wait_for("another pod in its place", REPLACED_DEADLINE, async || {
        let now = testbed.programs().await?;
        Ok(Seen::when(now.len() >= before, format!("{now:?}")))
    })
    .await
}

async fn kill(testbed: &Testbed, who: &str) -> Result<()> {
    if let Ok(node) = testbed.node(who) {
        return node.power_off().await;
    }
    match testbed.pod(who).await? {
        Some(pod) => pod.kill9().await,
        None => testbed.part(who)?.kill9().await,
    }
}
