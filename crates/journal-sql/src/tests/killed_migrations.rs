//! A process is killed while it migrates an SQLite database, with this version or with an earlier one.
//!
//! A kill leaves the files as they are at that moment. To get these states, SQLite calls back after every instruction
//! of its virtual machine (a statement has dozens), or after some hundreds of them, and the files are copied whenever
//! they have changed.

use std::{
    fs,
    path::{Path, PathBuf},
    sync::Mutex,
    time::SystemTime,
};

use migration::{MigrationTrait, Migrator, MigratorTrait, SchemaManager};
use sea_orm::{ConnectionTrait, DatabaseConnection, DbBackend, Statement, TransactionTrait};

use uuid::Uuid;

use super::{
    migrations::{database, execute, insert_workspace, read},
    *,
};
use crate::{MigrationProgress, open};

/// The migrations that earlier versions ran statement by statement on SQLite, with the number of their statements,
/// including those that install the chat in a demo. The other migrations had one transaction each, with the row of
/// `seaql_migrations` in it, so that a kill left no part of them.
const WITHOUT_TRANSACTION: [(&str, usize); 4] = [
    ("m20261123_000001_schema", 29),
    ("m20261124_000002_under_fire", 14),
    ("m20261124_000004_causes", 8),
    ("m20261124_000005_chat", 6),
];

/// The number of transactions in which an earlier version ran the migration. A kill between two of them left a part.
fn transactions_before(migration: &dyn MigrationTrait) -> usize {
    let known = WITHOUT_TRANSACTION
        .iter()
        .find(|(name, _)| *name == migration.name());
    known.map_or(1, |(_, statements)| *statements)
}

/// The files of a database, and copies of every state that a kill can leave them in.
#[derive(Clone)]
struct Kills {
    database: PathBuf,
    /// Whether the write-ahead log is written again from its beginning meanwhile, so that its size does not tell.
    reuses_log: bool,
    states: Arc<Mutex<States>>,
}

#[derive(Default)]
struct States {
    copies: Vec<PathBuf>,
    /// The sizes of the files at the last copy, and when the write-ahead log was written.
    sizes: Option<([u64; 2], Option<SystemTime>)>,
}

impl Kills {
    /// Starts to copy states, until [`Kills::states`]. Looks for a new state after so many instructions.
    async fn watch(connection: &DatabaseConnection, scratch: &Scratch, instructions: i32) -> Self {
        let kills = Self {
            database: scratch.settings().url.file().unwrap(),
            reuses_log: instructions > 1,
            states: Arc::default(),
        };
        let mut pooled = connection.get_sqlite_connection_pool().acquire().await.unwrap();
        let mut handle = pooled.lock_handle().await.unwrap();
        let watching = kills.clone();
        handle.set_progress_handler(instructions, move || {
            watching.copy();
            true
        });
        kills
    }

    /// Copies the files if they have changed. Their sizes are enough where no checkpoint runs meanwhile.
    fn copy(&self) {
        let sizes = [&self.database, &wal(&self.database)]
            .map(|file| fs::metadata(file).map_or(0, |data| data.len()));
        let written = fs::metadata(wal(&self.database)).and_then(|data| data.modified());
        let seen = (sizes, written.ok().filter(|_| self.reuses_log));
        let mut states = self.states.lock().unwrap();
        if states.sizes.replace(seen) == Some(seen) {
            return;
        }
        let copy = self
            .database
            .with_extension(format!("{}.db", states.copies.len()));
        fs::copy(&self.database, &copy).unwrap();
        if sizes[1] > 0 {
            fs::copy(wal(&self.database), wal(&copy)).unwrap();
        }
        states.copies.push(copy);
    }

    /// The states in which a kill could have left the database, in their order, the last one included.
    async fn states(self, connection: DatabaseConnection) -> Vec<DatabaseUrl> {
        self.copy();
        connection.close().await.unwrap();
        let states = self.states.lock().unwrap();
        states
            .copies
            .iter()
            .map(|copy| DatabaseUrl::parse(&format!("sqlite://{}", copy.display())).unwrap())
            .collect()
    }
}

fn wal(database: &Path) -> PathBuf {
    let mut name = database.as_os_str().to_owned();
    name.push("-wal");
    name.into()
}

/// Opens the journal on the database as a server does, stops it, and returns a connection to the result.
async fn started(scratch: &Scratch, url: &DatabaseUrl) -> Result<DatabaseConnection, OpenError> {
    let settings = JournalSettings {
        url: url.clone(),
        ..scratch.settings()
    };
    scratch.try_open(settings).await?.stop().await;
    Ok(url.writer("test", &WorkGuard::new(Clock)).await?)
}

/// Tables, indexes and the migrations that are recorded.
async fn schema(connection: &DatabaseConnection) -> Vec<String> {
    let mut schema = read(
        connection,
        "SELECT sql AS it FROM sqlite_master WHERE sql IS NOT NULL ORDER BY name",
    )
    .await;
    schema.extend(
        read(
            connection,
            "SELECT version AS it FROM seaql_migrations ORDER BY version",
        )
        .await,
    );
    schema
}

