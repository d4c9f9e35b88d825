//! A server under test, from its start to the questions asked at its end.

use std::{
    net::SocketAddr,
    os::unix::fs::DirBuilderExt as _,
    path::{Path, PathBuf},
    process::{ChildStderr, ExitStatus},
    time::Duration,
};

use pointsman_clock::Clock;
use sea_orm::DatabaseConnection;
use serde_json::json;
use tokio::time::timeout;

use super::{
    client::{Answer, Caller, Target},
    database::{self, Engine, TestDatabase},
    eventually::eventually,
    process::{self, Ended, ServerProcess},
    proxy::Proxy,
    settings::Settings,
    workspace::{Workspace, text},
};

pub const ADMIN_EMAIL: &str = "admin@pointsman.test";
pub const ADMIN_PASSWORD: &str = "correct horse battery";
/// That of every user that the kit makes.
pub const USER_PASSWORD: &str = "staple staple staple";

/// A running server with a folder and a database of its own. A test ends it by [`TestApp::finish`].
pub struct TestApp {
    /// Global admin.
    pub admin: Caller,
    folder: PathBuf,
    /// None only once it has been dropped.
    database: Option<TestDatabase>,
    settings: Settings,
    target: Target,
    /// None while it is stopped.
    process: Option<ServerProcess>,
    finished: bool,
}

/// A user of the server under test, signed in.
pub struct User {
    pub id: String,
    pub caller: Caller,
}

impl TestApp {
    /// A fresh server with a fresh database that retries soon.
    pub async fn start(engine: Engine) -> Self {
        Self::with(engine, |settings| settings).await
    }

    /// As [`TestApp::start`], with the settings that the test needs.
    pub async fn with(engine: Engine, choose: impl FnOnce(Settings) -> Settings) -> Self {
        let folder = folder();
        let database = TestDatabase::create(engine, &folder).await;
        Self::with_database(folder, database, choose).await
    }

    /// As [`TestApp::start`], after starts on the same database that are killed after these times, ready or not.
    pub async fn killed_while_starting(engine: Engine, after: &[Duration]) -> Self {
        let folder = folder();
        let database = TestDatabase::create(engine, &folder).await;
        let settings = defaults(&database);
        for after in after {
            // Dropping a process kills it.
            drop(timeout(*after, ServerProcess::start(&folder, &settings)).await);
        }
        Self::with_database(folder, database, |settings| settings).await
    }

    /// With an SQLite file in this folder, which outlives the server.
    pub async fn in_folder(database: &Path, choose: impl FnOnce(Settings) -> Settings) -> Self {
        Self::with_database(folder(), TestDatabase::in_folder(database), choose).await
    }

    /// With an SQLite file in this folder below the server's own, which the server makes.
    pub async fn in_new_folder(name: &str) -> Self {
        let folder = folder();
        let database = TestDatabase::in_folder(&folder.join(name));
        Self::with_database(folder, database, |settings| settings).await
    }

    /// With a new database on this PostgreSQL server.
    pub async fn on_server(url: &str, choose: impl FnOnce(Settings) -> Settings) -> Self {
        let database = TestDatabase::on_server(url).await;
        Self::with_database(folder(), database, choose).await
    }

    /// With a new database on PostgreSQL, which the server reaches through a proxy.
    pub async fn behind_proxy(choose: impl FnOnce(Settings) -> Settings) -> (Self, Proxy) {
        let folder = folder();
        let database = TestDatabase::create(Engine::Postgres, &folder).await;
        let (proxy, url) = Proxy::before(&database.url).await;
        let choose = |settings: Settings| choose(settings.set("database.url", url));
        (Self::with_database(folder, database, choose).await, proxy)
    }

    async fn with_database(
        folder: PathBuf,
        database: TestDatabase,
        choose: impl FnOnce(Settings) -> Settings,
    ) -> Self {
        let settings = choose(defaults(&database));
        let process = ServerProcess::start(&folder, &settings).await;
        let target = Target::new(process.address);
        let mut app = Self {
            admin: Caller::anonymous(&target),
            folder,
            database: Some(database),
            settings,
            target,
            process: Some(process),
            finished: false,
        };
        app.admin = app.admin.login(ADMIN_EMAIL, ADMIN_PASSWORD).await;
        app
    }

    /// Stops in order and starts again on the same database.
    pub async fn restart(&mut self) {
        let status = self.stop().await;
        assert!(status.success(), "an ordered stop ends with {status}");
        self.start_again().await;
    }

