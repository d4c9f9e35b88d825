//! The server that is measured.

use std::{
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context as _, Result, bail};

use crate::progress;

const WORKSPACE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/..");

/// The server at this path. Without a path, the server of this source, which is built first so that it is never stale.
pub(crate) fn find(given: Option<&Path>) -> Result<PathBuf> {
    if let Some(path) = given {
        return std::fs::canonicalize(path).with_context(|| path.display().to_string());
    }
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let target = target_folder()?;
    progress::line("building the server; this takes minutes if its source has changed");
    let status = Command::new(cargo)
        .current_dir(WORKSPACE)
        .args([
            "build",
            "--quiet",
            "--release",
            "-p",
            "pointsman",
            "--bin",
            "pointsman",
            "--target-dir",
        ])
        .arg(&target)
        .status()
        .context("cargo cannot be started; name a server with --server")?;
    if !status.success() {
        bail!("the server cannot be built");
    }
    Ok(target.join("release").join("pointsman"))
}

/// The target folder that has this program. If the program is elsewhere, the default target folder.
pub(crate) fn target_folder() -> Result<PathBuf> {
    let program = std::env::current_exe()?;
    let profile = program.parent().filter(|folder| folder.ends_with("release"));
    let target = profile.and_then(Path::parent).map(Path::to_owned);
    Ok(target.unwrap_or_else(|| Path::new(WORKSPACE).join("target")))
}

/// A script of the repository.
pub(crate) fn script(name: &str) -> PathBuf {
    Path::new(WORKSPACE).join("scripts").join(name)
}
