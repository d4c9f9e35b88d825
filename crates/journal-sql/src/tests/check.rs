//! What is wrong with a database is found, each kind by itself, and nothing in one that is sound.

use sea_orm::ConnectionTrait as _;

use super::{
    key_check::NamedKey,
    kit::{execute_directly, new_installation},
    *,
};
use crate::{Checked, Finding, check};

/// Events of the log.
const EVENTS: usize = 30;

/// A database with a log, a subscription, a retry (of the event at 20) and a dead letter (of the event at 1), and no
/// server.
struct World {
    scratch: Scratch,
    workspace: WorkspaceId,
}

impl World {
    async fn new(scratch: Scratch) -> Self {
        let journal = scratch.open().await;
        let workspace = scratch.workspace();
        let id = literal(&journal, workspace.uuid());
        let insert = format!("INSERT INTO workspace (id, name, created_at) VALUES ({id}, 'acme', 0)");
        execute_directly(&journal, insert).await;
        let mut crm = new_installation("crm");
        crm.signing_secret = "mine, sealed".to_owned();
        crm.subscriptions = vec![spans::subscription(0)];
        let installation = journal.install(workspace, crm).await.unwrap().id();
        let mut events = Vec::new();
        for _ in 0..EVENTS {
            let event = new_event();
            events.push(event.id);
            kit::append(&journal, workspace, vec![event])
                .await
                .unwrap()
                .unwrap();
        }
        let letter = DeadLetterId::new(Clock.new_uuid());
        kit::give_up(&journal, workspace, installation, Seq::new(1), letter).await;
        corrupt::park(&journal, (workspace, installation), &[(events[19], 20)]).await;
        journal.stop().await;
        Self { scratch, workspace }
    }

    async fn execute(&self, statements: &[&str]) {
        let client = self.scratch.client().await;
        for sql in statements {
            let done = client.execute_unprepared(sql).await;
            done.unwrap_or_else(|error| panic!("{sql}: {error}"));
        }
        client.close().await.unwrap();
    }

    async fn check(&self) -> Checked {
        let key = NamedKey::new("mine");
        check(&self.scratch.settings().url, Some(&*key), 0).await.unwrap()
    }
}

fn literal(journal: &OpenJournal, id: uuid::Uuid) -> String {
    corrupt::literal(journal, id)
}

/// Ids that nothing has.
const NOBODY: [&str; 2] = [
    "x'00000000000000000000000000000001'",
    "'00000000-0000-0000-0000-000000000001'",
];

/// What is done to the database, and the kinds that are found then.
const PLANTED: &[(&[&str], &[&str])] = &[
    (&["DELETE FROM platform_event WHERE seq = 17"], &["gap in a log"]),
    (
        &["DELETE FROM platform_event WHERE seq BETWEEN 21 AND 25"],
        &["gap in a log"],
    ),
    (&["DELETE FROM platform_event WHERE seq < 7"], &["gap in a log"]),
    (
        &["DELETE FROM workspace"],
        &["log without workspace", "installation without workspace"],
    ),
    (
        &["UPDATE ext_delivery_cursor SET settled_seq = 31"],
        &["cursor beyond the head"],
    ),
    (
        &["DELETE FROM ext_delivery_cursor"],
        &["installation without cursor"],
    ),
    (
        &["UPDATE ext_delivery_cursor SET installation_id = {nobody}"],
        &["installation without cursor", "cursor without installation"],
    ),
    (
        &["UPDATE ext_delivery_retry SET installation_id = {nobody}"],
        &["retry without installation"],
    ),
    (
        &["UPDATE ext_delivery_retry SET seq = 21"],
        &["retry without event"],
    ),
    (
        &["UPDATE ext_delivery_retry SET kind = 'REPLAY', dead_letter_id = {nobody}"],
        &["replay without dead letter"],
    ),
    (
        &["UPDATE dead_letter_event SET installation_id = {nobody}"],
        &["dead letter without installation"],
    ),
    (
        &["UPDATE dead_letter_event SET status = 'REPLAYING'"],
        &["dead letter REPLAYING without retry"],
    ),
    (
        &["UPDATE ext_event_subscription SET installation_id = {nobody}"],
        &["span without installation"],
    ),
    (
        &["UPDATE ext_event_subscription SET from_seq = 9, until_seq = 4"],
        &["span ends before it begins"],
    ),
    (
        &[
            "INSERT INTO ext_event_subscription (id, subscription_id, installation_id, workspace_id, event_key, \
           from_seq, until_seq, closed_by, is_current, created_at) SELECT {nobody}, subscription_id, \
           installation_id, workspace_id, event_key, 5, until_seq, closed_by, is_current, created_at \
           FROM ext_event_subscription",
        ],
        &["spans overlap", "several current spans"],
    ),
    (
        &["UPDATE ext_installation SET signing_secret = 'of another key'"],
        &["secret that the key does not open"],
    ),
    (
        &["INSERT INTO master_key_check (id, value) VALUES (1, {nobody_bytes})"],
        &["another master key"],
    ),
];

