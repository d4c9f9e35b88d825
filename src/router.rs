//! (stub: signatures only)

use futures_util::future::BoxFuture;
use sea_orm::{DatabaseConnection, DatabaseTransaction, DbErr};

use crate::domain::{attempt::AttemptResult, event::NewEvent, id::*, installation::*};

#[derive(Clone, Debug)]
pub struct EventRouter {}

/// Why an event was not accepted.
#[derive(Debug, thiserror::Error)]
pub enum PublishError {
    #[error("too many publishes are in flight")]
    Overloaded,
    #[error("the database cannot be reached")]
    StorageUnavailable,
    #[error("the server is shutting down")]
    ShuttingDown,
    #[error("the event could not be stored: {0}")]
    Refused(String),
}

/// Why a change by an admin was not made. Nothing was written.
#[derive(Debug, thiserror::Error)]
pub enum ChangeError {
    #[error("{0} not found")]
    NotFound(&'static str),
    #[error("{0}")]
    Conflict(String),
    #[error("the database cannot be reached")]
    StorageUnavailable,
    #[error("storage: {0}")]
    Database(#[from] DbErr),
}

impl EventRouter {
    /// Returns when the event is durable.
    pub async fn publish(&self, _workspace: WorkspaceId, _event: NewEvent) -> Result<(), PublishError> {
        unimplemented!()
    }
    pub async fn install(
        &self,
        _workspace: WorkspaceId,
        _new: NewInstallation,
    ) -> Result<entity::ext_installation::Model, ChangeError> {
        unimplemented!()
    }
    pub async fn change_installation(
        &self,
        _workspace: WorkspaceId,
        _installation: InstallationId,
        _change: InstallationChange,
    ) -> Result<entity::ext_installation::Model, ChangeError> {
        unimplemented!()
    }
    /// Sends `event` to this installation alone; nothing is recorded but the attempt.
    pub async fn send_test(
        &self,
        _workspace: WorkspaceId,
        _installation: InstallationId,
        _event: NewEvent,
    ) -> Result<AttemptResult, ChangeError> {
        unimplemented!()
    }
    pub async fn replay(
        &self,
        _workspace: WorkspaceId,
        _letter: DeadLetterId,
        _to: Option<InstallationId>,
    ) -> Result<(), ChangeError> {
        unimplemented!()
    }
    pub async fn discard(&self, _workspace: WorkspaceId, _letter: DeadLetterId) -> Result<(), ChangeError> {
        unimplemented!()
    }
    /// Runs `work` in a transaction of the one writer connection. On error it is rolled back.
    pub async fn write<T, F>(&self, _work: F) -> Result<T, ChangeError>
    where
        T: Send + 'static,
        F: for<'a> FnOnce(&'a DatabaseTransaction) -> BoxFuture<'a, Result<T, ChangeError>> + Send + 'static,
    {
        unimplemented!()
    }
    /// The pool for reads.
    pub fn reader(&self) -> &DatabaseConnection {
        unimplemented!()
    }
    /// Breaker and lane figures of an installation that has an actor right now.
    pub async fn health(
        &self,
        _workspace: WorkspaceId,
        _installation: InstallationId,
    ) -> Option<crate::router::LaneHealth> {
        unimplemented!()
    }
    /// Able to accept and deliver; otherwise why not.
    pub fn readiness(&self) -> Result<(), String> {
        unimplemented!()
    }
}

#[derive(Clone, Debug)]
pub struct LaneHealth {
    pub in_flight: usize,
    pub last_success_at: Option<crate::domain::timestamp::Timestamp>,
    pub last_failure_at: Option<crate::domain::timestamp::Timestamp>,
}
