//! A load that never pauses, and the file of SQLite's write-ahead log meanwhile.

use std::{
    cell::Cell,
    path::{Path, PathBuf},
};

use futures_util::{StreamExt as _, future::join_all, stream};
use serde_json::json;

use super::{app::TestApp, workspace::Workspace};

pub(crate) const MIB: u64 = 1024 * 1024;
/// What `docs/operations.md` promises.
pub(crate) const BOUND: u64 = 64 * MIB;
const WORKSPACES: usize = 6;
/// Publishes at once, in one workspace.
const PUBLISHERS: usize = 8;

/// The file of the log, and how large it was seen.
pub(crate) struct LogWatch {
    path: PathBuf,
    largest: Cell<u64>,
}

impl LogWatch {
    pub(crate) fn of(app: &TestApp) -> Self {
        Self::in_folder(app.folder())
    }

    fn in_folder(folder: &Path) -> Self {
        Self {
            path: folder.join("pointsman.db-wal"),
            largest: Cell::new(0),
        }
    }

    pub(crate) fn size(&self) -> u64 {
        std::fs::metadata(&self.path).map_or(0, |log| log.len())
    }

    /// The largest that it was after any of the publishes.
    pub(crate) fn largest(&self) -> u64 {
        self.largest.get()
    }

    /// Publishes so many events of 1.5 KiB in each of six workspaces, without a pause. Each makes some 16 KiB of log.
    pub(crate) async fn under_load(&self, app: &TestApp, events: usize) -> Vec<Workspace> {
        let names: Vec<String> = (0..WORKSPACES).map(|number| format!("tenant {number}")).collect();
        let workspaces = join_all(names.iter().map(|name| app.workspace(name))).await;
        join_all(workspaces.iter().map(|workspace| self.publish(workspace, events))).await;
        workspaces
    }

    async fn publish(&self, workspace: &Workspace, events: usize) {
        let deal = "x".repeat(1_500);
        let publishes = (0..events).map(|_| async {
            workspace.publish("crm.deal.closed", json!({"deal": deal})).await;
            self.largest.set(self.largest.get().max(self.size()));
        });
        stream::iter(publishes)
            .buffer_unordered(PUBLISHERS)
            .for_each(async |()| ())
            .await;
    }
}