on_both_engines!(
    async fn each_kind_of_fault_is_found_by_itself(scratch: Scratch) {
        for (statements, kinds) in PLANTED {
            let scratch = scratch.another().await;
            let is_sqlite = scratch.settings().url.file().is_some();
            let world = World::new(scratch).await;
            let statements: Vec<String> = statements
                .iter()
                .map(|sql| {
                    let [bytes, text] = NOBODY;
                    let bytea = "'\\x01'::bytea";
                    sql.replace("{nobody_bytes}", if is_sqlite { bytes } else { bytea })
                        .replace("{nobody}", if is_sqlite { bytes } else { text })
                })
                .collect();
            let statements: Vec<&str> = statements.iter().map(String::as_str).collect();
            world.execute(&statements).await;
            let checked = world.check().await;
            let found: Vec<&str> = checked.findings.iter().map(|finding| finding.kind).collect();
            assert_eq!(found, *kinds, "{statements:?}: {checked:?}");
        }
    }
);

on_both_engines!(
    async fn nothing_is_found_in_a_database_that_is_sound(scratch: Scratch) {
        let world = World::new(scratch).await;
        let checked = world.check().await;
        assert_eq!(checked.wrong(), 0, "{checked:?}");
        assert_eq!((checked.events, checked.logs, checked.installations), (30, 1, 1));
    }
);

on_both_engines!(
    async fn a_gap_is_told_with_its_positions(scratch: Scratch) {
        let world = World::new(scratch).await;
        let holes = "DELETE FROM platform_event WHERE seq IN (1, 2, 9, 28, 29)";
        world.execute(&[holes]).await;
        let texts: Vec<String> = world
            .check()
            .await
            .findings
            .into_iter()
            .map(|found| found.text)
            .collect();
        let workspace = world.workspace;
        assert_eq!(
            texts,
            [
                format!("workspace {workspace}: no events from 1 to 2"),
                format!("workspace {workspace}: no event at 9"),
                format!("workspace {workspace}: no events from 28 to 29"),
            ]
        );
    }
);

on_both_engines!(
    async fn a_gap_longer_than_a_piece_is_one_gap(scratch: Scratch) {
        let world = World::new(scratch).await;
        let far = "UPDATE platform_event SET seq = 1000000000000 WHERE seq = 30";
        world.execute(&[far]).await;
        let checked = world.check().await;
        assert_eq!((checked.wrong(), checked.events), (1, 30), "{checked:?}");
        assert!(
            checked.findings[0]
                .text
                .ends_with("no events from 30 to 999999999999")
        );
    }
);

