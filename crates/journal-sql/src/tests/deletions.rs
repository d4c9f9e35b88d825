//! A workspace that is deleted takes no more, and nothing of it is left in the end.

use std::{collections::BTreeMap, time::Duration};

use pointsman_domain::id::{DeadLetterId, InstallationId, UserId, WorkspaceId};
use sea_orm::{ConnectionTrait, DbBackend, Statement};
use uuid::Uuid;

use super::{migrations::execute, *};
use crate::{RetentionSettings, check};

const ADMIN: UserId = UserId::new(Uuid::nil());

/// A workspace with its row.
async fn made(scratch: &Scratch) -> WorkspaceId {
    let workspace = scratch.workspace();
    let client = scratch.client().await;
    let insert = "INSERT INTO workspace (id, name, created_at) VALUES ({1}, 'acme', 0)";
    execute(&client, insert, &[workspace.uuid()]).await;
    client.close().await.unwrap();
    workspace
}

/// An extension, and so many events with an attempt each.
async fn filled(
    scratch: &Scratch,
    journal: &OpenJournal,
    workspace: WorkspaceId,
    events: usize,
) -> InstallationId {
    let mut new = kit::new_installation("crm");
    new.subscriptions = vec![spans::subscription(0)];
    let installation = journal.install(workspace, new).await.unwrap().id();
    let new = (0..events).map(|_| new_event()).collect();
    kit::append(journal, workspace, new).await.unwrap().unwrap();
    let attempts = "INSERT INTO ext_delivery_attempt (id, workspace_id, installation_id, event_id, handler, kind, \
                    number, outcome, duration_ms, attempted_at) SELECT e.id, e.workspace_id, {1}, e.id, '', 'LIVE', \
                    1, 'TIMEOUT', 1, 0 FROM platform_event e WHERE e.workspace_id = {2}";
    let client = scratch.client().await;
    execute(&client, attempts, &[installation.uuid(), workspace.uuid()]).await;
    client.close().await.unwrap();
    installation
}

/// A row in every table that has rows of workspaces.
async fn one_of_each(scratch: &Scratch, journal: &OpenJournal, workspace: WorkspaceId) -> InstallationId {
    let installation = filled(scratch, journal, workspace, 3).await;
    let keyed = kit::append_under(journal, workspace, vec![new_event()], kit::key("key", 1));
    keyed.await.unwrap().unwrap();
    let letter = DeadLetterId::new(Clock.new_uuid());
    kit::give_up(journal, workspace, installation, Seq::new(1), letter).await;
    journal.start_replay(workspace, letter, None).await.unwrap();
    let event = &journal
        .page(workspace, Seq::new(1), Seq::new(2), 1)
        .await
        .unwrap()[0];
    journal.erase(workspace, event.id, ADMIN).await.unwrap();
    let client = scratch.client().await;
    let ids = [Clock.new_uuid(), workspace.uuid(), installation.uuid()];
    for insert in [
        "INSERT INTO workspace_member (user_id, workspace_id, role, created_at) VALUES ({1}, {2}, 'ADMIN', 0)",
        "INSERT INTO chat_message (id, workspace_id, event_id, channel, message, sender, created_at) \
         VALUES ({1}, {2}, {3}, 'deals', 'hello', 'ann', 0)",
        "INSERT INTO pruned_derived_event (id, workspace_id, seq, occurred_at) VALUES ({1}, {2}, 1, 0)",
    ] {
        let count = insert.matches('{').count();
        execute(&client, insert, &ids[..count]).await;
    }
    for insert in [
        "INSERT INTO chat_channel (workspace_id, channel, messages, last_message_at) VALUES ({1}, 'deals', 1, 0)",
        "INSERT INTO workspace_log (workspace_id, pruned_through) VALUES ({1}, 0)",
    ] {
        execute(&client, insert, &[workspace.uuid()]).await;
    }
    let done = "INSERT INTO ext_delivery_done (installation_id, kind, event_id, handler, seq) \
                VALUES ({1}, 'LIVE', {2}, 'deal', 9)";
    execute(&client, done, &[installation.uuid(), Clock.new_uuid()]).await;
    client.close().await.unwrap();
    installation
}

