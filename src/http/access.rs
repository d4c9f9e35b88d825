//! The rights of callers. Every handler below `/api` takes a [`Caller`] and asks here first, before it looks at the
//! body or the query.

use actix_session::SessionExt;
use actix_web::{FromRequest, HttpRequest, dev::Payload};
use futures_util::future::{Ready, ready};

pub use super::caller::Caller;
use super::{known_caller, problem::Problem, state::AppState};
use pointsman_auth::sessions;
use pointsman_domain::{
    id::{UserId, WorkspaceId},
    role::{GlobalRole, WorkspaceRole},
};
use pointsman_store as store;

impl FromRequest for Caller {
    type Error = Problem;
    type Future = Ready<Result<Self, Problem>>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        if let Some(known) = known_caller::find(request) {
            return ready(Ok(known));
        }
        let caller = sessions::identity(&request.get_session()).map(Self::from);
        if caller.is_some() {
            known_caller::remember(request);
        }
        ready(caller.ok_or_else(Problem::unauthenticated))
    }
}

impl AppState {
    /// The workspace, if the caller may publish and read in it: its members and global admins may.
    ///
    /// # Errors
    /// 403 for any other caller, whether the workspace exists or not; 404 for a global admin when it does not.
    pub async fn member(&self, caller: &Caller, raw_workspace: &str) -> Result<WorkspaceId, Problem> {
        self.in_workspace(caller, raw_workspace, |_| true).await
    }

    /// The workspace, if the caller may manage it: its admins and global admins may.
    ///
    /// # Errors
    /// As [`AppState::member`]; 403 for its plain members too.
    pub async fn workspace_admin(
        &self,
        caller: &Caller,
        raw_workspace: &str,
    ) -> Result<WorkspaceId, Problem> {
        self.in_workspace(caller, raw_workspace, |role| role == WorkspaceRole::Admin)
            .await
    }

    /// # Errors
    /// 403 unless the caller is a global admin.
    pub fn admin(&self, caller: &Caller) -> Result<(), Problem> {
        match caller.role {
            GlobalRole::Admin => Ok(()),
            GlobalRole::User => Err(Problem::forbidden()),
        }
    }

    async fn in_workspace(
        &self,
        caller: &Caller,
        raw_workspace: &str,
        allows: impl Fn(WorkspaceRole) -> bool,
    ) -> Result<WorkspaceId, Problem> {
        // A text that is not an id is treated as a workspace that does not exist.
        let workspace = raw_workspace.parse().ok();
        match (caller.role, workspace) {
            (GlobalRole::Admin, Some(workspace)) if self.workspace_exists(workspace).await? => Ok(workspace),
            (GlobalRole::Admin, _) => Err(Problem::not_found("workspace")),
            (GlobalRole::User, Some(workspace)) => {
                let role = self.role_in(workspace, caller.user_id).await?;
                role.filter(|role| allows(*role))
                    .map(|_| workspace)
                    .ok_or_else(Problem::forbidden)
            }
            (GlobalRole::User, None) => Err(Problem::forbidden()),
        }
    }

    async fn workspace_exists(&self, workspace: WorkspaceId) -> Result<bool, Problem> {
        if self.access.knows_workspace(workspace) {
            return Ok(true);
        }
        let epoch = self.access.workspace_epoch();
        let exists = store::workspaces::find(self.router.access_reader(), workspace)
            .await?
            .is_some();
        if exists {
            self.access.remember_workspace(epoch, workspace);
        }
        Ok(exists)
    }

    async fn role_in(&self, workspace: WorkspaceId, user: UserId) -> Result<Option<WorkspaceRole>, Problem> {
        if let Some(role) = self.access.role(workspace, user) {
            return Ok(Some(role));
        }
        let epoch = self.access.role_epoch();
        let member = store::members::find(self.router.access_reader(), workspace, user).await?;
        let role = member.and_then(|member| WorkspaceRole::parse(&member.role));
        if let Some(role) = role {
            self.access.remember_role(epoch, workspace, user, role);
        }
        Ok(role)
    }
}
