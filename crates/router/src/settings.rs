//! The settings of a router.

use std::{fmt, sync::Arc, time::Duration};

use pointsman_domain::retry_schedule::RetrySchedule;
use pointsman_extension::{Extensions, PlatformEvent};
use pointsman_http_delivery::Transport;

/// Opens a secret that is sealed at rest. The error says why it cannot be opened, and does not contain the secret.
pub type OpenSecret = Arc<dyn Fn(&str) -> Result<String, String> + Send + Sync>;

/// The values behind the keys of `config/default.toml` of the same names.
#[derive(Clone)]
pub struct RouterSettings {
    /// Threads on which workspaces and their delivery actors live; with none, all live on the thread that
    /// uses the router.
    pub threads: usize,
    pub max_in_flight: usize,
    pub window: usize,
    pub concurrency: usize,
    pub schedule: RetrySchedule,
    pub attempt_timeout: Duration,
    pub breaker_failures: u32,
    pub max_hold: Duration,
    pub passivate_after: Duration,
    /// How long the waker may take to find everything that is due; then the router is not ready.
    pub waker_patience: Duration,
    /// Sends the attempts of external installations.
    pub transport: Arc<dyn Transport>,
    pub open_secret: OpenSecret,
    pub in_process: InProcessSettings,
}

/// Settings of extensions in this process.
#[derive(Clone, Debug)]
pub struct InProcessSettings {
    pub extensions: Arc<Extensions>,
    pub sync_timeout: Duration,
    pub async_timeout: Duration,
    pub executor_threads: usize,
    pub concurrency: usize,
    /// The largest payload of an event that a handler publishes, the same as that of a request.
    pub max_payload_bytes: usize,
    pub max_causation_depth: u32,
    pub watch: Option<Watch>,
}

/// Called for each event that a handler has handled, its effect included, before the lane is told.
#[derive(Clone)]
pub struct Watch(pub Arc<dyn Fn(HandledCall<'_>) + Send + Sync>);

/// A call of a handler that succeeded, its effect included.
#[derive(Clone, Copy, Debug)]
pub struct HandledCall<'a> {
    /// The key of its extension.
    pub extension: &'a str,
    pub handler: &'a str,
    pub event: &'a PlatformEvent,
    /// From 1.
    pub attempt: u32,
}

impl fmt::Debug for Watch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Watch").finish_non_exhaustive()
    }
}

impl Default for InProcessSettings {
    /// Without extensions.
    fn default() -> Self {
        Self {
            extensions: Arc::default(),
            sync_timeout: Duration::from_secs(5),
            async_timeout: Duration::from_secs(300),
            executor_threads: 1,
            concurrency: 64,
            max_payload_bytes: 256 * 1024,
            max_causation_depth: 16,
            watch: None,
        }
    }
}

impl fmt::Debug for RouterSettings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RouterSettings")
            .field("threads", &self.threads)
            .field("max_in_flight", &self.max_in_flight)
            .field("window", &self.window)
            .field("concurrency", &self.concurrency)
            .finish_non_exhaustive()
    }
}
