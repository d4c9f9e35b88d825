//! The encoding of texts in the database.

use sea_orm::{
    ConnectionTrait as _, DatabaseConnection,
    sqlx::sqlite::{SqliteConnectOptions, SqlitePoolOptions},
};

use super::*;

#[tokio::test]
async fn a_file_that_keeps_its_texts_as_utf16_is_as_good() {
    let scratch = Scratch::sqlite();
    let file = scratch.settings().url.file().unwrap();
    std::fs::create_dir_all(file.parent().unwrap()).unwrap();
    let options = SqliteConnectOptions::new()
        .filename(file)
        .create_if_missing(true)
        .pragma("encoding", "'UTF-16le'");
    let pool = SqlitePoolOptions::new().connect_with(options).await.unwrap();
    let other = DatabaseConnection::from(pool);
    other
        .execute_unprepared("CREATE TABLE mine (id INTEGER)")
        .await
        .unwrap();
    other.close().await.unwrap();

    let journal = scratch.open().await;
    let (workspace, _) = scratch.installed(&journal, "crm").await;
    let event = NewEvent {
        actor: Some("użytkownik 🚂 €".into()),
        payload: "{\"a\":\"\u{e9}\u{10ffff}\\u0000\"}".into(),
        ..new_event()
    };
    kit::append(&journal, workspace, vec![event.clone()])
        .await
        .unwrap()
        .unwrap();
    let read = journal.page(workspace, Seq::ZERO, Seq::new(9), 9).await.unwrap();
    assert_eq!(read[0].actor, event.actor);
    assert_eq!(read[0].payload, event.payload);
    let encoding = "SELECT encoding AS it FROM pragma_encoding";
    let statement = sea_orm::Statement::from_string(sea_orm::DbBackend::Sqlite, encoding);
    let row = journal.reader().query_one_raw(statement).await.unwrap().unwrap();
    assert_eq!(row.try_get::<String>("", "it").unwrap(), "UTF-16le");
    journal.stop().await;
}
