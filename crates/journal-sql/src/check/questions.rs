//! What can be asked by one statement that gives the rows that are wrong.

use sea_orm::{ConnectionTrait, DatabaseTransaction, DbBackend, DbErr, QueryResult, Statement};
use uuid::Uuid;

use super::{
    collected::{Collected, Finding},
    log_walk::Bounds,
    rows::count,
};
use crate::workspace_deletion::is_not_deleted;

pub(super) const DEFECT: &str = "defect of the database";

/// A statement that gives the rows that are wrong, and what is said of each.
struct Question {
    kind: &'static str,
    sql: String,
    text: fn(&QueryResult) -> Result<String, DbErr>,
}

/// Asks the engine itself: SQLite looks through the whole file; PostgreSQL knows of indexes that it does not use.
pub(super) async fn ask_engine(snapshot: &DatabaseTransaction, found: &mut Collected) -> Result<(), DbErr> {
    let backend = snapshot.get_database_backend();
    let sql = match backend {
        DbBackend::Postgres => {
            "SELECT 'the index ' || c.relname || ' is not valid' FROM pg_index i \
             JOIN pg_class c ON c.oid = i.indexrelid JOIN pg_namespace n ON n.oid = c.relnamespace \
             WHERE n.nspname = current_schema() AND NOT i.indisvalid"
        }
        // SQLite gives up after so many.
        _ => "PRAGMA integrity_check(100)",
    };
    let asked = snapshot.query_all_raw(Statement::from_string(backend, sql)).await;
    let rows = match asked {
        // SQLite may fail to look through a file that is badly damaged.
        Err(error) if backend == DbBackend::Sqlite => {
            found.add(DEFECT, || error.to_string());
            return Ok(());
        }
        asked => asked?,
    };
    for row in rows {
        let text: String = row.try_get_by_index(0)?;
        for line in text.lines().filter(|line| *line != "ok") {
            found.add(DEFECT, || line.to_owned());
        }
    }
    Ok(())
}

/// Asks everything but what the walk through the log says.
pub(super) async fn ask(
    snapshot: &DatabaseTransaction,
    bounds: Bounds,
    found: &mut Collected,
) -> Result<(), DbErr> {
    for question in questions(bounds) {
        question.ask(snapshot, found).await?;
    }
    Ok(())
}

impl Question {
    async fn ask(&self, snapshot: &DatabaseTransaction, found: &mut Collected) -> Result<(), DbErr> {
        let shown = Finding::SHOWN;
        let sql = format!("{} LIMIT {}", self.sql, shown + 1);
        let statement = Statement::from_string(snapshot.get_database_backend(), sql);
        let rows = snapshot.query_all_raw(statement).await?;
        for row in rows.iter().take(usize::try_from(shown).unwrap_or(usize::MAX)) {
            let text = (self.text)(row).unwrap_or_else(|error| format!("a row that cannot be read: {error}"));
            found.add(self.kind, || text);
        }
        if rows.len() as u64 > shown {
            let all = count(snapshot, &format!("SELECT COUNT(*) FROM ({}) wrong", self.sql)).await?;
            found.add_unseen(self.kind, all - shown);
        }
        Ok(())
    }
}

fn id(row: &QueryResult, column: usize) -> Result<Uuid, DbErr> {
    row.try_get_by_index(column)
}

fn number(row: &QueryResult, column: usize) -> Result<i64, DbErr> {
    row.try_get_by_index(column)
}

/// An open or closed end of a span.
fn end(row: &QueryResult, column: usize) -> Result<String, DbErr> {
    let until: Option<i64> = row.try_get_by_index(column)?;
    Ok(until.map_or_else(|| "open".to_owned(), |until| until.to_string()))
}

/// A statement that gives two ids of each row of `table` without a row of `other`. The rows of a workspace that is
/// deleted go in no order.
fn without(table: &str, columns: &str, other: &str, condition: &str) -> String {
    let is_there = is_not_deleted("t.workspace_id");
    format!(
        "SELECT {columns} FROM {table} t WHERE {is_there} AND NOT EXISTS (SELECT 1 FROM {other} o WHERE {condition})"
    )
}

