//! The budget of file handles. Every connection and every database file takes one of the same limit (`RLIMIT_NOFILE`),
//! so that one place raises it and divides it.

use pointsman_config::Config;

/// File handles besides those counted below: for the standard streams, the listener, the claim, the key, name look-ups,
/// and connections that are refused.
const RESERVE: usize = 192;
/// A thread with an event loop has an epoll instance and two handles to wake it.
const PER_THREAD: usize = 4;
/// A connection to an embedded database opens the file, the write-ahead log and the index of that log.
const PER_EMBEDDED_CONNECTION: usize = 3;
/// The writer, the checkpointer, and one that is opened while another is closed.
const OTHER_DATABASE_CONNECTIONS: usize = 4;

/// The most connections that are allowed without a setting. More idle ones cost memory, and are more likely a mistake
/// than intended.
const MOST_CLIENT_CONNECTIONS: usize = 10_000;
const MOST_DELIVERY_CONNECTIONS: usize = 16_384;
/// With fewer of either, the server would refuse or delay requests in ordinary use.
const FEWEST_CLIENT_CONNECTIONS: usize = 32;
const FEWEST_DELIVERY_CONNECTIONS: usize = 32;

/// How many connections the limit of open files allows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Limits {
    open_files: usize,
    /// Of clients to the server.
    pub(super) client_connections: usize,
    /// To services, over all installations.
    pub(super) delivery_connections: usize,
}

/// Why the limit of open files is too low.
#[derive(Debug, thiserror::Error)]
pub enum LimitsError {
    /// The limit is below what the process needs.
    #[error(
        "the limit of open files is {open_files}, and at least {needed} are needed; raise it (ulimit -n, \
         LimitNOFILE= of systemd)"
    )]
    TooFew {
        /// The limit of this process.
        open_files: usize,
        /// The lowest limit that is enough.
        needed: usize,
    },
    /// The limit is too low for `server.max_connections`.
    #[error(
        "server.max_connections = {wanted}: under the limit of {open_files} open files it can be at most \
         {possible}; lower it, or raise the limit (ulimit -n, LimitNOFILE= of systemd)"
    )]
    TooManyConnections {
        /// The value of `server.max_connections`.
        wanted: usize,
        /// The limit of this process.
        open_files: usize,
        /// The highest value that the limit allows.
        possible: usize,
    },
}

impl Limits {
    /// Raises the limit of open files as far as this process may, and divides it.
    ///
    /// # Errors
    /// See [`LimitsError`].
    pub(super) fn raise(config: &Config) -> Result<Self, LimitsError> {
        let open_files = rlimit::increase_nofile_limit(rlimit::INFINITY)
            .or_else(|error| {
                log::warn!(error:%; "the limit of open files cannot be raised");
                rlimit::getrlimit(rlimit::Resource::NOFILE).map(|(soft, _)| soft)
            })
            // Every system allows this many.
            .unwrap_or(256);
        let open_files = usize::try_from(open_files).unwrap_or(usize::MAX);
        let wanted = config.server.connection_limit().map(Into::into);
        Self::share(open_files, fixed(config), wanted)
    }

    /// Logs how many of each are allowed. Called only after the start, because a server that does not start prints the
    /// reason as its only line.
    pub(super) fn log(&self, config: &Config) {
        log::info!(
            open_files = self.open_files,
            client_connections = self.client_connections,
            delivery_connections = self.delivery_connections,
            database_connections = config.database.max_connections;
            "file handles are shared out"
        );
    }

    /// Clients get half of the remaining handles, or as many as the configuration says; deliveries get the rest.
    fn share(open_files: usize, fixed: usize, clients: Option<usize>) -> Result<Self, LimitsError> {
        let left = open_files.saturating_sub(fixed);
        if left < FEWEST_CLIENT_CONNECTIONS + FEWEST_DELIVERY_CONNECTIONS {
            return Err(LimitsError::TooFew {
                open_files,
                needed: fixed + FEWEST_CLIENT_CONNECTIONS + FEWEST_DELIVERY_CONNECTIONS,
            });
        }
        let possible = left - FEWEST_DELIVERY_CONNECTIONS;
        let client_connections = match clients {
            Some(wanted) if wanted > possible => {
                return Err(LimitsError::TooManyConnections {
                    wanted,
                    open_files,
                    possible,
                });
            }
            Some(wanted) => wanted,
            None => (left / 2).min(MOST_CLIENT_CONNECTIONS),
        };
        Ok(Self {
            open_files,
            client_connections,
            delivery_connections: (left - client_connections).min(MOST_DELIVERY_CONNECTIONS),
        })
    }
}

/// Handles that are needed at any load.
fn fixed(config: &Config) -> usize {
    let threads = config.server.worker_count() + 2 * config.router.thread_count() + 4;
    // Each kind of reader has a connection at least.
    let connections = (config.database.max_connections as usize).max(3) + OTHER_DATABASE_CONNECTIONS;
    let per_connection = match config.database.url.sqlite_path() {
        Some(_) => PER_EMBEDDED_CONNECTION,
        None => 1,
    };
    RESERVE + threads * PER_THREAD + connections * per_connection
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shared(open_files: usize, clients: Option<usize>) -> Result<(usize, usize), String> {
        Limits::share(open_files, 300, clients)
            .map(|limits| (limits.client_connections, limits.delivery_connections))
            .map_err(|error| error.to_string())
    }

    #[test]
    fn what_is_left_is_halved() {
        assert_eq!(shared(1024, None), Ok((362, 362)));
        assert_eq!(shared(364, None), Ok((32, 32)));
        assert_eq!(shared(1_048_576, None), Ok((10_000, 16_384)));
    }

    #[test]
    fn clients_get_what_the_configuration_says_if_that_is_possible() {
        assert_eq!(shared(1024, Some(8)), Ok((8, 716)));
        assert_eq!(shared(1024, Some(692)), Ok((692, 32)));
        let refused = shared(1024, Some(693)).unwrap_err();
        assert!(refused.contains("server.max_connections = 693") && refused.contains("at most 692"));
    }

    #[test]
    fn too_low_a_limit_is_refused_with_the_number_that_is_needed() {
        let refused = shared(363, None).unwrap_err();
        assert!(
            refused.contains("is 363") && refused.contains("at least 364"),
            "{refused}"
        );
        assert!(!refused.contains('\n'));
    }

    #[test]
    fn the_usual_limit_is_enough_for_the_defaults() {
        assert!(Limits::share(1024, fixed(&Config::default()), None).is_ok());
    }
}
