//! Name look-ups for all external clients together.

mod lookup;

use std::{
    fmt, io,
    net::{IpAddr, ToSocketAddrs as _},
    sync::Arc,
    time::{Duration, Instant},
};

use dashmap::{DashMap, Entry};
use futures_util::{FutureExt as _, future::Shared};
use tokio::time::timeout;

use self::lookup::{LookUpLimits, Resolved, Standing};
pub use self::lookup::{Lookup, ResolveError};
use pointsman_clock::Clock;

const MAX_CACHED_HOSTS: usize = 4096;
/// How long a look-up may take before former addresses of the host are used, and how old these may be.
const PATIENCE: Duration = Duration::from_secs(1);
const KEEP_FORMER: Duration = Duration::from_secs(5 * 60);

type Pending = Shared<futures_util::future::BoxFuture<'static, Resolved>>;

/// Resolves with the system's resolver, one look-up per host and at most 64 at once, each of which blocks a
/// thread for as long as the system's resolver takes. Of the 64, 32 are for names that were found the last
/// time, 16 for new ones and 16 for those that were not found: names that hang or fail take no thread from
/// names that work. Answers are kept for 10 s, failures for 1 s. A host whose look-up takes more than a second
/// keeps the addresses that it had in the last 5 minutes meanwhile.
///
/// One is shared by all clients; look-ups survive the attempt that asked for them.
pub struct BoundedResolver {
    lookup: Arc<Lookup>,
    limits: LookUpLimits,
    hosts: DashMap<Box<str>, Host>,
    clock: Clock,
}

struct Host {
    pending: Pending,
    /// Its former addresses, and until when they may be used.
    former: Option<(Arc<[IpAddr]>, Instant)>,
}

impl BoundedResolver {
    /// Resolves as the operating system does.
    pub fn system(clock: Clock) -> Self {
        Self::with_lookup(clock, Arc::new(system_lookup))
    }

    /// Resolves with `lookup` instead of the system's resolver.
    pub fn with_lookup(clock: Clock, lookup: Arc<Lookup>) -> Self {
        Self {
            lookup,
            limits: LookUpLimits::default(),
            hosts: DashMap::new(),
            clock,
        }
    }

    /// The addresses of a host, at least one. Takes as long as the name server does: the caller bounds it.
    ///
    /// # Errors
    /// When the look-up failed, or the name has no addresses.
    pub async fn resolve(&self, host: &str) -> Result<Arc<[IpAddr]>, ResolveError> {
        let resolved = match self.entry(host) {
            (pending, Some(former)) => match timeout(PATIENCE, pending).await {
                Ok(resolved) => resolved,
                Err(_) => return Ok(former),
            },
            (pending, None) => pending.await,
        };
        if self.is_fresh(&resolved) {
            return resolved.answer;
        }
        // Nothing waited for this look-up when it ended, and its answer is too old by now.
        self.entry(host).0.await.answer
    }

    /// The look-up to wait for, a cached or running one, otherwise a new one; and former addresses.
    fn entry(&self, host: &str) -> (Pending, Option<Arc<[IpAddr]>>) {
        self.make_room();
        let now = self.clock.instant();
        let entry = match self.hosts.entry(host.into()) {
            Entry::Occupied(mut occupied) => {
                self.renew(host, occupied.get_mut());
                occupied.into_ref()
            }
            Entry::Vacant(vacant) => vacant.insert(Host {
                pending: self.start(host, Standing::New),
                former: None,
            }),
        };
        let former = entry.former.as_ref().filter(|(_, until)| now < *until);
        (
            entry.pending.clone(),
            former.map(|(addresses, _)| Arc::clone(addresses)),
        )
    }

    /// Starts another look-up where the last one has ended and is old.
    fn renew(&self, name: &str, host: &mut Host) {
        let Some(resolved) = host.pending.peek().filter(|resolved| !self.is_fresh(resolved)) else {
            return;
        };
        let standing = match &resolved.answer {
            Ok(addresses) => {
                host.former = Some((Arc::clone(addresses), resolved.fresh_until + KEEP_FORMER));
                Standing::Found
            }
            Err(_) => Standing::Missed,
        };
        host.pending = self.start(name, standing);
    }

    fn start(&self, host: &str, standing: Standing) -> Pending {
        self.limits
            .look_up(host.into(), standing, Arc::clone(&self.lookup), self.clock)
            .boxed()
            .shared()
    }

    fn is_fresh(&self, resolved: &Resolved) -> bool {
        self.clock.instant() < resolved.fresh_until
    }

    /// Keeps the cache bounded. A look-up that is dropped here goes on for those who wait for it.
    fn make_room(&self) {
        if self.hosts.len() < MAX_CACHED_HOSTS {
            return;
        }
        self.hosts
            .retain(|_, host| host.pending.peek().is_none_or(|resolved| self.is_fresh(resolved)));
        if self.hosts.len() >= MAX_CACHED_HOSTS {
            self.hosts.clear();
        }
    }
}

impl fmt::Debug for BoundedResolver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BoundedResolver")
            .field("hosts", &self.hosts.len())
            .finish_non_exhaustive()
    }
}

fn system_lookup(host: &str) -> io::Result<Vec<IpAddr>> {
    Ok((host, 0).to_socket_addrs()?.map(|address| address.ip()).collect())
}

#[cfg(test)]
mod tests;