/// How many rows each table has of the workspace, by the columns that the schema itself names.
async fn rows_of(
    scratch: &Scratch,
    workspace: WorkspaceId,
    installation: InstallationId,
) -> BTreeMap<(String, String), i64> {
    let client = scratch.client().await;
    let backend = client.get_database_backend();
    let columns = match backend {
        DbBackend::Sqlite => {
            "SELECT m.name AS tbl, c.name AS col FROM sqlite_master m, pragma_table_info(m.name) c \
             WHERE m.type = 'table' AND c.name IN ('workspace_id', 'installation_id')"
        }
        _ => {
            "SELECT table_name::TEXT AS tbl, column_name::TEXT AS col FROM information_schema.columns \
             WHERE table_schema = current_schema() AND column_name IN ('workspace_id', 'installation_id')"
        }
    };
    let columns = client
        .query_all_raw(Statement::from_string(backend, columns))
        .await
        .unwrap();
    let mut rows = BTreeMap::new();
    for column in columns {
        let (table, column): (String, String) = (
            column.try_get("", "tbl").unwrap(),
            column.try_get("", "col").unwrap(),
        );
        let id = if column == "workspace_id" {
            workspace.uuid()
        } else {
            installation.uuid()
        };
        let placeholder = if backend == DbBackend::Sqlite { "?" } else { "$1" };
        let sql = format!("SELECT COUNT(*) AS found FROM {table} WHERE {column} = {placeholder}");
        let counted = Statement::from_sql_and_values(backend, sql, [id.into()]);
        let row = client.query_one_raw(counted).await.unwrap().unwrap();
        rows.insert((table, column), row.try_get("", "found").unwrap());
    }
    client.close().await.unwrap();
    rows
}

on_both_engines!(
    async fn nothing_is_left_of_a_workspace_that_is_deleted(scratch: Scratch) {
        let journal = scratch.open().await;
        let (gone, stays) = (made(&scratch).await, made(&scratch).await);
        let of_gone = one_of_each(&scratch, &journal, gone).await;
        let of_stays = one_of_each(&scratch, &journal, stays).await;
        let before = rows_of(&scratch, stays, of_stays).await;
        for (column, rows) in &before {
            let has_rows = *rows > 0 || column.0 == "workspace_deletion";
            assert!(has_rows, "{column:?}: this test has to put a row there");
        }
        journal.delete_workspace(gone, ADMIN).await.unwrap();
        journal.are_gone(1).await;
        for (column, rows) in rows_of(&scratch, gone, of_gone).await {
            assert_eq!(rows, 0, "{column:?}");
        }
        assert_eq!(rows_of(&scratch, stays, of_stays).await, before);
        let again = journal.delete_workspace(gone, ADMIN).await;
        assert!(
            matches!(again, Err(ChangeError::NotFound("workspace"))),
            "{again:?}"
        );
        journal.stop().await;
    }
);

/// Asserts that nothing can be written there.
async fn assert_closed(journal: &OpenJournal, workspace: WorkspaceId, installation: InstallationId) {
    let append = kit::append(journal, workspace, vec![new_event()]).await.unwrap();
    assert_eq!(append.unwrap_err(), AppendError::NoWorkspace);
    // Its rows may be gone.
    let generation = journal
        .attach(installation)
        .await
        .map_or(0, |attached| attached.generation);
    let settled = kit::settle(journal, workspace, installation, generation, Seq::new(1), |_| ()).await;
    assert_eq!(settled, Err(SettleError::Fenced));
    let installed = journal.install(workspace, kit::new_installation("other")).await;
    assert!(
        matches!(installed, Err(ChangeError::NotFound("workspace"))),
        "{installed:?}"
    );
    let discarded = journal.discard(workspace, DeadLetterId::new(Uuid::nil())).await;
    assert!(
        matches!(discarded, Err(ChangeError::NotFound("workspace"))),
        "{discarded:?}"
    );
    let (_, views) = journal.load(workspace).await.unwrap();
    assert!(views.is_empty(), "nothing is delivered");
}