async fn schema_of_an_undisturbed_start() -> Vec<String> {
    let scratch = Scratch::sqlite();
    let connection = started(&scratch, &scratch.settings().url).await.unwrap();
    let schema = schema(&connection).await;
    connection.close().await.unwrap();
    schema
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_kill_between_any_two_statements_of_the_first_start_leaves_a_database_that_starts() {
    let expected = schema_of_an_undisturbed_start().await;
    let scratch = Scratch::sqlite();
    let connection = database_of_nothing(&scratch).await;
    let kills = Kills::watch(&connection, &scratch, 1).await;
    open::migrate_on(&connection, None, &Arc::default(), Clock)
        .await
        .unwrap();
    let states = kills.states(connection).await;
    // The states: nothing yet, the table of the migrations, and one for each migration.
    assert!(
        states.len() >= 2 + Migrator::migrations().len(),
        "{}",
        states.len()
    );
    let mut broken = Vec::new();
    for (number, state) in states.iter().enumerate() {
        match started(&scratch, state).await {
            Ok(connection) => {
                assert_eq!(schema(&connection).await, expected, "state {number}");
                connection.close().await.unwrap();
            }
            Err(error) => broken.push(format!("state {number}: {error}")),
        }
    }
    assert!(
        broken.is_empty(),
        "{} of {}: {broken:#?}",
        broken.len(),
        states.len()
    );
}

#[test]
fn every_migration_runs_in_one_transaction_on_every_engine() {
    for migration in Migrator::migrations() {
        assert_eq!(migration.use_transaction(), Some(true), "{}", migration.name());
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_an_earlier_version_has_left_half_migrated_is_completed_and_nothing_is_lost() {
    let expected = schema_of_an_undisturbed_start().await;
    for (steps, migration) in Migrator::migrations().iter().enumerate() {
        let scratch = Scratch::sqlite();
        let connection = database(&scratch, u32::try_from(steps).unwrap()).await;
        if steps > 0 {
            fill(&connection).await;
        }
        let kills = Kills::watch(&connection, &scratch, 1).await;
        run_as_before(&**migration, &connection).await;
        let states = kills.states(connection).await;
        assert_eq!(
            states.len(),
            1 + transactions_before(&**migration),
            "{}",
            migration.name()
        );
        for (number, state) in states.iter().enumerate() {
            let what = format!("{}, state {number}", migration.name());
            let connection = started(&scratch, state)
                .await
                .unwrap_or_else(|error| panic!("{what}: {error}"));
            assert_eq!(schema(&connection).await, expected, "{what}");
            if steps > 0 {
                // The demo was there before the chat: the migration installs the chat once.
                let chats = usize::from(steps <= 4);
                assert_eq!(
                    kept(&connection).await,
                    [1, 1, 1, 1, chats, chats, chats],
                    "{what}"
                );
            }
            connection.close().await.unwrap();
        }
    }
}

/// More than two pieces of events, in two workspaces, with what a copy could get wrong: long payloads and columns that
/// are NULL.
async fn fill_log(connection: &DatabaseConnection) -> Vec<String> {
    for events in [700, 10_000] {
        let workspace = Clock.new_uuid();
        let sql = format!(
            "WITH RECURSIVE numbers (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM numbers WHERE n < {events}) \
             INSERT INTO platform_event (workspace_id, seq, id, event_key, actor, payload, occurred_at, causation_id, \
             causation_depth) \
             SELECT {{1}}, n, randomblob(16), 'a.b', iif(n % 2 = 0, 'ann', NULL), \
             '{{\"n\":\"' || hex(zeroblob(iif(n % 1000 = 0, 3000, 20))) || '\"}}', n * 1000, \
             iif(n % 3 = 0, randomblob(16), NULL), n % 3 FROM numbers"
        );
        execute(connection, &sql, &[workspace]).await;
    }
    log(connection).await
}

/// Every column of every event.
async fn log(connection: &DatabaseConnection) -> Vec<String> {
    let sql = "SELECT hex(workspace_id) || seq || hex(id) || event_key || COALESCE(actor, '-') || payload || \
               occurred_at || COALESCE(hex(causation_id), '-') || causation_depth AS it FROM platform_event \
               ORDER BY workspace_id, seq";
    read(connection, sql).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_kill_at_any_statement_while_events_are_moved_loses_none_and_the_next_start_goes_on() {
    let expected = schema_of_an_undisturbed_start().await;
    let scratch = Scratch::sqlite();
    let connection = database(&scratch, 9).await;
    let events = fill_log(&connection).await;
    // Empties the write-ahead log, so that each state is a change of this migration.
    connection
        .execute_unprepared("PRAGMA wal_checkpoint(TRUNCATE)")
        .await
        .unwrap();
    let kills = Kills::watch(&connection, &scratch, 500).await;
    let progress = Arc::<MigrationProgress>::default();
    open::migrate_on(&connection, None, &progress, Clock)
        .await
        .unwrap();
    assert_eq!(progress.events(), Some((10_700, 10_700)));
    let states = kills.states(connection).await;
    assert!(states.len() >= 6, "{}", states.len());
    for (number, state) in states.iter().enumerate() {
        let connection = started(&scratch, state)
            .await
            .unwrap_or_else(|error| panic!("state {number}: {error}"));
        assert!(log(&connection).await == events, "state {number}");
        assert_eq!(schema(&connection).await, expected, "state {number}");
        connection.close().await.unwrap();
    }
}

/// Another program's table is not taken for one of ours.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_table_of_somebody_elses_is_not_taken_for_ours_and_nothing_is_added_to_theirs() {
    let scratch = Scratch::sqlite();
    let connection = database_of_nothing(&scratch).await;
    connection
        .execute_unprepared("CREATE TABLE workspace (id INTEGER PRIMARY KEY, title TEXT)")
        .await
        .unwrap();
    let refused = open::migrate_on(&connection, None, &Arc::default(), Clock)
        .await
        .unwrap_err();
    assert!(
        refused.to_string().contains("table workspace already exists"),
        "{refused}"
    );
    let tables = "SELECT name AS it FROM sqlite_master WHERE type = 'table' ORDER BY name";
    assert_eq!(read(&connection, tables).await, ["seaql_migrations", "workspace"]);
    connection.close().await.unwrap();
}

/// A database file without a table.
async fn database_of_nothing(scratch: &Scratch) -> DatabaseConnection {
    let url = scratch.settings().url;
    fs::create_dir_all(url.file().unwrap().parent().unwrap()).unwrap();
    url.writer("test", &WorkGuard::new(Clock)).await.unwrap()
}

/// Runs the migration as the earlier versions did whose parts are to be repaired.
async fn run_as_before(migration: &dyn MigrationTrait, connection: &DatabaseConnection) {
    if transactions_before(migration) > 1 {
        migration.up(&SchemaManager::new(connection)).await.unwrap();
        return;
    }
    let transaction = connection.begin().await.unwrap();
    migration.up(&SchemaManager::new(&transaction)).await.unwrap();
    let sql = "INSERT INTO seaql_migrations (version, applied_at) VALUES (?, 0)";
    let values = [migration.name().into()];
    transaction
        .execute_raw(Statement::from_sql_and_values(DbBackend::Sqlite, sql, values))
        .await
        .unwrap();
    transaction.commit().await.unwrap();
}

/// Inserts the rows that must be there after the migrations.
async fn fill(connection: &DatabaseConnection) {
    let ids: Vec<Uuid> = (0..3).map(|_| Clock.new_uuid()).collect();
    let [demo, crm, event] = ids[..] else {
        unreachable!()
    };
    insert_workspace(connection, demo, "demo").await;
    let log = "INSERT INTO platform_event (workspace_id, seq, id, event_key, payload, occurred_at) \
               VALUES ({1}, 1, {2}, 'a.b', '{}', 0)";
    execute(connection, log, &[demo, event]).await;
    let installation = "INSERT INTO ext_installation (id, workspace_id, key, name, delivery_type, signing_secret, \
                        headers, enabled, paused, revision, installed_at, installed_seq, closed) \
                        VALUES ({1}, {2}, 'crm', 'CRM', 'EXTERNAL_SERVICE', '', '', TRUE, FALSE, 1, 0, 0, FALSE)";
    execute(connection, installation, &[crm, demo]).await;
    let retry = "INSERT INTO ext_delivery_retry (installation_id, kind, event_id, workspace_id, seq, attempts, \
                 next_attempt_at) VALUES ({1}, 'LIVE', {2}, {3}, 1, 2, 0)";
    execute(connection, retry, &[crm, event, demo]).await;
}

/// Counts the rows that [`fill`] has inserted, and those of the chat's installation.
async fn kept(connection: &DatabaseConnection) -> [usize; 7] {
    let chat = "installation_id IN (SELECT id FROM ext_installation WHERE key = 'chat')";
    let counted = [
        "workspace WHERE name = 'demo'".to_owned(),
        "platform_event WHERE event_key = 'a.b'".to_owned(),
        "ext_installation WHERE key = 'crm'".to_owned(),
        "ext_delivery_retry WHERE attempts = 2".to_owned(),
        "ext_installation WHERE key = 'chat'".to_owned(),
        format!("ext_delivery_cursor WHERE settled_seq = 1 AND {chat}"),
        format!("ext_event_subscription WHERE from_seq = 1 AND {chat}"),
    ];
    let mut counts = [0; 7];
    for (count, of) in counts.iter_mut().zip(counted) {
        let rows = read(
            connection,
            &format!("SELECT CAST(COUNT(*) AS TEXT) AS it FROM {of}"),
        )
        .await;
        *count = rows[0].parse().unwrap();
    }
    counts
}
