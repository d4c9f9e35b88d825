//! Putting it together: from a configuration to a server that runs, and its ordered end.

pub mod admin;
mod limits;
pub mod logging;
mod welcome;

use std::{
    io,
    net::{SocketAddr, ToSocketAddrs as _},
    sync::Arc,
    time::Duration,
};

use actix_web::{HttpServer, dev::ServerHandle, web};
use tokio::{
    net::TcpSocket,
    signal::unix::{Signal, SignalKind, signal},
};

use self::limits::{Limits, LimitsError};
use crate::{
    auth::{
        bootstrap::{self, Bootstrap, BootstrapError, Bootstrapped},
        key_file::{self, KeyFileError},
        seal::Sealer,
    },
    clock::Clock,
    config::Config,
    domain::retry_schedule::RetrySchedule,
    http::{
        self,
        state::{AppState, HttpSettings},
    },
    journal::{DatabaseUrl, JournalSettings, OpenError},
    router::{EventRouter, OpenSecret, RouterSettings, external::ExternalClientConfig},
};

/// How long requests that are being answered may take once the server is told to stop. Publishes are
/// refused from then on, so that only slow readers need it.
const HTTP_GRACE: Duration = Duration::from_secs(2);

/// Connections that may wait to be accepted.
const BACKLOG: u32 = 2048;

/// Why the server does not start. Each is one line that says what to do.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    #[error("database.url: {0}")]
    DatabaseUrl(String),
    #[error(transparent)]
    Open(#[from] OpenError),
    #[error(transparent)]
    KeyFile(#[from] KeyFileError),
    #[error("{0}: {1}")]
    Folder(std::path::PathBuf, io::Error),
    #[error(transparent)]
    Bootstrap(#[from] BootstrapError),
    #[error("{address}: {source}")]
    Listen { address: String, source: io::Error },
    #[error(transparent)]
    Limits(#[from] LimitsError),
    #[error("signals cannot be listened for: {0}")]
    Signals(io::Error),
}

/// A server that accepts requests.
pub struct Server {
    address: SocketAddr,
    router: EventRouter,
    bootstrapped: Option<Bootstrapped>,
    http: ServerHandle,
    task: actix_web::rt::task::JoinHandle<io::Result<()>>,
    stop_signals: StopSignals,
    grace: Duration,
}

impl std::fmt::Debug for Server {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Server")
            .field("address", &self.address)
            .finish_non_exhaustive()
    }
}

impl Server {
    /// Opens the database, fills an empty one, starts the actors and listens. Call it within an actix
    /// `System`.
    ///
    /// # Errors
    /// See [`StartError`]. Nothing is left running.
    pub async fn start(config: &Config, clock: Clock) -> Result<Self, StartError> {
        // First of all: from here on a signal does not end the process on the spot, but is kept for `run`.
        let stop_signals = StopSignals::listen().map_err(StartError::Signals)?;
        let limits = Limits::raise(config)?;
        let listener = listen(config)?;
        let address = listener
            .local_addr()
            .map_err(|source| listen_error(config, source))?;
        let master_key = master_key(config)?;
        let settings = router_settings(config, &limits, &master_key, clock);
        let router = EventRouter::start(settings, journal_settings(config)?, clock).await?;
        let state = web::Data::new(AppState::new(
            router.clone(),
            &master_key,
            http_settings(config),
            clock,
        ));
        let bootstrapped = bootstrap::ensure(&router, &state.passwords, clock, wanted(config)).await?;
        let served = HttpServer::new(move || http::app(state.clone()))
            .workers(config.server.worker_count())
            .disable_signals()
            .shutdown_timeout(HTTP_GRACE.as_secs())
            .listen(listener)
            .map_err(|source| listen_error(config, source))?
            .run();
        let http = served.handle();
        let task = actix_web::rt::spawn(served);
        let grace = config.server.shutdown_grace;
        Ok(Self {
            address,
            router,
            bootstrapped,
            http,
            task,
            stop_signals,
            grace,
        })
    }

    /// Where it listens; the port is the real one where 0 was configured.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Tells on standard output where the server is and how to try it.
    pub async fn welcome(&self) {
        welcome::print(self.address, &self.router, self.bootstrapped.as_ref()).await;
    }

    /// Runs until SIGTERM or SIGINT, also one that came since [`Server::start`] began, then stops in order: no
    /// more publishes, no more connections, what is in flight finished and durable.
    ///
    /// # Errors
    /// When the listener fails, or the journal has ended by itself: then only a new process can go on.
    pub async fn run(mut self) -> io::Result<()> {
        tokio::select! {
            () = self.stop_signals.received() => {}
            () = self.router.journal_ended() => {
                return Err(io::Error::other(
                    "the journal has ended by itself; what it has acknowledged is safe, start the server again",
                ));
            }
        }
        log::info!("stopping: what is in flight is finished first");
        self.router.stop_accepting();
        let graceful = true;
        self.http.stop(graceful).await;
        self.router.stop(self.grace.saturating_sub(HTTP_GRACE)).await;
        log::info!("stopped");
        self.task.await.map_err(io::Error::other)?
    }
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

/// # Errors
/// When the URL has a form that the drivers do not take.
pub(crate) fn journal_settings(config: &Config) -> Result<JournalSettings, StartError> {
    let url = DatabaseUrl::parse(config.database.url.expose()).map_err(StartError::DatabaseUrl)?;
    Ok(JournalSettings {
        url,
        max_connections: config.database.max_connections,
        min_free_bytes: config.database.min_free_bytes,
    })
}

/// The key from the configuration, else from its file, which is made where it is absent.
fn master_key(config: &Config) -> Result<Vec<u8>, StartError> {
    match config.auth.cookie_key_bytes() {
        Some(key) => Ok(key),
        None => {
            let path = config.cookie_key_file();
            if let Some(folder) = path.parent().filter(|folder| !folder.as_os_str().is_empty()) {
                std::fs::create_dir_all(folder)
                    .map_err(|source| StartError::Folder(folder.to_owned(), source))?;
            }
            Ok(key_file::load_or_create(&path)?.to_vec())
        }
    }
}

fn router_settings(config: &Config, limits: &Limits, master_key: &[u8], clock: Clock) -> RouterSettings {
    let sealer = Sealer::new(master_key);
    let open_secret: OpenSecret = Arc::new(move |sealed| {
        sealer
            .open(sealed)
            .map_err(|_| "a secret cannot be opened with this server's key".to_owned())
    });
    let delivery = &config.delivery;
    RouterSettings {
        threads: config.router.thread_count(),
        max_in_flight: config.publish.max_in_flight,
        window: delivery.window,
        concurrency: delivery.concurrency,
        schedule: RetrySchedule::new(delivery.retry_schedule.clone(), delivery.jitter),
        attempt_timeout: delivery.timeout,
        breaker_failures: delivery.breaker_failures,
        max_hold: config.retention.max_hold,
        passivate_after: config.router.passivate_after,
        max_delivery_connections: limits.delivery_connections,
        client: ExternalClientConfig::new(delivery.timeout, delivery.allow_networks.clone().into(), clock),
        open_secret,
    }
}

fn http_settings(config: &Config) -> HttpSettings {
    HttpSettings {
        max_body_bytes: config.publish.max_body_bytes,
        session_ttl: config.auth.session_ttl,
        secure_cookies: config.auth.secure_cookies,
    }
}

fn wanted(config: &Config) -> Bootstrap {
    Bootstrap {
        admin_email: config.bootstrap.admin_email.clone(),
        admin_password: config.bootstrap.admin_password.expose().to_owned(),
        demo: config.bootstrap.demo,
    }
}
