//! The journal over SQL, on SQLite and PostgreSQL. Implements the ports of [`pointsman_journal::storage`], takes the
//! claim, runs the migrations at start and has the pools for reads.

mod apply;
mod attach;
mod backup;
mod batch_driver;
mod care_error;
mod causes;
mod check;
mod claim;
mod database;
mod disk_watch;
mod due;
mod effects;
mod engine_clock;
mod erasure;
mod event_row;
mod fault;
mod idempotency;
mod in_process;
mod installations;
mod key_check;
mod letters;
mod marker;
mod migrating;
mod open;
mod open_error;
mod reader;
mod reads;
mod recovery;
mod restore;
mod retention;
mod room_watch;
mod schema_version;
mod session;
mod size;
mod snapshot_copy;
mod spans;
mod sql;
mod sql_storage;
mod transaction;
mod work_guard;
mod workspace_deletion;
mod write_ahead_log;

pub use self::{
    backup::{BackedUp, backup},
    care_error::CareError,
    check::{Checked, Finding, check},
    database::DatabaseUrl,
    in_process::{InProcessExtension, register_extensions},
    installations::install_within,
    key_check::{MasterKey, Unreadable},
    migrating::MigrationProgress,
    open::{JournalSettings, Opened, accept_key, migrate, open},
    open_error::OpenError,
    reader::{Reader, Readers, WorkspaceReader},
    restore::{Restored, restore},
    retention::{DeletedRows, Held, HeldBack, HeldBy, RetentionPass, RetentionSettings, RetentionState},
};

#[cfg(test)]
mod tests;
