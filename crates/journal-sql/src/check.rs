//! `pointsman check`: reads a database and says what is wrong with it.
//!
//! Everything is read in one transaction, so that what a server changes meanwhile is not seen half done. Nothing is
//! written. The log is read in pieces of its key, the other tables by statements that give only the rows that are
//! wrong, a few at a time: memory does not grow with the database.

mod collected;
mod log_walk;
mod questions;
mod rows;
mod secrets;

use sea_orm::{
    AccessMode, ConnectionTrait, DatabaseConnection, DatabaseTransaction, DbBackend, IsolationLevel,
    TransactionTrait,
};

pub use self::collected::Finding;
use self::{
    collected::Collected,
    log_walk::{Bounds, Walked},
    rows::count,
};
use super::{
    care_error::CareError,
    database::DatabaseUrl,
    key_check::MasterKey,
    open_error::OpenError,
    room_watch::RoomWatch,
    schema_version::{SchemaVersion, schema_version},
};

/// What a check has looked at, and what it has found.
#[derive(Clone, Debug)]
pub struct Checked {
    /// What is wrong, at most [`Finding::SHOWN`] of each kind, in the order in which it was looked for.
    pub findings: Vec<Finding>,
    /// How many more there are of a kind.
    pub left_out: Vec<(&'static str, u64)>,
    /// Events in all logs.
    pub events: u64,
    /// Workspaces whose logs have events.
    pub logs: u64,
    /// Installations, also those that are uninstalled.
    pub installations: u64,
}

impl Checked {
    /// How many things are wrong.
    pub fn wrong(&self) -> u64 {
        self.findings.len() as u64 + self.left_out.iter().map(|(_, more)| more).sum::<u64>()
    }
}

/// Reads the database and says what is wrong with it. Takes no claim and writes nothing, so that it may run beside a
/// server. Where the key is given, it is tried on every secret.
///
/// The write-ahead log of an embedded database grows meanwhile, because the snapshot is kept: the check is given up
/// before `min_free_bytes` of its disk are touched.
///
/// # Errors
/// See [`CareError`]. That something is wrong is no error.
pub async fn check(
    url: &DatabaseUrl,
    key: Option<&dyn MasterKey>,
    min_free_bytes: u64,
) -> Result<Checked, CareError> {
    let Some(database) = url.file() else {
        let connection = url.snapshot_connection().await?;
        let checked = check_on(&connection, key).await;
        connection.close().await?;
        return checked;
    };
    if !database.exists() {
        return Err(CareError::Missing(database));
    }
    let watch = RoomWatch::of(&database, min_free_bytes);
    let connection = DatabaseUrl::existing_file(&database)
        .snapshot_connection()
        .await?;
    let checked = tokio::select! {
        checked = check_on(&connection, key) => checked,
        // The statement that runs ends with the process.
        short = watch.until_short() => return Err(short),
    };
    connection.close().await?;
    checked
}

async fn check_on(
    connection: &DatabaseConnection,
    key: Option<&dyn MasterKey>,
) -> Result<Checked, CareError> {
    let snapshot = match connection.get_database_backend() {
        DbBackend::Postgres => {
            connection
                .begin_with_config(Some(IsolationLevel::RepeatableRead), Some(AccessMode::ReadOnly))
                .await?
        }
        _ => {
            connection.execute_unprepared("PRAGMA query_only = on").await?;
            connection.begin().await?
        }
    };
    let checked = check_within(&snapshot, key).await;
    snapshot.rollback().await?;
    checked
}

async fn check_within(
    snapshot: &DatabaseTransaction,
    key: Option<&dyn MasterKey>,
) -> Result<Checked, CareError> {
    let mut found = Collected::default();
    // First: where the file is damaged, other statements may fail.
    questions::ask_engine(snapshot, &mut found).await?;
    let read = read_all(snapshot, key, &mut found).await;
    let seen = match read {
        Err(CareError::Open(OpenError::Database(error))) if !found.is_empty() => {
            found.add(questions::DEFECT, || format!("the rest cannot be read: {error}"));
            Seen::default()
        }
        read => read?,
    };
    let (findings, left_out) = found.into_parts();
    Ok(Checked {
        findings,
        left_out,
        events: seen.logs.events,
        logs: seen.logs.logs,
        installations: seen.installations,
    })
}

#[derive(Default)]
struct Seen {
    logs: Walked,
    installations: u64,
}

async fn read_all(
    snapshot: &DatabaseTransaction,
    key: Option<&dyn MasterKey>,
    found: &mut Collected,
) -> Result<Seen, CareError> {
    match schema_version(snapshot).await? {
        SchemaVersion::Current => {}
        SchemaVersion::Older => return Err(CareError::Older),
        SchemaVersion::Newer(version) => return Err(OpenError::Newer(version).into()),
        SchemaVersion::Foreign => return Err(CareError::Foreign("database.url".to_owned())),
    }
    let bounds = Bounds::of(snapshot).await?;
    let logs = log_walk::walk(snapshot, bounds, found).await?;
    questions::ask(snapshot, bounds, found).await?;
    if let Some(key) = key {
        secrets::try_on_all(snapshot, key, found).await?;
    }
    Ok(Seen {
        logs,
        installations: count(snapshot, "SELECT count(*) FROM ext_installation").await?,
    })
}