on_both_engines!(
    async fn a_workspace_that_is_deleted_takes_nothing_more_also_after_a_restart(scratch: Scratch) {
        const EVENTS: usize = 1500;
        let journal = scratch.open().await;
        let (gone, stays) = (made(&scratch).await, made(&scratch).await);
        let of_gone = filled(&scratch, &journal, gone, EVENTS).await;
        let of_stays = filled(&scratch, &journal, stays, 3).await;
        let before = rows_of(&scratch, stays, of_stays).await;
        journal.delete_workspace(gone, ADMIN).await.unwrap();
        assert_closed(&journal, gone, of_gone).await;
        journal.stop().await;

        // What is there by now goes on being nobody's.
        let mid = rows_of(&scratch, gone, of_gone).await;
        let events = ("platform_event".to_owned(), "workspace_id".to_owned());
        assert!(mid[&events] > 0, "the test needs more events");
        let checked = check(&scratch.settings().url, None, 0).await.unwrap();
        assert_eq!(checked.findings, [], "nothing is wrong meanwhile");

        let journal = scratch.open().await;
        assert_closed(&journal, gone, of_gone).await;
        kit::append(&journal, stays, vec![new_event()])
            .await
            .unwrap()
            .unwrap();
        journal.are_gone(1).await;
        assert_closed(&journal, gone, of_gone).await;
        let left: i64 = rows_of(&scratch, gone, of_gone).await.values().sum();
        assert_eq!(left, 0);
        let after = rows_of(&scratch, stays, of_stays).await;
        assert_eq!(after[&events], before[&events] + 1);
        journal.stop().await;
        let checked = check(&scratch.settings().url, None, 0).await.unwrap();
        assert_eq!(checked.findings, []);
    }
);

on_both_engines!(
    async fn attempts_whose_events_were_pruned_go_as_well(scratch: Scratch) {
        let journal = scratch.open().await;
        let (gone, stays) = (made(&scratch).await, made(&scratch).await);
        let of_gone = filled(&scratch, &journal, gone, 250).await;
        let of_stays = filled(&scratch, &journal, stays, 250).await;
        for (workspace, installation) in [(gone, of_gone), (stays, of_stays)] {
            let generation = journal.attach(installation).await.unwrap().generation;
            kit::settle(
                &journal,
                workspace,
                installation,
                generation,
                Seq::new(250),
                |_| (),
            )
            .await
            .unwrap();
        }
        journal.stop().await;
        let keep_attempts = RetentionSettings {
            events: Duration::from_millis(1),
            ..scratch.settings().retention
        };
        let settings = JournalSettings {
            retention: keep_attempts,
            ..scratch.settings()
        };
        let journal = scratch.open_with(settings).await;
        assert_eq!(journal.first_pass().await.deleted.events, 500);
        journal.delete_workspace(gone, ADMIN).await.unwrap();
        journal.are_gone(1).await;
        let left: i64 = rows_of(&scratch, gone, of_gone).await.values().sum();
        assert_eq!(left, 0);
        let attempts = ("ext_delivery_attempt".to_owned(), "workspace_id".to_owned());
        assert_eq!(rows_of(&scratch, stays, of_stays).await[&attempts], 250);
        journal.stop().await;
    }
);

on_both_engines!(
    async fn a_deletion_whose_answer_is_lost_with_the_connection_holds(scratch: Scratch) {
        let journal = scratch.open().await;
        let workspace = made(&scratch).await;
        let installation = filled(&scratch, &journal, workspace, 3).await;
        // As the transaction of a deletion whose commit was not answered.
        let client = scratch.client().await;
        let mark =
            "INSERT INTO workspace_deletion (workspace_id, deleted_at, deleted_by) VALUES ({1}, 0, {2})";
        execute(&client, mark, &[workspace.uuid(), Uuid::nil()]).await;
        execute(
            &client,
            "DELETE FROM workspace WHERE id = {1}",
            &[workspace.uuid()],
        )
        .await;
        client.close().await.unwrap();
        scratch.cut_connections(&journal).await;
        kit::append_when_it_is_back(&journal, scratch.workspace()).await;
        assert_closed(&journal, workspace, installation).await;
        journal.stop().await;
        let journal = scratch.open().await;
        journal.are_gone(1).await;
        journal.stop().await;
    }
);