    /// SIGKILL.
    pub fn kill(&mut self) {
        self.process.take().expect("the server runs").kill();
    }

    /// Starts on the same database after [`TestApp::kill`] or [`TestApp::stop`]. The port is another one,
    /// since the former may have been taken meanwhile; callers keep their sessions.
    pub async fn start_again(&mut self) {
        assert!(self.process.is_none(), "the server runs already");
        let process = ServerProcess::start(&self.folder, &self.settings).await;
        self.target.moved_to(process.address);
        self.process = Some(process);
    }

    /// Starts on the same database and, if it has not been killed by then, kills it after this time, ready
    /// or not.
    pub async fn start_and_die(&self, after: Duration) {
        assert!(self.process.is_none(), "the server runs already");
        let starting = ServerProcess::start(&self.folder, &self.settings);
        // Dropping a process kills it.
        drop(timeout(after, starting).await);
    }

    /// As [`TestApp::start_again`], and waits until the server is ready to serve, at most for this time: then it is
    /// killed. Says whether it is ready.
    pub(crate) async fn start_again_within(&mut self, time: Duration) -> bool {
        assert!(self.process.is_none(), "the server runs already");
        let ready = async {
            // A process that is dropped is killed.
            let process = ServerProcess::start(&self.folder, &self.settings).await;
            let target = Target::new(process.address);
            until_ready(&Caller::anonymous(&target)).await;
            process
        };
        let Ok(process) = timeout(time, ready).await else {
            return false;
        };
        self.target.moved_to(process.address);
        self.process = Some(process);
        true
    }

    /// SIGTERM; returns how the process ended.
    pub async fn stop(&mut self) -> ExitStatus {
        self.terminate();
        self.stopped().await
    }

    /// SIGTERM; returns at once.
    pub fn terminate(&self) {
        self.signal("TERM");
    }

    /// The other end of its log, see `Settings::with_piped_log`.
    pub fn piped_log(&mut self) -> ChildStderr {
        self.process.as_mut().expect("the server runs").piped_log()
    }

    /// Sends a signal such as `TERM`; returns at once.
    pub fn signal(&self, name: &str) {
        self.process.as_ref().expect("the server runs").signal(name);
    }

    /// Waits for the end of a server that was told to stop.
    pub async fn stopped(&mut self) -> ExitStatus {
        self.process.take().expect("the server runs").ended().await
    }

    /// Runs the binary once more with the settings of this server and some of its own, to its end.
    pub async fn run(&self, arguments: &[&str], choose: impl FnOnce(Settings) -> Settings) -> Ended {
        process::run_to_end(&self.folder, &choose(self.settings.clone()), arguments).await
    }

    /// As [`TestApp::run`], but killed after this time if it has not ended by then. Returns how it ended.
    pub async fn run_and_die(&self, arguments: &[&str], after: Duration) -> Option<Ended> {
        process::run_for(&self.folder, &self.settings, arguments, after).await
    }

    /// A caller without a session.
    pub fn anonymous(&self) -> Caller {
        Caller::anonymous(&self.target)
    }

    /// Where the server listens.
    pub fn address(&self) -> SocketAddr {
        self.target.address()
    }

    /// A request by the global admin.
    pub async fn api(&self, method: &str, path: &str, json: Option<&serde_json::Value>) -> Answer {
        self.admin.api(method, path, json).await
    }

    /// Makes a workspace.
    pub async fn workspace(&self, name: &str) -> Workspace {
        let made = self
            .admin
            .post("/api/workspaces", &json!({"name": name}))
            .await
            .expect(201);
        Workspace {
            caller: self.admin.clone(),
            id: text(&made.data(), "id"),
        }
    }

    /// Makes a user who is a member of nothing, and signs them in.
    pub async fn user(&self, name: &str) -> User {
        let email = format!("{name}@pointsman.test");
        let body = json!({"email": email, "password": USER_PASSWORD, "role": "USER"});
        let made = self.admin.post("/api/users", &body).await.expect(201);
        User {
            id: text(&made.data(), "id"),
            caller: self.anonymous().login(&email, USER_PASSWORD).await,
        }
    }

    /// Makes a user with a role in the workspace, and signs them in.
    pub async fn member(&self, workspace: &Workspace, name: &str, role: &str) -> User {
        let user = self.user(name).await;
        workspace
            .seen_by(&self.admin)
            .put_member(&user.id, role)
            .await
            .expect(200);
        user
    }

