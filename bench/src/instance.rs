//! A server that is measured, with a database of its own.

use std::time::Duration;

use anyhow::{Context as _, Result, bail};

use crate::{
    api::{ADMIN, Api},
    bench::Bench,
    database::{Database, Engine},
    event::Request,
    fill::Fill,
    folder::TemporaryFolder,
    process::{Program, ServerProcess},
    time,
};

/// The password of the admin. The server runs for some minutes, and listens on the loopback interface only.
const PASSWORD: &str = "bench-bench-bench";
/// How long a server may take from its start until it is ready.
const PATIENCE_SECONDS: f64 = 60.0;
const LOOK: Duration = Duration::from_millis(1);

/// A server and its database. Dropping this ends the server and removes its files; [`Instance::end`] also drops its
/// database on PostgreSQL.
#[derive(Debug)]
pub(crate) struct Instance {
    server: Option<ServerProcess>,
    program: Program,
    pub(crate) database: Database,
    pub(crate) api: Api,
    _folder: TemporaryFolder,
}

impl Instance {
    /// Pointsman with its own defaults, on a free port.
    pub(crate) async fn pointsman(bench: &Bench, engine: Engine) -> Result<Self> {
        Self::pointsman_with(bench, engine, &[]).await
    }

    /// Pointsman with these settings: the names of environment variables without `POINTSMAN__`, and their values.
    pub(crate) async fn pointsman_with(
        bench: &Bench,
        engine: Engine,
        changed: &[(&str, String)],
    ) -> Result<Self> {
        let (folder, database) = Self::place(bench, engine).await?;
        let changed = changed
            .iter()
            .map(|(name, value)| (format!("POINTSMAN__{name}"), value.clone()));
        let program = Program {
            path: bench.server.clone(),
            arguments: Vec::new(),
            environment: settings(&database).into_iter().chain(changed).collect(),
            folder: folder.path().to_owned(),
        };
        Self::start(folder, database, program).await
    }

    /// The host: Pointsman in a program with extensions of the bench.
    pub(crate) async fn host(bench: &Bench, engine: Engine) -> Result<Self> {
        let (folder, database) = Self::place(bench, engine).await?;
        let program = Program {
            path: std::env::current_exe()?,
            arguments: vec![crate::host::COMMAND.to_owned()],
            environment: settings(&database),
            folder: folder.path().to_owned(),
        };
        Self::start(folder, database, program).await
    }

    /// The ceiling, which delivers to this URL. Its requests carry the cookie of `like`, so that they are as long.
    pub(crate) async fn ceiling(
        bench: &Bench,
        engine: Engine,
        deliver_to: &str,
        like: &Self,
    ) -> Result<Self> {
        let (folder, database) = Self::place(bench, engine).await?;
        let program = Program {
            path: std::env::current_exe()?,
            arguments: vec![
                crate::ceiling::COMMAND.to_owned(),
                database.url.clone(),
                format!("{deliver_to}/events"),
            ],
            environment: Vec::new(),
            folder: folder.path().to_owned(),
        };
        let server = ServerProcess::start(&program).await?;
        Ok(Self {
            api: like.api.moved_to(server.address),
            server: Some(server),
            program,
            database,
            _folder: folder,
        })
    }

    async fn place(bench: &Bench, engine: Engine) -> Result<(TemporaryFolder, Database)> {
        let folder = TemporaryFolder::make_in(&bench.out)?;
        let database = match engine {
            Engine::Sqlite => Database::in_folder(folder.path()),
            Engine::Postgres => Database::on_server(bench.postgres()?).await?,
        };
        Ok((folder, database))
    }

    async fn start(folder: TemporaryFolder, database: Database, program: Program) -> Result<Self> {
        let server = ServerProcess::start(&program).await?;
        Ok(Self {
            api: Api::sign_in(server.address, PASSWORD).await?,
            server: Some(server),
            program,
            database,
            _folder: folder,
        })
    }

    pub(crate) fn server(&self) -> Result<&ServerProcess> {
        self.server.as_ref().context("the server is stopped")
    }

    pub(crate) fn server_mut(&mut self) -> Result<&mut ServerProcess> {
        self.server.as_mut().context("the server is stopped")
    }

    pub(crate) async fn stop(&mut self) -> Result<()> {
        match self.server.take() {
            Some(server) => server.stop().await,
            None => Ok(()),
        }
    }

    /// Starts the server again. Returns the seconds from the start of the process until it is ready.
    pub(crate) async fn start_again(&mut self) -> Result<f64> {
        let start = time::nanos();
        let server = ServerProcess::start(&self.program).await?;
        self.api = self.api.moved_to(server.address);
        self.server = Some(server);
        while !self.api.is_ready().await {
            if time::seconds(start, time::nanos()) > PATIENCE_SECONDS {
                bail!("the server is not ready after {PATIENCE_SECONDS} s");
            }
            tokio::time::sleep(LOOK).await;
        }
        Ok(time::seconds(start, time::nanos()))
    }

    /// Stops the server, so that rows can be written until it is started again.
    pub(crate) async fn fill(&mut self) -> Result<Fill> {
        self.stop().await?;
        Fill::of(&self.database).await
    }

    /// A publish to this workspace, for the server that runs now.
    pub(crate) fn request(&self, workspace: &str, key: &str) -> Result<Request> {
        Ok(Request::publish(
            self.server()?.address,
            &self.api.cookie,
            workspace,
            key,
        ))
    }

    /// Kills the server, and drops its database.
    pub(crate) async fn end(mut self) -> Result<()> {
        drop(self.server.take());
        self.database.clone().drop().await
    }
}

/// The settings that differ from the defaults.
fn settings(database: &Database) -> Vec<(String, String)> {
    [
        ("POINTSMAN__DATABASE__URL", database.url.as_str()),
        ("POINTSMAN__SERVER__PORT", "0"),
        ("POINTSMAN__BOOTSTRAP__ADMIN_EMAIL", ADMIN),
        ("POINTSMAN__BOOTSTRAP__ADMIN_PASSWORD", PASSWORD),
    ]
    .map(|(name, value)| (name.to_owned(), value.to_owned()))
    .to_vec()
}
