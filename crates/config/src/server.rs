//! The section `[server]`.

use std::{net::IpAddr, num::NonZeroUsize, time::Duration};

use serde::Deserialize;

use super::{
    rule::{Rule, hours, is_some_time_up_to},
    threads::threads_or_cores,
};

/// The HTTP server panics beyond that.
const MAX_WORKERS: usize = 512;

/// Where to listen, and how to stop.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Server {
    /// An IP address (IPv6 without brackets) or a host name.
    pub host: String,
    /// 0 takes a free port.
    pub port: u16,
    /// As configured; see [`Server::worker_count`].
    workers: usize,
    #[serde(with = "humantime_serde")]
    pub shutdown_grace: Duration,
    /// As configured; see [`Server::connection_limit`].
    max_connections: usize,
    /// For the head of a request, and to begin with for its body and for its answer.
    #[serde(with = "humantime_serde")]
    pub client_timeout: Duration,
    /// Between two requests of one connection.
    #[serde(with = "humantime_serde")]
    pub keep_alive: Duration,
}

impl Server {
    /// Threads that serve HTTP, at least one.
    pub fn worker_count(&self) -> usize {
        threads_or_cores(self.workers).min(MAX_WORKERS)
    }

    /// The most connections of clients at a time; `None` where it follows from the limit of open files.
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
