//! From the configuration to the settings of each part.

use std::{sync::Arc, time::Duration};

use super::{limits::Limits, preflight, start_error::StartError};
use crate::http::{connections::ConnectionSettings, state::HttpSettings};
use pointsman_auth::{bootstrap::Bootstrap, key_check::KeyCheck, key_file, seal::Sealer};
use pointsman_clock::Clock;
use pointsman_config::{Config, Delivery, NoEffect};
use pointsman_domain::retry_schedule::RetrySchedule;
use pointsman_extension::Extensions;
use pointsman_http_delivery::{ConnectionBudget, ExternalClientConfig, TrustError, tls_config_with};
use pointsman_journal_sql::{DatabaseUrl, JournalSettings, MasterKey, RetentionSettings};
use pointsman_private_files as private_files;
use pointsman_router::{InProcessSettings, OpenSecret, RouterSettings};

/// The settings of the journal, without the master key.
///
/// # Errors
/// When the URL has a form that the drivers do not take, or its file cannot be used.
pub(crate) fn journal_settings(config: &Config) -> Result<JournalSettings, StartError> {
    let url = DatabaseUrl::parse(config.database.url.expose()).map_err(StartError::DatabaseUrl)?;
    preflight::check_database_file(config)?;
    Ok(JournalSettings {
        url,
        max_connections: config.database.max_connections,
        min_free_bytes: config.database.min_free_bytes,
        max_hold: config.retention.max_hold,
        effect_timeout: config.in_process.effect_timeout,
        master_key: None,
        retention: retention_settings(config),
        progress: Arc::default(),
    })
}

fn retention_settings(config: &Config) -> RetentionSettings {
    let retention = &config.retention;
    let is_embedded = config.database.url.sqlite_path().is_some();
    RetentionSettings {
        events: retention.events,
        attempts: retention.attempts,
        dead_letters: retention.dead_letters,
        chat_messages: retention.chat_messages,
        max_bytes: (is_embedded && retention.max_bytes > 0).then_some(retention.max_bytes),
    }
}

/// Adds the master key, which the journal checks against the database.
pub(super) fn with_key(journal: JournalSettings, config: &Config, master_key: &[u8]) -> JournalSettings {
    JournalSettings {
        master_key: Some(Arc::new(ConfiguredKey::new(config, master_key))),
        ..journal
    }
}

/// The master key in the form that the journal checks.
#[derive(Debug)]
pub(super) struct ConfiguredKey {
    origin: String,
    check: KeyCheck,
    sealer: Sealer,
}

impl ConfiguredKey {
    pub(super) fn new(config: &Config, master_key: &[u8]) -> Self {
        Self {
            origin: key_origin(config),
            check: KeyCheck::new(master_key),
            sealer: Sealer::new(master_key),
        }
    }
}

impl MasterKey for ConfiguredKey {
    fn origin(&self) -> &str {
        &self.origin
    }

    fn check_value(&self) -> Vec<u8> {
        self.check.value().to_vec()
    }

    fn is_check_value(&self, value: &[u8]) -> bool {
        self.check.is_value(value)
    }

    fn opens(&self, sealed: &str) -> bool {
        self.sealer.open(sealed).is_ok()
    }
}

/// The setting or the file that has the master key.
pub(super) fn key_origin(config: &Config) -> String {
    match config.auth.cookie_key_bytes() {
        Some(_) => "auth.cookie_key".to_owned(),
        None => config.cookie_key_file().display().to_string(),
    }
}

/// The master key where there is one; none is made.
pub(super) fn existing_key(config: &Config) -> Result<Option<ConfiguredKey>, StartError> {
    let key = match config.auth.cookie_key_bytes() {
        Some(key) => Some(key),
        None => key_file::load(&config.cookie_key_file())?.map(|key| key.to_vec()),
    };
    Ok(key.map(|key| ConfiguredKey::new(config, &key)))
}

