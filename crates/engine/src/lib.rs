//! The router of this process, with the database behind it.

#![warn(missing_docs)]

use std::{ops::Deref, sync::Arc};

use pointsman_clock::Clock;
use pointsman_domain::{id::WorkspaceId, installation::NewInstallation};
use pointsman_journal::ChangeError;
use pointsman_journal_sql::{
    InProcessExtension, JournalSettings, OpenError, Reader, Readers, RetentionState, WorkspaceReader,
};
use pointsman_router::{Notices, RouterSettings};
use sea_orm::DatabaseTransaction;

/// What is deleted because of its age.
pub mod retention {
    pub use pointsman_journal_sql::{DeletedRows, Held, HeldBack, HeldBy, RetentionPass, RetentionState};
}

/// The router of this process, and the pools for reads of its database. Cheap to clone.
///
/// All that it does beside reading is in [`pointsman_router::EventRouter`].
#[derive(Clone, Debug)]
pub struct EventRouter {
    router: pointsman_router::EventRouter,
    readers: Readers,
    retention: Arc<RetentionState>,
}

impl Deref for EventRouter {
    type Target = pointsman_router::EventRouter;

    fn deref(&self) -> &Self::Target {
        &self.router
    }
}

impl EventRouter {
    /// Opens the database, brings the installations in line with the extensions of this process, and starts the
    /// actors. Hosts do it with `pointsman::server::RouterBuilder`. Call it within an actix `System`.
    ///
    /// # Errors
    /// See [`OpenError`].
    pub async fn open(
        settings: RouterSettings,
        database: JournalSettings,
        clock: Clock,
    ) -> Result<Self, OpenError> {
        let notices = Notices::default();
        let opened = pointsman_journal_sql::open(database, notices.sink(), clock).await?;
        let extensions = settings.in_process.extensions.all();
        let registered = extensions.map(|extension| InProcessExtension {
            key: extension.key.clone(),
            patterns: extension.patterns(),
        });
        let registered =
            pointsman_journal_sql::register_extensions(&opened.journal, registered.collect(), clock).await;
        if let Err(error) = registered {
            opened.journal.stop().await;
            return Err(error.into());
        }
        Ok(Self {
            router: pointsman_router::EventRouter::start(settings, opened.journal, notices, clock),
            readers: opened.readers,
            retention: opened.retention,
        })
    }

    /// What was deleted because of its age.
    pub fn retention(&self) -> &RetentionState {
        &self.retention
    }

    /// The pool for queries, with the crate `sea-orm`. The database refuses to write through it, and ends a statement
    /// after 3 s.
    pub fn reader(&self) -> &Reader {
        &self.readers.queries
    }

    /// The pool for queries of what belongs to this workspace. They use at most half of its connections at a time.
    pub fn reader_of(&self, workspace: WorkspaceId) -> WorkspaceReader {
        self.readers.queries.of(workspace)
    }

    /// The pool for who may do what: sessions, users, members and workspaces. What people look at does not use it.
    pub fn access_reader(&self) -> &Reader {
        &self.readers.access
    }

    /// Installs an extension within a transaction of [`pointsman_router::EventRouter::write`] that makes the
    /// workspace: there is no actor that would have to be told.
    ///
    /// # Errors
    /// [`ChangeError::Conflict`] where the key is installed already.
    pub async fn install_within(
        transaction: &DatabaseTransaction,
        workspace: WorkspaceId,
        new: NewInstallation,
        clock: Clock,
    ) -> Result<(), ChangeError> {
        pointsman_journal_sql::install_within(transaction, workspace, new, clock).await
    }
}
