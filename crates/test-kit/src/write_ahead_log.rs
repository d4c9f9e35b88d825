//! A load that never pauses, and the file of SQLite's write-ahead log meanwhile.

use std::{
    cell::Cell,
    convert::Infallible,
    path::{Path, PathBuf},
    pin::pin,
};

use futures_util::{
    StreamExt as _,
    future::{Either, join_all, select},
    stream,
};
use serde_json::json;

use super::{app::TestApp, workspace::Workspace};

pub const MIB: u64 = 1024 * 1024;
/// What `docs/operations.md` promises.
pub const BOUND: u64 = 64 * MIB;
const WORKSPACES: usize = 6;
/// Publishes at once, in one workspace.
const PUBLISHERS: usize = 8;

async fn tenants(app: &TestApp, count: usize) -> Vec<Workspace> {
    let names: Vec<String> = (0..count).map(|number| format!("tenant {number}")).collect();
    let made = names.iter().map(|name| app.workspace(name));
    stream::iter(made).buffered(PUBLISHERS).collect().await
}

/// The file of the log, and how large it was seen.
pub struct LogWatch {
    path: PathBuf,
    largest: Cell<u64>,
}

impl LogWatch {
    pub fn of(app: &TestApp) -> Self {
        Self::in_folder(app.folder())
    }

    fn in_folder(folder: &Path) -> Self {
        Self {
            path: folder.join("pointsman.db-wal"),
            largest: Cell::new(0),
        }
    }

    pub fn size(&self) -> u64 {
        std::fs::metadata(&self.path).map_or(0, |log| log.len())
    }

    /// The largest that it was after any of the publishes.
    pub fn largest(&self) -> u64 {
        self.largest.get()
    }

    /// Publishes so many events of 1.5 KiB in each of six workspaces, without a pause. Each makes some 16 KiB of log.
    pub async fn under_load(&self, app: &TestApp, events: usize) -> Vec<Workspace> {
        let workspaces = tenants(app, WORKSPACES).await;
        join_all(workspaces.iter().map(|workspace| self.publish(workspace, events))).await;
        workspaces
    }

    /// The same in so many workspaces, in turns: each event of a batch is of another workspace, and changes pages of
    /// its own.
    pub async fn under_load_over(&self, app: &TestApp, workspaces: usize, events: usize) {
        let workspaces = tenants(app, workspaces).await;
        let publishes =
            (0..events).flat_map(|_| workspaces.iter().map(|workspace| self.publish(workspace, 1)));
        stream::iter(publishes)
            .buffer_unordered(WORKSPACES * PUBLISHERS)
            .for_each(async |()| ())
            .await;
    }

    /// The same, while so many others read lists of events without a pause.
    pub async fn under_load_beside(&self, app: &TestApp, events: usize, readers: usize) {
        let workspaces = tenants(app, WORKSPACES).await;
        let load = join_all(workspaces.iter().map(|workspace| self.publish(workspace, events)));
        let read = async |number: usize| -> Infallible {
            loop {
                let workspace = &workspaces[number % WORKSPACES];
                // On a busy machine a read may have to wait too long for a connection. It has read nothing then.
                let status = workspace.get("/events?limit=200").await.status;
                assert!(matches!(status, 200 | 503), "{status}");
            }
        };
        let readers = join_all((0..readers).map(read));
        match select(pin!(load), pin!(readers)).await {
            Either::Left(_) => {}
            Either::Right((ends, _)) => assert!(ends.is_empty(), "readers do not end"),
        }
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
