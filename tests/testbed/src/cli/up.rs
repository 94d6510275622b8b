//! `devstack up`: the whole cloud, and a word about what to try next.

use std::path::PathBuf;

use anyhow::{Context, Result};
use clap::Args;
use testbed::{Progress, Testbed, examples, layout, prepare};

use super::{output, status};

#[derive(Debug, Args)]
pub struct Up {
    /// How many hypervisor nodes. A testbed that has more keeps them.
    #[arg(long, default_value_t = 2)]
    nodes: u8,
    /// Do not apply examples/quickstart.yaml.
    #[arg(long)]
    no_examples: bool,
    /// A kilonova binary to run instead of building this workspace's.
    #[arg(long, conflicts_with = "no_kilonova")]
    kilonova: Option<PathBuf>,
    /// Only the cluster and the nodes: no CRDs, operator or agents (run your own).
    #[arg(long)]
    no_kilonova: bool,
    /// Nodes without kubelets; operator and agents as processes that can be killed and started by name, and no chart.
    #[arg(long)]
    no_pods: bool,
    #[command(flatten)]
    profile: super::Profile,
}

impl Up {
    /// Makes the testbed run.
    pub async fn run(self, name: &str) -> Result<()> {
        let progress = Progress::new();
        let mut builder = Testbed::builder(name)
            .nodes(self.nodes)
            .interruptible()
            .progress(progress.clone());
        if !self.no_pods {
            builder = builder.pods();
        }
        if let Some(binary) = self.kilonova {
            let context = || format!("there is no {}", binary.display());
            builder = builder.kilonova(binary.canonicalize().with_context(context)?);
        } else if !self.no_kilonova {
            builder = builder.kilonova(prepare::prepare(self.profile.release, &progress).await?);
        }
        let testbed = builder.up().await?;
        if !self.no_kilonova && !self.no_examples {
            examples::apply(&testbed, &progress).await?;
        }
        status::print(&testbed, status::Format::Table).await?;
        output::line(what_next(&testbed).await?);
        Ok(())
    }
}

async fn what_next(testbed: &Testbed) -> Result<String> {
    let kubeconfig = testbed.kubeconfig();
    let pods = if testbed.has_pods()? {
        "kubectl get pods -A\n  "
    } else {
        ""
    };
    // Where there is no Kilonova, there may be no OVN.
    let sockets = testbed.ovn().northbound_sockets().await.unwrap_or_default();
    // Last in the PATH: some have names that the machine has programs of its own for.
    Ok(format!(
        "\nTry next:\n  \
         export KUBECONFIG={} PATH=$PATH:{}\n  \
         {pods}\
         kubectl get servers -A -o wide\n  \
         kubectl get hypervisors\n  \
         kubectl explain server.spec\n  \
         OVN_NB_DB={} ovn-nbctl show\n  \
         {}\n  {}\n  {}",
        kubeconfig.display(),
        layout::TOOLS,
        sockets,
        testbed.devstack("exec n1 -- virsh list"),
        testbed.devstack("logs operator -f"),
        testbed.devstack("down"),
    ))
}