    /// The test's database, for what the API does not show.
    pub async fn database(&self) -> DatabaseConnection {
        self.database
            .as_ref()
            .expect("the test has not finished")
            .connect()
            .await
    }

    /// Where the test's database is.
    pub fn database_url(&self) -> &str {
        &self.database.as_ref().expect("the test has not finished").url
    }

    /// Waits until nothing is left unsettled.
    pub async fn settled(&self) {
        let connection = self.database().await;
        until_settled(&connection).await;
        connection.close().await.expect("a connection can be closed");
    }

    /// Resident memory of the server now, in bytes.
    pub fn resident_bytes(&self) -> u64 {
        self.process.as_ref().expect("the server runs").resident_bytes()
    }

    /// Where the test's server runs; an SQLite file is there unless the test has chosen another place.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// What the test's servers have logged so far.
    pub fn log(&self) -> String {
        process::log(&self.folder)
    }

    /// Ends the test: waits until nothing is left unsettled, stops the server in order, and looks again at
    /// what has become durable.
    pub async fn finish(mut self) {
        let connection = self.database().await;
        until_settled(&connection).await;
        let status = self.stop().await;
        assert!(status.success(), "an ordered stop ends with {status}");
        let left = database::unsettled(&connection).await;
        assert!(left.is_empty(), "unsettled after the stop: {left:#?}");
        self.clean_up(connection).await;
    }

    /// Ends a test that leaves deliveries waiting on purpose.
    pub async fn finish_leaving_unsettled(mut self) {
        let connection = self.database().await;
        let status = self.stop().await;
        assert!(status.success(), "an ordered stop ends with {status}");
        let left = database::unsettled(&connection).await;
        assert!(
            !left.is_empty(),
            "everything is settled; end the test by finish()"
        );
        self.clean_up(connection).await;
    }

    /// Removes folder and database of a server that is stopped.
    pub async fn clean_up(&mut self, connection: DatabaseConnection) {
        connection.close().await.expect("a connection can be closed");
        if let Some(database) = self.database.take() {
            database.drop().await;
        }
        std::fs::remove_dir_all(&self.folder).expect("the test's folder can be removed");
        self.finished = true;
    }
}

impl Drop for TestApp {
    fn drop(&mut self) {
        if std::thread::panicking() {
            show(&format!(
                "--- {}\n{}",
                self.folder.display(),
                process::log_tail(&self.folder)
            ));
        } else {
            assert!(self.finished, "the test must end its server by finish()");
        }
    }
}

/// Waits until the server serves everything, and not its health alone.
async fn until_ready(caller: &Caller) {
    eventually("the server is ready", async || {
        let answer = caller.get("/readyz").await;
        if answer.status == 200 {
            Ok(())
        } else {
            Err(answer.shown())
        }
    })
    .await;
}

async fn until_settled(connection: &DatabaseConnection) {
    eventually("every due delivery is settled", async || {
        let left = database::unsettled(connection).await;
        if left.is_empty() {
            Ok(())
        } else {
            Err(left.join("\n"))
        }
    })
    .await;
}

/// A new one for the server of a test.
fn folder() -> PathBuf {
    let folder = std::env::temp_dir().join(format!("pointsman-test-{}", Clock.new_uuid()));
    // With the permissions that the server gives its own folders; it logs a warning for wider ones.
    let made = std::fs::DirBuilder::new().mode(0o700).create(&folder);
    made.expect("a folder can be made for the test");
    folder
}

/// Says it on standard error.
#[expect(
    clippy::print_stderr,
    reason = "the runner shows it with the test that failed"
)]
pub(crate) fn show(text: &str) {
    eprintln!("{text}");
}

fn defaults(database: &TestDatabase) -> Settings {
    Settings::default()
        .set("server.port", 0)
        .set("server.workers", 1)
        .set("server.shutdown_grace", "10s")
        .set("router.threads", 1)
        .set("database.url", &database.url)
        .set("database.max_connections", 4)
        .set("bootstrap.admin_email", ADMIN_EMAIL)
        .set("bootstrap.admin_password", ADMIN_PASSWORD)
        .set("delivery.timeout", "5s")
        .set("delivery.jitter", "0.0")
        .retrying_after(&["50ms", "100ms"])
}
