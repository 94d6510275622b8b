//! `kilonova agent`.
use super::Common;
/// How the agent runs.
#[derive(Debug, clap::Args)]
pub struct AgentArguments {
    #[command(flatten)]
    pub(super) common: Common,
}
/// Runs until it is asked to stop.
pub async fn run(_arguments: AgentArguments) -> anyhow::Result<()> {
    Ok(())
}
