//! The history of attempts: rows that the database refuses do not affect other rows.

use sea_orm::{ConnectionTrait, DbBackend, Statement};

use super::*;

/// The errors of all attempts that are recorded, sorted.
async fn recorded(scratch: &Scratch) -> Vec<String> {
    let client = scratch.client().await;
    let sql = "SELECT error FROM ext_delivery_attempt ORDER BY error";
    let rows = client
        .query_all_raw(Statement::from_string(client.get_database_backend(), sql))
        .await
        .unwrap();
    client.close().await.unwrap();
    rows.iter().map(|row| row.try_get("", "error").unwrap()).collect()
}

fn attempts(workspace: WorkspaceId, installation: InstallationId, errors: &[String]) -> Vec<AttemptRecord> {
    let attempt = |error: &String| AttemptRecord {
        id: Clock.new_uuid(),
        workspace_id: workspace,
        installation_id: installation,
        event_id: EventId::new(Clock.new_uuid()),
        handler: HandlerName::WHOLE,
        kind: DeliveryKind::Live,
        number: 1,
        outcome: AttemptOutcome::HandlerError,
        http_status: None,
        duration_ms: 3,
        error: Some(error.clone()),
        response: None,
        attempted_at: Timestamp::from_millis(1),
    };
    errors.iter().map(attempt).collect()
}

fn is_postgres(journal: &OpenJournal) -> bool {
    journal.reader().get_database_backend() == DbBackend::Postgres
}

/// Adds a trigger that refuses attempts for which `when` is true. The error has this code on PostgreSQL.
async fn refuse(journal: &OpenJournal, when: &str, code: &str) {
    let statements = match is_postgres(journal) {
        true => format!(
            "CREATE SEQUENCE times; \
             CREATE FUNCTION refuse() RETURNS TRIGGER AS $$ BEGIN IF {when} THEN \
             RAISE EXCEPTION 'no' USING ERRCODE = '{code}'; END IF; RETURN NEW; END $$ LANGUAGE plpgsql; \
             CREATE TRIGGER refuse BEFORE INSERT ON ext_delivery_attempt FOR EACH ROW EXECUTE FUNCTION refuse()"
        ),
        false => format!(
            "CREATE TRIGGER refuse BEFORE INSERT ON ext_delivery_attempt WHEN {when} \
             BEGIN SELECT RAISE(ABORT, 'no'); END"
        ),
    };
    kit::execute_directly(journal, statements).await;
}

on_both_engines!(
    async fn what_the_database_refuses_of_it_stands_alone(scratch: Scratch) {
        let journal = scratch.open().await;
        let (workspace, installation) = scratch.installed(&journal, "crm").await;
        let generation = journal.attach(installation).await.unwrap().generation;
        refuse(&journal, "NEW.error LIKE 'refused%'", "22021").await;
        // More rows than one statement takes.
        let errors: Vec<String> = (0..600)
            .map(|number| match number {
                7 | 500 => format!("refused {number}"),
                _ => format!("{number:03}"),
            })
            .collect();
        kit::settle(
            &journal,
            workspace,
            installation,
            generation,
            Seq::ZERO,
            |command| {
                command.attempts = attempts(workspace, installation, &errors);
            },
        )
        .await
        .unwrap();
        journal.stop().await;
        let kept: Vec<String> = errors
            .into_iter()
            .filter(|error| !error.starts_with('r'))
            .collect();
        assert_eq!(recorded(&scratch).await, kept);
    }
);

on_both_engines!(
    async fn what_was_lost_with_its_connection_is_written_on_the_next(scratch: Scratch) {
        let journal = scratch.open().await;
        let (workspace, installation) = scratch.installed(&journal, "crm").await;
        let generation = journal.attach(installation).await.unwrap().generation;
        if is_postgres(&journal) {
            // The error of a full disk, once.
            refuse(&journal, "nextval('times') = 1", "53100").await;
        }
        let gate = kit::hold(&journal).await;
        let errors = ["a".to_owned(), "b".to_owned()];
        let settled = kit::settle(
            &journal,
            workspace,
            installation,
            generation,
            Seq::ZERO,
            |command| {
                command.attempts = attempts(workspace, installation, &errors);
            },
        );
        let broken = async {
            if !is_postgres(&journal) {
                // After the settlement and before its history. The next connection works.
                kit::execute_directly(&journal, "PRAGMA query_only = on").await;
            }
        };
        let opened = async { drop(gate) };
        let (settled, (), ()) = futures_util::future::join3(settled, broken, opened).await;
        settled.unwrap();
        let written = async {
            while recorded(&scratch).await.is_empty() {
                tokio::task::yield_now().await;
            }
        };
        tokio::time::timeout(std::time::Duration::from_secs(60), written)
            .await
            .unwrap();
        assert_eq!(recorded(&scratch).await, errors);
        journal.stop().await;
    }
);