fn questions(bounds: Bounds) -> Vec<Question> {
    let mut questions = of_log_and_cursors(bounds);
    questions.extend(of_deliveries());
    questions.extend(of_spans());
    questions
}

fn of_log_and_cursors(bounds: Bounds) -> Vec<Question> {
    let (head, is_there) = (bounds.head_of("c.workspace_id"), is_not_deleted("c.workspace_id"));
    vec![
        Question {
            kind: "event id taken twice",
            sql: "SELECT id, COUNT(*) FROM platform_event GROUP BY id HAVING COUNT(*) > 1".to_owned(),
            text: |row| Ok(format!("{} events have the id {}", number(row, 1)?, id(row, 0)?)),
        },
        Question {
            kind: "installation without workspace",
            sql: without(
                "ext_installation",
                "t.id, t.workspace_id",
                "workspace",
                "o.id = t.workspace_id",
            ),
            text: |row| {
                let (installation, workspace) = (id(row, 0)?, id(row, 1)?);
                Ok(format!(
                    "installation {installation}: workspace {workspace} does not exist"
                ))
            },
        },
        Question {
            kind: "cursor beyond the head",
            sql: format!(
                "SELECT c.installation_id, c.settled_seq, {head} FROM ext_delivery_cursor c \
                 WHERE c.settled_seq > {head} AND {is_there}"
            ),
            text: |row| {
                let (installation, cursor, head) = (id(row, 0)?, number(row, 1)?, number(row, 2)?);
                Ok(format!(
                    "installation {installation}: the cursor is {cursor}, the head of the log is {head}"
                ))
            },
        },
        Question {
            kind: "installation without cursor",
            sql: without(
                "ext_installation",
                "t.id, t.workspace_id",
                "ext_delivery_cursor",
                "o.installation_id = t.id",
            ) + " AND NOT t.closed",
            text: |row| {
                let (installation, workspace) = (id(row, 0)?, id(row, 1)?);
                Ok(format!(
                    "installation {installation} of workspace {workspace} has no cursor"
                ))
            },
        },
        Question {
            kind: "cursor without installation",
            sql: without(
                "ext_delivery_cursor",
                "t.installation_id, t.workspace_id",
                "ext_installation",
                "o.id = t.installation_id AND o.workspace_id = t.workspace_id",
            ),
            text: |row| {
                let (installation, workspace) = (id(row, 0)?, id(row, 1)?);
                Ok(format!(
                    "workspace {workspace} has no installation {installation}"
                ))
            },
        },
    ]
}

