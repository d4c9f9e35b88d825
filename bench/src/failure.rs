//! How the program reports that it has failed.

use std::process::ExitCode;

#[expect(clippy::print_stderr, reason = "the error is for the terminal")]
pub(crate) fn failed(error: &anyhow::Error) -> ExitCode {
    eprintln!("pointsman-bench: {error:#}");
    ExitCode::FAILURE
}
