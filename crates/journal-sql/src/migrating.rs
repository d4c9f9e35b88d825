//! Migrates the database, and tells how far it is.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use migration::{Migrator, MigratorTrait, moving};
use sea_orm::{DatabaseConnection, DbErr};

use pointsman_clock::Clock;

/// How often the log says how far a long migration is.
const TELL_EVERY: Duration = Duration::from_secs(5);

/// How far the events of a database are moved to the layout of this version. Read while the database is being opened.
#[derive(Debug, Default)]
pub struct MigrationProgress {
    moved: AtomicU64,
    all: AtomicU64,
}

impl MigrationProgress {
    /// The events that are moved, and all that have to be; none where no event has to be moved.
    pub fn events(&self) -> Option<(u64, u64)> {
        let all = self.all.load(Ordering::Relaxed);
        (all > 0).then(|| (self.moved.load(Ordering::Relaxed), all))
    }

    fn set(&self, progress: moving::Progress) {
        self.moved.store(progress.moved, Ordering::Relaxed);
        self.all.store(progress.all, Ordering::Relaxed);
    }
}

/// Runs the migrations that are pending, each in one transaction with its row in `seaql_migrations`, and after each the
/// work in pieces that it leaves. Begins with what a process that was killed has left of such work.
pub(crate) async fn migrate(
    connection: &DatabaseConnection,
    progress: &Arc<MigrationProgress>,
    clock: Clock,
) -> Result<(), DbErr> {
    move_rows(connection, progress, clock).await?;
    for _ in 0..Migrator::get_pending_migrations(connection).await?.len() {
        Migrator::up(connection, Some(1)).await?;
        move_rows(connection, progress, clock).await?;
    }
    Ok(())
}

async fn move_rows(
    connection: &DatabaseConnection,
    progress: &Arc<MigrationProgress>,
    clock: Clock,
) -> Result<(), DbErr> {
    let mut told: Option<Instant> = None;
    moving::move_rows(connection, |now| {
        progress.set(now);
        let moving::Progress { moved, all } = now;
        if told.is_none() {
            log::warn!(events = all; "the events of this database are moved to a new layout before the server accepts \
                any; a stop meanwhile loses nothing, and the next start goes on");
        } else if told.is_some_and(|told| clock.elapsed(told) < TELL_EVERY) {
            return;
        } else {
            log::info!(moved, of = all; "events are being moved");
        }
        told = Some(clock.instant());
    })
    .await?;
    if told.is_some() {
        log::info!("all events are moved");
    }
    Ok(())
}
