//! The store's queries on an embedded database in memory.

use migration::{Migrator, MigratorTrait};
use sea_orm::{ConnectOptions, Database, DatabaseConnection, SqlErr};

use super::{
    members,
    sessions::{self, NewSession},
    users::{self, NewUser},
    workspaces,
};
use pointsman_clock::Clock;
use pointsman_domain::{
    id::{UserId, WorkspaceId},
    role::{GlobalRole, WorkspaceRole},
    timestamp::Timestamp,
};

async fn database() -> DatabaseConnection {
    let options = ConnectOptions::new("sqlite::memory:")
        .max_connections(1)
        .to_owned();
    let database = Database::connect(options).await.unwrap();
    Migrator::up(&database, None).await.unwrap();
    database
}

fn at(millis: i64) -> Timestamp {
    Timestamp::from_millis(millis)
}

async fn add_user(db: &DatabaseConnection, email: &str) -> UserId {
    let id = UserId::new(Clock.new_uuid());
    let user = NewUser {
        id,
        email: email.to_owned(),
        password_hash: "hash".to_owned(),
        role: GlobalRole::User,
        created_at: at(1),
    };
    users::insert(db, user).await.unwrap();
    id
}

async fn add_workspace(db: &DatabaseConnection, name: &str) -> WorkspaceId {
    let id = WorkspaceId::new(Clock.new_uuid());
    workspaces::insert(db, id, name, at(1)).await.unwrap();
    id
}

async fn add_session(db: &DatabaseConnection, id: &str, expires_at: i64) {
    let session = NewSession {
        id: id.to_owned(),
        user_id: None,
        state: "{}".to_owned(),
        created_at: at(1),
        expires_at: at(expires_at),
    };
    sessions::insert(db, session).await.unwrap();
}

#[tokio::test]
async fn a_user_is_found_by_id_and_by_email() {
    let db = database().await;
    assert!(!users::any(&db).await.unwrap());
    let ann = add_user(&db, "ann@example.com").await;
    assert!(users::any(&db).await.unwrap());
    assert_eq!(
        users::find(&db, ann).await.unwrap().unwrap().email,
        "ann@example.com"
    );
    let found = users::find_by_email(&db, "ann@example.com").await.unwrap();
    assert_eq!(found.unwrap().id, ann.uuid());
    assert!(
        users::find_by_email(&db, "bob@example.com")
            .await
            .unwrap()
            .is_none()
    );
}

#[tokio::test]
async fn an_email_is_taken_once() {
    let db = database().await;
    add_user(&db, "ann@example.com").await;
    let again = NewUser {
        id: UserId::new(Clock.new_uuid()),
        email: "ann@example.com".to_owned(),
        password_hash: "hash".to_owned(),
        role: GlobalRole::Admin,
        created_at: at(2),
    };
    let error = users::insert(&db, again).await.unwrap_err();
    assert!(matches!(
        error.sql_err(),
        Some(SqlErr::UniqueConstraintViolation(_))
    ));
}

#[tokio::test]
async fn users_are_listed_newest_first_a_page_at_a_time() {
    let db = database().await;
    let mut added = Vec::new();
    for name in ["a", "b", "c"] {
        added.push(add_user(&db, name).await.uuid());
    }
    let first = users::list(&db, None, 2).await.unwrap();
    let first: Vec<_> = first.iter().map(|user| user.id).collect();
    assert_eq!(first, [added[2], added[1]]);
    let rest = users::list(&db, Some(UserId::new(added[1])), 2).await.unwrap();
    assert_eq!(rest.len(), 1);
    assert_eq!(rest[0].id, added[0]);
}

#[tokio::test]
async fn a_session_is_there_until_it_expires() {
    let db = database().await;
    add_session(&db, "one", 100).await;
    assert!(sessions::find(&db, "one", at(99)).await.unwrap().is_some());
    assert!(sessions::find(&db, "one", at(100)).await.unwrap().is_none());
    sessions::extend(&db, "one", at(200)).await.unwrap();
    assert!(sessions::find(&db, "one", at(100)).await.unwrap().is_some());
    sessions::delete(&db, "one").await.unwrap();
    sessions::delete(&db, "one").await.unwrap();
    assert!(sessions::find(&db, "one", at(0)).await.unwrap().is_none());
}

#[tokio::test]
async fn a_member_sees_only_their_workspaces() {
    let db = database().await;
    let ann = add_user(&db, "ann").await;
    let (one, two) = (add_workspace(&db, "one").await, add_workspace(&db, "two").await);
    let three = add_workspace(&db, "three").await;
    for workspace in [one, three] {
        members::put(&db, workspace, ann, WorkspaceRole::Member, at(1))
            .await
            .unwrap();
    }
    let names = async |after| -> Vec<String> {
        let rows = workspaces::list_of_member(&db, ann, after, 9).await.unwrap();
        rows.into_iter().map(|row| row.name).collect()
    };
    assert_eq!(names(None).await, ["three", "one"]);
    assert_eq!(names(Some(three)).await, ["one"]);
    let all = workspaces::list_across_workspaces(&db, None, 2).await.unwrap();
    assert_eq!(all[1].id, two.uuid());
    let found = workspaces::find_by_name_across_workspaces(&db, "two")
        .await
        .unwrap();
    assert_eq!(found, Some(two));
}

#[tokio::test]
async fn a_member_changes_role_and_keeps_the_time_of_joining() {
    let db = database().await;
    let (ann, demo) = (add_user(&db, "ann").await, add_workspace(&db, "demo").await);
    members::put(&db, demo, ann, WorkspaceRole::Member, at(1))
        .await
        .unwrap();
    members::put(&db, demo, ann, WorkspaceRole::Admin, at(2))
        .await
        .unwrap();
    let member = members::find(&db, demo, ann).await.unwrap().unwrap();
    assert_eq!((member.role.as_str(), member.created_at), ("ADMIN", 1));
    assert!(members::remove(&db, demo, ann).await.unwrap());
    assert!(!members::remove(&db, demo, ann).await.unwrap());
}

#[tokio::test]
async fn members_are_listed_by_joining_within_their_workspace() {
    let db = database().await;
    let (demo, other) = (
        add_workspace(&db, "demo").await,
        add_workspace(&db, "other").await,
    );
    let mut joined = Vec::new();
    for (email, time) in [("a", 7), ("b", 7), ("c", 5)] {
        let user = add_user(&db, email).await;
        members::put(&db, demo, user, WorkspaceRole::Member, at(time))
            .await
            .unwrap();
        members::put(&db, other, user, WorkspaceRole::Member, at(9))
            .await
            .unwrap();
        joined.push(user);
    }
    let mut listed = Vec::new();
    let mut after = None;
    while let [member] = &members::list(&db, demo, after, 1).await.unwrap()[..] {
        let user = UserId::new(member.user_id);
        after = Some((at(member.created_at), user));
        listed.push(user);
    }
    assert_eq!(listed, [joined[1], joined[0], joined[2]]);
}