on_both_engines!(
    async fn a_log_that_was_pruned_begins_later(scratch: Scratch) {
        let is_sqlite = scratch.settings().url.file().is_some();
        let world = World::new(scratch).await;
        let uuid = if is_sqlite { "BLOB" } else { "UUID" };
        let table =
            format!("CREATE TABLE IF NOT EXISTS workspace_log (workspace_id {uuid}, pruned_through BIGINT)");
        let row = "INSERT INTO workspace_log (workspace_id, pruned_through) SELECT id, 7 FROM workspace";
        // What is pruned goes in pieces.
        let pruned = "DELETE FROM platform_event WHERE seq < 6";
        world.execute(&[&table, row, pruned]).await;
        assert_eq!(world.check().await.wrong(), 0);

        world
            .execute(&["DELETE FROM platform_event WHERE seq < 10"])
            .await;
        let checked = world.check().await;
        assert_eq!(checked.wrong(), 1, "{checked:?}");
        assert!(checked.findings[0].text.ends_with("no events from 8 to 9"));

        world
            .execute(&[
                "DELETE FROM platform_event",
                "DELETE FROM ext_delivery_retry",
                "UPDATE workspace_log SET pruned_through = 30",
                "UPDATE ext_delivery_cursor SET settled_seq = 30",
            ])
            .await;
        assert_eq!(world.check().await.wrong(), 0);
    }
);

on_both_engines!(
    async fn a_position_and_an_id_that_are_taken_twice_are_found(scratch: Scratch) {
        let world = World::new(scratch).await;
        // The keys of a sound table forbid it.
        let without_keys = [
            "CREATE TABLE plain AS SELECT * FROM platform_event",
            "DROP TABLE platform_event",
            "ALTER TABLE plain RENAME TO platform_event",
        ];
        world.execute(&without_keys).await;
        assert_eq!(world.check().await.wrong(), 0);
        let twice = "INSERT INTO platform_event SELECT * FROM platform_event WHERE seq = 5";
        world.execute(&[twice]).await;
        let checked = world.check().await;
        let found: Vec<&str> = checked.findings.iter().map(|finding| finding.kind).collect();
        assert_eq!(
            found,
            ["position taken twice", "event id taken twice"],
            "{checked:?}"
        );
        assert!(
            checked.findings[0].text.ends_with("two events at 5"),
            "{checked:?}"
        );
    }
);

on_both_engines!(
    async fn of_many_of_a_kind_the_first_are_told_and_the_rest_counted(scratch: Scratch) {
        let world = World::new(scratch).await;
        let journal = world.scratch.open().await;
        for number in 0..23 {
            world.scratch.installed(&journal, &format!("crm-{number}")).await;
        }
        for _ in 0..60 {
            kit::append(&journal, world.workspace, vec![new_event()])
                .await
                .unwrap()
                .unwrap();
        }
        journal.stop().await;
        let holes = "DELETE FROM platform_event WHERE seq > 30 AND seq % 2 = 0 AND seq < 90";
        world.execute(&[holes]).await;
        let checked = world.check().await;
        assert_eq!(checked.findings.len() as u64, 2 * Finding::SHOWN);
        assert_eq!(
            checked.left_out,
            [
                ("gap in a log", 29 - Finding::SHOWN),
                ("installation without workspace", 3)
            ]
        );
        assert_eq!(checked.wrong(), 29 + 23);
    }
);

on_both_engines!(
    async fn a_schema_of_another_version_is_refused(scratch: Scratch) {
        let world = World::new(scratch).await;
        let url = world.scratch.settings().url;
        for (sql, expected) in [
            (
                "INSERT INTO seaql_migrations (version, applied_at) VALUES ('m2999_later', 0)",
                "newer version",
            ),
            ("DELETE FROM seaql_migrations", "pointsman migrate"),
            ("DROP TABLE seaql_migrations", "no database of Pointsman"),
        ] {
            world.execute(&[sql]).await;
            let refused = check(&url, None, 0).await.unwrap_err().to_string();
            assert!(refused.contains(expected), "{refused}");
        }
    }
);

#[tokio::test]
async fn a_damaged_file_is_told_by_what_sqlite_says() {
    let world = World::new(Scratch::sqlite()).await;
    // Two indexes in one tree.
    let damage = "PRAGMA writable_schema = ON; UPDATE sqlite_schema SET rootpage = \
                  (SELECT rootpage FROM sqlite_schema WHERE name = 'ext_delivery_retry_event') \
                  WHERE name = 'ext_delivery_retry_next'";
    world.execute(&[damage]).await;
    let checked = world.check().await;
    assert!(checked.wrong() > 0);
    assert!(
        checked
            .findings
            .iter()
            .all(|found| found.kind == "defect of the database"),
        "{checked:?}"
    );
}
