//! A database of each former version is opened by this one: every row is there, and what was due is delivered.
//!
//! What a former version has stored is made of rows that this one has written over HTTP: the tables are made by the
//! migrations that the former version knew, and get the columns that they had then.

use std::path::PathBuf;

use migration::{Migrator, MigratorTrait as _};
use sea_orm::{ConnectOptions, ConnectionTrait as _, Database, DatabaseConnection, DbBackend, Statement};
use serde_json::json;

use super::care::run;
use pointsman_receive::Behavior;
use pointsman_test_kit::{Engine, Extension, Service, TestApp, Workspace, eventually, on_both_engines};

on_both_engines! {
    a_database_of_each_former_version_is_migrated_with_all_its_rows_and_serves,
}

/// The migration that installs the chat in a workspace `demo`.
const CHAT: usize = 5;

async fn a_database_of_each_former_version_is_migrated_with_all_its_rows_and_serves(engine: Engine) {
    let mut stored = Stored::make(engine).await;
    for version in 1..Migrator::migrations().len() {
        let before = stored.becomes(version).await;
        run(&stored.app, &["migrate"]).await;
        let after = stored.rows(&before).await;
        for (old, new) in before.iter().zip(after) {
            let lost: Vec<&String> = old.rows.iter().filter(|row| !new.contains(row)).collect();
            assert!(lost.is_empty(), "version {version}, {}: {lost:?}", old.name);
            let added = new.len() - old.rows.len();
            let chat = usize::from(version < CHAT && TABLES_OF_CHAT.contains(&old.name.as_str()));
            assert_eq!(added, chat, "version {version}, rows added to {}", old.name);
        }
        let sound = run(&stored.app, &["check"]).await;
        assert!(
            sound.starts_with("nothing is wrong"),
            "version {version}: {sound}"
        );
        stored.serves().await;
    }
    stored.app.start_again().await;
    stored.app.finish().await;
}

/// A migration has written a row into each of these.
const TABLES_OF_CHAT: [&str; 3] = [
    "ext_installation",
    "ext_delivery_cursor",
    "ext_event_subscription",
];

/// A table of a former version.
struct Table {
    name: String,
    columns: Vec<String>,
    /// As text, in no order.
    rows: Vec<String>,
}

/// A server whose database has something in every table.
struct Stored {
    app: TestApp,
    engine: Engine,
    acme: Workspace,
    demo: Workspace,
    /// Got everything so far.
    crm: Service,
    /// Has a delivery that is to be tried again.
    failing: Service,
    /// Is paused, with two deliveries.
    held: (Service, Extension),
    /// Has refused an event for good.
    gone: Service,
    letter: String,
    events: Vec<String>,
}

impl Stored {
    /// Fills a database over HTTP, and moves it aside.
    async fn make(engine: Engine) -> Self {
        let mut app = TestApp::with(engine, |settings| settings.retrying_after(&["1h"])).await;
        let acme = app.workspace("acme").await;
        app.member(&acme, "ann", "ADMIN").await;
        let [crm, failing, held, gone] = [
            Service::start().await,
            Service::behaving(Behavior::status(500)).await,
            Service::start().await,
            Service::behaving(Behavior::status(410)).await,
        ];
        let install = async |key: &str, service: &Service| {
            let installing = acme.install_external(key, service);
            installing.subscribed_to(&[format!("{key}.**").as_str()]).await
        };
        install("crm", &crm).await;
        let failed = install("failing", &failing).await;
        let paused = install("held", &held).await;
        install("gone", &gone).await;
        paused.pause().await;
        let mut events = acme.publish_many("crm.deal.closed", 3).await;
        events.extend(acme.publish_many("held.event", 2).await);
        events.push(acme.publish("gone.event", json!({"amount": 1.5})).await);
        let parked = acme.publish("failing.event", json!({})).await;
        let body = r#"{"eventKey":"crm.deal.opened","actor":"ann","payload":{"a" : 1e3}}"#;
        let headers = [("content-type", "application/json"), ("idempotency-key", "k")];
        let path = acme.path("/events/publish");
        acme.caller.send("POST", &path, &headers, body).await.expect(200);
        crm.received(4).await;
        acme.attempts_become(1, &parked, &failed).await;
        events.push(parked);
        let letters = acme.dead_letters_become(1, "").await;
        let letter = letters[0]["id"].as_str().expect("a letter has an id").to_owned();
        let demo = Workspace::demo(&app.admin).await;
        says(&demo, "hello").await;
        assert!(app.stop().await.success());
        let made = Self {
            app,
            engine,
            acme,
            demo,
            crm,
            failing,
            held: (held, paused),
            gone,
            letter,
            events,
        };
        made.move_aside().await;
        made
    }

