//! A host.
pub(crate) const COMMAND: &str = "serve-host";
pub(crate) fn run() -> anyhow::Result<()> {
    Ok(())
}
