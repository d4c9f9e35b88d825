//! A server: from a configuration to one that runs, and its ordered stop.
//!
//! [`Server::builder`] begins a server with extensions, and [`exit::run`] is the `main` of its process.
//! [`RouterBuilder`] begins a router without the HTTP interface. [`mod@router`] has what a host needs that publishes
//! without HTTP. [`admin`] changes a database that no server uses,
//! [`care`] backs up, restores and checks one.
//!
//! ```
//! use pointsman::{Server, config::Config};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let folder = std::env::temp_dir().join(format!("pointsman-doc-server-module-{}", std::process::id()));
//! # let file = format!("[server]\nport = 0\n[database]\nurl = \"sqlite://{}/test.db\"", folder.display());
//! let config = Config::from_sources(Some(&file), [])?;
//! # actix_web::rt::System::new().block_on(async {
//! let server = Server::builder(config).start().await?;
//! println!("the API is at http://{}/api", server.address());
//! # // The signal is kept for `run`, which stops at once.
//! # std::process::Command::new("sh").args(["-c", "kill -TERM $PPID"]).status()?;
//! server.run().await?; // until SIGTERM, SIGINT or SIGQUIT
//! # std::fs::remove_dir_all(folder)?;
//! # Ok(())
//! # })
//! # }
//! ```

pub mod admin;
mod builder;
pub mod care;
pub mod exit;
mod limits;
mod listener;
pub mod logging;
mod opening;
mod preflight;
pub mod router;
mod settings;
mod start_error;
mod stop_signals;
mod welcome;

use std::{
    io,
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use actix_web::{
    dev::ServerHandle,
    rt::task::{JoinError, JoinHandle},
    web,
};
use tokio::time::timeout;

pub(crate) use self::settings::journal_settings;
pub use self::{
    builder::{RouterBuilder, ServerBuilder},
    start_error::StartError,
};
use self::{
    limits::Limits,
    listener::{listen, listen_error},
    settings::{
        connection_settings, http_settings, master_key, router_settings, wanted, warn_of_no_effect,
        warn_of_shared_key, with_key,
    },
    stop_signals::StopSignals,
};
use crate::http::{
    connections::{Connections, client_service},
    state::AppState,
};
use pointsman_auth::bootstrap::{self, Bootstrapped};
use pointsman_clock::Clock;
use pointsman_config::Config;
use pointsman_engine::EventRouter;
use pointsman_extension::Extensions;

/// The longest time for requests that are being answered when the server is told to stop. Publishes are refused from
/// then on, so that only slow readers need this time.
const HTTP_GRACE: Duration = Duration::from_secs(2);

/// A server that accepts requests. Dropping it does not stop it in order: [`Server::run`] does. Its settings are
/// [`Config`], of which [`config::Server`](crate::config::Server) is a section.
///
/// ```
/// use pointsman::{Server, config::Config};
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let folder = std::env::temp_dir().join(format!("pointsman-doc-server-{}", std::process::id()));
/// # let file = format!("[server]\nport = 0\n[database]\nurl = \"sqlite://{}/test.db\"", folder.display());
/// let config = Config::from_sources(Some(&file), [])?;
/// # actix_web::rt::System::new().block_on(async {
/// let server = Server::builder(config).without_welcome().start().await?;
/// assert_ne!(server.address().port(), 0, "0 was configured, and a free port is taken");
/// assert!(server.router().extensions().get("chat").is_some(), "every server has the chat");
/// # std::process::Command::new("sh").args(["-c", "kill -TERM $PPID"]).status()?;
/// server.run().await?;
/// # std::fs::remove_dir_all(folder)?;
/// # Ok(())
/// # })
/// # }
/// ```
pub struct Server {
    address: SocketAddr,
    router: EventRouter,
    bootstrapped: Option<Bootstrapped>,
    secure_cookies: bool,
    connections: Connections,
    http: ServerHandle,
    task: JoinHandle<io::Result<()>>,
    stop_signals: StopSignals,
    grace: Duration,
    /// Whether the welcome is still to be printed.
    welcomes: AtomicBool,
}

impl std::fmt::Debug for Server {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Server")
            .field("address", &self.address)
            .finish_non_exhaustive()
    }
}

