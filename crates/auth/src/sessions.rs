//! Sessions: `actix-session` with a store of ours.
//!
//! The cookie carries the session's key, encrypted; the database keeps only the key's hash. A session is
//! written when somebody signs in and removed when they sign out, never in between: a plain request reads it
//! from the [`AccessCache`], at most once a minute from the database.

use std::{collections::HashMap, time::Duration};

use actix_session::{
    Session,
    storage::{LoadError, SaveError, SessionKey, SessionStore, UpdateError},
};
use actix_web::{
    HttpRequest,
    cookie::{CookieJar, Key, time},
};
use sha2::{Digest, Sha256};

use super::{
    access_cache::{AccessCache, Identity},
    entropy,
};
use pointsman_clock::Clock;
use pointsman_domain::{id::UserId, role::GlobalRole, timestamp::Timestamp};
use pointsman_engine::EventRouter;
use pointsman_router::ChangeError;
use pointsman_store::{self as store, sessions::NewSession};

/// The name of the cookie.
pub const COOKIE_NAME: &str = "pointsman_session";

/// Where the session's state holds its [`Identity`].
const IDENTITY: &str = "identity";

type State = HashMap<String, String>;

/// Whom this request's session belongs to; `None` without one.
pub fn identity(session: &Session) -> Option<Identity> {
    session.get(IDENTITY).ok().flatten()
}

/// The id under which the database knows the session that the request's cookie names, if there is any.
pub fn id_in(request: &HttpRequest, key: &Key) -> Option<String> {
    let mut jar = CookieJar::new();
    jar.add_original(request.cookie(COOKIE_NAME)?);
    let session_key = jar.private(key).get(COOKIE_NAME)?;
    Some(id_of(session_key.value()))
}

/// From the answer to this request on, the session belongs to `identity`, under a fresh key: a key that was planted
/// before the login is not accepted after it.
///
/// # Errors
/// Never in practice: an identity can be written as JSON.
pub fn begin(session: &Session, identity: Identity) -> Result<(), actix_session::SessionInsertError> {
    session.clear();
    session.renew();
    session.insert(IDENTITY, identity)
}

/// Ends the session with the answer to this request.
pub fn end(session: &Session) {
    session.purge();
}

/// Keeps sessions in `user_session`.
#[derive(Clone, Debug)]
pub struct DatabaseSessions {
    router: EventRouter,
    access: AccessCache,
    clock: Clock,
}

impl DatabaseSessions {
    pub fn new(router: EventRouter, access: AccessCache, clock: Clock) -> Self {
        Self {
            router,
            access,
            clock,
        }
    }

    /// The session's user with the present role, from the cache or else from the database.
    async fn find(&self, id: String) -> Result<Option<Identity>, ChangeError> {
        if let Some(identity) = self.access.identity(&id) {
            return Ok(Some(identity));
        }
        let (epoch, now) = (self.access.session_epoch(), self.clock.wall());
        let db = self.router.access_reader();
        let Some(session) = store::sessions::find(db, &id, now).await? else {
            return Ok(None);
        };
        let Some(user_id) = session.user_id.map(UserId::new) else {
            return Ok(None);
        };
        let Some(user) = store::users::find(db, user_id).await? else {
            return Ok(None);
        };
        let Some(role) = GlobalRole::parse(&user.role) else {
            return Ok(None);
        };
        let identity = Identity { user_id, role };
        let left = Timestamp::from_millis(session.expires_at).since(now);
        self.access.remember_session(epoch, id, identity, left);
        Ok(Some(identity))
    }

    async fn insert(&self, state: &State, ttl: &time::Duration) -> Result<String, ChangeError> {
        let key = entropy::text::<43>();
        let now = self.clock.wall();
        let session = NewSession {
            id: id_of(&key),
            user_id: identity_in(state).map(|identity| identity.user_id),
            state: text_of(state),
            created_at: now,
            expires_at: now + unsigned(ttl),
        };
        self.router
            .write(move |txn| Box::pin(async move { Ok(store::sessions::insert(txn, session).await?) }))
            .await?;
        Ok(key)
    }

    async fn remove(&self, key: &str) -> Result<(), ChangeError> {
        let id = id_of(key);
        let row = id.clone();
        let removed = self
            .router
            .write(move |txn| Box::pin(async move { Ok(store::sessions::delete(txn, &row).await?) }))
            .await;
        // Also after an error: the change may be committed although its answer was lost.
        self.access.forget_session(&id);
        removed
    }

    async fn extend(&self, key: &str, ttl: &time::Duration) -> Result<(), ChangeError> {
        let (id, expires_at) = (id_of(key), self.clock.wall() + unsigned(ttl));
        self.router
            .write(move |txn| {
                Box::pin(async move { Ok(store::sessions::extend(txn, &id, expires_at).await?) })
            })
            .await
    }
}

impl SessionStore for DatabaseSessions {
    async fn load(&self, session_key: &SessionKey) -> Result<Option<State>, LoadError> {
        let found = self.find(id_of(session_key.as_ref())).await;
        match found.map_err(logged) {
            Ok(Some(identity)) => match serde_json::to_string(&identity) {
                Ok(text) => Ok(Some(State::from([(IDENTITY.to_owned(), text)]))),
                Err(error) => Err(LoadError::Deserialization(error.into())),
            },
            Ok(None) => Ok(None),
            Err(error) => Err(LoadError::Other(error.into())),
        }
    }

    async fn save(&self, state: State, ttl: &time::Duration) -> Result<SessionKey, SaveError> {
        let key = self
            .insert(&state, ttl)
            .await
            .map_err(|error| SaveError::Other(logged(error).into()))?;
        SessionKey::try_from(key).map_err(|error| SaveError::Other(error.into()))
    }

    /// A changed session gets a fresh key.
    async fn update(
        &self,
        session_key: SessionKey,
        state: State,
        ttl: &time::Duration,
    ) -> Result<SessionKey, UpdateError> {
        self.remove(session_key.as_ref())
            .await
            .map_err(|error| UpdateError::Other(logged(error).into()))?;
        self.save(state, ttl)
            .await
            .map_err(|error| UpdateError::Other(error.into()))
    }

    async fn update_ttl(&self, session_key: &SessionKey, ttl: &time::Duration) -> Result<(), anyhow::Error> {
        Ok(self.extend(session_key.as_ref(), ttl).await.map_err(logged)?)
    }

    async fn delete(&self, session_key: &SessionKey) -> Result<(), anyhow::Error> {
        Ok(self.remove(session_key.as_ref()).await.map_err(logged)?)
    }
}

/// Logs the cause here, because the middleware's error does not contain it.
fn logged(error: ChangeError) -> ChangeError {
    log::error!(cause:% = error; "the session could not be read or written");
    error
}

/// The id under which the database knows the session of this key.
fn id_of(key: &str) -> String {
    format!("{:x}", Sha256::digest(key))
}

fn text_of(state: &State) -> String {
    serde_json::to_string(state).expect("a map of texts can be written as JSON")
}

fn identity_in(state: &State) -> Option<Identity> {
    serde_json::from_str(state.get(IDENTITY)?).ok()
}

fn unsigned(ttl: &time::Duration) -> Duration {
    Duration::try_from(*ttl).unwrap_or_default()
}
