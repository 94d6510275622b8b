//! Programs of this workspace that go into a guest image: static, so that the guest needs no libraries.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use sha2::{Digest, Sha256};

use super::recipe::hexadecimal;
use crate::kilonova::binary::{Program, build_for_guests, workspace};

/// Which program.
#[derive(Clone, Copy, Debug)]
pub(super) enum GuestProgram {
    /// Commands over the serial console, packets, and what busybox has not.
    Nettool,
}

impl GuestProgram {
    /// What its file is called.
    pub fn name(self) -> &'static str {
        match self {
            Self::Nettool => "nettool",
        }
    }

    /// Changes with all that is its own in the workspace; not with versions of others' crates, for the same reason as
    /// with Debian's packages.
    pub fn digest(self) -> Result<String> {
        let folder = workspace().join("tests").join(self.name());
        let mut digest = Sha256::new();
        for path in files(&folder)? {
            let content = fs::read(&path);
            let content = content.with_context(|| format!("failed to read {}", path.display()))?;
            let name = path.strip_prefix(&folder).unwrap_or(&path);
            digest.update(format!("{} {}\n", name.display(), content.len()));
            digest.update(content);
        }
        Ok(hexadecimal(&digest.finalize()))
    }

    /// Builds it now if need be, and puts it into a folder.
    pub async fn lay_out(self, folder: &Path) -> Result<()> {
        let Self::Nettool = self;
        let program = build_for_guests(Program::Nettool).await?;
        let copied = tokio::fs::copy(&program, folder.join(self.name())).await;
        copied.with_context(|| format!("failed to copy {}", program.display()))?;
        Ok(())
    }
}

/// All files below a folder, in one order.
fn files(folder: &Path) -> Result<Vec<PathBuf>> {
    let context = || format!("failed to list {}", folder.display());
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).with_context(context)? {
        let path = entry.with_context(context)?.path();
        if path.is_dir() {
            found.extend(files(&path)?);
        } else {
            found.push(path);
        }
    }
    found.sort();
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_source_counts() {
        let found = files(&workspace().join("tests/nettool")).unwrap();
        for name in ["Cargo.toml", "src/main.rs", "src/packet/forge.rs"] {
            assert!(found.iter().any(|path| path.ends_with(name)), "{name}");
        }
        let digest = GuestProgram::Nettool.digest().unwrap();
        assert_eq!(digest.len(), 64);
    }
}
