//! A backup is made while the server runs, and can be restored; `check` says what is wrong with a database.

mod backups;
mod checks;
mod postgres;
mod restores;

use std::path::Path;

use sea_orm::{ConnectionTrait as _, Database, DbBackend, Statement};

use pointsman_test_kit::{Ended, TestApp};

/// Runs a command that succeeds, and returns what it prints.
pub(super) async fn run(app: &TestApp, arguments: &[&str]) -> String {
    let ended = app.run(arguments, |settings| settings).await;
    assert_eq!(ended.code, Some(0), "{arguments:?}: {ended:?}");
    ended.stdout
}

/// The path of a file in the folder of the test's server, as an argument.
fn path(app: &TestApp, name: &str) -> String {
    app.folder().join(name).display().to_string()
}

#[track_caller]
fn refused(ended: &Ended, expected: &[&str]) {
    assert_eq!(ended.code, Some(2), "{ended:?}");
    assert_eq!(ended.stdout, "", "{ended:?}");
    let lines: Vec<&str> = ended.stderr.lines().collect();
    assert_eq!(lines.len(), 1, "{ended:?}");
    for part in expected {
        assert!(lines[0].contains(part), "{part} in {ended:?}");
    }
}

/// The ids of all events in this file, as the API writes them.
async fn events_in(file: &Path) -> Vec<String> {
    let connection = Database::connect(format!("sqlite://{}", file.display()))
        .await
        .expect("the file can be opened");
    let all = Statement::from_string(DbBackend::Sqlite, "SELECT id FROM platform_event");
    let rows = connection.query_all_raw(all).await.expect("the log can be read");
    let ids = rows
        .iter()
        .map(|row| row.try_get_by_index::<uuid::Uuid>(0).expect("an id"));
    let ids = ids.map(|id| id.to_string()).collect();
    connection.close().await.expect("a connection can be closed");
    ids
}

/// The names in the folder of the test's server that begin with this.
fn names(app: &TestApp, beginning: &str) -> Vec<String> {
    let entries = std::fs::read_dir(app.folder()).expect("the folder can be read");
    let names = entries.map(|entry| {
        entry
            .expect("an entry")
            .file_name()
            .to_string_lossy()
            .into_owned()
    });
    let mut names: Vec<String> = names.filter(|name| name.starts_with(beginning)).collect();
    names.sort();
    names
}
