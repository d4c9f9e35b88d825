//! Which migrations a database has.

use migration::{Migrator, MigratorTrait};
use sea_orm::{ConnectionTrait, DbBackend, DbErr, Statement};

/// The schema of a database, compared with that of this version.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum SchemaVersion {
    Current,
    Older,
    /// Has the name of a migration that this version does not know.
    Newer(String),
    /// It has no list of migrations.
    Foreign,
}

/// Compares the migrations that the database has with those of this version.
pub(crate) async fn schema_version<C: ConnectionTrait>(connection: &C) -> Result<SchemaVersion, DbErr> {
    let backend = connection.get_database_backend();
    let list = match backend {
        DbBackend::Postgres => "SELECT 1 WHERE to_regclass('seaql_migrations') IS NOT NULL",
        _ => "SELECT 1 FROM sqlite_schema WHERE name = 'seaql_migrations'",
    };
    let list = connection
        .query_one_raw(Statement::from_string(backend, list))
        .await?;
    if list.is_none() {
        return Ok(SchemaVersion::Foreign);
    }
    let sql = "SELECT version FROM seaql_migrations";
    let statement = Statement::from_string(backend, sql);
    let rows = connection.query_all_raw(statement).await?;
    let versions: Vec<String> = rows
        .iter()
        .map(|row| row.try_get_by_index(0))
        .collect::<Result<_, _>>()?;
    let known: Vec<String> = Migrator::migrations()
        .iter()
        .map(|migration| migration.name().to_owned())
        .collect();
    Ok(match versions.iter().find(|version| !known.contains(version)) {
        Some(unknown) => SchemaVersion::Newer(unknown.clone()),
        None if known.iter().all(|version| versions.contains(version)) => SchemaVersion::Current,
        None => SchemaVersion::Older,
    })
}