    fn file(&self, name: &str) -> PathBuf {
        self.app.folder().join(name)
    }

    async fn move_aside(&self) {
        let database = self.app.database().await;
        let sql = match self.engine {
            // So that it is one file.
            Engine::Sqlite => "PRAGMA journal_mode = DELETE",
            Engine::Postgres => "ALTER SCHEMA public RENAME TO filled",
        };
        database.execute_unprepared(sql).await.expect("it is ours alone");
        database.close().await.expect("a connection can be closed");
        if self.engine == Engine::Sqlite {
            std::fs::rename(self.file("pointsman.db"), self.file("filled.db")).expect("it can be renamed");
        }
    }

    /// A connection on which what was moved aside is the schema `filled`.
    async fn connect(&self) -> DatabaseConnection {
        if self.engine == Engine::Postgres {
            return self.app.database().await;
        }
        let url = format!("{}?mode=rwc", self.app.database_url());
        let mut options = ConnectOptions::new(url);
        options.max_connections(1).sqlx_logging(false);
        let database = Database::connect(options).await.expect("the file can be made");
        let attach = format!("ATTACH '{}' AS filled", self.file("filled.db").display());
        database.execute_unprepared(&attach).await.expect("it is there");
        database
    }

    /// Replaces the database by one of the version that knew so many migrations. Returns its tables.
    async fn becomes(&self, version: usize) -> Vec<Table> {
        if self.engine == Engine::Sqlite {
            for name in ["pointsman.db", "pointsman.db-wal", "pointsman.db-shm"] {
                // There is none before the first version.
                let _ = std::fs::remove_file(self.file(name));
            }
        }
        let database = self.connect().await;
        if self.engine == Engine::Postgres {
            execute(&database, "DROP SCHEMA IF EXISTS public CASCADE").await;
            execute(&database, "CREATE SCHEMA public").await;
        }
        let migrations = u32::try_from(version).expect("there are few");
        Migrator::up(&database, Some(migrations)).await.expect("they run");
        let mut tables = tables(&database).await;
        for table in &tables {
            let (name, columns) = (&table.name, table.columns.join(", "));
            execute(&database, &format!("DELETE FROM {name}")).await;
            let copy = format!("INSERT INTO {name} ({columns}) SELECT {columns} FROM filled.{name}");
            execute(&database, &copy).await;
        }
        if version < CHAT {
            execute(&database, "DELETE FROM ext_installation WHERE key = 'chat'").await;
            for table in ["ext_delivery_cursor", "ext_event_subscription"] {
                let of_chat = format!(
                    "DELETE FROM {table} WHERE installation_id NOT IN (SELECT id FROM ext_installation)"
                );
                execute(&database, &of_chat).await;
            }
        }
        execute(&database, "UPDATE ext_delivery_retry SET next_attempt_at = 0").await;
        for table in &mut tables {
            table.rows = read(&database, table).await;
            // The chat had its tables, and settled its deliveries by a row that is gone when the cursor has passed it.
            let is_empty_for_now = matches!(
                table.name.as_str(),
                "ext_delivery_done" | "workspace_log" | "pruned_derived_event"
            );
            assert!(
                !table.rows.is_empty() || is_empty_for_now,
                "{} is empty",
                table.name
            );
        }
        database.close().await.expect("a connection can be closed");
        tables
    }

