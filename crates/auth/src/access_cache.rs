//! What the publish path needs to know about its caller, without asking the database.

use std::{sync::Arc, time::Duration};

use serde::{Deserialize, Serialize};

use super::expiring::{Epoch, Expiring};
use pointsman_clock::Clock;
use pointsman_domain::{
    id::{UserId, WorkspaceId},
    role::{GlobalRole, WorkspaceRole},
};

/// How long an entry is used at most. Changes made through this process take effect at once; changes made by others in
/// the database take effect within this time.
const LIFETIME: Duration = Duration::from_secs(60);
const CAPACITY: usize = 100_000;

/// The user to whom a session belongs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Identity {
    pub user_id: UserId,
    pub role: GlobalRole,
}

/// Sessions, roles and workspaces as last read. A change of one of them calls the matching
/// `forget_…` after the commit and before the answer. Cheap to clone; bounded.
#[derive(Clone, Debug)]
pub struct AccessCache(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    clock: Clock,
    /// The key is the session's id, which is the hash of its key.
    sessions: Expiring<String, Identity>,
    /// The session that a header of cookies names, by the header's hash.
    cookies: Expiring<[u8; 32], Arc<String>>,
    roles: Expiring<(WorkspaceId, UserId), WorkspaceRole>,
    workspaces: Expiring<WorkspaceId, ()>,
}

impl AccessCache {
    pub fn new(clock: Clock) -> Self {
        Self(Arc::new(Inner {
            clock,
            sessions: Expiring::new(CAPACITY),
            cookies: Expiring::new(CAPACITY),
            roles: Expiring::new(CAPACITY),
            workspaces: Expiring::new(CAPACITY),
        }))
    }

    pub fn identity(&self, session_id: &String) -> Option<Identity> {
        self.0.sessions.get(session_id, self.0.clock.instant())
    }

    /// The id of the session that these cookies name. [`AccessCache::identity`] tells whether the session still exists.
    pub fn session_of_cookies(&self, cookies: &[u8; 32]) -> Option<Arc<String>> {
        self.0.cookies.get(cookies, self.0.clock.instant())
    }

    /// Which session cookies name never changes, so that nothing has to be forgotten.
    pub fn remember_cookies(&self, cookies: [u8; 32], session_id: String) {
        let (cache, now) = (&self.0.cookies, self.0.clock.instant());
        cache.insert(cache.epoch(), cookies, Arc::new(session_id), now + LIFETIME, now);
    }

    /// Take it before the session is read, see [`Expiring`].
    pub fn session_epoch(&self) -> Epoch {
        self.0.sessions.epoch()
    }

    /// `left` is how long the session is still good.
    pub fn remember_session(&self, epoch: Epoch, session_id: String, identity: Identity, left: Duration) {
        let now = self.0.clock.instant();
        let expires = now + left.min(LIFETIME);
        self.0.sessions.insert(epoch, session_id, identity, expires, now);
    }

    /// The session has ended or changed.
    pub fn forget_session(&self, session_id: &String) {
        self.0.sessions.remove(session_id);
    }

    /// The user's role has changed, or the user is gone.
    pub fn forget_user(&self, user: UserId) {
        self.0
            .sessions
            .remove_where(|_, identity| identity.user_id == user);
    }

    pub fn role(&self, workspace: WorkspaceId, user: UserId) -> Option<WorkspaceRole> {
        self.0.roles.get(&(workspace, user), self.0.clock.instant())
    }

    /// Take it before a role is read, see [`Expiring`].
    pub fn role_epoch(&self) -> Epoch {
        self.0.roles.epoch()
    }

    pub fn remember_role(&self, epoch: Epoch, workspace: WorkspaceId, user: UserId, role: WorkspaceRole) {
        let now = self.0.clock.instant();
        self.0
            .roles
            .insert(epoch, (workspace, user), role, now + LIFETIME, now);
    }

    /// The user has joined the workspace, left it, or has another role there.
    pub fn forget_role(&self, workspace: WorkspaceId, user: UserId) {
        self.0.roles.remove(&(workspace, user));
    }

    /// The workspace is deleted, and with it the roles in it.
    pub fn forget_workspace(&self, workspace: WorkspaceId) {
        self.0.workspaces.remove(&workspace);
        self.0.roles.remove_where(|(of, _), _| *of == workspace);
    }

    /// Take it before a workspace is read, see [`Expiring`].
    pub fn workspace_epoch(&self) -> Epoch {
        self.0.workspaces.epoch()
    }

    pub fn knows_workspace(&self, workspace: WorkspaceId) -> bool {
        self.0
            .workspaces
            .get(&workspace, self.0.clock.instant())
            .is_some()
    }

    /// Only what exists is remembered.
    pub fn remember_workspace(&self, epoch: Epoch, workspace: WorkspaceId) {
        let now = self.0.clock.instant();
        self.0
            .workspaces
            .insert(epoch, workspace, (), now + LIFETIME, now);
    }
}
