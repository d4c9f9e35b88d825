//! Reads of spans. None of them depends on how many spans have ended.

use std::collections::HashMap;

use sea_orm::{ConnectionTrait, DbBackend, DbErr, FromQueryResult, Statement};

use entity::ext_event_subscription::Model;

use super::sql::{numbered, rows_of};
use pointsman_domain::{
    event_pattern::EventPattern,
    id::{InstallationId, SubscriptionId},
    installation::Installation,
    seq::Seq,
    span::{Span, SpanCloseReason},
    timestamp::Timestamp,
};
use pointsman_journal::{admin::installation::SpansNeeded, changes::StoredSpan};

const COLUMNS: &str = "s.id, s.subscription_id, s.installation_id, s.workspace_id, s.event_key, s.from_seq, \
                       s.until_seq, s.closed_by, s.is_current, s.created_at";

/// The current spans that a change of the installation needs.
pub(super) async fn needed<C: ConnectionTrait>(
    connection: &C,
    installation: &Installation,
    needed: SpansNeeded<'_>,
) -> Result<Vec<StoredSpan>, DbErr> {
    let Some(statement) = needed_sql(installation, needed, connection.get_database_backend()) else {
        return Ok(Vec::new());
    };
    let rows = connection.query_all_raw(statement).await?;
    let rows = rows.iter().map(|row| Model::from_query_result(row, ""));
    let rows: Vec<Model> = rows.collect::<Result<_, _>>()?;
    // The latest span of a subscription that was ended is not current, and a subscription may be another
    // installation's.
    let is_ours = |row: &Model| row.is_current && row.installation_id == installation.id.uuid();
    Ok(rows.into_iter().filter(is_ours).map(stored_span).collect())
}

/// Seeks the span of a subscription or of a pattern, or the stretch of the index that has the current spans.
pub(crate) fn needed_sql(
    installation: &Installation,
    needed: SpansNeeded<'_>,
    backend: DbBackend,
) -> Option<Statement> {
    let [first, second] = numbered(backend);
    let current = format!(
        "SELECT {COLUMNS} FROM ext_event_subscription s WHERE s.installation_id = {first} AND s.is_current = TRUE"
    );
    let id = installation.id.uuid();
    Some(match needed {
        SpansNeeded::Nothing => return None,
        SpansNeeded::Current => Statement::from_sql_and_values(backend, current, [id.into()]),
        SpansNeeded::OfPattern(pattern) => {
            let sql = format!("{current} AND s.event_key = {second}");
            Statement::from_sql_and_values(backend, sql, [id.into(), pattern.as_str().into()])
        }
        SpansNeeded::OfSubscription(subscription) => {
            let sql = format!(
                "SELECT {COLUMNS} FROM ext_event_subscription s WHERE s.workspace_id = {first} \
                 AND s.subscription_id = {second} ORDER BY s.from_seq DESC, s.id DESC LIMIT 1"
            );
            let workspace = installation.workspace_id.uuid();
            Statement::from_sql_and_values(backend, sql, [workspace.into(), subscription.uuid().into()])
        }
    })
}

/// Of each installation the spans that are open or end beyond its cursor.
pub(super) async fn beyond<C: ConnectionTrait>(
    connection: &C,
    cursors: &[(InstallationId, Seq)],
) -> Result<HashMap<InstallationId, Vec<Span>>, DbErr> {
    let mut found: HashMap<InstallationId, Vec<Span>> = HashMap::new();
    for statement in beyond_sql(cursors, connection.get_database_backend()) {
        for row in connection.query_all_raw(statement).await? {
            let row = Model::from_query_result(&row, "")?;
            let installation = InstallationId::new(row.installation_id);
            found.entry(installation).or_default().push(span(row));
        }
    }
    Ok(found)
}

/// The open ones and those that end beyond the cursor are two stretches of an index. They are read apart, because for a
/// condition with OR engines read all spans of an installation. Whatever the statistics say, the engines seek for each
/// installation: SQLite keeps the order of a CROSS JOIN, and PostgreSQL does not look into a subquery with OFFSET.
pub(crate) fn beyond_sql(cursors: &[(InstallationId, Seq)], backend: DbBackend) -> Vec<Statement> {
    let stretch = |ends: &str| {
        let of_installation =
            format!("ext_event_subscription s WHERE s.installation_id = v.installation_id AND {ends}");
        match backend {
            DbBackend::Postgres => format!(
                "SELECT s.* FROM v CROSS JOIN LATERAL (SELECT {COLUMNS} FROM {of_installation} OFFSET 0) s"
            ),
            _ => format!("SELECT {COLUMNS} FROM v CROSS JOIN {of_installation}"),
        }
    };
    let (open, later) = (stretch("s.until_seq IS NULL"), stretch("s.until_seq > v.settled"));
    let tail = format!(") {open} UNION ALL {later}");
    let head = "WITH v (installation_id, settled) AS (VALUES";
    rows_of(cursors, backend, head, &tail, |(installation, settled)| {
        vec![installation.uuid().into(), settled.get().into()]
    })
}

fn stored_span(row: Model) -> StoredSpan {
    StoredSpan {
        id: row.id,
        is_current: row.is_current,
        subscribed_at: Timestamp::from_millis(row.created_at),
        span: span(row),
    }
}

fn span(row: Model) -> Span {
    Span {
        subscription_id: SubscriptionId::new(row.subscription_id),
        pattern: EventPattern::from_stored(row.event_key),
        from_seq: Seq::new(row.from_seq),
        until_seq: row.until_seq.map(Seq::new),
        closed_by: row.closed_by.as_deref().and_then(SpanCloseReason::parse),
    }
}