    /// The rows that the tables have now, of the columns that they had.
    async fn rows(&self, tables: &[Table]) -> Vec<Vec<String>> {
        let database = self.app.database().await;
        let mut rows = Vec::new();
        for table in tables {
            rows.push(read(&database, table).await);
        }
        database.close().await.expect("a connection can be closed");
        rows
    }

    /// Starts the server, has what is due delivered, and stops it.
    async fn serves(&mut self) {
        let counts = [&self.crm, &self.failing, &self.held.0, &self.gone].map(|service| service.count());
        for service in [&self.failing, &self.gone] {
            service.behave(Behavior::default());
        }
        self.app.start_again().await;
        let known: Vec<String> = self.acme.events().await.iter().map(id).collect();
        assert!(self.events.iter().all(|event| known.contains(event)), "{known:?}");
        self.acme.publish("crm.deal.closed", json!({})).await;
        self.held.1.resume().await;
        self.acme.replay(&self.letter).await.expect(202);
        self.acme.letter_becomes(&self.letter, "REPLAYED").await;
        says(&self.demo, "still there").await;
        let due = [1, 1, 2, 1];
        for ((service, count), due) in [&self.crm, &self.failing, &self.held.0, &self.gone]
            .into_iter()
            .zip(counts)
            .zip(due)
        {
            service.received(count + due).await;
        }
        self.app.settled().await;
        assert!(self.app.stop().await.success());
    }
}

fn id(event: &serde_json::Value) -> String {
    event["id"].as_str().expect("every event has an id").to_owned()
}

/// Posts a message to the chat of the workspace, and waits until it is there.
async fn says(workspace: &Workspace, message: &str) {
    let notification = json!({"channel": "deals", "message": message, "sender": "ann"});
    workspace.publish("platform.notification", notification).await;
    eventually(&format!("{message:?} is said"), async || {
        let messages = workspace.get("/channels/deals/messages").await.expect(200).rows();
        match messages.first().filter(|last| last["message"] == message) {
            Some(_) => Ok(()),
            None => Err(format!("{messages:?}")),
        }
    })
    .await;
}

/// The tables with their columns.
async fn tables(database: &DatabaseConnection) -> Vec<Table> {
    let (names, columns_of) = match database.get_database_backend() {
        DbBackend::Sqlite => (
            "SELECT name FROM sqlite_schema WHERE type = 'table' AND name NOT LIKE 'sqlite%'",
            "SELECT name FROM pragma_table_info('{table}')",
        ),
        _ => (
            "SELECT table_name::TEXT FROM information_schema.tables WHERE table_schema = 'public'",
            "SELECT column_name::TEXT FROM information_schema.columns \
             WHERE table_schema = 'public' AND table_name = '{table}'",
        ),
    };
    let mut tables = Vec::new();
    for name in texts(database, names).await {
        // The list of migrations is the version's own.
        if name == "seaql_migrations" {
            continue;
        }
        let columns = texts(database, &columns_of.replace("{table}", &name)).await;
        tables.push(Table {
            name,
            columns,
            rows: Vec::new(),
        });
    }
    tables
}

async fn read(database: &DatabaseConnection, table: &Table) -> Vec<String> {
    let row = match database.get_database_backend() {
        DbBackend::Sqlite => {
            let quoted = table.columns.iter().map(|column| format!("quote({column})"));
            quoted.collect::<Vec<_>>().join(" || ' ' || ")
        }
        _ => format!("CAST(ROW({}) AS TEXT)", table.columns.join(", ")),
    };
    texts(database, &format!("SELECT {row} FROM {}", table.name)).await
}

async fn execute(database: &DatabaseConnection, sql: &str) {
    let done = database.execute_unprepared(sql).await;
    done.unwrap_or_else(|error| panic!("{sql}: {error}"));
}

async fn texts(database: &DatabaseConnection, sql: &str) -> Vec<String> {
    let asked = Statement::from_string(database.get_database_backend(), sql);
    let rows = database.query_all_raw(asked).await;
    let rows = rows.unwrap_or_else(|error| panic!("{sql}: {error}"));
    rows.iter()
        .map(|row| row.try_get_by_index(0).expect("a text"))
        .collect()
}
