//! The connections to one origin, shared by all installations of a thread that deliver to it. An extension mostly has
//! one service for all workspaces: with connections of their own, ten thousand installations would open ten thousand
//! connections, each for an event now and then.

use std::{
    cell::{Cell, RefCell},
    collections::HashMap,
    rc::{Rc, Weak},
    sync::Arc,
    time::{Duration, Instant},
};

use actix_web::rt;
use awc::{Client, Connector, http::uri::Authority};

use super::{
    config::ExternalClientConfig,
    connector::CheckedConnector,
    stream::{Counted, Keep, PoolUsage},
    target::DeliveryTarget,
};
use pointsman_clock::Clock;
use pointsman_domain::address_policy::AddressPolicy;

/// Shorter than the 5 s after which many servers close an idle connection, so that a request seldom meets
/// a connection that is just being closed.
const KEEP_ALIVE: Duration = Duration::from_secs(4);

thread_local! {
    /// The pools that are in use.
    static POOLS: RefCell<HashMap<Origin, Weak<Pool>>> = RefCell::default();
}

/// What connections have to have in common to be exchangeable.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Origin {
    secure: bool,
    authority: Authority,
    /// Identifies the configuration: the address of what all its clients share.
    config: usize,
}

impl Origin {
    /// None for a target without an authority: nothing can be sent to it.
    fn of(config: &ExternalClientConfig, target: &DeliveryTarget) -> Option<Self> {
        Some(Self {
            secure: target.secure,
            authority: target.dial.authority()?.clone(),
            config: Arc::as_ptr(&config.resolver).addr(),
        })
    }
}

/// Keeps connections for the next delivery, for 4 s. It lives on one arbiter.
pub(super) struct Pool {
    config: ExternalClientConfig,
    /// None for a pool that is not shared.
    origin: Option<Origin>,
    secure: bool,
    /// None until the first delivery, and again after 4 s without one.
    current: RefCell<Option<Current>>,
    /// Counts the clients made so far.
    generation: Cell<u64>,
    last_used: Cell<Option<Instant>>,
    /// A task waits to close idle connections.
    is_watched: Cell<bool>,
}

struct Current {
    client: Client,
    usage: Rc<PoolUsage>,
    generation: u64,
}

/// The client for one delivery; hold it until the answer is read. The connection goes back to the client that opened
/// it, and is closed where that client has been replaced.
pub(super) struct Lease {
    pub(super) client: Client,
    usage: Rc<PoolUsage>,
    generation: u64,
    /// See [`Pool::keep`].
    keeps: Option<Counted>,
}

impl Current {
    fn lease(&self) -> Lease {
        Lease {
            client: self.client.clone(),
            usage: Rc::clone(&self.usage),
            generation: self.generation,
            keeps: None,
        }
    }
}

impl Pool {
    /// The pool of this thread for deliveries to the target.
    pub(super) fn of(config: &ExternalClientConfig, target: &DeliveryTarget) -> Rc<Self> {
        let Some(origin) = Origin::of(config, target) else {
            return Rc::new(Self::new(config, None, target.secure));
        };
        POOLS.with_borrow_mut(|pools| {
            if let Some(pool) = pools.get(&origin).and_then(Weak::upgrade) {
                return pool;
            }
            let pool = Rc::new(Self::new(config, Some(origin.clone()), target.secure));
            pools.insert(origin, Rc::downgrade(&pool));
            pool
        })
    }

    /// Whether deliveries to the target go through this one.
    pub(super) fn is_of(&self, target: &DeliveryTarget) -> bool {
        let authority = self.origin.as_ref().map(|origin| &origin.authority);
        self.secure == target.secure && authority == target.dial.authority()
    }

    fn new(config: &ExternalClientConfig, origin: Option<Origin>, secure: bool) -> Self {
        Self {
            config: config.clone(),
            origin,
            secure,
            current: RefCell::default(),
            generation: Cell::new(0),
            last_used: Cell::new(None),
            is_watched: Cell::new(false),
        }
    }

    /// The client for a delivery.
    pub(super) fn lease(&self) -> Lease {
        if let Some(current) = self.current.borrow().as_ref() {
            return current.lease();
        }
        self.renew()
    }

    /// A client without any connection yet, which serves all following deliveries.
    pub(super) fn renew(&self) -> Lease {
        self.generation.set(self.generation.get() + 1);
        let usage = Rc::default();
        let current = Current {
            client: self.build_client(Rc::clone(&usage)),
            usage,
            generation: self.generation.get(),
        };
        let lease = current.lease();
        *self.current.borrow_mut() = Some(current);
        lease
    }

    /// Whether the connection of a delivery that is about to start may be kept. A delivery that takes an idle
    /// connection needs no further idle slot.
    pub(super) fn keep(&self, lease: &mut Lease) -> Keep {
        let keep = if lease.usage.has_waiting() {
            Keep::Waiting
        } else if let Some(slot) = self.config.budget.idle_slot() {
            Keep::In(slot)
        } else {
            return Keep::Not;
        };
        lease.keeps = Some(lease.usage.delivery());
        keep
    }

    /// Closes the connections that came back to this client, unless it is replaced already.
    pub(super) fn discard(&self, lease: &Lease) {
        if self.generation.get() == lease.generation {
            *self.current.borrow_mut() = None;
        }
    }

    /// Call it after each delivery: 4 s after the last one, idle connections are closed.
    pub(super) fn used(self: &Rc<Self>, clock: Clock) {
        self.last_used.set(Some(clock.instant()));
        if !self.is_watched.replace(true) {
            rt::spawn(close_when_idle(Rc::downgrade(self), clock));
        }
    }

    fn build_client(&self, usage: Rc<PoolUsage>) -> Client {
        let config = &self.config;
        let dial = CheckedConnector {
            policy: AddressPolicy::new(Arc::clone(&config.allow_networks)),
            resolver: Arc::clone(&config.resolver),
            budget: config.budget.clone(),
            tls: self.secure.then(|| Arc::clone(&config.tls)),
            connect_timeout: config.timeout,
            usage,
        };
        let connector = Connector::new()
            .connector(dial)
            // The lane bounds how many are in flight; a wait inside the pool would count as the service's time.
            .limit(0)
            .timeout(config.timeout)
            .conn_keep_alive(KEEP_ALIVE);
        Client::builder()
            .connector(connector)
            .disable_timeout()
            .disable_redirects()
            .no_default_headers()
            .finish()
    }
}

impl Drop for Pool {
    fn drop(&mut self) {
        let Some(origin) = &self.origin else { return };
        // The thread may be ending. And a newer pool of the same origin may stand here already.
        let _ = POOLS.try_with(|pools| {
            if let Ok(mut pools) = pools.try_borrow_mut()
                && pools.get(origin).is_some_and(|pool| pool.strong_count() == 0)
            {
                pools.remove(origin);
            }
        });
    }
}

/// One timer for all connections of a pool, since `awc` looks at their age only when it needs one.
async fn close_when_idle(pool: Weak<Pool>, clock: Clock) {
    let mut pause = KEEP_ALIVE;
    loop {
        rt::time::sleep(pause).await;
        let Some(pool) = pool.upgrade() else { return };
        let idle = pool
            .last_used
            .get()
            .map_or(KEEP_ALIVE, |last_used| clock.elapsed(last_used));
        pause = KEEP_ALIVE.saturating_sub(idle);
        if pause.is_zero() {
            pool.is_watched.set(false);
            *pool.current.borrow_mut() = None;
            return;
        }
    }
}
