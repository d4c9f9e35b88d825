//! A host registers its extensions with the builder of a server, or of a router.

use std::sync::{Arc, atomic::Ordering};

use super::{
    Server, StartError,
    limits::Limits,
    logging,
    settings::{
        journal_settings, master_key, router_settings, warn_of_no_effect, warn_of_shared_key, with_key,
    },
};
use crate::chat::Chat;
use pointsman_clock::Clock;
use pointsman_config::Config;
use pointsman_engine::EventRouter;
use pointsman_extension::{Extension, Extensions, RegistrationError};
use pointsman_router::Watch;

/// The extensions that have been registered so far.
#[derive(Debug)]
struct Registration {
    extensions: Extensions,
    /// The first error. It is returned at the start, so that calls can be chained.
    refused: Option<RegistrationError>,
}

impl Registration {
    fn empty() -> Self {
        Self {
            extensions: Extensions::default(),
            refused: None,
        }
    }

    /// The extensions that every server has.
    fn built_in() -> Self {
        let mut registration = Self::empty();
        registration.add(Chat::new());
        registration
    }

    fn add(&mut self, extension: impl Extension) {
        if let Err(error) = self.extensions.register(Arc::new(extension)) {
            self.refused.get_or_insert(error);
        }
    }

    fn finish(self) -> Result<Extensions, RegistrationError> {
        match self.refused {
            Some(error) => Err(error),
            None => Ok(self.extensions),
        }
    }
}

/// Builds a [`Server`]. See [`Server::builder`].
///
/// ```
/// use pointsman::{
///     Server,
///     config::Config,
///     extension::{HandlerError, PlatformEvent, event_handler, extension},
/// };
///
/// struct Audit;
///
/// #[extension(key = "audit")]
/// impl Audit {
///     #[event_handler(event_key = "**")]
///     fn seen(&self, event: PlatformEvent) -> Result<(), HandlerError> {
///         println!("{}", event.event_key);
///         Ok(())
///     }
/// }
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let folder = std::env::temp_dir().join(format!("pointsman-doc-server-builder-{}", std::process::id()));
/// # let file = format!("[server]\nport = 0\n[database]\nurl = \"sqlite://{}/test.db\"", folder.display());
/// let config = Config::from_sources(Some(&file), [])?;
/// # actix_web::rt::System::new().block_on(async {
/// let server = Server::builder(config)
///     .extension(Audit)
///     .without_logging()
///     .without_welcome()
///     .start()
///     .await?;
/// # std::process::Command::new("sh").args(["-c", "kill -TERM $PPID"]).status()?;
/// server.run().await?;
/// # std::fs::remove_dir_all(folder)?;
/// # Ok(())
/// # })
/// # }
/// ```
#[derive(Debug)]
pub struct ServerBuilder {
    config: Config,
    registration: Registration,
    logs: bool,
    welcomes: bool,
}

impl Server {
    /// A builder of a server with this configuration.
    pub fn builder(config: Config) -> ServerBuilder {
        ServerBuilder::new(config)
    }
}

impl ServerBuilder {
    pub(super) fn new(config: Config) -> Self {
        Self {
            config,
            registration: Registration::built_in(),
            logs: true,
            welcomes: true,
        }
    }

    /// Registers an extension. It runs in the workspaces in which it is installed.
    #[must_use]
    pub fn extension(mut self, extension: impl Extension) -> Self {
        self.registration.add(extension);
        self
    }

    /// Does not set the process's logger, for a host that sets its own after the start. A logger that is set before is
    /// kept in any case. The section `log` of the configuration has no effect then.
    #[must_use]
    pub fn without_logging(mut self) -> Self {
        self.logs = false;
        self
    }

    /// Does not print the address and how to try the server. A password that is generated for the first admin is
    /// printed nevertheless; set `bootstrap.admin_password` to avoid that.
    #[must_use]
    pub fn without_welcome(mut self) -> Self {
        self.welcomes = false;
        self
    }

    /// Starts the server: sets the process's logger unless there is one, opens the database, fills an empty one, starts
    /// the actors and listens. Call it within an actix `System`.
    ///
    /// # Errors
    /// See [`StartError`]. Nothing is left running then.
    pub async fn start(self) -> Result<Server, StartError> {
        if self.logs {
            logging::init(&self.config.log);
        }
        let server = Server::start(&self.config, self.registration.finish()?, Clock).await?;
        server.welcomes.store(self.welcomes, Ordering::SeqCst);
        Ok(server)
    }
}

/// Builds an [`EventRouter`] without the HTTP interface, for a host with an interface of its own.
///
/// ```
/// use std::time::Duration;
///
/// use pointsman::{config::Config, server::RouterBuilder};
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let folder = std::env::temp_dir().join(format!("pointsman-doc-router-builder-{}", std::process::id()));
/// # let file = format!("[server]\nport = 0\n[database]\nurl = \"sqlite://{}/test.db\"", folder.display());
/// let config = Config::from_sources(Some(&file), [])?;
/// # actix_web::rt::System::new().block_on(async {
/// let router = RouterBuilder::new(config).start().await?;
/// assert!(router.extensions().get("chat").is_some(), "every router has the chat");
/// router.stop(Duration::from_secs(30)).await;
/// # std::fs::remove_dir_all(folder)?;
/// # Ok(())
/// # })
/// # }
/// ```
#[derive(Debug)]
pub struct RouterBuilder {
    config: Config,
    clock: Clock,
    registration: Registration,
    watch: Option<Watch>,
}

impl RouterBuilder {
    /// A builder of a router with this configuration. The router does not listen. The sections `server`, `bootstrap`
    /// and `log` of the configuration have no effect.
    pub fn new(config: Config) -> Self {
        Self {
            config,
            clock: Clock,
            registration: Registration::built_in(),
            watch: None,
        }
    }

    /// Registers an extension. It runs in the workspaces in which it is installed.
    #[must_use]
    pub fn extension(mut self, extension: impl Extension) -> Self {
        self.registration.add(extension);
        self
    }

    /// Removes the extensions that every server has.
    pub(crate) fn bare(self) -> Self {
        Self {
            registration: Registration::empty(),
            ..self
        }
    }

    /// Sets another clock than that of the process.
    pub(crate) fn clock(self, clock: Clock) -> Self {
        Self { clock, ..self }
    }

    /// Sets what is called for every call of a handler that has succeeded.
    pub(crate) fn watch(self, watch: Watch) -> Self {
        Self {
            watch: Some(watch),
            ..self
        }
    }

    /// Opens the database and starts the actors. Call it within an actix `System`, and stop the router with
    /// [`EventRouter::stop`](pointsman_router::EventRouter::stop).
    ///
    /// # Errors
    /// See [`StartError`]. Nothing is left running then.
    pub async fn start(self) -> Result<EventRouter, StartError> {
        let extensions = self.registration.finish()?;
        let limits = Limits::raise(&self.config)?;
        let journal = journal_settings(&self.config)?;
        let key = master_key(&self.config)?;
        let journal = with_key(journal, &self.config, &key);
        let mut settings = router_settings(&self.config, &limits, &key, extensions, self.clock)?;
        settings.in_process.watch = self.watch;
        warn_of_no_effect(&self.config);
        let router = EventRouter::open(settings, journal, self.clock).await?;
        warn_of_shared_key(&self.config);
        Ok(router)
    }
}
