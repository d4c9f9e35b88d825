//! What local users may see of the embedded database: nothing.

use std::{
    fs::{self, Permissions},
    os::unix::fs::PermissionsExt as _,
    path::Path,
};

use serde_json::json;

use pointsman_test_kit::{Engine, TestApp};

const FILES: [&str; 5] = [
    "pointsman.db",
    "pointsman.db-wal",
    "pointsman.db-shm",
    "pointsman.db.lock",
    "cookie.key",
];

#[actix_web::test]
async fn files_and_folders_that_the_server_makes_are_for_its_own_account() {
    let app = TestApp::in_new_folder("data/inner").await;
    let workspace = app.workspace("acme").await;
    workspace.publish("crm.deal.closed", json!({})).await;
    let folder = app.folder().join("data/inner");
    for file in FILES {
        assert_eq!(mode(&folder.join(file)), 0o600, "{file}");
    }
    for made in ["data", "data/inner"] {
        assert_eq!(mode(&app.folder().join(made)), 0o700, "{made}");
    }
    assert!(!app.log().contains("other local users"), "{}", app.log());
    app.finish().await;
}

#[actix_web::test]
async fn one_that_others_may_use_is_said_in_the_log_and_left_as_it_is() {
    let mut app = TestApp::in_new_folder("data").await;
    let folder = app.folder().join("data");
    assert!(app.stop().await.success());
    fs::set_permissions(folder.join("pointsman.db"), Permissions::from_mode(0o640))
        .expect("the file is ours");
    fs::set_permissions(folder.join("cookie.key"), Permissions::from_mode(0o644)).expect("the file is ours");
    fs::set_permissions(&folder, Permissions::from_mode(0o755)).expect("the folder is ours");
    app.start_again().await;
    for (told, path) in [
        ("chmod 0600", folder.join("pointsman.db")),
        ("chmod 0700", folder.clone()),
        ("chmod 0600", folder.join("cookie.key")),
    ] {
        let command = format!("{told} {}", path.display());
        let lines = app.log();
        let has_it = |line: &&str| line.contains(&format!("{command} ")) || line.ends_with(&command);
        let lines = lines.lines().filter(has_it).count();
        assert_eq!(lines, 1, "{command}: {}", app.log());
    }
    assert_eq!(mode(&folder.join("pointsman.db")), 0o640);
    assert_eq!(
        mode(&folder.join("pointsman.db-wal")),
        0o640,
        "as SQLite makes it"
    );
    app.finish().await;
}

#[actix_web::test]
async fn the_files_of_postgres_are_not_ours_to_look_at() {
    let app = TestApp::start(Engine::Postgres).await;
    assert!(!app.log().contains("other local users"), "{}", app.log());
    app.finish().await;
}

fn mode(path: &Path) -> u32 {
    let found = fs::metadata(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    found.permissions().mode() & 0o7777
}
