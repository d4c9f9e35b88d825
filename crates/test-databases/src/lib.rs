//! A database of its own for each test, on SQLite and on PostgreSQL.

use std::{path::PathBuf, sync::Arc};

use sea_orm::{ConnectOptions, ConnectionTrait as _, Database, DatabaseConnection};
use uuid::Uuid;

/// Names the PostgreSQL server on which tests make their databases.
const SERVER: &str = "POINTSMAN_TEST_POSTGRES_URL";

/// A database of one test. It may not exist yet: a journal makes it when it opens it. A database of SQLite is removed
/// with the last copy of this.
#[derive(Clone, Debug)]
pub struct ScratchDatabase {
    url: String,
    /// None on PostgreSQL, whose databases are removed with its server.
    folder: Option<Arc<Folder>>,
}

#[derive(Debug)]
struct Folder(PathBuf);

impl Drop for Folder {
    fn drop(&mut self) {
        // Left behind where it cannot be removed; the folder is temporary anyway.
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

impl ScratchDatabase {
    /// A file in a folder of its own. Neither exists yet.
    pub fn sqlite() -> Self {
        let folder = std::env::temp_dir().join(format!("pointsman-test-{}", new_id()));
        Self {
            url: format!("sqlite://{}", folder.join("test.db").display()),
            folder: Some(Arc::new(Folder(folder))),
        }
    }

    /// An empty database on the server that `POINTSMAN_TEST_POSTGRES_URL` names.
    ///
    /// # Panics
    /// Where no server was given: a promise that is not tested must not look kept.
    pub async fn postgres() -> Self {
        let server = std::env::var(SERVER)
            .unwrap_or_else(|_| panic!("{SERVER} names a server; scripts/test starts one"));
        let name = format!("test_{}", new_id().simple());
        let connection = Database::connect(&server).await.expect("the server is reachable");
        connection
            .execute_unprepared(&format!("CREATE DATABASE {name}"))
            .await
            .expect("the server has room for one more database");
        connection.close().await.expect("the connection ends");
        let (base, _) = server.rsplit_once('/').expect("the URL names a database");
        Self {
            url: format!("{base}/{name}"),
            folder: None,
        }
    }

    /// Another database of the same engine.
    pub async fn another(&self) -> Self {
        if self.is_sqlite() {
            Self::sqlite()
        } else {
            Self::postgres().await
        }
    }

    pub fn is_sqlite(&self) -> bool {
        self.folder.is_some()
    }

    pub fn url(&self) -> &str {
        &self.url
    }

    /// A connection to the database, which must exist, as a person with a client has it.
    pub async fn client(&self) -> DatabaseConnection {
        let mut options = ConnectOptions::new(&self.url);
        options.max_connections(1);
        Database::connect(options)
            .await
            .expect("the database is reachable")
    }
}

/// Makes the name of a folder or of a database unique.
#[expect(
    clippy::disallowed_methods,
    reason = "a name only has to be new, whatever a test's clock shows"
)]
fn new_id() -> Uuid {
    Uuid::now_v7()
}
