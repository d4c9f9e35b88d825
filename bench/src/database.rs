//! The database of one server, and what the system knows of it.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use pointsman_clock::Clock;
use sea_orm::{ConnectionTrait as _, DatabaseConnection, DbBackend, Statement};
use serde::Serialize;

use crate::{proc_fs, report::as_f64};

/// What a database is kept in.
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

/// A PostgreSQL that databases are made in.
#[derive(Clone, Debug)]
pub(crate) struct PostgresServer {
    url: String,
    /// The process whose children do the work; none where it is not on this machine.
    postmaster: Option<u32>,
    /// Where its files are.
    pub(crate) folder: String,
    pub(crate) version: String,
}

impl PostgresServer {
    pub(crate) async fn at(url: &str) -> Result<Self> {
        let connection = connect(url).await?;
        let ask = async |sql: &str| -> Result<String> {
            let statement = Statement::from_string(DbBackend::Postgres, sql);
            let row = connection.query_one_raw(statement).await?.context("no row")?;
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

/// A database that nobody else uses. One on PostgreSQL is dropped by [`Database::drop`] only; the server itself
/// lasts no longer than the bench, unless somebody gave us theirs.
#[derive(Clone, Debug)]
pub(crate) struct Database {
    pub(crate) url: String,
    /// Of SQLite.
    pub(crate) file: Option<PathBuf>,
    on_server: Option<(PostgresServer, String)>,
}

impl Database {
    /// A file that the server is to make.
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

    /// CPU time of the database's own processes, in seconds: none of SQLite, which is in the server.
    pub(crate) fn cpu_seconds(&self) -> Result<Option<f64>> {
        let postmaster = self.on_server.as_ref().and_then(|(server, _)| server.postmaster);
        postmaster.map(proc_fs::cpu_seconds_of_family).transpose()
    }

    /// Bytes that have been written for the database so far: into the write-ahead log of PostgreSQL, or by the
    /// server with SQLite in it.
    pub(crate) async fn bytes_written(&self, server: u32) -> Result<f64> {
        match &self.file {
            Some(_) => Ok(as_f64(proc_fs::bytes_written(server)?)),
            None => self.lsn().await,
        }
    }

    /// What has been appended to the write-ahead log so far, or of SQLite since it was last begun anew.
    pub(crate) async fn log(&self) -> Result<LogPlace> {
        match &self.file {
            Some(file) => LogPlace::of_sqlite(file),
            None => Ok(LogPlace {
                generation: 0,
                bytes: self.lsn().await?,
            }),
        }
    }

    async fn lsn(&self) -> Result<f64> {
        let connection = self.connect().await?;
        let sql = "SELECT (pg_current_wal_insert_lsn() - '0/0'::pg_lsn)::float8";
        let statement = Statement::from_string(DbBackend::Postgres, sql);
        let row = connection.query_one_raw(statement).await?.context("no row")?;
        connection.close().await?;
        Ok(row.try_get_by_index(0)?)
    }

    /// Removes it, once its server has ended.
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

/// How far a write-ahead log is.
#[derive(Clone, Copy, Debug)]
pub(crate) struct LogPlace {
    /// Another one after SQLite has begun its log anew.
    generation: u64,
    bytes: f64,
}

/// A page in SQLite's log with its header.
const FRAME_BYTES: f64 = 4096.0 + 24.0;

impl LogPlace {
    /// From the head of the log's index, which SQLite shares between processes: the number of valid frames at byte
    /// 16, the salts of the log at byte 32 (<https://www.sqlite.org/walformat.html#walidxfmt>).
    fn of_sqlite(file: &Path) -> Result<Self> {
        let mut path = file.as_os_str().to_owned();
        path.push("-shm");
        let head = std::fs::read(&path).context("the index of the write-ahead log")?;
        let frames = head.get(16..20).and_then(|bytes| bytes.try_into().ok());
        let salts = head.get(32..40).and_then(|bytes| bytes.try_into().ok());
        let (frames, salts) = frames.zip(salts).context("the index is too short")?;
        Ok(Self {
            generation: u64::from_ne_bytes(salts),
            bytes: f64::from(u32::from_ne_bytes(frames)) * FRAME_BYTES,
        })
    }

    /// What was appended since; none where the log was begun anew meanwhile.
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
