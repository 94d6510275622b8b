//! Builds programs from pinned Go modules, once for each version, into the cache.
//!
//! The modules' `go.mod` and `go.sum` are part of this program, so every checksum is known beforehand. An
//! interrupted build leaves nothing that looks like a finished one: each binary is renamed into place when complete.

use std::path::{Path, PathBuf};
use std::process::Stdio;

use anyhow::{Context, Result, bail};
use tokio::io::{AsyncBufReadExt, BufReader};

use super::Tool;
use super::module::Module;
use crate::command::command;
use crate::lock::lock;
use crate::progress::{Progress, Step};

/// Builds programs of one module and returns the folder they are in.
pub(super) async fn build(module: &Module, tools: &[Tool], progress: &Progress) -> Result<PathBuf> {
    let folder = module.folder();
    std::fs::create_dir_all(&folder)
        .with_context(|| format!("failed to make {}", folder.display()))?;
    let _builder = lock(&folder.join("build.lock")).await?;
    for tool in tools {
        let target = folder.join(tool.name);
        if target.exists() {
            continue; // by another process, while this one waited for the lock
        }
        let step = progress.step(format!("building {} ({})", tool.name, module.key));
        let work = tempfile::tempdir_in(&folder).context("failed to make a build folder")?;
        std::fs::write(work.path().join("go.mod"), module.go_mod)?;
        std::fs::write(work.path().join("go.sum"), module.go_sum)?;
        if let Some(main) = module.main {
            std::fs::write(work.path().join("main.go"), main)?;
        }
        go_build(module, tool, work.path(), &step).await?;
        std::fs::rename(work.path().join(tool.name), &target)
            .with_context(|| format!("failed to rename {} into place", tool.name))?;
        step.done();
    }
    Ok(folder)
}

/// With `-v` Go prints a line for each package that it compiles; their count is the progress.
async fn go_build(module: &Module, tool: &Tool, work: &Path, step: &Step) -> Result<()> {
    let mut go = command([
        "go",
        "build",
        "-v",
        "-trimpath",
        "-mod=readonly",
        "-buildvcs=false",
    ]);
    go.args(["-ldflags", module.ldflags, "-tags", module.tags])
        .args(["-o", tool.name, tool.package])
        .current_dir(work)
        .env_remove("GOFLAGS")
        .env("GOWORK", "off")
        .env("CGO_ENABLED", if module.cgo { "1" } else { "0" })
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .kill_on_drop(true);
    let mut child = go.spawn().context(
        "failed to start `go`, which builds Kubernetes and what it needs. Install Go 1.26 or newer (https://go.dev/dl). \
         Without it there are only testbeds without pods, of the etcd, kube-apiserver, kube-controller-manager and \
         kubectl in a folder that KUBEBUILDER_ASSETS names: `cargo run -p devstack -- up --no-pods --kilonova PATH`",
    )?;
    let stderr = child
        .stderr
        .take()
        .context("the child has no standard error")?;
    let log_path = module.folder().join(format!("{}.build.log", tool.name));
    let mut log = Vec::new();
    let mut lines = BufReader::new(stderr).lines();
    let mut packages = 0_usize;
    while let Some(line) = lines
        .next_line()
        .await
        .context("failed to read go's output")?
    {
        if line.starts_with("go: downloading") {
            step.message(line.trim_start_matches("go: "));
        } else {
            packages += 1;
            step.message(format!("{packages} packages compiled, now {line}"));
        }
        log.push(line);
    }
    let status = child.wait().await.context("failed to wait for go")?;
    std::fs::write(&log_path, log.join("\n"))?;
    if !status.success() {
        bail!(
            "building {} failed ({status}); go said last:\n{}\nThe whole log: {}\nWhat to do: check that `go version` \
             is 1.26 or newer and that the Go module proxy (`go env GOPROXY`) can be reached, and start again: what \
             was compiled is kept.",
            tool.name,
            log[log.len().saturating_sub(10)..].join("\n"),
            log_path.display()
        );
    }
    Ok(())
}
