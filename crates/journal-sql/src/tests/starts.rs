//! A start gives lanes generations that are new, and reads no table that grows for it.

use migration::{Migrator, MigratorTrait};

use super::{
    kit::execute_directly,
    migrations::{database, execute, read},
    *,
};

/// The generation that the next attach of the installation gets after another start.
async fn generation_of_the_next_start(scratch: &Scratch, installation: InstallationId) -> i64 {
    let journal = scratch.open().await;
    let generation = journal.attach(installation).await.unwrap().generation;
    journal.stop().await;
    generation
}

on_both_engines!(
    async fn a_start_goes_on_above_every_generation_also_of_lanes_that_settled_nothing(scratch: Scratch) {
        let journal = scratch.open().await;
        let (_, installation) = scratch.installed(&journal, "crm").await;
        let mut last = journal.attach(installation).await.unwrap().generation;
        journal.stop().await;
        for _ in 0..3 {
            let next = generation_of_the_next_start(&scratch, installation).await;
            assert!(next > last, "{next} after {last}");
            last = next;
        }
    }
);

on_both_engines!(
    async fn a_start_does_not_need_the_row_that_counts_the_starts(scratch: Scratch) {
        let journal = scratch.open().await;
        let (_, installation) = scratch.installed(&journal, "crm").await;
        execute_directly(&journal, "DELETE FROM engine_start").await;
        journal.stop().await;
        assert!(generation_of_the_next_start(&scratch, installation).await > 0);
    }
);

on_both_engines!(
    async fn what_an_earlier_version_has_stored_is_below_and_its_open_workspaces_are_due(scratch: Scratch) {
        let before = Migrator::migrations()
            .iter()
            .position(|migration| migration.name() == "m20261128_000011_due");
        let before = u32::try_from(before.unwrap()).unwrap();
        let connection = database(&scratch, before).await;
        let (open, closed) = (Clock.new_uuid(), Clock.new_uuid());
        let stored = (5_i64 << 36) + 7;
        let crm = Clock.new_uuid();
        for (workspace, id, is_closed) in [
            (open, crm, false),
            (open, Clock.new_uuid(), false),
            (closed, Clock.new_uuid(), true),
        ] {
            let installation = format!(
                "INSERT INTO ext_installation (id, workspace_id, key, name, delivery_type, signing_secret, headers, \
                 enabled, paused, revision, installed_at, installed_seq, closed) VALUES ({{1}}, {{2}}, '{id}', 'CRM', \
                 'EXTERNAL_SERVICE', '', '', TRUE, FALSE, 1, 0, 0, {is_closed})"
            );
            execute(&connection, &installation, &[id, workspace]).await;
            let cursor = format!(
                "INSERT INTO ext_delivery_cursor (installation_id, workspace_id, settled_seq, generation) \
                 VALUES ({{1}}, {{2}}, 0, {stored})"
            );
            execute(&connection, &cursor, &[id, workspace]).await;
        }
        Migrator::up(&connection, None).await.unwrap();
        let due = "SELECT CAST(due_at AS TEXT) AS it FROM workspace_due";
        assert_eq!(read(&connection, due).await, ["0"], "one row for the open one");
        connection.close().await.unwrap();
        let next = generation_of_the_next_start(&scratch, InstallationId::new(crm)).await;
        assert!(next > stored, "{next} after {stored}");
    }
);
