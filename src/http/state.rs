//! What every handler may use.

use std::time::Duration;

use actix_web::cookie;

use super::{budget::ByteBudget, intake::Intake};
use pointsman_auth::{access_cache::AccessCache, passwords::Passwords, seal};
use pointsman_clock::Clock;
use pointsman_engine::EventRouter;

pub use pointsman_auth::seal::Sealer;

/// Sixteen of the largest pages of events, and thousands of the usual ones.
const MAX_PAGE_BYTES_IN_ALL: usize = 64 * 1024 * 1024;

/// Half of what a page may take: the other half is for the wait for a connection and for the answer.
const LOOKING: Duration = Duration::from_millis(25);

/// One for the process; handlers take it as `web::Data<AppState>`.
pub struct AppState {
    pub router: EventRouter,
    pub access: AccessCache,
    pub passwords: Passwords,
    pub sealer: Sealer,
    pub clock: Clock,
    pub intake: Intake,
    /// The events in answers that clients have not read yet, in bytes of payload.
    pub(super) pages: ByteBudget,
    pub settings: HttpSettings,
    pub(super) cookie_key: cookie::Key,
}

/// The part of the configuration that handlers need.
#[derive(Clone, Copy, Debug)]
pub struct HttpSettings {
    /// The largest body that is read, `publish.max_body_bytes`.
    pub max_body_bytes: usize,
    /// The bodies that are held at a time, in bytes, `publish.max_buffered_bytes`.
    pub max_buffered_bytes: usize,
    /// How long a client may take, `server.client_timeout`.
    pub client_timeout: Duration,
    /// How long a login lasts.
    pub session_ttl: Duration,
    /// Whether browsers send the session cookie over TLS only.
    pub secure_cookies: bool,
}

impl AppState {
    /// The keys for sealing and for cookies are derived from `master_key`.
    pub fn new(router: EventRouter, master_key: &[u8], settings: HttpSettings, clock: Clock) -> Self {
        Self {
            router,
            access: AccessCache::new(clock),
            passwords: Passwords::new(),
            sealer: Sealer::new(master_key),
            clock,
            intake: Intake::new(
                settings.max_body_bytes,
                settings.max_buffered_bytes,
                settings.client_timeout,
                clock,
            ),
            pages: ByteBudget::new(MAX_PAGE_BYTES_IN_ALL),
            settings,
            cookie_key: seal::cookie_key(master_key),
        }
    }

    /// How long a page that is looked for from now on may still look. Then it ends with what it has found.
    pub(super) fn time_to_look(&self) -> impl Fn() -> Duration + use<> {
        let (clock, start) = (self.clock, self.clock.instant());
        move || LOOKING.saturating_sub(clock.elapsed(start))
    }
}

impl std::fmt::Debug for AppState {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("AppState")
            .field("settings", &self.settings)
            .finish_non_exhaustive()
    }
}
