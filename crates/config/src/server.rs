//! The section `[server]`.

use std::{net::IpAddr, num::NonZeroUsize, time::Duration};

use serde::Deserialize;

use super::{
    rule::{Rule, hours, is_some_time_up_to},
    threads::threads_or_cores,
};

/// The HTTP server panics with more.
const MAX_WORKERS: usize = 512;

/// Where to listen, and how to stop: the settings of the server that runs, `pointsman::Server`.
///
/// ```
/// # mod pointsman { pub use pointsman_config as config; }
/// use pointsman::config::Config;
///
/// let config = Config::from_sources(Some("[server]\nport = 0\nworkers = 2"), [])?;
/// assert_eq!(config.server.host, "127.0.0.1");
/// assert_eq!(config.server.worker_count(), 2);
/// assert_eq!(config.server.connection_limit(), None);
/// # Ok::<(), pointsman::config::ConfigError>(())
/// ```
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Server {
    /// An IP address (IPv6 without brackets) or a host name.
    pub host: String,
    /// The TCP port; 0 takes a free one.
    pub port: u16,
    /// As configured; see [`Server::worker_count`].
    workers: usize,
    /// The longest time that a stop waits for requests and deliveries in flight before it ends them: 0 s to 1 h.
    #[serde(with = "humantime_serde")]
    pub shutdown_grace: Duration,
    /// As configured; see [`Server::connection_limit`].
    max_connections: usize,
    /// The longest time that a client may take for the head of a request: 1 ms to 1 h. A body and an answer may take
    /// this long and a second more for each 16 KiB.
    #[serde(with = "humantime_serde")]
    pub client_timeout: Duration,
    /// The longest time between two requests of one connection: 1 ms to 1 h.
    #[serde(with = "humantime_serde")]
    pub keep_alive: Duration,
}

impl Server {
    /// Threads that serve HTTP, at least one.
    pub fn worker_count(&self) -> usize {
        threads_or_cores(self.workers).min(MAX_WORKERS)
    }

    /// The most connections of clients at a time; `None` where the limit of open files determines it.
    pub fn connection_limit(&self) -> Option<NonZeroUsize> {
        NonZeroUsize::new(self.max_connections)
    }
}

pub(super) const RULES: &[Rule<Server>] = &[
    Rule {
        key: "server.host",
        allowed: "an IP address or a host name, such as 127.0.0.1",
        holds: |server| is_host(&server.host),
    },
    Rule {
        key: "server.port",
        allowed: "a whole number from 0 to 65535",
        holds: |_| true,
    },
    Rule {
        key: "server.workers",
        allowed: "a whole number from 0 (one per core) to 512",
        holds: |server| server.workers <= MAX_WORKERS,
    },
    Rule {
        key: "server.shutdown_grace",
        allowed: "a duration from 0s to 1h, such as 30s",
        holds: |server| server.shutdown_grace <= hours(1),
    },
    Rule {
        key: "server.max_connections",
        allowed: "a whole number from 0 (as the limit of open files allows) to 1000000",
        holds: |server| server.max_connections <= 1_000_000,
    },
    Rule {
        key: "server.client_timeout",
        allowed: "a duration from 1ms to 1h, such as 10s",
        holds: |server| is_some_time_up_to(server.client_timeout, hours(1)),
    },
    Rule {
        key: "server.keep_alive",
        allowed: "a duration from 1ms to 1h, such as 75s",
        holds: |server| is_some_time_up_to(server.keep_alive, hours(1)),
    },
];

fn is_host(host: &str) -> bool {
    host.parse::<IpAddr>().is_ok() || matches!(url::Host::parse(host), Ok(url::Host::Domain(_)))
}