/// Logs a warning where other local users may read the file of the key.
pub(super) fn warn_of_shared_key(config: &Config) {
    if config.auth.cookie_key_bytes().is_none() {
        private_files::warn_if_shared(&config.cookie_key_file());
    }
}

/// The key of the configuration, or else of its file, which is created where it is missing.
pub(super) fn master_key(config: &Config) -> Result<Vec<u8>, StartError> {
    match config.auth.cookie_key_bytes() {
        Some(key) => Ok(key),
        None => {
            let path = config.cookie_key_file();
            preflight::make_folder_of(&path)?;
            Ok(key_file::load_or_create(&path)?.to_vec())
        }
    }
}

/// A waker that does not find everything that is due within this time is an alarm: it looks each minute.
const WAKER_PATIENCE: Duration = Duration::from_secs(60);

pub(super) fn router_settings(
    config: &Config,
    limits: &Limits,
    master_key: &[u8],
    extensions: Extensions,
    clock: Clock,
) -> Result<RouterSettings, StartError> {
    let sealer = Sealer::new(master_key);
    let open_secret: OpenSecret = Arc::new(move |sealed| {
        sealer
            .open(sealed)
            .map_err(|_| "cannot be opened with this server's master key".to_owned())
    });
    let delivery = &config.delivery;
    Ok(RouterSettings {
        threads: config.router.thread_count(),
        max_in_flight: config.publish.max_in_flight,
        window: delivery.window,
        concurrency: delivery.concurrency,
        schedule: RetrySchedule::new(delivery.retry_schedule.clone(), delivery.jitter),
        attempt_timeout: delivery.timeout,
        breaker_failures: delivery.breaker_failures,
        max_hold: config.retention.max_hold,
        passivate_after: config.router.passivate_after,
        waker_patience: WAKER_PATIENCE,
        transport: Arc::new(external_client(delivery, limits, clock)?),
        open_secret,
        in_process: InProcessSettings {
            extensions: Arc::new(extensions),
            sync_timeout: config.in_process.sync_timeout,
            async_timeout: config.in_process.async_timeout,
            executor_threads: config.in_process.executor_thread_count(),
            concurrency: config.in_process.concurrency,
            max_payload_bytes: config.publish.max_body_bytes,
            max_causation_depth: config.router.max_causation_depth,
            watch: None,
        },
    })
}

fn external_client(
    delivery: &Delivery,
    limits: &Limits,
    clock: Clock,
) -> Result<ExternalClientConfig, TrustError> {
    let networks = delivery.allow_networks.clone().into();
    let mut client = ExternalClientConfig::new(delivery.timeout, networks, clock);
    client.budget = ConnectionBudget::new(limits.delivery_connections);
    if let Some(file) = delivery.extra_ca_file() {
        client.tls = tls_config_with(file)?;
    }
    Ok(client)
}

pub(super) fn http_settings(config: &Config) -> HttpSettings {
    HttpSettings {
        max_body_bytes: config.publish.max_body_bytes,
        max_buffered_bytes: config.publish.max_buffered_bytes,
        client_timeout: config.server.client_timeout,
        session_ttl: config.auth.session_ttl,
        secure_cookies: config.auth.secure_cookies,
    }
}

pub(super) fn connection_settings(config: &Config, limits: &Limits) -> ConnectionSettings {
    ConnectionSettings {
        limit: limits.client_connections,
        client_timeout: config.server.client_timeout,
        keep_alive: config.server.keep_alive,
    }
}

/// Logs a warning for each setting that differs from the default and has no effect.
pub(super) fn warn_of_no_effect(config: &Config) {
    for NoEffect { key, why } in config.without_effect() {
        log::warn!(key; "a setting has no effect: {why}");
    }
}

pub(super) fn wanted(config: &Config) -> Bootstrap {
    Bootstrap {
        admin_email: config.bootstrap.admin_email.clone(),
        admin_password: config.bootstrap.admin_password.expose().to_owned(),
        demo: config.bootstrap.demo,
    }
}
