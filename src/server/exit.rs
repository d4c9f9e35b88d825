//! How the process of a host ends: its exit code, and one line on standard error that says why.
//!
//! | exit code | standard error | the process |
//! | --- | --- | --- |
//! | 0 | | was told to stop by SIGTERM, SIGINT or SIGQUIT, and has stopped in order; also before it had started |
//! | 1 | `pointsman: ` and the reason | has failed while it ran: a service manager should start it again |
//! | 2 | `pointsman: ` and the reason | could not start, mostly because somebody has to correct something first |
//!
//! `docs/operations.md` has the lines, and what to do. [`run`] is all that the `main` of a host needs.

use std::{error::Error, io, process::ExitCode};

use super::{Server, StartError, logging};

/// The exit code of a process that could not start, as for a wrong command line.
const CANNOT_START: u8 = 2;

/// Runs the server that `start` gives until it ends, as [`Server::run`] does, and returns the exit code of the process.
/// Where `start` or the server fails, the reason is printed. Where `start` fails after the server has begun to listen,
/// the process ends as after a kill: what was acknowledged is delivered after its next start. Call it within an actix
/// `System`.
///
/// ```no_run
/// use std::{error::Error, process::ExitCode};
///
/// use pointsman::{
///     Server,
///     config::Config,
///     server::exit,
/// };
///
/// #[actix_web::main]
/// async fn main() -> ExitCode {
///     exit::run(start()).await
/// }
///
/// async fn start() -> Result<Server, Box<dyn Error>> {
///     let server = Server::builder(Config::load(None)?).start().await?;
///     // What the host does before clients are welcomed.
///     Ok(server)
/// }
/// ```
pub async fn run(start: impl Future<Output = Result<Server, Box<dyn Error>>>) -> ExitCode {
    match start.await {
        Ok(server) => ended(server.run().await),
        Err(error) => cannot_start(&*error),
    }
}

/// Prints why the process cannot start, and returns exit code 2.
///
/// ```
/// use std::process::ExitCode;
///
/// use pointsman::{config::Config, server::exit};
///
/// let Err(error) = Config::from_sources(Some("[server]\nport = \"abc\""), []) else { panic!("it is no number") };
/// assert_eq!(exit::cannot_start(&error), ExitCode::from(2));
/// ```
pub fn cannot_start(error: &(dyn Error + 'static)) -> ExitCode {
    if matches!(error.downcast_ref(), Some(StartError::Stopped)) {
        log::info!("{error}");
        return ended(Ok(()));
    }
    logging::say_last(&format!("pointsman: {error}"));
    ExitCode::from(CANNOT_START)
}

/// Returns exit code 0, or prints why the process has ended by itself, and returns exit code 1.
///
/// ```
/// use std::{io, process::ExitCode};
///
/// use pointsman::server::exit;
///
/// assert_eq!(exit::ended(Ok(())), ExitCode::SUCCESS);
/// assert_eq!(exit::ended(Err(io::Error::other("the HTTP server has ended by itself"))), ExitCode::from(1));
/// ```
pub fn ended(result: io::Result<()>) -> ExitCode {
    match result {
        Ok(()) => {
            logging::flush();
            ExitCode::SUCCESS
        }
        Err(error) => {
            logging::say_last(&format!("pointsman: {error}"));
            ExitCode::FAILURE
        }
    }
}
