//! One look-up, and how many there may be at once.

use std::{
    io,
    net::IpAddr,
    sync::Arc,
    time::{Duration, Instant},
};

use tokio::sync::Semaphore;

use pointsman_clock::Clock;

/// Look-ups at once of names that were found the last time.
const FOUND: usize = 32;
/// Look-ups at once of names that were not looked up before.
const NEW: usize = 16;
/// Look-ups at once of names that were not found the last time.
const MISSED: usize = 16;
const KEEP_ADDRESSES: Duration = Duration::from_secs(10);
const KEEP_FAILURE: Duration = Duration::from_secs(1);

/// How a host name becomes addresses. It runs on a thread that may block.
pub type Lookup = dyn Fn(&str) -> io::Result<Vec<IpAddr>> + Send + Sync;

/// Why a host has no addresses.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ResolveError {
    #[error("the name look-up failed: {0}")]
    Failed(String),
    #[error("the name has no addresses")]
    NoAddresses,
}

pub(super) type Answer = Result<Arc<[IpAddr]>, ResolveError>;

/// What came of the last look-up of a name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Standing {
    Found,
    New,
    Missed,
}

/// What a look-up has found, and how long that holds.
#[derive(Clone)]
pub(super) struct Resolved {
    pub(super) answer: Answer,
    pub(super) fresh_until: Instant,
}

/// Where look-ups wait for a thread, by the standing of their name.
pub(super) struct LookUpLimits {
    found: Arc<Semaphore>,
    new: Arc<Semaphore>,
    missed: Arc<Semaphore>,
}

impl Default for LookUpLimits {
    fn default() -> Self {
        Self {
            found: Arc::new(Semaphore::new(FOUND)),
            new: Arc::new(Semaphore::new(NEW)),
            missed: Arc::new(Semaphore::new(MISSED)),
        }
    }
}

impl LookUpLimits {
    /// Looks the host up in a task of its own: a future that is no longer polled would keep the permit that it is
    /// given.
    pub(super) fn look_up(
        &self,
        host: Box<str>,
        standing: Standing,
        lookup: Arc<Lookup>,
        clock: Clock,
    ) -> impl Future<Output = Resolved> + Send + use<> {
        let limit = Arc::clone(match standing {
            Standing::Found => &self.found,
            Standing::New => &self.new,
            Standing::Missed => &self.missed,
        });
        let looking = tokio::spawn(async move {
            let _permit = limit.acquire().await;
            let looked_up = tokio::task::spawn_blocking(move || resolved(lookup(&host), clock));
            looked_up.await
        });
        async move {
            match looking.await {
                Ok(Ok(found)) => found,
                Ok(Err(error)) | Err(error) => resolved(Err(io::Error::other(error)), clock),
            }
        }
    }
}

fn resolved(looked_up: io::Result<Vec<IpAddr>>, clock: Clock) -> Resolved {
    let answer = match looked_up {
        Ok(addresses) if addresses.is_empty() => Err(ResolveError::NoAddresses),
        Ok(addresses) => Ok(addresses.into()),
        Err(error) => Err(ResolveError::Failed(error.to_string())),
    };
    let keep = if answer.is_ok() {
        KEEP_ADDRESSES
    } else {
        KEEP_FAILURE
    };
    Resolved {
        answer,
        fresh_until: clock.instant() + keep,
    }
}
