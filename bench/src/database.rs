//! The database of one server: how it is made and dropped, its CPU time and what it writes.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use pointsman_clock::Clock;
use sea_orm::{ConnectionTrait as _, DatabaseConnection, DbBackend, Statement};
use serde::Serialize;

use crate::{proc_fs, report::as_f64};

/// The database engine.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub(crate) enum Engine {
    #[serde(rename = "SQLite")]
    Sqlite,
    #[serde(rename = "PostgreSQL")]
    Postgres,
}

impl Engine {
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Sqlite => "SQLite",
            Self::Postgres => "PostgreSQL",
        }
    }
}

/// A PostgreSQL server, in which the bench makes its databases.
#[derive(Clone, Debug)]
pub(crate) struct PostgresServer {
    url: String,
    /// The parent of the processes that do the work; `None` if the server runs on another machine.
    postmaster: Option<u32>,
    /// The folder of its files.
    pub(crate) folder: String,
    pub(crate) version: String,
}

impl PostgresServer {
    pub(crate) async fn at(url: &str) -> Result<Self> {
        let connection = connect(url).await?;
        let ask = async |sql: &str| -> Result<String> {
            let statement = Statement::from_string(DbBackend::Postgres, sql);
            let row = connection
                .query_one_raw(statement)
                .await?
                .context("the query has returned no row")?;
            Ok(row.try_get_by_index(0)?)
        };
        let backend: u32 = ask("SELECT pg_backend_pid()::text").await?.parse()?;
        let is_here = proc_fs::name(backend).starts_with("postgres");
        let server = Self {
            url: url.to_owned(),
            postmaster: is_here.then(|| proc_fs::parent(backend)).transpose()?,
            folder: ask("SHOW data_directory").await?,
            version: ask("SHOW server_version").await?,
        };
        connection.close().await?;
        Ok(server)
    }
}

/// A database of one server. With PostgreSQL only [`Database::drop`] drops it. When the bench fails before, the
/// database stays, unless the PostgreSQL server is the private one of the bench.
#[derive(Clone, Debug)]
pub(crate) struct Database {
    pub(crate) url: String,
    /// The file of SQLite.
    pub(crate) file: Option<PathBuf>,
    on_server: Option<(PostgresServer, String)>,
}

impl Database {
    /// A SQLite file in this folder, which the server makes.
    pub(crate) fn in_folder(folder: &Path) -> Self {
        let file = folder.join("pointsman.db");
        Self {
            url: format!("sqlite://{}", file.display()),
            file: Some(file),
            on_server: None,
        }
    }

    pub(crate) async fn on_server(server: &PostgresServer) -> Result<Self> {
        let name = format!("pointsman_bench_{}", Clock.new_uuid().simple());
        let connection = connect(&server.url).await?;
        connection
            .execute_unprepared(&format!("CREATE DATABASE {name}"))
            .await?;
        connection.close().await?;
        let mut url = url::Url::parse(&server.url)?;
        url.set_path(&name);
        Ok(Self {
            url: url.into(),
            file: None,
            on_server: Some((server.clone(), name)),
        })
    }

    pub(crate) async fn connect(&self) -> Result<DatabaseConnection> {
        connect(&self.url).await
    }

    /// CPU time of the processes of the database, in seconds; `None` with SQLite, which is part of the server.
    pub(crate) fn cpu_seconds(&self) -> Result<Option<f64>> {
        let postmaster = self.on_server.as_ref().and_then(|(server, _)| server.postmaster);
        postmaster.map(proc_fs::cpu_seconds_of_family).transpose()
    }

    /// Bytes written so far: with PostgreSQL to its write-ahead log, with SQLite by the server to the disk.
    pub(crate) async fn bytes_written(&self, server: u32) -> Result<f64> {
        match &self.file {
            Some(_) => Ok(as_f64(proc_fs::bytes_written(server)?)),
            None => self.lsn().await,
        }
    }

    /// The end of the write-ahead log. SQLite starts it from its beginning now and then.
    pub(crate) async fn log(&self) -> Result<LogPosition> {
        match &self.file {
            Some(file) => LogPosition::of_sqlite(file),
            None => Ok(LogPosition {
                generation: 0,
                bytes: self.lsn().await?,
            }),
        }
    }

    async fn lsn(&self) -> Result<f64> {
        let connection = self.connect().await?;
        let sql = "SELECT (pg_current_wal_insert_lsn() - '0/0'::pg_lsn)::float8";
        let statement = Statement::from_string(DbBackend::Postgres, sql);
        let row = connection
            .query_one_raw(statement)
            .await?
            .context("the query has returned no row")?;
        connection.close().await?;
        Ok(row.try_get_by_index(0)?)
    }

    /// Drops the database. Its server must have ended.
    pub(crate) async fn drop(self) -> Result<()> {
        if let Some((server, name)) = self.on_server {
            let connection = connect(&server.url).await?;
            let sql = format!("DROP DATABASE {name} WITH (FORCE)");
            connection.execute_unprepared(&sql).await?;
            connection.close().await?;
        }
        Ok(())
    }
}

/// A position in a write-ahead log.
#[derive(Clone, Copy, Debug)]
pub(crate) struct LogPosition {
    /// It changes when SQLite starts its log from the beginning.
    generation: u64,
    bytes: f64,
}

/// A page in SQLite's log, with its header.
const FRAME_BYTES: f64 = 4096.0 + 24.0;

impl LogPosition {
    /// Read from the header of the log's index, which SQLite shares between processes: the number of valid frames is at
    /// byte 16, the salts of the log are at byte 32 (<https://www.sqlite.org/walformat.html#walidxfmt>).
    fn of_sqlite(file: &Path) -> Result<Self> {
        let mut path = file.as_os_str().to_owned();
        path.push("-shm");
        let head = std::fs::read(&path).context("the index of the write-ahead log cannot be read")?;
        let frames = head.get(16..20).and_then(|bytes| bytes.try_into().ok());
        let salts = head.get(32..40).and_then(|bytes| bytes.try_into().ok());
        let (frames, salts) = frames
            .zip(salts)
            .context("the index of the write-ahead log is too short")?;
        Ok(Self {
            generation: u64::from_ne_bytes(salts),
            bytes: f64::from(u32::from_ne_bytes(frames)) * FRAME_BYTES,
        })
    }

    /// Bytes appended since; `None` if the log was started from its beginning meanwhile.
    pub(crate) fn since(self, before: Self) -> Option<f64> {
        (self.generation == before.generation).then_some(self.bytes - before.bytes)
    }
}

async fn connect(url: &str) -> Result<DatabaseConnection> {
    let mut options = sea_orm::ConnectOptions::new(url);
    options.max_connections(1).sqlx_logging(false);
    let connected = sea_orm::Database::connect(options).await;
    connected.context("the database cannot be opened")
}
