//! Finds a PostgreSQL, or starts one.

use std::{os::unix::process::CommandExt as _, process::Command};

use anyhow::{Context as _, Result};

use crate::{arguments::Arguments, database::Engine, server_binary};

const URL: &str = "POINTSMAN_TEST_POSTGRES_URL";

/// The URL of the PostgreSQL to measure on; `None` if no scenario needs it. If the environment does not name one, this
/// process is replaced by `scripts/with-postgres`, which starts the program again with a private PostgreSQL.
pub(crate) fn url_or_start_again(arguments: &Arguments) -> Result<Option<String>> {
    if !arguments.engines().contains(&Engine::Postgres) {
        return Ok(None);
    }
    if let Ok(url) = std::env::var(URL) {
        return Ok(Some(url));
    }
    let script = server_binary::script("with-postgres");
    let error = Command::new(&script)
        .arg(std::env::current_exe()?)
        .args(std::env::args_os().skip(1))
        .exec();
    Err(error).with_context(|| script.display().to_string())
}
