//! Which migrations a database has.

use migration::{Migrator, MigratorTrait};
use sea_orm::{ConnectionTrait, DbErr, Statement};

/// The schema of a database, compared with that of this version.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum SchemaVersion {
    Current,
    Older,
    /// Has the name of a migration that this version does not know.
    Newer(String),
}

/// Compares the migrations that the database has with those of this version. Fails where it has no list of them.
pub(crate) async fn schema_version<C: ConnectionTrait>(connection: &C) -> Result<SchemaVersion, DbErr> {
    let sql = "SELECT version FROM seaql_migrations";
    let statement = Statement::from_string(connection.get_database_backend(), sql);
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
