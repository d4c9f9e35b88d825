//! A folder for the files of a run.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use pointsman_clock::Clock;

/// A folder that is removed when this is dropped.
#[derive(Debug)]
pub(crate) struct TemporaryFolder(PathBuf);

impl TemporaryFolder {
    pub(crate) fn make_in(parent: &Path) -> Result<Self> {
        let path = parent.join(format!("run-{}", Clock.new_uuid().simple()));
        std::fs::create_dir_all(&path).with_context(|| path.display().to_string())?;
        Ok(Self(std::fs::canonicalize(&path)?))
    }

    pub(crate) fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for TemporaryFolder {
    fn drop(&mut self) {
        // Files that are left do not disturb a later run.
        let _ = std::fs::remove_dir_all(&self.0);
    }
}
