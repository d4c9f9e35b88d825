//! How a host puts its extensions into the server, or into a router of its own.

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

/// The extensions of this process, as far as they have been told.
#[derive(Debug)]
struct Registration {
    extensions: Extensions,
    /// The first that could not be registered: told at the start, so that calls can be chained.
    refused: Option<RegistrationError>,
}

impl Registration {
    fn empty() -> Self {
        Self {
            extensions: Extensions::default(),
            refused: None,
        }
    }

    /// With what every server has.
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
#[derive(Debug)]
pub struct ServerBuilder {
    config: Config,
    registration: Registration,
    logs: bool,
    welcomes: bool,
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

    /// Leaves the process's logger alone, for a host that sets its own after the start. One that is set already is
    /// kept in any case. The section `log` of the configuration means nothing then.
    #[must_use]
    pub fn without_logging(mut self) -> Self {
        self.logs = false;
        self
    }

    /// Does not tell on standard output where the server is and how to try it. The password of the first admin is
    /// printed nevertheless, where one has to be made: give one as `bootstrap.admin_password` to avoid that.
    #[must_use]
    pub fn without_welcome(mut self) -> Self {
        self.welcomes = false;
        self
    }

    /// Sets the process's logger, unless there is one, opens the database, fills an empty one, starts the actors and
    /// listens. Call it within an actix `System`.
    ///
    /// # Errors
    /// See [`StartError`]. Nothing is left running.
    pub async fn start(self) -> Result<Server, StartError> {
        if self.logs {
            logging::init(&self.config.log);
        }
        let server = Server::start(&self.config, self.registration.finish()?, Clock).await?;
        server.welcomes.store(self.welcomes, Ordering::SeqCst);
        Ok(server)
    }
}

/// Builds an [`EventRouter`] without the HTTP interface.
#[derive(Debug)]
pub struct RouterBuilder {
    config: Config,
    clock: Clock,
    registration: Registration,
    watch: Option<Watch>,
}

impl RouterBuilder {
    /// A router with the extensions that are told to the builder, for a host with an interface of its own. It
    /// listens nowhere; the sections `server`, `bootstrap` and `log` of the configuration mean nothing to it.
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

    /// Without the extensions that every server has.
    pub(crate) fn bare(self) -> Self {
        Self {
            registration: Registration::empty(),
            ..self
        }
    }

    /// Another clock than that of the process.
    pub(crate) fn clock(self, clock: Clock) -> Self {
        Self { clock, ..self }
    }

    /// Is told of what handlers have handled.
    pub(crate) fn watch(self, watch: Watch) -> Self {
        Self {
            watch: Some(watch),
            ..self
        }
    }

    /// Opens the database and starts the actors. Call it within an actix `System`; end it with
    /// [`EventRouter::stop`].
    ///
    /// # Errors
    /// See [`StartError`]. Nothing is left running.
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
