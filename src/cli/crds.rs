//! `kilonova crds`: the custom resource definitions, for kubectl and for the repository's `crds/` folder.

use std::{fs, io::Write, path::PathBuf};

use anyhow::Context as _;

use crate::api;

/// Where to put the definitions.
#[derive(Debug, clap::Args)]
pub struct CrdsArguments {
    /// A folder that gets one file for each kind; it is made if it is not there. Default: everything goes to standard output.
    #[arg(long)]
    dir: Option<PathBuf>,
}

/// Prints or writes the definitions.
pub fn run(arguments: &CrdsArguments, output: &mut impl Write) -> anyhow::Result<()> {
    if let Some(dir) = &arguments.dir {
        fs::create_dir_all(dir)
            .with_context(|| format!("cannot make the folder {}", dir.display()))?;
    }
    for crd in api::crds()? {
        let page = serde_saphyr::to_string(&crd)?;
        match &arguments.dir {
            None => writeln!(output, "---\n{page}")?,
            Some(dir) => {
                let path = dir.join(format!("{}.yaml", crd.spec.names.plural));
                fs::write(&path, page)
                    .with_context(|| format!("cannot write {}", path.display()))?;
            }
        }
    }
    Ok(())
}
