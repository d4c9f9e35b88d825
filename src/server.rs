//! Putting it together: from a configuration to a server that runs, and its ordered end.

pub mod admin;
mod builder;
mod limits;
pub mod logging;
mod preflight;
mod settings;
mod start_error;
mod welcome;

use std::{
    io,
    net::{SocketAddr, ToSocketAddrs as _},
    sync::atomic::{AtomicBool, Ordering},
    time::Duration,
};

use actix_web::{
    dev::ServerHandle,
    rt::task::{JoinError, JoinHandle},
    web,
};
use tokio::{
    net::TcpSocket,
    signal::unix::{Signal, SignalKind, signal},
    time::timeout,
};

pub(crate) use self::settings::journal_settings;
pub use self::{
    builder::{RouterBuilder, ServerBuilder},
    start_error::StartError,
};
use self::{
    limits::Limits,
    settings::{
        connection_settings, http_settings, master_key, router_settings, wanted, warn_of_no_effect,
        warn_of_shared_key, with_key,
    },
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

/// How long requests that are being answered may take once the server is told to stop. Publishes are
/// refused from then on, so that only slow readers need it.
const HTTP_GRACE: Duration = Duration::from_secs(2);

/// Connections that may wait to be accepted.
const BACKLOG: u32 = 2048;

/// A server that accepts requests.
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
    /// The welcome is still to be printed.
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
    /// A server with the extensions that are told to the builder.
    pub fn builder(config: Config) -> ServerBuilder {
        ServerBuilder::new(config)
    }

    /// Opens the database, fills an empty one, starts the actors and listens.
    async fn start(config: &Config, extensions: Extensions, clock: Clock) -> Result<Self, StartError> {
        // First of all: from here on a signal does not end the process on the spot, but is kept for `run`.
        let stop_signals = StopSignals::listen().map_err(StartError::Signals)?;
        let limits = Limits::raise(config)?;
        let listener = listen(config)?;
        let address = listener
            .local_addr()
            .map_err(|source| listen_error(config, source))?;
        let journal = journal_settings(config)?;
        let master_key = master_key(config)?;
        let journal = with_key(journal, config, &master_key);
        let settings = router_settings(config, &limits, &master_key, extensions, clock)?;
        let router = EventRouter::open(settings, journal, clock).await?;
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

    /// The router that it serves.
    pub fn router(&self) -> &EventRouter {
        &self.router
    }

    /// Where it listens; the port is the real one where 0 was configured.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Tells on standard output where the server is and how to try it, if that has not been told yet and the builder
    /// allows it. [`Server::run`] begins with it.
    pub async fn welcome(&self) {
        if self.welcomes.swap(false, Ordering::SeqCst) {
            let door = welcome::Door {
                address: self.address,
                secure_cookies: self.secure_cookies,
            };
            welcome::print(door, &self.router, self.bootstrapped.as_ref()).await;
        }
    }

    /// Tells where the server is, as [`Server::welcome`] does, and runs until SIGTERM or SIGINT, also one that came
    /// since [`ServerBuilder::start`] began, then stops in order: no more publishes, no more connections, what is in
    /// flight finished and durable.
    ///
    /// # Errors
    /// When nothing can be accepted any longer, or the journal has ended by itself: then only a new process can
    /// go on. It stops in order then too.
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

    /// Returns when the last client has its answer, or after [`HTTP_GRACE`]. The HTTP server itself only
    /// looks once a second whether its connections have ended, which is too long for a restart.
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
        // Its end is what was asked for.
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

/// Serves what connects to the listener.
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
        // The bound is that of `Connections`, over all workers, and with an answer.
        .max_concurrent_connections(usize::MAX / 2)
        .listen("http", listener, move || {
            client_service(state.clone(), connections.clone())
        })?;
    Ok(server.run())
}

/// What tells the server to stop.
struct StopSignals {
    terminate: Signal,
    interrupt: Signal,
}

impl StopSignals {
    fn listen() -> io::Result<Self> {
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
        })
    }

    async fn received(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }
}

/// Listens on the first address of the host that can be listened on.
fn listen(config: &Config) -> Result<std::net::TcpListener, StartError> {
    let host = config.server.host.trim_matches(['[', ']']);
    let addresses = (host, config.server.port).to_socket_addrs();
    let mut last_error = io::Error::other("the host has no address");
    for address in addresses.map_err(|source| listen_error(config, source))? {
        match listen_on(address) {
            Ok(listener) => return Ok(listener),
            Err(error) => last_error = error,
        }
    }
    Err(listen_error(config, last_error))
}

/// The standard library's own listener lets 128 connections wait; the next ones of a burst are reset.
fn listen_on(address: SocketAddr) -> io::Result<std::net::TcpListener> {
    let socket = match address {
        SocketAddr::V4(_) => TcpSocket::new_v4()?,
        SocketAddr::V6(_) => TcpSocket::new_v6()?,
    };
    // So that a restart need not wait for the connections of the former process to be forgotten.
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    socket.listen(BACKLOG)?.into_std()
}

fn listen_error(config: &Config, source: io::Error) -> StartError {
    StartError::Listen {
        address: format!("{}:{}", config.server.host, config.server.port),
        source,
    }
}
