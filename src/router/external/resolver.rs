//! Name look-ups for all external clients together.

use std::{
    fmt, io,
    net::{IpAddr, ToSocketAddrs as _},
    sync::Arc,
    time::{Duration, Instant},
};

use dashmap::{DashMap, Entry};
use futures_util::{
    FutureExt as _,
    future::{BoxFuture, Shared},
};
use tokio::sync::Semaphore;

use crate::clock::Clock;

/// Look-ups that run at once. Each blocks a thread for as long as the system's resolver takes.
const MAX_LOOKUPS: usize = 64;
const MAX_CACHED_HOSTS: usize = 4096;
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

type Answer = Result<Arc<[IpAddr]>, ResolveError>;

#[derive(Clone)]
struct Resolved {
    answer: Answer,
    fresh_until: Instant,
}

type Pending = Shared<BoxFuture<'static, Resolved>>;

/// Resolves with the system's resolver, at most 64 look-ups at once and one per host, so that a name
/// server that hangs takes one thread and not all. Answers are kept for 10 s, failures for 1 s.
///
/// One is shared by all clients; look-ups survive the attempt that asked for them.
pub struct BoundedResolver {
    lookup: Arc<Lookup>,
    permits: Arc<Semaphore>,
    hosts: DashMap<Box<str>, Pending>,
    clock: Clock,
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
            permits: Arc::new(Semaphore::new(MAX_LOOKUPS)),
            hosts: DashMap::new(),
            clock,
        }
    }

    /// The addresses of a host, at least one. Takes as long as the name server does: the caller bounds it.
    ///
    /// # Errors
    /// When the look-up failed, or the name has no addresses.
    pub async fn resolve(&self, host: &str) -> Result<Arc<[IpAddr]>, ResolveError> {
        let resolved = self.entry(host).await;
        if self.is_fresh(&resolved) {
            return resolved.answer;
        }
        // Nobody waited when this look-up ended, and by now it is old.
        self.entry(host).await.answer
    }

    /// The look-up to wait for: a cached or running one, otherwise a new one.
    fn entry(&self, host: &str) -> Pending {
        self.make_room();
        match self.hosts.entry(host.into()) {
            Entry::Occupied(mut occupied) => {
                if occupied
                    .get()
                    .peek()
                    .is_some_and(|resolved| !self.is_fresh(resolved))
                {
                    *occupied.get_mut() = self.start(host);
                }
                occupied.get().clone()
            }
            Entry::Vacant(vacant) => vacant.insert(self.start(host)).clone(),
        }
    }

    fn start(&self, host: &str) -> Pending {
        let (host, lookup, permits, clock) = (
            Box::<str>::from(host),
            Arc::clone(&self.lookup),
            Arc::clone(&self.permits),
            self.clock,
        );
        async move {
            let permit = permits.acquire_owned().await;
            let looked_up = tokio::task::spawn_blocking(move || {
                // Held until the thread is free again, even if nobody waits for the answer any more.
                let _permit = permit;
                resolved(lookup(&host), clock)
            });
            looked_up
                .await
                .unwrap_or_else(|error| resolved(Err(io::Error::other(error)), clock))
        }
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
            .retain(|_, pending| pending.peek().is_none_or(|resolved| self.is_fresh(resolved)));
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

#[cfg(test)]
mod tests {
    use std::sync::{
        Mutex,
        atomic::{AtomicUsize, Ordering},
        mpsc,
    };

    use super::*;

    const ADDRESS: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(192, 0, 2, 7));

    #[actix_web::test]
    async fn a_host_is_looked_up_once_for_all_who_ask() {
        let lookups = Arc::new(AtomicUsize::new(0));
        let counter = Arc::clone(&lookups);
        let (release, held) = mpsc::channel::<()>();
        let held = Mutex::new(held);
        let resolver = BoundedResolver::with_lookup(
            Clock,
            Arc::new(move |_| {
                counter.fetch_add(1, Ordering::SeqCst);
                held.lock().unwrap().recv().unwrap();
                Ok(vec![ADDRESS])
            }),
        );
        let abandoned = resolver.resolve("crm.example").now_or_never();
        assert!(abandoned.is_none());
        release.send(()).unwrap();
        let (first, second) = tokio::join!(resolver.resolve("crm.example"), resolver.resolve("crm.example"));
        assert_eq!(first.unwrap().as_ref(), [ADDRESS]);
        assert_eq!(second.unwrap().as_ref(), [ADDRESS]);
        assert_eq!(lookups.load(Ordering::SeqCst), 1);
    }

    #[actix_web::test]
    async fn failures_and_empty_answers_are_errors() {
        let resolver = BoundedResolver::with_lookup(
            Clock,
            Arc::new(|host| {
                if host == "empty" {
                    Ok(vec![])
                } else {
                    Err(io::Error::other("no such host"))
                }
            }),
        );
        assert_eq!(resolver.resolve("empty").await, Err(ResolveError::NoAddresses));
        assert_eq!(
            resolver.resolve("gone").await,
            Err(ResolveError::Failed("no such host".to_owned()))
        );
    }

    #[actix_web::test]
    async fn a_lookup_that_panics_is_a_failure() {
        let resolver = BoundedResolver::with_lookup(Clock, Arc::new(|_| panic!("on purpose")));
        assert!(matches!(
            resolver.resolve("crm.example").await,
            Err(ResolveError::Failed(_))
        ));
    }

    #[actix_web::test]
    async fn the_cache_stays_bounded() {
        let resolver = BoundedResolver::with_lookup(Clock, Arc::new(|_| Ok(vec![ADDRESS])));
        for number in 0..2 * MAX_CACHED_HOSTS {
            drop(resolver.entry(&format!("host-{number}")));
        }
        assert!(resolver.hosts.len() <= MAX_CACHED_HOSTS);
    }
}