impl Server {
    /// Opens the database, fills an empty one, starts the actors and listens.
    async fn start(config: &Config, extensions: Extensions, clock: Clock) -> Result<Self, StartError> {
        // First, because from here on a signal does not end the process at once, but is kept for `run`.
        let mut stop_signals = StopSignals::listen().map_err(StartError::Signals)?;
        let limits = Limits::raise(config)?;
        let listener = listen(config)?;
        let address = listener
            .local_addr()
            .map_err(|source| listen_error(config, source))?;
        let journal = journal_settings(config)?;
        let master_key = master_key(config)?;
        let journal = with_key(journal, config, &master_key);
        let settings = router_settings(config, &limits, &master_key, extensions, clock)?;
        let progress = Arc::clone(&journal.progress);
        let open = EventRouter::open(settings, journal, clock);
        let router = opening::answered(open, &listener, progress, &mut stop_signals).await?;
        warn_of_shared_key(config);
        let state = web::Data::new(AppState::new(
            router.clone(),
            &master_key,
            http_settings(config),
            clock,
        ));
        let bootstrapped = bootstrap::ensure(
            &router,
            &state.passwords,
            clock,
            wanted(config),
            welcome::announce,
        )
        .await?;
        let connections = Connections::new(connection_settings(config, &limits), clock);
        let served =
            serve(config, listener, state, &connections).map_err(|source| listen_error(config, source))?;
        limits.log(config);
        warn_of_no_effect(config);
        let http = served.handle();
        let task = actix_web::rt::spawn(served);
        let grace = config.server.shutdown_grace;
        Ok(Self {
            address,
            router,
            bootstrapped,
            secure_cookies: config.auth.secure_cookies,
            connections,
            http,
            task,
            stop_signals,
            grace,
            welcomes: AtomicBool::new(true),
        })
    }

    /// The router behind the HTTP interface.
    pub fn router(&self) -> &EventRouter {
        &self.router
    }

    /// The address that it listens on. Where port 0 is configured, it has the port that was taken.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Prints the address of the server and how to try it to standard output. It does so once, and not at all after
    /// [`ServerBuilder::without_welcome`]. [`Server::run`] begins with it.
    pub async fn welcome(&self) {
        if self.welcomes.swap(false, Ordering::SeqCst) {
            let door = welcome::Door {
                address: self.address,
                secure_cookies: self.secure_cookies,
            };
            welcome::print(door, &self.router, self.bootstrapped.as_ref()).await;
        }
    }

    /// Prints what [`Server::welcome`] prints, and runs until SIGTERM, SIGINT or SIGQUIT. A signal that has come since
    /// [`ServerBuilder::start`] began counts too; SIGHUP is logged and ignored. Then it stops in order: it refuses
    /// publishes, closes the connections, and finishes what is in flight, which is durable then. This takes at most
    /// `server.shutdown_grace` (30 s).
    ///
    /// # Errors
    /// When connections can no longer be accepted, or the journal has ended by itself, so that only a new process can
    /// continue. The server stops in order in these cases too.
    pub async fn run(mut self) -> io::Result<()> {
        self.welcome().await;
        let ended = tokio::select! {
            () = self.stop_signals.received() => Ok(()),
            ended = &mut self.task => Err(why_it_ended(ended)),
            () = self.router.journal_ended() => Err(io::Error::other(
                "the journal has ended by itself; what it has acknowledged is safe, start the server again",
            )),
        };
        log::info!("stopping: what is in flight is finished first");
        self.router.stop_accepting();
        if ended.is_ok() {
            self.stop_http().await;
        }
        self.router.stop(self.grace.saturating_sub(HTTP_GRACE)).await;
        log::info!("stopped");
        ended
    }

    /// Returns when the last client has its answer, or after [`HTTP_GRACE`]. The HTTP server itself checks only once a
    /// second whether its connections have ended, which is too long for a restart.
    async fn stop_http(&mut self) {
        self.connections.stop();
        let graceful = true;
        let stopped = self.http.stop(graceful);
        let grace = timeout(HTTP_GRACE, self.connections.all_closed());
        tokio::select! {
            () = stopped => {}
            answered = grace => if answered.is_err() {
                log::warn!("some clients did not take their answers in time and are hung up on");
            },
        }
        self.task.abort();
        // The task was aborted on purpose.
        let _ = (&mut self.task).await;
    }
}

fn why_it_ended(ended: Result<io::Result<()>, JoinError>) -> io::Error {
    match ended {
        Ok(Ok(())) => io::Error::other("the HTTP server has ended by itself"),
        Ok(Err(error)) => error,
        Err(error) => io::Error::other(error),
    }
}

/// Serves the connections of the listener.
fn serve(
    config: &Config,
    listener: std::net::TcpListener,
    state: web::Data<AppState>,
    connections: &Connections,
) -> io::Result<actix_web::dev::Server> {
    let connections = connections.clone();
    let server = actix_web::dev::Server::build()
        .workers(config.server.worker_count())
        .disable_signals()
        .shutdown_timeout(HTTP_GRACE.as_secs())
        // `Connections` sets the bound, over all workers, and answers a connection beyond it.
        .max_concurrent_connections(usize::MAX / 2)
        .listen("http", listener, move || {
            client_service(state.clone(), connections.clone())
        })?;
    Ok(server.run())
}