fn of_deliveries() -> Vec<Question> {
    vec![
        Question {
            kind: "retry without installation",
            sql: without(
                "ext_delivery_retry",
                "t.event_id, t.installation_id",
                "ext_installation",
                "o.id = t.installation_id AND o.workspace_id = t.workspace_id",
            ),
            text: |row| {
                let (event, installation) = (id(row, 0)?, id(row, 1)?);
                Ok(format!(
                    "event {event}: its workspace has no installation {installation}"
                ))
            },
        },
        Question {
            kind: "retry without event",
            sql: without(
                "ext_delivery_retry",
                "t.event_id, t.installation_id, t.seq",
                "platform_event",
                "o.workspace_id = t.workspace_id AND o.seq = t.seq AND o.id = t.event_id",
            ) + " AND t.dead_letter_id IS NULL AND t.kind <> 'REPLAY'",
            text: |row| {
                let (event, installation, seq) = (id(row, 0)?, id(row, 1)?, number(row, 2)?);
                Ok(format!(
                    "event {event} to installation {installation} is not at {seq} of the log"
                ))
            },
        },
        Question {
            kind: "replay without dead letter",
            sql: without(
                "ext_delivery_retry",
                "t.event_id, t.installation_id",
                "dead_letter_event",
                "o.id = t.dead_letter_id AND o.status = 'REPLAYING'",
            ) + " AND (t.dead_letter_id IS NOT NULL OR t.kind = 'REPLAY')",
            text: |row| {
                let (event, installation) = (id(row, 0)?, id(row, 1)?);
                Ok(format!(
                    "event {event} to installation {installation} has no dead letter that is REPLAYING"
                ))
            },
        },
        Question {
            kind: "dead letter without installation",
            sql: without(
                "dead_letter_event",
                "t.id, t.installation_id",
                "ext_installation",
                "o.id = t.installation_id AND o.workspace_id = t.workspace_id",
            ),
            text: |row| {
                let (letter, installation) = (id(row, 0)?, id(row, 1)?);
                Ok(format!(
                    "dead letter {letter}: its workspace has no installation {installation}"
                ))
            },
        },
        Question {
            kind: "dead letter REPLAYING without retry",
            sql: without(
                "dead_letter_event",
                "t.id, t.installation_id",
                "ext_delivery_retry",
                "o.event_id = t.event_id AND o.installation_id = t.installation_id AND o.dead_letter_id = t.id",
            ) + " AND t.status = 'REPLAYING'",
            text: |row| {
                let (letter, installation) = (id(row, 0)?, id(row, 1)?);
                Ok(format!(
                    "dead letter {letter} of installation {installation} would be REPLAYING for ever"
                ))
            },
        },
    ]
}

/// The span of the same subscription that begins next.
const NEXT_FROM: &str = "(SELECT o.from_seq FROM ext_event_subscription o \
     WHERE o.workspace_id = t.workspace_id AND o.subscription_id = t.subscription_id \
     AND (o.from_seq, o.id) > (t.from_seq, t.id) ORDER BY o.from_seq, o.id LIMIT 1)";

fn of_spans() -> Vec<Question> {
    vec![
        Question {
            kind: "span without installation",
            sql: without(
                "ext_event_subscription",
                "t.subscription_id, t.installation_id",
                "ext_installation",
                "o.id = t.installation_id AND o.workspace_id = t.workspace_id",
            ),
            text: |row| {
                let (subscription, installation) = (id(row, 0)?, id(row, 1)?);
                Ok(format!(
                    "subscription {subscription}: its workspace has no installation {installation}"
                ))
            },
        },
        Question {
            kind: "span ends before it begins",
            sql: "SELECT t.subscription_id, t.from_seq, t.until_seq FROM ext_event_subscription t \
                  WHERE t.until_seq < t.from_seq"
                .to_owned(),
            text: |row| {
                let (subscription, from, until) = (id(row, 0)?, number(row, 1)?, end(row, 2)?);
                Ok(format!(
                    "subscription {subscription}: a span from {from} to {until}"
                ))
            },
        },
        Question {
            kind: "spans overlap",
            sql: format!(
                "SELECT spans.subscription_id, spans.from_seq, spans.until_seq, spans.next_from FROM \
                 (SELECT t.subscription_id, t.from_seq, t.until_seq, {NEXT_FROM} AS next_from \
                 FROM ext_event_subscription t) spans \
                 WHERE spans.next_from IS NOT NULL AND (spans.until_seq IS NULL OR spans.next_from < spans.until_seq)"
            ),
            text: |row| {
                let (subscription, from, until) = (id(row, 0)?, number(row, 1)?, end(row, 2)?);
                let next = number(row, 3)?;
                Ok(format!(
                    "subscription {subscription}: a span from {from} to {until}, and one from {next}"
                ))
            },
        },
        Question {
            kind: "several current spans",
            sql: "SELECT t.subscription_id, COUNT(*) FROM ext_event_subscription t WHERE t.is_current \
                  GROUP BY t.subscription_id HAVING COUNT(*) > 1"
                .to_owned(),
            text: |row| {
                Ok(format!(
                    "subscription {}: {} spans are marked as the current one",
                    id(row, 0)?,
                    number(row, 1)?
                ))
            },
        },
    ]
}
